//! Binding, accepting, and stopping without cutting anybody off.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::IntoResponse as _;
use axum_server::Handle;
use posthouse_protocol::ErrorCode;
use tower_http::catch_panic::CatchPanicLayer;

use crate::exit::StartError;
use crate::http::linger::LingeringAcceptor;
use crate::http::{ApiError, request_id};
use crate::tasks::Tasks;

/// Bodies that are not uploads.
pub const BODY_MAX_BYTES: usize = 4 * 1024 * 1024;
/// A client that has not sent the head of its request by then is cut off.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// Binds a listener, with the failure in words.
pub fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    let listener = TcpListener::bind(address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => StartError::PortInUse(address),
        _ => StartError::CannotListen(address, error),
    })?;
    listener.set_nonblocking(true).map_err(|error| StartError::CannotListen(address, error))?;
    Ok(listener)
}

/// A running server.
#[derive(Debug, Clone)]
pub struct Server {
    handle: Handle<SocketAddr>,
}

impl Server {
    /// Serves `router` on `listener` in a task of `tasks`. Request ids, panics, unknown paths and large bodies are
    /// dealt with here.
    pub fn start(tasks: &Tasks, listener: TcpListener, router: Router) -> io::Result<Self> {
        let handle = Handle::new();
        let router = router
            .fallback(async || ApiError::not_found("Not Found"))
            .method_not_allowed_fallback(async || ApiError::new(ErrorCode::MethodNotAllowed, "Method Not Allowed"))
            .layer(CatchPanicLayer::custom(|panic: Box<dyn std::any::Any + Send>| {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown");
                ApiError::internal(format!("a handler panicked: {text}")).into_response()
            }))
            .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
            .layer(axum::middleware::from_fn(request_id::assign));
        let mut server = axum_server::from_tcp(listener)?.acceptor(LingeringAcceptor).handle(handle.clone());
        server.http_builder().http1().timer(hyper_util::rt::TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tasks.spawn("http server", async move {
            if let Err(error) = server.serve(service).await {
                tracing::error!(%error, "the HTTP server failed");
            }
        });
        Ok(Self { handle })
    }

    /// Stops accepting; connections end after the answer they are at, or at `limit`. [`Tasks::finish`] waits for it.
    pub fn drain(&self, limit: Duration) {
        self.handle.graceful_shutdown(Some(limit));
    }

    /// How many connections are open.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.handle.connection_count()
    }
}
