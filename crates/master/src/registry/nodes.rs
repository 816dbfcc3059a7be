//! All nodes, as one value behind one lock. Nothing here waits, and nothing here is asked by a download: for those the
//! rotation keeps a picture of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use posthouse_protocol::event::EventKind;
use posthouse_runtime::trust::Secret;

use super::admission::{Speaker, admit, host_ip};
use super::fetches::{PlainFetch, Unclaimed};
use super::holdings::Holding;
use super::moment::Moment;
use super::node::{Keys, Node};
use super::refusal::NodeRefusal;
use super::refused::ToldRefusals;
use crate::config::NodesConfig;
use crate::store::node_fetches::Fetch;
use crate::store::node_history::Step;
use crate::store::node_notes::Notes;
use crate::store::nodes::{Decision, NodeRow, Sighting};

/// A master keeps no more nodes than this, so that nobody can fill it with ids.
const NODES_MAX: usize = 20_000;

/// The nodes, and what is to be told and written of them.
#[derive(Debug)]
pub(super) struct Nodes {
    pub(super) by_id: BTreeMap<Arc<str>, Node>,
    pub(super) config: NodesConfig,
    pub(super) unclaimed: Unclaimed,
    pub(super) told_refusals: ToldRefusals,
    pub(super) next_connection: u64,
    /// Whether the rotation or somebody who waits for nodes has to look again.
    pub(super) has_changed: bool,
    pub(super) notices: Vec<Notice>,
    pub(super) unsaved: BTreeSet<Arc<str>>,
    pub(super) unsaved_fetches: Vec<Fetch>,
    pub(super) finished_steps: Vec<Step>,
}

/// Something to be recorded as an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) kind: EventKind,
    pub(super) node: Arc<str>,
    pub(super) reason: String,
}

impl Nodes {
    pub(super) fn new(config: NodesConfig, rows: Vec<NodeRow>, fetches: Vec<Fetch>) -> Self {
        let mut by_id = BTreeMap::new();
        for row in rows {
            let mut node = Node::new(&row.id);
            node.decision = row.decision;
            node.keys = row.secret.map(Keys::from);
            node.address = row.address.into();
            node.last_seen = row.last_seen;
            by_id.insert(node.id.clone(), node);
        }
        for Fetch { node_id, meeting_key, version, hash } in fetches {
            if let Some(node) = by_id.get_mut(node_id.as_str()) {
                node.fetched.push(Holding { key: meeting_key, version, hash });
            }
        }
        Self {
            by_id,
            config,
            unclaimed: Unclaimed::default(),
            told_refusals: ToldRefusals::default(),
            next_connection: 0,
            has_changed: false,
            notices: Vec::new(),
            unsaved: BTreeSet::new(),
            unsaved_fetches: Vec::new(),
            finished_steps: Vec::new(),
        }
    }

    /// Whether `speaker` may speak for this id.
    pub(super) fn admit(&self, id: &str, speaker: &Speaker) -> Result<(), NodeRefusal> {
        admit(id, self.by_id.get(id), speaker, &self.config.allow_unsigned)
    }

    /// The node of this id, made if there is none.
    pub(super) fn entry(&mut self, id: &str) -> Result<&mut Node, NodeRefusal> {
        if !self.by_id.contains_key(id) {
            if self.by_id.len() >= NODES_MAX {
                return Err(NodeRefusal::TooMany);
            }
            let node = Node::new(id);
            self.unsaved.insert(node.id.clone());
            self.by_id.insert(node.id.clone(), node);
        }
        self.by_id.get_mut(id).ok_or_else(|| NodeRefusal::NotFound(id.to_owned()))
    }

    pub(super) fn notice(&mut self, kind: EventKind, node: &Arc<str>, reason: impl Into<String>) {
        self.notices.push(Notice { kind, node: node.clone(), reason: reason.into() });
    }

    /// Tells of a refusal that an operator ought to know of.
    pub(super) fn notice_refusal(&mut self, id: &str, speaker: &Speaker, refusal: &NodeRefusal, now: Moment) {
        let kind = match refusal {
            NodeRefusal::SecondInstance { .. } => "second instance",
            NodeRefusal::JoinRequired(_) => "join",
            NodeRefusal::SignatureRequired(_) => "signature",
            _ => return,
        };
        if self.told_refusals.is_news(id, speaker.peer, kind, now.ms) {
            let reason = format!("{}: {refusal}", speaker.peer);
            self.notice(EventKind::NodeRefused, &id.into(), reason);
        }
    }

    /// Notes whether a node came or went since it was last looked at.
    pub(super) fn settle(&mut self, id: &str, now: Moment) {
        let Some(node) = self.by_id.get_mut(id) else { return };
        let (is_present, is_online) = (node.is_present(now), node.is_online(now));
        let was_present = std::mem::replace(&mut node.was_present, is_present);
        let was_online = std::mem::replace(&mut node.was_online, is_online);
        if (is_present, is_online) == (was_present, was_online) {
            return;
        }
        self.has_changed = true;
        let node_id = node.id.clone();
        match &node.registration {
            Some(_) if is_present && !was_present => {
                let reason = node.address.to_string();
                self.notice(EventKind::NodeOnline, &node_id, reason);
            }
            Some(registration) if !is_present && was_present => {
                let reason = if registration.is_lost() {
                    "连接已断开：进程已退出或网络中断 / its connection broke: the process ended or the network did"
                        .to_owned()
                } else {
                    let seconds = now.ms.saturating_sub(registration.last_sign_ms) / 1000;
                    format!("{seconds} 秒没有心跳 / no heartbeat for {seconds} s")
                };
                self.notice(EventKind::NodeLost, &node_id, reason);
            }
            // One that unregisters is told of where it does; one that goes offline was lost before.
            _ => {}
        }
    }

    /// Notes what only the passing of time changes: who became silent, and which steps of the history ended.
    pub(super) fn sweep(&mut self, now: Moment) {
        let due = |node: &Node| (node.is_present(now), node.is_online(now)) != (node.was_present, node.was_online);
        let ids: Vec<Arc<str>> = self.by_id.values().filter(|node| due(node)).map(|node| node.id.clone()).collect();
        for id in ids {
            self.settle(&id, now);
        }
    }

    /// A package went out completely by the plain contract.
    pub(super) fn note_fetch(&mut self, fetch: PlainFetch, now: Moment) {
        let matching = |node: &&mut Node| {
            node.registration.as_ref().is_some_and(|registration| {
                registration.reported.is_none()
                    && (registration.peer == fetch.peer || host_ip(&node.address) == Some(fetch.peer))
            })
        };
        let mut nodes = self.by_id.values_mut().filter(matching);
        match (nodes.next(), nodes.next()) {
            (Some(node), None) => {
                let id = node.id.clone();
                let PlainFetch { meeting_key: key, version, hash, .. } = fetch;
                self.credit(&id, Holding { key, version, hash });
            }
            _ => self.unclaimed.add(fetch, now.ms),
        }
    }

    /// A Python node fetched this.
    pub(super) fn credit(&mut self, id: &str, holding: Holding) {
        let Some(node) = self.by_id.get_mut(id) else { return };
        if node.fetched.contains(&holding) {
            return;
        }
        self.unsaved_fetches.push(Fetch {
            node_id: id.to_owned(),
            meeting_key: holding.key.clone(),
            version: holding.version,
            hash: holding.hash,
        });
        self.unsaved.insert(node.id.clone());
        node.fetched.retain(|before| before.key != holding.key);
        node.fetched.push(holding);
        self.has_changed = true;
    }

    /// An administrator decided something about a node.
    pub(super) fn decide(&mut self, id: &str, decision: Decision) {
        let Some(node) = self.by_id.get_mut(id) else { return };
        if node.decision == decision {
            return;
        }
        let reason = describe_change(&node.decision, &decision);
        node.decision = decision;
        if node.decision.state == posthouse_protocol::node::NodeState::Disabled {
            node.say_goodbye("节点已被管理员停用 / an administrator disabled this node");
        }
        self.has_changed = true;
        let id = node.id.clone();
        self.notice(EventKind::NodeChanged, &id, reason);
    }

    /// Takes a node out, with what is not yet written of it.
    pub(super) fn take_out(&mut self, id: &str) -> Option<Node> {
        let node = self.by_id.remove(id)?;
        self.unsaved.remove(id);
        self.unsaved_fetches.retain(|fetch| fetch.node_id != id);
        self.finished_steps.retain(|step| step.node_id != id);
        self.has_changed = true;
        Some(node)
    }

    /// A node that was taken out is forgotten.
    pub(super) fn forget(&mut self, mut node: Node) {
        node.say_goodbye("节点已被管理员移除 / an administrator removed this node");
        self.notice(EventKind::NodeRemoved, &node.id, "");
    }

    /// A node that was taken out could not be forgotten.
    pub(super) fn put_in(&mut self, node: Node) {
        self.has_changed = true;
        self.by_id.entry(node.id.clone()).or_insert(node);
    }

    /// A node joined: from now on it must sign. What spoke for its id before is put out.
    pub(super) fn give_secret(&mut self, id: &str, secret: Secret, now: Moment) -> Result<(), NodeRefusal> {
        let node = self.entry(id)?;
        node.keys = Some(Keys::from(secret));
        node.say_goodbye("节点已重新加入 / this node joined anew");
        node.registration = None;
        let id = node.id.clone();
        self.notice(EventKind::NodeJoined, &id, "");
        self.settle(&id, now);
        Ok(())
    }

    /// What is to be written, which is nothing afterwards.
    pub(super) fn take_notes(&mut self, until_unix_seconds: f64) -> Notes {
        for node in self.by_id.values_mut() {
            node.averages.finish(&node.id, until_unix_seconds, &mut self.finished_steps);
        }
        let seen = |node: &Node| Sighting {
            id: node.id.to_string(),
            address: node.address.to_string(),
            last_seen: node.last_seen,
        };
        let unsaved = std::mem::take(&mut self.unsaved);
        Notes {
            sightings: unsaved.iter().filter_map(|id| self.by_id.get(id)).map(seen).collect(),
            fetches: std::mem::take(&mut self.unsaved_fetches),
            steps: std::mem::take(&mut self.finished_steps),
        }
    }

    /// Keeps notes that could not be written for the next time, as far as they are still of somebody.
    pub(super) fn put_back(&mut self, notes: Notes) {
        self.unsaved.extend(notes.sightings.iter().map(|sighting| Arc::from(sighting.id.as_str())));
        let is_known = |id: &str| self.by_id.contains_key(id);
        self.unsaved_fetches.extend(notes.fetches.into_iter().filter(|fetch| is_known(&fetch.node_id)));
        // Of the history a gap may stay rather than fill the memory while the disk is full.
        if self.finished_steps.len() < NODES_MAX {
            self.finished_steps.extend(notes.steps.into_iter().filter(|step| is_known(&step.node_id)));
        }
    }
}

fn describe_change(before: &Decision, after: &Decision) -> String {
    let mut parts = Vec::new();
    if before.state != after.state {
        parts.push(format!("state {:?}", after.state).to_lowercase());
    }
    if before.weight != after.weight {
        parts.push(format!("weight {}", after.weight));
    }
    if before.name != after.name {
        parts.push(format!("name {:?}", after.name));
    }
    if before.description != after.description {
        parts.push("description".to_owned());
    }
    parts.join(", ")
}
