//! Nobody waits for the slow one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clicklog::dispatcher::outbound::Outbound;
use clicklog::event::delivery::OutcomeClass;

use super::world::{Answer, World, answer, named};

const COUNT: usize = 20;
const RUN: Duration = Duration::from_secs(120);
const FAULTY: [&str; 4] = ["d00", "d05", "d10", "d15"];

/// For each destination the 99th percentile of how long a first attempt was late.
fn lateness(are_faulty: bool) -> BTreeMap<String, Duration> {
    let ids: Vec<String> = (0..COUNT).map(|number| format!("d{number:02}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let answers = move |id: &str, _, count: usize| {
        let quick = answer(OutcomeClass::Ok, 20 + count as u64 % 13);
        match (are_faulty, id) {
            (true, "d00") => answer(OutcomeClass::Ambiguous, 10_000),
            (true, "d05") => answer(OutcomeClass::Server, 5),
            (true, "d10") => answer(OutcomeClass::Ok, 3_000),
            (true, "d15") => {
                Answer { retry_after: Some(Duration::from_secs(1)), ..answer(OutcomeClass::Throttle, 5) }
            }
            _ => quick,
        }
    };
    let mut world = World::new(named(&ids), Box::new(answers));
    // 100 decisions a second, each to all twenty.
    let mut due = BTreeMap::new();
    for number in 0..12_000 {
        let after = Duration::from_millis(10) * number;
        due.insert(world.approve(number, after), after);
    }
    world.run_until(RUN);
    let mut first: BTreeMap<(String, u64), Duration> = BTreeMap::new();
    for arrived in &world.arrived {
        let late = arrived.after.saturating_sub(due[&arrived.at]);
        first.entry((arrived.destination.clone(), arrived.at)).or_insert(late);
    }
    let mut by_destination: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
    for ((destination, _), late) in first {
        by_destination.entry(destination).or_default().push(late);
    }
    let p99 = |mut late: Vec<Duration>| {
        late.sort_unstable();
        late[late.len() * 99 / 100]
    };
    by_destination.into_iter().map(|(id, late)| (id, p99(late))).collect()
}

#[test]
fn a_black_hole_a_fault_a_slow_one_and_a_throttling_one_among_twenty_make_nobody_late() {
    let (healthy, faulty) = (lateness(false), lateness(true));
    for (id, before) in healthy {
        if FAULTY.contains(&id.as_str()) {
            continue;
        }
        let after = faulty[&id];
        assert!(before < Duration::from_millis(50), "{id}: {before:?}");
        assert!(after <= before.mul_f64(1.1), "{id}: p99 of first attempts was {before:?}, is {after:?}");
    }
}

/// Two of one host, of which the one answers with errors or not at all: how late the other's attempts are at most.
fn lateness_beside(neighbour: Answer) -> Duration {
    let mut all = named(&["fine", "neighbour"]);
    for destination in &mut all.global {
        let url = format!("https://shared.example/{}", destination.id);
        destination.outbound = Arc::new(Outbound::get(&url).unwrap());
    }
    let answers = move |id: &str, _, _| if id == "fine" { answer(OutcomeClass::Ok, 5) } else { neighbour };
    let mut world = World::new(all, Box::new(answers));
    // First the neighbour has enough of them to fail ten times in a row, again and again; then a trickle.
    let mut due = BTreeMap::new();
    for number in 0..600 {
        let after = Duration::from_millis(if number < 100 { 1 } else { 500 }) * number;
        due.insert(world.approve(number, after), after);
    }
    world.run_until(Duration::from_secs(310));
    let fine = world.arrived.iter().filter(|arrived| arrived.destination == "fine");
    let late = fine.map(|arrived| arrived.after.saturating_sub(due[&arrived.at])).max();
    late.unwrap()
}

#[test]
fn a_host_that_answers_one_destination_with_errors_or_hangs_on_it_is_there_for_another() {
    let hangs = answer(OutcomeClass::Ambiguous, 10_000);
    for neighbour in [answer(OutcomeClass::Server, 5), hangs, answer(OutcomeClass::Client, 5)] {
        let late = lateness_beside(neighbour);
        assert!(late < Duration::from_millis(50), "{neighbour:?}: {late:?}");
    }
}
