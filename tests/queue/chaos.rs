//! Everything at once, by chance: batches, delays, caps, rates, sites with ceilings, pauses, reloads, deaths, a clock that is
//! set back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use clicklog::dispatcher::condition::Statuses;
use clicklog::dispatcher::destinations::{Destinations, SiteLimits};
use clicklog::dispatcher::outbound::Outbound;
use clicklog::event::conversion::Status;
use clicklog::event::delivery::OutcomeClass;
use clicklog::meter::Allowance;
use proptest::prelude::*;

use super::world::{Answer, World, answer, batched, named};

const IDS: [&str; 8] = ["batched", "rated", "capped", "late", "busy", "away", "shaky", "slow"];

const CAP: u64 = 500;

/// The statuses that each decision of a conversion has, one after the other.
const STATUSES: [Status; 3] = [Status::Pending, Status::Approved, Status::Reversed];

#[derive(Clone, Debug)]
enum Step {
    /// Time passes.
    Run(u64),
    /// The process dies, and starts again from the journal alone, or from a checkpoint as of just now.
    Die(bool),
    Pause(usize),
    Resume(usize),
    /// Is in the catalog no more, or again.
    Toggle(usize),
    /// The same destinations, with other limits.
    Retune(u32),
    SetBack(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let one = 0..IDS.len();
    let step = prop_oneof![
        8 => (1u64..4_000).prop_map(Step::Run),
        3 => any::<bool>().prop_map(Step::Die),
        1 => one.clone().prop_map(Step::Pause),
        2 => one.clone().prop_map(Step::Resume),
        2 => one.prop_map(Step::Toggle),
        1 => (2u32..20).prop_map(Step::Retune),
        1 => (1u64..10_000).prop_map(Step::SetBack),
    ];
    prop::collection::vec(step, 1..24)
}

/// A catalog; `rated`, `shaky` and `slow` are at one site.
fn catalog(names: &[bool; IDS.len()], tuned: u32) -> Destinations {
    let mut all = named(&IDS);
    for destination in &mut all.global {
        destination.condition.statuses = Statuses::of(&STATUSES);
        let id: &str = &destination.id;
        if matches!(id, "rated" | "shaky" | "slow") {
            destination.outbound = Arc::new(Outbound::get(&format!("https://shared.example/{id}")).unwrap());
        }
        if id == "late" {
            destination.delay = Duration::from_secs(5);
        }
        if id == "batched" {
            batched(destination, 7, Duration::from_millis(300));
        }
    }
    let of =
        |all: &mut Destinations, id: &str, set: &dyn Fn(&mut clicklog::dispatcher::destinations::Limits)| {
            set(all.limits.get_mut(id).unwrap());
        };
    of(&mut all, "rated", &|limits| limits.rate = Some(Allowance::per_second(50 * tuned, tuned)));
    of(&mut all, "capped", &|limits| limits.daily = Some(CAP));
    of(&mut all, "slow", &|limits| limits.concurrency = Some(tuned));
    let limits = SiteLimits { rate: None, concurrency: Some(tuned) };
    all.sites.insert("https://shared.example:443".into(), limits);
    for (id, is_named) in IDS.iter().zip(names) {
        if !is_named {
            all.global.retain(|destination| *destination.id != **id);
            all.limits.remove(*id);
        }
    }
    all
}

fn answers(outage: u64, slow: u64) -> super::world::Answers {
    Box::new(move |id, after, count| match id {
        "away" if after < Duration::from_secs(outage) => answer(OutcomeClass::Safe, 3),
        "busy" if count % 5 == 0 => {
            Answer { retry_after: Some(Duration::from_secs(1)), ..answer(OutcomeClass::Throttle, 4) }
        }
        "shaky" if count % 4 == 1 => answer(OutcomeClass::Server, 9),
        "slow" => answer(OutcomeClass::Ok, slow),
        _ => answer(OutcomeClass::Ok, 5),
    })
}

/// Decides on `count` conversions, half of them again and again; when each decision comes.
fn decide(world: &mut World, count: u32) -> Vec<(u64, Duration)> {
    let mut previous = HashMap::new();
    (0..count)
        .map(|number| {
            let conversion = number * 7 % (count / 2 + 1);
            let (sequence, before) = previous.get(&conversion).copied().unwrap_or((0, 0));
            let after = Duration::from_millis(u64::from(number) * 8);
            let place = world.decide(conversion, sequence, STATUSES[sequence as usize % 3], before, after);
            previous.insert(conversion, (sequence + 1, place));
            (place, after)
        })
        .collect()
}

/// For each destination when it was named: from, and until.
type Named = Vec<Vec<(Duration, Duration)>>;

fn go(world: &mut World, steps: &[Step]) -> (usize, Named) {
    let (mut names, mut tuned, mut deaths) = ([true; IDS.len()], 10, 0);
    let mut named: Named = vec![vec![(Duration::ZERO, Duration::MAX)]; IDS.len()];
    for step in steps {
        match *step {
            Step::Run(millis) => world.run_until(world.now + Duration::from_millis(millis)),
            Step::Die(has_checkpoint) => {
                deaths += world.in_flight_items();
                world.die(has_checkpoint);
            }
            Step::Pause(index) => {
                let (station, now) = (world.desk.station(IDS[index]).unwrap(), world.wall());
                world.desk.pause(station, "asked for", now, &mut world.journal);
            }
            Step::Resume(index) => {
                let (station, now) = (world.desk.station(IDS[index]).unwrap(), world.wall());
                world.desk.resume(station, now, &mut world.journal);
            }
            Step::Toggle(index) => {
                // What a catalog names counts when a decision is looked at.
                world.run_until(world.now);
                names[index] = !names[index];
                match named[index].last_mut() {
                    Some(last) if !names[index] => last.1 = world.now,
                    _ => named[index].push((world.now, Duration::MAX)),
                }
                world.reload(catalog(&names, tuned));
            }
            Step::Retune(to) => {
                tuned = to;
                world.reload(catalog(&names, tuned));
            }
            Step::SetBack(millis) => world.set_back += Duration::from_millis(millis),
        }
    }
    for (index, times) in named.iter_mut().enumerate() {
        if !names[index] {
            times.push((world.now, Duration::MAX));
        }
    }
    world.reload(catalog(&[true; IDS.len()], tuned));
    for id in IDS {
        let (station, now) = (world.desk.station(id).unwrap(), world.wall());
        world.desk.resume(station, now, &mut world.journal);
    }
    (deaths, named)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn whatever_happens_at_once_all_that_is_owed_arrives_in_order_and_repeats_are_of_deaths(
        steps in steps(), count in 1u32..1_500, outage in 0u64..30, slow in 1u64..300,
    ) {
        let mut world = World::new(catalog(&[true; IDS.len()], 10), answers(outage, slow));
        let decided = decide(&mut world, count);
        let (deaths, named) = go(&mut world, &steps);
        world.run_until(Duration::from_hours(24 * 6));
        let taken = world.taken();
        for (id, times) in IDS.iter().zip(&named) {
            for (place, after) in &decided {
                // In the very moment of a reload it is either.
                if times.iter().any(|(from, until)| after > from && after < until) {
                    let times = taken.get(&((*id).to_owned(), *place));
                    prop_assert!(times.is_some(), "{} was not told of {:?}", id, after);
                }
            }
            let station = world.desk.station(id).unwrap();
            prop_assert_eq!(world.desk.open_count(station), 0, "{}", id);
        }
        let repeats: usize = taken.values().map(|count| count - 1).sum();
        prop_assert!(repeats <= deaths, "{} repeats, {} were in flight", repeats, deaths);
        super::order::never_goes_back(&world)?;
    }

    #[test]
    fn no_day_has_more_requests_than_the_cap(count in 1u32..3_000, cap in 1u64..400, days in 1u64..12) {
        let mut all = named(&["capped"]);
        all.limits.get_mut("capped").unwrap().daily = Some(cap);
        let mut world = World::new(all, Box::new(|_, _, _| answer(OutcomeClass::Ok, 1)));
        for number in 0..count {
            world.approve(number, Duration::from_secs(u64::from(number)));
        }
        for day in 1..=days {
            // Not at midnight itself, when a day has just begun.
            world.run_until(Duration::from_hours(day * 19) + Duration::from_secs(1));
            let checkpoint = world.checkpoint();
            world.restart(checkpoint);
        }
        let mut by_day: HashMap<_, u64> = HashMap::new();
        for arrived in &world.arrived {
            *by_day.entry(super::world::at(arrived.after).hour() / 24).or_default() += 1;
        }
        prop_assert!(by_day.values().all(|count| *count <= cap), "{:?}", by_day);
        let passed = world.wall().hour() / 24 - super::world::at(Duration::ZERO).hour() / 24;
        let most = (u64::try_from(passed).unwrap() + 1) * cap;
        prop_assert_eq!(world.arrived.len() as u64, u64::from(count).min(most));
    }
}
