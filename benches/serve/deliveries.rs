//! How many deliveries a second leave, what one costs beside a bare client, and how soon after its decision's sync?
//!
//! The dispatcher on processor 0, twenty destinations on processor 1, which answer 200 at once and keep their connections.
//! Decisions are appended to a store's journal while nobody follows it; then the dispatcher is started on it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use clicklog::clock::{Clock, Timestamp};
use clicklog::dispatcher::client;
use clicklog::dispatcher::destinations::{Destinations, Limits};
use clicklog::dispatcher::outbound::{Outbound, Route};
use clicklog::dispatcher::owed::Destination;
use clicklog::dispatcher::start::{Dispatcher, Options, start};
use clicklog::event::codec::{Encoder, Event, decode};
use clicklog::event::conversion::{Conversion, Standing, Status};
use clicklog::event::decision::{Decision, Verdict};
use clicklog::event::money::{Currency, Micros, Money};
use clicklog::load::Limit;
use clicklog::metrics::Page;
use clicklog::shutdown::Shutdown;
use clicklog::store::reader::{Cursor, Reader};
use clicklog::store::record::Record;
use clicklog::store::space::Marks;
use clicklog::store::{Appended, Error, Journal, LaneWriter, Store};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::contender::Contender;

/// The argument that makes the bench these destinations, and the one that makes it the dispatcher.
pub(crate) const SINKS: &str = "sinks";
pub(crate) const WORK: &str = "dispatch";

const DESTINATIONS: usize = 20;
const DELIVERIES: u32 = 400_000;
const PARKED: u32 = 5_000_000;
/// Attempts at once of the bare client: as many as the dispatcher makes, so that both have as many connections in use.
const BARE_TASKS: usize = 280;
const PACED: u32 = 2_000;
const ROUNDS: usize = 3;

pub(crate) fn run() {
    let mut sinks = sinks();
    let ports = ports(&mut sinks);
    let program = std::env::current_exe().unwrap();
    for mode in ["rounds", "paced", "parked"] {
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(&program).args([WORK, mode]);
        command.args(ports.iter().map(ToString::to_string));
        assert!(command.status().unwrap().success());
    }
    let _ended = (sinks.kill(), sinks.wait());
}

/// The same beside clicks, in one process with their worker, on one processor.
pub(crate) fn beside() {
    let mut sinks = sinks();
    let ports = ports(&mut sinks);
    (0..ROUNDS).for_each(|_| beside_clicks(&ports));
    let _ended = (sinks.kill(), sinks.wait());
}

/// What leaves while clicks come in at half of what one worker can take. Each of these postbacks is told to all twenty.
fn beside_clicks(ports: &[u16]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-data");
    let catalog = folder.join("deliveries.toml");
    let mut text = clicklog::config::catalog::BUILT_IN.to_owned();
    for (number, port) in ports.iter().enumerate() {
        let url = url(*port, "{click_id}");
        text.push_str(&format!(
            "\n[[postback]]\nid = \"d{number}\"\nurl = \"{url}\"\nallow_addresses = [\"127.0.0.1/32\"]\n"
        ));
    }
    std::fs::write(&catalog, text).unwrap();
    let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let contender = Contender::clicklog(&[
        ("CLICKLOG_CATALOG__PATH", catalog.to_str().unwrap()),
        ("CLICKLOG_ADMIN__LISTEN", &admin.to_string()),
        ("CLICKLOG_ADMIN_TOKEN", TOKEN),
    ]);
    for turn in ["pause", "resume"] {
        for number in 0..ports.len() {
            let body = format!("{{\"destination\":\"d{number}\"}}");
            let answer = ask(admin, "POST", &format!("/api/destinations/{turn}"), &body);
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        if turn == "pause" {
            let mut plan = super::postbacks::postbacks(&contender, 0);
            plan.limit = Limit::Requests(u64::from(DELIVERIES) / DESTINATIONS as u64);
            let report = clicklog::load::run(&plan, &Clock::System, &Shutdown::default()).unwrap();
            assert_eq!(report.class(2), report.sent, "{report:?}");
        }
    }
    let delivered = || {
        let page = ask(admin, "GET", "/metrics", "");
        let name = "clicklog_deliveries_total{result=\"delivered\"} ";
        page.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse::<u64>().unwrap()
    };
    let mut clicks = contender.plan();
    (clicks.rate, clicks.limit) = (Some(HALF_OF_CLICKS), Limit::Time(Duration::from_secs(8)));
    clicks.warm_up = Duration::ZERO;
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            std::thread::sleep(Duration::from_secs(2));
            let (began, before) = (Instant::now(), delivered());
            std::thread::sleep(Duration::from_secs(4));
            (delivered() - before) as f64 / began.elapsed().as_secs_f64()
        });
        let cost = contender.run(&clicks);
        let rate = cost.report.sent as f64 / cost.report.elapsed.as_secs_f64();
        let latency = cost.report.latency.values_us;
        println!(
            "beside {rate:.0} clicks/s: {:.0} deliveries/s; clicks in µs {latency:?}",
            watch.join().unwrap()
        );
    });
}

const TOKEN: &str = "bench";
const HALF_OF_CLICKS: u32 = 60_000;

pub(crate) fn sinks() -> Child {
    let mut command = Command::new("taskset");
    command.args(["-c", "1"]).arg(std::env::current_exe().unwrap()).arg(SINKS);
    command.stdout(Stdio::piped()).spawn().unwrap()
}

pub(crate) fn ports(sinks: &mut Child) -> Vec<u16> {
    let mut line = String::new();
    BufReader::new(sinks.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    line.split_whitespace().map(|port| port.parse().unwrap()).collect()
}

/// Twenty listeners; whatever ends in an empty line is answered.
pub(crate) fn run_sinks() {
    let listeners: Vec<TcpListener> =
        (0..DESTINATIONS).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let ports: Vec<_> = listeners.iter().map(|one| one.local_addr().unwrap().port().to_string()).collect();
    println!("{}", ports.join(" "));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let accepts = listeners.into_iter().map(|listener| async move {
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::task::spawn_local(answer(stream));
        }
    });
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let all: Vec<_> = accepts.map(tokio::task::spawn_local).collect();
        for one in all {
            let (): () = one.await.unwrap();
        }
    });
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

async fn answer(mut stream: tokio::net::TcpStream) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    stream.set_nodelay(true).unwrap();
    let (mut bytes, mut used) = (vec![0; 16 * 1024], 0);
    loop {
        match stream.read(&mut bytes[used..]).await {
            Ok(0) | Err(_) => return,
            Ok(read) => used += read,
        }
        if bytes[..used].ends_with(b"\r\n\r\n") {
            let answer: &[u8] = match bytes.get(5..8) {
                Some(b"han") => std::future::pending().await,
                Some(b"500") => b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno",
                Some(b"429") => b"HTTP/1.1 429 Slower\r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\nno",
                Some(b"slo") => {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    OK
                }
                _ => OK,
            };
            used = 0;
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}

pub(crate) fn run_work(words: &[String]) {
    let ports: Vec<u16> = words[1..].iter().map(|port| port.parse().unwrap()).collect();
    match words[0].as_str() {
        "rounds" => {
            for round in 1..=ROUNDS {
                let (bare_rate, bare_cpu) = bare(&ports);
                let (rate, cpu, opened) = dispatched(&ports);
                println!(
                    "round {round}: bare client {bare_rate:.0}/s, {bare_cpu:.1} µs CPU; dispatcher {rate:.0}/s, \
                     {cpu:.1} µs CPU, {:.2} times, {opened} connections",
                    cpu / bare_cpu
                );
            }
        }
        "paced" => paced(&ports),
        _ => parked(),
    }
}

/// A loop that does nothing but ask: requests a second, and processor time of each.
fn bare(ports: &[u16]) -> (f64, f64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let (began, cpu) = (Instant::now(), cpu());
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let tasks: Vec<_> = (0..BARE_TASKS)
            .map(|task| {
                let client = client.clone();
                let uri: http::Uri =
                    url(ports[task % ports.len()], "4rzn539zkkg78yhbs1c1ge1fsc").parse().unwrap();
                tokio::task::spawn_local(async move {
                    for _ in 0..DELIVERIES as usize / BARE_TASKS {
                        let answer = client.request(request(&uri)).await.unwrap();
                        let _body = answer.into_body().collect().await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    let per = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(DELIVERIES);
    (1e6 / per(began.elapsed()), per(self::cpu() - cpu))
}

/// As long as the dispatcher's.
fn request(uri: &http::Uri) -> http::Request<Full<Bytes>> {
    let request = http::Request::get(uri.clone())
        .header("user-agent", "clicklog/0.1.0")
        .header("accept", "*/*")
        .header("idempotency-key", "e7c11ab606176948f1a31e5dd073d7ae");
    request.body(Full::default()).unwrap()
}

fn url(port: u16, click_id: &str) -> String {
    format!("http://127.0.0.1:{port}/conv?cid={click_id}&payout=3.5&status=approved")
}

/// A store without clicks, with a journal to append decisions to.
fn store(name: &str) -> (Store, LaneWriter, std::path::PathBuf) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-data").join(name);
    let _absent = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let mut options = clicklog::store::Options::new(&folder);
    options.marks = Marks { low_bytes: 0, critical_bytes: 0, reserve_bytes: 0 };
    let store = Store::open(options).unwrap();
    let writer = store.journal_writer(Journal::Postbacks).unwrap();
    (store, writer, folder)
}

fn append(writer: &mut LaneWriter, encoder: &mut Encoder, number: u32, now: Timestamp) -> Appended {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.to_le_bytes());
    let source = format!("s{}", number as usize % DESTINATIONS);
    let payout = Some(Money { amount: Micros::new(3_500_000), currency: Currency::USD });
    let decision = Decision {
        time: now,
        verdict: Verdict::Accepted,
        conversion_id: id,
        source: &source,
        campaign: "spring",
        offer: "diet-42",
        external_id: "w7G3K5QOLDTRACKER0123456789",
        conversion: Conversion {
            network: "revboost",
            click_id: "4rzn539zkkg78yhbs1c1ge1fsc",
            transaction_id: "tx-0123456789",
            status: Status::Approved,
            payout,
            ..Conversion::default()
        },
        standing: Standing::default(),
        user_agent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0",
        ..Decision::default()
    };
    loop {
        match writer.append(&encoder.decision(&decision).unwrap()) {
            Ok(appended) => return appended,
            Err(Error::NoRoom { .. }) => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => panic!("{error}"),
        }
    }
}

/// One destination for each source.
fn destinations(ports: &[u16]) -> Destinations {
    let mut all = Destinations::default();
    let route = Arc::new(Route { allow: vec!["127.0.0.1/32".parse().unwrap()], ..Route::default() });
    for (number, port) in ports.iter().enumerate() {
        let template = url(*port, "{click_id}").replace("3.5", "{payout}").replace("approved", "{status}");
        let outbound = Outbound { route: Arc::clone(&route), ..Outbound::get(&template).unwrap() };
        let id = format!("d{number}");
        let destination = Destination::plain(&id, Arc::new(outbound));
        all.by_source.insert(format!("s{number}").into(), vec![destination]);
        all.limits.insert(id.into(), Limits::default());
    }
    all
}

fn dispatcher(store: &Store, all: Destinations) -> Dispatcher {
    let options = Options {
        attempts_max: 256,
        attempts_per_host_max: 64,
        drain: Duration::from_secs(5),
        client: client::Options::default(),
    };
    start(store, Arc::new(ArcSwap::from_pointee(all)), options, Clock::System).unwrap()
}

fn wait_for(dispatcher: &Dispatcher, count: u64) {
    while dispatcher.handle().tally().ended()[0] < count {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Deliveries a second, processor time of each, connections opened.
fn dispatched(ports: &[u16]) -> (f64, f64, f64) {
    let (store, mut writer, folder) = store("deliveries");
    let mut encoder = Encoder::default();
    // Twenty paused destinations: what is appended now waits in the log.
    let dispatcher = dispatcher(&store, destinations(ports));
    let handle = dispatcher.handle();
    for number in 0..DESTINATIONS {
        assert!(handle.pause(&format!("d{number}"), "not yet").unwrap());
    }
    for number in 0..DELIVERIES {
        append(&mut writer, &mut encoder, number, Clock::System.now());
    }
    writer.lane().sync().unwrap();
    while handle.list().unwrap().iter().any(|one| one.ready < 512) {
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_millis(500));
    let (began, cpu) = (Instant::now(), cpu());
    for number in 0..DESTINATIONS {
        assert!(handle.resume(&format!("d{number}")).unwrap());
    }
    wait_for(&dispatcher, DELIVERIES.into());
    let (took, used) = (began.elapsed(), self::cpu() - cpu);
    std::thread::sleep(Duration::from_millis(1_100));
    let opened = metric(&handle, "clicklog_delivery_connections_total{use=\"opened\"} ");
    dispatcher.stop();
    writer.close();
    store.close().unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    let per = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(DELIVERIES);
    (1e6 / per(took), per(used), opened)
}

fn metric(handle: &clicklog::dispatcher::start::Handle, name: &str) -> f64 {
    let mut page = Page::default();
    handle.write_metrics(&mut page);
    let text = page.into_text();
    text.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap()
}

/// From when a decision was made, just before its sync, to its first attempt, at those destinations that are well; with four
/// of the twenty out of order, and without.
fn paced(ports: &[u16]) {
    for round in 1..=ROUNDS {
        for (name, has_faulty) in [("all are well", false), ("four are not", true)] {
            let mut late = first_attempts(ports, has_faulty);
            late.sort_unstable();
            let at = |per_mille: usize| late[late.len() * per_mille / 1_000] as f64 / 1e3;
            println!(
                "round {round}, {PACED} decisions/s, each synced, {name}: first attempt p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms",
                at(500),
                at(990),
                at(999)
            );
        }
    }
}

/// How late each was, in µs.
fn first_attempts(ports: &[u16], has_faulty: bool) -> Vec<i64> {
    let (store, mut writer, folder) = store("deliveries");
    let mut encoder = Encoder::default();
    let mut all = destinations(ports);
    for (number, path) in FAULTY {
        if has_faulty {
            let template = format!("http://127.0.0.1:{}/{path}?{{click_id}}", ports[number]);
            let source = all.by_source.get_mut(&*format!("s{number}")).unwrap();
            let route = Arc::clone(&source[0].outbound.route);
            source[0].outbound = Arc::new(Outbound { route, ..Outbound::get(&template).unwrap() });
        }
    }
    let dispatcher = dispatcher(&store, all);
    let began = Instant::now();
    let count = PACED * 10;
    let mut times = HashMap::new();
    for number in 0..count {
        let due = Duration::from_secs(1) * number / PACED;
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        let now = Clock::System.now();
        let appended = append(&mut writer, &mut encoder, number, now);
        writer.lane().sync().unwrap();
        if FAULTY.iter().all(|(faulty, _)| number as usize % DESTINATIONS != *faulty) {
            times.insert(appended.position().to_u64(), now);
        }
    }
    // Those that are out of order never end; the others have by then.
    std::thread::sleep(Duration::from_secs(2));
    dispatcher.stop();
    writer.close();
    store.close().unwrap();
    let mut late = Vec::new();
    let reader = Reader::open(&folder);
    let each = |_, record: &Record<'_>| {
        if let Ok(Event::DeliveryOutcome(of)) = decode(record.kind, record.schema, record.payload)
            && let (1, Some(made)) = (of.attempt, times.get(&of.decision))
        {
            late.push(of.time.micros() - i64::from(of.duration_micros) - made.micros());
        }
        ControlFlow::Continue(())
    };
    reader.read(Journal::Deliveries, 0, Cursor::default(), each).unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    assert_eq!(late.len(), times.len());
    late
}

/// Those that are out of order, and how.
const FAULTY: [(usize, &str); 4] = [(0, "hang"), (5, "500"), (10, "slow"), (15, "429")];

/// What deliveries cost that wait for destinations that are dead.
fn parked() {
    let (store, mut writer, folder) = store("deliveries");
    let mut encoder = Encoder::default();
    // Nobody listens there: what was bound is given up again.
    let dead: Vec<u16> = (0..DESTINATIONS)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port())
        .collect();
    let dispatcher = dispatcher(&store, destinations(&dead));
    let handle = dispatcher.handle();
    std::thread::sleep(Duration::from_secs(1));
    let before = memory_kib();
    for number in 0..PARKED {
        append(&mut writer, &mut encoder, number, Clock::System.now());
        if number % 10_000 == 0 {
            writer.lane().sync().unwrap();
        }
    }
    writer.lane().sync().unwrap();
    while metric(&handle, "clicklog_deliveries_behind_bytes ") > 0.0 {
        std::thread::sleep(Duration::from_millis(200));
    }
    let pending: HashMap<_, _> =
        handle.list().unwrap().into_iter().map(|one| (one.destination, one.ready + one.waiting)).collect();
    let in_memory: usize = pending.values().sum();
    println!(
        "{PARKED} deliveries parked for {DESTINATIONS} dead destinations, {in_memory} of them in memory: {:.1} MiB",
        (memory_kib().saturating_sub(before)) as f64 / 1024.0
    );
    dispatcher.stop();
    writer.close();
    store.close().unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}

fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Processor time of all threads of this process.
fn cpu() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let times = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok());
    Duration::from_nanos(times.filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok()).sum())
}

/// Asks an operator's door.
fn ask(admin: SocketAddr, method: &str, path: &str, body: &str) -> String {
    let mut stream = std::net::TcpStream::connect(admin).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
