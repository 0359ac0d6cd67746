//! How often somebody may do something: the generic cell rate algorithm, as one atomic number.
//!
//! Keeps: over any time, no more than the burst and what the rate allows since; no lock, and no clock but the monotonic
//! one that it is given.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// See the module. When the next one is due by the rate alone, in nanoseconds of the monotonic clock.
#[derive(Debug, Default)]
pub struct Meter(AtomicU64);

/// How much of something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// One in this time.
    pub interval: Duration,
    /// And so many at once.
    pub burst: u32,
}

impl Allowance {
    /// So many a second on average, and so many at once.
    pub fn per_second(count: u32, burst: u32) -> Self {
        Self { interval: Duration::from_secs(1) / count.max(1), burst }
    }
}

impl Meter {
    /// How long there is none, if there is none now. Only who alone takes from it may rely on that.
    pub fn wait(&self, allowance: Allowance, now: Duration) -> Option<Duration> {
        let interval = nanos(allowance.interval);
        let most = interval.saturating_mul(u64::from(allowance.burst.max(1)));
        let now = nanos(now);
        let full = now.saturating_add(most);
        let next = self.0.load(Ordering::Relaxed).min(full).max(now).saturating_add(interval);
        (next > full).then(|| Duration::from_nanos(next - full))
    }

    /// Takes one.
    ///
    /// # Errors
    /// After how long one may be had.
    pub fn take(&self, allowance: Allowance, now: Duration) -> Result<(), Duration> {
        let interval = nanos(allowance.interval);
        let most = interval.saturating_mul(u64::from(allowance.burst.max(1)));
        let now = nanos(now);
        let mut due = self.0.load(Ordering::Relaxed);
        loop {
            // What a slower rate has left behind is no more than what this one could have.
            let full = now.saturating_add(most);
            let next = if due > full { full } else { due.max(now).saturating_add(interval) };
            if next > full {
                return Err(Duration::from_nanos(next - full));
            }
            match self.0.compare_exchange_weak(due, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) if due <= full => return Ok(()),
                Ok(_) => due = full,
                Err(other) => due = other,
            }
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(meter: &Meter, allowance: Allowance, at: Duration, tries: u32) -> u32 {
        (0..tries).map(|_| u32::from(meter.take(allowance, at).is_ok())).sum()
    }

    #[test]
    fn a_burst_is_let_through_at_once_and_then_what_the_rate_allows() {
        let allowance = Allowance::per_second(10, 5);
        let meter = Meter::default();
        let at = Duration::from_millis;
        assert_eq!(taken(&meter, allowance, at(0), 100), 5);
        assert_eq!(meter.take(allowance, at(0)), Err(at(100)));
        assert_eq!(meter.take(allowance, at(99)), Err(at(1)));
        assert_eq!(taken(&meter, allowance, at(100), 100), 1);
        assert_eq!(taken(&meter, allowance, at(350), 100), 2);
        assert_eq!(taken(&meter, allowance, at(10_000), 100), 5, "what is not used is not saved up");
    }

    #[test]
    fn a_new_rate_counts_from_now_on() {
        let (slow, fast) = (Allowance::per_second(1, 100), Allowance::per_second(1_000, 1));
        let meter = Meter::default();
        assert_eq!(taken(&meter, slow, Duration::ZERO, 200), 100);
        assert_eq!(meter.take(fast, Duration::ZERO), Err(Duration::from_millis(1)));
        assert_eq!(taken(&meter, fast, Duration::from_millis(1), 9), 1);
    }

    #[test]
    fn threads_together_get_no_more_than_one_would() {
        let allowance = Allowance { interval: Duration::from_secs(1), burst: 1_000 };
        let meter = Meter::default();
        let all: u32 = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| taken(&meter, allowance, Duration::ZERO, 500))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(all, 1_000);
    }
}
