//! A master that is not there for a long time.

use std::time::Duration;

use anyhow::{Result, ensure};
use posthouse_tests::site::Site;
use posthouse_tests::wait::stays;
use posthouse_tests::wrong_clock::WrongClock;

use crate::papers;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hour_without_a_master() -> Result<()> {
    let site = Site::new()?;
    let Some(clock) = WrongClock::new(&site.data("clock"), "+0")? else { return Ok(()) };
    let mut master = site.master().await?;
    let mut setup = site.node_setup("east").join(&master.join_code(1).await?);
    for (name, value) in clock.environment() {
        setup = setup.env(&name, &value);
    }
    let node = setup.start().await?;
    master.run_meeting("m-1", papers::one(1)).await?;
    master.wait_for_rotation("east", "m-1").await?;
    let tablet = master.tablet()?;
    let url = tablet.endpoints("m-1").await?.remove(1).download_url;
    let hash = tablet.download_from(&url).await?.hash;

    master.process.kill()?;
    node.wait_for("notices", |status| if status.connected { Err("connected".to_owned()) } else { Ok(()) }).await?;
    for later in ["+20m", "+40m", "+61m"] {
        clock.set(later)?;
        // Longer than a glance at the files, a heartbeat and a poll.
        stays("it serves what it has", Duration::from_secs(4), || async {
            let download = tablet.download_from(&url).await?;
            ensure!(download.status == 200 && download.hash == hash, "{download:?}");
            let status = node.status().await?;
            ensure!(status.meeting_count == 1 && status.storage_usage == download.size_bytes, "{status:?}");
            anyhow::Ok(())
        })
        .await?;
    }
    assert!(node.detail().await?.problem.is_some(), "nobody is told");

    // The hour is over, and the clocks of the two are an hour apart.
    master.start_again().await?;
    master.wait_for_rotation("east", "m-1").await?;
    assert_eq!(tablet.download("m-1").await?.hash, hash);
    Ok(())
}
