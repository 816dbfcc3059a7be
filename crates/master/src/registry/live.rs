//! Live connections, and the challenge by which a second process of the same id is told from a restart.

use std::sync::Arc;
use std::time::Duration;

use posthouse_protocol::live::{ChallengeAnswer, LiveEvent, PING_INTERVAL_SECONDS};
use posthouse_protocol::node::NodeState;
use posthouse_runtime::random;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Registry;
use super::admission::Speaker;
use super::moment::Moment;
use super::node::Unproven;
use super::nodes::Nodes;
use super::refusal::NodeRefusal;

/// Events that a connection holds back while its peer does not read.
const BACKLOG: usize = 16;

/// The master's end of a live connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) number: u64,
    events: mpsc::Sender<LiveEvent>,
    challenges: Vec<(String, oneshot::Sender<()>)>,
}

impl Connection {
    pub(super) fn new(number: u64) -> (Self, mpsc::Receiver<LiveEvent>) {
        let (events, receiver) = mpsc::channel(BACKLOG);
        (Self { number, events, challenges: Vec::new() }, receiver)
    }

    /// Tells the node to poll. When the backlog is full it will, without this.
    pub(super) fn tell_of_change(&self) {
        let _ = self.events.try_send(LiveEvent::Changed);
    }

    /// Asks the process at the other end whether it lives. `None`: it does not read, or is gone.
    pub(super) fn challenge(&mut self) -> Option<oneshot::Receiver<()>> {
        self.challenges.retain(|(_, waiting)| !waiting.is_closed());
        let challenge = random::hex::<16>();
        let (answered, answer) = oneshot::channel();
        self.events.try_send(LiveEvent::Challenge { challenge: challenge.clone() }).ok()?;
        self.challenges.push((challenge, answered));
        Some(answer)
    }

    fn answer(&mut self, challenge: &str) -> bool {
        let Some(place) = self.challenges.iter().position(|(asked, _)| asked == challenge) else { return false };
        self.challenges.swap_remove(place).1.send(()).is_ok()
    }

    /// Ends the connection.
    pub(super) fn say_goodbye(self, reason: &str) {
        let _ = self.events.try_send(LiveEvent::Goodbye { reason: reason.to_owned() });
    }
}

impl Nodes {
    /// Opens a live connection; one that the same process had before ends.
    pub(super) fn open_live(
        &mut self,
        id: &str,
        instance: Option<&str>,
        speaker: &Speaker,
        now: Moment,
    ) -> Result<(u64, mpsc::Receiver<LiveEvent>), NodeRefusal> {
        self.admit(id, speaker)?;
        let number = self.next_connection;
        let node = self.by_id.get_mut(id).ok_or_else(|| NodeRefusal::NotFound(id.to_owned()))?;
        if node.decision.state == NodeState::Disabled {
            return Err(NodeRefusal::Disabled(id.to_owned()));
        }
        let registration = node.registration.as_mut().ok_or_else(|| NodeRefusal::NotFound(id.to_owned()))?;
        if instance.is_some() && instance != registration.instance.as_deref() {
            let address = node.address.to_string();
            return Err(NodeRefusal::SecondInstance { id: id.to_owned(), address });
        }
        let (connection, events) = Connection::new(number);
        if let Some(before) = registration.live.replace(connection) {
            before.say_goodbye("本进程打开了新的连接 / this process opened a newer connection");
        }
        registration.unproven = None;
        registration.last_sign_ms = now.ms;
        node.last_seen = now.unix_seconds;
        self.next_connection += 1;
        self.unsaved.insert(node.id.clone());
        self.settle(id, now);
        Ok((number, events))
    }

    /// A live connection broke, or its process died.
    pub(super) fn lose_live(&mut self, id: &str, number: u64, now: Moment) {
        let Some(registration) = self.by_id.get_mut(id).and_then(|node| node.registration.as_mut()) else { return };
        if registration.live.take_if(|connection| connection.number == number).is_none() {
            return;
        }
        registration.unproven = Some(Unproven { since_ms: now.ms, is_lost: true });
        self.settle(id, now);
    }

    /// The process that was challenged answers.
    pub(super) fn answer_challenge(&mut self, answer: &ChallengeAnswer, speaker: &Speaker) -> Result<(), NodeRefusal> {
        self.admit(&answer.node_id, speaker)?;
        let registration = self.by_id.get_mut(answer.node_id.as_str()).and_then(|node| node.registration.as_mut());
        let connection = registration
            .filter(|registration| registration.instance.as_ref() == Some(&answer.instance))
            .and_then(|registration| registration.live.as_mut());
        let is_answered = connection.is_some_and(|connection| connection.answer(&answer.challenge));
        if is_answered { Ok(()) } else { Err(NodeRefusal::NoChallenge) }
    }

    /// Tells every node to poll.
    pub(super) fn tell_all(&self) {
        let registrations = self.by_id.values().filter_map(|node| node.registration.as_ref());
        registrations.filter_map(|registration| registration.live.as_ref()).for_each(Connection::tell_of_change);
    }
}

/// The events of one live connection, to be sent as they come. Dropping it says that the connection is lost.
#[derive(Debug)]
pub(crate) struct LiveFeed {
    registry: Registry,
    node_id: Arc<str>,
    number: u64,
    events: mpsc::Receiver<LiveEvent>,
    pings: tokio::time::Interval,
    stop: CancellationToken,
    is_over: bool,
}

impl LiveFeed {
    pub(super) fn new(
        registry: Registry,
        node_id: &str,
        (number, events): (u64, mpsc::Receiver<LiveEvent>),
        stop: CancellationToken,
    ) -> Self {
        let mut pings = tokio::time::interval(Duration::from_secs(PING_INTERVAL_SECONDS));
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { registry, node_id: node_id.into(), number, events, pings, stop, is_over: false }
    }

    /// The next event; `None` ends the connection. The first is a ping at once, so that the node sees that it is
    /// connected.
    pub(crate) async fn next(&mut self) -> Option<LiveEvent> {
        if self.is_over {
            return None;
        }
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {
                self.is_over = true;
                Some(LiveEvent::Goodbye { reason: "主控正在停止 / the master is stopping".to_owned() })
            }
            event = self.events.recv() => event,
            _ = self.pings.tick() => Some(LiveEvent::Ping),
        }
    }
}

impl Drop for LiveFeed {
    fn drop(&mut self) {
        // When the master stops it is not the node that is lost.
        if !self.stop.is_cancelled() {
            self.registry.lose_live(&self.node_id, self.number);
        }
    }
}
