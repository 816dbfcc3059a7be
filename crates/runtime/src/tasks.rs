//! Supervised background tasks: every one has a name, a count, a last error and a next run that an operator can see;
//! a panic is noticed, logged, and restarts a loop with back-off. `tokio::spawn` stands nowhere else.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use posthouse_protocol::node::TaskView;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;

/// Longest pause before a panicked loop is started again.
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(30);

/// All tasks of a role. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    states: Arc<Mutex<BTreeMap<String, TaskView>>>,
    clock: Clock,
}

/// A loop's own handle to what the operator sees of it.
#[derive(Debug, Clone)]
pub struct Report {
    name: String,
    tasks: Tasks,
}

impl Report {
    /// One unit of work is done.
    pub fn completed(&self) {
        self.tasks.change(&self.name, |state| state.completed += 1);
    }

    /// One unit of work failed. The caller logs it where it handles it.
    pub fn failed(&self, error: impl std::fmt::Display) {
        self.tasks.change(&self.name, |state| {
            state.failed += 1;
            state.last_error = Some(error.to_string());
        });
    }

    /// The next unit is planned after `pause`.
    pub fn next_in(&self, pause: Duration) {
        let at = self.tasks.clock.now_seconds() + pause.as_secs_f64();
        self.tasks.change(&self.name, |state| state.next_run = Some(at));
    }
}

impl Tasks {
    /// No tasks yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, ..Self::default() }
    }

    /// Runs `body` in a loop of its own until it returns or `stop` is cancelled after a panic. A panic restarts it.
    ///
    /// The body watches `stop` itself, so that it can finish its unit of work.
    pub fn spawn_loop<Body, Running>(&self, name: &str, stop: CancellationToken, body: Body)
    where
        Body: Fn(Report) -> Running + Send + Sync + 'static,
        Running: Future<Output = ()> + Send + 'static,
    {
        let report = self.begin(name);
        let tasks = self.clone();
        self.tracker.spawn(async move {
            let mut pause = Duration::from_millis(500);
            loop {
                let outcome = tokio::spawn(body(report.clone())).await;
                let Err(error) = outcome else { break };
                tracing::error!(task = report.name, %error, "a background task panicked and will be restarted");
                report.failed(format!("panicked: {error}"));
                tasks.change(&report.name, |state| state.running = false);
                report.next_in(pause);
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = stop.cancelled() => break,
                }
                pause = (pause * 2).min(RESTART_PAUSE_MAX);
                tasks.change(&report.name, |state| state.running = true);
            }
            tasks.change(&report.name, |state| state.running = false);
        });
    }

    /// Runs a single piece of work to its end. [`Tasks::finish`] waits for it; it is not listed once it has ended
    /// well. Its log lines have the id of the request that this is called for.
    pub fn spawn<Work>(&self, name: &str, work: Work) -> JoinHandle<()>
    where
        Work: Future<Output = ()> + Send + 'static,
    {
        let report = self.begin(name);
        let tasks = self.clone();
        let work = crate::http::request_id::carried(work);
        self.tracker.spawn(async move {
            match tokio::spawn(work).await {
                Ok(()) => {
                    tasks.states.lock().remove(&report.name);
                }
                Err(error) => {
                    tracing::error!(task = report.name, %error, "a background task panicked");
                    report.failed(format!("panicked: {error}"));
                    tasks.change(&report.name, |state| state.running = false);
                }
            }
        })
    }

    /// Waits for all tasks to end, at most for `limit`; whether they did.
    pub async fn finish(&self, limit: Duration) -> bool {
        self.tracker.close();
        let ended = tokio::time::timeout(limit, self.tracker.wait()).await.is_ok();
        if !ended {
            let names: Vec<String> =
                self.states.lock().values().filter(|state| state.running).map(|state| state.name.clone()).collect();
            tracing::warn!(?names, "tasks did not end in time");
        }
        ended
    }

    /// All tasks by name.
    #[must_use]
    pub fn views(&self) -> Vec<TaskView> {
        self.states.lock().values().cloned().collect()
    }

    fn begin(&self, name: &str) -> Report {
        let state = TaskView {
            name: name.to_owned(),
            running: true,
            completed: 0,
            failed: 0,
            last_error: None,
            next_run: None,
        };
        self.states.lock().insert(name.to_owned(), state);
        Report { name: name.to_owned(), tasks: self.clone() }
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut TaskView)) {
        if let Some(state) = self.states.lock().get_mut(name) {
            change(state);
        }
    }
}

/// Runs blocking work (files, hashing, compression) off the async threads, keeping the request id for its log lines.
/// A panic of the work goes on in the caller.
pub async fn blocking<Work, Output>(work: Work) -> Output
where
    Work: FnOnce() -> Output + Send + 'static,
    Output: Send + 'static,
{
    let request_id = crate::http::request_id::current();
    let work = move || crate::http::request_id::with(request_id, work);
    match tokio::task::spawn_blocking(work).await {
        Ok(output) => output,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // Blocking work is never aborted; the runtime itself is going away.
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_panicking_loop_is_restarted_and_its_panic_is_seen() {
        let tasks = Tasks::new(Clock::system());
        let runs = Arc::new(AtomicU32::new(0));
        let counted = runs.clone();
        tasks.spawn_loop("fragile", CancellationToken::new(), move |report| {
            let run = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                assert!(run > 0, "first run fails");
                report.completed();
            }
        });
        assert!(tasks.finish(Duration::from_secs(60)).await);
        assert_eq!(runs.load(Ordering::SeqCst), 2);
        let view = tasks.views().remove(0);
        assert_eq!((view.completed, view.failed, view.running), (1, 1, false));
        assert!(view.last_error.unwrap().contains("panic"));
    }
}
