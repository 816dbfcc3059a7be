//! What can go wrong in a master, and how each of it is answered: in this one place.

use std::io;
use std::path::PathBuf;

use posthouse_package::{PackageError, is_storage_full};
use posthouse_protocol::ErrorCode;
use posthouse_runtime::http::ApiError;
use posthouse_runtime::store::StoreError;

use crate::joins::JoinRefusal;
use crate::registry::NodeRefusal;

pub use crate::meetings::Refusal;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was asked for is not possible.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What was asked of a node, or by one, is not possible.
    #[error(transparent)]
    Node(#[from] NodeRefusal),
    /// A node cannot join.
    #[error(transparent)]
    Join(#[from] JoinRefusal),
    /// The database said no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A package could not be built.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// A file or folder could not be read or written.
    #[error("{}: {cause}", path.display())]
    Files {
        /// Which.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The HTTP client for probes cannot be made.
    #[error("the HTTP client cannot be made: {0}")]
    Client(#[from] reqwest::Error),
    /// A password could not be hashed.
    #[error("the password cannot be hashed: {0}")]
    Password(String),
    /// The program is stopping.
    #[error("the program is stopping")]
    Stopping,
}

impl Error {
    /// Whether making room on the disk would help.
    #[must_use]
    pub fn is_storage_full(&self) -> bool {
        match self {
            Self::Store(error) => error.is_storage_full(),
            Self::Package(error) => error.is_storage_full(),
            Self::Files { cause, .. } => is_storage_full(cause),
            Self::Refused(_) | Self::Node(_) | Self::Join(_) | Self::Client(_) | Self::Password(_) | Self::Stopping => {
                false
            }
        }
    }

    pub(crate) fn files(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |cause| Self::Files { path, cause }
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        if error.is_storage_full() {
            tracing::warn!(%error, "there is no room on the disk");
            let detail =
                "磁盘空间不足，请清理主控的数据磁盘后重试 / the master's disk is full: make room and try again";
            return Self::new(ErrorCode::StorageFull, detail);
        }
        match error {
            Error::Refused(refusal) => {
                let answer = Self::new(refusal.code(), refusal.to_string());
                if refusal.code() == ErrorCode::Unavailable { answer.with_retry_after(2) } else { answer }
            }
            Error::Node(refusal) => Self::new(refusal.code(), refusal.to_string()),
            Error::Join(refusal) => {
                let answer = Self::new(refusal.code(), refusal.to_string());
                if refusal.code() == ErrorCode::TooManyRequests { answer.with_retry_after(60) } else { answer }
            }
            Error::Store(error) => error.into(),
            Error::Stopping => Self::unavailable("主控正在停止 / the master is stopping").with_retry_after(5),
            Error::Package(PackageError::Cancelled { .. }) => Self::conflict(
                "会议在启动过程中被结束或删除 / the meeting was ended or deleted while it was being started",
            ),
            Error::Package(_) | Error::Files { .. } | Error::Client(_) | Error::Password(_) => Self::internal(error),
        }
    }
}
