//! Restarts on a socket that somebody else holds open, as systemd does; and what it is told meanwhile.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use clicklog::clock::Clock;
use clicklog::event::click_id::ClickId;
use clicklog::event::codec::{Event, decode};
use clicklog::store::reader::{Cursor, Reader};
use clicklog::store::record::Record;
use clicklog::store::{Journal, Lookup, Options, Store};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};

use crate::process::{PATIENCE, ask, ask_whole};

/// What systemd is to a daemon: two sockets that stay open, and an ear.
struct Supervisor {
    folder: tempfile::TempDir,
    public: TcpListener,
    admin: TcpListener,
    ear: UnixDatagram,
}

/// A daemon that it has started.
struct Unit(Child);

impl Supervisor {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ear = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        ear.set_read_timeout(Some(PATIENCE)).unwrap();
        let socket = || TcpListener::bind("127.0.0.1:0").unwrap();
        Self { folder, public: socket(), admin: socket(), ear }
    }

    fn visitors(&self) -> SocketAddr {
        self.public.local_addr().unwrap()
    }

    /// Starts one at `listen`. The shell puts the sockets where systemd would, and knows the child's own id.
    fn start_at(&self, listen: SocketAddr, environment: &[(&str, &str)]) -> Unit {
        let shell =
            "export LISTEN_PID=$$ WATCHDOG_PID=$$; exec \"$0\" \"$@\" 3<&0 4<&1 0</dev/null 1>/dev/null";
        let given = |socket: &TcpListener| Stdio::from(OwnedFd::from(socket.try_clone().unwrap()));
        let mut command = Command::new("sh");
        command.current_dir(self.folder.path()).args(["-c", shell, env!("CARGO_BIN_EXE_clicklog"), "serve"]);
        command.args(["--listen", &listen.to_string(), "--admin", "127.0.0.1:1"]);
        for (key, value) in [
            ("LISTEN_FDS", "2"),
            ("LISTEN_FDNAMES", "public:admin"),
            ("CLICKLOG_STORE__CLICK_SEGMENT", "1MiB"),
            ("CLICKLOG_STORE__LOW_FREE", "0B"),
            ("CLICKLOG_STORE__CRITICAL_FREE", "0B"),
            ("CLICKLOG_STORE__RESERVE", "0B"),
            ("CLICKLOG_EDGE__WORKERS", "2"),
        ] {
            command.env(key, value);
        }
        command.env("NOTIFY_SOCKET", self.folder.path().join("notify"));
        command.envs(environment.iter().copied());
        command.stdin(given(&self.public)).stdout(given(&self.admin)).stderr(Stdio::piped());
        Unit(command.spawn().unwrap())
    }

    fn start(&self, environment: &[(&str, &str)]) -> Unit {
        self.start_at(self.visitors(), environment)
    }

    fn stop(&self, unit: Unit) {
        unit.signal(Signal::TERM);
        self.hear("STOPPING=1");
        let (code, said) = unit.end();
        assert_eq!(code, Some(0), "{said}");
    }

    /// Hears what is said until something begins with `last`.
    fn hear(&self, last: &str) -> Vec<String> {
        let mut heard: Vec<String> = Vec::new();
        while heard.last().is_none_or(|said| !said.starts_with(last)) {
            let mut bytes = [0; 1024];
            let length = self.ear.recv(&mut bytes).unwrap_or_else(|error| panic!("{error}, after {heard:?}"));
            heard.push(String::from_utf8(bytes[..length].to_vec()).unwrap());
        }
        heard
    }
}

impl Unit {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    fn end(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.0.wait().unwrap().code(), said)
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        // Of a test that has failed; otherwise it is gone already.
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[test]
fn a_supervisor_hears_when_it_is_ready_reloads_lives_and_stops() {
    let supervisor = Supervisor::new();
    let unit = supervisor.start(&[("WATCHDOG_USEC", "4000000")]);
    let starting = supervisor.hear("READY=1");
    let (ready, before) = starting.split_last().unwrap();
    assert_eq!(ready, "READY=1\nSTATUS=ready\n");
    assert!(before.iter().all(|said| said.starts_with("STATUS=starting: ")), "{before:?}");
    assert!(before.iter().all(|said| said.contains("\nEXTEND_TIMEOUT_USEC=")), "{before:?}");
    // Nobody has asked it anything, and still all of its threads have moved.
    assert_eq!(supervisor.hear("WATCHDOG=1"), ["WATCHDOG=1\n"]);
    unit.signal(Signal::HUP);
    let mut reloaded = supervisor.hear("READY=1");
    reloaded.retain(|said| said != "WATCHDOG=1\n");
    assert_eq!(reloaded[0], "RELOADING=1\nSTATUS=reloading\n");
    assert!(reloaded[1].starts_with("READY=1\nSTATUS=ready; catalog "), "{reloaded:?}");
    unit.signal(Signal::TERM);
    let stopping = supervisor.hear("STOPPING=1");
    assert!(stopping.iter().rev().skip(1).all(|said| said == "WATCHDOG=1\n"), "{stopping:?}");
    let (code, said) = unit.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("sign of life"), "{said}");
}

#[test]
fn a_supervisor_that_is_too_impatient_is_warned_of() {
    let supervisor = Supervisor::new();
    let unit = supervisor.start(&[("WATCHDOG_USEC", "3000000")]);
    supervisor.hear("READY=1");
    unit.signal(Signal::TERM);
    let (code, said) = unit.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("set WatchdogSec to 4s at least"), "{said}");
}

/// All else goes on: nobody needs a descriptor but whoever comes.
#[test]
fn no_sign_of_life_is_sent_while_a_loop_that_accepts_cannot_take_anybody() {
    let supervisor = Supervisor::new();
    let mut unit = supervisor.start(&[("WATCHDOG_USEC", "4000000"), ("CLICKLOG_EDGE__WORKERS", "1")]);
    let mut log = BufReader::new(unit.0.stderr.take().unwrap()).lines();
    supervisor.hear("WATCHDOG=1");
    let pid = Some(Pid::from_child(&unit.0));
    let none = Rlimit { current: Some(0), ..getrlimit(Resource::Nofile) };
    let before = prlimit(pid, Resource::Nofile, none).unwrap();
    let mut visitor = TcpStream::connect(supervisor.visitors()).unwrap();
    let told = log.by_ref().map(Result::unwrap).find(|line| line.contains("have not moved")).unwrap();
    let stuck = format!(": edge-0 at {}; no sign of life is sent", supervisor.visitors());
    assert!(told.contains(&stuck), "{told}");
    supervisor.ear.set_nonblocking(true).unwrap();
    while supervisor.ear.recv(&mut [0; 1024]).is_ok() {}
    supervisor.ear.set_nonblocking(false).unwrap();
    prlimit(pid, Resource::Nofile, before).unwrap();
    // Who has waited is taken, and then it is alive again.
    let head = ask(&mut visitor, "GET /c/demo?zoneid=7 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 302"), "{head}");
    assert_eq!(supervisor.hear("WATCHDOG=1"), ["WATCHDOG=1\n"]);
    unit.signal(Signal::TERM);
    supervisor.hear("STOPPING=1");
    assert_eq!(unit.0.wait().unwrap().code(), Some(0));
}

#[test]
fn a_socket_of_no_listener_is_refused_with_its_name_and_place() {
    let supervisor = Supervisor::new();
    let elsewhere = "127.0.0.1:1".parse().unwrap();
    let (code, said) = supervisor.start_at(elsewhere, &[]).end();
    assert_eq!(code, Some(78), "{said}");
    let place = format!("the socket \"public\" at {} is of no listener", supervisor.visitors());
    assert!(said.contains(&place), "{said}");

    // A third descriptor, which is nothing.
    let unit = supervisor.start(&[("LISTEN_FDS", "3"), ("LISTEN_FDNAMES", "public:admin:other")]);
    let (code, said) = unit.end();
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("\"other\" (descriptor 5) cannot be used"), "{said}");
}

/// What became of requests, over all restarts.
#[derive(Default)]
struct Seen {
    clicks: Mutex<Vec<ClickId>>,
    /// Transactions that were answered, and so counted.
    transactions: Mutex<Vec<String>>,
    refused: AtomicU64,
    cut: AtomicU64,
}

/// One visitor who comes back with a conversion, again and again; on one connection until an answer says that it is the last.
/// Nothing is tried twice.
fn visit(address: SocketAddr, name: usize, seen: &Seen, is_over: &AtomicBool) {
    let mut connection: Option<TcpStream> = None;
    for turn in 0.. {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let Some(mut stream) = connection.take().or_else(|| TcpStream::connect(address).ok()) else {
            seen.refused.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = "GET /c/demo?zoneid=7&visitor_id=a HTTP/1.1\r\nHost: a\r\n\r\n";
        let Some(head) = ask(&mut stream, request) else {
            seen.cut.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let id = head.split("cl_cid=").nth(1).unwrap_or_else(|| panic!("no click id in {head}"));
        let id: ClickId = id.split(';').next().unwrap().parse().unwrap();
        seen.clicks.lock().unwrap().push(id);
        let mut is_last = head.contains("connection: close");
        if !is_last {
            let transaction = format!("t{name}-{turn}");
            let request = format!(
                "GET /postback/demo-network?click_id={}&payout=1.00&transaction_id={transaction} HTTP/1.1\r\nHost: a\r\n\r\n",
                id.to_text().as_str()
            );
            let Some((head, _)) = ask_whole(&mut stream, &request) else {
                seen.cut.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            seen.transactions.lock().unwrap().push(transaction);
            is_last = head.contains("connection: close");
        }
        connection = (!is_last).then_some(stream);
    }
}

/// Ends the visits.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn wait_for(seen: &Seen, more: usize) {
    let count = || seen.transactions.lock().unwrap().len();
    let enough = count() + more;
    let begun = Clock::System.monotonic();
    while count() < enough {
        assert!(
            Clock::System.monotonic() < begun + PATIENCE,
            "the visitors are gone: {} of {enough}",
            count()
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn restarted_under_load_on_an_activated_socket_it_refuses_nobody_and_loses_no_request() {
    let supervisor = Supervisor::new();
    let (seen, is_over) = (Seen::default(), AtomicBool::default());
    let last = std::thread::scope(|scope| {
        // Also where something here fails: nobody waits for visitors who never stop.
        let over = Over(&is_over);
        for name in 0..6 {
            let (seen, is_over, address) = (&seen, &is_over, supervisor.visitors());
            scope.spawn(move || visit(address, name, seen, is_over));
        }
        for _ in 0..3 {
            let unit = supervisor.start(&[]);
            supervisor.hear("READY=1");
            wait_for(&seen, 300);
            supervisor.stop(unit);
        }
        let last = supervisor.start(&[]);
        supervisor.hear("READY=1");
        wait_for(&seen, 300);
        drop(over);
        last
    });
    supervisor.stop(last);
    assert_eq!(seen.refused.into_inner(), 0, "connections were refused");
    assert_eq!(seen.cut.into_inner(), 0, "requests were cut off");
    everything_is_there(supervisor.folder.path(), &seen.clicks, &seen.transactions);
}

fn everything_is_there(folder: &Path, clicks: &Mutex<Vec<ClickId>>, transactions: &Mutex<Vec<String>>) {
    let mut options = Options::new(folder.join("clicklog-data"));
    (options.lanes, options.click_segment_bytes) = (2, 1 << 20);
    (options.marks.low_bytes, options.marks.critical_bytes, options.marks.reserve_bytes) = (0, 0, 0);
    let store = Store::open(options).unwrap();
    assert!(store.report().was_clean);
    let found = store.clicks();
    for id in clicks.lock().unwrap().iter() {
        assert!(matches!(found.find(id), Lookup::Found(_)), "{} was answered", id.to_text().as_str());
    }
    let kept = kept_transactions(folder);
    let transactions = transactions.lock().unwrap();
    for transaction in transactions.iter() {
        assert!(kept.contains(transaction), "{transaction} was answered");
    }
    store.close().unwrap();
}

/// Those of decisions in the journal.
fn kept_transactions(folder: &Path) -> HashSet<String> {
    let mut kept = HashSet::new();
    let note = |_, record: &Record<'_>| {
        if let Ok(Event::Decision(decision)) = decode(record.kind, record.schema, record.payload) {
            kept.insert(decision.conversion.transaction_id.to_owned());
        }
        ControlFlow::Continue(())
    };
    let reader = Reader::open(folder.join("clicklog-data"));
    reader.read(Journal::Postbacks, 0, Cursor::default(), note).unwrap();
    kept
}
