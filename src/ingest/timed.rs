//! A stream that gives up on a peer that takes too long.
//!
//! hyper has one timer for the head of a request and for the pause before it, and none for a peer that does not
//! read. Here are three: a pause between requests may be long (load balancers keep connections for a minute), a
//! head, once begun, must be complete soon, and what we write must be taken.
//!
//! In: a stream, and from the service, when it is at work (`Phase`). Out: the same stream, with `TimedOut` where a
//! deadline has passed.
//! Keeps: one timer a connection; a request only moves the deadline, it does not touch the timer.
//! Time is the injected clock's; the runtime's timer only wakes.
//! Not here: how long a body may take; the service waits for it and knows (`within`).
//!
//! It also keeps the head of a POST as it came: hyper takes a Content-Length away that stands beside a
//! Transfer-Encoding, and a request that is framed in two ways is how one is smuggled past a proxy.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep, timeout};

use super::idle::Parting;
use crate::clock::Clock;

/// How long a peer may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// From the first moment of a TLS connection to the end of its handshake.
    pub handshake: Duration,
    /// From the first byte of a head to its last.
    pub head: Duration,
    /// Between requests, and before the first.
    pub idle: Duration,
    /// Without taking a single byte of what we write.
    pub write: Duration,
}

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// Between requests.
    Idle,
    /// In the middle of a head.
    Head,
    /// A request is being answered.
    Service,
}

/// How far a connection is, as its stream and its service tell each other.
pub(super) trait Pace: std::fmt::Debug {
    /// By which deadlines are kept.
    fn clock(&self) -> &Clock;

    /// These bytes were read.
    fn heard(&self, bytes: &[u8]);

    /// Until when the next byte must be there, if it must.
    fn read_deadline(&self, timeouts: &Timeouts) -> Option<Duration>;

    /// Since when nothing is asked, if nothing is.
    fn idle_since(&self) -> Option<Duration>;

    /// Whether it is to make room.
    fn parting(&self) -> &Parting;

    /// Whether it ends now, without a word, to make room.
    fn is_over(&self) -> bool;
}

/// Where a connection is and since when, where one request follows the other.
#[derive(Debug)]
pub(super) struct Phase {
    at: Cell<At>,
    since: Cell<Duration>,
    /// From the first byte of a POST that was not sent together with the request before it.
    post: RefCell<Vec<u8>>,
    clock: Clock,
    parting: Parting,
}

impl Phase {
    pub(super) fn new(clock: Clock) -> Rc<Self> {
        let since = Cell::new(clock.monotonic());
        Rc::new(Self {
            at: Cell::new(At::Idle),
            since,
            post: RefCell::default(),
            clock,
            parting: Parting::default(),
        })
    }

    pub(super) fn at(&self) -> At {
        self.at.get()
    }

    /// Whether the POST at hand came with no Content-Length, as far as that can be told: of one that was sent right
    /// behind another request it cannot.
    pub(super) fn is_framed_once(&self) -> bool {
        let post = self.post.borrow();
        let head = post.windows(4).position(|bytes| bytes == b"\r\n\r\n").map(|end| &post[..end]);
        let mut lines = head.unwrap_or_default().split(|byte| *byte == b'\n');
        let is_length = |line: &[u8]| {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
            name.trim_ascii().eq_ignore_ascii_case(b"content-length")
        };
        head.is_some() && !lines.any(is_length)
    }

    /// A request is complete, as far as its head goes.
    pub(super) fn begin_service(&self) {
        self.at.set(At::Service);
    }

    /// Its answer is made; gives how long that took from the first byte of its head on, or, for one that was sent
    /// together with others, from the answer before.
    pub(super) fn end_service(&self) -> Duration {
        let now = self.clock.monotonic();
        self.at.set(At::Idle);
        // Most requests are no POST, and most connections idle.
        drop(self.post.take());
        now.saturating_sub(self.since.replace(now))
    }
}

impl Pace for Phase {
    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn heard(&self, bytes: &[u8]) {
        let mut is_post = false;
        match self.at.get() {
            At::Idle => {
                self.at.set(At::Head);
                self.since.set(self.clock.monotonic());
                is_post = bytes.starts_with(b"P");
            }
            At::Head => is_post = !self.post.borrow().is_empty(),
            At::Service => {}
        }
        if is_post {
            self.post.borrow_mut().extend_from_slice(bytes);
        }
    }

    fn read_deadline(&self, timeouts: &Timeouts) -> Option<Duration> {
        match self.at.get() {
            At::Idle => Some(self.since.get() + timeouts.idle),
            At::Head => Some(self.since.get() + timeouts.head),
            At::Service => None,
        }
    }

    fn idle_since(&self) -> Option<Duration> {
        (self.at.get() == At::Idle).then(|| self.since.get())
    }

    fn parting(&self) -> &Parting {
        &self.parting
    }

    fn is_over(&self) -> bool {
        self.parting.is_asked() && self.at.get() == At::Idle
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Timed<S, P> {
    stream: S,
    pace: Rc<P>,
    timeouts: Timeouts,
    timer: Pin<Box<Sleep>>,
    /// When the timer goes off, if it is set.
    alarm: Option<Duration>,
    /// Since when the peer has taken nothing of what we write.
    stalled: Option<Duration>,
}

impl<S, P: Pace> Timed<S, P> {
    pub(super) fn new(stream: S, pace: Rc<P>, timeouts: Timeouts) -> Self {
        let timer = Box::pin(sleep(timeouts.idle));
        Self { stream, pace, timeouts, timer, alarm: None, stalled: None }
    }

    /// Ready once `deadline` has passed; until then, wakes the task when it does.
    fn poll_deadline(&mut self, context: &mut Context<'_>, deadline: Duration) -> Poll<()> {
        loop {
            if self.alarm.is_none_or(|alarm| alarm > deadline) {
                let clock = self.pace.clock();
                let now = clock.monotonic();
                if now >= deadline {
                    return Poll::Ready(());
                }
                let nap = clock.nap(deadline - now);
                self.alarm = Some(now + nap);
                self.timer.set(sleep(nap));
            }
            ready!(self.timer.as_mut().poll(context));
            // It may have been set for an earlier deadline, which has moved since.
            self.alarm = None;
        }
    }
}

/// What `work` gives, unless that takes longer than `limit` by this clock.
pub(super) async fn within<T>(clock: &Clock, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let deadline = clock.monotonic() + limit;
    let mut work = pin!(work);
    loop {
        let left = deadline.saturating_sub(clock.monotonic());
        match timeout(clock.nap(left), work.as_mut()).await {
            Ok(done) => return Some(done),
            Err(_) if left.is_zero() => return None,
            Err(_) => {}
        }
    }
}

impl<S: AsyncRead + Unpin, P: Pace> AsyncRead for Timed<S, P> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if let Poll::Ready(done) = Pin::new(&mut self.stream).poll_read(context, buffer) {
            if buffer.filled().len() > before {
                self.pace.heard(&buffer.filled()[before..]);
            }
            return Poll::Ready(done);
        }
        self.pace.parting().waits(context.waker());
        // What has come by now is answered first.
        if self.pace.is_over() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let Some(deadline) = self.pace.read_deadline(&self.timeouts) else {
            return Poll::Pending;
        };
        ready!(self.poll_deadline(context, deadline));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin, P: Pace> Timed<S, P> {
    fn poll_progress<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stalled = None;
            return polled;
        }
        let since = *self.stalled.get_or_insert_with(|| self.pace.clock().monotonic());
        let deadline = since + self.timeouts.write;
        ready!(self.poll_deadline(context, deadline));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

// No vectored writes: an answer is a head with little or nothing behind it, which hyper then copies into one buffer, and
// `send` is cheaper than `writev`.
impl<S: AsyncWrite + Unpin, P: Pace> AsyncWrite for Timed<S, P> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.poll_progress(context, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.poll_progress(context, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        self.poll_progress(context, polled)
    }
}
