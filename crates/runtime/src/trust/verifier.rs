//! Checks signed requests: signature first, then age, then whether the nonce was seen before.

use std::collections::HashMap;

use http::HeaderMap;
use parking_lot::Mutex;
use posthouse_protocol::ContentHash;
use posthouse_protocol::signing::{
    BODY_HEADER, NODE_HEADER, NONCE_HEADER, RequestToSign, SIGNATURE_HEADER, TIME_HEADER,
};

use crate::clock::Clock;
use crate::trust::Secret;

/// Requests further from the verifier's clock than this are refused, in milliseconds.
pub const TOLERANCE_MS: i64 = 60_000;

/// The signature headers of a request, read but not yet believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureHeaders {
    /// Whom it is from or for.
    pub node_id: String,
    /// Unix milliseconds.
    pub time_ms: i64,
    /// 32 hexadecimal digits.
    pub nonce: String,
    /// BLAKE3 of the body.
    pub body: ContentHash,
    /// 64 hexadecimal digits.
    pub signature: String,
}

impl SignatureHeaders {
    /// `None` when the node header is absent (an unsigned request), an error when the others do not go with it.
    pub fn read(headers: &HeaderMap) -> Result<Option<Self>, Refusal> {
        if !headers.contains_key(NODE_HEADER) {
            return Ok(None);
        }
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).ok_or(Refusal::Malformed);
        let nonce = text(NONCE_HEADER)?;
        if nonce.len() != 32 || !nonce.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Refusal::Malformed);
        }
        // Node ids may hold any character; the header carries their UTF-8.
        let node_id = headers.get(NODE_HEADER).and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
        Ok(Some(Self {
            node_id: node_id.ok_or(Refusal::Malformed)?.to_owned(),
            time_ms: text(TIME_HEADER)?.parse().map_err(|_| Refusal::Malformed)?,
            nonce: nonce.to_owned(),
            body: text(BODY_HEADER)?.parse().map_err(|_| Refusal::Malformed)?,
            signature: text(SIGNATURE_HEADER)?.to_owned(),
        }))
    }
}

/// Why a signed request is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Headers are missing or not of their form.
    Malformed,
    /// The signature is not the one this secret makes.
    WrongSignature,
    /// Too far from the verifier's clock, or from before it started.
    WrongTime,
    /// The nonce was used before.
    Replayed,
    /// The body is not the one that was signed.
    WrongBody,
}

/// Remembers when it started and the nonces of the last minutes.
#[derive(Debug)]
pub struct Verifier {
    clock: Clock,
    started_ms: i64,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    until_ms: HashMap<String, i64>,
    next_sweep_ms: i64,
}

impl Verifier {
    /// Refuses everything that was signed before now: nonces of an earlier process are not remembered. When the
    /// machine's clock is set back later, what comes is no older for that: time goes on from here by itself.
    #[must_use]
    pub fn new(clock: &Clock) -> Self {
        let clock = clock.steady();
        Self { started_ms: clock.now_ms(), clock, seen: Mutex::default() }
    }

    /// Checks all but the body.
    pub fn check(
        &self,
        secret: &Secret,
        headers: &SignatureHeaders,
        method: &str,
        target: &str,
    ) -> Result<(), Refusal> {
        let signed = RequestToSign {
            node_id: &headers.node_id,
            method,
            target,
            body: headers.body,
            time_ms: headers.time_ms,
            nonce: &headers.nonce,
        };
        if !secret.verify(&signed.to_text(), &headers.signature) {
            return Err(Refusal::WrongSignature);
        }
        let now_ms = self.clock.now_ms();
        if (now_ms - headers.time_ms).abs() > TOLERANCE_MS || headers.time_ms < self.started_ms {
            return Err(Refusal::WrongTime);
        }
        // The signature comes before this, so that strangers cannot fill the memory.
        let mut seen = self.seen.lock();
        if now_ms >= seen.next_sweep_ms {
            seen.until_ms.retain(|_, until_ms| *until_ms >= now_ms);
            seen.next_sweep_ms = now_ms + TOLERANCE_MS / 4;
        }
        let key = format!("{} {}", headers.nonce, headers.node_id);
        if seen.until_ms.insert(key, headers.time_ms + 2 * TOLERANCE_MS).is_some() {
            return Err(Refusal::Replayed);
        }
        Ok(())
    }

    /// The verifier's clock, for its answers.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(secret: &Secret, time_ms: i64, nonce: &str) -> SignatureHeaders {
        let body = ContentHash([7; 32]);
        let text = RequestToSign { node_id: "n", method: "POST", target: "/x?y=1", body, time_ms, nonce }.to_text();
        let signature = secret.sign(&text);
        SignatureHeaders { node_id: "n".into(), time_ms, nonce: nonce.into(), body, signature }
    }

    #[test]
    fn replays_old_requests_and_other_targets_are_refused() {
        let clock = Clock::held_at_ms(1_000_000);
        let verifier = Verifier::new(&clock);
        let secret = Secret::random();
        clock.set_ms(1_100_000);
        let nonce = "0123456789abcdef0123456789abcdef";
        let request = signed(&secret, 1_100_000, nonce);
        assert_eq!(verifier.check(&secret, &request, "POST", "/x?y=2"), Err(Refusal::WrongSignature));
        assert_eq!(verifier.check(&secret, &request, "GET", "/x?y=1"), Err(Refusal::WrongSignature));
        assert_eq!(verifier.check(&secret, &request, "POST", "/x?y=1"), Ok(()));
        assert_eq!(verifier.check(&secret, &request, "POST", "/x?y=1"), Err(Refusal::Replayed));
        clock.set_ms(1_159_000);
        assert_eq!(verifier.check(&secret, &request, "POST", "/x?y=1"), Err(Refusal::Replayed));
        clock.set_ms(1_161_000);
        assert_eq!(verifier.check(&secret, &request, "POST", "/x?y=1"), Err(Refusal::WrongTime));
    }

    #[test]
    fn what_was_signed_before_the_verifier_started_is_refused() {
        let verifier = Verifier::new(&Clock::held_at_ms(1_000_000));
        let secret = Secret::random();
        let request = signed(&secret, 999_999, "0123456789abcdef0123456789abcdef");
        assert_eq!(verifier.check(&secret, &request, "POST", "/x?y=1"), Err(Refusal::WrongTime));
    }
}
