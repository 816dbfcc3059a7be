//! What our nodes tell beyond the plain contract, and what a master says of its nodes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ContentHash;

/// Sent with registration and heartbeat under the key `posthouse`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeExtension {
    /// Version of the program.
    pub version: String,
    /// Random id of this process: two processes with one node id differ in it.
    pub instance: String,
    /// Seconds between two heartbeats.
    pub heartbeat_interval_seconds: u64,
    /// Host name and operating system, CPU, memory, disk.
    #[serde(default)]
    pub system: SystemFacts,
    /// Load at this moment.
    #[serde(default)]
    pub load: NodeLoad,
    /// Milliseconds by which this machine's clock is behind the master's (negative: ahead); absent while unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_offset_ms: Option<i64>,
    /// Packages held, verified.
    #[serde(default)]
    pub held: Vec<HeldPackage>,
    /// Packages being fetched.
    #[serde(default)]
    pub fetching: Vec<FetchProgress>,
}

/// What the machine is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SystemFacts {
    /// Host name.
    pub host_name: String,
    /// Operating system and its version.
    pub operating_system: String,
    /// Logical processors.
    pub processors: u32,
    /// Bytes of memory.
    pub memory_total_bytes: u64,
    /// Bytes of the volume that holds the packages.
    pub volume_total_bytes: u64,
}

/// How busy it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeLoad {
    /// Percent of all processors together, 0 to 100.
    pub processor_percent: f32,
    /// Bytes of memory in use on the machine.
    pub memory_used_bytes: u64,
    /// Bytes free on the volume that holds the packages.
    pub volume_free_bytes: u64,
    /// Bytes of all packages.
    pub storage_used_bytes: u64,
    /// Limit of the above.
    pub storage_limit_bytes: u64,
    /// Bytes a second served since the last heartbeat.
    pub sent_bytes_per_second: f64,
    /// Bytes a second fetched since the last heartbeat.
    pub received_bytes_per_second: f64,
    /// Downloads a second begun since the last heartbeat.
    pub downloads_per_second: f64,
    /// Downloads under way.
    pub active_downloads: u32,
}

/// A package that was verified and is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeldPackage {
    /// Meeting id.
    pub meeting_id: String,
    /// Version as the master numbered it; 0 when it came from an older master.
    pub version: u64,
    /// BLAKE3 of the package.
    pub hash: ContentHash,
    /// Bytes.
    pub size_bytes: u64,
}

/// A package being fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FetchProgress {
    /// Meeting id.
    pub meeting_id: String,
    /// Version.
    pub version: u64,
    /// Verified bytes so far.
    pub done_bytes: u64,
    /// Bytes in all, 0 while unknown.
    pub total_bytes: u64,
}

/// How a node and its master speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// No master is set: the node waits to be joined.
    NotJoined,
    /// The plain contract of the deployed programs: nothing is signed.
    Plain,
    /// Joined: every request and answer is signed.
    Signed,
}

/// Under `posthouse` in a node's `GET /api/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeDetail {
    /// Version of the program.
    pub version: String,
    /// Random id of this process.
    pub instance: String,
    /// How it speaks with its master.
    pub trust: Trust,
    /// What is wrong with the connection to the master, for people; absent when nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Milliseconds by which this machine's clock is behind the master's (negative: ahead); known from signed answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_offset_ms: Option<i64>,
    /// What is wrong with the configuration file, when its last edit was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_problem: Option<String>,
    /// Packages being fetched.
    pub fetching: Vec<FetchProgress>,
    /// Packages held, verified.
    pub held: Vec<HeldPackage>,
    /// Background tasks.
    pub tasks: Vec<TaskView>,
}

/// A supervised background task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskView {
    /// Name, such as `heartbeat`.
    pub name: String,
    /// Whether it runs now (false: ended or waiting to be restarted).
    pub running: bool,
    /// How often its unit of work was done.
    pub completed: u64,
    /// How often it failed or panicked.
    pub failed: u64,
    /// The last failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Unix seconds of the next planned run, when there is a plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_run: Option<f64>,
}

/// What an administrator decided about a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// Takes downloads.
    #[default]
    Enabled,
    /// Keeps its packages and finishes downloads, gets no new ones.
    Draining,
    /// Gets nothing, is not told of meetings.
    Disabled,
}

/// Body of `PATCH /api/v1/nodes/{id}`; an absent field stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NodePatch {
    /// Name to show, at most 100 characters; empty removes it.
    #[serde(default)]
    pub name: Option<String>,
    /// Description, at most 1000 characters; empty removes it.
    #[serde(default)]
    pub description: Option<String>,
    /// Share of the downloads, 1 to 1000.
    #[serde(default)]
    pub weight: Option<u32>,
    /// Whether it takes downloads.
    #[serde(default)]
    pub state: Option<NodeState>,
}

/// Whether the master reached a node at the address that it advertises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Reachability {
    /// Not tried yet.
    Unknown,
    /// Probing is switched off.
    NotProbed,
    /// It answered as itself.
    Reached,
    /// It did not.
    Failed {
        /// Why.
        cause: ProbeFailure,
        /// For people: what happened and what to do.
        detail: String,
    },
}

/// The closed set of reasons why a probe fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProbeFailure {
    /// Nothing listens there.
    Refused,
    /// No answer in time: a firewall as a rule.
    TimedOut,
    /// The name or network is unknown.
    Unroutable,
    /// Something answers, but not a node.
    NotANode,
    /// A node answers, but another one.
    AnotherNode,
    /// Its signature does not match its secret.
    WrongSecret,
    /// Its clock is too far off.
    ClockOff,
}

/// A node as its master tells it to an administrator (`GET /api/v1/nodes`, `GET /api/v1/nodes/{id}`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeDetailView {
    /// Node id.
    pub node_id: String,
    /// Name to show.
    pub name: String,
    /// Description.
    pub description: String,
    /// Share of the downloads.
    pub weight: u32,
    /// The administrator's decision.
    pub state: NodeState,
    /// Address as advertised, empty before it was ever seen.
    pub address: String,
    /// Whether it is registered and its heartbeats arrive.
    pub online: bool,
    /// Whether it has a secret.
    pub joined: bool,
    /// Whether its live connection is up.
    pub live: bool,
    /// Unix seconds of its last sign of life, 0 when never.
    pub last_seen: f64,
    /// Unix seconds at which it registered, 0 when it is not registered.
    pub registered_at: f64,
    /// Whether the master reached it.
    pub reachability: Reachability,
    /// For each meeting in progress why it gets no downloads; empty when it gets all.
    pub not_chosen: Vec<NotChosen>,
    /// What it said of itself last; absent for Python nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported: Option<NodeExtension>,
}

/// Why a node gets no downloads of a meeting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NotChosen {
    /// Meeting id.
    pub meeting_id: String,
    /// Why.
    pub cause: NotChosenCause,
}

/// The closed set of reasons why a node gets no downloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NotChosenCause {
    /// Not registered, or silent.
    Offline,
    /// Draining.
    Draining,
    /// Disabled.
    Disabled,
    /// The master never reached it.
    NotReached,
    /// It does not hold this version, verified.
    NotSynced,
}

/// A point of a node's history: averages over the step of its series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HistoryPoint {
    /// Unix seconds at the beginning of the step.
    pub time: i64,
    /// Percent.
    pub processor_percent: f32,
    /// Bytes.
    pub memory_used_bytes: u64,
    /// Bytes.
    pub storage_used_bytes: u64,
    /// Bytes a second.
    pub sent_bytes_per_second: f64,
    /// Downloads a second.
    pub downloads_per_second: f64,
}
