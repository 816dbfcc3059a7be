//! What can go wrong with a package on disk; each error names the path it is about.

use std::io;
use std::path::{Path, PathBuf};

/// Why a package could not be built, described, checked or kept.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// A file could not be opened or read.
    #[error("cannot read {}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A file could not be written, synced or put in its place.
    #[error("cannot write {}: {cause}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The storage folder could not be created or is not writable.
    #[error("cannot use the storage folder {}: {cause}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file is no zip, is cut short, or an entry does not match its checksum.
    #[error("{} is not a sound package: {reason}", path.display())]
    Unsound {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, with the entry's name when it is about one.
        reason: String,
    },
    /// The name asked for cannot stand in a package.
    #[error("{} cannot be packed as {entry:?}: {reason}", path.display())]
    Entry {
        /// The file that was to be packed.
        path: PathBuf,
        /// The name it was to have.
        entry: String,
        /// What is wrong with the name.
        reason: &'static str,
    },
    /// A file became shorter while it was packed.
    #[error("{} changed while it was packed", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The caller called the build off; nothing was left behind.
    #[error("building {} was called off", path.display())]
    Cancelled {
        /// Where the package would have been.
        path: PathBuf,
    },
}

impl PackageError {
    /// Whether the volume or the user's quota is full: the one failure that making room can repair.
    #[must_use]
    pub fn is_storage_full(&self) -> bool {
        match self {
            Self::Read { cause, .. } | Self::Write { cause, .. } | Self::Folder { cause, .. } => is_storage_full(cause),
            Self::Unsound { .. } | Self::Entry { .. } | Self::Changed { .. } | Self::Cancelled { .. } => false,
        }
    }

    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::Read { path, cause }
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::Write { path, cause }
    }
}

/// Whether an error says that the volume or the user's quota is full.
#[must_use]
pub fn is_storage_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_recognised_and_the_path_is_named() {
        let full = PackageError::write(Path::new("some/package.zip"))(io::ErrorKind::StorageFull.into());
        assert!(full.is_storage_full());
        assert!(full.to_string().contains("package.zip"), "{full}");
        assert!(!PackageError::read(Path::new("x"))(io::ErrorKind::NotFound.into()).is_storage_full());
        #[cfg(unix)]
        assert!(is_storage_full(&io::Error::from_raw_os_error(libc::ENOSPC)));
    }
}
