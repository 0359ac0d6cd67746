//! Retention: each kind goes by its own age, and nobody loses what he still needs.

use std::fs;
use std::path::Path;
use std::time::Duration;

use clicklog::clock::Timestamp;
use clicklog::compactor::rewrite::{Alone, Pass, Rules};
use clicklog::compactor::rollup::{Count, Key, Rollups, Sink, Sums};
use clicklog::store::reader::Reader;
use clicklog::store::{Journal, Lookup, Position, Store};

use crate::world::{DAY, VISITORS, books, filled, filled_at, marker, options, pass, start, time_of, who_has};

/// Midnight of the day after next: the first day, of which there are seventeen hours, is over a day old.
pub(crate) fn later(days: u32) -> Timestamp {
    start().plus(Duration::from_secs(17 * 3600) + DAY * days)
}

pub(crate) fn rules() -> Rules {
    Rules { personal: Some(DAY), personal_params: vec!["EMAIL".to_owned()], ..Rules::default() }
}

#[test]
fn who_it_was_goes_with_age_and_what_counts_stays() {
    let root = tempfile::tempdir().unwrap();
    let ids = filled(root.path());
    let before = books(root.path());
    let store = Store::open(options(root.path())).unwrap();
    let report = pass(&store, &rules(), later(1));
    assert!(report.failed.is_empty() && report.changed > 0, "{report:?}");
    let is_old = |n: u32| time_of(n) < later(0);
    for n in (0..VISITORS).step_by(7) {
        let Lookup::Found(found) = store.clicks().find(&ids[n as usize]) else { panic!("click {n}") };
        let click = found.click().unwrap();
        assert_eq!(click.external_id, marker(n), "an id stays");
        assert_eq!(click.params.get("sub1"), Some(format!("zone-{n}").as_str()), "so does what is not named");
        assert_eq!(click.params.get("email").is_none(), is_old(n), "click {n}");
        assert_eq!((click.user_agent.is_empty(), click.address.is_none()), (is_old(n), is_old(n)), "{n}");
    }
    assert_eq!(books(root.path()), before);
    assert_eq!(pass(&store, &rules(), later(1)).rewritten, 0, "once a day");
    let again = pass(&store, &rules(), later(1));
    assert_eq!(again.changed, 0);
    // A day later the rest, and then there is nothing to look at any more.
    assert!(pass(&store, &rules(), later(4)).rewritten > 0);
    assert_eq!(pass(&store, &rules(), later(5)).looked_at, 0, "it is written down what is done");
    let found = store.clicks().find(&ids[VISITORS as usize - 1]);
    let Lookup::Found(found) = found else { panic!("{found:?}") };
    assert_eq!(found.click().unwrap().referrer, "");
    assert_eq!(books(root.path()), before);
}

#[test]
fn clicks_of_a_campaign_and_outcomes_go_one_by_one_and_destinations_never() {
    let root = tempfile::tempdir().unwrap();
    let ids = filled(root.path());
    let before = books(root.path());
    let store = Store::open(options(root.path())).unwrap();
    let rules =
        Rules { deliveries: Some(DAY), campaigns: [("autumn".to_owned(), DAY)].into(), ..Rules::default() };
    let report = pass(&store, &rules, later(5));
    assert_eq!(report.dropped, u64::from(VISITORS / 2 + VISITORS), "{report:?}");
    for (n, id) in ids.iter().enumerate() {
        let found = store.clicks().find(id);
        assert_eq!(matches!(found, Lookup::Found(_)), n % 2 == 0, "click {n}: {found:?}");
        assert!(n % 2 == 0 || matches!(found, Lookup::Absent), "click {n}: {found:?}");
    }
    let after = books(root.path());
    assert_eq!((after["paid"], after["destinations"]), (before["paid"], 1));
    assert_eq!((after["cost"], after.get("deliveries")), (before["cost"] / 2, None));
    store.close().unwrap();
    let store = Store::open(options(root.path())).unwrap();
    assert!(matches!(store.clicks().find(&ids[1]), Lookup::Absent));
    store.close().unwrap();
}

#[test]
fn whole_segments_go_with_age_but_not_before_nobody_needs_them() {
    let root = tempfile::tempdir().unwrap();
    let ids = filled(root.path());
    let store = Store::open(options(root.path())).unwrap();
    let rules = Rules { clicks: Some(DAY), postbacks: Some(DAY), ..Rules::default() };
    let sealed = |journal| {
        let all = store.rewriter().sealed().into_iter().map(|footer| footer.identity);
        all.filter(|of| of.journal == journal).map(|of| of.segment).collect::<Vec<_>>()
    };
    let postbacks = sealed(Journal::Postbacks);
    assert!(postbacks.len() > 3, "{postbacks:?}");
    let report = pass(&store, &rules, later(30));
    assert!(report.dropped_segments > 0);
    assert_eq!(sealed(Journal::Clicks).len(), 1, "the newest says where the journal ends");
    assert_eq!(sealed(Journal::Postbacks), postbacks, "they are needed from the start on");
    assert!(matches!(store.clicks().find(&ids[0]), Lookup::Absent));
    assert_eq!(who_has(&root.path().join("clicks"), &marker(0)), None);

    let mut again = Pass::new(store.rewriter(), store.directory());
    again.run(&rules, Position::new(postbacks[2], 0), later(30), &mut Alone).unwrap();
    assert_eq!(sealed(Journal::Postbacks), postbacks[2..], "up to where the dispatcher reads");
    let view = std::sync::Arc::clone(&store.lane(Journal::Postbacks, 0).unwrap().view());
    assert!(view.is_dropped(Position::new(postbacks[0], 4096)), "dropped is not lost");
    assert!(!view.is_dropped(Position::new(postbacks[2], 4096)));
    drop((again, view));
    store.close().unwrap();
    let store = Store::open(options(root.path())).unwrap();
    assert_eq!(store.report().missing_segments, 0);
}

#[test]
fn what_new_rules_ask_for_is_done_on_the_day_that_they_came() {
    let root = tempfile::tempdir().unwrap();
    filled(root.path());
    let store = Store::open(options(root.path())).unwrap();
    let mut passes = Pass::new(store.rewriter(), store.directory());
    let mut dropped =
        |rules: &Rules, now: Timestamp| passes.run(rules, Position::START, now, &mut Alone).unwrap().dropped;
    assert_eq!(dropped(&rules(), later(5)), 0);
    // The catalog is loaded again, and a campaign has an age of its own now.
    let sooner = Rules { campaigns: [("autumn".to_owned(), DAY)].into(), ..rules() };
    assert_eq!(dropped(&sooner, later(5)), u64::from(VISITORS / 2));
}

#[test]
fn an_age_of_a_day_and_a_half_is_as_good_as_one_of_whole_days() {
    let root = tempfile::tempdir().unwrap();
    let ids = filled(root.path());
    let store = Store::open(options(root.path())).unwrap();
    let rules = Rules { personal: Some(DAY * 3 / 2), ..Rules::default() };
    let mut passes = Pass::new(store.rewriter(), store.directory());
    for hours in 0..24 * 6 {
        let now = start().plus(Duration::from_secs(hours * 3600));
        passes.run(&rules, Position::START, now, &mut Alone).unwrap();
    }
    for (n, id) in ids.iter().enumerate() {
        let Lookup::Found(found) = store.clicks().find(id) else { panic!("click {n}") };
        assert_eq!(found.click().unwrap().user_agent, "", "visitor {n}");
    }
}

/// All that reports say.
#[derive(Default)]
struct Total(Sums);

impl Sink for Total {
    fn texts(&mut self, _texts: &[&str]) {}

    fn row(&mut self, _key: &Key, sums: &Sums) {
        self.0.add(sums);
    }
}

fn reported(data: &Path) -> (u64, i128, i128) {
    let (rollups, mut total) = (Rollups::open(&Reader::open(data)).unwrap().unwrap(), Total::default());
    let noted = rollups.read(0..i64::MAX, false, &mut |_, _| {}, &mut total).unwrap();
    assert_eq!(noted.problems, [""; 0]);
    (total.0.count(Count::Clicks), total.0.cost, total.0.revenue)
}

#[test]
fn reports_have_what_retention_takes_also_where_nobody_had_summed_it_up() {
    let root = tempfile::tempdir().unwrap();
    filled(root.path());
    let before = reported(root.path());
    assert_eq!((before.0, before.2), (u64::from(VISITORS), 3_500 * i128::from(VISITORS)));
    let store = Store::open(options(root.path())).unwrap();
    let end = Position::new(u32::MAX >> 10, 0);
    let mut passes = Pass::new(store.rewriter(), store.directory());
    let mut run = |rules: &Rules| passes.run(rules, end, later(30), &mut Alone).unwrap();
    let campaign = Rules { campaigns: [("autumn".to_owned(), DAY)].into(), ..Rules::default() };
    assert!(run(&campaign).dropped > 0);
    assert_eq!(reported(root.path()), before, "clicks of one campaign went");
    let report = run(&Rules { clicks: Some(DAY), postbacks: Some(DAY), ..campaign });
    assert!(report.dropped_segments > 3 && report.failed.is_empty(), "{report:?}");
    assert_eq!(reported(root.path()), before, "segments went whole");
}

#[test]
fn copies_of_damage_go_with_the_age_of_what_is_in_them() {
    let root = tempfile::tempdir().unwrap();
    filled(root.path());
    let store = Store::open(options(root.path())).unwrap();
    let folder = store.directory().quarantine();
    fs::create_dir_all(&folder).unwrap();
    let kept = |name: &str, days: u32| {
        let path = folder.join(name);
        fs::write(&path, marker(0)).unwrap();
        let time = std::time::UNIX_EPOCH + later(days).since(Timestamp::from_seconds(0));
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        path
    };
    let old = kept("clicks-00-0000900-0.corrupt.seg", 1);
    let young = kept("clicks-00-0000901-0.torn.seg", 7);
    let evidence = kept("postbacks-00-0000900-0.unreadable.seg", 1);
    let whose = kept("somebody's notes", 1);
    let all = || [&old, &young, &evidence, &whose].map(|path| path.exists());
    pass(&store, &Rules::default(), later(9));
    assert_eq!(all(), [true; 4]);
    pass(&store, &Rules { clicks: Some(DAY * 5), ..Rules::default() }, later(9));
    assert_eq!(all(), [false, true, true, true]);
    pass(&store, &Rules { personal: Some(DAY), ..Rules::default() }, later(9));
    assert_eq!(all(), [false, false, false, true]);
}

#[test]
fn conversions_of_long_ago_that_are_imported_today_are_known_for_as_long_as_others() {
    let root = tempfile::tempdir().unwrap();
    filled_at(root.path(), later(30));
    let store = Store::open(options(root.path())).unwrap();
    let rules = Rules { postbacks: Some(DAY * 7), ..Rules::default() };
    let end = Position::new(u32::MAX >> 10, 0);
    let mut passes = Pass::new(store.rewriter(), store.directory());
    let mut dropped = |now: Timestamp| passes.run(&rules, end, now, &mut Alone).unwrap().dropped_segments;
    assert_eq!((dropped(later(31)), dropped(later(37))), (0, 0), "the file may be imported again");
    assert!(dropped(later(39)) > 0);
}
