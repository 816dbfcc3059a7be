//! One node as the master sees it, and the rules by which it is online, present, or out.

use std::net::IpAddr;
use std::sync::Arc;

use posthouse_protocol::legacy::MeetingTitle;
use posthouse_protocol::node::{NodeExtension, NodeState, NotChosenCause, Reachability};
use posthouse_runtime::trust::Secret;
use posthouse_runtime::trust::link::LinkKey;

use super::averages::Averages;
use super::holdings::{Holding, Holdings};
use super::interval::Interval;
use super::live::Connection;
use super::moment::Moment;
use super::reach::Reach;
use crate::store::nodes::Decision;

/// A process whose connection closed may have died with a heartbeat still on its way. Only one that arrives this much
/// later, in milliseconds, proves that it lives.
pub(super) const PROOF_DELAY_MS: u64 = 2_000;

/// A node: its row, and its registration while it has one.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: Arc<str>,
    pub(super) decision: Decision,
    pub(super) keys: Option<Keys>,
    /// As last advertised, empty when never.
    pub(super) address: Arc<str>,
    /// Unix seconds, 0 when never.
    pub(super) last_seen: f64,
    /// What a Python node was seen to fetch.
    pub(super) fetched: Vec<Holding>,
    pub(super) registration: Option<Registration>,
    /// The process that unregistered last, and when.
    pub(super) left: Option<(String, u64)>,
    pub(super) averages: Averages,
    /// What was last told of it in events.
    pub(super) was_present: bool,
    pub(super) was_online: bool,
}

/// The secret from the join, and what is derived from it.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    pub(super) secret: Secret,
    pub(super) link: Arc<LinkKey>,
}

impl From<Secret> for Keys {
    fn from(secret: Secret) -> Self {
        Self { link: Arc::new(LinkKey::of(&secret)), secret }
    }
}

/// What there is of a node between its registration and its goodbye.
#[derive(Debug)]
pub(super) struct Registration {
    /// Unix seconds.
    pub(super) since: f64,
    /// The process, if it says so; `None` for Python nodes.
    pub(super) instance: Option<String>,
    /// Where its requests come from.
    pub(super) peer: IpAddr,
    /// Its last sign of life.
    pub(super) last_sign_ms: u64,
    pub(super) interval: Interval,
    pub(super) live: Option<Connection>,
    pub(super) unproven: Option<Unproven>,
    /// Meetings it believes active.
    pub(super) titles: Vec<MeetingTitle>,
    pub(super) holdings: Holdings,
    /// What a node of ours says of itself.
    pub(super) reported: Option<NodeExtension>,
    pub(super) reach: Reach,
}

/// A node of ours without its live connection, of which nothing proves yet that its process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unproven {
    pub(super) since_ms: u64,
    /// Whether it had a connection and lost it, rather than not having opened one yet.
    pub(super) is_lost: bool,
}

impl Node {
    pub(super) fn new(id: &str) -> Self {
        Self {
            id: id.into(),
            decision: Decision::default(),
            keys: None,
            address: "".into(),
            last_seen: 0.0,
            fetched: Vec::new(),
            registration: None,
            left: None,
            averages: Averages::default(),
            was_present: false,
            was_online: false,
        }
    }

    /// Whether it is registered and its heartbeats arrive.
    pub(super) fn is_online(&self, now: Moment) -> bool {
        self.registration.as_ref().is_some_and(|registration| registration.is_online(now))
    }

    /// Whether downloads may be sent to it, as far as its being alive goes.
    pub(super) fn is_present(&self, now: Moment) -> bool {
        self.registration.as_ref().is_some_and(|registration| registration.is_present(now))
    }

    /// Why it gets no downloads at all, if so.
    pub(super) fn obstacle(&self, now: Moment) -> Option<NotChosenCause> {
        match self.decision.state {
            NodeState::Disabled => return Some(NotChosenCause::Disabled),
            NodeState::Draining => return Some(NotChosenCause::Draining),
            NodeState::Enabled => {}
        }
        match &self.registration {
            Some(registration) if registration.is_present(now) => {
                let is_reached = matches!(registration.reach.result, Reachability::Reached | Reachability::NotProbed);
                (!is_reached).then_some(NotChosenCause::NotReached)
            }
            _ => Some(NotChosenCause::Offline),
        }
    }

    /// Ends its live connection, if it has one.
    pub(super) fn say_goodbye(&mut self, reason: &str) {
        if let Some(connection) = self.registration.as_mut().and_then(|registration| registration.live.take()) {
            connection.say_goodbye(reason);
        }
    }
}

impl Registration {
    pub(super) fn is_online(&self, now: Moment) -> bool {
        now.ms.saturating_sub(self.last_sign_ms) <= self.interval.online_ms()
    }

    /// Online, and neither silent nor lost.
    ///
    /// A node of ours counts as alive while its live connection is up, whose end tells at once when its process ends.
    /// Without one (a proxy may not let it through) a heartbeat proves it alive, see [`PROOF_DELAY_MS`], and from then
    /// on it is treated as a Python node is: by its heartbeats alone.
    pub(super) fn is_present(&self, now: Moment) -> bool {
        self.unproven.is_none() && now.ms.saturating_sub(self.last_sign_ms) <= self.interval.silent_ms()
    }

    /// Whether it had a live connection and lost it, with nothing heard since.
    pub(super) fn is_lost(&self) -> bool {
        self.unproven.is_some_and(|unproven| unproven.is_lost)
    }

    /// A heartbeat arrived.
    pub(super) fn prove(&mut self, now: Moment) {
        if self.unproven.is_some_and(|unproven| now.ms.saturating_sub(unproven.since_ms) >= PROOF_DELAY_MS) {
            self.unproven = None;
        }
    }
}
