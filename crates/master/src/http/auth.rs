//! Who asks: the extractor that lets only administrators in.

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, header};
use posthouse_runtime::http::ApiError;

use crate::state::Master;

/// In the arguments of a handler: only for somebody who signed in (`Authorization: Bearer …`), else 401.
#[derive(Debug, Clone)]
pub(crate) struct Admin;

impl FromRequestParts<Master> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, master: &Master) -> Result<Self, Self::Rejection> {
        let Some(token) = bearer(&parts.headers) else {
            return Err(ApiError::unauthorized("请先登录 / sign in first: POST /api/v1/users/token"));
        };
        match master.users.user_of(token).await? {
            Some(_) => Ok(Self),
            None => Err(ApiError::unauthorized("登录已失效，请重新登录 / this session has ended: sign in again")),
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
