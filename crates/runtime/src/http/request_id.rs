//! An id for each request: in every log line it causes and in the answer's `x-request-id`.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderValue;

/// The header.
pub const REQUEST_ID_HEADER: &str = "x-request-id";

tokio::task_local! {
    static OF_TASK: Arc<str>;
}

thread_local! {
    static OF_THREAD: RefCell<Option<Arc<str>>> = const { RefCell::new(None) };
}

/// The id of the request that this code runs for, if it runs for one.
#[must_use]
pub fn current() -> Option<Arc<str>> {
    OF_TASK.try_with(Clone::clone).ok().or_else(|| OF_THREAD.with_borrow(Clone::clone))
}

/// Runs blocking work on behalf of a request.
pub fn with<Output>(id: Option<Arc<str>>, work: impl FnOnce() -> Output) -> Output {
    let before = OF_THREAD.replace(id);
    let output = work();
    OF_THREAD.set(before);
    output
}

/// Middleware: takes a well-formed id from the client or a proxy before us, or makes one.
pub async fn assign(request: Request, next: Next) -> Response {
    let given = request.headers().get(REQUEST_ID_HEADER).and_then(|value| value.to_str().ok());
    let id: Arc<str> = match given.filter(|id| is_well_formed(id)) {
        Some(id) => id.into(),
        None => new_id().into(),
    };
    let mut response = OF_TASK.scope(id.clone(), logged(request, next)).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID_HEADER, value);
    }
    response
}

/// One line a request at DEBUG. Without the query, which may hold a ticket.
async fn logged(request: Request, next: Next) -> Response {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return next.run(request).await;
    }
    let (method, path, began) = (request.method().clone(), request.uri().path().to_owned(), Instant::now());
    let response = next.run(request).await;
    tracing::debug!(%method, path, status = response.status().as_u16(), took = ?began.elapsed(), "answered");
    response
}

fn is_well_formed(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Unique within the process and, by its random beginning, across restarts.
fn new_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    static PREFIX: std::sync::LazyLock<String> = std::sync::LazyLock::new(crate::random::hex::<4>);
    format!("{}-{:x}", *PREFIX, NEXT.fetch_add(1, Ordering::Relaxed))
}
