//! A client of a live stream of events (`text/event-stream`).

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::BytesMut;
use posthouse_protocol::event::Event;
use tokio::time::timeout;

/// How long an event may be on its way.
const LIMIT: Duration = Duration::from_secs(20);

/// An open stream.
#[derive(Debug)]
pub struct EventStream {
    response: reqwest::Response,
    received: BytesMut,
}

impl EventStream {
    /// Opens it.
    ///
    /// # Errors
    /// When the answer is no stream of events.
    pub async fn open(request: reqwest::RequestBuilder) -> Result<Self> {
        let response = request.send().await?;
        let kind = response.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        ensure!(response.status() == 200, "{} answers {}", response.url(), response.status());
        ensure!(kind.starts_with("text/event-stream"), "{} is {kind}", response.url());
        Ok(Self { response, received: BytesMut::new() })
    }

    /// The next event, whose id on the stream must be its own.
    ///
    /// # Errors
    /// When none comes.
    pub async fn next(&mut self) -> Result<Event> {
        loop {
            let message = self.message().await?;
            let field = |name: &str| message.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            // Comments keep the connection awake.
            let Some(data) = field("data:") else { continue };
            let event: Event = serde_json::from_str(data).with_context(|| message.clone())?;
            ensure!(field("id:") == Some(event.id.to_string().as_str()), "the id is another one: {message}");
            return Ok(event);
        }
    }

    async fn message(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self.received.windows(2).position(|pair| pair == b"\n\n") {
                let message = self.received.split_to(end + 2);
                return Ok(String::from_utf8_lossy(&message).into_owned());
            }
            match timeout(LIMIT, self.response.chunk()).await.context("no event comes")?? {
                Some(piece) => self.received.extend_from_slice(&piece),
                None => bail!("the stream ended"),
            }
        }
    }
}
