//! Who may use the control routes: a person at this machine, or who knows the management password.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};
use posthouse_protocol::ErrorCode;
use posthouse_runtime::http::ApiError;
use posthouse_runtime::http::control_guard::{Caller, classify};
use posthouse_runtime::trust::password::Verdict;

use crate::state::Node;
use crate::store::meta::{self, Fact};

/// Proof that a request may use a control route.
#[derive(Debug, Clone, Copy)]
pub(super) struct Control;

/// Why it may not.
#[derive(Debug)]
pub(super) struct Denied(ApiError);

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let asks_for_password = self.0.code == ErrorCode::Unauthorized;
        let mut response = self.0.into_response();
        if asks_for_password {
            // Browsers ask for it by themselves.
            let value = HeaderValue::from_static("Basic realm=\"posthouse node\", charset=\"UTF-8\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
        }
        response
    }
}

impl<E: Into<ApiError>> From<E> for Denied {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl FromRequestParts<Node> for Control {
    type Rejection = Denied;

    async fn from_request_parts(parts: &mut Parts, node: &Node) -> Result<Self, Self::Rejection> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let peer = peer.ok_or_else(|| ApiError::internal("a request without peer address"))?;
        let needs_password_here = node.settings.now().network.require_local_password;
        match classify(peer, &parts.headers) {
            Caller::Local if !needs_password_here => Ok(Self),
            Caller::Foreign => Err(ApiError::forbidden(
                "拒绝：请求的 Host 或 Origin 不是本机 / refused: Host or Origin of the request is not this machine",
            )
            .into()),
            Caller::Local | Caller::Remote => by_password(node, peer, &parts.headers).await,
        }
    }
}

async fn by_password(node: &Node, peer: IpAddr, headers: &HeaderMap) -> Result<Control, Denied> {
    if !is_own_page(headers) {
        return Err(
            ApiError::forbidden("拒绝：请求来自其他网页 / refused: the request comes from another web page").into()
        );
    }
    let Some(hash) = meta::read(&node.store, Fact::ManagementPassword).await? else {
        return Err(ApiError::forbidden(
            "尚未设置管理密码，只能在本机操作：请运行 posthouse reset-password --data 目录 / no management password is set, so this \
             is for this machine alone: run posthouse reset-password --data DIR",
        )
        .into());
    };
    let needed = || ApiError::unauthorized("需要管理密码 / the management password is needed");
    let password = password_of(headers).ok_or_else(needed)?;
    match node.passwords.check(peer, password, Some(hash)).await {
        Verdict::Right => Ok(Control),
        Verdict::Wrong => Err(ApiError::unauthorized("管理密码错误 / the management password is wrong").into()),
        Verdict::Locked(seconds) => {
            let text = "密码错误次数过多，请稍后再试 / too many wrong passwords, try again later";
            Err(ApiError::new(ErrorCode::TooManyRequests, text).with_retry_after(seconds).into())
        }
    }
}

/// A browser sends a stored password along with requests of any page; only the node's own page may make use of that.
fn is_own_page(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
    let is_named_by = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()) == authority;
    authority.is_some() && (is_named_by("host") || is_named_by("x-forwarded-host"))
}

/// `Authorization: Basic` with any user name, or `Bearer` with the password itself.
fn password_of(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    text.split_once(':').map(|(_, password)| password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect::<Vec<_>>()
            .into_iter()
            .collect()
    }

    fn password(value: &str) -> Option<String> {
        password_of(&headers(&[("authorization", value)]))
    }

    #[test]
    fn passwords_come_in_two_forms() {
        assert_eq!(password("Bearer abc").unwrap(), "abc");
        assert_eq!(password(&format!("basic {}", STANDARD.encode("me:a:b"))).unwrap(), "a:b");
        assert_eq!(password("Basic !!"), None);
        assert_eq!(password("Digest x"), None);
    }

    #[test]
    fn a_page_of_another_place_cannot_use_a_browsers_stored_password() {
        assert!(is_own_page(&headers(&[("host", "10.0.0.2:8001")])));
        assert!(is_own_page(&headers(&[("host", "10.0.0.2:8001"), ("origin", "http://10.0.0.2:8001")])));
        assert!(is_own_page(&headers(&[("x-forwarded-host", "node.lan"), ("origin", "https://node.lan")])));
        assert!(!is_own_page(&headers(&[("host", "10.0.0.2:8001"), ("origin", "http://evil.example")])));
        assert!(!is_own_page(&headers(&[("host", "10.0.0.2:8001"), ("origin", "null")])));
    }
}
