//! The node's presence at its master: it registers, sends heartbeats at their interval, and says goodbye.
//!
//! A heartbeat is sent at each interval, whatever became of the one before; whoever waits for an answer does so beside
//! the clock, not in front of it.

pub(crate) mod live;
mod report;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, FutureExt as _, OptionFuture};
use futures_util::stream::FuturesUnordered;
use posthouse_protocol::event::EventKind;
use posthouse_protocol::legacy::{HeartbeatAnswer, HeartbeatRequest, RegisterRequest, Success, UnregisterRequest};
use posthouse_protocol::{ErrorCode, routes};
use posthouse_runtime::client::ClientError;
use posthouse_runtime::tasks::Report;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use crate::backoff::Backoff;
use crate::state::Node;
use crate::uplink::{Link, MasterKind, is_refusal};

pub(crate) use report::{Reporter, advertised_address};

/// Goodbye is said in this time or not at all.
const UNREGISTER_LIMIT: Duration = Duration::from_secs(2);
/// Heartbeats whose answers are waited for; more than that have a time limit longer than makes sense.
const BEATS_AT_A_TIME: usize = 8;
/// While changes follow each other like this, they share a heartbeat.
const CHANGES_TOGETHER: Duration = Duration::from_millis(20);

/// What presence keeps between heartbeats.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    pub(crate) reporter: Reporter,
    /// The live connection ended: look whether the master is still there.
    pub(crate) doubt: Notify,
}

/// Registers and sends heartbeats on each link until the node stops.
pub(crate) async fn run(node: Node, report: Report) {
    let mut links = node.uplink.links();
    loop {
        let link = links.borrow_and_update().clone();
        let attending: OptionFuture<_> = link.map(|link| attend(&node, link, &report)).into();
        let attending = async {
            attending.await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = attending => {}
            changed = links.changed() => if changed.is_err() { return },
            () = node.stop.cancelled() => return,
        }
    }
}

/// Says goodbye, for two seconds at most.
pub(crate) async fn unregister(link: &Link) {
    let body = UnregisterRequest { node_id: link.node_id.clone() };
    let answer: Result<Success, _> = link.client.post(routes::UNREGISTER, &body, UNREGISTER_LIMIT).await;
    match answer {
        Ok(_) => tracing::info!(master = %link.address, "unregistered"),
        Err(error) => tracing::info!(master = %link.address, %error, "could not unregister"),
    }
    link.set_registered(false);
}

/// What a request of presence came to: its number, and the answer.
type Sent = (u64, Result<(), ClientError>);

/// One link's presence. Never returns.
async fn attend(node: &Node, link: Arc<Link>, report: &Report) {
    let mut settings = node.settings.subscribe();
    let mut changes = node.shelf.changes();
    let (mut interval, mut public) = {
        let config = settings.borrow_and_update();
        (config.heartbeat_interval, config.public.clone())
    };
    let mut ticks = ticks_of(interval);
    let mut backoff = Backoff::default();
    let mut registering: Option<BoxFuture<'_, Sent>> = Some(register(node, &link, 0).boxed());
    let mut retry_at: Option<Instant> = None;
    let mut beats = FuturesUnordered::new();
    let mut sent = 0_u64;
    let mut answered = 0_u64;
    loop {
        let retry: OptionFuture<_> = retry_at.map(sleep_until).into();
        let registration: OptionFuture<_> = registering.as_mut().into();
        tokio::select! {
            _ = ticks.tick() => {
                report.next_in(interval);
                if !node.uplink.is_refused() && beats.len() < BEATS_AT_A_TIME {
                    sent += 1;
                    beats.push(beat(node, &link, sent, Duration::ZERO));
                }
            }
            Ok(()) = changes.changed() => {
                if link.is_registered() && beats.len() < BEATS_AT_A_TIME {
                    sent += 1;
                    beats.push(beat(node, &link, sent, CHANGES_TOGETHER));
                    changes.mark_unchanged();
                }
            }
            Some(()) = retry => {
                retry_at = None;
                sent += 1;
                registering = Some(register(node, &link, sent).boxed());
            }
            Some((number, result)) = registration => {
                registering = None;
                answered = answered.max(number);
                retry_at = after_registration(node, &link, &result, &mut backoff, report);
            }
            Some((number, result)) = beats.next() => {
                // An answer that was overtaken by a later one says nothing new.
                if number < answered {
                    continue;
                }
                answered = number;
                match result {
                    Ok(()) => {
                        report.completed();
                        link.set_registered(true);
                        node.uplink.note_presence(&link, Ok(()));
                    }
                    Err(error) if link.is_registered() => {
                        report.failed(&error);
                        lost(node, &link, &error);
                        retry_at = Some(Instant::now() + if is_refusal(&error) { Duration::ZERO } else { backoff.pause() });
                    }
                    // The registration under way tells more.
                    Err(error) => report.failed(&error),
                }
            }
            () = node.presence.doubt.notified() => {
                if registering.is_none() && link.is_registered() {
                    retry_at = Some(Instant::now());
                }
            }
            Ok(()) = settings.changed() => {
                let config = settings.borrow_and_update().clone();
                if config.heartbeat_interval != interval {
                    interval = config.heartbeat_interval;
                    ticks = ticks_of(interval);
                }
                if config.public != public {
                    public.clone_from(&config.public);
                    // Clients are sent to the new address from now on.
                    if link.is_registered() {
                        sent += 1;
                        beats.push(beat(node, &link, sent, Duration::ZERO));
                    }
                }
            }
        }
    }
}

fn ticks_of(interval: Duration) -> tokio::time::Interval {
    let mut ticks = interval_at(Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

/// Notes what a registration gave; when to try again, if it has to be.
fn after_registration(
    node: &Node,
    link: &Arc<Link>,
    result: &Result<(), ClientError>,
    backoff: &mut Backoff,
    report: &Report,
) -> Option<Instant> {
    match result {
        Ok(()) => {
            report.completed();
            backoff.reset();
            let is_news = !node.uplink.is_connected();
            link.set_registered(true);
            node.uplink.note_presence(link, Ok(()));
            if is_news {
                tracing::info!(master = %link.address, "registered");
                node.sync.wake();
            }
            None
        }
        Err(error) => {
            report.failed(error);
            lost(node, link, error);
            Some(Instant::now() + if is_refusal(error) { backoff.long_pause() } else { backoff.pause() })
        }
    }
}

fn lost(node: &Node, link: &Arc<Link>, error: &ClientError) {
    let was_refused = node.uplink.is_refused();
    link.set_registered(false);
    node.uplink.note_presence(link, Err(error));
    if is_refusal(error) && !was_refused {
        node.events.record(EventKind::NodeRefused, None, error.to_string());
    }
    if error.code() == Some(ErrorCode::SecondInstance) {
        tracing::debug!("another process uses this node id");
    }
}

async fn register(node: &Node, link: &Link, number: u64) -> Sent {
    let limit = node.settings.now().heartbeat_timeout;
    let work = async {
        let body = RegisterRequest {
            node_id: link.node_id.clone(),
            address: advertised_address(node, link).await,
            status: "online".to_owned(),
            posthouse: Some(report::extension(node).await),
        };
        link.client.post::<_, Success>(routes::REGISTER, &body, limit).await.map(drop)
    };
    (number, work.await)
}

async fn beat(node: &Node, link: &Link, number: u64, delay: Duration) -> Sent {
    tokio::time::sleep(delay).await;
    let limit = node.settings.now().heartbeat_timeout;
    let active_meetings = node.sync.active_titles(node);
    let synced_meetings = node.shelf.held().into_iter().map(|held| held.meeting_id).collect();
    // Older masters get what they know.
    let posthouse = match node.uplink.kind() {
        MasterKind::Older => None,
        MasterKind::Ours | MasterKind::Unknown => Some(report::extension(node).await),
    };
    let body = HeartbeatRequest {
        node_id: link.node_id.clone(),
        address: advertised_address(node, link).await,
        status: "online".to_owned(),
        active_meetings,
        synced_meetings,
        posthouse,
    };
    (number, link.client.post::<_, HeartbeatAnswer>(routes::HEARTBEAT, &body, limit).await.map(drop))
}
