//! The long-lived connection from a node to its master: newline-delimited JSON, a [`SignedLiveEvent`] a line.
//!
//! Its end is how the master learns at once that a node's process is gone; its events are hints that make the node
//! ask again by signed requests, so that nothing depends on an event arriving.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One line of the stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignedLiveEvent {
    /// Counts from 0 on each connection, without gaps.
    pub sequence: u64,
    /// The event as JSON text, exactly as signed; parses as [`LiveEvent`].
    pub event: String,
    /// HMAC-SHA256 over [`crate::signing::live_event_text`]; empty on an unsigned connection.
    pub signature: String,
}

/// What the master tells a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LiveEvent {
    /// Sent every [`PING_INTERVAL_SECONDS`], so that both sides notice a silent loss.
    Ping,
    /// Meetings or packages changed: poll now.
    Changed,
    /// Somebody else wants to use this id: answer at once, or lose it.
    Challenge {
        /// To be sent back in [`ChallengeAnswer`].
        challenge: String,
    },
    /// The master removed or disabled this node, or is stopping; the connection ends after this.
    Goodbye {
        /// Why, for people.
        reason: String,
    },
}

/// Answer to [`LiveEvent::Challenge`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChallengeAnswer {
    /// The node.
    pub node_id: String,
    /// The process that answers, see [`crate::node::NodeExtension::instance`].
    pub instance: String,
    /// As received.
    pub challenge: String,
}

/// Seconds between two pings.
pub const PING_INTERVAL_SECONDS: u64 = 3;
