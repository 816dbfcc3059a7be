//! Events: what happened, to which meeting and node, and why.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One event. Ids count from 1 without gaps, so that a client knows when it lost one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Gapless id.
    pub id: u64,
    /// Unix time in seconds.
    pub time: f64,
    /// What happened.
    pub kind: EventKind,
    /// The meeting concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meeting_id: Option<String>,
    /// The node concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// Why, or further facts, for people; empty when the kind says all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// The closed set of events. A user interface words them in its own language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The program started.
    Started,
    /// The program is stopping.
    Stopping,
    /// A meeting was created.
    MeetingCreated,
    /// Its data changed.
    MeetingUpdated,
    /// It was started: its package exists, nodes are fetching it.
    MeetingStarting,
    /// Its nodes are ready and the change token moved.
    MeetingReady,
    /// It ended.
    MeetingEnded,
    /// It was deleted.
    MeetingDeleted,
    /// A new version of a package was built.
    PackageBuilt,
    /// Building failed.
    PackageFailed,
    /// A node joined by a code.
    NodeJoined,
    /// A node came online.
    NodeOnline,
    /// A node was lost.
    NodeLost,
    /// A node said goodbye.
    NodeUnregistered,
    /// A node was refused.
    NodeRefused,
    /// The master reached the node at its address.
    NodeReachable,
    /// The master could not.
    NodeUnreachable,
    /// An administrator changed a node.
    NodeChanged,
    /// A node was removed.
    NodeRemoved,
    /// A package is complete and verified.
    PackageSynced,
    /// Fetching a package failed.
    SyncFailed,
    /// A package on disk was damaged and will be fetched again.
    PackageDamaged,
    /// A package was removed.
    PackageRemoved,
    /// There is not enough room.
    StorageFull,
    /// The node reached its master.
    MasterConnected,
    /// The node lost its master.
    MasterLost,
    /// The configuration changed.
    ConfigChanged,
    /// A change of the configuration file was refused.
    ConfigRefused,
    /// A join code was made.
    JoinCodeCreated,
    /// A join code was revoked.
    JoinCodeRevoked,
    /// Somebody signed in.
    SignedIn,
    /// Somebody failed to.
    SignInFailed,
}

/// Query of the event list: `GET /api/v1/events?after=ID&limit=N`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventQuery {
    /// Only events with a larger id.
    #[serde(default)]
    pub after: Option<u64>,
    /// At most so many, 100 when absent, 1000 at most.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// A page of events in ascending order.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EventPage {
    /// The events.
    pub events: Vec<Event>,
    /// Id of the newest event there is, 0 when none.
    pub last_id: u64,
}
