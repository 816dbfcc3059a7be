//! A stand-in for the deployed Python master, as nodes see it. It remembers every request, and can be made to fail in
//! the ways masters fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What happens to a download, or to every answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Behaviour {
    /// As it should be.
    #[default]
    Sound,
    /// Every answer comes this much later.
    Slow(Duration),
    /// Downloads come in small pieces with this pause between two.
    Trickling(Duration),
    /// Every answer is 200 with bytes that mean nothing.
    Garbage,
    /// Downloads end after this many bytes, the connection with them.
    ClosesAfter(usize),
    /// Downloads are complete, one bit in the middle is wrong.
    FlipsABit,
    /// Every answer is 500.
    Broken,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// Headers.
    pub headers: HeaderMap,
    /// Body as JSON; null when there is none.
    pub body: Value,
}

/// A Python master.
#[derive(Debug)]
pub struct PythonMaster {
    /// `ip:port`.
    pub address: String,
    house: Arc<House>,
    server: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct House {
    token: Mutex<String>,
    meetings: Mutex<Vec<(String, String, Bytes)>>,
    registered: Mutex<Vec<String>>,
    seen: Mutex<Vec<Seen>>,
    behaviour: Mutex<Behaviour>,
    very_old: AtomicBool,
}

impl PythonMaster {
    /// On a free loopback port.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> Result<Self> {
        Self::start_on("127.0.0.1:0").await
    }

    /// At this address.
    ///
    /// # Errors
    /// When it is taken.
    pub async fn start_on(address: &str) -> Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("binding {address}"))?;
        let address = listener.local_addr()?.to_string();
        let house = Arc::new(House::default());
        "c4a47379-c45b-481d-afba-79a3a01d3593".clone_into(&mut house.token.lock());
        let router = axum::Router::new().fallback(answer).with_state(Arc::clone(&house));
        let server = tokio::spawn(async move {
            // Ends with the test.
            drop(axum::serve(listener, router).await);
        });
        Ok(Self { address, house, server })
    }

    /// Has a meeting in progress, with this package; one of the same id is replaced.
    pub fn put_meeting(&self, id: &str, title: &str, package: impl Into<Bytes>) {
        let mut meetings = self.house.meetings.lock();
        meetings.retain(|(known, ..)| known != id);
        meetings.push((id.to_owned(), title.to_owned(), package.into()));
        *self.house.token.lock() = uuid::Uuid::new_v4().to_string();
    }

    /// Ends a meeting.
    pub fn end_meeting(&self, id: &str) {
        self.house.meetings.lock().retain(|(known, ..)| known != id);
        *self.house.token.lock() = uuid::Uuid::new_v4().to_string();
    }

    /// From now on, until told otherwise.
    pub fn behave(&self, behaviour: Behaviour) {
        *self.house.behaviour.lock() = behaviour;
    }

    /// Says `active_meeting` in place of `active_meetings`.
    pub fn be_very_old(&self) {
        self.house.very_old.store(true, Ordering::Relaxed);
    }

    /// All requests so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.house.seen.lock().clone()
    }

    /// Requests so far to a path, with its query.
    #[must_use]
    pub fn seen_at(&self, method: &Method, target: &str) -> Vec<Seen> {
        self.house.seen.lock().iter().filter(|seen| seen.method == method && seen.target == target).cloned().collect()
    }

    /// Ids of nodes that registered and did not say goodbye.
    #[must_use]
    pub fn registered(&self) -> Vec<String> {
        self.house.registered.lock().clone()
    }
}

impl Drop for PythonMaster {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn refused(status: StatusCode, detail: &str) -> Response {
    (status, Json(json!({ "detail": detail }))).into_response()
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

async fn answer(State(house): State<Arc<House>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    let body = to_bytes(body, 1 << 20).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let path = parts.uri.path().to_owned();
    house.seen.lock().push(Seen {
        method: parts.method.clone(),
        target,
        headers: parts.headers.clone(),
        body: body.clone(),
    });
    let behaviour = *house.behaviour.lock();
    match behaviour {
        Behaviour::Slow(delay) => tokio::time::sleep(delay).await,
        Behaviour::Garbage => return "]]\u{0}not what you wanted{".into_response(),
        Behaviour::Broken => return refused(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
        _ => {}
    }
    match (parts.method.as_str(), path.as_str()) {
        ("GET", "/") => Html("<!doctype html><title>无纸化会议系统</title>").into_response(),
        ("POST", "/api/v1/nodes/register") => register(&house, &body),
        ("POST", "/api/v1/nodes/unregister") => unregister(&house, &body),
        ("POST", "/api/v1/nodes/heartbeat") => {
            house.enter(body["node_id"].as_str().unwrap_or_default());
            Json(json!({ "status": "success", "timestamp": now() })).into_response()
        }
        ("GET", "/api/v1/meetings/status/node") => house.status().into_response(),
        ("GET", path) => match path.strip_prefix("/api/v1/meetings/").and_then(|rest| rest.split_once('/')) {
            Some((id, "download-package-direct")) => house.download(id, behaviour),
            _ => refused(StatusCode::NOT_FOUND, "Not Found"),
        },
        _ => refused(StatusCode::NOT_FOUND, "Not Found"),
    }
}

fn register(house: &House, body: &Value) -> Response {
    let (id, address) = (body["node_id"].as_str().unwrap_or_default(), body["address"].as_str().unwrap_or_default());
    if id.is_empty() || address.is_empty() {
        return refused(StatusCode::BAD_REQUEST, "Invalid node data");
    }
    house.enter(id);
    Json(json!({ "status": "success", "message": format!("Node {id} registered") })).into_response()
}

fn unregister(house: &House, body: &Value) -> Response {
    let id = body["node_id"].as_str().unwrap_or_default();
    let mut registered = house.registered.lock();
    if !registered.iter().any(|known| known == id) {
        return refused(StatusCode::NOT_FOUND, &format!("Node {id} not found"));
    }
    registered.retain(|known| known != id);
    Json(json!({ "status": "success", "message": format!("Node {id} unregistered") })).into_response()
}

impl House {
    fn enter(&self, id: &str) {
        let mut registered = self.registered.lock();
        if !registered.iter().any(|known| known == id) {
            registered.push(id.to_owned());
        }
    }

    fn status(&self) -> Json<Value> {
        let (token, meetings) = (self.token.lock().clone(), self.meetings.lock());
        if self.very_old.load(Ordering::Relaxed) {
            let only = meetings.first().map(|(id, ..)| id);
            return Json(json!({ "id": token, "active_meeting": only, "timestamp": now() }));
        }
        let active: Vec<Value> = meetings.iter().map(|(id, title, _)| json!({ "id": id, "title": title })).collect();
        Json(json!({ "id": token, "active_meetings": active, "timestamp": now() }))
    }

    fn download(&self, id: &str, behaviour: Behaviour) -> Response {
        let found = self.meetings.lock().iter().find(|(known, ..)| known == id).map(|(.., package)| package.clone());
        let Some(package) = found else {
            return refused(StatusCode::NOT_FOUND, &format!("会议 {id} 不存在"));
        };
        let headers = [
            ("content-type", "application/zip".to_owned()),
            ("content-disposition", format!("attachment; filename=\"meeting_{id}_pdfs.zip\"")),
        ];
        (headers, package_body(package, behaviour)).into_response()
    }
}

/// Chunked, as the recorded master sends it.
fn package_body(mut package: Bytes, behaviour: Behaviour) -> Body {
    let mut pause = Duration::ZERO;
    let mut ends_badly = false;
    match behaviour {
        Behaviour::Trickling(between) => pause = between,
        Behaviour::ClosesAfter(count) => {
            package.truncate(count);
            ends_badly = true;
        }
        Behaviour::FlipsABit => {
            let mut bytes = package.to_vec();
            let middle = bytes.len() / 2;
            if let Some(byte) = bytes.get_mut(middle) {
                *byte ^= 1;
            }
            package = bytes.into();
        }
        _ => {}
    }
    let pieces = futures_util::stream::unfold(Some(package), move |rest| async move {
        let mut rest = rest?;
        if rest.is_empty() {
            return ends_badly.then(|| (Err(std::io::Error::other("closed in the middle")), None));
        }
        tokio::time::sleep(pause).await;
        let piece = rest.split_to(rest.len().min(16 * 1024));
        Some((Ok(piece), Some(rest)))
    });
    Body::from_stream(pieces)
}
