//! Watching over what lies in the storage folder: what was there at the start, what was changed by hand, what the disk
//! lost. A file that is not as it was when it was verified is not served until its bytes were read again.

mod examine;
mod settle;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use posthouse_runtime::tasks::{Report, blocking};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::shelf::{Condition, Package, Stamp};
use crate::state::Node;
use crate::store::packages;

pub(crate) use settle::{Occasion, settle};

/// How often the files are looked at by size and time.
const GLANCE_INTERVAL: Duration = Duration::from_secs(5);
/// How often the bytes of each are read again: disks lose some in silence.
const READING_INTERVAL_SECONDS: f64 = 6.0 * 3600.0;
/// How often downloads are noted in the database.
const NOTING_INTERVAL: Duration = Duration::from_secs(30);

/// The time of a last reading after which the next is due in a minute.
pub(crate) fn due_soon(now: f64) -> f64 {
    now - READING_INTERVAL_SECONDS + 60.0
}

/// What is to be read, and how often anything was.
#[derive(Debug)]
pub(crate) struct Custody {
    /// Keys of meetings to read; those nobody can download until then come first.
    queue: Mutex<BTreeSet<(Urgency, String)>>,
    wake: Notify,
    readings: watch::Sender<u64>,
}

/// What is read first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    NotServed,
    Routine,
}

impl Default for Custody {
    fn default() -> Self {
        Self { queue: Mutex::default(), wake: Notify::new(), readings: watch::Sender::new(0) }
    }
}

impl Custody {
    /// Looks at the files now.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Counts readings.
    pub(crate) fn readings(&self) -> watch::Receiver<u64> {
        self.readings.subscribe()
    }

    fn ask(&self, urgency: Urgency, key: String) {
        self.queue.lock().insert((urgency, key));
        self.wake.notify_one();
    }

    fn next(&self) -> Option<String> {
        self.queue.lock().pop_first().map(|(_, key)| key)
    }
}

/// Whether the file is as it was when its bytes were verified. If not it is no longer served, and read anew.
pub(crate) async fn is_unchanged(node: &Node, package: &Arc<Package>) -> bool {
    if is_as_verified(package).await {
        return true;
    }
    // A newer version may be taking its place.
    let _turn = node.shelf.turn(&package.meeting.key()).await;
    if is_as_verified(package).await {
        return true;
    }
    if node.shelf.suspect(package) {
        tracing::warn!(meeting = %package.meeting, "the file of a package changed: it is verified again before it is served");
        node.custody.ask(Urgency::NotServed, package.meeting.key());
    }
    false
}

async fn is_as_verified(package: &Arc<Package>) -> bool {
    let (path, stamp) = (package.path.clone(), package.stamp);
    blocking(move || Stamp::of(&path).is_ok_and(|now| now == stamp)).await
}

/// Reads what is to be read, glances at the rest, notes downloads.
pub(crate) async fn run(node: Node, report: Report) {
    let mut glances = interval(GLANCE_INTERVAL);
    glances.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut noted = Instant::now();
    loop {
        while let Some(key) = node.custody.next() {
            if node.stop.is_cancelled() {
                break;
            }
            match examine::examine(&node, &key).await {
                Ok(()) => report.completed(),
                Err(error) => {
                    tracing::error!(meeting = key, %error, "a package cannot be read");
                    report.failed(error);
                }
            }
            node.custody.readings.send_modify(|count| *count += 1);
        }
        if noted.elapsed() >= NOTING_INTERVAL {
            noted = Instant::now();
            note_downloads(&node).await;
        }
        tokio::select! {
            _ = glances.tick() => glance(&node).await,
            () = node.custody.wake.notified() => {}
            () = node.stop.cancelled() => {
                note_downloads(&node).await;
                return;
            }
        }
    }
}

/// Looks at every file by size and time, and asks for readings that are due.
async fn glance(node: &Node) {
    let now = node.clock.now_seconds();
    for slot in node.shelf.slots() {
        match &slot.condition {
            Condition::Sound(package) => {
                if is_unchanged(node, package).await && package.verified_at + READING_INTERVAL_SECONDS < now {
                    node.custody.ask(Urgency::Routine, slot.meeting.key());
                }
            }
            Condition::Suspect(_) => node.custody.ask(Urgency::NotServed, slot.meeting.key()),
        }
    }
}

async fn note_downloads(node: &Node) {
    let served = node.shelf.served();
    if served.is_empty() {
        return;
    }
    if let Err(error) = packages::note_served(&node.store, served).await {
        tracing::warn!(%error, "downloads are not noted");
    }
}
