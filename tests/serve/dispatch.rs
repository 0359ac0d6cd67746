//! Deliveries of the daemon as a process: catalogs that change, destinations that misbehave, a stop in the middle.

use std::collections::BTreeSet;
use std::process::Command;

use crate::disk::{Disk, skipped};
use crate::faults::Faults;
use crate::process::Process;
use crate::told::{
    ALL_STATUSES, Daemon, Got, STATUSES, catalog, got, outcomes, owed, postback, wait_for_all, wait_until,
};
use clicklog::event::delivery::OutcomeClass;
use rustix::process::Signal;

const APPROVED: &[&str] = &["approved"];

fn stop(process: Process) -> String {
    process.signal(Signal::TERM);
    let (code, said) = process.end();
    assert_eq!(code, Some(0), "{said}");
    said
}

/// The transactions that a destination was told of, in order, with the status.
fn told_to(id: &str, all: &[Got]) -> Vec<(String, &'static str)> {
    let to_it = all.iter().filter(|got| got.told.0 == id);
    to_it.map(|got| (got.told.1.clone(), got.told.2)).collect()
}

#[test]
fn stopped_while_a_destination_hangs_it_ends_in_time_and_attempts_it_again_under_the_same_id() {
    let (folder, faults) = (tempfile::tempdir().unwrap(), Faults::plain());
    let catalog = catalog(&postback("postback", "a", &faults, "/hang-before-head", ""));
    let drain = [("CLICKLOG_DISPATCHER__DRAIN_TIMEOUT", "200ms")];
    let daemon = Daemon::start_with(folder.path(), &catalog, &drain);
    let data = daemon.data();
    daemon.report("t", "approved");
    let first = got(&faults.wait_for(1));
    stop(daemon.process);
    let said = outcomes(&data);
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!((said[0].class, said[0].attempt, said[0].is_final), (OutcomeClass::Ambiguous, 1, false));

    faults.release();
    let daemon = Daemon::start_with(folder.path(), &catalog, &drain);
    let both = got(&faults.wait_for(2));
    assert_eq!(both, [first[0].clone(), first[0].clone()], "the same under the same id");
    wait_until("it was taken", || outcomes(&data).len() == 2);
    let last = outcomes(&data).pop().unwrap();
    assert_eq!((last.class, last.attempt, last.is_final), (OutcomeClass::Ok, 2, true));
    assert_eq!(last.id, said[0].id);
    stop(daemon.process);
}

#[test]
fn four_that_misbehave_among_twenty_keep_no_other_from_hearing_of_everything() {
    let (folder, faults) = (tempfile::tempdir().unwrap(), Faults::plain());
    let bad = ["/hang-before-head", "/status/500", "/slow/1000", "/retry-after/seconds/1"];
    let (mut tables, mut good) = (String::new(), Vec::new());
    for number in 0..20 {
        let id = format!("d{number:02}");
        let path = bad.get(number / 5).filter(|_| number % 5 == 0);
        tables += &postback("postback", &id, &faults, path.unwrap_or(&"/ok"), "");
        good.extend(path.is_none().then_some(id));
    }
    let daemon = Daemon::start(folder.path(), &catalog(&tables));
    daemon.approve("t", 300);
    let to: Vec<(&str, &[&str])> = good.iter().map(|id| (id.as_str(), APPROVED)).collect();
    let all = wait_for_all(&daemon.data(), &to, &faults);
    for id in &good {
        assert_eq!(told_to(id, &all).len(), 300, "{id}: each once");
    }
    daemon.process.signal(Signal::KILL);
}

#[test]
fn a_destination_that_is_added_hears_of_nothing_before_and_one_that_is_taken_out_of_nothing_after() {
    let (folder, faults) = (tempfile::tempdir().unwrap(), Faults::plain());
    let [a, b] = ["a", "b"].map(|id| postback("postback", id, &faults, "/ok", ""));
    let daemon = Daemon::start(folder.path(), &catalog(&a));
    daemon.approve("first", 20);
    daemon.reload(&catalog(&format!("{a}{b}")));
    daemon.approve("second", 20);
    let all = faults.wait_for(20 + 2 * 20);
    let of_b = told_to("b", &got(&all));
    assert!(of_b.iter().all(|(transaction, _)| transaction.starts_with("second-")), "{of_b:?}");
    assert_eq!(of_b.len(), 20);

    daemon.reload(&catalog(&b));
    daemon.approve("third", 20);
    let all = faults.wait_for(60 + 20);
    assert!(!told_to("a", &got(&all)).iter().any(|(transaction, _)| transaction.starts_with("third-")));

    // It comes back, and hears of what is decided from then on.
    daemon.reload(&catalog(&format!("{a}{b}")));
    daemon.approve("fourth", 20);
    let all = got(&faults.wait_for(80 + 2 * 20));
    let of_a: BTreeSet<_> = told_to("a", &all).into_iter().map(|(transaction, _)| transaction).collect();
    let expected: BTreeSet<_> = ["first", "second", "fourth"]
        .iter()
        .flat_map(|prefix| (0..20).map(move |number| format!("{prefix}-{number}")))
        .collect();
    assert_eq!(of_a, expected);
    assert_eq!(told_to("a", &all).len(), 60);
    stop(daemon.process);
    assert_eq!(faults.requests(), 120);
}

#[test]
fn the_first_conversion_after_a_reload_is_told_to_who_was_added() {
    let (folder, faults) = (tempfile::tempdir().unwrap(), Faults::plain());
    let mut tables = String::new();
    let daemon = Daemon::start(folder.path(), &catalog(&tables));
    for number in 0..5 {
        tables += &postback("postback", &format!("d{number}"), &faults, "/ok", "");
        daemon.reload(&catalog(&tables));
        daemon.report(&format!("t{number}"), "approved");
    }
    let all = got(&faults.wait_for(1 + 2 + 3 + 4 + 5));
    for number in 0..5 {
        assert_eq!(told_to(&format!("d{number}"), &all)[0].0, format!("t{number}"));
    }
    stop(daemon.process);
}

#[test]
fn a_redirect_to_a_metadata_service_is_not_followed() {
    let (folder, faults) = (tempfile::tempdir().unwrap(), Faults::plain());
    let catalog = catalog(&postback("postback", "a", &faults, "/redirect-to-metadata", ""));
    let daemon = Daemon::start(folder.path(), &catalog);
    daemon.report("t", "approved");
    faults.wait_for(1);
    wait_until("an outcome", || !outcomes(&daemon.data()).is_empty());
    let said = outcomes(&daemon.data());
    assert_eq!((said[0].class, said[0].is_final), (OutcomeClass::Redirect, true));
    stop(daemon.process);
    assert_eq!((faults.requests(), outcomes(&folder.path().join("clicklog-data")).len()), (1, 1));
}

#[test]
fn who_resolves_to_this_machine_and_is_not_allowed_to_is_dead_at_once_and_never_connected_to() {
    let (folder, faults) = (tempfile::tempdir().unwrap(), Faults::plain());
    let table = format!("[[postback]]\nid = \"a\"\nurl = \"{}\"\n", faults.url_at("localhost", "/ok"));
    let daemon = Daemon::start(folder.path(), &catalog(&table));
    daemon.report("t", "approved");
    wait_until("an outcome", || !outcomes(&daemon.data()).is_empty());
    let said = outcomes(&daemon.data());
    assert_eq!((said[0].class, said[0].attempt, said[0].is_final), (OutcomeClass::Config, 1, true));
    stop(daemon.process);
    assert_eq!((faults.connections(), outcomes(&folder.path().join("clicklog-data")).len()), (0, 1));
}

#[test]
fn a_private_address_is_refused_when_the_catalog_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    for address in ["127.0.0.1", "10.1.2.3", "169.254.169.254", "[::1]", "[fd00::1]", "2130706433"] {
        let table = format!("[[postback]]\nid = \"a\"\nurl = \"http://{address}/x\"\n");
        std::fs::write(folder.path().join("c.toml"), catalog(&table)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_clicklog"));
        command.current_dir(folder.path()).args(["check-config", "--catalog", "c.toml"]);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{address}: {said}");
    }
}

#[test]
fn an_offers_own_postback_comes_instead_of_the_one_for_all_with_the_same_id() {
    let (folder, faults) = (tempfile::tempdir().unwrap(), Faults::plain());
    let tables = postback("postback", "a", &faults, "/for-all", "")
        + &postback("postback", "b", &faults, "/for-all", "");
    // Behind the offer, which has to come before the campaign.
    let own = postback("offer.postback", "a", &faults, "/of-the-offer", "");
    let catalog = catalog(&tables).replace("[[campaign]]", &format!("{own}[[campaign]]"));
    let daemon = Daemon::start(folder.path(), &catalog);
    daemon.approve("t", 10);
    let seen = faults.wait_for(20);
    stop(daemon.process);
    assert_eq!(faults.requests(), 20, "each once");
    for seen in seen {
        let is_a = seen.target.contains("to=a&");
        assert_eq!(seen.path(), if is_a { "/of-the-offer" } else { "/for-all" });
    }
}

#[test]
fn statuses_arrive_in_their_order_also_where_each_fails_at_first() {
    let (folder, faults) = (tempfile::tempdir().unwrap(), Faults::plain());
    let catalog = catalog(&postback("postback", "a", &faults, "/sequence/500,200", ALL_STATUSES));
    let daemon = Daemon::start(folder.path(), &catalog);
    for transaction in ["t", "u"] {
        STATUSES.iter().for_each(|status| daemon.report(transaction, status));
    }
    let all = got(&faults.wait_for(12));
    for transaction in ["t", "u"] {
        let order: Vec<_> =
            all.iter().filter(|got| got.told.1 == transaction).map(|got| got.told.2).collect();
        let [pending, approved, reversed] = STATUSES;
        assert_eq!(order, [pending, pending, approved, approved, reversed, reversed], "{transaction}");
    }
    stop(daemon.process);
}

#[test]
fn where_outcomes_cannot_be_written_nothing_more_is_sent_until_they_can() {
    let root = tempfile::tempdir().unwrap();
    let disk = match Disk::make(root.path(), 24 << 20) {
        Ok(disk) => disk,
        Err(reason) => return skipped(&format!("no small disk can be mounted here: {reason}")),
    };
    // More than there is room for in segments that are ready.
    const COUNT: usize = 4_000;
    let faults = Faults::plain();
    let catalog = catalog(&postback("postback", "a", &faults, "/ok", "concurrency = 4"));
    let small = [("CLICKLOG_STORE__JOURNAL_SEGMENT", "128KiB")];
    let daemon = Daemon::start_with(disk.point(), &catalog, &small);
    let data = daemon.data();
    daemon.operator("POST", "/api/destinations/pause", r#"{"destination":"a","why":"a test"}"#);
    daemon.approve("t", COUNT);
    let ballast = disk.point().join("ballast");
    fill_up(&ballast);
    daemon.operator("POST", "/api/destinations/resume", r#"{"destination":"a"}"#);
    wait_until("it meets the full disk", || daemon.metric("clicklog_delivery_outcomes_unwritten ") > 0);
    let sent = faults.requests();
    let written = outcomes(&data).len();
    assert!(sent < COUNT && sent - written <= 4, "{sent} sent, {written} written");

    std::fs::remove_file(&ballast).unwrap();
    let to: [(&str, &[&str]); 1] = [("a", APPROVED)];
    let all = wait_for_all(&data, &to, &faults);
    stop(daemon.process);
    assert_eq!(
        (all.len(), owed(&data, &to).len(), outcomes(&data).len()),
        (COUNT, COUNT, COUNT),
        "each once"
    );
}

/// Takes every block that is left.
fn fill_up(path: &std::path::Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).unwrap();
    for chunk in [1 << 20, 4096] {
        while file.write_all(&vec![1; chunk]).and_then(|()| file.sync_all()).is_ok() {}
    }
}
