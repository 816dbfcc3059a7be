//! Fetching: whole, resumed, repaired, refused.

use posthouse_protocol::ContentHash;
use posthouse_protocol::event::EventKind;
use serde_json::json;

use crate::master::{BLOCK, Fault, Master};
use crate::site::{Site, noise, until, zip};

#[tokio::test]
async fn a_package_is_fetched_reported_served_and_replaced_and_goes_with_its_meeting() {
    let master = Master::ours();
    let site = Site::plain(&master);
    let node = site.start();
    node.until("connects", |status| status.connected).await;
    assert_eq!(node.status().await.sync_status, "未同步");

    let first = noise(1, 10 * BLOCK + 77);
    master.put("m-1", &first);
    node.wait_for("m-1", &first).await;
    assert_eq!(node.download("m-1").await.unwrap(), first);
    let status = node.status().await;
    assert_eq!((status.sync_status.as_str(), status.storage_usage), ("同步成功", first.len() as u64));
    assert_eq!((status.active_meetings[0].status.as_str(), status.meeting_count), ("active", 1));
    assert_eq!(status.active_meetings[0].title, "会议 m-1");
    until("reports it at once", || {
        let beats = master.seen_at("/api/v1/nodes/heartbeat");
        beats.iter().any(|beat| {
            beat.body["posthouse"]["held"][0]["version"] == 1 && beat.body["synced_meetings"] == json!(["m-1"])
        })
    })
    .await;

    let second = noise(2, 5 * BLOCK);
    master.put("m-1", &second);
    node.wait_for("m-1", &second).await;
    assert_eq!(node.download("m-1").await.unwrap(), second);
    assert_eq!(node.status().await.storage_usage, second.len() as u64);

    master.end("m-1");
    node.until("drops it", |status| status.meeting_count == 0).await;
    assert_eq!(site.storage(), [".incoming"]);
    node.until_event(EventKind::PackageRemoved).await;
    node.stop().await;
    assert_eq!(master.seen_at("/api/v1/nodes/unregister").len(), 1);
}

#[tokio::test]
async fn a_broken_connection_is_resumed_where_it_broke() {
    let master = Master::ours();
    let bytes = noise(1, 8 * BLOCK);
    // Cuts within blocks, too, and a pause that only the time limit ends.
    master.fail([Fault::CutAfter(3 * BLOCK + 100), Fault::CutAfter(10), Fault::HangAfter(BLOCK)]);
    master.put("m-1", &bytes);
    let site = Site::plain(&master);
    site.edit(json!({"network": {"downloadTimeout": 1, "retryCount": 1}}));
    let node = site.start();
    node.wait_for("m-1", &bytes).await;
    let asked: Vec<_> = master.seen_at("/api/v1/meetings/m-1/download").into_iter().map(|seen| seen.range).collect();
    assert_eq!(asked[0], None);
    let resumed: Vec<usize> = asked[1..].iter().map(start_of).collect();
    assert!(resumed.windows(2).all(|pair| pair[0] < pair[1]), "{resumed:?}");
    assert!(resumed[0] > 0 && !node.has_event(EventKind::SyncFailed).await);
    assert_eq!(site.incoming(), Vec::<std::path::PathBuf>::new());
}

fn start_of(range: &Option<String>) -> usize {
    range.as_deref().unwrap().trim_start_matches("bytes=").split('-').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_bad_block_alone_is_fetched_again() {
    let master = Master::ours();
    let bytes = noise(1, 8 * BLOCK);
    master.fail([Fault::Spoil(3 * BLOCK + 5)]);
    master.put("m-1", &bytes);
    let node = Site::plain(&master).start();
    node.wait_for("m-1", &bytes).await;
    assert_eq!(node.download("m-1").await.unwrap(), bytes);
    let asked: Vec<_> = master.seen_at("/api/v1/meetings/m-1/download").into_iter().map(|seen| seen.range).collect();
    assert_eq!(asked, [None, Some(format!("bytes={}-{}", 3 * BLOCK, 4 * BLOCK - 1))]);
}

#[tokio::test]
async fn what_stays_wrong_is_neither_served_nor_reported_and_the_master_is_not_pestered() {
    let master = Master::ours();
    let bytes = noise(1, 2 * BLOCK);
    master.fail(vec![Fault::Spoil(5); 1000]);
    master.put("m-1", &bytes);
    let node = Site::plain(&master).start();
    node.until("gives up", |status| status.sync_status.starts_with("同步失败: ")).await;
    node.until_event(EventKind::SyncFailed).await;
    assert!(1000 - master.faults_left() < 30, "{}", master.faults_left());
    assert_eq!(node.status().await.meeting_count, 0);

    // Blocks that fit and a whole that does not, whether or not the master proves that it is the one who says so.
    for is_joined in [false, true] {
        let master = Master::ours();
        *master.claimed_hash.lock() = Some(ContentHash([7; 32]));
        master.put("m-1", &bytes);
        let site = if is_joined { Site::joining(&master.new_code(&[&master.address])) } else { Site::plain(&master) };
        let node = site.start();
        node.until("gives up", |status| status.sync_status.starts_with("同步失败: ")).await;
        assert_eq!(node.status().await.meeting_count, 0);
    }
}

#[tokio::test]
async fn after_a_kill_only_what_is_missing_is_fetched_and_foreign_files_are_removed() {
    let master = Master::ours();
    let bytes = noise(1, 8 * BLOCK);
    master.fail(vec![Fault::HangAfter(5 * BLOCK + 10)]);
    master.put("m-1", &bytes);
    let site = Site::plain(&master);
    let node = site.start();
    node.until("has a part", |status| {
        status.posthouse.as_ref().unwrap().fetching.iter().any(|fetch| fetch.done_bytes >= 5 * BLOCK as u64)
    })
    .await;
    // Parked, which leaves the same file as a kill.
    node.stop().await;
    let part = site.incoming().remove(0);
    let mut kept = std::fs::read(&part).unwrap();
    kept[2 * BLOCK] ^= 1;
    std::fs::write(&part, kept).unwrap();
    std::fs::write(part.with_file_name("m-9.torn.part"), b"torn").unwrap();

    let node = site.start();
    node.wait_for("m-1", &bytes).await;
    let asked: Vec<_> = master.seen_at("/api/v1/meetings/m-1/download").into_iter().map(|seen| seen.range).collect();
    let damaged = format!("bytes={}-{}", 2 * BLOCK, 3 * BLOCK - 1);
    assert_eq!(asked, [None, Some(damaged), Some(format!("bytes={}-", 5 * BLOCK))]);
    assert_eq!(node.download("m-1").await.unwrap(), bytes);
    assert_eq!(site.incoming(), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn the_limit_on_concurrent_downloads_is_kept_and_can_be_raised() {
    let master = Master::ours();
    master.fail(vec![Fault::HangAfter(BLOCK); 3]);
    for id in ["m-1", "m-2", "m-3"] {
        master.put(id, &noise(1, 4 * BLOCK));
    }
    let site = Site::plain(&master);
    site.edit(json!({"network": {"maxConcurrentDownloads": 1}}));
    let node = site.start();
    until("one is fetched", || master.seen_at("/api/v1/meetings/m-").len() >= 2).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(master.faults_left(), 2);
    site.edit(json!({"network": {"maxConcurrentDownloads": 3}}));
    until("all are fetched", || master.faults_left() == 0).await;
    drop(node);
}

#[tokio::test]
async fn an_older_master_is_served_by_its_own_contract() {
    let master = Master::older();
    let first = zip("first");
    master.put("m-1", &first);
    let site = Site::plain(&master);
    site.edit(json!({"syncInterval": 10}));
    let node = site.start();
    node.wait_for("m-1", &first).await;
    assert_eq!(node.detail().await.held[0].version, 0);
    let seen: Vec<String> = master.seen().into_iter().map(|seen| seen.target).collect();
    let probe = seen.iter().position(|target| target == "/").unwrap();
    let download = seen.iter().position(|target| target.ends_with("download-package-direct")).unwrap();
    assert!(probe < download && !seen.iter().any(|target| target.contains("live") || target.contains("description")));

    // The token moves: the same is kept, another one replaces it, a torn one does not.
    let second = zip("second, and longer");
    master.put("m-1", &second[..second.len() - 10]);
    let _ = node.post("/api/service/stop", json!({})).await;
    let _ = node.post("/api/service/start", json!({})).await;
    node.until("says why", |status| status.sync_status.starts_with("同步失败: ")).await;
    assert_eq!(node.download("m-1").await.unwrap(), first);
    master.put("m-1", &second);
    let _ = node.post("/api/service/stop", json!({})).await;
    let _ = node.post("/api/service/start", json!({})).await;
    node.wait_for("m-1", &second).await;
    assert_eq!(node.download("m-1").await.unwrap(), second);
    assert_eq!(site.incoming(), Vec::<std::path::PathBuf>::new());
}
