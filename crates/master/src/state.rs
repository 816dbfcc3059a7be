//! What the parts of a running master share: one cheap handle, given to every handler and loop.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use posthouse_runtime::clock::Clock;
use posthouse_runtime::metrics::{Metrics, ServingMetrics};
use posthouse_runtime::paths::DataDir;
use posthouse_runtime::store::Store;
use posthouse_runtime::tasks::Tasks;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::catalog::CatalogReader;
use crate::config::{Allowed, MasterConfig};
use crate::error::Error;
use crate::events::Events;
use crate::files::Files;
use crate::joins::{self, Joins};
use crate::meetings::{self, Meetings};
use crate::open_packages::OpenPackages;
use crate::packages::Packages;
use crate::probe::Prober;
use crate::registry::{self, Registry};
use crate::rotation::Rotations;
use crate::store::meta;
use crate::users::Users;

/// The handle. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Master(Arc<Parts>);

/// What [`Master`] gives access to.
#[derive(Debug)]
pub struct Parts {
    pub(crate) data: DataDir,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) tasks: Tasks,
    pub(crate) metrics: Metrics,
    /// Who reads them without a login.
    pub(crate) metrics_for: Allowed,
    pub(crate) serving: ServingMetrics,
    pub(crate) events: Events,
    pub(crate) catalog: CatalogReader,
    pub(crate) files: Files,
    pub(crate) meetings: Meetings,
    pub(crate) users: Users,
    pub(crate) registry: Registry,
    pub(crate) rotation: Rotations,
    pub(crate) joins: Joins,
    pub(crate) prober: Prober,
    pub(crate) open_packages: OpenPackages,
    pub(crate) phase: watch::Sender<Phase>,
    pub(crate) stop: CancellationToken,
}

/// What a load balancer and a request need to know of the life of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not everything is loaded yet.
    Starting,
    /// At work.
    Running,
    /// Finishing what is under way; nothing new is begun.
    Draining,
}

impl Phase {
    /// As `/api/status` says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Draining => "draining",
        }
    }
}

impl From<Parts> for Master {
    fn from(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for Master {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Master {
    /// Puts the parts together; nothing runs yet.
    pub(crate) async fn assemble(
        config: MasterConfig,
        data: DataDir,
        address: SocketAddr,
        store: Store,
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        let clock = Clock::system();
        let tasks = Tasks::new(clock.clone());
        let metrics = Metrics::default();
        let serving = ServingMetrics::new(&metrics);
        let events = Events::open(store.clone(), clock.clone()).await?;
        let files = Files::new(&data, store.clone(), clock.clone(), &metrics);
        let users = Users::new(store.clone(), clock.clone(), events.clone());
        let (catalog_writer, catalog) = watch::channel(Arc::default());
        let around = registry::Surroundings {
            store: store.clone(),
            clock: clock.clone(),
            events: events.clone(),
            catalog: catalog.clone(),
            config: config.nodes.clone(),
            stop: stop.clone(),
        };
        let registry = Registry::load(around, &metrics).await?;
        let rotation = Rotations::new(registry.clone(), catalog.clone(), clock.clone(), &metrics);
        let joins = Joins::new(joins::Surroundings {
            store: store.clone(),
            clock: clock.clone(),
            tasks: tasks.clone(),
            events: events.clone(),
            registry: registry.clone(),
            address,
            master_id: meta::master_id(&store).await?,
        });
        let prober = Prober::new(registry.clone(), clock.clone())?;
        let around = meetings::Surroundings {
            store: store.clone(),
            clock: clock.clone(),
            tasks: tasks.clone(),
            events: events.clone(),
            files: files.clone(),
            packages: Packages::new(&data, stop.clone()),
            catalog: catalog_writer,
            registry: registry.clone(),
            rotation: rotation.clone(),
            config: config.meetings.clone(),
        };
        let meetings = Meetings::new(around, &metrics);
        let phase = watch::Sender::new(Phase::Starting);
        Ok(Self::from(Parts {
            data,
            address,
            clock,
            store,
            tasks,
            metrics,
            metrics_for: config.metrics.clone(),
            serving,
            events,
            catalog,
            files,
            meetings,
            users,
            registry,
            rotation,
            joins,
            prober,
            open_packages: OpenPackages::default(),
            phase,
            stop,
        }))
    }

    /// Whether the database is there and answers in time; if not, why, for people.
    pub(crate) async fn check_database(&self, limit: Duration) -> Result<(), String> {
        if !self.data.database().exists() {
            return Err("数据库文件不见了 / the database file is gone".to_owned());
        }
        match tokio::time::timeout(limit, meta::answers(&self.store)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("数据库无法读取 / the database cannot be read: {error}")),
            Err(_) => Err("数据库没有应答 / the database does not answer".to_owned()),
        }
    }
}
