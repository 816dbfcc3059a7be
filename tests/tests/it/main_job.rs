//! The main job: nodes hold the package of a meeting, and downloads go to them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use posthouse_protocol::legacy::MeetingView;
use posthouse_tests::answer::Answer;
use posthouse_tests::archive;
use posthouse_tests::pdf::Pdf;
use posthouse_tests::python_node::PythonNode;
use posthouse_tests::signed::hash_of;
use posthouse_tests::site::Site;
use posthouse_tests::tablet::{Way, host_of};
use posthouse_tests::wait::{PATIENCE, stays, wait_until};
use serde_json::json;

fn papers() -> Vec<(String, Vec<u8>)> {
    vec![
        ("年度报告.pdf".to_owned(), Pdf::scanned(3, 700_000, 1).to_bytes()),
        ("budget.PDF".to_owned(), Pdf::scanned(11, 300_000, 2).to_bytes()),
        ("figures.csv".to_owned(), "month,amount\n1,20\n".repeat(4000).into_bytes()),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_share_the_downloads_of_a_meeting() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let code = master.join_code(2).await?;
    let mut nodes = Vec::new();
    for id in ["east", "west"] {
        nodes.push(site.node_setup(id).join(&code).start().await?);
        master.wait_for_online(id).await?;
    }

    master.run_meeting("m-001", papers()).await?;
    for node in &nodes {
        master.wait_for_rotation(node.id(), "m-001").await?;
    }

    let tablet = master.tablet()?;
    let original = tablet.get("/api/v1/meetings/m-001/download-package-direct").await?.expect(200)?;
    let expected = hash_of(&original.body);
    let mut served: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..6 {
        let download = tablet.download("m-001").await?;
        assert_eq!((download.status.as_u16(), download.hash), (200, expected));
        *served.entry(download.from).or_default() += 1;
    }
    let equally: BTreeMap<String, usize> = nodes.iter().map(|node| (node.address().to_owned(), 3)).collect();
    assert_eq!(served, equally, "six downloads, two nodes of equal weight");

    for node in &nodes {
        assert_eq!(hash_of(&node.stored_package("m-001")?), expected, "what {} has on disk", node.id());
        let status = node.status().await?;
        assert_eq!(status.storage_usage, original.body.len() as u64);
        assert_eq!(status.sync_status, "同步成功");
        assert!(status.connected && status.running, "{status:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_package_is_what_the_tablet_expects() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let papers = papers();
    let meeting: MeetingView = master.admin.create_with("m-001", papers.clone()).await?;
    assert_eq!((meeting.status.as_str(), meeting.agenda_items[0].files.len()), ("未开始", 3));
    master.admin.start("m-001").await?;

    let tablet = master.tablet()?;
    let data = tablet.data("m-001").await?;
    let files = &data.agenda_items[0].files;
    let shown: Vec<_> = files.iter().map(|file| (file.name.as_str(), file.total_pages, file.size)).collect();
    let size = |index: usize| papers[index].1.len() as u64;
    assert_eq!(shown, [("年度报告", Some(3), size(0)), ("budget", Some(11), size(1)), ("figures.csv", None, size(2))]);

    // With no node at all the master sends the bytes itself.
    assert!(matches!(tablet.way("m-001").await?, Way::Master));
    let answer = tablet.get("/api/v1/meetings/m-001/download-package").await?.expect(200)?;
    assert_eq!(answer.header("content-type"), "application/zip");
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"meeting_m-001_pdfs.zip\"");
    for path in [&data.package_url, "/api/v1/meetings/active/download-package/m-001"] {
        assert_eq!(tablet.get(path).await?.expect(200)?.body, answer.body, "{path}");
    }

    let package = archive::entries(&answer.body)?;
    let mut expected = vec!["README.txt".to_owned()];
    for (file, (name, bytes)) in files.iter().zip(&papers) {
        let extension = name.rsplit('.').next().unwrap_or_default();
        let entry = format!("{}/{}.{extension}", file.agenda_folder, file.temp_id);
        let stored = package.iter().find(|(found, _)| found.eq_ignore_ascii_case(&entry));
        ensure!(stored.is_some_and(|(_, stored)| stored == bytes), "{entry} is not what was uploaded as {name}");
        expected.push(entry);
    }
    assert_eq!(package.len(), expected.len(), "{:?}", package.keys());
    let readme = String::from_utf8_lossy(&package["README.txt"]);
    for part in ["会议 m-001", "m-001", "2026-11-20", "年度报告", "budget"] {
        assert!(readme.contains(part), "README.txt lacks {part}: {readme}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_meeting_without_files_does_not_start() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let empty = json!({ "id": "m-1", "title": "空", "time": "2026-11-20T09:00", "part": [] });
    let answer = master.admin.send(http::Method::POST, "/api/v1/meetings/", &empty).await?.expect(400)?;
    assert_eq!(answer.detail()?, "创建会议失败: 会议必须至少包含一个议程项");

    let part = json!([{ "title": "甲", "position": 1 }, { "title": "乙", "position": 2, "files": [] }]);
    let bare = json!({ "id": "m-2", "title": "无文件", "time": "2026-11-20T09:00", "part": part });
    master.admin.send(http::Method::POST, "/api/v1/meetings/", &bare).await?.expect(200)?;
    let answer = master.admin.set_status("m-2", "进行中").await?.expect(400)?;
    let detail = answer.detail()?;
    assert!(detail.starts_with("以下议程项没有文件，无法开始会议: "), "{detail}");
    assert!(detail.contains('甲') && detail.contains('乙'), "{detail}");

    let token = master.tablet()?.token().await?;
    assert_eq!((token.id.as_str(), token.meetings.len()), ("none", 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_change_token_moves_three_seconds_after_the_last_node_is_ready() -> Result<()> {
    let site = Site::new()?;
    let master = site.master_setup().unsigned().start().await?;
    let tablet = master.tablet()?;
    // The first meeting, so that there is a token to compare with.
    master.run_meeting("m-1", papers()).await?;
    let before = wait_until("a token", PATIENCE, || async {
        let token = tablet.token().await?.id;
        ensure!(token != "none", "none");
        anyhow::Ok(token)
    })
    .await?;

    let laggard = PythonNode::start("python", &master.base).await?;
    laggard.register().await?.expect(200)?;
    laggard.round().await?;
    let before = settled_token(&tablet, before).await?;
    master.run_meeting("m-2", papers()).await?;
    // Polling and telling is not yet holding.
    laggard.poll().await?;
    laggard.heartbeat().await?.expect(200)?;
    stays("the token waits for the node", Duration::from_secs(5), || async {
        let token = tablet.token().await?.id;
        ensure!(token == before, "{token}");
        anyhow::Ok(())
    })
    .await?;

    laggard.round().await?;
    let ready = Instant::now();
    master.wait_for_new_token(&before).await?;
    let after = ready.elapsed();
    assert!(after >= Duration::from_millis(2500), "moved {after:?} after the node was ready");
    assert!(after <= Duration::from_secs(15), "moved {after:?} after the node was ready");
    let token = tablet.token().await?;
    assert_eq!(tablet.data("m-2").await?.id, token.id, "the id of /data is the change token");
    assert_eq!(token.meetings.iter().map(|meeting| meeting.id.as_str()).collect::<Vec<_>>(), ["m-1", "m-2"]);
    Ok(())
}

/// The token once nothing is about to move it.
async fn settled_token(tablet: &posthouse_tests::tablet::Tablet, mut token: String) -> Result<String> {
    let mut since = Instant::now();
    while since.elapsed() < Duration::from_secs(5) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = tablet.token().await?.id;
        if now != token {
            (token, since) = (now, Instant::now());
        }
    }
    Ok(token)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ending_a_meeting_takes_its_package_away_everywhere() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let node = site.joined_node("east", &master).await?;
    master.run_meeting("m-001", papers()).await?;
    let first = node.wait_for_package("m-001", None).await?;

    master.admin.end("m-001").await?;
    let answer = master.tablet()?.get("/api/v1/meetings/m-001/download-package").await?.expect(404)?;
    assert_eq!(answer.detail()?, "会议 m-001 不是进行中状态");
    node.wait_for("drops the package", |status| {
        if status.meeting_count == 0 && status.storage_usage == 0 { Ok(()) } else { Err(format!("{status:?}")) }
    })
    .await?;
    assert!(!node.package_path("m-001").exists());
    node.get("/api/v1/meetings/m-001/download-package").await?.expect(404)?;

    // Started again from the same files, it is byte for byte the same package.
    master.admin.start("m-001").await?;
    let again = node.wait_for_package("m-001", None).await?;
    assert_eq!(again.hash, first.hash);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirects_and_endpoints_carry_a_ticket_that_expires() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let node = site.joined_node("east", &master).await?;
    master.run_meeting("m-001", papers()).await?;
    master.wait_for_rotation("east", "m-001").await?;

    let tablet = master.tablet()?;
    let Way::Node(url) = tablet.way("m-001").await? else { anyhow::bail!("the master serves itself") };
    assert_eq!(host_of(&url)?, node.address());
    let endpoints = tablet.endpoints("m-001").await?;
    assert_eq!(endpoints[0].ip, master.address(), "the master comes first");
    assert_eq!(endpoints[1].ip, node.address());
    for url in [&url, &endpoints[1].download_url] {
        let ticket = url.rsplit_once(['?', '&']).context("no query")?.1;
        let value = ticket.strip_prefix("ticket=").with_context(|| format!("the last parameter is {ticket}"))?;
        let parts: Vec<&str> = value.split('.').collect();
        assert_eq!((parts.len(), parts[0], parts[2].len()), (3, "1", 64), "{value}");
        assert_eq!(tablet.download_from(url).await?.status, 200);
    }
    assert_eq!(tablet.download_from(&endpoints[0].download_url).await?.status, 302);

    // The Host by which the tablet came is the one it is told.
    let request = posthouse_tests::answer::http_client()?
        .get(format!("{}/api/v1/meetings/m-001/download-nodes-info", master.base))
        .header("host", "meeting.example:8000");
    let named: serde_json::Value = Answer::to(request).await?.expect(200)?.json()?;
    assert_eq!(named[0]["ip"], "meeting.example:8000");
    Ok(())
}
