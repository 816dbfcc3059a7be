//! The shapes of the deployed meeting system (Python master, Python node, tablet client). Names and texts are
//! literal; unknown fields are ignored on input, and ours are added where marked.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::node::NodeExtension;

/// `{"status":"success","message":"…"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Success {
    /// Always `success`.
    pub status: String,
    /// A sentence.
    pub message: String,
}

impl Success {
    /// An answer with this sentence.
    #[must_use]
    pub fn with(message: impl Into<String>) -> Self {
        Self { status: "success".to_owned(), message: message.into() }
    }
}

/// Id and title, as nodes and masters exchange them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MeetingTitle {
    /// Meeting id.
    pub id: String,
    /// Title.
    #[serde(default)]
    pub title: String,
}

/// Body of `POST /api/v1/nodes/register`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RegisterRequest {
    /// Node id.
    #[serde(default)]
    pub node_id: String,
    /// `ip:port` at which clients reach the node.
    #[serde(default)]
    pub address: String,
    /// `online`.
    #[serde(default)]
    pub status: String,
    /// Ours: absent from Python nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posthouse: Option<NodeExtension>,
}

/// Body of `POST /api/v1/nodes/unregister`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnregisterRequest {
    /// Node id.
    #[serde(default)]
    pub node_id: String,
}

/// Body of `POST /api/v1/nodes/heartbeat`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HeartbeatRequest {
    /// Node id.
    #[serde(default)]
    pub node_id: String,
    /// `ip:port`.
    #[serde(default)]
    pub address: String,
    /// `online`.
    #[serde(default)]
    pub status: String,
    /// Meetings the node believes active.
    #[serde(default)]
    pub active_meetings: Vec<MeetingTitle>,
    /// Meetings whose package it holds.
    #[serde(default)]
    pub synced_meetings: Vec<String>,
    /// Ours: absent from Python nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posthouse: Option<NodeExtension>,
}

/// Answer to a heartbeat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HeartbeatAnswer {
    /// `success`.
    pub status: String,
    /// Unix seconds by the master's clock.
    pub timestamp: f64,
}

/// Answer of `GET /api/v1/meetings/status/node`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeView {
    /// The change token.
    #[serde(default)]
    pub id: String,
    /// Meetings in progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_meetings: Option<Vec<ActivePackage>>,
    /// Very old masters: the one meeting in progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_meeting: Option<String>,
    /// Unix seconds.
    #[serde(default)]
    pub timestamp: f64,
    /// Ours: [`crate::PROTOCOL_VERSION`]. Absent: an older master.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
}

/// A meeting in progress, with ours added: which package nodes shall hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ActivePackage {
    /// Meeting id.
    pub id: String,
    /// Title.
    #[serde(default)]
    pub title: String,
    /// Ours: version of the package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Ours: BLAKE3 of the package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<crate::ContentHash>,
    /// Ours: size of the package in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
}

/// An element of `GET /api/v1/nodes/list`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ListedNode {
    /// Node id.
    pub node_id: String,
    /// `ip:port`.
    pub address: String,
    /// `online` or `offline`.
    pub status: String,
    /// Unix seconds.
    pub last_seen: f64,
    /// Seconds since it registered.
    pub uptime: f64,
    /// Titles joined by `, `; absent when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_meeting: Option<String>,
    /// Absent when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_meetings: Option<Vec<MeetingTitle>>,
}

/// Answer of `GET /api/v1/nodes/available`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AvailableNodes {
    /// How many.
    pub count: usize,
    /// `ip:port` of each.
    pub nodes: Vec<String>,
}

/// Answer of `GET /api/v1/meetings/status/token`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// The change token, or `none` when no meeting is in progress.
    pub id: String,
    /// Meetings in progress.
    pub meetings: Vec<TokenMeeting>,
}

/// An element of [`TokenView`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenMeeting {
    /// Meeting id.
    pub id: String,
    /// Title.
    pub title: String,
    /// With a space in place of `T`.
    pub time: String,
}

/// An element of `GET /api/v1/meetings/active/meetings`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ActiveMeeting {
    /// Meeting id.
    pub id: String,
    /// Title.
    pub title: String,
    /// With a space in place of `T`.
    pub time: String,
    /// `进行中`.
    pub status: String,
    /// Path at which the master serves the package.
    pub package_url: String,
}

/// An element of `GET /api/v1/meetings/{id}/download-nodes-info`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DownloadNode {
    /// `host:port`.
    pub ip: String,
    /// Where to download.
    pub download_url: String,
}

/// Answer of `GET /api/v1/meetings/{id}/data`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MeetingData {
    /// The change token, not the meeting's id.
    pub id: String,
    /// Meeting id.
    pub meeting_id: String,
    /// Title.
    pub title: String,
    /// Introduction.
    pub intro: Option<String>,
    /// With a space in place of `T`.
    pub time: String,
    /// `进行中`.
    pub status: String,
    /// Agenda.
    pub agenda_items: Vec<DataAgendaItem>,
    /// Path at which the master serves the package.
    pub package_url: String,
}

/// An agenda item in [`MeetingData`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DataAgendaItem {
    /// Position, from 1.
    pub position: i64,
    /// Title.
    pub title: String,
    /// Files.
    pub files: Vec<DataFile>,
}

/// A file in [`MeetingData`]: found in the package as `<agenda_folder>/<temp_id>.<extension>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DataFile {
    /// Name without `.pdf`.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Name without `.pdf`.
    pub display_name: String,
    /// Id of the file.
    pub temp_id: String,
    /// Meeting id.
    pub meeting_id: String,
    /// `agenda_<position>`.
    pub agenda_folder: String,
    /// Pages of a PDF; null for anything else.
    pub total_pages: Option<u32>,
}

/// Answer of `GET /api/v1/meetings/{id}/package`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PackageView {
    /// Meeting id.
    pub id: String,
    /// Title.
    pub title: String,
    /// As stored, with `T`.
    pub time: String,
    /// Status text.
    pub status: String,
    /// Agenda.
    pub agenda_items: Vec<PackageAgendaItem>,
}

/// An agenda item in [`PackageView`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PackageAgendaItem {
    /// Position, from 1.
    pub position: i64,
    /// Title.
    pub title: String,
    /// Who reports.
    pub reporter: Option<String>,
    /// How long.
    pub duration_minutes: Option<i64>,
    /// Files.
    pub files: Vec<PackageFileView>,
}

/// A file in [`PackageView`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PackageFileView {
    /// Name with extension.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// `1.87 KB`.
    pub formatted_size: String,
    /// Path at which the master serves the file.
    pub url: String,
    /// Extension, `pdf` as a rule.
    #[serde(rename = "type")]
    pub kind: String,
}

/// Body of `POST /api/v1/meetings/` and `PUT /api/v1/meetings/{id}`. Absent fields of a `PUT` stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MeetingInput {
    /// Meeting id.
    #[serde(default)]
    pub id: Option<String>,
    /// Title.
    #[serde(default)]
    pub title: Option<String>,
    /// Introduction.
    #[serde(default)]
    pub intro: Option<String>,
    /// `2026-11-20T09:00`.
    #[serde(default)]
    pub time: Option<String>,
    /// Status text.
    #[serde(default)]
    pub status: Option<String>,
    /// Agenda items.
    #[serde(default, alias = "agenda_items")]
    pub part: Option<Vec<AgendaItemInput>>,
}

/// An agenda item of [`MeetingInput`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgendaItemInput {
    /// Title.
    #[serde(default)]
    pub title: String,
    /// Position, from 1; its place in the list when absent.
    #[serde(default)]
    pub position: Option<i64>,
    /// Who reports.
    #[serde(default)]
    pub reporter: Option<String>,
    /// How long.
    #[serde(default)]
    pub duration_minutes: Option<i64>,
    /// Files that were uploaded before.
    #[serde(default)]
    pub files: Option<Vec<FileInput>>,
}

/// A file of [`AgendaItemInput`]: only `temp_id` is believed, and only one that was handed out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileInput {
    /// Id that the upload answered.
    #[serde(default)]
    pub temp_id: Option<String>,
    /// A new name to show, if any.
    #[serde(default)]
    pub name: Option<String>,
    /// A new name to show, if any.
    #[serde(default)]
    pub display_name: Option<String>,
}

/// A meeting as the administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MeetingView {
    /// Meeting id.
    pub id: String,
    /// Title.
    pub title: String,
    /// Introduction.
    pub intro: Option<String>,
    /// As stored, with `T`.
    pub time: String,
    /// Status text.
    pub status: String,
    /// Agenda.
    pub agenda_items: Vec<AgendaItemView>,
}

/// An agenda item in [`MeetingView`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgendaItemView {
    /// Title.
    pub title: String,
    /// Position, from 1.
    pub position: i64,
    /// Meeting id.
    pub meeting_id: String,
    /// Files.
    pub files: Vec<FileView>,
    /// Always null; deployed clients expect the key.
    pub pages: Option<u32>,
    /// Who reports.
    pub reporter: Option<String>,
    /// How long.
    pub duration_minutes: Option<i64>,
}

/// A file in [`AgendaItemView`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileView {
    /// Name with extension.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Path at which the master serves the file.
    pub url: String,
    /// Name with extension.
    pub display_name: String,
    /// Id of the file.
    pub temp_id: String,
    /// Meeting id.
    pub meeting_id: String,
    /// `agenda_<position>`.
    pub agenda_folder: String,
    /// Pages of a PDF; null for anything else.
    pub total_pages: Option<u32>,
}

/// A file just uploaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UploadedFile {
    /// Name with extension.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Path at which the master serves the file.
    pub url: String,
    /// Name with extension.
    pub display_name: String,
    /// Id of the file.
    pub temp_id: String,
}

/// Answer of both upload routes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UploadAnswer {
    /// `success`.
    pub status: String,
    /// The files, in the order they were sent.
    pub uploaded_files: Vec<UploadedFile>,
}

/// Body of `PUT /api/v1/meetings/{id}/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatusInput {
    /// Status text.
    pub status: String,
}

/// What a node stores of a meeting, in [`NodeStatus`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeMeeting {
    /// Meeting id.
    pub id: String,
    /// Title.
    pub title: String,
    /// Unix seconds.
    pub sync_time: f64,
    /// Bytes of the package.
    pub size: u64,
    /// Always 1: the package.
    pub file_count: u32,
    /// `active` or `synced`.
    pub status: String,
}

/// Answer of a node's `GET /api/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeStatus {
    /// Node id.
    pub node_id: String,
    /// Whether the service runs.
    pub running: bool,
    /// Whether the master answers.
    pub connected: bool,
    /// `http://host:port`, empty while the node has no master.
    pub main_server: String,
    /// Host at which clients reach the node.
    pub node_ip: String,
    /// Port at which clients reach the node.
    pub node_port: u16,
    /// Unix seconds.
    pub start_time: f64,
    /// Unix seconds, null before the first sync.
    pub last_sync: Option<f64>,
    /// `未同步`, `同步中`, `同步成功`, `同步失败: <why>` or `同步出错: <why>`.
    pub sync_status: String,
    /// Meetings whose package is here.
    pub active_meetings: Vec<NodeMeeting>,
    /// How many.
    pub meeting_count: usize,
    /// Sum of the bytes of the packages.
    pub storage_usage: u64,
    /// Ours: absent from Python nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posthouse: Option<crate::node::NodeDetail>,
}
