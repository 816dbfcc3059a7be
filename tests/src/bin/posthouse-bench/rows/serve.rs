//! A node serves a 1 GiB package, beside nginx with the same file.

use anyhow::Result;
use posthouse_tests::answer::{Answer, http_client};

use crate::ground::{self, Ground};
use crate::load;
use crate::measure::{GIB, median, rate, rate_and_ratio};
use crate::nginx::Nginx;
use crate::report::Row;
use crate::turn::undisturbed;
use posthouse_tests::usage;

const MEETING: &str = "m-serve";

struct Side {
    name: &'static str,
    url: String,
    pids: Vec<u32>,
    found: Vec<Found>,
}

#[derive(Debug)]
struct Found {
    bytes_per_second: f64,
    cpu_seconds_per_gib: f64,
}

impl Side {
    fn new(name: &'static str, url: String, pids: Vec<u32>) -> Self {
        Self { name, url, pids, found: Vec::new() }
    }

    async fn turn(&self, connections: usize, size_bytes: u64) -> Result<Found> {
        let before = usage::cpu_seconds(&self.pids)?;
        let bytes_per_second = load::curl(&self.url, connections, size_bytes).await?;
        let gib = connections as f64 * size_bytes as f64 / GIB as f64;
        Ok(Found { bytes_per_second, cpu_seconds_per_gib: (usage::cpu_seconds(&self.pids)? - before) / gib })
    }

    fn bytes_per_second(&self) -> f64 {
        median(&self.found.iter().map(|found| found.bytes_per_second).collect::<Vec<_>>())
    }

    fn cpu_seconds_per_gib(&self) -> f64 {
        median(&self.found.iter().map(|found| found.cpu_seconds_per_gib).collect::<Vec<_>>())
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
        let mut ours = Side::new("posthouse", url.clone(), vec![node.process.pid()]);
        let mut peer = Side::new("nginx", peer_url.clone(), nginx.pids()?);
        for round in 0..rounds {
            // Each goes first as often as the other, give or take one.
            let sides = if round % 2 == 0 { [&mut peer, &mut ours] } else { [&mut ours, &mut peer] };
            for side in sides {
                let name = format!("{}, {connections} connections", side.name);
                let found = undisturbed(&name, async || side.turn(connections, held.size_bytes).await).await?;
                side.found.push(found);
            }
        }
        let (reached, theirs) = (ours.bytes_per_second(), peer.bytes_per_second());
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
            format!("{:.3}", ours.cpu_seconds_per_gib()),
            format!("nginx {:.3}", peer.cpu_seconds_per_gib()),
        ));
    }
    Ok(rows)
}
