//! The long-lived connection to a master of ours. Its events are hints: whatever matters is asked for afterwards, by
//! requests of its own, so that a lost event costs only time.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use http::HeaderMap;
use posthouse_protocol::live::{ChallengeAnswer, LiveEvent, SignedLiveEvent};
use posthouse_protocol::routes;
use posthouse_protocol::signing::live_event_text;
use posthouse_runtime::client::{ClientError, StreamedAnswer};
use posthouse_runtime::tasks::Report;
use tokio::time::timeout;

use crate::backoff::Backoff;
use crate::state::Node;
use crate::uplink::{Link, MasterKind};

/// A master that says nothing for so long is gone: it pings every three seconds.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// Time limit for small requests.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// Longest line that is read, in bytes; events are far shorter.
const LINE_MAX: usize = 64 * 1024;

/// Why a live connection ended.
#[derive(Debug, thiserror::Error)]
enum LiveError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the connection broke: {0}")]
    Broken(#[from] reqwest::Error),
    #[error("the master closed the connection")]
    Closed,
    #[error("the master said goodbye: {0}")]
    Goodbye(String),
    #[error("nothing was heard for {} seconds", SILENCE_MAX.as_secs())]
    Silent,
    #[error("an event is not of its form")]
    NotUnderstood,
    #[error("an event is missing or was sent twice")]
    OutOfOrder,
    #[error("an event is not signed by the master")]
    NotSigned,
}

/// Keeps a live connection while there is a link to a master that knows it.
pub(crate) async fn run(node: Node, report: Report) {
    let mut links = node.uplink.links();
    let mut kinds = node.uplink.kinds();
    loop {
        let link = links.borrow_and_update().clone();
        let is_ours = *kinds.borrow_and_update() == MasterKind::Ours;
        let keeping = async {
            match link.filter(|_| is_ours) {
                Some(link) => keep(&node, &link, &report).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = keeping => {}
            changed = links.changed() => if changed.is_err() { return },
            changed = kinds.changed() => if changed.is_err() { return },
            () = node.stop.cancelled() => return,
        }
    }
}

/// Connects again and again. Never returns.
async fn keep(node: &Node, link: &Arc<Link>, report: &Report) {
    let mut backoff = Backoff::default();
    loop {
        link.until_registered().await;
        let mut was_up = false;
        let Err(error) = listen(node, link, &mut was_up, report).await;
        report.failed(&error);
        if was_up {
            tracing::info!(master = %link.address, %error, "the live connection ended");
            backoff.reset();
            // Is it the connection or the master? And what was missed in between?
            node.presence.doubt.notify_one();
        } else {
            tracing::debug!(master = %link.address, %error, "no live connection");
        }
        let pause = backoff.pause();
        report.next_in(pause);
        tokio::time::sleep(pause).await;
    }
}

async fn listen(
    node: &Node,
    link: &Link,
    was_up: &mut bool,
    report: &Report,
) -> Result<std::convert::Infallible, LiveError> {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("node_id", &link.node_id)
        .append_pair("instance", &node.instance)
        .finish();
    let target = format!("{}?{query}", routes::LIVE);
    let mut answer = link.client.stream(&target, HeaderMap::new(), REQUEST_LIMIT).await?;
    let mut buffer = BytesMut::new();
    for sequence in 0_u64.. {
        let line = timeout(SILENCE_MAX, next_line(&mut answer, &mut buffer)).await.map_err(|_| LiveError::Silent)??;
        let event = check(link, &answer.nonce, sequence, &line)?;
        if !*was_up {
            *was_up = true;
            tracing::debug!(master = %link.address, "the live connection is up");
            node.sync.wake();
        }
        report.completed();
        match event {
            LiveEvent::Ping => {}
            LiveEvent::Changed => node.sync.wake(),
            LiveEvent::Challenge { challenge } => answer_challenge(node, link, challenge).await?,
            LiveEvent::Goodbye { reason } => return Err(LiveError::Goodbye(reason)),
        }
    }
    Err(LiveError::Closed)
}

async fn next_line(answer: &mut StreamedAnswer, buffer: &mut BytesMut) -> Result<BytesMut, LiveError> {
    loop {
        if let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let mut line = buffer.split_to(end + 1);
            line.truncate(end);
            return Ok(line);
        }
        if buffer.len() > LINE_MAX {
            return Err(LiveError::NotUnderstood);
        }
        let chunk = answer.response.chunk().await?.ok_or(LiveError::Closed)?;
        buffer.extend_from_slice(&chunk);
    }
}

fn check(link: &Link, nonce: &str, sequence: u64, line: &[u8]) -> Result<LiveEvent, LiveError> {
    let signed: SignedLiveEvent = serde_json::from_slice(line).map_err(|_| LiveError::NotUnderstood)?;
    if let Some(identity) = link.client.identity() {
        let text = live_event_text(nonce, signed.sequence, &signed.event);
        if !identity.secret.verify(&text, &signed.signature) {
            return Err(LiveError::NotSigned);
        }
    }
    if signed.sequence != sequence {
        return Err(LiveError::OutOfOrder);
    }
    serde_json::from_str(&signed.event).map_err(|_| LiveError::NotUnderstood)
}

async fn answer_challenge(node: &Node, link: &Link, challenge: String) -> Result<(), LiveError> {
    let answer = ChallengeAnswer { node_id: link.node_id.clone(), instance: node.instance.clone(), challenge };
    tracing::warn!("another process asks for this node's id; the master is told that this one lives");
    link.client.post::<_, serde_json::Value>(routes::LIVE_ANSWER, &answer, REQUEST_LIMIT).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use posthouse_runtime::clock::Clock;

    use super::*;
    use crate::uplink::tests::link_with_secret;

    #[test]
    fn only_the_masters_events_in_their_order_are_believed() {
        let (link, secret) = link_with_secret(Clock::system());
        let line = |sequence: u64, event: &str, nonce: &str| {
            let signature = secret.sign(&live_event_text(nonce, sequence, event));
            serde_json::to_vec(&SignedLiveEvent { sequence, event: event.to_owned(), signature }).unwrap()
        };
        let changed = r#"{"kind":"changed"}"#;
        assert_eq!(check(&link, "n1", 0, &line(0, changed, "n1")).unwrap(), LiveEvent::Changed);
        // A replay on another connection, a gap, an event without signature.
        assert!(matches!(check(&link, "n2", 0, &line(0, changed, "n1")), Err(LiveError::NotSigned)));
        assert!(matches!(check(&link, "n1", 0, &line(1, changed, "n1")), Err(LiveError::OutOfOrder)));
        let bare = SignedLiveEvent { sequence: 0, event: changed.to_owned(), signature: String::new() };
        assert!(matches!(check(&link, "n1", 0, &serde_json::to_vec(&bare).unwrap()), Err(LiveError::NotSigned)));
        assert!(matches!(check(&link, "n1", 0, b"{}"), Err(LiveError::NotUnderstood)));
    }
}
