//! What is in progress: the meetings, the versions of their packages and the change token, as one immutable snapshot
//! in memory. `meetings` writes it after every change; the registry, the rotation and the tablet's routes read it
//! without touching the database.

use std::path::PathBuf;
use std::sync::Arc;

use posthouse_protocol::legacy::DataAgendaItem;
use posthouse_protocol::{ContentHash, MeetingId};
use tokio::sync::watch;

/// All meetings in progress.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Catalog {
    /// The change token; changes only when nodes are ready for what changed.
    pub token: String,
    /// Meetings in progress, in the order in which they were started.
    pub meetings: Vec<ActiveMeeting>,
}

/// A meeting in progress.
#[derive(Debug, Clone, PartialEq)]
pub struct ActiveMeeting {
    /// Its id.
    pub id: MeetingId,
    /// Its title.
    pub title: String,
    /// `2026-11-20T09:00`, as stored.
    pub time: String,
    /// Its introduction.
    pub intro: Option<String>,
    /// Whether the change token told tablets of it: false while its nodes are waited for the first time.
    pub announced: bool,
    /// Versions whose package exists, oldest first, never empty. The last one is what nodes shall hold.
    pub versions: Vec<PackageVersion>,
}

/// A version of a meeting's package.
#[derive(Debug, Clone, PartialEq)]
pub struct PackageVersion {
    /// Counted from 1.
    pub version: u64,
    /// BLAKE3 of the package.
    pub hash: ContentHash,
    /// Bytes.
    pub size_bytes: u64,
    /// Unix seconds at which it was complete.
    pub built_at: f64,
    /// Where the package lies.
    pub path: PathBuf,
    /// The agenda as it was when it was built: what `/data` says while this version is served.
    pub agenda: Arc<Vec<DataAgendaItem>>,
}

impl Catalog {
    /// The meeting of this id, without regard to case.
    #[must_use]
    pub fn meeting(&self, id: &MeetingId) -> Option<&ActiveMeeting> {
        self.meetings.iter().find(|meeting| meeting.id.as_str().eq_ignore_ascii_case(id.as_str()))
    }
}

impl ActiveMeeting {
    /// The version that nodes shall hold.
    ///
    /// # Panics
    /// Never: a meeting enters the catalog with its first version.
    #[must_use]
    pub fn wanted(&self) -> &PackageVersion {
        &self.versions[self.versions.len() - 1]
    }

    /// One of the versions.
    #[must_use]
    pub fn version(&self, version: u64) -> Option<&PackageVersion> {
        self.versions.iter().find(|candidate| candidate.version == version)
    }
}

/// Readers of the catalog; `watch` tells of each new one.
pub type CatalogReader = watch::Receiver<Arc<Catalog>>;
/// The writer's end, held by `meetings` alone.
pub type CatalogWriter = watch::Sender<Arc<Catalog>>;
