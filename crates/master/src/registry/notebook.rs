//! Writing down what was seen: together, late by a second at most; and forgetting old history.

use std::time::Duration;

use posthouse_protocol::node::HistoryPoint;
use posthouse_runtime::store::StoreError;
use posthouse_runtime::tasks::Report;
use tokio_util::sync::CancellationToken;

use super::Registry;
use super::averages::{MINUTE_SECONDS, QUARTER_SECONDS};
use super::refusal::NodeRefusal;
use crate::error::Error;
use crate::store::{join_codes, node_history, node_notes};

/// Pause between two writings.
const PAUSE: Duration = Duration::from_millis(900);
/// Pause between two prunings, in seconds.
const PRUNE_PAUSE_SECONDS: f64 = 3600.0;
/// Minutes are kept for two days, quarters for sixty.
const KEPT_SECONDS: [(i64, i64); 2] = [(MINUTE_SECONDS, 2 * 86_400), (QUARTER_SECONDS, 60 * 86_400)];
/// Nodes whose history is pruned in one transaction.
const PRUNED_TOGETHER: usize = 50;

impl Registry {
    /// The loop that writes; the last time after `stop`, so that nothing seen is lost.
    pub(crate) async fn keep_notes(self, stop: CancellationToken, report: Report) {
        let mut next_prune = 0.0;
        loop {
            report.next_in(PAUSE);
            let is_last = tokio::select! {
                () = tokio::time::sleep(PAUSE) => false,
                () = stop.cancelled() => true,
            };
            let now = self.0.around.clock.now_seconds();
            let mut outcome = self.write_notes(if is_last { f64::INFINITY } else { now }).await;
            if outcome.is_ok() && now >= next_prune && !is_last {
                next_prune = now + PRUNE_PAUSE_SECONDS;
                outcome = self.prune(now as i64).await;
            }
            match outcome {
                Ok(()) => report.completed(),
                Err(error) => {
                    tracing::warn!(%error, "what was seen of the nodes is not written yet");
                    report.failed(error);
                }
            }
            if is_last {
                return;
            }
        }
    }

    /// Writes what is not written yet. Steps of the history that ended before this time (Unix seconds) are among it.
    pub(super) async fn write_notes(&self, until_unix_seconds: f64) -> Result<(), StoreError> {
        let _turn = self.0.writing.lock().await;
        let notes = self.with(|nodes, _| nodes.take_notes(until_unix_seconds));
        if notes.is_empty() {
            return Ok(());
        }
        let now = self.0.around.clock.now_seconds();
        let written = node_notes::write(&self.0.around.store, notes.clone(), now).await;
        if written.is_err() {
            self.with(|nodes, _| nodes.put_back(notes));
        }
        written
    }

    /// Forgets history that is too old, and codes that nobody can use any more.
    pub(super) async fn prune(&self, now: i64) -> Result<(), StoreError> {
        let store = &self.0.around.store;
        let ids: Vec<String> = self.with(|nodes, _| nodes.by_id.keys().map(ToString::to_string).collect());
        for together in ids.chunks(PRUNED_TOGETHER) {
            for (step, kept) in KEPT_SECONDS {
                node_history::forget(store, together.to_vec(), step, now - kept).await?;
            }
        }
        join_codes::forget_expired(store, now).await
    }

    /// The history of a node in steps of this length, oldest first.
    pub(crate) async fn history(&self, id: &str, step_seconds: i64) -> Result<Vec<HistoryPoint>, Error> {
        if self.with(|nodes, _| !nodes.by_id.contains_key(id)) {
            return Err(NodeRefusal::NotFound(id.to_owned()).into());
        }
        Ok(node_history::of_node(&self.0.around.store, id, step_seconds).await?)
    }
}
