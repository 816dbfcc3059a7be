//! Middleware that verifies signed requests and signs their answers. The same on both roles: a master looks up the
//! secret of the node that asks, a node knows its own.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::HeaderValue;
use posthouse_protocol::signing::{AnswerToSign, BODY_HEADER, SIGNATURE_HEADER, TIME_HEADER};
use posthouse_protocol::{ContentHash, ErrorCode};

use crate::http::ApiError;
use crate::http::serve::BODY_MAX_BYTES;
use crate::trust::Secret;
use crate::trust::verifier::{Refusal, SignatureHeaders, Verifier};

/// Answers longer than this are packages or streams and carry [`SignedBody`].
const ANSWER_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Gives the secret of a node id.
pub type SecretLookup = Arc<dyn Fn(&str) -> Option<Secret> + Send + Sync>;

/// What the middleware needs.
#[derive(Clone)]
pub struct SignatureLayer {
    /// Secrets by node id.
    pub lookup: SecretLookup,
    /// Remembers nonces.
    pub verifier: Arc<Verifier>,
}

/// In the extensions of a request whose signature is good.
#[derive(Debug, Clone)]
pub struct VerifiedNode {
    /// Whom it is from (on a master) or for (on a node).
    pub node_id: String,
    /// Its nonce, to which live events are bound.
    pub nonce: String,
    /// The secret, to sign live events.
    pub secret: Secret,
}

/// In the extensions of an answer whose body streams: what to sign in place of the body's hash. For a package the
/// hash of the whole package.
#[derive(Debug, Clone, Copy)]
pub struct SignedBody(pub ContentHash);

impl SignedBody {
    /// For a stream whose parts are signed one by one: the hash of no bytes.
    #[must_use]
    pub fn of_stream() -> Self {
        Self(ContentHash(*blake3::hash(b"").as_bytes()))
    }
}

/// The middleware.
pub async fn verify_and_sign(State(layer): State<SignatureLayer>, request: Request, next: Next) -> Response {
    let headers = match SignatureHeaders::read(request.headers()) {
        Ok(None) => return next.run(request).await,
        Ok(Some(headers)) => headers,
        Err(refusal) => return refused(refusal).into_response(),
    };
    let Some(secret) = (layer.lookup)(&headers.node_id) else {
        return refused(Refusal::WrongSignature).into_response();
    };
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let checked = layer.verifier.check(&secret, &headers, request.method().as_str(), target);
    let response = match checked {
        // Nothing is answered to a wrong signature but that it is wrong: no signature of ours for a stranger.
        Err(refusal @ (Refusal::WrongSignature | Refusal::Malformed)) => return refused(refusal).into_response(),
        Err(refusal) => refused(refusal).into_response(),
        Ok(()) => match with_checked_body(request, &headers).await {
            Ok(mut request) => {
                let node_id = headers.node_id.clone();
                let verified = VerifiedNode { node_id, nonce: headers.nonce.clone(), secret: secret.clone() };
                request.extensions_mut().insert(verified);
                next.run(request).await
            }
            Err(error) => error.into_response(),
        },
    };
    sign(response, &secret, &headers.nonce, layer.verifier.now_ms()).await
}

async fn with_checked_body(request: Request, headers: &SignatureHeaders) -> Result<Request, ApiError> {
    let (parts, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, BODY_MAX_BYTES)
        .await
        .map_err(|_| ApiError::new(ErrorCode::TooLarge, "the signed request body is too large"))?;
    if blake3::hash(&bytes).as_bytes() != &headers.body.0 {
        return Err(refused(Refusal::WrongBody));
    }
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

async fn sign(response: Response, secret: &Secret, nonce: &str, time_ms: i64) -> Response {
    let (mut parts, body) = response.into_parts();
    let (hash, body) = match parts.extensions.get::<SignedBody>() {
        Some(SignedBody(hash)) => (*hash, body),
        None => match axum::body::to_bytes(body, ANSWER_MAX_BYTES).await {
            Ok(bytes) => (hash_of(&bytes), Body::from(bytes)),
            Err(error) => return ApiError::internal(error).into_response(),
        },
    };
    let answer = AnswerToSign { request_nonce: nonce, status: parts.status.as_u16(), time_ms, body: hash };
    let values = [
        (TIME_HEADER, time_ms.to_string()),
        (BODY_HEADER, hash.to_string()),
        (SIGNATURE_HEADER, secret.sign(&answer.to_text())),
    ];
    for (name, value) in values {
        if let Ok(value) = HeaderValue::from_str(&value) {
            parts.headers.insert(name, value);
        }
    }
    Response::from_parts(parts, body)
}

fn hash_of(bytes: &Bytes) -> ContentHash {
    ContentHash(*blake3::hash(bytes).as_bytes())
}

fn refused(refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::Malformed => ApiError::new(ErrorCode::InvalidSignature, "the signature headers are incomplete"),
        Refusal::WrongSignature => ApiError::new(
            ErrorCode::InvalidSignature,
            "the signature does not match: this id has no secret here, or another one. Join again with a new join code",
        ),
        Refusal::WrongTime => ApiError::new(
            ErrorCode::ClockSkew,
            "the request's time is too far from this machine's clock, or from before it started",
        ),
        Refusal::Replayed => ApiError::new(ErrorCode::Replayed, "this request was sent before"),
        Refusal::WrongBody => ApiError::new(ErrorCode::InvalidSignature, "the body is not the one that was signed"),
    }
}
