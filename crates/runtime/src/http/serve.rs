//! Binding, accepting, and stopping without cutting anybody off.

use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use axum::extract::{ConnectInfo, DefaultBodyLimit};
use axum::response::IntoResponse as _;
use axum::{Extension, Router};
use axum_server::Handle;
use posthouse_protocol::ErrorCode;
use tower::{Layer as _, service_fn};
use tower_http::catch_panic::CatchPanicLayer;

use crate::exit::StartError;
use crate::http::at_once::{AtOnce, ShortCut};
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

/// Answers for unknown paths, wrong methods and panics, to be added before the layer that signs answers.
pub fn with_fallbacks<State: Clone + Send + Sync + 'static>(router: Router<State>) -> Router<State> {
    router
        .fallback(async || ApiError::not_found("Not Found"))
        .method_not_allowed_fallback(async || ApiError::new(ErrorCode::MethodNotAllowed, "Method Not Allowed"))
        .layer(CatchPanicLayer::custom(|panic: Box<dyn std::any::Any + Send>| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown");
            ApiError::internal(format!("a handler panicked: {text}")).into_response()
        }))
}

/// A running server.
#[derive(Debug, Clone)]
pub struct Server {
    handle: Handle<SocketAddr>,
}

impl Server {
    /// Serves `router` on `listener` in a task of `tasks`. Request ids and large bodies are dealt with here.
    pub fn start(tasks: &Tasks, listener: TcpListener, router: Router) -> io::Result<Self> {
        Self::serve(tasks, listener, router, None)
    }

    /// The same, with a short cut before the router.
    pub fn start_with(tasks: &Tasks, listener: TcpListener, router: Router, short_cut: ShortCut) -> io::Result<Self> {
        Self::serve(tasks, listener, router, Some(short_cut))
    }

    fn serve(tasks: &Tasks, listener: TcpListener, router: Router, short_cut: Option<ShortCut>) -> io::Result<Self> {
        let handle = Handle::new();
        let router =
            router.layer(DefaultBodyLimit::max(BODY_MAX_BYTES)).layer(axum::middleware::from_fn(request_id::assign));
        // Programs that speak HTTP/2 to a plain port do not exist among our clients.
        let mut server =
            axum_server::from_tcp(listener)?.acceptor(LingeringAcceptor::default()).handle(handle.clone()).http1_only();
        server.http_builder().http1().timer(hyper_util::rt::TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
        let service = service_fn(move |peer: SocketAddr| {
            let told_who_asks = Extension(ConnectInfo(peer)).layer(router.clone());
            ready(Ok::<_, Infallible>(AtOnce::new(told_who_asks, short_cut.clone())))
        });
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
