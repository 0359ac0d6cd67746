//! Whole lives of deliveries, in virtual time.

use proptest::prelude::*;

use super::*;

const DUE: Timestamp = Timestamp::from_seconds(1_000_000);

/// A whole life in virtual time: when each attempt was made, and how it ended.
fn life(
    id: [u8; 16],
    patience: Patience,
    mut answer: impl FnMut(u32) -> OutcomeClass,
) -> (Vec<Timestamp>, Next) {
    let (mut now, mut tries, mut made) = (DUE, Tries::default(), Vec::new());
    for number in 0..100_000 {
        made.push(now);
        let class = answer(number);
        tries.note(class);
        let ended = Ended { delivery_id: id, due: DUE, now, class, tries, retry_after: None };
        match next(&ended, patience, Seed(1, 2)) {
            Next::At(at) => now = at,
            end => return (made, end),
        }
    }
    panic!("it never ends");
}

#[test]
fn a_destination_that_is_down_for_good_is_tried_for_three_days_in_growing_steps() {
    for id in 0..200_u8 {
        let (made, end) = life([id; 16], Patience::default(), |_| OutcomeClass::Server);
        assert!(matches!(end, Next::Dead(Death::Horizon | Death::Attempts)), "{end:?}");
        assert!((18..=usize::from(ATTEMPTS_MAX)).contains(&made.len()), "{} attempts", made.len());
        for (retry, pair) in made.windows(2).enumerate() {
            let cap = retry_cap(u16::try_from(retry).unwrap() + 1);
            let step = pair[1].since(pair[0]);
            assert!(step >= cap / 3 && step <= cap, "retry {}: {step:?} of {cap:?}", retry + 1);
        }
        let lived = made.last().unwrap().since(DUE);
        assert!(lived <= HORIZON_MAX && lived > Duration::from_hours(40), "{lived:?}");
    }
}

#[test]
fn the_caps_are_those_of_the_design() {
    let seconds: Vec<u64> = (1..=9).map(|retry| retry_cap(retry).as_secs()).collect();
    assert_eq!(seconds, [5, 20, 80, 320, 1280, 5120, 20_480, 21_600, 21_600]);
    assert_eq!(retry_cap(u16::MAX), RETRY_CAP_MAX);
}

#[test]
fn a_destination_that_comes_back_gets_it() {
    let (made, end) =
        life([7; 16], Patience::default(), |n| if n < 6 { OutcomeClass::Safe } else { OutcomeClass::Ok });
    assert_eq!((made.len(), end), (7, Next::Done));
}

#[test]
fn what_is_refused_as_wrong_is_tried_three_times_within_an_hour() {
    for id in 0..200_u8 {
        let (made, end) = life([id; 16], Patience::default(), |_| OutcomeClass::Client);
        assert_eq!((made.len(), end), (3, Next::Dead(Death::Refused)));
        assert!(made[2].since(made[0]) <= Duration::from_hours(1));
        assert!(made[2].since(made[0]) >= Duration::from_mins(20), "not all within the same rollout");
    }
}

#[test]
fn being_told_to_wait_costs_no_attempt_but_time() {
    let (made, end) = life([1; 16], Patience::default(), |_| OutcomeClass::Throttle);
    assert_eq!(end, Next::Dead(Death::Horizon));
    let mut tries = Tries::default();
    for _ in &made {
        tries.note(OutcomeClass::Throttle);
    }
    assert_eq!((tries.counted, usize::from(tries.waits)), (0, made.len()));
    let (made, end) = life([1; 16], Patience::default(), |n| match n {
        0..5 => OutcomeClass::Throttle,
        5 => OutcomeClass::Server,
        _ => OutcomeClass::Ok,
    });
    assert_eq!((made.len(), end), (7, Next::Done));
    assert!(made[6].since(made[5]) <= RETRY_CAP_FIRST, "the first attempt that counts is the first");
}

#[test]
fn a_delivery_that_may_have_been_taken_is_dead_where_the_destination_forbids_repeats() {
    let forbids = Patience { repeats_ambiguous: false, ..Patience::default() };
    let (made, end) = life([1; 16], forbids, |_| OutcomeClass::Ambiguous);
    assert_eq!((made.len(), end), (1, Next::Dead(Death::Final)));
    let (made, _) = life([1; 16], Patience::default(), |_| OutcomeClass::Ambiguous);
    assert!(made.len() > 1);
}

#[test]
fn a_shorter_horizon_counts_and_a_longer_one_does_not() {
    let of = |horizon| {
        let patience = Patience { horizon, ..Patience::default() };
        life([3; 16], patience, |_| OutcomeClass::Server).0
    };
    assert!(of(Duration::from_mins(1)).last().unwrap().since(DUE) <= Duration::from_mins(1));
    assert_eq!(of(Duration::MAX), of(HORIZON_MAX));
}

proptest! {
    #[test]
    fn the_next_attempt_is_never_early_never_past_the_horizon_and_the_same_again(
        id: [u8; 16], seeds: (u64, u64), counted in 0u16..40, refused in 0u16..5, waits in 0u16..500,
        lived in 0u64..300_000, code in 0u8..11, after in proptest::option::of(1u64..21_600),
    ) {
        const ALL: [OutcomeClass; 11] = [
            OutcomeClass::Ok, OutcomeClass::Safe, OutcomeClass::Throttle, OutcomeClass::Server,
            OutcomeClass::Ambiguous, OutcomeClass::Redirect, OutcomeClass::Client, OutcomeClass::Auth,
            OutcomeClass::Gone, OutcomeClass::Config, OutcomeClass::Dropped,
        ];
        let ended = Ended {
            delivery_id: id,
            due: DUE,
            now: DUE.plus(Duration::from_secs(lived)),
            class: ALL[usize::from(code)],
            tries: Tries { counted, refused, waits },
            retry_after: after.map(Duration::from_secs),
        };
        let seed = Seed(seeds.0, seeds.1);
        let first = next(&ended, Patience::default(), seed);
        prop_assert_eq!(first, next(&ended, Patience::default(), seed));
        if let Next::At(at) = first {
            prop_assert!(at > ended.now && at <= DUE.plus(HORIZON_MAX));
            prop_assert!(counted < ATTEMPTS_MAX);
            if let (Some(after), OutcomeClass::Throttle) = (ended.retry_after, ended.class) {
                prop_assert!(at >= ended.now.plus(after));
            }
        }
    }
}
