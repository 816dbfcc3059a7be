//! `/api/v1/nodes` for administrators: all nodes, what was decided about them, their history.

use axum::Json;
use axum::extract::{Path, State};
use posthouse_protocol::ErrorBody;
use posthouse_protocol::legacy::Success;
use posthouse_protocol::node::{HistoryPoint, NodeDetailView, NodePatch, Reachability};
use posthouse_runtime::http::{ApiError, ApiJson};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::error::Error;
use crate::http::api_query::ApiQuery;
use crate::http::auth::Admin;
use crate::registry::{MINUTE_SECONDS, QUARTER_SECONDS};
use crate::state::Master;

/// All nodes, also those that are away.
#[utoipa::path(get, path = "/api/v1/nodes", tag = "administration", security(("bearer" = [])),
    responses((status = 200, body = Vec<NodeDetailView>), (status = 401, body = ErrorBody)))]
pub(crate) async fn all(_: Admin, State(master): State<Master>) -> Json<Vec<NodeDetailView>> {
    Json(master.registry.views())
}

/// One node.
#[utoipa::path(get, path = "/api/v1/nodes/{id}", tag = "administration", security(("bearer" = [])),
    params(("id" = String, Path, description = "Node id")),
    responses((status = 200, body = NodeDetailView), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn get(
    _: Admin,
    State(master): State<Master>,
    Path(id): Path<String>,
) -> Result<Json<NodeDetailView>, ApiError> {
    Ok(Json(master.registry.view(&id).map_err(Error::from)?))
}

/// Changes name, description, weight or state of a node; in force at once.
#[utoipa::path(patch, path = "/api/v1/nodes/{id}", tag = "administration", security(("bearer" = [])),
    params(("id" = String, Path, description = "Node id")), request_body = NodePatch,
    responses((status = 200, body = NodeDetailView), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody)))]
pub(crate) async fn change(
    _: Admin,
    State(master): State<Master>,
    Path(id): Path<String>,
    ApiJson(patch): ApiJson<NodePatch>,
) -> Result<Json<NodeDetailView>, ApiError> {
    let changed = master.registry.change(&id, patch).await?;
    master.rotation.rebuild();
    Ok(Json(changed))
}

/// Removes a node with its secret: it has to join again.
#[utoipa::path(delete, path = "/api/v1/nodes/{id}", tag = "administration", security(("bearer" = [])),
    params(("id" = String, Path, description = "Node id")),
    responses((status = 200, body = Success), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn remove(
    _: Admin,
    State(master): State<Master>,
    Path(id): Path<String>,
) -> Result<Json<Success>, ApiError> {
    master.registry.remove(&id).await?;
    master.rotation.rebuild();
    Ok(Json(Success::with(format!("Node {id} removed"))))
}

/// Tries now to reach a node at the address that it advertises.
#[utoipa::path(post, path = "/api/v1/nodes/{id}/probe", tag = "administration", security(("bearer" = [])),
    params(("id" = String, Path, description = "Node id")),
    responses((status = 200, body = Reachability), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn probe(
    _: Admin,
    State(master): State<Master>,
    Path(id): Path<String>,
) -> Result<Json<Reachability>, ApiError> {
    let target = master.registry.probe_target(&id).map_err(Error::from)?;
    Ok(Json(master.prober.probe_now(target).await))
}

/// Which history.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoryQuery {
    /// `minute` (two days, when absent) or `quarter` (sixty days).
    #[serde(default)]
    #[param(inline)]
    series: Series,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Series {
    /// A minute a point.
    #[default]
    Minute,
    /// A quarter of an hour a point.
    Quarter,
}

/// What a node reported of its load, averaged.
#[utoipa::path(get, path = "/api/v1/nodes/{id}/history", tag = "administration", security(("bearer" = [])),
    params(("id" = String, Path, description = "Node id"), HistoryQuery),
    responses((status = 200, body = Vec<HistoryPoint>), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn history(
    _: Admin,
    State(master): State<Master>,
    Path(id): Path<String>,
    ApiQuery(query): ApiQuery<HistoryQuery>,
) -> Result<Json<Vec<HistoryPoint>>, ApiError> {
    let step_seconds = match query.series {
        Series::Minute => MINUTE_SECONDS,
        Series::Quarter => QUARTER_SECONDS,
    };
    Ok(Json(master.registry.history(&id, step_seconds).await?))
}
