//! `/api/v1/meetings/…` for tablets: open to everybody.

use axum::Json;
use axum::extract::State;
use posthouse_protocol::ErrorBody;
use posthouse_protocol::legacy::{ActiveMeeting, MeetingData, PackageView, TokenView};
use posthouse_runtime::http::ApiError;

use crate::http::meeting_path::MeetingPath;
use crate::state::Master;

/// The change token. It moves when the nodes are ready for what changed.
#[utoipa::path(get, path = "/api/v1/meetings/status/token", tag = "tablet", responses((status = 200, body = TokenView)))]
pub(crate) async fn token(State(master): State<Master>) -> Json<TokenView> {
    Json(master.meetings.token())
}

/// All meetings in progress.
#[utoipa::path(get, path = "/api/v1/meetings/active/meetings", tag = "tablet",
    responses((status = 200, body = Vec<ActiveMeeting>)))]
pub(crate) async fn in_progress(State(master): State<Master>) -> Json<Vec<ActiveMeeting>> {
    Json(master.meetings.in_progress())
}

/// The data of a meeting in progress: agenda, and where each file lies in the package that is served now.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/data", tag = "tablet",
    params(("id" = String, Path, description = "Meeting id")),
    responses((status = 200, body = MeetingData), (status = 404, body = ErrorBody)))]
pub(crate) async fn data(
    State(master): State<Master>,
    MeetingPath(id): MeetingPath,
) -> Result<Json<MeetingData>, ApiError> {
    Ok(Json(master.meetings.data(&id).await?))
}

/// The files of a meeting in progress, each with a URL of its own.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/package", tag = "tablet",
    params(("id" = String, Path, description = "Meeting id")),
    responses((status = 200, body = PackageView), (status = 404, body = ErrorBody)))]
pub(crate) async fn package(
    State(master): State<Master>,
    MeetingPath(id): MeetingPath,
) -> Result<Json<PackageView>, ApiError> {
    Ok(Json(master.meetings.package(&id).await?))
}
