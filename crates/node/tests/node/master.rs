//! A master as nodes see it: ours, with the signatures of the real code, or an older one. It remembers every request and
//! can be told to fail.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use futures_util::stream;
use http::{StatusCode, header};
use parking_lot::Mutex;
use posthouse_protocol::join::{JoinCode, JoinConfirm, JoinHello};
use posthouse_protocol::live::{LiveEvent, SignedLiveEvent};
use posthouse_protocol::package::DescribedPackage;
use posthouse_protocol::signing::live_event_text;
use posthouse_protocol::{Block, ContentHash, ErrorCode, PackageDescription};
use posthouse_runtime::clock::Clock;
use posthouse_runtime::http::signature::{SignatureLayer, SignedBody, VerifiedNode, verify_and_sign};
use posthouse_runtime::http::{ApiError, Server, serve};
use posthouse_runtime::tasks::Tasks;
use posthouse_runtime::trust::join::{MasterExchange, encode};
use posthouse_runtime::trust::{Secret, verifier::Verifier};
use serde_json::{Value, json};
use tokio::sync::watch;

/// Length of the blocks it describes.
pub(crate) const BLOCK: usize = 64 * 1024;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) target: String,
    pub(crate) range: Option<String>,
    pub(crate) is_signed: bool,
    pub(crate) body: Value,
}

/// What goes wrong with the next downloads, one entry each.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// The connection ends after so many bytes.
    CutAfter(usize),
    /// This byte of the package is wrong.
    Spoil(usize),
    /// So much of it is sent, then nothing more.
    HangAfter(usize),
}

#[derive(Debug, Clone)]
struct Meeting {
    title: String,
    version: u64,
    bytes: Bytes,
}

/// What a test changes and looks at.
#[derive(Debug)]
pub(crate) struct House {
    is_older: bool,
    token: Mutex<String>,
    meetings: Mutex<Vec<(String, Meeting)>>,
    seen: Mutex<Vec<Seen>>,
    faults: Mutex<Vec<Fault>>,
    /// Hash that `status/node` and the description claim in place of the right one.
    pub(crate) claimed_hash: Mutex<Option<ContentHash>>,
    secrets: Mutex<HashMap<String, Secret>>,
    exchanges: Mutex<HashMap<String, (MasterExchange, String)>>,
    code: Mutex<Option<JoinCode>>,
    /// Answers to confirmations are lost while this is so; the confirmation itself is not.
    pub(crate) loses_confirmations: Mutex<bool>,
    /// Refuses every registration and heartbeat with this.
    pub(crate) refuses_presence: Mutex<Option<ErrorCode>>,
    changes: watch::Sender<u64>,
}

/// A running master.
pub(crate) struct Master {
    pub(crate) address: String,
    pub(crate) house: Arc<House>,
    server: Server,
}

impl Drop for Master {
    fn drop(&mut self) {
        self.server.drain(Duration::ZERO);
    }
}

impl std::ops::Deref for Master {
    type Target = House;

    fn deref(&self) -> &House {
        &self.house
    }
}

impl Master {
    pub(crate) fn ours() -> Self {
        Self::start(false)
    }

    pub(crate) fn older() -> Self {
        Self::start(true)
    }

    fn start(is_older: bool) -> Self {
        let house = Arc::new(House {
            is_older,
            token: Mutex::new("token-0".to_owned()),
            meetings: Mutex::default(),
            seen: Mutex::default(),
            faults: Mutex::default(),
            claimed_hash: Mutex::default(),
            secrets: Mutex::default(),
            exchanges: Mutex::default(),
            code: Mutex::default(),
            loses_confirmations: Mutex::new(false),
            refuses_presence: Mutex::default(),
            changes: watch::Sender::new(0),
        });
        Self::at("127.0.0.1:0", house)
    }

    /// The same master at the same address again.
    pub(crate) fn at(address: &str, house: Arc<House>) -> Self {
        let listener = serve::bind(address.parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let of_lookup = house.clone();
        let signature = SignatureLayer {
            lookup: Arc::new(move |id| of_lookup.secrets.lock().get(id).cloned()),
            verifier: Arc::new(Verifier::new(&Clock::system())),
        };
        let router = axum::Router::new()
            .route("/", any(answer))
            .route("/{*path}", any(answer))
            .with_state(house.clone())
            .layer(axum::middleware::from_fn_with_state(signature, verify_and_sign));
        let server = Server::start(&Tasks::new(Clock::system()), listener, router).unwrap();
        Self { address, house, server }
    }
}

impl House {
    /// Has a meeting in progress, with the next version of its package; nodes are told.
    pub(crate) fn put(&self, id: &str, bytes: &[u8]) {
        let mut meetings = self.meetings.lock();
        let version = meetings.iter().find(|(known, _)| known == id).map_or(0, |(_, meeting)| meeting.version) + 1;
        meetings.retain(|(known, _)| known != id);
        let title = format!("会议 {id}");
        meetings.push((id.to_owned(), Meeting { title, version, bytes: Bytes::copy_from_slice(bytes) }));
        drop(meetings);
        self.changed();
    }

    /// Ends a meeting.
    pub(crate) fn end(&self, id: &str) {
        self.meetings.lock().retain(|(known, _)| known != id);
        self.changed();
    }

    fn changed(&self) {
        *self.token.lock() = format!("token-{}", *self.changes.borrow() + 1);
        self.changes.send_modify(|count| *count += 1);
    }

    /// What goes wrong with the next downloads.
    pub(crate) fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().extend(faults);
    }

    /// Faults that did not happen yet.
    pub(crate) fn faults_left(&self) -> usize {
        self.faults.lock().len()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    /// Requests whose target begins like this.
    pub(crate) fn seen_at(&self, target: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.target.starts_with(target)).collect()
    }

    /// A new join code, which replaces the one before.
    pub(crate) fn new_code(&self, addresses: &[&str]) -> String {
        let code = JoinCode {
            addresses: addresses.iter().map(|&address| address.to_owned()).collect(),
            code_id: posthouse_runtime::random::hex::<4>(),
            token: Secret::random().to_hex(),
            expires_at: i64::MAX,
            uses: 1,
        };
        *self.code.lock() = Some(code.clone());
        encode(&code)
    }

    pub(crate) fn revoke_code(&self) {
        *self.code.lock() = None;
    }

    /// Ids that joined.
    pub(crate) fn joined(&self) -> Vec<String> {
        self.secrets.lock().keys().cloned().collect()
    }

    pub(crate) fn secret(&self, id: &str) -> Secret {
        self.secrets.lock()[id].clone()
    }

    fn meeting(&self, id: &str) -> Option<Meeting> {
        self.meetings.lock().iter().find(|(known, _)| known == id).map(|(_, meeting)| meeting.clone())
    }

    fn hash(&self, bytes: &[u8]) -> ContentHash {
        self.claimed_hash.lock().unwrap_or_else(|| hash(bytes))
    }

    fn view(&self) -> Value {
        let meetings = self.meetings.lock();
        let views: Vec<Value> = meetings
            .iter()
            .map(|(id, meeting)| {
                if self.is_older {
                    return json!({"id": id, "title": meeting.title});
                }
                let (version, size) = (meeting.version, meeting.bytes.len());
                let hash = self.hash(&meeting.bytes);
                json!({"id": id, "title": meeting.title, "version": version, "hash": hash, "size_bytes": size})
            })
            .collect();
        let mut view = json!({"id": *self.token.lock(), "active_meetings": views, "timestamp": 1.5});
        if !self.is_older {
            view["version"] = json!(1);
        }
        view
    }

    fn described(&self, id: &str) -> Option<DescribedPackage> {
        let meeting = self.meeting(id)?;
        let mut offset = 0;
        let blocks = meeting.bytes.chunks(BLOCK).map(|bytes| {
            let block = Block { offset, length: bytes.len() as u64, hash: hash(bytes) };
            offset += block.length;
            block
        });
        let blocks: Vec<Block> = blocks.collect();
        let description = PackageDescription { size_bytes: offset, hash: self.hash(&meeting.bytes), blocks };
        Some(DescribedPackage { meeting_id: id.parse().unwrap(), version: meeting.version, description })
    }

    fn download(&self, id: &str, range: Option<&str>) -> Response {
        let Some(meeting) = self.meeting(id) else { return ApiError::not_found("unknown").into_response() };
        let whole = meeting.bytes.len();
        let (start, end) = match range.filter(|_| !self.is_older).and_then(|text| text.strip_prefix("bytes=")) {
            None => (0, whole),
            Some(text) => {
                let (start, end) = text.split_once('-').unwrap();
                (start.parse().unwrap(), end.parse::<usize>().map_or(whole, |last| last + 1))
            }
        };
        let mut faults = self.faults.lock();
        let fault = (!faults.is_empty()).then(|| faults.remove(0));
        drop(faults);
        let mut bytes = meeting.bytes.to_vec();
        let body = match fault {
            None => Body::from(bytes[start..end].to_vec()),
            Some(Fault::Spoil(index)) => {
                bytes[index] ^= 1;
                Body::from(bytes[start..end].to_vec())
            }
            Some(Fault::CutAfter(length)) => {
                let sent = Bytes::copy_from_slice(&bytes[start..(start + length).min(end)]);
                // What was sent arrives before the connection breaks.
                let cut = stream::once(async {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    Err(std::io::Error::other("cut"))
                });
                Body::from_stream(futures_util::StreamExt::chain(stream::iter([Ok(sent)]), cut))
            }
            Some(Fault::HangAfter(length)) => {
                let sent = Bytes::copy_from_slice(&bytes[start..(start + length).min(end)]);
                let first = stream::iter([Ok::<_, std::io::Error>(sent)]);
                Body::from_stream(futures_util::StreamExt::chain(first, stream::pending()))
            }
        };
        let mut response = Response::new(body);
        response.extensions_mut().insert(SignedBody(hash(&meeting.bytes)));
        if range.is_some() && !self.is_older {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let value = format!("bytes {start}-{}/{whole}", end - 1).parse().unwrap();
            response.headers_mut().insert(header::CONTENT_RANGE, value);
        }
        response
    }

    fn join(&self, target: &str, body: &Value) -> Response {
        if target.ends_with("hello") {
            let hello: JoinHello = serde_json::from_value(body.clone()).unwrap();
            let code = self.code.lock().clone().filter(|code| code.code_id == hello.code_id);
            let Some(code) = code else {
                return ApiError::new(ErrorCode::JoinCodeRefused, "the code is spent").into_response();
            };
            let token = Secret::from_hex(&code.token).unwrap();
            let exchange = MasterExchange::answer(&hello, &token, "master-1").unwrap();
            let offer = exchange.offer.clone();
            self.exchanges.lock().insert(offer.session.clone(), (exchange, hello.node_id));
            return axum::Json(offer).into_response();
        }
        let confirm: JoinConfirm = serde_json::from_value(body.clone()).unwrap();
        let exchanges = self.exchanges.lock();
        let Some((exchange, node_id)) = exchanges.get(&confirm.session).filter(|(known, _)| known.accepts(&confirm))
        else {
            return ApiError::new(ErrorCode::JoinProofRefused, "no such exchange").into_response();
        };
        self.secrets.lock().insert(node_id.clone(), exchange.node_secret.clone());
        *self.code.lock() = None;
        if *self.loses_confirmations.lock() {
            return ApiError::unavailable("the answer is lost").into_response();
        }
        axum::Json(json!({"status": "success", "node_id": node_id, "master_id": "master-1"})).into_response()
    }

    /// Forgets exchanges under way, as a restart does.
    pub(crate) fn forget_exchanges(&self) {
        self.exchanges.lock().clear();
    }

    fn live(&self, verified: Option<VerifiedNode>) -> Response {
        let changes = self.changes.subscribe();
        let lines = stream::unfold((0_u64, changes, verified), |(sequence, mut changes, verified)| async move {
            let event = match sequence {
                0 => LiveEvent::Ping,
                _ => tokio::select! {
                    _ = changes.changed() => LiveEvent::Changed,
                    () = tokio::time::sleep(Duration::from_secs(3)) => LiveEvent::Ping,
                },
            };
            let event = serde_json::to_string(&event).unwrap();
            let signature = verified
                .as_ref()
                .map_or_else(String::new, |node| node.secret.sign(&live_event_text(&node.nonce, sequence, &event)));
            let mut line = serde_json::to_vec(&SignedLiveEvent { sequence, event, signature }).unwrap();
            line.push(b'\n');
            Some((Ok::<_, std::io::Error>(line), (sequence + 1, changes, verified)))
        });
        let mut response = Response::new(Body::from_stream(lines));
        response.extensions_mut().insert(SignedBody::of_stream());
        response
    }
}

async fn answer(State(house): State<Arc<House>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 24).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let target = parts.uri.path_and_query().unwrap().as_str().to_owned();
    let range = parts.headers.get(header::RANGE).map(|value| value.to_str().unwrap().to_owned());
    let verified = parts.extensions.get::<VerifiedNode>().cloned();
    let seen = Seen { target: target.clone(), range: range.clone(), is_signed: verified.is_some(), body: body.clone() };
    house.seen.lock().push(seen);
    let path = parts.uri.path();
    let ids: Vec<&str> = path.split('/').collect();
    match (parts.method.as_str(), path) {
        ("GET", "/") => "a page".into_response(),
        ("POST", "/api/v1/nodes/register" | "/api/v1/nodes/heartbeat") if house.refuses_presence.lock().is_some() => {
            let code = house.refuses_presence.lock().unwrap_or(ErrorCode::Forbidden);
            ApiError::new(code, "another process has this id").into_response()
        }
        ("POST", "/api/v1/nodes/register" | "/api/v1/nodes/unregister") => {
            axum::Json(json!({"status": "success", "message": "Node registered"})).into_response()
        }
        ("POST", "/api/v1/nodes/heartbeat") => {
            axum::Json(json!({"status": "success", "timestamp": 1.5})).into_response()
        }
        ("GET", "/api/v1/meetings/status/node") => axum::Json(house.view()).into_response(),
        ("GET", "/api/v1/nodes/live") if !house.is_older => house.live(verified),
        ("POST", path) if path.starts_with("/api/v1/nodes/join/") && !house.is_older => house.join(path, &body),
        ("GET", path) if path.ends_with("/package-description") && !house.is_older => match house.described(ids[4]) {
            Some(described) => axum::Json(described).into_response(),
            None => ApiError::not_found("unknown").into_response(),
        },
        ("GET", path) if path.ends_with("/download-package-direct") => house.download(ids[4], range.as_deref()),
        _ => ApiError::not_found("Not Found").into_response(),
    }
}

pub(crate) fn hash(bytes: &[u8]) -> ContentHash {
    ContentHash(*blake3::hash(bytes).as_bytes())
}
