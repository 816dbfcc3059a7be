//! Metrics of a role in the Prometheus text format. Each role has a registry of its own, so that both can live in one
//! process.

use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

pub use prometheus_client::metrics::counter::Counter;
pub use prometheus_client::metrics::family::Family;
pub use prometheus_client::metrics::gauge::Gauge;

/// A role's registry, cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { registry: Arc::new(Mutex::new(Registry::with_prefix("posthouse"))) }
    }
}

impl Metrics {
    /// A new counter; `_total` is added to its name by the format.
    #[must_use]
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        let counter = Counter::default();
        self.registry.lock().register(name, help, counter.clone());
        counter
    }

    /// A new gauge.
    #[must_use]
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        let gauge = Gauge::default();
        self.registry.lock().register(name, help, gauge.clone());
        gauge
    }

    /// All values as text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry.lock());
        text
    }
}

/// What serving packages counts.
#[derive(Debug, Clone)]
pub struct ServingMetrics {
    /// Downloads begun.
    pub downloads: Counter,
    /// Bytes handed to clients.
    pub sent_bytes: Counter,
    /// Downloads under way.
    pub active: Gauge,
}

impl ServingMetrics {
    /// Registers them.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            downloads: metrics.counter("downloads", "Package downloads begun"),
            sent_bytes: metrics.counter("sent_bytes", "Package bytes handed to clients"),
            active: metrics.gauge("active_downloads", "Package downloads under way"),
        }
    }
}
