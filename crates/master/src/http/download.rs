//! Packages of meetings in progress: to tablets by a redirect to a node, to nodes as they are.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use posthouse_protocol::legacy::DownloadNode;
use posthouse_protocol::package::DescribedPackage;
use posthouse_protocol::signing::NODE_HEADER;
use posthouse_protocol::{ErrorBody, MeetingId, routes};
use posthouse_runtime::http::ApiError;
use posthouse_runtime::http::at_once::Head;
use posthouse_runtime::http::package_body;
use serde::Deserialize;

use crate::error::Error;
use crate::http::api_query::ApiQuery;
use crate::http::meeting_path::MeetingPath;
use crate::http::plain_fetch;
use crate::http::speaker::Speaker;
use crate::registry::NodeRefusal;
use crate::state::{Master, Phase};

/// The package: 302 to a node that holds it, or the bytes themselves when no node does.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/download-package", tag = "tablet",
    params(("id" = String, Path, description = "Meeting id")),
    responses((status = 302), (status = 200, content_type = "application/zip"), (status = 206), (status = 404, body = ErrorBody)))]
pub(crate) async fn package(
    State(master): State<Master>,
    MeetingPath(id): MeetingPath,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let chosen = if method == Method::HEAD { master.rotation.peek(&id) } else { master.rotation.choose(&id) };
    match chosen {
        Some(location) => Ok(redirect(location)),
        None => served(&master, &id, &method, &headers).await,
    }
}

/// The short cut to [`package`]: a redirect, when that is the answer.
pub(crate) fn at_once(master: &Master, head: Head<'_>) -> Option<Response> {
    let id = head.uri.path().strip_prefix("/api/v1/meetings/")?.strip_suffix("/download-package")?;
    // Signed requests get signed answers, and a master that starts or stops sends nobody anywhere.
    if head.method != Method::GET || head.headers.contains_key(NODE_HEADER) || *master.phase.borrow() != Phase::Running
    {
        return None;
    }
    master.rotation.choose(&id.parse().ok()?).map(redirect)
}

fn redirect(location: HeaderValue) -> Response {
    let mut response = StatusCode::FOUND.into_response();
    response.headers_mut().insert(header::LOCATION, location);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The same bytes, from the master itself.
#[utoipa::path(get, path = "/api/v1/meetings/active/download-package/{id}", tag = "tablet",
    params(("id" = String, Path, description = "Meeting id")),
    responses((status = 200, content_type = "application/zip"), (status = 206), (status = 404, body = ErrorBody)))]
pub(crate) async fn from_master(
    State(master): State<Master>,
    MeetingPath(id): MeetingPath,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    served(&master, &id, &method, &headers).await
}

/// The version that is served now.
async fn served(master: &Master, id: &MeetingId, method: &Method, headers: &HeaderMap) -> Result<Response, ApiError> {
    let catalog = master.catalog.borrow().clone();
    let Some(meeting) = catalog.meeting(id) else { return Err(master.meetings.why_not_in_progress(id).await.into()) };
    let package = master.open_packages.get(&meeting.id, master.meetings.served(meeting)).await?;
    Ok(package_body::respond(method, headers, &package, &master.serving))
}

/// Which version.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct VersionQuery {
    /// The newest when absent.
    #[serde(default)]
    version: Option<u64>,
}

/// The package for nodes: always the bytes. A version that is gone answers 404, and the node asks what is wanted now.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/download-package-direct", tag = "nodes",
    params(("id" = String, Path, description = "Meeting id"), VersionQuery),
    responses((status = 200, content_type = "application/zip"), (status = 206), (status = 404, body = ErrorBody)))]
pub(crate) async fn direct(
    State(master): State<Master>,
    MeetingPath(id): MeetingPath,
    ApiQuery(query): ApiQuery<VersionQuery>,
    Speaker(speaker): Speaker,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let catalog = master.catalog.borrow().clone();
    let Some(meeting) = catalog.meeting(&id) else { return Err(master.meetings.why_not_in_progress(&id).await.into()) };
    let version = match query.version {
        None => Some(meeting.wanted()),
        Some(version) => meeting.version(version),
    };
    let version = version.ok_or_else(|| Error::from(NodeRefusal::VersionGone(meeting.id.to_string())))?;
    let package = master.open_packages.get(&meeting.id, version).await?;
    let response = package_body::respond(&method, &headers, &package, &master.serving);
    if method == Method::GET && plain_fetch::is_by_python_node(&headers, &speaker) {
        return Ok(plain_fetch::watched(response, &master.registry, &speaker, &meeting.id, version));
    }
    Ok(response)
}

/// What nodes have to hold, and how to check it block by block.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/package-description", tag = "nodes",
    params(("id" = String, Path, description = "Meeting id")),
    responses((status = 200, body = DescribedPackage), (status = 404, body = ErrorBody)))]
pub(crate) async fn description(
    State(master): State<Master>,
    MeetingPath(id): MeetingPath,
) -> Result<Json<DescribedPackage>, ApiError> {
    let catalog = master.catalog.borrow().clone();
    let Some(meeting) = catalog.meeting(&id) else { return Err(master.meetings.why_not_in_progress(&id).await.into()) };
    let version = meeting.wanted().version;
    let description = master.meetings.description(&meeting.id, version).await?;
    let description = description.ok_or_else(|| Error::from(NodeRefusal::VersionGone(meeting.id.to_string())))?;
    Ok(Json(DescribedPackage { meeting_id: meeting.id.clone(), version, description }))
}

/// Everywhere that the package can be had: the master first, then the nodes.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/download-nodes-info", tag = "tablet",
    params(("id" = String, Path, description = "Meeting id")),
    responses((status = 200, body = Vec<DownloadNode>), (status = 404, body = ErrorBody)))]
pub(crate) async fn endpoints(
    State(master): State<Master>,
    MeetingPath(id): MeetingPath,
    headers: HeaderMap,
) -> Result<Json<Vec<DownloadNode>>, ApiError> {
    let catalog = master.catalog.borrow().clone();
    let Some(meeting) = catalog.meeting(&id) else { return Err(master.meetings.why_not_in_progress(&id).await.into()) };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).filter(|host| is_authority(host));
    let ip = host.map_or_else(|| master.address.to_string(), str::to_owned);
    let download_url = format!("http://{ip}{}", routes::download_package(&meeting.id));
    let mut endpoints = vec![DownloadNode { ip, download_url }];
    endpoints.extend(master.rotation.endpoints(&id));
    Ok(Json(endpoints))
}

/// Whether a `Host` can stand in a URL as it is.
fn is_authority(host: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    !host.is_empty() && host.len() <= 260 && host.bytes().all(is_allowed)
}
