//! The synchronisation primitives of the parts that a model checker explores.
//!
//! `published`, `watermark` and `handoff` take theirs from here: the standard ones, or loom's when the
//! crate is built with `--cfg loom` (`tests/loom.rs`).

#[cfg(loom)]
pub(super) use loom::sync::Mutex;
#[cfg(loom)]
pub(super) use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(loom))]
pub(super) use std::sync::Mutex;
#[cfg(not(loom))]
pub(super) use std::sync::atomic::{AtomicU64, Ordering};

use std::sync::PoisonError;

/// Locks, whether or not a holder panicked: the process aborts on a panic, so only tests can see one.
#[cfg(not(loom))]
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// See the other `lock`.
#[cfg(loom)]
pub(super) fn lock<T>(mutex: &Mutex<T>) -> loom::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
