//! Tables: what is decided in which case.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::event::conversion::Reversal;

const EUR: &[u8; 3] = b"EUR";

fn micros(amount: i64) -> Option<Micros> {
    Some(Micros::new(amount))
}

fn usd(amount: i64) -> Money {
    Money { amount: Micros::new(amount), currency: Currency::USD }
}

/// An approval of 5 for a click of a second ago that nobody has told of.
fn case() -> Case {
    Case {
        time: Timestamp::from_seconds(1_001),
        click: Click::Known(Timestamp::from_seconds(1_000)),
        status: Status::Approved,
        payout: micros(5),
        currency: Currency::USD,
        network_currency: Currency::USD,
        limits: Limits::default(),
        terms: Terms { window: Duration::from_secs(60), payout: None },
        mode: Mode::ByTransaction,
        standing: Standing::default(),
        part: None,
    }
}

fn told() -> Standing {
    decide(&case()).standing
}

fn short(decided: &Decided) -> (Verdict, Reason, i64) {
    (decided.verdict, decided.reason, decided.entry.get())
}

#[test]
fn each_case_has_its_verdict() {
    let late = Timestamp::from_seconds(1_061);
    let eur = Currency::from_code(*EUR).unwrap();
    let bounded = Limits { max: micros(4), ..Limits::default() };
    let near = Limits { tolerance: Some(100), ..Limits::default() };
    let fixed = Terms { payout: Some(usd(7)), ..case().terms };
    let held = decide(&Case { limits: bounded, ..case() }).standing;
    let table = [
        (case(), Verdict::Accepted, Reason::None, 5),
        (Case { click: Click::Lost, ..case() }, Verdict::Orphan, Reason::ClickLost, 0),
        (
            Case { click: Click::Unknown { is_parked: false }, ..case() },
            Verdict::Unmatched,
            Reason::ClickUnknown,
            0,
        ),
        (Case { click: Click::Unknown { is_parked: true }, ..case() }, Verdict::Unmatched, Reason::Parked, 0),
        (Case { time: Timestamp::from_seconds(1_060), ..case() }, Verdict::Accepted, Reason::None, 5),
        (Case { time: late, ..case() }, Verdict::Late, Reason::AfterWindow, 0),
        (
            Case { time: late, status: Status::Reversed, standing: told(), ..case() },
            Verdict::Updated,
            Reason::None,
            -5,
        ),
        (Case { time: Timestamp::from_seconds(900), ..case() }, Verdict::Accepted, Reason::None, 5),
        (Case { standing: told(), ..case() }, Verdict::Duplicate, Reason::AlreadyTold, 0),
        (Case { status: Status::Pending, ..case() }, Verdict::Accepted, Reason::None, 0),
        (Case { status: Status::Unknown, ..case() }, Verdict::Accepted, Reason::StatusUnknown, 0),
        (Case { terms: fixed, ..case() }, Verdict::Accepted, Reason::None, 7),
        (Case { terms: fixed, payout: None, ..case() }, Verdict::Accepted, Reason::None, 7),
        (Case { limits: bounded, ..case() }, Verdict::Held, Reason::PayoutAboveMax, 0),
        (Case { limits: bounded, standing: held, ..case() }, Verdict::Duplicate, Reason::PayoutAboveMax, 0),
        (
            Case { limits: bounded, payout: micros(9), standing: held, ..case() },
            Verdict::Held,
            Reason::PayoutAboveMax,
            0,
        ),
        (
            Case { limits: bounded, payout: micros(3), standing: held, ..case() },
            Verdict::Accepted,
            Reason::None,
            3,
        ),
        // Late for a new one; what is held has been told of.
        (
            Case { time: late, payout: micros(3), limits: bounded, standing: held, ..case() },
            Verdict::Accepted,
            Reason::None,
            3,
        ),
        (Case { limits: bounded, standing: told(), ..case() }, Verdict::Duplicate, Reason::AlreadyTold, 0),
        (
            Case { limits: bounded, currency: eur, payout: micros(3), ..case() },
            Verdict::Held,
            Reason::CurrencyUnexpected,
            0,
        ),
        (Case { limits: bounded, currency: eur, payout: None, ..case() }, Verdict::Accepted, Reason::None, 0),
        (
            Case { limits: near, terms: fixed, currency: eur, ..case() },
            Verdict::Held,
            Reason::CurrencyUnexpected,
            0,
        ),
        (Case { limits: near, terms: fixed, ..case() }, Verdict::Held, Reason::PayoutOffOffer, 0),
        (Case { currency: eur, ..case() }, Verdict::Accepted, Reason::None, 5),
        (Case { currency: eur, standing: told(), ..case() }, Verdict::Duplicate, Reason::AlreadyTold, 0),
        (
            Case { currency: eur, standing: told(), mode: Mode::Replace, payout: micros(9), ..case() },
            Verdict::Held,
            Reason::CurrencyChanged,
            0,
        ),
        (
            Case { currency: eur, standing: told(), status: Status::Reversed, payout: micros(2), ..case() },
            Verdict::Updated,
            Reason::None,
            -5,
        ),
        (
            Case { standing: told(), status: Status::Reversed, payout: micros(2), ..case() },
            Verdict::Updated,
            Reason::None,
            -2,
        ),
        (Case { payout: micros(-1), ..case() }, Verdict::Held, Reason::PayoutNegative, 0),
    ];
    for (number, (case, verdict, reason, entry)) in table.iter().enumerate() {
        assert_eq!(short(&decide(case)), (*verdict, *reason, *entry), "case {number}: {case:?}");
    }
}

#[test]
fn a_fixed_payout_is_taken_back_whole_whatever_the_network_counts_it_at() {
    let terms = Terms { payout: Some(usd(7)), ..case().terms };
    let standing = decide(&Case { terms, ..case() }).standing;
    let back = decide(&Case { terms, standing, status: Status::Reversed, payout: micros(2), ..case() });
    assert_eq!(short(&back), (Verdict::Updated, Reason::None, -7));
    assert_eq!(back.standing.reversed, Some(Reversal::Whole));
}

#[test]
fn transactions_that_add_up_count_once_each_and_are_taken_back_one_by_one() {
    let mut standing = Standing::default();
    let mut parts = [Standing::default(); 2];
    let mut step = |at: usize, status, payout| {
        let done =
            decide(&Case { mode: Mode::Add, status, payout, standing, part: Some(parts[at]), ..case() });
        (standing, parts[at]) = (done.standing, done.part.unwrap());
        (done.verdict, done.entry.get(), standing.net().get())
    };
    assert_eq!(step(0, Status::Approved, micros(5)), (Verdict::Accepted, 5, 5));
    assert_eq!(step(0, Status::Approved, micros(5)), (Verdict::Duplicate, 0, 5));
    assert_eq!(step(1, Status::Approved, micros(9)), (Verdict::Updated, 9, 14));
    assert_eq!(step(0, Status::Reversed, None), (Verdict::Updated, -5, 9));
    assert_eq!(step(0, Status::Reversed, None), (Verdict::Duplicate, 0, 9));
    assert_eq!(step(1, Status::Reversed, micros(4)), (Verdict::Updated, -4, 5));
}

/// A network takes everything back at once, and then each transaction too.
#[test]
fn what_was_taken_back_with_all_others_is_not_taken_back_again_by_itself() {
    let add = Case { mode: Mode::Add, ..case() };
    let first = decide(&Case { part: Some(Standing::default()), ..add });
    let all = decide(&Case { status: Status::Reversed, payout: None, standing: first.standing, ..add });
    assert_eq!((first.entry, all.entry), (Micros::new(5), Micros::new(-5)));
    let again =
        Case { status: Status::Reversed, payout: None, standing: all.standing, part: first.part, ..add };
    let again = decide(&again);
    assert_eq!((again.entry, again.standing.net()), (Micros::new(0), Micros::new(0)));
}

/// What pays nothing has no currency; the first that pays something says it.
#[test]
fn an_approval_without_an_amount_leaves_the_currency_open_only_until_there_is_one() {
    let eur = Currency::from_code(*EUR).unwrap();
    for mode in [Mode::Replace, Mode::Add] {
        let none = decide(&Case { mode, payout: None, ..case() });
        assert_eq!((short(&none), none.standing.currency), ((Verdict::Accepted, Reason::None, 0), None));
        let paid = decide(&Case { mode, standing: none.standing, ..case() });
        assert_eq!((paid.entry, paid.standing.currency), (Micros::new(5), Some(Currency::USD)), "{mode:?}");
        let other =
            decide(&Case { mode, currency: eur, payout: micros(9), standing: paid.standing, ..case() });
        assert_eq!(short(&other), (Verdict::Held, Reason::CurrencyChanged, 0), "{mode:?}");
        assert_eq!(other.standing.currency, Some(Currency::USD), "{mode:?}");
    }
}

/// Amounts that no reading lets pass, but that an old journal or a catalog may have.
#[test]
fn amounts_at_the_end_of_their_range_stop_nobody() {
    let ends = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];
    for mode in [Mode::ByTransaction, Mode::FirstWins, Mode::Replace, Mode::Add, Mode::Each] {
        for (first, second) in ends.iter().flat_map(|first| ends.map(|second| (*first, second))) {
            for status in [Status::Pending, Status::Approved, Status::Reversed, Status::Unknown] {
                let (mut standing, mut part) = (Standing::default(), Standing::default());
                // A person may have released what was negative.
                standing.take(Said { status: Status::Approved, payout: micros(first) }, mode);
                part.take(Said { status: Status::Approved, payout: micros(first) }, mode);
                let case = Case { mode, standing, status, payout: micros(second), ..case() };
                decide(&case);
                decide(&Case { part: Some(part), ..case });
            }
        }
    }
}

proptest! {
    /// Whatever is said, entries add up to what the conversion comes to, and nothing but an entry moves it.
    #[test]
    fn entries_add_up(
        steps in prop::collection::vec(
            (prop::sample::select(&[Status::Pending, Status::Approved, Status::Reversed, Status::Unknown][..]),
             prop::option::of(-20i64..40), prop::bool::ANY, prop::bool::ANY, prop::option::of(0usize..3)),
            1..20,
        ),
        mode in prop::sample::select(&[Mode::ByTransaction, Mode::FirstWins, Mode::Replace, Mode::Add, Mode::Each][..]),
        fixed in prop::option::of(1i64..30),
    ) {
        let mut standing = Standing::default();
        let mut parts = [Standing::default(); 3];
        let mut sum = 0;
        for (status, payout, is_eur, is_late, at) in steps {
            // Of one conversion, some name their transaction and some do not.
            let at = at.filter(|_| mode == Mode::Add);
            let decided = decide(&Case {
                status,
                payout: payout.map(Micros::new),
                currency: if is_eur { Currency::from_code(*EUR).unwrap() } else { Currency::USD },
                time: Timestamp::from_seconds(if is_late { 5_000 } else { 1_001 }),
                limits: Limits { min: micros(1), max: micros(25), tolerance: Some(2_000) },
                terms: Terms { payout: fixed.map(usd), ..case().terms },
                mode,
                standing,
                part: at.map(|at| parts[at]),
                ..case()
            });
            sum += decided.entry.get();
            prop_assert_eq!(sum, decided.standing.net().get());
            prop_assert!(sum >= 0, "more was taken back than was paid");
            standing = decided.standing;
            if let (Some(at), Some(part)) = (at, decided.part) {
                parts[at] = part;
            }
        }
    }
}
