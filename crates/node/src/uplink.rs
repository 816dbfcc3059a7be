//! The node's way to its master: to whom it talks, by which contract, and whether that works.
//!
//! A [`Link`] is one such way; when address, id, secret or contract change there is a new one, and every loop that used
//! the old one lets go of it. While the service is stopped, or nobody may be contacted, there is none.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use parking_lot::Mutex;
use posthouse_protocol::ErrorCode;
use posthouse_protocol::event::EventKind;
use posthouse_protocol::node::Trust;
use posthouse_runtime::client::{ClientError, Identity, SignedClient, http_client};
use posthouse_runtime::clock::Clock;
use posthouse_runtime::trust::Secret;
use posthouse_runtime::trust::link::LinkKey;
use rust_i18n::t;
use tokio::sync::watch;

use crate::config::NodeConfig;
use crate::events::Events;
use crate::identity::NodeSecret;

/// One way to one master.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) client: SignedClient,
    /// `host:port`.
    pub(crate) address: String,
    pub(crate) node_id: String,
    pub(crate) trust: Trust,
    connect_timeout: Duration,
    registered: watch::Sender<bool>,
}

impl Link {
    /// Whether the master knows of this process, as far as this side knows.
    pub(crate) fn is_registered(&self) -> bool {
        *self.registered.borrow()
    }

    pub(crate) fn set_registered(&self, registered: bool) {
        self.registered.send_replace(registered);
    }

    /// Waits until the master knows of this process.
    pub(crate) async fn until_registered(&self) {
        // The sender lives as long as this link.
        let _ = self.registered.subscribe().wait_for(|registered| *registered).await;
    }
}

/// Which contract the master keeps, told by its answer to a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MasterKind {
    /// Not polled yet.
    Unknown,
    /// `legacy-wire.md` §1 alone.
    Older,
    /// One of ours.
    Ours,
}

/// What a contact with the master gave.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    NotYet,
    Well,
    Failed(String),
    /// It does not want this node.
    Refused(String),
}

impl Outcome {
    fn of(result: Result<(), &ClientError>) -> Self {
        match result {
            Ok(()) => Self::Well,
            Err(error) if is_refusal(error) => Self::Refused(error.to_string()),
            Err(error) => Self::Failed(error.to_string()),
        }
    }

    fn problem(&self) -> Option<&str> {
        match self {
            Self::NotYet | Self::Well => None,
            Self::Failed(problem) | Self::Refused(problem) => Some(problem),
        }
    }
}

/// Whether the master understood and said no, so that trying again soon is of no use.
pub(crate) fn is_refusal(error: &ClientError) -> bool {
    match error.code() {
        Some(ErrorCode::ClockSkew | ErrorCode::Replayed) => false,
        Some(ErrorCode::SecondInstance | ErrorCode::SecretRequired) => true,
        _ => matches!(error.status(), Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::CONFLICT)),
    }
}

/// The way and its state.
#[derive(Debug)]
pub(crate) struct Uplink {
    clock: Clock,
    events: Events,
    link: watch::Sender<Option<Arc<Link>>>,
    kind: watch::Sender<MasterKind>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    secret: Option<NodeSecret>,
    /// A code was given and has not led to a secret: the plain contract is closed.
    code_is_open: bool,
    join_problem: Option<String>,
    is_open: bool,
    presence: Outcome,
    poll: Outcome,
    is_connected: bool,
}

impl Uplink {
    /// `code_is_open`: a join code was given, now or earlier, and has not led to a secret.
    pub(crate) fn new(clock: Clock, events: Events, secret: Option<NodeSecret>, code_is_open: bool) -> Self {
        let state = State {
            secret,
            code_is_open,
            join_problem: None,
            is_open: false,
            presence: Outcome::NotYet,
            poll: Outcome::NotYet,
            is_connected: false,
        };
        Self {
            clock,
            events,
            link: watch::Sender::new(None),
            kind: watch::Sender::new(MasterKind::Unknown),
            state: Mutex::new(state),
        }
    }

    /// The way of this moment.
    pub(crate) fn link(&self) -> Option<Arc<Link>> {
        self.link.borrow().clone()
    }

    /// Milliseconds by which this machine's clock is behind the master's, once that is known.
    pub(crate) fn clock_offset_ms(&self) -> Option<i64> {
        self.link()?.client.clock_offset_ms()
    }

    /// Tells of new ways.
    pub(crate) fn links(&self) -> watch::Receiver<Option<Arc<Link>>> {
        self.link.subscribe()
    }

    pub(crate) fn kind(&self) -> MasterKind {
        *self.kind.borrow()
    }

    pub(crate) fn kinds(&self) -> watch::Receiver<MasterKind> {
        self.kind.subscribe()
    }

    /// Whether this is still the way.
    pub(crate) fn is_current(&self, link: &Arc<Link>) -> bool {
        self.link.borrow().as_ref().is_some_and(|current| Arc::ptr_eq(current, link))
    }

    /// Lets loops talk to the master.
    pub(crate) fn open(&self, config: &NodeConfig) {
        self.state.lock().is_open = true;
        self.refresh(config);
    }

    /// Lets nobody talk any more; gives the way that was, if the master may believe it still is.
    pub(crate) fn close(&self) -> Option<Arc<Link>> {
        self.state.lock().is_open = false;
        self.replace(None)
    }

    /// Makes a new way if configuration, secret or contract call for one; gives the old one if the master there is to be
    /// told.
    pub(crate) fn refresh(&self, config: &NodeConfig) -> Option<Arc<Link>> {
        let (trust, secret) = {
            let state = self.state.lock();
            (if state.is_open { state.trust(config) } else { Trust::NotJoined }, state.secret_for(&config.node_id))
        };
        let Some(address) = config.master.as_ref().filter(|_| trust != Trust::NotJoined) else {
            return self.replace(None);
        };
        let address = address.to_string();
        let identity = secret
            .filter(|_| trust == Trust::Signed)
            .map(|secret| Identity { node_id: config.node_id.clone(), secret });
        let is_same = self.link().is_some_and(|link| {
            link.address == address
                && link.node_id == config.node_id
                && link.client.identity() == identity.as_ref()
                && link.connect_timeout == config.network.connection_timeout
        });
        if is_same {
            return None;
        }
        let client = match http_client(config.network.connection_timeout) {
            Ok(http) => SignedClient::new(http, &address, identity, self.clock.clone()),
            Err(error) => {
                tracing::error!(%error, "no HTTP client can be made");
                return self.replace(None);
            }
        };
        tracing::info!(master = %address, contract = ?trust, "talking to the master");
        self.replace(Some(Arc::new(Link {
            client,
            address,
            node_id: config.node_id.clone(),
            trust,
            connect_timeout: config.network.connection_timeout,
            registered: watch::Sender::new(false),
        })))
    }

    fn replace(&self, link: Option<Arc<Link>>) -> Option<Arc<Link>> {
        let identity = |link: &Link| (link.address.clone(), link.node_id.clone(), link.trust);
        let after = link.as_deref().map(identity);
        let before = self.link.send_replace(link);
        {
            let mut state = self.state.lock();
            state.presence = Outcome::NotYet;
            state.poll = Outcome::NotYet;
            state.is_connected = false;
        }
        if before.is_some() {
            self.kind.send_replace(MasterKind::Unknown);
        }
        before.filter(|link| link.is_registered() && Some(identity(link)) != after)
    }

    /// A registration or heartbeat went well or not.
    pub(crate) fn note_presence(&self, link: &Arc<Link>, result: Result<(), &ClientError>) {
        self.note(link, |state| state.presence = Outcome::of(result));
    }

    /// A poll went well or not.
    pub(crate) fn note_poll(&self, link: &Arc<Link>, result: Result<MasterKind, &ClientError>) {
        if let (Ok(kind), true) = (result, self.is_current(link)) {
            self.kind.send_if_modified(|current| std::mem::replace(current, kind) != kind);
        }
        self.note(link, |state| state.poll = Outcome::of(result.map(drop)));
    }

    fn note(&self, link: &Arc<Link>, change: impl FnOnce(&mut State)) {
        if !self.is_current(link) {
            return;
        }
        let mut state = self.state.lock();
        let problem_before = state.contact_problem();
        change(&mut state);
        let (was_connected, problem) = (state.is_connected, state.contact_problem());
        state.is_connected = problem.is_none() && state.presence == Outcome::Well;
        let is_connected = state.is_connected;
        drop(state);
        if is_connected && !was_connected {
            tracing::info!(master = %link.address, "connected to the master");
            self.events.record(EventKind::MasterConnected, None, &link.address);
        }
        if let Some(problem) = problem {
            if was_connected {
                self.events.record(EventKind::MasterLost, None, format!("{}: {problem}", link.address));
            }
            if problem_before.as_ref() != Some(&problem) {
                tracing::warn!(master = %link.address, problem, "no good contact with the master");
            }
        }
    }

    /// Whether the master answers and has this node registered.
    pub(crate) fn is_connected(&self) -> bool {
        self.state.lock().is_connected
    }

    /// Whether the last contact with the master failed.
    pub(crate) fn is_out_of_reach(&self) -> bool {
        self.state.lock().contact_problem().is_some()
    }

    /// Whether the master said that it does not want this node.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.state.lock().presence, Outcome::Refused(_))
    }

    /// How the node speaks with its master.
    pub(crate) fn trust(&self, config: &NodeConfig) -> Trust {
        self.state.lock().trust(config)
    }

    /// What is wrong, for people.
    pub(crate) fn problem(&self, config: &NodeConfig, file: &str) -> Option<String> {
        let state = self.state.lock();
        match (state.trust(config), &state.join_problem) {
            (_, Some(problem)) => Some(problem.clone()),
            (Trust::NotJoined, None) if state.code_is_open => Some(t!("uplink.code_given").into_owned()),
            (Trust::NotJoined, None) => Some(t!("uplink.not_joined", file = file).into_owned()),
            _ => state.contact_problem(),
        }
    }

    /// What a join says of itself while it goes on, or `None` when it is over.
    pub(crate) fn set_join_problem(&self, problem: Option<String>) {
        self.state.lock().join_problem = problem;
    }

    /// The secret file's content.
    pub(crate) fn secret(&self) -> Option<NodeSecret> {
        self.state.lock().secret.clone()
    }

    pub(crate) fn set_secret(&self, secret: Option<NodeSecret>) {
        self.state.lock().secret = secret;
    }

    /// Opens or closes the plain contract.
    pub(crate) fn set_code_is_open(&self, is_open: bool) {
        self.state.lock().code_is_open = is_open;
    }

    /// The secret for requests to this node by its master.
    pub(crate) fn secret_for(&self, node_id: &str) -> Option<Secret> {
        self.state.lock().secret_for(node_id)
    }

    /// What download tickets are made with.
    pub(crate) fn link_key(&self, node_id: &str) -> Option<LinkKey> {
        self.secret_for(node_id).map(|secret| LinkKey::of(&secret))
    }

    /// Unix seconds by the master's clock, as well as it is known.
    pub(crate) fn master_now(&self) -> i64 {
        self.link().map_or_else(|| self.clock.now_ms(), |link| link.client.their_now_ms()).div_euclid(1000)
    }
}

impl State {
    fn trust(&self, config: &NodeConfig) -> Trust {
        if config.master.is_none() {
            Trust::NotJoined
        } else if self.secret_for(&config.node_id).is_some() {
            Trust::Signed
        } else if self.code_is_open || self.secret.is_some() {
            Trust::NotJoined
        } else {
            Trust::Plain
        }
    }

    fn secret_for(&self, node_id: &str) -> Option<Secret> {
        let secret = self.secret.as_ref()?.in_force()?;
        (secret.node_id == node_id).then(|| secret.secret.clone())
    }

    fn contact_problem(&self) -> Option<String> {
        self.presence.problem().or(self.poll.problem()).map(str::to_owned)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A link that signs.
    pub(crate) fn link_with_secret(clock: Clock) -> (Link, Secret) {
        let secret = Secret::random();
        let identity = Identity { node_id: "n".to_owned(), secret: secret.clone() };
        let connect_timeout = Duration::from_secs(1);
        let http = http_client(connect_timeout).unwrap();
        let link = Link {
            client: SignedClient::new(http, "127.0.0.1:9", Some(identity), clock),
            address: "127.0.0.1:9".to_owned(),
            node_id: "n".to_owned(),
            trust: Trust::Signed,
            connect_timeout,
            registered: watch::Sender::new(false),
        };
        (link, secret)
    }
}
