//! Conditions, one by one.

use proptest::prelude::*;

use super::*;
use crate::event::conversion::{Conversion, Reversal};
use crate::event::money::Money;
use crate::event::params::{Params, ParamsRef, Source};

fn approved() -> Decision<'static> {
    let conversion = Conversion { status: Status::Approved, ..Conversion::default() };
    Decision { conversion_id: [9; 16], conversion, ..Decision::default() }
}

fn paying(amount: i64, currency: &str) -> Decision<'static> {
    let currency = Currency::from_code(currency.as_bytes().try_into().unwrap()).unwrap();
    let mut decision = approved();
    decision.conversion.payout = Some(Money { amount: Micros::new(amount), currency });
    decision
}

fn holds(condition: &Condition, decision: &Decision<'_>) -> bool {
    condition.holds(decision, &[], "d")
}

#[test]
fn each_verdict_is_news_or_not() {
    let table = [
        (Verdict::Accepted, Reason::None, true),
        (Verdict::Updated, Reason::None, true),
        (Verdict::Accepted, Reason::Released, true),
        (Verdict::Updated, Reason::Released, true),
        (Verdict::Accepted, Reason::Reapplied, true),
        (Verdict::Updated, Reason::Reapplied, true),
        (Verdict::Accepted, Reason::ClickCame, true),
        (Verdict::Accepted, Reason::StatusUnknown, true),
        (Verdict::Updated, Reason::Withdrawn, false),
        (Verdict::Duplicate, Reason::AlreadyTold, false),
        (Verdict::Held, Reason::PayoutAboveMax, false),
        (Verdict::Unmatched, Reason::Parked, false),
        (Verdict::Orphan, Reason::ClickLost, false),
        (Verdict::Late, Reason::AfterWindow, false),
        (Verdict::Test, Reason::Test, false),
        (Verdict::Rejected, Reason::Dropped, false),
    ];
    for (verdict, reason, expected) in table {
        let decision = Decision { verdict, reason: reason.code(), ..approved() };
        assert_eq!(is_news(&decision), expected, "{verdict:?} {reason:?}");
        assert_eq!(holds(&Condition::default(), &decision), expected, "{verdict:?} {reason:?}");
    }
}

#[test]
fn each_no_is_explained_by_what_stands_in_its_way_first() {
    let wanting = |change: fn(&mut Condition)| {
        let mut condition = Condition::default();
        change(&mut condition);
        condition
    };
    let disabled = Params::parse(b"disable_postback=1", Source::Query);
    let mut bytes = Vec::new();
    disabled.encode_into(&mut bytes);
    let disabled = Decision { postback_params: ParamsRef::check(&bytes).unwrap(), ..approved() };
    let withdrawn = Decision { verdict: Verdict::Updated, reason: Reason::Withdrawn.code(), ..approved() };
    let held = Decision { verdict: Verdict::Held, ..approved() };
    for (condition, decision, why, words) in [
        (wanting(|_| {}), held, WhyNot::Verdict(Verdict::Held), "nobody is told of what is held"),
        (wanting(|_| {}), withdrawn, WhyNot::Withdrawal, "decided anew"),
        (wanting(|_| {}), disabled, WhyNot::Disabled, "disable_postback=1"),
        (
            wanting(|condition| condition.statuses = Statuses::of(&[Status::Pending])),
            approved(),
            WhyNot::Status(Status::Approved),
            "a status of approved",
        ),
        (wanting(|condition| condition.events = vec!["lead".into()]), approved(), WhyNot::Event, "events"),
        (
            wanting(|condition| condition.payout.min = Some(Micros::new(2))),
            paying(1, "USD"),
            WhyNot::Payout,
            "out of its range",
        ),
        (wanting(|condition| condition.share_basis_points = 0), approved(), WhyNot::Share, "percent"),
    ] {
        assert_eq!(condition.why_not(&decision, &[], "d"), Some(why));
        assert!(why.to_string().contains(words), "{why}");
        assert!(!condition.holds(&decision, &[], "d"));
    }
    let first = wanting(|condition| condition.first_only = true);
    assert_eq!(first.why_not(&approved(), &[], "d"), None);
    assert_eq!(first.why_not(&approved(), &[held], "d"), None, "of that nobody was told");
    assert_eq!(first.why_not(&approved(), &[approved()], "d"), Some(WhyNot::NotFirst));
}

#[test]
fn what_no_longer_stands_is_not_told() {
    let approved_micros = Some(Micros::new(5));
    let reversed = Standing {
        was_told: true,
        approved: approved_micros,
        reversed: Some(Reversal::Whole),
        ..Standing::default()
    };
    let standing = Standing { reversed: None, was_pending: true, ..reversed };
    let all = Condition {
        statuses: Statuses::of(&[Status::Pending, Status::Approved, Status::Reversed, Status::Unknown]),
        ..Condition::default()
    };
    let told = |status, standing| {
        let mut decision = Decision { standing, ..approved() };
        decision.conversion.status = status;
        holds(&all, &decision)
    };
    assert!(!told(Status::Approved, reversed), "the reversal has overtaken it");
    assert!(told(Status::Reversed, reversed));
    assert!(told(Status::Approved, standing));
    assert!(!told(Status::Pending, standing), "the approval has overtaken it");
    assert!(told(Status::Unknown, standing));
    assert!(told(Status::Approved, Standing::default()), "a decision of the first layout");
    let part = Decision { standing: reversed, part_key: b"p", part: standing, ..approved() };
    assert!(holds(&all, &part), "its own transaction stands");
}

#[test]
fn a_request_may_keep_its_conversion_from_being_told() {
    for (query, expected) in
        [("disable_postback=1", false), ("Disable_Postback=1", false), ("disable_postback=0", true)]
    {
        let mut bytes = Vec::new();
        Params::parse(query.as_bytes(), Source::Query).encode_into(&mut bytes);
        let decision = Decision { postback_params: ParamsRef::check(&bytes).unwrap(), ..approved() };
        assert_eq!(holds(&Condition::default(), &decision), expected, "{query}");
    }
}

#[test]
fn statuses_and_events_are_chosen() {
    let mut decision = approved();
    decision.conversion.event = "sale";
    let of = |events: &[&str]| Condition {
        events: events.iter().map(|event| (*event).into()).collect(),
        ..Condition::default()
    };
    assert!(holds(&of(&[]), &decision));
    assert!(holds(&of(&["lead", "sale"]), &decision));
    assert!(!holds(&of(&["Sale"]), &decision), "events are told apart by case");
    decision.conversion.status = Status::Reversed;
    assert!(!holds(&of(&[]), &decision));
    assert!(holds(&Condition { statuses: Statuses::of(&[Status::Reversed]), ..of(&[]) }, &decision));
}

#[test]
fn a_payout_is_within_the_range_with_its_ends_and_in_its_currency() {
    let currency = Some(Currency::from_code(*b"USD").unwrap());
    let range = PayoutRange { min: Some(Micros::new(10)), max: Some(Micros::new(20)), currency };
    let condition = Condition { payout: range, ..Condition::default() };
    for (amount, expected) in
        [(9, false), (10, true), (20, true), (21, false), (-15, true), (i64::MIN, false)]
    {
        assert_eq!(holds(&condition, &paying(amount, "USD")), expected, "{amount}");
    }
    assert!(!holds(&condition, &paying(15, "EUR")));
    assert!(!holds(&condition, &approved()), "nothing said is nothing paid");
    let up_to = Condition { payout: PayoutRange { min: None, ..range }, ..Condition::default() };
    assert!(holds(&up_to, &approved()));
    assert!(holds(&Condition::default(), &paying(15, "EUR")));
}

#[test]
fn with_first_only_a_conversion_is_told_once() {
    let first_only = Condition { first_only: true, ..Condition::default() };
    let mut pending = approved();
    pending.conversion.status = Status::Pending;
    let held = Decision { verdict: Verdict::Held, ..approved() };
    assert!(first_only.holds(&approved(), &[pending, held], "d"), "these were not told");
    assert!(!first_only.holds(&approved(), &[pending, approved(), held], "d"));
    assert!(Condition::default().holds(&approved(), &[approved()], "d"));
}

#[test]
fn a_share_is_about_as_large_as_it_says_and_each_destination_has_its_own() {
    let drawn = |destination: &str, share: u32| {
        (0..10_000_u32)
            .filter(|id| {
                let mut conversion_id = [0; 16];
                conversion_id[..4].copy_from_slice(&id.to_le_bytes());
                is_of_share(conversion_id, destination, share)
            })
            .collect::<Vec<_>>()
    };
    let (half, other) = (drawn("a", 5_000), drawn("b", 5_000));
    assert!((4_800..5_200).contains(&half.len()), "{}", half.len());
    let both = half.iter().filter(|id| other.contains(id)).count();
    assert!((2_300..2_700).contains(&both), "{both}");
    assert_eq!((drawn("a", 0).len(), drawn("a", WHOLE_BASIS_POINTS).len()), (0, 10_000));
    assert!(drawn("a", 2_000).iter().all(|id| half.contains(id)), "a larger share has all of a smaller one");
}

proptest! {
    #[test]
    fn all_that_is_told_of_a_conversion_falls_into_the_same_share(
        conversion_id: [u8; 16], share in 0u32..=WHOLE_BASIS_POINTS, sequences: (u32, u32),
    ) {
        let condition = Condition {
            statuses: Statuses::of(&[Status::Approved, Status::Reversed]),
            share_basis_points: share,
            ..Condition::default()
        };
        let told = |sequence, status| {
            let mut decision = Decision { conversion_id, sequence, ..approved() };
            decision.conversion.status = status;
            holds(&condition, &decision)
        };
        prop_assert_eq!(told(sequences.0, Status::Approved), told(sequences.1, Status::Reversed));
    }
}
