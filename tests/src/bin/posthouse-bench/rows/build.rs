//! Building a package of 1 GB, beside Info-ZIP with the same files.

use std::time::Instant;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::ground::{self, Ground, MIXED_BYTES};
use crate::load;
use crate::measure::median;
use crate::report::{Row, note};

const MEETING: &str = "m-build";
const ROUNDS: usize = 3;

pub(super) async fn measure(ground: &Ground) -> Result<Vec<Row>> {
    let (folder, paths) = ground.mixed()?;
    let master = ground.master_setup().start().await?;
    ground::create(&master, MEETING, &paths).await?;
    let archive = ground.fresh("peer.zip");

    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    let (mut entries, mut packed, mut peer_packed) = (String::new(), 0, 0);
    for round in 0..ROUNDS {
        for path in &paths {
            load::warm(path).await?;
        }
        load::settle_disk().await?;
        let begun = Instant::now();
        master.admin.start(MEETING).await?;
        ours.push(MIXED_BYTES as f64 / begun.elapsed().as_secs_f64());
        let package = ground::master_package(&master)?;
        packed = std::fs::metadata(&package)?.len();
        entries = methods(&package)?;
        master.admin.end(MEETING).await?;

        load::settle_disk().await?;
        let begun = Instant::now();
        load::run(Command::new("zip").args(["-6", "-q", "-r"]).arg(&archive).arg(".").current_dir(&folder)).await?;
        peer.push(MIXED_BYTES as f64 / begun.elapsed().as_secs_f64());
        peer_packed = std::fs::metadata(&archive)?.len();
        std::fs::remove_file(&archive)?;
        note(&format!("round {round}: {:.0} MB/s beside {:.0} MB/s", ours[round] / 1e6, peer[round] / 1e6));
    }
    let (reached, theirs) = (median(&ours), median(&peer));
    Ok(vec![
        Row::judged(
            "building a package of 1 GB mixed files, deflated",
            "2.5 × zip -6",
            format!("{:.0} MB/s ({:.2} ×)", reached / 1e6, reached / theirs),
            format!("zip -6 {:.0} MB/s", theirs / 1e6),
            reached >= 2.5 * theirs,
        ),
        Row::told(
            "… its size",
            format!("{} MB; {entries}", packed / 1_000_000),
            format!("zip -6 {} MB", peer_packed / 1_000_000),
        ),
    ])
}

/// How many entries are deflated and how many are stored.
fn methods(package: &std::path::Path) -> Result<String> {
    let mut archive = zip::ZipArchive::new(std::fs::File::open(package)?).context("the package is no zip")?;
    let (mut deflated, mut stored) = (0, 0);
    for index in 0..archive.len() {
        match archive.by_index_raw(index)?.compression() {
            zip::CompressionMethod::Stored => stored += 1,
            _ => deflated += 1,
        }
    }
    Ok(format!("{deflated} entries deflated, {stored} stored"))
}
