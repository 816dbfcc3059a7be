//! Choosing a node: who may be chosen, and how often.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use posthouse_protocol::node::{NodeState, NotChosenCause, ProbeFailure, Reachability};
use posthouse_tests::master::Master;
use posthouse_tests::python_node::PythonNode;
use posthouse_tests::site::Site;
use posthouse_tests::tablet::{Way, host_of};
use posthouse_tests::wait::{PATIENCE, stays, wait_until};
use serde_json::json;

use crate::papers;

/// Where the master sends `count` tablets, in order.
async fn ways(master: &Master, meeting: &str, count: usize) -> Result<Vec<String>> {
    let tablet = master.tablet()?;
    let mut hosts = Vec::new();
    for _ in 0..count {
        hosts.push(match tablet.way(meeting).await? {
            Way::Node(url) => host_of(&url)?,
            Way::Master => "master".to_owned(),
        });
    }
    Ok(hosts)
}

fn counted(hosts: &[String]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for host in hosts {
        *counts.entry(host.as_str()).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_three_and_two_give_exactly_three_and_two_of_every_five() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let heavy = site.joined_node("heavy", &master).await?;
    let light = site.joined_node("light", &master).await?;
    master.admin.patch_node("heavy", &json!({ "weight": 3 })).await?;
    master.admin.patch_node("light", &json!({ "weight": 2 })).await?;
    for meeting in ["m-1", "m-2"] {
        master.run_meeting(meeting, papers::one(1)).await?;
    }
    for meeting in ["m-1", "m-2"] {
        for node in ["heavy", "light"] {
            master.wait_for_rotation(node, meeting).await?;
        }
    }
    let expected = BTreeMap::from([(heavy.address(), 3), (light.address(), 2)]);
    // One meeting's turns are none of the other's business, so the two are asked for in turn.
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for _ in 0..30 {
        first.append(&mut ways(&master, "m-1", 1).await?);
        second.append(&mut ways(&master, "m-2", 1).await?);
    }
    for hosts in [first, second] {
        for five in hosts.windows(5).step_by(5) {
            assert_eq!(counted(five), expected, "{hosts:?}");
        }
        // Smooth: the light one never waits for all of the heavy one's turns.
        assert!(hosts.windows(3).all(|three| three.iter().any(|host| host == light.address())), "{hosts:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_drains_or_is_disabled_gets_no_downloads() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let east = site.joined_node("east", &master).await?;
    let west = site.joined_node("west", &master).await?;
    master.run_meeting("m-1", papers::one(1)).await?;
    for node in [&east, &west] {
        master.wait_for_rotation(node.id(), "m-1").await?;
    }
    for (state, cause) in [("draining", NotChosenCause::Draining), ("disabled", NotChosenCause::Disabled)] {
        master.admin.patch_node("east", &json!({ "state": state })).await?;
        let hosts = ways(&master, "m-1", 10).await?;
        assert_eq!(counted(&hosts), BTreeMap::from([(west.address(), 10)]), "{state}");
        let view = master.admin.node("east").await?;
        assert!(view.not_chosen.iter().any(|reason| reason.meeting_id == "m-1" && reason.cause == cause), "{view:?}");
        let offered = master.tablet()?.endpoints("m-1").await?;
        assert!(offered.iter().all(|endpoint| endpoint.ip != east.address()), "{state}: {offered:?}");
        if state == "draining" {
            // It keeps what it has, and finishes what it began.
            east.get("/api/v1/meetings/m-1/download-package").await?.expect(200)?;
        }
    }
    master.admin.patch_node("east", &json!({ "state": "enabled" })).await?;
    master.wait_for_rotation("east", "m-1").await?;
    let hosts = ways(&master, "m-1", 10).await?;
    assert_eq!(counted(&hosts), BTreeMap::from([(east.address(), 5), (west.address(), 5)]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_cannot_be_reached_where_it_says_never_enters_rotation() -> Result<()> {
    let site = Site::new()?;
    let master = site.master_setup().unsigned().start().await?;
    master.run_meeting("m-1", papers::one(1)).await?;

    let honest = PythonNode::start("honest", &master.base).await?;
    honest.register().await?.expect(200)?;
    honest.round().await?;
    master.wait_for_rotation("honest", "m-1").await?;

    // Behind its own firewall: nobody listens at the address it advertises.
    let mut walled = PythonNode::start("walled", &master.base).await?;
    let closed = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    walled.address = closed.to_string();
    // Advertises the address of another node.
    let mut pretender = PythonNode::start("pretender", &master.base).await?;
    pretender.address.clone_from(&honest.address);
    for node in [&walled, &pretender] {
        node.register().await?.expect(200)?;
        node.round().await?;
    }
    for (id, expected) in [("walled", ProbeFailure::Refused), ("pretender", ProbeFailure::AnotherNode)] {
        let detail = master
            .wait_for_node(id, "is found unreachable", PATIENCE, |node| match &node.reachability {
                Reachability::Failed { cause, detail } if *cause == expected => Ok(detail.clone()),
                other => Err(format!("{other:?}")),
            })
            .await?;
        assert!(!detail.is_empty());
        let view = master.admin.node(id).await?;
        assert!(view.not_chosen.iter().any(|reason| reason.cause == NotChosenCause::NotReached), "{view:?}");
    }
    let hosts = ways(&master, "m-1", 12).await?;
    assert_eq!(counted(&hosts), BTreeMap::from([(honest.address.as_str(), 12)]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probing_can_be_switched_off() -> Result<()> {
    let site = Site::new()?;
    let setup = site.master_setup().unsigned().config(&json!({ "nodes": { "probe": false } }));
    let master = setup.start().await?;
    master.run_meeting("m-1", papers::one(1)).await?;
    let mut walled = PythonNode::start("walled", &master.base).await?;
    walled.address = "127.0.0.1:9".to_owned();
    walled.register().await?.expect(200)?;
    walled.round().await?;
    master.wait_for_rotation("walled", "m-1").await?;
    assert_eq!(master.admin.node("walled").await?.reachability, Reachability::NotProbed);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_python_node_counts_only_when_it_fetched_and_reports_the_meeting() -> Result<()> {
    let site = Site::new()?;
    let master = site.master_setup().unsigned().start().await?;
    let node = PythonNode::start("python", &master.base).await?;
    node.register().await?.expect(200)?;
    master.run_meeting("m-1", papers::one(1)).await?;

    // It says that it holds the meeting, as it does when only a file of that name exists.
    node.poll().await?;
    node.put_package("m-1", b"left from an earlier version".to_vec().into());
    node.heartbeat().await?.expect(200)?;
    stays("not chosen without having fetched", Duration::from_secs(2), || async {
        ensure!(matches!(master.tablet()?.way("m-1").await?, Way::Master), "it is sent to the node");
        anyhow::Ok(())
    })
    .await?;
    node.fetch("m-1").await?;
    node.heartbeat().await?.expect(200)?;
    master.wait_for_rotation("python", "m-1").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_administrator_decided_about_a_node_stays() -> Result<()> {
    let site = Site::new()?;
    let mut master = site.master().await?;
    let mut node = site.joined_node("east", &master).await?;
    let patch = json!({ "name": "一楼", "description": "beside the lift", "weight": 7, "state": "draining" });
    master.admin.patch_node("east", &patch).await?;
    for bad in [
        json!({ "weight": 0 }),
        json!({ "weight": 1001 }),
        json!({ "weight": -1 }),
        json!({ "name": "x".repeat(101) }),
        json!({ "state": "asleep" }),
        json!({ "colour": "red" }),
    ] {
        let answer = master.admin.send(http::Method::PATCH, "/api/v1/nodes/east", &bad).await?;
        assert_eq!(answer.status, 400, "{bad}: {}", answer.text());
    }
    let answer = master.admin.send(http::Method::PATCH, "/api/v1/nodes/nobody", &json!({ "weight": 1 })).await?;
    assert_eq!(answer.status, 404);

    node.process.stop().await?;
    let listed = master.tablet()?.get("/api/v1/nodes/list").await?.expect(200)?.json::<serde_json::Value>()?;
    assert_eq!(listed, json!([]), "an unregistered node is not listed");
    master.restart().await?;
    let view = master.admin.node("east").await?;
    assert_eq!(
        (view.name.as_str(), view.description.as_str(), view.weight, view.state, view.online),
        ("一楼", "beside the lift", 7, NodeState::Draining, false)
    );
    node.start_again().await?;
    master.wait_for_online("east").await?;
    assert_eq!(master.admin.node("east").await?.weight, 7);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_node_the_master_serves_and_with_one_it_does_not() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    master.run_meeting("m-1", papers::one(1)).await?;
    let Way::Master = master.tablet()?.way("m-1").await? else { bail!("a redirect to nobody") };
    let mut node = site.joined_node("east", &master).await?;
    master.wait_for_rotation("east", "m-1").await?;
    node.process.stop().await?;
    wait_until("the master serves again", Duration::from_secs(2), || async {
        match master.tablet()?.way("m-1").await? {
            Way::Master => anyhow::Ok(()),
            Way::Node(url) => bail!("{url}"),
        }
    })
    .await
}
