//! Room for packages: counted exactly, made where it may be made, and told where it cannot.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use posthouse_protocol::event::EventKind;
use posthouse_tests::config;
use posthouse_tests::master::Master;
use posthouse_tests::node::Node;
use posthouse_tests::site::Site;
use posthouse_tests::wait::stays;
use serde_json::{Value, json};

use crate::bad_days::wait_for_event;
use crate::papers;

/// Bytes of the files of all packages.
fn bytes_on_disk(node: &Node) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(node.data().join("storage"))? {
        let package = entry?.path().join("package.zip");
        sum += std::fs::metadata(package).map_or(0, |metadata| metadata.len());
    }
    Ok(sum)
}

async fn node_with(site: &Site, master: &Master, keys: Value) -> Result<Node> {
    let node = site.node_setup("east").config(&keys).join(&master.join_code(1).await?).start().await?;
    master.wait_for_online("east").await?;
    Ok(node)
}

async fn held(node: &Node) -> Result<BTreeSet<String>> {
    Ok(node.detail().await?.held.into_iter().map(|package| package.meeting_id).collect())
}

fn named(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

/// Starts a meeting whose package is a little larger than 2.5 MB, and waits until the node has it.
async fn run(master: &Master, node: &Node, id: &str, seed: u64) -> Result<()> {
    master.run_meeting(id, papers::large(2_500_000, seed)).await?;
    node.wait_for_package(id, None).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_usage_is_the_sum_of_the_packages() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let node = node_with(&site, &master, json!({})).await?;
    let exact = async |what: &str| -> Result<()> {
        let status = node.status().await?;
        let listed: u64 = status.active_meetings.iter().map(|meeting| meeting.size).sum();
        assert_eq!((status.storage_usage, listed), (bytes_on_disk(&node)?, bytes_on_disk(&node)?), "{what}");
        let metrics = node.get("/metrics").await?.expect(200)?.text();
        let line = format!("posthouse_storage_bytes {}", status.storage_usage);
        ensure!(metrics.lines().any(|found| found == line), "{what}: {metrics}");
        Ok(())
    };
    assert_eq!(node.status().await?.storage_usage, 0);
    for (id, size) in [("m-1", 700_001), ("m-2", 1_300_007)] {
        master.run_meeting(id, papers::large(size, 1)).await?;
        let package = node.wait_for_package(id, None).await?;
        assert_eq!(package.size_bytes, master.tablet()?.package_size(id).await?);
        exact(id).await?;
    }
    // A new version takes the place of the old one.
    let before = node.status().await?.storage_usage;
    master.admin.add_file("m-1", 1, "late.bin", papers::large(50_000, 3).remove(0).1).await?;
    node.wait_for("holds version 2", |status| {
        let mut held = status.posthouse.iter().flat_map(|detail| &detail.held);
        if held.any(|package| package.version == 2) { Ok(()) } else { Err(format!("{status:?}")) }
    })
    .await?;
    exact("version 2").await?;
    assert!(node.status().await?.storage_usage > before);
    // Others' files in the folder are not packages.
    std::fs::write(node.data().join("storage/notes.txt"), "mine")?;
    exact("a foreign file").await?;
    master.admin.end("m-2").await?;
    node.wait_for("drops m-2", |status| if status.meeting_count == 1 { Ok(()) } else { Err(format!("{status:?}")) })
        .await?;
    exact("after the end").await?;
    let reported = master.admin.node("east").await?.reported.map(|reported| reported.load.storage_limit_bytes);
    assert_eq!(reported, Some(10_737_418_240));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_least_useful_goes_first_and_what_is_in_progress_never() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let keys = json!({
        "storage": { "maxSize": 10_500_000, "cleanupThreshold": 0.86 },
        "cleanup": { "enabled": false },
    });
    let node = node_with(&site, &master, keys).await?;
    for (seed, id) in (1..).zip(["m-1", "m-2", "m-3"]) {
        run(&master, &node, id, seed).await?;
        master.admin.end(id).await?;
    }
    node.wait_for("knows that all are over", |status| {
        let over = status.active_meetings.iter().filter(|meeting| meeting.status == "synced").count();
        if over == 3 { Ok(()) } else { Err(format!("{status:?}")) }
    })
    .await?;
    assert_eq!(held(&node).await?, named(&["m-1", "m-2", "m-3"]));
    // Somebody still reads the oldest one.
    node.get("/api/v1/meetings/m-1/download-package").await?.expect(200)?;

    for (seed, id, left) in [
        (4, "m-4", &["m-1", "m-3", "m-4"][..]),
        (5, "m-5", &["m-1", "m-4", "m-5"]),
        (6, "m-6", &["m-4", "m-5", "m-6"]),
        // Above the threshold, and there is nothing to drop; below the limit.
        (7, "m-7", &["m-4", "m-5", "m-6", "m-7"]),
    ] {
        run(&master, &node, id, seed).await?;
        assert_eq!(held(&node).await?, named(left), "after {id}");
        assert_eq!(node.status().await?.storage_usage, bytes_on_disk(&node)?);
    }
    let event = wait_for_event(&node, EventKind::PackageRemoved, "m-2").await?;
    assert!(!event.reason.is_empty());

    // Now even that does not fit, and it says so.
    master.run_meeting("m-8", papers::large(2_500_000, 8)).await?;
    let event = wait_for_event(&node, EventKind::StorageFull, "m-8").await?;
    assert!(event.reason.contains("10500000"), "it names the limit: {}", event.reason);
    let status = node.status().await?;
    assert!(status.sync_status.starts_with("同步失败: "), "{}", status.sync_status);
    let problem = status.posthouse.and_then(|detail| detail.problem).unwrap_or_default();
    assert!(problem.contains("10500000"), "{problem}");
    let all = named(&["m-4", "m-5", "m-6", "m-7"]);
    assert_eq!(held(&node).await?, all, "what is in progress stays");
    for id in &all {
        node.get(&format!("/api/v1/meetings/{id}/download-package")).await?.expect(200)?;
    }
    assert_eq!(master.tablet()?.download("m-8").await?.from, master.address());

    // One is over: its room is enough.
    master.admin.end("m-5").await?;
    node.wait_for_package("m-8", None).await?;
    assert_eq!(held(&node).await?, named(&["m-4", "m-6", "m-7", "m-8"]));
    node.wait_for("is content", |status| {
        let problem = status.posthouse.as_ref().and_then(|detail| detail.problem.clone());
        if status.sync_status == "同步成功" && problem.is_none() { Ok(()) } else { Err(format!("{status:?}")) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_clean_up_nothing_is_dropped_and_a_smaller_limit_takes_nothing_away() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let keys = json!({
        "storage": { "maxSize": 6_000_000, "autoCleanup": false },
        "cleanup": { "enabled": false },
    });
    let node = node_with(&site, &master, keys).await?;
    run(&master, &node, "m-1", 1).await?;
    master.admin.end("m-1").await?;
    run(&master, &node, "m-2", 2).await?;
    master.run_meeting("m-3", papers::large(2_500_000, 3)).await?;
    wait_for_event(&node, EventKind::StorageFull, "m-3").await?;
    assert_eq!(held(&node).await?, named(&["m-1", "m-2"]));

    // More room is used without a restart.
    config::edit(&node.config_path(), |whole| whole["storage"]["maxSize"] = json!(20_000_000))?;
    node.wait_for_package("m-3", None).await?;
    assert_eq!(held(&node).await?, named(&["m-1", "m-2", "m-3"]));

    // Less than what is in progress takes: the one that is over goes, the others stay, and somebody is told.
    config::edit(&node.config_path(), |whole| {
        whole["storage"]["maxSize"] = json!(4_000_000);
        whole["storage"]["autoCleanup"] = json!(true);
    })?;
    let problem = node
        .wait_for("says that it is too much", |status| {
            status.posthouse.as_ref().and_then(|detail| detail.problem.clone()).ok_or_else(|| format!("{status:?}"))
        })
        .await?;
    assert!(problem.contains("4000000"), "{problem}");
    stays("what is in progress stays", Duration::from_secs(2), || async {
        ensure!(held(&node).await? == named(&["m-2", "m-3"]), "{:?}", held(&node).await?);
        anyhow::Ok(())
    })
    .await?;
    let events = crate::bad_days::events_of(&node).await?;
    let told = events.iter().rfind(|event| event.kind == EventKind::StorageFull);
    assert!(told.is_some_and(|event| event.meeting_id.is_none() && event.reason.contains("4000000")), "{events:?}");
    Ok(())
}
