//! A process whose clock is wrong: with libfaketime of the distribution, which `tools/setup check` brings.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The library, if this machine has it.
#[must_use]
pub fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    let of_architecture = folders.map(|folder| folder.join("faketime"));
    let mut folders = of_architecture.chain([PathBuf::from("/usr/lib/faketime")]);
    folders.find_map(|folder| Some(folder.join("libfaketime.so.1")).filter(|path| path.is_file()))
}

/// A clock that a test can set while the process runs.
#[derive(Debug)]
pub struct WrongClock {
    library: PathBuf,
    file: PathBuf,
}

impl WrongClock {
    /// A clock that goes wrong by `offset`, such as `+10m`; the file that says so lies in `folder`. `None`, with a line
    /// that says so, where there is no libfaketime.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn new(folder: &Path, offset: &str) -> Result<Option<Self>> {
        let Some(library) = library() else {
            eprintln!("SKIPPED: this machine has no libfaketime");
            return Ok(None);
        };
        std::fs::create_dir_all(folder)?;
        let clock = Self { library, file: folder.join("clock") };
        clock.set(offset)?;
        Ok(Some(clock))
    }

    /// Goes wrong by another offset from now on.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set(&self, offset: &str) -> Result<()> {
        // Read by the process at any moment: it must never be seen half-written.
        let new = self.file.with_extension("new");
        std::fs::write(&new, offset)?;
        std::fs::rename(&new, &self.file).context("setting a clock")
    }

    /// Variables for the process's environment. Only the time of day is wrong, not the time that passes, nor that of
    /// files.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        let path = |path: &Path| path.display().to_string();
        [
            ("LD_PRELOAD", path(&self.library)),
            ("FAKETIME_TIMESTAMP_FILE", path(&self.file)),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("NO_FAKE_STAT", "1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}
