//! What the node says of itself.

use axum::Json;
use axum::extract::State;
use posthouse_protocol::legacy::NodeStatus;

use crate::state::Node;

/// The node's status.
#[utoipa::path(get, path = "/api/status", responses((status = 200, body = NodeStatus)), tag = "status")]
pub(super) async fn status(State(node): State<Node>) -> Json<NodeStatus> {
    Json(crate::status::status(&node))
}
