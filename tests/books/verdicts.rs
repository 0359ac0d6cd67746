//! What is concluded, and what of it is remembered.

use std::sync::Arc;
use std::time::Duration;

use clicklog::apply::claim::{Effect, Evidence, Refusal, Request, Submission};
use clicklog::apply::key::{Mode, Scope};
use clicklog::apply::reason::Reason;
use clicklog::apply::rules::{Limits, Network, Terms};
use clicklog::clock::Timestamp;
use clicklog::event::click::{Click, ClickKind};
use clicklog::event::click_id::{ClickId, Place};
use clicklog::event::codec::Event;
use clicklog::event::conversion::Status;
use clicklog::event::decision::Verdict;
use clicklog::event::money::{Currency, Micros};

use crate::desk::{Desk, NOW, Said, TERMS, decisions, network, plain, sum, walk};
use crate::support::{append, click_at};

fn usual() -> Arc<Network> {
    network(Mode::ByTransaction, Scope::Network)
}

#[test]
fn a_conversion_goes_its_way_and_each_step_is_kept_with_its_entry() {
    let root = tempfile::tempdir().unwrap();
    let desk = Desk::open(root.path());
    let mut writer = desk.store.click_writer(0).unwrap();
    let id = desk.clicks(&mut writer, 1)[0];
    let steps = [
        (Status::Pending, Some(5), Verdict::Accepted, 0),
        (Status::Approved, Some(5), Verdict::Updated, 5),
        (Status::Approved, Some(5), Verdict::Duplicate, 0),
        (Status::Reversed, Some(2), Verdict::Updated, -2),
        (Status::Reversed, Some(2), Verdict::Duplicate, 0),
    ];
    let mut seen = Vec::new();
    for (status, payout, verdict, entry) in steps {
        let ruling = desk.tell(&usual(), &id, Said { status, payout, ..Said::default() });
        assert_eq!((ruling.verdict, ruling.entry), (verdict, Micros::new(entry)), "{status:?}");
        seen.push((ruling.conversion_id, ruling.sequence));
    }
    assert!(seen.iter().all(|(id, _)| *id == seen[0].0), "one conversion");
    assert_eq!(seen.iter().map(|(_, sequence)| *sequence).collect::<Vec<_>>(), [0, 1, 1, 2, 2]);
    writer.close();
    desk.close();
    assert_eq!(sum(root.path()), 3);
    let kept = decisions(root.path());
    assert_eq!(kept.len(), 5, "a duplicate has its decision too");
    assert!(kept.iter().all(|kept| kept.campaign == "spring"), "attribution is copied: {kept:?}");
}

#[test]
fn a_conversion_has_the_offer_of_its_click_or_else_the_only_one_that_it_can_have_been() {
    let root = tempfile::tempdir().unwrap();
    let desk = Desk::open(root.path());
    let mut writer = desk.store.click_writer(0).unwrap();
    for (n, offer, expected) in [(0, "diet-42", "diet-42"), (1, "", "only"), (2, "", "")] {
        let id = append(|| writer.append(&Click { offer, ..click_at(n) })).click_id;
        let transaction_id = format!("t-{n}");
        let said = Said { transaction_id: Some(&transaction_id), ..Said::default() };
        let submission = desk.submission(&usual(), &id, said);
        let offer = if n == 2 { String::new() } else { "only".to_owned() };
        let ruling = desk.ask(Request::Postback(Box::new(Submission { offer, ..submission })));
        assert_eq!(ruling.verdict, Verdict::Accepted);
        walk(root.path(), |position, event| {
            if let (Event::Decision(decision), true) = (event, Some(position) == ruling.decision) {
                assert_eq!(decision.offer, expected, "{n}");
            }
        });
    }
    writer.close();
    desk.close();
}

/// Where transactions add up, the network's own id of one finds it again, whatever else its reversal leaves out.
#[test]
fn a_transaction_stays_with_the_conversion_that_it_was_first_told_of() {
    let root = tempfile::tempdir().unwrap();
    let desk = Desk::with(root.path(), Mode::Add, 1_000_000);
    let mut writer = desk.store.click_writer(0).unwrap();
    let ids = desk.clicks(&mut writer, 2);
    let network = network(Mode::Add, Scope::Network);
    let tell = |id: &ClickId, event, status, transaction_id| {
        let said = Said { event, status, transaction_id: Some(transaction_id), ..Said::default() };
        let ruling = desk.tell(&network, id, said);
        (ruling.verdict, ruling.entry.get(), ruling.conversion_id)
    };
    let (verdict, entry, first) = tell(&ids[0], "ftd", Status::Approved, "t");
    assert_eq!((verdict, entry), (Verdict::Accepted, 5));
    assert_eq!(tell(&ids[0], "", Status::Reversed, "t"), (Verdict::Updated, -5, first), "no event");
    assert_eq!(tell(&ids[0], "ftd", Status::Reversed, "t"), (Verdict::Duplicate, 0, first));
    let (_, _, second) = tell(&ids[0], "ftd", Status::Approved, "u");
    assert_eq!(second, first, "they add up");
    assert_eq!(tell(&ids[1], "ftd", Status::Reversed, "u"), (Verdict::Updated, -5, first), "another click");
    writer.close();
    desk.close();
    assert_eq!(sum(root.path()), 0);
}

#[test]
fn what_counts_nowhere_is_kept_and_may_count_later() {
    let root = tempfile::tempdir().unwrap();
    let desk = Desk::open(root.path());
    let mut writer = desk.store.click_writer(0).unwrap();
    let id = desk.clicks(&mut writer, 1)[0];
    let place = desk.store.clicks().decode(&id).unwrap();
    let beyond = Place::new(place.node(), 0, place.segment(), 999, place.seconds()).unwrap();
    let network = usual();
    let verdict = |said: Said<'_>, id: &ClickId| {
        let ruling = desk.tell(&network, id, said);
        (ruling.verdict, ruling.reason)
    };
    let unknown = Said { foreign_id: Some("elsewhere"), ..Said::default() };
    assert_eq!(verdict(unknown, &id), (Verdict::Unmatched, Reason::ClickUnknown));
    let mut lost = desk.submission(&network, &id, Said::default());
    lost.subject = clicklog::apply::claim::Subject::Lost(beyond);
    let lost = desk.ask(Request::Postback(Box::new(lost)));
    assert_eq!((lost.verdict, lost.reason), (Verdict::Orphan, Reason::ClickLost));
    let short = Terms { window: Duration::from_secs(1), ..TERMS };
    let late = Said { terms: short, ..Said::default() };
    assert_eq!(verdict(late, &id), (Verdict::Late, Reason::AfterWindow));
    let test = Said { effect: Effect::Test, ..Said::default() };
    assert_eq!(verdict(test, &id), (Verdict::Test, Reason::Test));
    let dry = Said { effect: Effect::DryRun, ..Said::default() };
    let ruling = desk.tell(&network, &id, dry);
    assert_eq!(ruling.would, Some((Verdict::Accepted, Reason::None)));
    assert_eq!((ruling.postback, ruling.decision), (None, None), "a dry run leaves nothing");
    // The same transaction, now for a click that is there and in time.
    assert_eq!(verdict(Said::default(), &id), (Verdict::Accepted, Reason::None));
    // What is taken back counts whenever it comes.
    let back = Said { status: Status::Reversed, terms: short, ..Said::default() };
    assert_eq!(verdict(back, &id), (Verdict::Updated, Reason::None));
    writer.close();
    desk.close();
    assert_eq!(decisions(root.path()).len(), 6);
    assert_eq!(sum(root.path()), 0);
}

#[test]
fn a_held_payout_counts_once_it_is_released_and_never_once_it_is_dropped() {
    let root = tempfile::tempdir().unwrap();
    let desk = Desk::open(root.path());
    let mut writer = desk.store.click_writer(0).unwrap();
    let ids = desk.clicks(&mut writer, 3);
    let limits = Limits { max: Some(Micros::new(10)), ..Limits::default() };
    let network = Arc::new(Network { limits, ..plain(Mode::ByTransaction, Scope::Network) });
    let tell = |n: usize, payout| {
        let transaction_id = format!("t-{n}");
        let said = Said { transaction_id: Some(&transaction_id), payout: Some(payout), ..Said::default() };
        desk.tell(&network, &ids[n], said)
    };
    let held: Vec<_> = (0..3).map(|n| tell(n, 50)).collect();
    assert!(held.iter().all(|ruling| ruling.verdict == Verdict::Held), "{held:?}");
    assert_eq!(tell(0, 50).verdict, Verdict::Duplicate, "a retry holds nothing more");
    let settle = |n: usize, is_release| {
        let held = held[n].decision.unwrap();
        desk.ask(Request::Settle { held, is_release, time: NOW, newest: None })
    };
    let released = settle(0, true);
    assert_eq!((released.verdict, released.reason), (Verdict::Accepted, Reason::Released));
    assert_eq!((released.entry, released.conversion_id), (Micros::new(50), held[0].conversion_id));
    let dropped = settle(1, false);
    assert_eq!((dropped.verdict, dropped.reason), (Verdict::Rejected, Reason::Dropped));
    for n in [0, 1] {
        assert_eq!(settle(n, true).reason, Reason::NotHeld, "a second time");
    }
    assert_eq!(tell(0, 50).verdict, Verdict::Duplicate, "what was released was told");
    // The network thinks better of it: nobody needs to look at the first word any more.
    assert_eq!((tell(2, 4).verdict, tell(2, 4).verdict), (Verdict::Accepted, Verdict::Duplicate));
    assert_eq!(settle(2, true).reason, Reason::NotHeld);
    let released = released.decision.unwrap();
    let wrong = desk.ask(Request::Settle { held: released, is_release: true, time: NOW, newest: None });
    assert_eq!(wrong.reason, Reason::NotHeld, "what never was held");
    writer.close();
    desk.close();
    assert_eq!(sum(root.path()), 54);
}

#[test]
fn a_postback_that_came_before_its_click_counts_when_the_click_comes_in_time() {
    let root = tempfile::tempdir().unwrap();
    let desk = Desk::open(root.path());
    let mut writer = desk.store.click_writer(0).unwrap();
    let id = desk.clicks(&mut writer, 1)[0];
    let park = Duration::from_secs(600);
    let network = Arc::new(Network { park, ..plain(Mode::ByTransaction, Scope::Network) });
    for (n, foreign_id) in ["early", "later", "never"].into_iter().enumerate() {
        let transaction_id = format!("t-{n}");
        let said =
            Said { transaction_id: Some(&transaction_id), foreign_id: Some(foreign_id), ..Said::default() };
        let ruling = desk.tell(&network, &id, said);
        assert_eq!((ruling.verdict, ruling.reason), (Verdict::Unmatched, Reason::Parked));
    }
    let import = |writer: &mut clicklog::store::clicks::ClickWriter, foreign_id| {
        let click = Click { kind: ClickKind::Imported, foreign_id, ..click_at(7) };
        append(|| writer.append(&click));
    };
    import(&mut writer, "early");
    // Once a second, whenever the queue is empty.
    let knock = || {
        desk.clock.advance(Duration::from_secs(1));
        desk.ask(Request::Refused(Box::default(), Refusal::Stale))
    };
    let came = || {
        let all = decisions(root.path());
        all.iter().filter(|kept| kept.reason == Reason::ClickCame.code()).cloned().collect::<Vec<_>>()
    };
    while came().is_empty() {
        knock();
    }
    desk.clock.advance(Duration::from_secs(601));
    import(&mut writer, "later");
    knock();
    knock();
    writer.close();
    desk.close();
    let came = came();
    assert_eq!(came.len(), 1, "after the time is up nobody looks any more: {came:?}");
    assert_eq!((came[0].verdict, came[0].entry), (Verdict::Accepted, 5));
    assert_eq!(sum(root.path()), 5);
}

#[test]
fn a_postback_that_is_replayed_and_looked_for_again_counts_once() {
    for replays_first in [true, false] {
        let root = tempfile::tempdir().unwrap();
        let desk = Desk::with(root.path(), Mode::Add, 1_000);
        let mut writer = desk.store.click_writer(0).unwrap();
        let id = desk.clicks(&mut writer, 1)[0];
        let park = Duration::from_secs(600);
        let network = Arc::new(Network { park, ..plain(Mode::Add, Scope::Network) });
        // Without a transaction id every approval adds.
        let said = Said { transaction_id: None, foreign_id: Some("early"), ..Said::default() };
        let parked = desk.tell(&network, &id, said);
        assert_eq!(parked.reason, Reason::Parked);
        let click = Click { kind: ClickKind::Imported, foreign_id: "early", ..click_at(7) };
        append(|| writer.append(&click));
        // Once a second, whenever the queue is empty.
        let knock = || {
            desk.clock.advance(Duration::from_secs(1));
            desk.ask(Request::Refused(Box::default(), Refusal::Stale))
        };
        // Whoever replays has read the journal before that.
        let (postback, decisions) = (parked.postback.unwrap(), Vec::from_iter(parked.decision));
        let submission = Box::new(desk.submission(&network, &id, said));
        let replay = || desk.ask(Request::Reapply { postback, decisions, submission, assumed: None });
        if replays_first {
            replay();
            for _ in 0..3 {
                knock();
            }
        } else {
            while sum(root.path()) == 0 {
                knock();
            }
            assert_eq!(replay().reason, Reason::Unchanged);
        }
        writer.close();
        desk.close();
        assert_eq!(sum(root.path()), 5, "replays first: {replays_first}");
    }
}

#[test]
fn a_refused_request_is_kept_as_it_came() {
    let root = tempfile::tempdir().unwrap();
    let desk = Desk::open(root.path());
    let evidence = Evidence { query: "a=1".to_owned(), network: "n".to_owned(), ..Evidence::default() };
    let ruling = desk.ask(Request::Refused(Box::new(evidence), Refusal::MissingClickId));
    assert_eq!(ruling.verdict, Verdict::Rejected);
    desk.close();
    let mut seen = Vec::new();
    walk(root.path(), |_, event| match event {
        Event::Postback(postback) => seen.push((postback.query.to_owned(), postback.refused)),
        other => panic!("nothing was decided: {other:?}"),
    });
    assert_eq!(seen, [("a=1".to_owned(), Refusal::MissingClickId.code())]);
}

/// The same postbacks in a fresh folder, at the times that the journal has, give the same decisions.
#[test]
fn the_same_journal_gives_the_same_decisions() {
    let run = || {
        let root = tempfile::tempdir().unwrap();
        let desk = Desk::open(root.path());
        let mut writer = desk.store.click_writer(0).unwrap();
        let ids = desk.clicks(&mut writer, 5);
        for n in 0..200u32 {
            let transaction_id = format!("t-{}", n * 7 % 23);
            let statuses = [Status::Pending, Status::Approved, Status::Reversed];
            let said = Said {
                transaction_id: (n % 11 != 0).then_some(&*transaction_id),
                status: statuses[(n * 5 % 3) as usize],
                time: Timestamp::from_seconds(NOW.seconds() + n),
                ..Said::default()
            };
            desk.tell(&usual(), &ids[(n * 3 % 5) as usize], said);
        }
        writer.close();
        desk.close();
        decisions(root.path())
    };
    // Keys of click ids differ from folder to folder, and with them nothing that is decided.
    assert_eq!(run(), run());
}

/// A network that holds what pays more than 10.
fn careful(mode: Mode) -> Arc<Network> {
    let limits = Limits { max: Some(Micros::new(10)), ..Limits::default() };
    Arc::new(Network { limits, ..plain(mode, Scope::Network) })
}

#[test]
fn each_held_payout_can_be_settled_whether_it_has_a_transaction_id_or_not() {
    for (mode, transaction_id) in [
        (Mode::Each, None),
        (Mode::Each, Some("t")),
        (Mode::ByTransaction, None),
        (Mode::FirstWins, None),
        (Mode::Replace, None),
        (Mode::Add, None),
        (Mode::Add, Some("t")),
    ] {
        let root = tempfile::tempdir().unwrap();
        let desk = Desk::with(root.path(), mode, 1_000);
        let mut writer = desk.store.click_writer(0).unwrap();
        let id = desk.clicks(&mut writer, 1)[0];
        let said = Said { transaction_id, payout: Some(50), ..Said::default() };
        let held = desk.tell(&careful(mode), &id, said);
        assert_eq!(held.verdict, Verdict::Held, "{mode:?} {transaction_id:?}");
        let settle =
            Request::Settle { held: held.decision.unwrap(), is_release: true, time: NOW, newest: None };
        let released = desk.ask(settle);
        assert_eq!(released.reason, Reason::Released, "{mode:?} {transaction_id:?}");
        let settle =
            Request::Settle { held: held.decision.unwrap(), is_release: true, time: NOW, newest: None };
        assert_eq!(desk.ask(settle).reason, Reason::NotHeld, "{mode:?} {transaction_id:?}");
        writer.close();
        desk.close();
        assert_eq!(sum(root.path()), 50, "{mode:?} {transaction_id:?}");
    }
}

#[test]
fn of_two_held_amounts_of_one_conversion_the_one_that_is_released_counts() {
    let root = tempfile::tempdir().unwrap();
    let desk = Desk::open(root.path());
    let mut writer = desk.store.click_writer(0).unwrap();
    let id = desk.clicks(&mut writer, 1)[0];
    let network = careful(Mode::ByTransaction);
    let held = [50, 900].map(|payout| {
        let ruling = desk.tell(&network, &id, Said { payout: Some(payout), ..Said::default() });
        assert_eq!(ruling.verdict, Verdict::Held);
        ruling.decision.unwrap()
    });
    let settle = |held| desk.ask(Request::Settle { held, is_release: true, time: NOW, newest: None });
    // The later word has taken the place of the earlier one: nobody may let 900 count who meant 50.
    let first = settle(held[0]);
    assert_eq!((first.reason, first.entry), (Reason::NotHeld, Micros::new(0)));
    let second = settle(held[1]);
    assert_eq!((second.reason, second.entry), (Reason::Released, Micros::new(900)));
    writer.close();
    desk.close();
    assert_eq!(sum(root.path()), 900);
}

#[test]
fn what_is_released_never_adds_one_currency_to_another() {
    for mode in [Mode::Add, Mode::Replace] {
        let root = tempfile::tempdir().unwrap();
        let desk = Desk::with(root.path(), mode, 1_000);
        let mut writer = desk.store.click_writer(0).unwrap();
        let id = desk.clicks(&mut writer, 1)[0];
        let network = network(mode, Scope::Network);
        let tell = |transaction_id, payout, currency| {
            let said = Said { transaction_id: Some(transaction_id), payout: Some(payout), ..Said::default() };
            let mut submission = desk.submission(&network, &id, said);
            submission.claim.currency = currency;
            desk.ask(Request::Postback(Box::new(submission)))
        };
        let euro = Currency::from_code(*b"EUR").unwrap();
        assert_eq!(tell("a", 5, Currency::USD).verdict, Verdict::Accepted);
        let held = tell("b", 900, euro);
        assert_eq!((held.verdict, held.reason), (Verdict::Held, Reason::CurrencyChanged), "{mode:?}");
        let settle = |is_release| {
            desk.ask(Request::Settle { held: held.decision.unwrap(), is_release, time: NOW, newest: None })
        };
        let released = settle(true);
        assert_eq!(released.verdict, Verdict::Rejected, "{mode:?}");
        assert_eq!((released.reason, released.entry), (Reason::CurrencyChanged, Micros::new(0)), "{mode:?}");
        assert_eq!(settle(false).reason, Reason::Dropped, "{mode:?}: it can still be thrown away");
        // What is taken back is in the currency of what was paid.
        let back =
            Said { transaction_id: Some("a"), status: Status::Reversed, payout: None, ..Said::default() };
        assert_eq!(desk.tell(&network, &id, back).entry, Micros::new(-5), "{mode:?}");
        writer.close();
        desk.close();
        assert_eq!(sum(root.path()), 0, "{mode:?}");
    }
}
