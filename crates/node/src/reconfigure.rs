//! How an edit of the configuration becomes effective without a restart: checked as a whole first, and only then put in
//! force. Whatever cannot work is refused with its reason, and the last good configuration stays.

use std::net::TcpListener;

use posthouse_package::PackageStore;
use posthouse_protocol::config::NodeConfigFile;
use posthouse_protocol::event::EventKind;
use posthouse_runtime::config_file::{self, FileWatch, Invalid};
use posthouse_runtime::tasks::{Report, blocking};
use rust_i18n::t;
use tokio::time::{Duration, MissedTickBehavior, interval};

use crate::config::{NodeConfig, same_master};
use crate::state::Node;
use crate::store::meta::{self, Fact};
use crate::{custody, presence, space, start};

/// Where watching the file does not work it is looked at this often.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// How long an editor may take to write a file in place.
const HALF_WRITTEN: Duration = Duration::from_millis(300);

/// Who edits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Editor {
    /// Somebody with an editor; the file says so already.
    File,
    /// A person by `POST /api/config`, who chooses the master by that.
    Person,
    /// A person or program that changes a single setting.
    Setting,
    /// A join, which chose the master.
    Join,
}

/// Why an edit is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EditError {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error("the configuration cannot be written: {0}")]
    NotSaved(String),
}

/// Puts an edit in force. An edit without an id keeps the id.
pub(crate) async fn edit(node: &Node, mut raw: NodeConfigFile, editor: Editor) -> Result<(), EditError> {
    let _one_at_a_time = node.settings.editing.lock().await;
    let (raw_before, before) = (node.settings.raw(), node.settings.now());
    let lacks_id = raw.node_id.is_empty();
    if lacks_id {
        raw.node_id.clone_from(&raw_before.node_id);
    }
    let chooses_master = matches!(editor, Editor::Person | Editor::Join) || !same_master(&raw, &raw_before);
    let config = NodeConfig::from_file(&raw, &node.data, before.master.is_some() || chooses_master)?;
    if raw == raw_before && config == *before {
        node.settings.set_problem(None);
        return Ok(());
    }
    if let Some(secret) = node.uplink.secret() {
        start::check_id(&secret, &config.node_id, &node.data)?;
    }
    let packages = prepare(node, &before, &config).await?;
    if editor != Editor::File || lacks_id {
        let (file, raw) = (node.settings.file().to_owned(), raw.clone());
        let saved = blocking(move || config_file::save(&file, &raw)).await;
        saved.map_err(|error| EditError::NotSaved(error.to_string()))?;
    }
    if chooses_master && let Err(error) = meta::write(&node.store, Fact::NoMasterChosen, None).await {
        tracing::warn!(%error, "the choice of the master is not in the database");
    }
    let changed = changed_keys(&raw_before, &raw);
    node.settings.set(raw, config);
    take_effect(node, &before, packages).await;
    tracing::info!(keys = changed, "the configuration changed");
    node.events.record(EventKind::ConfigChanged, None, changed);
    Ok(())
}

/// Does whatever can fail, before anything is in force: binds the new port on trial, opens the new storage folder, opens
/// the new log file.
async fn prepare(node: &Node, before: &NodeConfig, config: &NodeConfig) -> Result<Option<PackageStore>, Invalid> {
    if config.node_port != before.node_port && !node.listen_is_given && config.node_port != node.listening.port() {
        let address = config.listen_address();
        TcpListener::bind(address).map_err(|error| {
            Invalid::new("nodePort", t!("config.port_in_use", port = address.port(), error = error))
        })?;
    }
    let packages = if config.storage.path == before.storage.path {
        None
    } else {
        let path = config.storage.path.clone();
        let opened = blocking(move || PackageStore::open(&path)).await;
        Some(opened.map_err(|error| Invalid::new("storage.path", t!("config.storage_path", error = error)))?)
    };
    if let Some(logging) = &node.logging {
        logging
            .apply(&config.logging)
            .map_err(|error| Invalid::new("logging.filePath", t!("config.log_file", error = error)))?;
    }
    Ok(packages)
}

/// What the loops do not see by themselves.
async fn take_effect(node: &Node, before: &NodeConfig, packages: Option<PackageStore>) {
    let config = node.settings.now();
    if config.node_id != before.node_id {
        node.events.rename(&config.node_id);
    }
    if let Some(packages) = packages {
        node.sync.fetches.interrupt_all();
        node.packages.store(packages.into());
        if let Err(error) = custody::settle(node, custody::Occasion::OtherFolder).await {
            tracing::error!(%error, "the new storage folder cannot be read");
        }
    }
    if let Some(left) = node.uplink.refresh(&config) {
        node.tasks.spawn("unregister", async move { presence::unregister(&left).await });
    }
    node.sync.outlook.lock().forgive();
    node.sync.fetches.limit_changed();
    space::tidy(node).await;
    node.sync.wake();
}

/// Keys that differ, as `storage.maxSize, syncInterval`.
fn changed_keys(before: &NodeConfigFile, after: &NodeConfigFile) -> String {
    use serde_json::Value;
    fn compare(path: &str, before: &Value, after: &Value, changed: &mut Vec<String>) {
        match (before, after) {
            (Value::Object(before), Value::Object(after)) => {
                for (key, value) in after {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    compare(&path, before.get(key).unwrap_or(&Value::Null), value, changed);
                }
            }
            (before, after) if before != after => changed.push(path.to_owned()),
            _ => {}
        }
    }
    let (Ok(before), Ok(after)) = (serde_json::to_value(before), serde_json::to_value(after)) else {
        return String::new();
    };
    let mut changed = Vec::new();
    compare("", &before, &after, &mut changed);
    changed.join(", ")
}

/// Applies edits of the file until the node stops.
pub(crate) async fn watch(node: Node, report: Report) {
    let file = node.settings.file().to_owned();
    let mut watch = FileWatch::new(&file)
        .inspect_err(
            |error| tracing::warn!(%error, "the configuration file is looked at now and then instead of watched"),
        )
        .ok();
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Whoever was quick edited the file before it was watched.
    let mut seen = None;
    loop {
        let changed = async {
            match &mut watch {
                Some(watch) => watch.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = changed => {}
            _ = looks.tick() => {
                let now = stamp(&node).await;
                if now == seen { continue }
            }
            () = node.stop.cancelled() => return,
        }
        seen = stamp(&node).await;
        match read(&node).await {
            Ok(()) => report.completed(),
            Err(error) => {
                report.failed(&error);
                refused(&node, error.to_string());
            }
        }
    }
}

/// By what a change is noticed without an event.
async fn stamp(node: &Node) -> Option<crate::shelf::Stamp> {
    let file = node.settings.file().to_owned();
    blocking(move || crate::shelf::Stamp::of(&file).ok()).await
}

async fn read(node: &Node) -> Result<(), EditError> {
    let raw = match parse(node).await {
        Ok(raw) => raw,
        // Half of what an editor is writing; a moment later it is whole.
        Err(_) => {
            tokio::time::sleep(HALF_WRITTEN).await;
            parse(node).await?
        }
    };
    edit(node, raw, Editor::File).await
}

async fn parse(node: &Node) -> Result<NodeConfigFile, Invalid> {
    let file = node.settings.file().to_owned();
    let text = blocking(move || std::fs::read_to_string(&file)).await;
    config_file::parse(&text.map_err(|error| Invalid::new("", t!("config.unreadable", error = error)))?)
}

fn refused(node: &Node, problem: String) {
    if node.settings.set_problem(Some(problem.clone())) {
        tracing::error!(problem, "an edit of the configuration is refused; the last good one stays in force");
        node.events.record(EventKind::ConfigRefused, None, problem);
    }
}
