//! The long-lived connection of a node: one JSON object a line, each signed when the connection is.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use futures_util::stream;
use http::header;
use posthouse_protocol::ErrorBody;
use posthouse_protocol::legacy::Success;
use posthouse_protocol::live::{ChallengeAnswer, LiveEvent, SignedLiveEvent};
use posthouse_protocol::signing::live_event_text;
use posthouse_runtime::http::signature::{SignedBody, VerifiedNode};
use posthouse_runtime::http::{ApiError, ApiJson};
use serde::Deserialize;

use crate::error::Error;
use crate::http::api_query::ApiQuery;
use crate::http::speaker::Speaker;
use crate::registry::LiveFeed;
use crate::state::Master;

/// Which node, and which of its processes.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct LiveQuery {
    /// Node id; who signs may leave it out.
    #[serde(default)]
    node_id: Option<String>,
    /// Id of the process, as in its registration. When absent the one that is registered is meant.
    #[serde(default)]
    instance: Option<String>,
}

/// Opens the connection of a registered node; it stays open until one side goes. Its end takes the node out at once.
#[utoipa::path(get, path = "/api/v1/nodes/live", tag = "nodes", params(LiveQuery),
    responses((status = 200, content_type = "application/x-ndjson", body = SignedLiveEvent), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn open(
    State(master): State<Master>,
    Speaker(speaker): Speaker,
    verified: Option<Extension<VerifiedNode>>,
    ApiQuery(query): ApiQuery<LiveQuery>,
) -> Result<Response, ApiError> {
    let LiveQuery { node_id, instance } = query;
    let node_id = node_id.or_else(|| speaker.verified.clone()).unwrap_or_default();
    let feed = master.registry.open_live(&node_id, instance.as_deref(), &speaker).map_err(Error::from)?;
    let lines = Lines { feed, sequence: 0, verified: verified.map(|Extension(verified)| verified) };
    let body = Body::from_stream(stream::unfold(lines, Lines::next));
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson"), (header::CACHE_CONTROL, "no-store")];
    // A reverse proxy shall not gather events before it passes them on.
    let mut response = (headers, [("x-accel-buffering", "no")], body).into_response();
    response.extensions_mut().insert(SignedBody::of_stream());
    Ok(response)
}

/// The process that was asked by a challenge says that it lives.
#[utoipa::path(post, path = "/api/v1/nodes/live/answer", tag = "nodes", request_body = ChallengeAnswer,
    responses((status = 200, body = Success), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn answer(
    State(master): State<Master>,
    Speaker(speaker): Speaker,
    ApiJson(answer): ApiJson<ChallengeAnswer>,
) -> Result<Json<Success>, ApiError> {
    master.registry.answer_challenge(&answer, &speaker).map_err(Error::from)?;
    Ok(Json(Success::with("Challenge answered")))
}

/// A feed as lines of text.
struct Lines {
    feed: LiveFeed,
    sequence: u64,
    verified: Option<VerifiedNode>,
}

impl Lines {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        let event = self.feed.next().await?;
        let line = self.line(&event)?;
        self.sequence += 1;
        Some((Ok(line), self))
    }

    /// `None` never: plain data always serialises.
    fn line(&self, event: &LiveEvent) -> Option<Bytes> {
        let event = serde_json::to_string(event).ok()?;
        let sign =
            |verified: &VerifiedNode| verified.secret.sign(&live_event_text(&verified.nonce, self.sequence, &event));
        let signature = self.verified.as_ref().map(sign).unwrap_or_default();
        let mut line = serde_json::to_vec(&SignedLiveEvent { sequence: self.sequence, event, signature }).ok()?;
        line.push(b'\n');
        Some(line.into())
    }
}
