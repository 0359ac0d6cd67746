//! A connection over HTTP/2, from its first byte to its last: many requests at once.
//!
//! In: a stream inside TLS. Out: answers to the requests on it, each counted.
//! Keeps: the connection ends as one of HTTP/1.1 does: idle, slow, full or drained. A peer that is to make room, or to leave at
//! a stop, is told which of its requests were the last, and those are answered. Streams, windows, heads and buffers have bounds.
//! What the library refuses before we see it is counted when the connection has ended.
//! Not here: what a request comes to (`seat`).

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::Poll;
use std::time::Duration;

use http::request::Parts;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::connection::{LINGER, is_timed_out};
use super::counts::Ticket;
use super::frames::Frames;
use super::idle::{self, Idlers, Parting};
use super::options::{BODY_BYTES_MAX, HEAD_BYTES_MAX};
use super::outcome::Outcome;
use super::postback;
use super::reply::{Body, Reply};
use super::seat::{Answer, Seat};
use super::timed::{Pace, Timed, Timeouts};
use super::worker::{Step, Word, Worker};
use crate::clock::Clock;

/// Requests at once; further ones are refused one by one, and may come again.
const STREAMS_MAX: u32 = 128;
/// What a peer may send ahead of us reading it: a whole body for one stream, some of them over all.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// What is kept of answers that the peer does not take, a stream.
const SEND_BYTES_MAX: usize = 64 * 1024;
/// The library's bound of a head, as it counts: 32 more bytes a field than we do. Between the two it is we who refuse.
const HEAD_LIST_BYTES_MAX: u32 = 32 * 1024;
/// Requests that were taken back before they were looked at, after which the connection is closed (CVE-2023-44487).
const RESETS_MAX: usize = 20;
/// Streams that broke the rules, after which the connection is closed (RUSTSEC-2024-0003).
const ERRORS_MAX: usize = 256;
/// How long a peer that is to make room may take to say that it knows so: a round trip of a bad mobile network.
const LEAVE_TIME_MAX: Duration = Duration::from_secs(1);
/// How often a peer is asked whether it is still there, and how long it may take to say so.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIME_MAX: Duration = Duration::from_secs(20);

const _: () = assert!(STREAM_WINDOW as usize >= BODY_BYTES_MAX, "a body need not wait for a window");
const _: () = assert!(HEAD_LIST_BYTES_MAX as usize > HEAD_BYTES_MAX, "a long head is refused by us");

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").field("served", &self.served).finish_non_exhaustive()
    }
}

/// What hyper calls for each request.
struct Host(Rc<Streams>);

/// All requests of a connection.
struct Streams {
    seat: Seat,
    frames: RefCell<Frames>,
    /// Since when a frame that should be complete soon is not, and how many were before it.
    within_since: Cell<Option<(Duration, u64)>>,
    /// Since when nothing is asked.
    idle_since: Cell<Duration>,
    /// Requests that are being answered.
    at_work: Cell<u32>,
    /// Requests that came as far as this.
    served: Cell<u64>,
    /// Since when the peer knows that it is to leave.
    leaves_since: Cell<Option<Duration>>,
    parting: Parting,
    place: OnceCell<idle::Place>,
}

/// Serves a connection until it ends.
pub(super) async fn serve<S>(seat: Seat, stream: S, mut word: watch::Receiver<Word>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let options = &seat.worker.shared.options;
    let (timeouts, requests_max) = (options.timeouts, u64::from(options.requests_per_connection_max));
    let streams = Streams::entered(seat);
    let io = TokioIo::new(Timed::new(stream, Rc::clone(&streams), timeouts));
    let connection = http2::Builder::new(Here)
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BYTES_MAX)
        .max_header_list_size(HEAD_LIST_BYTES_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(ERRORS_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIME_MAX)
        .serve_connection(io, Host(Rc::clone(&streams)));
    let mut connection = pin!(connection);
    let (mut is_leaving, mut is_stopping) = (false, false);
    let ended = loop {
        let polled = poll_fn(|context| {
            let polled = connection.as_mut().poll(context);
            // A request is seen by the service while the connection is polled.
            let is_full = !is_leaving && streams.served.get() >= requests_max;
            let is_asked = streams.parting.is_asked() && streams.leaves_since.get().is_none();
            if polled.is_pending() && (is_full || is_asked) { Poll::Ready(None) } else { polled.map(Some) }
        });
        let before = streams.requests();
        tokio::select! {
            ended = polled => if let Some(ended) = ended { break ended },
            _ = word.wait_for(|word| word.is_stop), if !is_stopping => is_stopping = true,
            // A peer that is gone does not say that it knows. Not by the daemon's clock, as in `connection`.
            () = sleep(LINGER), if is_stopping => if streams.is_idle() && streams.requests() == before { break Ok(()) },
        }
        if streams.parting.is_asked() {
            let now = streams.clock().monotonic();
            streams.leaves_since.set(streams.leaves_since.get().or(Some(now)));
        }
        if !is_leaving {
            is_leaving = true;
            connection.as_mut().graceful_shutdown();
        }
    };
    streams.account(ended.as_ref().err());
}

impl Streams {
    fn new(seat: Seat) -> Self {
        let idle_since = Cell::new(seat.worker.shared.clock.monotonic());
        Self {
            seat,
            frames: RefCell::new(Frames::new(HEAD_BYTES_MAX)),
            within_since: Cell::default(),
            idle_since,
            at_work: Cell::default(),
            served: Cell::default(),
            leaves_since: Cell::default(),
            parting: Parting::default(),
            place: OnceCell::new(),
        }
    }

    /// Among the connections of its worker.
    fn entered(seat: Seat) -> Rc<Self> {
        let idlers: Idlers = seat.worker.idlers.clone();
        let streams = Rc::new(Self::new(seat));
        let weak: Weak<Self> = Rc::downgrade(&streams);
        let _first = streams.place.set(idlers.enter(weak));
        streams
    }

    /// Those that have come, and those that are being answered.
    fn requests(&self) -> (u64, u32) {
        (self.served.get(), self.at_work.get())
    }

    fn is_idle(&self) -> bool {
        self.within_since.get().is_none() && self.at_work.get() == 0
    }

    /// Counts requests that the library has not shown to anybody, and the one whose head was at hand.
    fn account(&self, error: Option<&hyper::Error>) {
        let frames = self.frames.borrow();
        let unseen = frames.begun().saturating_sub(self.served.get());
        let too_long = frames.too_long().min(unseen);
        let is_gone = error.is_some_and(|error| !is_protocol(error));
        let rest = if is_gone { Outcome::Aborted } else { Outcome::Malformed };
        let count = |outcome: Outcome| Ticket::take(Rc::clone(&self.seat.worker)).end(outcome);
        (0..too_long).for_each(|_| count(Outcome::HeadTooLong));
        (too_long..unseen).for_each(|_| count(rest));
        if frames.is_in_head() {
            let is_late = error.is_some_and(is_timed_out);
            count(if is_late { Outcome::HeadTimeout } else { rest });
        }
    }

    fn finish(&self, ticket: Ticket<Rc<Worker>>, reply: Reply, since: Duration) -> Response<Body> {
        let now = self.clock().monotonic();
        self.idle_since.set(now);
        self.place.get().into_iter().for_each(idle::Place::touch);
        ticket.answer(reply.outcome, reply.class, now.saturating_sub(since));
        reply.response
    }
}

/// Whether a connection ended because its peer broke the rules.
fn is_protocol(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    let reason = source.filter(|error| error.is_library()).and_then(h2::Error::reason);
    reason.is_some_and(|reason| reason != h2::Reason::ENHANCE_YOUR_CALM)
}

impl Pace for Streams {
    fn clock(&self) -> &Clock {
        &self.seat.worker.shared.clock
    }

    fn heard(&self, bytes: &[u8]) {
        let mut frames = self.frames.borrow_mut();
        frames.read(bytes);
        let ended = frames.ended();
        match (frames.is_within(), self.within_since.get()) {
            (false, _) => self.within_since.set(None),
            (true, Some((_, before))) if before == ended => {}
            (true, _) => self.within_since.set(Some((self.clock().monotonic(), ended))),
        }
    }

    fn read_deadline(&self, timeouts: &Timeouts) -> Option<Duration> {
        match self.within_since.get() {
            Some((since, _)) => Some(since + timeouts.head),
            None if self.at_work.get() > 0 => None,
            None => {
                let idle_since = self.idle_since.get();
                // One that leaves has taken its leave once it has been idle for so long.
                let leave = self.leaves_since.get().map(|since| since.max(idle_since) + LEAVE_TIME_MAX);
                let idle = idle_since + timeouts.idle;
                Some(leave.map_or(idle, |leave| leave.min(idle)))
            }
        }
    }

    fn idle_since(&self) -> Option<Duration> {
        self.is_idle().then(|| self.idle_since.get())
    }

    fn parting(&self) -> &Parting {
        &self.parting
    }

    /// Requests may be on the road: the peer is told first which of them will not be looked at (`serve`).
    fn is_over(&self) -> bool {
        false
    }
}

impl Service<Request<Incoming>> for Host {
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        let streams = &self.0;
        let since = streams.clock().monotonic();
        streams.served.set(streams.served.get() + 1);
        let worker = &streams.seat.worker;
        let ticket = Ticket::take(Rc::clone(worker));
        let (parts, body) = request.into_parts();
        if head_bytes(&parts) > HEAD_BYTES_MAX {
            let reply = postback::refused(parts.uri.path(), Outcome::HeadTooLong);
            return Answer::Now(Some(streams.finish(ticket, reply, since)));
        }
        match worker.start(&parts, &streams.seat.peer) {
            Step::Done(reply) => Answer::Now(Some(streams.finish(ticket, reply, since))),
            step => {
                let work = Work::begin(Rc::clone(streams));
                Answer::Later(Box::pin(async move {
                    let streams = &work.0;
                    let reply = streams.seat.go_on(&parts, body, &Cell::new(true), step).await;
                    streams.finish(ticket, reply, since)
                }))
            }
        }
    }
}

/// What a head would take in HTTP/1.1.
fn head_bytes(parts: &Parts) -> usize {
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let authority = parts.uri.authority().map_or(0, |authority| authority.as_str().len());
    let fields = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    target + authority + fields.sum::<usize>()
}

/// A request that is being answered; dropped, it is not any more.
struct Work(Rc<Streams>);

impl Work {
    fn begin(streams: Rc<Streams>) -> Self {
        streams.at_work.set(streams.at_work.get() + 1);
        Self(streams)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.at_work.set(self.0.at_work.get() - 1);
        self.0.idle_since.set(self.0.clock().monotonic());
        // Also one that nobody waited for.
        self.0.place.get().into_iter().for_each(idle::Place::touch);
    }
}

/// Runs what the library wants to be run on this worker's thread.
#[derive(Clone, Copy, Debug)]
struct Here;

impl<F: Future<Output: 'static> + 'static> Executor<F> for Here {
    fn execute(&self, work: F) {
        spawn_local(work);
    }
}
