//! A thousand tablets on a bad wireless network.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use posthouse_tests::signed::hash_of;
use posthouse_tests::site::Site;
use posthouse_tests::tcp::Reader;
use posthouse_tests::usage;
use posthouse_tests::wait::{PATIENCE, wait_until};

use super::original;
use crate::papers;

const CROWD: usize = 1000;
const PATH: &str = "/api/v1/meetings/m-1/download-package";
/// What a thousand connections may cost; their share of the package must not be in it.
const MEMORY_MAX: u64 = 128 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_slow_readers_keeps_nobody_else_waiting() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let node = site.joined_node("east", &master).await?;
    master.run_meeting("m-1", papers::large(20_000_000, 1)).await?;
    let package = original(&master, "m-1").await?;
    node.wait_for_package("m-1", Some(hash_of(&package))).await?;

    let opening = stream::iter(0..CROWD).map(|_| Reader::get(node.address(), PATH)).buffer_unordered(50);
    let mut crowd: Vec<Reader> = opening.try_collect().await?;
    ensure!(crowd.iter().all(|reader| reader.status() == 200), "somebody is turned away");

    // Quick ones beside them.
    for _ in 0..3 {
        let begun = Instant::now();
        let answer = node.get(PATH).await?.expect(200)?;
        ensure!(answer.body == package, "other bytes");
        assert!(begun.elapsed() < Duration::from_secs(10), "a download takes {:?}", begun.elapsed());
        let begun = Instant::now();
        node.status().await?;
        assert!(begun.elapsed() < Duration::from_secs(2), "a status takes {:?}", begun.elapsed());
    }
    ensure!(node.status().await?.connected, "it lost its master");
    let memory = usage::anonymous_bytes(node.process.pid())?;
    assert!(memory < MEMORY_MAX, "{} MiB for {CROWD} readers", memory >> 20);

    // The slow ones are served to the end, too.
    let patient = crowd.split_off(CROWD - 3);
    drop(crowd);
    for reader in patient {
        ensure!(reader.read_to_end().await? == package, "other bytes for a slow reader");
    }
    wait_until("those who hung up are forgotten", PATIENCE, || async {
        let metrics = node.get("/metrics").await?.expect(200)?.text();
        ensure!(metrics.lines().any(|line| line == "posthouse_active_downloads 0"), "{metrics}");
        anyhow::Ok(())
    })
    .await
}
