//! What once went wrong, and must not again.

use std::time::Duration;

use clicklog::dispatcher::condition::Statuses;
use clicklog::dispatcher::desk::Reopened;
use clicklog::dispatcher::line::conversion_number;
use clicklog::dispatcher::progress::OPEN_MAX;
use clicklog::dispatcher::restore::Restored;
use clicklog::event::conversion::Status;
use clicklog::event::delivery::OutcomeClass;

use super::world::{World, answer, batched, named};

const SECOND: Duration = Duration::from_secs(1);

fn all_well() -> super::world::Answers {
    Box::new(|_, _, _| answer(OutcomeClass::Ok, 5))
}

fn restart_from_the_journal(world: &mut World) {
    let restored = world.restored(Restored::default(), 0);
    world.restart(restored);
}

/// The world's journal refuses a note that no segment could take.
#[test]
fn how_far_one_has_come_fits_a_record_with_as_many_open_and_as_many_ahead_as_may_be() {
    let mut all = named(&["late"]);
    all.global[0].delay = Duration::from_hours(1);
    let mut world = World::new(all, all_well());
    for number in 0..2 * u32::try_from(OPEN_MAX).unwrap() {
        world.approve(number, Duration::ZERO);
    }
    world.run_until(SECOND);
    assert_eq!(world.desk.open_count(0), OPEN_MAX);
    world.reload(world.all.clone());
    world.run_until(Duration::from_hours(1) + SECOND);
    // What has ended since the last note is known before it is begun.
    restart_from_the_journal(&mut world);
    world.reload(world.all.clone());
    restart_from_the_journal(&mut world);
    world.run_until(Duration::from_hours(3));
    let taken = world.taken();
    assert_eq!(taken.len(), 2 * OPEN_MAX);
    let repeats = taken.values().filter(|times| **times > 1).count();
    assert!(repeats <= 2 * 64, "{repeats}");
}

#[test]
fn a_reload_that_allows_more_is_gone_by_at_once() {
    let mut all = named(&["capped"]);
    all.limits.get_mut("capped").unwrap().daily = Some(3);
    let mut world = World::new(all, all_well());
    for number in 0..10 {
        world.approve(number, Duration::ZERO);
    }
    world.run_until(SECOND);
    assert_eq!(world.arrived.len(), 3);
    let mut all = world.all.clone();
    all.limits.get_mut("capped").unwrap().daily = None;
    world.reload(all);
    world.run_until(SECOND * 2);
    assert_eq!(world.arrived.len(), 10);
}

/// More wait for what is in the backlog than may be open: who is behind must still be read.
#[test]
fn what_waits_for_the_backlog_leaves_room_for_the_backlog() {
    const COUNT: u32 = 20_000;
    const _: () = assert!(COUNT as usize > OPEN_MAX + 2_000);
    let back = Duration::from_hours(1);
    let answers = move |_: &str, after: Duration, _| {
        if after < back { answer(OutcomeClass::Safe, 3) } else { answer(OutcomeClass::Ok, 2_000) }
    };
    let mut all = named(&["away"]);
    all.global[0].condition.statuses = Statuses::of(&[Status::Pending, Status::Approved]);
    let mut world = World::new(all, Box::new(answers));
    let pending: Vec<u64> =
        (0..COUNT).map(|number| world.decide(number, 0, Status::Pending, 0, SECOND)).collect();
    // Until it has just begun with its backlog.
    while world.taken().is_empty() {
        let next = world.now + SECOND;
        world.run_until(next);
    }
    let now = world.now + SECOND;
    for number in (0..COUNT).rev() {
        world.decide(number, 1, Status::Approved, pending[number as usize], now);
    }
    world.run_until(Duration::from_hours(48));
    assert_eq!(world.taken().len(), 2 * COUNT as usize);
    assert!(super::order::is_kept(&world).is_ok());
}

#[test]
fn what_an_operator_opened_again_is_attempted_also_if_only_the_journal_knows() {
    let answers =
        |_: &str, _, count| answer(if count == 0 { OutcomeClass::Redirect } else { OutcomeClass::Ok }, 5);
    let mut world = World::new(named(&["one"]), Box::new(answers));
    let place = world.approve(1, Duration::ZERO);
    world.run_until(SECOND);
    let (_, kept) = &world.decisions[&place];
    let conversion = conversion_number(kept.decision().unwrap().conversion_id);
    let reopened = Reopened { conversion, site: "https://one.example:443".into() };
    let (at, now) = (clicklog::store::Position::from_u64(place).unwrap(), world.wall());
    assert!(world.desk.reopen(0, at, &reopened, now, &mut world.journal));
    restart_from_the_journal(&mut world);
    world.run_until(SECOND * 10);
    assert_eq!(world.taken().len(), 1);
    restart_from_the_journal(&mut world);
    world.run_until(SECOND * 20);
    assert_eq!(world.arrived.len(), 2, "once");
}

#[test]
fn a_batch_counts_as_one_attempt_of_its_day_also_after_a_restart() {
    let mut all = named(&["many"]);
    batched(&mut all.global[0], 10, SECOND);
    all.limits.get_mut("many").unwrap().daily = Some(5);
    let mut world = World::new(all, all_well());
    for number in 0..50 {
        let after = if number < 40 { Duration::ZERO } else { SECOND * 10 };
        world.approve(number, after);
    }
    world.run_until(SECOND * 5);
    assert_eq!((world.requests, world.arrived.len()), (4, 40));
    restart_from_the_journal(&mut world);
    world.run_until(SECOND * 20);
    assert_eq!((world.requests, world.arrived.len()), (5, 50));
}

#[test]
fn what_was_open_before_a_restart_goes_into_one_request_after_it() {
    let mut all = named(&["many"]);
    batched(&mut all.global[0], 50, SECOND);
    let answers =
        |_: &str, _, count| answer(if count == 0 { OutcomeClass::Safe } else { OutcomeClass::Ok }, 5);
    let mut world = World::new(all, Box::new(answers));
    for number in 0..50 {
        world.approve(number, Duration::ZERO);
    }
    world.run_until(SECOND / 2);
    assert_eq!(world.requests, 1);
    world.now = SECOND * 60;
    let checkpoint = world.checkpoint();
    world.restart(checkpoint);
    world.run_until(SECOND * 120);
    assert_eq!((world.requests, world.taken().len()), (2, 50));
}

#[test]
fn a_clock_that_is_set_back_keeps_no_batch_waiting() {
    let mut all = named(&["many"]);
    batched(&mut all.global[0], 10, SECOND * 5);
    let mut world = World::new(all, all_well());
    world.approve(1, SECOND * 10);
    world.run_until(SECOND * 11);
    world.set_back = Duration::from_hours(1);
    world.run_until(SECOND * 60);
    assert_eq!(world.taken().len(), 1);
}

/// From the journal alone all go on where the last of them is; here that is in the midst of the other's backlog.
#[test]
fn a_start_that_goes_back_for_one_passes_by_no_backlog_of_another() {
    let answers = |id: &str, after: Duration, _| match id {
        "away" if after < SECOND * 60 => answer(OutcomeClass::Safe, 3),
        "dead" if after > SECOND * 20 && after < SECOND * 2_000 => answer(OutcomeClass::Safe, 3),
        _ => answer(OutcomeClass::Ok, 1_000),
    };
    let mut world = World::new(named(&["away", "dead"]), Box::new(answers));
    for number in 0..3_000 {
        world.approve(number, SECOND / 20 * number);
    }
    let behind = |world: &mut World, id: &str| world.checkpoint().destinations[id].progress.clone();
    while behind(&mut world, "away").backlog().is_none() {
        let next = world.now + SECOND / 10;
        world.run_until(next);
    }
    // Until it has room for more.
    let next = world.now + SECOND * 10;
    world.run_until(next);
    let (backlog, dead) = (behind(&mut world, "away").backlog().unwrap(), behind(&mut world, "dead").head());
    assert!(backlog.from < dead && dead < backlog.to.unwrap(), "{backlog:?}, {dead}");
    world.reload(world.all.clone());
    restart_from_the_journal(&mut world);
    world.run_until(Duration::from_hours(3));
    assert_eq!(world.taken().len(), 6_000);
}
