//! Parts of a path whose faults are answered with 400 and a sentence, as every other fault is.

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use posthouse_runtime::http::ApiError;
use serde::de::DeserializeOwned;

/// In the arguments of a handler, like [`Path`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct ApiPath<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for ApiPath<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(path)| Self(path)).map_err(|rejection| ApiError::invalid(rejection.body_text()))
    }
}
