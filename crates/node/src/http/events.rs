//! What happened to this node: a list, and a live stream. They tell internals, so they are for whom the control routes
//! are for.

use std::convert::Infallible;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Sse;
use axum::response::sse::{Event as SseEvent, KeepAlive};
use futures_util::{Stream, StreamExt as _, stream};
use http::HeaderMap;
use posthouse_protocol::event::{Event, EventPage, EventQuery};
use posthouse_runtime::http::ApiError;

use super::access::Control;
use crate::state::Node;

const LIMIT_DEFAULT: u32 = 100;
const LIMIT_MAX: u32 = 1000;

/// Events after an id, oldest first.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    params(EventQuery),
    responses((status = 200, body = EventPage), (status = 401), (status = 403)),
    tag = "events"
)]
pub(super) async fn list(
    _: Control,
    State(node): State<Node>,
    query: Result<Query<EventQuery>, QueryRejection>,
) -> Result<Json<EventPage>, ApiError> {
    let Query(query) = query.map_err(|rejection| ApiError::invalid(rejection.body_text()))?;
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX);
    Ok(Json(node.events.page(query.after.unwrap_or(0), limit).await?))
}

/// Events as they happen, each with its id; after a break the stream goes on where `Last-Event-ID` or `after` says.
#[utoipa::path(
    get,
    path = "/api/v1/events/stream",
    params(EventQuery),
    responses((status = 200, content_type = "text/event-stream", body = Event), (status = 401), (status = 403)),
    tag = "events"
)]
pub(super) async fn stream(
    _: Control,
    State(node): State<Node>,
    query: Result<Query<EventQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<SseEvent, Infallible>>>, ApiError> {
    let Query(query) = query.map_err(|rejection| ApiError::invalid(rejection.body_text()))?;
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let after = last.or(query.after).unwrap_or_else(|| node.events.last_id());
    let stopped = node.stop.clone().cancelled_owned();
    let batches = stream::unfold((node, after), async |(node, after)| {
        let events = node.events.next_after(after).await.ok()?;
        let after = events.last().map_or(after, |event| event.id);
        Some((stream::iter(events), (node, after)))
    });
    let events = batches.flatten().filter_map(async |event: Event| {
        let id = event.id.to_string();
        SseEvent::default().id(id).json_data(event).ok().map(Ok)
    });
    Ok(Sse::new(events.take_until(stopped)).keep_alive(KeepAlive::default()))
}
