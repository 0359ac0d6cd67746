//! When a delivery is tried next, or that it is not.
//!
//! Retry n comes a time after the attempt before it that is uniform in [cap/3, cap], cap = min(6 h, 5 s · 4ⁿ⁻¹): spread,
//! so that what failed together does not come back together. After 25 attempts or 72 h, whichever is first, it is dead.
//! Being told to wait costs no attempt, but it does cost time: nothing lives longer than its horizon.
//!
//! Keeps: the chance in it is a keyed hash of the delivery and how often it was tried, so the same state gives the same
//! times again.
//! Not here: which class an attempt is of (`class`), what a server asks for (`retry_after`).

use std::hash::Hasher;
use std::time::Duration;

use siphasher::sip::SipHasher13;

use super::class::{Treatment, treatment};
use crate::clock::Timestamp;
use crate::event::delivery::OutcomeClass;

/// The most attempts that count.
pub const ATTEMPTS_MAX: u16 = 25;

/// The longest that is tried.
pub const HORIZON_MAX: Duration = Duration::from_hours(72);

/// The longest time between two attempts.
pub const RETRY_CAP_MAX: Duration = Duration::from_hours(6);

/// The cap of the first retry.
const RETRY_CAP_FIRST: Duration = Duration::from_secs(5);

/// The most attempts where the answer says that the request is wrong: it may have been a rollout of theirs.
pub const REFUSALS_MAX: u16 = 3;

/// The caps of the retries after such an answer: the third attempt comes within an hour of the first.
const SPARSE_CAPS: [Duration; 2] = [Duration::from_mins(15), Duration::from_mins(45)];

/// What spreads retries. The same seed gives the same times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u64, pub u64);

/// What was tried so far, with the attempt that has just ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    /// Attempts that count: all but those that were told to wait.
    pub counted: u16,
    /// Of these, how many were refused as wrong.
    pub refused: u16,
    /// How often it was told to wait since the last attempt that counts.
    pub waits: u16,
}

impl Tries {
    /// Takes in one more attempt.
    pub fn note(&mut self, class: OutcomeClass) {
        if class == OutcomeClass::Throttle {
            self.waits = self.waits.saturating_add(1);
            return;
        }
        self.counted = self.counted.saturating_add(1);
        self.refused = self.refused.saturating_add(u16::from(class == OutcomeClass::Client));
        self.waits = 0;
    }

    /// All that was tried.
    const fn mark(self) -> u64 {
        (self.counted as u64) << 16 | self.waits as u64
    }
}

/// What a destination allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Whether it is tried again where it may have been taken.
    pub repeats_ambiguous: bool,
    /// How long it is tried from when it was first due; no longer than `HORIZON_MAX` counts.
    pub horizon: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { repeats_ambiguous: true, horizon: HORIZON_MAX }
    }
}

/// An attempt that has just ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Of which delivery.
    pub delivery_id: [u8; 16],
    /// When that delivery was first due.
    pub due: Timestamp,
    /// When the attempt ended.
    pub now: Timestamp,
    /// What it came to.
    pub class: OutcomeClass,
    /// What was tried, this one included.
    pub tries: Tries,
    /// What the server asked for.
    pub retry_after: Option<Duration>,
}

/// What is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it was taken.
    Done,
    /// Another attempt, then.
    At(Timestamp),
    /// Nothing, and it was not taken.
    Dead(Death),
}

/// Why a delivery is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Death {
    /// The answer, or our own settings, leave no hope.
    Final,
    /// It was refused as wrong as often as is tried.
    Refused,
    /// It was tried as often as is tried.
    Attempts,
    /// The next attempt would come too late.
    Horizon,
}

/// Decides.
pub fn next(ended: &Ended, patience: Patience, seed: Seed) -> Next {
    let (least, most) = match treatment(ended.class, patience.repeats_ambiguous) {
        Treatment::Done => return Next::Done,
        Treatment::Die => return Next::Dead(Death::Final),
        Treatment::Retry => from_third(retry_cap(ended.tries.counted)),
        Treatment::Wait => match ended.retry_after {
            // Never before that, and not all at once after it.
            Some(after) => (after, after + after / 4),
            None => from_third(retry_cap(ended.tries.waits)),
        },
        Treatment::RetrySparsely => {
            let retry = usize::from(ended.tries.refused.saturating_sub(1));
            let Some(cap) = SPARSE_CAPS.get(retry) else { return Next::Dead(Death::Refused) };
            from_third(*cap)
        }
    };
    if ended.tries.counted >= ATTEMPTS_MAX {
        return Next::Dead(Death::Attempts);
    }
    let at = ended.now.plus(between(least, most, chance(seed, ended.delivery_id, ended.tries)));
    let horizon = patience.horizon.min(HORIZON_MAX);
    if at > ended.due.plus(horizon) { Next::Dead(Death::Horizon) } else { Next::At(at) }
}

const _: () =
    assert!(SPARSE_CAPS.len() + 1 == REFUSALS_MAX as usize, "each refusal but the last has its retry");

/// min(6 h, 5 s · 4ⁿ⁻¹).
fn retry_cap(retry: u16) -> Duration {
    let factor = 4_u32.checked_pow(u32::from(retry.saturating_sub(1)));
    factor
        .and_then(|factor| RETRY_CAP_FIRST.checked_mul(factor))
        .map_or(RETRY_CAP_MAX, |cap| cap.min(RETRY_CAP_MAX))
}

fn from_third(cap: Duration) -> (Duration, Duration) {
    (cap / 3, cap)
}

/// `chance` of the way from `least` to `most`, in microseconds.
fn between(least: Duration, most: Duration, chance: u64) -> Duration {
    let span = u64::try_from((most - least).as_micros()).unwrap_or(u64::MAX);
    let part = (u128::from(span) * u128::from(chance)) >> 64;
    least + Duration::from_micros(u64::try_from(part).unwrap_or(span))
}

fn chance(seed: Seed, delivery_id: [u8; 16], tries: Tries) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(seed.0, seed.1);
    hasher.write(&delivery_id);
    hasher.write(&tries.mark().to_le_bytes());
    hasher.finish()
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
