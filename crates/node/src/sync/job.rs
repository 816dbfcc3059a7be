//! One package being fetched: attempts with their pauses, until it is here or hopeless.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use posthouse_protocol::event::EventKind;
use tokio_util::sync::CancellationToken;

use super::agenda::{Target, Wanted};
use super::assembly::Progress;
use super::error::FetchError;
use super::{described, older};
use crate::state::Node;
use crate::store::fetches;
use crate::uplink::{Link, MasterKind};

/// A master that changes its mind faster than this is not followed faster.
const SUPERSEDED_PAUSE: Duration = Duration::from_secs(1);

/// A package being fetched.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) wanted: Wanted,
    pub(crate) cancel: CancellationToken,
    pub(crate) progress: Arc<Progress>,
    /// Whether the master wants it here; false: a client asked for it.
    asked_by_master: AtomicBool,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It is on the shelf.
    Held,
    /// It is not.
    NotHeld,
}

impl Job {
    pub(super) fn new(wanted: Wanted, asked_by_master: bool, cancel: CancellationToken) -> Self {
        Self { wanted, cancel, progress: Arc::default(), asked_by_master: AtomicBool::new(asked_by_master) }
    }

    pub(crate) fn is_asked_by_master(&self) -> bool {
        self.asked_by_master.load(Ordering::Relaxed)
    }

    pub(super) fn ask_by_master(&self) {
        self.asked_by_master.store(true, Ordering::Relaxed);
    }
}

/// Fetches it.
pub(super) async fn run(node: &Node, job: &Job) -> Ended {
    let slot = tokio::select! {
        slot = node.sync.fetches.slots.take(|| node.settings.now().network.max_concurrent_downloads) => slot,
        () = job.cancel.cancelled() => return Ended::NotHeld,
    };
    let (meeting, version) = (&job.wanted.meeting, version_of(&job.wanted.target));
    let Some(link) = node.uplink.link() else { return Ended::NotHeld };
    if job.is_asked_by_master() {
        tracing::info!(%meeting, version, "fetching a package");
    } else {
        // Anybody may ask for anything.
        tracing::debug!(%meeting, version, "asking the master for a package");
    }
    let outcome = fetch(node, &link, job).await;
    drop(slot);
    match outcome {
        Ok(()) => {
            node.sync.note_success(meeting);
            Ended::Held
        }
        Err(FetchError::Cancelled) => {
            tracing::info!(%meeting, version, "fetching was interrupted");
            Ended::NotHeld
        }
        Err(FetchError::Superseded) => {
            tracing::info!(%meeting, version, "the master has another version by now");
            tokio::select! {
                () = tokio::time::sleep(SUPERSEDED_PAUSE) => node.sync.wake(),
                () = job.cancel.cancelled() => {}
            }
            Ended::NotHeld
        }
        Err(error) => {
            failed(node, job, &error);
            Ended::NotHeld
        }
    }
}

async fn fetch(node: &Node, link: &Arc<Link>, job: &Job) -> Result<(), FetchError> {
    let mut kept = described::Kept::default();
    let mut failures = 0;
    loop {
        let (done_before, received_before) = (job.progress.done(), job.progress.received());
        let attempt = async {
            match (&job.wanted.target, node.uplink.kind()) {
                (Target::Version { .. }, _) | (Target::Newest, MasterKind::Ours) => {
                    described::attempt(node, link, job, &mut kept).await
                }
                _ => older::attempt(node, link, job).await,
            }
        };
        let error = match attempt.await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let config = node.settings.now();
        // An interrupted download that came further is not a failure: it is resumed.
        let came_further = error.is_interruption() && job.progress.received() > received_before;
        if job.progress.done() > done_before {
            failures = 0;
        }
        failures += u32::from(!came_further);
        let attempts = if job.is_asked_by_master() { config.network.retry_count } else { 1 };
        if !error.is_transient() || failures >= attempts {
            return Err(error);
        }
        tracing::warn!(meeting = %job.wanted.meeting, %error, failures, attempts, "an attempt to fetch a package failed");
        tokio::select! {
            () = tokio::time::sleep(config.network.retry_delay) => {}
            () = job.cancel.cancelled() => return Err(FetchError::Cancelled),
        }
    }
}

fn failed(node: &Node, job: &Job, error: &FetchError) {
    let meeting = &job.wanted.meeting;
    if !job.is_asked_by_master() {
        tracing::debug!(%meeting, %error, "a package that a client asked for cannot be had");
        return;
    }
    // The next poll by the clock tries again; one in between does not.
    let pause = node.settings.now().sync_interval.mul_f32(0.9);
    if node.sync.note_failure(&job.wanted, error, pause) {
        tracing::error!(%meeting, %error, "a package could not be fetched");
        let kind = if error.is_want_of_room() { EventKind::StorageFull } else { EventKind::SyncFailed };
        node.events.record(kind, Some(meeting.as_str()), error.to_string());
    }
}

/// Removes what an unwanted fetch left behind.
pub(super) async fn forget(node: &Node, wanted: &Wanted) {
    if let Err(error) = fetches::end(&node.store, &wanted.meeting).await {
        tracing::warn!(%error, "a fetch stays noted");
    }
}

fn version_of(target: &Target) -> u64 {
    match target {
        Target::Version { version, .. } => *version,
        Target::AtToken(_) | Target::Newest => 0,
    }
}
