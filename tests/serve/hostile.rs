//! 100,000 hostile conversions at the daemon as a process: it stays up, its numbers add up, and so does the money.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use crate::malice::{Asked, Malice, Random};
use crate::process::{Process, ask, ask_whole, connect};
use clicklog::event::codec::{Event, decode};
use clicklog::event::decision::Verdict;
use clicklog::store::Journal;
use clicklog::store::directory::Directory;
use clicklog::store::reader::{Cursor, Reader};
use clicklog::store::verify::verify;
use rustix::process::Signal;

const REQUESTS: usize = 100_000;
const CLIENTS: usize = 32;
const SECRET: &str = "a-secret-of-all-of-them";

/// Every mode in every scope, every profile, and networks that ask for something; and the names of all of them.
fn catalog() -> (String, Vec<String>) {
    let mut text = String::new();
    let mut names = Vec::new();
    let mut network = |id: String, lines: &str| {
        text += &format!("[[network]]\nid = \"{id}\"\n{lines}\n");
        names.push(id);
    };
    for mode in ["by_transaction", "first_wins", "replace", "add", "each"] {
        for scope in ["click", "click+event", "offer+event", "network"] {
            let lines = format!("dedupe = {{ mode = \"{mode}\", scope = \"{scope}\" }}");
            network(format!("{mode}-{}", scope.replace('+', "-")), &lines);
        }
    }
    let profiles = include_str!("../../config/networks.toml").lines();
    for profile in profiles.filter_map(|line| line.strip_prefix("id = \"")?.strip_suffix('"')) {
        let secret = "secret = { env = \"HOSTILE_SECRET\" }\npixels = true";
        network(format!("p-{profile}"), &format!("profile = \"{profile}\"\n{secret}"));
    }
    let bounds = "payout = { min = \"1\", max = \"500\", tolerance = \"50%\" }";
    for (mode, scope) in [("by_transaction", "network"), ("add", "click"), ("replace", "click+event")] {
        let dedupe = format!("dedupe = {{ mode = \"{mode}\", scope = \"{scope}\" }}");
        network(format!("bounded-{mode}"), &format!("{dedupe}\n{bounds}\npark = \"0s\""));
    }
    network("limited".to_owned(), "rate_limit = { per_second = 5, burst = 5 }");
    network("far".to_owned(), "allow_ips = [\"203.0.113.0/24\"]\nrequire_https = true");
    network("strict".to_owned(), "required = [\"transaction_id\", \"payout\", \"status\", \"currency\"]");
    text += "[[offer]]\nid = \"auto\"\nnetwork = \"each-click\"\nurl = \"https://o.example/?c={click_id}\"\n\
             [[offer]]\nid = \"fixed\"\nnetwork = \"add-click\"\nurl = \"https://o.example/?c={click_id}\"\npayout = \"3.50\"\n";
    for (campaign, offer) in [("auto", "auto"), ("fixed", "fixed"), ("late", "auto")] {
        text += &format!("[[campaign]]\nid = \"{campaign}\"\noffers = [{{ id = \"{offer}\" }}]\n");
        if campaign == "late" {
            text += "window = \"1s\"\n";
        }
    }
    (text, names)
}

/// An answer: its status, what it says became of the request, and whether it is the last one.
struct Answer {
    status: u16,
    result: String,
    is_last: bool,
}

/// Reads one; nothing once the peer is gone.
fn answer(stream: &mut TcpStream, unread: &mut Vec<u8>, is_head: bool) -> Option<Answer> {
    let end = loop {
        if let Some(at) = unread.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        fill(stream, unread)?;
    };
    let head = String::from_utf8(unread.drain(..end).collect()).unwrap();
    let status: u16 = head[9..12].parse().unwrap();
    let field =
        |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
    let body: usize = field("content-length: ").parse().unwrap_or(0);
    while !is_head && unread.len() < body {
        fill(stream, unread)?;
    }
    if status == 100 {
        return answer(stream, unread, is_head);
    }
    unread.drain(..if is_head { 0 } else { body });
    Some(Answer { status, result: field("x-clicklog-result: "), is_last: field("connection: ") == "close" })
}

fn fill(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<()> {
    let mut bytes = [0; 16 * 1024];
    match stream.read(&mut bytes) {
        Ok(0) | Err(_) => None,
        Ok(read) => {
            unread.extend(&bytes[..read]);
            Some(())
        }
    }
}

/// Sends so many requests, many at once on one connection, and now and then what ends it.
fn attack(process: &Process, malice: &mut Malice<'_>, count: usize) {
    let mut left = count;
    while left > 0 {
        let (mut stream, mut unread) = (connect(process.visitors), Vec::new());
        while left > 0 {
            let batch = batch(malice, left);
            left -= batch.len();
            let bytes: Vec<u8> = batch.iter().flat_map(|asked| asked.bytes.iter().copied()).collect();
            stream.write_all(&bytes).unwrap();
            let (answered, goes_on) = answers_to(&batch, &mut stream, &mut unread);
            left += batch.len() - answered;
            if !goes_on || malice.random.is_one_in(20) {
                break;
            }
        }
        // It may be answered and closed before all of it is sent.
        let _closed = stream.write_all(&malice.nonsense());
        if malice.random.is_one_in(2) {
            let _closed = stream.shutdown(Shutdown::Write);
            while answer(&mut stream, &mut unread, false).is_some() {}
        }
    }
}

/// Reads the answers to requests, until one says that it is the last; how many there were, and whether none said so.
fn answers_to(batch: &[Asked], stream: &mut TcpStream, unread: &mut Vec<u8>) -> (usize, bool) {
    for (answered, asked) in (1..).zip(batch) {
        let shown = || String::from_utf8_lossy(&asked.bytes).into_owned();
        let Answer { status, result, is_last } =
            answer(stream, unread, asked.is_head).unwrap_or_else(|| panic!("no answer to {}", shown()));
        assert!(is_expected(status, &result), "{status} {result:?} to {}", shown());
        let says = !asked.is_conversion || !result.is_empty() || status == 503;
        assert!(says, "{status} says nothing of what became of {}", shown());
        if is_last {
            return (answered, false);
        }
    }
    (batch.len(), true)
}

/// Up to 16 requests to be sent at once.
fn batch(malice: &mut Malice<'_>, left: usize) -> Vec<Asked> {
    let mut batch: Vec<Asked> =
        (0..=malice.random.below(16).min(left - 1)).map(|_| malice.request()).collect();
    if let Some(chunked) = batch.iter().position(|asked| asked.is_chunked) {
        batch.drain(..chunked);
        batch.truncate(1);
    }
    batch
}

fn is_expected(status: u16, result: &str) -> bool {
    match status {
        200 | 202 | 204 | 302 | 400 | 403 | 404 | 405 | 414 | 429 => true,
        // A browser that fetches ahead; anything else was not kept, and there was no reason not to.
        503 => result.is_empty(),
        _ => false,
    }
}

/// The numbers of a metric by its first label.
fn numbers(page: &str, metric: &str) -> HashMap<String, u64> {
    let lines = page.lines().filter_map(|line| {
        let rest = line.strip_prefix(metric)?;
        let (labels, number) = rest.rsplit_once(' ')?;
        let label = labels.split('"').nth(1).unwrap_or_default();
        (labels.is_empty() || labels.starts_with('{')).then(|| (label.to_owned(), number.parse().unwrap()))
    });
    lines.collect()
}

fn metrics(process: &Process) -> String {
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    ask_whole(&mut connect(process.operators), request).unwrap().1
}

/// Waits until all that came has ended: who went away is noticed a moment later.
fn balanced(process: &Process, sent: u64) -> HashMap<String, u64> {
    let mut tries = 0;
    loop {
        let page = metrics(process);
        let received = numbers(&page, "clicklog_http_requests_received_total")[""];
        let outcomes = numbers(&page, "clicklog_http_requests_total");
        let ended: u64 = outcomes.values().sum();
        if received == ended && received >= sent {
            let refused: u64 = numbers(&page, "clicklog_postbacks_refused_total").values().sum();
            let groups = ["unknown_network", "denied", "rate_limited", "unreadable"];
            assert_eq!(groups.map(|outcome| outcomes[outcome]).iter().sum::<u64>(), refused, "{page}");
            return outcomes;
        }
        tries += 1;
        assert!(tries < 1_000, "{received} received, {ended} ended, {sent} sent\n{page}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Every decision adds what moves its conversion from where it stood to where it stands, in each currency apart, and no
/// conversion ever owes. How often each verdict was given.
fn balances(data: &Path) -> HashMap<Verdict, u64> {
    let mut verdicts = HashMap::new();
    let mut sums: HashMap<[u8; 16], i128> = HashMap::new();
    let mut by_currency: HashMap<([u8; 16], String), i128> = HashMap::new();
    let add = |position, record: &clicklog::store::record::Record<'_>| {
        if let Ok(Event::Decision(decision)) = decode(record.kind, record.schema, record.payload) {
            *verdicts.entry(decision.verdict).or_default() += 1;
            let (entry, net) = (decision.entry.get(), decision.standing.net().get());
            let sum = sums.entry(decision.conversion_id).or_default();
            *sum += i128::from(entry);
            let counts = matches!(decision.verdict, Verdict::Accepted | Verdict::Updated);
            assert!(counts || entry == 0, "{position}: {decision:?}");
            assert!(
                entry == 0 || decision.standing.currency.is_some(),
                "money of none, {position}: {decision:?}"
            );
            if decision.verdict != Verdict::Test {
                assert_eq!(*sum, i128::from(net), "{position}: {decision:?}");
            }
            let currency = decision.standing.currency.map_or(String::new(), |currency| currency.to_string());
            let of_it = by_currency.entry((decision.conversion_id, currency)).or_default();
            *of_it += i128::from(entry);
            assert!(*sum >= 0 && *of_it >= 0, "more was taken back than was paid, {position}: {decision:?}");
        }
        ControlFlow::Continue(())
    };
    Reader::open(data).read(Journal::Postbacks, 0, Cursor::default(), add).unwrap();
    assert!(sums.values().filter(|sum| **sum > 0).count() > 100, "money was counted");
    verdicts
}

fn new_seed() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes) | 1
}

#[test]
fn a_hundred_thousand_hostile_postbacks_leave_it_up_and_its_books_balanced() {
    let seed = new_seed();
    println!("seed {seed:#x}");
    let folder = tempfile::tempdir().unwrap();
    let (text, networks) = catalog();
    std::fs::write(folder.path().join("catalog.toml"), text).unwrap();
    let process =
        Process::start_with(folder.path(), &["--catalog", "catalog.toml"], &[("HOSTILE_SECRET", SECRET)]);
    let mut stream = connect(process.visitors);
    let mut click = |campaign: &str| {
        let request = format!("GET /c/{campaign} HTTP/1.1\r\nHost: trk.example\r\n\r\n");
        let head = ask(&mut stream, &request).unwrap();
        head.split("cl_cid=").nth(1).unwrap().split(';').next().unwrap().to_owned()
    };
    let clicks: Vec<String> = ["auto", "auto", "auto", "fixed", "fixed", "late"].map(&mut click).to_vec();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (process, clicks, networks) = (&process, &clicks, &networks);
            scope.spawn(move || {
                let own = seed.wrapping_add(u64::try_from(client).unwrap().wrapping_mul(0x9e37_79b9) << 1);
                let mut malice = Malice { random: Random(own), clicks, networks, secret: SECRET };
                attack(process, &mut malice, REQUESTS / CLIENTS);
            });
        }
    });
    let outcomes = balanced(&process, u64::try_from(REQUESTS).unwrap());
    assert_eq!(outcomes["unavailable"], 0, "{outcomes:?}");
    click("auto");
    let ready = ask_whole(&mut connect(process.operators), "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(ready.unwrap().0.starts_with("HTTP/1.1 200"), "it is ready");
    process.signal(Signal::TERM);
    let (code, said) = process.end();
    assert_eq!(code, Some(0), "{said}");
    let data = folder.path().join("clicklog-data");
    let verified = verify(&Directory::new(&data), &mut |_, _| {}).unwrap();
    assert!(verified.is_sound(), "{verified}");
    let verdicts = balances(&data);
    println!("{outcomes:?}\n{verdicts:?}");
    for verdict in [
        Verdict::Accepted,
        Verdict::Updated,
        Verdict::Duplicate,
        Verdict::Held,
        Verdict::Unmatched,
        Verdict::Late,
        Verdict::Test,
    ] {
        let (kept, counted) = (verdicts[&verdict], outcomes[verdict.name()]);
        // Whoever went away before the answer has its decision too.
        assert!(
            counted > 0 && (counted..=counted + outcomes["aborted"]).contains(&kept),
            "{verdict:?}: {kept}"
        );
    }
}
