//! How fast segments are made anew: so many bytes a second, and not while somebody else needs the disk.
//!
//! In: bytes that were read or written. Out: whether to go on, after waiting as long as that takes.
//! Keeps: a stop ends a wait at once.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::clock::Clock;
use crate::shutdown::{Shutdown, Woken};
use crate::store::rewrite::Step;

/// Bytes a second, unless another number is given.
pub const BYTES_PER_SECOND: u64 = 32 * 1024 * 1024;
/// How long it stands back before it looks again whether it may go on.
const STAND_BACK: Duration = Duration::from_millis(200);

/// Whoever a pass works for: tells it how fast to go, and when to stop.
pub trait Company {
    /// So many bytes were read or written. If it breaks, the pass ends and the segment stays as it was.
    fn passed(&mut self, bytes: u64) -> ControlFlow<()>;

    /// See `store::rewrite::Editor::after`.
    fn after(&mut self, _step: Step) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Nobody is in a hurry, and nobody waits: for a store that is used by nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Company for Alone {
    fn passed(&mut self, _bytes: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// See the module.
pub struct Paced<'p> {
    bell: &'p Shutdown,
    clock: &'p Clock,
    bytes_per_second: u64,
    /// Says whether requests are slow now.
    is_pressed: &'p mut dyn FnMut() -> bool,
    /// Up to when the bytes so far take, at that speed.
    until: Duration,
}

impl std::fmt::Debug for Paced<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Paced").field("bytes_per_second", &self.bytes_per_second).finish_non_exhaustive()
    }
}

impl<'p> Paced<'p> {
    /// Stops when the bell is tripped. `is_pressed` is asked after each chunk.
    pub fn new(
        bell: &'p Shutdown,
        clock: &'p Clock,
        bytes_per_second: u64,
        is_pressed: &'p mut dyn FnMut() -> bool,
    ) -> Self {
        let until = clock.monotonic();
        Self { bell, clock, bytes_per_second: bytes_per_second.max(1), is_pressed, until }
    }

    fn wait(&self, time: Duration) -> ControlFlow<()> {
        match self.bell.pause(self.clock.nap(time)) {
            Woken::Stopped => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

impl Company for Paced<'_> {
    fn passed(&mut self, bytes: u64) -> ControlFlow<()> {
        if self.bell.is_tripped() {
            return ControlFlow::Break(());
        }
        while (self.is_pressed)() {
            self.wait(STAND_BACK)?;
        }
        // What it did not use while it stood back is not made up for.
        let now = self.clock.monotonic();
        let micros = u128::from(bytes) * 1_000_000 / u128::from(self.bytes_per_second);
        let takes = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        self.until = self.until.max(now).saturating_add(takes);
        loop {
            let left = self.until.saturating_sub(self.clock.monotonic());
            if left.is_zero() {
                return ControlFlow::Continue(());
            }
            self.wait(left)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, Timestamp};

    /// The clock moves until the wait is over, so that it ends whenever it looks.
    #[test]
    fn bytes_take_their_time_and_a_stop_ends_the_wait() {
        use std::sync::atomic::{AtomicBool, Ordering};
        let begun = Timestamp::from_seconds(1_000);
        let manual = ManualClock::at(begun);
        let (clock, bell, is_over) =
            (Clock::Manual(manual.clone()), Shutdown::default(), AtomicBool::new(false));
        let mut presses = 3;
        let mut is_pressed = || {
            presses -= 1;
            presses > 0
        };
        let mut paced = Paced::new(&bell, &clock, 1_000, &mut is_pressed);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Acquire) {
                    manual.advance(Duration::from_millis(10));
                    std::thread::yield_now();
                }
            });
            assert_eq!(paced.passed(2_000), ControlFlow::Continue(()));
            is_over.store(true, Ordering::Release);
        });
        assert!(manual.now().since(begun) >= Duration::from_secs(2));
        bell.trip();
        assert_eq!(paced.passed(1_000_000_000), ControlFlow::Break(()));
    }
}
