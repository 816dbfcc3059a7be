//! What lies in the storage folder, as the rest of the node sees it: which packages are right and served, and which are
//! being looked at. In memory; the table `packages` is its memory across restarts.
//!
//! Only a package whose bytes were verified is ever [`Condition::Sound`], and only such a one is served or reported.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use posthouse_package::read::PackageFile;
use posthouse_protocol::legacy::{MeetingTitle, NodeMeeting};
use posthouse_protocol::node::HeldPackage;
use posthouse_protocol::{ContentHash, MeetingId};
use posthouse_runtime::http::package_body::ServedPackage;
use tokio::sync::{OwnedMutexGuard, watch};

use crate::store::packages::{PackageRow, Served};

/// By what a change of a file is noticed without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) size_bytes: u64,
    pub(crate) modified_ns: i64,
    /// Change time of the inode, which nobody can set; 0 where there is none.
    pub(crate) changed_ns: i64,
}

impl Stamp {
    /// Looks at a file. Blocks for one system call.
    pub(crate) fn of(path: &Path) -> std::io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        let modified_ns = nanoseconds(metadata.modified()?);
        #[cfg(unix)]
        let changed_ns = {
            use std::os::unix::fs::MetadataExt as _;
            metadata.ctime().saturating_mul(1_000_000_000).saturating_add(metadata.ctime_nsec())
        };
        #[cfg(not(unix))]
        let changed_ns = 0;
        Ok(Self { size_bytes: metadata.len(), modified_ns, changed_ns })
    }
}

fn nanoseconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |elapsed| i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX))
}

/// Whether a package is still needed, by the last word of the master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// The meeting is over: the first to go.
    Ended,
    /// The master said neither.
    Unknown,
    /// In progress: never dropped.
    Active,
}

impl Standing {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Unknown => "unknown",
            Self::Active => "active",
        }
    }

    pub(crate) fn from_text(text: &str) -> Self {
        match text {
            "ended" => Self::Ended,
            "active" => Self::Active,
            _ => Self::Unknown,
        }
    }
}

/// A package whose bytes were verified, open for serving.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) meeting: MeetingId,
    pub(crate) path: PathBuf,
    pub(crate) stamp: Stamp,
    /// What the HTTP answer is made of.
    pub(crate) served: ServedPackage,
    /// Unix seconds.
    pub(crate) verified_at: f64,
    /// Unix seconds.
    pub(crate) synced_at: f64,
    downloads: AtomicU64,
    /// Unix milliseconds, 0 when never.
    last_served_ms: AtomicU64,
}

impl Package {
    /// Opens a file that was verified to be this. Blocks.
    pub(crate) fn open(row: &PackageRow, path: PathBuf) -> std::io::Result<Self> {
        let file = PackageFile::open(&path)?;
        let modified = file.modified();
        let filename = format!("meeting_{}.zip", row.meeting);
        Ok(Self {
            meeting: row.meeting.clone(),
            path,
            stamp: row.stamp,
            served: ServedPackage { file, hash: row.hash, version: row.version, modified, filename },
            verified_at: row.verified_at,
            synced_at: row.synced_at,
            downloads: AtomicU64::new(row.downloads),
            last_served_ms: AtomicU64::new((row.last_served * 1000.0) as u64),
        })
    }

    /// The same file under other facts: another version of the same bytes, a later verification.
    fn with(&self, version: u64, stamp: Stamp, verified_at: f64) -> Self {
        Self {
            meeting: self.meeting.clone(),
            path: self.path.clone(),
            stamp,
            served: ServedPackage { version, ..self.served.clone() },
            verified_at,
            synced_at: self.synced_at,
            downloads: AtomicU64::new(self.downloads.load(Ordering::Relaxed)),
            last_served_ms: AtomicU64::new(self.last_served_ms.load(Ordering::Relaxed)),
        }
    }

    pub(crate) fn hash(&self) -> ContentHash {
        self.served.hash
    }

    pub(crate) fn version(&self) -> u64 {
        self.served.version
    }

    /// A download began.
    pub(crate) fn note_download(&self, now_ms: i64) {
        self.downloads.fetch_add(1, Ordering::Relaxed);
        self.last_served_ms.store(now_ms.unsigned_abs(), Ordering::Relaxed);
    }

    /// Unix seconds of the last download, 0 when never.
    pub(crate) fn last_served(&self) -> f64 {
        self.last_served_ms.load(Ordering::Relaxed) as f64 / 1000.0
    }

    pub(crate) fn downloads(&self) -> u64 {
        self.downloads.load(Ordering::Relaxed)
    }
}

/// What is known of a file.
#[derive(Debug, Clone)]
pub(crate) enum Condition {
    /// Verified: served and reported.
    Sound(Arc<Package>),
    /// Not served: it changed since it was verified, or nobody ever verified it. What the database says of it, if
    /// anything.
    Suspect(Option<Box<PackageRow>>),
}

/// A meeting's place on the shelf.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) meeting: MeetingId,
    pub(crate) title: String,
    pub(crate) standing: Standing,
    pub(crate) size_bytes: u64,
    /// Change token of an older master for which the package was last found right.
    pub(crate) change_token: Option<String>,
    pub(crate) condition: Condition,
}

impl Slot {
    /// The verified package, if it is one.
    pub(crate) fn sound(&self) -> Option<&Arc<Package>> {
        match &self.condition {
            Condition::Sound(package) => Some(package),
            Condition::Suspect(_) => None,
        }
    }

    /// As the database keeps it; `None` while nothing is known for sure.
    pub(crate) fn row(&self) -> Option<PackageRow> {
        let package = self.sound()?;
        Some(PackageRow {
            meeting: self.meeting.clone(),
            title: self.title.clone(),
            version: package.version(),
            hash: package.hash(),
            stamp: package.stamp,
            verified_at: package.verified_at,
            synced_at: package.synced_at,
            last_served: package.last_served(),
            downloads: package.downloads(),
            standing: self.standing,
            change_token: self.change_token.clone(),
        })
    }
}

/// All packages by meeting key.
#[derive(Debug)]
pub(crate) struct Shelf {
    /// Never held across an await: the map is read for every download.
    slots: Mutex<BTreeMap<String, Slot>>,
    changes: watch::Sender<u64>,
    /// Of meetings whose file and slot are being changed together.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Default for Shelf {
    fn default() -> Self {
        Self { slots: Mutex::default(), changes: watch::Sender::new(0), turns: Mutex::default() }
    }
}

impl Shelf {
    /// Counts changes of what is reported to the master.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Held by whoever changes a meeting's file together with its slot, and by whoever concludes from the difference of
    /// the two that the file was changed by somebody else.
    pub(crate) async fn turn(&self, key: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock();
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            turns.entry(key.to_owned()).or_default().clone()
        };
        turn.lock_owned().await
    }

    /// Puts a package, or a file to be looked at, in its place.
    pub(crate) fn put(&self, slot: Slot) {
        self.slots.lock().insert(slot.meeting.key(), slot);
        self.changed();
    }

    /// Takes everything away: the storage folder is another one now.
    pub(crate) fn clear(&self) {
        self.slots.lock().clear();
        self.changed();
    }

    /// Takes a meeting's away.
    pub(crate) fn take(&self, key: &str) -> Option<Slot> {
        let slot = self.slots.lock().remove(key);
        if slot.is_some() {
            self.changed();
        }
        slot
    }

    pub(crate) fn slot(&self, key: &str) -> Option<Slot> {
        self.slots.lock().get(key).cloned()
    }

    pub(crate) fn sound(&self, key: &str) -> Option<Arc<Package>> {
        self.slots.lock().get(key).and_then(Slot::sound).cloned()
    }

    /// Stops serving a package until it was looked at; whether it was served until now.
    pub(crate) fn suspect(&self, package: &Arc<Package>) -> bool {
        let mut slots = self.slots.lock();
        let Some(slot) = slots.get_mut(&package.meeting.key()) else { return false };
        // A newer one may have taken its place in the meantime.
        if !slot.sound().is_some_and(|current| Arc::ptr_eq(current, package)) {
            return false;
        }
        slot.condition = Condition::Suspect(slot.row().map(Box::new));
        drop(slots);
        self.changed();
        true
    }

    /// The same bytes are right under another version, or were found right again.
    /// Nothing is when others took their place meanwhile.
    pub(crate) fn confirm(
        &self,
        confirmed: &Arc<Package>,
        version: u64,
        stamp: Stamp,
        verified_at: f64,
    ) -> Option<Slot> {
        let mut slots = self.slots.lock();
        let slot = slots.get_mut(&confirmed.meeting.key())?;
        let package = slot.sound().filter(|package| package.hash() == confirmed.hash())?;
        let is_reported_anew = package.version() != version;
        slot.condition = Condition::Sound(Arc::new(package.with(version, stamp, verified_at)));
        let confirmed = slot.clone();
        drop(slots);
        if is_reported_anew {
            self.changed();
        }
        Some(confirmed)
    }

    /// Changes title, standing or token, and the id to the master's spelling; gives the slot when anything changed.
    pub(crate) fn note(
        &self,
        meeting: &MeetingId,
        standing: Standing,
        title: Option<&str>,
        change_token: Option<&str>,
    ) -> Option<Slot> {
        let mut slots = self.slots.lock();
        let slot = slots.get_mut(&meeting.key())?;
        let facts = |slot: &Slot| (slot.meeting.clone(), slot.standing, slot.title.clone(), slot.change_token.clone());
        let before = facts(slot);
        slot.meeting = meeting.clone();
        slot.standing = standing;
        if let Some(title) = title {
            title.clone_into(&mut slot.title);
        }
        if let Some(token) = change_token {
            slot.change_token = Some(token.to_owned());
        }
        (before != facts(slot)).then(|| slot.clone())
    }

    pub(crate) fn slots(&self) -> Vec<Slot> {
        self.slots.lock().values().cloned().collect()
    }

    /// Sum of the bytes of the packages.
    pub(crate) fn total_bytes(&self) -> u64 {
        self.slots.lock().values().map(|slot| slot.size_bytes).sum()
    }

    /// Verified packages, as the master is told.
    pub(crate) fn held(&self) -> Vec<HeldPackage> {
        let slots = self.slots.lock();
        let held = slots.values().filter_map(|slot| slot.sound().map(|package| (slot, package)));
        held.map(|(slot, package)| HeldPackage {
            meeting_id: slot.meeting.to_string(),
            version: package.version(),
            hash: package.hash(),
            size_bytes: slot.size_bytes,
        })
        .collect()
    }

    /// Verified packages, as the status lists them.
    pub(crate) fn meetings(&self) -> Vec<NodeMeeting> {
        let slots = self.slots.lock();
        let held = slots.values().filter_map(|slot| slot.sound().map(|package| (slot, package)));
        held.map(|(slot, package)| NodeMeeting {
            id: slot.meeting.to_string(),
            title: slot.title.clone(),
            sync_time: package.synced_at,
            size: slot.size_bytes,
            file_count: 1,
            status: if slot.standing == Standing::Active { "active" } else { "synced" }.to_owned(),
        })
        .collect()
    }

    /// Titles of meetings in progress that are here; what is said before the first poll.
    pub(crate) fn active_titles(&self) -> Vec<MeetingTitle> {
        let slots = self.slots.lock();
        let active = slots.values().filter(|slot| slot.standing == Standing::Active);
        active.map(|slot| MeetingTitle { id: slot.meeting.to_string(), title: slot.title.clone() }).collect()
    }

    /// What the database is to know of downloads.
    pub(crate) fn served(&self) -> Vec<Served> {
        let slots = self.slots.lock();
        let sound = slots.values().filter_map(Slot::sound).filter(|package| package.downloads() > 0);
        sound
            .map(|package| Served {
                meeting: package.meeting.clone(),
                last_served: package.last_served(),
                downloads: package.downloads(),
            })
            .collect()
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}
