//! Files that were uploaded: each lies in `files/` under an id of ours, complete and synced, and never changes.

mod incoming;
pub(crate) mod names;
mod pages;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use posthouse_runtime::clock::Clock;
use posthouse_runtime::metrics::{Counter, Gauge, Metrics};
use posthouse_runtime::paths::DataDir;
use posthouse_runtime::private_file;
use posthouse_runtime::store::Store;
use posthouse_runtime::tasks::blocking;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::error::Error;
use crate::store::files::{self as table, StoredFile};

pub(crate) use incoming::{Received, UploadError, receive};

/// What belongs to no agenda item is removed after so many seconds.
const LOOSE_SECONDS: f64 = 24.0 * 3600.0;
/// Hand-made PDFs can make the reader of page counts busy; not more than this many threads at a time.
const COUNTS_AT_A_TIME: usize = 2;

/// A cheap handle to all files.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    folder: PathBuf,
    scratch: PathBuf,
    store: Store,
    clock: Clock,
    counts: Arc<Semaphore>,
    under_way: Gauge,
    received_bytes: Counter,
}

/// Held while an upload is received.
#[derive(Debug)]
pub(crate) struct UnderWay(Gauge);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Files {
    pub(crate) fn new(data: &DataDir, store: Store, clock: Clock, metrics: &Metrics) -> Self {
        Self {
            folder: data.root().join("files"),
            scratch: data.root().join("scratch"),
            store,
            clock,
            counts: Arc::new(Semaphore::new(COUNTS_AT_A_TIME)),
            under_way: metrics.gauge("active_uploads", "Uploads under way"),
            received_bytes: metrics.counter("uploaded_bytes", "Bytes of files received from administrators"),
        }
    }

    /// Counts an upload until the answer is dropped.
    pub(crate) fn upload_begins(&self) -> UnderWay {
        self.under_way.inc();
        UnderWay(self.under_way.clone())
    }

    /// How many uploads are under way.
    pub(crate) fn uploads_under_way(&self) -> i64 {
        self.under_way.get()
    }

    /// Where a file lies.
    pub(crate) fn path(&self, file_id: &str) -> PathBuf {
        self.folder.join(file_id)
    }

    /// One file, and whether a meeting in progress has it.
    pub(crate) async fn find(&self, file_id: Uuid) -> Result<Option<(StoredFile, bool)>, Error> {
        Ok(table::find(&self.store, file_id.to_string()).await?)
    }

    /// Keeps files that belong to no agenda item yet.
    pub(crate) async fn keep_loose(&self, received: Vec<Received>) -> Result<Vec<StoredFile>, Error> {
        let files = self.place(received).await?;
        match table::add(&self.store, files.clone(), self.clock.now_seconds()).await {
            Ok(()) => Ok(files),
            Err(error) => {
                self.discard(files.into_iter().map(|file| file.file_id).collect()).await;
                Err(error.into())
            }
        }
    }

    /// Puts received files into their place; the caller takes note of them in the database, or discards them.
    pub(crate) async fn place(&self, received: Vec<Received>) -> Result<Vec<StoredFile>, Error> {
        let folder = self.folder.clone();
        blocking(move || {
            let mut placed = Vec::new();
            let outcome = received.into_iter().try_for_each(|file| {
                let path = folder.join(&file.stored.file_id);
                file.temporary.persist(&path).map_err(|error| Error::files(&path)(error.error))?;
                placed.push(file.stored);
                Ok(())
            });
            match outcome.and_then(|()| private_file::sync_folder(&folder).map_err(Error::files(&folder))) {
                Ok(()) => Ok(placed),
                Err(error) => {
                    remove(&folder, placed.iter().map(|file| file.file_id.as_str()));
                    Err(error)
                }
            }
        })
        .await
    }

    /// Removes files that the database does not know (any more).
    pub(crate) async fn discard(&self, file_ids: Vec<String>) {
        let folder = self.folder.clone();
        blocking(move || remove(&folder, file_ids.iter().map(String::as_str))).await;
    }

    /// Removes files that have belonged to no agenda item for a day; how many.
    pub(crate) async fn tidy(&self) -> Result<usize, Error> {
        let forgotten = table::forget_loose(&self.store, self.clock.now_seconds() - LOOSE_SECONDS).await?;
        let count = forgotten.len();
        self.discard(forgotten).await;
        Ok(count)
    }

    /// Removes what a killed process left: files the database never heard of. Only before the first upload.
    pub(crate) async fn sweep(&self) -> Result<(), Error> {
        let known = table::ids(&self.store).await?;
        let folder = self.folder.clone();
        blocking(move || {
            for entry in std::fs::read_dir(&folder).map_err(Error::files(&folder))? {
                let entry = entry.map_err(Error::files(&folder))?;
                let is_known = entry.file_name().to_str().is_some_and(|name| known.contains(name));
                if !is_known {
                    tracing::info!(file = %entry.path().display(), "removing a file that no upload completed");
                    remove_one(&entry.path());
                }
            }
            Ok(())
        })
        .await
    }
}

fn remove<'a>(folder: &Path, file_ids: impl Iterator<Item = &'a str>) {
    file_ids.for_each(|file_id| remove_one(&folder.join(file_id)));
}

/// A file that cannot be removed now, since somebody reads it on Windows, is swept at the next start.
fn remove_one(path: &Path) {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(path = %path.display(), %error, "a file could not be removed"),
    }
}
