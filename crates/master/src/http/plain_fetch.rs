//! Watches a package go out to a Python node; `crate::registry::PlainFetch` says what for.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::{HeaderMap, StatusCode, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use posthouse_protocol::MeetingId;

use crate::catalog::PackageVersion;
use crate::registry::{PlainFetch, Registry, Speaker};

/// Whether a request is one that a deployed node sends: unsigned, by Python's aiohttp.
pub(super) fn is_by_python_node(headers: &HeaderMap, speaker: &Speaker) -> bool {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    speaker.verified.is_none() && agent.to_ascii_lowercase().contains("aiohttp")
}

/// The answer, which tells the registry once it went out whole.
pub(super) fn watched(
    response: Response,
    registry: &Registry,
    speaker: &Speaker,
    meeting: &MeetingId,
    version: &PackageVersion,
) -> Response {
    if response.status() != StatusCode::OK {
        return response;
    }
    let fetch =
        PlainFetch { peer: speaker.peer, meeting_key: meeting.key(), version: version.version, hash: version.hash };
    let (left, registry) = (version.size_bytes, registry.clone());
    response.map(|body| Body::new(WatchedBody { body, left, told: Some((registry, fetch)) }))
}

/// A body that tells the registry when its last byte was handed to the connection.
struct WatchedBody {
    body: Body,
    left: u64,
    told: Option<(Registry, PlainFetch)>,
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context).map_err(io::Error::other);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.left = self.left.saturating_sub(data.len() as u64);
            if self.left == 0
                && let Some((registry, fetch)) = self.told.take()
            {
                registry.note_fetch(fetch);
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
