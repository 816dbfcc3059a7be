//! A node in this process, in a folder of its own, and what a test does with it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use posthouse_node::{NodeExit, prepare, run};
use posthouse_protocol::event::{Event, EventKind, EventPage};
use posthouse_protocol::legacy::NodeStatus;
use posthouse_protocol::node::NodeDetail;
use posthouse_runtime::http::serve;
use posthouse_runtime::paths::{DataDir, Role};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::master::Master;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder with a configuration; nodes are started in it.
pub(crate) struct Site {
    folder: Arc<TempDir>,
    code: Option<String>,
}

/// A running node.
pub(crate) struct RunningNode {
    pub(crate) base: String,
    http: reqwest::Client,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<NodeExit>>,
    _folder: Arc<TempDir>,
}

impl Site {
    /// Speaks the plain contract with this master.
    pub(crate) fn plain(master: &Master) -> Self {
        let (host, port) = master.address.rsplit_once(':').unwrap();
        let port: u16 = port.parse().unwrap();
        Self::with(json!({"mainServerIp": host, "mainServerPort": port, "nodeId": "node-1"}))
    }

    /// Joins by this code.
    pub(crate) fn joining(code: &str) -> Self {
        Self { code: Some(code.to_owned()), ..Self::with(json!({"nodeId": "node-1"})) }
    }

    pub(crate) fn with(config: Value) -> Self {
        let site = Self { folder: Arc::new(tempfile::tempdir().unwrap()), code: None };
        std::fs::write(site.config_path(), config.to_string()).unwrap();
        // Attempts follow each other at once, unless a test says otherwise.
        site.edit(json!({"network": {"retryDelay": 0}}));
        site
    }

    pub(crate) fn without_code(mut self) -> Self {
        self.code = None;
        self
    }

    pub(crate) fn config_path(&self) -> PathBuf {
        self.folder.path().join("node_config.json")
    }

    pub(crate) fn secret_path(&self) -> PathBuf {
        self.folder.path().join("node_secret.json")
    }

    pub(crate) fn data(&self) -> DataDir {
        DataDir::open(Some(self.folder.path()), Role::Node).unwrap()
    }

    pub(crate) fn package_path(&self, id: &str) -> PathBuf {
        self.folder.path().join("storage").join(format!("meeting_{id}")).join("package.zip")
    }

    pub(crate) fn incoming(&self) -> Vec<PathBuf> {
        let folder = self.folder.path().join("storage").join(".incoming");
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    /// What lies directly in the storage folder.
    pub(crate) fn storage(&self) -> Vec<String> {
        let folder = std::fs::read_dir(self.folder.path().join("storage")).unwrap();
        folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Changes the configuration file as a person does.
    pub(crate) fn edit(&self, overlay: Value) {
        let mut config: Value = serde_json::from_slice(&std::fs::read(self.config_path()).unwrap()).unwrap();
        posthouse_runtime::config_file::merge(&mut config, overlay);
        std::fs::write(self.config_path(), config.to_string()).unwrap();
    }

    pub(crate) fn start(&self) -> RunningNode {
        self.start_on("127.0.0.1:0".parse().unwrap())
    }

    pub(crate) fn start_on(&self, address: SocketAddr) -> RunningNode {
        let start = prepare(self.data(), None, self.code.as_deref()).unwrap();
        let listener = serve::bind(address).unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let running = run(start, listener, stop.clone(), None);
        let task =
            tokio::spawn(async move { running.await.inspect_err(|error| eprintln!("the node ended: {error:#}")) });
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        RunningNode { base, http, stop, task, _folder: self.folder.clone() }
    }
}

impl RunningNode {
    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method.parse().unwrap(), format!("{}{path}", self.base))
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        self.request("GET", path).send().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let answer = self.request("POST", path).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    pub(crate) async fn download(&self, id: &str) -> Result<Vec<u8>, u16> {
        let answer = self.get(&format!("/api/v1/meetings/{id}/download-package")).await;
        let status = answer.status().as_u16();
        if status == 200 { Ok(answer.bytes().await.unwrap().to_vec()) } else { Err(status) }
    }

    pub(crate) async fn status(&self) -> NodeStatus {
        self.get("/api/status").await.json().await.unwrap()
    }

    pub(crate) async fn detail(&self) -> NodeDetail {
        self.status().await.posthouse.unwrap()
    }

    pub(crate) async fn events(&self) -> Vec<Event> {
        let page: EventPage = self.get("/api/v1/events?limit=1000").await.json().await.unwrap();
        page.events
    }

    pub(crate) async fn has_event(&self, kind: EventKind) -> bool {
        self.events().await.iter().any(|event| event.kind == kind)
    }

    /// Waits until it tells of such an event.
    pub(crate) async fn until_event(&self, kind: EventKind) {
        let deadline = Instant::now() + PATIENCE;
        while !self.has_event(kind).await {
            assert!(Instant::now() < deadline, "{kind:?}: {:#?}", self.events().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until it holds these bytes for a meeting.
    pub(crate) async fn wait_for(&self, id: &str, bytes: &[u8]) {
        let wanted = crate::master::hash(bytes);
        self.until(&format!("holds {id}"), |status| {
            let held = &status.posthouse.as_ref().unwrap().held;
            held.iter().any(|package| package.meeting_id == id && package.hash == wanted)
        })
        .await;
    }

    /// Waits until the status is as wanted.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&NodeStatus) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status().await;
            if is_so(&status) {
                return;
            }
            assert!(Instant::now() < deadline, "{what}: {status:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn stop(self) -> NodeExit {
        self.stop.cancel();
        self.end().await.unwrap()
    }

    /// Waits for its end.
    pub(crate) async fn end(self) -> anyhow::Result<NodeExit> {
        tokio::time::timeout(Duration::from_secs(10), self.task).await.expect("it ends in time").unwrap()
    }
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    until_async(what, || -> BoxFuture<'_, bool> { Box::pin(std::future::ready(is_so())) }).await;
}

/// Waits until something is so.
pub(crate) async fn until_async<'a>(what: &str, is_so: impl Fn() -> BoxFuture<'a, bool>) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Bytes that no two calls with different seeds share.
pub(crate) fn noise(seed: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

/// A sound zip with this text in it.
pub(crate) fn zip(text: &str) -> Vec<u8> {
    use std::io::Write as _;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer.start_file("agenda_1/a.pdf", zip::write::SimpleFileOptions::default()).unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    writer.finish().unwrap().into_inner()
}
