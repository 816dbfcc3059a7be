//! The signed contract, written a second time from its description in `posthouse_protocol` alone, so that the
//! program's own code is not its own judge: joining, signing requests, checking answers.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use posthouse_protocol::ContentHash;
use posthouse_protocol::join::{
    JOIN_CODE_PREFIX, JoinAccepted, JoinCode, JoinConfirm, JoinHello, JoinOffer, transcript_text,
};
use posthouse_protocol::routes;
use posthouse_protocol::signing::{
    AnswerToSign, BODY_HEADER, NODE_HEADER, NONCE_HEADER, RequestToSign, SIGNATURE_HEADER, TIME_HEADER,
};
use serde_json::Value;
use sha2::Sha256;
use x25519_dalek::{EphemeralSecret, PublicKey};

use crate::answer::{Answer, http_client};

/// What a join code says.
///
/// # Errors
/// When it is no join code.
pub fn decode(code: &str) -> Result<JoinCode> {
    let text = code.strip_prefix(JOIN_CODE_PREFIX).with_context(|| format!("no join code: {code}"))?;
    let json = URL_SAFE_NO_PAD.decode(text).context("base64 of a join code")?;
    serde_json::from_slice(&json).context("JSON of a join code")
}

/// The code that says this.
///
/// # Errors
/// Never in practice.
pub fn encode(code: &JoinCode) -> Result<String> {
    Ok(format!("{JOIN_CODE_PREFIX}{}", URL_SAFE_NO_PAD.encode(serde_json::to_vec(code)?)))
}

/// The same code with other addresses, such as that of a proxy.
///
/// # Errors
/// When it is no join code.
pub fn redirected(code: &str, address: &str) -> Result<String> {
    let mut code = decode(code)?;
    code.addresses = vec![address.to_owned()];
    encode(&code)
}

/// A node of one master, as seen from the wire.
#[derive(Debug, Clone)]
pub struct SignedNode {
    /// Its id.
    pub id: String,
    /// What its requests are signed with.
    pub secret: [u8; 32],
    /// Milliseconds by which its clock is wrong.
    pub clock_error_ms: i64,
    /// What it sends its requests by.
    pub http: reqwest::Client,
    base: String,
}

/// A request with its signature.
#[derive(Debug, Clone)]
pub struct SignedRequest {
    /// Method.
    pub method: Method,
    /// Path with query.
    pub target: String,
    /// Body.
    pub body: Vec<u8>,
    /// The signing headers.
    pub headers: Vec<(&'static str, String)>,
    /// Nonce, to check the answer by.
    pub nonce: String,
}

/// The two requests of a join and their answers, for tests that look at or spoil them.
#[derive(Debug, Clone)]
pub struct Handshake {
    /// First request.
    pub hello: JoinHello,
    /// Its answer.
    pub offer: JoinOffer,
    /// Second request.
    pub confirm: JoinConfirm,
    /// The node's secret, once the confirmation is accepted.
    pub secret: [u8; 32],
}

/// The first half of a join: hello and offer, the master's proof checked.
///
/// # Errors
/// When the code is refused or the master proves nothing.
pub async fn shake_hands(http: &reqwest::Client, base: &str, code: &JoinCode, id: &str) -> Result<Handshake> {
    let own = EphemeralSecret::random();
    let hello = JoinHello {
        code_id: code.code_id.clone(),
        node_id: id.to_owned(),
        node_key: hex(PublicKey::from(&own).as_bytes()),
    };
    let request = http.post(format!("{base}{}", routes::JOIN_HELLO)).json(&hello);
    let offer: JoinOffer = Answer::to(request).await?.expect(200)?.json()?;
    let theirs = PublicKey::from(unhex(&offer.master_key)?);
    let shared = own.diffie_hellman(&theirs);
    let transcript = transcript_text(&hello, &offer.session, &offer.master_id, &offer.master_key);
    let transcript = *blake3::hash(transcript.as_bytes()).as_bytes();
    let token = unhex(&code.token)?;
    let derive = |purpose: &str| -> Result<[u8; 32]> {
        let mut info = format!("posthouse-join-1 {purpose}").into_bytes();
        info.extend_from_slice(&transcript);
        let mut key = [0; 32];
        let expanded = Hkdf::<Sha256>::new(Some(&token), shared.as_bytes()).expand(&info, &mut key);
        expanded.ok().context("a key of 32 bytes")?;
        Ok(key)
    };
    ensure!(offer.master_proof == hex(&derive("master proof ")?), "the master's proof does not match");
    let confirm = JoinConfirm { session: offer.session.clone(), node_proof: hex(&derive("node proof ")?) };
    Ok(Handshake { hello, offer, confirm, secret: derive("node secret ")? })
}

impl SignedNode {
    /// Joins the master at `base` by a code.
    ///
    /// # Errors
    /// When any step is refused.
    pub async fn join(base: &str, code: &str, id: &str) -> Result<Self> {
        let http = http_client()?;
        let handshake = shake_hands(&http, base, &decode(code)?, id).await?;
        let request = http.post(format!("{base}{}", routes::JOIN_CONFIRM)).json(&handshake.confirm);
        let accepted: JoinAccepted = Answer::to(request).await?.expect(200)?.json()?;
        ensure!(accepted.node_id == id && accepted.master_id == handshake.offer.master_id, "{accepted:?}");
        Ok(Self { id: id.to_owned(), secret: handshake.secret, clock_error_ms: 0, http, base: base.to_owned() })
    }

    /// A node that joined before, by its secret.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn with_secret(base: &str, id: &str, secret: [u8; 32]) -> Result<Self> {
        Ok(Self { id: id.to_owned(), secret, clock_error_ms: 0, http: http_client()?, base: base.to_owned() })
    }

    /// Signs a request with a fresh nonce and the present time.
    #[must_use]
    pub fn sign(&self, method: &Method, target: &str, body: Vec<u8>) -> SignedRequest {
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        let body_hash = hash_of(&body);
        let time_ms = now_ms() + self.clock_error_ms;
        let text = RequestToSign {
            node_id: &self.id,
            method: method.as_str(),
            target,
            body: body_hash,
            time_ms,
            nonce: &nonce,
        }
        .to_text();
        let headers = vec![
            (NODE_HEADER, self.id.clone()),
            (TIME_HEADER, time_ms.to_string()),
            (NONCE_HEADER, nonce.clone()),
            (BODY_HEADER, body_hash.to_string()),
            (SIGNATURE_HEADER, self.signature(&text)),
        ];
        SignedRequest { method: method.clone(), target: target.to_owned(), body, headers, nonce }
    }

    /// Sends a signed request as it is, so that it can be sent twice or altered before.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn send(&self, request: &SignedRequest) -> Result<Answer> {
        let mut builder = self
            .http
            .request(request.method.clone(), format!("{}{}", self.base, request.target))
            .header("content-type", "application/json")
            .body(request.body.clone());
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        Answer::to(builder).await
    }

    /// Signs and sends a request, and checks the signature of the answer.
    ///
    /// # Errors
    /// When no answer comes, or one that is not the master's.
    pub async fn call(&self, method: &Method, target: &str, body: Option<&Value>) -> Result<Answer> {
        let body = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let request = self.sign(method, target, body);
        let answer = self.send(&request).await?;
        self.check(&request, &answer)?;
        Ok(answer)
    }

    /// Whether the master signed this answer to this request.
    ///
    /// # Errors
    /// Says what does not match.
    pub fn check(&self, request: &SignedRequest, answer: &Answer) -> Result<()> {
        let body: ContentHash = answer.header(BODY_HEADER).parse().ok().context("an answer without body hash")?;
        // A package is signed as a whole, whatever part of it was asked for.
        if answer.header("content-type") != "application/zip" {
            ensure!(body == hash_of(&answer.body), "{}: the body is not the signed one", answer.request);
        }
        let time_ms = answer.header(TIME_HEADER).parse().context("an answer without time")?;
        let text =
            AnswerToSign { request_nonce: &request.nonce, status: answer.status.as_u16(), time_ms, body }.to_text();
        ensure!(answer.header(SIGNATURE_HEADER) == self.signature(&text), "{}: not signed", answer.request);
        Ok(())
    }

    /// HMAC-SHA256 of a text with the node's secret.
    #[must_use]
    pub fn signature(&self, text: &str) -> String {
        // A key of any length is good.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.secret) else { return String::new() };
        mac.update(text.as_bytes());
        hex(&mac.finalize().into_bytes())
    }
}

/// BLAKE3 of bytes.
#[must_use]
pub fn hash_of(bytes: &[u8]) -> ContentHash {
    ContentHash(blake3::hash(bytes).into())
}

fn now_ms() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Result<[u8; 32]> {
    let hash: ContentHash = text.parse().ok().with_context(|| format!("not 64 hexadecimal digits: {text}"))?;
    Ok(hash.0)
}
