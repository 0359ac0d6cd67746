//! A request of a connection, from its head to its answer; over which version of HTTP it came makes no difference here.
//!
//! In: a head, and a body that may not be there yet. Out: an answer: mostly at once, else when its body, its click or a
//! segment is there.
//! Not here: connections (`connection`, `http2`), counting (`counts`).

use std::cell::Cell;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{Method, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;

use super::address::AddressPolicy;
use super::handshake::Secured;
use super::look_up::{self, Busy};
use super::options::BODY_BYTES_MAX;
use super::outcome::Outcome;
use super::postback;
use super::reply::{Body, Reply};
use super::request_id::{X_REQUEST_ID, request_id};
use super::timed::within;
use super::visit::Visit;
use super::worker::{Step, Worker};
use crate::store::Lookup;

/// How often and how long a click waits for room: half a second in all, after which it is redirected unrecorded.
const ROOM_TRIES: u32 = 500;
const ROOM_PAUSE: Duration = Duration::from_millis(1);

/// What is known of a connection.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    /// Whether visitors of this listener come by https.
    pub(super) is_https: bool,
    /// What TLS says, where it ends here.
    pub(super) secured: Option<Secured>,
}

/// Where the requests of a connection are answered.
pub(super) struct Seat {
    pub(super) worker: Rc<Worker>,
    pub(super) peer: Peer,
}

impl Seat {
    /// Answers what cannot be answered at once. `has_unread` is set while nobody has read the body.
    pub(super) async fn go_on(
        &self,
        parts: &Parts,
        body: Incoming,
        has_unread: &Cell<bool>,
        step: Step,
    ) -> Reply {
        match step {
            Step::Done(reply) => reply,
            Step::Find(id, wanted) => {
                let shared = &self.worker.shared;
                let found = match look_up::find(&shared.clicks, &shared.look_ups, id).await {
                    Ok(found) => found,
                    Err(Busy) => return Reply::refusal(Outcome::Unavailable),
                };
                let found = match &found {
                    Lookup::Found(found) => Some((&id, found)),
                    _ => None,
                };
                self.look(parts, |visit| self.worker.found(visit, wanted, found))
            }
            Step::Body => self.read_body(parts, body, has_unread).await,
            Step::Conversion => {
                let reply = self.convert(parts, body, has_unread).await;
                self.named(parts, reply)
            }
            Step::Wait => {
                self.wait_for_room().await;
                let step = self.worker.go(parts, &self.peer);
                // Deep once at most: what has waited does not wait again.
                Box::pin(self.go_on(parts, body, has_unread, step)).await
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

    async fn convert(&self, parts: &Parts, body: Incoming, has_unread: &Cell<bool>) -> Reply {
        // Whatever a GET brings along says nothing.
        let whole = match parts.method {
            Method::POST => self.whole(parts, body, has_unread).await,
            _ => Ok(Bytes::new()),
        };
        let whole = match whole {
            Ok(whole) => whole,
            Err(outcome) => return postback::refusal(outcome),
        };
        match self.worker.visit(parts, &self.peer) {
            Ok(visit) => postback::answer(&self.worker, &visit, &whole).await,
            Err(outcome) => postback::refusal(outcome),
        }
    }

    /// Names the request, for whoever asks about it: in its answer, and in the log where it was not taken and that is not the
    /// caller's fault.
    fn named(&self, parts: &Parts, mut reply: Reply) -> Reply {
        let trusted = &self.worker.shared.options.trusted_proxies;
        let id = request_id(self.peer.address, trusted, &parts.headers);
        if reply.response.status().is_server_error() {
            // Whole addresses are about people.
            let kept = AddressPolicy::Truncated.keep(self.peer.address).map(|kept| kept.address.to_string());
            let (id, peer) = (id.to_str().unwrap_or_default(), kept.unwrap_or_default());
            let status = u64::from(reply.response.status().as_u16());
            tracing::warn!(
                request_id = id,
                peer,
                status,
                "a postback could not be taken, and is left to be sent again"
            );
        }
        reply.headers().insert(X_REQUEST_ID, id);
        reply
    }

    async fn read_body(&self, parts: &Parts, body: Incoming, has_unread: &Cell<bool>) -> Reply {
        let whole = match self.whole(parts, body, has_unread).await {
            Ok(whole) => whole,
            Err(outcome) => return Reply::refusal(outcome),
        };
        if self.worker.is_behind() {
            self.wait_for_room().await;
        }
        self.look(parts, |visit| self.worker.track(visit, &whole))
    }

    /// The whole body, in time and within its bound.
    async fn whole(&self, parts: &Parts, body: Incoming, has_unread: &Cell<bool>) -> Result<Bytes, Outcome> {
        let announced =
            parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|bytes| bytes > BODY_BYTES_MAX) {
            return Err(Outcome::BodyTooLong);
        }
        let whole = Limited::new(body, BODY_BYTES_MAX).collect();
        let shared = &self.worker.shared;
        match within(&shared.clock, shared.options.body_timeout, whole).await {
            Some(Ok(whole)) => {
                has_unread.set(false);
                Ok(whole.to_bytes())
            }
            Some(Err(error)) if error.is::<LengthLimitError>() => Err(Outcome::BodyTooLong),
            Some(Err(_)) => Err(Outcome::Aborted),
            None => Err(Outcome::BodyTimeout),
        }
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
