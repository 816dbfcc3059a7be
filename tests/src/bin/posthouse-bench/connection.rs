//! A bare HTTP/1.1 connection that is kept open: cheap enough for thousands, so that the client is not what is
//! measured.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// One connection.
pub(crate) struct Connection {
    stream: TcpStream,
    host: String,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, host: address.to_owned(), buffer: Vec::new() })
    }

    /// Sends a request and reads the whole answer; its body.
    pub(crate) async fn exchange(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&'static str, String)],
        body: &[u8],
    ) -> Result<Vec<u8>> {
        self.send(method, target, headers, body).await?;
        let (status, length) = self.head().await?;
        while self.buffer.len() < length {
            self.more().await?;
        }
        let answer: Vec<u8> = self.buffer.drain(..length).collect();
        ensure!(status == 200, "{method} {target}: {status}: {}", String::from_utf8_lossy(&answer));
        Ok(answer)
    }

    /// Sends a request whose answer does not end, and reads its head.
    pub(crate) async fn begin(&mut self, target: &str, headers: &[(&'static str, String)]) -> Result<()> {
        self.send("GET", target, headers, b"").await?;
        let (status, _) = self.head().await?;
        ensure!(status == 200, "GET {target}: {status}");
        Ok(())
    }

    /// Reads and forgets until the other side closes.
    pub(crate) async fn drain(mut self) {
        let mut buffer = [0; 4096];
        while self.stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
    }

    async fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&'static str, String)],
        body: &[u8],
    ) -> Result<()> {
        let mut request = format!("{method} {target} HTTP/1.1\r\nhost: {}\r\n", self.host);
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            request.push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body);
        self.stream.write_all(&bytes).await?;
        Ok(())
    }

    /// Status and length of the body.
    async fn head(&mut self) -> Result<(u16, usize)> {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            self.more().await?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
        self.buffer.drain(..end + 4);
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no status")?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        Ok((status, length.map_or(Ok(0), |length| length.trim().parse())?))
    }

    async fn more(&mut self) -> Result<()> {
        let mut piece = [0; 4096];
        let count = timeout(Duration::from_secs(30), self.stream.read(&mut piece)).await.context("no answer")??;
        ensure!(count > 0, "the connection was closed");
        self.buffer.extend_from_slice(&piece[..count]);
        Ok(())
    }
}
