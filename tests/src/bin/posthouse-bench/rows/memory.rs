//! Anonymous memory of master and node: at rest, and the peak of each kind of work.

use std::time::Duration;

use anyhow::{Context, Result};
use posthouse_tests::admin::NewMeeting;

use crate::ground::{self, Ground};
use crate::load;
use crate::material;
use crate::measure::GIB;
use crate::report::{Row, note};
use posthouse_tests::usage::Peak;

const MEETING: &str = "m-memory";
const MIXED: &str = "m-mixed";
const DOWNLOADS: usize = 64;

pub(super) async fn measure(ground: &Ground) -> Result<Vec<Row>> {
    // One master and one node do all of it in turn: what one kind of work leaves behind counts against the next.
    let master = ground.master_setup().start().await?;
    let node = ground.node("memory", &master).await?;
    let (master_pid, node_pid) = (master.process.pid(), node.process.pid());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let idle = (Peak::watch(master_pid), Peak::watch(node_pid));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let idle = (idle.0.mebibytes(), idle.1.mebibytes());
    note(&format!("idle: {idle:?}"));

    let large = ground.fresh("large.bin");
    material::random_file(&large, GIB, 99)?;
    let uploading = Peak::watch(master_pid);
    let file = master.admin.upload_from(&large).await?;
    let uploading = uploading.mebibytes();
    std::fs::remove_file(&large)?;
    note(&format!("uploading: {uploading}"));

    let (_, mixed) = ground.mixed()?;
    ground::create(&master, MIXED, &mixed).await?;
    let agenda = vec![("议程一".to_owned(), vec![file])];
    master.admin.create(&NewMeeting { id: MEETING.into(), title: "大文件".into(), agenda }).await?;
    let deflating = Peak::watch(master_pid);
    master.admin.start(MIXED).await?;
    let deflating = deflating.mebibytes();
    master.admin.end(MIXED).await?;
    let building = Peak::watch(master_pid);
    let (sending, receiving) = (Peak::watch(master_pid), Peak::watch(node_pid));
    master.admin.start(MEETING).await?;
    let building = building.mebibytes().max(deflating);
    let held = node.wait_for_package(MEETING, None).await?;
    let (sending, receiving) = (sending.mebibytes(), receiving.mebibytes());
    note(&format!("building: {building}, sync: {sending} sending, {receiving} receiving"));

    let url = format!("{}/api/v1/meetings/{MEETING}/download-package", node.base);
    let serving = Peak::watch(node_pid);
    load::curl(&url, DOWNLOADS, held.size_bytes).await.context("64 downloads")?;
    let serving = serving.mebibytes();

    let largest = uploading.max(building).max(sending).max(receiving);
    let rest = idle.0.max(idle.1);
    Ok(vec![
        Row::judged(
            "anonymous memory, idle master or node",
            "24 MiB",
            format!("master {:.1}, node {:.1} MiB", idle.0, idle.1),
            String::new(),
            rest <= 24.0,
        ),
        Row::judged(
            "anonymous memory, building, uploading, syncing 1 GiB",
            "48 MiB",
            format!(
                "building {building:.1}, uploading {uploading:.1}, syncing {receiving:.1} (master {sending:.1}) MiB"
            ),
            String::new(),
            largest <= 48.0,
        ),
        Row::judged(
            "anonymous memory, node serving 64 downloads at once",
            "64 MiB",
            format!("{serving:.1} MiB"),
            String::new(),
            serving <= 64.0,
        ),
    ])
}
