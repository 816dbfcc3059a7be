//! Clients that behave as badly as TCP allows.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// A connection on which one request was sent and of whose answer only the head was read.
#[derive(Debug)]
pub struct Reader {
    stream: TcpStream,
    /// Status line and headers.
    pub head: String,
    received: Vec<u8>,
}

impl Reader {
    /// Sends a request, written out in full, with a small receive buffer, and reads the head of the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn open(address: &str, request: &str) -> Result<Self> {
        let mut stream = connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut received = Vec::new();
        loop {
            if let Some(end) = find(&received, b"\r\n\r\n") {
                let rest = received.split_off(end + 4);
                let head = String::from_utf8_lossy(&received).into_owned();
                return Ok(Self { stream, head, received: rest });
            }
            let mut buffer = [0; 1024];
            let count = timeout(Duration::from_secs(30), stream.read(&mut buffer)).await.context("no answer")??;
            if count == 0 {
                bail!("closed before an answer: {:?}", String::from_utf8_lossy(&received));
            }
            received.extend_from_slice(&buffer[..count]);
        }
    }

    /// `GET` of a path.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn get(address: &str, path: &str) -> Result<Self> {
        Self::open(address, &format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")).await
    }

    /// Status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default()
    }

    /// Bytes of the body received so far.
    #[must_use]
    pub fn received(&self) -> usize {
        self.received.len()
    }

    /// Reads up to `count` bytes more.
    ///
    /// # Errors
    /// When nothing comes for 30 s.
    pub async fn read_some(&mut self, count: usize) -> Result<usize> {
        let mut buffer = vec![0; count];
        let got = timeout(Duration::from_secs(30), self.stream.read(&mut buffer)).await.context("nothing comes")??;
        self.received.extend_from_slice(&buffer[..got]);
        Ok(got)
    }

    /// Reads to the end.
    ///
    /// # Errors
    /// When nothing comes for 30 s, or the connection breaks.
    pub async fn read_to_end(mut self) -> Result<Vec<u8>> {
        while self.read_some(64 * 1024).await? > 0 {}
        Ok(self.received)
    }
}

async fn connect(address: &str) -> Result<TcpStream> {
    let address: SocketAddr = address.parse().with_context(|| address.to_owned())?;
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_recv_buffer_size(4096)?;
    socket.connect(address).await.with_context(|| format!("connecting to {address}"))
}

/// Sends raw bytes and reads whatever comes back until the other side closes or is silent for `silence`.
///
/// # Errors
/// When no connection can be made.
pub async fn exchange(address: &str, bytes: &[u8], silence: Duration) -> Result<String> {
    let mut stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
    // The other side may refuse before all is sent; what it says is what counts.
    drop(stream.write_all(bytes).await);
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(Ok(count)) = timeout(silence, stream.read(&mut buffer)).await {
        if count == 0 {
            break;
        }
        answer.extend_from_slice(&buffer[..count]);
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
