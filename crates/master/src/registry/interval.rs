//! How often a node sends its heartbeat: as it says, or as it is seen to.

/// Shortest interval a deployed node can be set to, and what is believed while nothing is known.
const INTERVAL_MIN_MS: u64 = 10_000;
/// Longest interval a node can be set to.
const INTERVAL_MAX_MS: u64 = 300_000;
/// How many gaps are remembered.
const GAPS: usize = 3;
/// A node that missed so many of its heartbeats is offline,
const ONLINE_INTERVALS: u64 = 3;
/// but none before this time.
const ONLINE_MIN_MS: u64 = 30_000;
/// A node is silent when a heartbeat is overdue by this much. With the sweep of the rotation this stays below the
/// 5 s within which nobody may be sent there any more.
const SILENT_MARGIN_MS: u64 = 4_000;

/// What is known of a node's heartbeat interval.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Interval {
    told_ms: Option<u64>,
    gaps_ms: [Option<u64>; GAPS],
    last_beat_ms: Option<u64>,
}

impl Interval {
    /// The node says so itself; 0 says nothing.
    pub(super) fn tell(&mut self, seconds: u64) {
        self.told_ms = (seconds > 0).then(|| (seconds.saturating_mul(1000)).min(INTERVAL_MAX_MS));
    }

    /// A heartbeat arrived at this moment.
    pub(super) fn observe(&mut self, now_ms: u64) {
        if let Some(last) = self.last_beat_ms.replace(now_ms) {
            self.gaps_ms.rotate_right(1);
            self.gaps_ms[0] = Some(now_ms.saturating_sub(last));
        }
    }

    /// The interval. Of the gaps seen last the shortest: one lost heartbeat does not make a node look slow.
    pub(super) fn ms(&self) -> u64 {
        let seen = || self.gaps_ms.iter().flatten().min().copied().unwrap_or(INTERVAL_MIN_MS);
        self.told_ms.unwrap_or_else(|| seen().clamp(INTERVAL_MIN_MS, INTERVAL_MAX_MS))
    }

    /// For how long after its last sign of life a node counts as online.
    pub(super) fn online_ms(&self) -> u64 {
        (ONLINE_INTERVALS * self.ms()).max(ONLINE_MIN_MS)
    }

    /// For how long after its last sign of life downloads are sent to a node.
    pub(super) fn silent_ms(&self) -> u64 {
        self.ms() + SILENT_MARGIN_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_says_wins_over_what_is_seen() {
        let mut interval = Interval::default();
        assert_eq!((interval.ms(), interval.online_ms(), interval.silent_ms()), (10_000, 30_000, 14_000));
        interval.tell(60);
        assert_eq!((interval.ms(), interval.online_ms(), interval.silent_ms()), (60_000, 180_000, 64_000));
        interval.tell(2);
        assert_eq!((interval.online_ms(), interval.silent_ms()), (30_000, 6_000));
    }

    #[test]
    fn a_python_nodes_interval_is_seen_and_one_lost_heartbeat_changes_nothing() {
        let mut interval = Interval::default();
        let mut now = 5_000;
        // The first two come close together, as after a registration.
        for gap in [20, 30_000, 30_000, 30_000] {
            interval.observe(now);
            now += gap;
        }
        interval.observe(now);
        assert_eq!(interval.ms(), 30_000);
        interval.observe(now + 60_000);
        assert_eq!(interval.ms(), 30_000);
    }
}
