//! A package that is being received: a temporary file in `.incoming` until it is put in its place.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use posthouse_protocol::MeetingId;

use super::{INCOMING, PACKAGE, PackageStore, StoredPackage};
use crate::positioned;

/// The temporary file of one version of one package; the only one of its kind while it exists. Dropped, it leaves the
/// file for a later attempt to continue.
#[derive(Debug)]
pub struct Incoming {
    file: File,
    path: PathBuf,
    meeting: MeetingId,
    claim: Claim,
}

/// The right to write to a name in `.incoming`.
#[derive(Debug)]
struct Claim {
    store: PackageStore,
    name: String,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.store.lock_receiving().remove(&self.name);
    }
}

/// Name of the temporary file. A tag has no dot, so no two pairs share a name.
pub(super) fn name(meeting: &MeetingId, tag: &str) -> String {
    format!("{}.{tag}.part", meeting.key())
}

impl Incoming {
    pub(super) fn open(store: &PackageStore, meeting: &MeetingId, tag: &str) -> io::Result<Self> {
        if tag.is_empty() || !tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a tag has letters, digits, - and _ only"));
        }
        let name = name(meeting, tag);
        // The lock keeps `remove_stale_incoming` from removing the file between its claim and its opening.
        let _layout = store.lock_layout();
        if !store.lock_receiving().insert(name.clone()) {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "this package is being received already"));
        }
        let claim = Claim { store: store.clone(), name };
        let path = store.root().join(INCOMING).join(&claim.name);
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
        Ok(Self { file, path, meeting: meeting.clone(), claim })
    }

    /// The file, open for reading and writing. Its cursor means nothing.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where the temporary file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size in bytes now.
    ///
    /// # Errors
    /// When the file system does not say.
    #[expect(clippy::len_without_is_empty, reason = "it asks the file system, and nobody asks for zero alone")]
    pub fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Writes all of `bytes` at `offset`; several threads may do so at once.
    ///
    /// # Errors
    /// When the disk is full (see [`crate::is_storage_full`]) or fails.
    pub fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        positioned::write_all_at(&self.file, bytes, offset)
    }

    /// Makes the file `len` bytes long.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    /// Syncs the file to disk and puts it in the meeting's place, where it replaces an older version. Whoever reads the
    /// older version goes on reading it. Whether the file is right is for the caller to have checked.
    ///
    /// # Errors
    /// When the disk fails; an older version is then still in its place, and the temporary file remains.
    pub fn place(self) -> io::Result<StoredPackage> {
        self.file.sync_all()?;
        let Self { file, path, meeting, claim } = self;
        let store = &claim.store;
        let layout = store.lock_layout();
        let folder = store.folder(&meeting);
        let target = folder.join(PACKAGE);
        let is_new = match fs::create_dir(&folder) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(error),
        };
        // An open file cannot be renamed on every version of Windows.
        drop(file);
        replace(store, &path, &target)?;
        positioned::sync_directory(&folder)?;
        positioned::sync_directory(&store.incoming_folder())?;
        if is_new {
            positioned::sync_directory(store.root())?;
        }
        let stored = store.stored(&meeting, target)?.ok_or(io::ErrorKind::NotFound)?;
        drop(layout);
        Ok(stored)
    }

    /// Removes the temporary file.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn discard(self) -> io::Result<()> {
        let Self { file, path, claim: _claim, .. } = self;
        drop(file);
        fs::remove_file(path)
    }
}

/// Renames a file over another. Where the system refuses that because the other is open, the other is moved aside
/// first, and put back if that did not help.
fn replace(store: &PackageStore, new: &Path, target: &Path) -> io::Result<()> {
    match fs::rename(new, target) {
        Err(error) if cfg!(windows) && error.kind() == io::ErrorKind::PermissionDenied => {}
        outcome => return outcome,
    }
    let aside = store.move_aside(target)?;
    if let Err(error) = fs::rename(new, target) {
        fs::rename(&aside, target)?;
        return Err(error);
    }
    if let Err(error) = fs::remove_file(&aside) {
        tracing::debug!(file = %aside.display(), %error, "replaced package is still open, its file goes later");
    }
    Ok(())
}
