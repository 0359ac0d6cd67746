//! Erasure: hidden at once, in no file after a pass, and money as it was.

use std::path::Path;
use std::process::Command;
use std::thread;

use clicklog::batch::deliveries::{self, Filter};
use clicklog::batch::erase::{Found, Sought, erasure, find};
use clicklog::batch::held;
use clicklog::batch::lookup::{Window, look_up};
use clicklog::compactor::rewrite::{Alone, Company, Pass, Rules};
use clicklog::event::codec::Encoder;
use clicklog::event::conversion::Conversion;
use clicklog::event::decision::{Decision, Verdict};
use clicklog::event::postback::Postback;
use clicklog::store::erasures::{Erasures, ask};
use clicklog::store::keys::rotate_click_id_key;
use clicklog::store::reader::Reader;
use clicklog::store::rewrite::Step;
use clicklog::store::verify::verify;
use clicklog::store::{Journal, Lookup, Position, Store};

use crate::support::append;
use crate::world::{VISITORS, books, filled, foreign_id, marker, options, pass, start, time_of, who_has};

fn found(data: &Path, sought: &[Sought]) -> Found {
    find(&Reader::open(data), sought, &mut |_, _| {}).unwrap()
}

fn erase(data: &Path, sought: &[Sought]) {
    let reader = Reader::open(data);
    let line = erasure(&reader, sought, found(data, sought), (time_of(VISITORS), time_of(VISITORS))).unwrap();
    ask(reader.directory(), &line).unwrap();
}

fn click(id: &str) -> Sought {
    Sought::Click(id.to_owned())
}

fn email(n: u32) -> Sought {
    Sought::Param { name: "Email".to_owned(), value: marker(n) }
}

/// What is erased below, each in another way, and somebody who stays.
const BY_ID: u32 = 7;
const BY_FOREIGN_ID: u32 = 300;
const BY_PARAM: u32 = 451;
const STAYS: u32 = 8;

fn all_three(ids: &[clicklog::event::click_id::ClickId]) -> [Sought; 3] {
    [click(&ids[BY_ID as usize].to_string()), click(&foreign_id(BY_FOREIGN_ID)), email(BY_PARAM)]
}

fn assert_in_no_file(data: &Path) {
    for n in [BY_ID, BY_FOREIGN_ID, BY_PARAM] {
        assert_eq!(who_has(data, &marker(n)), None, "visitor {n}");
    }
    for n in [BY_FOREIGN_ID, BY_PARAM] {
        let id = foreign_id(n);
        assert!(id.is_empty() || who_has(data, &id).is_none(), "visitor {n}");
    }
    assert!(who_has(data, &marker(STAYS)).is_some(), "others are as they were");
}

#[test]
fn one_visitor_is_one_click_one_postback_and_one_decision_however_he_is_named() {
    let root = tempfile::tempdir().unwrap();
    let ids = filled(root.path());
    for sought in all_three(&ids) {
        let found = found(root.path(), std::slice::from_ref(&sought));
        let counts = (found.clicks.len(), found.postbacks.len(), found.decisions.len());
        assert_eq!(counts, (1, 1, 1), "{sought:?}: {found:?}");
    }
    assert!(found(root.path(), &[click("nobody"), email(VISITORS)]).is_empty());
    let upper = click(&ids[STAYS as usize].to_string().to_uppercase());
    let mixed = [&all_three(&ids)[..], &[upper, click("nobody"), email(VISITORS)]].concat();
    let unknown = ["nobody".to_owned(), format!("Email={}", marker(VISITORS))];
    assert_eq!(found(root.path(), &mixed).unknown, unknown, "and nothing else");
    assert!(who_has(root.path(), "erase").is_none(), "to look for it changes nothing");
}

#[test]
fn what_is_erased_is_in_no_report_and_no_reconciliation() {
    let root = tempfile::tempdir().unwrap();
    let ids = filled(root.path());
    let list = root.path().join("network.csv");
    std::fs::write(&list, "txid,payout\nnone,1\n").unwrap();
    let told = || {
        let period = ["--from", "2026-11-20", "--to", "2026-11-23", "--format", "csv"];
        [
            vec!["report", "--by", "param:email,language"],
            vec!["reconcile", list.to_str().unwrap(), "--network", "revboost"],
        ]
        .map(|command| {
            let mut run = Command::new(env!("CARGO_BIN_EXE_clicklog"));
            let run = run.args(command).args(period).arg("--data").arg(root.path()).output().unwrap();
            String::from_utf8(run.stdout).unwrap()
        })
    };
    let has = |text: &str| told().map(|text_of| text_of.contains(text));
    let (foreign, others) = (foreign_id(BY_FOREIGN_ID), foreign_id(BY_FOREIGN_ID + 3));
    assert_eq!(
        (has(&marker(BY_ID)), has(&foreign), has(&others)),
        ([true, false], [false, true], [false, true])
    );
    erase(root.path(), &all_three(&ids));
    assert_eq!((has(&marker(BY_ID)), has(&foreign), has(&others)), ([false; 2], [false; 2], [false, true]));
    assert_eq!(has(&marker(STAYS)), [true, false]);
}

/// `clicklog erase --format json | head -1`.
#[test]
fn what_is_erased_is_so_however_little_of_the_answer_is_read() {
    let root = tempfile::tempdir().unwrap();
    let ids = filled(root.path());
    let list = root.path().join("list");
    let lines: String = ids.iter().map(|id| format!("{id}\r\n")).collect();
    std::fs::write(&list, format!("\u{feff}{lines}")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_clicklog"));
    let command =
        command.args(["erase", "--format", "json", "--data"]).arg(root.path()).arg("--file").arg(&list);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
    let erasures = Erasures::load(Reader::open(root.path()).directory()).unwrap();
    assert_eq!(erasures.clicks().len(), ids.len());
}

#[test]
fn what_is_erased_is_shown_by_no_command() {
    let root = tempfile::tempdir().unwrap();
    let ids = filled(root.path());
    let foreign = foreign_id(BY_FOREIGN_ID);
    let store = Store::open(options(root.path())).unwrap();
    let mut journal = store.journal_writer(Journal::Postbacks).unwrap();
    let (mut encoder, time) = (Encoder::default(), time_of(VISITORS));
    let conversion = Conversion { click_id: &foreign, ..Conversion::default() };
    let held = Decision { time, verdict: Verdict::Held, conversion, ..Decision::default() };
    append(|| journal.append(&encoder.decision(&held).unwrap()));
    journal.close();
    store.close().unwrap();
    let listed = |about: Option<&str>| {
        let filter = Filter { about: about.map(str::to_owned), ..Filter::default() };
        deliveries::list(&Reader::open(root.path()), &filter, 1_000, &mut |_, _| {}).unwrap()
    };
    let shown = || {
        let reader = Reader::open(root.path());
        let whole = deliveries::show(&reader, [0; 16], Window::default(), &mut |_, _| {}).unwrap().unwrap();
        let held = held::list(&reader, Window::default(), &mut |_, _| {}).unwrap();
        assert_eq!(held.len(), 1, "it waits yet");
        let mut inspect = Command::new(env!("CARGO_BIN_EXE_clicklog"));
        let inspected = inspect.args(["inspect", "--data"]).arg(root.path()).output().unwrap();
        [
            serde_json::to_string(&listed(None)).unwrap(),
            serde_json::to_string(&whole).unwrap(),
            serde_json::to_string(&held).unwrap(),
            String::from_utf8(inspected.stdout).unwrap(),
        ]
    };
    let has = |text: &str| shown().map(|text_of| text_of.contains(text));
    assert_eq!(has(&marker(BY_ID)), [true, true, false, true]);
    assert_eq!((has(&foreign), listed(Some(&foreign)).deliveries.len()), ([true, false, true, true], 1));
    erase(root.path(), &all_three(&ids));
    assert_eq!(has(&marker(BY_ID)), [false; 4]);
    assert_eq!((has(&foreign), listed(Some(&foreign)).deliveries.len()), ([false; 4], 0));
    assert_eq!(has(&marker(STAYS)), [true, true, false, true]);
}

#[test]
fn a_request_that_nothing_but_a_click_s_id_leads_to_is_found_after_a_new_key() {
    let root = tempfile::tempdir().unwrap();
    let id = filled(root.path())[BY_PARAM as usize].to_string();
    let store = Store::open(options(root.path())).unwrap();
    let mut journal = store.journal_writer(Journal::Postbacks).unwrap();
    let (mut encoder, query) = (Encoder::default(), format!("cid={id}&payout=x"));
    let refused = Postback { time: time_of(BY_PARAM), query: &query, refused: 1, ..Postback::default() };
    let refused = append(|| journal.append(&encoder.postback(&refused).unwrap())).position();
    journal.close();
    store.close().unwrap();
    rotate_click_id_key(Reader::open(root.path()).directory()).unwrap();
    let found = found(root.path(), &[email(BY_PARAM)]);
    assert_eq!((found.clicks.len(), found.postbacks.len()), (1, 2));
    assert!(found.postbacks.contains(&refused.to_string()), "{found:?}");
}

#[test]
fn what_is_erased_is_hidden_at_once_and_in_no_file_after_a_pass() {
    let root = tempfile::tempdir().unwrap();
    let ids = filled(root.path());
    let before = books(root.path());
    let store = Store::open(options(root.path())).unwrap();
    erase(root.path(), &all_three(&ids));
    for text in [marker(BY_PARAM), foreign_id(BY_FOREIGN_ID), ids[BY_ID as usize].to_string()] {
        let line = std::fs::read_to_string(root.path().join("erasures.jsonl")).unwrap();
        assert!(!line.contains(&text), "{line}");
    }
    // The daemon looks each second.
    let looked_up = |n: u32| match store.clicks().find(&ids[n as usize]) {
        Lookup::Found(found) => found.click().unwrap().user_agent.to_owned(),
        other => panic!("click {n}: {other:?}"),
    };
    while !looked_up(BY_ID).is_empty() {
        thread::yield_now();
    }
    assert_eq!((looked_up(BY_PARAM), looked_up(STAYS)), (String::new(), marker(STAYS)));
    assert!(matches!(store.clicks().find_foreign(&foreign_id(BY_FOREIGN_ID)), Lookup::Absent));
    let life = |text: &str| {
        let life = look_up(&Reader::open(root.path()), text, Window::default(), &mut |_, _| {}).unwrap();
        serde_json::to_string(&life).unwrap()
    };
    assert!(!life(&ids[BY_ID as usize].to_string()).contains(&marker(BY_ID)));
    assert!(life(&ids[STAYS as usize].to_string()).contains(&marker(STAYS)));

    let report = pass(&store, &Rules::default(), time_of(VISITORS));
    assert_eq!((report.erased, report.pending, report.failed.as_slice()), (1, 0, [].as_slice()));
    assert_eq!(report.changed, 3 * 4, "a click, a postback, a decision, a delivery of each");
    assert_in_no_file(root.path());
    assert_eq!(looked_up(BY_ID), "");
    assert_eq!(pass(&store, &Rules::default(), time_of(VISITORS)).looked_at, 0, "it is done");
    store.close().unwrap();
    let store = Store::open(options(root.path())).unwrap();
    store.close().unwrap();
    assert_in_no_file(root.path());
    assert_eq!(books(root.path()), before, "counts and sums are as they were");
    assert!(verify(Reader::open(root.path()).directory(), &mut |_, _| {}).unwrap().is_sound());
}

/// Breaks off at the n-th step of a pass.
struct Until(usize);

impl Company for Until {
    fn passed(&mut self, bytes: u64) -> std::ops::ControlFlow<()> {
        Alone.passed(bytes)
    }

    fn after(&mut self, _step: Step) -> std::ops::ControlFlow<()> {
        self.0 -= 1;
        if self.0 == 0 { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
    }
}

#[test]
fn a_pass_that_dies_at_any_step_is_gone_on_with_and_counts_stay() {
    for steps in 1..=20 {
        let root = tempfile::tempdir().unwrap();
        let ids = filled(root.path());
        let before = books(root.path());
        erase(root.path(), &all_three(&ids));
        let store = Store::open(options(root.path())).unwrap();
        let mut first = Pass::new(store.rewriter(), store.directory());
        let report = first.run(&Rules::default(), Position::START, start(), &mut Until(steps)).unwrap();
        assert!(report.is_stopped && report.erased == 0, "step {steps}: {report:?}");
        drop((first, store));
        let store = Store::open(options(root.path())).unwrap();
        assert_eq!(books(root.path()), before, "step {steps}");
        assert_eq!(pass(&store, &Rules::default(), start()).erased, 1, "step {steps}");
        store.close().unwrap();
        assert_in_no_file(root.path());
        assert_eq!(books(root.path()), before, "step {steps}");
    }
}

/// Has a segment sealed as soon as a pass reads something.
struct Sealing {
    written: Option<clicklog::store::LaneWriter>,
}

impl Company for Sealing {
    fn passed(&mut self, _bytes: u64) -> std::ops::ControlFlow<()> {
        if let Some(written) = self.written.take() {
            let lane = std::sync::Arc::clone(written.lane());
            written.close();
            while !lane.view().open.is_empty() {
                thread::yield_now();
            }
        }
        std::ops::ControlFlow::Continue(())
    }
}

#[test]
fn what_is_sealed_while_a_pass_goes_is_for_the_next_pass() {
    let root = tempfile::tempdir().unwrap();
    let id = filled(root.path())[BY_ID as usize].to_string();
    let store = Store::open(options(root.path())).unwrap();
    let mut journal = store.journal_writer(Journal::Postbacks).unwrap();
    let query = format!("cid={id}&name=PRIVATE-again-END");
    let postback = Postback { time: time_of(BY_ID), query: &query, refused: 1, ..Postback::default() };
    append(|| journal.append(&Encoder::default().postback(&postback).unwrap()));
    erase(root.path(), &[click(&id)]);
    let mut sealing = Sealing { written: Some(journal) };
    let mut first = Pass::new(store.rewriter(), store.directory());
    let report = first.run(&Rules::default(), Position::START, start(), &mut sealing).unwrap();
    assert!(report.looked_at > 0 && sealing.written.is_none(), "{report:?}");
    assert_eq!((report.erased, report.pending), (0, 1), "it was not looked at");
    assert_eq!(pass(&store, &Rules::default(), start()).erased, 1);
    assert_eq!(who_has(root.path(), "PRIVATE-again-END"), None);
    assert_eq!(who_has(root.path(), &marker(BY_ID)), None);
}

#[test]
fn what_is_still_written_waits_for_its_seal_and_is_hidden_until_then() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(options(root.path())).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    let id = crate::support::record(&mut writer, 1).click_id;
    erase(root.path(), &[click(&id.to_string())]);
    store.hidden().refresh().unwrap();
    let external_id = || match store.clicks().find(&id) {
        Lookup::Found(found) => found.click().unwrap().external_id.to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(external_id(), "");
    let report = pass(&store, &Rules::default(), start());
    assert_eq!((report.erased, report.pending), (0, 1));
    assert!(who_has(root.path(), "external-1").is_some());
    writer.roll_now();
    let lane = std::sync::Arc::clone(writer.lane());
    while lane.view().sealed.is_empty() {
        thread::yield_now();
    }
    assert_eq!(pass(&store, &Rules::default(), start()).erased, 1);
    assert_eq!(who_has(root.path(), "external-1"), None);
    assert!(Erasures::load(store.directory()).unwrap().is_empty());
    store.hidden().refresh().unwrap();
    assert_eq!(external_id(), "");
}
