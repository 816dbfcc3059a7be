//! Node configuration as it is edited and exchanged: keys, defaults and types of the deployed node's
//! `node_config.json`. This is raw input; the node's own crate turns it into a valid configuration.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The whole file. Keys it does not know are kept in `other`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeConfigFile {
    /// Host of the master. The seed's default contacts nobody: see `joined`.
    pub main_server_ip: String,
    /// Port of the master, 1 to 65535.
    pub main_server_port: i64,
    /// Seconds between two polls, 10 to 3600.
    pub sync_interval: i64,
    /// Id of the node, made at the first start.
    pub node_id: String,
    /// Port on which the node listens.
    pub node_port: i64,
    /// Address at which clients reach it, when `usePublicAddress` is set.
    pub public_ip: Option<String>,
    /// Port at which clients reach it; null: `nodePort`.
    pub public_port: Option<i64>,
    /// Whether `publicIp` and `publicPort` are advertised.
    pub use_public_address: bool,
    /// Storage.
    pub storage: StorageSection,
    /// Network.
    pub network: NetworkSection,
    /// Logging.
    pub logging: LoggingSection,
    /// Heartbeat.
    pub heartbeat: HeartbeatSection,
    /// Clean-up.
    pub cleanup: CleanupSection,
    /// Keys of other programs or later versions.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

impl Default for NodeConfigFile {
    fn default() -> Self {
        Self {
            main_server_ip: "192.168.110.10".to_owned(),
            main_server_port: 80,
            sync_interval: 10,
            node_id: String::new(),
            node_port: 8001,
            public_ip: None,
            public_port: None,
            use_public_address: false,
            storage: StorageSection::default(),
            network: NetworkSection::default(),
            logging: LoggingSection::default(),
            heartbeat: HeartbeatSection::default(),
            cleanup: CleanupSection::default(),
            other: serde_json::Map::new(),
        }
    }
}

/// `storage`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageSection {
    /// Folder of the packages; relative to the data folder.
    pub path: String,
    /// Limit in bytes.
    pub max_size: i64,
    /// Share of `maxSize` above which clean-up begins, above 0 to 1.
    pub cleanup_threshold: f64,
    /// Whether anything is dropped to make room.
    pub auto_cleanup: bool,
    /// Keys of later versions.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

impl Default for StorageSection {
    fn default() -> Self {
        Self {
            path: "./storage".to_owned(),
            max_size: 10_737_418_240,
            cleanup_threshold: 0.9,
            auto_cleanup: true,
            other: serde_json::Map::new(),
        }
    }
}

/// `network`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkSection {
    /// Packages fetched at a time.
    pub max_concurrent_downloads: i64,
    /// Seconds for one download, after which it is interrupted and resumed.
    pub download_timeout: i64,
    /// Seconds to connect.
    pub connection_timeout: i64,
    /// Attempts before a sync counts as failed.
    pub retry_count: i64,
    /// Seconds between two attempts.
    pub retry_delay: i64,
    /// Ours: whether downloads need the master's signed link. Written only when it was set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_signed_links: Option<bool>,
    /// Ours: whether the control routes demand the management password from this machine too, for a node behind a
    /// reverse proxy. Written only when it was set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_local_password: Option<bool>,
    /// Keys of later versions.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

impl Default for NetworkSection {
    fn default() -> Self {
        Self {
            max_concurrent_downloads: 3,
            download_timeout: 300,
            connection_timeout: 10,
            retry_count: 3,
            retry_delay: 5,
            require_signed_links: None,
            require_local_password: None,
            other: serde_json::Map::new(),
        }
    }
}

/// `logging`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LoggingSection {
    /// `DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`.
    pub level: String,
    /// Whether a file is written.
    pub file_enabled: bool,
    /// Which; relative to the data folder.
    pub file_path: String,
    /// Bytes after which it is rotated.
    pub max_file_size: i64,
    /// Rotated files that are kept.
    pub backup_count: i64,
    /// Keys of later versions.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

impl Default for LoggingSection {
    fn default() -> Self {
        Self {
            level: "INFO".to_owned(),
            file_enabled: true,
            file_path: "./logs/node.log".to_owned(),
            max_file_size: 10_485_760,
            backup_count: 5,
            other: serde_json::Map::new(),
        }
    }
}

/// `heartbeat`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HeartbeatSection {
    /// Seconds between two heartbeats, 10 to 300.
    pub interval: i64,
    /// Seconds to wait for the answer to one.
    pub timeout: i64,
    /// Keys of later versions.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

impl Default for HeartbeatSection {
    fn default() -> Self {
        Self { interval: 10, timeout: 30, other: serde_json::Map::new() }
    }
}

/// `cleanup`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CleanupSection {
    /// Whether packages of meetings that are over are removed at all.
    pub enabled: bool,
    /// At the start of the service.
    pub clean_on_startup: bool,
    /// As soon as a meeting ends.
    pub clean_ended_meetings: bool,
    /// Keys of later versions.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

impl Default for CleanupSection {
    fn default() -> Self {
        Self { enabled: true, clean_on_startup: true, clean_ended_meetings: true, other: serde_json::Map::new() }
    }
}
