//! Transactions that retention has dropped: they leave the table, whose room is for others, and are new when they come again.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use clicklog::apply::claim::Request;
use clicklog::apply::key::{Mode, Scope};
use clicklog::apply::ledger::Ruling;
use clicklog::apply::rules::{Network, Terms};
use clicklog::clock::{ManualClock, Timestamp};
use clicklog::compactor::rewrite::{Alone, Pass, Rules};
use clicklog::event::click_id::ClickId;
use clicklog::event::conversion::Status;
use clicklog::event::decision::Verdict;
use clicklog::metrics::Page;
use clicklog::store::commit::Refused;
use clicklog::store::layout::Footer;
use clicklog::store::record::BODY_OFFSET;
use clicklog::store::{Error, Journal, Position, Store};

use crate::desk::{Desk, NOW, Said, decisions, network, sum};

/// Room for nine transactions: before each there must be room for two keys.
const TRANSACTIONS_MAX: usize = 10;
const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

fn told(desk: &Desk, network: &Arc<Network>, id: &ClickId, transaction_id: &str) -> Result<Ruling, Refused> {
    let said = Said { transaction_id: Some(transaction_id), ..Said::default() };
    loop {
        let request = Request::Postback(Box::new(desk.submission(network, id, said)));
        match desk.handle.submit(request)?.wait() {
            // The next segment is being made.
            Err(Error::NoRoom { .. }) => std::thread::yield_now(),
            told => return Ok(told?.into_inner()),
        }
    }
}

fn is_full<T>(told: Result<T, Refused>) -> bool {
    matches!(told, Err(Refused::Store(Error::TooManyTransactions { max: TRANSACTIONS_MAX })))
}

/// Eight transactions in a segment, and a ninth in the next; both are sealed, for the newest is never dropped.
fn fill(desk: &Desk, network: &Arc<Network>) -> ClickId {
    let id = click_of(desk);
    for n in 0..8 {
        told(desk, network, &id, &format!("old-{n}")).unwrap();
    }
    desk.ask(Request::Roll);
    told(desk, network, &id, "young").unwrap();
    assert!(is_full(told(desk, network, &id, "one more")));
    desk.ask(Request::Roll);
    wait_for_sealed(desk, 2);
    id
}

fn wait_for_sealed(desk: &Desk, count: usize) {
    let is_ours = |of: &Footer| of.identity.journal == Journal::Postbacks;
    while desk.store.rewriter().sealed().into_iter().filter(is_ours).count() < count {
        std::thread::yield_now();
    }
}

fn click_of(desk: &Desk) -> ClickId {
    let mut writer = desk.store.click_writer(0).unwrap();
    let id = desk.clicks(&mut writer, 1)[0];
    writer.close();
    id
}

/// What the compactor does once all of a segment is old enough.
fn drop_old(store: &Store) {
    let rules = Rules { postbacks: Some(DAY), ..Rules::default() };
    let needed = Position::new(u32::MAX, 0);
    let now: Timestamp = NOW.plus(30 * DAY);
    let report = Pass::new(store.rewriter(), store.directory()).run(&rules, needed, now, &mut Alone).unwrap();
    assert!(report.dropped_segments > 0, "{report:?}");
}

fn number(desk: &Desk, name: &str) -> u64 {
    let mut page = Page::default();
    desk.books.numbers().write_metrics(&mut page);
    let page = page.into_text();
    let line = page.lines().find(|line| line.split(' ').next() == Some(name));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

/// What was dropped is new, counts, and is known from then on; what was not is known as before.
fn check_room(desk: &Desk, network: &Arc<Network>, id: &ClickId, root: &Path) {
    let before = sum(root);
    for n in 0..8 {
        let again = told(desk, network, id, &format!("old-{n}")).unwrap();
        assert_eq!(again.verdict, Verdict::Accepted, "old-{n}");
    }
    assert!(is_full(told(desk, network, id, "one more")), "each takes the room of one");
    assert_eq!(sum(root), before + 8 * 5);
}

#[test]
fn a_full_table_takes_new_transactions_once_retention_has_dropped_old_ones() {
    let root = tempfile::tempdir().unwrap();
    let network = network(Mode::ByTransaction, Scope::Network);
    let desk = Desk::with(root.path(), Mode::ByTransaction, TRANSACTIONS_MAX);
    let id = fill(&desk, &network);
    drop_old(&desk.store);
    check_room(&desk, &network, &id, root.path());
    desk.close();
}

#[test]
fn what_was_dropped_leaves_the_table_also_when_nobody_asks() {
    let root = tempfile::tempdir().unwrap();
    let network = network(Mode::ByTransaction, Scope::Network);
    let desk = Desk::with(root.path(), Mode::ByTransaction, TRANSACTIONS_MAX);
    fill(&desk, &network);
    drop_old(&desk.store);
    while number(&desk, "clicklog_transactions_dropped_total") < 8 {
        desk.clock.advance(std::time::Duration::from_secs(1));
        std::thread::yield_now();
    }
    assert_eq!(number(&desk, "clicklog_transactions"), 1);
    desk.close();
}

#[test]
fn a_checkpoint_that_knows_what_was_dropped_takes_no_room_for_it() {
    let root = tempfile::tempdir().unwrap();
    let network = network(Mode::ByTransaction, Scope::Network);
    let desk = Desk::with(root.path(), Mode::ByTransaction, TRANSACTIONS_MAX);
    let id = fill(&desk, &network);
    desk.close();
    let store = Store::open(crate::support::options(root.path())).unwrap();
    drop_old(&store);
    store.close().unwrap();
    for _ in 0..2 {
        let desk = Desk::with(root.path(), Mode::ByTransaction, TRANSACTIONS_MAX);
        assert_eq!((desk.books.replayed(), desk.books.refused()), (0, None));
        desk.close();
    }
    let desk = Desk::with(root.path(), Mode::ByTransaction, TRANSACTIONS_MAX);
    check_room(&desk, &network, &id, root.path());
    desk.close();
}

/// What it paid is not known, and may not be paid again because nobody can tell.
#[test]
fn a_segment_of_which_nothing_can_be_read_is_not_dropped_before_its_time() {
    let root = tempfile::tempdir().unwrap();
    let network = network(Mode::ByTransaction, Scope::Network);
    let desk = Desk::with(root.path(), Mode::ByTransaction, TRANSACTIONS_MAX);
    let id = click_of(&desk);
    told(&desk, &network, &id, "paid").unwrap();
    let path = desk.store.directory().segment(Journal::Postbacks, 0, 0, 0);
    desk.abandon();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.iter_mut().skip(BODY_OFFSET as usize).filter(|byte| **byte != 0).for_each(|byte| *byte ^= 0xff);
    std::fs::write(&path, bytes).unwrap();

    let desk = Desk::with(root.path(), Mode::ByTransaction, TRANSACTIONS_MAX);
    assert_eq!(desk.books.refused(), None, "the table is of the checkpoint");
    told(&desk, &network, &id, "later").unwrap();
    desk.ask(Request::Roll);
    wait_for_sealed(&desk, 2);
    let is_refused = |told: Result<Ruling, Refused>| matches!(told, Err(Refused::Store(Error::Unreadable { position, .. })) if position.segment() == 0);
    assert!(is_refused(told(&desk, &network, &id, "paid")));
    let (store, needed) = (&desk.store, Position::new(u32::MAX, 0));
    for rules in [Rules::default(), Rules { postbacks: Some(30 * DAY), ..Rules::default() }] {
        let mut pass = Pass::new(store.rewriter(), store.directory());
        let report = pass.run(&rules, needed, NOW.plus(20 * DAY), &mut Alone).unwrap();
        assert_eq!(report.dropped_segments, 0, "{rules:?}");
        assert!(is_refused(told(&desk, &network, &id, "paid")));
    }
    // After its age it goes like any other.
    drop_old(store);
    assert_eq!(told(&desk, &network, &id, "paid").unwrap().verdict, Verdict::Accepted);
    desk.close();
}

#[test]
fn what_a_conversion_began_with_is_said_to_be_dropped_and_not_to_be_unreadable() {
    let root = tempfile::tempdir().unwrap();
    let network = network(Mode::ByTransaction, Scope::Network);
    let desk = Desk::open(root.path());
    let id = click_of(&desk);
    let pending = Said { status: Status::Pending, ..Said::default() };
    let first = desk.tell(&network, &id, pending);
    desk.ask(Request::Roll);
    wait_for_sealed(&desk, 1);
    let second = desk.tell(&network, &id, Said::default());
    assert_eq!((first.sequence, second.sequence), (0, 1));
    desk.ask(Request::Roll);
    wait_for_sealed(&desk, 2);
    drop_old(&desk.store);
    let otherwise = Said { payout: Some(7), ..Said::default() };
    let request = Request::Reapply {
        postback: second.postback.unwrap(),
        decisions: vec![second.decision.unwrap()],
        submission: Box::new(desk.submission(&network, &id, otherwise)),
        assumed: None,
    };
    let told = desk.handle.submit(request).unwrap().wait();
    let dropped = first.decision.unwrap();
    match told {
        Err(Error::Dropped { position, .. }) => assert_eq!(position, dropped),
        other => panic!("{other:?}"),
    }
    desk.close();
}

/// How long postbacks are kept here.
const KEPT: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 3600);
/// Days that the next test lasts.
const DAYS: u32 = 40;

/// Says a transaction now, of a click that never grows too old.
fn said_now(desk: &Desk, network: &Arc<Network>, id: &ClickId, transaction_id: &str) -> Verdict {
    let said = Said {
        transaction_id: Some(transaction_id),
        time: desk.clock.now(),
        terms: Terms { window: DAYS * 10 * DAY, payout: None },
        ..Said::default()
    };
    desk.tell(network, id, said).verdict
}

/// The end of a process, of one kind or another, and the next one.
fn restart(desk: Desk, root: &Path, day: u32, earlier: &mut Option<Vec<u8>>) -> Desk {
    let (clock, checkpoint) = (desk.clock.clone(), desk.store.directory().dedupe_checkpoint());
    match day % 5 {
        1 => desk.close(),
        3 => {
            desk.abandon();
            // A kill writes no checkpoint: the last one is of long ago, or there is none.
            match earlier {
                Some(earlier) => std::fs::write(&checkpoint, earlier).unwrap(),
                None => std::fs::remove_file(&checkpoint).unwrap(),
            }
        }
        _ => return desk,
    }
    if day.is_multiple_of(8) {
        std::fs::remove_file(&checkpoint).unwrap();
    } else if day.is_multiple_of(6) {
        *earlier = Some(std::fs::read(&checkpoint).unwrap());
    }
    Desk::at(root, Mode::ByTransaction, 1_000, clock)
}

#[test]
fn a_transaction_is_known_for_as_long_as_it_is_kept_and_then_let_go_whatever_ends_and_whoever_sets_the_clock()
{
    let root = tempfile::tempdir().unwrap();
    let network = network(Mode::ByTransaction, Scope::Network);
    let clock = ManualClock::at(NOW);
    let mut desk = Desk::at(root.path(), Mode::ByTransaction, 1_000, clock.clone());
    let id = click_of(&desk);
    let (mut first_said, mut earlier, mut repeats, mut latest) = (Vec::new(), None, 0, NOW);
    for day in 0..DAYS {
        // Two days of eleven the clock is three days behind.
        match day % 11 {
            4 => clock.set(clock.now().minus(3 * DAY)),
            6 => clock.set(clock.now().plus(3 * DAY)),
            _ => {}
        }
        // What has gone by the clock of yesterday does not come back with that of today.
        latest = latest.max(clock.now());
        let rules = Rules { postbacks: Some(KEPT), ..Rules::default() };
        let mut pass = Pass::new(desk.store.rewriter(), desk.store.directory());
        pass.run(&rules, Position::new(u32::MAX, 0), clock.now(), &mut Alone).unwrap();
        desk = restart(desk, root.path(), day, &mut earlier);
        for (n, time) in first_said.iter().enumerate() {
            if latest.since(*time) < KEPT {
                let verdict = said_now(&desk, &network, &id, &format!("t-{n}"));
                assert_eq!(verdict, Verdict::Duplicate, "t-{n}, said at {time}, on day {day}");
                repeats += 1;
            }
        }
        assert_eq!(said_now(&desk, &network, &id, &format!("t-{day}")), Verdict::Accepted);
        first_said.push(clock.now());
        desk.ask(Request::Roll);
        clock.advance(DAY);
    }
    assert!(repeats > 200, "only {repeats} repeats");
    let accepted = decisions(root.path()).into_iter().filter(|kept| kept.verdict == Verdict::Accepted);
    let mut counted = HashSet::new();
    assert!(accepted.into_iter().all(|kept| counted.insert(kept.conversion_id)), "each counts once");
    while number(&desk, "clicklog_transactions") > 14 {
        clock.advance(std::time::Duration::from_secs(1));
        std::thread::yield_now();
    }
    assert_eq!(said_now(&desk, &network, &id, "t-0"), Verdict::Accepted, "it is as new");
    desk.close();
}
