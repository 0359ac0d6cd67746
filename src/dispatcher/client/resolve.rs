//! Names and what they lead to, kept for a while.
//!
//! In: a name in lower case. Out: its addresses, none of them checked: that is done where they are connected to.
//! Keeps: one look-up at a time for a name, few at once for all; a bounded number of names. A name that cannot be looked up
//! any more leads where it led, for ten minutes: a resolver that is away for a moment stops nothing.
//! The system's resolver does not say how long an answer holds, so all hold equally long.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use super::Counts;
use super::connect::NoConnection;
use crate::clock::Clock;
use crate::dispatcher::class::Fault;

/// How long an answer holds.
const FRESH: Duration = Duration::from_secs(30);

/// How long it holds that there is none.
const FRESH_FAILURE: Duration = Duration::from_secs(5);

/// How long an old answer helps out.
const STALE_MAX: Duration = Duration::from_mins(10);

/// The most names that are kept. When it is full, those that help nobody any more go, or any one.
const NAMES_MAX: usize = 10_000;

/// The most look-ups at once; others wait. Each holds a thread.
const LOOK_UPS_MAX: usize = 16;

/// The most addresses that are kept of a name.
const ADDRESSES_MAX: usize = 32;

/// What a test answers instead of the system.
type Answers = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// How names are resolved.
#[derive(Clone, Default)]
pub enum Resolver {
    /// As the machine does it.
    #[default]
    System,
    /// By a function, for tests.
    Function(Arc<Answers>),
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Function(_) => "Function",
        })
    }
}

impl Resolver {
    fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        match self {
            Self::System => Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect()),
            Self::Function(answers) => answers(name),
        }
    }
}

/// The addresses of a name, or why there are none.
type Answer = Result<Arc<[IpAddr]>, Arc<str>>;

/// What is known of a name.
struct Known {
    /// What was said last, and when.
    said: Option<(Answer, Duration)>,
    /// The last addresses, and when they were said: they help out.
    led_to: Option<(Arc<[IpAddr]>, Duration)>,
    /// The look-up under way.
    asked: Option<watch::Receiver<Option<Answer>>>,
}

/// All names.
pub(super) struct Names {
    resolver: Resolver,
    clock: Clock,
    counts: Arc<Counts>,
    permits: Arc<Semaphore>,
    known: Mutex<HashMap<Box<str>, Known>>,
}

/// Either an answer, or where one is going to be.
enum Found {
    Answer(Answer),
    Asked(watch::Receiver<Option<Answer>>),
}

impl Names {
    pub(super) fn new(resolver: Resolver, clock: Clock, counts: Arc<Counts>) -> Self {
        let permits = Arc::new(Semaphore::new(LOOK_UPS_MAX));
        Self { resolver, clock, counts, permits, known: Mutex::default() }
    }

    /// The addresses of a name.
    pub(super) async fn addresses(self: &Arc<Self>, name: &str) -> Result<Arc<[IpAddr]>, NoConnection> {
        let answer = match self.find(name) {
            Found::Answer(answer) => answer,
            Found::Asked(mut asked) => match asked.wait_for(Option::is_some).await {
                Ok(answer) => answer.clone().unwrap_or_else(|| Err(Arc::from("the look-up was lost"))),
                Err(_) => Err(Arc::from("the look-up was given up")),
            },
        };
        answer.map_err(|what| NoConnection::new(Fault::Dns, format!("{name} leads nowhere: {what}")))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Box<str>, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(self: &Arc<Self>, name: &str) -> Found {
        let now = self.clock.monotonic();
        let mut all = self.known();
        if let Some(known) = all.get(name) {
            if let Some(asked) = known.asked.as_ref().filter(|asked| asked.has_changed().is_ok()) {
                return Found::Asked(asked.clone());
            }
            if let Some((answer, at)) = &known.said
                && now.saturating_sub(*at) < if answer.is_ok() { FRESH } else { FRESH_FAILURE }
            {
                Counts::count(&self.counts.remembered);
                return Found::Answer(answer.clone());
            }
        } else if !has_room(&mut all, now) {
            return Found::Answer(Err(Arc::from("too many names are being looked up")));
        }
        let (said, asked) = watch::channel(None);
        let known = all.entry(name.into()).or_insert(Known { said: None, led_to: None, asked: None });
        known.asked = Some(asked.clone());
        // In a task of its own: whoever asked may be gone before the answer is there, and the next one wants it too.
        tokio::spawn(Arc::clone(self).ask(name.into(), said));
        Found::Asked(asked)
    }

    async fn ask(self: Arc<Self>, name: Box<str>, said: watch::Sender<Option<Answer>>) {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        Counts::count(&self.counts.looked_up);
        let (resolver, asked) = (self.resolver.clone(), name.clone());
        let answer = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            resolver.look_up(&asked)
        });
        let answer = match answer.await {
            Ok(Ok(mut addresses)) => {
                addresses.truncate(ADDRESSES_MAX);
                if addresses.is_empty() { Err(Arc::from("it has no address")) } else { Ok(addresses.into()) }
            }
            Ok(Err(error)) => Err(Arc::from(error.to_string())),
            Err(_) => Err(Arc::from("the look-up was given up")),
        };
        // Nobody may be waiting any more.
        let _ = said.send(Some(self.keep(&name, answer)));
    }

    /// Keeps an answer, or an older one instead of none.
    fn keep(&self, name: &str, answer: Answer) -> Answer {
        let now = self.clock.monotonic();
        let mut all = self.known();
        let Some(known) = all.get_mut(name) else { return answer };
        known.asked = None;
        let answer = match (&answer, &known.led_to) {
            (Ok(addresses), _) => {
                known.led_to = Some((Arc::clone(addresses), now));
                answer
            }
            (Err(_), Some((addresses, at))) if now.saturating_sub(*at) <= STALE_MAX => {
                // Asked again as soon as after any failure.
                let until = now.saturating_sub(FRESH - FRESH_FAILURE);
                known.said = Some((Ok(Arc::clone(addresses)), until));
                return Ok(Arc::clone(addresses));
            }
            (Err(_), _) => answer,
        };
        known.said = Some((answer.clone(), now));
        answer
    }
}

/// Makes room for one more name. There is none only while all are being looked up.
fn has_room(all: &mut HashMap<Box<str>, Known>, now: Duration) -> bool {
    if all.len() < NAMES_MAX {
        return true;
    }
    let is_recent = |at: &Duration| now.saturating_sub(*at) <= STALE_MAX;
    all.retain(|_, known| known.asked.is_some() || known.said.as_ref().is_some_and(|(_, at)| is_recent(at)));
    if all.len() >= NAMES_MAX
        && let Some(any) = all.iter().find(|(_, known)| known.asked.is_none()).map(|(name, _)| name.clone())
    {
        all.remove(&any);
    }
    all.len() < NAMES_MAX
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
