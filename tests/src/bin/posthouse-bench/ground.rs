//! Where the bench stands: a folder on a real disk, and masters and nodes in it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use posthouse_tests::admin::NewMeeting;
use posthouse_tests::master::{Master, MasterSetup};
use posthouse_tests::node::{Node, NodeSetup};
use rustix::process::{Resource, getrlimit, setrlimit};
use tempfile::TempDir;

use crate::material;
use crate::report::note;

/// Bytes of the mixed files together.
pub(crate) const MIXED_BYTES: u64 = 1_000_000_000;

/// The folder.
pub(crate) struct Ground {
    folder: TempDir,
    /// The folder in which programs are built: the table goes there.
    pub(crate) target: PathBuf,
    used: AtomicU32,
}

impl Ground {
    /// Beside the program, because the system's temporary folder may be memory.
    pub(crate) fn new() -> Result<Self> {
        let own = std::env::current_exe()?;
        let target = own.parent().and_then(Path::parent).context("where this program lies")?.to_owned();
        let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(&target)?;
        raise_file_limit();
        Ok(Self { folder, target, used: AtomicU32::new(0) })
    }

    /// A folder that is not there yet.
    pub(crate) fn fresh(&self, name: &str) -> PathBuf {
        let number = self.used.fetch_add(1, Ordering::Relaxed);
        self.folder.path().join(format!("{number:02}-{name}"))
    }

    /// A master to be.
    pub(crate) fn master_setup(&self) -> MasterSetup {
        MasterSetup::new(&self.fresh("master")).tended()
    }

    /// A node that joined.
    pub(crate) async fn node(&self, id: &str, master: &Master) -> Result<Node> {
        let code = master.join_code(1).await?;
        let node = NodeSetup::new(&self.fresh(id), id).join(&code).tended().start().await?;
        master.wait_for_online(id).await?;
        Ok(node)
    }

    /// The mixed files, made when they are first asked for.
    pub(crate) fn mixed(&self) -> Result<(PathBuf, Vec<PathBuf>)> {
        let folder = self.folder.path().join("mixed");
        if folder.exists() {
            let mut paths = std::fs::read_dir(&folder)?
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<std::io::Result<Vec<_>>>()?;
            paths.sort();
            return Ok((folder, paths));
        }
        note("making 1 GB of mixed files…");
        let paths = material::mixed_files(&folder, MIXED_BYTES)?;
        Ok((folder, paths))
    }
}

/// Thousands of connections are about to be opened here and in the processes started from here.
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it cannot be raised, the row that needs it will say so.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Creates a meeting whose package has one file of this size, which cannot be compressed.
pub(crate) async fn meeting_of_size(ground: &Ground, master: &Master, id: &str, size_bytes: u64) -> Result<()> {
    let path = ground.fresh(&format!("{id}.bin"));
    let seed = id.bytes().fold(size_bytes, |seed, byte| seed.wrapping_mul(31) + u64::from(byte));
    material::random_file(&path, size_bytes, seed)?;
    create(master, id, std::slice::from_ref(&path)).await?;
    std::fs::remove_file(path)?;
    Ok(())
}

/// Creates a meeting of files on disk.
pub(crate) async fn create(master: &Master, id: &str, paths: &[PathBuf]) -> Result<()> {
    let mut files = Vec::new();
    for path in paths {
        files.push(master.admin.upload_from(path).await?);
    }
    let agenda = vec![("议程一".to_owned(), files)];
    master.admin.create(&NewMeeting { id: id.to_owned(), title: format!("会议 {id}"), agenda }).await?;
    Ok(())
}

/// The package that a master built for its only meeting.
pub(crate) fn master_package(master: &Master) -> Result<PathBuf> {
    let mut folders = vec![master.data().join("packages")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "zip") {
                return Ok(path);
            }
        }
    }
    anyhow::bail!("the master has no package in {}", master.data().display())
}
