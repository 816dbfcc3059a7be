//! Joining: the two requests of a node, and an administrator's codes.

use axum::Json;
use axum::extract::{Path, State};
use http::{HeaderMap, header};
use posthouse_protocol::ErrorBody;
use posthouse_protocol::join::{
    CreateJoinCode, CreatedJoinCode, JoinAccepted, JoinCodeView, JoinConfirm, JoinHello, JoinOffer,
};
use posthouse_runtime::http::{ApiError, ApiJson};

use crate::http::auth::Admin;
use crate::http::speaker::Speaker;
use crate::state::Master;

/// First request of a join.
#[utoipa::path(post, path = "/api/v1/nodes/join/hello", tag = "nodes", request_body = JoinHello,
    responses((status = 200, body = JoinOffer), (status = 403, body = ErrorBody), (status = 409, body = ErrorBody),
        (status = 429, body = ErrorBody)))]
pub(crate) async fn hello(
    State(master): State<Master>,
    Speaker(speaker): Speaker,
    ApiJson(hello): ApiJson<JoinHello>,
) -> Result<Json<JoinOffer>, ApiError> {
    Ok(Json(master.joins.hello(hello, speaker.peer).await?))
}

/// Second request of a join. Sent again it is answered again.
#[utoipa::path(post, path = "/api/v1/nodes/join/confirm", tag = "nodes", request_body = JoinConfirm,
    responses((status = 200, body = JoinAccepted), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody), (status = 429, body = ErrorBody)))]
pub(crate) async fn confirm(
    State(master): State<Master>,
    Speaker(speaker): Speaker,
    ApiJson(confirm): ApiJson<JoinConfirm>,
) -> Result<Json<JoinAccepted>, ApiError> {
    Ok(Json(master.joins.confirm(confirm, speaker.peer).await?))
}

/// Makes a join code. Its text is told this once.
#[utoipa::path(post, path = "/api/v1/join-codes", tag = "administration", security(("bearer" = [])),
    request_body = CreateJoinCode,
    responses((status = 200, body = CreatedJoinCode), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody)))]
pub(crate) async fn create(
    _: Admin,
    State(master): State<Master>,
    headers: HeaderMap,
    ApiJson(wish): ApiJson<CreateJoinCode>,
) -> Result<Json<CreatedJoinCode>, ApiError> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    Ok(Json(master.joins.create(wish, host).await?))
}

/// All join codes, without their secrets.
#[utoipa::path(get, path = "/api/v1/join-codes", tag = "administration", security(("bearer" = [])),
    responses((status = 200, body = Vec<JoinCodeView>), (status = 401, body = ErrorBody)))]
pub(crate) async fn list(_: Admin, State(master): State<Master>) -> Result<Json<Vec<JoinCodeView>>, ApiError> {
    Ok(Json(master.joins.list().await?))
}

/// Revokes a join code: no further node joins with it. Those that have joined stay.
#[utoipa::path(delete, path = "/api/v1/join-codes/{id}", tag = "administration", security(("bearer" = [])),
    params(("id" = String, Path, description = "`code_id`")),
    responses((status = 200, body = JoinCodeView), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn revoke(
    _: Admin,
    State(master): State<Master>,
    Path(id): Path<String>,
) -> Result<Json<JoinCodeView>, ApiError> {
    Ok(Json(master.joins.revoke(&id).await?))
}
