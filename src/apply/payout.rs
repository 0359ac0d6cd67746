//! What a conversion pays: what the offer says, or the postback, and what looks too wrong to count by itself.
//!
//! | the offer says | the postback says | it pays |
//! |---|---|---|
//! | an amount | anything | the offer's |
//! | `auto` | an amount | that |
//! | `auto` | nothing | nothing |
//!
//! Held for a person, and counted nowhere until then: an amount below zero, below `min`, above `max`, or further from the
//! offer's than `tolerance`. Only approvals are: a reversal takes back what was paid, and pending pays nothing.

use super::reason::Reason;
use crate::event::conversion::Status;
use crate::event::money::Micros;

/// Hundredths of a percent in a whole.
pub const WHOLE: u32 = 10_000;

/// What an offer pays, and what its network may say. All amounts are of one currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// What the offer says; nothing is `auto`.
    pub fixed: Option<Micros>,
    /// The least that counts by itself.
    pub min: Option<Micros>,
    /// The most that counts by itself.
    pub max: Option<Micros>,
    /// How far from the offer's amount, in hundredths of a percent of it, a postback may be.
    pub tolerance: Option<u32>,
}

impl Rules {
    /// What a postback of this status pays or takes back; nothing if neither side says.
    ///
    /// # Errors
    /// Why it has to be looked at first.
    pub fn judge(&self, status: Status, said: Option<Micros>) -> Result<Option<Micros>, Reason> {
        if status != Status::Approved {
            return Ok(said);
        }
        if let Some(said) = said {
            self.check(said)?;
        }
        Ok(self.fixed.or(said))
    }

    fn check(&self, said: Micros) -> Result<(), Reason> {
        if said.get() < 0 {
            return Err(Reason::PayoutNegative);
        }
        if self.min.is_some_and(|min| said < min) {
            return Err(Reason::PayoutBelowMin);
        }
        if self.max.is_some_and(|max| said > max) {
            return Err(Reason::PayoutAboveMax);
        }
        match (self.fixed, self.tolerance) {
            (Some(fixed), Some(tolerance)) if !is_near(said, fixed, tolerance) => Err(Reason::PayoutOffOffer),
            _ => Ok(()),
        }
    }
}

/// Whether two amounts are no further apart than this part of the second.
fn is_near(said: Micros, expected: Micros, tolerance: u32) -> bool {
    let (said, expected) = (i128::from(said.get()), i128::from(expected.get()));
    (said - expected).unsigned_abs() * u128::from(WHOLE) <= expected.unsigned_abs() * u128::from(tolerance)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Rules = Rules { fixed: None, min: None, max: None, tolerance: None };

    fn micros(amount: i64) -> Option<Micros> {
        Some(Micros::new(amount))
    }

    #[test]
    fn an_approval_pays_what_the_offer_says_or_else_the_postback() {
        let fixed = Rules { fixed: micros(350), ..NONE };
        for (rules, said, expected) in [
            (NONE, micros(5), Ok(micros(5))),
            (NONE, None, Ok(None)),
            (NONE, micros(0), Ok(micros(0))),
            (fixed, None, Ok(micros(350))),
            (fixed, micros(5), Ok(micros(350))),
            (NONE, micros(-1), Err(Reason::PayoutNegative)),
            (fixed, micros(-1), Err(Reason::PayoutNegative)),
        ] {
            assert_eq!(rules.judge(Status::Approved, said), expected, "{rules:?} {said:?}");
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_held_and_the_bounds_themselves_are_not() {
        let rules = Rules { min: micros(10), max: micros(500), ..NONE };
        for (said, expected) in [
            (9, Err(Reason::PayoutBelowMin)),
            (10, Ok(micros(10))),
            (500, Ok(micros(500))),
            (501, Err(Reason::PayoutAboveMax)),
            (i64::MAX, Err(Reason::PayoutAboveMax)),
        ] {
            assert_eq!(rules.judge(Status::Approved, micros(said)), expected, "{said}");
        }
        let near = Rules { fixed: micros(1_000), tolerance: Some(2_000), ..NONE };
        for (said, expected) in [
            (799, Err(Reason::PayoutOffOffer)),
            (800, Ok(micros(1_000))),
            (1_200, Ok(micros(1_000))),
            (1_201, Err(Reason::PayoutOffOffer)),
            (i64::MAX, Err(Reason::PayoutOffOffer)),
        ] {
            assert_eq!(near.judge(Status::Approved, micros(said)), expected, "{said}");
        }
        let exact = Rules { fixed: micros(i64::MAX), tolerance: Some(0), ..NONE };
        assert_eq!(exact.judge(Status::Approved, micros(i64::MAX)), Ok(micros(i64::MAX)));
    }

    #[test]
    fn what_takes_back_or_waits_is_never_held() {
        let rules = Rules { fixed: micros(1), min: micros(10), max: micros(20), tolerance: Some(0) };
        for status in [Status::Pending, Status::Reversed, Status::Unknown] {
            for said in [None, micros(-5), micros(5), micros(50)] {
                assert_eq!(rules.judge(status, said), Ok(said), "{status:?} {said:?}");
            }
        }
    }
}
