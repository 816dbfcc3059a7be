//! `/api/v1/events`: the list and the live stream.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{self, KeepAlive};
use futures_util::Stream;
use http::HeaderMap;
use posthouse_protocol::ErrorBody;
use posthouse_protocol::event::{Event, EventPage, EventQuery};
use posthouse_runtime::http::ApiError;
use tokio::sync::watch;

use crate::http::api_query::ApiQuery;
use crate::http::auth::Admin;
use crate::state::Master;

/// Open streams look so often for events of other processes.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
const LIMIT: u32 = 100;
const LIMIT_MAX: u32 = 1000;

/// Events with an id above `after`, in ascending order. Ids have no gaps; the oldest events are removed in time.
#[utoipa::path(get, path = "/api/v1/events", tag = "operators", security(("bearer" = [])), params(EventQuery),
    responses((status = 200, body = EventPage), (status = 401, body = ErrorBody)))]
pub(crate) async fn list(
    _: Admin,
    State(master): State<Master>,
    ApiQuery(query): ApiQuery<EventQuery>,
) -> Result<Json<EventPage>, ApiError> {
    let limit = query.limit.unwrap_or(LIMIT).min(LIMIT_MAX);
    Ok(Json(master.events.page(query.after.unwrap_or(0), limit).await?))
}

/// Events as they happen (`text/event-stream`), each with its id. A client that comes back sends `Last-Event-ID`, or
/// `after`, and gets what it missed; without either it begins with what happens from now on.
#[utoipa::path(get, path = "/api/v1/events/stream", tag = "operators", security(("bearer" = [])), params(EventQuery),
    responses((status = 200, content_type = "text/event-stream", body = Event), (status = 401, body = ErrorBody)))]
pub(crate) async fn stream(
    _: Admin,
    State(master): State<Master>,
    ApiQuery(query): ApiQuery<EventQuery>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, ApiError> {
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    let newest = master.events.newest();
    let after = last.or(query.after).unwrap_or_else(|| *newest.borrow());
    let stream = futures_util::stream::unfold(Reader { master, newest, after, read: VecDeque::new() }, Reader::next);
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

/// One client's place in the events.
struct Reader {
    master: Master,
    newest: watch::Receiver<u64>,
    after: u64,
    read: VecDeque<Event>,
}

impl Reader {
    async fn next(mut self) -> Option<(Result<sse::Event, Infallible>, Self)> {
        loop {
            if let Some(event) = self.read.pop_front() {
                self.after = event.id;
                let message = sse::Event::default().id(event.id.to_string()).json_data(&event).ok()?;
                return Some((Ok(message), self));
            }
            let newest = *self.newest.borrow_and_update();
            if newest > self.after {
                // The client comes back by itself if the database does not answer now.
                self.read = self.master.events.page(self.after, LIMIT).await.ok()?.events.into();
                if !self.read.is_empty() {
                    continue;
                }
            }
            tokio::select! {
                changed = self.newest.changed() => changed.ok()?,
                () = tokio::time::sleep(LOOK_INTERVAL) => self.master.events.look().await.ok()?,
                () = self.master.stop.cancelled() => return None,
            }
        }
    }
}
