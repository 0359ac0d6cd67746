//! Days of a destination that is out of order.

use std::time::Duration;

use clicklog::dispatcher::line::READY_MAX;
use clicklog::dispatcher::schedule::{ATTEMPTS_MAX, HORIZON_MAX};
use clicklog::event::delivery::OutcomeClass;

use super::world::{Arrived, Entry, World, answer, named};

const DAY: Duration = Duration::from_hours(24);

/// The outcome that ended the delivery of a decision.
fn end_of(world: &World, place: u64) -> Option<(OutcomeClass, u16)> {
    world.journal.entries.iter().find_map(|entry| match entry {
        Entry::Outcome { at, class, attempt, is_final: true, .. } if *at == place => Some((*class, *attempt)),
        _ => None,
    })
}

#[test]
fn what_nobody_takes_is_tried_for_three_days_ever_more_rarely_and_then_is_dead() {
    let mut world = World::new(named(&["dead"]), Box::new(|_, _, _| answer(OutcomeClass::Server, 20)));
    let place = world.approve(1, Duration::from_secs(1));
    world.run_until(DAY * 5);
    let times: Vec<Duration> = world.arrived.iter().map(|Arrived { after, .. }| *after).collect();
    assert_eq!(times[0], Duration::from_secs(1), "at once");
    assert!(times.last().unwrap().saturating_sub(times[0]) <= HORIZON_MAX);
    assert!((15..=usize::from(ATTEMPTS_MAX)).contains(&times.len()), "{} attempts", times.len());
    for (retry, pair) in (0_u32..).zip(times.windows(2)) {
        let cap =
            Duration::from_secs(5).saturating_mul(4_u32.saturating_pow(retry)).min(Duration::from_hours(6));
        let gap = pair[1] - pair[0];
        // The breaker opens after ten failures in a row, which may add up to five minutes.
        let most = cap + Duration::from_millis(20) + Duration::from_mins(5);
        assert!(gap >= cap / 3 && gap <= most, "retry {retry} came after {gap:?}, cap {cap:?}");
    }
    assert_eq!(end_of(&world, place), Some((OutcomeClass::Server, u16::try_from(times.len()).unwrap())));
    let before = world.arrived.len();
    world.run_until(DAY * 30);
    assert_eq!(world.arrived.len(), before, "a dead letter is not tried again by itself");
}

#[test]
fn being_told_to_wait_costs_no_attempt_but_ends_with_the_horizon() {
    let told = |_: &str, _, _| super::world::Answer {
        retry_after: Some(Duration::from_mins(30)),
        ..answer(OutcomeClass::Throttle, 5)
    };
    let mut world = World::new(named(&["busy"]), Box::new(told));
    let place = world.approve(1, Duration::ZERO);
    world.run_until(DAY * 4);
    assert!(world.arrived.len() > usize::from(ATTEMPTS_MAX), "{}", world.arrived.len());
    assert!(world.arrived.windows(2).all(|pair| pair[1].after - pair[0].after >= Duration::from_mins(30)));
    assert!(world.arrived.last().unwrap().after <= HORIZON_MAX);
    assert_eq!(end_of(&world, place).unwrap().0, OutcomeClass::Throttle);
}

#[test]
fn a_destination_that_was_dead_for_two_days_gets_all_of_it_and_what_is_new_first() {
    const COUNT: u32 = 60_000;
    let (back, step) = (DAY * 2, DAY * 2 / COUNT);
    let answers = move |_: &str, after: Duration, _| {
        answer(if after < back { OutcomeClass::Safe } else { OutcomeClass::Ok }, 10)
    };
    let mut world = World::new(named(&["gone"]), Box::new(answers));
    for number in 0..COUNT {
        world.approve(number, step * number);
    }
    world.run_until(back - Duration::from_secs(1));
    let place = world.desk.station("gone").unwrap();
    assert!(world.desk.open_count(place) <= 2 * READY_MAX, "{} in memory", world.desk.open_count(place));
    let attempts = world.arrived.len();
    assert!(attempts < 3_000, "a breaker keeps it from being asked all the time: {attempts}");
    let fresh = world.approve(COUNT, back + Duration::from_mins(6));
    world.run_until(back + Duration::from_hours(12));
    let taken = world.taken();
    assert_eq!(taken.len(), COUNT as usize + 1, "all of it");
    assert!(taken.values().all(|count| *count == 1), "once");
    let when = |place: u64| {
        world.arrived.iter().find(|one| one.at == place && one.class == OutcomeClass::Ok).unwrap().after
    };
    let late = when(fresh) - (back + Duration::from_mins(6));
    assert!(late < Duration::from_secs(5), "what is new waited for {late:?}");
}

#[test]
fn what_was_tried_before_a_restart_counts() {
    let mut world = World::new(named(&["dead"]), Box::new(|_, _, _| answer(OutcomeClass::Server, 20)));
    world.approve(1, Duration::ZERO);
    for hours in 1..100 {
        world.run_until(Duration::from_hours(1) * hours);
        let restored = world.restored(Default::default(), 0);
        world.restart(restored);
    }
    let attempts: Vec<u16> = world
        .journal
        .entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Outcome { attempt, .. } => Some(*attempt),
            Entry::Event { .. } => None,
        })
        .collect();
    assert_eq!(attempts, (1..).take(attempts.len()).collect::<Vec<_>>());
    assert!((15..=usize::from(ATTEMPTS_MAX)).contains(&attempts.len()), "{attempts:?}");
    assert!(world.arrived.last().unwrap().after <= HORIZON_MAX);
}

#[test]
fn twenty_refusals_as_unauthorised_pause_it_and_nothing_is_lost() {
    let answers = |_: &str, after: Duration, _| {
        answer(if after < DAY { OutcomeClass::Auth } else { OutcomeClass::Ok }, 10)
    };
    let mut world = World::new(named(&["strict"]), Box::new(answers));
    for number in 0..100 {
        world.approve(number, Duration::from_secs(number.into()));
    }
    world.run_until(DAY * 2);
    assert!(world.arrived.len() < 100 && world.taken().is_empty(), "{} attempts", world.arrived.len());
    let paused =
        |entry: &Entry| matches!(entry, Entry::Event { detail, .. } if detail.starts_with(b"it refused us"));
    assert_eq!(world.journal.entries.iter().filter(|entry| paused(entry)).count(), 1);
    let station = world.desk.station("strict").unwrap();
    let restored = world.restored(Default::default(), 0);
    world.restart(restored);
    world.run_until(DAY * 2 + Duration::from_hours(1));
    assert!(world.taken().is_empty(), "a restart does not resume it");
    world.desk.resume(station, super::world::at(world.now), &mut world.journal);
    world.run_until(DAY * 2 + Duration::from_hours(12));
    assert_eq!(world.taken().len(), 100);
}

#[test]
fn what_waits_for_a_destination_that_is_named_no_more_waits_for_its_horizon() {
    let answers = |_: &str, _, _| answer(OutcomeClass::Server, 20);
    let mut world = World::new(named(&["gone", "here"]), Box::new(answers));
    let place = world.approve(1, Duration::ZERO);
    world.run_until(Duration::from_mins(1));
    world.all = named(&["here"]);
    let now = super::world::at(world.now);
    world.desk.set_destinations(&world.all, world.desk.head(), now, &mut world.journal);
    let sent = |world: &World| world.arrived.iter().filter(|one| one.destination == "gone").count();
    let before = sent(&world);
    world.run_until(DAY * 2);
    world.give_up_absent();
    let station = world.desk.station("gone").unwrap();
    assert_eq!((sent(&world), world.desk.open_count(station)), (before, 1), "it waits");
    world.run_until(DAY * 4);
    world.give_up_absent();
    assert_eq!((sent(&world), world.desk.open_count(station)), (before, 0));
    let dropped = |entry: &Entry| matches!(entry, Entry::Outcome { at, class: OutcomeClass::Dropped, is_final: true, to, .. } if *at == place && to == "gone");
    assert_eq!(world.journal.entries.iter().filter(|entry| dropped(entry)).count(), 1);
}

#[test]
fn a_destination_that_says_until_when_to_wait_is_left_alone_until_then() {
    let wait = Duration::from_secs(60);
    let answers = move |_: &str, after: Duration, _| match after < Duration::from_mins(3) {
        true => super::world::Answer { retry_after: Some(wait), ..answer(OutcomeClass::Throttle, 1_000) },
        false => answer(OutcomeClass::Ok, 5),
    };
    let mut world = World::new(named(&["busy"]), Box::new(answers));
    for number in 0..500 {
        world.approve(number, Duration::from_millis(100) * number);
    }
    world.run_until(Duration::from_mins(3));
    // Those that were under way when it said so the first time, and some each minute since.
    assert!(world.arrived.len() < 100, "{} attempts", world.arrived.len());
    world.run_until(DAY);
    assert_eq!(world.taken().len(), 500);
}

#[test]
fn a_start_that_has_lost_where_a_destination_began_tells_it_nothing_older() {
    let mut world = World::new(named(&["one"]), Box::new(|_, _, _| answer(OutcomeClass::Ok, 5)));
    for number in 0..50 {
        world.approve(number, Duration::from_secs(number.into()));
    }
    world.run_until(Duration::from_mins(2));
    world.journal.entries.retain(|entry| matches!(entry, Entry::Outcome { .. }));
    world.journal.entries.drain(..20);
    let restored = world.restored(Default::default(), 0);
    world.restart(restored);
    world.run_until(DAY);
    assert!(world.taken().values().all(|count| *count == 1), "nothing is told twice");
}
