//! Events: recorded by whoever makes something happen, written in order by one task, read page by page or as they come.

use std::sync::Arc;
use std::time::Duration;

use posthouse_protocol::event::{EventKind, EventPage};
use posthouse_runtime::clock::Clock;
use posthouse_runtime::store::{Store, StoreError};
use posthouse_runtime::tasks::Report;
use tokio::sync::{Mutex, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::store::events::{self as table, NewEvent};

/// Events that may wait for the database; more are lost, and that is logged.
const QUEUE_MAX: usize = 10_000;
/// Events written in one transaction.
const BATCH_MAX: usize = 500;
/// Events that are kept.
const KEPT: u32 = 100_000;
/// Pause after the database refused a batch.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// A cheap handle to all events.
#[derive(Debug, Clone)]
pub struct Events(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: Clock,
    queue: mpsc::Sender<NewEvent>,
    waiting: Mutex<mpsc::Receiver<NewEvent>>,
    newest: watch::Sender<u64>,
}

impl Events {
    /// The events in `store`.
    pub(crate) async fn open(store: Store, clock: Clock) -> Result<Self, StoreError> {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let (_, newest) = table::after(&store, u64::MAX, 0).await?;
        let newest = watch::Sender::new(newest);
        Ok(Self(Arc::new(Inner { store, clock, queue, waiting: Mutex::new(waiting), newest })))
    }

    /// Something happened: it is logged, and written to the database by [`Events::run`]. Never waits.
    pub fn record(&self, kind: EventKind, meeting: Option<&str>, node: Option<&str>, reason: impl Into<String>) {
        let reason = reason.into();
        tracing::info!(meeting, node, reason, "{kind:?}");
        let event = NewEvent {
            time: self.0.clock.now_seconds(),
            kind,
            meeting_id: meeting.map(str::to_owned),
            node_id: node.map(str::to_owned),
            reason,
        };
        if self.0.queue.try_send(event).is_err() {
            tracing::warn!(?kind, "an event is lost: the database does not keep up");
        }
    }

    /// A page of the list.
    pub(crate) async fn page(&self, after: u64, limit: u32) -> Result<EventPage, StoreError> {
        let (events, last_id) = table::after(&self.0.store, after, limit).await?;
        Ok(EventPage { events, last_id })
    }

    /// The id of the newest event, and each newer one.
    pub(crate) fn newest(&self) -> watch::Receiver<u64> {
        self.0.newest.subscribe()
    }

    /// Looks for events that another process wrote, such as `posthouse join-code`.
    pub(crate) async fn look(&self) -> Result<(), StoreError> {
        let (_, newest) = table::after(&self.0.store, u64::MAX, 0).await?;
        self.0.newest.send_if_modified(|known| {
            let is_news = newest > *known;
            *known = newest.max(*known);
            is_news
        });
        Ok(())
    }

    /// The loop that writes.
    pub(crate) async fn run(self, stop: CancellationToken, report: Report) {
        loop {
            let mut batch = Vec::new();
            {
                let mut waiting = self.0.waiting.lock().await;
                tokio::select! {
                    _ = waiting.recv_many(&mut batch, BATCH_MAX) => {}
                    () = stop.cancelled() => return,
                }
            }
            while let Err(error) = self.write(batch.clone()).await {
                tracing::warn!(%error, "events could not be written");
                report.failed(error);
                tokio::select! {
                    () = tokio::time::sleep(RETRY_PAUSE) => {}
                    () = stop.cancelled() => return,
                }
            }
            report.completed();
        }
    }

    /// Writes what still waits: the last thing before the end.
    pub(crate) async fn flush(&self) {
        let mut batch = Vec::new();
        let mut waiting = self.0.waiting.lock().await;
        while let Ok(event) = waiting.try_recv() {
            batch.push(event);
        }
        if !batch.is_empty()
            && let Err(error) = self.write(batch).await
        {
            tracing::warn!(%error, "the last events could not be written");
        }
    }

    /// Removes the oldest ones.
    pub(crate) async fn thin(&self) -> Result<(), StoreError> {
        table::thin(&self.0.store, KEPT).await
    }

    async fn write(&self, batch: Vec<NewEvent>) -> Result<(), StoreError> {
        let newest = table::append(&self.0.store, batch).await?;
        self.0.newest.send_replace(newest);
        Ok(())
    }
}
