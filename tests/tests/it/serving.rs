//! How a node sends bytes: ranges, conditions, HEAD, and what strange ids do.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http::Method;
use posthouse_tests::answer::Answer;
use posthouse_tests::master::Master;
use posthouse_tests::node::Node;
use posthouse_tests::signed::hash_of;
use posthouse_tests::site::Site;
use posthouse_tests::tablet::Way;
use posthouse_tests::tcp;
use serde_json::json;

use crate::papers;

const PATH: &str = "/api/v1/meetings/m-1/download-package";

async fn node_with_package(site: &Site) -> Result<(Master, Node, Vec<u8>)> {
    let master = site.master().await?;
    let node = site.joined_node("east", &master).await?;
    master.run_meeting("m-1", papers::large(3_000_000, 1)).await?;
    node.wait_for_package("m-1", None).await?;
    let bytes = node.stored_package("m-1")?;
    Ok((master, node, bytes))
}

async fn ask(node: &Node, method: Method, headers: &[(&str, &str)]) -> Result<Answer> {
    let mut request = node.request(method, PATH);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::to(request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn get_and_head_say_the_same() -> Result<()> {
    let site = Site::new()?;
    let (_master, node, bytes) = node_with_package(&site).await?;
    let whole = ask(&node, Method::GET, &[]).await?.expect(200)?;
    assert_eq!(whole.body, bytes);
    let head = ask(&node, Method::HEAD, &[]).await?.expect(200)?;
    assert!(head.body.is_empty());
    for name in ["content-type", "content-length", "content-disposition", "accept-ranges", "etag", "last-modified"] {
        assert!(!whole.header(name).is_empty(), "no {name}");
        assert_eq!(whole.header(name), head.header(name), "{name}");
    }
    assert_eq!(whole.header("etag"), format!("\"{}\"", hash_of(&bytes)), "a strong ETag: the content hash");
    assert_eq!(whole.header("content-length"), bytes.len().to_string());
    let other = node.get("/api/meetings/m-1/download").await?.expect(200)?;
    assert_eq!(other.body, whole.body);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_ranges_of_every_kind() -> Result<()> {
    let site = Site::new()?;
    let (_master, node, bytes) = node_with_package(&site).await?;
    let size = bytes.len();
    for (range, from, to) in [
        ("bytes=0-0".to_owned(), 0, 1),
        ("bytes=0-1023".to_owned(), 0, 1024),
        (format!("bytes={}-", size - 10), size - 10, size),
        ("bytes=-500".to_owned(), size - 500, size),
        (format!("bytes=-{}", size * 2), 0, size),
        (format!("bytes=100-{}", size * 2), 100, size),
        // Across the windows and blocks in which it may be read.
        ("bytes=1048575-2097153".to_owned(), 1_048_575, 2_097_154),
    ] {
        let answer = ask(&node, Method::GET, &[("range", &range)]).await?.expect(206)?;
        assert_eq!(answer.header("content-range"), format!("bytes {from}-{}/{size}", to - 1), "{range}");
        assert_eq!(answer.header("content-length"), (to - from).to_string(), "{range}");
        ensure!(answer.body == bytes[from..to], "{range}: other bytes");
        let head = ask(&node, Method::HEAD, &[("range", &range)]).await?;
        assert!(head.body.is_empty() && head.status.is_success(), "{range}: {}", head.status);
    }
    let beyond = format!("bytes={size}-");
    let answer = ask(&node, Method::GET, &[("range", &beyond)]).await?.expect(416)?;
    assert_eq!(answer.header("content-range"), format!("bytes */{size}"));
    // What is no range, or several, is answered with the whole.
    for range in ["bytes=5-1", "lines=0-5", "bytes=a-b", "bytes=0-1,5-6"] {
        let answer = ask(&node, Method::GET, &[("range", range)]).await?;
        ensure!(answer.status == 200 && answer.body == bytes, "{range}: {}", answer.status);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditions_are_obeyed() -> Result<()> {
    let site = Site::new()?;
    let (_master, node, bytes) = node_with_package(&site).await?;
    let etag = ask(&node, Method::HEAD, &[]).await?.header("etag").to_owned();
    for value in [etag.clone(), "*".to_owned(), format!("\"x\", {etag}"), format!("W/{etag}")] {
        for method in [Method::GET, Method::HEAD] {
            let answer = ask(&node, method, &[("if-none-match", &value)]).await?.expect(304)?;
            assert!(answer.body.is_empty());
            assert_eq!(answer.header("etag"), etag);
        }
    }
    ask(&node, Method::GET, &[("if-none-match", "\"x\"")]).await?.expect(200)?;
    // A range of the right version is a range, of another the whole.
    let part = ask(&node, Method::GET, &[("range", "bytes=0-9"), ("if-range", &etag)]).await?.expect(206)?;
    assert_eq!(part.body, bytes[..10]);
    for other in ["\"x\"".to_owned(), format!("W/{etag}"), "Fri, 20 Nov 1970 20:29:22 GMT".to_owned()] {
        let whole = ask(&node, Method::GET, &[("range", "bytes=0-9"), ("if-range", &other)]).await?.expect(200)?;
        ensure!(whole.body == bytes, "{other}: other bytes");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strange_ids_touch_and_create_nothing() -> Result<()> {
    let site = Site::new()?;
    let (master, node, _bytes) = node_with_package(&site).await?;
    let before = listing(node.data())?;
    let long = "x".repeat(10_000);
    let strange =
        ["../x", "..%2f..%2fnode_config.json", "%2e%2e", "%00", "a%00b", "...", ".hidden", "a%2Fb", "%5c..%5cx", &long];
    for id in strange {
        for target in [format!("/api/v1/meetings/{id}/download-package"), format!("/api/meetings/{id}/download")] {
            for address in [node.address(), master.address()] {
                // As bytes: a client library would tidy the path up.
                let request = format!("GET {target} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
                let answer = tcp::exchange(address, request.as_bytes(), Duration::from_secs(10)).await?;
                let status = answer.split(' ').nth(1).unwrap_or_default();
                assert!(["400", "404", "414", "431"].contains(&status), "{target:.60}: {answer:.200}");
            }
        }
    }
    assert_eq!(listing(node.data())?, before, "nothing came and nothing went");
    let status = node.status().await?;
    assert_eq!((status.meeting_count, status.sync_status.as_str()), (1, "同步成功"));
    Ok(())
}

fn listing(folder: &std::path::Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            // Logs and the write-ahead files of the database come and go.
            let name = path.file_name().context("a name")?.to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path.clone());
            }
            if !name.contains(".db-") && !name.contains(".log") {
                found.push(path.display().to_string());
            }
        }
    }
    found.sort();
    Ok(found)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_meeting_is_refused_soon_and_changes_nothing() -> Result<()> {
    let site = Site::new()?;
    let (_master, node, _bytes) = node_with_package(&site).await?;
    let before = node.status().await?;
    let begun = Instant::now();
    let asked: Vec<_> = (0..20).map(|_| node.get("/api/v1/meetings/nobody/download-package")).collect();
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(answer?.expect(404)?.detail()?, "Meeting package not found");
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let other = node.get("/api/meetings/nobody/download").await?.expect(404)?;
    assert_eq!(other.detail()?, "会议包不存在");
    let after = node.status().await?;
    assert_eq!(
        (after.meeting_count, after.storage_usage, &after.sync_status),
        (before.meeting_count, before.storage_usage, &before.sync_status)
    );
    assert!(!node.package_path("nobody").parent().context("a folder")?.exists());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_demands_signed_links_answers_403_without_a_good_one() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let setup = site.node_setup("east").config(&json!({ "network": { "requireSignedLinks": true } }));
    let _node = setup.join(&master.join_code(1).await?).start().await?;
    for meeting in ["m-1", "m-2"] {
        master.run_meeting(meeting, papers::one(1)).await?;
        master.wait_for_rotation("east", meeting).await?;
    }
    let tablet = master.tablet()?;
    let Way::Node(url) = tablet.way("m-1").await? else { anyhow::bail!("the master serves itself") };
    assert_eq!(tablet.download_from(&url).await?.status, 200);
    let (path, ticket) = url.split_once("?ticket=").context("a ticket")?;
    let parts: Vec<&str> = ticket.split('.').collect();
    let later: i64 = parts[1].parse::<i64>()? + 3600;
    let mut last = ticket.chars().last().context("a digit")?;
    last = if last == '0' { '1' } else { '0' };
    for bad in [
        path.to_owned(),
        format!("{path}?ticket="),
        format!("{path}?ticket={}{last}", &ticket[..ticket.len() - 1]),
        format!("{path}?ticket={}.{later}.{}", parts[0], parts[2]),
        format!("{path}?ticket=2.{}.{}", parts[1], parts[2]),
        // Good for another meeting.
        url.replace("/m-1/", "/m-2/"),
    ] {
        assert_eq!(tablet.download_from(&bad).await?.status, 403, "{bad}");
    }
    Ok(())
}
