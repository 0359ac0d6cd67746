//! A daemon with destinations, who report conversions to it, and what of them is owed to whom.
//!
//! Keeps: what is owed is read from the decisions in the journal, by rules written here once more: not by those that the
//! dispatcher goes by.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpStream;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clicklog::clock::Clock;
use clicklog::event::codec::{Event, decode};
use clicklog::event::conversion::Status;
use clicklog::event::decision::Verdict;
use clicklog::event::delivery::OutcomeClass;
use clicklog::store::Journal;
use clicklog::store::reader::{Cursor, Reader};

use crate::faults::{Faults, Seen, is_refused_once};
use crate::process::{PATIENCE, Process, ask, ask_whole, connect};

/// What a conversion is told as: to whom, of which transaction, with which status.
pub(crate) type Told = (String, String, &'static str);

/// The statuses of a conversion, in the order in which `report_all` reports them.
pub(crate) const STATUSES: [&str; 3] = ["pending", "approved", "reversed"];

/// A catalog of one campaign with an offer, with these tables.
pub(crate) fn catalog(tables: &str) -> String {
    format!(
        r#"
        [[network]]
        id = "n"
        profile = "generic"
        currency = "USD"
        [[source]]
        id = "s"
        [[offer]]
        id = "o"
        network = "n"
        url = "https://offer.example.com/?s={{click_id}}"
        payout = "auto"
        [[campaign]]
        id = "c"
        source = "s"
        offers = [{{ id = "o" }}]
        {tables}
        "#
    )
}

/// A postback of the level that `table` names, to a path of the server, with these keys besides.
pub(crate) fn postback(table: &str, id: &str, to: &Faults, path: &str, keys: &str) -> String {
    let url = to.url(path);
    format!(
        "[[{table}]]\nid = \"{id}\"\nallow_addresses = [\"127.0.0.0/8\"]\n{keys}\n\
         url = \"{url}?to={id}&tx={{transaction_id}}&st={{status}}&id={{delivery_id}}\"\n"
    )
}

/// For every conversion and status.
pub(crate) const ALL_STATUSES: &str = "on = [\"pending\", \"approved\", \"reversed\"]";

/// A daemon in a folder that may outlive it.
pub(crate) struct Daemon {
    pub(crate) process: Process,
    folder: PathBuf,
    click: String,
}

impl Daemon {
    /// With this catalog, and small segments.
    pub(crate) fn start(folder: &Path, catalog: &str) -> Self {
        Self::start_with(folder, catalog, &[])
    }

    /// With further settings in its environment.
    pub(crate) fn start_with(folder: &Path, catalog: &str, environment: &[(&str, &str)]) -> Self {
        std::fs::write(folder.join("catalog.toml"), catalog).unwrap();
        let small = [("CLICKLOG_STORE__JOURNAL_SEGMENT", "256KiB")];
        let environment: Vec<_> = small.into_iter().chain(environment.iter().copied()).collect();
        let process = Process::start_with(folder, &["--catalog", "catalog.toml"], &environment);
        let request = "GET /c/c HTTP/1.1\r\nHost: trk.example\r\n\r\n";
        let head = ask(&mut connect(process.visitors), request).unwrap();
        let click = head.split("cl_cid=").nth(1).unwrap().split(';').next().unwrap().to_owned();
        Self { process, folder: folder.to_owned(), click }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("clicklog-data")
    }

    /// Reports a conversion on a connection; what became of it, if there was an answer.
    pub(crate) fn report_on(
        &self,
        stream: &mut TcpStream,
        transaction: &str,
        status: &str,
    ) -> Option<String> {
        let request = format!(
            "GET /postback/n?click_id={}&txid={transaction}&payout=1.00&status={status} HTTP/1.1\r\n\
             Host: trk.example\r\n\r\n",
            self.click
        );
        let (head, _) = ask_whole(stream, &request)?;
        head.lines().find_map(|line| line.strip_prefix("x-clicklog-result: ")).map(str::to_owned)
    }

    /// Reports a conversion that is taken.
    pub(crate) fn report(&self, transaction: &str, status: &str) {
        let result = self.report_on(&mut connect(self.process.visitors), transaction, status);
        let result = result.as_deref();
        assert!(matches!(result, Some("accepted" | "updated")), "{transaction}, {status}: {result:?}");
    }

    /// Reports so many approved ones, each until it is taken: with small segments the daemon may be behind.
    pub(crate) fn approve(&self, prefix: &str, count: usize) {
        let mut stream = connect(self.process.visitors);
        for number in 0..count {
            let mut report =
                || self.report_on(&mut stream, &format!("{prefix}-{number}"), "approved").unwrap();
            let mut result = report();
            while result == "rejected:unavailable" {
                result = report();
            }
            assert_eq!(result, "accepted", "{prefix}-{number}");
        }
    }

    /// Reports conversions with all statuses, on three connections, until `stop` has ended the process; no more than
    /// `REPORTED_MAX` on each, so that it is as much on a slow machine as on a quick one.
    pub(crate) fn report_all(&self, prefix: &str, stop: impl FnOnce()) {
        std::thread::scope(|scope| {
            for client in 0..3 {
                scope.spawn(move || {
                    let mut stream = connect(self.process.visitors);
                    for number in 0..REPORTED_MAX {
                        let transaction = format!("{prefix}-{client}-{number}");
                        for status in STATUSES {
                            if self.report_on(&mut stream, &transaction, status).is_none() {
                                return;
                            }
                        }
                    }
                });
            }
            stop();
        });
    }

    /// Asks on the operators' listener, with the token where something is to change.
    pub(crate) fn operator(&self, method: &str, target: &str, body: &str) -> String {
        let token = std::fs::read_to_string(self.data().join("admin-token")).unwrap();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            token.trim(),
            body.len()
        );
        let (head, body) = ask_whole(&mut connect(self.process.operators), &request).unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{target}: {head}{body}");
        body
    }

    /// Has the catalog replaced.
    pub(crate) fn reload(&self, catalog: &str) {
        std::fs::write(self.folder.join("catalog.toml"), catalog).unwrap();
        self.operator("POST", "/-/reload", "");
    }

    /// A number of the metrics page, by the beginning of its line.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let page = self.operator("GET", "/metrics", "");
        let line = page.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim().parse().unwrap_or_else(|_| panic!("{name} in {page}"))
    }
}

/// What the decisions owe to destinations that want these statuses, by all that is told of it.
pub(crate) fn owed(data: &Path, to: &[(&str, &[&str])]) -> BTreeSet<Told> {
    let mut owed = BTreeSet::new();
    read(data, Journal::Postbacks, |event| {
        let Event::Decision(decision) = event else { return };
        if !matches!(decision.verdict, Verdict::Accepted | Verdict::Updated) {
            return;
        }
        let status = match decision.conversion.status {
            Status::Pending => STATUSES[0],
            Status::Approved => STATUSES[1],
            Status::Reversed => STATUSES[2],
            Status::Unknown => return,
        };
        let transaction = decision.conversion.transaction_id;
        for (id, _) in to.iter().filter(|(_, statuses)| statuses.contains(&status)) {
            assert!(
                owed.insert(((*id).to_owned(), transaction.to_owned(), status)),
                "{transaction} {status}"
            );
        }
    });
    owed
}

/// An outcome, as far as tests ask for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) to: String,
    pub(crate) id: String,
    pub(crate) class: OutcomeClass,
    pub(crate) attempt: u16,
    pub(crate) is_final: bool,
}

/// All outcomes in their order.
pub(crate) fn outcomes(data: &Path) -> Vec<Outcome> {
    let mut all = Vec::new();
    read(data, Journal::Deliveries, |event| {
        if let Event::DeliveryOutcome(outcome) = event {
            all.push(Outcome {
                to: outcome.destination.to_owned(),
                id: outcome.delivery_id.iter().map(|byte| format!("{byte:02x}")).collect(),
                class: outcome.class,
                attempt: outcome.attempt,
                is_final: outcome.is_final,
            });
        }
    });
    all
}

fn read(data: &Path, journal: Journal, mut each: impl FnMut(Event<'_>)) {
    let note = |_, record: &clicklog::store::record::Record<'_>| {
        if let Ok(event) = decode(record.kind, record.schema, record.payload) {
            each(event);
        }
        ControlFlow::Continue(())
    };
    Reader::open(data).read(journal, 0, Cursor::default(), note).unwrap();
}

/// A request that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Got {
    pub(crate) told: Told,
    pub(crate) id: String,
    /// Whether the shaky one refuses this the first time.
    pub(crate) is_refused_once: bool,
}

/// What of requests is ours.
pub(crate) fn got(seen: &[Seen]) -> Vec<Got> {
    seen.iter()
        .map(|seen| {
            let query = seen.target.split_once('?').unwrap().1;
            let all: BTreeMap<_, _> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
            let status = STATUSES.iter().find(|status| **status == all["st"]).unwrap();
            let is_refused_once = is_refused_once(&seen.target);
            let told = (all["to"].clone(), all["tx"].clone(), *status);
            Got { told, id: all["id"].clone(), is_refused_once }
        })
        .collect()
}

/// Conversions that `report_all` reports on each connection.
const REPORTED_MAX: usize = 150;

/// Waits until it holds.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Clock::System.monotonic();
    while !holds() {
        assert!(Clock::System.monotonic() - started < PATIENCE, "{what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Waits until everything that is owed has arrived, for as long as more comes; all that has.
pub(crate) fn wait_for_all(data: &Path, to: &[(&str, &[&str])], faults: &Faults) -> Vec<Got> {
    let (mut last, mut count) = (Clock::System.monotonic(), 0);
    loop {
        let all = got(&faults.seen());
        let arrived: BTreeSet<Told> = all.iter().map(|got| got.told.clone()).collect();
        let missing: Vec<Told> = owed(data, to).difference(&arrived).cloned().collect();
        if missing.is_empty() {
            return all;
        }
        if std::mem::replace(&mut count, all.len()) < all.len() {
            last = Clock::System.monotonic();
        }
        let is_patient = Clock::System.monotonic() - last < PATIENCE;
        assert!(is_patient, "{} that are owed have not arrived: {missing:?}", missing.len());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
