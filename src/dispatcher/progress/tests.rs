//! `Progress` against a plain set of what was begun and what has ended.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn at(number: u64) -> Position {
    position(number * 16)
}

#[test]
fn what_ends_out_of_order_is_an_exception_until_all_before_it_has_ended() {
    let mut progress = Progress::starting_at(at(1));
    for number in 1..=5 {
        assert_eq!(progress.begin(at(number)), Begun::Open);
    }
    for (ended, low) in [(3, 1), (1, 2), (5, 2), (2, 4), (4, 6)] {
        assert!(progress.end(at(ended)));
        assert_eq!(progress.low(), at(low), "after {ended}");
    }
    assert_eq!((progress.open_count(), progress.head()), (0, at(6)));
    assert_eq!(progress.begin(at(3)), Begun::Passed);
    assert!(progress.end(at(3)), "it has ended before");
}

#[test]
fn five_million_parked_deliveries_cost_a_number() {
    let mut progress = Progress::starting_at(at(1));
    let mut log = (1..=5_000_000_u64).map(at);
    let parked = log.by_ref().find(|at| progress.begin(*at) == Begun::Full).unwrap();
    assert_eq!((progress.open_count(), progress.head()), (OPEN_MAX, parked));
    progress.reach(at(6_000_000));
    assert!(log.all(|at| progress.begin(at) == Begun::Full));
    let mut bytes = Vec::new();
    progress.encode_into(&mut bytes);
    assert!(progress.memory_bytes() < 1 << 20, "{} bytes", progress.memory_bytes());
    assert!(bytes.len() < 1 << 18, "{} bytes", bytes.len());
    assert_eq!(progress.head(), parked, "it goes on where it was parked");
    assert!(!progress.resume(), "there is no room");
    progress.end(at(1));
    assert_eq!(progress.begin(at(5_000_001)), Begun::Full, "what is before it would be lost");
    assert!(progress.resume());
    assert_eq!(progress.begin(parked), Begun::Open);
}

#[test]
fn what_is_new_may_come_before_what_was_parked() {
    let mut progress = Progress::starting_at(at(1));
    assert_eq!(progress.begin(at(1)), Begun::Open);
    assert!(progress.skip_to(at(100)));
    assert!(!progress.skip_to(at(200)), "there is one backlog");
    assert_eq!(progress.begin(at(150)), Begun::Open);
    assert_eq!(progress.begin(at(50)), Begun::Open);
    assert_eq!(progress.begin(at(40)), Begun::Passed, "it was passed over in the backlog");
    for number in [1, 50, 150] {
        progress.end(at(number));
    }
    assert_eq!(progress.low(), at(51));
    assert_eq!(progress.backlog(), Some(Behind { from: at(51), to: Some(at(100)) }));
    progress.reach_in_backlog(at(500));
    assert_eq!((progress.backlog(), progress.low()), (None, at(151)));
}

#[test]
fn an_outcome_that_is_known_before_its_decision_keeps_it_from_being_begun() {
    let mut progress = Progress::starting_at(at(1));
    assert!(progress.end(at(7)));
    assert_eq!(progress.begin(at(6)), Begun::Open);
    assert_eq!(progress.begin(at(7)), Begun::Ended);
    assert_eq!(progress.begin(at(8)), Begun::Open);
    assert_eq!(progress, {
        let mut other = Progress::starting_at(at(1));
        other.begin(at(6));
        other.begin(at(8));
        other
    });
    for number in 0..AHEAD_MAX as u64 {
        assert!(progress.end(at(100 + number)));
    }
    assert!(!progress.end(at(10_000_000)), "it is full, and says so");
    progress.reach(at(20_000_000));
    assert_eq!(progress.ahead.len(), 0, "what owed nothing after all is forgotten");
}

#[test]
fn a_dead_letter_can_be_opened_again() {
    let mut progress = Progress::starting_at(at(1));
    progress.begin(at(1));
    progress.begin(at(2));
    progress.end(at(1));
    assert!(progress.reopen(at(1)));
    assert!(!progress.reopen(at(2)), "it is open");
    assert!(!progress.reopen(at(3)), "it is to come anyway");
    assert_eq!(progress.low(), at(1));
}

#[test]
fn no_damaged_byte_is_read_as_progress() {
    let mut progress = Progress::starting_at(at(3));
    for number in 3..10 {
        progress.begin(at(number));
    }
    progress.end(at(5));
    progress.skip_to(at(20));
    progress.end(at(30));
    let mut bytes = Vec::new();
    progress.encode_into(&mut bytes);
    for place in 0..bytes.len() {
        assert!(Progress::decode(&bytes[..place]).is_err(), "cut at {place}");
        for bit in 0..8 {
            bytes[place] ^= 1 << bit;
            assert!(Progress::decode(&bytes).is_err(), "bit {bit} of {place}");
            bytes[place] ^= 1 << bit;
        }
    }
    bytes.extend_from_slice(b"more");
    assert_eq!(Progress::decode(&bytes), Ok((progress, b"more".as_slice())));
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// The log grows by so many decisions, some of which owe nothing.
    Grow(u8),
    /// So many are looked at, from the head on.
    Look(u8),
    /// So many are looked at in the backlog.
    LookBack(u8),
    /// One of the open ones ends.
    End(prop::sample::Index),
    /// What is new comes first.
    Skip,
    /// A checkpoint is written.
    Save,
    /// The process dies and starts again from the newest checkpoint.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1u8..20).prop_map(Step::Grow),
        4 => (1u8..20).prop_map(Step::Look),
        2 => (1u8..20).prop_map(Step::LookBack),
        6 => any::<prop::sample::Index>().prop_map(Step::End),
        1 => Just(Step::Skip),
        1 => Just(Step::Save),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..200)
}

/// The plain model: what owes something, and what has ended.
#[derive(Default)]
struct Model {
    owing: BTreeSet<u64>,
    end: u64,
    ended: BTreeSet<u64>,
    /// Ended since the checkpoint, in order.
    since: Vec<u64>,
    saved: Vec<u8>,
}

impl Model {
    fn look(&mut self, progress: &mut Progress, behind: Behind, most: u8) -> Result<(), TestCaseError> {
        let to = behind.to.map_or(self.end, Position::to_u64);
        let next: Vec<u64> = self
            .owing
            .range(behind.from.to_u64()..to.max(behind.from.to_u64()))
            .copied()
            .take(most.into())
            .collect();
        for at in next {
            match progress.begin(position(at)) {
                Begun::Open => prop_assert!(!self.ended.contains(&at), "{at} is begun after it has ended"),
                Begun::Ended => prop_assert!(self.ended.contains(&at), "{at} has not ended"),
                Begun::Passed => return Err(TestCaseError::fail(format!("{at} is passed over"))),
                Begun::Full => return Err(TestCaseError::fail("there are not that many")),
            }
        }
        Ok(())
    }

    /// Everything that owes something has ended, is open, or will be looked at.
    fn nothing_is_lost(&self, progress: &Progress) -> Result<(), TestCaseError> {
        let open: BTreeSet<u64> = progress.open().map(Position::to_u64).collect();
        let (from, to) = progress.backlog.unwrap_or_default();
        for at in self.owing.difference(&self.ended) {
            let is_to_come = *at >= progress.head || (from..to).contains(at);
            prop_assert!(open.contains(at) || is_to_come, "{} is lost", at);
            prop_assert!(*at >= progress.low().to_u64(), "{} is below the watermark", at);
        }
        prop_assert!(open.is_disjoint(&self.ended));
        Ok(())
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_and_nothing_that_has_ended_is_begun_again(steps in steps()) {
        let mut progress = Progress::starting_at(at(1));
        let mut model = Model { end: 16, ..Model::default() };
        progress.encode_into(&mut model.saved);
        for step in steps {
            match step {
                Step::Grow(by) => for number in 0..by {
                    if number % 3 != 1 {
                        model.owing.insert(model.end);
                    }
                    model.end += 16;
                },
                Step::Look(most) => {
                    let from = progress.head();
                    model.look(&mut progress, Behind { from, to: None }, most)?;
                }
                Step::LookBack(most) => if let Some(behind) = progress.backlog() {
                    model.look(&mut progress, behind, most)?;
                    // None is left: the rest of it owes nothing.
                    if let Some(Behind { from, to: Some(to) }) = progress.backlog()
                        && model.owing.range(from.to_u64()..to.to_u64()).next().is_none()
                    {
                        progress.reach_in_backlog(to);
                        prop_assert_eq!(progress.backlog(), None);
                    }
                },
                Step::End(index) => if progress.open_count() > 0 {
                    let ended = index.get(&progress.open().collect::<Vec<_>>()).to_u64();
                    prop_assert!(progress.end(position(ended)));
                    model.ended.insert(ended);
                    model.since.push(ended);
                },
                Step::Skip => {
                    progress.skip_to(position(model.end));
                }
                Step::Save => {
                    model.saved.clear();
                    progress.encode_into(&mut model.saved);
                    model.since.clear();
                }
                Step::Restart => {
                    progress = Progress::decode(&model.saved).unwrap().0;
                    for ended in &model.since {
                        prop_assert!(progress.end(position(*ended)));
                    }
                }
            }
            model.nothing_is_lost(&progress)?;
            let mut bytes = Vec::new();
            progress.encode_into(&mut bytes);
            prop_assert_eq!(Progress::decode(&bytes), Ok((progress.clone(), &[][..])));
        }
    }

    #[test]
    fn any_bytes_are_progress_or_refused(bytes: Vec<u8>) {
        prop_assert!(Progress::decode(&bytes).is_err());
    }
}
