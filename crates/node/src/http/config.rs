//! The configuration by HTTP, with the checks and words of the deployed node.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use http::StatusCode;
use posthouse_protocol::ErrorCode;
use posthouse_protocol::config::NodeConfigFile;
use posthouse_protocol::legacy::Success;
use posthouse_runtime::config_file;
use posthouse_runtime::http::{ApiError, ApiJson};
use serde_json::{Map, Value, json};

use super::access::Control;
use crate::reconfigure::{self, EditError, Editor};
use crate::state::Node;

const REQUIRED: [&str; 3] = ["mainServerIp", "mainServerPort", "syncInterval"];

/// The configuration as it stands in the file; it holds no secrets.
#[utoipa::path(get, path = "/api/config", responses((status = 200, body = NodeConfigFile)), tag = "control")]
pub(super) async fn show(_: Control, State(node): State<Node>) -> Json<NodeConfigFile> {
    Json(node.settings.raw())
}

/// Changes it. Keys that are not named stay as they are; `nodeId` always does.
#[utoipa::path(
    post,
    path = "/api/config",
    request_body = NodeConfigFile,
    responses((status = 200, body = Success), (status = 400), (status = 401), (status = 403), (status = 500)),
    tag = "control"
)]
pub(super) async fn change(
    _: Control,
    State(node): State<Node>,
    ApiJson(mut wanted): ApiJson<Map<String, Value>>,
) -> Result<Json<Success>, ApiError> {
    for name in REQUIRED {
        if wanted.get(name).is_none_or(Value::is_null) {
            return Err(ApiError::invalid(format!("缺少必要字段: {name}")));
        }
    }
    let lies_between = |name: &str, low, high| wanted[name].as_i64().is_none_or(|value| (low..=high).contains(&value));
    if !lies_between("mainServerPort", 1, 65_535) {
        return Err(ApiError::invalid("端口号必须在1-65535之间"));
    }
    if !lies_between("syncInterval", 10, 3600) {
        return Err(ApiError::invalid("同步间隔必须在10-3600秒之间"));
    }
    wanted.remove("nodeId");
    apply(&node, Value::Object(wanted), Editor::Person).await?;
    Ok(Json(Success::with("配置已更新")))
}

/// Changes the heartbeat interval alone: a number of seconds, or `{"interval": seconds}`.
#[utoipa::path(
    post,
    path = "/api/config/heartbeat",
    request_body(content = i64, description = "`30` or `{\"interval\": 30}`"),
    responses((status = 200, body = Success), (status = 400), (status = 401), (status = 403), (status = 500)),
    tag = "control"
)]
pub(super) async fn change_heartbeat(
    _: Control,
    State(node): State<Node>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Success>, ApiError> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            ApiError::new(ErrorCode::TooLarge, "请求体过大 / the request body is too large")
        }
        _ => ApiError::invalid("无效的心跳间隔请求格式"),
    })?;
    let seconds = serde_json::from_slice::<Value>(&body).ok().and_then(|value| match &value {
        Value::Object(fields) => fields.get("interval").and_then(Value::as_i64),
        other => other.as_i64(),
    });
    let seconds = seconds.ok_or_else(|| ApiError::invalid("无效的心跳间隔请求格式"))?;
    if !(10..=300).contains(&seconds) {
        return Err(ApiError::invalid("心跳间隔必须在10-300秒之间"));
    }
    apply(&node, json!({ "heartbeat": { "interval": seconds } }), Editor::Setting).await?;
    Ok(Json(Success::with(format!("心跳间隔已更新为 {seconds} 秒"))))
}

/// Lays the wanted keys over the present configuration and puts that in force.
async fn apply(node: &Node, wanted: Value, editor: Editor) -> Result<(), ApiError> {
    let mut whole = serde_json::to_value(node.settings.raw()).map_err(ApiError::internal)?;
    config_file::merge(&mut whole, wanted);
    let raw: NodeConfigFile =
        config_file::from_value(whole).map_err(|invalid| ApiError::invalid(invalid.to_string()))?;
    reconfigure::edit(node, raw, editor).await.map_err(|error| match error {
        EditError::Invalid(invalid) => ApiError::invalid(invalid.to_string()),
        EditError::NotSaved(error) => {
            let answer = ApiError::internal(error);
            ApiError { detail: "保存配置失败".to_owned(), ..answer }
        }
    })
}
