//! A master that answers slowly, answers garbage, closes in the middle of a body, or sends a wrong hash.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::HeaderValue;
use posthouse_protocol::event::EventKind;
use posthouse_protocol::package::DescribedPackage;
use posthouse_protocol::signing::{AnswerToSign, BODY_HEADER, NONCE_HEADER, SIGNATURE_HEADER, TIME_HEADER};
use posthouse_protocol::{ContentHash, routes};
use posthouse_tests::node::Node;
use posthouse_tests::proxy::{Flow, Passing};
use posthouse_tests::signed::{SignedNode, hash_of};
use posthouse_tests::site::Site;
use posthouse_tests::wait::{stays, wait_until};
use serde_json::Value;

use super::{node_behind_proxy, original, wait_for_event, wait_until_empty};
use crate::papers;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_closes_in_the_middle_again_and_again_is_asked_for_the_rest() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let (proxy, node) = node_behind_proxy(&site, &master).await?;
    let each = 5_500_000;
    proxy.let_flow(Flow::ClosesAfter(each));
    master.run_meeting("m-1", papers::large(20_000_000, 1)).await?;
    let package = original(&master, "m-1").await?;
    node.wait_for_package("m-1", Some(hash_of(&package))).await?;
    ensure!(node.stored_package("m-1")? == package, "other bytes on disk");
    // Within a process nothing is fetched twice.
    let asked = proxy.passed_to("/download-package-direct").len() as u64;
    let least = (package.len() as u64).div_ceil(each);
    assert!((least..=least + 2).contains(&asked), "asked {asked} times for {least} pieces");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_answers_slowly_keeps_its_node() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let (proxy, node) = node_behind_proxy(&site, &master).await?;
    proxy.be_slow(Duration::from_secs(3));
    master.run_meeting("m-1", papers::one(1)).await?;
    let package = original(&master, "m-1").await?;
    node.wait_for_package("m-1", Some(hash_of(&package))).await?;
    let heartbeats = proxy.passed_to("/heartbeat").len();
    stays("it is online", Duration::from_secs(12), || async {
        ensure!(master.admin.node("east").await?.online, "offline");
        ensure!(node.status().await?.connected, "not connected");
        anyhow::Ok(())
    })
    .await?;
    assert!(proxy.passed_to("/heartbeat").len() > heartbeats, "no heartbeat in twelve seconds");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_not_believed_and_what_is_held_is_served() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let (proxy, node) = node_behind_proxy(&site, &master).await?;
    master.run_meeting("m-1", papers::large(3_000_000, 1)).await?;
    let package = original(&master, "m-1").await?;
    node.wait_for_package("m-1", Some(hash_of(&package))).await?;

    proxy.alter_answers(|passing: &mut Passing| {
        passing.answer_body = Bytes::from_static(b"]]\0not what you wanted{");
    });
    master.run_meeting("m-2", papers::one(2)).await?;
    let problem = wait_until("somebody is told", Duration::from_secs(30), || async {
        node.detail().await?.problem.context("no problem")
    })
    .await?;
    assert!(!problem.is_empty());
    stays("it serves what it has and nothing else", Duration::from_secs(3), || async {
        let answer = node.get("/api/v1/meetings/m-1/download-package").await?.expect(200)?;
        ensure!(answer.body == package, "other bytes");
        ensure!(node.detail().await?.held.len() == 1, "it holds more");
        anyhow::Ok(())
    })
    .await?;
    proxy.be_honest();
    node.wait_for_package("m-2", None).await?;
    node.wait_for("is content", |status| {
        let problem = status.posthouse.as_ref().and_then(|detail| detail.problem.clone());
        if status.connected && problem.is_none() { Ok(()) } else { Err(format!("{status:?}")) }
    })
    .await
}

/// Signs an altered answer anew, as only the master itself could.
fn sign_again(secret: &SignedNode, passing: &mut Passing) -> Result<()> {
    let text = |headers: &http::HeaderMap, name: &str| -> Result<String> {
        Ok(headers.get(name).with_context(|| name.to_owned())?.to_str()?.to_owned())
    };
    let body = hash_of(&passing.answer_body);
    let answer = AnswerToSign {
        request_nonce: &text(&passing.request_headers, NONCE_HEADER)?,
        status: passing.status.as_u16(),
        time_ms: text(&passing.answer_headers, TIME_HEADER)?.parse()?,
        body,
    };
    let signature = secret.signature(&answer.to_text());
    passing.answer_headers.insert(BODY_HEADER, HeaderValue::from_str(&body.to_string())?);
    passing.answer_headers.insert(SIGNATURE_HEADER, HeaderValue::from_str(&signature)?);
    Ok(())
}

/// What a node's secret file says, with which a test can play its master.
fn secret_of(node: &Node) -> Result<SignedNode> {
    let file: Value = posthouse_tests::config::read(&node.data().join("node_secret.json"))?;
    let digits: ContentHash =
        file["secret"].as_str().and_then(|digits| digits.parse().ok()).context("64 digits in node_secret.json")?;
    SignedNode::with_secret(&node.base, node.id(), digits.0)
}

type Lie = fn(&mut DescribedPackage);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_hash_of_the_master_itself_is_not_served_either() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let (proxy, node) = node_behind_proxy(&site, &master).await?;
    master.run_meeting("m-0", papers::one(1)).await?;
    node.wait_for_package("m-0", None).await?;
    let lies: [(&str, Lie); 3] = [
        ("m-1", |described| described.description.blocks[0].hash = ContentHash([1; 32])),
        ("m-2", |described| described.description.hash = ContentHash([2; 32])),
        ("m-3", |described| described.description.size_bytes += 1),
    ];
    for (meeting, lie) in lies {
        let secret = secret_of(&node)?;
        let id = meeting.parse().ok().context("a meeting id")?;
        let target = routes::package_description(&id);
        proxy.alter_answers(move |passing: &mut Passing| {
            if passing.target.starts_with(&target) && passing.status == 200 {
                let described = serde_json::from_slice::<DescribedPackage>(&passing.answer_body);
                let Ok(mut described) = described else { return };
                lie(&mut described);
                passing.answer_body = serde_json::to_vec(&described).unwrap_or_default().into();
                if let Err(error) = sign_again(&secret, passing) {
                    eprintln!("not signed again: {error:#}");
                }
            }
        });
        master.run_meeting(meeting, papers::large(5_000_000, 2)).await?;
        let event = wait_for_event(&node, EventKind::SyncFailed, meeting).await?;
        assert!(!event.reason.is_empty());
        let status = node.status().await?;
        ensure!(!status.active_meetings.iter().any(|held| held.id == meeting), "{meeting} is held: {status:?}");
        assert!(!node.package_path(meeting).exists(), "{meeting}");
        assert!(status.connected, "one bad description is no reason to leave: {status:?}");

        proxy.be_honest();
        let package = original(&master, meeting).await?;
        node.wait_for_package(meeting, Some(hash_of(&package))).await?;
    }
    wait_until_empty(&node.data().join("storage/.incoming")).await
}
