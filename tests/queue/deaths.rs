//! The process dies, at any moment: what is received is what is owed.

use std::time::Duration;

use clicklog::dispatcher::checkpoint::decode;
use clicklog::dispatcher::restore::Restored;
use clicklog::event::conversion::Status;
use clicklog::event::delivery::OutcomeClass;
use clicklog::store::Position;
use proptest::prelude::*;

use super::world::{World, answer, named};

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_hours(24);

/// Twenty decisions for three destinations, of which one fails now and then, and one for the first minute.
fn world() -> World {
    let answers = |id: &str, after: Duration, count: usize| match id {
        "shaky" if count.is_multiple_of(3) => answer(OutcomeClass::Server, 15),
        "late" if after < Duration::from_mins(1) => answer(OutcomeClass::Safe, 5),
        _ => answer(OutcomeClass::Ok, 10),
    };
    let mut world = World::new(named(&["fine", "shaky", "late"]), Box::new(answers));
    for number in 0..20 {
        world.approve(number, Duration::from_millis(40) * number);
    }
    world
}

fn owed(world: &World) -> usize {
    world.decisions.len() * 3
}

#[test]
fn whenever_it_dies_what_is_received_is_what_is_owed_and_only_what_was_in_flight_comes_twice() {
    let mut whole = world();
    whole.run_until(LONG);
    let entries = whole.journal.entries.len();
    assert!(whole.taken().len() == owed(&whole) && entries > 80, "{entries}");
    for entries_max in 3..entries {
        let mut world = world();
        world.journal.entries_max = entries_max;
        world.run_until(LONG);
        assert!(world.journal.is_dead);
        // The one whose outcome was not written has ended as far as the desk knows.
        let in_flight = world.in_flight() + 1;
        let restored = world.restored(Restored::default(), 0);
        world.restart(restored);
        world.run_until(LONG * 2);
        let taken = world.taken();
        assert_eq!(taken.len(), owed(&world), "died after {entries_max}");
        let repeats: usize = taken.values().map(|count| count - 1).sum();
        assert!(repeats <= in_flight, "died after {entries_max}: {repeats} repeats, {in_flight} in flight");
    }
}

#[test]
fn a_checkpoint_and_the_whole_journal_tell_the_same() {
    for entries_max in (3..90).step_by(4) {
        let mut world = world();
        world.journal.entries_max = entries_max;
        world.run_until(LONG);
        // A checkpoint was written some entries before the end.
        let mut earlier = self::world();
        earlier.journal.entries_max = entries_max.saturating_sub(7).max(3);
        earlier.run_until(LONG);
        // What was not written had been in memory: an honest checkpoint is of what is in the journal.
        let restored = earlier.restored(Restored::default(), 0);
        earlier.restart(restored);
        let covered = earlier.journal.entries.len();
        let bytes = earlier.desk.checkpoint(Position::START);
        let checkpoint = decode(&bytes).unwrap();
        let from_checkpoint = Restored {
            head: Some(checkpoint.head),
            destinations: checkpoint.destinations,
            ..Restored::default()
        };
        let later = world.restored(from_checkpoint, covered.min(world.journal.entries.len()));
        let whole = world.restored(Restored::default(), 0);
        let open = |restored: &Restored| {
            let mut open: Vec<_> = restored
                .destinations
                .iter()
                .map(|(id, known)| {
                    let mut tried: Vec<_> = known.tried.iter().map(|(at, tried)| (*at, *tried)).collect();
                    tried.sort_by_key(|(at, _)| *at);
                    (id.clone(), tried, known.paused.clone())
                })
                .collect();
            open.sort_by(|one, other| one.0.cmp(&other.0));
            open
        };
        assert_eq!(open(&later), open(&whole), "died after {entries_max}");
        for restored in [later, whole] {
            let mut world = self::world();
            world.journal.entries_max = entries_max;
            world.run_until(LONG);
            world.restart(restored);
            world.run_until(LONG * 2);
            assert_eq!(world.taken().len(), owed(&world), "died after {entries_max}");
        }
    }
}

/// Something that happens to a world.
#[derive(Clone, Debug)]
enum Step {
    /// Time passes.
    Run(u64),
    /// The process dies, and starts again from the journal alone, or from a checkpoint as of just now.
    Die(bool),
    Pause(usize),
    Resume(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1u64..4_000).prop_map(Step::Run),
        3 => any::<bool>().prop_map(Step::Die),
        1 => (0usize..3).prop_map(Step::Pause),
        1 => (0usize..3).prop_map(Step::Resume),
    ];
    prop::collection::vec(step, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Many conversions with several statuses, destinations that go away and come back, deaths and pauses: all that is
    /// owed arrives, and a status never after a later one of its conversion was taken.
    #[test]
    fn whatever_happens_all_of_it_arrives_in_order(
        steps in steps(), count in 1u32..1_500, outage in 0u64..30, slow in 1u64..300,
    ) {
        let answers = move |id: &str, after: Duration, count: usize| match id {
            "away" if after < Duration::from_secs(outage) => answer(OutcomeClass::Safe, 3),
            "shaky" if count % 4 == 1 => answer(OutcomeClass::Server, 9),
            "slow" => answer(OutcomeClass::Ok, slow),
            _ => answer(OutcomeClass::Ok, 5),
        };
        let mut all = named(&["away", "shaky", "slow"]);
        for destination in &mut all.global {
            destination.condition.statuses =
                clicklog::dispatcher::condition::Statuses::of(&[Status::Approved, Status::Pending, Status::Reversed]);
        }
        let mut world = World::new(all, Box::new(answers));
        let mut previous = std::collections::HashMap::new();
        for number in 0..count {
            let conversion = number * 7 % (count / 2 + 1);
            let (sequence, before) = previous.get(&conversion).copied().unwrap_or((0, 0));
            let status = [Status::Pending, Status::Approved, Status::Reversed][sequence as usize % 3];
            let after = Duration::from_millis(u64::from(number) * 8);
            let place = world.decide(conversion, sequence, status, before, after);
            previous.insert(conversion, (sequence + 1, place));
        }
        let mut deaths = 0;
        for step in steps {
            match step {
                Step::Run(millis) => {
                    let end = world.now + Duration::from_millis(millis);
                    world.run_until(end);
                }
                Step::Die(has_checkpoint) => {
                    deaths += world.in_flight();
                    world.die(has_checkpoint);
                }
                Step::Pause(station) => world.desk.pause(station, "asked for", super::world::at(world.now), &mut world.journal),
                Step::Resume(station) => world.desk.resume(station, super::world::at(world.now), &mut world.journal),
            }
        }
        (0..3).for_each(|station| world.desk.resume(station, super::world::at(world.now), &mut world.journal));
        world.run_until(Duration::from_hours(48));
        let taken = world.taken();
        prop_assert_eq!(taken.len(), count as usize * 3);
        let repeats: usize = taken.values().map(|count| count - 1).sum();
        prop_assert!(repeats <= deaths, "{} repeats, {} were in flight", repeats, deaths);
        super::order::is_kept(&world)?;
    }
}

/// Retention takes what is old out of the log; one of the two has been away for so long.
#[test]
fn what_lies_before_what_is_needed_can_go_and_no_start_misses_it() {
    let answers = |id: &str, after: Duration, _| match id {
        "away" if after < SECOND * 300 => answer(OutcomeClass::Safe, 3),
        _ => answer(OutcomeClass::Ok, 1_000),
    };
    let mut world = World::new(named(&["well", "away"]), Box::new(answers));
    for number in 0..3_000 {
        world.approve(number, SECOND / 10 * number);
    }
    let all: Vec<u64> = world.decisions.keys().copied().collect();
    for round in 1..=40 {
        world.run_until(SECOND * 15 * round);
        let checkpoint = world.checkpoint();
        let needed = world.desk.needed().to_u64();
        let taken = world.taken();
        for at in all.iter().filter(|at| **at < needed) {
            for id in ["well", "away"] {
                assert!(taken.contains_key(&(id.to_owned(), *at)), "{at} is needed by {id}, not {needed}");
            }
        }
        world.decisions.retain(|at, _| *at >= needed.min(all[2_999]));
        world.restart(checkpoint);
    }
    world.run_until(Duration::from_hours(3));
    assert_eq!(world.taken().len(), 6_000);
    world.checkpoint();
    assert!(world.desk.needed().to_u64() > all[2_999], "nothing is needed any more");
}
