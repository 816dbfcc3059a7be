//! Paths that both a client and a server of ours name. A path only one side writes stands in that side's router.

/// `GET`: the node's plain status.
pub const NODE_STATUS: &str = "/api/status";
/// `POST` [`crate::legacy::RegisterRequest`].
pub const REGISTER: &str = "/api/v1/nodes/register";
/// `POST` [`crate::legacy::UnregisterRequest`].
pub const UNREGISTER: &str = "/api/v1/nodes/unregister";
/// `POST` [`crate::legacy::HeartbeatRequest`].
pub const HEARTBEAT: &str = "/api/v1/nodes/heartbeat";
/// `GET`: the long-lived connection, a stream of [`crate::live::LiveEvent`].
pub const LIVE: &str = "/api/v1/nodes/live";
/// `POST` [`crate::live::ChallengeAnswer`].
pub const LIVE_ANSWER: &str = "/api/v1/nodes/live/answer";
/// `POST` [`crate::join::JoinHello`].
pub const JOIN_HELLO: &str = "/api/v1/nodes/join/hello";
/// `POST` [`crate::join::JoinConfirm`].
pub const JOIN_CONFIRM: &str = "/api/v1/nodes/join/confirm";
/// `GET`: [`crate::legacy::NodeView`], what nodes poll.
pub const STATUS_NODE: &str = "/api/v1/meetings/status/node";

/// `GET`: [`crate::package::DescribedPackage`] of the newest version.
#[must_use]
pub fn package_description(meeting: &crate::MeetingId) -> String {
    format!("/api/v1/meetings/{meeting}/package-description")
}

/// `GET`: the bytes from the master, never a redirect. Our nodes add `?version=N`.
#[must_use]
pub fn download_package_direct(meeting: &crate::MeetingId) -> String {
    format!("/api/v1/meetings/{meeting}/download-package-direct")
}

/// `GET`: the bytes from a node, or a redirect to one from the master.
#[must_use]
pub fn download_package(meeting: &crate::MeetingId) -> String {
    format!("/api/v1/meetings/{meeting}/download-package")
}
