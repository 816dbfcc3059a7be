//! From the network to the disk: chunks of an answer go through a short queue to a thread that hashes and writes them,
//! so that a package of any size passes through a few MiB of memory.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use posthouse_runtime::client::StreamedAnswer;
use posthouse_runtime::metrics::Counter;
use posthouse_runtime::tasks::blocking;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::error::FetchError;

/// Chunks that wait for the disk. hyper makes them up to some 400 KiB.
const QUEUE: usize = 16;
/// A connection over which nothing comes for so long is given up, and the fetch resumed over another.
const SILENCE_MAX: Duration = Duration::from_secs(30);

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

/// Sends the body to `sink`, which runs on a blocking thread until the queue ends or it has enough, and gives back what
/// the sink gives. When `sink` stops early the rest of the body is not read.
///
/// The error is that of the connection; what the sink says comes beside it, because what it has is of use nevertheless.
pub(super) async fn receive<Output, Sink>(
    answer: StreamedAnswer,
    deadline: Instant,
    cancel: &CancellationToken,
    received: &Counter,
    sink: Sink,
) -> (Output, Result<(), FetchError>)
where
    Output: Send + 'static,
    Sink: FnOnce(mpsc::Receiver<Bytes>) -> Output + Send + 'static,
{
    let (queue, queued) = mpsc::channel(QUEUE);
    let pump = pump(answer, deadline, cancel, received, queue);
    let (output, result) = tokio::join!(blocking(move || sink(queued)), pump);
    (output, result)
}

async fn pump(
    mut answer: StreamedAnswer,
    deadline: Instant,
    cancel: &CancellationToken,
    received: &Counter,
    queue: mpsc::Sender<Bytes>,
) -> Result<(), FetchError> {
    let begun = Instant::now();
    loop {
        let limit = deadline.min(Instant::now() + SILENCE_MAX);
        let chunk = tokio::select! {
            chunk = timeout_at(limit, answer.response.chunk()) => chunk,
            // It has what it needs, or failed.
            () = queue.closed() => return Ok(()),
            () = cancel.cancelled() => return Err(FetchError::Cancelled),
        };
        match chunk {
            Err(_) => return Err(FetchError::TimedOut(begun.elapsed().as_secs())),
            Ok(Err(error)) => return Err(FetchError::Broken(innermost(&error))),
            Ok(Ok(None)) => return Ok(()),
            Ok(Ok(Some(chunk))) => {
                received.inc_by(chunk.len() as u64);
                if queue.send(chunk).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
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
