//! A daemon to test against.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clicklog::clock::{Clock, ManualClock, Timestamp};
use clicklog::config::{Bytes, Listen, Settings};
use clicklog::event::click::{Click, ClickKind, KeptAddress, Labels};
use clicklog::event::codec::{Event, decode};
use clicklog::event::money::Money;
use clicklog::ingest::{Outcome, Totals};
use clicklog::serve::{self, Daemon};
use clicklog::store::reader::{Cursor, Reader};
use clicklog::store::{Journal, Position};
use tempfile::TempDir;

use crate::client::{Answer, Connection};

/// What most tests serve.
pub(crate) const CATALOG: &str = r#"
[[source]]
id = "propeller"
external_id = "visitor_id"
cost = "cost"
params = { zone = "zoneid" }

[[offer]]
id = "diet"
network = "boost"
url = "https://offer.example/land?s2={click_id}&zone={zone}"
[[offer]]
id = "other"
url = "https://other.example/?c={click_id}"
[[network]]
id = "boost"

[[campaign]]
id = "spring"
aliases = ["2", "früh ling"]
source = "propeller"
offers = [{ id = "diet" }]
fallback_url = "https://example.org/fallback"

[[campaign]]
id = "landing"
source = "propeller"
landers = [{ url = "https://lp.example/a?cid={click_id}" }]
offers = [{ id = "diet" }, { id = "other" }]
"#;

/// What is different about a test's settings.
type Change = Arc<dyn Fn(&mut Settings) + Send + Sync>;

/// A daemon, its clock and its files.
pub(crate) struct Server {
    daemon: Option<Daemon>,
    pub(crate) clock: ManualClock,
    folder: TempDir,
    change: Change,
}

/// A click, read back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Recorded {
    pub(crate) time: Timestamp,
    pub(crate) kind: ClickKind,
    pub(crate) config_version: u64,
    pub(crate) parent: u64,
    pub(crate) cost: Option<Money>,
    pub(crate) address: Option<KeptAddress>,
    pub(crate) labels: Labels,
    pub(crate) country: [u8; 2],
    pub(crate) asn: u32,
    pub(crate) global_privacy_control: bool,
    /// campaign, source, offer, lander
    pub(crate) path: [String; 4],
    pub(crate) external_id: String,
    /// host, referrer, user agent, language
    pub(crate) texts: [String; 4],
    pub(crate) client_hints: String,
    pub(crate) params: Vec<(String, String)>,
}

impl Server {
    /// With this catalog and small limits of everything that costs memory or disk.
    pub(crate) fn start(catalog: &str) -> Self {
        Self::with(catalog, |_| {})
    }

    pub(crate) fn with(catalog: &str, change: impl Fn(&mut Settings) + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("catalog.toml"), catalog).unwrap();
        let clock = ManualClock::at(Timestamp::from_seconds(1_795_158_000));
        Self::open(folder, clock, Arc::new(change), &mut |_, _| {})
    }

    fn open(folder: TempDir, clock: ManualClock, change: Change, progress: &mut dyn FnMut(u64, u64)) -> Self {
        let (root, apply) = (folder.path().to_owned(), Arc::clone(&change));
        let source = Box::new(move || {
            let mut settings = settings(&root);
            apply(&mut settings);
            Ok(settings)
        });
        let daemon = serve::start(source, Clock::Manual(clock.clone()), progress).unwrap();
        Self { daemon: Some(daemon), clock, folder, change }
    }

    /// Stops it and starts another one with its settings and its files. `progress` is told of each segment.
    pub(crate) fn restart(mut self, progress: &mut dyn FnMut(u64, u64)) -> Self {
        self.daemon.take().unwrap().stop().unwrap();
        Self::open(self.folder, self.clock, self.change, progress)
    }

    pub(crate) fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().unwrap()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.daemon().addresses()[0]
    }

    pub(crate) fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn rewrite_catalog(&self, text: &str) {
        std::fs::write(self.folder.path().join("catalog.toml"), text).unwrap();
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.address())
    }

    /// Asks for a target on a connection of its own, with further header lines.
    pub(crate) fn get_with(&self, target: &str, headers: &str) -> Answer {
        let request = format!("GET {target} HTTP/1.1\r\nHost: trk.example\r\n{headers}\r\n");
        self.connect().send(request).receive().unwrap()
    }

    /// As a browser would.
    pub(crate) fn get(&self, target: &str) -> Answer {
        self.get_with(target, "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/131.0\r\n")
    }

    pub(crate) fn totals(&self) -> Totals {
        self.daemon().edge().totals()
    }

    pub(crate) fn count(&self, outcome: Outcome) -> u64 {
        self.totals().count(outcome)
    }

    /// Waits until so many requests have ended so: a refusal is counted a moment after its connection is closed.
    pub(crate) fn await_count(&self, outcome: Outcome, count: u64) {
        let mut tries = 0;
        while self.count(outcome) < count {
            tries += 1;
            assert!(tries < 10_000, "waited in vain for {count} {}: {:?}", outcome.label(), self.totals());
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(self.count(outcome), count, "{}", outcome.label());
    }

    /// Moves the clock until something is so: when the server reads what was sent before, nobody can say.
    pub(crate) fn advance_until(&self, limit: Duration, is_so: impl Fn() -> bool) {
        const STEP: Duration = Duration::from_secs(1);
        let mut left = limit;
        while !is_so() {
            assert!(!left.is_zero(), "waited in vain for {limit:?}: {:?}", self.totals());
            left -= STEP;
            self.clock.advance(STEP);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// All records of clicks so far, in the order of lanes.
    pub(crate) fn clicks(&self) -> Vec<Recorded> {
        clicks(&self.data()).into_iter().map(|(_, click)| click).collect()
    }

    /// The only click so far.
    pub(crate) fn click(&self) -> Recorded {
        let mut all = self.clicks();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    /// Stops it, and checks that the books balance.
    pub(crate) fn stop(mut self) -> TempDir {
        let daemon = self.daemon.take().unwrap();
        let edge = daemon.edge();
        daemon.stop().unwrap();
        let totals = edge.totals();
        assert_eq!(totals.received, totals.ended(), "{totals:?}");
        self.folder
    }
}

/// All clicks in a data folder.
pub(crate) fn clicks(data: &Path) -> Vec<(Position, Recorded)> {
    let reader = Reader::open(data);
    let mut all = Vec::new();
    for lane in reader.lanes(Journal::Clicks).unwrap() {
        reader
            .read(Journal::Clicks, lane, Cursor::default(), |position, record| {
                if let Ok(Event::Click(click)) = decode(record.kind, record.schema, record.payload) {
                    all.push((position, Recorded::of(&click)));
                }
                ControlFlow::Continue(())
            })
            .unwrap();
    }
    all
}

impl Recorded {
    fn of(click: &Click<'_>) -> Self {
        Self {
            time: click.time,
            kind: click.kind,
            config_version: click.config_version,
            parent: click.parent,
            cost: click.cost,
            address: click.address,
            labels: click.labels,
            country: click.country,
            asn: click.asn,
            global_privacy_control: click.global_privacy_control,
            path: [click.campaign, click.source, click.offer, click.lander].map(str::to_owned),
            external_id: click.external_id.to_owned(),
            texts: [click.host, click.referrer, click.user_agent, click.language].map(str::to_owned),
            client_hints: click.client_hints.to_owned(),
            params: click.params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }

    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

fn settings(root: &Path) -> Settings {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut settings = Settings::default();
    settings.edge.listen = vec![Listen::http(any_port)];
    settings.edge.workers = 2;
    settings.edge.visitors = 1 << 16;
    settings.edge.drain_timeout = Duration::from_secs(1);
    settings.store.data = root.join("data");
    settings.store.click_segment = Bytes(1 << 20);
    settings.store.journal_segment = Bytes(1 << 20);
    (settings.store.low_free, settings.store.critical_free) = (Bytes(0), Bytes(0));
    settings.store.reserve = Bytes(0);
    settings.catalog.path = root.join("catalog.toml");
    settings.admin.listen = any_port;
    settings
}
