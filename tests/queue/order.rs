//! Statuses of one conversion are told one after the other.

use std::collections::HashMap;
use std::time::Duration;

use clicklog::dispatcher::condition::Statuses;
use clicklog::event::conversion::Status;
use clicklog::event::delivery::OutcomeClass;
use proptest::test_runner::TestCaseError;

use super::world::{World, answer, named};

/// No decision is told before all earlier ones of its conversion were taken.
pub(crate) fn is_kept(world: &World) -> Result<(), TestCaseError> {
    let mut taken: HashMap<(&str, [u8; 16]), u32> = HashMap::new();
    for arrived in &world.arrived {
        let (_, kept) = &world.decisions[&arrived.at];
        let decision = kept.decision().unwrap();
        let next = taken.entry((&arrived.destination, decision.conversion_id)).or_default();
        if decision.sequence > *next {
            let why = format!("{} was told number {} before {next}", arrived.destination, decision.sequence);
            return Err(TestCaseError::fail(why));
        }
        if arrived.class == OutcomeClass::Ok {
            *next = (*next).max(decision.sequence + 1);
        }
    }
    Ok(())
}

/// No decision is told after a later one of its conversion: also where some are not told at all.
pub(crate) fn never_goes_back(world: &World) -> Result<(), TestCaseError> {
    let mut told: HashMap<(&str, [u8; 16]), u32> = HashMap::new();
    for arrived in &world.arrived {
        let (_, kept) = &world.decisions[&arrived.at];
        let decision = kept.decision().unwrap();
        let last = told.insert((&arrived.destination, decision.conversion_id), decision.sequence);
        if last.is_some_and(|last| decision.sequence < last) {
            let why = format!("{} was told number {} after {last:?}", arrived.destination, decision.sequence);
            return Err(TestCaseError::fail(why));
        }
    }
    Ok(())
}

#[test]
fn a_later_status_waits_for_the_earlier_one_and_no_other_conversion_does() {
    let answers = |_: &str, _, count: usize| {
        answer(if count == 0 { OutcomeClass::Server } else { OutcomeClass::Ok }, 10)
    };
    let mut all = named(&["one"]);
    all.global[0].condition.statuses = Statuses::of(&[Status::Pending, Status::Approved]);
    let mut world = World::new(all, Box::new(answers));
    let pending = world.decide(1, 0, Status::Pending, 0, Duration::ZERO);
    let approved = world.decide(1, 1, Status::Approved, pending, Duration::from_millis(50));
    let other = world.decide(2, 0, Status::Approved, 0, Duration::from_millis(60));
    world.run_until(Duration::from_hours(1));
    let order: Vec<u64> = world.arrived.iter().map(|arrived| arrived.at).collect();
    assert_eq!(order, [pending, other, pending, approved]);
    assert!(is_kept(&world).is_ok());
}

#[test]
fn what_is_new_waits_for_what_its_conversion_has_in_the_backlog_and_only_that() {
    const COUNT: u32 = 4_000;
    let back = Duration::from_secs(3_600);
    let answers = move |_: &str, after: Duration, _| {
        if after < back { answer(OutcomeClass::Safe, 3) } else { answer(OutcomeClass::Ok, 4_000) }
    };
    let mut all = named(&["away"]);
    all.global[0].condition.statuses = Statuses::of(&[Status::Pending, Status::Approved]);
    let mut world = World::new(all, Box::new(answers));
    let pending: Vec<u64> = (0..COUNT)
        .map(|number| world.decide(number, 0, Status::Pending, 0, Duration::from_millis(500) * number))
        .collect();
    // It is back for a while, and at work on its backlog.
    let now = back + Duration::from_mins(5) + Duration::from_secs(10);
    let known = world.decide(COUNT - 1, 1, Status::Approved, pending[COUNT as usize - 1], now);
    // Of this one a decision lies between that tells the destination nothing.
    let silent = world.decide(COUNT - 2, 1, Status::Reversed, pending[COUNT as usize - 2], now);
    let indirect = world.decide(COUNT - 2, 2, Status::Approved, silent, now);
    let fresh = world.decide(COUNT, 0, Status::Approved, 0, now);
    world.run_until(Duration::from_hours(12));
    let when = |at: u64| {
        let taken = |arrived: &&super::world::Arrived| arrived.at == at && arrived.class == OutcomeClass::Ok;
        world.arrived.iter().find(taken).unwrap().after
    };
    assert!(when(pending[COUNT as usize - 2]) > now, "the backlog is not done by then");
    assert!(when(fresh) < when(pending[COUNT as usize - 2]));
    assert!(when(known) > when(pending[COUNT as usize - 1]));
    assert!(when(indirect) > when(pending[COUNT as usize - 2]));
}
