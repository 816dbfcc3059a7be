//! A node serves a 1 GiB package, beside nginx with the same file.

use anyhow::Result;
use posthouse_tests::answer::{Answer, http_client};

use crate::ground::{self, Ground};
use crate::load;
use crate::measure::{GIB, median, rate, rate_and_ratio};
use crate::nginx::Nginx;
use crate::report::{Row, note};
use posthouse_tests::usage;

const MEETING: &str = "m-serve";

struct Side {
    url: String,
    pids: Vec<u32>,
    rates: Vec<f64>,
    cpu_seconds: f64,
    bytes: f64,
}

impl Side {
    fn new(url: String, pids: Vec<u32>) -> Self {
        Self { url, pids, rates: Vec::new(), cpu_seconds: 0.0, bytes: 0.0 }
    }

    async fn turn(&mut self, connections: usize, size_bytes: u64) -> Result<()> {
        let before = usage::cpu_seconds(&self.pids)?;
        self.rates.push(load::curl(&self.url, connections, size_bytes).await?);
        self.cpu_seconds += usage::cpu_seconds(&self.pids)? - before;
        self.bytes += connections as f64 * size_bytes as f64;
        Ok(())
    }

    fn cpu_per_gib(&self) -> f64 {
        self.cpu_seconds / (self.bytes / GIB as f64)
    }
}

pub(super) async fn measure(ground: &Ground) -> Result<Vec<Row>> {
    let master = ground.master_setup().start().await?;
    let node = ground.node("serve", &master).await?;
    ground::meeting_of_size(ground, &master, MEETING, GIB).await?;
    master.admin.start(MEETING).await?;
    let held = node.wait_for_package(MEETING, None).await?;
    let path = node.package_path(MEETING);
    let nginx = Nginx::files(&node.data().join("storage")).await?;
    let url = format!("{}/api/v1/meetings/{MEETING}/download-package", node.base);
    let peer_url = nginx.url(&format!("/meeting_{MEETING}/package.zip"));
    // A wrong address would be measured as very fast.
    for url in [&url, &peer_url] {
        Answer::to(http_client()?.head(url)).await?.expect(200)?;
    }
    load::settle_disk().await?;
    load::warm(&path).await?;

    let mut rows = Vec::new();
    for (connections, rounds) in [(1, 7), (16, 5)] {
        let mut ours = Side::new(url.clone(), vec![node.process.pid()]);
        let mut peer = Side::new(peer_url.clone(), nginx.pids()?);
        for round in 0..rounds {
            // Each goes first as often as the other, give or take one.
            let sides = if round % 2 == 0 { [&mut peer, &mut ours] } else { [&mut ours, &mut peer] };
            for side in sides {
                side.turn(connections, held.size_bytes).await?;
            }
            note(&format!(
                "{connections} connections, round {round}: {} beside {}",
                rate(ours.rates[round]),
                rate(peer.rates[round])
            ));
        }
        let (reached, theirs) = (median(&ours.rates), median(&peer.rates));
        let name = if connections == 1 { "1 connection".to_owned() } else { format!("{connections} connections") };
        rows.push(Row::judged(
            &format!("a node serves a 1 GiB package, curl, {name}"),
            "1.2 × nginx",
            rate_and_ratio(reached, theirs),
            format!("nginx {}", rate(theirs)),
            reached >= 1.2 * theirs,
        ));
        rows.push(Row::told(
            &format!("… its CPU seconds per GiB, {name}"),
            format!("{:.3}", ours.cpu_per_gib()),
            format!("nginx {:.3}", peer.cpu_per_gib()),
        ));
    }
    Ok(rows)
}
