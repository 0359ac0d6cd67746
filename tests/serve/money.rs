//! Postbacks at the daemon as a process: killed and cut off under load, it has each conversion that it answered, once.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Mutex;

use crate::disk::{Disk, PowerSwitch, skipped};
use crate::process::{Process, ask, ask_whole, connect};
use clicklog::event::codec::{Event, decode};
use clicklog::event::decision::Verdict;
use clicklog::store::Journal;
use clicklog::store::directory::Directory;
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
