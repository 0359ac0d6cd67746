//! One word passed to every background thread: stop.
//!
//! Gives: a `Shutdown` that any clone may trip once, and an interruptible sleep.
//! Keeps: once tripped it stays so.
//! Not here: who stops in which order; that is `serve`, or the owner of the threads.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The word, and the bell that carries it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(Arc<State>);

#[derive(Debug, Default)]
struct State {
    flags: Mutex<Flags>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    stopped: bool,
    nudged: bool,
}

/// Why a `Shutdown::pause` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The time was up.
    TimedOut,
    /// Somebody called `nudge` since the last pause.
    Nudged,
    /// Somebody called `trip`.
    Stopped,
}

impl Shutdown {
    /// Tells every clone to stop. A second call changes nothing.
    pub fn trip(&self) {
        self.change(|flags| flags.stopped = true);
    }

    /// Ends one pause early: there is work. Nudges do not add up.
    pub fn nudge(&self) {
        self.change(|flags| flags.nudged = true);
    }

    /// Whether `trip` was called.
    pub fn is_tripped(&self) -> bool {
        self.0.flags.lock().unwrap_or_else(PoisonError::into_inner).stopped
    }

    /// Sleeps until `timeout`, a nudge, or the stop, whichever is first. A nudge that came before counts.
    pub fn pause(&self, timeout: Duration) -> Woken {
        let flags = self.0.flags.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut flags, _) = self
            .0
            .changed
            .wait_timeout_while(flags, timeout, |flags| !flags.stopped && !flags.nudged)
            .unwrap_or_else(PoisonError::into_inner);
        let nudged = std::mem::take(&mut flags.nudged);
        match (flags.stopped, nudged) {
            (true, _) => Woken::Stopped,
            (false, true) => Woken::Nudged,
            (false, false) => Woken::TimedOut,
        }
    }

    fn change(&self, change: impl FnOnce(&mut Flags)) {
        change(&mut self.0.flags.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn a_trip_ends_every_pause_for_good() {
        let shutdown = Shutdown::default();
        let sleeper = std::thread::spawn({
            let shutdown = shutdown.clone();
            move || shutdown.pause(LONG)
        });
        shutdown.trip();
        assert_eq!(sleeper.join().unwrap(), Woken::Stopped);
        assert_eq!(shutdown.pause(LONG), Woken::Stopped);
        assert!(shutdown.is_tripped());
    }

    #[test]
    fn a_nudge_before_the_pause_is_not_lost_and_counts_once() {
        let shutdown = Shutdown::default();
        shutdown.nudge();
        shutdown.nudge();
        assert_eq!(shutdown.pause(LONG), Woken::Nudged);
        assert_eq!(shutdown.pause(Duration::ZERO), Woken::TimedOut);
    }
}
