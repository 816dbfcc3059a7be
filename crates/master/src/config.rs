//! The master's configuration as it is used: checked, with units. What the file says stands in [`file`].

mod file;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use posthouse_runtime::config_file::{self, Invalid, between};
use posthouse_runtime::exit::StartError;
use posthouse_runtime::logging::{LogSettings, level_from_name};
use posthouse_runtime::paths::DataDir;
use posthouse_runtime::private_file;
use rust_i18n::t;
use serde_json::Value;

pub use file::MasterConfigFile;

/// A valid configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct MasterConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// How nodes are dealt with.
    pub nodes: NodesConfig,
    /// How meetings start.
    pub meetings: MeetingsConfig,
    /// Who may read the metrics without a login, besides this machine.
    pub metrics: Allowed,
    /// Level and file of the log.
    pub logging: LogSettings,
}

/// `nodes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodesConfig {
    /// Which nodes may register and send heartbeats without a signature. Never an id that has a secret.
    pub allow_unsigned: Allowed,
    /// Whether a node must be reached at its address before tablets are sent there.
    pub probe: bool,
}

/// From where something is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// Nobody.
    No,
    /// Everybody.
    Yes,
    /// Who comes from one of these networks.
    Networks(Vec<IpNet>),
}

impl Allowed {
    /// Whether somebody at this address may.
    #[must_use]
    pub fn covers(&self, address: IpAddr) -> bool {
        match self {
            Self::No => false,
            Self::Yes => true,
            Self::Networks(networks) => networks.iter().any(|network| network.contains(&address.to_canonical())),
        }
    }
}

/// `meetings`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeetingsConfig {
    /// How long nodes are waited for before the change token moves without them.
    pub ready_timeout: Duration,
    /// The pause between the last node being ready and the change token moving.
    pub settle: Duration,
}

impl MasterConfig {
    /// Reads `file` (default: `master_config.json` in the data folder); writes the defaults there when it is missing.
    ///
    /// # Errors
    /// A file that cannot be read or written, and a value that is not allowed, by the path of its field.
    pub fn load(data: &DataDir, file: Option<&Path>) -> Result<Self, StartError> {
        let path = file.map_or_else(|| data.config_file(), Path::to_owned);
        let raw = match config_file::load::<MasterConfigFile>(&path)? {
            Some(raw) => {
                if let Err(error) = private_file::restrict(&path) {
                    tracing::warn!(file = %path.display(), %error, "others may read the configuration");
                }
                raw
            }
            None => {
                let raw = MasterConfigFile::default();
                config_file::save(&path, &raw).map_err(|error| StartError::CannotWrite(path.clone(), error))?;
                raw
            }
        };
        Self::check(&raw, data).map_err(|invalid| invalid.in_file(&path))
    }

    /// Checks what a file says.
    ///
    /// # Errors
    /// The first field that is not allowed.
    pub fn check(raw: &MasterConfigFile, data: &DataDir) -> Result<Self, Invalid> {
        let address = raw.listen_address.parse::<IpAddr>().map_err(|_| {
            Invalid::new("listenAddress", t!("config.not_an_address", value = raw.listen_address.as_str()))
        })?;
        let port = between("port", raw.port, 1, i64::from(u16::MAX))?;
        let seconds = |field, value: i64, low, high| between(field, value, low, high).map(i64::unsigned_abs);
        let ready_timeout = seconds("meetings.readyTimeoutSeconds", raw.meetings.ready_timeout_seconds, 1, 3600)?;
        let settle = seconds("meetings.settleSeconds", raw.meetings.settle_seconds, 0, 60)?;
        Ok(Self {
            // In range, see above.
            listen: SocketAddr::new(address, u16::try_from(port).unwrap_or(8000)),
            nodes: NodesConfig {
                allow_unsigned: allowed("nodes.allowUnsigned", &raw.nodes.allow_unsigned)?,
                probe: raw.nodes.probe,
            },
            metrics: allowed("metrics.allow", &raw.metrics.allow)?,
            meetings: MeetingsConfig {
                ready_timeout: Duration::from_secs(ready_timeout),
                settle: Duration::from_secs(settle),
            },
            logging: log_settings(raw, data)?,
        })
    }

    /// The configuration of a master without a file.
    ///
    /// # Errors
    /// Never: the defaults are valid.
    pub fn defaults(data: &DataDir) -> Result<Self, Invalid> {
        Self::check(&MasterConfigFile::default(), data)
    }
}

impl Default for NodesConfig {
    fn default() -> Self {
        Self { allow_unsigned: Allowed::No, probe: true }
    }
}

fn allowed(field: &str, value: &Value) -> Result<Allowed, Invalid> {
    let refused = || Invalid::new(field, t!("config.not_networks", value = value.to_string()));
    match value {
        Value::Bool(false) => Ok(Allowed::No),
        Value::Bool(true) => Ok(Allowed::Yes),
        Value::Array(networks) => {
            let network = |value: &Value| {
                let text = value.as_str()?;
                // A single address is a network of one.
                text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
            };
            networks.iter().map(network).collect::<Option<_>>().map(Allowed::Networks).ok_or_else(refused)
        }
        _ => Err(refused()),
    }
}

fn log_settings(raw: &MasterConfigFile, data: &DataDir) -> Result<LogSettings, Invalid> {
    let logging = &raw.logging;
    let level = level_from_name(&logging.level).ok_or_else(|| {
        let choices = "DEBUG, INFO, WARNING, ERROR, CRITICAL";
        Invalid::new("logging.level", t!("config.must_be_one_of", choices = choices, value = logging.level.as_str()))
    })?;
    if logging.file_enabled && logging.file_path.trim().is_empty() {
        return Err(Invalid::new("logging.filePath", t!("config.must_not_be_empty")));
    }
    let max_file_bytes = between("logging.maxFileSize", logging.max_file_size, 1024, 1 << 40)?;
    let backups = between("logging.backupCount", logging.backup_count, 0, 1000)?;
    Ok(LogSettings {
        level,
        file: logging.file_enabled.then(|| data.resolve(&logging.file_path)),
        max_file_bytes: usize::try_from(max_file_bytes).unwrap_or(usize::MAX),
        backups: usize::try_from(backups).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use posthouse_runtime::paths::Role;
    use serde_json::json;

    use super::*;

    fn checked(text: &Value) -> Result<MasterConfig, Invalid> {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(Some(folder.path()), Role::Master).unwrap();
        MasterConfig::check(&config_file::from_value(text.clone())?, &data)
    }

    #[test]
    fn defaults_are_written_once_and_what_a_person_wrote_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(Some(folder.path()), Role::Master).unwrap();
        let config = MasterConfig::load(&data, None).unwrap();
        assert_eq!(config.listen.port(), 8000);
        assert_eq!(config.nodes, NodesConfig::default());
        let written = r#"{"port": 8100, "mine": 1, "nodes": {"allowUnsigned": ["10.0.0.0/8", "::1"]}}"#;
        std::fs::write(data.config_file(), written).unwrap();
        let config = MasterConfig::load(&data, None).unwrap();
        assert_eq!(config.listen.port(), 8100);
        assert!(config.nodes.allow_unsigned.covers("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!config.nodes.allow_unsigned.covers("192.168.0.1".parse().unwrap()));
        assert_eq!(std::fs::read_to_string(data.config_file()).unwrap(), written);
    }

    #[test]
    fn bad_values_are_named_by_their_path() {
        for (text, field) in [
            (json!({ "port": 0 }), "port"),
            (json!({ "listenAddress": "localhost" }), "listenAddress"),
            (json!({ "nodes": { "allowUnsigned": "yes" } }), "nodes.allowUnsigned"),
            (json!({ "nodes": { "allowUnsigned": ["10.0.0.0/99"] } }), "nodes.allowUnsigned"),
            (json!({ "metrics": { "allow": "all" } }), "metrics.allow"),
            (json!({ "nodes": { "probe": 1 } }), "nodes.probe"),
            (json!({ "meetings": { "readyTimeoutSeconds": 0 } }), "meetings.readyTimeoutSeconds"),
            (json!({ "meetings": { "settleSeconds": -1 } }), "meetings.settleSeconds"),
            (json!({ "logging": { "level": "LOUD" } }), "logging.level"),
            (json!({ "logging": { "maxFileSize": 1 } }), "logging.maxFileSize"),
        ] {
            assert_eq!(checked(&text).unwrap_err().field, field, "{text}");
        }
    }
}
