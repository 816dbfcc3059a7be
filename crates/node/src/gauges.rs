//! Figures that are read when somebody asks for them.

use posthouse_runtime::metrics::{Gauge, Metrics};

use crate::state::Node;

/// The node's gauges.
#[derive(Debug)]
pub(crate) struct Gauges {
    metrics: Metrics,
    packages: Gauge,
    storage_bytes: Gauge,
    storage_limit_bytes: Gauge,
    fetching: Gauge,
    connected: Gauge,
    running: Gauge,
}

impl Gauges {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            packages: metrics.gauge("packages", "Packages held, verified"),
            storage_bytes: metrics.gauge("storage_bytes", "Bytes of the packages in the storage folder"),
            storage_limit_bytes: metrics.gauge("storage_limit_bytes", "Bytes that packages may take"),
            fetching: metrics.gauge("fetching_packages", "Packages being fetched"),
            connected: metrics.gauge("master_connected", "1 while the master answers and has the node registered"),
            running: metrics.gauge("service_running", "1 while the service is started"),
            metrics: metrics.clone(),
        }
    }

    /// All figures as text.
    pub(crate) fn to_text(&self, node: &Node) -> String {
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.packages.set(whole(node.shelf.held().len() as u64));
        self.storage_bytes.set(whole(node.shelf.total_bytes()));
        self.storage_limit_bytes.set(whole(node.settings.now().storage.max_size_bytes));
        self.fetching.set(whole(node.sync.fetches.progress().len() as u64));
        self.connected.set(i64::from(node.uplink.is_connected()));
        self.running.set(i64::from(node.service.is_running()));
        self.metrics.to_text()
    }
}
