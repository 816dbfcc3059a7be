//! What the registry tells: to the deployed programs, to administrators.

use posthouse_protocol::PROTOCOL_VERSION;
use posthouse_protocol::legacy::{ActivePackage, AvailableNodes, ListedNode, NodeView};
use posthouse_protocol::node::{NodeDetailView, NodeState, Reachability};

use super::admission::Speaker;
use super::candidates::not_chosen;
use super::moment::Moment;
use super::node::{Node, Registration};
use super::nodes::Nodes;
use crate::catalog::{ActiveMeeting, Catalog, PackageVersion};

impl Nodes {
    /// What a node polls: which package of each meeting it shall hold.
    pub(super) fn node_view(&self, catalog: &Catalog, speaker: &Speaker, now: Moment) -> NodeView {
        let node = speaker.verified.as_deref().and_then(|id| self.by_id.get(id));
        let is_disabled = node.is_some_and(|node| node.decision.state == NodeState::Disabled);
        let active = |meeting: &ActiveMeeting| {
            let PackageVersion { version, hash, size_bytes, .. } = meeting.wanted();
            ActivePackage {
                id: meeting.id.to_string(),
                title: meeting.title.clone(),
                version: Some(*version),
                hash: Some(*hash),
                size_bytes: Some(*size_bytes),
            }
        };
        let meetings = if is_disabled { Vec::new() } else { catalog.meetings.iter().map(active).collect() };
        NodeView {
            id: catalog.token.clone(),
            active_meetings: Some(meetings),
            active_meeting: None,
            timestamp: now.unix_seconds,
            version: Some(PROTOCOL_VERSION),
        }
    }

    /// The nodes that are registered now.
    pub(super) fn list(&self, now: Moment) -> Vec<ListedNode> {
        let listed = |node: &Node| {
            let registration = node.registration.as_ref()?;
            let titles = &registration.titles;
            let joined = || titles.iter().map(|meeting| meeting.title.as_str()).collect::<Vec<_>>().join(", ");
            Some(ListedNode {
                node_id: node.id.to_string(),
                address: node.address.to_string(),
                status: if registration.is_online(now) { "online" } else { "offline" }.to_owned(),
                last_seen: node.last_seen,
                uptime: (now.unix_seconds - registration.since).max(0.0),
                active_meeting: (!titles.is_empty()).then(joined),
                active_meetings: (!titles.is_empty()).then(|| titles.clone()),
            })
        };
        self.by_id.values().filter_map(listed).collect()
    }

    /// Addresses of the nodes that are online and take downloads.
    pub(super) fn available(&self, now: Moment) -> AvailableNodes {
        let is_available = |node: &&Node| {
            node.decision.state == NodeState::Enabled
                && node.registration.as_ref().is_some_and(|known| known.is_online(now) && !known.is_lost())
        };
        let nodes: Vec<String> =
            self.by_id.values().filter(is_available).map(|node| node.address.to_string()).collect();
        AvailableNodes { count: nodes.len(), nodes }
    }

    /// How many nodes are online.
    pub(super) fn count_online(&self, now: Moment) -> usize {
        self.by_id.values().filter(|node| node.is_online(now)).count()
    }

    /// All nodes, also those that are away, as an administrator sees them.
    pub(super) fn views(&self, catalog: &Catalog, now: Moment) -> Vec<NodeDetailView> {
        let served = self.served_versions(catalog, now);
        self.by_id
            .values()
            .map(|node| NodeDetailView { not_chosen: not_chosen(node, &served, now), ..view(node, now) })
            .collect()
    }

    /// One node.
    pub(super) fn view(&self, id: &str, catalog: &Catalog, now: Moment) -> Option<NodeDetailView> {
        let node = self.by_id.get(id)?;
        let served = self.served_versions(catalog, now);
        Some(NodeDetailView { not_chosen: not_chosen(node, &served, now), ..view(node, now) })
    }
}

fn view(node: &Node, now: Moment) -> NodeDetailView {
    let known = node.registration.as_ref();
    NodeDetailView {
        node_id: node.id.to_string(),
        name: node.decision.name.clone(),
        description: node.decision.description.clone(),
        weight: node.decision.weight,
        state: node.decision.state,
        address: node.address.to_string(),
        online: node.is_online(now),
        joined: node.keys.is_some(),
        live: known.is_some_and(|known| known.live.is_some()),
        last_seen: node.last_seen,
        registered_at: known.map_or(0.0, |known: &Registration| known.since),
        reachability: known.map_or(Reachability::Unknown, |known| known.reach.result.clone()),
        not_chosen: Vec::new(),
        reported: known.and_then(|known| known.reported.clone()),
    }
}
