//! A client's byte stream as hyper sees it: plain or TLS, with the bytes already taken to tell the protocol put back in front,
//! HTTP/1 heads looked at before hyper parses them, and stalls noted for the worker's watch.

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;

use super::head_guard::{HeadGuard, Seen};
use super::watch_list::Watch;
use crate::network::GivenStream;

/// What an HTTP/2 connection begins with.
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long, and over how many bytes, a connection lingers whose client still sends.
const LINGER_MAX: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 8 * 1024 * 1024;

const HEAD_END: &[u8; 4] = b"\r\n\r\n";

/// Plain TCP or TLS, or a connection of a network that was passed in.
#[derive(Debug)]
pub(crate) enum ClientStream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Given(GivenStream),
}

/// The protocol that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// A client's stream with everything around it.
#[derive(Debug)]
pub(crate) struct ClientIo {
    stream: ClientStream,
    prefix: [u8; HTTP2_PREFACE.len()],
    prefix_read: usize,
    prefix_end: usize,
    guard: Option<HeadGuard>,
    watch: Arc<Watch>,
    linger: Option<Linger>,
}

/// The end of a connection whose client still sends.
#[derive(Debug)]
struct Linger {
    left: usize,
    end: Pin<Box<Sleep>>,
}

// === impl ClientIo ===

impl ClientIo {
    /// Wraps a stream. Where ALPN has not told the protocol, its first bytes do; as many of them are read as that takes.
    ///
    /// # Errors
    /// Those of the stream, and an end of it.
    pub(crate) async fn detect(
        mut stream: ClientStream,
        watch: Arc<Watch>,
    ) -> io::Result<(Self, Protocol)> {
        let mut prefix = [0; HTTP2_PREFACE.len()];
        let mut end = 0;
        let protocol = loop {
            if let Some(agreed) = stream.agreed() {
                break agreed;
            }
            let read = stream.read(&mut prefix[end..]).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            end += read;
            if prefix[..end] != HTTP2_PREFACE[..end] {
                break Protocol::Http1;
            }
            if end == prefix.len() {
                break Protocol::Http2;
            }
        };
        let guard = (protocol == Protocol::Http1).then(HeadGuard::new);
        let io =
            Self { stream, prefix, prefix_read: 0, prefix_end: end, guard, watch, linger: None };
        Ok((io, protocol))
    }

    /// Stops looking at what passes: the connection does not speak HTTP any more.
    pub(crate) fn unguard(&mut self) {
        self.guard = None;
    }

    fn look(&mut self, read: &mut [u8]) {
        let Some(guard) = &mut self.guard else {
            return;
        };
        if guard.is_spoiled() {
            return;
        }
        match guard.look(read) {
            Seen::HeadBegun => self.watch.head_begun(),
            Seen::Spoiled => {
                // hyper parses a head again only once it looks whole, so it gets an end next.
                self.prefix[..HEAD_END.len()].copy_from_slice(HEAD_END);
                (self.prefix_read, self.prefix_end) = (0, HEAD_END.len());
            }
            Seen::Nothing => {}
        }
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        if this.prefix_read < this.prefix_end {
            let rest = &this.prefix[this.prefix_read..this.prefix_end];
            let taken = rest.len().min(buffer.remaining());
            buffer.put_slice(&rest[..taken]);
            this.prefix_read += taken;
        } else {
            ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        }
        this.look(&mut buffer.filled_mut()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.watch.written(written.is_ready());
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    /// Closes. Where the client is still sending what nobody will read, closing at once would reset the connection and the
    /// answer on it could be lost; so its bytes are thrown away for a while.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        if this.guard.as_ref().is_none_or(HeadGuard::is_between) {
            return Poll::Ready(Ok(()));
        }
        let linger = this.linger.get_or_insert_with(|| Linger {
            left: LINGER_BYTES_MAX,
            end: Box::pin(tokio::time::sleep(LINGER_MAX)),
        });
        let mut waste = [MaybeUninit::uninit(); 4096];
        while linger.left > 0 && linger.end.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::uninit(&mut waste);
            // Whatever ends the client's stream ends the wait.
            if ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer)).is_err()
                || buffer.filled().is_empty()
            {
                break;
            }
            linger.left = linger.left.saturating_sub(buffer.filled().len());
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.watch.written(written.is_ready());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

// === impl ClientStream ===

impl ClientStream {
    /// The protocol that ALPN agreed on.
    fn agreed(&self) -> Option<Protocol> {
        match self {
            Self::Plain(_) | Self::Given(_) => None,
            Self::Tls(stream) => match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => Some(Protocol::Http2),
                Some(_) => Some(Protocol::Http1),
                None => None,
            },
        }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Given(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Given(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Given(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Given(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Given(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
            Self::Given(stream) => stream.is_write_vectored(),
        }
    }
}
