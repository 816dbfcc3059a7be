//! What the parts of a running node share. Each part guards its own state; no lock here is held across an await.

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use posthouse_package::PackageStore;
use posthouse_runtime::clock::Clock;
use posthouse_runtime::logging::Logging;
use posthouse_runtime::metrics::{Counter, ServingMetrics};
use posthouse_runtime::paths::DataDir;
use posthouse_runtime::store::Store;
use posthouse_runtime::tasks::Tasks;
use posthouse_runtime::trust::password::PasswordCheck;
use tokio_util::sync::CancellationToken;

use crate::custody::Custody;
use crate::events::Events;
use crate::gauges::Gauges;
use crate::obtain::Obtaining;
use crate::presence::Presence;
use crate::service::Service;
use crate::settings::Settings;
use crate::shelf::Shelf;
use crate::space::Space;
use crate::sync::Sync;
use crate::uplink::Uplink;

/// A running node; clones are handles to the same one.
#[derive(Debug, Clone)]
pub(crate) struct Node(Arc<Parts>);

/// The parts.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) data: DataDir,
    pub(crate) clock: Clock,
    /// Random id of this process.
    pub(crate) instance: String,
    /// Where it listens.
    pub(crate) listening: SocketAddr,
    /// Whether the command line said where to listen, so that `nodePort` does not.
    pub(crate) listen_is_given: bool,
    pub(crate) logging: Option<Logging>,
    pub(crate) store: Store,
    pub(crate) events: Events,
    pub(crate) tasks: Tasks,
    /// Cancelled when this run ends, for whatever reason.
    pub(crate) stop: CancellationToken,
    pub(crate) settings: Settings,
    pub(crate) service: Service,
    pub(crate) uplink: Uplink,
    pub(crate) presence: Presence,
    pub(crate) packages: ArcSwap<PackageStore>,
    pub(crate) shelf: Shelf,
    pub(crate) custody: Custody,
    pub(crate) space: Space,
    pub(crate) sync: Sync,
    pub(crate) obtaining: Obtaining,
    pub(crate) passwords: PasswordCheck,
    pub(crate) gauges: Gauges,
    pub(crate) serving: ServingMetrics,
    /// Bytes of packages fetched from the master.
    pub(crate) received_bytes: Counter,
}

impl Node {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// The storage folder of this moment.
    pub(crate) fn package_store(&self) -> PackageStore {
        PackageStore::clone(&self.packages.load())
    }

    /// `node_secret.json`.
    pub(crate) fn secret_path(&self) -> PathBuf {
        crate::identity::path(&self.data)
    }
}

impl Deref for Node {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
