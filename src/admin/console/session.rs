//! Who has logged in: by a cookie that holds chance, for a while.
//!
//! In: the token was right; a cookie. Out: a session, and what its forms must carry so that no page of somebody else can send
//! them.
//! Keeps: in memory only, `SESSIONS_MAX` at most (one more takes the place of the oldest); comparing takes as long whatever is
//! compared.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use http::header::COOKIE;
use subtle::ConstantTimeEq;

use crate::clock::Clock;
use crate::event::hex;

/// Sessions at a time.
const SESSIONS_MAX: usize = 64;
/// How long one lasts.
const LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// And without a request.
const IDLE_TIME: Duration = Duration::from_secs(2 * 3600);
/// What cannot be guessed.
const CHANCE_BYTES: usize = 16;
/// The cookie's name.
const NAME: &str = "clicklog_session";

/// See the module.
#[derive(Debug)]
pub(super) struct Sessions {
    clock: Clock,
    all: Mutex<Vec<Session>>,
}

struct Session {
    id: String,
    form_key: String,
    begun: Duration,
    seen: Duration,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("begun", &self.begun).finish_non_exhaustive()
    }
}

impl Sessions {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, all: Mutex::default() }
    }

    /// Begins one; the `Set-Cookie` that goes with it.
    pub(super) fn begin(&self) -> io::Result<String> {
        let (id, form_key) = (chance()?, chance()?);
        let now = self.clock.monotonic();
        let mut all = self.alive(now);
        if all.len() >= SESSIONS_MAX {
            all.remove(0);
        }
        all.push(Session { id: id.clone(), form_key, begun: now, seen: now });
        let seconds = LIFETIME.as_secs();
        Ok(format!("{NAME}={id}; Path=/console; HttpOnly; SameSite=Strict; Max-Age={seconds}"))
    }

    /// What the forms of a request's session carry; nothing if it has none.
    pub(super) fn form_key(&self, headers: &HeaderMap) -> Option<String> {
        let now = self.clock.monotonic();
        let mut all = self.alive(now);
        let found = all.iter_mut().find(|session| cookies(headers).any(|given| same(&session.id, given)))?;
        found.seen = now;
        Some(found.form_key.clone())
    }

    /// Ends a request's session; the `Set-Cookie` that takes it back.
    pub(super) fn end(&self, headers: &HeaderMap) -> String {
        let is_ended = |session: &Session| cookies(headers).any(|given| same(&session.id, given));
        self.alive(self.clock.monotonic()).retain(|session| !is_ended(session));
        format!("{NAME}=; Path=/console; HttpOnly; SameSite=Strict; Max-Age=0")
    }

    /// Those that have not ended, the oldest first. Never held across a wait.
    fn alive(&self, now: Duration) -> MutexGuard<'_, Vec<Session>> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|session| {
            now.saturating_sub(session.begun) < LIFETIME && now.saturating_sub(session.seen) < IDLE_TIME
        });
        all
    }
}

/// Whether two texts are the same.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

fn chance() -> io::Result<String> {
    let mut bytes = [0; CHANCE_BYTES];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(hex(&bytes))
}

/// All of our name: whatever else is served at this host, at any port, may have set one too, and the browser sends both.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(name, _)| *name == NAME).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, Timestamp};

    fn with(cookie: &str) -> HeaderMap {
        let value = cookie.split(';').next().unwrap_or_default();
        [(COOKIE, format!("other=1; {value}").parse().unwrap())].into_iter().collect()
    }

    fn sessions() -> (Sessions, ManualClock) {
        let clock = ManualClock::at(Timestamp::from_seconds(1_000_000));
        (Sessions::new(Clock::Manual(clock.clone())), clock)
    }

    #[test]
    fn a_session_is_its_cookie_s_until_it_ends() {
        let (sessions, _) = sessions();
        let first = with(&sessions.begin().unwrap());
        let second = with(&sessions.begin().unwrap());
        let key = sessions.form_key(&first).unwrap();
        assert_ne!(sessions.form_key(&second).unwrap(), key);
        assert_eq!(sessions.form_key(&first), Some(key), "as long as it lasts");
        assert_eq!(sessions.form_key(&with("clicklog_session=00")), None);
        assert_eq!(sessions.form_key(&HeaderMap::new()), None);
        assert!(sessions.end(&first).contains("Max-Age=0"));
        assert_eq!(sessions.form_key(&first), None);
        assert!(sessions.form_key(&second).is_some());
    }

    #[test]
    fn a_session_ends_by_itself() {
        let (sessions, clock) = sessions();
        let cookie = with(&sessions.begin().unwrap());
        let mut lasted = Duration::ZERO;
        while sessions.form_key(&cookie).is_some() {
            clock.advance(IDLE_TIME - Duration::from_secs(1));
            lasted += IDLE_TIME - Duration::from_secs(1);
        }
        assert!(lasted >= LIFETIME && lasted < LIFETIME + IDLE_TIME, "{lasted:?}");
        let cookie = with(&sessions.begin().unwrap());
        clock.advance(IDLE_TIME);
        assert_eq!(sessions.form_key(&cookie), None, "nobody was there");
    }

    #[test]
    fn one_session_too_many_takes_the_place_of_the_oldest() {
        let (sessions, _) = sessions();
        let cookies: Vec<HeaderMap> = (0..=SESSIONS_MAX).map(|_| with(&sessions.begin().unwrap())).collect();
        let alive = cookies.iter().filter(|cookie| sessions.form_key(cookie).is_some()).count();
        assert_eq!((alive, sessions.form_key(&cookies[0])), (SESSIONS_MAX, None));
    }
}
