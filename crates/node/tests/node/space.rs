//! Room: what goes when a meeting ends, what goes when there is no room, and what never goes.

use posthouse_protocol::event::EventKind;
use serde_json::json;

use crate::master::{BLOCK, Master};
use crate::site::{Site, noise, until, zip};

#[tokio::test]
async fn ended_meetings_stay_or_go_as_the_switches_say() {
    let master = Master::ours();
    let bytes = noise(1, BLOCK);
    master.put("m-1", &bytes);
    let site = Site::plain(&master);
    site.edit(json!({"cleanup": {"cleanEndedMeetings": false, "cleanOnStartup": false}}));
    let node = site.start();
    node.wait_for("m-1", &bytes).await;
    master.end("m-1");
    node.until("notes the end", |status| status.active_meetings[0].status == "synced").await;
    assert_eq!(node.download("m-1").await.unwrap(), bytes);
    node.stop().await;

    let node = site.start();
    node.until("connects", |status| status.connected).await;
    assert_eq!(node.download("m-1").await.unwrap(), bytes);
    node.stop().await;

    site.edit(json!({"cleanup": {"cleanOnStartup": true}}));
    let node = site.start();
    node.until("cleans at its start", |status| status.meeting_count == 0).await;
    assert_eq!(site.storage(), [".incoming"]);
}

#[tokio::test]
async fn room_is_made_by_dropping_what_is_least_useful_and_never_an_active_meeting() {
    let master = Master::ours();
    let site = Site::plain(&master);
    // Room for three and a half.
    let limit = 3 * BLOCK + BLOCK / 2;
    site.edit(json!({
        "storage": {"maxSize": limit, "cleanupThreshold": 1.0},
        "cleanup": {"cleanEndedMeetings": false, "cleanOnStartup": false},
    }));
    let node = site.start();
    for (seed, id) in [(1, "m-1"), (2, "m-2"), (3, "m-3")] {
        master.put(id, &noise(seed, BLOCK));
        node.wait_for(id, &noise(seed, BLOCK)).await;
    }
    master.end("m-1");
    master.end("m-2");
    node.until("notes the end", |status| {
        status.active_meetings.iter().filter(|meeting| meeting.status == "synced").count() == 2
    })
    .await;
    // The older one was used last, so the other goes.
    node.download("m-1").await.unwrap();
    master.put("m-4", &noise(4, BLOCK));
    node.wait_for("m-4", &noise(4, BLOCK)).await;
    let ids: Vec<_> = node.status().await.active_meetings.into_iter().map(|meeting| meeting.id).collect();
    assert_eq!(ids, ["m-1", "m-3", "m-4"]);

    // What does not fit beside active meetings is not fetched, and they stay.
    master.put("m-5", &noise(5, 3 * BLOCK));
    node.until("says so", |status| {
        let problem = &status.posthouse.as_ref().unwrap().problem;
        status.sync_status.starts_with("同步失败")
            && problem.as_ref().is_some_and(|text| text.contains("storage.maxSize"))
    })
    .await;
    node.until_event(EventKind::StorageFull).await;
    let status = node.status().await;
    let ids: Vec<_> = status.active_meetings.iter().map(|meeting| meeting.id.as_str()).collect();
    assert_eq!((ids, status.storage_usage), (vec!["m-3", "m-4"], 2 * BLOCK as u64));
    assert_eq!(master.seen_at("/api/v1/meetings/m-5/download").len(), 0);

    // More room, by an edit alone.
    site.edit(json!({"storage": {"maxSize": 100 * BLOCK}}));
    node.wait_for("m-5", &noise(5, 3 * BLOCK)).await;
    node.until("is well again", |status| status.sync_status == "同步成功").await;
}

#[tokio::test]
async fn without_auto_cleanup_nothing_is_dropped_for_room() {
    let master = Master::ours();
    let site = Site::plain(&master);
    site.edit(json!({
        "storage": {"maxSize": BLOCK + 10, "autoCleanup": false},
        "cleanup": {"enabled": false},
    }));
    let node = site.start();
    master.put("m-1", &noise(1, BLOCK));
    node.wait_for("m-1", &noise(1, BLOCK)).await;
    master.end("m-1");
    master.put("m-2", &noise(2, BLOCK));
    node.until("says so", |status| status.sync_status.starts_with("同步失败")).await;
    assert_eq!(node.download("m-1").await.unwrap(), noise(1, BLOCK));
}

#[tokio::test]
async fn what_does_not_fit_is_fetched_from_an_older_master_once_and_not_to_its_end() {
    let master = Master::older();
    let package = zip(&"long ".repeat(200_000));
    master.put("m-1", &package);
    let site = Site::plain(&master);
    site.edit(json!({"storage": {"maxSize": 1000}}));
    let node = site.start();
    node.until_event(EventKind::StorageFull).await;
    let downloads = || master.seen_at("/api/v1/meetings/m-1/download-package-direct").len();
    assert_eq!(downloads(), 1);
    // Each edit makes it look again.
    for seconds in [11, 12, 13] {
        let polls = master.seen_at("/api/v1/meetings/status/node").len();
        site.edit(json!({"syncInterval": seconds}));
        until("it looks again", || master.seen_at("/api/v1/meetings/status/node").len() > polls).await;
        node.until("says so", |status| status.sync_status.starts_with("同步失败")).await;
    }
    assert_eq!(downloads(), 1);
    assert_eq!(site.incoming(), Vec::<std::path::PathBuf>::new());
    site.edit(json!({"storage": {"maxSize": 10_000_000}}));
    node.wait_for("m-1", &package).await;
}
