//! Nodes whose clocks are wrong.

use anyhow::{Context, Result, ensure};
use posthouse_protocol::node::{Reachability, Trust};
use posthouse_tests::site::Site;
use posthouse_tests::tablet::Way;
use posthouse_tests::wait::{PATIENCE, wait_until};
use posthouse_tests::wrong_clock::WrongClock;
use serde_json::json;

use crate::papers;

async fn works(offset: &str, ahead_ms: i64) -> Result<()> {
    let site = Site::new()?;
    let Some(clock) = WrongClock::new(&site.data("clock"), offset)? else { return Ok(()) };
    let mut master = site.master().await?;
    // Tickets expire by the master's clock, whatever this one's says.
    let keys = json!({ "network": { "requireSignedLinks": true } });
    let mut setup = site.node_setup("east").config(&keys).join(&master.join_code(1).await?);
    for (name, value) in clock.environment() {
        setup = setup.env(&name, &value);
    }
    let mut node = setup.start().await?;
    master.run_meeting("m-1", papers::one(1)).await?;
    master.wait_for_rotation("east", "m-1").await?;
    let detail = node.detail().await?;
    assert_eq!((detail.trust, detail.problem), (Trust::Signed, None));
    let offset_ms = detail.clock_offset_ms.context("it does not say by how much")?;
    assert!((offset_ms + ahead_ms).abs() < 10_000, "{offset_ms} ms for a clock {ahead_ms} ms ahead");

    let tablet = master.tablet()?;
    let Way::Node(url) = tablet.way("m-1").await? else { anyhow::bail!("the master serves itself") };
    assert_eq!(tablet.download_from(&url).await?.status, 200);

    // Both start anew: neither knows anything of the other's clock.
    node.restart().await?;
    master.restart().await?;
    master.wait_for_rotation("east", "m-1").await?;
    master.run_meeting("m-2", papers::one(2)).await?;
    node.wait_for_package("m-2", None).await?;

    // Somebody sets it right while the node runs.
    clock.set("+0")?;
    wait_until("it follows", PATIENCE, || async {
        let detail = node.detail().await?;
        let offset_ms = detail.clock_offset_ms.context("no offset")?;
        ensure!(offset_ms.abs() < 10_000, "{offset_ms}");
        ensure!(node.status().await?.connected, "{detail:?}");
        anyhow::Ok(())
    })
    .await?;
    master.run_meeting("m-3", papers::one(3)).await?;
    node.wait_for_package("m-3", None).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_ten_minutes_ahead() -> Result<()> {
    works("+10m", 600_000).await
}

/// A machine that starts with a wrong clock and is set right by NTP a moment later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_are_set_back_lock_nobody_out() -> Result<()> {
    let site = Site::new()?;
    let Some(of_master) = WrongClock::new(&site.data("clock"), "+20m")? else { return Ok(()) };
    let Some(of_node) = WrongClock::new(&site.data("other-clock"), "+30m")? else { return Ok(()) };
    let mut setup = site.master_setup();
    for (name, value) in of_master.environment() {
        setup = setup.env(&name, &value);
    }
    let master = setup.start().await?;
    let mut setup = site.node_setup("east").join(&master.join_code(1).await?);
    for (name, value) in of_node.environment() {
        setup = setup.env(&name, &value);
    }
    let node = setup.start().await?;
    master.run_meeting("m-1", papers::one(1)).await?;
    master.wait_for_rotation("east", "m-1").await?;
    of_master.set("+0")?;
    of_node.set("+0")?;
    // Both ways: the node is told, and the master reaches it.
    master.run_meeting("m-2", papers::one(2)).await?;
    master.wait_for_rotation("east", "m-2").await?;
    let path = "/api/v1/nodes/east/probe";
    master.admin.send(http::Method::POST, path, &json!({})).await?.expect(200)?;
    assert_eq!(node.detail().await?.problem, None);
    let told = master.admin.node("east").await?;
    assert_eq!(told.reachability, Reachability::Reached);
    let reported = told.reported.context("the node reports nothing")?;
    ensure!(reported.clock_offset_ms.is_some(), "{reported:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_two_days_behind() -> Result<()> {
    works("-2d", -172_800_000).await
}
