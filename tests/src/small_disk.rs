//! A disk that is soon full: a small file system in memory, for which the test must be root.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A mounted small disk; goes with this. Declare it after the [`crate::site::Site`] and before what lies on it.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Mounts one of this size at `folder`, which is created. `None`, with a line that says so, where that cannot be done.
    ///
    /// # Errors
    /// When the folder cannot be created.
    pub fn mount(folder: &Path, size_bytes: u64) -> Result<Option<Self>> {
        std::fs::create_dir_all(folder)?;
        match mount(folder, size_bytes) {
            Ok(()) => Ok(Some(Self { folder: folder.to_owned() })),
            Err(error) => {
                eprintln!("SKIPPED: a small disk cannot be mounted at {}: {error}", folder.display());
                Ok(None)
            }
        }
    }

    /// Where it is mounted.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Fills it to the last byte with a file that is in nobody's way.
    ///
    /// # Errors
    /// When it fails for another reason than being full.
    pub fn fill(&self) -> Result<()> {
        let path = self.ballast();
        let mut file = File::create(&path).with_context(|| path.display().to_string())?;
        // Smaller and smaller, so that nothing is left over.
        for size in [1 << 20, 4096, 1] {
            let piece = vec![7; size];
            loop {
                match file.write_all(&piece) {
                    Ok(()) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::StorageFull => break,
                    Err(error) => return Err(error).context("filling a disk"),
                }
            }
        }
        Ok(())
    }

    /// Makes room again.
    ///
    /// # Errors
    /// When it is not full.
    pub fn make_room(&self) -> Result<()> {
        std::fs::remove_file(self.ballast()).context("making room on a full disk")
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }
}

#[cfg(target_os = "linux")]
fn mount(folder: &Path, size_bytes: u64) -> std::io::Result<()> {
    use rustix::mount::{MountFlags, mount};
    let size = std::ffi::CString::new(format!("size={size_bytes}"))?;
    Ok(mount("none", folder, "tmpfs", MountFlags::empty(), size.as_c_str())?)
}

#[cfg(not(target_os = "linux"))]
fn mount(_folder: &Path, _size_bytes: u64) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Whoever still has a file open there keeps it until it is closed.
        #[cfg(target_os = "linux")]
        if let Err(error) = rustix::mount::unmount(&self.folder, rustix::mount::UnmountFlags::DETACH) {
            eprintln!("{} stays mounted: {error}", self.folder.display());
        }
    }
}
