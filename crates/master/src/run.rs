//! A master from start to end.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::Context as _;
use posthouse_protocol::event::EventKind;
use posthouse_runtime::http::Server;
use posthouse_runtime::paths::DataDir;
use posthouse_runtime::running_file::RunningGuard;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::MasterConfig;
use crate::state::{Master, Phase};
use crate::users::{self, FirstPassword, PASSWORD_VARIABLE};
use crate::{folders, router, tidying};

/// Downloads and uploads that are under way are given this long after the wish to stop.
const FINISH_LIMIT: Duration = Duration::from_secs(6);
/// Then connections are given this long.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);
/// Everything has ended this long after the wish to stop.
const STOP_LIMIT: Duration = Duration::from_millis(9_500);

/// What a master runs with.
pub struct Launch {
    /// Its configuration.
    pub config: MasterConfig,
    /// Its data folder.
    pub data: DataDir,
    /// That folder, taken for this process before anything in it was written.
    pub guard: RunningGuard,
    /// The administrator's password at the first start; one is made up when there is none.
    pub admin_password: Option<String>,
    /// Called with the password that was made up, to show it to a person once.
    pub on_first_password: Box<dyn FnOnce(&FirstPassword) + Send>,
    /// Called with the address once it answers there.
    pub on_running: Box<dyn FnOnce(SocketAddr) + Send>,
}

impl std::fmt::Debug for Launch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Launch").field("data", &self.data).finish_non_exhaustive()
    }
}

impl Launch {
    /// With the administrator's password of the environment.
    #[must_use]
    pub fn new(
        config: MasterConfig,
        data: DataDir,
        guard: RunningGuard,
        on_first_password: impl FnOnce(&FirstPassword) + Send + 'static,
        on_running: impl FnOnce(SocketAddr) + Send + 'static,
    ) -> Self {
        let admin_password = std::env::var(PASSWORD_VARIABLE).ok();
        Self {
            config,
            data,
            guard,
            admin_password,
            on_first_password: Box::new(on_first_password),
            on_running: Box::new(on_running),
        }
    }
}

/// Runs a master on `listener` until `stop`.
///
/// # Errors
/// When it cannot start; a [`posthouse_runtime::exit::StartError`] inside says why and with which code to exit.
pub async fn run(launch: Launch, listener: TcpListener, stop: CancellationToken) -> anyhow::Result<()> {
    let Launch { config, data, guard, admin_password, on_first_password, on_running } = launch;
    let address = listener.local_addr().context("the listener has no address")?;

    folders::prepare(&data)?;
    let store = crate::store::open(&data)?;
    let master = Master::assemble(config, data, address, store, stop.clone()).await?;
    let first = users::ensure_administrator(&master.store, &master.data, &master.clock, admin_password).await?;
    if let Some(first) = first {
        on_first_password(&first);
    }

    let (routes, short_cut) = (router::router(&master), router::short_cut(&master));
    let server = Server::start_with(&master.tasks, listener, routes, short_cut).context("the server cannot start")?;
    master.files.sweep().await?;
    master.meetings.sweep_packages().await?;
    master.meetings.try_publish().await?;
    spawn_loops(&master);
    master.phase.send_replace(Phase::Running);
    // Last: who finds the addresses is not turned away any more.
    guard.announce(&master.data, address).context("running.json cannot be written")?;
    on_running(address);
    master.events.record(EventKind::Started, None, None, format!("{} http://{address}", posthouse_runtime::VERSION));

    stop.cancelled().await;

    let ends_at = Instant::now() + STOP_LIMIT;
    master.events.record(EventKind::Stopping, None, None, "");
    master.phase.send_replace(Phase::Draining);
    transfers_end(&master).await;
    server.drain(DRAIN_LIMIT);
    master.tasks.finish(ends_at.saturating_duration_since(Instant::now())).await;
    master.events.flush().await;
    drop(guard);
    tracing::info!("the master has stopped");
    Ok(())
}

/// Every loop of a master.
fn spawn_loops(master: &Master) {
    let tasks = &master.tasks;
    let this = master.clone();
    tasks.spawn_loop("events", master.stop.clone(), move |report| this.events.clone().run(this.stop.clone(), report));
    let this = master.clone();
    tasks.spawn_loop("package versions", master.stop.clone(), move |report| {
        this.meetings.clone().run_versions(this.stop.clone(), report)
    });
    let this = master.clone();
    tasks.spawn_loop("readiness of nodes", master.stop.clone(), move |report| {
        this.meetings.clone().run_readiness(this.stop.clone(), report)
    });
    let this = master.clone();
    tasks.spawn_loop("rotation", master.stop.clone(), move |report| {
        this.rotation.clone().run(this.stop.clone(), report)
    });
    let this = master.clone();
    tasks.spawn_loop("probes of nodes", master.stop.clone(), move |report| {
        this.prober.clone().run(this.stop.clone(), report)
    });
    let this = master.clone();
    tasks.spawn_loop("notes on nodes", master.stop.clone(), move |report| {
        this.registry.clone().keep_notes(this.stop.clone(), report)
    });
    let this = master.clone();
    tasks.spawn_loop("open packages", master.stop.clone(), move |report| {
        this.open_packages.clone().run(this.catalog.clone(), this.stop.clone(), report)
    });
    let this = master.clone();
    tasks.spawn_loop("tidying", master.stop.clone(), move |report| tidying::run(this.clone(), report));
}

/// Waits for downloads and uploads to end, while everybody else is already turned away.
async fn transfers_end(master: &Master) {
    let ended = async {
        while master.serving.active.get() > 0 || master.files.uploads_under_way() > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if tokio::time::timeout(FINISH_LIMIT, ended).await.is_err() {
        tracing::warn!("downloads or uploads are cut off: they did not end in time");
    }
}
