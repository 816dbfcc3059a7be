//! Registration, heartbeat, goodbye.

use std::sync::Arc;

use posthouse_protocol::event::EventKind;
use posthouse_protocol::legacy::{HeartbeatRequest, MeetingTitle};
use tokio::sync::oneshot;

use super::admission::{Arrival, Speaker, host_ip};
use super::holdings::Holdings;
use super::interval::Interval;
use super::moment::Moment;
use super::node::{Node, Registration, Unproven};
use super::nodes::Nodes;
use super::reach::Reach;
use super::refusal::NodeRefusal;

/// A heartbeat that crossed its own process's goodbye must not register it again: ignored for this long, in
/// milliseconds.
const AFTER_GOODBYE_MS: u64 = 5_000;

/// What became of the wish to register.
#[derive(Debug)]
pub(super) enum Registered {
    /// It is registered.
    Done,
    /// Another process has the id and a live connection. It was asked whether it lives; `answer` resolves when it says
    /// so, and fails when its connection ends.
    Asked { connection: u64, answer: oneshot::Receiver<()> },
}

impl Nodes {
    /// Registers a node, unless another process of the same id has a live connection.
    pub(super) fn begin_registration(
        &mut self,
        arrival: &Arrival,
        speaker: &Speaker,
        now: Moment,
    ) -> Result<Registered, NodeRefusal> {
        self.admit(&arrival.id, speaker)?;
        let registration = self.by_id.get_mut(arrival.id.as_str()).and_then(|node| node.registration.as_mut());
        if let Some(registration) = registration
            && (registration.instance.as_deref() != arrival.instance() || arrival.instance().is_none())
            && let Some(connection) = &mut registration.live
            && let Some(answer) = connection.challenge()
        {
            return Ok(Registered::Asked { connection: connection.number, answer });
        }
        self.register(arrival, speaker, now)?;
        Ok(Registered::Done)
    }

    /// Registers a node in place of a process that did not answer. Whether it still was the same one.
    pub(super) fn take_over(
        &mut self,
        arrival: &Arrival,
        speaker: &Speaker,
        connection: u64,
        now: Moment,
    ) -> Result<bool, NodeRefusal> {
        let live = self.by_id.get(arrival.id.as_str()).and_then(|node| node.registration.as_ref()?.live.as_ref());
        if live.is_some_and(|live| live.number != connection) {
            return Ok(false);
        }
        self.admit(&arrival.id, speaker)?;
        self.register(arrival, speaker, now)?;
        Ok(true)
    }

    fn register(&mut self, arrival: &Arrival, speaker: &Speaker, now: Moment) -> Result<(), NodeRefusal> {
        let is_probed = self.config.probe;
        let node = self.entry(&arrival.id)?;
        node.left = None;
        node.last_seen = now.unix_seconds;
        let is_same_process = arrival.instance().is_some()
            && node.registration.as_ref().is_some_and(|known| known.instance.as_deref() == arrival.instance());
        if !is_same_process {
            node.say_goodbye("另一个进程接管了此节点编号 / another process took over this node id");
            node.registration = Some(Registration::new(arrival, speaker, is_probed, now));
        }
        self.refresh(arrival, speaker, now);
        self.has_changed = true;
        self.settle(&arrival.id, now);
        Ok(())
    }

    /// Notes what a registration or heartbeat says of the node itself.
    fn refresh(&mut self, arrival: &Arrival, speaker: &Speaker, now: Moment) {
        let Some(node) = self.by_id.get_mut(arrival.id.as_str()) else { return };
        let Node { id, address, registration: Some(registration), averages, .. } = node else { return };
        self.unsaved.insert(id.clone());
        registration.last_sign_ms = now.ms;
        registration.peer = speaker.peer;
        if **address != *arrival.address {
            *address = arrival.address.as_str().into();
            registration.reach = Reach::untried(self.config.probe, now.ms);
            self.has_changed = true;
        }
        if let Some(extension) = &arrival.extension {
            registration.interval.tell(extension.heartbeat_interval_seconds);
            let held_before = registration.reported.as_ref().map(|reported| &reported.held);
            if held_before != Some(&extension.held) {
                registration.holdings = Holdings::told(&extension.held);
                self.has_changed = true;
            }
            averages.add(id, &extension.load, now.unix_seconds, &mut self.finished_steps);
            registration.reported = Some(extension.clone());
        }
    }

    /// A heartbeat. An unknown node is registered by it.
    pub(super) fn heartbeat(
        &mut self,
        beat: HeartbeatRequest,
        speaker: &Speaker,
        now: Moment,
    ) -> Result<(), NodeRefusal> {
        let HeartbeatRequest { node_id, address, active_meetings, synced_meetings, posthouse, .. } = beat;
        let arrival = Arrival::check(&node_id, &address, posthouse)?;
        self.admit(&node_id, speaker)?;
        let node = self.entry(&node_id)?;
        let is_registered = match &node.registration {
            Some(known) if known.instance.as_deref() == arrival.instance() => true,
            Some(known) if known.instance.is_some() && known.is_online(now) => {
                let address = node.address.to_string();
                return Err(NodeRefusal::SecondInstance { id: node_id, address });
            }
            Some(_) => false,
            None if node.is_leaving(arrival.instance(), now) => return Ok(()),
            None => false,
        };
        node.last_seen = now.unix_seconds;
        if is_registered {
            self.refresh(&arrival, speaker, now);
        } else {
            self.register(&arrival, speaker, now)?;
        }
        self.note_beat(&node_id, active_meetings, &synced_meetings, now);
        self.settle(&node_id, now);
        Ok(())
    }

    /// Notes what only a heartbeat says. What a node of ours holds was noted before.
    fn note_beat(&mut self, id: &str, titles: Vec<MeetingTitle>, synced: &[String], now: Moment) {
        let Some(node) = self.by_id.get_mut(id) else { return };
        let Node { address, registration: Some(registration), .. } = node else { return };
        registration.interval.observe(now.ms);
        registration.prove(now);
        registration.titles = titles;
        if registration.reported.is_some() {
            return;
        }
        let holdings = Holdings::listed(&registration.titles, synced);
        if registration.holdings == holdings {
            return;
        }
        let before = std::mem::replace(&mut registration.holdings, holdings);
        let peers = [Some(registration.peer), host_ip(address)];
        let claimed: Vec<_> = registration
            .holdings
            .newly_listed(&before)
            .filter_map(|key| self.unclaimed.claim(peers, key, now.ms))
            .collect();
        for holding in claimed {
            self.credit(id, holding);
        }
        self.has_changed = true;
    }

    /// A node says goodbye: its row, name and weight stay.
    pub(super) fn unregister(&mut self, id: &str, speaker: &Speaker, now: Moment) -> Result<(), NodeRefusal> {
        let not_found = || NodeRefusal::NotFound(id.to_owned());
        self.admit(id, speaker)?;
        let node = self.by_id.get_mut(id).ok_or_else(not_found)?;
        let registration = node.registration.take().ok_or_else(not_found)?;
        node.left = registration.instance.map(|instance| (instance, now.ms));
        node.last_seen = now.unix_seconds;
        let node_id = node.id.clone();
        self.unsaved.insert(Arc::clone(&node_id));
        self.has_changed = true;
        self.notice(EventKind::NodeUnregistered, &node_id, "");
        self.settle(id, now);
        Ok(())
    }
}

impl Node {
    /// Whether this process said goodbye just now.
    fn is_leaving(&self, instance: Option<&str>, now: Moment) -> bool {
        self.left
            .as_ref()
            .is_some_and(|(left, at_ms)| instance == Some(left) && now.ms.saturating_sub(*at_ms) < AFTER_GOODBYE_MS)
    }
}

impl Registration {
    fn new(arrival: &Arrival, speaker: &Speaker, is_probed: bool, now: Moment) -> Self {
        let instance = arrival.instance().map(str::to_owned);
        Self {
            since: now.unix_seconds,
            unproven: instance.is_some().then_some(Unproven { since_ms: now.ms, is_lost: false }),
            instance,
            peer: speaker.peer,
            last_sign_ms: now.ms,
            interval: Interval::default(),
            live: None,
            titles: Vec::new(),
            holdings: Holdings::listed(&[], &[]),
            reported: None,
            reach: Reach::untried(is_probed, now.ms),
        }
    }
}
