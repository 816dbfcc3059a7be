//! What the node tells of itself with registration and heartbeat.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use posthouse_protocol::node::{NodeExtension, NodeLoad, SystemFacts};
use posthouse_runtime::network;
use posthouse_runtime::system::SystemProbe;
use posthouse_runtime::tasks::blocking;

use crate::state::Node;
use crate::uplink::Link;

/// Rates over less time than this would jump.
const LEAST_SPAN: Duration = Duration::from_secs(1);

/// Time limit to look up the master's name.
const RESOLVE_LIMIT: Duration = Duration::from_secs(2);

/// Keeps what is needed to turn counters into rates.
#[derive(Debug, Default)]
pub(crate) struct Reporter {
    machine: Mutex<Option<Machine>>,
    rates: Mutex<Rates>,
    /// The address told last.
    address: Mutex<Option<String>>,
}

#[derive(Debug, Clone)]
struct Machine {
    storage: PathBuf,
    probe: Arc<SystemProbe>,
    facts: SystemFacts,
}

#[derive(Debug, Default, Clone, Copy)]
struct Rates {
    since: Option<(Instant, Counts)>,
    sent_bytes_per_second: f64,
    received_bytes_per_second: f64,
    downloads_per_second: f64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    sent: u64,
    received: u64,
    downloads: u64,
}

impl Reporter {
    /// The address told last, `host:port`.
    pub(crate) fn address(&self) -> Option<String> {
        self.address.lock().clone()
    }

    fn rates(&self, now: Instant, counts: Counts) -> Rates {
        let mut rates = self.rates.lock();
        match rates.since {
            None => rates.since = Some((now, counts)),
            Some((then, before)) if now - then >= LEAST_SPAN => {
                let seconds = (now - then).as_secs_f64();
                let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
                *rates = Rates {
                    since: Some((now, counts)),
                    sent_bytes_per_second: rate(counts.sent, before.sent),
                    received_bytes_per_second: rate(counts.received, before.received),
                    downloads_per_second: rate(counts.downloads, before.downloads),
                };
            }
            Some(_) => {}
        }
        *rates
    }
}

/// All that our master wants to know.
pub(super) async fn extension(node: &Node) -> NodeExtension {
    let config = node.settings.now();
    let storage = config.storage.path.clone();
    let (system, load) = machine(node, storage).await;
    let rates = node.presence.reporter.rates(
        Instant::now(),
        Counts {
            sent: node.serving.sent_bytes.get(),
            received: node.received_bytes.get(),
            downloads: node.serving.downloads.get(),
        },
    );
    NodeExtension {
        version: posthouse_runtime::VERSION.to_owned(),
        instance: node.instance.clone(),
        heartbeat_interval_seconds: config.heartbeat_interval.as_secs(),
        system,
        load: NodeLoad {
            storage_used_bytes: node.shelf.total_bytes(),
            storage_limit_bytes: config.storage.max_size_bytes,
            sent_bytes_per_second: rates.sent_bytes_per_second,
            received_bytes_per_second: rates.received_bytes_per_second,
            downloads_per_second: rates.downloads_per_second,
            active_downloads: u32::try_from(node.serving.active.get()).unwrap_or(0),
            ..load
        },
        clock_offset_ms: node.uplink.clock_offset_ms(),
        held: node.shelf.held(),
        fetching: node.sync.fetches.progress(),
    }
}

/// Facts and load of the machine. What it is was read once for each storage folder.
async fn machine(node: &Node, storage: PathBuf) -> (SystemFacts, NodeLoad) {
    let known = node.presence.reporter.machine.lock().clone().filter(|machine| machine.storage == storage);
    let (machine, load) = blocking(move || {
        let machine = known.unwrap_or_else(|| {
            let probe = SystemProbe::new(&storage);
            let facts = probe.facts();
            Machine { storage, probe: Arc::new(probe), facts }
        });
        let load = machine.probe.load();
        (machine, load)
    })
    .await;
    let facts = machine.facts.clone();
    *node.presence.reporter.machine.lock() = Some(machine);
    (facts, load)
}

/// Where clients reach this node: as configured, else at the local address that reaches the master and the port it
/// listens on.
pub(crate) async fn advertised_address(node: &Node, link: &Link) -> String {
    let port = node.listening.port();
    let address = match &node.settings.now().public {
        Some(public) => network::host_and_port(&public.host, public.port.unwrap_or(port)),
        None if !node.listening.ip().is_unspecified() => node.listening.to_string(),
        None => {
            let local = resolve(&link.address).await.and_then(network::local_address_towards);
            match (local, node.presence.reporter.address()) {
                (Some(local), _) => SocketAddr::new(local, port).to_string(),
                (None, Some(last)) => last,
                (None, None) => network::reachable_addresses(node.listening).swap_remove(0),
            }
        }
    };
    *node.presence.reporter.address.lock() = Some(address.clone());
    address
}

async fn resolve(address: &str) -> Option<SocketAddr> {
    // A name server that is away must not delay a heartbeat for long.
    let found = tokio::time::timeout(RESOLVE_LIMIT, tokio::net::lookup_host(address)).await;
    found.ok()?.ok()?.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_since_the_last_report_and_do_not_jump() {
        let reporter = Reporter::default();
        let start = Instant::now();
        let counts = |sent| Counts { sent, received: 0, downloads: 0 };
        assert_eq!(reporter.rates(start, counts(0)).sent_bytes_per_second, 0.0);
        assert_eq!(reporter.rates(start + Duration::from_secs(2), counts(1000)).sent_bytes_per_second, 500.0);
        // An extra heartbeat right after does not turn a few bytes into a rate.
        let soon = start + Duration::from_millis(2010);
        assert_eq!(reporter.rates(soon, counts(9000)).sent_bytes_per_second, 500.0);
        assert_eq!(reporter.rates(start + Duration::from_secs(12), counts(1000)).sent_bytes_per_second, 0.0);
    }
}
