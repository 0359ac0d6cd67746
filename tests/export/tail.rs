//! Records are shown as they are appended: each once, whatever becomes of its segment meanwhile.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use clicklog::batch::tail::{Options, What, tail};
use clicklog::event::click::Click;
use clicklog::event::codec::Encoder;
use clicklog::event::params::{Params, ParamsRef};
use clicklog::event::postback::Postback;
use clicklog::store::clicks::ClickWriter;
use clicklog::store::directory::SegmentFile;
use clicklog::store::layout::Identity;
use clicklog::store::manifest::ManifestFile;
use clicklog::store::reader::Reader;
use clicklog::store::recovery::{Expected, recover};
use clicklog::store::segment::{Plan, prepare};
use clicklog::store::space::Disk;
use clicklog::store::{Journal, Store};

use crate::read_back::json_rows;
use crate::support::{append, click_at, options, record};

fn json(last: usize) -> Options {
    let columns = ["time", "lane", "external_id"].map(str::to_owned).to_vec();
    Options { what: What::Clicks, is_json: true, columns, filters: Vec::new(), last }
}

fn put(writer: &mut ClickWriter, n: u32) {
    let _recorded = record(writer, n);
}

/// What is shown if `each_round` happens between looks, until it says no.
fn shown(data: &Path, options: &Options, each_round: &mut dyn FnMut(usize) -> bool) -> Vec<u8> {
    let (mut out, mut round) = (Vec::new(), 0);
    let unreadable = tail(&Reader::open(data), options, &mut out, &mut || {
        round += 1;
        each_round(round)
    });
    assert_eq!(unreadable.unwrap(), 0);
    out
}

/// Numbers of clicks by lane, as they were shown.
fn numbers(lines: &[u8]) -> BTreeMap<String, Vec<u32>> {
    let mut lanes: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for row in json_rows(lines) {
        let number = row["external_id"].rsplit('-').next().unwrap().parse().unwrap();
        lanes.entry(row["lane"].clone()).or_default().push(number);
    }
    lanes
}

#[test]
fn each_click_is_shown_once_over_seals_restarts_and_new_lanes() {
    let root = tempfile::tempdir().unwrap();
    let open = |workers| {
        let store = Store::open(clicklog::store::Options { lanes: workers, ..options(root.path()) }).unwrap();
        let writers: Vec<ClickWriter> = (0..workers).map(|lane| store.click_writer(lane).unwrap()).collect();
        (store, writers)
    };
    let mut next = [0; 2];
    let mut add = |writers: &mut [ClickWriter], count: u32| {
        for (writer, next) in writers.iter_mut().zip(&mut next) {
            (0..count).for_each(|n| put(writer, *next + n));
            *next += count;
        }
    };
    let mut opened = Some(open(1));
    add(&mut opened.as_mut().unwrap().1, 900);
    let lines = shown(root.path(), &json(usize::MAX), &mut |round| {
        match round {
            // Several segments at once, a few records, and nothing.
            1 => add(&mut opened.as_mut().unwrap().1, 3_000),
            2 | 4 | 9 => add(&mut opened.as_mut().unwrap().1, 7),
            // A process that dies, and a start that recovers, with one more lane.
            5 => {
                drop(opened.take());
                opened = Some(open(2));
            }
            6 => add(&mut opened.as_mut().unwrap().1, 1_200),
            7 => {
                let (store, writers) = opened.take().unwrap();
                writers.into_iter().for_each(ClickWriter::close);
                store.close().unwrap();
            }
            8 => opened = Some(open(2)),
            _ => {}
        }
        round < 12
    });
    let shown = numbers(&lines);
    for (lane, count) in next.iter().enumerate() {
        assert!(
            shown[&lane.to_string()].iter().copied().eq(0..*count),
            "lane {lane}: each of {count} once, in order: {:?}",
            shown.values().map(Vec::len).collect::<Vec<_>>()
        );
    }
}

#[test]
fn the_last_ones_are_those_that_are_asked_for() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(options(root.path())).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    (0..1_500).for_each(|n| put(&mut writer, n));
    for last in [0, 1, 10, 400, 1_499, 1_500, 9_999] {
        let lines = shown(root.path(), &json(last), &mut |_| false);
        let first = 1_500 - u32::try_from(last.min(1_500)).unwrap();
        let found = numbers(&lines).remove("0").unwrap_or_default();
        assert!(found.iter().copied().eq(first..1_500), "the last {last}");
    }
    let filters = vec!["external_id=external-3".parse().unwrap(), "external_id=external-9".parse().unwrap()];
    let lines = shown(root.path(), &Options { filters, ..json(2) }, &mut |_| false);
    assert_eq!(numbers(&lines)["0"], [3, 9]);
    writer.close();
    store.close().unwrap();
}

/// A sealed generation 1 of the first segment: the same clicks, with less in each, so that they lie elsewhere.
fn rewrite(data: &Path, count: u32) {
    let reader = Reader::open(data);
    let mut manifest = ManifestFile::load(reader.directory()).unwrap().unwrap();
    let store = manifest.current().store;
    let (journal, node, lane) = (Journal::Clicks, 0, 0);
    let identity = Identity { store, journal, node, lane, segment: 0, generation: 1 };
    let created = click_at(0).time;
    let plan = Plan { identity, segment_bytes: 128 * 1024, created, click_key: 0 };
    let mut appender = prepare(reader.directory(), &Disk::System, &plan).unwrap();
    let mut encoder = Encoder::default();
    for n in 0..count {
        let external_id = format!("e-{n}");
        let click = Click { external_id: &external_id, user_agent: "", ..click_at(n) };
        appender.append(&encoder.click(&click).unwrap());
    }
    drop(appender);
    let path = reader.directory().segment(journal, lane, 0, 1);
    let file = SegmentFile { segment: 0, generation: 1, path };
    recover(reader.directory(), &file, &Expected { store, node, journal, lane }, false, created).unwrap();
    let published = manifest.update(|manifest| {
        let lane = manifest.lanes.get_mut(&(journal, lane)).unwrap();
        lane.segments.get_mut(&0).unwrap().generation = 1;
        Ok(())
    });
    published.unwrap();
    std::fs::remove_file(reader.directory().segment(journal, lane, 0, 0)).unwrap();
}

#[test]
fn a_segment_that_is_rewritten_is_not_shown_again() {
    let root = tempfile::tempdir().unwrap();
    let open = || {
        let store = Store::open(options(root.path())).unwrap();
        let writer = store.click_writer(0).unwrap();
        (store, writer)
    };
    let close = |(store, writer): (Store, ClickWriter)| {
        writer.close();
        store.close().unwrap();
    };
    let mut opened = open();
    (0..300).for_each(|n| put(&mut opened.1, n));
    close(opened);
    let lines = shown(root.path(), &json(5), &mut |round| {
        match round {
            1 => rewrite(root.path(), 300),
            3 => {
                let mut opened = open();
                (300..320).for_each(|n| put(&mut opened.1, n));
                close(opened);
            }
            _ => {}
        }
        round < 5
    });
    assert!(numbers(&lines)["0"].iter().copied().eq(295..320), "{:?}", numbers(&lines));
}

#[test]
fn lines_for_people_do_nothing_to_a_terminal() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(options(root.path())).unwrap();
    let mut journal = store.journal_writer(Journal::Postbacks).unwrap();
    let postback = Postback {
        time: click_at(0).time,
        network: "boost",
        method: "GET",
        path: "/postback/boost",
        query: "cid=\x1b[2J&secret=***",
        body: b"a \"b\"\n\xff",
        refused: 9_999,
        ..Postback::default()
    };
    append(|| journal.append(&Encoder::default().postback(&postback).unwrap()));
    let text = Options { what: What::Postbacks, is_json: false, columns: Vec::new(), ..json(10) };
    let line = String::from_utf8(shown(root.path(), &text, &mut |_| false)).unwrap();
    assert_eq!(
        line,
        "2026-11-20T07:00:00.000000Z network=boost refused=9999 method=GET path=/postback/boost \
         query=\"cid=\\u{1b}[2J&secret=***\" body=\"a \\\"b\\\"\\n\u{fffd}\"\n"
    );
    journal.close();
    let mut params = Params::default();
    params.push("a\u{9b}31m", "\u{7f}\u{202e}b\n\"é");
    let mut encoded = Vec::new();
    params.encode_into(&mut encoded);
    let mut writer = store.click_writer(0).unwrap();
    let click = Click { params: ParamsRef::check(&encoded).unwrap(), ..click_at(0) };
    append(|| writer.append(&click));
    let columns = vec!["params".to_owned()];
    let text = Options { what: What::Clicks, is_json: false, columns, ..json(10) };
    let line = String::from_utf8(shown(root.path(), &text, &mut |_| false)).unwrap();
    assert_eq!(line, "params={\"a\\u009b31m\":\"\\u007f\\u202eb\\n\\\"é\"}\n");
    writer.close();
    store.close().unwrap();
}

#[test]
fn the_command_follows_until_it_is_interrupted_and_ends_well() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(options(root.path())).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    (0..20).for_each(|n| put(&mut writer, n));
    let mut child = Command::new(env!("CARGO_BIN_EXE_clicklog"))
        .args(["tail", "clicks", "--follow", "--last", "1", "--columns", "external_id", "--data"])
        .arg(root.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "external_id=external-19");
    put(&mut writer, 20);
    assert_eq!(lines.next().unwrap().unwrap(), "external_id=external-20");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(lines.next().is_none());
    writer.close();
    store.close().unwrap();
}
