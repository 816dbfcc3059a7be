//! A place for one test: a temporary folder and the processes that have their data in it.
//!
//! Declare it first in a test, so that it goes last.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::master::{Master, MasterSetup};
use crate::node::{Node, NodeSetup};

/// A temporary folder.
#[derive(Debug)]
pub struct Site {
    folder: TempDir,
}

impl Site {
    /// In the system's folder for temporary files.
    ///
    /// # Errors
    /// When no folder can be made.
    pub fn new() -> Result<Self> {
        Self::named("posthouse-test-")
    }

    /// The same, its name beginning with `prefix`.
    ///
    /// # Errors
    /// When no folder can be made.
    pub fn named(prefix: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix(prefix).tempdir().context("a temporary folder")?;
        Ok(Self { folder })
    }

    /// Where everything lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A data folder that does not exist yet.
    #[must_use]
    pub fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A master to be, with its data in `master`.
    #[must_use]
    pub fn master_setup(&self) -> MasterSetup {
        MasterSetup::new(&self.data("master"))
    }

    /// A running master.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn master(&self) -> Result<Master> {
        self.master_setup().start().await
    }

    /// A node to be, with its data in a folder of the name of its id.
    #[must_use]
    pub fn node_setup(&self, id: &str) -> NodeSetup {
        NodeSetup::new(&self.data(id), id)
    }

    /// A node to be whose master is away: nothing listens where it looks for it.
    #[must_use]
    pub fn lonely_setup(&self, id: &str) -> NodeSetup {
        self.node_setup(id).plain("127.0.0.1:9")
    }

    /// A running node whose master is away.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn lonely_node(&self, id: &str) -> Result<Node> {
        self.lonely_setup(id).start().await
    }

    /// A running node that joined `master` by a code.
    ///
    /// # Errors
    /// When it does not start or join.
    pub async fn joined_node(&self, id: &str, master: &Master) -> Result<Node> {
        let node = self.node_setup(id).join(&master.join_code(1).await?).start().await?;
        master.wait_for_online(id).await?;
        Ok(node)
    }
}
