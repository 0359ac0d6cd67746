//! How a conversion stands, and what one more postback changes about it.
//!
//! | told so far | what it adds in all |
//! |---|---|
//! | pending | 0 |
//! | approved | what the approval pays |
//! | reversed, before or after approved | that, less what the reversal takes back: all of it unless it says less |
//! | reversed, never approved | 0 |
//!
//! Each postback adds the difference between before and after, so a reversal is a negative entry and nothing is ever
//! rewritten. The sum depends on what was told and not on its order: a reversal that overtakes its approval meets it later.
//! Only `Mode::Replace` is about order: the last one counts.

use super::key::Mode;
use crate::event::conversion::{Reversal, Standing, Status};
use crate::event::decision::Verdict;
use crate::event::money::Micros;

/// What one postback says about its conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// Where it stands.
    pub status: Status,
    /// What it pays, or takes back; nothing if the postback does not say, and no rule does.
    pub payout: Option<Micros>,
}

/// What changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// `Accepted`, `Updated` or `Duplicate`.
    pub verdict: Verdict,
    /// What is added to the books; negative where money is taken back.
    pub entry: Micros,
}

impl Standing {
    /// What it comes to.
    pub fn net(&self) -> Micros {
        let Some(approved) = self.approved else { return Micros::new(0) };
        match self.reversed {
            None => approved,
            Some(Reversal::Whole) => Micros::new(0),
            // More than was paid cannot be taken back.
            Some(Reversal::Part(part)) => approved.less(part.min(approved)),
        }
    }

    /// Where it stands: what was told last in the course of things, whatever came last.
    pub fn status(&self) -> Status {
        match (self.reversed, self.approved, self.was_pending) {
            (Some(_), ..) => Status::Reversed,
            (None, Some(_), _) => Status::Approved,
            (None, None, true) => Status::Pending,
            (None, None, false) => Status::Unknown,
        }
    }

    /// Takes in what one more postback says; of one of several transactions, which all count together, through `part`.
    pub fn tell(&mut self, part: Option<&mut Self>, said: Said, mode: Mode) -> Change {
        match part {
            None => self.take(said, mode),
            Some(part) => {
                let change = part.take(said, Mode::ByTransaction);
                self.take_part(change, said.status)
            }
        }
    }

    /// Takes in what one more postback says.
    pub fn take(&mut self, said: Said, mode: Mode) -> Change {
        let before = *self;
        match mode {
            Mode::ByTransaction | Mode::FirstWins | Mode::Each => self.note(said),
            Mode::Replace => {
                // What is undone with it was told, and is told no more.
                *self = Self { currency: self.currency, ..Self::default() };
                self.note(said);
                self.was_told = before.was_told;
            }
            Mode::Add => self.add(said),
        }
        self.was_told = true;
        self.changed_from(&before)
    }

    /// What came of a change.
    fn changed_from(&self, before: &Self) -> Change {
        let entry = self.net().less(before.net());
        let verdict = match (before.was_told, self == before) {
            (false, _) => Verdict::Accepted,
            (true, false) => Verdict::Updated,
            (true, true) => Verdict::Duplicate,
        };
        Change { verdict, entry }
    }

    /// Takes in what one of several transactions, which all count together, has added.
    fn take_part(&mut self, part: Change, status: Status) -> Change {
        let before = *self;
        if part.verdict == Verdict::Duplicate {
            return Change { verdict: Verdict::Duplicate, entry: Micros::new(0) };
        }
        let net = self.net().plus(part.entry);
        // More than is left cannot be taken back: the whole may have been, without any of its transactions being named.
        let least = self.net().min(Micros::default());
        let net = if part.entry < Micros::default() { net.max(least) } else { net };
        // Money is what is left; a transaction of several that is taken back does not end the conversion.
        self.approved = if self.approved.is_some() || net.get() != 0 || status == Status::Approved {
            Some(net)
        } else {
            None
        };
        self.reversed = None;
        self.was_pending |= status == Status::Pending;
        self.was_unknown |= status == Status::Unknown;
        self.was_told = true;
        let entry = self.net().less(before.net());
        Change { verdict: if before.was_told { Verdict::Updated } else { Verdict::Accepted }, entry }
    }

    /// Each status is told once; what it pays was told with it.
    fn note(&mut self, said: Said) {
        let payout = said.payout.unwrap_or_default();
        if said.status == Status::Approved {
            // What waited for a person is told after all.
            self.held = None;
        }
        match said.status {
            Status::Pending => self.was_pending = true,
            Status::Unknown => self.was_unknown = true,
            Status::Approved => self.approved = self.approved.or(Some(payout)),
            Status::Reversed => self.reversed = self.reversed.or(Some(reversal(said.payout))),
        }
    }

    /// As `note`, but a further approval adds to the one before. Repeats of one transaction do not get here.
    fn add(&mut self, said: Said) {
        match (said.status, self.approved) {
            (Status::Approved, Some(approved)) => {
                self.held = None;
                self.approved = Some(approved.plus(said.payout.unwrap_or_default()));
            }
            _ => self.note(said),
        }
    }
}

/// Networks say how much they take back, or nothing, or zero, or the amount with a sign.
fn reversal(payout: Option<Micros>) -> Reversal {
    match payout.map(|payout| payout.get().saturating_abs()) {
        None | Some(0) => Reversal::Whole,
        Some(part) => Reversal::Part(Micros::new(part)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(status: Status, payout: i64) -> Said {
        Said { status, payout: Some(Micros::new(payout)) }
    }

    /// Verdicts, entries and the sum of what is told in this order.
    fn told(mode: Mode, all: &[Said]) -> (Vec<(Verdict, i64)>, i64) {
        let mut standing = Standing::default();
        let changes: Vec<_> = all
            .iter()
            .map(|said| standing.take(*said, mode))
            .map(|change| (change.verdict, change.entry.get()))
            .collect();
        let sum = changes.iter().map(|(_, entry)| entry).sum();
        assert_eq!(sum, standing.net().get(), "entries add up to what it comes to");
        (changes, sum)
    }

    use Status::{Approved, Pending, Reversed, Unknown};
    use Verdict::{Accepted, Duplicate, Updated};

    #[test]
    fn each_path_through_the_statuses_adds_what_it_should() {
        let partly = said(Reversed, 2);
        let whole = Said { status: Reversed, payout: None };
        type Path<'a> = (&'a [Said], &'a [(Verdict, i64)]);
        let paths: &[Path<'_>] = &[
            (&[said(Approved, 5)], &[(Accepted, 5)]),
            (&[said(Pending, 5)], &[(Accepted, 0)]),
            (&[said(Pending, 5), said(Approved, 5)], &[(Accepted, 0), (Updated, 5)]),
            (&[said(Approved, 5), said(Pending, 5)], &[(Accepted, 5), (Updated, 0)]),
            (&[said(Approved, 5), said(Approved, 5)], &[(Accepted, 5), (Duplicate, 0)]),
            (&[said(Approved, 5), said(Approved, 9)], &[(Accepted, 5), (Duplicate, 0)]),
            (&[said(Approved, 5), whole], &[(Accepted, 5), (Updated, -5)]),
            (&[said(Approved, 5), said(Reversed, 0)], &[(Accepted, 5), (Updated, -5)]),
            (&[said(Approved, 5), said(Reversed, -5)], &[(Accepted, 5), (Updated, -5)]),
            (&[said(Approved, 5), partly], &[(Accepted, 5), (Updated, -2)]),
            (&[said(Approved, 5), said(Reversed, 9)], &[(Accepted, 5), (Updated, -5)]),
            (&[whole, said(Approved, 5)], &[(Accepted, 0), (Updated, 0)]),
            (&[partly, said(Approved, 5)], &[(Accepted, 0), (Updated, 3)]),
            (&[said(Pending, 5), whole], &[(Accepted, 0), (Updated, 0)]),
            (&[said(Approved, 5), whole, whole], &[(Accepted, 5), (Updated, -5), (Duplicate, 0)]),
            (&[said(Approved, 5), whole, said(Approved, 5)], &[(Accepted, 5), (Updated, -5), (Duplicate, 0)]),
            (&[said(Unknown, 5)], &[(Accepted, 0)]),
            (&[said(Unknown, 5), said(Approved, 5)], &[(Accepted, 0), (Updated, 5)]),
            (&[Said { status: Approved, payout: None }], &[(Accepted, 0)]),
        ];
        for (all, expected) in paths {
            for mode in [Mode::ByTransaction, Mode::FirstWins, Mode::Each] {
                assert_eq!(told(mode, all).0, *expected, "{all:?} {mode:?}");
            }
        }
    }

    #[test]
    fn the_last_one_replaces_and_more_is_added() {
        let twice = [said(Approved, 5), said(Approved, 9)];
        assert_eq!(told(Mode::Replace, &twice).0, [(Accepted, 5), (Updated, 4)]);
        assert_eq!(told(Mode::Replace, &[twice[0], twice[0]]).0, [(Accepted, 5), (Duplicate, 0)]);
        let back = [said(Approved, 5), Said { status: Reversed, payout: None }, said(Approved, 9)];
        assert_eq!(told(Mode::Replace, &back).0, [(Accepted, 5), (Updated, -5), (Updated, 9)]);
        assert_eq!(told(Mode::Add, &twice).0, [(Accepted, 5), (Updated, 9)]);
        let (_, sum) = told(Mode::Add, &[twice[0], twice[1], said(Reversed, 3)]);
        assert_eq!(sum, 11);
    }

    #[test]
    fn what_was_taken_back_as_a_whole_is_not_taken_back_again_by_its_parts() {
        let (mut whole, mut part) = (Standing::default(), Standing::default());
        let mut of_part = |whole: &mut Standing, said: Said| {
            let change = part.take(said, Mode::ByTransaction);
            whole.take_part(change, said.status).entry.get()
        };
        let back = Said { status: Reversed, payout: None };
        assert_eq!(of_part(&mut whole, said(Approved, 5)), 5);
        assert_eq!(whole.take(back, Mode::Add).entry.get(), -5);
        assert_eq!((of_part(&mut whole, back), whole.net().get()), (0, 0));
    }

    #[test]
    fn it_stands_where_the_course_of_things_has_it() {
        let mut standing = Standing::default();
        for (status, expected) in
            [(Unknown, Unknown), (Approved, Approved), (Pending, Approved), (Reversed, Reversed)]
        {
            standing.take(said(status, 1), Mode::ByTransaction);
            assert_eq!(standing.status(), expected, "after {status:?}");
        }
    }

    proptest! {
        /// A network pays one amount for a transaction and takes one back: then order and repeats do not matter.
        #[test]
        fn order_and_repeats_change_nothing_about_the_sum(
            paid in 0i64..1_000_000,
            back in prop::option::of(0i64..1_000_000),
            statuses in prop::collection::vec(prop::sample::select(&[Pending, Approved, Reversed, Unknown][..]), 1..9),
            seed in any::<u64>(),
        ) {
            let all: Vec<Said> = statuses
                .iter()
                .map(|status| match status {
                    Reversed => Said { status: Reversed, payout: back.map(Micros::new) },
                    status => said(*status, paid),
                })
                .collect();
            // Another order, each one told once or twice.
            let mut other: Vec<(u64, Said)> = all
                .iter()
                .chain(all.iter().step_by(2))
                .zip(1u64..)
                .map(|(said, n)| (seed.wrapping_mul(n).rotate_left(17) ^ n, *said))
                .collect();
            other.sort_by_key(|(key, _)| *key);
            let other: Vec<Said> = other.into_iter().map(|(_, said)| said).collect();
            prop_assert_eq!(told(Mode::ByTransaction, &all).1, told(Mode::ByTransaction, &other).1);
        }
    }
}
