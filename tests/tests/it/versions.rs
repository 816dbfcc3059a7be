//! Changing the files of a running meeting.

use anyhow::{Result, bail, ensure};
use posthouse_protocol::package::DescribedPackage;
use posthouse_tests::archive;
use posthouse_tests::master::Master;
use posthouse_tests::pdf::Pdf;
use posthouse_tests::python_node::PythonNode;
use posthouse_tests::signed::hash_of;
use posthouse_tests::site::Site;
use posthouse_tests::tablet::{Way, host_of};
use posthouse_tests::wait::{PATIENCE, wait_until};

use crate::papers;

async fn wanted(master: &Master) -> Result<DescribedPackage> {
    master.tablet()?.get("/api/v1/meetings/m-1/package-description").await?.expect(200)?.json()
}

fn paper(seed: u64) -> Vec<u8> {
    Pdf::scanned(2, 50_000, seed).to_bytes()
}

async fn files_shown(master: &Master) -> Result<usize> {
    Ok(master.tablet()?.data("m-1").await?.agenda_items.iter().map(|item| item.files.len()).sum())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_old_version_is_served_until_a_node_holds_the_new_one() -> Result<()> {
    let site = Site::new()?;
    let master = site.master_setup().unsigned().start().await?;
    // A Python node moves when the test says so.
    let node = PythonNode::start("python", &master.base).await?;
    node.register().await?.expect(200)?;
    master.run_meeting("m-1", papers::one(1)).await?;
    node.round().await?;
    master.wait_for_rotation("python", "m-1").await?;
    let first = wanted(&master).await?;
    assert_eq!((first.version, files_shown(&master).await?), (1, 1));

    master.admin.add_file("m-1", 1, "late.pdf", paper(2)).await?;
    let second = wait_until("version 2 is built", PATIENCE, || async {
        let described = wanted(&master).await?;
        ensure!(described.version == 2, "version {}", described.version);
        anyhow::Ok(described)
    })
    .await?;
    assert_ne!(first.description.hash, second.description.hash);

    // Nobody holds it yet: tablets are told of version 1 and sent to who holds that.
    node.heartbeat().await?.expect(200)?;
    assert_eq!(files_shown(&master).await?, 1);
    let Way::Node(url) = master.tablet()?.way("m-1").await? else { bail!("the master serves itself") };
    assert_eq!(host_of(&url)?, node.address);
    assert_eq!(master.tablet()?.download("m-1").await?.hash, first.description.hash);

    // The Python node fetches again, and reports; from then on it is version 2 for everybody.
    node.fetch("m-1").await?;
    node.heartbeat().await?.expect(200)?;
    wait_until("version 2 is served", PATIENCE, || async {
        let download = master.tablet()?.download("m-1").await?;
        ensure!(download.hash == second.description.hash, "another version");
        ensure!(download.from == node.address, "the master serves itself");
        anyhow::Ok(())
    })
    .await?;
    assert_eq!(files_shown(&master).await?, 2);
    assert_eq!(hash_of(&node.package("m-1").unwrap_or_default()), second.description.hash);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_moves_to_each_new_version_and_no_tablet_ever_gets_a_mixture() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let node = site.joined_node("east", &master).await?;
    master.run_meeting("m-1", papers::large(3_000_000, 1)).await?;
    master.wait_for_rotation("east", "m-1").await?;
    let tablet = master.tablet()?;
    let mut known = vec![wanted(&master).await?.description.hash];
    for version in 2..=4 {
        master.admin.add_file("m-1", 1, &format!("more-{version}.pdf"), paper(version)).await?;
        // Tablets download all the while; what they get is one of the versions, whole.
        loop {
            let described = wanted(&master).await?;
            if !known.contains(&described.description.hash) {
                known.push(described.description.hash);
            }
            let download = tablet.download("m-1").await?;
            ensure!(download.status == 200, "{}", download.status);
            // Built between the two questions?
            let after = wanted(&master).await?.description.hash;
            ensure!(known.contains(&download.hash) || download.hash == after, "a package that nobody built");
            if described.version == version && download.hash == described.description.hash {
                break;
            }
        }
        let held = node.wait_for_package("m-1", known.last().copied()).await?;
        assert_eq!(held.version, version);
        assert_eq!(node.status().await?.meeting_count, 1, "one package a meeting");
    }
    let last = tablet.package_bytes("m-1").await?;
    assert_eq!(archive::entries(&last)?.len(), 5, "README.txt, one large and three more files");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_of_a_meeting_that_does_not_run_builds_nothing() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    master.admin.create_with("m-1", papers::one(1)).await?;
    master.admin.add_file("m-1", 1, "late.pdf", paper(2)).await?;
    let packages = master.data().join("packages");
    let built = packages.exists() && std::fs::read_dir(&packages)?.next().is_some();
    assert!(!built, "a package in {}", packages.display());
    master.admin.start("m-1").await?;
    assert_eq!(files_shown(&master).await?, 2);
    Ok(())
}
