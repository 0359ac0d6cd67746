//! The one-way switch that a failed sync throws.
//!
//! After a failed fsync the kernel marks the dirty pages clean (Rebello et al., "Can Applications Recover
//! from fsync Failures?", ATC '20), so a second, successful fsync would prove nothing. From then on the store
//! refuses every write, fails every waiter, and the process is to stop and recover from disk.
//!
//! Keeps: the first cause; once thrown, thrown.

use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};

use super::error::{Error, Result};
use super::watermark::Watermark;

/// The switch. Cheap to clone; clones are the same switch.
#[derive(Clone, Debug, Default)]
pub struct Poison(Arc<State>);

#[derive(Debug, Default)]
struct State {
    cause: OnceLock<String>,
    watermarks: Mutex<Vec<Arc<Watermark>>>,
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Poison {
    /// Throws it. Only the first cause is kept.
    pub fn throw(&self, cause: impl Into<String>) {
        let _first_wins = self.0.cause.set(cause.into());
        self.wake_all();
    }

    /// Whether it was thrown, as the error to answer with.
    ///
    /// # Errors
    /// `Error::Poisoned` if it was.
    pub fn check(&self) -> Result<()> {
        match self.cause() {
            None => Ok(()),
            Some(cause) => Err(Error::Poisoned { cause: cause.to_owned() }),
        }
    }

    /// Why it was thrown, if it was.
    pub fn cause(&self) -> Option<&str> {
        self.0.cause.get().map(String::as_str)
    }

    /// Blocks until the switch is thrown, and gives the cause; or gives nothing once the store is closed.
    pub fn wait(&self) -> Option<&str> {
        let stopped = self.0.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let _woken = self
            .0
            .changed
            .wait_while(stopped, |stopped| !*stopped && self.cause().is_none())
            .unwrap_or_else(PoisonError::into_inner);
        self.cause()
    }

    /// Fails the waiters of `watermark` when the switch is thrown.
    pub(super) fn guard(&self, watermark: &Arc<Watermark>) {
        self.0.watermarks.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(watermark));
        if self.cause().is_some() {
            watermark.close();
        }
    }

    /// The store is closed: nobody will be told anything any more.
    pub(super) fn stop(&self) {
        *self.0.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake_all();
    }

    fn wake_all(&self) {
        let watermarks = self.0.watermarks.lock().unwrap_or_else(PoisonError::into_inner);
        watermarks.iter().for_each(|watermark| watermark.close());
        // Under the lock that `wait` looks under, so that the ring cannot fall between its look and its sleep.
        drop(self.0.stopped.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cause_is_kept_and_waiters_are_told() {
        let poison = Poison::default();
        assert!(poison.check().is_ok());
        let waiter = std::thread::spawn({
            let poison = poison.clone();
            move || poison.wait().map(str::to_owned)
        });
        poison.throw("sync failed");
        poison.throw("another");
        assert_eq!(waiter.join().unwrap().as_deref(), Some("sync failed"));
        assert!(matches!(poison.check(), Err(Error::Poisoned { cause }) if cause == "sync failed"));
    }

    #[test]
    fn a_closed_store_lets_its_waiters_go() {
        let poison = Poison::default();
        poison.stop();
        assert_eq!(poison.wait(), None);
    }
}
