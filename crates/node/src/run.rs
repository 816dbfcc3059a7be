//! The node from its start to its end.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use posthouse_package::PackageStore;
use posthouse_protocol::event::EventKind;
use posthouse_protocol::join::JoinCode;
use posthouse_runtime::clock::Clock;
use posthouse_runtime::exit::StartError;
use posthouse_runtime::http::Server;
use posthouse_runtime::logging::Logging;
use posthouse_runtime::metrics::{Metrics, ServingMetrics};
use posthouse_runtime::running_file::RunningGuard;
use posthouse_runtime::tasks::Tasks;
use posthouse_runtime::trust::password::PasswordCheck;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::NodeConfig;
use crate::events::Events;
use crate::service::Service;
use crate::settings::Settings;
use crate::start::NodeStart;
use crate::state::{Node, Parts};
use crate::store::meta::{self, Fact};
use crate::uplink::Uplink;
use crate::{custody, http, join, presence, reconfigure, sync};

/// Loops finish their unit of work in this time.
const LOOPS_LIMIT: Duration = Duration::from_secs(3);
/// Downloads under way may go on for so long after the node was told to stop.
const DOWNLOADS_LIMIT: Duration = Duration::from_secs(6);
/// All of the end together takes no longer.
const STOP_LIMIT: Duration = Duration::from_secs(8);
/// Downloads under way may go on for so long on a port that was given up.
const OLD_PORT_LIMIT: Duration = Duration::from_secs(3600);

/// How a run ended.
#[derive(Debug)]
pub enum NodeExit {
    /// It was told to stop, and has.
    Stopped,
    /// `nodePort` changed: the caller binds `address` and calls [`run`] again with `start`, and waits for `draining` at
    /// its own end.
    Rebind {
        /// Where to listen now; a moment ago it was free.
        address: SocketAddr,
        /// For the next run.
        start: Box<NodeStart>,
        /// Downloads on the old port.
        draining: Draining,
    },
}

/// Downloads under way on a port that was given up. They go on whether or not anybody waits.
#[derive(Debug)]
pub struct Draining {
    tasks: Tasks,
}

impl Draining {
    /// Waits for their end, at most for `limit`.
    pub async fn finish(self, limit: Duration) {
        self.tasks.finish(limit).await;
    }
}

/// Why a run comes to its end.
enum End {
    Stop,
    NewPort,
    Refused(StartError),
}

/// Runs the node on `listener` until `stop` is cancelled or its port changes. `logging` is told of changed settings.
///
/// # Errors
/// A [`StartError`] when the master refuses the join code at once; else when the database or the disk fails at the start.
pub async fn run(
    start: NodeStart,
    listener: TcpListener,
    stop: CancellationToken,
    logging: Option<Logging>,
) -> anyhow::Result<NodeExit> {
    let listening = listener.local_addr().context("the listener has no address")?;
    let NodeStart { guard, code, listen, config, .. } = &start;
    let (code, listen, port) = (code.clone(), *listen, config.node_port);
    if let Err(error) = guard.announce(&start.data, listening) {
        // On a full disk, say: what is here can be served nevertheless.
        tracing::warn!(%error, "running.json could not be written");
    }

    let (node, guard) = assemble(start, listening, logging).await?;
    node.events.start_writer(&node.tasks, &node.stop);
    node.events.record(EventKind::Started, None, format!("{} {listening}", posthouse_runtime::VERSION));
    custody::settle(&node, custody::Occasion::Start).await.context("the storage folder")?;

    let connections = Tasks::new(node.clock.clone());
    let server = Server::start(&connections, listener, http::router(&node)).context("the HTTP server")?;
    tracing::info!(node_id = node.settings.now().node_id, %listening, "the node serves");

    let (refused, mut refusals) = mpsc::channel(1);
    start_loops(&node, code.clone(), refused);
    if node.service.is_running() {
        node.uplink.open(&node.settings.now());
    }

    let end = tokio::select! {
        () = stop.cancelled() => End::Stop,
        () = port_changed(&node, port) => End::NewPort,
        Some(error) = refusals.recv() => End::Refused(error),
    };

    if !matches!(end, End::NewPort) {
        node.events.record(EventKind::Stopping, None, "");
    }
    let ends_at = Instant::now() + STOP_LIMIT;
    server.drain(if matches!(end, End::NewPort) { OLD_PORT_LIMIT } else { DOWNLOADS_LIMIT });
    say_goodbye(&node).await;
    let next = next_start(&node, guard, code, listen);
    node.tasks.finish(LOOPS_LIMIT).await;
    match end {
        End::NewPort => {
            let start = Box::new(next);
            Ok(NodeExit::Rebind { address: start.listen_address(), start, draining: Draining { tasks: connections } })
        }
        End::Stop | End::Refused(_) => {
            connections.finish(ends_at.saturating_duration_since(Instant::now())).await;
            // The last word of the database: what was queued before is written when this returns.
            let _ = node.store.call(|_| Ok(())).await;
            drop(next);
            match end {
                End::Refused(error) => Err(error.into()),
                _ => Ok(NodeExit::Stopped),
            }
        }
    }
}

/// The parts of a node, none of them at work yet.
async fn assemble(
    start: NodeStart,
    listening: SocketAddr,
    logging: Option<Logging>,
) -> anyhow::Result<(Node, RunningGuard)> {
    let NodeStart { data, file, guard, store, raw, config, secret, code, listen, instance, is_running } = start;
    let clock = Clock::system();
    let events = Events::open(store.clone(), clock.clone(), &config.node_id).await?;
    let is_joined = secret.as_ref().is_some_and(|secret| secret.in_force().is_some());
    if code.is_some() && !is_joined {
        meta::write(&store, Fact::CodeGiven, Some("a join code was given".to_owned())).await?;
    }
    let code_is_open = !is_joined && meta::read(&store, Fact::CodeGiven).await?.is_some();
    let metrics = Metrics::default();
    let packages = PackageStore::open(&config.storage.path)?;
    let node = Node::new(Parts {
        data,
        instance,
        listening,
        listen_is_given: listen.is_some(),
        logging,
        tasks: Tasks::new(clock.clone()),
        stop: CancellationToken::new(),
        settings: Settings::new(file, raw, config),
        service: Service::new(&clock, is_running),
        uplink: Uplink::new(clock.clone(), events.clone(), secret, code_is_open),
        presence: presence::Presence::default(),
        packages: ArcSwap::from_pointee(packages),
        shelf: crate::shelf::Shelf::default(),
        custody: custody::Custody::default(),
        space: crate::space::Space::default(),
        sync: sync::Sync::default(),
        obtaining: crate::obtain::Obtaining::default(),
        passwords: PasswordCheck::new(clock.clone()),
        serving: ServingMetrics::new(&metrics),
        received_bytes: metrics.counter("received_bytes", "Package bytes fetched from the master"),
        gauges: crate::gauges::Gauges::new(&metrics),
        store,
        events,
        clock,
    });
    Ok((node, guard))
}

/// Every loop there is.
fn start_loops(node: &Node, code: Option<JoinCode>, refused: mpsc::Sender<StartError>) {
    let spawn = |name: &str, body: fn(Node, posthouse_runtime::tasks::Report) -> Loop| {
        let node_of_loop = node.clone();
        node.tasks.spawn_loop(name, node.stop.clone(), move |report| body(node_of_loop.clone(), report));
    };
    spawn("configuration", |node, report| Box::pin(reconfigure::watch(node, report)));
    spawn("storage", |node, report| Box::pin(custody::run(node, report)));
    spawn("heartbeat", |node, report| Box::pin(presence::run(node, report)));
    spawn("live", |node, report| Box::pin(presence::live::run(node, report)));
    spawn("sync", |node, report| Box::pin(sync::run(node, report)));
    let joining = node.clone();
    node.tasks.spawn_loop("join", node.stop.clone(), move |report| {
        join::run(joining.clone(), code.clone(), refused.clone(), report)
    });
}

type Loop = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Waits until the configuration names another port, unless the command line decides.
async fn port_changed(node: &Node, port: u16) {
    if node.listen_is_given {
        std::future::pending::<()>().await;
    }
    let is_other = |config: &std::sync::Arc<NodeConfig>| config.node_port != port;
    if node.settings.subscribe().wait_for(is_other).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Loops stop, fetches are parked, the master is told.
async fn say_goodbye(node: &Node) {
    let left = node.uplink.close();
    node.stop.cancel();
    if let Some(link) = left {
        presence::unregister(&link).await;
    }
}

/// What the next run begins with.
fn next_start(node: &Node, guard: RunningGuard, code: Option<JoinCode>, listen: Option<SocketAddr>) -> NodeStart {
    NodeStart {
        data: node.data.clone(),
        file: node.settings.file().to_owned(),
        guard,
        store: node.store.clone(),
        raw: node.settings.raw(),
        config: NodeConfig::clone(&node.settings.now()),
        secret: node.uplink.secret(),
        code,
        listen,
        instance: node.instance.clone(),
        is_running: node.service.is_running(),
    }
}
