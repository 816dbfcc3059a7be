//! The join exchange; [`posthouse_protocol::join`] says what crosses the wire and what both sides derive.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use posthouse_protocol::join::{JOIN_CODE_PREFIX, JoinCode, JoinConfirm, JoinHello, JoinOffer, transcript_text};
use sha2::Sha256;
use x25519_dalek::{EphemeralSecret, PublicKey};

use crate::random;
use crate::trust::Secret;

/// Why a pasted text is no join code, or a join failed on cryptographic grounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// Not a join code at all, or cut off.
    #[error("this is not a join code, or a part of it is missing")]
    NotACode,
    /// A key or proof is not of its form.
    #[error("the other side sent something that is no key")]
    Malformed,
    /// The other side does not know the code's token.
    #[error("the other side does not know this join code")]
    WrongProof,
}

/// The string a person pastes.
#[must_use]
pub fn encode(code: &JoinCode) -> String {
    // Plain data of strings and numbers always serialises.
    let json = serde_json::to_vec(code).unwrap_or_default();
    format!("{JOIN_CODE_PREFIX}{}", URL_SAFE_NO_PAD.encode(json))
}

/// Reads a pasted string; white space that mail programs put in is ignored.
pub fn decode(text: &str) -> Result<JoinCode, JoinError> {
    let text: String = text.chars().filter(|character| !character.is_whitespace()).collect();
    let body = text.strip_prefix(JOIN_CODE_PREFIX).ok_or(JoinError::NotACode)?;
    let json = URL_SAFE_NO_PAD.decode(body).map_err(|_| JoinError::NotACode)?;
    let code: JoinCode = serde_json::from_slice(&json).map_err(|_| JoinError::NotACode)?;
    if code.addresses.is_empty() || Secret::from_hex(&code.token).is_none() {
        return Err(JoinError::NotACode);
    }
    Ok(code)
}

/// The node's half of an exchange under way.
pub struct NodeExchange {
    ephemeral: EphemeralSecret,
    hello: JoinHello,
    token: Secret,
}

impl NodeExchange {
    /// Begins an exchange.
    #[must_use]
    pub fn begin(code_id: &str, token: &Secret, node_id: &str) -> Self {
        let ephemeral = EphemeralSecret::random();
        let node_key = random::encode_hex(PublicKey::from(&ephemeral).as_bytes());
        let hello = JoinHello { code_id: code_id.to_owned(), node_id: node_id.to_owned(), node_key };
        Self { ephemeral, hello, token: token.clone() }
    }

    /// The first request.
    #[must_use]
    pub fn hello(&self) -> &JoinHello {
        &self.hello
    }

    /// Checks the master's proof; gives the second request and the node's secret.
    pub fn finish(self, offer: &JoinOffer) -> Result<(JoinConfirm, Secret), JoinError> {
        let Self { ephemeral, hello, token } = self;
        let keys = derive(ephemeral, &offer.master_key, &token, &hello, offer)?;
        let proven = random::decode_hex_32(&offer.master_proof).ok_or(JoinError::Malformed)?;
        if !is_equal(&proven, &keys.master_proof) {
            return Err(JoinError::WrongProof);
        }
        let node_proof = random::encode_hex(&keys.node_proof);
        Ok((JoinConfirm { session: offer.session.clone(), node_proof }, keys.node_secret))
    }
}

/// The master's half: what to answer, and what to expect.
#[derive(Debug, Clone)]
pub struct MasterExchange {
    /// The answer to the node's hello.
    pub offer: JoinOffer,
    /// The node's secret once [`MasterExchange::accepts`].
    pub node_secret: Secret,
    node_proof: [u8; 32],
}

impl MasterExchange {
    /// Answers a hello with the token of the code it names.
    pub fn answer(hello: &JoinHello, token: &Secret, master_id: &str) -> Result<Self, JoinError> {
        let ephemeral = EphemeralSecret::random();
        let mut offer = JoinOffer {
            session: random::hex::<16>(),
            master_id: master_id.to_owned(),
            master_key: random::encode_hex(PublicKey::from(&ephemeral).as_bytes()),
            master_proof: String::new(),
        };
        let keys = derive(ephemeral, &hello.node_key, token, hello, &offer)?;
        offer.master_proof = random::encode_hex(&keys.master_proof);
        Ok(Self { offer, node_secret: keys.node_secret, node_proof: keys.node_proof })
    }

    /// Whether the node proved that it knows the token.
    #[must_use]
    pub fn accepts(&self, confirm: &JoinConfirm) -> bool {
        random::decode_hex_32(&confirm.node_proof).is_some_and(|proof| is_equal(&proof, &self.node_proof))
    }
}

struct Keys {
    master_proof: [u8; 32],
    node_proof: [u8; 32],
    node_secret: Secret,
}

fn derive(
    ephemeral: EphemeralSecret,
    their_key: &str,
    token: &Secret,
    hello: &JoinHello,
    offer: &JoinOffer,
) -> Result<Keys, JoinError> {
    let their_key = random::decode_hex_32(their_key).ok_or(JoinError::Malformed)?;
    let shared = ephemeral.diffie_hellman(&PublicKey::from(their_key));
    if !shared.was_contributory() {
        return Err(JoinError::Malformed);
    }
    let text = transcript_text(hello, &offer.session, &offer.master_id, &offer.master_key);
    let transcript = blake3::hash(text.as_bytes());
    let hkdf = Hkdf::<Sha256>::new(Some(token.as_bytes()), shared.as_bytes());
    let expand = |purpose: &str| {
        let mut key = [0; 32];
        let info: [&[u8]; 3] = [b"posthouse-join-1 ", purpose.as_bytes(), transcript.as_bytes()];
        // 32 bytes are within what HKDF-SHA256 gives.
        let _ = hkdf.expand_multi_info(&info, &mut key);
        key
    };
    Ok(Keys {
        master_proof: expand("master proof "),
        node_proof: expand("node proof "),
        node_secret: Secret::from_bytes(expand("node secret ")),
    })
}

fn is_equal(left: &[u8; 32], right: &[u8; 32]) -> bool {
    use subtle::ConstantTimeEq as _;
    left.ct_eq(right).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(
        node_token: &Secret,
        master_token: &Secret,
    ) -> (Result<(JoinConfirm, Secret), JoinError>, MasterExchange) {
        let node = NodeExchange::begin("code", node_token, "节点-1");
        let master = MasterExchange::answer(node.hello(), master_token, "master-1").unwrap();
        (node.finish(&master.offer), master)
    }

    #[test]
    fn both_sides_derive_the_same_secret_and_each_join_another() {
        let token = Secret::random();
        let (finished, master) = exchange(&token, &token);
        let (confirm, secret) = finished.unwrap();
        assert!(master.accepts(&confirm));
        assert_eq!(secret, master.node_secret);
        let (again, _) = exchange(&token, &token);
        assert_ne!(again.unwrap().1, secret);
        let wire = serde_json::to_string(&(&master.offer, &confirm)).unwrap();
        assert!(!wire.contains(&secret.to_hex()) && !wire.contains(&token.to_hex()));
    }

    #[test]
    fn a_wrong_token_or_a_changed_message_is_noticed() {
        let token = Secret::random();
        assert_eq!(exchange(&token, &Secret::random()).0.unwrap_err(), JoinError::WrongProof);
        let node = NodeExchange::begin("code", &token, "n");
        let mut master = MasterExchange::answer(node.hello(), &token, "master-1").unwrap();
        master.offer.master_id = "master-2".into();
        assert_eq!(node.finish(&master.offer).unwrap_err(), JoinError::WrongProof);
        let node = NodeExchange::begin("code", &token, "n");
        let mut hello = node.hello().clone();
        hello.node_key = "0".repeat(64);
        assert_eq!(MasterExchange::answer(&hello, &token, "m").unwrap_err(), JoinError::Malformed);
    }

    #[test]
    fn a_code_survives_line_breaks_and_a_cut_one_is_refused() {
        let code = JoinCode {
            addresses: vec!["10.0.0.1:8000".into()],
            code_id: "c".into(),
            token: Secret::random().to_hex(),
            expires_at: 5,
            uses: 2,
        };
        let mut text = encode(&code);
        assert_eq!(decode(&text), Ok(code));
        text.insert(40, '\n');
        assert!(decode(&text).is_ok());
        assert_eq!(decode(&text[..60]), Err(JoinError::NotACode));
        assert_eq!(decode("hello"), Err(JoinError::NotACode));
    }
}
