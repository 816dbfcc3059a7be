//! An HTTP answer, read completely, with what tests ask of it.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A client that follows no redirect, uses no proxy of the environment and gives up after a minute.
///
/// # Errors
/// When the client cannot be made.
pub fn http_client() -> Result<reqwest::Client> {
    client_builder().build().context("making an HTTP client")
}

/// The same, still to be changed.
pub fn client_builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(std::time::Duration::from_secs(10))
        .timeout(std::time::Duration::from_secs(120))
}

/// Status, headers and body.
#[derive(Debug, Clone)]
pub struct Answer {
    /// `GET http://…`, for messages.
    pub request: String,
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// Sends a request and reads the answer.
    ///
    /// # Errors
    /// When no complete answer comes.
    pub async fn to(request: reqwest::RequestBuilder) -> Result<Self> {
        let (client, request) = request.build_split();
        let request = request.context("making a request")?;
        let name = format!("{} {}", request.method(), request.url());
        let response = client.execute(request).await.with_context(|| name.clone())?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.with_context(|| format!("the body of {name}"))?;
        Ok(Self { request: name, status, headers, body })
    }

    /// The answer, when its status is `expected`.
    ///
    /// # Errors
    /// When it is another; the text shows the answer.
    pub fn expect(self, expected: u16) -> Result<Self> {
        ensure!(
            self.status.as_u16() == expected,
            "{}: expected {expected}, got {}: {}",
            self.request,
            self.status,
            self.text()
        );
        Ok(self)
    }

    /// The body as text, cut when it is long.
    #[must_use]
    pub fn text(&self) -> String {
        let shown = &self.body[..self.body.len().min(4000)];
        String::from_utf8_lossy(shown).into_owned()
    }

    /// The whole body as JSON.
    ///
    /// # Errors
    /// When it is none of this shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("{}: {}: {}", self.request, self.status, self.text()))
    }

    /// The sentence of an error answer.
    ///
    /// # Errors
    /// When there is no text under `detail`.
    pub fn detail(&self) -> Result<String> {
        let body: Value = self.json()?;
        body["detail"].as_str().map(str::to_owned).with_context(|| format!("{}: no detail: {body}", self.request))
    }

    /// The program's word for the error, empty when there is none.
    #[must_use]
    pub fn code(&self) -> String {
        let body: Result<Value> = self.json();
        body.ok().and_then(|body| body["code"].as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// A header as text, empty when it is absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}
