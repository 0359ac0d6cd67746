//! Retention: each kind goes by its own age, and nobody loses what he still needs.

use std::time::Duration;

use clicklog::clock::Timestamp;
use clicklog::compactor::rewrite::{Alone, Pass, Rules};
use clicklog::store::{Journal, Lookup, Position, Store};

use crate::support::options;
use crate::world::{DAY, VISITORS, books, filled, marker, pass, start, time_of, who_has};

/// Midnight of the day after next: the first day, of which there are seventeen hours, is over a day old.
fn later(days: u32) -> Timestamp {
    start().plus(Duration::from_secs(17 * 3600) + DAY * days)
}

fn rules() -> Rules {
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
