//! `/api/v1/users/…`: signing in.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use http::{HeaderMap, header};
use posthouse_protocol::user::{TokenAnswer, TokenForm};
use posthouse_protocol::{ErrorBody, ErrorCode};
use posthouse_runtime::http::{ApiBytes, ApiError};

use crate::state::Master;
use crate::users::SignIn;

/// Signs in: an OAuth 2.0 password form, or the same fields as JSON. The token goes into `Authorization: Bearer …`
/// and is good for twelve hours.
#[utoipa::path(post, path = "/api/v1/users/token", tag = "users",
    request_body(content((TokenForm = "application/x-www-form-urlencoded"), (TokenForm = "application/json"))),
    responses((status = 200, body = TokenAnswer), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 429, body = ErrorBody, description = "Too many wrong passwords: wait for `Retry-After` seconds")))]
pub(crate) async fn token(
    State(master): State<Master>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    ApiBytes(body): ApiBytes,
) -> Result<Json<TokenAnswer>, ApiError> {
    let form = read(&headers, &body)?;
    if form.grant_type.is_some_and(|grant| !grant.is_empty() && grant != "password") {
        return Err(ApiError::invalid("grant_type 只能是 password / grant_type can only be password"));
    }
    match master.users.sign_in(peer.ip().to_canonical(), form.username, form.password).await? {
        SignIn::Done(answer) => Ok(Json(answer)),
        SignIn::Wrong => Err(ApiError::unauthorized("用户名或密码错误 / wrong user name or password")),
        SignIn::Locked(seconds) => {
            let detail =
                format!("密码错误次数过多，请 {seconds} 秒后再试 / too many wrong passwords: wait {seconds} s");
            Err(ApiError::new(ErrorCode::TooManyRequests, detail).with_retry_after(seconds))
        }
    }
}

/// Clients are not all careful with the content type; JSON begins with a brace, a form does not.
fn read(headers: &HeaderMap, body: &[u8]) -> Result<TokenForm, ApiError> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if content_type.starts_with("multipart/") {
        return Err(ApiError::invalid("请使用表单或 JSON / send a URL-encoded form or JSON"));
    }
    if body.trim_ascii_start().starts_with(b"{") {
        return serde_json::from_slice(body).map_err(|_| missing());
    }
    let (mut grant_type, mut username, mut password) = (None, None, None);
    for (name, value) in url::form_urlencoded::parse(body) {
        match &*name {
            "grant_type" => grant_type = Some(value.into_owned()),
            "username" => username = Some(value.into_owned()),
            "password" => password = Some(value.into_owned()),
            _ => {}
        }
    }
    match (username, password) {
        (Some(username), Some(password)) => Ok(TokenForm { grant_type, username, password }),
        _ => Err(missing()),
    }
}

fn missing() -> ApiError {
    ApiError::invalid("缺少必要字段: username, password")
}
