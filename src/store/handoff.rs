//! A place for one thing: the next segment, from the thread that prepares it to the writer that needs it.
//!
//! Keeps: at most one thing lies here; who takes it owns it; the writer never waits for the preparer here.

use super::sync::{AtomicU64, Mutex, Ordering, lock};

/// A mailbox for one `T`.
#[derive(Debug)]
pub struct Handoff<T> {
    full: AtomicU64,
    slot: Mutex<Option<T>>,
}

impl<T> Default for Handoff<T> {
    fn default() -> Self {
        Self { full: AtomicU64::new(0), slot: Mutex::new(None) }
    }
}

impl<T> Handoff<T> {
    /// Whether something lies here; a hint that may be old by the time it is used.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire) == 1
    }

    /// Puts `thing` here.
    ///
    /// # Panics
    /// If the place is taken: only one thread fills it, and it looks first.
    pub fn put(&self, thing: T) {
        let before = lock(&self.slot).replace(thing);
        assert!(before.is_none(), "only an empty place is filled");
        self.full.store(1, Ordering::Release);
    }

    /// Takes what lies here, if anything does.
    pub fn take(&self) -> Option<T> {
        if !self.is_full() {
            return None;
        }
        let thing = lock(&self.slot).take();
        if thing.is_some() {
            self.full.store(0, Ordering::Release);
        }
        thing
    }
}
