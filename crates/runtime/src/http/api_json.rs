//! A JSON body whose faults are answered with 400 and a sentence, as every other fault is.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, JsonRejection};
use axum::extract::{FromRequest, Request};
use axum::{Json, RequestExt as _};
use posthouse_protocol::ErrorCode;
use serde::de::DeserializeOwned;

use crate::http::ApiError;

/// Extracts JSON whatever the content type says: the deployed clients are not all careful with it.
#[derive(Debug, Clone)]
pub struct ApiJson<T>(pub T);

/// Extracts a body whatever it is, for a handler that reads it itself.
#[derive(Debug, Clone)]
pub struct ApiBytes(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for ApiBytes {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, Self::Rejection> {
        let bytes: Result<Bytes, BytesRejection> = request.extract().await;
        bytes.map(Self).map_err(|rejection| {
            if rejection.status() == http::StatusCode::PAYLOAD_TOO_LARGE {
                ApiError::new(ErrorCode::TooLarge, "请求体过大 / the request body is too large")
            } else {
                ApiError::invalid(rejection.body_text())
            }
        })
    }
}

impl<S, T> FromRequest<S> for ApiJson<T>
where
    S: Send + Sync,
    T: DeserializeOwned + 'static,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, Self::Rejection> {
        let ApiBytes(bytes) = request.extract().await?;
        match Json::<T>::from_bytes(&bytes) {
            Ok(Json(value)) => Ok(Self(value)),
            Err(JsonRejection::JsonDataError(error)) => Err(ApiError::invalid(error.body_text())),
            Err(error) => {
                Err(ApiError::invalid(format!("请求不是有效的 JSON / not valid JSON: {}", error.body_text())))
            }
        }
    }
}
