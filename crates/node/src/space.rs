//! Room for packages: exact accounting against `storage.maxSize`, what is dropped to make room, and what goes when a
//! meeting is over. A package of a meeting in progress is never dropped.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use posthouse_protocol::MeetingId;
use posthouse_protocol::event::EventKind;
use rust_i18n::t;

use crate::placing;
use crate::shelf::{Slot, Standing};
use crate::state::Node;
use crate::sync::error::FetchError;

/// Promised room, and what is wrong with the rest.
#[derive(Debug, Default)]
pub(crate) struct Space {
    /// One decision at a time.
    deciding: tokio::sync::Mutex<()>,
    promised: Arc<Mutex<Promised>>,
    problem: Mutex<Option<String>>,
}

#[derive(Debug, Default)]
struct Promised {
    next: u64,
    bytes: HashMap<u64, u64>,
}

/// Room that is promised to a fetch until this is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    number: u64,
    promised: Arc<Mutex<Promised>>,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.promised.lock().bytes.remove(&self.number);
    }
}

impl Space {
    /// What is wrong when even dropping all that may be dropped does not keep to the limit.
    pub(crate) fn problem(&self) -> Option<String> {
        self.problem.lock().clone()
    }

    fn promised_bytes(&self) -> u64 {
        self.promised.lock().bytes.values().sum()
    }

    fn promise(&self, bytes: u64) -> Room {
        let mut promised = self.promised.lock();
        let number = promised.next;
        promised.next += 1;
        promised.bytes.insert(number, bytes);
        Room { number, promised: self.promised.clone() }
    }
}

/// Bytes that a package of this meeting can have at most, were all dropped that may be.
pub(crate) fn most(node: &Node, meeting: &MeetingId) -> u64 {
    let storage = node.settings.now().storage.clone();
    let stays = |slot: &Slot| {
        slot.meeting.key() != meeting.key() && (slot.standing == Standing::Active || !storage.auto_cleanup)
    };
    let kept: u64 = node.shelf.slots().iter().filter(|slot| stays(slot)).map(|slot| slot.size_bytes).sum();
    storage.max_size_bytes.saturating_sub(kept + node.space.promised_bytes())
}

/// Promises room for a package of this size, in place of the version that is here; drops what is least useful if need
/// be and allowed.
pub(crate) async fn make_room(node: &Node, meeting: &MeetingId, size_bytes: u64) -> Result<Room, FetchError> {
    let _decision = node.space.deciding.lock().await;
    let storage = node.settings.now().storage.clone();
    let replaced = node.shelf.slot(&meeting.key()).map_or(0, |slot| slot.size_bytes);
    let more = size_bytes.saturating_sub(replaced);
    let needed = |node: &Node| node.shelf.total_bytes() + node.space.promised_bytes() + more;
    if storage.auto_cleanup {
        for slot in droppable(node.shelf.slots(), Some(meeting)) {
            if needed(node) <= storage.threshold_bytes() {
                break;
            }
            drop_for_room(node, &slot).await;
        }
    }
    let total = needed(node);
    if total > storage.max_size_bytes {
        return Err(FetchError::NoRoom { size: size_bytes, used: total - more, limit: storage.max_size_bytes });
    }
    Ok(node.space.promise(more))
}

/// Drops what is least useful while the packages take more than the threshold, and says so when that does not help.
pub(crate) async fn tidy(node: &Node) {
    let _decision = node.space.deciding.lock().await;
    let storage = node.settings.now().storage.clone();
    if storage.auto_cleanup {
        for slot in droppable(node.shelf.slots(), None) {
            if node.shelf.total_bytes() <= storage.threshold_bytes() {
                break;
            }
            drop_for_room(node, &slot).await;
        }
    }
    let used = node.shelf.total_bytes();
    let is_over = used > storage.max_size_bytes;
    let problem = is_over.then(|| t!("space.over", used = used, limit = storage.max_size_bytes).into_owned());
    let was_over = std::mem::replace(&mut *node.space.problem.lock(), problem.clone()).is_some();
    if let (Some(problem), false) = (problem, was_over) {
        tracing::warn!(problem, "the packages take more room than allowed");
        node.events.record(EventKind::StorageFull, None, problem);
    }
}

/// Removes the packages of ended meetings as the switches say. `at_start`: the service just started.
pub(crate) async fn clean_ended(node: &Node, at_start: bool) {
    let cleanup = node.settings.now().cleanup;
    if !cleanup.enabled || !(cleanup.clean_ended_meetings || at_start && cleanup.clean_on_startup) {
        return;
    }
    let _decision = node.space.deciding.lock().await;
    for slot in node.shelf.slots().into_iter().filter(|slot| slot.standing == Standing::Ended) {
        placing::remove(node, &slot.meeting, EventKind::PackageRemoved, &t!("space.ended")).await;
    }
}

async fn drop_for_room(node: &Node, slot: &Slot) {
    placing::remove(node, &slot.meeting, EventKind::PackageRemoved, &t!("space.dropped")).await;
}

/// What may be dropped, the least useful first: ended, then least recently served.
fn droppable(mut slots: Vec<Slot>, but: Option<&MeetingId>) -> Vec<Slot> {
    slots.retain(|slot| slot.standing != Standing::Active && but.is_none_or(|but| but.key() != slot.meeting.key()));
    let last_use = |slot: &Slot| slot.sound().map_or(0.0, |package| package.last_served().max(package.synced_at));
    slots.sort_by(|one, other| one.standing.cmp(&other.standing).then(last_use(one).total_cmp(&last_use(other))));
    slots
}
