//! A stand-in for the deployed Python file node: sends what the recorded one sends, answers what it answers.
//!
//! It does nothing by itself: a test says when it registers, beats, polls and syncs, so that nothing depends on timing.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use parking_lot::Mutex;
use posthouse_protocol::legacy::{MeetingTitle, NodeView};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::answer::{Answer, client_builder};

/// What the recorded node calls itself.
pub const USER_AGENT: &str = "Python/3.11 aiohttp/3.14.5";

/// A Python node.
#[derive(Debug)]
pub struct PythonNode {
    /// Its id.
    pub id: String,
    /// `ip:port` at which it serves.
    pub address: String,
    master: String,
    http: reqwest::Client,
    store: Arc<Store>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Store {
    id: String,
    address: String,
    packages: Mutex<BTreeMap<String, Bytes>>,
    active: Mutex<Vec<MeetingTitle>>,
    served: AtomicUsize,
}

impl PythonNode {
    /// A node of the master at `master`, serving on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(id: &str, master: &str) -> Result<Self> {
        Self::start_at(id, master, Ipv4Addr::LOCALHOST.into()).await
    }

    /// The same on another address of this machine, from which its requests come too.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start_at(id: &str, master: &str, ip: IpAddr) -> Result<Self> {
        let listener = TcpListener::bind((ip, 0)).await.context("a port for a Python node")?;
        let address = listener.local_addr()?.to_string();
        let store = Arc::new(Store {
            id: id.to_owned(),
            address: address.clone(),
            packages: Mutex::default(),
            active: Mutex::default(),
            served: AtomicUsize::new(0),
        });
        let router = axum::Router::new()
            .route("/", get(|| async { (StatusCode::TEMPORARY_REDIRECT, [("location", "/static/index.html")]) }))
            .route("/api/status", get(status))
            .route("/api/v1/meetings/{id}/download-package", get(download))
            .route("/api/meetings/{id}/download", get(download))
            .with_state(Arc::clone(&store));
        let server = tokio::spawn(async move {
            // Ends with the test.
            drop(axum::serve(listener, router).await);
        });
        let http = client_builder().user_agent(USER_AGENT).local_address(ip).build()?;
        Ok(Self { id: id.to_owned(), address, master: master.to_owned(), http, store, tasks: vec![server] })
    }

    /// `POST …/register`.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn register(&self) -> Result<Answer> {
        let body = json!({ "node_id": self.id, "address": self.address, "status": "online" });
        self.post("/api/v1/nodes/register", &body).await
    }

    /// `POST …/unregister`.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn unregister(&self) -> Result<Answer> {
        self.post("/api/v1/nodes/unregister", &json!({ "node_id": self.id })).await
    }

    /// `POST …/heartbeat`, telling what it last polled and holds.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn heartbeat(&self) -> Result<Answer> {
        self.post("/api/v1/nodes/heartbeat", &self.heartbeat_body()).await
    }

    /// Body of its next heartbeat.
    #[must_use]
    pub fn heartbeat_body(&self) -> Value {
        let active = self.store.active.lock().clone();
        let packages = self.store.packages.lock();
        let synced: Vec<&String> =
            active.iter().filter(|meeting| packages.contains_key(&meeting.id)).map(|meeting| &meeting.id).collect();
        json!({
            "node_id": self.id, "address": self.address, "status": "online",
            "active_meetings": active, "synced_meetings": synced,
        })
    }

    /// `GET …/status/node`; forgets the packages of meetings that are no longer in progress.
    ///
    /// # Errors
    /// When no usable answer comes.
    pub async fn poll(&self) -> Result<Vec<MeetingTitle>> {
        let view: NodeView = self.get("/api/v1/meetings/status/node").await?.expect(200)?.json()?;
        let active: Vec<MeetingTitle> = view
            .active_meetings
            .unwrap_or_default()
            .into_iter()
            .map(|meeting| MeetingTitle { id: meeting.id, title: meeting.title })
            .collect();
        self.store.packages.lock().retain(|id, _| active.iter().any(|meeting| &meeting.id == id));
        self.store.active.lock().clone_from(&active);
        Ok(active)
    }

    /// Fetches one package from the master, whole.
    ///
    /// # Errors
    /// When it does not come.
    pub async fn fetch(&self, meeting: &str) -> Result<()> {
        self.get("/").await?;
        let path = format!("/api/v1/meetings/{meeting}/download-package-direct");
        let package = self.get(&path).await?.expect(200)?.body;
        self.store.packages.lock().insert(meeting.to_owned(), package);
        Ok(())
    }

    /// What one round of its loop does: polls, fetches what it lacks, tells the master.
    ///
    /// # Errors
    /// When anything of it fails.
    pub async fn round(&self) -> Result<()> {
        for meeting in self.poll().await? {
            let lacking = !self.store.packages.lock().contains_key(&meeting.id);
            if lacking {
                self.fetch(&meeting.id).await?;
            }
        }
        self.heartbeat().await?.expect(200).map(drop)
    }

    /// Sends a heartbeat each `interval` from now on.
    pub fn beat_each(&mut self, interval: Duration) {
        let (http, url, body) =
            (self.http.clone(), format!("{}/api/v1/nodes/heartbeat", self.master), self.heartbeat_body());
        self.tasks.push(tokio::spawn(async move {
            loop {
                tokio::time::sleep(interval).await;
                drop(http.post(&url).json(&body).send().await);
            }
        }));
    }

    /// Downloads it has served.
    #[must_use]
    pub fn served(&self) -> usize {
        self.store.served.load(Ordering::Relaxed)
    }

    /// The package of a meeting as it holds it.
    #[must_use]
    pub fn package(&self, meeting: &str) -> Option<Bytes> {
        self.store.packages.lock().get(meeting).cloned()
    }

    /// Puts a package there without fetching it, as after an earlier run.
    pub fn put_package(&self, meeting: &str, package: Bytes) {
        self.store.packages.lock().insert(meeting.to_owned(), package);
    }

    async fn get(&self, path: &str) -> Result<Answer> {
        Answer::to(self.http.get(format!("{}{path}", self.master))).await
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        Answer::to(self.http.post(format!("{}{path}", self.master)).json(body)).await
    }
}

impl Drop for PythonNode {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn status(State(store): State<Arc<Store>>) -> Json<Value> {
    let (ip, port) = store.address.rsplit_once(':').unwrap_or((&store.address, "0"));
    let usage: usize = store.packages.lock().values().map(Bytes::len).sum();
    Json(json!({
        "node_id": store.id, "running": true, "connected": true, "main_server": "http://127.0.0.1:8000",
        "node_ip": ip, "node_port": port.parse::<u16>().unwrap_or(0), "start_time": 1_795_206_552.849, "last_sync": null,
        "sync_status": "同步成功", "active_meetings": [], "meeting_count": store.packages.lock().len(),
        "storage_usage": usage,
    }))
}

async fn download(State(store): State<Arc<Store>>, Path(id): Path<String>) -> Response {
    let Some(package) = store.packages.lock().get(&id).cloned() else {
        return (StatusCode::NOT_FOUND, Json(json!({ "detail": "Meeting package not found" }))).into_response();
    };
    store.served.fetch_add(1, Ordering::Relaxed);
    let disposition = format!("attachment; filename=\"meeting_{id}.zip\"");
    let Ok(disposition) = HeaderValue::from_str(&disposition) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let kind = HeaderValue::from_static("application/zip");
    ([(CONTENT_TYPE, kind), (CONTENT_DISPOSITION, disposition)], package).into_response()
}
