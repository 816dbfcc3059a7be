//! A node as a process.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use posthouse_protocol::ContentHash;
use posthouse_protocol::legacy::NodeStatus;
use posthouse_protocol::node::{HeldPackage, NodeDetail};
use serde_json::{Value, json};

use crate::answer::{Answer, http_client};
use crate::config;
use crate::process::{Launch, Process};
use crate::wait::{PATIENCE, wait_until};

/// A node to be.
#[derive(Debug, Clone)]
pub struct NodeSetup {
    id: String,
    data: PathBuf,
    /// `None`: where its configuration says.
    listen: Option<String>,
    config: Value,
    code: Option<String>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    wrapper: Vec<String>,
    tended: bool,
}

impl NodeSetup {
    /// With its data in `data`, on a free loopback port.
    #[must_use]
    pub fn new(data: &Path, id: &str) -> Self {
        Self {
            id: id.to_owned(),
            data: data.to_owned(),
            listen: Some("127.0.0.1:0".to_owned()),
            config: json!({ "nodeId": id }),
            code: None,
            arguments: Vec::new(),
            environment: Vec::new(),
            wrapper: Vec::new(),
            tended: false,
        }
    }

    /// Joins by a code.
    #[must_use]
    pub fn join(mut self, code: &str) -> Self {
        self.code = Some(code.to_owned());
        self
    }

    /// Speaks the plain contract with the master at `address`, `ip:port`.
    #[must_use]
    pub fn plain(self, address: &str) -> Self {
        let (host, port) = address.rsplit_once(':').unwrap_or((address, "80"));
        let port: u16 = port.parse().unwrap_or(80);
        self.config(&json!({ "mainServerIp": host, "mainServerPort": port }))
    }

    /// Keys of its `node_config.json`, written before it starts.
    #[must_use]
    pub fn config(mut self, keys: &Value) -> Self {
        config::merge(&mut self.config, keys);
        self
    }

    /// Where it listens.
    #[must_use]
    pub fn listen(mut self, address: &str) -> Self {
        self.listen = Some(address.to_owned());
        self
    }

    /// Listens where its configuration says, on all addresses of this machine.
    #[must_use]
    pub fn listen_as_configured(mut self) -> Self {
        self.listen = None;
        self
    }

    /// One more argument.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// See [`Launch::under`].
    #[must_use]
    pub fn under(mut self, command: &[&str]) -> Self {
        self.wrapper = command.iter().map(|&part| part.to_owned()).collect();
        self
    }

    /// See [`Launch::tended`].
    #[must_use]
    pub fn tended(mut self) -> Self {
        self.tended = true;
        self
    }

    /// The process to be.
    ///
    /// # Errors
    /// When its configuration cannot be written.
    pub fn launch(&self) -> Result<Launch> {
        std::fs::create_dir_all(&self.data)?;
        let path = self.data.join("node_config.json");
        let mut whole = if path.exists() { config::read(&path)? } else { json!({}) };
        config::merge(&mut whole, &self.config);
        config::write(&path, &whole)?;
        Ok(self.launch_as_it_is())
    }

    /// The process to be, its configuration left as the last run left it.
    #[must_use]
    pub fn launch_as_it_is(&self) -> Launch {
        let mut launch = Launch::role("--node", &self.data).args(&self.arguments).under(&self.wrapper);
        if let Some(address) = &self.listen {
            launch = launch.arg("--listen").arg(address);
        }
        if let Some(code) = &self.code {
            launch = launch.arg("--join").arg(code);
        }
        for (name, value) in &self.environment {
            launch = launch.env(name, value);
        }
        if self.tended { launch.tended() } else { launch }
    }

    /// Starts it; returns when it listens.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(mut self) -> Result<Node> {
        let process = self.launch()?.start().await?;
        let address = process.running()?.addresses.swap_remove(0);
        // Started again, it shall be found where it was.
        self.listen = self.listen.map(|_| address.clone());
        Ok(Node { process, http: http_client()?, base: format!("http://{address}"), address, setup: self })
    }
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    /// The process.
    pub process: Process,
    /// `http://127.0.0.1:34567`.
    pub base: String,
    address: String,
    http: reqwest::Client,
    setup: NodeSetup,
}

impl Node {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.setup.id
    }

    /// `127.0.0.1:34567`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.setup.data
    }

    /// Its configuration file.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.setup.data.join("node_config.json")
    }

    /// Where it keeps the package of a meeting.
    #[must_use]
    pub fn package_path(&self, meeting: &str) -> PathBuf {
        self.setup.data.join("storage").join(format!("meeting_{meeting}")).join("package.zip")
    }

    /// `GET` of a path.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        Answer::to(self.request(http::Method::GET, path)).await
    }

    /// `POST` of JSON to a path.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        Answer::to(self.request(http::Method::POST, path).json(body)).await
    }

    /// A request to a path.
    pub fn request(&self, method: http::Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// `GET /api/status`.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn status(&self) -> Result<NodeStatus> {
        self.get("/api/status").await?.expect(200)?.json()
    }

    /// What only our nodes say in their status.
    ///
    /// # Errors
    /// When it does not answer, or says nothing of the kind.
    pub async fn detail(&self) -> Result<NodeDetail> {
        self.status().await?.posthouse.context("the status of our node has no detail")
    }

    /// Waits until its detail is as wanted; `seen` names what is wrong otherwise.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn wait_for<T>(&self, what: &str, seen: impl Fn(&NodeStatus) -> Result<T, String>) -> Result<T> {
        wait_until(&format!("node {} {what}", self.id()), PATIENCE, || async {
            let status = self.status().await.map_err(|error| format!("{error:#}"))?;
            seen(&status)
        })
        .await
    }

    /// Waits until it holds a package of a meeting, verified; with `hash` only that one.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn wait_for_package(&self, meeting: &str, hash: Option<ContentHash>) -> Result<HeldPackage> {
        self.wait_for(&format!("holds {meeting}"), |status| {
            let held = status.posthouse.iter().flat_map(|detail| &detail.held);
            held.filter(|package| package.meeting_id == meeting)
                .find(|package| hash.is_none_or(|hash| package.hash == hash))
                .cloned()
                .ok_or_else(|| format!("{status:?}"))
        })
        .await
    }

    /// Stops it cleanly and starts it again at the same address.
    ///
    /// # Errors
    /// When it does not stop or start.
    pub async fn restart(&mut self) -> Result<()> {
        self.process.stop().await?;
        self.start_again().await
    }

    /// Starts it at the same address after it ended or was killed.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_again(&mut self) -> Result<()> {
        self.process = self.setup.launch_as_it_is().start().await?;
        Ok(())
    }

    /// The bytes of the package on its disk.
    ///
    /// # Errors
    /// When there is none.
    pub fn stored_package(&self, meeting: &str) -> Result<Vec<u8>> {
        let path = self.package_path(meeting);
        let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        ensure!(!bytes.is_empty(), "{} is empty", path.display());
        Ok(bytes)
    }
}
