//! The packages being fetched, one job a meeting, and the limit on how many at a time.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use posthouse_protocol::MeetingId;
use posthouse_protocol::node::FetchProgress;
use tokio::sync::{Notify, watch};

use super::agenda::{Target, Wanted};
use super::job::{self, Ended, Job};
use crate::state::Node;

/// All jobs.
#[derive(Debug, Default)]
pub(crate) struct Fetches {
    jobs: Mutex<HashMap<String, Entry>>,
    pub(super) slots: Slots,
}

#[derive(Debug, Clone)]
struct Entry {
    job: Arc<Job>,
    ended: watch::Receiver<Option<Ended>>,
}

/// How a job of somebody ends.
#[derive(Debug, Clone)]
pub(crate) struct Awaited(watch::Receiver<Option<Ended>>);

impl Awaited {
    /// Waits for the end; whether the package is here.
    pub(crate) async fn is_held(&mut self) -> bool {
        match self.0.wait_for(Option::is_some).await {
            Ok(ended) => *ended == Some(Ended::Held),
            // It panicked.
            Err(_) => false,
        }
    }
}

impl Fetches {
    /// How far each one is.
    pub(crate) fn progress(&self) -> Vec<FetchProgress> {
        let jobs = self.jobs.lock();
        let mut progress: Vec<_> = jobs
            .values()
            .map(|Entry { job, .. }| FetchProgress {
                meeting_id: job.wanted.meeting.to_string(),
                version: job.progress.version(),
                done_bytes: job.progress.done(),
                total_bytes: job.progress.total(),
            })
            .collect();
        progress.sort_by(|one, other| one.meeting_id.cmp(&other.meeting_id));
        progress
    }

    /// Whether any is under way that the master asked for.
    pub(crate) fn is_busy(&self) -> bool {
        self.jobs.lock().values().any(|entry| entry.job.is_asked_by_master())
    }

    /// The one under way for a meeting.
    pub(crate) fn awaited(&self, meeting: &MeetingId) -> Option<Awaited> {
        self.jobs.lock().get(&meeting.key()).map(|entry| Awaited(entry.ended.clone()))
    }

    /// Interrupts all; what they have stays for later.
    pub(crate) fn interrupt_all(&self) {
        for entry in self.jobs.lock().values() {
            entry.job.cancel.cancel();
        }
    }

    /// Interrupts those the master asked for and no longer wants.
    pub(super) fn interrupt_unwanted(&self, is_wanted: impl Fn(&MeetingId) -> bool) -> Vec<Wanted> {
        let jobs = self.jobs.lock();
        let unwanted =
            jobs.values().filter(|entry| entry.job.is_asked_by_master() && !is_wanted(&entry.job.wanted.meeting));
        unwanted
            .map(|entry| {
                entry.job.cancel.cancel();
                entry.job.wanted.clone()
            })
            .collect()
    }

    /// The limit changed: who waits for a place looks again.
    pub(crate) fn limit_changed(&self) {
        self.slots.freed.notify_waiters();
    }
}

/// Fetches a package unless that is under way; a fetch of another version of it gives way.
pub(crate) fn fetch(node: &Node, wanted: Wanted, asked_by_master: bool) -> Awaited {
    let key = wanted.meeting.key();
    let mut jobs = node.sync.fetches.jobs.lock();
    let before = jobs.get(&key).cloned();
    if let Some(Entry { job, ended }) = &before {
        let is_enough = job.wanted.target == wanted.target || wanted.target == Target::Newest;
        if is_enough && !job.cancel.is_cancelled() {
            if asked_by_master {
                job.ask_by_master();
            }
            return Awaited(ended.clone());
        }
        job.cancel.cancel();
    }
    let name = format!("fetch {}", wanted.meeting);
    let job = Arc::new(Job::new(wanted, asked_by_master, node.stop.child_token()));
    let (ended, awaited) = watch::channel(None);
    jobs.insert(key, Entry { job: job.clone(), ended: awaited.clone() });
    drop(jobs);
    let node_of_job = node.clone();
    node.tasks.spawn(&name, async move {
        let node = node_of_job;
        let listed = Listed { node: node.clone(), job: job.clone() };
        // Two writers of one file would spoil each other's work.
        if let Some(mut before) = before.map(|entry| Awaited(entry.ended)) {
            before.is_held().await;
        }
        let outcome = job::run(&node, &job).await;
        drop(listed);
        ended.send_replace(Some(outcome));
    });
    Awaited(awaited)
}

/// Takes its job off the list at its end, even when that is a panic.
struct Listed {
    node: Node,
    job: Arc<Job>,
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut jobs = self.node.sync.fetches.jobs.lock();
        let key = self.job.wanted.meeting.key();
        if jobs.get(&key).is_some_and(|entry| Arc::ptr_eq(&entry.job, &self.job)) {
            jobs.remove(&key);
        }
    }
}

/// At most so many at a time, by a limit that may change at any moment.
#[derive(Debug, Default)]
pub(super) struct Slots {
    used: Arc<Mutex<usize>>,
    freed: Arc<Notify>,
}

/// A place among those that fetch; given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    used: Arc<Mutex<usize>>,
    freed: Arc<Notify>,
}

impl Slots {
    /// Waits for a place.
    pub(super) async fn take(&self, limit: impl Fn() -> usize) -> Slot {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            {
                let mut used = self.used.lock();
                if *used < limit() {
                    *used += 1;
                    return Slot { used: self.used.clone(), freed: self.freed.clone() };
                }
            }
            freed.await;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *self.used.lock() -= 1;
        self.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_raised_limit_lets_more_in_and_a_lowered_one_fewer() {
        let slots = Slots::default();
        let limit = AtomicUsize::new(1);
        let now = || limit.load(Ordering::SeqCst);
        let soon = Duration::from_millis(20);
        let first = slots.take(now).await;
        assert!(timeout(soon, slots.take(now)).await.is_err());
        limit.store(2, Ordering::SeqCst);
        let second = timeout(soon, slots.take(now)).await.unwrap();
        limit.store(1, Ordering::SeqCst);
        drop(first);
        assert!(timeout(soon, slots.take(now)).await.is_err());
        let waiting = slots.take(now);
        tokio::pin!(waiting);
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        drop(second);
        timeout(soon, waiting).await.unwrap();
    }
}
