//! Packages for tablets: whole or in part, with strong validators.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, Method};
use posthouse_protocol::MeetingId;
use posthouse_runtime::http::ApiError;
use posthouse_runtime::http::package_body;
use serde::Deserialize;

use crate::state::Node;
use crate::{obtain, ticket};

/// What the deployed node says when the service is stopped.
const STOPPED: &str = "服务未运行";

/// Query of a download.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Link {
    /// The master's ticket, see `network.requireSignedLinks`.
    ticket: Option<String>,
}

/// A package, from here or by way of the master.
#[utoipa::path(
    get,
    path = "/api/v1/meetings/{id}/download-package",
    params(("id" = String, Path, description = "Meeting id"), Link),
    responses((status = 200, description = "The zip", content_type = "application/zip"), (status = 206), (status = 304),
        (status = 403, description = "No good ticket"), (status = 404), (status = 416), (status = 503)),
    tag = "downloads"
)]
pub(super) async fn package(
    State(node): State<Node>,
    id: Result<Path<String>, PathRejection>,
    link: Result<Query<Link>, QueryRejection>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    answer(&node, id, link, &method, &headers, "Meeting package not found").await
}

/// The same by the older path.
#[utoipa::path(
    get,
    path = "/api/meetings/{id}/download",
    params(("id" = String, Path, description = "Meeting id"), Link),
    responses((status = 200, description = "The zip", content_type = "application/zip"), (status = 206), (status = 304),
        (status = 403, description = "No good ticket"), (status = 404), (status = 416), (status = 503)),
    tag = "downloads"
)]
pub(super) async fn package_by_older_path(
    State(node): State<Node>,
    id: Result<Path<String>, PathRejection>,
    link: Result<Query<Link>, QueryRejection>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    answer(&node, id, link, &method, &headers, "会议包不存在").await
}

async fn answer(
    node: &Node,
    id: Result<Path<String>, PathRejection>,
    link: Result<Query<Link>, QueryRejection>,
    method: &Method,
    headers: &HeaderMap,
    not_found: &'static str,
) -> Response {
    if !node.service.is_running() {
        return ApiError::unavailable(STOPPED).into_response();
    }
    let meeting = id.ok().and_then(|Path(id)| id.parse::<MeetingId>().ok());
    let Some(meeting) = meeting else { return ApiError::not_found(not_found).into_response() };
    let ticket = link.ok().and_then(|Query(link)| link.ticket);
    if !ticket::is_good_enough(node, &meeting, ticket.as_deref()) {
        let text = "需要主控签发的有效链接，请重新通过主控下载 / a valid link of the master is needed: download by way of the master";
        return ApiError::forbidden(text).into_response();
    }
    let Some(package) = obtain::package(node, &meeting).await else {
        return ApiError::not_found(not_found).into_response();
    };
    let response = package_body::respond(method, headers, &package.served, &node.serving);
    if *method == Method::GET && response.status().is_success() {
        package.note_download(node.clock.now_ms());
    }
    response
}
