//! OAuth2 tokens: from a file that somebody keeps fresh, or by a call that is made again before they expire.
//!
//! In: where a destination's token comes from. Out: the value of its `Authorization` header, marked as sensitive.
//! Keeps: one call at a time for a source; while a token still holds nobody waits for the next one; after a failure nobody
//! asks for a while. No error shows a secret.
//! Not here: who is told when a token is refused (`class`).

use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Uri};
use serde::Deserialize;
use tokio::time::timeout;

use super::class::{Answer, Fault, Success};
use super::client::{Clients, Failed, Received};
use super::outbound::{Route, TokenSource};
use crate::clock::Clock;
use crate::event::percent_encoded;

/// The longest token.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// How often a file is looked at.
const FILE_EVERY: Duration = Duration::from_secs(1);

/// How long a token holds if its issuer does not say.
const LIFE_DEFAULT: Duration = Duration::from_hours(1);

/// The longest that an issuer is believed.
const LIFE_MAX: Duration = Duration::from_hours(24);

/// How long nobody asks after a failure.
const PAUSE: Duration = Duration::from_secs(5);

/// The longest code of an error that is shown.
const CODE_BYTES_MAX: usize = 64;

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read, or holds none.
    #[error("the token file {path} cannot be used: {what}")]
    File {
        /// Which one.
        path: Arc<str>,
        /// What is wrong with it.
        what: Arc<str>,
    },
    /// The call did not come through.
    #[error("the token could not be asked for: {detail}")]
    Call {
        /// In words.
        detail: Arc<str>,
    },
    /// The issuer refuses us.
    #[error("the token was refused with {status}{}", in_brackets(code))]
    Refused {
        /// With this status.
        status: u16,
        /// The code of the error (RFC 6749, 5.2), if it gave one.
        code: Arc<str>,
    },
    /// The issuer's answer is none.
    #[error("the answer to the call for a token has none ({status})")]
    Malformed {
        /// Its status.
        status: u16,
    },
}

fn in_brackets(code: &str) -> String {
    if code.is_empty() { String::new() } else { format!(" ({code})") }
}

impl TokenError {
    /// What an attempt came to that was not made for want of a token: as if the destination itself had refused us, where
    /// the secrets are wrong, else as one of which nothing has left.
    pub const fn answer(&self) -> Answer {
        match self {
            Self::Refused { .. } => Answer::Whole { status: 401, says_when: false, success: Success::No },
            Self::File { .. } | Self::Call { .. } | Self::Malformed { .. } => Answer::Fault(Fault::Connect),
        }
    }
}

/// The tokens of all destinations.
#[derive(Debug)]
pub struct Tokens {
    clock: Clock,
    held: Mutex<Vec<Held>>,
}

/// What is held of one source. Equal sources hold together.
#[derive(Clone, Debug)]
struct Held {
    source: Arc<TokenSource>,
    /// Locked while a call is made: the others wait for what it gives.
    turn: Arc<tokio::sync::Mutex<()>>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    value: Option<HeaderValue>,
    /// When it is asked for again, and when it holds no more.
    refresh_at: Duration,
    expires_at: Duration,
    /// Length and time of change of the file that it was read from.
    stamp: Option<Stamp>,
    /// The last failure, until when it stands.
    failed: Option<(TokenError, Duration)>,
}

/// Whether a file is the same as before.
type Stamp = (u64, Option<std::time::SystemTime>);

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("failed", &self.failed).finish_non_exhaustive()
    }
}

impl State {
    fn pause(&mut self, error: TokenError, now: Duration) -> TokenError {
        self.failed = Some((error.clone(), now + PAUSE));
        error
    }

    fn failure(&self, now: Duration) -> Option<&TokenError> {
        self.failed.as_ref().filter(|(_, until)| now < *until).map(|(error, _)| error)
    }

    fn valid(&self, now: Duration) -> Option<HeaderValue> {
        self.value.clone().filter(|_| now < self.expires_at)
    }
}

impl Tokens {
    /// None yet.
    pub fn new(clock: Clock) -> Self {
        Self { clock, held: Mutex::default() }
    }

    /// What to show as `Authorization`. A call takes the destination's route, and no longer than `limit`.
    ///
    /// # Errors
    /// There is no token.
    pub async fn authorization(
        &self,
        source: &Arc<TokenSource>,
        clients: &Clients,
        route: &Arc<Route>,
        limit: Duration,
    ) -> Result<HeaderValue, TokenError> {
        let held = self.held(source);
        match &**source {
            TokenSource::File(path) => self.of_file(&held, path),
            TokenSource::Call { url, form } => {
                let call = self.of_call(&held, url, form, clients, route, limit);
                timeout(limit, call).await.unwrap_or_else(|_| {
                    Err(TokenError::Call { detail: format!("no answer within {limit:?}").into() })
                })
            }
        }
    }

    /// A destination has refused this value: the next one is a new one. Does nothing if there is a new one already, which
    /// whoever was refused before has seen to.
    pub fn forget(&self, source: &Arc<TokenSource>, refused: &HeaderValue) {
        let held = self.held(source);
        let mut state = held.state();
        if state.value.as_ref() == Some(refused) {
            state.value = None;
        }
    }

    /// Gives up the tokens of sources that are not in use any more (after a reload).
    pub fn keep(&self, sources: &[Arc<TokenSource>]) {
        self.all().retain(|held| sources.contains(&held.source));
    }

    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self, source: &Arc<TokenSource>) -> Held {
        let mut all = self.all();
        // Equality of an `Arc` is that of its place, where it is the same: no text is compared then.
        let found = all.iter().find(|held| Arc::ptr_eq(&held.source, source) || held.source == *source);
        if let Some(held) = found {
            return held.clone();
        }
        let held = Held { source: Arc::clone(source), turn: Arc::default(), state: Arc::default() };
        all.push(held.clone());
        held
    }

    fn of_file(&self, held: &Held, path: &Path) -> Result<HeaderValue, TokenError> {
        let now = self.clock.monotonic();
        let mut state = held.state();
        if let Some(value) = state.value.clone().filter(|_| now < state.refresh_at) {
            return Ok(value);
        }
        if let Some(error) = state.failure(now) {
            return Err(error.clone());
        }
        match read(path, state.stamp.filter(|_| state.value.is_some())) {
            Ok(read) => {
                if let Some((value, stamp)) = read {
                    (state.value, state.stamp) = (Some(value), Some(stamp));
                }
                (state.refresh_at, state.failed) = (now + FILE_EVERY, None);
                // A file is read whenever there is no value: there is one now.
                state.value.clone().ok_or(TokenError::Malformed { status: 0 })
            }
            Err(what) => {
                let path = Arc::from(path.display().to_string());
                let error = TokenError::File { path, what: what.into() };
                state.failed = Some((error.clone(), now + FILE_EVERY));
                Err(error)
            }
        }
    }

    async fn of_call(
        &self,
        held: &Held,
        url: &Uri,
        form: &[(String, String)],
        clients: &Clients,
        route: &Arc<Route>,
        limit: Duration,
    ) -> Result<HeaderValue, TokenError> {
        if let Some(known) = self.known(held) {
            return known;
        }
        let still = held.state().valid(self.clock.monotonic());
        let _turn = match (held.turn.try_lock(), still) {
            (Ok(turn), _) => turn,
            (Err(_), Some(still)) => return Ok(still),
            (Err(_), None) => held.turn.lock().await,
        };
        // Whoever had the turn before may have brought it.
        if let Some(known) = self.known(held) {
            return known;
        }
        let outcome = match clients.send(request(url, form)?, route, limit).await {
            Ok(received) => token_in(&received),
            Err(Failed { detail, .. }) => Err(TokenError::Call { detail: detail.into() }),
        };
        let now = self.clock.monotonic();
        let mut state = held.state();
        match outcome {
            Ok((value, life)) => {
                (state.refresh_at, state.expires_at) = (now + life / 5 * 4, now + life);
                (state.value, state.failed) = (Some(value.clone()), None);
                Ok(value)
            }
            Err(error) => {
                let error = state.pause(error, now);
                state.valid(now).ok_or(error)
            }
        }
    }

    /// What can be said without a call.
    fn known(&self, held: &Held) -> Option<Result<HeaderValue, TokenError>> {
        let now = self.clock.monotonic();
        let state = held.state();
        match (state.valid(now), state.failure(now)) {
            (Some(value), _) if now < state.refresh_at => Some(Ok(value)),
            (Some(value), Some(_)) => Some(Ok(value)),
            (None, Some(error)) => Some(Err(error.clone())),
            (_, None) => None,
        }
    }
}

impl Held {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a file holds, unless it is still as it was.
fn read(path: &Path, before: Option<Stamp>) -> Result<Option<(HeaderValue, Stamp)>, String> {
    let told = |error: std::io::Error| error.to_string();
    let file = std::fs::File::open(path).map_err(told)?;
    let metadata = file.metadata().map_err(told)?;
    if !metadata.is_file() {
        return Err("it is no file".to_owned());
    }
    let stamp = (metadata.len(), metadata.modified().ok());
    if before == Some(stamp) {
        return Ok(None);
    }
    let mut text = String::new();
    let bound = u64::try_from(TOKEN_BYTES_MAX).unwrap_or(u64::MAX);
    file.take(bound + 1).read_to_string(&mut text).map_err(told)?;
    match bearer(text.trim()) {
        Some(value) => Ok(Some((value, stamp))),
        None => Err("it holds no token".to_owned()),
    }
}

/// The header for a token (RFC 6750, 2.1), if it is one: visible ASCII without blanks.
fn bearer(token: &str) -> Option<HeaderValue> {
    let is_one = !token.is_empty()
        && token.len() <= TOKEN_BYTES_MAX
        && token.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',' && byte != b'"');
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok().filter(|_| is_one)?;
    value.set_sensitive(true);
    Some(value)
}

fn request(url: &Uri, form: &[(String, String)]) -> Result<Request<Bytes>, TokenError> {
    let pairs: Vec<String> = form
        .iter()
        .map(|(name, value)| format!("{}={}", percent_encoded(name), percent_encoded(value)))
        .collect();
    Request::builder()
        .method(Method::POST)
        .uri(url)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(ACCEPT, "application/json")
        .body(Bytes::from(pairs.join("&")))
        .map_err(|_| TokenError::Call { detail: "its URL is none".into() })
}

/// The answer of an issuer (RFC 6749, 5.1 and 5.2).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Issued {
    access_token: Option<String>,
    expires_in: Option<Seconds>,
    error: Option<String>,
}

/// Some write the number as a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(f64),
    Text(String),
}

impl Seconds {
    fn life(&self) -> Option<Duration> {
        let seconds = match self {
            Self::Number(seconds) => *seconds,
            Self::Text(text) => text.trim().parse().ok()?,
        };
        Duration::try_from_secs_f64(seconds).ok()
    }
}

fn token_in(received: &Received) -> Result<(HeaderValue, Duration), TokenError> {
    let status = received.status;
    if received.is_broken {
        return Err(TokenError::Call { detail: "the answer broke off".into() });
    }
    let issued: Issued = serde_json::from_slice(&received.body).unwrap_or_default();
    match (status, issued.access_token.as_deref().and_then(bearer)) {
        (200..=299, Some(value)) => {
            let life = issued.expires_in.as_ref().and_then(Seconds::life).unwrap_or(LIFE_DEFAULT);
            Ok((value, life.min(LIFE_MAX)))
        }
        // What passes by itself is asked for again; all else needs somebody who puts it right.
        (400..=499, _) if !matches!(status, 408 | 425 | 429) => {
            Err(TokenError::Refused { status, code: code_in(issued.error).into() })
        }
        _ => Err(TokenError::Malformed { status }),
    }
}

/// The code of an error, if it looks like one: nothing else of the answer is shown, which may repeat what was sent.
fn code_in(error: Option<String>) -> String {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    error.filter(|code| code.len() <= CODE_BYTES_MAX && code.bytes().all(is_word)).unwrap_or_default()
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
