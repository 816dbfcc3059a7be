//! Time as the registry reads it: one that only goes forward for what is overdue, the time of day for people.

use posthouse_runtime::clock::Clock;
use tokio::time::Instant;

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Moment {
    /// Milliseconds since some moment before the master started; not moved by somebody setting the clock.
    pub(crate) ms: u64,
    /// Unix seconds.
    pub(crate) unix_seconds: f64,
}

/// Gives the present moment.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    started: Instant,
    clock: Clock,
}

impl Watch {
    pub(super) fn new(clock: Clock) -> Self {
        Self { started: Instant::now(), clock }
    }

    pub(super) fn now(&self) -> Moment {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Moment { ms: elapsed.saturating_add(1), unix_seconds: self.clock.now_seconds() }
    }
}
