//! `node_secret.json`: what a join left behind. Readable for its owner alone; nothing of it is ever logged or answered.

use std::io;
use std::path::{Path, PathBuf};

use posthouse_protocol::join::JoinConfirm;
use posthouse_runtime::config_file::Invalid;
use posthouse_runtime::exit::StartError;
use posthouse_runtime::paths::DataDir;
use posthouse_runtime::private_file;
use posthouse_runtime::trust::Secret;
use rust_i18n::t;
use serde::{Deserialize, Serialize};

const FILE_NAME: &str = "node_secret.json";

/// A node's secret and where it came from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NodeSecret {
    pub(crate) state: JoinState,
    /// The code it came by.
    pub(crate) code_id: String,
    /// Which master knows it.
    pub(crate) master_id: String,
    /// `host:port` at which the join worked.
    pub(crate) address: String,
    /// The id it is for.
    pub(crate) node_id: String,
    pub(crate) secret: Secret,
    /// While pending: the confirmation, to be sent again when its answer was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) confirm: Option<JoinConfirm>,
    /// While pending: the secret that stays in force if the master refuses this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) previous: Option<Box<NodeSecret>>,
}

/// How far a join came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum JoinState {
    /// The confirmation was sent; whether it arrived is not known.
    Pending,
    /// The master said yes.
    Joined,
}

impl NodeSecret {
    /// The secret in force: this one when joined, else the one before.
    pub(crate) fn in_force(&self) -> Option<&Self> {
        match self.state {
            JoinState::Joined => Some(self),
            JoinState::Pending => self.previous.as_deref().and_then(Self::in_force),
        }
    }
}

/// The file.
pub(crate) fn path(data: &DataDir) -> PathBuf {
    data.root().join(FILE_NAME)
}

/// Reads the file; `None` when the node never joined.
pub(crate) fn load(data: &DataDir) -> Result<Option<NodeSecret>, StartError> {
    let path = path(data);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StartError::CannotRead(path, error)),
    };
    // The error's text would show a part of the file.
    let secret = serde_json::from_slice(&text).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        Invalid::new("", t!("config.secret_broken", error = place)).in_file(&path)
    })?;
    Ok(Some(secret))
}

/// Replaces the file, or removes it. Blocks.
pub(crate) fn save(path: &Path, secret: Option<&NodeSecret>) -> io::Result<()> {
    match secret {
        Some(secret) => private_file::write(path, &serde_json::to_vec_pretty(secret)?),
        None => match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use posthouse_runtime::paths::Role;

    use super::*;

    #[test]
    fn a_pending_secret_leaves_the_one_before_in_force_and_a_broken_file_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(Some(folder.path()), Role::Node).unwrap();
        assert!(load(&data).unwrap().is_none());
        let joined = NodeSecret {
            state: JoinState::Joined,
            code_id: "a".into(),
            master_id: "m".into(),
            address: "127.0.0.1:1".into(),
            node_id: "n".into(),
            secret: Secret::random(),
            confirm: None,
            previous: None,
        };
        let pending = NodeSecret {
            state: JoinState::Pending,
            code_id: "b".into(),
            previous: Some(Box::new(joined.clone())),
            ..joined.clone()
        };
        save(&path(&data), Some(&pending)).unwrap();
        let read = load(&data).unwrap().unwrap();
        assert_eq!(read.in_force().unwrap().code_id, "a");
        let alone = NodeSecret { previous: None, ..read };
        assert!(alone.in_force().is_none());

        std::fs::write(path(&data), format!("{{\"secret\": \"{}", joined.secret.to_hex())).unwrap();
        let said = load(&data).unwrap_err().to_string();
        assert!(said.contains(FILE_NAME) && !said.contains(&joined.secret.to_hex()), "{said}");
        save(&path(&data), None).unwrap();
        save(&path(&data), None).unwrap();
    }
}
