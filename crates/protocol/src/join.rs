//! Joining a master: the code a person pastes, and the two requests in which node and master agree on a secret.
//!
//! An ephemeral X25519 exchange keyed by the code's token, in the manner of a pre-shared-key handshake (RFC 7748 for
//! the exchange, RFC 5869 for the derivation). With `dh` the X25519 result and `transcript` the BLAKE3 hash of
//! [`transcript_text`]:
//!
//! ```text
//! key          = HKDF-SHA256(salt = token, input = dh, info = "posthouse-join-1 " ‖ <purpose> ‖ transcript)
//! <purpose>    = "master proof " | "node proof " | "node secret "   (32 bytes each)
//! ```
//!
//! Each proof shows that its sender knows the token and saw the same transcript, which names both sides; the secret
//! itself never crosses the wire. Who records a join and finds the code later still lacks `dh`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// First characters of every join code.
pub const JOIN_CODE_PREFIX: &str = "posthouse-join-1.";

/// What a join code says: `JOIN_CODE_PREFIX` and base64url (no padding) of this as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinCode {
    /// Where the master can be reached, `host:port`, in the order to try.
    #[serde(rename = "a")]
    pub addresses: Vec<String>,
    /// Names the code on the master; not secret.
    #[serde(rename = "i")]
    pub code_id: String,
    /// The secret, 64 hexadecimal digits.
    #[serde(rename = "t")]
    pub token: String,
    /// Unix time in seconds after which the code is refused.
    #[serde(rename = "e")]
    pub expires_at: i64,
    /// How many nodes may join with it.
    #[serde(rename = "n")]
    pub uses: u32,
}

/// First request, node to master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinHello {
    /// Which code, without its secret.
    pub code_id: String,
    /// Who wants to join.
    pub node_id: String,
    /// Ephemeral X25519 public key, 64 hexadecimal digits.
    pub node_key: String,
}

/// Answer to [`JoinHello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinOffer {
    /// Names this exchange in [`JoinConfirm`].
    pub session: String,
    /// Which master this is, made once at its first start.
    pub master_id: String,
    /// Ephemeral X25519 public key, 64 hexadecimal digits.
    pub master_key: String,
    /// The master's proof, 64 hexadecimal digits.
    pub master_proof: String,
}

/// Second request, node to master. Sending it again gives the same answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinConfirm {
    /// From the offer.
    pub session: String,
    /// The node's proof, 64 hexadecimal digits.
    pub node_proof: String,
}

/// Answer to [`JoinConfirm`]: from now on the node's secret is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinAccepted {
    /// `success`.
    pub status: String,
    /// The node that joined.
    pub node_id: String,
    /// The master's id again.
    pub master_id: String,
}

/// What both sides hash as their transcript.
#[must_use]
pub fn transcript_text(hello: &JoinHello, session: &str, master_id: &str, master_key: &str) -> String {
    let JoinHello { code_id, node_id, node_key } = hello;
    // Lengths first, so that no choice of ids makes two transcripts alike.
    format!(
        "posthouse-join-1\n{} {} {} {}\n{code_id}\n{node_id}\n{node_key}\n{session}\n{master_id}\n{master_key}",
        code_id.len(),
        node_id.len(),
        session.len(),
        master_id.len()
    )
}

/// Request for a new join code (administrator to master).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateJoinCode {
    /// How many nodes may join with it; 1 when absent.
    #[serde(default)]
    pub uses: Option<u32>,
    /// Seconds until it expires; one day when absent.
    #[serde(default)]
    pub expires_in_seconds: Option<u64>,
}

/// A join code as the master lists it; the secret is told only once, in [`CreatedJoinCode`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinCodeView {
    /// Names the code.
    pub code_id: String,
    /// Unix time in seconds.
    pub created_at: i64,
    /// Unix time in seconds.
    pub expires_at: i64,
    /// How many nodes may join with it in all.
    pub uses: u32,
    /// How many have.
    pub used: u32,
    /// Whether it was revoked.
    pub revoked: bool,
}

/// Answer to [`CreateJoinCode`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedJoinCode {
    /// The string to paste on the node.
    pub code: String,
    /// The code's public part.
    #[serde(flatten)]
    pub view: JoinCodeView,
}
