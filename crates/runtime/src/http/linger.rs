//! Connections that are closed so that the other side gets to read the last answer.
//!
//! Who is answered before all of a body was sent (413, say) still sends. Closing at once would make the system answer
//! those bytes with a reset, which takes the answer away from whoever did not read it yet. So the sending half is closed,
//! and what still comes is thrown away for a while.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum_server::accept::Accept;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// What still comes is thrown away for so long.
const LINGER_MAX: Duration = Duration::from_secs(30);
/// When nothing came for so long, nothing will.
const SILENCE_MAX: Duration = Duration::from_secs(2);
/// Bytes thrown away at once.
const PIECE: usize = 16 << 10;

/// Bytes of the send buffer of a connection that sends much; Linux doubles it for its own bookkeeping. Left alone it
/// grows to 4 MiB: the bytes that one processor copied in have left the cache before another copies them out, which
/// halves the speed now and then.
const SEND_BUFFER: usize = 1 << 20;
/// From so many connections on each gets a smaller one, for the same reason: with 16 that is half as fast again. A hall of
/// a thousand tablets would take 4 GiB of the system's memory otherwise.
const CROWD: usize = 8;
/// Bytes of the smaller one.
const CROWDED_SEND_BUFFER: usize = 256 << 10;
/// Shorter writes do not fill any buffer.
const LONG_WRITE: usize = 64 << 10;

/// Makes connections that linger, and that send small answers at once.
#[derive(Debug, Clone, Default)]
pub(super) struct LingeringAcceptor {
    open: Arc<AtomicUsize>,
}

impl<S> Accept<TcpStream, S> for LingeringAcceptor {
    type Stream = Lingering;
    type Service = S;
    type Future = std::future::Ready<io::Result<(Lingering, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let open = Open::one_more(&self.open);
        let accepted = stream.set_nodelay(true);
        let accepted = accepted.map(|()| (Lingering { stream, end: None, open, send_buffer: None }, service));
        std::future::ready(accepted)
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Lingering {
    stream: TcpStream,
    end: Option<End>,
    open: Open,
    /// Bytes of its send buffer once it was set.
    send_buffer: Option<usize>,
}

/// Counts as an open connection until it is dropped.
#[derive(Debug)]
struct Open(Arc<AtomicUsize>);

impl Open {
    fn one_more(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The sending half is closed.
#[derive(Debug)]
struct End {
    limit: Pin<Box<Sleep>>,
    silence: Pin<Box<Sleep>>,
}

impl Lingering {
    /// Gives a connection that is about to send much the buffer that is its share.
    fn share(&mut self, length: usize) {
        if !cfg!(target_os = "linux") || length < LONG_WRITE {
            return;
        }
        let is_crowded = self.open.0.load(Ordering::Relaxed) >= CROWD;
        let share = if is_crowded { CROWDED_SEND_BUFFER } else { SEND_BUFFER };
        // It may become smaller and never grows again.
        if self.send_buffer.is_none_or(|size| share < size) {
            self.send_buffer = Some(share);
            // A connection that refuses works as before.
            let _ = SockRef::from(&self.stream).set_send_buffer_size(share);
        }
    }

    fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let end = self
            .end
            .get_or_insert_with(|| End { limit: Box::pin(sleep(LINGER_MAX)), silence: Box::pin(sleep(SILENCE_MAX)) });
        let mut piece = [0; PIECE];
        loop {
            let mut buffer = ReadBuf::new(&mut piece);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                // A reset is an end, too.
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => end.silence.as_mut().reset(Instant::now() + SILENCE_MAX),
                Poll::Pending => break,
            }
        }
        let is_over = end.limit.as_mut().poll(context).is_ready() || end.silence.as_mut().poll(context).is_ready();
        if is_over { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

impl AsyncRead for Lingering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.share(bytes.len());
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.share(pieces.iter().map(|piece| piece.len()).sum());
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.end.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        }
        self.poll_discard(context)
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use axum::routing::post;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use crate::clock::Clock;
    use crate::http::{Server, bind};
    use crate::tasks::Tasks;

    use super::*;

    #[tokio::test]
    async fn who_sends_too_much_before_reading_still_gets_the_answer() {
        let tasks = Tasks::new(Clock::system());
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new().route("/", post(async |_: Bytes| "small enough"));
        let server = Server::start(&tasks, listener, router).unwrap();
        for head in ["content-length: 80000000", "transfer-encoding: chunked"] {
            let mut client = TcpStream::connect(address).await.unwrap();
            let head = format!("POST / HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n");
            client.write_all(head.as_bytes()).await.unwrap();
            let chunk = [b"10000\r\n".as_slice(), &[b'a'; 0x10000], b"\r\n"].concat();
            for _ in 0..600 {
                client.write_all(&chunk).await.unwrap();
            }
            client.shutdown().await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        }
        server.drain(Duration::from_secs(1));
        assert!(tasks.finish(Duration::from_secs(5)).await);
    }
}
