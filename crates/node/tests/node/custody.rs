//! What lies on the disk: taken over, verified, changed by hand.

use posthouse_protocol::event::EventKind;
use serde_json::json;

use crate::master::{BLOCK, Master};
use crate::site::{Site, noise, until, zip};

fn leave_package(site: &Site, id: &str, bytes: &[u8]) {
    let path = site.package_path(id);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn packages_of_the_older_node_are_taken_over_and_torn_ones_removed() {
    let master = Master::older();
    let bytes = zip("left by the older node");
    master.put("m-1", &bytes);
    let site = Site::plain(&master);
    // The meeting of the torn one is over, too: it shall go for being torn.
    site.edit(json!({"cleanup": {"cleanEndedMeetings": false, "cleanOnStartup": false}}));
    leave_package(&site, "m-1", &bytes);
    leave_package(&site, "m-2", &bytes[..bytes.len() - 5]);
    let node = site.start();
    node.wait_for("m-1", &bytes).await;
    until("removes the torn one", || !site.package_path("m-2").exists()).await;
    node.until("counts right", |status| status.storage_usage == bytes.len() as u64).await;
    assert_eq!(node.download("m-1").await.unwrap(), bytes);
    assert_eq!(master.seen_at("/api/v1/meetings/m-1/download").len(), 0);
    node.until_event(EventKind::PackageDamaged).await;
}

#[tokio::test]
async fn what_our_master_describes_alike_is_held_as_that_version() {
    let master = Master::ours();
    let bytes = zip("the same bytes");
    master.put("m-1", &bytes);
    master.put("m-1", &bytes);
    let site = Site::plain(&master);
    leave_package(&site, "m-1", &bytes);
    let node = site.start();
    node.until("holds version 2", |status| {
        status.posthouse.as_ref().unwrap().held.iter().any(|held| held.version == 2)
    })
    .await;
    assert_eq!(master.seen_at("/api/v1/meetings/m-1/").len(), 0);
}

#[tokio::test]
async fn a_restart_serves_at_once_what_it_holds_even_without_a_master() {
    let master = Master::ours();
    let bytes = noise(1, 2 * BLOCK);
    master.put("m-1", &bytes);
    let site = Site::plain(&master);
    let node = site.start();
    node.wait_for("m-1", &bytes).await;
    node.stop().await;
    drop(master);
    let node = site.start();
    assert_eq!(node.download("m-1").await.unwrap(), bytes);
    let status = node.status().await;
    assert_eq!((status.connected, status.active_meetings[0].status.as_str()), (false, "active"));
    node.until("says why", |status| status.posthouse.as_ref().unwrap().problem.is_some()).await;
    assert_eq!(node.status().await.sync_status, "同步成功");
}

#[tokio::test]
async fn a_package_changed_by_hand_is_not_served_and_comes_again() {
    let master = Master::ours();
    let bytes = noise(1, 4 * BLOCK);
    master.put("m-1", &bytes);
    let site = Site::plain(&master);
    let node = site.start();
    node.wait_for("m-1", &bytes).await;
    let mut spoilt = bytes.clone();
    spoilt[BLOCK + 3] ^= 1;
    // In place, as an editor would; then shortened; then removed.
    std::fs::write(site.package_path("m-1"), &spoilt).unwrap();
    assert_eq!(node.download("m-1").await.unwrap(), bytes);
    std::fs::File::options().write(true).open(site.package_path("m-1")).unwrap().set_len(100).unwrap();
    assert_eq!(node.download("m-1").await.unwrap(), bytes);
    std::fs::remove_file(site.package_path("m-1")).unwrap();
    assert_eq!(node.download("m-1").await.unwrap(), bytes);
    let damaged = node.events().await.into_iter().filter(|event| event.kind == EventKind::PackageDamaged).count();
    assert_eq!(damaged, 3);

    // Noticed without anybody asking.
    std::fs::write(site.package_path("m-1"), &spoilt).unwrap();
    until("fetches it again", || std::fs::read(site.package_path("m-1")).is_ok_and(|now| now == bytes)).await;
}

#[tokio::test]
async fn a_download_under_way_breaks_when_its_package_is_changed_by_hand() {
    let master = Master::ours();
    let bytes = noise(1, 400 * BLOCK);
    master.put("m-1", &bytes);
    let site = Site::plain(&master);
    let node = site.start();
    node.wait_for("m-1", &bytes).await;
    let mut download = node.get("/api/v1/meetings/m-1/download-package").await;
    let mut got = download.chunk().await.unwrap().unwrap().len();
    {
        use std::io::{Seek as _, SeekFrom, Write as _};
        let mut file = std::fs::File::options().write(true).open(site.package_path("m-1")).unwrap();
        file.seek(SeekFrom::End(-20)).unwrap();
        file.write_all(b"other bytes").unwrap();
    }
    let broken = loop {
        match download.chunk().await {
            Ok(Some(chunk)) => got += chunk.len(),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(broken && got < bytes.len(), "{got} of {} bytes came", bytes.len());
    assert_eq!(node.download("m-1").await.unwrap(), bytes);
}

#[tokio::test]
async fn a_touched_package_is_read_and_kept() {
    let master = Master::ours();
    let bytes = noise(1, 4 * BLOCK);
    master.put("m-1", &bytes);
    let site = Site::plain(&master);
    let node = site.start();
    node.wait_for("m-1", &bytes).await;
    std::fs::write(site.package_path("m-1"), &bytes).unwrap();
    assert_eq!(node.download("m-1").await.unwrap(), bytes);
    assert_eq!(master.seen_at("/api/v1/meetings/m-1/download").len(), 1);
    assert!(!node.has_event(EventKind::PackageDamaged).await);
}

#[tokio::test]
async fn damage_while_the_node_is_off_is_found_before_anything_is_served() {
    let master = Master::ours();
    let bytes = noise(1, 4 * BLOCK);
    master.put("m-1", &bytes);
    let site = Site::plain(&master);
    let node = site.start();
    node.wait_for("m-1", &bytes).await;
    node.stop().await;
    let mut spoilt = bytes.clone();
    spoilt[5] ^= 1;
    std::fs::write(site.package_path("m-1"), &spoilt).unwrap();
    // A node without its database knows nothing of it either; this one does.
    let node = site.start();
    assert_eq!(node.download("m-1").await.unwrap(), bytes);
    node.until_event(EventKind::PackageDamaged).await;
    let _ = node.post("/api/config/heartbeat", json!(20)).await;
}
