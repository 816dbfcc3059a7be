//! The nodes: who is registered, what each holds, whether it is alive, whom it is allowed to speak for.
//!
//! Live state is in memory behind one lock that is held for microseconds and never across an await; [`Nodes`] is that
//! state and knows no time but the one it is given. Downloads never ask it: [`crate::rotation`] is told when something
//! changed. The database learns of sightings late and together, of decisions and secrets at once.

mod admission;
mod averages;
mod candidates;
mod fetches;
mod holdings;
mod interval;
mod live;
mod moment;
mod node;
mod nodes;
mod notebook;
mod patch;
mod presence;
mod probes;
mod reach;
mod refusal;
mod refused;
#[cfg(test)]
mod tests;
mod views;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use posthouse_protocol::legacy::{AvailableNodes, HeartbeatRequest, ListedNode, NodeView, RegisterRequest};
use posthouse_protocol::live::ChallengeAnswer;
use posthouse_protocol::node::NodeDetailView;
use posthouse_protocol::{MeetingId, legacy::HeartbeatAnswer};
use posthouse_runtime::clock::Clock;
use posthouse_runtime::metrics::{Counter, Gauge, Metrics};
use posthouse_runtime::store::{Store, StoreError};
use posthouse_runtime::trust::Secret;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::admission::Arrival;
use self::moment::{Moment, Watch};
use self::nodes::Nodes;
use self::presence::Registered;
use crate::catalog::CatalogReader;
use crate::config::NodesConfig;
use crate::events::Events;
use crate::store::{node_fetches, nodes as table};

pub(crate) use self::admission::{Speaker, check_id};
pub(crate) use self::averages::{MINUTE_SECONDS, QUARTER_SECONDS};
pub(crate) use self::candidates::{Candidate, Served};
pub(crate) use self::fetches::PlainFetch;
pub(crate) use self::live::LiveFeed;
pub(crate) use self::probes::ProbeTarget;

pub use self::candidates::Readiness;
pub use self::refusal::NodeRefusal;

/// How long a process has to say that it lives, when another one wants its id.
const CHALLENGE_LIMIT: Duration = Duration::from_secs(2);
/// A newcomer asks so many processes in turn before it is refused: each one that takes part in such a race is alive.
const CHALLENGES_MAX: usize = 3;

/// A cheap handle to all nodes.
#[derive(Debug, Clone)]
pub struct Registry(Arc<Shared>);

/// What the registry needs of the rest of the master.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) events: Events,
    pub(crate) catalog: CatalogReader,
    pub(crate) config: NodesConfig,
    pub(crate) stop: CancellationToken,
}

#[derive(Debug)]
struct Shared {
    around: Surroundings,
    watch: Watch,
    nodes: Mutex<Nodes>,
    changed: watch::Sender<u64>,
    /// One writer of rows at a time, so that what was seen of a node is not written after it was removed. Held across
    /// awaits, unlike the lock above.
    writing: tokio::sync::Mutex<()>,
    online: Gauge,
    heartbeats: Counter,
}

impl Registry {
    /// The nodes of the database, none of them registered yet.
    pub(crate) async fn load(around: Surroundings, metrics: &Metrics) -> Result<Self, StoreError> {
        let rows = table::all(&around.store).await?;
        let fetches = node_fetches::all(&around.store).await?;
        Ok(Self(Arc::new(Shared {
            nodes: Mutex::new(Nodes::new(around.config.clone(), rows, fetches)),
            watch: Watch::new(around.clock.clone()),
            around,
            changed: watch::Sender::new(0),
            writing: tokio::sync::Mutex::default(),
            online: metrics.gauge("nodes_online", "Nodes that are online"),
            heartbeats: metrics.counter("heartbeats", "Heartbeats received"),
        })))
    }

    /// Does something to the nodes; what there is to tell of it is told after the lock is gone.
    fn with<Output>(&self, work: impl FnOnce(&mut Nodes, Moment) -> Output) -> Output {
        let now = self.0.watch.now();
        let mut nodes = self.0.nodes.lock();
        let output = work(&mut nodes, now);
        let notices = std::mem::take(&mut nodes.notices);
        let has_changed = std::mem::take(&mut nodes.has_changed);
        drop(nodes);
        for notice in notices {
            self.0.around.events.record(notice.kind, None, Some(&notice.node), notice.reason);
        }
        if has_changed {
            self.0.changed.send_modify(|count| *count += 1);
        }
        output
    }

    /// Bumped whenever what a node holds, whether it is there, or what was decided about it changes.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// The secret of a node that joined.
    #[must_use]
    pub fn secret_of(&self, id: &str) -> Option<Secret> {
        let nodes = self.0.nodes.lock();
        nodes.by_id.get(id)?.keys.as_ref().map(|keys| keys.secret.clone())
    }

    /// Registers a node. When another process of its id has a live connection, that one is asked first and has 2 s to
    /// say that it lives.
    pub(crate) async fn register(&self, request: RegisterRequest, speaker: &Speaker) -> Result<(), NodeRefusal> {
        let RegisterRequest { node_id, address, posthouse, .. } = request;
        let arrival = Arrival::check(&node_id, &address, posthouse)?;
        let outcome = self.settle_registration(&arrival, speaker).await;
        if let Err(refusal) = &outcome {
            self.with(|nodes, now| nodes.notice_refusal(&node_id, speaker, refusal, now));
        }
        outcome
    }

    async fn settle_registration(&self, arrival: &Arrival, speaker: &Speaker) -> Result<(), NodeRefusal> {
        for _ in 0..CHALLENGES_MAX {
            let asked = self.with(|nodes, now| nodes.begin_registration(arrival, speaker, now))?;
            let Registered::Asked { connection, answer } = asked else { return Ok(()) };
            if matches!(tokio::time::timeout(CHALLENGE_LIMIT, answer).await, Ok(Ok(()))) {
                break;
            }
            if self.with(|nodes, now| nodes.take_over(arrival, speaker, connection, now))? {
                return Ok(());
            }
        }
        let id = arrival.id.clone();
        let address =
            self.with(|nodes, _| nodes.by_id.get(id.as_str()).map(|node| node.address.to_string())).unwrap_or_default();
        Err(NodeRefusal::SecondInstance { id, address })
    }

    /// Takes a heartbeat.
    pub(crate) fn heartbeat(&self, beat: HeartbeatRequest, speaker: &Speaker) -> Result<HeartbeatAnswer, NodeRefusal> {
        self.0.heartbeats.inc();
        self.with(|nodes, now| {
            let id = beat.node_id.clone();
            nodes
                .heartbeat(beat, speaker, now)
                .inspect_err(|refusal| nodes.notice_refusal(&id, speaker, refusal, now))?;
            Ok(HeartbeatAnswer { status: "success".to_owned(), timestamp: now.unix_seconds })
        })
    }

    /// A node says goodbye.
    pub(crate) fn unregister(&self, id: &str, speaker: &Speaker) -> Result<(), NodeRefusal> {
        self.with(|nodes, now| nodes.unregister(id, speaker, now))
    }

    /// Opens the live connection of a registered node. `instance`: the process, when it says so.
    pub(crate) fn open_live(
        &self,
        id: &str,
        instance: Option<&str>,
        speaker: &Speaker,
    ) -> Result<LiveFeed, NodeRefusal> {
        let opened = self.with(|nodes, now| nodes.open_live(id, instance, speaker, now))?;
        Ok(LiveFeed::new(self.clone(), id, opened, self.0.around.stop.clone()))
    }

    fn lose_live(&self, id: &str, number: u64) {
        self.with(|nodes, now| nodes.lose_live(id, number, now));
    }

    /// The process that was challenged answers.
    pub(crate) fn answer_challenge(&self, answer: &ChallengeAnswer, speaker: &Speaker) -> Result<(), NodeRefusal> {
        self.with(|nodes, _| nodes.answer_challenge(answer, speaker))
    }

    /// Tells every node with a live connection to poll.
    pub fn tell_nodes(&self) {
        self.with(|nodes, _| nodes.tell_all());
    }

    /// A package went out completely by the plain contract.
    pub(crate) fn note_fetch(&self, fetch: PlainFetch) {
        self.with(|nodes, now| nodes.note_fetch(fetch, now));
    }

    /// A node joined.
    pub(crate) fn give_secret(&self, id: &str, secret: Secret) -> Result<(), NodeRefusal> {
        self.with(|nodes, now| nodes.give_secret(id, secret, now))
    }

    /// Notes what only the passing of time changes.
    pub(crate) fn sweep(&self) {
        self.with(|nodes, now| {
            nodes.sweep(now);
            self.0.online.set(i64::try_from(nodes.count_online(now)).unwrap_or(i64::MAX));
        });
    }

    /// What nodes poll. A node that is disabled is told of no meetings.
    pub(crate) fn node_view(&self, speaker: &Speaker) -> NodeView {
        let catalog = self.0.around.catalog.borrow().clone();
        self.with(|nodes, now| nodes.node_view(&catalog, speaker, now))
    }

    /// Which of the nodes that are waited for hold a version.
    #[must_use]
    pub fn readiness(&self, meeting: &MeetingId, version: u64) -> Readiness {
        let catalog = self.0.around.catalog.borrow().clone();
        let Some(version) = catalog.meeting(meeting).and_then(|meeting| meeting.version(version)) else {
            return Readiness::default();
        };
        self.with(|nodes, now| nodes.readiness(meeting, version, now))
    }

    /// For each meeting in progress, in the catalog's order, what is served and by whom.
    pub(crate) fn served(&self, catalog: &crate::catalog::Catalog) -> Vec<Served> {
        self.with(|nodes, now| nodes.served(catalog, now))
    }

    /// The nodes that are registered now.
    pub(crate) fn list(&self) -> Vec<ListedNode> {
        self.with(|nodes, now| nodes.list(now))
    }

    /// Addresses of the nodes that are online and take downloads.
    pub(crate) fn available(&self) -> AvailableNodes {
        self.with(|nodes, now| nodes.available(now))
    }

    /// All nodes, as an administrator sees them.
    pub(crate) fn views(&self) -> Vec<NodeDetailView> {
        let catalog = self.0.around.catalog.borrow().clone();
        self.with(|nodes, now| nodes.views(&catalog, now))
    }

    /// One node.
    pub(crate) fn view(&self, id: &str) -> Result<NodeDetailView, NodeRefusal> {
        let catalog = self.0.around.catalog.borrow().clone();
        self.with(|nodes, now| nodes.view(id, &catalog, now)).ok_or_else(|| NodeRefusal::NotFound(id.to_owned()))
    }
}
