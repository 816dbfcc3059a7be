//! Reading a package from its first byte to its last, and what follows.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use posthouse_package::verify_zip;
use posthouse_protocol::event::EventKind;
use posthouse_protocol::{ContentHash, MeetingId};
use posthouse_runtime::tasks::blocking;
use tokio_util::sync::CancellationToken;

use crate::placing::{self, Placed};
use crate::shelf::{Condition, Slot, Stamp};
use crate::state::Node;
use crate::store::packages::PackageRow;

/// How much is read at once, in bytes.
const READ_LENGTH: usize = 512 << 10;

/// What a reading found.
enum Found {
    /// These bytes, and the file did not change meanwhile.
    Bytes(ContentHash, Stamp),
    /// It changed while it was read, or the node stops: another time.
    Undecided,
    Missing,
    /// No sound zip, and nothing else to judge it by.
    Unsound(String),
}

/// Reads one package and keeps, confirms or removes it.
pub(super) async fn examine(node: &Node, key: &str) -> io::Result<()> {
    let Some(slot) = node.shelf.slot(key) else { return Ok(()) };
    let is_known = !matches!(slot.condition, Condition::Suspect(None));
    let (path, stop) = (node.package_store().package_path(&slot.meeting), node.stop.clone());
    let read_path = path.clone();
    let mut found = blocking(move || read(&read_path, is_known, &stop)).await?;
    let _turn = node.shelf.turn(key).await;
    if !is_still(node, &slot) {
        // A newer version took its place meanwhile.
        return Ok(());
    }
    if let Found::Bytes(_, stamp) = found {
        let read_path = path.clone();
        if !blocking(move || Stamp::of(&read_path).is_ok_and(|now| now == stamp)).await {
            found = Found::Undecided;
        }
    }
    let meeting = &slot.meeting;
    match (found, &slot.condition) {
        (Found::Undecided, _) => {}
        (Found::Missing, _) => {
            damaged(node, meeting, "the file is missing").await;
            node.sync.wake();
        }
        (Found::Unsound(reason), _) => {
            damaged(node, meeting, &reason).await;
            node.sync.wake();
        }
        (Found::Bytes(hash, stamp), Condition::Sound(package)) if hash == package.hash() => {
            placing::confirm(node, package, package.version(), stamp).await;
        }
        (Found::Bytes(hash, stamp), Condition::Suspect(Some(row))) if hash == row.hash => {
            restore(node, &slot, row, stamp, path).await?;
        }
        (Found::Bytes(hash, stamp), Condition::Suspect(None)) => adopt(node, &slot, hash, stamp, path).await?,
        (Found::Bytes(_, stamp), condition) => {
            damaged(node, meeting, "its bytes are not those that were verified").await;
            // Nobody changed the file: the disk, or the master's word, is wrong. Fetched again at once it might go round
            // in circles as fast as the network allows; the next poll by the clock is soon enough.
            let is_untouched = matches!(condition, Condition::Sound(package) if package.stamp == stamp);
            if !is_untouched {
                node.sync.wake();
            }
        }
    }
    Ok(())
}

fn is_still(node: &Node, before: &Slot) -> bool {
    let Some(now) = node.shelf.slot(&before.meeting.key()) else { return false };
    match (&before.condition, &now.condition) {
        (Condition::Sound(before), Condition::Sound(now)) => before.hash() == now.hash() && before.stamp == now.stamp,
        (Condition::Suspect(_), Condition::Suspect(_)) => true,
        _ => false,
    }
}

fn read(path: &Path, is_known: bool, stop: &CancellationToken) -> io::Result<Found> {
    let attempt = || -> io::Result<Found> {
        let before = Stamp::of(path)?;
        if !is_known && let Err(error) = verify_zip(path) {
            return match error {
                posthouse_package::PackageError::Unsound { reason, .. } => Ok(Found::Unsound(reason)),
                other => Err(io::Error::other(other)),
            };
        }
        let Some(hash) = hash_until(path, stop)? else { return Ok(Found::Undecided) };
        Ok(if Stamp::of(path)? == before { Found::Bytes(hash, before) } else { Found::Undecided })
    };
    match attempt() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Missing),
        other => other,
    }
}

/// BLAKE3 of a file; `None` when the node stops, for a large one takes long.
fn hash_until(path: &Path, stop: &CancellationToken) -> io::Result<Option<ContentHash>> {
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; READ_LENGTH];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Some(ContentHash(*hasher.finalize().as_bytes()))),
            count => hasher.update(&buffer[..count]),
        };
        if stop.is_cancelled() {
            return Ok(None);
        }
    }
}

/// Touched, but the same bytes. The caller has the meeting's turn, as in the two below.
async fn restore(node: &Node, slot: &Slot, row: &PackageRow, stamp: Stamp, path: std::path::PathBuf) -> io::Result<()> {
    let row = PackageRow {
        stamp,
        verified_at: node.clock.now_seconds(),
        title: slot.title.clone(),
        standing: slot.standing,
        meeting: slot.meeting.clone(),
        change_token: slot.change_token.clone(),
        ..row.clone()
    };
    let (row, package) =
        blocking(move || crate::shelf::Package::open(&row, path).map(|package| (row, package))).await?;
    tracing::info!(meeting = %row.meeting, "the package was verified again and is right");
    let restored = placing::slot_of(&row, Condition::Sound(std::sync::Arc::new(package)));
    node.shelf.put(restored.clone());
    placing::save(node, Some(restored)).await;
    node.sync.wake();
    Ok(())
}

/// A sound package that nobody of ours put there: left by the older node, or its row was lost.
async fn adopt(node: &Node, slot: &Slot, hash: ContentHash, stamp: Stamp, path: std::path::PathBuf) -> io::Result<()> {
    tracing::info!(meeting = %slot.meeting, "a package was found in the storage folder and is taken over");
    let placed = Placed {
        meeting: slot.meeting.clone(),
        title: slot.title.clone(),
        version: 0,
        hash,
        size_bytes: stamp.size_bytes,
        path,
        standing: slot.standing,
        change_token: None,
        was_read_whole: true,
    };
    placing::shelve(node, placed).await.map_err(io::Error::other)?;
    node.sync.wake();
    Ok(())
}

async fn damaged(node: &Node, meeting: &MeetingId, reason: &str) {
    tracing::error!(%meeting, reason, "a package is damaged; it is removed, and fetched again if it is needed");
    placing::remove_in_turn(node, meeting, EventKind::PackageDamaged, reason).await;
}
