//! A node that is gone gets no redirects, and one that comes back gets them again.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use posthouse_tests::master::Master;
use posthouse_tests::node::Node;
use posthouse_tests::site::Site;
use posthouse_tests::tablet::{Way, host_of};

use crate::papers;

/// Two nodes in rotation for `m-1`.
async fn two_nodes(site: &Site) -> Result<(Master, Node, Node)> {
    let master = site.master().await?;
    let east = site.joined_node("east", &master).await?;
    let west = site.joined_node("west", &master).await?;
    master.run_meeting("m-1", papers::one(1)).await?;
    for node in [&east, &west] {
        master.wait_for_rotation(node.id(), "m-1").await?;
    }
    Ok((master, east, west))
}

/// Asks for redirects for as long as `span` lasts; how long after the beginning the last one went to `address`.
async fn last_redirect_to(master: &Master, address: &str, span: Duration) -> Result<Option<Duration>> {
    let tablet = master.tablet()?;
    let begun = Instant::now();
    let mut last = None;
    while begun.elapsed() < span {
        let asked = begun.elapsed();
        match tablet.way("m-1").await? {
            Way::Node(url) if host_of(&url)? == address => last = Some(asked),
            Way::Node(_) => {}
            Way::Master => bail!("the other node holds the package, and the master serves it"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(last)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_process_dies_gets_no_redirect_later_than_two_seconds_after() -> Result<()> {
    let site = Site::new()?;
    let (master, mut east, _west) = two_nodes(&site).await?;
    east.process.kill()?;
    let last = last_redirect_to(&master, east.address(), Duration::from_secs(6)).await?;
    assert!(last.is_none_or(|last| last < Duration::from_secs(2)), "a redirect {last:?} after its death");

    // Back under the same id it takes over at once, with what it held.
    east.start_again().await?;
    let begun = Instant::now();
    master.wait_for_rotation("east", "m-1").await?;
    assert!(begun.elapsed() < Duration::from_secs(10), "in rotation only {:?} after its start", begun.elapsed());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_goes_silent_gets_none_later_than_a_heartbeat_and_five_seconds_after() -> Result<()> {
    let site = Site::new()?;
    let (master, east, _west) = two_nodes(&site).await?;
    east.process.freeze()?;
    let last = last_redirect_to(&master, east.address(), Duration::from_secs(20)).await?;
    assert!(last.is_none_or(|last| last < Duration::from_secs(15)), "a redirect {last:?} after it went silent");
    east.process.thaw()?;
    master.wait_for_rotation("east", "m-1").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_says_goodbye_gets_none_at_all() -> Result<()> {
    let site = Site::new()?;
    let (master, mut east, _west) = two_nodes(&site).await?;
    east.process.stop().await?;
    let last = last_redirect_to(&master, east.address(), Duration::from_secs(3)).await?;
    assert_eq!(last, None, "a redirect after its goodbye");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_of_the_master_its_nodes_come_back_by_themselves() -> Result<()> {
    let site = Site::new()?;
    let (mut master, east, west) = two_nodes(&site).await?;
    for kill in [false, true] {
        if kill {
            master.process.kill()?;
            master.start_again().await?;
        } else {
            master.restart().await?;
        }
        let begun = Instant::now();
        for node in [&east, &west] {
            master.wait_for_rotation(node.id(), "m-1").await?;
        }
        // Backing off ends at 10 s, with jitter, and the probe follows.
        assert!(begun.elapsed() < Duration::from_secs(20), "only {:?} after its start", begun.elapsed());
        for node in [&east, &west] {
            node.wait_for("is connected", |status| if status.connected { Ok(()) } else { Err(format!("{status:?}")) })
                .await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_serve_while_their_master_is_away() -> Result<()> {
    let site = Site::new()?;
    let (mut master, east, _west) = two_nodes(&site).await?;
    let tablet = master.tablet()?;
    let endpoints = tablet.endpoints("m-1").await?;
    let expected = tablet.download("m-1").await?.hash;
    master.process.kill()?;
    east.wait_for("notices", |status| if status.connected { Err("connected".to_owned()) } else { Ok(()) }).await?;
    for endpoint in &endpoints[1..] {
        let download = tablet.download_from(&endpoint.download_url).await?;
        assert_eq!((download.status.as_u16(), download.hash), (200, expected));
    }
    // Started anew without a master, a node still serves what it holds.
    let mut east = east;
    east.restart().await?;
    east.wait_for_package("m-1", Some(expected)).await?;
    let url = format!("{}/api/v1/meetings/m-1/download-package", east.base);
    assert_eq!(tablet.download_from(&url).await?.hash, expected);
    Ok(())
}
