//! One connection, from its first byte to its last.
//!
//! In: an accepted stream. Out: answers to the requests on it, each counted.
//! Keeps: whatever a peer does, the connection ends: by its deadlines, by the number of its requests, or when the edge
//! drains. What hyper refuses before we see it is counted from the error it leaves. A plain connection does not pay for
//! what TLS needs: each kind of stream has its own code.
//! Not here: HTTP/2 (`http2`), what a request comes to (`seat`).

use std::cell::Cell;
use std::io;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, TRANSFER_ENCODING};
use http::{HeaderValue, Request, Response};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::counts::Ticket;
use super::handshake::{self, Protocol};
use super::http2;
use super::idle;
use super::listen::Listener;
use super::opening::open;
use super::options::HEAD_BYTES_MAX;
use super::outcome::Outcome;
use super::postback;
use super::proxy;
use super::reply::{Body, Reply};
use super::seat::{Answer, Peer, Seat};
use super::timed::{At, Pace, Phase, Timed, within};
use super::tls::Tls;
use super::worker::{Step, Word, Worker};
use crate::clock::Clock;

/// How long a stop waits for the next request of a connection, to tell it with the answer that it was the last.
pub(super) const LINGER: Duration = Duration::from_millis(250);

/// What hyper calls for each request of one connection.
struct Host(Rc<Place>);

/// One request after the other.
struct Place {
    seat: Seat,
    phase: Rc<Phase>,
    /// Among the connections of its worker.
    among: idle::Place,
    served: Cell<u32>,
    /// The request at hand has a body that nobody has read.
    has_unread: Cell<bool>,
    /// Each answer is the last.
    is_leaving: Cell<bool>,
}

/// Serves a connection until it ends.
pub(super) async fn serve(
    worker: Rc<Worker>,
    mut stream: TcpStream,
    listener: &Listener,
    mut peer: Peer,
    word: watch::Receiver<Word>,
) {
    if listener.has_proxy_header {
        let has_spoken = Cell::new(false);
        let header = async {
            has_spoken.set(stream.peek(&mut [0]).await? > 0);
            proxy::read(&mut stream).await
        };
        let limit = worker.shared.options.timeouts.head;
        // In a box, as below.
        let opened = Box::pin(open(&worker, word.clone(), limit, &has_spoken, header)).await;
        match opened {
            Ok(Ok(behind)) => peer.address = behind.unwrap_or(peer.address),
            _ if has_spoken.get() => return Ticket::take(worker).end(Outcome::Malformed),
            // A balancer that looks whether somebody listens has asked for nothing.
            _ => return,
        }
    }
    match &listener.tls {
        None => serve_http1(Seat { worker, peer }, stream, word).await,
        // In a box: a plain connection need not have room for a handshake.
        Some(tls) => Box::pin(serve_tls(worker, stream, Arc::clone(tls), peer, word)).await,
    }
}

async fn serve_tls(
    worker: Rc<Worker>,
    stream: TcpStream,
    tls: Arc<Tls>,
    peer: Peer,
    word: watch::Receiver<Word>,
) {
    let shaken = handshake::shake(&worker, stream, &tls, word.clone()).await;
    let Some((stream, protocol, secured)) = shaken else { return };
    let seat = Seat { worker, peer: Peer { secured: Some(secured), ..peer } };
    match protocol {
        Protocol::Http1 => serve_http1(seat, stream, word).await,
        Protocol::Http2 => http2::serve(seat, stream, word).await,
    }
}

async fn serve_http1<S>(seat: Seat, stream: S, mut word: watch::Receiver<Word>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let worker = Rc::clone(&seat.worker);
    let phase = Phase::new(worker.shared.clock.clone());
    let io = TokioIo::new(Timed::new(stream, Rc::clone(&phase), worker.shared.options.timeouts));
    let weak: Weak<Phase> = Rc::downgrade(&phase);
    let place = Rc::new(Place {
        seat,
        phase: Rc::clone(&phase),
        among: worker.idlers.enter(weak),
        served: Cell::new(0),
        has_unread: Cell::new(false),
        is_leaving: Cell::new(false),
    });
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(HEAD_BYTES_MAX)
        .half_close(true)
        // It would hold an answer back while a part of the next request is there, and lose hyper's own 400.
        .pipeline_flush(false)
        .serve_connection(io, Host(Rc::clone(&place)));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        _ = word.wait_for(|word| word.is_stop) => {
            // A request that is under way to us would be cut if this one, idle for the moment, were closed now.
            place.is_leaving.set(true);
            // Not by the daemon's clock: a stop is not to wait for one that stands still.
            let linger = LINGER.min(worker.shared.options.drain_timeout);
            match timeout(linger, connection.as_mut()).await {
                Ok(ended) => ended,
                Err(_) => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        }
    };
    if let Err(error) = ended {
        account(worker, phase.at(), &error);
    }
}

/// Whether a connection ended by a deadline of ours.
pub(super) fn is_timed_out(error: &hyper::Error) -> bool {
    std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<io::Error>())
        .is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

/// Counts a request that ended before its head was complete.
fn account(worker: Rc<Worker>, at: At, error: &hyper::Error) {
    let outcome = if error.is_parse_too_large() {
        Outcome::HeadTooLong
    } else if error.is_parse() {
        Outcome::Malformed
    } else if at != At::Head {
        // Between requests there is nothing to count, and a request that was being answered has its own ticket.
        return;
    } else if is_timed_out(error) {
        Outcome::HeadTimeout
    } else {
        Outcome::Aborted
    };
    Ticket::take(worker).end(outcome);
}

/// Tells a peer for whom there is no room so, and closes.
pub(super) async fn shed(clock: &Clock, stream: TcpStream) {
    const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    farewell(clock, stream, ANSWER).await;
}

/// Says this, whatever the peer goes on to say, and closes.
pub(super) async fn farewell(clock: &Clock, mut stream: TcpStream, answer: &[u8]) {
    let farewell = async {
        stream.write_all(answer).await?;
        stream.shutdown().await?;
        // To close with unread bytes would reset the connection, and the answer with it.
        let mut unread = [0; 1024];
        while stream.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    let _best_effort = within(clock, Duration::from_secs(1), farewell).await;
}

impl Service<Request<Incoming>> for Host {
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        let place = &self.0;
        place.phase.begin_service();
        let worker = &place.seat.worker;
        let ticket = Ticket::take(Rc::clone(worker));
        let (parts, body) = request.into_parts();
        place.has_unread.set(!body.is_end_stream());
        if parts.headers.contains_key(TRANSFER_ENCODING) && !place.phase.is_framed_once() {
            let reply = postback::refused(parts.uri.path(), Outcome::Framing);
            return Answer::Now(Some(place.finish(ticket, reply)));
        }
        match worker.start(&parts, &place.seat.peer) {
            Step::Done(reply) => Answer::Now(Some(place.finish(ticket, reply))),
            step => {
                let place = Rc::clone(place);
                Answer::Later(Box::pin(async move {
                    let reply = place.seat.go_on(&parts, body, &place.has_unread, step).await;
                    place.finish(ticket, reply)
                }))
            }
        }
    }
}

impl Place {
    /// Counts the answer, and says when it is the last.
    fn finish(&self, ticket: Ticket<Rc<Worker>>, mut reply: Reply) -> Response<Body> {
        self.served.set(self.served.get() + 1);
        let is_last = self.served.get() >= self.seat.worker.shared.options.requests_per_connection_max
            // What is left of a body that we did not read cannot be told from the next request; hyper closes then, and
            // whoever is not told sends its next request in vain.
            || self.has_unread.get()
            || self.phase.parting().is_asked()
            || self.is_leaving.get()
            || reply.outcome == Outcome::Framing;
        if is_last {
            reply.headers().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        ticket.answer(reply.outcome, reply.class, self.phase.end_service());
        self.among.touch();
        reply.response
    }
}
