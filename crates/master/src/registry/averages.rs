//! What heartbeats report, averaged over minutes and quarters of an hour.

use std::sync::Arc;

use posthouse_protocol::node::{HistoryPoint, NodeLoad};

use crate::store::node_history::Step;

/// Lengths of the steps, in seconds.
pub(crate) const MINUTE_SECONDS: i64 = 60;
/// See [`MINUTE_SECONDS`].
pub(crate) const QUARTER_SECONDS: i64 = 900;

/// The steps under way of one node.
#[derive(Debug, Default)]
pub(super) struct Averages {
    minute: Option<Sum>,
    quarter: Option<Sum>,
}

/// Sums over a step under way.
#[derive(Debug, Default)]
struct Sum {
    begin: i64,
    samples: u32,
    processor_percent: f64,
    memory_used_bytes: f64,
    storage_used_bytes: f64,
    sent_bytes_per_second: f64,
    downloads_per_second: f64,
}

impl Averages {
    /// Adds what a heartbeat reported; steps that ended before it go to `finished`.
    pub(super) fn add(&mut self, id: &Arc<str>, load: &NodeLoad, unix_seconds: f64, finished: &mut Vec<Step>) {
        self.finish(id, unix_seconds, finished);
        for (step, sum) in [(MINUTE_SECONDS, &mut self.minute), (QUARTER_SECONDS, &mut self.quarter)] {
            sum.get_or_insert_with(|| Sum { begin: begin_of(unix_seconds, step), ..Sum::default() }).add(load);
        }
    }

    /// Takes the steps that ended before this time (Unix seconds); all of them when it is infinite.
    pub(super) fn finish(&mut self, id: &Arc<str>, unix_seconds: f64, finished: &mut Vec<Step>) {
        for (step, sum) in [(MINUTE_SECONDS, &mut self.minute), (QUARTER_SECONDS, &mut self.quarter)] {
            // Unequal rather than later: a clock that was set back must not stretch a step.
            let ended = sum.take_if(|sum| sum.begin != begin_of(unix_seconds, step));
            finished.extend(ended.map(|sum| sum.into_step(id, step)));
        }
    }
}

fn begin_of(unix_seconds: f64, step: i64) -> i64 {
    (unix_seconds as i64).div_euclid(step).saturating_mul(step)
}

impl Sum {
    fn add(&mut self, load: &NodeLoad) {
        // What a node sends is not to be trusted to be a number.
        let sane = |value: f64| if value.is_finite() { value.max(0.0) } else { 0.0 };
        self.samples += 1;
        self.processor_percent += sane(f64::from(load.processor_percent)).min(100.0);
        self.memory_used_bytes += load.memory_used_bytes as f64;
        self.storage_used_bytes += load.storage_used_bytes as f64;
        self.sent_bytes_per_second += sane(load.sent_bytes_per_second);
        self.downloads_per_second += sane(load.downloads_per_second);
    }

    fn into_step(self, id: &Arc<str>, step_seconds: i64) -> Step {
        let samples = f64::from(self.samples.max(1));
        let point = HistoryPoint {
            time: self.begin,
            processor_percent: (self.processor_percent / samples) as f32,
            memory_used_bytes: (self.memory_used_bytes / samples) as u64,
            storage_used_bytes: (self.storage_used_bytes / samples) as u64,
            sent_bytes_per_second: self.sent_bytes_per_second / samples,
            downloads_per_second: self.downloads_per_second / samples,
        };
        Step { node_id: id.to_string(), step_seconds, samples: self.samples, point }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeats_are_averaged_by_minute_and_by_quarter() {
        let id: Arc<str> = "n".into();
        let mut averages = Averages::default();
        let mut finished = Vec::new();
        let load = |processor_percent| NodeLoad { processor_percent, ..NodeLoad::default() };
        for (second, percent) in [(0.0, 10.0), (30.0, 20.0), (59.9, 60.0), (60.0, 50.0), (899.0, f32::NAN)] {
            averages.add(&id, &load(percent), 1_800_000_000.0 + second, &mut finished);
        }
        averages.finish(&id, 1_800_000_900.0, &mut finished);
        let seen: Vec<_> = finished
            .iter()
            .map(|step| {
                (step.step_seconds, step.point.time - 1_800_000_000, step.samples, step.point.processor_percent)
            })
            .collect();
        assert_eq!(seen, [(60, 0, 3, 30.0), (60, 60, 1, 50.0), (60, 840, 1, 0.0), (900, 0, 5, 28.0)]);
        averages.finish(&id, f64::INFINITY, &mut finished);
        assert_eq!(finished.len(), 4);
    }
}
