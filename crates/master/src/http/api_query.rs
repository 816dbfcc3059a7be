//! A query whose faults are answered with 400 and a sentence, as every other fault is.

use axum::extract::{FromRequestParts, Query};
use http::request::Parts;
use posthouse_runtime::http::ApiError;
use serde::de::DeserializeOwned;

/// In the arguments of a handler, like [`Query`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct ApiQuery<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let query = Query::<T>::try_from_uri(&parts.uri);
        query.map(|Query(query)| Self(query)).map_err(|rejection| ApiError::invalid(rejection.body_text()))
    }
}
