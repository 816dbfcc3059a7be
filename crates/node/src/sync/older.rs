//! Fetching from an older master, which describes nothing: a package is complete when the body is, and right when the
//! checksums in the zip are.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use posthouse_package::{Incoming, verify_zip};
use posthouse_protocol::{ContentHash, routes};
use posthouse_runtime::client::ClientError;
use posthouse_runtime::tasks::blocking;
use rust_i18n::t;
use tokio::time::Instant;

use super::agenda::Target;
use super::assembly::{Progress, reserve};
use super::error::FetchError;
use super::job::Job;
use super::transfer::{self, Sink};
use crate::placing::{self, Placed};
use crate::shelf::Standing;
use crate::space;
use crate::state::Node;
use crate::uplink::Link;

/// Name of the temporary file. Nothing tells whether an earlier beginning belongs to the same package, so it is never
/// continued.
const TAG: &str = "older-master";
/// Time limit for the reachability probe.
const PROBE_LIMIT: Duration = Duration::from_secs(10);

/// One attempt.
pub(super) async fn attempt(node: &Node, link: &Arc<Link>, job: &Job) -> Result<(), FetchError> {
    let deadline = Instant::now() + node.settings.now().network.download_timeout;
    // An older master does not tell how large a package is. What did not fit is not fetched again to find that out anew.
    let known = node.sync.outlook.lock().size_without_room(&job.wanted);
    drop(space::make_room(node, &job.wanted.meeting, known).await?);
    // A client's request asks the master only once.
    if job.is_asked_by_master() {
        probe(link).await?;
    }
    let meeting = &job.wanted.meeting;
    let limit = deadline.saturating_duration_since(Instant::now());
    let target = routes::download_package_direct(meeting);
    let answer = tokio::select! {
        answer = link.client.stream(&target, HeaderMap::new(), limit) => answer.map_err(FetchError::of_request)?,
        () = job.cancel.cancelled() => return Err(FetchError::Cancelled),
    };
    let length = answer.response.headers().get(header::CONTENT_LENGTH);
    let length: u64 = length.and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0);
    job.progress.begin(0, 0, length);
    let room = space::make_room(node, meeting, length).await?;

    let store = node.package_store();
    let root = store.root().to_owned();
    let disk = |error: io::Error| FetchError::of_disk(&error, &root);
    let incoming = {
        let meeting = meeting.clone();
        blocking(move || {
            let incoming = store.incoming(&meeting, TAG)?;
            incoming.truncate(0)?;
            reserve(&incoming, length)?;
            Ok(incoming)
        })
        .await
        .map_err(disk)?
    };
    let most = space::most(node, meeting);
    let sink = WholeSink { incoming, progress: job.progress.clone(), hasher: blake3::Hasher::new(), most };
    let (sink, ended) = transfer::receive(answer, deadline, &job.cancel, &node.received_bytes, &root, sink).await;
    drop(room);
    let WholeSink { incoming, hasher, .. } = sink;
    let (hash, size_bytes) = (ContentHash(*hasher.finalize().as_bytes()), hasher.count());
    let ended = match ended {
        Ok(()) if length > 0 && size_bytes < length => Err(FetchError::Broken(t!("fetch.too_short").into_owned())),
        ended => ended,
    };
    if let Err(error) = ended {
        return Err(discarded(incoming, error).await);
    }
    // Older masters send no length, so it may only be known now that it does not fit.
    let _room = match space::make_room(node, meeting, size_bytes).await {
        Ok(room) => room,
        Err(error) => return Err(discarded(incoming, error).await),
    };
    shelve(node, job, incoming, hash, size_bytes).await
}

/// The older node's only look at whether its master is there.
async fn probe(link: &Link) -> Result<(), FetchError> {
    match link.client.stream("/", HeaderMap::new(), PROBE_LIMIT).await {
        Ok(_) => Ok(()),
        Err(ClientError::Status { status, .. }) if status.is_redirection() || status == StatusCode::NOT_MODIFIED => {
            Ok(())
        }
        Err(error) => Err(FetchError::Client(error)),
    }
}

/// Takes a body from its first byte to its last.
struct WholeSink {
    incoming: Incoming,
    progress: Arc<Progress>,
    hasher: blake3::Hasher,
    /// Bytes for which there can be room.
    most: u64,
}

impl Sink for WholeSink {
    fn take(&mut self, pieces: Vec<Bytes>) -> io::Result<bool> {
        for bytes in pieces {
            self.incoming.write_all_at(self.hasher.count(), &bytes)?;
            self.hasher.update(&bytes);
            self.progress.advance(bytes.len() as u64);
        }
        // What does not fit is not read to its end.
        Ok(self.hasher.count() <= self.most)
    }
}

async fn discarded(incoming: Incoming, error: FetchError) -> FetchError {
    if let Err(error) = blocking(move || incoming.discard()).await {
        tracing::warn!(%error, "a temporary file could not be removed");
    }
    error
}

async fn shelve(
    node: &Node,
    job: &Job,
    incoming: Incoming,
    hash: ContentHash,
    size_bytes: u64,
) -> Result<(), FetchError> {
    let meeting = &job.wanted.meeting;
    let change_token = match &job.wanted.target {
        Target::AtToken(token) => Some(token.clone()),
        _ => None,
    };
    let standing = if job.is_asked_by_master() { Standing::Active } else { Standing::Unknown };
    if node.shelf.sound(&meeting.key()).is_some_and(|held| held.hash() == hash) {
        tracing::debug!(%meeting, "the package is still the same");
        let noted = node.shelf.note(meeting, standing, None, change_token.as_deref());
        placing::save(node, noted).await;
        let _ = blocking(move || incoming.discard()).await;
        return Ok(());
    }
    let root = node.package_store().root().to_owned();
    let (sound, incoming) = blocking(move || (verify_zip(incoming.path()), incoming)).await;
    if let Err(error) = sound {
        return Err(discarded(incoming, error.into()).await);
    }
    let _turn = node.shelf.turn(&meeting.key()).await;
    let stored = blocking(move || incoming.place()).await.map_err(|error| FetchError::of_disk(&error, &root))?;
    let placed = Placed {
        meeting: meeting.clone(),
        title: job.wanted.title.clone(),
        version: 0,
        hash,
        size_bytes,
        path: stored.path,
        standing,
        change_token,
        was_read_whole: true,
    };
    placing::shelve(node, placed).await
}
