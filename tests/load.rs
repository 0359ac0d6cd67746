//! The load generator against servers that behave, and servers that do not: real sockets on port 0, and a clock that
//! the server moves where time matters.
#![cfg(feature = "daemon")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clicklog::clock::{Clock, ManualClock, Timestamp};
use clicklog::load::{Fault, Limit, Plan, Report, run};
use clicklog::shutdown::Shutdown;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Semaphore, oneshot};

const SECOND: Duration = Duration::from_secs(1);
const FOUND: &str = "HTTP/1.1 302 Found\r\nLocation: /to\r\nContent-Length: 0\r\n\r\n";

/// A server on a thread of its own; it ends when this is dropped.
struct Server {
    address: SocketAddr,
    /// The heads of all requests, as they came.
    heads: Arc<Mutex<Vec<String>>>,
    accepted: Arc<AtomicU64>,
    _stop: oneshot::Sender<()>,
}

/// The server's side of a connection.
struct Peer {
    stream: TcpStream,
    bytes: Vec<u8>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Peer {
    /// The head of the next request; nothing once the client has closed.
    async fn request(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.bytes.drain(..at + 4).collect();
                let head = String::from_utf8(head).unwrap();
                self.heads.lock().unwrap().push(head.clone());
                return Some(head);
            }
            if self.stream.read_buf(&mut self.bytes).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    async fn send(&mut self, text: &str) {
        // The client may be gone, if that is what the test is about.
        let _gone = self.stream.write_all(text.as_bytes()).await;
    }
}

/// Starts a server that runs `handle` for each connection. `make` makes it on the server's thread.
fn serve<H, F>(make: impl FnOnce() -> H + Send + 'static) -> Server
where
    H: Fn(Peer) -> F + 'static,
    F: Future<Output = ()> + 'static,
{
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = socket.local_addr().unwrap();
    let (heads, accepted) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicU64>::default());
    let (stop, mut stopped) = oneshot::channel();
    let (all_heads, all_accepted) = (Arc::clone(&heads), Arc::clone(&accepted));
    std::thread::spawn(move || {
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
        runtime.block_on(async {
            let listener = TcpListener::from_std(socket).unwrap();
            let handle = make();
            loop {
                let stream = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap().0,
                    _ = &mut stopped => return,
                };
                all_accepted.fetch_add(1, Ordering::SeqCst);
                let peer = Peer { stream, bytes: Vec::new(), heads: Arc::clone(&all_heads) };
                tokio::task::spawn_local(handle(peer));
            }
        });
    });
    Server { address, heads, accepted, _stop: stop }
}

/// Answers every request with `text`.
fn answering(text: &'static str) -> Server {
    serve(move || {
        move |mut peer: Peer| async move {
            while peer.request().await.is_some() {
                peer.send(text).await;
            }
        }
    })
}

impl Server {
    /// One connection, flat out, no warm-up.
    fn plan(&self, path: &str, requests: u64) -> Plan {
        Plan {
            connections: 1,
            limit: Limit::Requests(requests),
            warm_up: Duration::ZERO,
            ..Plan::new(vec![format!("http://{}{path}", self.address).parse().unwrap()])
        }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// Runs the plan, and checks that the books balance.
fn load(plan: &Plan) -> Report {
    load_by(plan, &Clock::System, &Shutdown::default())
}

fn load_by(plan: &Plan, clock: &Clock, shutdown: &Shutdown) -> Report {
    let report = run(plan, clock, shutdown).unwrap();
    let failed: u64 = Fault::ALL.iter().map(|fault| report.faults(*fault)).sum();
    assert_eq!(report.sent, report.answered() + failed, "{report}");
    assert_eq!(report.answered(), (2..6).map(|class| report.class(class)).sum::<u64>(), "{report}");
    assert_eq!(report.latency.count, report.answered(), "{report}");
    assert_eq!(report.service.count, report.answered(), "{report}");
    report
}

fn manual() -> (ManualClock, Clock) {
    let hand = ManualClock::at(Timestamp::default());
    (hand.clone(), Clock::Manual(hand))
}

fn faults(report: &Report) -> BTreeMap<&'static str, u64> {
    let all = Fault::ALL.map(|fault| (fault.name(), report.faults(fault)));
    all.into_iter().filter(|(_, count)| *count > 0).collect()
}

/// The value of a header in a head.
fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {name} in {head}"))
}

/// Path and query.
fn path(head: &str) -> &str {
    head.split(' ').nth(1).unwrap()
}

#[test]
fn every_request_is_sent_once_and_its_answer_counted_over_all_threads() {
    let server = answering(FOUND);
    let report = load(&Plan { threads: 2, connections: 5, ..server.plan("/c/demo?n={n}", 101) });
    assert_eq!((report.sent, report.class(3), report.unsent), (101, 101, 0));
    let paths: BTreeSet<_> = server.heads().iter().map(|head| path(head).to_owned()).collect();
    assert_eq!((paths.len(), server.heads().len()), (101, 101));
    assert_eq!(report.bytes_received, 101 * FOUND.len() as u64);
    assert_eq!(report.bytes_sent, server.heads().iter().map(|head| head.len() as u64).sum::<u64>());
    assert_eq!(report.connections_opened, server.accepted.load(Ordering::SeqCst));
}

/// The server answers only once four requests are there: without pipelining it would wait for ever.
#[test]
fn pipelined_answers_belong_to_the_requests_in_order() {
    let server = serve(|| {
        |mut peer: Peer| async move {
            loop {
                let mut answers = String::new();
                for _ in 0..4 {
                    let Some(head) = peer.request().await else { return };
                    answers += &format!(
                        "HTTP/1.1 302 A\r\nLocation: {}\r\nContent-Length: 3\r\n\r\nabc",
                        path(&head)
                    );
                }
                peer.send(&answers).await;
            }
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ids");
    std::fs::write(&file, "before\n").unwrap();
    let plan = Plan { pipeline: 4, save_ids: Some(file.clone()), ..server.plan("/{n}", 40) };
    assert_eq!(load(&plan).class(3), 40);
    let expected: String = (0..40).map(|n| format!("/{n}\n")).collect();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("before\n{expected}"));
}

#[test]
fn close_mode_opens_a_connection_for_each_request() {
    let server = answering(FOUND);
    let report = load(&Plan { connections: 4, closes: true, ..server.plan("/", 50) });
    assert_eq!((report.class(3), report.connections_opened), (50, 50));
    assert_eq!(server.accepted.load(Ordering::SeqCst), 50);
    assert!(server.heads().iter().all(|head| header(head, "Connection") == "close"));
}

#[test]
fn an_answer_that_says_close_is_no_error() {
    let server = answering("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    let report = load(&server.plan("/", 7));
    assert_eq!((report.class(2), report.connections_opened), (7, 7));
}

/// Of three requests on a connection the first is answered, the second half, the third cannot be.
#[test]
fn a_server_that_closes_midway_costs_what_was_under_way_and_no_more() {
    let server = serve(|| {
        |mut peer: Peer| async move {
            if peer.request().await.is_some() {
                peer.send(FOUND).await;
            }
            if peer.request().await.is_some() && peer.request().await.is_some() {
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
            }
        }
    });
    let report = load(&Plan { pipeline: 3, ..server.plan("/", 9) });
    // On a new connection one is taken first, then three; each close takes two or three along.
    assert_eq!(report.sent, 9);
    assert!(report.class(3) >= 3 && report.faults(Fault::Io) >= 2, "{report}");
    assert_eq!(report.answered() + report.faults(Fault::Io), 9, "{report}");
    assert!(report.connections_opened >= 3, "{report}");
}

#[test]
fn a_server_that_closes_at_once_is_an_error_each_time() {
    let server = serve(|| |_closed: Peer| async {});
    let report = load(&Plan { connections: 2, ..server.plan("/", 8) });
    assert_eq!(faults(&report), BTreeMap::from([("io_errors", 8)]));
    assert!(!report.has_success());
}

#[test]
fn a_server_that_is_away_is_an_error_each_time() {
    let server = answering(FOUND);
    let plan = server.plan("/", 6);
    let address = server.address;
    drop(server);
    // The thread closes its socket soon; until then connections are taken, and closed.
    while std::net::TcpStream::connect(address).is_ok() {
        std::thread::yield_now();
    }
    let report = load(&Plan { connections: 3, ..plan });
    assert_eq!(faults(&report), BTreeMap::from([("connect_errors", 6)]));
    assert_eq!((report.bytes_sent, report.connections_opened), (0, 0));
    assert!(!report.has_success());
}

#[test]
fn what_is_no_http_is_a_bad_response() {
    let server = answering("SSH-2.0-OpenSSH_9.2\r\n\r\n");
    assert_eq!(faults(&load(&server.plan("/", 3))), BTreeMap::from([("bad_responses", 3)]));
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let server = answering(long.leak());
    assert_eq!(faults(&load(&server.plan("/", 3))), BTreeMap::from([("bad_responses", 3)]));
}

#[test]
fn requests_behind_a_bad_response_are_lost_with_their_connection() {
    let server = answering("SSH-2.0-OpenSSH_9.2\r\n\r\n");
    let report = load(&Plan { pipeline: 3, ..server.plan("/", 6) });
    assert_eq!(faults(&report), BTreeMap::from([("bad_responses", 2), ("io_errors", 4)]));
}

#[test]
fn a_body_ends_where_its_head_says() {
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n0\r\n\r\n";
    const UNTIL_CLOSE: &str = "HTTP/1.1 404 No\r\n\r\nall there is";
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{}", "y".repeat(100_000));
    let long: &'static str = long.leak();
    let server = serve(move || {
        move |mut peer: Peer| async move {
            while let Some(head) = peer.request().await {
                match path(&head) {
                    "/chunked" => peer.send(CHUNKED).await,
                    "/long" => peer.send(long).await,
                    "/none" => peer.send("HTTP/1.1 204 None\r\n\r\n").await,
                    _ => return peer.send(UNTIL_CLOSE).await,
                }
            }
        }
    });
    let mut plan = server.plan("/chunked", 60);
    let more = ["/long", "/none", "/until-close"].map(|path| server.plan(path, 60).targets.remove(0));
    plan.targets.extend(more);
    let report = load(&plan);
    assert_eq!(report.answered(), 60, "{report}");
    let often = |asked: &str| server.heads().iter().filter(|head| path(head) == asked).count() as u64;
    assert_eq!(report.class(4), often("/until-close"));
    assert_eq!(report.statuses.get(&204), Some(&often("/none")));
    let expected = often("/chunked") * CHUNKED.len() as u64
        + often("/long") * long.len() as u64
        + often("/none") * "HTTP/1.1 204 None\r\n\r\n".len() as u64
        + often("/until-close") * UNTIL_CLOSE.len() as u64;
    assert_eq!(report.bytes_received, expected);
}

#[test]
fn an_answer_to_head_has_no_body() {
    let server = answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    let report = load(&Plan { method: Some(http::Method::HEAD), ..server.plan("/", 5) });
    assert_eq!(report.class(2), 5);
    assert!(server.heads().iter().all(|head| head.starts_with("HEAD / ")));
}

/// The first request has the clock leap over the whole schedule; when all connections are held, it leaps again.
#[test]
fn at_a_rate_the_wait_for_a_slow_server_is_in_the_latency_of_every_request() {
    let (hand, clock) = manual();
    let server = serve(move || {
        let (gate, seen) = (Rc::new(Semaphore::new(0)), Rc::new(Cell::new(0)));
        move |mut peer: Peer| {
            let (gate, seen, hand) = (Rc::clone(&gate), Rc::clone(&seen), hand.clone());
            async move {
                while peer.request().await.is_some() {
                    seen.set(seen.get() + 1);
                    if seen.get() == 1 || seen.get() == 4 {
                        hand.advance(SECOND);
                    }
                    if seen.get() == 4 {
                        gate.add_permits(1_000);
                    }
                    gate.acquire().await.unwrap().forget();
                    peer.send(FOUND).await;
                }
            }
        }
    });
    let plan = Plan { rate: Some(1_000), connections: 4, ..server.plan("/", 50) };
    let report = load_by(&plan, &clock, &Shutdown::default());
    assert_eq!((report.sent, report.latency.count), (50, 50));
    let [(_, p50), .., (_, max)] = report.latency.values_us;
    // Due between 0 and 49 ms, answered at 2 s.
    assert!((1_950_000..2_000_000).contains(&p50) && (2_000_000..2_002_000).contains(&max), "{report}");
    // From the server's side it looks well: all but four were answered in no time.
    assert_eq!(report.service.values_us[0], ("p50", 0), "{report}");
    assert_eq!(report.elapsed, 2 * SECOND);
    assert_eq!((report.is_rate_kept(), report.wanted_per_s), (Some(false), Some(1_000)));
}

#[test]
fn requests_of_the_schedule_that_time_did_not_reach_are_told_apart() {
    let (hand, clock) = manual();
    let server = serve(move || {
        move |mut peer: Peer| {
            let hand = hand.clone();
            async move {
                while peer.request().await.is_some() {
                    hand.advance(SECOND * 2);
                    peer.send(FOUND).await;
                }
            }
        }
    });
    let plan = Plan { rate: Some(100), limit: Limit::Time(SECOND), ..server.plan("/", 1) };
    let report = load_by(&plan, &clock, &Shutdown::default());
    assert!(report.sent >= 1 && report.sent + report.unsent == 100, "{report}");
}

#[test]
fn the_warm_up_is_sent_and_not_counted() {
    let server = answering(FOUND);
    let warm_up = Duration::from_millis(50);
    let report = load(&Plan { rate: Some(100), warm_up, ..server.plan("/", 4) });
    assert_eq!((report.sent, server.heads().len()), (4, 9));
}

#[test]
fn an_answer_that_does_not_come_is_a_timeout() {
    let (hand, clock) = manual();
    let server = serve(move || {
        move |mut peer: Peer| {
            let hand = hand.clone();
            async move {
                while peer.request().await.is_some() {
                    hand.advance(SECOND * 11);
                }
            }
        }
    });
    let report = load_by(&Plan { pipeline: 2, ..server.plan("/", 6) }, &clock, &Shutdown::default());
    assert_eq!(faults(&report), BTreeMap::from([("timeouts", 6)]));
}

/// The server closes behind its answer without a word; only when the client has noticed does time go on.
#[test]
fn a_connection_closed_while_it_is_idle_costs_no_request() {
    let (hand, clock) = manual();
    let server = serve(move || {
        move |mut peer: Peer| {
            let hand = hand.clone();
            async move {
                if peer.request().await.is_some() {
                    peer.send(FOUND).await;
                    peer.stream.shutdown().await.unwrap();
                    assert_eq!(peer.request().await, None);
                    hand.advance(SECOND);
                }
            }
        }
    });
    let plan = Plan { rate: Some(1), ..server.plan("/", 4) };
    let report = load_by(&plan, &clock, &Shutdown::default());
    assert_eq!((report.class(3), report.connections_opened), (4, 4), "{report}");
}

#[test]
fn an_interrupt_ends_the_run_with_what_was_so_far() {
    let shutdown = Shutdown::default();
    let (seen, tripped) = (Arc::<AtomicU64>::default(), shutdown.clone());
    let server = serve(move || {
        move |mut peer: Peer| {
            let (seen, tripped) = (Arc::clone(&seen), tripped.clone());
            async move {
                while peer.request().await.is_some() {
                    // Five answers, then silence on all three connections.
                    match seen.fetch_add(1, Ordering::SeqCst) {
                        0..5 => peer.send(FOUND).await,
                        7 => tripped.trip(),
                        _ => {}
                    }
                }
            }
        }
    });
    let plan = Plan { connections: 3, limit: Limit::Time(SECOND * 3600), ..server.plan("/", 1) };
    let report = load_by(&plan, &Clock::System, &shutdown);
    assert!(report.is_interrupted);
    assert_eq!((report.class(3), report.faults(Fault::Interrupted)), (5, 3), "{report}");
    assert!(report.to_string().starts_with("interrupted"), "{report}");
}

#[test]
fn a_seed_decides_who_comes_and_each_visitor_is_recognisable() {
    let server = answering(FOUND);
    // For each request its number and visitor; for each visitor what is seen of them.
    let run_of = |seed| {
        server.heads.lock().unwrap().clear();
        load(&Plan { seed, visitors: 20, connections: 3, ..server.plan("/?n={n}&v={visitor}", 200) });
        let (mut requests, mut visitors) = (BTreeSet::new(), BTreeMap::<_, BTreeSet<_>>::new());
        for head in server.heads() {
            let visitor = path(&head).split_once("&v=").unwrap().1.to_owned();
            requests.insert(path(&head).to_owned());
            let seen = (header(&head, "X-Forwarded-For").to_owned(), header(&head, "User-Agent").to_owned());
            visitors.entry(visitor).or_default().insert(seen);
        }
        (requests, visitors)
    };
    let (requests, visitors) = run_of(5);
    assert_eq!((requests.len(), visitors.len()), (200, 20));
    assert!(visitors.values().all(|seen| seen.len() == 1), "{visitors:?}");
    let addresses: BTreeSet<_> = visitors.values().flatten().map(|(address, _)| address).collect();
    assert_eq!(addresses.len(), 20);
    assert_eq!(run_of(5), (requests.clone(), visitors.clone()));
    let (other_requests, other_visitors) = run_of(6);
    assert!(other_requests != requests && other_visitors != visitors);
}

fn command(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_clicklog")).arg("load").args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_command_refuses_what_it_cannot_load_and_says_what_to_do() {
    let cases = [
        (&["https://localhost/"][..], 2, "plain http: point it at an http listener"),
        (&["localhost:8080/c/demo"], 2, "a URL begins with http://"),
        (&["http://127.0.0.1:1/{m}"], 2, "there are {n}, {visitor} and {random}"),
        (&["http://127.0.0.1:1/", "--duration", "10"], 2, "a duration like"),
        (&["http://127.0.0.1:1/", "--threads", "65"], 1, "65 threads need at least as many connections"),
        (&["http://127.0.0.1:1/", "--cpu", "1000000"], 1, "cannot run on processor 1000000"),
    ];
    for (arguments, code, expected) in cases {
        let (got, _, error) = command(arguments);
        assert_eq!(got, Some(code), "{arguments:?}: {error}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
}

#[test]
fn the_command_reports_in_json_with_stable_names() {
    let server = answering(FOUND);
    let url = format!("http://{}/c/demo", server.address);
    let common = ["--requests", "20", "--warm-up", "0", "--connections", "2"];
    let json = [&[url.as_str(), "--format", "json", "--rate", "500"], &common[..]].concat();
    let (code, text, error) = command(&json);
    assert_eq!(code, Some(0), "{error}");
    let report: BTreeMap<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    for (name, value) in [("requests", 20), ("status_3xx", 20), ("io_errors", 0), ("latency_count", 20)] {
        assert_eq!(report[name].as_u64(), Some(value), "{name}: {text}");
    }
    for name in
        ["latency_p99_us", "service_p99_99_us", "latency_max_us", "elapsed_s", "rate_kept", "statuses"]
    {
        assert!(report.contains_key(name), "{name}: {text}");
    }
    let (_, help, _) = command(&["--help"]);
    // clap takes the third gap for a line end.
    assert!(help.contains("{visitor}, {random} and n in braces"), "{help}");
    let (_, text, _) = command(&[&[url.as_str()], &common[..]].concat());
    assert!(text.contains("requests   20 in ") && text.contains("  302      20\n"), "{text}");
}

#[test]
fn the_command_fails_if_no_request_succeeds() {
    let server = answering("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    let url = format!("http://{}/", server.address);
    let (code, text, _) = command(&[&url, "--requests", "3", "--warm-up", "0"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("4xx 3"), "{text}");
}
