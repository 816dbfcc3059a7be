//! Which nodes may be sent the downloads of a meeting, and which have its package at all.

use std::sync::Arc;

use posthouse_protocol::MeetingId;
use posthouse_protocol::node::{NodeState, NotChosen, NotChosenCause};
use posthouse_runtime::trust::link::LinkKey;

use super::moment::Moment;
use super::node::Node;
use super::nodes::Nodes;
use crate::catalog::{ActiveMeeting, Catalog, PackageVersion};

/// A node to which downloads may be sent.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) id: Arc<str>,
    /// `host:port`.
    pub(crate) address: Arc<str>,
    /// Share of the downloads.
    pub(crate) weight: u32,
    /// To sign links for it; `None` for a node without a secret.
    pub(crate) link: Option<Arc<LinkKey>>,
}

/// The version of a meeting that is served now, and the nodes that serve it.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    pub(crate) version: u64,
    /// None: the master serves it.
    pub(crate) candidates: Vec<Candidate>,
}

/// Which nodes hold a version, of those that are waited for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Ids of nodes that hold it.
    pub ready: Vec<String>,
    /// Ids of nodes that will.
    pub waiting: Vec<String>,
}

impl Nodes {
    /// For each meeting in progress, in the catalog's order, what is served and by whom.
    pub(super) fn served(&self, catalog: &Catalog, now: Moment) -> Vec<Served> {
        let able = self.able(now);
        catalog.meetings.iter().map(|meeting| served(meeting, &able)).collect()
    }

    fn able(&self, now: Moment) -> Vec<&Node> {
        self.by_id.values().filter(|node| node.obstacle(now).is_none()).collect()
    }

    /// Which version of each meeting in progress is served; see [`not_chosen`].
    pub(super) fn served_versions<'a>(
        &self,
        catalog: &'a Catalog,
        now: Moment,
    ) -> Vec<(&'a MeetingId, &'a PackageVersion)> {
        let able = self.able(now);
        let version = |meeting: &'a ActiveMeeting| {
            let version = served(meeting, &able).version;
            (&meeting.id, meeting.version(version).unwrap_or_else(|| meeting.wanted()))
        };
        catalog.meetings.iter().map(version).collect()
    }

    /// Whether the nodes that are online hold a version.
    ///
    /// Nobody waits for a node that is disabled or whose process is gone, nor for a Python node that lists the meeting
    /// because of an earlier version: it never fetches another.
    pub(super) fn readiness(&self, meeting: &MeetingId, version: &PackageVersion, now: Moment) -> Readiness {
        let key = meeting.key();
        let mut readiness = Readiness::default();
        for node in self.by_id.values() {
            let Some(registration) = &node.registration else { continue };
            let is_out = node.decision.state == NodeState::Disabled || registration.is_lost();
            if is_out || !registration.is_online(now) {
                continue;
            }
            if registration.holdings.include(&key, version, &node.fetched) {
                readiness.ready.push(node.id.to_string());
            } else if !registration.holdings.is_listed(&key) {
                readiness.waiting.push(node.id.to_string());
            }
        }
        readiness
    }
}

/// The newest version that a node able to serve holds; when none holds any, the newest, which the master serves.
fn served(meeting: &ActiveMeeting, able: &[&Node]) -> Served {
    let key = meeting.id.key();
    for version in meeting.versions.iter().rev() {
        let candidates: Vec<Candidate> =
            able.iter().filter(|node| holds(node, &key, version)).map(|node| candidate(node)).collect();
        if !candidates.is_empty() {
            return Served { version: version.version, candidates };
        }
    }
    Served { version: meeting.wanted().version, candidates: Vec::new() }
}

fn holds(node: &Node, key: &str, version: &PackageVersion) -> bool {
    node.registration.as_ref().is_some_and(|registration| registration.holdings.include(key, version, &node.fetched))
}

fn candidate(node: &Node) -> Candidate {
    Candidate {
        id: node.id.clone(),
        address: node.address.clone(),
        weight: node.decision.weight,
        link: node.keys.as_ref().map(|keys| keys.link.clone()),
    }
}

/// For each meeting of which a node gets no downloads the reason.
pub(super) fn not_chosen(node: &Node, served: &[(&MeetingId, &PackageVersion)], now: Moment) -> Vec<NotChosen> {
    let obstacle = node.obstacle(now);
    let cause = |meeting: &MeetingId, version: &PackageVersion| match obstacle {
        None if holds(node, &meeting.key(), version) => None,
        None => Some(NotChosenCause::NotSynced),
        obstacle => obstacle,
    };
    served
        .iter()
        .filter_map(|(meeting, version)| {
            cause(meeting, version).map(|cause| NotChosen { meeting_id: meeting.to_string(), cause })
        })
        .collect()
}
