//! Every key of the file is obeyed. Those of the storage have tests of their own in `space.rs`, those of the log file in
//! `operators.rs`, the port in `edits.rs`, signed links in `serving.rs`, the local password in `passwords.rs`.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http::Method;
use posthouse_tests::node::Node;
use posthouse_tests::proxy::{Flow, Proxy};
use posthouse_tests::python_master::{Behaviour, PythonMaster};
use posthouse_tests::signed;
use posthouse_tests::site::Site;
use posthouse_tests::wait::{PATIENCE, stays, wait_until};
use serde_json::{Value, json};

use super::edit;
use crate::papers;

const REGISTER: &str = "/api/v1/nodes/register";
const HEARTBEAT: &str = "/api/v1/nodes/heartbeat";
const POLL: &str = "/api/v1/meetings/status/node";

/// A package as a Python master has it.
fn package(size_bytes: usize, seed: u64) -> Result<Vec<u8>> {
    use std::io::Write as _;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip.start_file(format!("agenda_1/{seed}.pdf"), stored)?;
    zip.write_all(&posthouse_tests::noise::Noise::from_seed(seed).bytes(size_bytes))?;
    Ok(zip.finish()?.into_inner())
}

fn count(master: &PythonMaster, method: &Method, target: &str) -> usize {
    master.seen_at(method, target).len()
}

fn direct(meeting: &str) -> String {
    format!("/api/v1/meetings/{meeting}/download-package-direct")
}

async fn wait_for_count(master: &PythonMaster, method: Method, target: &str, wanted: usize) -> Result<()> {
    wait_until(&format!("{wanted} of {target}"), PATIENCE, || async {
        let found = count(master, &method, target);
        if found >= wanted { Ok(()) } else { Err(found) }
    })
    .await
}

async fn connected(node: &Node) -> Result<()> {
    node.wait_for("is connected", |status| if status.connected { Ok(()) } else { Err(format!("{status:?}")) }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn intervals_of_polls_and_heartbeats() -> Result<()> {
    let site = Site::new()?;
    let master = PythonMaster::start().await?;
    let keys = json!({ "syncInterval": 3600, "heartbeat": { "interval": 300 } });
    let node = site.node_setup("east").plain(&master.address).config(&keys).start().await?;
    connected(&node).await?;
    let counts = || (count(&master, &Method::GET, POLL), count(&master, &Method::POST, HEARTBEAT));
    wait_for_count(&master, Method::GET, POLL, 1).await?;
    // What comes right after the start may still be on its way.
    stays("it begins", Duration::from_secs(1), || async { anyhow::Ok(()) }).await?;
    let before = counts();
    stays("neither comes", Duration::from_secs(12), || async {
        ensure!(counts() == before, "{:?} after {before:?}", counts());
        anyhow::Ok(())
    })
    .await?;
    edit(&node, json!({ "syncInterval": 10, "heartbeat": { "interval": 10 } })).await?;
    let (polls, beats) = counts();
    let begun = Instant::now();
    wait_for_count(&master, Method::GET, POLL, polls + 2).await?;
    wait_for_count(&master, Method::POST, HEARTBEAT, beats + 2).await?;
    assert!(begun.elapsed() < Duration::from_secs(25), "two of each within {:?}", begun.elapsed());
    assert!(begun.elapsed() > Duration::from_secs(9), "two of each within {:?}", begun.elapsed());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_come_at_their_time_however_slowly_they_are_answered() -> Result<()> {
    let site = Site::new()?;
    let master = PythonMaster::start().await?;
    let keys = json!({ "heartbeat": { "interval": 10, "timeout": 1 } });
    let node = site.node_setup("east").plain(&master.address).config(&keys).start().await?;
    connected(&node).await?;
    // Slower than the time limit for an answer: the node is not connected, and beats all the same.
    master.behave(Behaviour::Slow(Duration::from_secs(4)));
    node.wait_for("notices", |status| if status.connected { Err("connected".to_owned()) } else { Ok(()) }).await?;
    let alive = || count(&master, &Method::POST, HEARTBEAT) + count(&master, &Method::POST, REGISTER);
    let before = alive();
    wait_until("it goes on", Duration::from_secs(15), || async {
        if alive() > before { Ok(()) } else { Err(alive()) }
    })
    .await?;
    // With more patience it is content with the same master.
    edit(&node, json!({ "heartbeat": { "timeout": 30 } })).await?;
    connected(&node).await?;
    let before = count(&master, &Method::POST, HEARTBEAT);
    let begun = Instant::now();
    wait_for_count(&master, Method::POST, HEARTBEAT, before + 2).await?;
    assert!(begun.elapsed() < Duration::from_secs(22), "two within {:?}", begun.elapsed());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_that_is_told() -> Result<()> {
    let site = Site::new()?;
    let master = PythonMaster::start().await?;
    let public = json!({ "publicIp": "10.9.8.7", "publicPort": 8080 });
    let node = site.node_setup("east").plain(&master.address).config(&public).start().await?;
    connected(&node).await?;
    let told = || {
        let seen = [master.seen_at(&Method::POST, REGISTER), master.seen_at(&Method::POST, HEARTBEAT)].concat();
        seen.last().map(|seen| seen.body["address"].clone()).unwrap_or_default()
    };
    assert_eq!(told(), node.address(), "it is not switched on");
    for (keys, address) in [
        (json!({ "usePublicAddress": true }), "10.9.8.7:8080".to_owned()),
        (json!({ "publicPort": null }), format!("10.9.8.7:{}", node.address().rsplit(':').next().context("a port")?)),
        (json!({ "publicIp": "files.example", "publicPort": 80 }), "files.example:80".to_owned()),
        (json!({ "usePublicAddress": false }), node.address().to_owned()),
    ] {
        edit(&node, keys).await?;
        wait_until(&format!("it says {address}"), PATIENCE, || async {
            ensure!(told() == address.as_str(), "{}", told());
            let status = node.status().await?;
            let shown = format!("{}:{}", status.node_ip, status.node_port);
            ensure!(shown == address, "its status says {shown}");
            anyhow::Ok(())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_id_and_another_folder() -> Result<()> {
    let site = Site::new()?;
    let master = PythonMaster::start().await?;
    master.put_meeting("m-1", "m-1", package(100_000, 1)?);
    let node = site.node_setup("east").plain(&master.address).start().await?;
    node.wait_for_package("m-1", None).await?;
    edit(&node, json!({ "nodeId": "west" })).await?;
    wait_until("it goes by the new id", PATIENCE, || async {
        ensure!(master.registered() == ["west"], "{:?}", master.registered());
        anyhow::Ok(())
    })
    .await?;
    assert_eq!(node.status().await?.node_id, "west");

    // Relative to the data folder, or anywhere.
    let elsewhere = site.data("elsewhere");
    for (path, folder) in
        [("./second", node.data().join("second")), (&elsewhere.display().to_string(), elsewhere.clone())]
    {
        edit(&node, json!({ "storage": { "path": path } })).await?;
        let file = folder.join("meeting_m-1/package.zip");
        wait_until("it is there", PATIENCE, || async {
            ensure!(file.exists(), "{} is not there", file.display());
            ensure!(node.status().await?.meeting_count == 1, "not listed");
            anyhow::Ok(())
        })
        .await?;
    }
    // Back again, what was left there is taken over.
    let before = count(&master, &Method::GET, &direct("m-1"));
    edit(&node, json!({ "storage": { "path": "./storage" } })).await?;
    node.wait_for_package("m-1", None).await?;
    assert_eq!(count(&master, &Method::GET, &direct("m-1")), before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_downloads_at_a_time() -> Result<()> {
    let site = Site::new()?;
    let master = PythonMaster::start().await?;
    for seed in 1..=3 {
        master.put_meeting(&format!("m-{seed}"), "会议", package(150_000, seed)?);
    }
    // A second and a half each.
    master.behave(Behaviour::Trickling(Duration::from_millis(150)));
    let keys = json!({ "network": { "maxConcurrentDownloads": 1 } });
    let node = site.node_setup("east").plain(&master.address).config(&keys).start().await?;
    // Those asked for and not yet here, in the order in which they can be counted without counting too many.
    let under_way = async |ids: &[String]| -> Result<(usize, usize)> {
        let held = node.status().await?.meeting_count;
        let begun: usize = ids.iter().map(|id| count(&master, &Method::GET, &direct(id)).min(1)).sum();
        Ok((begun.saturating_sub(held), held))
    };
    let ids: Vec<String> = (1..=3).map(|seed| format!("m-{seed}")).collect();
    wait_until("all three are here", PATIENCE, || async {
        let (under_way, held) = under_way(&ids).await.map_err(|error| format!("{error:#}"))?;
        // One may have ended between the two looks.
        assert!(under_way <= 2, "{under_way} at a time");
        if held == 3 { Ok(()) } else { Err(format!("{held}")) }
    })
    .await?;
    let ids: Vec<String> = (1..=6).map(|seed| format!("m-{seed}")).collect();
    for seed in 4..=6 {
        master.put_meeting(&format!("m-{seed}"), "会议", package(300_000, seed)?);
    }
    // Whoever waits for a place gets one at once.
    edit(&node, json!({ "network": { "maxConcurrentDownloads": 4 } })).await?;
    wait_until("three at a time", PATIENCE, || async {
        let (under_way, _) = under_way(&ids).await?;
        ensure!(under_way == 3, "{under_way}");
        anyhow::Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_and_the_pause_between_them() -> Result<()> {
    let site = Site::new()?;
    let master = PythonMaster::start().await?;
    master.put_meeting("m-1", "会议", package(100_000, 1)?);
    master.behave(Behaviour::FlipsABit);
    let keys = json!({ "syncInterval": 20, "network": { "retryCount": 2, "retryDelay": 0 } });
    let node = site.node_setup("east").plain(&master.address).config(&keys).start().await?;
    let failed = || {
        node.wait_for("has failed", |status| {
            if status.sync_status.starts_with("同步失败: ") { Ok(()) } else { Err(format!("{status:?}")) }
        })
    };
    failed().await?;
    assert_eq!(count(&master, &Method::GET, &direct("m-1")), 2);
    edit(&node, json!({ "network": { "retryCount": 4, "retryDelay": 1 } })).await?;
    wait_for_count(&master, Method::GET, &direct("m-1"), 3).await?;
    let begun = Instant::now();
    failed().await?;
    assert!(begun.elapsed() >= Duration::from_millis(2900), "three pauses within {:?}", begun.elapsed());
    assert_eq!(count(&master, &Method::GET, &direct("m-1")), 6);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_for_a_download_and_for_a_connection() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let proxy = Proxy::start(master.address()).await?;
    let code = signed::redirected(&master.join_code(1).await?, &proxy.address)?;
    let keys = json!({ "network": { "downloadTimeout": 1, "retryDelay": 0 } });
    let node = site.node_setup("east").config(&keys).join(&code).start().await?;
    master.wait_for_online("east").await?;
    // Each answer gets stuck; after a second the node asks for the rest.
    proxy.let_flow(Flow::StopsAfter(4_500_000));
    let begun = Instant::now();
    master.run_meeting("m-1", papers::large(13_000_000, 1)).await?;
    node.wait_for_package("m-1", None).await?;
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let asked = proxy.passed_to("/download-package-direct").len();
    assert!((3..=5).contains(&asked), "asked {asked} times");

    // Nobody accepts there: the queue of those who wait is full.
    let silent = tokio::net::TcpSocket::new_v4()?;
    silent.bind("127.0.0.1:0".parse()?)?;
    let silent = silent.listen(1)?;
    let address = silent.local_addr()?;
    let mut waiting = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(300), tokio::net::TcpStream::connect(address)).await
    {
        waiting.push(stream);
        ensure!(waiting.len() < 50, "this system lets everybody wait");
    }
    let keys = json!({ "network": { "connectionTimeout": 1 }, "heartbeat": { "timeout": 60 } });
    let begun = Instant::now();
    let lost = site.node_setup("west").plain(&address.to_string()).config(&keys).start().await?;
    lost.wait_for("says that it gets no connection", |status| {
        let problem = status.posthouse.as_ref().and_then(|detail| detail.problem.clone());
        problem.map(drop).ok_or_else(|| format!("{status:?}"))
    })
    .await?;
    assert!(begun.elapsed() < Duration::from_secs(8), "told only after {:?}", begun.elapsed());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_level_and_the_file_of_the_log() -> Result<()> {
    let site = Site::new()?;
    let master = PythonMaster::start().await?;
    let node = site.node_setup("east").plain(&master.address).start().await?;
    connected(&node).await?;
    let standard = node.data().join("logs/node.log");
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default();
    assert!(read(&standard).contains(" - INFO - "), "{}", read(&standard));
    assert!(!read(&standard).contains(" - DEBUG - "), "{}", read(&standard));

    edit(&node, json!({ "syncInterval": 11, "logging": { "level": "DEBUG", "filePath": "./elsewhere/my.log" } }))
        .await?;
    let moved = node.data().join("elsewhere/my.log");
    wait_until("debug lines in the new file", PATIENCE, || async {
        if read(&moved).contains(" - DEBUG - ") { Ok(()) } else { Err(read(&moved)) }
    })
    .await?;
    let size = read(&standard).len();

    edit(&node, json!({ "syncInterval": 12, "logging": { "level": "ERROR" } })).await?;
    let quiet = read(&moved).len();
    edit(&node, json!({ "syncInterval": 13 })).await?;
    assert_eq!(read(&moved).len(), quiet, "a change of the configuration is no error");

    edit(&node, json!({ "logging": { "level": "DEBUG", "fileEnabled": false } })).await?;
    let before = read(&moved).len();
    edit(&node, json!({ "syncInterval": 14 })).await?;
    assert_eq!((read(&moved).len(), read(&standard).len()), (before, size), "no file is written");
    node.process.wait_for_log("syncInterval", PATIENCE).await
}

/// A node that holds a meeting of our master.
async fn holding(site: &Site, master: &posthouse_tests::master::Master, id: &str, cleanup: Value) -> Result<Node> {
    let setup = site.node_setup(id).config(&json!({ "cleanup": cleanup }));
    let node = setup.join(&master.join_code(1).await?).start().await?;
    master.wait_for_online(id).await?;
    Ok(node)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_three_switches_of_the_clean_up() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let off = json!({ "enabled": false });
    let mut never = holding(&site, &master, "never", off).await?;
    let start_alone = json!({ "cleanOnStartup": true, "cleanEndedMeetings": false });
    let mut at_start = holding(&site, &master, "at-start", start_alone).await?;
    let neither = json!({ "cleanOnStartup": false, "cleanEndedMeetings": false });
    let mut by_hand = holding(&site, &master, "by-hand", neither).await?;
    let at_once = holding(&site, &master, "at-once", json!({ "cleanOnStartup": false })).await?;
    master.run_meeting("m-1", papers::one(1)).await?;
    for node in [&never, &at_start, &by_hand, &at_once] {
        node.wait_for_package("m-1", None).await?;
    }
    master.admin.end("m-1").await?;
    let gone = async |node: &Node| {
        node.wait_for("drops it", |status| if status.meeting_count == 0 { Ok(()) } else { Err(format!("{status:?}")) })
            .await
    };
    gone(&at_once).await?;
    for node in [&never, &at_start, &by_hand] {
        node.wait_for("knows that it is over", |status| match status.active_meetings.first() {
            Some(meeting) if meeting.status == "synced" => Ok(()),
            _ => Err(format!("{status:?}")),
        })
        .await?;
        assert!(node.package_path("m-1").exists(), "{} dropped it", node.id());
    }
    for node in [&mut never, &mut at_start, &mut by_hand] {
        node.restart().await?;
        connected(node).await?;
    }
    gone(&at_start).await?;
    for node in [&never, &by_hand] {
        assert_eq!(node.status().await?.meeting_count, 1, "{} dropped it", node.id());
    }
    // Switched on later, they are obeyed from then on.
    edit(&never, json!({ "cleanup": { "enabled": true } })).await?;
    edit(&by_hand, json!({ "cleanup": { "cleanEndedMeetings": true } })).await?;
    gone(&never).await?;
    gone(&by_hand).await
}
