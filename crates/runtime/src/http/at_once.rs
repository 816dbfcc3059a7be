//! Answers that need no waiting, given before the router is entered: routing, extractors and middleware take longer
//! than a redirect itself, and a hall of tablets asks for redirects by the thousand.
//!
//! What is answered here is answered by the router, too, in the same way; this is only a short cut.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::response::Response;
use futures_util::future::Either;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Uri};
use tower::Service;

use crate::http::request_id;

/// What the short cut sees of a request.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its target.
    pub uri: &'a Uri,
    /// Its headers.
    pub headers: &'a HeaderMap,
}

/// Gives the answer to a request, or `None` to leave it to the router. Must neither block nor take long.
pub type ShortCut = Arc<dyn Fn(Head<'_>) -> Option<Response> + Send + Sync>;

/// The service: the short cut, then `inner`.
#[derive(Clone)]
pub(super) struct AtOnce<S> {
    inner: S,
    short_cut: Option<ShortCut>,
}

impl<S> AtOnce<S> {
    pub(super) fn new(inner: S, short_cut: Option<ShortCut>) -> Self {
        Self { inner, short_cut }
    }
}

impl<S, B> Service<Request<B>> for AtOnce<S>
where
    S: Service<Request<B>, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Ready<Result<Response, Infallible>>, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Some(short_cut) = &self.short_cut else { return Either::Right(self.inner.call(request)) };
        let (parts, body) = request.into_parts();
        let Parts { method, uri, headers, .. } = &parts;
        match short_cut(Head { method, uri, headers }) {
            Some(mut response) => {
                request_id::stamp(headers, response.headers_mut());
                Either::Left(ready(Ok(response)))
            }
            None => Either::Right(self.inner.call(Request::from_parts(parts, body))),
        }
    }
}
