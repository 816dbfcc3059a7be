//! Uploads: multipart bodies of any size, streamed to disk.

use std::time::Duration;

use axum::Json;
use axum::extract::multipart::{Field, MultipartError, MultipartRejection};
use axum::extract::{Multipart, State};
use futures_util::StreamExt as _;
use http::header;
use posthouse_protocol::ErrorBody;
use posthouse_protocol::legacy::UploadAnswer;
use posthouse_runtime::http::ApiError;
use serde::Deserialize;

use crate::error::{Error, Refusal};
use crate::files::{Received, UploadError, receive};
use crate::http::api_query::ApiQuery;
use crate::http::auth::Admin;
use crate::http::meeting_path::MeetingPath;
use crate::meetings::views::uploaded_file;
use crate::state::Master;
use crate::store::files::StoredFile;

/// How long the rest of a body that cannot be kept is read.
const DRAIN_LIMIT: Duration = Duration::from_secs(20);

/// What a form with files looks like.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only described, never made: the body is streamed")]
pub(crate) struct UploadForm {
    /// One or more files.
    #[schema(value_type = Vec<String>, format = Binary)]
    files: Vec<Vec<u8>>,
}

/// Query of [`to_meeting`].
#[derive(Debug, Deserialize)]
pub(crate) struct Position {
    position: Option<String>,
}

/// Uploads files that belong to no agenda item yet. What is put into none for a day is removed.
#[utoipa::path(post, path = "/api/v1/pdf/upload-temp", tag = "meetings", security(("bearer" = [])),
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses((status = 200, body = UploadAnswer), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 507, body = ErrorBody)))]
pub(crate) async fn temporary(
    _: Admin,
    State(master): State<Master>,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Json<UploadAnswer>, ApiError> {
    let received = receive_all(&master, form).await?;
    let files = master.meetings.keep_loose(received).await?;
    Ok(answer(&files))
}

/// Uploads files to the agenda item at `position`, behind those it has.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/upload", tag = "meetings", security(("bearer" = [])),
    params(("id" = String, Path, description = "Meeting id"), ("position" = i64, Query, description = "From 1")),
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses((status = 200, body = UploadAnswer), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 507, body = ErrorBody)))]
pub(crate) async fn to_meeting(
    _: Admin,
    State(master): State<Master>,
    MeetingPath(id): MeetingPath,
    ApiQuery(query): ApiQuery<Position>,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Json<UploadAnswer>, ApiError> {
    let position = position(query).map_err(Error::from)?;
    if let Err(error) = master.meetings.check_item(&id, position).await {
        if let Ok(form) = form {
            drain(form).await;
        }
        return Err(error.into());
    }
    let received = receive_all(&master, form).await?;
    let files = master.meetings.attach(&id, position, received).await?;
    Ok(answer(&files))
}

fn position(query: Position) -> Result<i64, Refusal> {
    let text = query.position.ok_or(Refusal::MissingField("position"))?;
    text.parse().map_err(|_| Refusal::BadField { field: "position", problem: "必须是整数" })
}

fn answer(files: &[StoredFile]) -> Json<UploadAnswer> {
    Json(UploadAnswer { status: "success".to_owned(), uploaded_files: files.iter().map(uploaded_file).collect() })
}

/// All files of a form, or none of them.
async fn receive_all(master: &Master, form: Result<Multipart, MultipartRejection>) -> Result<Vec<Received>, ApiError> {
    let mut form = form.map_err(|rejection| ApiError::invalid(rejection.body_text()))?;
    let mut received = Vec::new();
    let _under_way = master.files.upload_begins();
    while let Some(field) = form.next_field().await.map_err(interrupted)? {
        let Some(name) = file_name(&field) else { continue };
        match receive(&master.files, &name, field).await {
            Ok(file) => received.push(file),
            Err(UploadError::Interrupted(error)) => return Err(interrupted(error)),
            Err(UploadError::NotWritten(error)) => {
                // What was written makes room at once.
                drop(received);
                drain(form).await;
                return Err(error.into());
            }
        }
    }
    if received.is_empty() {
        return Err(ApiError::invalid("请求中没有文件，请用 multipart 的 files 字段上传"));
    }
    Ok(received)
}

fn interrupted(error: MultipartError) -> ApiError {
    tracing::debug!(%error, "an upload broke off");
    ApiError::invalid(format!("上传中断或格式有误: {}", error.body_text()))
}

/// Reads what cannot be kept: a sender that is cut off may never read the answer, or send its next request into a
/// connection that is being closed.
async fn drain(mut form: Multipart) {
    let draining = async {
        while let Ok(Some(mut field)) = form.next_field().await {
            while let Some(Ok(_)) = field.next().await {}
        }
    };
    let _ = tokio::time::timeout(DRAIN_LIMIT, draining).await;
}

/// The name of a field that is a file. Python clients send names beyond ASCII as `filename*` (RFC 5987), browsers as
/// plain UTF-8.
fn file_name(field: &Field<'_>) -> Option<String> {
    let disposition = field.headers().get(header::CONTENT_DISPOSITION).map(|value| value.as_bytes());
    let extended = disposition.and_then(|value| extended_name(&String::from_utf8_lossy(value)));
    extended.or_else(|| field.file_name().map(str::to_owned))
}

fn extended_name(disposition: &str) -> Option<String> {
    const PREFIX: &str = "filename*=utf-8'";
    let parameter = disposition
        .split(';')
        .map(str::trim)
        .find(|part| part.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX)))?;
    let (_language, encoded) = parameter[PREFIX.len()..].split_once('\'')?;
    String::from_utf8(percent_decoded(encoded.as_bytes())).ok()
}

fn percent_decoded(mut text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    while let Some((first, rest)) = text.split_first() {
        let digits = rest.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                text = &rest[2..];
            }
            None => {
                decoded.push(*first);
                text = rest;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_ascii_are_read_as_python_clients_send_them() {
        let sent = "form-data; name=\"files\"; filename=\"?.pdf\"; filename*=UTF-8''%E5%B9%B4%E5%BA%A6%20a.pdf";
        assert_eq!(extended_name(sent).as_deref(), Some("年度 a.pdf"));
        assert_eq!(extended_name("form-data; name=\"files\"; filename=\"a.pdf\""), None);
        assert_eq!(percent_decoded(b"100%"), b"100%");
        assert_eq!(percent_decoded(b"%zz%4"), b"%zz%4");
    }
}
