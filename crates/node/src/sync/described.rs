//! Fetching from a master of ours: what it describes is put together block by block, resumed wherever it was left, and
//! put in place only when the whole is what was described.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use posthouse_protocol::package::DescribedPackage;
use posthouse_protocol::{PackageDescription, routes};
use posthouse_runtime::tasks::blocking;
use rust_i18n::t;
use tokio::time::Instant;

use super::agenda::{Target, Wanted};
use super::assembly::Assembly;
use super::error::FetchError;
use super::job::Job;
use super::transfer::{self, Sink};
use crate::placing::{self, Placed};
use crate::shelf::Standing;
use crate::space;
use crate::state::Node;
use crate::store::fetches;
use crate::uplink::Link;

/// Time limit for a description.
const DESCRIPTION_LIMIT: Duration = Duration::from_secs(30);
/// How often blocks that came wrong are asked for again within an attempt.
const REPAIRS: usize = 3;

/// What a job keeps from one attempt to the next.
#[derive(Debug, Default)]
pub(super) struct Kept {
    described: Option<Arc<DescribedPackage>>,
    assembly: Option<Assembly>,
    room: Option<space::Room>,
}

/// One attempt.
pub(super) async fn attempt(node: &Node, link: &Arc<Link>, job: &Job, kept: &mut Kept) -> Result<(), FetchError> {
    let deadline = Instant::now() + node.settings.now().network.download_timeout;
    let described = match &kept.described {
        Some(described) => described.clone(),
        None => {
            let described = Arc::new(describe(link, &job.wanted).await?);
            kept.described = Some(described.clone());
            described
        }
    };
    let description = &described.description;
    if relabel(node, &job.wanted, &described).await? {
        return Ok(());
    }
    if kept.room.is_none() {
        kept.room = Some(space::make_room(node, &job.wanted.meeting, description.size_bytes).await?);
    }
    let mut assembly = match kept.assembly.take() {
        Some(assembly) => assembly,
        None => begin(node, link, job, &described).await?,
    };
    for _ in 0..=REPAIRS {
        while let Some(range) = assembly.missing() {
            let (back, result) = receive(node, link, job, &described, assembly, range, deadline).await;
            assembly = match result {
                Ok(Received::Well) => back,
                Ok(Received::WithFaults) => {
                    assembly = back;
                    break;
                }
                Err(error) => {
                    keep_or_discard(kept, back, &error).await;
                    return Err(error);
                }
            };
        }
        if assembly.missing().is_none() {
            return finish(node, link, job, &described, assembly).await;
        }
    }
    // Is it the bytes, or what the master says of them? The next attempt asks for both.
    kept.described = None;
    Err(FetchError::BadBlocks(assembly.missing_blocks()))
}

/// What the master says the package is, checked against what it said when polled.
pub(crate) async fn describe(link: &Link, wanted: &Wanted) -> Result<DescribedPackage, FetchError> {
    let target = routes::package_description(&wanted.meeting);
    let described: DescribedPackage =
        link.client.get(&target, DESCRIPTION_LIMIT).await.map_err(FetchError::of_request)?;
    if described.meeting_id.key() != wanted.meeting.key() || !described.description.is_contiguous() {
        return Err(FetchError::Contradiction("package-description"));
    }
    match wanted.target {
        Target::Version { version, .. } if described.version != version => Err(FetchError::Superseded),
        Target::Version { hash, .. } if described.description.hash != hash => {
            Err(FetchError::Contradiction("package-description, status/node"))
        }
        _ => Ok(described),
    }
}

/// Whether the bytes are on the shelf already and only their version is new.
async fn relabel(node: &Node, wanted: &Wanted, described: &DescribedPackage) -> Result<bool, FetchError> {
    let held = node.shelf.sound(&wanted.meeting.key());
    let Some(held) = held.filter(|held| held.hash() == described.description.hash) else { return Ok(false) };
    placing::confirm(node, &held, described.version, held.stamp).await;
    Ok(true)
}

async fn begin(node: &Node, link: &Link, job: &Job, described: &Arc<DescribedPackage>) -> Result<Assembly, FetchError> {
    let is_proven = link.client.identity().is_some();
    let meeting = &job.wanted.meeting;
    let tag = described.description.hash.to_string();
    // First the note, then the file: a file without a note is torn.
    fetches::begin(&node.store, meeting, &tag).await?;
    let (store, progress) = (node.package_store(), job.progress.clone());
    let (meeting, description) = (meeting.clone(), Arc::new(described.description.clone()));
    progress.begin(described.version, 0, description.size_bytes);
    let folder = store.root().to_owned();
    let begun = blocking(move || {
        let incoming = store.incoming(&meeting, &tag)?;
        let path = incoming.path().to_owned();
        Assembly::begin(incoming, description, is_proven, progress).inspect_err(|error| {
            // A file that cannot be finished would only keep others from being.
            if posthouse_package::is_storage_full(error) {
                let _ = std::fs::remove_file(path);
            }
        })
    })
    .await;
    begun.map_err(|error| FetchError::of_disk(&error, &folder))
}

/// How a range arrived.
enum Received {
    Well,
    /// Some of its blocks are wrong.
    WithFaults,
}

async fn receive(
    node: &Node,
    link: &Link,
    job: &Job,
    described: &DescribedPackage,
    assembly: Assembly,
    range: Range<u64>,
    deadline: Instant,
) -> (Assembly, Result<Received, FetchError>) {
    let meeting = &job.wanted.meeting;
    let description = &described.description;
    let target = format!("{}?version={}", routes::download_package_direct(meeting), described.version);
    let headers = transfer::range_header(&range, description.size_bytes);
    let limit = deadline.saturating_duration_since(Instant::now());
    let asked = tokio::select! {
        asked = link.client.stream(&target, headers, limit) => asked.map_err(FetchError::of_request),
        () = job.cancel.cancelled() => Err(FetchError::Cancelled),
    };
    let answer = match asked {
        Ok(answer) => answer,
        Err(error) => return (assembly, Err(error)),
    };
    if answer.hash.is_some_and(|hash| hash != description.hash) {
        return (assembly, Err(FetchError::Contradiction("download-package-direct, package-description")));
    }
    let skip = match transfer::bytes_before(&answer, &range) {
        Ok(skip) => skip,
        Err(error) => return (assembly, Err(error)),
    };
    let sink = BlockSink { assembly, offset: range.start, end: range.end, skip, wrong_blocks: 0 };
    let root = node.package_store().root().to_owned();
    let (sink, ended) = transfer::receive(answer, deadline, &job.cancel, &node.received_bytes, &root, sink).await;
    let result = match ended {
        Err(error) => Err(error),
        Ok(()) if sink.offset < sink.end => Err(FetchError::Broken(t!("fetch.too_short").into_owned())),
        Ok(()) if sink.wrong_blocks == 0 => Ok(Received::Well),
        Ok(()) => Ok(Received::WithFaults),
    };
    (sink.assembly, result)
}

/// Puts a range together.
struct BlockSink {
    assembly: Assembly,
    offset: u64,
    end: u64,
    /// Bytes of the body that come before the range.
    skip: u64,
    wrong_blocks: usize,
}

impl Sink for BlockSink {
    fn take(&mut self, mut pieces: Vec<Bytes>) -> io::Result<bool> {
        let mut room = self.end - self.offset;
        for piece in &mut pieces {
            let skipped = self.skip.min(piece.len() as u64);
            self.skip -= skipped;
            // Neither is more than the length of the piece.
            piece.advance(skipped as usize);
            piece.truncate(room.min(piece.len() as u64) as usize);
            room -= piece.len() as u64;
        }
        self.wrong_blocks += self.assembly.write(self.offset, &pieces)?;
        self.offset = self.end - room;
        Ok(room > 0)
    }
}

async fn keep_or_discard(kept: &mut Kept, assembly: Assembly, error: &FetchError) {
    if matches!(error, FetchError::DiskFull(_)) {
        discard(assembly).await;
        kept.room = None;
    } else {
        kept.assembly = Some(assembly);
    }
    if matches!(error, FetchError::Contradiction(_)) {
        kept.described = None;
    }
}

async fn discard(assembly: Assembly) {
    if let Err(error) = blocking(move || assembly.discard()).await {
        tracing::warn!(%error, "a temporary file could not be removed");
    }
}

/// All blocks are right: checks the whole and puts it in place.
async fn finish(
    node: &Node,
    link: &Link,
    job: &Job,
    described: &DescribedPackage,
    assembly: Assembly,
) -> Result<(), FetchError> {
    let root = node.package_store().root().to_owned();
    let checked = blocking(move || (assembly.has_described_hash(), assembly)).await;
    let (is_described, assembly) = checked;
    if !is_described.map_err(|error| FetchError::of_disk(&error, &root))? {
        discard(assembly).await;
        return Err(FetchError::Contradiction("package-description"));
    }
    let _turn = node.shelf.turn(&job.wanted.meeting.key()).await;
    let stored = blocking(move || assembly.place()).await.map_err(|error| FetchError::of_disk(&error, &root))?;
    let PackageDescription { hash, size_bytes, .. } = described.description;
    let standing = if job.is_asked_by_master() { Standing::Active } else { Standing::Unknown };
    placing::shelve(
        node,
        Placed {
            meeting: job.wanted.meeting.clone(),
            title: job.wanted.title.clone(),
            version: described.version,
            hash,
            size_bytes,
            path: stored.path,
            standing,
            change_token: None,
            was_read_whole: link.client.identity().is_none(),
        },
    )
    .await
}
