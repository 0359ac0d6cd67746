//! How far a lane is on stable storage, and who waits for more.
//!
//! In: `advance`, from whoever ran the sync. Out: wake-ups, to those who wait for a position.
//! Keeps: it never goes back; nobody who asked before or after is left asleep; once closed, every waiter is
//! told so, for good.
//! Not here: the sync itself (`lane`).

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::sync::{AtomicU64, Mutex, Ordering, lock};

/// Waiters that one watermark holds at once. More are refused at once: by then the server sheds.
pub const WAITERS_MAX: usize = 65_536;

/// Why a wait ended without the position being reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// The store is poisoned or closed: what was appended may be lost.
    Closed,
    /// `WAITERS_MAX` are waiting already.
    TooMany,
}

/// A number that only grows.
#[derive(Debug)]
pub struct Watermark {
    value: AtomicU64,
    waiters: Mutex<Waiters>,
}

#[derive(Debug, Default)]
struct Waiters {
    /// By what they wait for, then by a ticket that tells equals apart.
    asleep: BTreeMap<(u64, u64), Waker>,
    next_ticket: u64,
    closed: bool,
}

impl Watermark {
    /// Begins at `value`.
    pub fn at(value: u64) -> Self {
        Self { value: AtomicU64::new(value), waiters: Mutex::new(Waiters::default()) }
    }

    /// Where it is. What was stored below it before it got there is visible to the caller.
    pub fn value(&self) -> u64 {
        self.value.load(Ordering::Acquire)
    }

    /// Moves it to `to` and wakes everybody it has passed. Calls are serialised by the caller.
    pub fn advance(&self, to: u64) {
        self.value.store(to, Ordering::Release);
        let passed = {
            let mut waiters = lock(&self.waiters);
            let ahead = waiters.asleep.split_off(&(to, 0));
            std::mem::replace(&mut waiters.asleep, ahead)
        };
        passed.into_values().for_each(Waker::wake);
    }

    /// Fails everybody who waits now or later for what is not reached.
    pub fn close(&self) {
        let failed = {
            let mut waiters = lock(&self.waiters);
            waiters.closed = true;
            std::mem::take(&mut waiters.asleep)
        };
        failed.into_values().for_each(Waker::wake);
    }

    /// Resolves once the watermark has *passed* `position`: everything that begins there is below it.
    pub fn passed(&self, position: u64) -> Passed<'_> {
        Passed { watermark: self, position, ticket: None }
    }
}

/// See `Watermark::passed`. Polled after it was ready, it looks again.
#[derive(Debug)]
pub struct Passed<'a> {
    watermark: &'a Watermark,
    position: u64,
    ticket: Option<u64>,
}

impl Future for Passed<'_> {
    type Output = Result<(), Failed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.watermark.value() > self.position {
            return Poll::Ready(Ok(()));
        }
        let watermark = self.watermark;
        let mut waiters = lock(&watermark.waiters);
        // Again, now that `advance` cannot pass between the look and the registration.
        if watermark.value() > self.position {
            return Poll::Ready(Ok(()));
        }
        if waiters.closed {
            return Poll::Ready(Err(Failed::Closed));
        }
        let ticket = match self.ticket {
            Some(ticket) => ticket,
            None if waiters.asleep.len() >= WAITERS_MAX => return Poll::Ready(Err(Failed::TooMany)),
            None => {
                waiters.next_ticket += 1;
                waiters.next_ticket
            }
        };
        self.ticket = Some(ticket);
        waiters.asleep.insert((self.position, ticket), context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Passed<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            lock(&self.watermark.waiters).asleep.remove(&(self.position, ticket));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    #[derive(Default)]
    struct Rings(AtomicUsize);

    impl Wake for Rings {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn poll(passed: &mut Passed<'_>, rings: &Arc<Rings>) -> Poll<Result<(), Failed>> {
        let waker = Waker::from(Arc::clone(rings));
        Pin::new(passed).poll(&mut Context::from_waker(&waker))
    }

    #[test]
    fn only_those_who_are_passed_are_woken() {
        let (watermark, rings) = (Watermark::at(10), Arc::new(Rings::default()));
        let (mut near, mut far) = (watermark.passed(10), watermark.passed(20));
        assert!(poll(&mut near, &rings).is_pending(), "reached is not passed");
        assert!(poll(&mut far, &rings).is_pending());
        watermark.advance(20);
        assert_eq!(rings.0.load(Ordering::SeqCst), 1);
        assert_eq!(poll(&mut near, &rings), Poll::Ready(Ok(())));
        assert!(poll(&mut far, &rings).is_pending());
    }

    #[test]
    fn a_closed_watermark_fails_what_it_has_not_reached_and_nothing_else() {
        let (watermark, rings) = (Watermark::at(10), Arc::new(Rings::default()));
        let mut waiting = watermark.passed(10);
        assert!(poll(&mut waiting, &rings).is_pending());
        watermark.close();
        assert_eq!(rings.0.load(Ordering::SeqCst), 1);
        assert_eq!(poll(&mut waiting, &rings), Poll::Ready(Err(Failed::Closed)));
        assert_eq!(poll(&mut watermark.passed(9), &rings), Poll::Ready(Ok(())));
    }

    #[test]
    fn a_dropped_wait_leaves_nothing_behind() {
        let (watermark, rings) = (Watermark::at(0), Arc::new(Rings::default()));
        let mut waiting = watermark.passed(5);
        for _ in 0..3 {
            assert!(poll(&mut waiting, &rings).is_pending());
        }
        assert_eq!(lock(&watermark.waiters).asleep.len(), 1);
        drop(waiting);
        assert!(lock(&watermark.waiters).asleep.is_empty());
    }
}
