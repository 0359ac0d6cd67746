//! The way in: listeners, the front check, clicks and their answers.
//!
//! In: connections. Out: records in the clicks journal, one lane a worker, and answers.
//! Keeps: each request ends in exactly one `Outcome`; a click is in its journal before it is answered; no request waits
//! for another worker, for a lock that is held across a wait, or for the disk.
//! Knows nothing about: TOML, conversions, who is told of them.
//!
//! Read on in this order: `worker` (threads and tasks), `connection`, `front`, `route`, `click`.

mod address;
mod catalog;
mod click;
mod connection;
mod front;
#[cfg(feature = "geo")]
mod geo;
mod guests;
mod hot;
mod labels;
mod listen;
mod options;
mod outcome;
mod proxy;
mod reply;
mod route;
mod through;
mod timed;
mod track;
mod values;
mod visit;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use tokio::sync::watch;

pub use address::AddressPolicy;
pub use catalog::{Campaign, Catalog, CatalogError, ClickPath, Cost, Offer, Redirect, Rotation, Source};
pub use front::URI_BYTES_MAX;
#[cfg(feature = "geo")]
pub use geo::GeoDatabase;
pub use labels::{ListError, Lists, VISITORS_DEFAULT, Visitors};
pub use listen::Listener;
pub use options::{BODY_BYTES_MAX, HEAD_BYTES_MAX, Options};
pub use outcome::{Counts, Outcome, Totals};
pub use timed::Timeouts;

use crate::clock::Clock;
use crate::store::Store;
use crate::store::clicks::ClickWriter;
use guests::Guests;
use worker::{Shared, Stop, run};

/// A running edge. Dropped, it drains by itself and nobody waits for it.
#[derive(Debug)]
pub struct Edge {
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
    stop: watch::Sender<Stop>,
    workers: Vec<JoinHandle<io::Result<ClickWriter>>>,
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
        clock,
        counts: (0..workers).map(|_| Counts::default()).collect(),
    });
    let (stop, stopped) = watch::channel(Stop::No);
    let mut threads = Vec::new();
    for (index, sockets) in shares.into_iter().enumerate() {
        let lane = u8::try_from(index).unwrap_or(u8::MAX);
        let writer =
            store.click_writer(lane).ok_or_else(|| io::Error::other(format!("lane {lane} is not free")))?;
        let (shared, stopped) = (Arc::clone(&shared), stopped.clone());
        let seed = hot::mix(high ^ index as u64);
        let thread = std::thread::Builder::new()
            .name(format!("edge-{index}"))
            .spawn(move || run(shared, index, writer, seed, sockets, stopped))?;
        threads.push(thread);
    }
    Ok(Edge { addresses, shared, stop, workers: threads })
}

impl Edge {
    /// Where it listens, in the order of the options; port 0 has become the one that was chosen.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What has become of the requests so far.
    pub fn totals(&self) -> Totals {
        Totals::of(&self.shared.counts)
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.shared.guests.count()
    }

    /// Takes no new connections and ends those that are there, each after the answer it is at. Then gives the lanes
    /// up. Waits for all of it, up to the drain timeout.
    ///
    /// # Errors
    /// What a worker ended with.
    pub fn stop(self) -> io::Result<()> {
        // No worker listens any more: then they have ended.
        let _gone = self.stop.send(Stop::Drain);
        for worker in self.workers {
            match worker.join() {
                Ok(writer) => writer?.close(),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(())
    }
}
