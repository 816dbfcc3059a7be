//! A package on a node's disk that is no longer what was verified.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Result, ensure};
use bytes::Bytes;
use posthouse_protocol::event::EventKind;
use posthouse_tests::node::Node;
use posthouse_tests::signed::hash_of;
use posthouse_tests::site::Site;
use posthouse_tests::tcp::Reader;
use posthouse_tests::wait::{PATIENCE, wait_until};

use super::{original, wait_for_event};
use crate::papers;

const PATH: &str = "/api/v1/meetings/m-1/download-package";

type Damage = fn(&Path) -> std::io::Result<()>;

/// What hands do to files.
const DAMAGES: [(&str, Damage); 5] = [
    ("overwritten", |path| {
        let mut file = OpenOptions::new().write(true).open(path)?;
        file.seek(SeekFrom::Start(1_000_000))?;
        file.write_all(b"by hand")
    }),
    ("overwritten, its time put back", |path| {
        let before = std::fs::metadata(path)?.modified()?;
        let mut file = OpenOptions::new().write(true).open(path)?;
        file.seek(SeekFrom::Start(2_000_000))?;
        file.write_all(b"by hand")?;
        file.set_modified(before)
    }),
    ("cut short", |path| OpenOptions::new().write(true).open(path)?.set_len(1_500_000)),
    ("replaced", |path| std::fs::write(path, "no package at all")),
    ("removed", |path| std::fs::remove_file(path)),
];

/// Asks again and again until the package is served; nothing else may ever be.
async fn wait_until_served(node: &Node, original: &Bytes) -> Result<()> {
    wait_until("it is served again", PATIENCE, || async {
        let answer = node.get(PATH).await.map_err(|error| format!("{error:#}"))?;
        match answer.status.as_u16() {
            200 if answer.body == *original => Ok(true),
            200 => Ok(false),
            other => Err(format!("{other}")),
        }
    })
    .await
    .and_then(|is_right| {
        ensure!(is_right, "other bytes were served");
        Ok(())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_changed_by_hand_is_never_served_and_fetched_again() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let mut node = site.joined_node("east", &master).await?;
    master.run_meeting("m-1", papers::large(3_000_000, 1)).await?;
    let original = original(&master, "m-1").await?;
    node.wait_for_package("m-1", Some(hash_of(&original))).await?;
    for (how, damage) in DAMAGES {
        damage(&node.package_path("m-1"))?;
        wait_until_served(&node, &original).await.map_err(|error| error.context(how))?;
        ensure!(node.stored_package("m-1")? == original, "{how}: other bytes on disk");
    }
    let event = wait_for_event(&node, EventKind::PackageDamaged, "m-1").await?;
    assert!(!event.reason.is_empty());

    // The same while it does not run.
    for (how, damage) in DAMAGES {
        node.process.stop().await?;
        damage(&node.package_path("m-1"))?;
        node.start_again().await?;
        wait_until_served(&node, &original).await.map_err(|error| error.context(how))?;
    }
    master.wait_for_rotation("east", "m-1").await?;

    // Touched, it is read again and not fetched again.
    let synced = node.status().await?.active_meetings[0].sync_time;
    OpenOptions::new().write(true).open(node.package_path("m-1"))?.set_modified(std::time::SystemTime::now())?;
    wait_until_served(&node, &original).await?;
    assert!((node.status().await?.active_meetings[0].sync_time - synced).abs() < 0.001);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_cut_short_while_it_is_read_breaks_the_download_and_not_the_node() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let node = site.joined_node("east", &master).await?;
    master.run_meeting("m-1", papers::large(30_000_000, 1)).await?;
    let original = original(&master, "m-1").await?;
    node.wait_for_package("m-1", Some(hash_of(&original))).await?;

    let reader = Reader::get(node.address(), PATH).await?;
    assert_eq!(reader.status(), 200);
    let left = 2_000_000;
    OpenOptions::new().write(true).open(node.package_path("m-1"))?.set_len(left as u64)?;
    // Its end is a broken connection or too few bytes for the length that was promised, so that nobody takes it for
    // the package.
    if let Ok(received) = reader.read_to_end().await {
        assert!(received.len() < original.len(), "the cut-off end was sent");
        let sound = received.len().min(left);
        ensure!(received[..sound] == original[..sound], "other bytes were sent");
    }
    wait_until_served(&node, &original).await
}
