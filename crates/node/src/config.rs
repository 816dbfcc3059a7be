//! The node's valid configuration, made of the raw file (`posthouse_protocol::config`). Whatever is not valid is refused
//! by its path and the allowed range; nothing here touches the disk or the network.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use posthouse_protocol::config::{LoggingSection, NetworkSection, NodeConfigFile, StorageSection};
use posthouse_runtime::config_file::{Invalid, between};
use posthouse_runtime::logging::{LogSettings, level_from_name};
use posthouse_runtime::network::{host_and_port, is_host};
use posthouse_runtime::paths::DataDir;
use rust_i18n::t;

/// Longest node id, in characters: it travels in a header and stands in the master's lists.
const NODE_ID_MAX: usize = 128;
/// Levels as the seed names them.
const LEVELS: &str = "DEBUG, INFO, WARNING, ERROR, CRITICAL";

/// A configuration that can be run.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeConfig {
    /// Id under which the master knows this node.
    pub node_id: String,
    /// Where the master is; `None` while nobody chose one.
    pub master: Option<MasterAddress>,
    /// Time between two polls.
    pub sync_interval: Duration,
    /// Port to listen on.
    pub node_port: u16,
    /// Address to tell the master in place of the one found out.
    pub public: Option<PublicAddress>,
    /// The storage folder and its limits.
    pub storage: StorageConfig,
    /// How packages are fetched, and who may download.
    pub network: NetworkConfig,
    /// Level and file of the log.
    pub logging: LogSettings,
    /// Time between two heartbeats.
    pub heartbeat_interval: Duration,
    /// How long the answer to a heartbeat may take.
    pub heartbeat_timeout: Duration,
    /// Which packages go when their meeting is over.
    pub cleanup: CleanupConfig,
}

/// `host:port` of a master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterAddress {
    host: String,
    port: u16,
}

impl fmt::Display for MasterAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&host_and_port(&self.host, self.port))
    }
}

/// Where clients reach the node by the operator's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicAddress {
    /// Host name or address.
    pub host: String,
    /// `None`: the port it listens on.
    pub port: Option<u16>,
}

/// `storage`.
#[derive(Debug, Clone, PartialEq)]
pub struct StorageConfig {
    /// The folder, absolute.
    pub path: PathBuf,
    /// No more bytes of packages than this.
    pub max_size_bytes: u64,
    /// Share of the limit above which room is made.
    pub cleanup_threshold: f64,
    /// Whether anything is dropped to make room.
    pub auto_cleanup: bool,
}

impl StorageConfig {
    /// Bytes above which room is made.
    #[must_use]
    pub fn threshold_bytes(&self) -> u64 {
        // The share is at most 1, so the product fits.
        (self.max_size_bytes as f64 * self.cleanup_threshold) as u64
    }
}

/// `network`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkConfig {
    /// Packages fetched at a time.
    pub max_concurrent_downloads: usize,
    /// Time for one attempt at a package, after which it is interrupted and resumed.
    pub download_timeout: Duration,
    /// Time to connect.
    pub connection_timeout: Duration,
    /// Attempts before a sync counts as failed.
    pub retry_count: u32,
    /// Pause between two attempts.
    pub retry_delay: Duration,
    /// Whether a download needs the master's ticket.
    pub require_signed_links: bool,
    /// Whether the control routes demand the password from this machine too.
    pub require_local_password: bool,
}

/// `cleanup`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanupConfig {
    /// Whether packages of ended meetings are removed at all.
    pub enabled: bool,
    /// When the service starts.
    pub clean_on_startup: bool,
    /// As soon as the master says that a meeting ended.
    pub clean_ended_meetings: bool,
}

impl NodeConfig {
    /// Checks every key. `master_is_chosen`: whether somebody set the master's address, so that it may be contacted.
    pub fn from_file(raw: &NodeConfigFile, data: &DataDir, master_is_chosen: bool) -> Result<Self, Invalid> {
        let address = master_address(raw)?;
        let heartbeat = &raw.heartbeat;
        Ok(Self {
            node_id: node_id(&raw.node_id)?,
            master: master_is_chosen.then_some(address),
            sync_interval: seconds("syncInterval", raw.sync_interval, 10, 3600)?,
            node_port: port("nodePort", raw.node_port)?,
            public: public_address(raw)?,
            storage: storage(&raw.storage, data)?,
            network: network(&raw.network)?,
            logging: logging(&raw.logging, data)?,
            heartbeat_interval: seconds("heartbeat.interval", heartbeat.interval, 10, 300)?,
            heartbeat_timeout: seconds("heartbeat.timeout", heartbeat.timeout, 1, 300)?,
            cleanup: CleanupConfig {
                enabled: raw.cleanup.enabled,
                clean_on_startup: raw.cleanup.clean_on_startup,
                clean_ended_meetings: raw.cleanup.clean_ended_meetings,
            },
        })
    }

    /// Where to listen unless the command line says otherwise.
    #[must_use]
    pub fn listen_address(&self) -> SocketAddr {
        (Ipv4Addr::UNSPECIFIED, self.node_port).into()
    }
}

/// Whether two files name the same master.
pub(crate) fn same_master(one: &NodeConfigFile, other: &NodeConfigFile) -> bool {
    one.main_server_ip == other.main_server_ip && one.main_server_port == other.main_server_port
}

fn master_address(raw: &NodeConfigFile) -> Result<MasterAddress, Invalid> {
    Ok(MasterAddress {
        host: host("mainServerIp", &raw.main_server_ip)?,
        port: port("mainServerPort", raw.main_server_port)?,
    })
}

fn public_address(raw: &NodeConfigFile) -> Result<Option<PublicAddress>, Invalid> {
    let named = raw.public_ip.as_deref().filter(|text| !text.is_empty());
    let host = named.map(|text| host("publicIp", text)).transpose()?;
    let port = raw.public_port.map(|value| port("publicPort", value)).transpose()?;
    Ok(host.filter(|_| raw.use_public_address).map(|host| PublicAddress { host, port }))
}

fn storage(section: &StorageSection, data: &DataDir) -> Result<StorageConfig, Invalid> {
    let threshold = section.cleanup_threshold;
    if !(threshold > 0.0 && threshold <= 1.0) {
        return Err(Invalid::new("storage.cleanupThreshold", t!("config.threshold", value = threshold)));
    }
    Ok(StorageConfig {
        path: data.resolve(not_empty("storage.path", &section.path)?),
        max_size_bytes: between("storage.maxSize", section.max_size, 1, i64::MAX)?.unsigned_abs(),
        cleanup_threshold: threshold,
        auto_cleanup: section.auto_cleanup,
    })
}

fn network(section: &NetworkSection) -> Result<NetworkConfig, Invalid> {
    let at_a_time = between("network.maxConcurrentDownloads", section.max_concurrent_downloads, 1, 100)?;
    let attempts = between("network.retryCount", section.retry_count, 1, 100)?;
    Ok(NetworkConfig {
        max_concurrent_downloads: at_a_time as usize,
        download_timeout: seconds("network.downloadTimeout", section.download_timeout, 1, 86_400)?,
        connection_timeout: seconds("network.connectionTimeout", section.connection_timeout, 1, 300)?,
        retry_count: attempts as u32,
        retry_delay: seconds("network.retryDelay", section.retry_delay, 0, 3600)?,
        require_signed_links: section.require_signed_links.unwrap_or(false),
        require_local_password: section.require_local_password.unwrap_or(false),
    })
}

fn logging(section: &LoggingSection, data: &DataDir) -> Result<LogSettings, Invalid> {
    let level = level_from_name(&section.level).ok_or_else(|| {
        Invalid::new("logging.level", t!("config.must_be_one_of", choices = LEVELS, value = section.level))
    })?;
    let path = not_empty("logging.filePath", &section.file_path)?;
    Ok(LogSettings {
        level,
        file: section.file_enabled.then(|| data.resolve(path)),
        max_file_bytes: between("logging.maxFileSize", section.max_file_size, 1000, 1 << 40)? as usize,
        backups: between("logging.backupCount", section.backup_count, 0, 1000)? as usize,
    })
}

fn node_id(text: &str) -> Result<String, Invalid> {
    if text.is_empty() || text.chars().count() > NODE_ID_MAX || text.chars().any(char::is_control) {
        return Err(Invalid::new("nodeId", t!("config.node_id", most = NODE_ID_MAX)));
    }
    Ok(text.to_owned())
}

fn host(field: &str, text: &str) -> Result<String, Invalid> {
    let text = text.trim();
    if is_host(text) { Ok(text.to_owned()) } else { Err(Invalid::new(field, t!("config.not_a_host", value = text))) }
}

fn port(field: &str, value: i64) -> Result<u16, Invalid> {
    between(field, value, 1, 65_535).map(|value| value as u16)
}

fn seconds(field: &str, value: i64, low: i64, high: i64) -> Result<Duration, Invalid> {
    between(field, value, low, high).map(|value| Duration::from_secs(value.unsigned_abs()))
}

fn not_empty<'a>(field: &str, text: &'a str) -> Result<&'a str, Invalid> {
    if text.trim().is_empty() { Err(Invalid::new(field, t!("config.must_not_be_empty"))) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use posthouse_runtime::config_file;
    use posthouse_runtime::paths::Role;
    use serde_json::json;

    use super::*;

    fn read(overlay: serde_json::Value) -> Result<NodeConfig, Invalid> {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(Some(folder.path()), Role::Node).unwrap();
        let mut raw: NodeConfigFile = config_file::from_value(overlay).unwrap();
        if raw.node_id.is_empty() {
            raw.node_id = "node-1".to_owned();
        }
        NodeConfig::from_file(&raw, &data, true)
    }

    #[test]
    fn the_seeds_defaults_are_valid() {
        let config = read(json!({})).unwrap();
        assert_eq!(config.master.as_ref().unwrap().to_string(), "192.168.110.10:80");
        assert_eq!(config.storage.threshold_bytes(), 9_663_676_416);
        assert_eq!(config.listen_address().port(), 8001);
        assert!(config.public.is_none() && config.storage.path.is_absolute());
    }

    #[test]
    fn each_key_is_refused_by_its_path() {
        for (overlay, field) in [
            (json!({"mainServerPort": 0}), "mainServerPort"),
            (json!({"mainServerPort": 65536}), "mainServerPort"),
            (json!({"mainServerIp": "http://x"}), "mainServerIp"),
            (json!({"syncInterval": 9}), "syncInterval"),
            (json!({"syncInterval": 3601}), "syncInterval"),
            (json!({"nodePort": 0}), "nodePort"),
            (json!({"nodeId": "a\nb"}), "nodeId"),
            (json!({"publicIp": "a b"}), "publicIp"),
            (json!({"publicPort": -1}), "publicPort"),
            (json!({"storage": {"path": " "}}), "storage.path"),
            (json!({"storage": {"maxSize": 0}}), "storage.maxSize"),
            (json!({"storage": {"cleanupThreshold": 0.0}}), "storage.cleanupThreshold"),
            (json!({"storage": {"cleanupThreshold": 1.1}}), "storage.cleanupThreshold"),
            (json!({"network": {"maxConcurrentDownloads": 101}}), "network.maxConcurrentDownloads"),
            (json!({"network": {"downloadTimeout": 0}}), "network.downloadTimeout"),
            (json!({"network": {"connectionTimeout": 0}}), "network.connectionTimeout"),
            (json!({"network": {"retryCount": 0}}), "network.retryCount"),
            (json!({"network": {"retryDelay": -1}}), "network.retryDelay"),
            (json!({"logging": {"level": "LOUD"}}), "logging.level"),
            (json!({"logging": {"filePath": ""}}), "logging.filePath"),
            (json!({"logging": {"maxFileSize": 1}}), "logging.maxFileSize"),
            (json!({"logging": {"backupCount": -1}}), "logging.backupCount"),
            (json!({"heartbeat": {"interval": 301}}), "heartbeat.interval"),
            (json!({"heartbeat": {"timeout": 0}}), "heartbeat.timeout"),
        ] {
            assert_eq!(read(overlay.clone()).unwrap_err().field, field, "{overlay}");
        }
    }

    #[test]
    fn a_public_address_counts_only_when_it_is_switched_on() {
        assert_eq!(read(json!({"publicIp": "10.1.2.3"})).unwrap().public, None);
        assert_eq!(read(json!({"publicIp": "", "usePublicAddress": true})).unwrap().public, None);
        let public = read(json!({"publicIp": "10.1.2.3", "publicPort": 80, "usePublicAddress": true})).unwrap().public;
        assert_eq!(public, Some(PublicAddress { host: "10.1.2.3".to_owned(), port: Some(80) }));
    }
}
