//! A store with an owner of the books, and somebody who brings postbacks before it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clicklog::apply::claim::{Claim, Effect, Evidence, Request, Subject, Submission};
use clicklog::apply::key::{Mode, Scope};
use clicklog::apply::ledger::{Handle, Rulebook, Ruling};
use clicklog::apply::reading::Mapping;
use clicklog::apply::rules::{Limits, Network, Terms};
use clicklog::apply::start::{Books, start};
use clicklog::clock::{Clock, ManualClock, Timestamp};
use clicklog::event::click::Click;
use clicklog::event::click_id::ClickId;
use clicklog::event::codec::{Event, decode};
use clicklog::event::conversion::Status;
use clicklog::event::decision::{Decision, Verdict};
use clicklog::event::money::{Currency, Micros, Money};
use clicklog::event::params::{Params, Source};
use clicklog::store::clicks::ClickWriter;
use clicklog::store::reader::{Cursor, Reader};
use clicklog::store::{Error, Journal, Lookup, Options, Position, Store};

use crate::support::{options, record};

/// When everything here happens, unless it says otherwise: just after all clicks.
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_795_162_000);

/// The rules of every click here.
pub(crate) const TERMS: Terms = Terms { window: Duration::from_secs(86_400), payout: None };

struct Always(Mode);

impl Rulebook for Always {
    fn terms(&self, _click: &Click<'_>, _network: &str) -> (Terms, String) {
        (TERMS, String::new())
    }

    fn mode(&self, _network: &str) -> Mode {
        self.0
    }
}

pub(crate) struct Desk {
    pub(crate) store: Store,
    pub(crate) books: Books,
    pub(crate) handle: Handle,
    pub(crate) clock: ManualClock,
}

impl Desk {
    pub(crate) fn open(data: &Path) -> Self {
        Self::with(data, Mode::ByTransaction, 1_000_000)
    }

    pub(crate) fn with(data: &Path, mode: Mode, transactions_max: usize) -> Self {
        Self::at(data, mode, transactions_max, ManualClock::at(NOW))
    }

    /// By a clock that goes on over restarts.
    pub(crate) fn at(data: &Path, mode: Mode, transactions_max: usize, clock: ManualClock) -> Self {
        let store = Store::open(Options { clock: Clock::Manual(clock.clone()), ..options(data) }).unwrap();
        let rulebook = Arc::new(Always(mode));
        let books = start(&store, transactions_max, rulebook, Clock::Manual(clock.clone())).unwrap();
        let handle = books.handle();
        Self { store, books, handle, clock }
    }

    pub(crate) fn close(self) {
        self.books.stop();
        self.store.close().unwrap();
    }

    /// Leaves the store unsealed, as a kill does.
    pub(crate) fn abandon(self) {
        self.books.stop();
        drop(self.store);
    }

    /// So many clicks.
    pub(crate) fn clicks(&self, writer: &mut ClickWriter, count: u32) -> Vec<ClickId> {
        (0..count).map(|n| record(writer, n).click_id).collect()
    }

    /// What a look-up by the edge would find.
    pub(crate) fn subject(&self, id: &ClickId) -> Subject {
        let clicks = self.store.clicks();
        match (clicks.find(id), clicks.decode(id)) {
            (Lookup::Found(click), _) => Subject::Click { click: Box::new(click), parent: None },
            (_, Some(place)) => Subject::Lost(place),
            (_, None) => Subject::Unknown,
        }
    }

    pub(crate) fn ask(&self, request: Request) -> Ruling {
        self.handle.submit(request).unwrap().wait().unwrap().into_inner()
    }

    /// Brings a postback before the owner, and waits until it is durable.
    pub(crate) fn tell(&self, network: &Arc<Network>, id: &ClickId, said: Said<'_>) -> Ruling {
        loop {
            let request = Request::Postback(Box::new(self.submission(network, id, said)));
            match self.handle.submit(request).unwrap().wait() {
                // The next segment is being made.
                Err(Error::NoRoom { .. }) => std::thread::yield_now(),
                told => return told.unwrap().into_inner(),
            }
        }
    }

    pub(crate) fn submission(&self, network: &Arc<Network>, id: &ClickId, said: Said<'_>) -> Submission {
        let text = id.to_text();
        let (subject, click_id) = match said.foreign_id {
            Some(foreign) => match self.store.clicks().find_foreign(foreign) {
                Lookup::Found(click) => {
                    (Subject::Click { click: Box::new(click), parent: None }, foreign.to_owned())
                }
                _ => (Subject::Unknown, foreign.to_owned()),
            },
            None => (self.subject(id), text.as_str().to_owned()),
        };
        let query = format!("cid={click_id}&txid={}", said.transaction_id.unwrap_or("-"));
        Submission {
            evidence: Evidence {
                time: said.time,
                network: network.id.to_string(),
                method: "GET".to_owned(),
                query: query.clone(),
                ..Evidence::default()
            },
            claim: Claim {
                click_id,
                transaction_id: said.transaction_id.map(str::to_owned),
                event: said.event.to_owned(),
                status: said.status,
                original_status: String::new(),
                payout: said.payout.map(Micros::new),
                currency: Currency::USD,
                params: Params::parse(query.as_bytes(), Source::Query),
            },
            network: Arc::clone(network),
            subject,
            terms: said.terms,
            offer: String::new(),
            effect: said.effect,
        }
    }
}

/// What a postback says: by itself, that transaction "t" was approved and pays 5 micros.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said<'a> {
    pub(crate) transaction_id: Option<&'a str>,
    pub(crate) foreign_id: Option<&'a str>,
    pub(crate) event: &'a str,
    pub(crate) status: Status,
    pub(crate) payout: Option<i64>,
    pub(crate) time: Timestamp,
    pub(crate) terms: Terms,
    pub(crate) effect: Effect,
}

impl Default for Said<'_> {
    fn default() -> Self {
        Self {
            transaction_id: Some("t"),
            foreign_id: None,
            event: "",
            status: Status::Approved,
            payout: Some(5),
            time: NOW,
            terms: TERMS,
            effect: Effect::Counts,
        }
    }
}

/// A network that takes anything.
pub(crate) fn network(mode: Mode, scope: Scope) -> Arc<Network> {
    Arc::new(plain(mode, scope))
}

pub(crate) fn plain(mode: Mode, scope: Scope) -> Network {
    Network {
        id: "n".into(),
        mapping: Mapping::generic(),
        mode,
        scope,
        limits: Limits::default(),
        required: Vec::new(),
        park: Duration::ZERO,
    }
}

/// A decision as the journal has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) position: Position,
    pub(crate) postback: u64,
    pub(crate) verdict: Verdict,
    pub(crate) reason: u16,
    pub(crate) conversion_id: [u8; 16],
    pub(crate) sequence: u32,
    pub(crate) entry: i64,
    pub(crate) campaign: String,
    pub(crate) payout: Option<Money>,
}

/// Every decision of a data folder, in order.
pub(crate) fn decisions(data: &Path) -> Vec<Kept> {
    let mut kept = Vec::new();
    walk(data, |position, event| {
        if let Event::Decision(decision) = event {
            kept.push(keep(position, decision));
        }
    });
    kept
}

fn keep(position: Position, decision: &Decision<'_>) -> Kept {
    Kept {
        position,
        postback: decision.postback,
        verdict: decision.verdict,
        reason: decision.reason,
        conversion_id: decision.conversion_id,
        sequence: decision.sequence,
        entry: decision.entry.get(),
        campaign: decision.campaign.to_owned(),
        payout: decision.conversion.payout,
    }
}

/// Every event of the postbacks journal.
pub(crate) fn walk(data: &Path, mut each: impl FnMut(Position, &Event<'_>)) {
    let reader = Reader::open(data);
    reader
        .read(Journal::Postbacks, 0, Cursor::default(), |position, record| {
            each(position, &decode(record.kind, record.schema, record.payload).unwrap());
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
}

/// What the books come to.
pub(crate) fn sum(data: &Path) -> i64 {
    decisions(data).iter().map(|kept| kept.entry).sum()
}
