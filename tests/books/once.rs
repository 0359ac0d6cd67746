//! Money counts once.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::Barrier;
use std::thread;

use clicklog::apply::claim::Request;
use clicklog::apply::key::{Mode, Scope};
use clicklog::event::conversion::Status;
use clicklog::event::decision::Verdict;
use clicklog::metrics::Page;
use clicklog::store::directory::Directory;
use clicklog::store::{Journal, Position};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::desk::{Desk, Said, decisions, network, sum};

#[test]
fn of_two_that_race_one_is_accepted_and_one_is_a_duplicate_and_both_are_durable() {
    let root = tempfile::tempdir().unwrap();
    let desk = Desk::open(root.path());
    let mut writer = desk.store.click_writer(0).unwrap();
    let network = network(Mode::ByTransaction, Scope::Network);
    for round in 0..50 {
        let id = desk.clicks(&mut writer, 1)[0];
        let transaction_id = format!("t-{round}");
        let start = Barrier::new(2);
        let verdicts: HashSet<Verdict> = thread::scope(|scope| {
            let racers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        let said = Said { transaction_id: Some(&transaction_id), ..Said::default() };
                        let ruling = desk.tell(&network, &id, said);
                        let synced = desk.store.lane(Journal::Postbacks, 0).unwrap().synced();
                        assert!(ruling.decision.unwrap() < synced, "answered before it was durable");
                        let clicks = desk.store.lane(Journal::Clicks, 0).unwrap().synced();
                        let clicklog::store::Lookup::Found(click) = desk.store.clicks().find(&id) else {
                            panic!("the click is there");
                        };
                        assert!(click.position < clicks, "a decision refers to a click that is not durable");
                        ruling.verdict
                    })
                })
                .collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        assert_eq!(verdicts, HashSet::from([Verdict::Accepted, Verdict::Duplicate]), "round {round}");
    }
    writer.close();
    desk.close();
    assert_eq!(sum(root.path()), 50 * 5);
}

/// What is told before a stop is known after it, however the stop was, with the checkpoint and without.
#[test]
fn a_repeat_is_known_after_every_kind_of_stop() {
    let root = tempfile::tempdir().unwrap();
    let network = network(Mode::ByTransaction, Scope::Network);
    let mut ids = Vec::new();
    for round in 0..6 {
        let desk = Desk::open(root.path());
        let mut writer = desk.store.click_writer(0).unwrap();
        for (n, id) in (0..).zip(&ids) {
            let transaction_id = format!("t-{n}");
            let said = Said { transaction_id: Some(&transaction_id), ..Said::default() };
            let ruling = desk.tell(&network, id, said);
            assert_eq!(ruling.verdict, Verdict::Duplicate, "transaction {n} in round {round}");
        }
        let fresh = desk.clicks(&mut writer, 40);
        for (n, id) in (ids.len()..).zip(&fresh) {
            let transaction_id = format!("t-{n}");
            let said = Said { transaction_id: Some(&transaction_id), ..Said::default() };
            assert_eq!(desk.tell(&network, id, said).verdict, Verdict::Accepted, "round {round}");
        }
        ids.extend(fresh);
        if round % 2 == 0 {
            writer.close();
            desk.close();
        } else {
            desk.abandon();
        }
        let checkpoint = Directory::new(root.path()).dedupe_checkpoint();
        if round % 3 == 2 {
            fs::remove_file(checkpoint).unwrap();
        } else {
            assert!(checkpoint.exists() || round == 0, "a stop keeps what it knows");
        }
    }
    assert_eq!(sum(root.path()), 6 * 40 * 5);
}

/// Whatever state the journal is left in, what a stop keeps is all that the next start needs.
#[test]
fn after_a_stop_nothing_has_to_be_read_again() {
    let root = tempfile::tempdir().unwrap();
    let network = network(Mode::ByTransaction, Scope::Network);
    for round in 0..5 {
        let desk = Desk::open(root.path());
        assert_eq!((desk.books.replayed(), desk.books.refused()), (0, None), "round {round}");
        let mut writer = desk.store.click_writer(0).unwrap();
        let id = desk.clicks(&mut writer, 1)[0];
        let transaction_id = format!("t-{round}");
        let said = Said { transaction_id: Some(&transaction_id), ..Said::default() };
        // Now and then nothing is told; or a segment has just begun that nothing is in.
        if round != 2 {
            desk.tell(&network, &id, said);
        }
        if round != 3 {
            desk.ask(Request::Roll);
        }
        writer.close();
        desk.close();
    }
    assert_eq!(sum(root.path()), 4 * 5);
}

/// To take a decision that cannot be read for none would count its money again.
#[test]
fn a_repeat_of_what_cannot_be_read_any_more_is_refused_and_not_counted_again() {
    let root = tempfile::tempdir().unwrap();
    let desk = Desk::open(root.path());
    let mut writer = desk.store.click_writer(0).unwrap();
    let network = network(Mode::ByTransaction, Scope::Network);
    let id = desk.clicks(&mut writer, 1)[0];
    let decision = desk.tell(&network, &id, Said::default()).decision.unwrap();
    writer.close();
    desk.close();
    let path = Directory::new(root.path()).segment(Journal::Postbacks, 0, decision.segment(), 0);
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&[0xff; 8], u64::from(decision.offset()) + 64).unwrap();

    let desk = Desk::open(root.path());
    let submission = Box::new(desk.submission(&network, &id, Said::default()));
    let answer = desk.handle.submit(Request::Postback(submission)).unwrap().wait();
    assert!(answer.unwrap_err().to_string().contains("cannot be read"));
    let other = Said { transaction_id: Some("other"), ..Said::default() };
    assert_eq!(desk.tell(&network, &id, other).verdict, Verdict::Accepted, "everything else goes on");
    desk.close();
}

#[derive(Clone, Copy, Debug)]
struct Told {
    click: usize,
    transaction: Option<usize>,
    status: Status,
}

/// A network pays one amount for a transaction, and may take it back. Whoever tells it, in whatever order and how often,
/// ends in the same money.
#[test]
fn any_order_repetition_and_concurrency_ends_in_the_same_money() {
    let statuses = [Status::Pending, Status::Approved, Status::Reversed];
    let told = (0usize..4, prop::option::of(0usize..5), prop::sample::select(statuses.to_vec()))
        .prop_map(|(click, transaction, status)| Told { click, transaction, status });
    let modes = [Mode::ByTransaction, Mode::FirstWins, Mode::Add, Mode::Each];
    let scopes = [Scope::Click, Scope::ClickEvent, Scope::OfferEvent, Scope::Network];
    let case = (
        prop::collection::vec(told, 1..24),
        any::<u64>(),
        prop::sample::select(modes.to_vec()),
        prop::sample::select(scopes.to_vec()),
    );
    let mut runner = TestRunner::new(ProptestConfig { cases: 24, ..ProptestConfig::default() });
    runner
        .run(&case, |(all, seed, mode, scope)| {
            // Without a transaction `add` and `each` count each postback: then a repeat is no repeat.
            let counts_all = matches!(mode, Mode::Add | Mode::Each);
            let all: Vec<Told> =
                all.into_iter().filter(|told| !counts_all || told.transaction.is_some()).collect();
            let mut shuffled: Vec<(u64, Told)> = all
                .iter()
                .chain(all.iter().step_by(2))
                .zip(1u64..)
                .map(|(told, n)| (seed.wrapping_mul(n).rotate_left(17) ^ n, *told))
                .collect();
            shuffled.sort_by_key(|(key, _)| *key);
            let shuffled: Vec<Told> = shuffled.into_iter().map(|(_, told)| told).collect();
            let one = outcome(mode, scope, &all, 1);
            prop_assert_eq!(one, outcome(mode, scope, &shuffled, 1), "in another order");
            prop_assert_eq!(one, outcome(mode, scope, &shuffled, 4), "by four at once");
            Ok(())
        })
        .unwrap();
}

/// The money, told by so many threads. Of one transaction for two clicks, the first click gets it; the sum is the same.
fn outcome(mode: Mode, scope: Scope, all: &[Told], threads: usize) -> i64 {
    let root = tempfile::tempdir().unwrap();
    let desk = Desk::with(root.path(), mode, 1_000_000);
    let mut writer = desk.store.click_writer(0).unwrap();
    let ids = desk.clicks(&mut writer, 4);
    let network = network(mode, scope);
    thread::scope(|scope| {
        for share in 0..threads {
            let (desk, ids, network) = (&desk, &ids, &network);
            scope.spawn(move || {
                for told in all.iter().skip(share).step_by(threads) {
                    let transaction_id = told.transaction.map(|n| format!("t-{n}"));
                    let said = Said {
                        transaction_id: transaction_id.as_deref(),
                        status: told.status,
                        // All of one conversion's amounts are alike, or the first would decide.
                        payout: Some(7),
                        ..Said::default()
                    };
                    desk.tell(network, &ids[told.click], said);
                }
            });
        }
    });
    writer.close();
    desk.close();
    sum(root.path())
}

#[test]
fn a_full_table_refuses_and_forgets_nothing() {
    let root = tempfile::tempdir().unwrap();
    let desk = Desk::with(root.path(), Mode::ByTransaction, 4);
    let mut writer = desk.store.click_writer(0).unwrap();
    let ids = desk.clicks(&mut writer, 8);
    let network = network(Mode::ByTransaction, Scope::Network);
    let mut refused = 0;
    for (n, id) in ids.iter().enumerate() {
        let transaction_id = format!("t-{n}");
        let said = Said { transaction_id: Some(&transaction_id), ..Said::default() };
        let submission = Box::new(desk.submission(&network, id, said));
        match desk.handle.submit(Request::Postback(submission)).unwrap().wait() {
            Ok(ruling) => assert_eq!(ruling.into_inner().verdict, Verdict::Accepted),
            Err(error) => {
                assert!(error.to_string().contains("4 transactions are known"), "{error}");
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 5, "room for two keys is kept free");
    let mut page = Page::default();
    desk.books.numbers().write_metrics(&mut page);
    assert!(page.into_text().contains("\nclicklog_transactions_max 4\n"), "an operator sees it coming");
    drop(writer);
    desk.close();
    assert_eq!(decisions(root.path()).len(), 3);
    assert!(decisions(root.path()).iter().all(|kept| kept.position > Position::START));
}
