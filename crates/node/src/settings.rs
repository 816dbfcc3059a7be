//! The configuration in force, and its file. How an edit becomes effective stands in [`crate::reconfigure`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use posthouse_protocol::config::NodeConfigFile;
use tokio::sync::watch;

use crate::config::NodeConfig;

/// Configuration in force.
#[derive(Debug)]
pub(crate) struct Settings {
    file: PathBuf,
    raw: Mutex<NodeConfigFile>,
    valid: watch::Sender<Arc<NodeConfig>>,
    /// Why the last edit of the file was refused.
    problem: Mutex<Option<String>>,
    /// One edit at a time.
    pub(crate) editing: tokio::sync::Mutex<()>,
}

impl Settings {
    pub(crate) fn new(file: PathBuf, raw: NodeConfigFile, valid: NodeConfig) -> Self {
        Self {
            file,
            raw: Mutex::new(raw),
            valid: watch::Sender::new(Arc::new(valid)),
            problem: Mutex::default(),
            editing: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// As it stands in the file.
    pub(crate) fn raw(&self) -> NodeConfigFile {
        self.raw.lock().clone()
    }

    /// As it is obeyed.
    pub(crate) fn now(&self) -> Arc<NodeConfig> {
        self.valid.borrow().clone()
    }

    /// Tells of changes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<NodeConfig>> {
        self.valid.subscribe()
    }

    /// Puts a checked configuration in force.
    pub(crate) fn set(&self, raw: NodeConfigFile, valid: NodeConfig) {
        *self.raw.lock() = raw;
        self.valid.send_replace(Arc::new(valid));
        *self.problem.lock() = None;
    }

    pub(crate) fn problem(&self) -> Option<String> {
        self.problem.lock().clone()
    }

    /// Notes a refused edit, or that all is well; whether that is news.
    pub(crate) fn set_problem(&self, problem: Option<String>) -> bool {
        let mut current = self.problem.lock();
        let is_news = *current != problem;
        *current = problem;
        is_news
    }
}
