//! Which connections of a worker have been idle for longest: when it gets crowded, they make room.
//!
//! In: connections, and after each request that one was in use. Out: the longest idle one is asked to end.
//! Keeps: in the order of their last use; a use moves one link, whatever the number of connections, and takes no lock.
//! Who is in the middle of a request is passed over, and so is who was there a moment ago: its next one may be on the road.
//! Not here: when it is crowded (`guests`), how one ends (`timed`).

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

use super::timed::Pace;

/// For how long one has been idle at least before it is given up.
const LEAST: Duration = Duration::from_secs(1);
/// Connections that are looked at for one that comes; those in front of them answer slowly.
const LOOKS_MAX: usize = 64;
/// No link.
const NONE: usize = usize::MAX;

/// What a connection is told when it is to make room.
#[derive(Debug, Default)]
pub(super) struct Parting {
    is_asked: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Parting {
    pub(super) fn is_asked(&self) -> bool {
        self.is_asked.get()
    }

    /// Whom to wake when it is asked to end.
    pub(super) fn waits(&self, waker: &Waker) {
        let mut known = self.waker.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    /// Waits until it is asked to end.
    pub(super) async fn asked(&self) {
        poll_fn(|context| {
            self.waits(context.waker());
            if self.is_asked() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn ask(&self) {
        self.is_asked.set(true);
        self.waker.borrow().iter().for_each(Waker::wake_by_ref);
    }
}

/// All connections of a worker. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Idlers(Rc<RefCell<List>>);

/// A connection's place among them; dropped, it has left.
#[derive(Debug)]
pub(super) struct Place {
    idlers: Idlers,
    at: usize,
}

/// A ring through `nodes`, of which the first is no connection but its beginning and its end.
#[derive(Debug)]
struct List {
    nodes: Vec<Node>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Node {
    before: usize,
    after: usize,
    whose: Weak<dyn Pace>,
}

impl Idlers {
    /// One more, in use just now.
    pub(super) fn enter(&self, whose: Weak<dyn Pace>) -> Place {
        let mut list = self.0.borrow_mut();
        let node = Node { before: NONE, after: NONE, whose };
        let at = match list.free.pop() {
            Some(at) => {
                list.nodes[at] = node;
                at
            }
            None => {
                list.nodes.push(node);
                list.nodes.len() - 1
            }
        };
        list.append(at);
        Place { idlers: self.clone(), at }
    }

    /// Asks the longest idle one to end; whether there was any.
    pub(super) fn give_up(&self, now: Duration) -> bool {
        let longest = self.0.borrow_mut().take_longest(now);
        longest.iter().for_each(|whose| whose.parting().ask());
        longest.is_some()
    }
}

impl Place {
    /// It was in use.
    pub(super) fn touch(&self) {
        let mut list = self.idlers.0.borrow_mut();
        if list.nodes[0].before != self.at {
            list.unlink(self.at);
            list.append(self.at);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut list = self.idlers.0.borrow_mut();
        list.unlink(self.at);
        list.free.push(self.at);
    }
}

impl Default for List {
    fn default() -> Self {
        let nobody: Weak<super::timed::Phase> = Weak::new();
        Self { nodes: vec![Node { before: 0, after: 0, whose: nobody }], free: Vec::new() }
    }
}

impl List {
    fn unlink(&mut self, at: usize) {
        let (before, after) = (self.nodes[at].before, self.nodes[at].after);
        self.nodes[before].after = after;
        self.nodes[after].before = before;
    }

    fn append(&mut self, at: usize) {
        let last = self.nodes[0].before;
        (self.nodes[at].before, self.nodes[at].after) = (last, 0);
        self.nodes[last].after = at;
        self.nodes[0].before = at;
    }

    /// The one that has been idle for longest. It goes to the end, so that it is not asked twice before it is gone.
    fn take_longest(&mut self, now: Duration) -> Option<Rc<dyn Pace>> {
        let connections = self.nodes.len() - 1 - self.free.len();
        for _ in 0..connections.min(LOOKS_MAX) {
            let at = self.nodes[0].after;
            let whose = self.nodes[at].whose.upgrade().filter(|whose| !whose.parting().is_asked());
            let since = whose.as_ref().and_then(|whose| whose.idle_since());
            if since.is_some_and(|since| now.saturating_sub(since) < LEAST) {
                // All behind it were in use later still.
                return None;
            }
            // Whoever is passed over goes to the end too: it is in use, and at the front it would hide the others for ever.
            self.unlink(at);
            self.append(at);
            if since.is_some() {
                return whose;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::timed::Phase;
    use super::*;
    use crate::clock::{Clock, ManualClock, Timestamp};

    #[test]
    fn the_longest_idle_one_goes_first_and_who_is_at_work_is_passed_over() {
        let clock = ManualClock::at(Timestamp::from_seconds(1_795_158_000));
        let idlers = Idlers::default();
        let now = || Clock::Manual(clock.clone()).monotonic();
        let all: Vec<_> = (0..4)
            .map(|_| {
                clock.advance(LEAST / 4);
                let phase = Phase::new(Clock::Manual(clock.clone()));
                let weak: Weak<Phase> = Rc::downgrade(&phase);
                (idlers.enter(weak), phase)
            })
            .collect();
        assert!(!idlers.give_up(now()), "nobody has been idle for long");
        clock.advance(LEAST);
        all[0].1.begin_service();
        all[1].1.begin_service();
        all[1].1.end_service();
        all[1].0.touch();
        let asked = || all.iter().map(|(_, phase)| phase.parting().is_asked()).collect::<Vec<_>>();
        assert!(idlers.give_up(now()));
        assert_eq!(asked(), [false, false, true, false]);
        assert!(idlers.give_up(now()));
        assert_eq!(asked(), [false, false, true, true]);
        assert!(!idlers.give_up(now()), "the others are at work, or were just now");
        clock.advance(LEAST);
        assert!(idlers.give_up(now()));
        assert_eq!(asked(), [false, true, true, true]);
        drop(all);
        assert!(!idlers.give_up(now()));
        assert_eq!(idlers.0.borrow().free.len(), 4);
    }

    #[test]
    fn those_who_answer_slowly_do_not_stand_before_who_is_idle_for_ever() {
        let clock = ManualClock::at(Timestamp::from_seconds(1_795_158_000));
        let idlers = Idlers::default();
        let all: Vec<_> = (0..=2 * LOOKS_MAX)
            .map(|_| {
                let phase = Phase::new(Clock::Manual(clock.clone()));
                let weak: Weak<Phase> = Rc::downgrade(&phase);
                (idlers.enter(weak), phase)
            })
            .collect();
        let (_, last) = all.last().unwrap();
        all[..2 * LOOKS_MAX].iter().for_each(|(_, phase)| phase.begin_service());
        clock.advance(LEAST);
        let now = Clock::Manual(clock.clone()).monotonic();
        let given_up = [(); 3].map(|()| idlers.give_up(now));
        assert_eq!((given_up, last.parting().is_asked()), ([false, false, true], true));
    }
}
