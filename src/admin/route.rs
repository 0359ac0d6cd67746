//! Requests of operators, and their answers.
//!
//! | route | does |
//! |---|---|
//! | `GET /metrics` | every number, in Prometheus' text format |
//! | `GET /healthz` | 200 while the process can answer at all |
//! | `GET /readyz`, `?verbose` | 200 while requests should come here, else 503; with a line for each check |
//! | `POST /-/reload` | loads catalog and lists again; 400 and why if nothing has changed |
//! | `POST /-/roll` | ends the segments that are written to |
//! | `POST /-/drain` | not ready from now on, while requests are still taken |
//! | `POST /-/log-level?level=L` | tells so much in the log from now on |
//! | `GET /api/campaigns` | the campaigns and their other names |
//! | `GET /api/postbacks?network=N` | the last requests of a network |
//! | `POST /api/held/release`, `/api/held/drop` | lets a held payout count, or throws it away |
//! | `POST /api/import/clicks` | stores a chunk of clicks of another tracker |
//! | `POST /api/import/conversions` | decides on a chunk of conversions of a file |
//! | `POST /api/import/costs` | keeps a chunk of costs of a file |
//! | `POST /api/postback/test` | takes a made-up postback through everything |
//! | `POST /api/replay` | decides once more on postbacks that are in the journal |
//! | `GET /api/destinations` | how all destinations stand |
//! | `POST /api/destinations/pause`, `/api/destinations/resume` | sends nothing more to one, or goes on |
//! | `POST /api/deliveries/replay` | attempts deliveries again |
//! | `GET /` | leads to the console |
//! | `/console`, `/console/…` | pages for people (`console`) |
//!
//! What `/api/` answers is JSON, `{"error": "..."}` where it is refused. Reading it needs no token for who asks at this machine
//! (`guard::is_local`); elsewhere all of it does: requests of networks are about people, and destinations say with whom we trade.
//!
//! Keeps: each request ends in exactly one `Verdict`, which is counted; nothing is cached or framed by anybody.

use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;

use super::api::{self, ApiResult, Body};
use super::console::Console;
use super::guard::{is_local, is_ours};
use super::{Check, Health, Operations, Options};
use crate::metrics::{self, Counter, Page};

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was answered, whatever the answer was.
    Answered,
    /// The token was missing or wrong: 401.
    Unauthorised,
    /// The Host is none of ours: 421.
    Misdirected,
    /// No such path: 404.
    NotFound,
    /// Not a method of this path: 405.
    Method,
    /// The body is too long, too slow or broken off: 413, 408, 400.
    Body,
    /// A page of somebody else made a browser ask for it: 403.
    Forbidden,
}

impl Verdict {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Answered, "answered"),
        (Self::Unauthorised, "unauthorised"),
        (Self::Misdirected, "misdirected"),
        (Self::NotFound, "not_found"),
        (Self::Method, "method"),
        (Self::Body, "body"),
        (Self::Forbidden, "forbidden"),
    ];
}

/// What stands behind every connection.
pub(super) struct Door {
    options: Options,
    operations: Arc<dyn Operations>,
    console: Arc<Console>,
    counts: [Counter; Verdict::ALL.len()],
}

#[derive(Clone, Copy, Debug)]
enum Route {
    Start,
    Metrics,
    Health,
    Ready,
    Reload,
    Roll,
    Drain,
    LogLevel,
    Campaigns,
    Postbacks,
    Release,
    Drop,
    Import,
    ImportConversions,
    ImportCosts,
    Test,
    Replay,
    Destinations,
    Pause,
    Resume,
    Redeliver,
}

impl Route {
    fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/" => Self::Start,
            "/metrics" => Self::Metrics,
            "/healthz" => Self::Health,
            "/readyz" => Self::Ready,
            "/-/reload" => Self::Reload,
            "/-/roll" => Self::Roll,
            "/-/drain" => Self::Drain,
            "/-/log-level" => Self::LogLevel,
            "/api/campaigns" => Self::Campaigns,
            "/api/postbacks" => Self::Postbacks,
            "/api/held/release" => Self::Release,
            "/api/held/drop" => Self::Drop,
            "/api/import/clicks" => Self::Import,
            "/api/import/conversions" => Self::ImportConversions,
            "/api/import/costs" => Self::ImportCosts,
            "/api/postback/test" => Self::Test,
            "/api/replay" => Self::Replay,
            "/api/destinations" => Self::Destinations,
            "/api/destinations/pause" => Self::Pause,
            "/api/destinations/resume" => Self::Resume,
            "/api/deliveries/replay" => Self::Redeliver,
            _ => return None,
        })
    }

    fn changes_something(self) -> bool {
        match self {
            Self::Start | Self::Metrics | Self::Health | Self::Ready => false,
            Self::Campaigns | Self::Postbacks | Self::Destinations => false,
            Self::Reload | Self::Roll | Self::Drain | Self::LogLevel => true,
            Self::Release | Self::Drop | Self::Import | Self::Test | Self::Replay => true,
            Self::Pause | Self::Resume | Self::Redeliver => true,
            Self::ImportConversions | Self::ImportCosts => true,
        }
    }

    /// How long a body it takes; what is sent to the others is not read.
    fn body_bytes_max(self) -> usize {
        match self {
            Self::Import | Self::ImportConversions | Self::ImportCosts => api::CHUNK_BYTES_MAX,
            Self::Redeliver => api::DELIVERIES_BYTES_MAX,
            Self::Release | Self::Drop | Self::Test | Self::Replay | Self::Pause | Self::Resume => {
                api::BODY_BYTES_MAX
            }
            _ => 0,
        }
    }
}

impl Door {
    pub(super) fn new(options: Options, operations: Arc<dyn Operations>) -> Self {
        let console = Arc::new(Console::new(&options, Arc::clone(&operations)));
        Self { options, operations, console, counts: std::array::from_fn(|_| Counter::default()) }
    }

    pub(super) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: IpAddr,
    ) -> Response<Full<Bytes>> {
        let is_ours = is_ours(request.headers(), &self.options.hosts);
        let (verdict, mut response) = match self.admit(&request, peer) {
            _ if is_ours && Console::has(request.uri().path()) => {
                Arc::clone(&self.console).answer(request, peer).await
            }
            Err((verdict, status)) => (verdict, refusal(verdict, status, request.uri().path())),
            Ok(route) => self.take(route, request).await,
        };
        self.counts[verdict as usize].increment();
        let headers = response.headers_mut();
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }

    async fn take(
        self: &Arc<Self>,
        route: Route,
        request: Request<Incoming>,
    ) -> (Verdict, Response<Full<Bytes>>) {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let path = request.uri().path().to_owned();
        let body = match api::body(request.into_body(), route.body_bytes_max()).await {
            Body::Whole(body) => body,
            Body::Refused(status) => return (Verdict::Body, refusal(Verdict::Body, status, &path)),
        };
        let door = Arc::clone(self);
        // It may take a lock, read a file, compile a catalog.
        let done = tokio::task::spawn_blocking(move || door.perform(route, &query, &body)).await;
        let failed = |_| text(StatusCode::INTERNAL_SERVER_ERROR, "it panicked\n".to_owned());
        (Verdict::Answered, done.unwrap_or_else(failed))
    }

    fn admit(&self, request: &Request<Incoming>, peer: IpAddr) -> Result<Route, (Verdict, StatusCode)> {
        if !is_ours(request.headers(), &self.options.hosts) {
            return Err((Verdict::Misdirected, StatusCode::MISDIRECTED_REQUEST));
        }
        let route = Route::of(request.uri().path()).ok_or((Verdict::NotFound, StatusCode::NOT_FOUND))?;
        let method = request.method();
        let fits = match route.changes_something() {
            true => method == Method::POST,
            false => method == Method::GET || method == Method::HEAD,
        };
        if !fits {
            return Err((Verdict::Method, StatusCode::METHOD_NOT_ALLOWED));
        }
        let ends = (self.options.address.ip(), peer);
        let is_open =
            !is_private(request.uri().path()) || is_local(request.headers(), request.version(), ends);
        if (route.changes_something() || !is_open) && !self.options.token.is_shown(request.headers()) {
            return Err((Verdict::Unauthorised, StatusCode::UNAUTHORIZED));
        }
        Ok(route)
    }

    fn perform(&self, route: Route, query: &str, body: &[u8]) -> Response<Full<Bytes>> {
        let does = &*self.operations;
        match route {
            Route::Start => to_console(),
            Route::Metrics => self.metrics(),
            Route::Health => text(StatusCode::OK, "ok\n".to_owned()),
            Route::Ready => ready(&does.checks(), query.contains("verbose")),
            Route::Reload => done(does.reload()),
            Route::Roll => text(StatusCode::OK, does.roll() + "\n"),
            Route::Drain => text(StatusCode::OK, does.drain() + "\n"),
            Route::LogLevel => done(does.log_level(&api::value(query, "level"))),
            Route::Campaigns => json(does.aliases()),
            Route::Postbacks => json(does.postbacks(&api::network(query))),
            Route::Release => json(api::held(body).and_then(|held| does.settle(held, true))),
            Route::Drop => json(api::held(body).and_then(|held| does.settle(held, false))),
            Route::Import => json(does.import_clicks(query, body)),
            Route::ImportConversions => json(does.import_conversions(query, body)),
            Route::ImportCosts => json(does.import_costs(query, body)),
            Route::Test => json(api::parse(body).and_then(|test| does.test_postback(&test))),
            Route::Replay => json(api::parse(body).and_then(|replay| does.replay(&replay))),
            Route::Destinations => json(does.destinations()),
            Route::Pause => json(api::parse(body).and_then(|pause| does.pause_destination(&pause))),
            Route::Resume => json(api::destination(body).and_then(|id| does.resume_destination(&id))),
            Route::Redeliver => json(api::deliveries(body).and_then(|all| does.replay_deliveries(all))),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let mut page = Page::default();
        self.operations.write_metrics(&mut page);
        for (verdict, name) in Verdict::ALL {
            let count = self.counts[verdict as usize].sum();
            page.sample(&metrics::ADMIN_REQUESTS, &[("result", name)], count);
        }
        let mut response = text(StatusCode::OK, page.into_text());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(Page::CONTENT_TYPE));
        response
    }
}

/// Whether what a path tells is for operators only, also where others can ask: all of the API, so that no route is forgotten.
fn is_private(path: &str) -> bool {
    path.starts_with("/api/")
}

fn ready(checks: &[Check], is_verbose: bool) -> Response<Full<Bytes>> {
    let is_ready = checks.iter().all(|check| check.health != Health::Bad);
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut lines = String::new();
    for check in checks.iter().filter(|check| is_verbose || check.health == Health::Bad) {
        let sign = match check.health {
            Health::Good => '+',
            Health::Worrying => '!',
            Health::Bad => '-',
        };
        // Writing to a string cannot fail.
        let _written = writeln!(lines, "[{sign}] {}: {}", check.name, check.detail);
    }
    lines.push_str(if is_ready { "ready\n" } else { "not ready\n" });
    text(status, lines)
}

fn refusal(verdict: Verdict, status: StatusCode, path: &str) -> Response<Full<Bytes>> {
    let mut response = text(status, format!("{}\n", status.canonical_reason().unwrap_or_default()));
    match verdict {
        Verdict::Unauthorised => {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Verdict::Method => {
            let is_change = Route::of(path).is_some_and(Route::changes_something);
            let allowed = if is_change { "POST" } else { "GET, HEAD" };
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
        }
        _ => {}
    }
    response
}

fn to_console() -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::SEE_OTHER, "/console\n".to_owned());
    response.headers_mut().insert(LOCATION, HeaderValue::from_static("/console"));
    response
}

fn done(done: Result<String, String>) -> Response<Full<Bytes>> {
    match done {
        Ok(done) => text(StatusCode::OK, done + "\n"),
        Err(why) => text(StatusCode::BAD_REQUEST, why + "\n"),
    }
}

fn json(done: ApiResult) -> Response<Full<Bytes>> {
    let (status, body) = match done {
        Ok(body) => (StatusCode::OK, body),
        Err(error) => (error.status(), error.to_json()),
    };
    let mut response = text(status, body + "\n");
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_the_api_tells_is_private_and_what_probes_ask_is_not() {
        for path in ["/api/campaigns", "/api/postbacks", "/api/destinations", "/api/deliveries/replay"] {
            assert!(Route::of(path).is_some() && is_private(path), "{path}");
        }
        for path in ["/metrics", "/healthz", "/readyz"] {
            assert!(Route::of(path).is_some() && !is_private(path), "{path}");
        }
    }
}
