//! An id for each request: in every log line it causes and in the answer's `x-request-id`.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderValue};

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

/// Runs work in a task of its own on behalf of the request that this code runs for.
pub(crate) fn carried<Output>(work: impl Future<Output = Output>) -> impl Future<Output = Output> {
    let id = current();
    async move {
        match id {
            Some(id) => OF_TASK.scope(id, work).await,
            None => work.await,
        }
    }
}

/// Middleware: takes a well-formed id from the client or a proxy before us, or makes one.
pub async fn assign(request: Request, next: Next) -> Response {
    let id: Arc<str> = given(request.headers()).map_or_else(|| new_id().into(), Arc::from);
    let mut response = OF_TASK.scope(id.clone(), logged(request, next)).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID_HEADER, value);
    }
    response
}

/// The same for an answer that is given without any middleware.
pub(super) fn stamp(request: &HeaderMap, response: &mut HeaderMap) {
    let id = match given(request) {
        Some(id) => HeaderValue::from_str(id),
        None => HeaderValue::try_from(new_id()),
    };
    if let Ok(id) = id {
        response.insert(REQUEST_ID_HEADER, id);
    }
}

fn given(request: &HeaderMap) -> Option<&str> {
    let id = request.get(REQUEST_ID_HEADER)?.to_str().ok()?;
    is_well_formed(id).then_some(id)
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
