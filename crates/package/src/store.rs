//! A node's storage folder: `meeting_<id>/package.zip` for each package, `.incoming/` for what is being received.
//!
//! The shape is that of the older node, whose packages are taken over. Packages appear by a rename after they were
//! synced to disk, so whatever has its final name is complete. Which version it is, and whether it is right, is known to
//! the node's database and the hash, not to this module.

mod folders;
mod incoming;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use posthouse_protocol::MeetingId;

use crate::PackageError;

pub use incoming::Incoming;

/// Name of a package in its folder.
const PACKAGE: &str = "package.zip";

/// Folder of files that are not packages yet, or not any more.
const INCOMING: &str = ".incoming";

/// The folder where a node keeps packages. Clones share it.
///
/// A meeting has one package, whatever the case in which its id is written: on every platform a folder whose name differs
/// only in case is the meeting's folder.
#[derive(Debug, Clone)]
pub struct PackageStore(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    /// Held while folders are created, filled and removed, never while bytes are read or written.
    layout: Mutex<()>,
    /// Names in `.incoming` that an [`Incoming`] stands for.
    receiving: Mutex<HashSet<String>>,
}

/// A package in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPackage {
    /// The meeting, its id as the folder has it.
    pub meeting: MeetingId,
    /// The package itself.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// When it was last written.
    pub modified: SystemTime,
}

impl PackageStore {
    /// Opens a storage folder, creating what is missing, and makes sure that it can be written to.
    ///
    /// # Errors
    /// [`PackageError::Folder`] names the folder.
    pub fn open(root: &Path) -> Result<Self, PackageError> {
        let incoming = root.join(INCOMING);
        fs::create_dir_all(&incoming)
            .and_then(|()| tempfile::tempfile_in(&incoming))
            .map_err(|cause| PackageError::Folder { path: root.to_owned(), cause })?;
        Ok(Self(Arc::new(Shared {
            root: root.to_owned(),
            layout: Mutex::new(()),
            receiving: Mutex::new(HashSet::new()),
        })))
    }

    /// The storage folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.0.root
    }

    /// Where the package of a meeting is, or would be. Looks at the names in the storage folder and creates nothing.
    #[must_use]
    pub fn package_path(&self, meeting: &MeetingId) -> PathBuf {
        self.folder(meeting).join(PACKAGE)
    }

    /// All packages, in the order of their folders' names. Empty folders and names that are no meeting's are passed over.
    ///
    /// # Errors
    /// When the storage folder cannot be read.
    pub fn list(&self) -> io::Result<Vec<StoredPackage>> {
        let mut meetings = BTreeMap::new();
        for name in folders::names(self.root())? {
            if let Some(meeting) = folders::meeting(&name) {
                meetings.entry(meeting.key()).or_insert((meeting, name));
            }
        }
        let mut packages = Vec::new();
        for (meeting, folder) in meetings.into_values() {
            packages.extend(self.stored(&meeting, self.root().join(folder).join(PACKAGE))?);
        }
        Ok(packages)
    }

    /// Opens, or continues, the temporary file in which a package is received. `tag` tells versions apart (a content
    /// hash, say): letters, digits, `-` and `_` only.
    ///
    /// # Errors
    /// [`io::ErrorKind::ResourceBusy`] while another [`Incoming`] for the same file exists, for two writers would spoil
    /// each other's work; else when the file cannot be opened.
    pub fn incoming(&self, meeting: &MeetingId, tag: &str) -> io::Result<Incoming> {
        Incoming::open(self, meeting, tag)
    }

    /// Removes temporary files that are neither in `keep` nor being received now, and says how many bytes they had.
    ///
    /// # Errors
    /// When the folder cannot be read or a file cannot be removed; the others are removed nevertheless.
    pub fn remove_stale_incoming(&self, keep: &HashSet<(MeetingId, String)>) -> io::Result<u64> {
        let _layout = self.lock_layout();
        let kept: HashSet<String> = keep.iter().map(|(meeting, tag)| incoming::name(meeting, tag)).collect();
        let mut bytes = 0;
        let mut first_error = None;
        for entry in fs::read_dir(self.incoming_folder())? {
            let entry = entry?;
            let name = entry.file_name();
            let is_wanted = name.to_str().is_some_and(|name| kept.contains(name) || self.is_receiving(name));
            if is_wanted || !entry.file_type()?.is_file() {
                continue;
            }
            let size = entry.metadata()?.len();
            match fs::remove_file(entry.path()) {
                Ok(()) => bytes += size,
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        first_error.map_or(Ok(bytes), Err)
    }

    /// Removes a meeting's package and its then empty folder, and says how many bytes it had: 0 when there was none.
    /// Who has it open can read it to its end.
    ///
    /// # Errors
    /// When the package cannot be removed.
    pub fn remove(&self, meeting: &MeetingId) -> io::Result<u64> {
        let _layout = self.lock_layout();
        let mut bytes = 0;
        for name in folders::of(self.root(), meeting)? {
            let folder = self.root().join(name);
            if let Some(package) = self.stored(meeting, folder.join(PACKAGE))? {
                self.remove_even_if_open(&package.path)?;
                bytes += package.size_bytes;
            }
            match fs::remove_dir(&folder) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                // Somebody keeps something else there, which is not ours to remove.
                Err(error) => tracing::debug!(folder = %folder.display(), %error, "folder of a meeting stays"),
            }
        }
        Ok(bytes)
    }

    fn folder(&self, meeting: &MeetingId) -> PathBuf {
        let existing = folders::of(self.root(), meeting).unwrap_or_default().into_iter().next();
        self.root().join(existing.unwrap_or_else(|| folders::name(meeting)))
    }

    fn incoming_folder(&self) -> PathBuf {
        self.root().join(INCOMING)
    }

    fn stored(&self, meeting: &MeetingId, path: PathBuf) -> io::Result<Option<StoredPackage>> {
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if !metadata.is_file() {
            return Ok(None);
        }
        let (size_bytes, modified) = (metadata.len(), metadata.modified()?);
        Ok(Some(StoredPackage { meeting: meeting.clone(), path, size_bytes, modified }))
    }

    /// Windows keeps the name of a removed file until the last handle is closed, which would block the folder and the
    /// next version; so the file leaves its place first.
    fn remove_even_if_open(&self, path: &Path) -> io::Result<()> {
        if cfg!(not(windows)) {
            return fs::remove_file(path);
        }
        let aside = self.move_aside(path)?;
        if let Err(error) = fs::remove_file(&aside) {
            tracing::debug!(file = %aside.display(), %error, "removed package is still open, its file goes later");
        }
        Ok(())
    }

    /// Moves a file to a name in `.incoming` that is nobody's, where [`Self::remove_stale_incoming`] finds it.
    fn move_aside(&self, path: &Path) -> io::Result<PathBuf> {
        let aside = tempfile::Builder::new().prefix("removed-").tempfile_in(self.incoming_folder())?.into_temp_path();
        fs::rename(path, &aside)?;
        aside.keep().map_err(|error| error.error)
    }

    fn lock_layout(&self) -> MutexGuard<'_, ()> {
        self.0.layout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_receiving(&self, name: &str) -> bool {
        self.lock_receiving().contains(name)
    }

    fn lock_receiving(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.receiving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
