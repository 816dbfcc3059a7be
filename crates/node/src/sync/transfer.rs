//! From the network to the disk: chunks of an answer are gathered for as long as the disk is busy with those before, so
//! that a package of any size passes through a few MiB of memory. Hashing and writing is done on blocking threads, which
//! are taken for one batch at a time: a slow master holds none.

use std::future::Future;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::OptionFuture;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use posthouse_runtime::client::StreamedAnswer;
use posthouse_runtime::metrics::Counter;
use posthouse_runtime::tasks::blocking;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::error::FetchError;

/// Bytes that are gathered while the disk is busy; then the network has to wait.
const GATHERED_MAX: usize = 4 << 20;
/// A connection over which nothing comes for so long is given up, and the fetch resumed over another.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// What takes the bytes of a body.
pub(super) trait Sink: Send + 'static {
    /// Takes the next bytes, in pieces; whether it wants more. Blocks.
    fn take(&mut self, pieces: Vec<Bytes>) -> io::Result<bool>;
}

/// Asks for these bytes; nothing to ask when they are all there are.
pub(super) fn range_header(range: &Range<u64>, size_bytes: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let text = match (range.start, range.end == size_bytes) {
        (0, true) => return headers,
        (start, true) => format!("bytes={start}-"),
        (start, false) => format!("bytes={start}-{}", range.end - 1),
    };
    // Digits and dashes always fit in a header.
    if let Ok(value) = HeaderValue::from_str(&text) {
        headers.insert(header::RANGE, value);
    }
    headers
}

/// How many bytes of the body come before the first one asked for: none in a partial answer, `range.start` when the whole
/// was sent.
pub(super) fn bytes_before(answer: &StreamedAnswer, range: &Range<u64>) -> Result<u64, FetchError> {
    if answer.response.status() != StatusCode::PARTIAL_CONTENT {
        return Ok(range.start);
    }
    let content_range = answer.response.headers().get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let start = content_range
        .and_then(|text| text.strip_prefix("bytes "))
        .and_then(|text| text.split_once('-'))
        .and_then(|(start, _)| start.parse::<u64>().ok());
    match start {
        Some(start) if start == range.start => Ok(0),
        _ => Err(FetchError::Contradiction("Content-Range")),
    }
}

/// Gives the body to `sink` until it ends or the sink has enough; then the rest is not read. `folder`: where the sink
/// writes, for the words of its failure.
pub(super) async fn receive<S: Sink>(
    mut answer: StreamedAnswer,
    deadline: Instant,
    cancel: &CancellationToken,
    received: &Counter,
    folder: &Path,
    sink: S,
) -> (S, Result<(), FetchError>) {
    let begun = Instant::now();
    let mut idle = Some(sink);
    let mut writing: Option<Writing<S>> = None;
    let mut gathered = Gathered::default();
    // How the connection ended, once it did.
    let mut end: Option<Result<(), FetchError>> = None;
    loop {
        if let Some(sink) = idle.take_if(|_| !gathered.chunks.is_empty()) {
            writing = Some(write(sink, std::mem::take(&mut gathered)));
        }
        if let Some(sink) = idle.take_if(|_| end.is_some()) {
            return (sink, end.unwrap_or(Ok(())));
        }
        let limit = deadline.min(Instant::now() + SILENCE_MAX);
        let written: OptionFuture<_> = writing.as_mut().into();
        tokio::select! {
            Some((sink, result)) = written => {
                writing = None;
                match result {
                    Ok(true) => idle = Some(sink),
                    Ok(false) => return (sink, Ok(())),
                    Err(error) => return (sink, Err(FetchError::of_disk(&error, folder))),
                }
            }
            chunk = timeout_at(limit, answer.response.chunk()), if end.is_none() && gathered.bytes < GATHERED_MAX => {
                match chunk {
                    Err(_) => end = Some(Err(FetchError::TimedOut(begun.elapsed().as_secs()))),
                    Ok(Err(error)) => end = Some(Err(FetchError::Broken(innermost(&error)))),
                    Ok(Ok(None)) => end = Some(Ok(())),
                    Ok(Ok(Some(chunk))) => {
                        received.inc_by(chunk.len() as u64);
                        gathered.bytes += chunk.len();
                        gathered.chunks.push(chunk);
                    }
                }
            }
            () = cancel.cancelled(), if end.is_none() => end = Some(Err(FetchError::Cancelled)),
        }
    }
}

type Writing<S> = Pin<Box<dyn Future<Output = (S, io::Result<bool>)> + Send>>;

/// Chunks that wait for the disk.
#[derive(Default)]
struct Gathered {
    chunks: Vec<Bytes>,
    bytes: usize,
}

fn write<S: Sink>(mut sink: S, gathered: Gathered) -> Writing<S> {
    Box::pin(blocking(move || {
        let taken = sink.take(gathered.chunks);
        (sink, taken)
    }))
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_part_is_asked_for_by_range() {
        let asked = |range: Range<u64>| range_header(&range, 100).get(header::RANGE).cloned();
        assert_eq!(asked(0..100), None);
        assert_eq!(asked(40..100).unwrap(), "bytes=40-");
        assert_eq!(asked(0..40).unwrap(), "bytes=0-39");
        assert_eq!(asked(40..41).unwrap(), "bytes=40-40");
    }
}
