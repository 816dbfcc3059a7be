//! The strings that are signed, and the headers they travel in.
//!
//! Every field stands on a line of its own below a first line that names the purpose, so that a signature made for
//! one purpose is never good for another. No field can contain a line feed: methods, header values and request
//! targets cannot by HTTP's grammar, and the rest is numbers and hexadecimal digits.

use crate::ContentHash;

/// Request: the id of the node that signs it, or for the master's own requests the node that it addresses.
pub const NODE_HEADER: &str = "x-posthouse-node";
/// Request and answer: Unix time in milliseconds by the signer's (corrected) clock.
pub const TIME_HEADER: &str = "x-posthouse-time";
/// Request: 32 hexadecimal digits, never used twice.
pub const NONCE_HEADER: &str = "x-posthouse-nonce";
/// Request and answer: BLAKE3 of the body; of a package, of the whole package whatever range is sent.
pub const BODY_HEADER: &str = "x-posthouse-body";
/// Request and answer: HMAC-SHA256 over the string below, as 64 hexadecimal digits.
pub const SIGNATURE_HEADER: &str = "x-posthouse-signature";
/// Answer with a package: its version, for the eyes of operators; authenticated by the hash.
pub const VERSION_HEADER: &str = "x-posthouse-package-version";

/// What a signed request says.
#[derive(Debug, Clone)]
pub struct RequestToSign<'a> {
    /// Whom it is from or for; see [`NODE_HEADER`].
    pub node_id: &'a str,
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// Path with query, as it stands in the request line.
    pub target: &'a str,
    /// BLAKE3 of the body.
    pub body: ContentHash,
    /// Unix time in milliseconds.
    pub time_ms: i64,
    /// See [`NONCE_HEADER`].
    pub nonce: &'a str,
}

impl RequestToSign<'_> {
    /// The string to sign.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Self { node_id, method, target, body, time_ms, nonce } = self;
        format!("posthouse-request-1\n{node_id}\n{method}\n{target}\n{body}\n{time_ms}\n{nonce}")
    }
}

/// What a signed answer says.
#[derive(Debug, Clone)]
pub struct AnswerToSign<'a> {
    /// Nonce of the request that it answers: an answer cannot be used for another request.
    pub request_nonce: &'a str,
    /// HTTP status code.
    pub status: u16,
    /// Unix time in milliseconds by the answering side.
    pub time_ms: i64,
    /// BLAKE3 of the body; of a package, of the whole package.
    pub body: ContentHash,
}

impl AnswerToSign<'_> {
    /// The string to sign.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Self { request_nonce, status, time_ms, body } = self;
        format!("posthouse-answer-1\n{request_nonce}\n{status}\n{time_ms}\n{body}")
    }
}

/// What an event on the live connection says.
#[must_use]
pub fn live_event_text(request_nonce: &str, sequence: u64, event_json: &str) -> String {
    format!("posthouse-live-1\n{request_nonce}\n{sequence}\n{event_json}")
}

/// What a signed download link says. `expires_at` is Unix time in seconds by the master's clock.
#[must_use]
pub fn link_text(meeting_key: &str, version: u64, node_id: &str, expires_at: i64) -> String {
    format!("posthouse-link-1\n{meeting_key}\n{version}\n{node_id}\n{expires_at}")
}

/// Query parameter that carries the link signature, the last one of the URL:
/// `<version>.<expires_at>.<64 hexadecimal digits>`.
pub const LINK_PARAMETER: &str = "ticket";
