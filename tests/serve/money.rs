//! Postbacks at the daemon as a process: raced, killed and cut off under load, it has each conversion that it answered, once.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Barrier, Mutex};

use crate::disk::{Disk, PowerSwitch, skipped};
use crate::process::{Process, ask, ask_whole, connect};
use clicklog::event::codec::{Event, decode};
use clicklog::event::decision::Verdict;
use clicklog::store::Journal;
use clicklog::store::directory::Directory;
use clicklog::store::layout::{Header, Mark, read_mark};
use clicklog::store::reader::{Cursor, Reader};
use clicklog::store::verify::verify;
use rustix::process::Signal;

/// What clients were told is accepted.
type Promised = Mutex<Vec<String>>;

/// A click's id.
fn click(process: &Process) -> String {
    let head =
        ask(&mut connect(process.visitors), "GET /c/demo HTTP/1.1\r\nHost: trk.example\r\n\r\n").unwrap();
    let id = head.split("cl_cid=").nth(1).unwrap_or_else(|| panic!("no click id in {head}"));
    id.split(';').next().unwrap().to_owned()
}

/// Reports a transaction; what came of it, if there was an answer.
fn report(stream: &mut std::net::TcpStream, click: &str, transaction: &str) -> Option<String> {
    let request = format!(
        "GET /postback?click_id={click}&txid={transaction}&payout=1.00 HTTP/1.1\r\nHost: trk.example\r\n\r\n"
    );
    let (head, body) = ask_whole(stream, &request)?;
    let result = head.lines().find_map(|line| line.strip_prefix("x-clicklog-result: "))?.to_owned();
    assert!(head.starts_with("HTTP/1.1 200") || head.starts_with("HTTP/1.1 503"), "{head}{body}");
    Some(result)
}

/// Reports transactions on four connections, each one twice, until `stop` has done its work.
fn report_until(process: &Process, round: u32, promised: &Promised, stop: impl FnOnce()) {
    let click = click(process);
    std::thread::scope(|scope| {
        for client in 0..4 {
            let click = &click;
            scope.spawn(move || {
                let mut stream = connect(process.visitors);
                for n in 0.. {
                    let transaction = format!("t-{round}-{client}-{n}");
                    match report(&mut stream, click, &transaction).as_deref() {
                        Some("accepted") => promised.lock().unwrap().push(transaction.clone()),
                        Some(other) => assert!(other.starts_with("rejected"), "{transaction} is {other}"),
                        None => return,
                    }
                    match report(&mut stream, click, &transaction).as_deref() {
                        Some("duplicate") => {}
                        Some(other) => {
                            assert!(other.starts_with("rejected"), "{transaction} is {other} again");
                        }
                        None => return,
                    }
                }
            });
        }
        stop();
    });
}

fn wait_for(promised: &Promised, count: usize) {
    while promised.lock().unwrap().len() < count {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// How often each transaction was accepted, by the journal.
fn accepted(data: &Path) -> HashMap<String, u32> {
    let mut accepted = HashMap::new();
    let count = |_, record: &clicklog::store::record::Record<'_>| {
        if let Ok(Event::Decision(decision)) = decode(record.kind, record.schema, record.payload)
            && decision.verdict == Verdict::Accepted
        {
            assert_eq!(decision.campaign, "demo");
            *accepted.entry(decision.conversion.transaction_id.to_owned()).or_default() += 1;
        }
        ControlFlow::Continue(())
    };
    Reader::open(data).read(Journal::Postbacks, 0, Cursor::default(), count).unwrap();
    accepted
}

fn each_promise_is_kept_once(data: &Path, promised: &[String]) {
    let accepted = accepted(data);
    for transaction in promised {
        assert!(accepted.contains_key(transaction), "{transaction} was accepted, and is not there");
    }
    for (transaction, times) in accepted {
        assert_eq!(times, 1, "{transaction} counts more than once");
    }
}

/// Reports each of these transactions at the same moment on two connections; both results of each.
fn race(process: &Process, click: &str, transactions: &[String]) -> Vec<[String; 2]> {
    let start = Barrier::new(2);
    let racer = |stride: usize| {
        // Whose worker a connection is, the kernel says: among all pairs of these there are some of two workers.
        let mut streams: Vec<_> = (0..4).map(|_| connect(process.visitors)).collect();
        let mut results = Vec::new();
        for (round, transaction) in transactions.iter().enumerate() {
            let stream = &mut streams[round / stride % 4];
            start.wait();
            // Whoever got no answer says so at the end: nobody waits for a racer that is gone.
            results.push(report(stream, click, transaction));
        }
        results
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| racer(4));
        let one = racer(1);
        let pairs = one.into_iter().zip(other.join().unwrap());
        pairs.map(|(one, other)| [one.unwrap(), other.unwrap()]).collect()
    })
}

/// Up to where a segment of the postbacks journal is on stable storage, by its own mark. The daemon may go on meanwhile.
fn synced(data: &Path, segment: u32) -> u32 {
    let mut front = vec![0; 4096];
    let path = Directory::new(data).segment(Journal::Postbacks, 0, segment, 0);
    File::open(path).unwrap().read_exact(&mut front).unwrap();
    let header = Header::from_front(&front).unwrap();
    match read_mark(&front, header.identity.seed()) {
        Mark::Synced(offset) => offset,
        Mark::Unknown => panic!("the mark of segment {segment} is damaged"),
    }
}

/// Every decision on each transaction, in order; all of them lie in front of the mark.
fn synced_verdicts(data: &Path) -> HashMap<String, Vec<Verdict>> {
    let mut verdicts: HashMap<String, Vec<Verdict>> = HashMap::new();
    let mut marks = HashMap::new();
    let note = |position: clicklog::store::Position, record: &clicklog::store::record::Record<'_>| {
        if let Ok(Event::Decision(decision)) = decode(record.kind, record.schema, record.payload) {
            let mark = *marks.entry(position.segment()).or_insert_with(|| synced(data, position.segment()));
            assert!(
                position.offset() < mark,
                "{position} was answered, and is on stable storage up to {mark}"
            );
            let transaction = decision.conversion.transaction_id.to_owned();
            verdicts.entry(transaction).or_default().push(decision.verdict);
        }
        ControlFlow::Continue(())
    };
    Reader::open(data).read(Journal::Postbacks, 0, Cursor::default(), note).unwrap();
    verdicts
}

/// Two workers, one transaction, the same moment: one is accepted and one is a duplicate, and when both have their answers,
/// both are on stable storage. Whoever pulls the plug just then changes nothing.
#[test]
fn of_two_that_race_one_is_accepted_and_one_is_a_duplicate_and_both_are_synced_when_they_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("clicklog-data");
    let mut all: Vec<String> = Vec::new();
    for life in 0..4 {
        let process = Process::start(folder.path(), &[]);
        let click = click(&process);
        for race_of in 0..8 {
            let transactions: Vec<String> =
                (0..if race_of == 0 { 400 } else { 3 }).map(|n| format!("t-{life}-{race_of}-{n}")).collect();
            for (transaction, mut results) in transactions.iter().zip(race(&process, &click, &transactions)) {
                results.sort();
                assert_eq!(results, ["accepted", "duplicate"], "{transaction}");
            }
            all.extend(transactions);
            if race_of == 7 {
                process.signal(Signal::KILL);
            }
            let verdicts = synced_verdicts(&data);
            for transaction in &all {
                assert_eq!(verdicts[transaction], [Verdict::Accepted, Verdict::Duplicate], "{transaction}");
            }
        }
        assert_eq!(process.end().0, None);
    }
    let process = Process::start(folder.path(), &[]);
    let click = click(&process);
    let mut stream = connect(process.visitors);
    for transaction in &all {
        assert_eq!(report(&mut stream, &click, transaction).as_deref(), Some("duplicate"), "{transaction}");
    }
    process.signal(Signal::TERM);
    assert_eq!(process.end().0, Some(0));
    assert!(verify(&Directory::new(&data), &mut |_, _| {}).unwrap().is_sound());
}

#[test]
fn killed_under_load_again_and_again_it_has_each_conversion_once() {
    let folder = tempfile::tempdir().unwrap();
    let promised = Promised::default();
    for round in 0..5 {
        let process = Process::start(folder.path(), &[]);
        let before = promised.lock().unwrap().clone();
        let click = click(&process);
        let mut stream = connect(process.visitors);
        for transaction in before.iter().rev().take(50) {
            assert_eq!(
                report(&mut stream, &click, transaction).as_deref(),
                Some("duplicate"),
                "{transaction}"
            );
        }
        report_until(&process, round, &promised, || {
            wait_for(&promised, before.len() + 300);
            process.signal(Signal::KILL);
        });
        process.end();
        each_promise_is_kept_once(&folder.path().join("clicklog-data"), &promised.lock().unwrap());
    }
    // One more start mends the tails, and finds everything sound.
    let process = Process::start(folder.path(), &[]);
    process.signal(Signal::TERM);
    assert_eq!(process.end().0, Some(0));
    let data = folder.path().join("clicklog-data");
    assert!(verify(&Directory::new(&data), &mut |_, _| {}).unwrap().is_sound());
    each_promise_is_kept_once(&data, &promised.lock().unwrap());
}

#[test]
fn cut_off_under_load_it_has_each_conversion_once() {
    let root = tempfile::tempdir().unwrap();
    let disk = match Disk::make(root.path(), 512 << 20) {
        Ok(disk) => disk,
        Err(reason) => return skipped(&format!("no power can be cut here: {reason}")),
    };
    let promised = Promised::default();
    for round in 0..3 {
        let process = Process::start(disk.point(), &[]);
        let switch = disk.power_switch();
        let before = promised.lock().unwrap().len();
        let (mut kept, mut is_cut) = (0, Ok(()));
        report_until(&process, round, &promised, || {
            wait_for(&promised, before + 300);
            // What is said once the power is gone is no promise: see `PowerSwitch`.
            let promised = promised.lock().unwrap();
            kept = promised.len();
            is_cut = switch.and_then(PowerSwitch::cut);
            drop(promised);
            process.signal(Signal::KILL);
        });
        process.end();
        if let Err(reason) = is_cut {
            return skipped(&format!("no power can be cut here: {reason}"));
        }
        disk.restore_power();
        promised.lock().unwrap().truncate(kept);
        // The next start recovers; what it makes of the journal is what counts.
        let process = Process::start(disk.point(), &[]);
        process.signal(Signal::TERM);
        assert_eq!(process.end().0, Some(0));
        each_promise_is_kept_once(&disk.point().join("clicklog-data"), &promised.lock().unwrap());
    }
}
