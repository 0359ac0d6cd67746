//! One connection, from its first byte to its last.
//!
//! In: an accepted stream. Out: answers to the requests on it, each counted.
//! Keeps: whatever a peer does, the connection ends: by its deadlines, by the number of its requests, or when the edge
//! drains. What hyper refuses before we see it is counted from the error it leaves.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::counts::Ticket;
use super::listen::Listener;
use super::options::{BODY_BYTES_MAX, HEAD_BYTES_MAX};
use super::outcome::Outcome;
use super::postback;
use super::proxy;
use super::reply::{Body, Reply};
use super::timed::{At, Phase, Timed, within};
use super::visit::Visit;
use super::worker::{Step, Word, Worker};
use crate::store::Lookup;

/// How often and how long a click waits for room: half a second in all, after which it is redirected unrecorded.
const ROOM_TRIES: u32 = 500;
const ROOM_PAUSE: Duration = Duration::from_millis(1);

/// What is known of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    pub(super) listener: Listener,
}

/// What hyper calls for each request of one connection.
struct Host(Rc<Seat>);

struct Seat {
    worker: Rc<Worker>,
    phase: Rc<Phase>,
    peer: Peer,
    served: Cell<u32>,
    /// The request at hand has a body that nobody has read.
    has_unread: Cell<bool>,
}

/// Serves a connection until it ends.
pub(super) async fn serve(
    worker: Rc<Worker>,
    mut stream: TcpStream,
    mut peer: Peer,
    mut word: watch::Receiver<Word>,
) {
    let timeouts = worker.shared.options.timeouts;
    if peer.listener.has_proxy_header {
        match within(&worker.shared.clock, timeouts.head, proxy::read(&mut stream)).await {
            Some(Ok(behind)) => peer.address = behind.unwrap_or(peer.address),
            Some(Err(_)) | None => return Ticket::take(worker).end(Outcome::Malformed),
        }
    }
    let phase = Phase::new(worker.shared.clock.clone());
    let io = TokioIo::new(Timed::new(stream, Rc::clone(&phase), timeouts));
    let seat = Rc::new(Seat {
        worker: Rc::clone(&worker),
        phase: Rc::clone(&phase),
        peer,
        served: Cell::new(0),
        has_unread: Cell::new(false),
    });
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(HEAD_BYTES_MAX)
        .half_close(true)
        // It would hold an answer back while a part of the next request is there, and lose hyper's own 400.
        .pipeline_flush(false)
        .serve_connection(io, Host(seat));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        _ = word.wait_for(|word| word.is_stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        account(worker, phase.at(), &error);
    }
}

/// Counts a request that ended before its head was complete.
fn account(worker: Rc<Worker>, at: At, error: &hyper::Error) {
    let timed_out = std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<io::Error>())
        .is_some_and(|error| error.kind() == io::ErrorKind::TimedOut);
    let outcome = if error.is_parse_too_large() {
        Outcome::HeadTooLong
    } else if error.is_parse() {
        Outcome::Malformed
    } else if at != At::Head {
        // Between requests there is nothing to count, and a request that was being answered has its own ticket.
        return;
    } else if timed_out {
        Outcome::HeadTimeout
    } else {
        Outcome::Aborted
    };
    Ticket::take(worker).end(outcome);
}

/// Tells a peer for whom there is no room so, and closes.
pub(super) async fn shed(mut stream: TcpStream) {
    const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let farewell = async {
        stream.write_all(ANSWER).await?;
        stream.shutdown().await?;
        // To close with unread bytes would reset the connection, and the answer with it.
        let mut unread = [0; 1024];
        while stream.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    let _best_effort = timeout(Duration::from_secs(1), farewell).await;
}

impl Service<Request<Incoming>> for Host {
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        let seat = &self.0;
        seat.phase.begin_service();
        let ticket = Ticket::take(Rc::clone(&seat.worker));
        let (parts, body) = request.into_parts();
        seat.has_unread.set(!body.is_end_stream());
        if parts.headers.contains_key(TRANSFER_ENCODING) && !seat.phase.is_framed_once() {
            let reply = postback::refused(parts.uri.path(), Outcome::Framing);
            return Answer::Now(Some(seat.finish(ticket, reply)));
        }
        match seat.worker.start(&parts, &seat.peer) {
            Step::Done(reply) => Answer::Now(Some(seat.finish(ticket, reply))),
            step => {
                let seat = Rc::clone(seat);
                Answer::Later(Box::pin(async move {
                    let reply = seat.go_on(&parts, body, step).await;
                    seat.finish(ticket, reply)
                }))
            }
        }
    }
}

impl Seat {
    /// Answers what cannot be answered at once.
    async fn go_on(&self, parts: &Parts, body: Incoming, step: Step) -> Reply {
        match step {
            Step::Done(reply) => reply,
            Step::Find(id, wanted) => {
                let clicks = self.worker.shared.clicks.clone();
                let found = tokio::task::spawn_blocking(move || clicks.find(&id)).await;
                let found = match &found {
                    Ok(Lookup::Found(found)) => Some((&id, found)),
                    _ => None,
                };
                self.look(parts, |visit| self.worker.found(visit, wanted, found))
            }
            Step::Body => self.read_body(parts, body).await,
            Step::Conversion => self.convert(parts, body).await,
            Step::Wait => {
                self.wait_for_room().await;
                let step = self.worker.go(parts, &self.peer);
                // Deep once at most: what has waited does not wait again.
                Box::pin(self.go_on(parts, body, step)).await
            }
        }
    }

    /// Waits until there is room for a click, or for as long as a visitor can be kept waiting.
    async fn wait_for_room(&self) {
        for _ in 0..ROOM_TRIES {
            if !self.worker.is_behind() {
                return;
            }
            tokio::time::sleep(ROOM_PAUSE).await;
        }
    }

    fn look(&self, parts: &Parts, answer: impl FnOnce(&Visit<'_>) -> Reply) -> Reply {
        match self.worker.visit(parts, &self.peer) {
            Ok(visit) => answer(&visit),
            Err(outcome) => Reply::refusal(outcome),
        }
    }

    async fn convert(&self, parts: &Parts, body: Incoming) -> Reply {
        // Whatever a GET brings along says nothing.
        let whole =
            if parts.method == Method::POST { self.whole(parts, body).await } else { Ok(Bytes::new()) };
        let whole = match whole {
            Ok(whole) => whole,
            Err(outcome) => return postback::refusal(outcome),
        };
        match self.worker.visit(parts, &self.peer) {
            Ok(visit) => postback::answer(&self.worker, &visit, &whole).await,
            Err(outcome) => postback::refusal(outcome),
        }
    }

    async fn read_body(&self, parts: &Parts, body: Incoming) -> Reply {
        let whole = match self.whole(parts, body).await {
            Ok(whole) => whole,
            Err(outcome) => return Reply::refusal(outcome),
        };
        if self.worker.is_behind() {
            self.wait_for_room().await;
        }
        self.look(parts, |visit| self.worker.track(visit, &whole))
    }

    /// The whole body, in time and within its bound.
    async fn whole(&self, parts: &Parts, body: Incoming) -> Result<Bytes, Outcome> {
        let announced =
            parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|bytes| bytes > BODY_BYTES_MAX) {
            return Err(Outcome::BodyTooLong);
        }
        let whole = Limited::new(body, BODY_BYTES_MAX).collect();
        let shared = &self.worker.shared;
        match within(&shared.clock, shared.options.body_timeout, whole).await {
            Some(Ok(whole)) => {
                self.has_unread.set(false);
                Ok(whole.to_bytes())
            }
            Some(Err(error)) if error.is::<LengthLimitError>() => Err(Outcome::BodyTooLong),
            Some(Err(_)) => Err(Outcome::Aborted),
            None => Err(Outcome::BodyTimeout),
        }
    }

    /// Counts the answer, and says when it is the last.
    fn finish(&self, ticket: Ticket<Rc<Worker>>, mut reply: Reply) -> Response<Body> {
        self.served.set(self.served.get() + 1);
        let is_last = self.served.get() >= self.worker.shared.options.requests_per_connection_max
            // What is left of a body that we did not read cannot be told from the next request; hyper closes then, and
            // whoever is not told sends its next request in vain.
            || self.has_unread.get()
            || reply.outcome == Outcome::Framing;
        if is_last {
            reply.headers().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        ticket.answer(reply.outcome, reply.class, self.phase.end_service());
        reply.response
    }
}

/// An answer: mostly there at once.
pub(super) enum Answer {
    Now(Option<Response<Body>>),
    Later(Pin<Box<dyn Future<Output = Response<Body>>>>),
}

impl Future for Answer {
    type Output = Result<Response<Body>, std::convert::Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Now(response) => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                None => unreachable!("an answer is taken once"),
            },
            Self::Later(answer) => answer.as_mut().poll(context).map(Ok),
        }
    }
}
