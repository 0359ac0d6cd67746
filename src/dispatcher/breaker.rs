//! Whether it is worth to try a destination, or a host, at all right now.
//!
//! ```text
//! closed ── 10 failures in a row ──► open, for 1 s · 2ⁿ up to 5 min ── time is over ──► half open: one probe
//!    ▲                                 ▲                                                   │ fails │ succeeds
//!    └─────────────────────────────────┴───────────────────────────────────────────────────┘◄──────┘
//! ```
//!
//! In: the monotonic time, and how attempts ended. Out: a pass for an attempt, or how long there is none.
//! Keeps: while it is open nothing is sent, and there is never more than one probe. Attempts that began before it opened
//! say nothing about what it has become since.
//! Not here: pauses that wait for a person (`class`).

use std::time::Duration;

use crate::event::delivery::OutcomeClass;

/// So many failures in a row open it.
pub const FAILURES_MAX: u32 = 10;

/// For how long it opens the first time.
const OPEN_FIRST: Duration = Duration::from_secs(1);

/// The longest that it stays open before a probe.
pub const OPEN_MAX: Duration = Duration::from_mins(5);

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    state: State,
    /// Failures in a row while closed.
    failures: u32,
    /// How often it opened since it was last closed.
    openings: u32,
    /// How often its state changed. A pass of another turn says nothing.
    turn: u64,
}

/// What a breaker is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Attempts are made.
    #[default]
    Closed,
    /// None are until then.
    Open(Duration),
    /// One is, and what it comes to decides.
    HalfOpen,
}

/// Leave to make an attempt. It is given back with `ended` or `abandoned`.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a probe that is not given back keeps its breaker half open"]
pub struct Pass {
    turn: u64,
}

/// What the end of an attempt says about the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It works.
    Works,
    /// It does not.
    Fails,
    /// Nothing: it was not asked.
    Nothing,
}

/// What an attempt says about its destination. Being told to wait, or that something is wrong with the request, comes
/// from one that works.
pub const fn of_destination(class: OutcomeClass) -> Sign {
    match class {
        OutcomeClass::Safe | OutcomeClass::Server | OutcomeClass::Ambiguous => Sign::Fails,
        OutcomeClass::Config | OutcomeClass::Dropped => Sign::Nothing,
        _ => Sign::Works,
    }
}

/// What an attempt says about its host, which other destinations share: one that was reached works, whatever it made of
/// the request.
pub const fn of_host(class: OutcomeClass) -> Sign {
    match class {
        OutcomeClass::Safe => Sign::Fails,
        OutcomeClass::Config | OutcomeClass::Dropped => Sign::Nothing,
        _ => Sign::Works,
    }
}

impl Breaker {
    /// Asks for leave.
    ///
    /// # Errors
    /// After how long to ask again.
    pub fn ask(&mut self, now: Duration) -> Result<Pass, Duration> {
        match self.state {
            State::Closed => {}
            State::Open(until) if now < until => return Err(until - now),
            State::Open(_) => self.turn_to(State::HalfOpen),
            // The probe ends it; whoever waits for that asks again soon.
            State::HalfOpen => return Err(OPEN_FIRST),
        }
        Ok(Pass { turn: self.turn })
    }

    /// An attempt has ended, and says so much.
    pub fn ended(&mut self, pass: Pass, sign: Sign, now: Duration) {
        if pass.turn != self.turn {
            return;
        }
        match (self.state, sign) {
            (_, Sign::Nothing) => self.abandoned(pass, now),
            (State::Closed, Sign::Works) => self.failures = 0,
            (State::HalfOpen, Sign::Works) => {
                (self.failures, self.openings) = (0, 0);
                self.turn_to(State::Closed);
            }
            (State::Closed, Sign::Fails) => {
                self.failures = self.failures.saturating_add(1);
                if self.failures >= FAILURES_MAX {
                    self.open(now);
                }
            }
            (State::HalfOpen, Sign::Fails) => self.open(now),
            // Every pass of this turn was given before it opened, which began another turn.
            (State::Open(_), _) => {}
        }
    }

    /// An attempt was not made after all.
    pub fn abandoned(&mut self, pass: Pass, now: Duration) {
        if pass.turn == self.turn && self.state == State::HalfOpen {
            self.turn_to(State::Open(now));
        }
    }

    /// What it is, for whoever looks.
    pub const fn state(&self) -> State {
        self.state
    }

    fn open(&mut self, now: Duration) {
        let factor = 2_u32.checked_pow(self.openings);
        let long = factor
            .and_then(|factor| OPEN_FIRST.checked_mul(factor))
            .map_or(OPEN_MAX, |long| long.min(OPEN_MAX));
        (self.failures, self.openings) = (0, self.openings.saturating_add(1));
        self.turn_to(State::Open(now.saturating_add(long)));
    }

    fn turn_to(&mut self, state: State) {
        (self.state, self.turn) = (state, self.turn + 1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn try_one(breaker: &mut Breaker, sign: Sign, now: Duration) -> bool {
        let pass = breaker.ask(now);
        let is_let = pass.is_ok();
        if let Ok(pass) = pass {
            breaker.ended(pass, sign, now);
        }
        is_let
    }

    fn opened(now: Duration) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES_MAX {
            assert!(try_one(&mut breaker, Sign::Fails, now));
        }
        breaker
    }

    #[test]
    fn a_host_is_there_as_long_as_it_is_reached() {
        let all = OutcomeClass::ALL.map(|class| (class, of_destination(class), of_host(class)));
        for (class, destination, host) in all {
            let is_of_ours = matches!(class, OutcomeClass::Config | OutcomeClass::Dropped);
            assert_eq!(host == Sign::Nothing, is_of_ours, "{class:?}");
            assert_eq!(host == Sign::Fails, class == OutcomeClass::Safe, "{class:?}");
            assert!(host != Sign::Fails || destination == Sign::Fails, "{class:?}");
        }
        assert_eq!(of_destination(OutcomeClass::Throttle), Sign::Works);
        assert_eq!(of_destination(OutcomeClass::Server), Sign::Fails);
    }

    #[test]
    fn it_opens_after_ten_failures_in_a_row_and_no_sooner() {
        let mut breaker = Breaker::default();
        for _ in 0..5 {
            for _ in 1..FAILURES_MAX {
                assert!(try_one(&mut breaker, Sign::Fails, at(0)));
            }
            assert!(try_one(&mut breaker, Sign::Works, at(0)), "somebody answers");
        }
        assert_eq!(breaker.state(), State::Closed);
        assert_eq!(opened(at(9)).ask(at(9)), Err(OPEN_FIRST));
    }

    #[test]
    fn a_probe_that_fails_opens_it_for_longer_and_one_that_succeeds_closes_it() {
        let mut breaker = opened(at(0));
        let mut now = at(0);
        let mut waits = Vec::new();
        for _ in 0..11 {
            let wait = breaker.ask(now).unwrap_err();
            waits.push(wait.as_secs());
            now += wait;
            assert!(try_one(&mut breaker, Sign::Fails, now));
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        now += OPEN_MAX;
        assert!(try_one(&mut breaker, Sign::Works, now));
        assert_eq!(breaker.state(), State::Closed);
        for _ in 0..FAILURES_MAX {
            assert!(try_one(&mut breaker, Sign::Fails, now));
        }
        assert_eq!(breaker.ask(now), Err(OPEN_FIRST), "it begins anew");
    }

    #[test]
    fn half_open_there_is_one_probe_and_one_that_is_abandoned_makes_room_for_another() {
        let mut breaker = opened(at(0));
        let probe = breaker.ask(at(1)).unwrap();
        assert!(breaker.ask(at(100)).is_err());
        breaker.abandoned(probe, at(100));
        let probe = breaker.ask(at(100)).unwrap();
        assert!(breaker.ask(at(100)).is_err());
        breaker.ended(probe, Sign::Nothing, at(100));
        assert!(breaker.ask(at(100)).is_ok(), "our own mistake says nothing about them");
    }

    #[test]
    fn an_attempt_that_began_before_it_opened_does_not_close_it() {
        let mut breaker = Breaker::default();
        let old = breaker.ask(at(0)).unwrap();
        let older = breaker.ask(at(0)).unwrap();
        for _ in 0..FAILURES_MAX {
            try_one(&mut breaker, Sign::Fails, at(0));
        }
        let open = breaker.clone();
        breaker.ended(old, Sign::Works, at(0));
        assert_eq!(breaker, open);
        let _probe = breaker.ask(at(1)).unwrap();
        breaker.ended(older, Sign::Fails, at(1));
        assert_eq!(breaker.state(), State::HalfOpen);
    }

    proptest! {
        #[test]
        fn open_it_lets_nothing_through_and_half_open_one(steps in prop::collection::vec((0u8..4, 0u64..400), 0..300)) {
            let mut breaker = Breaker::default();
            let (mut now, mut passes): (_, Vec<Pass>) = (Duration::ZERO, Vec::new());
            for (step, seconds) in steps {
                now += Duration::from_secs(seconds / 20);
                match (step, passes.is_empty()) {
                    (0 | 1, _) => {
                        let before = breaker.state();
                        if let Ok(pass) = breaker.ask(now) {
                            prop_assert!(before != State::HalfOpen);
                            if let State::Open(until) = before {
                                prop_assert!(now >= until);
                            }
                            passes.push(pass);
                        } else {
                            prop_assert!(before != State::Closed);
                        }
                    }
                    (_, true) => {}
                    (2, false) => breaker.ended(passes.remove(0), Sign::Fails, now),
                    (_, false) => {
                        let sign = if seconds < 100 { Sign::Works } else { Sign::Fails };
                        breaker.ended(passes.pop().unwrap(), sign, now);
                    }
                }
                if let State::Open(until) = breaker.state() {
                    prop_assert!(until <= now + OPEN_MAX);
                }
            }
            // Whatever has happened: once all have ended, it can be asked again.
            for pass in passes {
                breaker.ended(pass, Sign::Fails, now);
            }
            prop_assert!(breaker.ask(now + OPEN_MAX).is_ok());
        }
    }
}
