//! A verified package comes onto the shelf, changes there, or leaves it; the database and the master learn of it.

use std::path::PathBuf;
use std::sync::Arc;

use posthouse_protocol::event::EventKind;
use posthouse_protocol::{ContentHash, MeetingId};
use posthouse_runtime::tasks::blocking;

use crate::custody;
use crate::shelf::{Condition, Package, Slot, Stamp, Standing};
use crate::state::Node;
use crate::store::packages::PackageRow;
use crate::store::{fetches, packages};
use crate::sync::error::FetchError;

/// A package in its place whose bytes were verified a moment ago.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) meeting: MeetingId,
    pub(crate) title: String,
    pub(crate) version: u64,
    pub(crate) hash: ContentHash,
    pub(crate) size_bytes: u64,
    pub(crate) path: PathBuf,
    pub(crate) standing: Standing,
    pub(crate) change_token: Option<String>,
    /// Whether the hash of the whole was computed; else that is done soon, in the background.
    pub(crate) was_read_whole: bool,
}

/// Puts it on the shelf in place of an older version, whose downloads go on to their end. The caller has had the
/// meeting's turn since before the file came to its place.
pub(crate) async fn shelve(node: &Node, placed: Placed) -> Result<(), FetchError> {
    let Placed { meeting, title, version, hash, size_bytes, path, standing, change_token, was_read_whole } = placed;
    let before = node.shelf.sound(&meeting.key());
    let now = node.clock.now_seconds();
    let folder = path.parent().map(PathBuf::from).unwrap_or_default();
    let row = PackageRow {
        meeting: meeting.clone(),
        title,
        version,
        hash,
        stamp: Stamp { size_bytes, modified_ns: 0, changed_ns: 0 },
        verified_at: if was_read_whole { now } else { custody::due_soon(now) },
        synced_at: now,
        last_served: before.as_ref().map_or(0.0, |package| package.last_served()),
        downloads: before.as_ref().map_or(0, |package| package.downloads()),
        standing,
        change_token,
    };
    let opened = blocking(move || -> std::io::Result<_> {
        let row = PackageRow { stamp: Stamp::of(&path)?, ..row };
        let package = Package::open(&row, path)?;
        Ok((row, package))
    })
    .await;
    let (row, package) = opened.map_err(|error| FetchError::of_disk(&error, &folder))?;
    if row.stamp.size_bytes != size_bytes {
        return Err(FetchError::Disk(format!("{} changed while it was put in place", folder.display())));
    }
    node.shelf.put(slot_of(&row, Condition::Sound(Arc::new(package))));
    node.sync.outlook.lock().note_sync(now);
    if let Err(error) = packages::put(&node.store, row).await {
        tracing::error!(%meeting, %error, "a package is not in the database; it will be verified anew after a restart");
    }
    if let Err(error) = fetches::end(&node.store, &meeting).await {
        tracing::warn!(%meeting, %error, "a fetch stays noted");
    }
    tracing::info!(%meeting, version, %hash, size_bytes, "a package is complete and verified");
    let reason = format!("version {version}, {size_bytes} bytes, {hash}");
    node.events.record(EventKind::PackageSynced, Some(meeting.as_str()), reason);
    Ok(())
}

/// A slot with what a row says.
pub(crate) fn slot_of(row: &PackageRow, condition: Condition) -> Slot {
    Slot {
        meeting: row.meeting.clone(),
        title: row.title.clone(),
        standing: row.standing,
        size_bytes: row.stamp.size_bytes,
        change_token: row.change_token.clone(),
        condition,
    }
}

/// The same bytes are right: under this version, with this state of the file.
pub(crate) async fn confirm(node: &Node, package: &Arc<Package>, version: u64, stamp: Stamp) {
    let now = node.clock.now_seconds();
    let confirmed = node.shelf.confirm(package, version, stamp, now);
    save(node, confirmed).await;
}

/// Writes what the shelf says of a package to the database.
pub(crate) async fn save(node: &Node, slot: Option<Slot>) {
    let Some(row) = slot.and_then(|slot| slot.row()) else { return };
    if let Err(error) = packages::put(&node.store, row).await {
        tracing::error!(%error, "a change of a package is not in the database");
    }
}

/// Takes a package from shelf, disk and database, and says why. One whose meeting is in progress again by now stays.
pub(crate) async fn remove(node: &Node, meeting: &MeetingId, kind: EventKind, reason: &str) {
    let _turn = node.shelf.turn(&meeting.key()).await;
    if node.shelf.slot(&meeting.key()).is_some_and(|slot| slot.standing == Standing::Active) {
        return;
    }
    remove_in_turn(node, meeting, kind, reason).await;
}

/// The same for a caller that has the meeting's turn and knows what it does.
pub(crate) async fn remove_in_turn(node: &Node, meeting: &MeetingId, kind: EventKind, reason: &str) {
    let slot = node.shelf.take(&meeting.key());
    let (store, of_disk) = (node.package_store(), meeting.clone());
    match blocking(move || store.remove(&of_disk)).await {
        Ok(bytes) => {
            tracing::info!(%meeting, bytes, reason, "a package was removed");
            node.events.record(kind, Some(meeting.as_str()), reason);
        }
        Err(error) => {
            tracing::error!(%meeting, %error, "a package could not be removed");
            // It takes room, so it has to be counted; it will be tried again.
            if let Some(slot) = slot {
                node.shelf.put(slot);
            }
            return;
        }
    }
    if let Err(error) = packages::forget(&node.store, meeting).await {
        tracing::error!(%meeting, %error, "a removed package is still in the database");
    }
}
