//! A master as a process, with its administrator signed in.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use posthouse_protocol::node::{NodeDetailView, NotChosenCause};
use serde_json::{Value, json};

use crate::admin::Admin;
use crate::answer::{Answer, http_client};
use crate::config;
use crate::process::{Launch, Process};
use crate::tablet::Tablet;
use crate::wait::{PATIENCE, wait_until};

/// The administrator's password on every master that is started here.
pub const PASSWORD: &str = "Ein-Posthaus-7";

/// A master to be.
#[derive(Debug, Clone)]
pub struct MasterSetup {
    data: PathBuf,
    listen: String,
    config: Option<Value>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    password: Option<String>,
    tended: bool,
}

impl MasterSetup {
    /// With its data in `data`, on a free loopback port.
    #[must_use]
    pub fn new(data: &Path) -> Self {
        Self {
            data: data.to_owned(),
            listen: "127.0.0.1:0".to_owned(),
            config: None,
            arguments: Vec::new(),
            environment: Vec::new(),
            password: Some(PASSWORD.to_owned()),
            tended: false,
        }
    }

    /// Lets nodes without a secret in.
    #[must_use]
    pub fn unsigned(self) -> Self {
        self.argument("--allow-unsigned-nodes")
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

    /// Keys of its `master_config.json`, written before it starts.
    #[must_use]
    pub fn config(mut self, keys: &Value) -> Self {
        config::merge(self.config.get_or_insert_with(|| json!({})), keys);
        self
    }

    /// Where it listens.
    #[must_use]
    pub fn listen(mut self, address: &str) -> Self {
        address.clone_into(&mut self.listen);
        self
    }

    /// Lets it make the password of its administrator itself, as without `POSTHOUSE_ADMIN_PASSWORD`.
    #[must_use]
    pub fn generated_password(mut self) -> Self {
        self.password = None;
        self
    }

    /// Where a master writes the password that it made.
    #[must_use]
    pub fn password_file(&self) -> PathBuf {
        self.data.join("initial-password.txt")
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
        if let Some(keys) = &self.config {
            let path = self.data.join("master_config.json");
            let mut whole = if path.exists() { config::read(&path)? } else { json!({}) };
            config::merge(&mut whole, keys);
            config::write(&path, &whole)?;
        }
        let mut launch = Launch::role("--master", &self.data).arg("--listen").arg(&self.listen).args(&self.arguments);
        if let Some(password) = &self.password {
            launch = launch.env("POSTHOUSE_ADMIN_PASSWORD", password);
        }
        for (name, value) in &self.environment {
            launch = launch.env(name, value);
        }
        Ok(if self.tended { launch.tended() } else { launch })
    }

    /// Starts it and signs its administrator in.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(mut self) -> Result<Master> {
        let process = self.launch()?.start().await?;
        // Started again, it shall be found where it was.
        self.listen = process.running()?.addresses.swap_remove(0);
        let base = format!("http://{}", self.listen);
        if self.password.is_none() {
            let path = self.password_file();
            let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            self.password = Some(text.trim().to_owned());
        }
        let admin = self.sign_in(&base).await?;
        Ok(Master { process, base, admin, setup: self })
    }

    /// Waits until it says that requests may come, as load balancers do, and signs in.
    async fn sign_in(&self, base: &str) -> Result<Admin> {
        let status = format!("{base}/api/status");
        let http = http_client()?;
        wait_until("the master is healthy", PATIENCE, || async {
            Answer::to(http.get(&status)).await?.expect(200).map(drop)
        })
        .await?;
        Admin::sign_in(base, self.password.as_deref().unwrap_or_default()).await
    }
}

/// A running master.
#[derive(Debug)]
pub struct Master {
    /// The process.
    pub process: Process,
    /// `http://127.0.0.1:34567`.
    pub base: String,
    /// Signed in.
    pub admin: Admin,
    setup: MasterSetup,
}

impl Master {
    /// `127.0.0.1:34567`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.setup.listen
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.setup.data
    }

    /// Where it wrote the password that it made, if it did.
    #[must_use]
    pub fn password_file(&self) -> PathBuf {
        self.setup.password_file()
    }

    /// A tablet that knows it.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn tablet(&self) -> Result<Tablet> {
        Tablet::of(&self.base)
    }

    /// A join code from the command line, good for `uses` nodes.
    ///
    /// # Errors
    /// When the command fails, or prints anything else.
    pub async fn join_code(&self, uses: u32) -> Result<String> {
        let uses = uses.to_string();
        let launch = Launch::bare("join-code").arg("join-code").arg("--data").arg(self.data());
        let ended = launch.args(["--uses", &uses]).tended().run_to_end(PATIENCE).await?;
        ensure!(ended.code == Some(0), "join-code: {ended:?}");
        let code = ended.stdout.trim_end_matches(['\r', '\n']);
        ensure!(!code.is_empty() && !code.contains(char::is_whitespace), "join-code prints {:?}", ended.stdout);
        Ok(code.to_owned())
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
        self.process = self.setup.launch()?.start().await?;
        self.admin = self.setup.sign_in(&self.base).await?;
        Ok(())
    }

    /// Waits until what it says of a node is as wanted; `seen` names what is wrong otherwise.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn wait_for_node<T>(
        &self,
        id: &str,
        what: &str,
        limit: Duration,
        seen: impl Fn(&NodeDetailView) -> Result<T, String>,
    ) -> Result<T> {
        wait_until(&format!("node {id}: {what}"), limit, || async {
            let nodes = self.admin.nodes().await.map_err(|error| format!("{error:#}"))?;
            let node = nodes.iter().find(|node| node.node_id == id).ok_or("the master does not know it")?;
            seen(node)
        })
        .await
    }

    /// Waits until a node is online.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn wait_for_online(&self, id: &str) -> Result<()> {
        self.wait_for_node(
            id,
            "is online",
            PATIENCE,
            |node| {
                if node.online { Ok(()) } else { Err(format!("{node:?}")) }
            },
        )
        .await
    }

    /// Waits until the master would send tablets to this node for this meeting.
    ///
    /// # Errors
    /// When that takes too long; the text says why it would not.
    pub async fn wait_for_rotation(&self, id: &str, meeting: &str) -> Result<()> {
        self.wait_for_node(id, &format!("gets downloads of {meeting}"), PATIENCE * 2, |node| {
            match cause(node, meeting) {
                None if node.online => Ok(()),
                cause => Err(format!("{cause:?} {node:?}")),
            }
        })
        .await?;
        // The view is of the node; the tablet's side is what counts.
        wait_until(&format!("{meeting} is offered from {id}"), PATIENCE, || async {
            let address = self.admin.node(id).await?.address;
            let offered = self.tablet()?.endpoints(meeting).await?;
            ensure!(offered.iter().any(|endpoint| endpoint.ip == address), "{offered:?}");
            anyhow::Ok(())
        })
        .await
    }

    /// Creates a meeting with these files and starts it.
    ///
    /// # Errors
    /// When anything of it is refused.
    pub async fn run_meeting(&self, id: &str, files: Vec<(String, Vec<u8>)>) -> Result<()> {
        self.admin.create_with(id, files).await?;
        self.admin.start(id).await
    }

    /// Waits until the change token is another than `before`.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn wait_for_new_token(&self, before: &str) -> Result<String> {
        let tablet = self.tablet()?;
        wait_until("the change token moves", PATIENCE, || async {
            let token = tablet.token().await?.id;
            ensure!(token != before, "it is still {token}");
            anyhow::Ok(token)
        })
        .await
        .context("waiting for the change token")
    }
}

fn cause(node: &NodeDetailView, meeting: &str) -> Option<NotChosenCause> {
    node.not_chosen.iter().find(|reason| reason.meeting_id == meeting).map(|reason| reason.cause)
}
