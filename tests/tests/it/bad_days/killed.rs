//! `kill -9` in the middle of work.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::Method;
use posthouse_protocol::legacy::MeetingView;
use posthouse_tests::answer::Answer;
use posthouse_tests::proxy::{Flow, Passing};
use posthouse_tests::signed::hash_of;
use posthouse_tests::site::Site;
use posthouse_tests::wait::{PATIENCE, wait_until};
use reqwest::multipart::{Form, Part};

use super::{files_in, node_behind_proxy, original, wait_until_empty};
use crate::papers;

/// First byte that a request asked for.
fn asked_from(passing: &Passing) -> Result<u64> {
    let Some(range) = passing.request_headers.get("range") else { return Ok(0) };
    let first = range.to_str()?.strip_prefix("bytes=").and_then(|range| range.split('-').next());
    first.context("a range")?.parse().with_context(|| format!("{range:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_killed_in_the_middle_of_a_sync_goes_on_where_it_was() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let (proxy, mut node) = node_behind_proxy(&site, &master).await?;
    // Two blocks and a part of the third.
    proxy.let_flow(Flow::StopsAfter(9_500_000));
    master.run_meeting("m-1", papers::large(21_000_000, 1)).await?;
    let done = node
        .wait_for("has fetched a part", |status| {
            let fetching = status.posthouse.iter().flat_map(|detail| &detail.fetching);
            let done = fetching.map(|fetch| fetch.done_bytes).max().unwrap_or(0);
            if done >= 8_000_000 { Ok(done) } else { Err(format!("{status:?}")) }
        })
        .await?;

    // Whoever asks for it now gets an answer in time, and not a part of it.
    let begun = Instant::now();
    let answer = node.get("/api/v1/meetings/m-1/download-package").await?;
    assert_eq!(answer.expect(404)?.detail()?, "Meeting package not found");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(!node.package_path("m-1").exists());
    assert_eq!(node.status().await?.storage_usage, 0, "what is not complete does not count");

    node.process.kill()?;
    proxy.be_honest();
    let before = proxy.passed_to("/download-package-direct").len();
    node.start_again().await?;
    let package = original(&master, "m-1").await?;
    node.wait_for_package("m-1", Some(hash_of(&package))).await?;
    ensure!(node.stored_package("m-1")? == package, "other bytes on disk");
    let after = proxy.passed_to("/download-package-direct").split_off(before);
    for request in &after {
        let from = asked_from(request)?;
        assert!(from >= done, "asked from {from}, and had {done}");
    }
    assert!(!after.is_empty(), "nothing was asked for");
    wait_until_empty(&node.data().join("storage/.incoming")).await?;
    master.wait_for_rotation("east", "m-1").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_killed_in_the_middle_of_an_upload_keeps_nothing_of_it() -> Result<()> {
    let site = Site::new()?;
    let mut master = site.master().await?;
    let kept = master.admin.upload(papers::one(1)).await?.remove(0);
    let (files, scratch) = (master.data().join("files"), master.data().join("scratch"));
    let before = files_in(&files)?;
    assert_eq!(before.len(), 1, "{before:?}");

    // A file of which half comes.
    let half = futures_util::stream::once(async { anyhow::Ok(Bytes::from(vec![7; 3_000_000])) });
    let part =
        Part::stream_with_length(reqwest::Body::wrap_stream(half.chain(futures_util::stream::pending())), 6_000_000);
    let form = Form::new().part("files", part.file_name("half.bin"));
    let upload = Answer::to(master.admin.request(Method::POST, "/api/v1/pdf/upload-temp").multipart(form));
    let upload = tokio::spawn(upload);
    wait_until("a part is on the disk", PATIENCE, || async {
        let found = [files_in(&scratch)?, files_in(&files)?].concat();
        ensure!(found.iter().any(|(_, size)| *size >= 1_000_000), "{found:?}");
        anyhow::Ok(())
    })
    .await?;
    master.process.kill()?;
    assert!(upload.await?.is_err(), "the upload has an answer");

    master.start_again().await?;
    assert_eq!(files_in(&files)?, before, "what was complete is there, and nothing else");
    assert_eq!(files_in(&scratch)?, []);
    // Both go on: a file from before, and a new one.
    let late = master.admin.upload(papers::one(2)).await?.remove(0);
    let meeting = posthouse_tests::admin::NewMeeting {
        id: "m-1".into(),
        title: "m-1".into(),
        agenda: vec![("议程一".into(), vec![kept, late])],
    };
    master.admin.create(&meeting).await?;
    master.admin.start("m-1").await?;
    original(&master, "m-1").await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_killed_in_the_middle_of_a_build_begins_anew() -> Result<()> {
    let site = Site::new()?;
    let mut master = site.master().await?;
    // Bytes that can be compressed a little, which takes its time.
    let mut bytes = vec![0; 48_000_000];
    posthouse_tests::noise::Noise::from_seed(1).fill(&mut bytes, 5);
    master.admin.create_with("m-1", vec![("a.bin".into(), bytes.clone()), ("b.bin".into(), bytes)]).await?;
    let (packages, scratch) = (master.data().join("packages"), master.data().join("scratch"));
    let admin = master.admin.clone();
    let starting = tokio::spawn(async move { admin.set_status("m-1", "进行中").await });
    wait_until("the package is being written", PATIENCE, || async {
        ensure!(!starting.is_finished(), "it is built already");
        let found = [files_in(&scratch)?, files_in(&packages)?].concat();
        ensure!(found.iter().any(|(_, size)| *size > 0), "{found:?}");
        anyhow::Ok(())
    })
    .await?;
    master.process.kill()?;
    assert!(starting.await?.is_err(), "starting has an answer");

    master.start_again().await?;
    assert_eq!(files_in(&packages)?, []);
    assert_eq!(files_in(&scratch)?, []);
    let meeting: MeetingView = master.admin.get("/api/v1/meetings/m-1").await?.expect(200)?.json()?;
    assert_eq!(meeting.status, "未开始");
    master.tablet()?.get("/api/v1/meetings/m-1/download-package").await?.expect(404)?;
    master.admin.start("m-1").await?;
    let package = original(&master, "m-1").await?;
    assert_eq!(posthouse_tests::archive::entries(&package)?.len(), 3);
    Ok(())
}
