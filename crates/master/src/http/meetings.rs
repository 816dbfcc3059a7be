//! `/api/v1/meetings/…` for the administrator.

use axum::Json;
use axum::extract::State;
use posthouse_protocol::ErrorBody;
use posthouse_protocol::legacy::{MeetingInput, MeetingView, StatusInput, Success};
use posthouse_runtime::http::{ApiError, ApiJson};

use crate::error::Error;
use crate::http::auth::Admin;
use crate::http::meeting_path::MeetingPath;
use crate::meetings::Refusal;
use crate::meetings::input::{self, MeetingChange, NewMeeting};
use crate::meetings::views::meeting_view;
use crate::state::Master;

/// All meetings, the oldest first.
#[utoipa::path(get, path = "/api/v1/meetings/", tag = "meetings", security(("bearer" = [])),
    responses((status = 200, body = Vec<MeetingView>), (status = 401, body = ErrorBody)))]
pub(crate) async fn list(_: Admin, State(master): State<Master>) -> Result<Json<Vec<MeetingView>>, ApiError> {
    let meetings = master.meetings.list().await?;
    Ok(Json(meetings.iter().map(meeting_view).collect()))
}

/// Creates a meeting. Files are named by the `temp_id` that an upload answered; a `path` is ignored. With the status
/// 进行中 it is created and started, or, when it cannot be started, not created.
#[utoipa::path(post, path = "/api/v1/meetings/", tag = "meetings", security(("bearer" = [])), request_body = MeetingInput,
    responses((status = 200, body = MeetingView), (status = 401, body = ErrorBody),
        (status = 400, body = ErrorBody, description = "Also when the id is taken, without regard to case")))]
pub(crate) async fn create(
    _: Admin,
    State(master): State<Master>,
    ApiJson(body): ApiJson<MeetingInput>,
) -> Result<Json<MeetingView>, ApiError> {
    let new = NewMeeting::check(body).map_err(|refusal| Error::from(Refusal::Creating(Box::new(refusal))))?;
    Ok(Json(meeting_view(&master.meetings.create(new).await?)))
}

/// One meeting.
#[utoipa::path(get, path = "/api/v1/meetings/{id}", tag = "meetings", security(("bearer" = [])),
    params(("id" = String, Path, description = "Meeting id")),
    responses((status = 200, body = MeetingView), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn get(
    _: Admin,
    State(master): State<Master>,
    MeetingPath(id): MeetingPath,
) -> Result<Json<MeetingView>, ApiError> {
    Ok(Json(meeting_view(&master.meetings.get(&id).await?)))
}

/// Changes a meeting; absent fields stay as they are, and so do the files of an agenda item whose `files` are absent.
/// A running meeting gets a new version of its package in the background; a `status` is applied last.
#[utoipa::path(put, path = "/api/v1/meetings/{id}", tag = "meetings", security(("bearer" = [])), request_body = MeetingInput,
    params(("id" = String, Path, description = "Meeting id")),
    responses((status = 200, body = MeetingView), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody)))]
pub(crate) async fn change(
    _: Admin,
    State(master): State<Master>,
    MeetingPath(id): MeetingPath,
    ApiJson(body): ApiJson<MeetingInput>,
) -> Result<Json<MeetingView>, ApiError> {
    let change = MeetingChange::check(&id, body).map_err(Error::from)?;
    Ok(Json(meeting_view(&master.meetings.change(&id, change).await?)))
}

/// Deletes a meeting; a running one is ended first.
#[utoipa::path(delete, path = "/api/v1/meetings/{id}", tag = "meetings", security(("bearer" = [])),
    params(("id" = String, Path, description = "Meeting id")),
    responses((status = 200, body = Success), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn delete(
    _: Admin,
    State(master): State<Master>,
    MeetingPath(id): MeetingPath,
) -> Result<Json<Success>, ApiError> {
    master.meetings.delete(&id).await?;
    Ok(Json(Success::with("会议已删除")))
}

/// Moves a meeting to another status. Starting one answers once its package is built; its nodes are waited for
/// afterwards, and then the change token moves. Ending one removes its package. An ended one may be started again.
#[utoipa::path(put, path = "/api/v1/meetings/{id}/status", tag = "meetings", security(("bearer" = [])),
    request_body = StatusInput, params(("id" = String, Path, description = "Meeting id")),
    responses((status = 200, body = MeetingView), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 507, body = ErrorBody)))]
pub(crate) async fn set_status(
    _: Admin,
    State(master): State<Master>,
    MeetingPath(id): MeetingPath,
    ApiJson(body): ApiJson<StatusInput>,
) -> Result<Json<MeetingView>, ApiError> {
    let status = input::status(&body.status).map_err(Error::from)?;
    Ok(Json(meeting_view(&master.meetings.set_status(&id, status).await?)))
}
