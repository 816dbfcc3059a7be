//! A package for somebody who asks for it: from the shelf, or from the master when it is not here. The master is asked
//! once for all who ask at the same time, and not again for some seconds when it does not know the meeting.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use posthouse_protocol::MeetingId;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use crate::custody;
use crate::shelf::{Condition, Package};
use crate::state::Node;
use crate::sync::agenda::{Target, Wanted};
use crate::sync::describe_newest;
use crate::sync::error::FetchError;
use crate::sync::fetches;
use crate::uplink::MasterKind;

/// Who asks has an answer by then.
const PATIENCE: Duration = Duration::from_millis(9_500);
/// For so long the master's "unknown" is believed.
const ABSENT_FOR: Duration = Duration::from_secs(5);
/// Unknown meetings that are remembered.
const ABSENT_MAX: usize = 10_000;
/// Meetings that the master is asked about at a time: strangers must not make us a burden to it.
const ASKING_MAX: usize = 8;

/// Who is being asked for.
#[derive(Debug)]
pub(crate) struct Obtaining {
    asking: Mutex<HashMap<String, watch::Receiver<bool>>>,
    absent: Mutex<HashMap<String, Instant>>,
    permits: Semaphore,
}

impl Default for Obtaining {
    fn default() -> Self {
        Self { asking: Mutex::default(), absent: Mutex::default(), permits: Semaphore::new(ASKING_MAX) }
    }
}

impl Obtaining {
    fn is_absent(&self, key: &str) -> bool {
        self.absent.lock().get(key).is_some_and(|until| *until > Instant::now())
    }

    fn note_absent(&self, key: String) {
        let mut absent = self.absent.lock();
        let now = Instant::now();
        if absent.len() >= ABSENT_MAX {
            absent.retain(|_, until| *until > now);
        }
        if absent.len() < ABSENT_MAX {
            absent.insert(key, now + ABSENT_FOR);
        }
    }
}

/// The package, verified and unchanged; `None` when it is not here and cannot be had in time.
pub(crate) async fn package(node: &Node, meeting: &MeetingId) -> Option<Arc<Package>> {
    let deadline = Instant::now() + PATIENCE;
    let mut was_asked = false;
    loop {
        let mut readings = node.custody.readings();
        readings.borrow_and_update();
        let condition = node.shelf.slot(&meeting.key()).map(|slot| slot.condition);
        match condition {
            Some(Condition::Sound(package)) => {
                if custody::is_unchanged(node, &package).await {
                    return Some(package);
                }
            }
            Some(Condition::Suspect(_)) => {
                node.custody.wake();
                timeout_at(deadline, readings.changed()).await.ok()?.ok()?;
            }
            None if was_asked => return None,
            None => {
                was_asked = true;
                timeout_at(deadline, ask(node, meeting)).await.ok()?;
            }
        }
        if Instant::now() >= deadline {
            return None;
        }
    }
}

/// Has the master asked, unless it just was, and waits until that came to something.
async fn ask(node: &Node, meeting: &MeetingId) {
    let key = meeting.key();
    if node.obtaining.is_absent(&key) {
        return;
    }
    let mut asked = {
        let mut asking = node.obtaining.asking.lock();
        match asking.get(&key) {
            Some(asked) => asked.clone(),
            None => {
                let (done, asked) = watch::channel(false);
                asking.insert(key.clone(), asked.clone());
                start(node, meeting.clone(), done);
                asked
            }
        }
    };
    // An error says that it panicked, which is an end, too.
    let _ = asked.wait_for(|done| *done).await;
}

/// Asks in a task of its own: whoever asked first may hang up.
fn start(node: &Node, meeting: MeetingId, done: watch::Sender<bool>) {
    let task_node = node.clone();
    node.tasks.spawn("obtain", async move {
        let asking = Asking { node: task_node, key: meeting.key() };
        // A master that does not answer is not asked again at once either.
        let is_absent = tokio::select! {
            result = try_to_get(&asking.node, &meeting) => matches!(result, Err(FetchError::Absent | FetchError::Client(_))),
            () = asking.node.stop.cancelled() => false,
        };
        if is_absent {
            asking.node.obtaining.note_absent(meeting.key());
        }
        drop(asking);
        done.send_replace(true);
    });
}

/// Listed while the master is being asked.
struct Asking {
    node: Node,
    key: String,
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.node.obtaining.asking.lock().remove(&self.key);
    }
}

async fn try_to_get(node: &Node, meeting: &MeetingId) -> Result<(), FetchError> {
    if let Some(mut awaited) = node.sync.fetches.awaited(meeting) {
        awaited.is_held().await;
        return Ok(());
    }
    // Nobody waits for an answer longer than this, so neither does the question.
    let asked = timeout_at(Instant::now() + PATIENCE, what_to_fetch(node, meeting)).await;
    let (kind, wanted) = asked.unwrap_or(Err(FetchError::Cancelled))?;
    let is_held = fetches::fetch(node, wanted, false).is_held().await;
    if is_held || kind == MasterKind::Ours { Ok(()) } else { Err(FetchError::Absent) }
}

/// Asks a master of ours what it has; an older one is asked by the download itself.
async fn what_to_fetch(node: &Node, meeting: &MeetingId) -> Result<(MasterKind, Wanted), FetchError> {
    let _permit = node.obtaining.permits.acquire().await.map_err(|_| FetchError::Cancelled)?;
    let Some(link) = node.uplink.link().filter(|_| !node.uplink.is_refused()) else {
        return Err(FetchError::Cancelled);
    };
    if node.uplink.kind() == MasterKind::Unknown && node.uplink.is_out_of_reach() {
        return Err(FetchError::Cancelled);
    }
    let mut kinds = node.uplink.kinds();
    let known = timeout_at(Instant::now() + PATIENCE / 2, kinds.wait_for(|kind| *kind != MasterKind::Unknown)).await;
    let kind = known.ok().and_then(Result::ok).map(|kind| *kind).ok_or(FetchError::Cancelled)?;
    let wanted = Wanted { meeting: meeting.clone(), title: meeting.to_string(), target: Target::Newest };
    if kind == MasterKind::Older {
        return Ok((kind, wanted));
    }
    let described = describe_newest(&link, &wanted).await?;
    let target = Target::Version { version: described.version, hash: described.description.hash };
    Ok((kind, Wanted { target, ..wanted }))
}
