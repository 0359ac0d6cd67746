//! The console: pages for people, made on the server.
//!
//! In: requests below `/console`, what the daemon can tell and do (`Operations`, `Facts`). Out: whole pages, a style sheet, and a
//! script that copies and refreshes; without it everything works too.
//! Keeps: everything that is shown is escaped (the macro that makes pages does so), and the pages' own policy forbids whatever is
//! not ours: nothing is loaded from elsewhere, no script or style stands in a page. Who may do what: `access`. Whatever takes
//! a while runs on threads of its own, `AT_ONCE_MAX` at a time, so that numbers and health are told meanwhile; whoever waits
//! for longer than `ANSWER_WITHIN` is told so, and what is read goes on being read. What reads no journal has turns of its own:
//! a destination can be paused whatever others look up.
//! Not here: what is shown (`view`, filled in by `serve`).

mod access;
mod assets;
mod chart;
mod form;
mod layout;
mod pages;
mod session;
mod text;
mod view;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, SET_COOKIE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use tokio::sync::Semaphore;

pub use view::{
    Attempts, CampaignPage, CampaignRow, Facts, Lane, Link, Listed, NetworkPage, NetworkRow, Overview,
    Period, Published, RequestRow, Requests, Setting, Storage, Sums, Wanted, WantedDeliveries,
};

use super::api::{self, ApiError, Body};
use super::guard::{self, Token};
use super::route::Verdict;
use super::{Operations, Options};
use crate::clock::Clock;
use crate::event::params::{Params, Source};
use access::Access;
use layout::Frame;
use session::{Sessions, same};

/// Pages that are made at a time, each of which may read for seconds, on processors that visitors are answered on too; and as
/// many of those that read no journal.
const AT_ONCE_MAX: usize = 2;
/// How long somebody waits for their turn, and for their page.
const TURN_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(25);
/// Bytes of a form.
const FORM_BYTES_MAX: usize = 32 * 1024;
/// Who shows a wrong token waits for so long, so many of them at a time; others are sent away at once. Whoever has the right one
/// waits for nobody: it is the token that cannot be guessed, and not how often somebody tries.
const LOGINS_AT_ONCE_MAX: usize = 4;
const WRONG_TOKEN_PAUSE: Duration = Duration::from_millis(500);

const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

type Answer = Response<Full<Bytes>>;

/// What stands behind `/console`.
pub(super) struct Console {
    own: IpAddr,
    token: Token,
    operations: Arc<dyn Operations>,
    sessions: Sessions,
    /// Of what reads journals, and of what does not.
    turns: Arc<Semaphore>,
    quick_turns: Arc<Semaphore>,
    logins: Semaphore,
    /// One at a time has deliveries tried again: how they stand is looked at first, and what was done a moment ago shows.
    replaying: Mutex<()>,
}

/// What comes of a form.
enum Done {
    /// A page that says it.
    Page(pages::Page),
    /// Somewhere else, where it shows.
    Go(String),
}

impl Console {
    pub(super) fn new(options: &Options, operations: Arc<dyn Operations>) -> Self {
        Self {
            own: options.address.ip(),
            token: options.token.clone(),
            operations,
            sessions: Sessions::new(Clock::default()),
            turns: Arc::new(Semaphore::new(AT_ONCE_MAX)),
            quick_turns: Arc::new(Semaphore::new(AT_ONCE_MAX)),
            replaying: Mutex::default(),
            logins: Semaphore::new(LOGINS_AT_ONCE_MAX),
        }
    }

    /// Whether a path is one of the console's.
    pub(super) fn has(path: &str) -> bool {
        path == "/console" || path.starts_with("/console/")
    }

    pub(super) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: IpAddr,
    ) -> (Verdict, Answer) {
        let (verdict, mut answer) = self.answer_to(request, peer).await;
        let headers = answer.headers_mut();
        for (name, value) in [
            (CONTENT_SECURITY_POLICY, POLICY),
            (REFERRER_POLICY, "no-referrer"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            (HeaderName::from_static("x-frame-options"), "DENY"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        (verdict, answer)
    }

    async fn answer_to(self: &Arc<Self>, request: Request<Incoming>, peer: IpAddr) -> (Verdict, Answer) {
        let (head, body) = request.into_parts();
        let (method, headers) = (head.method, head.headers);
        let is_read = method == Method::GET || method == Method::HEAD;
        if !is_read && method != Method::POST {
            return refused(
                Verdict::Method,
                StatusCode::METHOD_NOT_ALLOWED,
                "Only GET, HEAD and POST are known.",
            );
        }
        if access::is_foreign(&method, &headers) {
            let what = "A page of somebody else asked for this.";
            return refused(Verdict::Forbidden, StatusCode::FORBIDDEN, what);
        }
        let path = head.uri.path().strip_prefix("/console").unwrap_or_default().trim_start_matches('/');
        if let Some(asset) = assets::named(path).filter(|_| is_read) {
            return (Verdict::Answered, asset_answer(asset));
        }
        let path: Vec<String> =
            path.split('/').map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned()).collect();
        let asked = Asked { path, query: head.uri.query().unwrap_or_default().to_owned() };
        let is_local = guard::is_local(&headers, head.version, (self.own, peer));
        let access = Access::of(&headers, is_local, &self.token, &self.sessions);
        if is_read {
            return self.read(asked, access).await;
        }
        let form = match api::body(body, FORM_BYTES_MAX).await {
            Body::Whole(form) => Params::parse(&form, Source::Form),
            Body::Refused(status) => {
                return refused(Verdict::Body, status, "The form is too long or too slow.");
            }
        };
        match (&*asked.path.join("/"), &access) {
            ("login", _) => self.log_in(&form).await,
            (_, Access::Nobody | Access::Local) => {
                let what = "Log in first: changes need the admin token.";
                refused(Verdict::Unauthorised, StatusCode::UNAUTHORIZED, what)
            }
            (_, Access::Session(key)) if !same(key, form.get("key").unwrap_or_default()) => {
                let what =
                    "This form is not from a page of this session: go back, reload, and send it again.";
                refused(Verdict::Forbidden, StatusCode::FORBIDDEN, what)
            }
            ("logout", _) => (Verdict::Answered, go("/console", Some(self.sessions.end(&headers)))),
            _ => self.write(asked, access, form).await,
        }
    }

    async fn read(self: &Arc<Self>, asked: Asked, access: Access) -> (Verdict, Answer) {
        let is_login = asked.path == ["login"];
        if is_login || !access.may_look() {
            let wanted = Params::parse(asked.query.as_bytes(), Source::Query);
            let next =
                if is_login { wanted.get("next").unwrap_or_default().to_owned() } else { asked.target() };
            let status = if is_login { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
            let verdict = if is_login { Verdict::Answered } else { Verdict::Unauthorised };
            return (verdict, page(status, layout::login(&next, None)));
        }
        let console = Arc::clone(self);
        let turns = if pages::reads_no_journal(&asked) { &self.quick_turns } else { &self.turns };
        self.in_turn(turns, move || {
            let frame = Frame::new(&access, &*console.operations, &asked);
            let made = pages::read(&*console.operations, &asked, &frame);
            (Verdict::Answered, whole(&frame, made))
        })
        .await
    }

    async fn write(self: &Arc<Self>, asked: Asked, access: Access, form: Params) -> (Verdict, Answer) {
        let console = Arc::clone(self);
        let is_replay = pages::replays(&asked);
        self.in_turn(if is_replay { &self.turns } else { &self.quick_turns }, move || {
            let _alone = is_replay.then(|| console.replaying.lock().unwrap_or_else(PoisonError::into_inner));
            let frame = Frame::new(&access, &*console.operations, &asked);
            let done = match pages::write(&*console.operations, &asked, &form) {
                Ok(Done::Go(target)) => go(&target, None),
                Ok(Done::Page(made)) => whole(&frame, Ok(made)),
                Err(error) => whole(&frame, Err(error)),
            };
            (Verdict::Answered, done)
        })
        .await
    }

    /// Runs what may read for a while; who has to wait for too long is told.
    async fn in_turn(
        &self,
        turns: &Arc<Semaphore>,
        make: impl FnOnce() -> (Verdict, Answer) + Send + 'static,
    ) -> (Verdict, Answer) {
        let turn = tokio::time::timeout(TURN_WITHIN, Arc::clone(turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return busy("Other pages are being made, and read much: try again in a moment.");
        };
        let made = tokio::task::spawn_blocking(move || {
            let made = make();
            drop(turn);
            made
        });
        match tokio::time::timeout(ANSWER_WITHIN, made).await {
            Ok(Ok(made)) => made,
            Ok(Err(_panicked)) => {
                refused(Verdict::Answered, StatusCode::INTERNAL_SERVER_ERROR, "This page could not be made.")
            }
            Err(_late) => busy(
                "There is much to read: it goes on being read. Try again in a moment, ask for fewer days, or use the command line.",
            ),
        }
    }

    async fn log_in(&self, form: &Params) -> (Verdict, Answer) {
        let next = form.get("next").unwrap_or_default();
        if !self.token.is(form.get("token").unwrap_or_default().as_bytes()) {
            let Ok(_turn) = self.logins.try_acquire() else {
                let what = "That is not the admin token, and others try too: try again in a moment.";
                return refused(Verdict::Unauthorised, StatusCode::TOO_MANY_REQUESTS, what);
            };
            tokio::time::sleep(WRONG_TOKEN_PAUSE).await;
            let told = layout::login(next, Some("That is not the admin token."));
            return (Verdict::Unauthorised, page(StatusCode::UNAUTHORIZED, told));
        }
        match self.sessions.begin() {
            Ok(cookie) => (Verdict::Answered, go(&own_target(next), Some(cookie))),
            Err(_no_chance) => busy("The system gives no chance to make a session of."),
        }
    }
}

/// What is asked for.
pub(super) struct Asked {
    /// Parts of the path behind `/console/`, decoded.
    path: Vec<String>,
    query: String,
}

impl Asked {
    fn params(&self) -> Params {
        Params::parse(self.query.as_bytes(), Source::Query)
    }

    /// Itself again, as a link.
    fn target(&self) -> String {
        let path = text::path(&self.path.iter().map(String::as_str).collect::<Vec<_>>());
        if self.query.is_empty() { path } else { format!("{path}?{}", self.query) }
    }
}

/// A target of ours, or the first page for any other.
fn own_target(next: &str) -> String {
    let is_plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let is_own = Console::has(next.split('?').next().unwrap_or_default());
    if is_plain && is_own && !next.contains("//") { next.to_owned() } else { "/console".to_owned() }
}

fn whole(frame: &Frame, made: Result<pages::Page, ApiError>) -> Answer {
    match made {
        Ok(made) => page(StatusCode::OK, frame.around(&made)),
        Err(error) => page(error.status(), frame.around(&pages::failed(&error))),
    }
}

fn refused(verdict: Verdict, status: StatusCode, what: &str) -> (Verdict, Answer) {
    (verdict, page(status, layout::bare(status, what)))
}

fn busy(what: &str) -> (Verdict, Answer) {
    let (verdict, mut answer) = refused(Verdict::Answered, StatusCode::SERVICE_UNAVAILABLE, what);
    answer.headers_mut().insert(http::header::RETRY_AFTER, HeaderValue::from_static("5"));
    (verdict, answer)
}

/// Behind a form: so that a reload does not send it again.
fn go(target: &str, cookie: Option<String>) -> Answer {
    let mut answer = page(StatusCode::SEE_OTHER, String::new());
    let headers: &mut HeaderMap = answer.headers_mut();
    let target = HeaderValue::from_str(target).unwrap_or(HeaderValue::from_static("/console"));
    headers.insert(LOCATION, target);
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::from_str(&cookie).ok()) {
        headers.insert(SET_COOKIE, cookie);
    }
    answer
}

fn page(status: StatusCode, text: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    answer
}

fn asset_answer(asset: &'static assets::Asset) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from_static(asset.bytes.as_bytes())));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    // Its name says what it is: another content has another name.
    let for_good = HeaderValue::from_static("public, max-age=31536000, immutable");
    headers.insert(CACHE_CONTROL, for_good);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_only_to_pages_of_ours() {
        for (next, expected) in [
            ("/console/networks?q=a%20b", "/console/networks?q=a%20b"),
            ("/console", "/console"),
            ("/consoleevil", "/console"),
            ("//evil.example/console", "/console"),
            ("https://evil.example/console", "/console"),
            ("/console/../metrics//x", "/console"),
            ("/console\\evil", "/console"),
            ("/console/\r\nSet-Cookie: a=b", "/console"),
            ("", "/console"),
        ] {
            assert_eq!(own_target(next), expected, "{next:?}");
        }
    }
}
