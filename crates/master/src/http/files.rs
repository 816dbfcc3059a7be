//! `/uploads/…`: the URLs that answers about meetings name. Files lie under their id; the rest of a path is for people.

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, header};
use posthouse_package::PackageFile;
use posthouse_protocol::ErrorBody;
use posthouse_runtime::http::ApiError;
use posthouse_runtime::http::package_body::{self, ServedPackage};
use posthouse_runtime::tasks::blocking;
use uuid::Uuid;

use crate::error::Error;
use crate::http::api_path::ApiPath;
use crate::http::auth::Admin;
use crate::meetings::tablet::meeting_of_package_name;
use crate::state::Master;

/// An uploaded file. Of a meeting in progress everybody may read it, as tablets must; else only an administrator.
#[utoipa::path(get, path = "/uploads/files/{file_id}/{name}", tag = "tablet",
    params(("file_id" = String, Path, description = "The `temp_id`"), ("name" = String, Path, description = "For people; not looked at")),
    responses((status = 200, content_type = "application/octet-stream"), (status = 206), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody)))]
pub(crate) async fn file(
    State(master): State<Master>,
    ApiPath((file_id, _name)): ApiPath<(String, String)>,
    admin: Result<Admin, ApiError>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let file_id: Uuid = file_id.parse().map_err(|_| not_found())?;
    let found = master.files.find(file_id).await?;
    // Who may not read it is not told whether it exists.
    let is_open =
        found.as_ref().is_some_and(|(file, in_progress)| *in_progress || master.meetings.serves(&file.file_id));
    if !is_open {
        admin?;
    }
    let (file, _) = found.ok_or_else(not_found)?;
    let path = master.files.path(&file.file_id);
    let opened = blocking(move || PackageFile::open(&path).map_err(Error::files(path))).await?;
    let served = ServedPackage {
        modified: opened.modified(),
        file: opened,
        hash: file.hash,
        version: 0,
        filename: format!("{}.{}", file.file_id, file.extension),
    };
    let mut response = package_body::respond(&method, &headers, &served, &master.serving);
    let is_pdf = file.extension == "pdf";
    let content_type = if is_pdf { "application/pdf" } else { "application/octet-stream" };
    if response.headers().contains_key(header::CONTENT_TYPE) && response.status().is_success() {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        // Nothing that somebody uploaded is run by a browser as a page of this master.
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if is_pdf {
            headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("inline"));
        }
    }
    Ok(response)
}

/// The package of a meeting in progress, under the name that `package_url` says.
#[utoipa::path(get, path = "/uploads/packages/{name}", tag = "tablet",
    params(("name" = String, Path, description = "`<title>_<id>_pdfs.zip`")),
    responses((status = 200, content_type = "application/zip"), (status = 206), (status = 404, body = ErrorBody)))]
pub(crate) async fn package(
    State(master): State<Master>,
    ApiPath(name): ApiPath<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let catalog = master.catalog.borrow().clone();
    let meeting = meeting_of_package_name(&catalog, &name).ok_or_else(not_found)?;
    let served = master.open_packages.get(&meeting.id, master.meetings.served(meeting)).await?;
    Ok(package_body::respond(&method, &headers, &served, &master.serving))
}

fn not_found() -> ApiError {
    ApiError::not_found("文件不存在 / no such file")
}
