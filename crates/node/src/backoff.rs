//! Pauses between attempts to reach the master: growing, at most ten seconds, with jitter, so that a hundred nodes do
//! not come back in the same instant.

use std::time::Duration;

use posthouse_runtime::random;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(10);

/// The pauses of one loop.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// It went well: the next pause is short again.
    pub(crate) fn reset(&mut self) {
        self.next = FIRST;
    }

    /// The pause to make now.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST);
        with_jitter(pause)
    }

    /// The longest pause: what was refused will be refused for a while.
    pub(crate) fn long_pause(&mut self) -> Duration {
        self.next = LONGEST;
        with_jitter(LONGEST)
    }
}

/// Between three quarters of a pause and the whole of it.
fn with_jitter(pause: Duration) -> Duration {
    let random = u32::from(u16::from_le_bytes(random::bytes()));
    pause * 3 / 4 + pause / 4 * random / u32::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_ten_seconds_and_no_further() {
        let mut backoff = Backoff::default();
        let pauses: Vec<Duration> = (0..10).map(|_| backoff.pause()).collect();
        assert!(pauses[0] <= FIRST && pauses[0] >= FIRST * 3 / 4);
        assert!(pauses.iter().all(|pause| *pause <= LONGEST));
        assert!(pauses[9] >= LONGEST * 3 / 4);
        backoff.reset();
        assert!(backoff.pause() <= FIRST);
    }
}
