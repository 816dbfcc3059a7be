//! Figures for operators.

use axum::extract::State;
use http::header::CONTENT_TYPE;

use crate::state::Node;

/// Figures in the Prometheus text format.
#[utoipa::path(get, path = "/metrics", responses((status = 200, content_type = "text/plain")), tag = "status")]
pub(super) async fn metrics(State(node): State<Node>) -> ([(http::HeaderName, &'static str); 1], String) {
    let text = node.gauges.to_text(&node);
    ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
}
