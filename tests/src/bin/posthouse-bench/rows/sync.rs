//! A node fetches a 1 GiB package, beside curl, b3sum and sync one after the other.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use posthouse_tests::node::Node;
use tokio::process::Command;

use crate::ground::{self, Ground};
use crate::load;
use crate::measure::{GIB, median, rate, rate_and_ratio};
use crate::nginx::Nginx;
use crate::report::{Row, note};

const MEETING: &str = "m-sync";
const ROUNDS: usize = 5;
const LIMIT: Duration = Duration::from_secs(120);

pub(super) async fn measure(ground: &Ground) -> Result<Vec<Row>> {
    let master = ground.master_setup().start().await?;
    let node = ground.node("sync", &master).await?;
    ground::meeting_of_size(ground, &master, MEETING, GIB).await?;
    let nginx = Nginx::files(master.data()).await?;
    let copy = ground.fresh("copy.zip");

    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        load::settle_disk().await?;
        let (size_bytes, took) = {
            // The node may begin before the administrator has the answer: the clock starts at whichever comes first.
            let watch = watch_sync(&node);
            let start = async {
                master.admin.start(MEETING).await?;
                anyhow::Ok(Instant::now())
            };
            let (begun, (first_seen, held_at, size_bytes)) = tokio::try_join!(start, watch)?;
            (size_bytes, held_at - begun.min(first_seen))
        };
        ours.push(size_bytes as f64 / took.as_secs_f64());

        let package = ground::master_package(&master)?;
        load::warm(&package).await?;
        load::settle_disk().await?;
        let path = package.strip_prefix(master.data()).context("a package outside the data folder")?;
        let url = nginx.url(&format!("/{}", path.display()));
        let script = "curl --silent --fail --noproxy '*' -o \"$1\" \"$0\" && b3sum \"$1\" && sync \"$1\"";
        let begun = Instant::now();
        load::run(Command::new("sh").arg("-c").arg(script).arg(&url).arg(&copy)).await?;
        peer.push(std::fs::metadata(&copy)?.len() as f64 / begun.elapsed().as_secs_f64());
        std::fs::remove_file(&copy)?;
        note(&format!("round {round}: {} beside {}", rate(ours[round]), rate(peer[round])));

        master.admin.end(MEETING).await?;
        let gone = |status: &posthouse_protocol::legacy::NodeStatus| {
            if status.meeting_count == 0 { Ok(()) } else { Err("still there".to_owned()) }
        };
        node.wait_for("drops the package", gone).await?;
    }
    let (reached, theirs) = (median(&ours), median(&peer));
    Ok(vec![Row::judged(
        "sync of 1 GiB from master to node, verified and fsynced",
        "0.8 × curl, b3sum, sync",
        rate_and_ratio(reached, theirs),
        format!("curl from nginx, b3sum, sync {}", rate(theirs)),
        reached >= 0.8 * theirs,
    )])
}

/// When the node was first seen fetching, when it held the package, and how large that is.
async fn watch_sync(node: &Node) -> Result<(Instant, Instant, u64)> {
    let begun = Instant::now();
    let mut first_seen: Option<Instant> = None;
    loop {
        let detail = node.detail().await?;
        let now = Instant::now();
        if !detail.fetching.is_empty() || !detail.held.is_empty() {
            first_seen.get_or_insert(now);
        }
        if let (Some(held), Some(first_seen)) = (detail.held.first(), first_seen) {
            return Ok((first_seen, now, held.size_bytes));
        }
        ensure!(begun.elapsed() < LIMIT, "the node does not get the package: {detail:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
