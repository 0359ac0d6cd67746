//! Postbacks that were read by a wrong mapping, decided on once more.

use std::sync::Arc;

use clicklog::apply::claim::{Effect, Evidence, Refusal, Request, Subject, Submission};
use clicklog::apply::key::{Mode, Scope};
use clicklog::apply::ledger::Ruling;
use clicklog::apply::reapply::Assumed;
use clicklog::apply::reason::Reason;
use clicklog::apply::rules::Network;
use clicklog::event::click_id::{ClickId, Place};
use clicklog::event::conversion::Status;
use clicklog::event::decision::Verdict;
use clicklog::store::Position;

use crate::desk::{Desk, Said, decisions, network, sum};

/// Decides once more on a postback, to see and then to keep; both come to the same.
fn again(
    desk: &Desk,
    assumed: &Arc<Assumed>,
    (postback, data): (Position, &std::path::Path),
    submission: &Submission,
) -> Ruling {
    let of_it = |kept: &crate::desk::Kept| kept.postback == postback.to_u64();
    let decisions: Vec<Position> =
        decisions(data).iter().filter(|kept| of_it(kept)).map(|kept| kept.position).collect();
    let ask = |effect, assumed| {
        let submission = Box::new(Submission { effect, ..submission.clone() });
        desk.ask(Request::Reapply { postback, decisions: decisions.clone(), submission, assumed })
    };
    let before = sum(data);
    let dry = ask(Effect::DryRun, Some(Arc::clone(assumed)));
    assert_eq!(sum(data), before, "a dry run changes nothing");
    let done = ask(Effect::Counts, None);
    if dry.reason != Reason::Unchanged {
        assert_eq!(dry.would, Some((done.verdict, done.reason)), "what was shown is what is done");
    }
    assert_eq!((dry.entry, dry.conversion_id), (done.entry, done.conversion_id));
    done
}

fn usual() -> Arc<Network> {
    network(Mode::ByTransaction, Scope::Network)
}

fn said(transaction_id: &str, payout: Option<i64>) -> Said<'_> {
    Said { transaction_id: Some(transaction_id), payout, ..Said::default() }
}

fn told(desk: &Desk, id: &ClickId, said: Said<'_>) -> Position {
    desk.tell(&usual(), id, said).postback.unwrap()
}

#[test]
fn what_was_refused_or_unmatched_counts_once_after_the_mapping_is_right() {
    let root = tempfile::tempdir().unwrap();
    let desk = Desk::open(root.path());
    let mut writer = desk.store.click_writer(0).unwrap();
    let ids = desk.clicks(&mut writer, 2);
    let evidence = Box::<Evidence>::default();
    let refused = desk.ask(Request::Refused(evidence, Refusal::MissingClickId)).postback.unwrap();
    let unmatched = told(&desk, &ids[1], Said { foreign_id: Some("x"), ..said("b", Some(7)) });
    let assumed = Arc::<Assumed>::default();
    for round in 0..2 {
        let first = desk.submission(&usual(), &ids[0], said("a", Some(5)));
        let second = desk.submission(&usual(), &ids[1], said("b", Some(7)));
        let results = [(refused, first), (unmatched, second)].map(|(postback, submission)| {
            let ruling = again(&desk, &assumed, (postback, root.path()), &submission);
            (ruling.verdict, ruling.reason)
        });
        let expected = if round == 0 { Reason::Reapplied } else { Reason::Unchanged };
        assert_eq!(results.map(|(_, reason)| reason), [expected; 2], "round {round}");
        assert_eq!(sum(root.path()), 12, "round {round}");
    }
    drop(writer);
    desk.close();
}

#[test]
fn a_wrong_payout_is_put_right_and_its_repeats_stay_repeats() {
    let root = tempfile::tempdir().unwrap();
    let desk = Desk::open(root.path());
    let mut writer = desk.store.click_writer(0).unwrap();
    let id = desk.clicks(&mut writer, 1)[0];
    // The payout was read from a parameter that was never there.
    let all = [
        said("a", None),
        said("a", None),
        Said { status: Status::Reversed, ..said("b", None) },
        said("b", None),
    ];
    let postbacks = all.map(|said| told(&desk, &id, said));
    assert_eq!(sum(root.path()), 0);
    let right = [
        said("a", Some(5)),
        said("a", Some(5)),
        Said { status: Status::Reversed, ..said("b", Some(2)) },
        said("b", Some(7)),
    ];
    let assumed = Arc::<Assumed>::default();
    for (postback, said) in postbacks.into_iter().zip(right) {
        again(&desk, &assumed, (postback, root.path()), &desk.submission(&usual(), &id, said));
    }
    assert_eq!(sum(root.path()), 5 + 7 - 2);
    // Told afresh, everything is known.
    for said in right {
        assert_eq!(desk.tell(&usual(), &id, said).verdict, Verdict::Duplicate, "{said:?}");
    }
    drop(writer);
    desk.close();
    assert_eq!(sum(root.path()), 10);
}

#[test]
fn conversions_that_were_taken_for_one_come_apart() {
    let root = tempfile::tempdir().unwrap();
    let desk = Desk::open(root.path());
    let mut writer = desk.store.click_writer(0).unwrap();
    let id = desk.clicks(&mut writer, 1)[0];
    // Without a transaction id all of a click's conversions are one.
    let postbacks: Vec<Position> =
        (0..3).map(|_| told(&desk, &id, Said { transaction_id: None, ..Said::default() })).collect();
    assert_eq!(sum(root.path()), 5);
    let assumed = Arc::<Assumed>::default();
    for round in 0..2 {
        for (n, postback) in postbacks.iter().enumerate() {
            let transaction_id = format!("t-{n}");
            let submission = desk.submission(&usual(), &id, said(&transaction_id, Some(5)));
            again(&desk, &assumed, (*postback, root.path()), &submission);
        }
        assert_eq!(sum(root.path()), 15, "round {round}");
    }
    drop(writer);
    desk.close();
}

#[test]
fn a_status_that_was_read_wrong_is_told_anew_from_the_beginning() {
    let root = tempfile::tempdir().unwrap();
    let desk = Desk::open(root.path());
    let mut writer = desk.store.click_writer(0).unwrap();
    let id = desk.clicks(&mut writer, 1)[0];
    // "2" was taken for approved, and means pending; "1" was unknown, and means approved.
    let wrong = [
        Said { status: Status::Approved, ..said("a", Some(9)) },
        Said { status: Status::Unknown, ..said("a", Some(5)) },
    ];
    let postbacks = wrong.map(|said| told(&desk, &id, said));
    assert_eq!(sum(root.path()), 9);
    let right = [Said { status: Status::Pending, ..said("a", Some(9)) }, said("a", Some(5))];
    let assumed = Arc::<Assumed>::default();
    for (postback, said) in postbacks.into_iter().zip(right) {
        again(&desk, &assumed, (postback, root.path()), &desk.submission(&usual(), &id, said));
    }
    assert_eq!(sum(root.path()), 5);
    drop(writer);
    desk.close();
}

#[test]
fn a_mapping_that_is_put_right_twice_leaves_no_more_than_the_last_one_says() {
    let root = tempfile::tempdir().unwrap();
    let desk = Desk::open(root.path());
    let mut writer = desk.store.click_writer(0).unwrap();
    let id = desk.clicks(&mut writer, 1)[0];
    let postback = told(&desk, &id, said("a", Some(3)));
    let (each, whole) = (network(Mode::Each, Scope::Network), usual());
    for (step, (network, right, expected)) in [
        (&whole, said("a", Some(5)), 5),
        (&whole, said("a", Some(7)), 7),
        // It is another conversion altogether.
        (&whole, said("b", Some(7)), 7),
        (&whole, said("b", Some(9)), 9),
        (&whole, Said { foreign_id: Some("nobody's"), ..said("b", Some(9)) }, 0),
        (&whole, said("b", Some(9)), 9),
        (&each, said("b", Some(4)), 4),
        (&whole, Said { status: Status::Pending, ..said("b", Some(4)) }, 0),
        (&whole, said("b", Some(4)), 4),
    ]
    .into_iter()
    .enumerate()
    {
        for round in 0..2 {
            let assumed = Arc::<Assumed>::default();
            let submission = desk.submission(network, &id, right);
            again(&desk, &assumed, (postback, root.path()), &submission);
            assert_eq!(sum(root.path()), expected, "step {step}, round {round}");
        }
    }
    drop(writer);
    desk.close();
}

#[test]
fn a_conversion_of_its_own_is_put_right_too() {
    let root = tempfile::tempdir().unwrap();
    let desk = Desk::open(root.path());
    let mut writer = desk.store.click_writer(0).unwrap();
    let id = desk.clicks(&mut writer, 1)[0];
    // Each postback is a conversion, and none has a transaction id.
    let each = network(Mode::Each, Scope::Network);
    let says = |payout| Said { transaction_id: None, payout: Some(payout), ..Said::default() };
    let postbacks = [3, 4].map(|payout| desk.tell(&each, &id, says(payout)).postback.unwrap());
    assert_eq!(sum(root.path()), 7);
    for (payouts, expected) in [([3, 4], 7), ([30, 4], 34), ([30, 40], 70), ([1, 40], 41)] {
        for round in 0..2 {
            let assumed = Arc::<Assumed>::default();
            for (postback, payout) in postbacks.into_iter().zip(payouts) {
                let submission = desk.submission(&each, &id, says(payout));
                again(&desk, &assumed, (postback, root.path()), &submission);
            }
            assert_eq!(sum(root.path()), expected, "{payouts:?}, round {round}");
        }
    }
    drop(writer);
    desk.close();
}

#[test]
fn a_conversion_whose_click_is_gone_by_now_keeps_what_it_was_paid() {
    let root = tempfile::tempdir().unwrap();
    let desk = Desk::open(root.path());
    let mut writer = desk.store.click_writer(0).unwrap();
    let id = desk.clicks(&mut writer, 1)[0];
    let network = network(Mode::ByTransaction, Scope::Click);
    let postback = desk.tell(&network, &id, said("a", Some(5))).postback.unwrap();
    for subject in [Subject::Unknown, Subject::Lost(Place::new(0, 0, 0, 9_999, 1_795_158_000).unwrap())] {
        let submission = Submission { subject, ..desk.submission(&network, &id, said("a", Some(5))) };
        let ruling = again(&desk, &Arc::default(), (postback, root.path()), &submission);
        assert_eq!((ruling.reason, sum(root.path())), (Reason::Unchanged, 5));
    }
    drop(writer);
    desk.close();
}

#[test]
fn a_conversion_that_was_given_to_the_wrong_click_or_event_is_given_to_the_right_one() {
    let root = tempfile::tempdir().unwrap();
    let desk = Desk::open(root.path());
    let mut writer = desk.store.click_writer(0).unwrap();
    let ids = desk.clicks(&mut writer, 2);
    let postback = told(&desk, &ids[0], said("a", Some(5)));
    let right = Said { event: "deposit", ..said("a", Some(5)) };
    for (id, said) in [(ids[1], said("a", Some(5))), (ids[1], right)] {
        let submission = desk.submission(&usual(), &id, said);
        let ruling = again(&desk, &Arc::default(), (postback, root.path()), &submission);
        assert_eq!((ruling.verdict, ruling.reason), (Verdict::Accepted, Reason::Reapplied));
        let ruling = again(&desk, &Arc::default(), (postback, root.path()), &submission);
        assert_eq!((ruling.reason, sum(root.path())), (Reason::Unchanged, 5));
    }
    drop(writer);
    desk.close();
}

/// Whatever was read wrong: after a replay the books are as if all had been read right from the beginning.
#[test]
fn a_replay_comes_to_what_the_right_mapping_would_have_come_to() {
    for seed in 0..60u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut dice = |sides: u64| -> usize {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % sides).unwrap()
        };
        // What the others come to depends on the order.
        let mode = [Mode::ByTransaction, Mode::Each][dice(2)];
        let scope = [Scope::Network, Scope::Click, Scope::ClickEvent][dice(3)];
        let network = network(mode, scope);
        let mut reading = || {
            // A network pays one amount for a transaction, else the order would count.
            let (transaction_id, pays) = [(None, 1), (Some("a"), 2), (Some("b"), 4), (Some("c"), 8)][dice(4)];
            let status = [Status::Approved, Status::Approved, Status::Pending, Status::Reversed][dice(4)];
            let payout = (status != Status::Reversed).then_some(pays);
            let event = ["", "deposit"][dice(2)];
            (Said { transaction_id, payout, event, status, ..Said::default() }, dice(2))
        };
        let all: Vec<_> = (0..8).map(|_| (reading(), reading())).collect();
        let come_to = |replays: bool| {
            let root = tempfile::tempdir().unwrap();
            let desk = Desk::with(root.path(), mode, 1_000);
            let mut writer = desk.store.click_writer(0).unwrap();
            let ids = desk.clicks(&mut writer, 2);
            let first = all.iter().map(|(wrong, right)| if replays { wrong } else { right });
            let told: Vec<_> = first
                .map(|(said, click)| desk.tell(&network, &ids[*click], *said).postback.unwrap())
                .collect();
            if replays {
                for _round in 0..2 {
                    let assumed = Arc::<Assumed>::default();
                    for (postback, (_, (said, click))) in told.iter().zip(&all) {
                        let submission = desk.submission(&network, &ids[*click], *said);
                        again(&desk, &assumed, (*postback, root.path()), &submission);
                    }
                }
            }
            drop(writer);
            desk.close();
            sum(root.path())
        };
        assert_eq!(come_to(true), come_to(false), "seed {seed}: {mode:?} {scope:?} {all:#?}");
    }
}
