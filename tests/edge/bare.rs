//! An edge with a catalog that is put together here, its store and its books: for what a file may not be able to say.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use clicklog::apply;
use clicklog::apply::key::{Mode, Scope};
use clicklog::apply::reading::Mapping;
use clicklog::apply::rules;
use clicklog::apply::start::Books;
use clicklog::clock::{Clock, ManualClock, Timestamp};
use clicklog::event::codec::{Event, decode};
use clicklog::event::money::{Currency, Micros, Money};
use clicklog::event::template::{Missing, Names, Target, Template};
use clicklog::ingest::{
    self, Access, AddressPolicy, Campaign, Catalog, CatalogRules, ClickPath, Cost, Door, DoorKind, Edge,
    Listener, Lists, Network, Offer, Options, Outcome, Parts, Redirect, Rotation, Secret, Totals,
};
use clicklog::store::reader::{Cursor, Reader};
use clicklog::store::space::Marks;
use clicklog::store::{self, Journal, Store};
use tempfile::TempDir;

use crate::client::{Answer, Connection};

/// See the module.
pub(crate) struct Bare {
    edge: Option<Edge>,
    books: Option<Books>,
    store: Option<Store>,
    catalog: Arc<ArcSwap<Catalog>>,
    pub(crate) clock: ManualClock,
    folder: TempDir,
}

/// A postback, read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) network: String,
    pub(crate) refused: u16,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: String,
    pub(crate) body: String,
    pub(crate) address: Option<String>,
}

impl Bare {
    pub(crate) fn start(parts: Parts) -> Self {
        Self::with(parts, |_| {})
    }

    pub(crate) fn with(parts: Parts, change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(Timestamp::from_seconds(1_795_158_000));
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = |is_https| Listener { is_https, ..Listener::http(any_port) };
        let mut options = Options::new(vec![listener(false), listener(true)]);
        options.workers = 2;
        options.visitors = 1 << 10;
        options.drain_timeout = Duration::from_secs(1);
        // Whoever is asked may say for whom it speaks, so that callers have addresses.
        options.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        change(&mut options);
        let store = Store::open(store::Options {
            lanes: options.workers,
            click_segment_bytes: 1 << 20,
            journal_segment_bytes: 1 << 20,
            marks: Marks { low_bytes: 0, critical_bytes: 0, reserve_bytes: 0 },
            clock: Clock::Manual(clock.clone()),
            ..store::Options::new(folder.path().join("data"))
        });
        let store = store.unwrap();
        let clock_of = || Clock::Manual(clock.clone());
        let catalog = Arc::new(ArcSwap::from_pointee(Catalog::new(1, parts).unwrap()));
        let rules = Arc::new(CatalogRules::of(&catalog));
        let books = apply::start::start(&store, 10_000, rules, clock_of()).unwrap();
        let lists = Arc::new(ArcSwap::from_pointee(Lists::default()));
        let edge =
            ingest::start(options, &store, Arc::clone(&catalog), lists, books.handle(), clock_of()).unwrap();
        Self { edge: Some(edge), books: Some(books), store: Some(store), catalog, clock, folder }
    }

    pub(crate) fn edge(&self) -> ingest::Handle {
        self.edge.as_ref().unwrap().handle()
    }

    /// The plain listener, and the one that stands for TLS.
    pub(crate) fn addresses(&self) -> [SocketAddr; 2] {
        let addresses = self.edge.as_ref().unwrap().addresses();
        [addresses[0], addresses[1]]
    }

    pub(crate) fn reload(&self, parts: Parts) {
        let version = self.catalog.load().version() + 1;
        self.catalog.store(Arc::new(Catalog::new(version, parts).unwrap()));
    }

    /// Sends a request line, headers and a body.
    pub(crate) fn send(&self, line: &str, headers: &str, body: &str) -> Answer {
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let host = if headers.contains("Host:") { "" } else { "Host: trk.example\r\n" };
        let request = format!("{line} HTTP/1.1\r\n{host}{headers}{length}\r\n{body}");
        let mut connection = Connection::open(self.addresses()[0]);
        connection.send(request);
        let answer = if line.starts_with("HEAD") { connection.receive_head() } else { connection.receive() };
        answer.unwrap_or_else(|| panic!("no answer to {line}"))
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.send(&format!("GET {target}"), "", "")
    }

    pub(crate) fn post(&self, target: &str, content_type: &str, body: &str) -> Answer {
        let headers = match content_type {
            "" => String::new(),
            content_type => format!("Content-Type: {content_type}\r\n"),
        };
        self.send(&format!("POST {target}"), &headers, body)
    }

    /// The result of a GET, from its header.
    pub(crate) fn result(&self, target: &str) -> String {
        result(&self.get(target)).to_owned()
    }

    /// A click of this campaign, by its id.
    pub(crate) fn click(&self, campaign: &str) -> String {
        self.get(&format!("/c/{campaign}?sub1=x")).cookie().unwrap().to_owned()
    }

    pub(crate) fn totals(&self) -> Totals {
        self.edge().totals()
    }

    pub(crate) fn count(&self, outcome: Outcome) -> u64 {
        self.totals().count(outcome)
    }

    /// All postbacks in the journal.
    pub(crate) fn postbacks(&self) -> Vec<Kept> {
        postbacks(&self.folder.path().join("data"))
    }

    /// The only postback in the journal.
    pub(crate) fn postback(&self) -> Kept {
        let mut all = self.postbacks();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    /// The parameters of the postback of each decision.
    pub(crate) fn decisions(&self) -> Vec<String> {
        let mut all = Vec::new();
        let take = |_: store::Position, record: &store::record::Record<'_>| {
            if let Ok(Event::Decision(decision)) = decode(record.kind, record.schema, record.payload) {
                let pairs = decision.postback_params.iter();
                all.push(pairs.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&"));
            }
            ControlFlow::Continue(())
        };
        let data = self.folder.path().join("data");
        Reader::open(&data).read(Journal::Postbacks, 0, Cursor::default(), take).unwrap();
        all
    }

    /// Lets nothing be written any more.
    pub(crate) fn poison(&self) {
        self.store.as_ref().unwrap().poison().throw("a test");
    }

    /// Stops it, and gives all postbacks in the journal: those that nobody waited for are there too.
    pub(crate) fn stop_and_read(self) -> Vec<Kept> {
        let folder = self.stop();
        postbacks(&folder.path().join("data"))
    }

    /// Stops it, and checks that the books of the edge balance.
    pub(crate) fn stop(mut self) -> TempDir {
        let edge = self.edge.take().unwrap();
        let handle = edge.handle();
        edge.stop().unwrap();
        self.books.take().unwrap().stop();
        self.store.take().unwrap().close().unwrap();
        let totals = handle.totals();
        assert_eq!(totals.received, totals.ended(), "{totals:?}");
        self.folder
    }
}

fn postbacks(data: &Path) -> Vec<Kept> {
    let mut all = Vec::new();
    let take = |_: store::Position, record: &store::record::Record<'_>| {
        if let Ok(Event::Postback(postback)) = decode(record.kind, record.schema, record.payload) {
            all.push(Kept {
                network: postback.network.to_owned(),
                refused: postback.refused,
                method: postback.method.to_owned(),
                path: postback.path.to_owned(),
                query: postback.query.to_owned(),
                headers: postback.headers.to_owned(),
                body: String::from_utf8_lossy(postback.body).into_owned(),
                address: postback.address.map(|kept| format!("{}/{}", kept.address, kept.bits)),
            });
        }
        ControlFlow::Continue(())
    };
    Reader::open(data).read(Journal::Postbacks, 0, Cursor::default(), take).unwrap();
    all
}

pub(crate) fn result(answer: &Answer) -> &str {
    answer.header("x-clicklog-result").unwrap_or_else(|| panic!("no result in {answer:?}"))
}

/// A network that asks for the secret `open sesame`.
pub(crate) fn network(id: &str) -> Network {
    let rules = rules::Network {
        id: id.into(),
        mapping: Mapping::generic(),
        mode: Mode::default(),
        scope: Scope::default(),
        limits: rules::Limits::default(),
        required: Vec::new(),
        park: rules::PARK_DEFAULT,
    };
    let access = Access {
        secrets: vec![Secret::new("open sesame")],
        secret_params: vec!["secret".into()],
        secret_headers: vec!["x-secret".into(), "authorization".into()],
        ..Access::default()
    };
    Network { access, ..Network::plain(rules) }
}

/// A network that asks for nothing and takes pixels.
pub(crate) fn open(id: &str) -> Network {
    let access = Access { takes_pixels: true, ..Access::default() };
    Network { access, ..network(id) }
}

pub(crate) fn door(path: &str, kind: DoorKind, when: &[(&str, Option<&str>)]) -> Door {
    let when = when.iter().map(|(name, value)| (Box::from(*name), value.map(Box::from))).collect();
    Door { path: path.into(), when, kind }
}

pub(crate) fn template(url: &str) -> Template {
    let names = Names::with(["sub1", "zone"], []);
    Template::parse(url, Target::Url, &names, Missing::Empty).unwrap()
}

pub(crate) fn campaign(id: &str, landers: &[&str], offers: &[u32]) -> Campaign {
    Campaign {
        id: id.into(),
        aliases: Vec::new(),
        source: None,
        landers: Rotation::new(landers.iter().map(|url| (template(url), 1)).collect()).unwrap(),
        offers: Rotation::new(offers.iter().map(|offer| (*offer, 1)).collect()).unwrap(),
        cost: Cost::FromParameter,
        redirect: Redirect::Found,
        is_sticky: false,
        has_cookie: true,
        fallback: None,
        address: AddressPolicy::Full,
        duplicate_window: Duration::ZERO,
        window: Duration::from_secs(30 * 24 * 3600),
        retention: None,
        pixels: Vec::new(),
    }
}

/// A campaign `spring` straight to the offer `diet` of the network `boost`, one `landing` by a lander to that or to
/// `other` of `rival`; and other trackers' click URLs.
pub(crate) fn parts(networks: Vec<Network>) -> Parts {
    let offer = |id: &str, network: &str, payout| Offer {
        id: id.into(),
        network: network.into(),
        url: template("https://offer.example/land?s2={click_id}"),
        payout,
    };
    let fixed = Money { amount: Micros::new(3_500_000), currency: Currency::USD };
    Parts {
        sources: Vec::new(),
        offers: vec![offer("diet", "boost", Some(fixed)), offer("other", "rival", None)],
        campaigns: vec![
            campaign("spring", &[], &[0]),
            campaign("landing", &["https://lp.example/?cid={click_id}"], &[0, 1]),
        ],
        click_paths: ClickPath::built_in(),
        networks,
    }
}
