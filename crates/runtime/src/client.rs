//! Requests between node and master: signed with the node's secret where there is one, with the answer's signature
//! checked and the clock difference learnt from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use posthouse_protocol::signing::{
    AnswerToSign, BODY_HEADER, NODE_HEADER, NONCE_HEADER, RequestToSign, SIGNATURE_HEADER, TIME_HEADER,
};
use posthouse_protocol::{ContentHash, ErrorBody, ErrorCode};
use rust_i18n::t;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::Clock;
use crate::random;
use crate::trust::Secret;

/// Answers that are not packages are read up to this many bytes.
const ANSWER_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Who signs: the node's id and its secret, known to node and master alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Node id.
    pub node_id: String,
    /// Secret from the join.
    pub secret: Secret,
}

/// Why a request gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing listens at the address.
    #[error("{}", t!("client.refused"))]
    Refused,
    /// No answer in time.
    #[error("{}", t!("client.timed_out"))]
    TimedOut,
    /// The name or network is unknown.
    #[error("{}", t!("client.unroutable"))]
    Unroutable,
    /// The connection broke.
    #[error("{}", t!("client.broken", error = .0))]
    Broken(String),
    /// The other side answered with an error.
    #[error("{}", t!("client.status", status = .status.as_u16(), detail = .body.detail))]
    Status {
        /// HTTP status.
        status: StatusCode,
        /// What it said.
        body: ErrorBody,
    },
    /// An answer without the signature that it must have.
    #[error("{}", t!("client.not_signed", status = .0.as_u16()))]
    NotSigned(StatusCode),
    /// The answer is not of the form it must have.
    #[error("{}", t!("client.not_understood", error = .0))]
    NotUnderstood(String),
}

impl ClientError {
    /// The code of an error answer.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Status { body, .. } => body.code,
            _ => None,
        }
    }

    /// The status of an error answer.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    fn from_reqwest(error: &reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::TimedOut;
        }
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
        let mut text = error.to_string();
        while let Some(current) = source {
            text = current.to_string();
            if let Some(io) = current.downcast_ref::<std::io::Error>() {
                match io.kind() {
                    std::io::ErrorKind::ConnectionRefused => return Self::Refused,
                    std::io::ErrorKind::TimedOut => return Self::TimedOut,
                    std::io::ErrorKind::NetworkUnreachable | std::io::ErrorKind::HostUnreachable => {
                        return Self::Unroutable;
                    }
                    _ => {}
                }
            }
            source = current.source();
        }
        if error.is_connect() && text.contains("lookup") { Self::Unroutable } else { Self::Broken(text) }
    }
}

/// A client of one other side (a node's of its master, a master's of one node). Cheap to clone.
#[derive(Debug, Clone)]
pub struct SignedClient {
    http: reqwest::Client,
    base: String,
    identity: Option<Identity>,
    clock: Clock,
    offset_ms: Arc<AtomicI64>,
    offset_is_known: Arc<std::sync::atomic::AtomicBool>,
}

/// The HTTP client below it; one for all [`SignedClient`]s, because it pools connections.
///
/// Redirects are not followed: nothing that is signed moves, and a package that is asked for here is sent from here.
pub fn http_client(connect_timeout: Duration) -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .connect_timeout(connect_timeout)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tcp_nodelay(true)
        .pool_idle_timeout(Duration::from_secs(60))
        .build()
}

impl SignedClient {
    /// `address`: `host:port`. Without an identity nothing is signed and nothing checked: the plain contract.
    #[must_use]
    pub fn new(http: reqwest::Client, address: &str, identity: Option<Identity>, clock: Clock) -> Self {
        Self {
            http,
            base: format!("http://{address}"),
            identity,
            clock,
            offset_ms: Arc::default(),
            offset_is_known: Arc::default(),
        }
    }

    /// `http://host:port`.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Whose requests these are; `None` on the plain contract.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Milliseconds by which the other side's clock is ahead of this one's, once a signed answer told it.
    #[must_use]
    pub fn clock_offset_ms(&self) -> Option<i64> {
        self.offset_is_known.load(Ordering::Relaxed).then(|| self.offset_ms.load(Ordering::Relaxed))
    }

    /// The other side's Unix time in milliseconds, as well as it is known.
    #[must_use]
    pub fn their_now_ms(&self) -> i64 {
        self.clock.now_ms() + self.offset_ms.load(Ordering::Relaxed)
    }

    /// `GET`s JSON. `target`: path with query.
    pub async fn get<Answer: DeserializeOwned>(&self, target: &str, limit: Duration) -> Result<Answer, ClientError> {
        self.json(Method::GET, target, Vec::new(), limit).await
    }

    /// `POST`s JSON and reads JSON.
    pub async fn post<Body: Serialize + Sync, Answer: DeserializeOwned>(
        &self,
        target: &str,
        body: &Body,
        limit: Duration,
    ) -> Result<Answer, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| ClientError::NotUnderstood(error.to_string()))?;
        self.json(Method::POST, target, body, limit).await
    }

    async fn json<Answer: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        body: Vec<u8>,
        limit: Duration,
    ) -> Result<Answer, ClientError> {
        let work = async {
            let (status, bytes) = match self.exchange(&method, target, &body).await {
                // Its answer was signed and set the offset: the same request with the right time.
                Err(error) if error.code() == Some(ErrorCode::ClockSkew) => {
                    self.exchange(&method, target, &body).await?
                }
                other => other?,
            };
            let _ = status;
            serde_json::from_slice(&bytes).map_err(|error| ClientError::NotUnderstood(error.to_string()))
        };
        tokio::time::timeout(limit, work).await.unwrap_or(Err(ClientError::TimedOut))
    }

    async fn exchange(&self, method: &Method, target: &str, body: &[u8]) -> Result<(StatusCode, Vec<u8>), ClientError> {
        let sent_ms = self.clock.now_ms();
        let (response, nonce) = self.send(method, target, body, HeaderMap::new()).await?;
        let (status, headers, bytes) = read_answer(response).await?;
        if let Some(nonce) = nonce {
            self.check(status, &headers, &nonce, Some(&bytes), sent_ms)?;
        }
        if status.is_success() { Ok((status, bytes)) } else { Err(status_error(status, &bytes)) }
    }

    /// `GET`s something that streams: a package, or the live connection. The head of the answer is checked; for a
    /// package [`StreamedAnswer::hash`] is the signed hash of the whole package, for the rest that of no bytes.
    pub async fn stream(
        &self,
        target: &str,
        headers: HeaderMap,
        limit: Duration,
    ) -> Result<StreamedAnswer, ClientError> {
        let work = async {
            match self.stream_once(target, headers.clone()).await {
                Err(error) if error.code() == Some(ErrorCode::ClockSkew) => self.stream_once(target, headers).await,
                other => other,
            }
        };
        tokio::time::timeout(limit, work).await.unwrap_or(Err(ClientError::TimedOut))
    }

    async fn stream_once(&self, target: &str, headers: HeaderMap) -> Result<StreamedAnswer, ClientError> {
        let sent_ms = self.clock.now_ms();
        let (response, nonce) = self.send(&Method::GET, target, &[], headers).await?;
        let status = response.status();
        if !status.is_success() {
            let (status, headers, bytes) = read_answer(response).await?;
            if let Some(nonce) = &nonce {
                self.check(status, &headers, nonce, Some(&bytes), sent_ms)?;
            }
            return Err(status_error(status, &bytes));
        }
        let hash = match &nonce {
            Some(nonce) => Some(self.check(status, response.headers(), nonce, None, sent_ms)?),
            None => None,
        };
        Ok(StreamedAnswer { response, hash, nonce: nonce.unwrap_or_default() })
    }

    async fn send(
        &self,
        method: &Method,
        target: &str,
        body: &[u8],
        mut headers: HeaderMap,
    ) -> Result<(reqwest::Response, Option<String>), ClientError> {
        let url = format!("{}{target}", self.base);
        let url: reqwest::Url = url.parse().map_err(|_| ClientError::Unroutable)?;
        let nonce = self.identity.as_ref().map(|identity| self.sign(identity, method, &url, body, &mut headers));
        if !body.is_empty() {
            headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let request = self.http.request(method.clone(), url).headers(headers).body(body.to_vec());
        let response = request.send().await.map_err(|error| ClientError::from_reqwest(&error))?;
        Ok((response, nonce.transpose()?))
    }

    fn sign(
        &self,
        identity: &Identity,
        method: &Method,
        url: &reqwest::Url,
        body: &[u8],
        headers: &mut HeaderMap,
    ) -> Result<String, ClientError> {
        let nonce = random::hex::<16>();
        let body = ContentHash(*blake3::hash(body).as_bytes());
        let time_ms = self.their_now_ms();
        // As it will stand in the request line, after the URL was normalised.
        let target = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let node_id = &identity.node_id;
        let signed = RequestToSign { node_id, method: method.as_str(), target: &target, body, time_ms, nonce: &nonce };
        let signature = identity.secret.sign(&signed.to_text());
        let values =
            [(TIME_HEADER, time_ms.to_string()), (BODY_HEADER, body.to_string()), (SIGNATURE_HEADER, signature)];
        let invalid = |_| ClientError::NotUnderstood("the node id cannot stand in a header".to_owned());
        headers.insert(NODE_HEADER, HeaderValue::from_bytes(node_id.as_bytes()).map_err(invalid)?);
        headers.insert(NONCE_HEADER, HeaderValue::from_str(&nonce).map_err(invalid)?);
        for (name, value) in values {
            headers.insert(name, HeaderValue::from_str(&value).map_err(invalid)?);
        }
        Ok(nonce)
    }

    /// Checks an answer's signature; learns the clock offset from it. Gives the signed body hash.
    fn check(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        nonce: &str,
        body: Option<&[u8]>,
        sent_ms: i64,
    ) -> Result<ContentHash, ClientError> {
        let refused = || ClientError::NotSigned(status);
        let identity = self.identity.as_ref().ok_or_else(refused)?;
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).ok_or_else(refused);
        let time_ms: i64 = text(TIME_HEADER)?.parse().map_err(|_| refused())?;
        let claimed: ContentHash = text(BODY_HEADER)?.parse().map_err(|_| refused())?;
        let signed = AnswerToSign { request_nonce: nonce, status: status.as_u16(), time_ms, body: claimed };
        if !identity.secret.verify(&signed.to_text(), text(SIGNATURE_HEADER)?) {
            return Err(refused());
        }
        if body.is_some_and(|body| blake3::hash(body).as_bytes() != &claimed.0) {
            return Err(refused());
        }
        let received_ms = self.clock.now_ms();
        self.offset_ms.store(time_ms - (sent_ms + received_ms) / 2, Ordering::Relaxed);
        self.offset_is_known.store(true, Ordering::Relaxed);
        Ok(claimed)
    }
}

/// The head of an answer whose body streams.
#[derive(Debug)]
pub struct StreamedAnswer {
    /// Status, headers and body.
    pub response: reqwest::Response,
    /// The signed hash; `None` on the plain contract.
    pub hash: Option<ContentHash>,
    /// Nonce of the request, to which signed live events are bound; empty on the plain contract.
    pub nonce: String,
}

async fn read_answer(mut response: reqwest::Response) -> Result<(StatusCode, HeaderMap, Vec<u8>), ClientError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| ClientError::from_reqwest(&error))? {
        if bytes.len() + chunk.len() > ANSWER_MAX_BYTES {
            return Err(ClientError::NotUnderstood(format!("the answer is longer than {ANSWER_MAX_BYTES} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok((response.status(), response.headers().clone(), bytes))
}

fn status_error(status: StatusCode, bytes: &[u8]) -> ClientError {
    let body = serde_json::from_slice(bytes).unwrap_or_else(|_| {
        let text: String = String::from_utf8_lossy(bytes).chars().take(200).collect();
        let detail = if text.is_empty() { status.canonical_reason().unwrap_or_default().to_owned() } else { text };
        ErrorBody { detail, code: None }
    });
    ClientError::Status { status, body }
}
