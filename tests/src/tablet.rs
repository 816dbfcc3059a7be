//! The deployed tablet client: polls the change token, reads the meeting, follows the redirect.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::TryStreamExt;
use http::{HeaderMap, StatusCode};
use posthouse_protocol::ContentHash;
use posthouse_protocol::legacy::{DownloadNode, MeetingData, TokenView};

use crate::answer::{Answer, http_client};

/// A tablet that knows one master.
#[derive(Debug, Clone)]
pub struct Tablet {
    http: reqwest::Client,
    base: String,
}

/// A package that was downloaded, hashed while it came.
#[derive(Debug, Clone)]
pub struct Download {
    /// `host:port` of who sent the bytes.
    pub from: String,
    /// Status of the last answer.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Bytes received.
    pub size_bytes: u64,
    /// BLAKE3 of them.
    pub hash: ContentHash,
}

/// Where the master sends a tablet.
#[derive(Debug, Clone)]
pub enum Way {
    /// To this URL of a node.
    Node(String),
    /// Nowhere: it sends the bytes itself.
    Master,
}

impl Tablet {
    /// A tablet of the master at `base`.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn of(base: &str) -> Result<Self> {
        Ok(Self { http: http_client()?, base: base.to_owned() })
    }

    /// `GET` without following a redirect.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        Answer::to(self.http.get(format!("{}{path}", self.base))).await
    }

    /// The change token and the meetings in progress.
    ///
    /// # Errors
    /// When the master does not answer.
    pub async fn token(&self) -> Result<TokenView> {
        self.get("/api/v1/meetings/status/token").await?.expect(200)?.json()
    }

    /// What a meeting consists of.
    ///
    /// # Errors
    /// When it is not in progress.
    pub async fn data(&self, id: &str) -> Result<MeetingData> {
        self.get(&format!("/api/v1/meetings/{id}/data")).await?.expect(200)?.json()
    }

    /// The endpoints to choose from, the master first.
    ///
    /// # Errors
    /// When the meeting is not in progress.
    pub async fn endpoints(&self, id: &str) -> Result<Vec<DownloadNode>> {
        self.get(&format!("/api/v1/meetings/{id}/download-nodes-info")).await?.expect(200)?.json()
    }

    /// Asks for the package and looks only where it shall come from.
    ///
    /// # Errors
    /// When the answer is neither a redirect nor the bytes.
    pub async fn way(&self, id: &str) -> Result<Way> {
        let response = self.http.get(self.package_url(id)).send().await?;
        match response.status().as_u16() {
            302 => {
                let cache = response.headers().get("cache-control").and_then(|value| value.to_str().ok());
                ensure!(cache == Some("no-store"), "cache-control of a redirect is {cache:?}");
                let location = response.headers().get("location").context("a redirect without location")?;
                Ok(Way::Node(location.to_str()?.to_owned()))
            }
            200 => Ok(Way::Master),
            other => anyhow::bail!("{other} for the package of {id}: {}", response.text().await?),
        }
    }

    /// Where the package of a meeting is asked for.
    #[must_use]
    pub fn package_url(&self, id: &str) -> String {
        format!("{}/api/v1/meetings/{id}/download-package", self.base)
    }

    /// Size of the package, from the head of the master's own answer.
    ///
    /// # Errors
    /// When the master does not tell it.
    pub async fn package_size(&self, id: &str) -> Result<u64> {
        let url = format!("{}/api/v1/meetings/{id}/download-package-direct", self.base);
        let answer = Answer::to(self.http.head(url)).await?.expect(200)?;
        answer.header("content-length").parse().with_context(|| format!("{}: no content-length", answer.request))
    }

    /// Downloads the package as a tablet does: asks the master, follows its redirect.
    ///
    /// # Errors
    /// When the bytes do not come completely.
    pub async fn download(&self, id: &str) -> Result<Download> {
        let mut url = self.package_url(id);
        for _ in 0..5 {
            let response = self.http.get(&url).send().await.with_context(|| url.clone())?;
            if response.status().is_redirection() {
                let location = response.headers().get("location").context("a redirect without location")?;
                url = response.url().join(location.to_str()?)?.into();
                continue;
            }
            return Download::receive(response).await.with_context(|| url.clone());
        }
        anyhow::bail!("too many redirects, the last to {url}")
    }

    /// Downloads from one URL.
    ///
    /// # Errors
    /// When the bytes do not come completely.
    pub async fn download_from(&self, url: &str) -> Result<Download> {
        let response = self.http.get(url).send().await.with_context(|| url.to_owned())?;
        Download::receive(response).await.with_context(|| url.to_owned())
    }

    /// Downloads the package and keeps it.
    ///
    /// # Errors
    /// When the bytes do not come completely.
    pub async fn package_bytes(&self, id: &str) -> Result<Bytes> {
        let url = match self.way(id).await? {
            Way::Node(url) => url,
            Way::Master => self.package_url(id),
        };
        Ok(Answer::to(self.http.get(url)).await?.expect(200)?.body)
    }
}

impl Download {
    async fn receive(response: reqwest::Response) -> Result<Self> {
        let url = response.url();
        let from =
            format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
        let (status, headers) = (response.status(), response.headers().clone());
        let mut hasher = blake3::Hasher::new();
        let mut size_bytes = 0;
        let mut body = response.bytes_stream();
        while let Some(piece) = body.try_next().await? {
            hasher.update(&piece);
            size_bytes += piece.len() as u64;
        }
        Ok(Self { from, status, headers, size_bytes, hash: ContentHash(hasher.finalize().into()) })
    }
}

/// `host:port` of a URL.
///
/// # Errors
/// When it is none.
pub fn host_of(url: &str) -> Result<String> {
    let url = reqwest::Url::parse(url).with_context(|| url.to_owned())?;
    let host = url.host_str().context("a URL without host")?;
    Ok(format!("{host}:{}", url.port_or_known_default().unwrap_or_default()))
}
