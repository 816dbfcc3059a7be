//! For operators and their programs: health, metrics, and the page at the root.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::response::{Html, IntoResponse as _, Response};
use http::{HeaderMap, StatusCode, header};
use posthouse_protocol::ErrorBody;
use posthouse_protocol::node::TaskView;
use posthouse_runtime::VERSION;
use posthouse_runtime::http::ApiError;
use posthouse_runtime::http::control_guard::{Caller, classify};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::auth::Admin;
use crate::state::{Master, Phase};

/// Where load balancers ask.
pub(crate) const STATUS_PATH: &str = "/api/status";
/// A database that does not answer by then counts as not there.
const DATABASE_LIMIT: Duration = Duration::from_secs(3);

/// Answer of `GET /api/status`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatusView {
    /// Whether requests should come here.
    success: bool,
    /// `starting`, `running` or `draining`.
    state: &'static str,
    /// Whether the database answers.
    database: bool,
    /// Version of the program.
    version: &'static str,
    /// `master`.
    role: &'static str,
    /// Unix seconds.
    time: f64,
    /// Meetings in progress.
    meetings_in_progress: usize,
    /// Why `success` is false, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Background tasks.
    tasks: Vec<TaskView>,
}

/// Health: 200 while requests should come here; 503 while starting, draining, or without the database.
#[utoipa::path(get, path = "/api/status", tag = "operators",
    responses((status = 200, body = StatusView), (status = 503, body = StatusView)))]
pub(crate) async fn status(State(master): State<Master>) -> Response {
    let phase = *master.phase.borrow();
    let database = master.check_database(DATABASE_LIMIT).await;
    let success = phase == Phase::Running && database.is_ok();
    let view = StatusView {
        success,
        state: phase.as_str(),
        database: database.is_ok(),
        version: VERSION,
        role: "master",
        time: master.clock.now_seconds(),
        meetings_in_progress: master.catalog.borrow().meetings.len(),
        detail: database.err(),
        tasks: master.tasks.views(),
    };
    let status = if success { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(view)).into_response()
}

/// Metrics for Prometheus: open to this machine and to whom `metrics.allow` names, for others with a login.
#[utoipa::path(get, path = "/metrics", tag = "operators", security((), ("bearer" = [])),
    responses((status = 200, body = String, content_type = "text/plain"), (status = 401, body = ErrorBody)))]
pub(crate) async fn metrics(
    State(master): State<Master>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    admin: Result<Admin, ApiError>,
) -> Result<Response, ApiError> {
    if classify(peer.ip(), &headers) != Caller::Local && !master.metrics_for.covers(peer.ip()) {
        admin?;
    }
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, content_type)], master.metrics.to_text()).into_response())
}

/// A page for people; deployed nodes ask for it to learn whether their master is there.
pub(crate) async fn root() -> Html<&'static str> {
    Html(include_str!("root.html"))
}
