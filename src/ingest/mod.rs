//! The way in: listeners, the front check, clicks, conversions, and their answers.
//!
//! In: connections. Out: records in the clicks journal, one lane a worker; requests to the owner of the books; answers.
//! Keeps: each request ends in exactly one `Outcome`; a click is in its journal before it is answered; no request waits
//! for another worker, for a lock that is held across a wait, or for the disk, but for a postback: its answer waits until
//! what it led to is synced.
//! Knows nothing about: TOML, what a conversion is worth, who is told of it.
//!
//! Read on in this order: `worker` (threads and tasks), `connection`, `front`, `route`, `click`; for conversions `postback`
//! (the whole way), `entrance`, `fields`, `look_up`, `answer`.

mod access;
mod address;
mod again;
mod answer;
mod body;
mod callers;
mod catalog;
mod challenges;
mod click;
mod connection;
mod counts;
mod doors;
mod entrance;
mod evidence;
mod examine;
mod fields;
mod frames;
mod front;
#[cfg(feature = "geo")]
mod geo;
mod guests;
mod handshake;
mod hot;
mod http2;
mod idle;
mod labels;
mod last_click;
mod listen;
mod look_up;
mod network;
mod opening;
mod options;
mod outcome;
mod pixel;
mod postback;
mod proxy;

mod recent;
mod reply;
mod request_id;
mod route;
mod rulebook;
mod seat;
mod signature;
mod through;
mod timed;
mod tls;
mod track;
mod values;
mod visit;
mod worker;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use tokio::sync::watch;

pub use address::AddressPolicy;
pub use again::{MADE_UP, read_again};
pub use catalog::{
    Campaign, Catalog, CatalogError, ClickPath, Cost, Offer, Parts, Pixel, PixelKind, Redirect, Rotation,
    Source,
};
pub use challenges::{Challenges, Posted};
pub use counts::{LABELS, Totals};
pub use examine::{Examined, Refused, Told, examine, reread};
pub use front::URI_BYTES_MAX;
#[cfg(feature = "geo")]
pub use geo::GeoDatabase;
pub use handshake::Failure;
pub use labels::{ListError, Lists, VISITORS_DEFAULT, Visitors};
pub use listen::Listener;
pub use network::{
    Access, Answer, Answers, Door, DoorKind, Network, Rate, Secret, Signature, SignaturePlace,
};
pub use options::{BODY_BYTES_MAX, HEAD_BYTES_MAX, Options};
pub use outcome::{Class, Outcome};
pub use recent::Recent;
pub use rulebook::CatalogRules;
pub use timed::Timeouts;
pub use tls::{Certificates, ClientAuthorities, Identity, IdentityError, Tls};

use crate::apply::claim::{Refusal, Submission};
use crate::apply::ledger;
use crate::clock::{Clock, Timestamp};
use crate::event::postback::Postback;
use crate::metrics::{self, Page};
use crate::store::Store;
use crate::store::clicks::ClickWriter;
use callers::Callers;
use counts::Counts;
use guests::Guests;
use last_click::LastClicks;
use look_up::Waiting;
use recent::Recents;
use worker::{Shared, Word, run};

/// A running edge. Dropped, it drains by itself and nobody waits for it.
#[derive(Debug)]
pub struct Edge {
    addresses: Vec<SocketAddr>,
    handle: Handle,
    workers: Vec<JoinHandle<io::Result<ClickWriter>>>,
}

/// What others may ask of an edge while it runs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Arc<Shared>,
    word: Arc<watch::Sender<Word>>,
}

/// Starts the workers. Lane `n` of the store's clicks goes to worker `n`.
///
/// # Errors
/// What opening a socket or starting a thread says; `AddrInUse` mostly. A lane that is not there, or is taken.
pub fn start(
    options: Options,
    store: &Store,
    catalog: Arc<ArcSwap<Catalog>>,
    lists: Arc<ArcSwap<Lists>>,
    books: ledger::Handle,
    clock: Clock,
) -> io::Result<Edge> {
    let workers = usize::from(options.workers);
    let shares = listen::open(&options.listeners, workers)?;
    let addresses = shares
        .first()
        .map_or_else(Vec::new, |share| share.iter().map(|open| open.listener.address).collect());
    let mut seeds = [0; 16];
    getrandom::fill(&mut seeds).map_err(io::Error::other)?;
    let [low, high] =
        [0, 8].map(|at| seeds.iter().skip(at).take(8).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte)));
    let visitors = options.visitors;
    let shared = Arc::new(Shared {
        guests: Guests::new(options.connections_max, options.connections_per_address_max),
        options,
        catalog,
        lists,
        visitors: Visitors::new(visitors, (low, high)),
        clicks: store.clicks(),
        room: store.room_watch(),
        clock,
        counts: (0..workers).map(|_| Counts::default()).collect(),
        beats: (0..workers).map(|_| Arc::default()).collect(),
        books,
        callers: Callers::default(),
        recents: Recents::default(),
        last_clicks: LastClicks::new(hot::mix(low ^ high)),
        look_ups: Waiting::default(),
    });
    let (word, heard) = watch::channel(Word::default());
    let mut threads = Vec::new();
    for (index, sockets) in shares.into_iter().enumerate() {
        let lane = u8::try_from(index).unwrap_or(u8::MAX);
        let writer =
            store.click_writer(lane).ok_or_else(|| io::Error::other(format!("lane {lane} is not free")))?;
        let (shared, heard) = (Arc::clone(&shared), heard.clone());
        let seed = hot::mix(high ^ index as u64);
        let thread = std::thread::Builder::new()
            .name(format!("edge-{index}"))
            .spawn(move || run(shared, index, writer, seed, sockets, heard))?;
        threads.push(thread);
    }
    let handle = Handle { shared, word: Arc::new(word) };
    Ok(Edge { addresses, handle, workers: threads })
}

impl Edge {
    /// Where it listens, in the order of the options; port 0 has become the one that was chosen.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// For whoever asks while it runs.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Takes no new connections and ends those that are there, each after the answer it is at. Then gives the lanes
    /// up. Waits for all of it, up to the drain timeout.
    ///
    /// # Errors
    /// What a worker ended with.
    pub fn stop(mut self) -> io::Result<()> {
        self.handle.drain();
        for worker in std::mem::take(&mut self.workers) {
            match worker.join() {
                Ok(writer) => writer?.close(),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(())
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.handle.drain();
    }
}

impl Handle {
    fn drain(&self) {
        self.word.send_modify(|word| word.is_stop = true);
    }

    /// What has become of the requests so far.
    pub fn totals(&self) -> Totals {
        Totals::of(&self.shared.counts)
    }

    /// Of each worker, a number that moves at least once in two seconds while it does.
    pub fn beats(&self) -> &[Arc<AtomicU64>] {
        &self.shared.beats
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.shared.guests.count()
    }

    /// The last requests of the network by this id, the newest first; of those that are of no network for an empty one.
    pub fn recent(&self, network: &str) -> Vec<Recent> {
        self.shared.recents.of(network)
    }

    /// Has every lane begin a new segment, so that what it holds can be sealed; a lane without records is left alone.
    pub fn roll(&self) {
        self.word.send_modify(|word| word.rolls += 1);
    }

    /// Reads a postback of the journal once more, by the catalog in use; waits for the disk where its click is cold.
    /// `known` is the click that it was found to be about before, for one that does not say.
    ///
    /// # Errors
    /// Why it would be refused.
    pub fn read_again(&self, postback: &Postback<'_>, known: Option<&str>) -> Result<Submission, Refusal> {
        read_again(&self.shared.catalog.load(), &self.shared.clicks, postback, known)
    }

    /// Has the listener at this place of the options show these certificates; one without TLS shows none.
    ///
    /// # Errors
    /// They cannot be used; then nothing has changed.
    pub fn show(&self, listener: usize, certificates: &Certificates) -> io::Result<()> {
        let tls = self.shared.options.listeners.get(listener).and_then(|listener| listener.tls.as_ref());
        tls.map_or(Ok(()), |tls| tls.show(certificates).map_err(io::Error::other))
    }

    /// Writes the edge's numbers on a page.
    pub fn write_metrics(&self, page: &mut Page) {
        page.sample(&metrics::CONNECTIONS, &[], self.connections() as u64);
        page.sample(&metrics::CONNECTIONS_MAX, &[], self.shared.options.connections_max as u64);
        page.sample(&metrics::CONNECTIONS_GIVEN_UP, &[], self.shared.guests.given_up());
        self.totals().write_metrics(page);
        page.begin(&metrics::TLS_CERTIFICATE_EXPIRY);
        for (name, expires) in self.expiries() {
            let seconds = expires.since(Timestamp::default()).as_secs();
            page.sample(&metrics::TLS_CERTIFICATE_EXPIRY, &[("name", &name)], seconds);
        }
    }

    /// When the certificates that are shown expire, by their first names; of several for one name the soonest.
    fn expiries(&self) -> BTreeMap<String, Timestamp> {
        let all = self.shared.options.listeners.iter().filter_map(|listener| listener.tls.as_ref());
        let mut expiries = BTreeMap::new();
        for identity in all.flat_map(|tls| tls.identities()) {
            let soonest = expiries.entry(identity.name().to_owned()).or_insert(identity.expires());
            *soonest = identity.expires().min(*soonest);
        }
        expiries
    }
}
