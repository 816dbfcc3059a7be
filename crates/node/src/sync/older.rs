//! Fetching from an older master, which describes nothing: a package is complete when the body is, and right when the
//! checksums in the zip are.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use posthouse_package::{Incoming, verify_zip};
use posthouse_protocol::{ContentHash, routes};
use posthouse_runtime::client::ClientError;
use posthouse_runtime::tasks::blocking;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::agenda::Target;
use super::assembly::{Progress, reserve};
use super::error::FetchError;
use super::job::Job;
use super::transfer;
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
    let disk = |error: std::io::Error| FetchError::of_disk(&error, &root);
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
    let progress = job.progress.clone();
    let sink = move |queue| write(incoming, &progress, queue);
    let (written, connection) = transfer::receive(answer, deadline, &job.cancel, &node.received_bytes, sink).await;
    let outcome = match (written.outcome, connection) {
        (Err(error), _) => Err(disk(error)),
        (Ok(_), Err(error)) => Err(error),
        (Ok(found), Ok(())) if length > 0 && found.1 != length => {
            Err(FetchError::Broken(format!("{} of {length} bytes", found.1)))
        }
        (Ok(found), Ok(())) => Ok(found),
    };
    let (hash, size_bytes) = match outcome {
        Ok(found) => found,
        Err(error) => return Err(discarded(written.incoming, error).await),
    };
    // Older masters send no length, so it may only be known now that it does not fit.
    drop(room);
    let _room = match space::make_room(node, meeting, size_bytes).await {
        Ok(room) => room,
        Err(error) => return Err(discarded(written.incoming, error).await),
    };
    shelve(node, job, written.incoming, hash, size_bytes).await
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

struct Written {
    incoming: Incoming,
    outcome: std::io::Result<(ContentHash, u64)>,
}

fn write(incoming: Incoming, progress: &Progress, mut queue: mpsc::Receiver<Bytes>) -> Written {
    let mut hasher = blake3::Hasher::new();
    let mut work = || -> std::io::Result<(ContentHash, u64)> {
        while let Some(chunk) = queue.blocking_recv() {
            incoming.write_all_at(hasher.count(), &chunk)?;
            hasher.update(&chunk);
            progress.advance(chunk.len() as u64);
        }
        Ok((ContentHash(*hasher.finalize().as_bytes()), hasher.count()))
    };
    let outcome = work();
    Written { incoming, outcome }
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
    };
    placing::shelve(node, placed).await
}
