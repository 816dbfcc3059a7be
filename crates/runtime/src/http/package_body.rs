//! Answers with a package: headers, ranges, and a body that reads the file window by window without blocking the
//! async threads and without copying on Linux.

use std::io;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::SystemTime;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use posthouse_package::read::PackageFile;
use posthouse_protocol::signing::VERSION_HEADER;
use posthouse_protocol::{ContentHash, ErrorCode};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::http::ApiError;
use crate::http::range::{Decision, decide};
use crate::http::signature::SignedBody;
use crate::metrics::ServingMetrics;

/// Who may read from disk: all that is served comes from one, and more threads that read than processors take the time
/// of those that send. Off Linux every window is read, most of them from memory, and those are not to wait for a disk.
static READS: LazyLock<Semaphore> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    Semaphore::new(if cfg!(target_os = "linux") { processors.max(2) } else { READS_ELSEWHERE })
});
/// Windows read at once where it cannot be told what is in memory.
const READS_ELSEWHERE: usize = 32;

/// A package ready to be served.
#[derive(Debug, Clone)]
pub struct ServedPackage {
    /// The open file.
    pub file: PackageFile,
    /// BLAKE3 of it: its strong ETag.
    pub hash: ContentHash,
    /// Its version, 0 when unknown.
    pub version: u64,
    /// When it was put in place.
    pub modified: SystemTime,
    /// `filename` of the content disposition; ASCII without quotes.
    pub filename: String,
}

/// Answers a GET or HEAD.
pub fn respond(method: &Method, headers: &HeaderMap, package: &ServedPackage, metrics: &ServingMetrics) -> Response {
    let length = package.file.len();
    let etag = format!("\"{}\"", package.hash);
    let last_modified = httpdate::fmt_http_date(package.modified);
    let decision = decide(headers, length, &etag, &last_modified);
    let (status, start, end) = match decision {
        Decision::Whole => (StatusCode::OK, 0, length),
        Decision::Part(start, end) => (StatusCode::PARTIAL_CONTENT, start, end),
        Decision::NotModified => (StatusCode::NOT_MODIFIED, 0, 0),
        Decision::Unsatisfiable => {
            let detail = format!("the package has {length} bytes");
            let mut response = ApiError::new(ErrorCode::RangeNotSatisfiable, detail).into_response();
            set(&mut response, header::CONTENT_RANGE, &format!("bytes */{length}"));
            return response;
        }
    };
    let body = if *method == Method::HEAD || status == StatusCode::NOT_MODIFIED {
        Body::empty()
    } else {
        metrics.downloads.inc();
        Body::new(PackageBody::new(package.file.clone(), start, end, metrics.clone()))
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    set(&mut response, header::ETAG, &etag);
    set(&mut response, header::LAST_MODIFIED, &last_modified);
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    set(&mut response, header::CACHE_CONTROL, "no-cache");
    if status != StatusCode::NOT_MODIFIED {
        set(&mut response, header::CONTENT_TYPE, "application/zip");
        set(&mut response, header::CONTENT_LENGTH, &(end - start).to_string());
        let disposition = format!("attachment; filename=\"{}\"", package.filename);
        set(&mut response, header::CONTENT_DISPOSITION, &disposition);
    }
    if status == StatusCode::PARTIAL_CONTENT {
        set(&mut response, header::CONTENT_RANGE, &format!("bytes {start}-{}/{length}", end - 1));
    }
    if package.version > 0 {
        set(&mut response, header::HeaderName::from_static(VERSION_HEADER), &package.version.to_string());
    }
    response.extensions_mut().insert(SignedBody(package.hash));
    response
}

fn set(response: &mut Response, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// Windows of a file, one after the other; the next one is read while the present one is being sent.
struct PackageBody {
    file: PackageFile,
    offset: u64,
    end: u64,
    ahead: Option<JoinHandle<io::Result<Bytes>>>,
    metrics: ServingMetrics,
}

impl PackageBody {
    fn new(file: PackageFile, offset: u64, end: u64, metrics: ServingMetrics) -> Self {
        metrics.active.inc();
        Self { file, offset, end, ahead: None, metrics }
    }

    fn read(&self, offset: u64) -> JoinHandle<io::Result<Bytes>> {
        let (file, left) = (self.file.clone(), self.end - offset);
        tokio::spawn(async move {
            let _turn = READS.acquire().await.map_err(io::Error::other)?;
            tokio::task::spawn_blocking(move || file.window(offset, left)).await?
        })
    }

    /// Accounts for a window and begins to read the next one, unless it is in memory anyway.
    fn hand_out(&mut self, window: Bytes) -> Option<Result<Frame<Bytes>, io::Error>> {
        self.offset += window.len() as u64;
        self.metrics.sent_bytes.inc_by(window.len() as u64);
        if cfg!(not(target_os = "linux")) && self.offset < self.end {
            self.ahead = Some(self.read(self.offset));
        }
        Some(Ok(Frame::data(window)))
    }
}

impl HttpBody for PackageBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.offset >= self.end {
            return Poll::Ready(None);
        }
        if !self.file.is_unchanged() {
            tracing::warn!("a download is broken off: its package was changed by hand");
            return Poll::Ready(Some(Err(io::Error::other("the package was changed while it was served"))));
        }
        let mut pending = match self.ahead.take() {
            Some(pending) => pending,
            None => match self.file.window_if_resident(self.offset, self.end - self.offset) {
                Some(Ok(window)) => return Poll::Ready(self.hand_out(window)),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.read(self.offset),
            },
        };
        let outcome = match Pin::new(&mut pending).poll(context) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => {
                self.ahead = Some(pending);
                return Poll::Pending;
            }
        };
        match outcome.map_err(io::Error::other).flatten() {
            Ok(window) if window.is_empty() => Poll::Ready(Some(Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the package is shorter than it was",
            )))),
            Ok(window) => {
                let frame = self.hand_out(window);
                // The disk was slow for this one, so it will be for the next.
                if self.ahead.is_none() && self.offset < self.end {
                    self.ahead = Some(self.read(self.offset));
                }
                Poll::Ready(frame)
            }
            Err(error) => {
                tracing::warn!(%error, "a package could not be read while it was served");
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.offset >= self.end
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end - self.offset)
    }
}

impl Drop for PackageBody {
    fn drop(&mut self) {
        self.metrics.active.dec();
    }
}
