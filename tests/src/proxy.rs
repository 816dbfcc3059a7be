//! A man in the middle: passes HTTP on between a node and its master, remembers it, and alters it when told to.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use parking_lot::Mutex;
use posthouse_protocol::routes;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::answer::client_builder;

/// A request and its answer as they pass.
#[derive(Debug, Clone)]
pub struct Passing {
    /// Method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// Headers of the request.
    pub request_headers: HeaderMap,
    /// Body of the request.
    pub request_body: Bytes,
    /// Status of the answer.
    pub status: StatusCode,
    /// Headers of the answer.
    pub answer_headers: HeaderMap,
    /// Body of the answer; empty when it streams, as that of the live connection does.
    pub answer_body: Bytes,
}

/// How the bytes of packages pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flow {
    /// Answer by answer, so that they can be altered.
    #[default]
    Whole,
    /// So many bytes of each answer, then nothing more; the connection stays open.
    StopsAfter(u64),
    /// So many bytes of each answer, then the connection ends.
    ClosesAfter(u64),
}

type Hook = Arc<dyn Fn(&mut Passing) + Send + Sync>;

/// A proxy in front of one server.
#[derive(Debug)]
pub struct Proxy {
    /// `ip:port` at which it listens.
    pub address: String,
    middle: Arc<Middle>,
    server: JoinHandle<()>,
}

struct Middle {
    target: String,
    http: reqwest::Client,
    on_request: Mutex<Option<Hook>>,
    on_answer: Mutex<Option<Hook>>,
    passed: Mutex<Vec<Passing>>,
    flow: Mutex<Flow>,
    delay: Mutex<Duration>,
}

impl std::fmt::Debug for Middle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Middle").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Proxy {
    /// In front of `target`, `ip:port`, on a free loopback port.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(target: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a port for a proxy")?;
        let address = listener.local_addr()?.to_string();
        let middle = Arc::new(Middle {
            target: target.to_owned(),
            // The live connection lasts.
            http: client_builder().timeout(Duration::from_secs(3600)).build()?,
            on_request: Mutex::new(None),
            on_answer: Mutex::new(None),
            passed: Mutex::default(),
            flow: Mutex::default(),
            delay: Mutex::default(),
        });
        let router = axum::Router::new().fallback(pass).with_state(Arc::clone(&middle));
        let server = tokio::spawn(async move {
            // Ends with the test.
            drop(axum::serve(listener, router).await);
        });
        Ok(Self { address, middle, server })
    }

    /// Alters requests from now on: method, target, headers and body.
    pub fn alter_requests(&self, hook: impl Fn(&mut Passing) + Send + Sync + 'static) {
        *self.middle.on_request.lock() = Some(Arc::new(hook));
    }

    /// Alters answers from now on: status, headers and body.
    pub fn alter_answers(&self, hook: impl Fn(&mut Passing) + Send + Sync + 'static) {
        *self.middle.on_answer.lock() = Some(Arc::new(hook));
    }

    /// Lets packages pass like this from now on.
    pub fn let_flow(&self, flow: Flow) {
        *self.middle.flow.lock() = flow;
    }

    /// Passes every answer on so much later from now on.
    pub fn be_slow(&self, delay: Duration) {
        *self.middle.delay.lock() = delay;
    }

    /// Passes everything on as it is from now on.
    pub fn be_honest(&self) {
        *self.middle.flow.lock() = Flow::Whole;
        *self.middle.delay.lock() = Duration::ZERO;
        *self.middle.on_request.lock() = None;
        *self.middle.on_answer.lock() = None;
    }

    /// What passed so far, as it was before it was altered.
    #[must_use]
    pub fn passed(&self) -> Vec<Passing> {
        self.middle.passed.lock().clone()
    }

    /// What passed to paths that end like this, their query left aside.
    #[must_use]
    pub fn passed_to(&self, ending: &str) -> Vec<Passing> {
        let passed = self.middle.passed.lock();
        let ends = |passing: &&Passing| passing.target.split('?').next().is_some_and(|path| path.ends_with(ending));
        passed.iter().filter(ends).cloned().collect()
    }

    /// The last request to a path, its query left aside, that got an answer.
    #[must_use]
    pub fn last_to(&self, path: &str) -> Option<Passing> {
        let passed = self.middle.passed.lock();
        passed.iter().rev().find(|passing| passing.target.split('?').next() == Some(path)).cloned()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Headers of one connection, not of the message.
const HOP_BY_HOP: [&str; 4] = ["connection", "transfer-encoding", "content-length", "host"];

async fn pass(State(middle): State<Arc<Middle>>, request: Request) -> Response {
    match middle.exchange(request).await {
        Ok(response) => response,
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}")).into_response(),
    }
}

impl Middle {
    async fn exchange(&self, request: Request) -> Result<Response> {
        let (parts, body) = request.into_parts();
        let mut passing = Passing {
            method: parts.method,
            target: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
            request_headers: parts.headers,
            request_body: to_bytes(body, 64 << 20).await?,
            status: StatusCode::OK,
            answer_headers: HeaderMap::new(),
            answer_body: Bytes::new(),
        };
        let before = passing.clone();
        let hook = self.on_request.lock().clone();
        if let Some(hook) = hook {
            hook(&mut passing);
        }
        let mut request = self
            .http
            .request(passing.method.clone(), format!("http://{}{}", self.target, passing.target))
            .body(passing.request_body.clone());
        for (name, value) in &passing.request_headers {
            if !HOP_BY_HOP.contains(&name.as_str()) {
                request = request.header(name, value);
            }
        }
        let answer = request.send().await?;
        passing.status = answer.status();
        passing.answer_headers = answer.headers().clone();
        let (flow, delay) = (*self.flow.lock(), *self.delay.lock());
        let is_live = passing.target.starts_with(routes::LIVE) && passing.method == Method::GET;
        let is_flowing = flow != Flow::Whole && passing.target.contains("/download-package-direct");
        let mut stream = None;
        if is_live {
            stream = Some(Body::from_stream(answer.bytes_stream()));
        } else if is_flowing && passing.status.is_success() {
            stream = Some(flowing(answer, flow));
        } else {
            passing.answer_body = answer.bytes().await?;
        }
        tokio::time::sleep(delay).await;
        self.passed.lock().push(Passing {
            status: passing.status,
            answer_headers: passing.answer_headers.clone(),
            answer_body: passing.answer_body.clone(),
            ..before
        });
        let hook = self.on_answer.lock().clone();
        if let Some(hook) = hook {
            hook(&mut passing);
        }
        // Whoever gets less than it was promised shall notice.
        let is_promised = stream.is_some() && !is_live;
        let mut response = Response::new(stream.unwrap_or_else(|| Body::from(passing.answer_body)));
        *response.status_mut() = passing.status;
        for (name, value) in &passing.answer_headers {
            if !HOP_BY_HOP.contains(&name.as_str()) || is_promised && name == "content-length" {
                response.headers_mut().append(name, value.clone());
            }
        }
        Ok(response)
    }
}

/// The beginning of a package.
fn flowing(answer: reqwest::Response, flow: Flow) -> Body {
    let (limit, closes) = match flow {
        Flow::Whole => (u64::MAX, false),
        Flow::StopsAfter(limit) => (limit, false),
        Flow::ClosesAfter(limit) => (limit, true),
    };
    let pieces = futures_util::stream::unfold(Some((answer, limit)), move |state| async move {
        let (mut answer, left) = state?;
        if left == 0 && !closes {
            // Holds the answer, and with it the connection.
            std::future::pending::<()>().await;
        }
        if left == 0 {
            // What was sent before leaves the buffer meanwhile.
            tokio::task::yield_now().await;
            return Some((Err(std::io::Error::other("closed in the middle")), None));
        }
        match answer.chunk().await {
            Ok(Some(mut piece)) => {
                piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - piece.len() as u64;
                Some((Ok(piece), Some((answer, left))))
            }
            Ok(None) => None,
            Err(error) => Some((Err(std::io::Error::other(error)), None)),
        }
    });
    Body::from_stream(pieces)
}
