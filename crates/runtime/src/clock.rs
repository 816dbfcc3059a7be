//! Time as the program reads it; tests can hold it still.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A cheap, cloneable source of the time of day.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    held_ms: Option<Arc<AtomicI64>>,
    /// A time of day in Unix milliseconds and the moment at which it was read.
    steady_from: Option<(i64, Instant)>,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands at this time (Unix milliseconds) until [`Clock::set_ms`].
    #[must_use]
    pub fn held_at_ms(time_ms: i64) -> Self {
        Self { held_ms: Some(Arc::new(AtomicI64::new(time_ms))), steady_from: None }
    }

    /// A clock that starts with this one and does not jump when somebody sets the machine's clock.
    #[must_use]
    pub fn steady(&self) -> Self {
        Self { held_ms: self.held_ms.clone(), steady_from: Some((self.now_ms(), Instant::now())) }
    }

    /// Moves a held clock; the machine's clock is left alone.
    pub fn set_ms(&self, time_ms: i64) {
        if let Some(held) = &self.held_ms {
            held.store(time_ms, Ordering::SeqCst);
        }
    }

    /// Unix time in milliseconds.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        match (&self.held_ms, self.steady_from) {
            (Some(held), _) => held.load(Ordering::SeqCst),
            (None, Some((then_ms, then))) => then_ms + then.elapsed().as_millis() as i64,
            (None, None) => {
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as i64)
            }
        }
    }

    /// Unix time in seconds, as the deployed programs write it.
    #[must_use]
    pub fn now_seconds(&self) -> f64 {
        self.now_ms() as f64 / 1000.0
    }
}

/// A file's time as Unix seconds.
#[must_use]
pub fn seconds_of(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64())
}
