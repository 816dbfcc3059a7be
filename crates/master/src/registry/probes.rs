//! What the prober asks of the registry: whom to try, and what it found.

use std::sync::Arc;

use posthouse_protocol::event::EventKind;
use posthouse_protocol::node::Reachability;
use posthouse_runtime::trust::Secret;

use super::Registry;
use super::moment::Moment;
use super::node::Node;
use super::nodes::Nodes;
use super::refusal::NodeRefusal;

/// A node to be reached at its address.
#[derive(Debug, Clone)]
pub(crate) struct ProbeTarget {
    pub(crate) id: Arc<str>,
    /// `host:port`.
    pub(crate) address: Arc<str>,
    /// To check by its signature that it is this node.
    pub(crate) secret: Option<Secret>,
    /// Which registration, so that an answer that comes too late is not taken for another one.
    registered_at: f64,
}

impl Nodes {
    /// At most `most` nodes whose probe is due, each of them given to nobody else.
    pub(super) fn due_probes(&mut self, most: usize, now: Moment) -> Vec<ProbeTarget> {
        let due = |node: &mut Node| {
            let registration = node.registration.as_mut()?;
            // One that is away is not asked until it is back.
            let begins = registration.is_online(now) && registration.reach.begin(now.ms);
            begins.then(|| target(node)).flatten()
        };
        self.by_id.values_mut().filter_map(due).take(most).collect()
    }

    /// Notes what a probe found, unless the node has another address by now or registered anew.
    pub(super) fn note_probe(&mut self, target: &ProbeTarget, found: &Reachability, now: Moment) {
        let Some(node) = self.by_id.get_mut(&target.id) else { return };
        let Some(registration) = node.registration.as_mut() else { return };
        if node.address != target.address || registration.since.total_cmp(&target.registered_at).is_ne() {
            return;
        }
        let before = registration.reach.result.clone();
        registration.reach.note(found.clone(), now.ms);
        let after = registration.reach.result.clone();
        let id = node.id.clone();
        match &after {
            Reachability::Reached if before != after => {
                self.has_changed = true;
                self.notice(EventKind::NodeReachable, &id, &*target.address);
            }
            // Told once, not with every further try.
            Reachability::Failed { cause, detail } if !matches!(&before, Reachability::Failed { cause: known, .. } if known == cause) =>
            {
                self.has_changed = true;
                self.notice(EventKind::NodeUnreachable, &id, detail.clone());
            }
            _ => {}
        }
    }
}

fn target(node: &Node) -> Option<ProbeTarget> {
    Some(ProbeTarget {
        id: node.id.clone(),
        address: node.address.clone(),
        secret: node.keys.as_ref().map(|keys| keys.secret.clone()),
        registered_at: node.registration.as_ref()?.since,
    })
}

impl Registry {
    /// At most `most` nodes whose probe is due.
    pub(crate) fn due_probes(&self, most: usize) -> Vec<ProbeTarget> {
        self.with(|nodes, now| nodes.due_probes(most, now))
    }

    /// Notes what a probe found.
    pub(crate) fn note_probe(&self, target: &ProbeTarget, found: &Reachability) {
        self.with(|nodes, now| nodes.note_probe(target, found, now));
    }

    /// A node that an administrator wants probed now.
    pub(crate) fn probe_target(&self, id: &str) -> Result<ProbeTarget, NodeRefusal> {
        self.with(|nodes, _| match nodes.by_id.get(id) {
            None => Err(NodeRefusal::NotFound(id.to_owned())),
            Some(node) => target(node).ok_or_else(|| NodeRefusal::NotRegistered(id.to_owned())),
        })
    }
}
