//! What was in the storage folder before: packages that are as the database says are served at once and read in the
//! background; whatever else lies there is read first.

use std::collections::HashMap;
use std::sync::Arc;

use posthouse_package::StoredPackage;
use posthouse_protocol::event::EventKind;
use posthouse_protocol::{ContentHash, MeetingId};
use posthouse_runtime::tasks::blocking;

use super::Urgency;
use crate::placing::slot_of;
use crate::shelf::{Condition, Package, Slot, Stamp, Standing};
use crate::state::Node;
use crate::store::fetches;
use crate::store::packages::{self, PackageRow};

/// Why the folder is looked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// The node starts: what is missing was lost.
    Start,
    /// `storage.path` changed: what is missing is in the other folder.
    OtherFolder,
}

/// Fills the shelf from folder and database, and removes torn temporary files.
pub(crate) async fn settle(node: &Node, occasion: Occasion) -> anyhow::Result<()> {
    let store = node.package_store();
    let resumable = fetches::all(&node.store).await?;
    let mut rows: HashMap<String, PackageRow> =
        packages::all(&node.store).await?.into_iter().map(|row| (row.meeting.key(), row)).collect();
    let (keep, listing) = (resumable.clone(), store.clone());
    let listed = blocking(move || -> std::io::Result<_> {
        let torn = listing.remove_stale_incoming(&keep);
        Ok((listing.list()?, torn))
    });
    let (stored, torn) = listed.await?;
    match torn {
        Ok(0) => {}
        Ok(bytes) => tracing::info!(bytes, "torn temporary files were removed"),
        Err(error) => tracing::warn!(%error, "a temporary file could not be removed"),
    }
    node.shelf.clear();
    for stored in stored {
        let row = rows.remove(&stored.meeting.key());
        let placed_just_before = resumable.iter().find(|(meeting, _)| meeting.key() == stored.meeting.key());
        let placed_just_before = placed_just_before.and_then(|(_, tag)| tag.parse::<ContentHash>().ok());
        put(node, stored, row, placed_just_before).await;
    }
    for row in rows.into_values() {
        gone(node, &row.meeting, occasion).await;
    }
    Ok(())
}

async fn put(node: &Node, stored: StoredPackage, row: Option<PackageRow>, placed_just_before: Option<ContentHash>) {
    let key = stored.meeting.key();
    let known = row.clone();
    let opened = blocking(move || {
        let stamp = Stamp::of(&stored.path);
        let is_as_known = known.as_ref().is_some_and(|row| stamp.as_ref().is_ok_and(|stamp| *stamp == row.stamp));
        let package = known.filter(|_| is_as_known).and_then(|row| Package::open(&row, stored.path.clone()).ok());
        (package, stored)
    });
    let (package, stored) = opened.await;
    match (package, row) {
        (Some(package), Some(row)) => {
            node.sync.outlook.lock().note_sync(row.synced_at);
            node.shelf.put(slot_of(&row, Condition::Sound(Arc::new(package))));
            node.custody.ask(Urgency::Routine, key);
        }
        (_, row) => {
            let row = row.map(|row| as_placed(row, placed_just_before));
            node.shelf.put(Slot {
                meeting: stored.meeting.clone(),
                title: row.as_ref().map_or_else(|| stored.meeting.to_string(), |row| row.title.clone()),
                standing: row.as_ref().map_or(Standing::Unknown, |row| row.standing),
                size_bytes: stored.size_bytes,
                change_token: row.as_ref().and_then(|row| row.change_token.clone()),
                condition: Condition::Suspect(row.map(Box::new)),
            });
            node.custody.ask(Urgency::NotServed, key);
        }
    }
}

/// A process that died between the rename and the row left the new package with the old row.
fn as_placed(row: PackageRow, hash: Option<ContentHash>) -> PackageRow {
    match hash {
        Some(hash) => PackageRow { hash, version: 0, ..row },
        None => row,
    }
}

/// The database has a package that the folder has not.
async fn gone(node: &Node, meeting: &MeetingId, occasion: Occasion) {
    if occasion == Occasion::Start {
        tracing::warn!(%meeting, "the file of a package is missing");
        node.events.record(EventKind::PackageDamaged, Some(meeting.as_str()), "the file is missing");
    }
    if let Err(error) = packages::forget(&node.store, meeting).await {
        tracing::error!(%meeting, %error, "a missing package is still in the database");
    }
}
