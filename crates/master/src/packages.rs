//! Packages on the master's disk: `packages/<meeting key>/<version>.zip`, built one at a time.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use posthouse_package::BuildRequest;
use posthouse_protocol::{MeetingId, PackageDescription};
use posthouse_runtime::paths::DataDir;
use posthouse_runtime::tasks::blocking;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::error::Error;

/// A cheap handle to all packages.
#[derive(Debug, Clone)]
pub(crate) struct Packages(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    scratch: PathBuf,
    /// One build keeps all processors busy, and needs some ten MiB.
    turn: Semaphore,
    /// Builds that wait or run, by meeting.
    builds: Mutex<HashMap<String, Arc<AtomicBool>>>,
    stop: CancellationToken,
}

impl Packages {
    pub(crate) fn new(data: &DataDir, stop: CancellationToken) -> Self {
        Self(Arc::new(Inner {
            folder: data.root().join("packages"),
            scratch: data.root().join("scratch"),
            turn: Semaphore::new(1),
            builds: Mutex::default(),
            stop,
        }))
    }

    /// Where a version lies.
    pub(crate) fn path(&self, meeting: &MeetingId, version: u64) -> PathBuf {
        self.folder(meeting).join(format!("{version}.zip"))
    }

    fn folder(&self, meeting: &MeetingId) -> PathBuf {
        self.0.folder.join(meeting.key())
    }

    /// Builds a version. The caller sees to it that there is one build of a meeting at a time.
    pub(crate) async fn build(
        &self,
        meeting: &MeetingId,
        version: u64,
        request: BuildRequest,
    ) -> Result<PackageDescription, Error> {
        let cancelled = Arc::new(AtomicBool::new(false));
        let _registered = Registered::new(&self.0, meeting.key(), cancelled.clone());
        let _turn = tokio::select! {
            turn = self.0.turn.acquire() => turn.map_err(|_| Error::Stopping)?,
            () = self.0.stop.cancelled() => return Err(Error::Stopping),
        };
        let (scratch, destination) = (self.0.scratch.clone(), self.path(meeting, version));
        let flag = cancelled.clone();
        let building = blocking(move || posthouse_package::build(&request, &scratch, &destination, &flag));
        tokio::pin!(building);
        let outcome = tokio::select! {
            outcome = &mut building => outcome,
            () = self.0.stop.cancelled() => {
                cancelled.store(true, Ordering::Relaxed);
                building.await
            }
        };
        outcome.map_err(|error| if self.0.stop.is_cancelled() { Error::Stopping } else { error.into() })
    }

    /// Calls off the build of this meeting, if there is one.
    pub(crate) fn cancel(&self, meeting: &MeetingId) {
        if let Some(cancelled) = self.0.builds.lock().get(&meeting.key()) {
            cancelled.store(true, Ordering::Relaxed);
        }
    }

    /// Gives a package that was built again the number of the one it is equal to.
    pub(crate) async fn rename(&self, meeting: &MeetingId, from: u64, to: u64) -> Result<(), Error> {
        let (from, to) = (self.path(meeting, from), self.path(meeting, to));
        blocking(move || std::fs::rename(&from, &to).map_err(Error::files(to))).await
    }

    /// Removes the versions of this meeting that are not in `kept`, and its folder when it is empty.
    pub(crate) async fn keep_only(&self, meeting: &MeetingId, kept: HashSet<u64>) {
        let folder = self.folder(meeting);
        blocking(move || keep_only(&folder, &kept)).await;
    }

    /// Removes the packages of all meetings that are not in `kept` (by key), and of those the other versions: what a
    /// killed process left between putting a package in place and saying so in the database.
    pub(crate) async fn sweep(&self, kept: HashMap<String, HashSet<u64>>) -> Result<(), Error> {
        let folder = self.0.folder.clone();
        blocking(move || {
            for entry in std::fs::read_dir(&folder).map_err(Error::files(&folder))? {
                let entry = entry.map_err(Error::files(&folder))?;
                let versions = entry.file_name().to_str().and_then(|key| kept.get(key)).cloned();
                keep_only(&entry.path(), &versions.unwrap_or_default());
            }
            Ok(())
        })
        .await
    }
}

fn keep_only(folder: &Path, kept: &HashSet<u64>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let version = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if version.is_some_and(|version| kept.contains(&version)) {
            continue;
        }
        match std::fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // On Windows a package that is being read stays; the next sweep removes it.
            Err(error) => tracing::warn!(path = %path.display(), %error, "a package could not be removed"),
        }
    }
    if kept.is_empty() {
        let _ = std::fs::remove_dir(folder);
    }
}

/// A build that can be called off.
struct Registered<'a> {
    inner: &'a Inner,
    key: String,
}

impl<'a> Registered<'a> {
    fn new(inner: &'a Inner, key: String, cancelled: Arc<AtomicBool>) -> Self {
        inner.builds.lock().insert(key.clone(), cancelled);
        Self { inner, key }
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.inner.builds.lock().remove(&self.key);
    }
}
