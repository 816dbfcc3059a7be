//! What happens before the node listens: its configuration is loaded, its data folder taken, its database opened. Every
//! failure is a [`StartError`] with one clear line, and nothing is half-written.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use posthouse_package::{PackageError, PackageStore};
use posthouse_protocol::config::NodeConfigFile;
use posthouse_protocol::join::JoinCode;
use posthouse_runtime::config_file::{self, Invalid};
use posthouse_runtime::exit::StartError;
use posthouse_runtime::logging::LogSettings;
use posthouse_runtime::paths::DataDir;
use posthouse_runtime::running_file::RunningGuard;
use posthouse_runtime::store::{Store, StoreError};
use posthouse_runtime::trust::{join, password};
use posthouse_runtime::{private_file, random};
use rust_i18n::t;

use crate::config::{NodeConfig, same_master};
use crate::identity::{self, NodeSecret};
use crate::store::meta::{self, Fact};

/// Everything a node needs to run but a listener. Holds the data folder for this process.
#[derive(Debug)]
pub struct NodeStart {
    pub(crate) data: DataDir,
    pub(crate) file: PathBuf,
    pub(crate) guard: RunningGuard,
    pub(crate) store: Store,
    pub(crate) raw: NodeConfigFile,
    pub(crate) config: NodeConfig,
    pub(crate) secret: Option<NodeSecret>,
    pub(crate) code: Option<JoinCode>,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) instance: String,
    /// Whether the service is on.
    pub(crate) is_running: bool,
}

/// Loads the configuration (by default `node_config.json` in the data folder), takes the data folder, opens the database.
///
/// Without a configuration the seed's defaults are written, and nobody is contacted until a master is chosen or `code`
/// joins one.
pub fn prepare(data: DataDir, file: Option<&Path>, code: Option<&str>) -> Result<NodeStart, StartError> {
    let code = code.map(join::decode).transpose().map_err(|error| StartError::Usage(error.to_string()))?;
    let file = file.map_or_else(|| data.config_file(), Path::to_owned);
    let file = std::path::absolute(&file).map_err(|error| StartError::CannotRead(file, error))?;
    // A broken file is said before anything is touched.
    let found: Option<NodeConfigFile> = config_file::load(&file)?;
    let secret = identity::load(&data)?;
    let given = found.clone().map(|raw| NodeConfigFile { node_id: or_placeholder(raw.node_id), ..raw });
    let given = given.map(|raw| NodeConfig::from_file(&raw, &data, true)).transpose();
    let given = given.map_err(|invalid| invalid.in_file(&file))?;
    let guard = RunningGuard::take(&data)?;
    if let Some(config) = &given {
        check_storage(config)?;
    }
    let store = crate::store::open(&data)?;
    let (raw, is_chosen) = complete(found, &store, &data, &file, secret.as_ref())?;
    let config = NodeConfig::from_file(&raw, &data, is_chosen).map_err(|invalid| invalid.in_file(&file))?;
    let instance = random::hex::<8>();
    let start =
        NodeStart { data, file, guard, store, raw, config, secret, code, listen: None, instance, is_running: true };
    start.check()?;
    Ok(start)
}

/// Sets a new management password and gives it; a running node knows it at once.
pub fn reset_password(data: &DataDir) -> Result<String, StartError> {
    let store = crate::store::open(data)?;
    let password = random::password();
    let hash = password::hash(&password).map_err(|error| StartError::Unavailable(error.to_string()))?;
    meta::write_blocking(&store, Fact::ManagementPassword, Some(hash)).map_err(|error| in_database(data, &error))?;
    Ok(password)
}

impl NodeStart {
    /// Listens there for the life of the process, whatever the configuration says.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = Some(address);
        self
    }

    /// Where the caller is to bind.
    #[must_use]
    pub fn listen_address(&self) -> SocketAddr {
        self.listen.unwrap_or_else(|| self.config.listen_address())
    }

    /// What the configuration says about logging.
    #[must_use]
    pub fn log_settings(&self) -> LogSettings {
        self.config.logging.clone()
    }

    /// Id of the node.
    #[must_use]
    pub fn node_id(&self) -> &str {
        &self.config.node_id
    }

    fn check(&self) -> Result<(), StartError> {
        // Who joins anew may do so under another id.
        if let Some(secret) = self.secret.as_ref().filter(|_| self.code.is_none()) {
            check_id(secret, &self.config.node_id, &self.data).map_err(|invalid| invalid.in_file(&self.file))?;
        }
        check_storage(&self.config)
    }
}

fn check_storage(config: &NodeConfig) -> Result<(), StartError> {
    let storage = &config.storage.path;
    PackageStore::open(storage).map(drop).map_err(|error| match error {
        PackageError::Folder { path, cause } => StartError::CannotWrite(path, cause),
        other => StartError::CannotWrite(storage.clone(), std::io::Error::other(other)),
    })
}

/// Refuses an id for which the secret is not.
pub(crate) fn check_id(secret: &NodeSecret, node_id: &str, data: &DataDir) -> Result<(), Invalid> {
    let Some(secret) = secret.in_force() else { return Ok(()) };
    if secret.node_id == node_id {
        return Ok(());
    }
    let file = identity::path(data).display().to_string();
    let problem = t!("config.node_id_is_joined", joined = secret.node_id, value = node_id, file = file);
    Err(Invalid::new("nodeId", problem))
}

/// A random id in the seed's form.
pub(crate) fn new_node_id() -> String {
    format!("node-{}", random::hex::<4>())
}

fn or_placeholder(id: String) -> String {
    if id.is_empty() { "node".to_owned() } else { id }
}

/// Fills in what is missing and says whether a master is chosen. Writes the file when it changed.
fn complete(
    found: Option<NodeConfigFile>,
    store: &Store,
    data: &DataDir,
    file: &Path,
    secret: Option<&NodeSecret>,
) -> Result<(NodeConfigFile, bool), StartError> {
    let failed = |error: StoreError| in_database(data, &error);
    let joined = secret.and_then(NodeSecret::in_force);
    let is_ours = meta::read_blocking(store, Fact::NoMasterChosen).map_err(failed)?.is_some();
    let (mut raw, is_chosen, mut is_changed) = match found {
        Some(raw) => {
            let is_chosen = !is_ours || joined.is_some() || !same_master(&raw, &NodeConfigFile::default());
            if is_ours && is_chosen {
                meta::write_blocking(store, Fact::NoMasterChosen, None).map_err(failed)?;
            }
            if let Err(error) = private_file::restrict(file) {
                tracing::warn!(file = %file.display(), %error, "others may read the configuration");
            }
            (raw, is_chosen, false)
        }
        None => {
            let mut raw = NodeConfigFile::default();
            let is_chosen = joined.is_some_and(|joined| set_master(&mut raw, &joined.address));
            // First the note, then the file: a file without the note would be taken for an operator's.
            let note = (!is_chosen).then(|| "defaults were written".to_owned());
            meta::write_blocking(store, Fact::NoMasterChosen, note).map_err(failed)?;
            (raw, is_chosen, true)
        }
    };
    if raw.node_id.is_empty() {
        raw.node_id = joined.map_or_else(new_node_id, |joined| joined.node_id.clone());
        is_changed = true;
    }
    if is_changed {
        config_file::save(file, &raw).map_err(|error| StartError::CannotWrite(file.to_owned(), error))?;
    }
    Ok((raw, is_chosen))
}

/// Puts `host:port` into the file's two keys.
pub(crate) fn set_master(raw: &mut NodeConfigFile, address: &str) -> bool {
    let Some((host, port)) = address.rsplit_once(':') else { return false };
    let Ok(port) = port.parse::<u16>() else { return false };
    raw.main_server_ip = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    raw.main_server_port = port.into();
    true
}

fn in_database(data: &DataDir, error: &StoreError) -> StartError {
    StartError::Database(data.database(), error.to_string())
}

#[cfg(test)]
mod tests {
    use posthouse_runtime::paths::Role;
    use serde_json::{Value, json};

    use super::*;

    fn data(folder: &tempfile::TempDir) -> DataDir {
        DataDir::open(Some(folder.path()), Role::Node).unwrap()
    }

    fn file(folder: &tempfile::TempDir) -> Value {
        serde_json::from_slice(&std::fs::read(folder.path().join("node_config.json")).unwrap()).unwrap()
    }

    #[test]
    fn without_a_file_the_defaults_are_written_and_nobody_is_contacted_until_the_address_is_edited() {
        let folder = tempfile::tempdir().unwrap();
        let start = prepare(data(&folder), None, None).unwrap();
        assert_eq!(start.config.master, None);
        assert!(start.node_id().starts_with("node-") && start.node_id().len() == 13);
        let written = file(&folder);
        assert_eq!(written["mainServerIp"], "192.168.110.10");
        assert_eq!(written["publicIp"], Value::Null);
        assert_eq!(written["nodeId"], start.node_id());
        drop(start);
        assert_eq!(prepare(data(&folder), None, None).unwrap().config.master, None);

        let mut edited = written;
        edited["mainServerPort"] = json!(8000);
        std::fs::write(folder.path().join("node_config.json"), edited.to_string()).unwrap();
        let master = prepare(data(&folder), None, None).unwrap().config.master.unwrap();
        assert_eq!(master.to_string(), "192.168.110.10:8000");
        // Chosen once, even when it is the default again.
        edited["mainServerPort"] = json!(80);
        std::fs::write(folder.path().join("node_config.json"), edited.to_string()).unwrap();
        assert!(prepare(data(&folder), None, None).unwrap().config.master.is_some());
    }

    #[test]
    fn a_file_that_was_there_keeps_its_unknown_keys_and_gets_an_id() {
        let folder = tempfile::tempdir().unwrap();
        let before = json!({"mainServerIp": "10.0.0.9", "note": {"by": "me"}, "storage": {"maxSize": 7, "tier": 1}});
        std::fs::write(folder.path().join("node_config.json"), before.to_string()).unwrap();
        let start = prepare(data(&folder), None, None).unwrap();
        assert_eq!(start.config.master.as_ref().unwrap().to_string(), "10.0.0.9:80");
        assert_eq!(start.config.storage.max_size_bytes, 7);
        let written = file(&folder);
        assert_eq!((&written["note"]["by"], &written["storage"]["tier"]), (&json!("me"), &json!(1)));
        assert_eq!(written["nodeId"], start.node_id());
    }

    #[test]
    fn a_second_process_and_a_broken_file_are_refused_with_nothing_written() {
        let folder = tempfile::tempdir().unwrap();
        let first = prepare(data(&folder), None, None).unwrap();
        assert!(matches!(prepare(data(&folder), None, None), Err(StartError::AlreadyRunning(..))));
        drop(first);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("node_config.json"), "{\"syncInterval\": 5}").unwrap();
        let error = prepare(data(&folder), None, None).unwrap_err();
        assert!(matches!(&error, StartError::Config { field, .. } if field == "syncInterval"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(matches!(prepare(data(&folder), None, Some("nonsense")), Err(StartError::Usage(_))));
    }

    #[test]
    fn a_reset_password_is_known_by_its_hash_alone() {
        let folder = tempfile::tempdir().unwrap();
        let password = reset_password(&data(&folder)).unwrap();
        let store = crate::store::open(&data(&folder)).unwrap();
        let hash = meta::read_blocking(&store, Fact::ManagementPassword).unwrap().unwrap();
        assert!(hash.starts_with("$argon2id$") && !hash.contains(&password));
    }

    #[test]
    fn an_address_is_taken_apart() {
        let mut raw = NodeConfigFile::default();
        assert!(set_master(&mut raw, "[::1]:8000"));
        assert_eq!((raw.main_server_ip.as_str(), raw.main_server_port), ("::1", 8000));
        assert!(!set_master(&mut raw, "host"));
    }
}
