//! The meeting that a path names.

use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;
use posthouse_protocol::MeetingId;
use posthouse_runtime::http::ApiError;

use crate::error::{Error, Refusal};

/// In the arguments of a handler: the `{id}` of its path, else 400.
#[derive(Debug, Clone)]
pub(crate) struct MeetingPath(pub(crate) MeetingId);

impl<S: Send + Sync> FromRequestParts<S> for MeetingPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|rejection| ApiError::invalid(rejection.body_text()))?;
        let id = params.iter().find(|(name, _)| *name == "id").map(|(_, id)| id).unwrap_or_default();
        id.parse().map(Self).map_err(|error| Error::from(Refusal::BadId(error)).into())
    }
}
