//! Two nodes started with one copied configuration.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use posthouse_protocol::event::EventKind;
use posthouse_tests::node::NodeSetup;
use posthouse_tests::site::Site;
use posthouse_tests::wait::{PATIENCE, stays, wait_until};

use crate::papers;

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_of_two_with_one_data_folder_is_told_why_and_the_first_goes_on() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let first = site.joined_node("east", &master).await?;
    master.run_meeting("m-1", papers::one(1)).await?;
    master.wait_for_rotation("east", "m-1").await?;

    // The whole folder: configuration, secret, database, packages, even the mark that it runs.
    let folder = site.data("copy");
    copy(first.data(), &folder)?;
    let second = NodeSetup::new(&folder, "east").start().await?;
    let problem = wait_until("the second says why", PATIENCE, || async {
        second.detail().await?.problem.context("no problem yet")
    })
    .await?;
    // It names the id, and where the one lives that has it.
    assert!(problem.contains("east") && problem.contains(first.address()), "{problem}");
    let events = master.admin.events(0).await?.events;
    let refused = events.iter().find(|event| event.kind == EventKind::NodeRefused).context("no event")?;
    assert_eq!(refused.node_id.as_deref(), Some("east"));

    let tablet = master.tablet()?;
    stays("the first goes on", Duration::from_secs(8), || async {
        ensure!(first.status().await?.connected, "the first lost its master");
        let status = second.status().await?;
        ensure!(!status.connected, "the second has it");
        ensure!(tablet.download("m-1").await?.from == first.address(), "another one serves");
        anyhow::Ok(())
    })
    .await?;
    // Refused, it still serves whom it serves: what it has is right.
    second.get("/api/v1/meetings/m-1/download-package").await?.expect(200)?;
    Ok(())
}
