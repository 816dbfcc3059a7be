//! Small requests while cold packages are being read: who waits for the disk must not make others wait.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use posthouse_tests::node::Node;
use tokio::task::JoinSet;

use crate::chill::chill;
use crate::ground::{self, Ground};
use crate::load::{self, Wrk};
use crate::measure::median;
use crate::nginx::Nginx;
use crate::report::Row;
use crate::turn::prepared;
use posthouse_tests::usage;

const READERS: usize = 8;
const COLD_BYTES: u64 = 768 << 20;
const WARM: &str = "m-warm";
const SECONDS: u32 = 1;
const ROUNDS: usize = 5;
const PART: [&str; 2] = ["-H", "Range: bytes=0-1023"];

pub(super) async fn measure(ground: &Ground) -> Result<Vec<Row>> {
    let master = ground.master_setup().start().await?;
    let node = ground.node("small", &master).await?;
    ground::meeting_of_size(ground, &master, WARM, 4 << 20).await?;
    master.admin.start(WARM).await?;
    node.wait_for_package(WARM, None).await?;
    for reader in 0..READERS {
        let id = cold(reader);
        ground::meeting_of_size(ground, &master, &id, COLD_BYTES).await?;
        master.admin.start(&id).await?;
        node.wait_for_package(&id, None).await?;
    }
    // Nothing is dirty any more, so that the packages can be taken out of the page cache.
    load::settle_disk().await?;

    let nginx = Nginx::files(&node.data().join("storage")).await?;
    let ours = Side {
        pids: vec![node.process.pid()],
        mapping: vec![node.process.pid()],
        small: format!("{}/api/v1/meetings/{WARM}/download-package", node.base),
        cold: colds(&node, |id| format!("{}/api/v1/meetings/{id}/download-package", node.base)),
    };
    let peer = Side {
        pids: nginx.pids()?,
        mapping: vec![node.process.pid()],
        small: nginx.url(&format!("/meeting_{WARM}/package.zip")),
        cold: colds(&node, |id| nginx.url(&format!("/meeting_{id}/package.zip"))),
    };
    let mut found: [Vec<Found>; 2] = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        for index in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            let (name, side) = [("posthouse", &ours), ("nginx", &peer)][index];
            let cold = || side.cold.iter().try_for_each(|(path, _)| chill(path, &side.mapping));
            found[index].push(prepared(name, cold, async || side.turn().await).await?);
        }
    }
    let p99 = |index: usize| median(&found[index].iter().map(|found| found.milliseconds()).collect::<Vec<_>>());
    let describe = |index: usize| {
        let requests = median(&found[index].iter().map(|found| found.wrk.requests_per_second).collect::<Vec<_>>());
        let read = median(&found[index].iter().map(|found| found.disk_bytes as f64).collect::<Vec<_>>());
        let from_disk = read / 1e9 / f64::from(SECONDS);
        format!("p99 {:.1} ms ({requests:.0}/s, {from_disk:.2} GB/s from disk)", p99(index))
    };
    Ok(vec![Row::judged(
        "1 KiB requests while 8 clients read cold packages",
        "p99 under 10 ms",
        describe(0),
        format!("nginx {}", describe(1)),
        p99(0) < 10.0,
    )])
}

fn cold(reader: usize) -> String {
    format!("m-cold-{reader}")
}

fn colds(node: &Node, url: impl Fn(&str) -> String) -> Vec<(PathBuf, String)> {
    (0..READERS).map(cold).map(|id| (node.package_path(&id), url(&id))).collect()
}

#[derive(Debug, Clone, Copy)]
struct Found {
    wrk: Wrk,
    /// Read from disk by the server: zero would mean that nothing was cold.
    disk_bytes: u64,
}

impl Found {
    fn milliseconds(&self) -> f64 {
        self.wrk.p99.as_secs_f64() * 1e3
    }
}

struct Side {
    pids: Vec<u32>,
    /// Who may have the packages mapped.
    mapping: Vec<u32>,
    small: String,
    cold: Vec<(PathBuf, String)>,
}

impl Side {
    async fn turn(&self) -> Result<Found> {
        let mut readers = JoinSet::new();
        for (path, url) in self.cold.clone() {
            readers.spawn(async move { load::curl(&url, 1, std::fs::metadata(&path)?.len()).await });
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        let before = usage::disk_reads(&self.pids)?;
        let wrk = load::wrk(1, 8, SECONDS, &PART, &self.small).await?;
        let disk_bytes = usage::disk_reads(&self.pids)? - before;
        // Those that ended before wrk did took load away from what was to be measured.
        let reading =
            std::iter::from_fn(|| readers.try_join_next()).try_fold(READERS, |left, ended| ended?.map(|_| left - 1))?;
        ensure!(reading > 0, "all readers were through before the measurement was");
        while let Some(ended) = readers.join_next().await {
            ended??;
        }
        Ok(Found { wrk, disk_bytes })
    }
}
