//! Certificates from an authority, asked for and renewed (RFC 8555).
//!
//! In: names and whom to ask, from the settings at a start and at every reload; the clock. Out: for each name a file that
//! listeners show (`certificates`), long before the one before it expires.
//! Keeps: only names of the settings are asked for, one at a time; a certificate is in its file before it is shown, and what
//! cannot be read back is not written; after a failure the authority is left in peace for longer and longer, up to half a
//! day, or until a reload; what is there stays in use meanwhile.
//! Not here: the conversation with the authority (`order`), what it is answered (`ingest::Challenges`).

mod account;
mod order;
mod transport;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use instant_acme::{Account, ChallengeType};
use tokio::runtime::Runtime;

use super::certificates;
use crate::clock::{Clock, Timestamp};
use crate::config::certificates::validity;
use crate::config::{Authority, Listen};
use crate::ingest::Challenges;
use crate::metrics::{self, Page};
use crate::shutdown::{Shutdown, Woken};
use crate::store::directory::write_whole;
use order::OrderError;

/// How long the authority is left in peace after the first failure; three times as long after each further one. Let's Encrypt
/// lets five attempts at a name fail in an hour, and one of ours may be two of them.
const PAUSE_MIN: Duration = Duration::from_mins(30);
/// See `PAUSE_MIN`.
const PAUSE_MAX: Duration = Duration::from_hours(12);
/// How long a name is left alone that was given a certificate: where our clock is months ahead of the authority's, each would
/// be due at once.
const PAUSE_AFTER: Duration = PAUSE_MAX;
/// How often a stop is looked for while the authority is waited for.
const STOP_EVERY: Duration = Duration::from_millis(100);
/// How long nobody looks at the clock where nothing is due: it may be set.
const LOOK_EVERY: Duration = Duration::from_mins(10);

/// The thread that asks.
#[derive(Debug)]
pub(super) struct Acme {
    handle: Handle,
    /// Nobody where no listener shows what an authority gives.
    thread: Option<JoinHandle<()>>,
}

/// What can be asked of it. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Handle(Arc<Keeper>);

/// What it needs.
#[derive(Debug)]
pub(super) struct Parts {
    /// Whom to ask for what.
    pub(super) authority: Authority,
    /// Where the edge looks up what authorities are answered.
    pub(super) challenges: Challenges,
    /// How an authority may look at a name, in the order in which that is tried.
    pub(super) ways: Vec<ChallengeType>,
    /// What takes up the files.
    pub(super) certificates: certificates::Handle,
    /// For expiry, and for pauses.
    pub(super) clock: Clock,
}

/// How an authority may look at names that come in here; in none, if nothing of it would be shown.
pub(super) fn ways(listen: &[Listen]) -> Vec<ChallengeType> {
    let has = |what: &dyn Fn(&Listen) -> bool| listen.iter().any(what);
    let mut ways = Vec::new();
    if has(&|listen| listen.tls.as_ref().is_some_and(|tls| tls.acme)) {
        ways.push(ChallengeType::TlsAlpn01);
        ways.extend(has(&|listen| listen.tls.is_none()).then_some(ChallengeType::Http01));
    }
    ways
}

#[derive(Debug)]
struct Keeper {
    parts: Parts,
    wanted: Mutex<Wanted>,
    bell: Shutdown,
    issued: AtomicU64,
    failed: AtomicU64,
}

#[derive(Debug)]
struct Wanted {
    authority: Authority,
    names: BTreeMap<String, Name>,
}

/// Where a name stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Name {
    /// From when to when its certificate is good, if there is one.
    held: Option<(Timestamp, Timestamp)>,
    /// Attempts in a row that have failed.
    failures: u32,
    /// Not before this, on the monotonic clock.
    not_before: Duration,
}

impl Name {
    /// How long nothing is to be done about it.
    fn wait(&self, name: &str, now: Timestamp, monotonic: Duration) -> Duration {
        let pause = self.not_before.saturating_sub(monotonic);
        match self.held {
            Some(held) => renewal(name, held).since(now).max(pause),
            None => pause,
        }
    }

    /// One more attempt has failed.
    fn failed(&mut self, monotonic: Duration) -> Duration {
        let pause = PAUSE_MIN.saturating_mul(3u32.saturating_pow(self.failures)).min(PAUSE_MAX);
        self.failures += 1;
        self.not_before = monotonic + pause;
        pause
    }

    fn is_good(&self, now: Timestamp) -> bool {
        self.held.is_some_and(|(_, expires)| expires > now)
    }
}

/// When a certificate is renewed: with a third of its time left, and up to a fiftieth sooner, so that names that were asked
/// for together are not for ever.
fn renewal(name: &str, (starts, expires): (Timestamp, Timestamp)) -> Timestamp {
    let life = expires.since(starts);
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    let part = u32::try_from(hasher.finish() % 1000).unwrap_or(0);
    starts.plus(life * 2 / 3).minus(life / 50 * part / 1000)
}

impl Acme {
    pub(super) fn start(parts: Parts) -> io::Result<Self> {
        let is_shown = !parts.ways.is_empty();
        let wanted = Mutex::new(Wanted::of(parts.authority.clone()));
        let (bell, issued, failed) = (Shutdown::default(), AtomicU64::new(0), AtomicU64::new(0));
        let handle = Handle(Arc::new(Keeper { parts, wanted, bell, issued, failed }));
        if !is_shown {
            return Ok(Self { handle, thread: None });
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let own = handle.clone();
        let thread = std::thread::Builder::new().name("acme".to_owned()).spawn(move || own.run(&runtime))?;
        Ok(Self { handle, thread: Some(thread) })
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    pub(super) fn stop(self) {
        drop(self);
    }
}

/// A start that fails further on leaves nobody behind who asks an authority.
impl Drop for Acme {
    fn drop(&mut self) {
        self.handle.0.bell.trip();
        // Where a panic aborts, there is none to be told.
        let _ended = self.thread.take().map(JoinHandle::join);
    }
}

impl Wanted {
    fn of(authority: Authority) -> Self {
        let name = |name: &String| (name.clone(), Name { held: held(&authority, name), ..Name::default() });
        let names = authority.domains.iter().map(name).collect();
        Self { authority, names }
    }
}

/// From when to when what is in a name's file is good.
fn held(authority: &Authority, name: &str) -> Option<(Timestamp, Timestamp)> {
    let path = authority.file(name);
    if !path.exists() {
        return None;
    }
    validity(&path).inspect_err(|why| tracing::warn!("{why}; another is asked for")).ok()
}

impl Handle {
    /// Takes over whom to ask for what. Whatever has failed before is tried again at once.
    pub(super) fn reload(&self, authority: Authority) {
        let mut wanted = self.wanted();
        let mut new = Wanted::of(authority);
        for (name, state) in &mut new.names {
            let old = wanted.names.get(name).filter(|old| old.failures == 0 && old.held == state.held);
            *state = old.copied().unwrap_or(*state);
        }
        *wanted = new;
        drop(wanted);
        self.0.bell.nudge();
    }

    pub(super) fn write_metrics(&self, page: &mut Page) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        for (result, count) in [("issued", &self.0.issued), ("failed", &self.0.failed)] {
            page.sample(&metrics::ACME_CERTIFICATES, &[("result", result)], read(count));
        }
        for (challenge, count) in self.0.parts.challenges.answered() {
            page.sample(&metrics::ACME_CHALLENGES, &[("challenge", challenge)], count);
        }
        let now = self.0.parts.clock.now();
        let without = self.wanted().names.values().filter(|name| !name.is_good(now)).count();
        page.sample(&metrics::ACME_WITHOUT, &[], without as u64);
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, runtime: &Runtime) {
        let Keeper { parts, bell, .. } = &*self.0;
        let mut known = None;
        loop {
            let (wait, name) = self.next();
            let wait = match name {
                Some(name) if wait.is_zero() => {
                    if runtime.block_on(self.attempt(&name, &mut known)).is_none() {
                        return;
                    }
                    Duration::ZERO
                }
                _ => parts.clock.nap(wait.min(LOOK_EVERY)),
            };
            if bell.pause(wait) == Woken::Stopped {
                return;
            }
        }
    }

    /// The name of which something is due first, and how long that is from now.
    fn next(&self) -> (Duration, Option<String>) {
        let clock = &self.0.parts.clock;
        let (now, monotonic) = (clock.now(), clock.monotonic());
        let wanted = self.wanted();
        let waits = wanted.names.iter().map(|(name, state)| (state.wait(name, now, monotonic), name));
        waits.min().map_or((LOOK_EVERY, None), |(wait, name)| (wait, Some(name.clone())))
    }

    /// Asks for this name; nothing if it was to stop meanwhile.
    async fn attempt(&self, name: &str, known: &mut Option<(Authority, Account)>) -> Option<()> {
        let Keeper { parts, bell, issued, failed, .. } = &*self.0;
        let authority = self.wanted().authority.clone();
        let stopped = async {
            while !bell.is_tripped() {
                tokio::time::sleep(STOP_EVERY).await;
            }
        };
        let done = tokio::select! {
            done = self.obtain(&authority, name, known) => done,
            () = stopped => return None,
        };
        let state = match done {
            Ok(()) => {
                issued.fetch_add(1, Ordering::Relaxed);
                parts.certificates.look_now();
                let held = held(&authority, name);
                if let Some((_, expires)) = held {
                    tracing::info!("a certificate for {name} was issued: it is good until {expires}");
                }
                Name { held, failures: 0, not_before: parts.clock.monotonic() + PAUSE_AFTER }
            }
            Err(why) => {
                failed.fetch_add(1, Ordering::Relaxed);
                *known = None;
                let mut state = self.wanted().names.get(name).copied().unwrap_or_default();
                let minutes = state.failed(parts.clock.monotonic()).as_secs() / 60;
                let has_one =
                    if state.is_good(parts.clock.now()) { "the one before is shown" } else { "it has none" };
                tracing::error!(
                    "no new certificate for {name} ({has_one}), asked for again in {minutes} min or at a reload: {why}"
                );
                state
            }
        };
        // A reload may want it no more.
        self.wanted().names.entry(name.to_owned()).and_modify(|old| *old = state);
        Some(())
    }

    async fn obtain(
        &self,
        authority: &Authority,
        name: &str,
        known: &mut Option<(Authority, Account)>,
    ) -> Result<(), OrderError> {
        let account = match known {
            Some((of, account)) if of == authority => account.clone(),
            _ => {
                let account = account::of(authority, &self.0.parts.clock).await?;
                *known = Some((authority.clone(), account.clone()));
                account
            }
        };
        let mut refused = Vec::new();
        for way in &self.0.parts.ways {
            match order::certificate(&account, name, way, &self.0.parts.challenges).await {
                Ok(pem) => {
                    let path = authority.file(name);
                    return write_whole(&path, pem.as_bytes(), 0o600)
                        .map_err(|error| OrderError::Kept(error.to_string()));
                }
                Err(OrderError::Challenge { way, why }) => refused.push(format!("{way}: {why}")),
                Err(error) => {
                    account::forget_if_gone(authority, &error);
                    return Err(error);
                }
            }
        }
        Err(OrderError::Unconvinced { name: name.to_owned(), refused: refused.join("; ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);
    const NOW: Timestamp = Timestamp::from_seconds(1_795_158_000);

    #[test]
    fn a_certificate_is_renewed_with_a_third_of_its_time_left() {
        for name in ["a.example", "b.example", "c.example"] {
            for life in [DAY * 90, DAY * 6] {
                let at = renewal(name, (NOW, NOW.plus(life))).since(NOW);
                assert!(at <= life * 2 / 3 && at >= life * 64 / 100, "{name}: {at:?} of {life:?}");
            }
        }
        let held = Name { held: Some((NOW, NOW.plus(DAY * 90))), ..Name::default() };
        assert!(held.wait("a.example", NOW, Duration::ZERO) > DAY * 57);
        assert_eq!(held.wait("a.example", NOW.plus(DAY * 61), Duration::ZERO), Duration::ZERO);
        assert!(held.is_good(NOW.plus(DAY * 89)) && !held.is_good(NOW.plus(DAY * 90)));
    }

    #[test]
    fn an_authority_that_refuses_is_left_in_peace_for_longer_and_longer() {
        let mut name = Name::default();
        assert_eq!(name.wait("a.example", NOW, Duration::ZERO), Duration::ZERO);
        let minutes: Vec<u64> = (0..6).map(|_| name.failed(Duration::ZERO).as_secs() / 60).collect();
        assert_eq!(minutes, [30, 90, 270, 720, 720, 720]);
        assert_eq!(name.wait("a.example", NOW, Duration::from_mins(700)), Duration::from_mins(20));
    }
}
