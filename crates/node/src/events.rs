//! What happened to this node, and why: recorded without waiting, written in order, read back by id.

use std::sync::Arc;
use std::time::Duration;

use posthouse_protocol::event::{Event, EventKind, EventPage};
use posthouse_runtime::clock::Clock;
use posthouse_runtime::store::{Store, StoreError};
use posthouse_runtime::tasks::{Report, Tasks};
use tokio::sync::{Mutex, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::store::events::{self, NewEvent};

/// At most so many are written in one transaction.
const BATCH: usize = 100;
/// After the database refused, as on a full disk.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// A cloneable handle.
#[derive(Debug, Clone)]
pub(crate) struct Events(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    store: Store,
    clock: Clock,
    node_id: parking_lot::Mutex<String>,
    queue: mpsc::UnboundedSender<NewEvent>,
    /// Taken by the writer alone; behind a lock so that a restarted writer finds it.
    queued: Mutex<mpsc::UnboundedReceiver<NewEvent>>,
    /// Id of the newest event in the database.
    newest: watch::Sender<u64>,
}

impl Events {
    /// Goes on after the newest event in the database.
    pub(crate) async fn open(store: Store, clock: Clock, node_id: &str) -> Result<Self, StoreError> {
        let newest = watch::Sender::new(events::last_id(&store).await?);
        let (queue, queued) = mpsc::unbounded_channel();
        let node_id = parking_lot::Mutex::new(node_id.to_owned());
        Ok(Self(Arc::new(Parts { store, clock, node_id, queue, queued: Mutex::new(queued), newest })))
    }

    /// Records an event; the writer does the rest.
    pub(crate) fn record(&self, kind: EventKind, meeting: Option<&str>, reason: impl Into<String>) {
        let event = NewEvent {
            time: self.0.clock.now_seconds(),
            kind,
            meeting_id: meeting.map(str::to_owned),
            node_id: self.0.node_id.lock().clone(),
            reason: reason.into(),
        };
        // The receiver lives as long as this handle.
        let _ = self.0.queue.send(event);
    }

    /// The node goes by another id from now on.
    pub(crate) fn rename(&self, node_id: &str) {
        node_id.clone_into(&mut self.0.node_id.lock());
    }

    /// Events after an id, oldest first.
    pub(crate) async fn page(&self, after: u64, limit: u32) -> Result<EventPage, StoreError> {
        let (events, last_id) = events::after(&self.0.store, after, limit).await?;
        Ok(EventPage { events, last_id })
    }

    /// The next events after an id, as soon as there are any.
    pub(crate) async fn next_after(&self, after: u64) -> Result<Vec<Event>, StoreError> {
        let mut newest = self.0.newest.subscribe();
        loop {
            newest.borrow_and_update();
            let found = self.page(after, BATCH as u32).await?.events;
            if !found.is_empty() {
                return Ok(found);
            }
            if newest.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Id of the newest event, 0 when there is none.
    pub(crate) fn last_id(&self) -> u64 {
        *self.0.newest.borrow()
    }

    /// Starts the writer; after `stop` it writes what is queued and ends.
    pub(crate) fn start_writer(&self, tasks: &Tasks, stop: &CancellationToken) {
        let (events, stopped) = (self.clone(), stop.clone());
        tasks.spawn_loop("events", stop.clone(), move |report| write(events.clone(), stopped.clone(), report));
    }
}

async fn write(events: Events, stop: CancellationToken, report: Report) {
    let mut queued = events.0.queued.lock().await;
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            biased;
            _ = queued.recv_many(&mut batch, BATCH) => {}
            () = stop.cancelled() => return,
        }
        loop {
            match events::append(&events.0.store, batch.clone()).await {
                Ok(newest) => {
                    events.0.newest.send_replace(newest);
                    report.completed();
                    break;
                }
                Err(error) => {
                    tracing::warn!(%error, "events wait for the database");
                    report.failed(error);
                }
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY_PAUSE) => {}
                () = stop.cancelled() => {
                    tracing::error!(count = batch.len(), "events are lost");
                    return;
                }
            }
        }
        batch.clear();
    }
}

#[cfg(test)]
mod tests {
    use posthouse_runtime::paths::{DataDir, Role};

    use super::*;

    #[tokio::test]
    async fn ids_have_no_gaps_and_what_was_recorded_before_the_stop_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(Some(folder.path()), Role::Node).unwrap();
        let store = crate::store::open(&data).unwrap();
        for first in [1, 251] {
            let (tasks, stop) = (Tasks::new(Clock::system()), CancellationToken::new());
            let events = Events::open(store.clone(), Clock::system(), "n").await.unwrap();
            assert_eq!(events.last_id(), first - 1);
            events.start_writer(&tasks, &stop);
            for number in 0..250 {
                events.record(EventKind::PackageSynced, Some("m-1"), number.to_string());
            }
            stop.cancel();
            assert!(tasks.finish(Duration::from_secs(10)).await);
            let page = events.page(first - 1, 1000).await.unwrap();
            let ids: Vec<u64> = page.events.iter().map(|event| event.id).collect();
            assert_eq!(ids, (first..first + 250).collect::<Vec<_>>());
            assert_eq!((page.events[0].reason.as_str(), page.last_id), ("0", first + 249));
        }
    }
}
