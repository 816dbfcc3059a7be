//! Redirects of 50 meetings to 100 nodes, beside nginx that always says the same.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use posthouse_tests::python_node::PythonNode;
use posthouse_tests::tablet::{Way, host_of};
use posthouse_tests::wait::wait_until;
use serde_json::json;

use crate::ground::Ground;
use crate::load;
use crate::measure::median;
use crate::nginx::Nginx;
use crate::report::{Row, note};
use crate::turn::undisturbed;

const NODES: u8 = 100;
const MEETINGS: usize = 50;
const SECONDS: u32 = 2;
const ROUNDS: usize = 5;
const IN_ROTATION: Duration = Duration::from_secs(10);

/// Asks for one meeting after the other; the requests are made before the clock runs.
const SCRIPT: &str = r#"
local requests, at = {}, 0
function init(args)
  for n = 0, 49 do
    requests[n] = wrk.format("GET", string.format("/api/v1/meetings/m-%02d/download-package", n))
  end
end
function request()
  at = (at + 1) % 50
  return requests[at]
end
"#;

pub(super) async fn measure(ground: &Ground) -> Result<Vec<Row>> {
    // Nodes that are only simulated cannot be reached where they say they are.
    let setup = ground.master_setup().unsigned().config(&json!({ "nodes": { "probe": false } }));
    let master = setup.start().await?;
    for number in 0..MEETINGS {
        let file = (format!("paper-{number}.txt"), format!("paper {number}").repeat(50).into_bytes());
        master.run_meeting(&format!("m-{number:02}"), vec![file]).await?;
    }
    note("bringing 100 nodes into rotation…");
    let mut nodes = Vec::new();
    for number in 1..=NODES {
        // An address of its own each: that is how the master tells Python nodes apart that fetch a package.
        let ip = IpAddr::V4(Ipv4Addr::new(127, 0, 1, number));
        let mut node = PythonNode::start_at(&format!("node-{number:03}"), &master.base, ip).await?;
        node.register().await?.expect(200)?;
        node.round().await?;
        node.beat_each(Duration::from_secs(5));
        nodes.push(node);
    }

    let tablet = master.tablet()?;
    for number in 0..MEETINGS {
        let id = format!("m-{number:02}");
        // The last heartbeats are taken account of a moment after they are answered.
        wait_until("all nodes are in rotation", IN_ROTATION, || async {
            let mut chosen = BTreeSet::new();
            for _ in 0..NODES {
                let Way::Node(url) = tablet.way(&id).await? else { bail!("{id} is not redirected") };
                chosen.insert(host_of(&url)?);
            }
            ensure!(chosen.len() == usize::from(NODES), "{id} is redirected to {} nodes of {NODES}", chosen.len());
            Ok(())
        })
        .await?;
    }
    let Way::Node(location) = tablet.way("m-00").await? else { bail!("m-00 is not redirected") };
    let nginx = Nginx::redirects(&location).await?;

    let script = ground.fresh("redirect.lua");
    std::fs::write(&script, SCRIPT)?;
    let script = script.to_string_lossy().into_owned();
    let urls = [master.base.clone(), nginx.url("")];
    let mut rates: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        for index in if round % 2 == 0 { [1, 0] } else { [0, 1] } {
            let name = ["posthouse", "nginx"][index];
            let found =
                undisturbed(name, async || load::wrk(2, 64, SECONDS, &["-s", &script], &urls[index]).await).await?;
            rates[index].push(found.requests_per_second);
        }
    }
    let (ours, theirs) = (median(&rates[0]), median(&rates[1]));
    Ok(vec![Row::judged(
        "redirects, keep-alive, 64 connections, 100 nodes, 50 meetings",
        "0.8 × nginx `return 302`",
        format!("{ours:.0}/s ({:.2} ×)", ours / theirs),
        format!("nginx {theirs:.0}/s"),
        ours >= 0.8 * theirs,
    )])
}
