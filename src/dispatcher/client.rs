//! The client: one attempt over the network, and what came of it.
//!
//! In: a request that is made, the route it takes, its time. Out: the answer as far as it is looked at, or how far the
//! attempt got; and counts.
//! Keeps: one deadline over everything; nothing is repeated that may have been processed (hyper-util sends again what its
//! connection never began to write, this what an HTTP/2 server says that it did not touch); no redirect is followed; no more is read of a head or a body than is looked at; a
//! route's connections serve no other route, because another may not be allowed to go there.
//! Refuses: addresses that the route does not allow (`connect`).
//! Not here: what an answer means (`class`, `success`), when to try again (`schedule`), how many at once (`concurrency`).

mod body;
mod connect;
mod proxy;
mod resolve;
mod tls;
mod unprocessed;
mod wire;

use std::collections::HashMap;
use std::error::Error as _;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderValue, Method, Request, Response, Uri, Version, response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Sleep;

use self::connect::{Connector, NoConnection};
use self::resolve::Names;
use self::tls::Profiles;
use self::wire::Wire;
use super::class::Fault;
use super::outbound::Route;
use crate::clock::Clock;

pub use self::resolve::Resolver;

/// How long a connection may be idle: less than the 60 s after which the common load balancers close theirs, so that it is
/// seldom them who close it, and never while a request is under way.
const IDLE_MAX: Duration = Duration::from_secs(50);

/// How many idle connections a route keeps to each host: as many as a destination ever has attempts under way.
const IDLE_PER_HOST_MAX: usize = 64;

/// The longest head of an answer. hyper's own bound is 400 KiB a connection; beyond 100 headers it refuses by itself.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// How much of an HTTP/2 answer may be under way to us: what is read of one, and of a few at once.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;

/// See `STREAM_WINDOW_BYTES`.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// How often an HTTP/2 connection is asked whether it is still there, while something is under way on it.
const PING_EVERY: Duration = Duration::from_secs(20);

/// How often a request is sent again that was not processed, as HTTP/2 tells. A server that goes takes its connection's
/// streams up to one of them: to meet several such in a row is rare, unless it refuses everything.
const REPEATS_MAX: usize = 3;

/// How many routes are found by their place in memory. When there are more, they are found by what they say, once.
const PLACES_MAX: usize = 4_096;

/// What all clients share.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Certificates of further authorities that all routes believe, DER.
    pub roots: Vec<Vec<u8>>,
    /// The proxy of routes that name none.
    pub proxy: Option<Uri>,
    /// How names are resolved.
    pub resolver: Resolver,
    /// Where the time comes from, for what is kept of names.
    pub clock: Clock,
}

/// Why there can be no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// An authority's certificate is none.
    #[error("certificate {index} of the authorities cannot be read")]
    Root {
        /// Which one, counted from 0.
        index: usize,
        /// What is wrong with it.
        #[source]
        source: tokio_rustls::rustls::Error,
    },
    /// Our own certificate and its key are none, or do not belong together.
    #[error("the client certificate and its key cannot be used")]
    Certificate(#[source] tokio_rustls::rustls::Error),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] tokio_rustls::rustls::Error),
    /// A proxy's URL is none that can be used.
    #[error("the proxy must be http://HOST:PORT, with a user name and a password if it asks for them")]
    Proxy,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its status.
    pub status: u16,
    /// Until when to wait, as it was written.
    pub retry_after: Option<HeaderValue>,
    /// The beginning of the body, up to `success::BODY_BYTES_MAX`.
    pub body: Bytes,
    /// Whether that is all of it.
    pub is_whole: bool,
    /// Whether there would be more, but for a reset, an early end, or the deadline.
    pub is_broken: bool,
}

/// An attempt without an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Failed {
    /// How far it got.
    pub fault: Fault,
    /// In words, for people. Never the path or the query of a URL, where secrets may stand.
    pub detail: String,
}

impl Failed {
    fn new(fault: Fault, detail: impl fmt::Display) -> Self {
        Self { fault, detail: detail.to_string() }
    }
}

/// What the connections did since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionCounts {
    /// Connections that were opened, TLS and all.
    pub opened: u64,
    /// Attempts over one that was there already.
    pub reused: u64,
    /// Names that were looked up.
    pub looked_up: u64,
    /// Names whose addresses were still known.
    pub remembered: u64,
}

/// The same, while they count.
#[derive(Debug, Default)]
struct Counts {
    opened: AtomicU64,
    reused: AtomicU64,
    looked_up: AtomicU64,
    remembered: AtomicU64,
}

impl Counts {
    fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// The client of one route.
type RouteClient = Arc<Client<Connector, Full<Bytes>>>;

/// All clients of the process: one for each `Route`. They live on the runtime that first sends with them.
pub struct Clients {
    names: Arc<Names>,
    proxy: Option<Uri>,
    counts: Arc<Counts>,
    made: Mutex<Made>,
}

/// The clients that are there.
struct Made {
    profiles: Profiles,
    by_route: HashMap<Arc<Route>, RouteClient>,
    /// The same by where the route lies, because a route with certificates takes long to compare. It is kept with it, so
    /// that no other comes to lie there.
    by_place: HashMap<usize, (Arc<Route>, RouteClient)>,
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl Clients {
    /// None yet: each is made when it is first needed. Reads the machine's authorities.
    ///
    /// # Errors
    /// A certificate or the proxy cannot be used.
    pub fn new(options: Options) -> Result<Self, ClientError> {
        if let Some(proxy) = &options.proxy {
            proxy::check(proxy)?;
        }
        let counts = Arc::new(Counts::default());
        let names = Arc::new(Names::new(options.resolver, options.clock, Arc::clone(&counts)));
        let profiles = Profiles::new(&options.roots)?;
        let made = Made { profiles, by_route: HashMap::new(), by_place: HashMap::new() };
        Ok(Self { names, proxy: options.proxy, counts, made: Mutex::new(made) })
    }

    /// Whether a route can be taken at all: its certificates can be read, its proxy is one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, route: &Arc<Route>) -> Result<(), ClientError> {
        self.client(route).map(drop)
    }

    /// One attempt, within one deadline over everything: look-up, connection, TLS, head, body. To drop it in between drops
    /// the connection.
    ///
    /// # Errors
    /// There was no answer.
    pub async fn send(
        &self,
        request: Request<Bytes>,
        route: &Arc<Route>,
        timeout: Duration,
    ) -> Result<Received, Failed> {
        let (mut head, read) = self.exchange(request, route, timeout).await?;
        Ok(Received {
            status: head.status.as_u16(),
            retry_after: head.headers.remove(RETRY_AFTER),
            body: read.bytes,
            is_whole: read.is_whole,
            is_broken: read.is_broken,
        })
    }

    /// As `send`, for whoever needs the whole of an answer: its head, and its body to the end.
    ///
    /// # Errors
    /// There was no answer, or more of it than `success::BODY_BYTES_MAX`, or less than was announced.
    #[cfg(feature = "acme")]
    pub async fn fetch(
        &self,
        request: Request<Bytes>,
        route: &Arc<Route>,
        timeout: Duration,
    ) -> Result<Response<Bytes>, Failed> {
        let (head, read) = self.exchange(request, route, timeout).await?;
        match read.is_whole {
            true => Ok(Response::from_parts(head, read.bytes)),
            false => Err(Failed::new(Fault::SentNoAnswer, "the answer is too long, or broke off")),
        }
    }

    async fn exchange(
        &self,
        mut request: Request<Bytes>,
        route: &Arc<Route>,
        timeout: Duration,
    ) -> Result<(response::Parts, body::Read), Failed> {
        let client =
            self.client(route).map_err(|error| Failed::new(Fault::Unmade, connect::in_words(&error)))?;
        if request.method() == Method::CONNECT {
            return Err(Failed::new(Fault::Unmade, "CONNECT is not for deliveries"));
        }
        if request.uri().scheme().is_none() || request.uri().authority().is_none() {
            return Err(Failed::new(Fault::Unmade, "the URL has no scheme or no host"));
        }
        // Which version it is becomes clear with the connection.
        *request.version_mut() = Version::HTTP_11;
        let mut deadline = std::pin::pin!(tokio::time::sleep(timeout));
        // Only HTTP/2 tells of a request that it was not processed: no other is copied.
        let mut repeats = if route.http2 { REPEATS_MAX } else { 0 };
        loop {
            let spare = (repeats > 0).then(|| request.clone());
            let capture = capture_connection(&mut request);
            let answer = tokio::select! {
                biased;
                answer = client.request(request.map(Full::new)) => answer,
                () = &mut deadline => return Err(self.late(&capture, timeout)),
            };
            let error = match answer {
                Ok(answer) => return Ok(self.read(answer, deadline).await),
                Err(error) => error,
            };
            let failed = self.failed(&error, &capture);
            request = match spare {
                Some(spare) if unprocessed::may_go_at_once(&error) => spare,
                _ => return Err(failed),
            };
            repeats -= 1;
        }
    }

    /// Gives up the clients of routes that are not in use any more, and their idle connections.
    pub fn keep(&self, routes: &[Arc<Route>]) {
        let wanted: std::collections::HashSet<&Arc<Route>> = routes.iter().collect();
        let mut made = self.made();
        made.by_place.clear();
        made.by_route.retain(|route, _| wanted.contains(route));
        made.profiles.forget_unused();
    }

    /// What the connections did so far.
    pub fn counts(&self) -> ConnectionCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ConnectionCounts {
            opened: read(&self.counts.opened),
            reused: read(&self.counts.reused),
            looked_up: read(&self.counts.looked_up),
            remembered: read(&self.counts.remembered),
        }
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn client(&self, route: &Arc<Route>) -> Result<RouteClient, ClientError> {
        let place = Arc::as_ptr(route).addr();
        let mut made = self.made();
        if let Some((_, client)) = made.by_place.get(&place) {
            return Ok(Arc::clone(client));
        }
        let client = match made.by_route.get(route) {
            Some(client) => Arc::clone(client),
            None => self.make(&mut made, route)?,
        };
        if made.by_place.len() >= PLACES_MAX {
            made.by_place.clear();
        }
        made.by_place.insert(place, (Arc::clone(route), Arc::clone(&client)));
        Ok(client)
    }

    fn make(&self, made: &mut Made, route: &Arc<Route>) -> Result<RouteClient, ClientError> {
        let proxy = route.proxy.as_ref().or(self.proxy.as_ref()).cloned();
        if let Some(proxy) = &proxy {
            proxy::check(proxy)?;
        }
        let connector = Connector {
            route: Arc::clone(route),
            proxy,
            tls: made.profiles.of(route)?,
            names: Arc::clone(&self.names),
            counts: Arc::clone(&self.counts),
        };
        let client = Arc::new(builder().build(connector));
        made.by_route.insert(Arc::clone(route), Arc::clone(&client));
        Ok(client)
    }

    async fn read(
        &self,
        answer: Response<Incoming>,
        deadline: std::pin::Pin<&mut Sleep>,
    ) -> (response::Parts, body::Read) {
        let (mut head, body) = answer.into_parts();
        let wire = head.extensions.remove::<Arc<Wire>>();
        let read = body::read(body, deadline).await;
        if let Some(wire) = wire {
            self.note(&wire);
            if read.is_whole {
                wire.settle();
                // The connection goes back to its pool in a task of its own. Without its turn now, whoever sends next here
                // would not find it, and open another.
                tokio::task::yield_now().await;
            }
        }
        (head, read)
    }

    fn late(&self, capture: &CaptureConnection, timeout: Duration) -> Failed {
        match wire_of(capture) {
            Some(wire) if wire.may_have_sent() => {
                self.note(&wire);
                Failed::new(Fault::SentNoAnswer, format_args!("no answer within {timeout:?}"))
            }
            _ => Failed::new(
                Fault::TimeoutBeforeSent,
                format_args!("nothing could be sent within {timeout:?}"),
            ),
        }
    }

    fn failed(&self, error: &Error, capture: &CaptureConnection) -> Failed {
        if let Some(refused) = error.source().and_then(|source| source.downcast_ref::<NoConnection>()) {
            return Failed::new(refused.fault, connect::in_words(refused));
        }
        let wire = wire_of(capture);
        if let Some(wire) = &wire {
            self.note(wire);
        }
        let fault = match &wire {
            _ if tls::is_refusal(error) => Fault::Tls,
            _ if unprocessed::is_so(error) => Fault::Connect,
            Some(wire) if wire.may_have_sent() => Fault::SentNoAnswer,
            // Also one that was closed before the request was given to it, which hyper-util calls sending as well.
            Some(_) | None => Fault::Connect,
        };
        Failed::new(fault, connect::in_words(error))
    }

    /// Counts an attempt over a connection.
    fn note(&self, wire: &Wire) {
        if wire.count_use() > 0 {
            Counts::count(&self.counts.reused);
        }
    }
}

fn builder() -> hyper_util::client::legacy::Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        // Without it idle connections are never closed.
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_MAX)
        .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
        .http1_max_buf_size(HEAD_BYTES_MAX)
        .http2_max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .http2_initial_stream_window_size(STREAM_WINDOW_BYTES)
        .http2_initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keep_alive_interval(PING_EVERY);
    builder
}

/// The connection that a request has got, if it has one.
fn wire_of(capture: &CaptureConnection) -> Option<Arc<Wire>> {
    let mut extensions = http::Extensions::new();
    capture.connection_metadata().as_ref()?.get_extras(&mut extensions);
    extensions.remove()
}
