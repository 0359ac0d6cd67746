//! Whoever publishes goes no faster than it may, and stands back while others are in a hurry.
//!
//! In: how much was read. Out: a pause, or the word to stop.
//! Keeps: it stands back for `PRESSED_MAX` in a row at most, so that something is always published; a stop ends every pause.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::clock::Clock;
use crate::shutdown::{Shutdown, Woken};

/// The longest that it stands back, for each so many bytes as are read between two looks.
const PRESSED_MAX: Duration = Duration::from_secs(5);
/// How long it stands back before it looks again.
const PRESSED_PAUSE: Duration = Duration::from_millis(250);
/// How far it may be ahead of its rate, so that it does not stop for every page.
const AHEAD_MAX: Duration = Duration::from_millis(100);

/// Says whether others are in a hurry.
pub type IsPressed = Box<dyn FnMut() -> bool + Send>;

/// See the module.
pub(super) struct Brake {
    pub(super) bytes_per_second: u64,
    pub(super) is_pressed: IsPressed,
    pub(super) clock: Clock,
    pub(super) bell: Shutdown,
    /// When all that was read would have been, at the rate that is allowed.
    pub(super) due: Duration,
}

impl Brake {
    /// So much was read.
    pub(super) fn spend(&mut self, bytes: u64) -> ControlFlow<()> {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second.max(1));
        let took = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.due = self.due.max(self.clock.monotonic()).saturating_add(took);
        let until = self.due.saturating_sub(AHEAD_MAX);
        self.wait(until)?;
        self.stand_back()
    }

    /// Goes on, or stops.
    pub(super) fn go_on(&self) -> ControlFlow<()> {
        if self.bell.is_tripped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn stand_back(&mut self) -> ControlFlow<()> {
        let end = self.clock.monotonic() + PRESSED_MAX;
        while self.clock.monotonic() < end && (self.is_pressed)() {
            self.wait(self.clock.monotonic() + PRESSED_PAUSE)?;
        }
        self.go_on()
    }

    fn wait(&self, until: Duration) -> ControlFlow<()> {
        loop {
            let left = until.saturating_sub(self.clock.monotonic());
            if left.is_zero() {
                return self.go_on();
            }
            if self.bell.pause(self.clock.nap(left)) == Woken::Stopped {
                return ControlFlow::Break(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::clock::{ManualClock, Timestamp};

    /// The clock moves until the wait is over, so that it ends whenever it looks.
    #[test]
    fn bytes_take_their_time_pressure_more_of_it_and_a_stop_none() {
        let begun = Timestamp::from_seconds(1_000);
        let (manual, bell, is_over) = (ManualClock::at(begun), Shutdown::default(), AtomicBool::new(false));
        let mut brake = Brake {
            bytes_per_second: 1_000,
            is_pressed: Box::new(|| true),
            clock: Clock::Manual(manual.clone()),
            bell: bell.clone(),
            due: Duration::ZERO,
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Acquire) {
                    manual.advance(Duration::from_millis(10));
                    std::thread::yield_now();
                }
            });
            assert_eq!(brake.spend(2_000), ControlFlow::Continue(()));
            is_over.store(true, Ordering::Release);
        });
        assert!(manual.now().since(begun) >= Duration::from_secs(2) - AHEAD_MAX + PRESSED_MAX);
        bell.trip();
        assert_eq!(brake.spend(1_000_000_000), ControlFlow::Break(()));
    }
}
