//! Keeping what the master wants: polls, told or by the clock, and what follows from each answer.

pub(crate) mod agenda;
mod assembly;
mod described;
pub(crate) mod error;
pub(crate) mod fetches;
mod job;
mod older;
pub(crate) mod outlook;
mod transfer;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use posthouse_protocol::legacy::{MeetingTitle, NodeView};
use posthouse_protocol::{MeetingId, routes};
use posthouse_runtime::client::ClientError;
use posthouse_runtime::tasks::{Report, blocking};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::shelf::{Condition, Slot, Standing};
use crate::state::Node;
use crate::store::fetches as notes;
use crate::uplink::{Link, MasterKind};
use crate::{placing, space};
use agenda::{Agenda, Target, Wanted};
use fetches::Fetches;
use outlook::Outlook;

pub(crate) use described::describe as describe_newest;

/// Time limit for a poll.
const POLL_LIMIT: Duration = Duration::from_secs(30);

/// What sync keeps between polls.
#[derive(Debug, Default)]
pub(crate) struct Sync {
    pub(crate) fetches: Fetches,
    pub(crate) outlook: Mutex<Outlook>,
    wake: Notify,
}

impl Sync {
    /// Polls at once.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Meetings in progress by the master's last word, or by what is here.
    pub(crate) fn active_titles(&self, node: &Node) -> Vec<MeetingTitle> {
        let told = self.outlook.lock().agenda.as_ref().map(|agenda| agenda.titles.clone());
        told.unwrap_or_else(|| node.shelf.active_titles())
    }

    pub(crate) fn note_success(&self, meeting: &MeetingId) {
        self.outlook.lock().failures.remove(&meeting.key());
    }

    /// Remembers why a package is not here; whether that is news.
    pub(crate) fn note_failure(&self, wanted: &Wanted, error: &error::FetchError, pause: Duration) -> bool {
        self.outlook.lock().note_failure(wanted, error, pause)
    }
}

/// The service starts: what is over will be cleaned up after the next poll.
pub(crate) fn begin_anew(node: &Node) {
    node.sync.outlook.lock().is_first_poll = true;
}

/// The service stops: what is being fetched is kept for later.
pub(crate) fn park(node: &Node) {
    node.sync.fetches.interrupt_all();
}

/// Polls until the node stops.
pub(crate) async fn run(node: Node, report: Report) {
    let mut links = node.uplink.links();
    let mut settings = node.settings.subscribe();
    loop {
        let link = links.borrow_and_update().clone();
        let begun = Instant::now();
        if let Some(link) = link.filter(|_| !node.uplink.is_refused()) {
            tokio::select! {
                result = poll(&node, &link) => match result {
                    Ok(()) => report.completed(),
                    Err(error) => report.failed(error),
                },
                () = node.stop.cancelled() => return,
            }
        }
        loop {
            let interval = settings.borrow_and_update().sync_interval;
            report.next_in((begun + interval).saturating_duration_since(Instant::now()));
            tokio::select! {
                () = sleep_until(begun + interval) => break,
                () = node.sync.wake.notified() => break,
                changed = links.changed() => {
                    // What was asked of the old master may not be what the new one has.
                    node.sync.fetches.interrupt_all();
                    node.sync.outlook.lock().forgive();
                    if changed.is_err() { return }
                    break;
                }
                // The interval may be another one now.
                Ok(()) = settings.changed() => {}
                () = node.stop.cancelled() => return,
            }
        }
    }
}

async fn poll(node: &Node, link: &Arc<Link>) -> Result<(), ClientError> {
    let answer: Result<NodeView, _> = link.client.get(routes::STATUS_NODE, POLL_LIMIT).await;
    match answer {
        Ok(view) => {
            let (kind, agenda) = Agenda::read(view);
            node.uplink.note_poll(link, Ok(kind));
            if node.uplink.is_current(link) {
                follow(node, kind, agenda).await;
            }
            Ok(())
        }
        Err(error) => {
            node.uplink.note_poll(link, Err(&error));
            Err(error)
        }
    }
}

/// Makes the shelf what the master wants it to be.
async fn follow(node: &Node, kind: MasterKind, agenda: Agenda) {
    let is_first = node.sync.outlook.lock().take_over(agenda.clone());
    note_endings(node, &agenda).await;
    let unwanted = node.sync.fetches.interrupt_unwanted(|meeting| agenda.is_active(meeting));
    for wanted in &unwanted {
        job::forget(node, wanted).await;
    }
    space::clean_ended(node, is_first).await;
    for wanted in agenda.wanted {
        want(node, wanted).await;
    }
    remove_torn(node).await;
    space::tidy(node).await;
    tracing::debug!(?kind, "polled");
}

async fn note_endings(node: &Node, agenda: &Agenda) {
    for slot in node.shelf.slots() {
        if !agenda.is_active(&slot.meeting) && slot.standing != Standing::Ended {
            let noted = node.shelf.note(&slot.meeting, Standing::Ended, None, None);
            placing::save(node, noted).await;
        }
    }
}

/// Has one package fetched, unless it is here.
async fn want(node: &Node, wanted: Wanted) {
    let token = match &wanted.target {
        Target::AtToken(token) => Some(token.as_str()),
        _ => None,
    };
    let Some(slot) = node.shelf.slot(&wanted.meeting.key()) else {
        fetch(node, wanted);
        return;
    };
    // What was adopted is taken to be what the older master has now.
    let is_first_token = token.is_some() && slot.change_token.is_none();
    let noted =
        node.shelf.note(&wanted.meeting, Standing::Active, Some(&wanted.title), token.filter(|_| is_first_token));
    placing::save(node, noted).await;
    match is_here(&slot, &wanted.target) {
        Here::Yes => node.sync.note_success(&wanted.meeting),
        Here::UnderAnotherVersion(version) => {
            if let Some(package) = slot.sound() {
                placing::confirm(node, package, version, package.stamp).await;
            }
            node.sync.note_success(&wanted.meeting);
        }
        Here::NotYetKnown => node.custody.wake(),
        Here::No => fetch(node, wanted),
    }
}

fn fetch(node: &Node, wanted: Wanted) {
    if !node.sync.outlook.lock().failed_just_now(&wanted) {
        fetches::fetch(node, wanted, true);
    }
}

enum Here {
    Yes,
    UnderAnotherVersion(u64),
    /// It is being looked at.
    NotYetKnown,
    No,
}

fn is_here(slot: &Slot, target: &Target) -> Here {
    let package = match &slot.condition {
        Condition::Sound(package) => package,
        Condition::Suspect(_) => return Here::NotYetKnown,
    };
    match target {
        Target::Version { version, hash } if package.hash() == *hash => {
            if package.version() == *version {
                Here::Yes
            } else {
                Here::UnderAnotherVersion(*version)
            }
        }
        Target::Version { .. } => Here::No,
        Target::AtToken(token) => match &slot.change_token {
            Some(known) if known != token => Here::No,
            _ => Here::Yes,
        },
        Target::Newest => Here::Yes,
    }
}

/// Removes temporary files that nobody will continue.
async fn remove_torn(node: &Node) {
    let keep: HashSet<(MeetingId, String)> = match notes::all(&node.store).await {
        Ok(noted) => noted,
        Err(error) => {
            tracing::warn!(%error, "temporary files are left alone");
            return;
        }
    };
    let outlook = &node.sync.outlook;
    let (keep, ended): (HashSet<_>, HashSet<_>) =
        keep.into_iter().partition(|(meeting, _)| outlook.lock().is_active(meeting));
    for (meeting, _) in &ended {
        if node.sync.fetches.awaited(meeting).is_none() && notes::end(&node.store, meeting).await.is_err() {
            return;
        }
    }
    let store = node.package_store();
    match blocking(move || store.remove_stale_incoming(&keep)).await {
        Ok(0) => {}
        Ok(bytes) => tracing::info!(bytes, "torn temporary files were removed"),
        Err(error) => tracing::warn!(%error, "a temporary file could not be removed"),
    }
}
