//! `/api/v1/nodes/…` as nodes call it: register, heartbeat, unregister, and what they poll. The deployed Python nodes
//! use the same.

use axum::Json;
use axum::extract::State;
use posthouse_protocol::ErrorBody;
use posthouse_protocol::legacy::{
    AvailableNodes, HeartbeatAnswer, HeartbeatRequest, ListedNode, NodeView, RegisterRequest, Success,
    UnregisterRequest,
};
use posthouse_runtime::http::{ApiError, ApiJson};

use crate::error::Error;
use crate::http::speaker::Speaker;
use crate::state::Master;

/// Registers a node. When another process of this id is alive: 409.
#[utoipa::path(post, path = "/api/v1/nodes/register", tag = "nodes", request_body = RegisterRequest,
    responses((status = 200, body = Success), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 409, body = ErrorBody)))]
pub(crate) async fn register(
    State(master): State<Master>,
    Speaker(speaker): Speaker,
    ApiJson(request): ApiJson<RegisterRequest>,
) -> Result<Json<Success>, ApiError> {
    let message = format!("Node {} registered", request.node_id);
    master.registry.register(request, &speaker).await.map_err(Error::from)?;
    Ok(Json(Success::with(message)))
}

/// A node says goodbye. Its row, name and weight stay.
#[utoipa::path(post, path = "/api/v1/nodes/unregister", tag = "nodes", request_body = UnregisterRequest,
    responses((status = 200, body = Success), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn unregister(
    State(master): State<Master>,
    Speaker(speaker): Speaker,
    ApiJson(request): ApiJson<UnregisterRequest>,
) -> Result<Json<Success>, ApiError> {
    master.registry.unregister(&request.node_id, &speaker).map_err(Error::from)?;
    Ok(Json(Success::with(format!("Node {} unregistered", request.node_id))))
}

/// A node is alive, and says what it holds. An unknown node is registered by it.
#[utoipa::path(post, path = "/api/v1/nodes/heartbeat", tag = "nodes", request_body = HeartbeatRequest,
    responses((status = 200, body = HeartbeatAnswer), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 409, body = ErrorBody)))]
pub(crate) async fn heartbeat(
    State(master): State<Master>,
    Speaker(speaker): Speaker,
    ApiJson(beat): ApiJson<HeartbeatRequest>,
) -> Result<Json<HeartbeatAnswer>, ApiError> {
    Ok(Json(master.registry.heartbeat(beat, &speaker).map_err(Error::from)?))
}

/// The nodes that are registered now.
#[utoipa::path(get, path = "/api/v1/nodes/list", tag = "nodes", responses((status = 200, body = Vec<ListedNode>)))]
pub(crate) async fn list(State(master): State<Master>) -> Json<Vec<ListedNode>> {
    Json(master.registry.list())
}

/// Addresses of the nodes that are online.
#[utoipa::path(get, path = "/api/v1/nodes/available", tag = "nodes", responses((status = 200, body = AvailableNodes)))]
pub(crate) async fn available(State(master): State<Master>) -> Json<AvailableNodes> {
    Json(master.registry.available())
}

/// What nodes poll: the meetings in progress, and which package of each to hold.
#[utoipa::path(get, path = "/api/v1/meetings/status/node", tag = "nodes", responses((status = 200, body = NodeView)))]
pub(crate) async fn status(State(master): State<Master>, Speaker(speaker): Speaker) -> Json<NodeView> {
    Json(master.registry.node_view(&speaker))
}
