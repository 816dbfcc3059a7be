//! Whether the master reached a node at the address that it advertises, and when to try next.

use posthouse_protocol::node::Reachability;

/// Pause after the first failure, in milliseconds; doubles with each one
const PAUSE_MIN_MS: u64 = 2_000;
/// up to this.
const PAUSE_MAX_MS: u64 = 60_000;

/// What the probes of a node found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) result: Reachability,
    failures: u32,
    due_ms: Option<u64>,
}

impl Reach {
    /// To be tried at once, if nodes are probed at all.
    pub(super) fn untried(is_probed: bool, now_ms: u64) -> Self {
        if is_probed {
            Self { result: Reachability::Unknown, failures: 0, due_ms: Some(now_ms) }
        } else {
            Self { result: Reachability::NotProbed, failures: 0, due_ms: None }
        }
    }

    /// Takes the probe that is due, if one is: nobody else begins it then.
    pub(super) fn begin(&mut self, now_ms: u64) -> bool {
        self.due_ms.take_if(|due| *due <= now_ms).is_some()
    }

    /// Notes what a probe found. Once reached a node stays reached: a probe that an administrator asks for and that
    /// fails does not take a node out to which downloads go.
    pub(super) fn note(&mut self, found: Reachability, now_ms: u64) {
        if matches!(self.result, Reachability::Reached | Reachability::NotProbed) {
            return;
        }
        if found == Reachability::Reached {
            self.due_ms = None;
        } else {
            let pause = PAUSE_MIN_MS.saturating_mul(1 << self.failures.min(16)).min(PAUSE_MAX_MS);
            self.failures = self.failures.saturating_add(1);
            self.due_ms = Some(now_ms + pause);
        }
        self.result = found;
    }
}

#[cfg(test)]
mod tests {
    use posthouse_protocol::node::ProbeFailure;

    use super::*;

    #[test]
    fn failures_are_tried_again_ever_later_and_success_lasts() {
        let failed = || Reachability::Failed { cause: ProbeFailure::Refused, detail: String::new() };
        let mut reach = Reach::untried(true, 100);
        assert!(reach.begin(100) && !reach.begin(100));
        let mut now = 100;
        for pause in [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
            reach.note(failed(), now);
            assert!(!reach.begin(now + pause - 1), "{pause}");
            now += pause;
            assert!(reach.begin(now), "{pause}");
        }
        reach.note(Reachability::Reached, now);
        reach.note(failed(), now);
        assert_eq!(reach.result, Reachability::Reached);
        assert!(!reach.begin(u64::MAX));
        assert!(!Reach::untried(false, 0).begin(u64::MAX));
    }
}
