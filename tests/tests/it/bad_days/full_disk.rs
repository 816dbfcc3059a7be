//! A disk without room, on either side.

use std::time::Duration;

use anyhow::{Result, ensure};
use http::Method;
use posthouse_protocol::event::EventKind;
use posthouse_protocol::legacy::MeetingView;
use posthouse_tests::admin::NewMeeting;
use posthouse_tests::answer::Answer;
use posthouse_tests::node::NodeSetup;
use posthouse_tests::signed::hash_of;
use posthouse_tests::site::Site;
use posthouse_tests::small_disk::SmallDisk;
use posthouse_tests::wait::stays;
use reqwest::multipart::{Form, Part};

use super::{files_in, original, wait_for_event, wait_until_empty};
use crate::papers;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_of_a_node() -> Result<()> {
    let site = Site::new()?;
    let Some(disk) = SmallDisk::mount(&site.data("disk"), 48 << 20)? else { return Ok(()) };
    let master = site.master().await?;
    // Everything of the node lies there: packages, database, log.
    let setup = NodeSetup::new(&disk.folder().join("east"), "east");
    let node = setup.join(&master.join_code(1).await?).start().await?;
    master.wait_for_online("east").await?;
    master.run_meeting("m-1", papers::large(3_000_000, 1)).await?;
    let first = original(&master, "m-1").await?;
    node.wait_for_package("m-1", Some(hash_of(&first))).await?;

    disk.fill()?;
    master.run_meeting("m-2", papers::large(2_000_000, 2)).await?;
    let told = node
        .wait_for("says that the disk is full", |status| {
            if status.sync_status.starts_with("同步失败: ") {
                Ok(status.sync_status.clone())
            } else {
                Err(format!("{status:?}"))
            }
        })
        .await?;
    let storage = node.data().join("storage");
    let names_what_is_full = told.contains(&storage.display().to_string()) || told.contains("node.db");
    assert!(names_what_is_full, "{told}");
    let problem = node.detail().await?.problem;
    assert!(problem.is_some_and(|problem| told.contains(&problem)), "it is a problem: {told}");
    stays("it serves what it has", Duration::from_secs(3), || async {
        let answer = node.get("/api/v1/meetings/m-1/download-package").await?.expect(200)?;
        ensure!(answer.body == first, "other bytes");
        ensure!(node.status().await?.connected, "not connected");
        anyhow::Ok(())
    })
    .await?;
    node.get("/api/v1/meetings/m-2/download-package").await?.expect(404)?;
    wait_until_empty(&storage.join(".incoming")).await?;
    let tablet = master.tablet()?;
    assert_eq!(tablet.download("m-2").await?.from, master.address(), "the master serves what no node has");

    disk.make_room()?;
    let second = original(&master, "m-2").await?;
    node.wait_for_package("m-2", Some(hash_of(&second))).await?;
    node.wait_for(
        "is content",
        |status| {
            if status.sync_status == "同步成功" { Ok(()) } else { Err(format!("{status:?}")) }
        },
    )
    .await?;
    // What happened could be written down at the latest now; nothing that happened after is lost either.
    wait_for_event(&node, EventKind::PackageSynced, "m-2").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_of_a_master() -> Result<()> {
    let site = Site::new()?;
    let Some(disk) = SmallDisk::mount(&site.data("disk"), 48 << 20)? else { return Ok(()) };
    let setup = posthouse_tests::master::MasterSetup::new(&disk.folder().join("master"));
    let mut master = setup.start().await?;
    master.run_meeting("m-1", papers::large(3_000_000, 1)).await?;
    let first = original(&master, "m-1").await?;
    let files = master.admin.upload(papers::large(4_000_000, 2)).await?;
    master
        .admin
        .create(&NewMeeting { id: "m-2".into(), title: "m-2".into(), agenda: vec![("议程一".into(), files)] })
        .await?;
    let kept = files_in(&master.data().join("files"))?;

    disk.fill()?;
    // An upload: a clear answer, and not a byte of it is kept.
    let form = Form::new().part("files", Part::bytes(papers::large(5_000_000, 3).remove(0).1).file_name("c.bin"));
    let request = master.admin.request(Method::POST, "/api/v1/pdf/upload-temp").multipart(form);
    let answer = Answer::to(request).await?.expect(507)?;
    assert_eq!(answer.code(), "storage_full");
    assert!(!answer.detail()?.is_empty());
    assert_eq!(files_in(&master.data().join("files"))?, kept);
    assert_eq!(files_in(&master.data().join("scratch"))?, []);

    // A build: the same.
    let answer = master.admin.set_status("m-2", "进行中").await?.expect(507)?;
    assert_eq!(answer.code(), "storage_full");
    let meeting: MeetingView = master.admin.get("/api/v1/meetings/m-2").await?.expect(200)?.json()?;
    assert_eq!(meeting.status, "未开始");
    assert_eq!(files_in(&master.data().join("scratch"))?, []);
    ensure!(
        !files_in(&master.data().join("packages"))?.iter().any(|(name, _)| name.starts_with("m-2")),
        "a part of m-2"
    );

    // What is there is served.
    ensure!(original(&master, "m-1").await? == first, "other bytes");
    master.tablet()?.get("/api/v1/nodes/list").await?.expect(200)?;

    // It comes back from a crash on a full disk, too.
    master.process.kill()?;
    disk.make_room()?;
    master.start_again().await?;
    ensure!(original(&master, "m-1").await? == first, "other bytes");
    master.admin.start("m-2").await?;
    original(&master, "m-2").await.map(drop)
}
