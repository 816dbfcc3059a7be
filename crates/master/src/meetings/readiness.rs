//! The loop that waits for nodes: the change token moves when every online node holds what is new, or was waited for
//! long enough, and a moment has passed. It also removes versions that nobody needs any more.

use std::collections::HashMap;
use std::time::Duration;

use posthouse_protocol::MeetingId;
use posthouse_protocol::event::EventKind;
use posthouse_runtime::tasks::Report;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Meetings;
use crate::catalog::ActiveMeeting;
use crate::error::Error;
use crate::store::meetings as table;
use crate::store::packages::{self, ActiveRow};

/// How often an older version that is still served is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Many nodes report at once; they are looked at together.
const GATHER: Duration = Duration::from_millis(50);

/// A meeting whose nodes are waited for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Waiting {
    id: MeetingId,
    version: u64,
    /// Unix seconds; names this wait among all of the meeting.
    since: f64,
}

impl Waiting {
    pub(super) fn of(row: &ActiveRow) -> Option<Self> {
        let version = row.packages.last()?.version;
        Some(Self { id: row.id.clone(), version, since: row.waiting_since? })
    }
}

/// A wait that is over but for the last moment.
struct Settling {
    since: f64,
    until: Instant,
    /// Why it is over, for people.
    reason: String,
}

impl Meetings {
    /// Waits for nodes until `stop`. A wait that a restart interrupted goes on with the time that is left.
    pub(crate) async fn run_readiness(self, stop: CancellationToken, report: Report) {
        let around = &self.0.around;
        let mut nodes = around.registry.changed();
        let mut catalog = around.catalog.subscribe();
        let mut settling = HashMap::<String, Settling>::new();
        loop {
            catalog.mark_unchanged();
            nodes.mark_unchanged();
            let outcome = match self.announce_ready(&mut settling).await {
                Ok(again) => self.drop_old_versions().await.map(|old| again.min(old)),
                Err(error) => Err(error),
            };
            let again = outcome.unwrap_or_else(|error| {
                tracing::error!(%error, "waiting for nodes failed");
                report.failed(error);
                LOOK_AGAIN
            });
            report.completed();
            tokio::select! {
                Ok(()) = catalog.changed() => {}
                Ok(()) = nodes.changed() => tokio::time::sleep(GATHER).await,
                () = tokio::time::sleep(again) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Announces the meetings whose wait is over; when to look again.
    async fn announce_ready(&self, settling: &mut HashMap<String, Settling>) -> Result<Duration, Error> {
        let around = &self.0.around;
        let waiting = self.0.waiting.lock().clone();
        settling.retain(|key, _| waiting.iter().any(|meeting| meeting.id.key() == *key));
        let mut again = Duration::MAX;
        for meeting in waiting {
            let key = meeting.id.key();
            if settling.get(&key).is_none_or(|settling| settling.since != meeting.since) {
                settling.remove(&key);
                match self.wait_is_over(&meeting) {
                    Ok(reason) => {
                        let until = Instant::now() + around.config.settle;
                        settling.insert(key.clone(), Settling { since: meeting.since, until, reason });
                    }
                    Err(left) => again = again.min(left),
                }
            }
            let Some(over) = settling.get(&key) else { continue };
            let left = over.until.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                again = again.min(left);
                continue;
            }
            if table::announce(&around.store, &meeting.id, meeting.since).await? {
                let reason = over.reason.clone();
                around.events.record(EventKind::MeetingReady, Some(meeting.id.as_str()), None, reason);
            }
            self.try_publish().await?;
        }
        Ok(again)
    }

    /// Why the wait is over, or how long it may still be.
    fn wait_is_over(&self, meeting: &Waiting) -> Result<String, Duration> {
        let around = &self.0.around;
        let readiness = around.registry.readiness(&meeting.id, meeting.version);
        let of = format!("version {}", meeting.version);
        if readiness.waiting.is_empty() {
            return Ok(match readiness.ready.as_slice() {
                [] => format!("{of}: no node online"),
                ready => format!("{of} is held by {}", ready.join(", ")),
            });
        }
        let waited = (around.clock.now_seconds() - meeting.since).max(0.0);
        let left = around.config.ready_timeout.as_secs_f64() - waited;
        if left > 0.0 {
            return Err(Duration::from_secs_f64(left));
        }
        Ok(format!("{of}: waited {waited:.0} s in vain for {}", readiness.waiting.join(", ")))
    }

    /// Removes versions older than the one that is served, once the change token told of that one; when to look again.
    async fn drop_old_versions(&self) -> Result<Duration, Error> {
        let around = &self.0.around;
        let catalog = around.catalog.borrow().clone();
        let mut again = Duration::MAX;
        for meeting in catalog.meetings.iter().filter(|meeting| meeting.versions.len() > 1) {
            again = LOOK_AGAIN;
            if !self.is_superseded(meeting) {
                continue;
            }
            // With the meeting's turn, so that no version that is just being built is taken for an old one.
            let Some(_turn) = self.free_turn(&meeting.id) else { continue };
            packages::forget_before(&around.store, &meeting.id, meeting.wanted().version).await?;
            self.try_publish().await?;
            let now = around.catalog.borrow().clone();
            let kept = now.meeting(&meeting.id).into_iter().flat_map(|meeting| &meeting.versions);
            around.packages.keep_only(&meeting.id, kept.map(|version| version.version).collect()).await;
        }
        Ok(again)
    }

    fn is_superseded(&self, meeting: &ActiveMeeting) -> bool {
        let is_waiting = self.0.waiting.lock().iter().any(|waiting| waiting.id == meeting.id);
        !is_waiting && self.0.around.rotation.served_version(&meeting.id) == Some(meeting.wanted().version)
    }
}
