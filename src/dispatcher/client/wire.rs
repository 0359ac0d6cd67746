//! One connection, and whether anything has left over it.
//!
//! Keeps: bytes are counted where the request enters (above TLS), before they are on their way: whatever may have left is
//! counted. What hyper still holds back is not.
//! Not here: how it comes to be (`connect`).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// What is known of a connection while requests go over it.
#[derive(Debug, Default)]
pub(super) struct Wire {
    /// Several requests at once: then nobody knows whose bytes left.
    is_shared: AtomicBool,
    /// Bytes that may have left.
    written: AtomicU64,
    /// How many of them belonged to requests that were answered.
    settled: AtomicU64,
    /// Attempts so far.
    uses: AtomicU64,
}

impl Wire {
    /// Whether any of the request that is on it now may have left.
    pub(super) fn may_have_sent(&self) -> bool {
        self.is_shared.load(Ordering::Relaxed)
            || self.written.load(Ordering::Relaxed) > self.settled.load(Ordering::Relaxed)
    }

    /// The request on it was answered. What is written later of a request that was answered early counts as the next one's:
    /// that errs on the safe side.
    pub(super) fn settle(&self) {
        self.settled.store(self.written.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Counts an attempt. How many there were before.
    pub(super) fn count_use(&self) -> u64 {
        self.uses.fetch_add(1, Ordering::Relaxed)
    }
}

/// The stream of a connection.
#[derive(Debug)]
pub(super) enum Stream {
    /// As it is.
    Plain(TcpStream),
    /// In TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

/// What hyper reads from and writes to.
#[derive(Debug)]
pub(super) struct Link {
    stream: Stream,
    wire: Arc<Wire>,
}

impl Link {
    pub(super) fn new(stream: Stream) -> Self {
        let link = Self { stream, wire: Arc::default() };
        link.wire.is_shared.store(link.is_http2(), Ordering::Relaxed);
        link
    }

    fn is_http2(&self) -> bool {
        match &self.stream {
            Stream::Plain(_) => false,
            Stream::Tls(tls) => tls.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }

    fn count(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let left = match (&written, &self.stream) {
            (Poll::Ready(Ok(bytes)), _) => u64::try_from(*bytes).unwrap_or(u64::MAX),
            // A write that fails takes nothing, but TLS may have sent one record before the next one failed.
            (Poll::Ready(Err(_)), Stream::Tls(_)) => 1,
            (Poll::Ready(Err(_)), Stream::Plain(_)) | (Poll::Pending, _) => 0,
        };
        self.wire.written.fetch_add(left, Ordering::Relaxed);
        written
    }
}

impl Connection for Link {
    fn connected(&self) -> Connected {
        let connected = Connected::new().extra(Arc::clone(&self.wire));
        if self.is_http2() { connected.negotiated_h2() } else { connected }
    }
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        };
        self.count(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(context, parts),
        };
        self.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
