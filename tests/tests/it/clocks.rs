//! Nodes whose clocks are wrong.

use anyhow::{Context, Result, ensure};
use posthouse_protocol::node::Trust;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_two_days_behind() -> Result<()> {
    works("-2d", -172_800_000).await
}
