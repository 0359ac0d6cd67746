//! Transactions that retention has dropped: they leave the table, whose room is for others, and are new when they come again.

use std::path::Path;
use std::sync::Arc;

use clicklog::apply::claim::Request;
use clicklog::apply::key::{Mode, Scope};
use clicklog::apply::ledger::Ruling;
use clicklog::apply::rules::Network;
use clicklog::clock::Timestamp;
use clicklog::compactor::rewrite::{Alone, Pass, Rules};
use clicklog::event::click_id::ClickId;
use clicklog::event::decision::Verdict;
use clicklog::metrics::Page;
use clicklog::store::commit::Refused;
use clicklog::store::layout::Footer;
use clicklog::store::{Error, Journal, Position, Store};

use crate::desk::{Desk, NOW, Said, network, sum};

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
    let mut writer = desk.store.click_writer(0).unwrap();
    let id = desk.clicks(&mut writer, 1)[0];
    writer.close();
    for n in 0..8 {
        told(desk, network, &id, &format!("old-{n}")).unwrap();
    }
    desk.ask(Request::Roll);
    told(desk, network, &id, "young").unwrap();
    assert!(is_full(told(desk, network, &id, "one more")));
    desk.ask(Request::Roll);
    let is_ours = |of: &Footer| of.identity.journal == Journal::Postbacks;
    while desk.store.rewriter().sealed().into_iter().filter(is_ours).count() < 2 {
        std::thread::yield_now();
    }
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
