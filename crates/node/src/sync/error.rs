//! Why a package could not be fetched.

use std::io;

use http::StatusCode;
use posthouse_package::{PackageError, is_storage_full};
use posthouse_runtime::client::ClientError;
use posthouse_runtime::store::StoreError;
use rust_i18n::t;

/// Its text is shown to people, in `sync_status` and in events.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// The master has no such package.
    #[error("{}", t!("fetch.absent"))]
    Absent,
    /// The master wants another version by now.
    #[error("{}", t!("fetch.superseded"))]
    Superseded,
    /// Nobody wants it any more, or the node stops.
    #[error("{}", t!("fetch.cancelled"))]
    Cancelled,
    /// The master does not answer, or not well.
    #[error("{0}")]
    Client(#[from] ClientError),
    /// The time of this attempt is over, or nothing came for long.
    #[error("{}", t!("fetch.timed_out", seconds = .0))]
    TimedOut(u64),
    /// The connection broke within the package.
    #[error("{}", t!("fetch.broken", error = .0))]
    Broken(String),
    /// The master says one thing here and another there.
    #[error("{}", t!("fetch.contradiction", what = .0))]
    Contradiction(&'static str),
    /// Blocks came wrong again and again.
    #[error("{}", t!("fetch.bad_blocks", count = .0))]
    BadBlocks(usize),
    /// A package of an older master is no sound zip.
    #[error("{}", t!("fetch.unsound", reason = .0))]
    Unsound(String),
    /// It does not fit below `storage.maxSize`, even after a clean-up.
    #[error("{}", t!("fetch.no_room", size = .size, used = .used, limit = .limit))]
    NoRoom {
        /// Bytes of the package.
        size: u64,
        /// Bytes that cannot be dropped.
        used: u64,
        /// `storage.maxSize`.
        limit: u64,
    },
    /// The volume is full.
    #[error("{}", t!("fetch.disk_full", path = .0))]
    DiskFull(String),
    /// The disk or the database fails.
    #[error("{}", t!("fetch.disk", error = .0))]
    Disk(String),
}

impl FetchError {
    /// Whether another attempt may help.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Client(_)
                | Self::TimedOut(_)
                | Self::Broken(_)
                | Self::Contradiction(_)
                | Self::BadBlocks(_)
                | Self::Unsound(_)
        )
    }

    /// Whether the connection is at fault, so that the rest can be asked for over another.
    pub(crate) fn is_interruption(&self) -> bool {
        matches!(self, Self::TimedOut(_) | Self::Broken(_))
    }

    /// Whether it is for want of room.
    pub(crate) fn is_want_of_room(&self) -> bool {
        matches!(self, Self::NoRoom { .. } | Self::DiskFull(_))
    }

    /// Whether it is this machine's fault rather than the master's.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self, Self::Disk(_))
    }

    /// A request for a package or its description failed.
    pub(crate) fn of_request(error: ClientError) -> Self {
        match error.status() {
            Some(StatusCode::NOT_FOUND | StatusCode::GONE) => Self::Absent,
            _ => Self::Client(error),
        }
    }

    /// Writing to the storage folder failed.
    pub(crate) fn of_disk(error: &io::Error, folder: &std::path::Path) -> Self {
        if is_storage_full(error) {
            Self::DiskFull(folder.display().to_string())
        } else {
            Self::Disk(error.to_string())
        }
    }
}

impl From<PackageError> for FetchError {
    fn from(error: PackageError) -> Self {
        match error {
            PackageError::Unsound { reason, .. } => Self::Unsound(reason),
            other => Self::Disk(other.to_string()),
        }
    }
}

impl From<StoreError> for FetchError {
    fn from(error: StoreError) -> Self {
        if error.is_storage_full() { Self::DiskFull("node.db".to_owned()) } else { Self::Disk(error.to_string()) }
    }
}
