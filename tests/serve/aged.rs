//! A data folder that is older than `retention`, beside a daemon at work: what is too old goes, from segments and from what is
//! published, but not what a delivery is made of that is owed yet; what is young stays, and so do sums.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use clicklog::clock::{Clock, Timestamp};
use clicklog::event::click::Click;
use clicklog::event::click_id::ClickId;
use clicklog::store::directory::Directory;
use clicklog::store::layout::Footer;
use clicklog::store::record::FOOTER_BYTES;
use clicklog::store::sealed::read_footer;
use clicklog::store::space::Marks;
use clicklog::store::verify::verify;
use clicklog::store::{Error, Journal, Options, Store};
use rustix::process::Signal;
use serde_json::Value;

use crate::faults::Faults;
use crate::files::below;
use crate::told::{Daemon, catalog, postback, wait_until};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Days that were merged go by the hour, and no test has that long: on a disk with little room none is merged.
const UNMERGED: (&str, &str) = ("CLICKLOG_STORE__LOW_FREE", "1TiB");

/// Clicks of one moment in a segment of their own, as a worker writes them.
fn clicks(data: &Path, time: Timestamp) -> Vec<ClickId> {
    let options = Options {
        lanes: 2,
        click_segment_bytes: 1 << 20,
        journal_segment_bytes: 256 << 10,
        marks: Marks { low_bytes: 0, critical_bytes: 0, reserve_bytes: 0 },
        ..Options::new(data)
    };
    let store = Store::open(options).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    let click = Click { time, campaign: "c", source: "s", offer: "o", ..Click::default() };
    let mut record = || loop {
        match writer.append(&click) {
            Ok(recorded) => return recorded.click_id,
            Err(Error::NoRoom { .. }) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    };
    let ids = (0..20).map(|_| record()).collect();
    writer.close();
    store.close().unwrap();
    ids
}

/// What a command prints, whatever it comes to.
fn said(data: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clicklog"));
    let output = command.args(arguments).arg("--data").arg(data).output().unwrap();
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr)
}

fn is_known(data: &Path, id: &str) -> bool {
    !said(data, &["lookup", id]).contains("nothing is known")
}

/// Whether the click of an id is there, and not only what was decided on it.
fn has_click(data: &Path, id: &str) -> bool {
    said(data, &["lookup", id]).contains("\nclick ")
}

fn import(daemon: &Daemon, what: &[&str], lines: &str) {
    let (data, admin) = (daemon.data(), daemon.process.operators.to_string());
    let file = data.with_file_name("import.csv");
    fs::write(&file, lines).unwrap();
    let arguments = [&["import"], what, &[file.to_str().unwrap(), "--admin", &admin]].concat();
    let said = said(&data, &arguments);
    assert!(said.contains("1 imported, 0 known already, 0 bad"), "{said}");
}

/// The days that readers see files of.
fn days(data: &Path, table: &str) -> BTreeSet<String> {
    let day = |file: &Path| file.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
    below(&data.join("export").join(table)).iter().map(|file| day(file)).collect()
}

fn day_of(time: Timestamp) -> String {
    format!("dt={}", &time.to_string()[..10])
}

fn segments(data: &Path, journal: Journal, lane: u8) -> Vec<u32> {
    let files = Directory::new(data).segments(journal, lane).unwrap();
    files.into_iter().map(|file| file.segment).collect()
}

/// Has a segment look as if it had been sealed then: postbacks are as old as their seal, whatever they tell of.
fn set_back(data: &Path, (journal, lane, segment): (Journal, u8, u32), sealed: Timestamp) {
    let file = Directory::new(data).segment(journal, lane, segment, 0);
    let file = OpenOptions::new().read(true).write(true).open(file).unwrap();
    let footer = Footer { sealed, ..read_footer(&file).unwrap().unwrap() };
    file.write_all_at(&footer.to_bytes(), u64::from(footer.segment_bytes - FOOTER_BYTES)).unwrap();
}

fn totals(data: &Path) -> Value {
    let report: Value = serde_json::from_str(&said(data, &["report", "--format", "json"])).unwrap();
    report["total"].clone()
}

fn stop(daemon: Daemon) {
    daemon.process.signal(Signal::TERM);
    let (code, said) = daemon.process.end();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn what_is_too_old_goes_and_what_a_delivery_needs_waits_for_it() {
    let (folder, told) = (tempfile::tempdir().unwrap(), Faults::plain());
    let catalog = catalog(&postback("campaign.postback", "d", &told, "/ok", ""));
    let data = folder.path().join("clicklog-data");
    let now = Clock::System.now();
    let old = now.minus(100 * DAY);
    let (old_ids, young_ids) = (clicks(&data, old), clicks(&data, now));

    let daemon = Daemon::start_with(folder.path(), &catalog, &[UNMERGED]);
    daemon.operator("POST", "/api/destinations/pause", r#"{"destination":"d"}"#);
    import(&daemon, &["clicks"], &format!("id,time,campaign,source,offer\nOLD,{old},c,s,o\n"));
    import(&daemon, &["clicks"], &format!("id,time,campaign,source,offer\nYOUNG,{now},c,s,o\n"));
    let line = format!("click_id,time,txid,payout,status\nOLD,{old},told-old,1,approved\n");
    import(&daemon, &["conversions", "--network", "n"], &line);
    daemon.operator("POST", "/-/roll", "");
    daemon.approve("told-young", 1);
    daemon.operator("POST", "/-/roll", "");
    let both = BTreeSet::from([day_of(old), day_of(now)]);
    for table in ["clicks", "conversions"] {
        wait_until("it is published", || days(&data, table).is_superset(&both));
    }
    let before = totals(&data);
    assert!(has_click(&data, &old_ids[0].to_string()) && has_click(&data, "OLD"));
    let (import_lane, first) = (2, segments(&data, Journal::Postbacks, 0)[0]);
    assert_eq!(segments(&data, Journal::Clicks, import_lane)[..2], [0, 1]);
    stop(daemon);
    set_back(&data, (Journal::Postbacks, 0, first), old);

    let kept = [
        UNMERGED,
        ("CLICKLOG_RETENTION__CLICKS", "90d"),
        ("CLICKLOG_RETENTION__POSTBACKS", "90d"),
        ("CLICKLOG_RETENTION__INTERVAL", "1s"),
    ];
    let daemon = Daemon::start_with(folder.path(), &catalog, &kept);
    let dropped = || daemon.metric("clicklog_forgetting_segments_total{did=\"drop\"}");
    wait_until("old clicks are gone", || dropped() >= 2 && !days(&data, "clicks").contains(&day_of(old)));
    let old_id = old_ids[0].to_string();
    assert!(said(&data, &["lookup", &old_id]).contains("its click is not there"));
    assert!(!has_click(&data, &old_id) && !has_click(&data, "OLD"));
    assert!(has_click(&data, &young_ids[0].to_string()) && has_click(&data, "YOUNG"));
    assert!(!segments(&data, Journal::Clicks, 0).contains(&0));
    assert!(!segments(&data, Journal::Clicks, import_lane).contains(&0));
    // The same pass has looked at them: somebody is owed what they say.
    assert_eq!(segments(&data, Journal::Postbacks, 0)[0], first);
    assert!(days(&data, "conversions").contains(&day_of(old)) && is_known(&data, "told-old"));
    assert!(told.seen().is_empty());

    daemon.operator("POST", "/api/destinations/resume", r#"{"destination":"d"}"#);
    for transaction in ["told-old", "told-young-0"] {
        let is_told = || told.seen().iter().any(|seen| seen.target.contains(&format!("tx={transaction}&")));
        wait_until(transaction, is_told);
    }
    wait_until("old conversions are gone", || {
        dropped() >= 3 && !days(&data, "conversions").contains(&day_of(old))
    });
    assert!(!segments(&data, Journal::Postbacks, 0).contains(&first));
    assert!(!is_known(&data, "told-old") && is_known(&data, "told-young-0"));
    for table in ["clicks", "conversions"] {
        assert!(days(&data, table).contains(&day_of(now)), "{table}");
    }
    // A start of the daemon makes a click, before the first look at the sums and after it.
    let after = totals(&data);
    assert_eq!(after["clicks"].as_u64().unwrap(), before["clicks"].as_u64().unwrap() + 1, "sums stay");
    assert_eq!((&after["approved"], &after["money"]), (&before["approved"], &before["money"]), "sums stay");
    assert_eq!(daemon.metric("clicklog_forgetting_failures_total"), 0);
    stop(daemon);
    assert!(verify(&Directory::new(&data), &mut |_, _| {}).unwrap().is_sound());
    assert!(!has_click(&data, &old_id) && is_known(&data, "told-young-0"));
}
