//! The service switch.

use axum::Json;
use axum::extract::State;
use posthouse_protocol::legacy::Success;

use super::access::Control;
use crate::service;
use crate::state::Node;

/// Starts serving, registers, and cleans up.
#[utoipa::path(
    post,
    path = "/api/service/start",
    responses((status = 200, body = Success), (status = 401), (status = 403)),
    tag = "control"
)]
pub(super) async fn start(_: Control, State(node): State<Node>) -> Json<Success> {
    let is_news = service::start(&node);
    Json(Success::with(if is_news { "服务已启动" } else { "服务已经在运行中" }))
}

/// Stops serving and unregisters.
#[utoipa::path(
    post,
    path = "/api/service/stop",
    responses((status = 200, body = Success), (status = 401), (status = 403)),
    tag = "control"
)]
pub(super) async fn stop(_: Control, State(node): State<Node>) -> Json<Success> {
    let is_news = service::stop(&node).await;
    Json(Success::with(if is_news { "服务已停止" } else { "服务已经停止" }))
}
