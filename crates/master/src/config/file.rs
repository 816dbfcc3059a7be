//! `master_config.json` as it stands in the file. Keys of later versions are kept.

use posthouse_protocol::config::LoggingSection;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MasterConfigFile {
    /// IP address to listen on; `0.0.0.0` for all of this machine.
    pub listen_address: String,
    /// Port to listen on, 1 to 65535.
    pub port: i64,
    /// How nodes are dealt with.
    pub nodes: NodesSection,
    /// How meetings start.
    pub meetings: MeetingsSection,
    /// Who may read the metrics.
    pub metrics: MetricsSection,
    /// Logging, as in the node's file.
    pub logging: LoggingSection,
    /// Keys of later versions.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Default for MasterConfigFile {
    fn default() -> Self {
        Self {
            listen_address: "0.0.0.0".to_owned(),
            port: 8000,
            nodes: NodesSection::default(),
            meetings: MeetingsSection::default(),
            metrics: MetricsSection::default(),
            logging: LoggingSection { file_path: "./logs/master.log".to_owned(), ..LoggingSection::default() },
            other: Map::new(),
        }
    }
}

/// `nodes`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodesSection {
    /// `true`, `false` or a list of networks from which nodes may come without signatures.
    pub allow_unsigned: Value,
    /// Whether a node must be reached at its address before tablets are sent there.
    pub probe: bool,
    /// Keys of later versions.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Default for NodesSection {
    fn default() -> Self {
        Self { allow_unsigned: Value::Bool(false), probe: true, other: Map::new() }
    }
}

/// `meetings`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MeetingsSection {
    /// Seconds for which nodes are waited for at most, 1 to 3600.
    pub ready_timeout_seconds: i64,
    /// Seconds between the nodes being ready and the change token moving, 0 to 60.
    pub settle_seconds: i64,
    /// Keys of later versions.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Default for MeetingsSection {
    fn default() -> Self {
        Self { ready_timeout_seconds: 300, settle_seconds: 3, other: Map::new() }
    }
}

/// `metrics`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MetricsSection {
    /// `true`, `false` or a list of networks from which `/metrics` is read without a login. This machine always may.
    pub allow: Value,
    /// Keys of later versions.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Default for MetricsSection {
    fn default() -> Self {
        Self { allow: Value::Bool(false), other: Map::new() }
    }
}
