//! What operators may ask of the daemon as a whole.
//!
//! Keeps: a reload is all or nothing; a catalog's version is higher than any before, over restarts too; a worker never
//! has to take an old catalog apart.

mod console;

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

#[cfg(feature = "acme")]
use super::acme;
use super::aliases::{settle_click, settle_cost};
use super::brought::Brought;
use super::costs::Costs;
use super::replay::{Order, ReplayError, Tools};
use super::{Source, brought, certificates, compaction, made_up};
use crate::admin::{self, ApiError, ApiResult, Check, Health, Operations, Pause, PostbackTest, Replay};
use crate::apply::claim::Request;
use crate::apply::ledger;
use crate::apply::reason::Reason;
use crate::apply::start::Numbers;
use crate::batch::import::{self, Conversion, Cost, Importer, Row, Sink};
use crate::clock::{Clock, Timestamp};
use crate::config::{Problems, Served, Settings};
use crate::dispatcher::destinations::Destinations;
use crate::dispatcher::start;
use crate::dispatcher::tally::Gauges;
use crate::event::hex;
use crate::event::nearest::missing;
use crate::event::params::{Params, Source as ParamSource};
use crate::ingest::{Catalog, Handle, Lists};
use crate::logs;
use crate::metrics::{self, Page, process};
use crate::store::reader::Reader;
use crate::store::space::Room;
use crate::store::{Position, Store};

/// How long a reload waits for requests that still look at the old catalog, before it leaves it to them.
const RETIRE_TRIES: u32 = 100;
const RETIRE_PAUSE: Duration = Duration::from_millis(5);

const _: () = assert!(import::CHUNK_BYTES_MAX <= admin::CHUNK_BYTES_MAX, "a chunk fits a request");

/// What a reload swaps.
pub(super) struct Swaps {
    pub(super) catalog: Arc<ArcSwap<Catalog>>,
    pub(super) lists: Arc<ArcSwap<Lists>>,
    pub(super) destinations: Arc<ArcSwap<Destinations>>,
}

/// Whom operators can ask.
pub(super) struct Actors {
    pub(super) edge: Handle,
    pub(super) books: ledger::Handle,
    pub(super) numbers: Numbers,
    /// Nobody where nothing is sent.
    pub(super) dispatcher: Option<start::Handle>,
    pub(super) compaction: compaction::Handle,
    pub(super) certificates: certificates::Handle,
    #[cfg(feature = "acme")]
    pub(super) acme: acme::Handle,
    /// Where visitors come in.
    pub(super) addresses: Vec<SocketAddr>,
}

/// What the actors share, seen from above.
pub(super) struct State {
    source: Source,
    /// As started: most of them need a restart to change.
    settings: Settings,
    catalog: Arc<ArcSwap<Catalog>>,
    lists: Arc<ArcSwap<Lists>>,
    destinations: Arc<ArcSwap<Destinations>>,
    edge: Handle,
    books: ledger::Handle,
    numbers: Numbers,
    dispatcher: Option<start::Handle>,
    compaction: compaction::Handle,
    certificates: certificates::Handle,
    #[cfg(feature = "acme")]
    acme: acme::Handle,
    store: Arc<Store>,
    clock: Clock,
    started: Timestamp,
    is_leaving: AtomicBool,
    /// One reload at a time, one replay, and one payout that is settled.
    reloading: Mutex<()>,
    replaying: Mutex<()>,
    settling: Mutex<()>,
    reloads: AtomicU64,
    refused_reloads: AtomicU64,
    last_reload_was_refused: AtomicBool,
    /// Taken from the store when the first chunk comes.
    importer: Mutex<Option<Importer>>,
    /// Read from the journal when the first chunk comes.
    brought: Mutex<Option<Brought>>,
    costs: Mutex<Option<Costs>>,
    /// What the console shows first.
    overview: console::Kept,
    /// Where visitors come in.
    addresses: Vec<SocketAddr>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("edge", &self.edge).field("store", &self.store).finish_non_exhaustive()
    }
}

impl State {
    pub(super) fn new(
        source: Source,
        settings: Settings,
        Swaps { catalog, lists, destinations }: Swaps,
        actors: Actors,
        store: Arc<Store>,
        clock: Clock,
    ) -> Self {
        let Actors {
            edge,
            books,
            numbers,
            dispatcher,
            compaction,
            certificates,
            #[cfg(feature = "acme")]
            acme,
            addresses,
        } = actors;
        Self {
            source,
            settings,
            catalog,
            lists,
            destinations,
            edge,
            books,
            numbers,
            dispatcher,
            compaction,
            certificates,
            #[cfg(feature = "acme")]
            acme,
            store,
            started: clock.now(),
            clock,
            is_leaving: AtomicBool::new(false),
            reloading: Mutex::new(()),
            replaying: Mutex::new(()),
            settling: Mutex::new(()),
            reloads: AtomicU64::new(0),
            refused_reloads: AtomicU64::new(0),
            last_reload_was_refused: AtomicBool::new(false),
            importer: Mutex::new(None),
            brought: Mutex::new(None),
            costs: Mutex::new(None),
            overview: console::Kept::default(),
            addresses,
        }
    }

    /// What a chunk of an import is sent with, and its number; refused where there is no room for it.
    fn chunk(&self, query: &str) -> Result<(Params, u64), ApiError> {
        if self.store.room() == Room::Critical {
            return Err(ApiError::Unavailable("there is hardly any room on the disk".to_owned()));
        }
        let params = Params::parse(query.as_bytes(), ParamSource::Query);
        let chunk = params.get("chunk").and_then(|text| text.parse().ok());
        let chunk = chunk.ok_or_else(|| ApiError::Bad("?chunk= is the number of the chunk".to_owned()))?;
        Ok((params, chunk))
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// The store, if nobody else holds it any more.
    pub(super) fn into_store(self) -> Option<Store> {
        let importer = self.importer.into_inner().unwrap_or_else(PoisonError::into_inner);
        importer.into_iter().for_each(Importer::close);
        Arc::into_inner(self.store)
    }

    pub(super) fn catalog(&self) -> Arc<Catalog> {
        self.catalog.load_full()
    }

    /// Not ready any more.
    pub(super) fn announce(&self) {
        self.is_leaving.store(true, Ordering::Relaxed);
    }

    /// See `Daemon::reload`.
    pub(super) fn reload(&self) -> Result<String, Problems> {
        let _alone = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let done = self.try_reload();
        let counter = if done.is_ok() { &self.reloads } else { &self.refused_reloads };
        counter.fetch_add(1, Ordering::Relaxed);
        self.last_reload_was_refused.store(done.is_err(), Ordering::Relaxed);
        done
    }

    fn try_reload(&self) -> Result<String, Problems> {
        let settings = (self.source)()?;
        let now = u64::try_from(self.clock.now().micros()).unwrap_or(0);
        let version = now.max(self.catalog.load().version() + 1);
        let Served { catalog, destinations, lists } = settings.load_served(version)?;
        #[cfg(feature = "acme")]
        let authority = settings.authority()?;
        self.certificates.show(self.certificates.load(&settings)?);
        #[cfg(feature = "acme")]
        self.acme.reload(authority);
        logs::set_level(settings.log.level);
        let (campaigns, offers) = (catalog.campaigns().len(), catalog.offers().len());
        retire(self.lists.swap(Arc::new(lists)));
        self.destinations.store(Arc::new(destinations));
        let dispatcher = self.dispatcher.as_ref();
        let late = dispatcher.and_then(|dispatcher| dispatcher.reload().err());
        retire(self.catalog.swap(Arc::new(catalog)));
        let mut told = format!("catalog {version}: {campaigns} campaigns, {offers} offers");
        if let Some(why) = late {
            told.push_str(&format!("; destinations are taken later: {why}"));
        }
        let waiting = self.waiting(&settings);
        if !waiting.is_empty() {
            told.push_str(&format!("; a restart is needed for {}", waiting.join(", ")));
        }
        Ok(told)
    }

    /// Settings that differ from those that it was started with and that a reload does not change.
    fn waiting(&self, settings: &Settings) -> Vec<String> {
        let (now, then) = (settings.entries(), self.settings.entries());
        let differ = now.iter().zip(&then).filter(|(now, then)| now.value != then.value);
        let is_reloaded = |section: &str, key: &str| match section {
            "acme" | "catalog" | "labels" => true,
            "log" => key == "level",
            // They are part of each destination's route, which the catalog makes.
            "dispatcher" => matches!(key, "proxy" | "ca"),
            _ => false,
        };
        let waits = differ.filter(|(now, _)| !is_reloaded(now.section, now.key));
        waits.map(|(now, _)| format!("{}.{}", now.section, now.key)).collect()
    }
}

/// Drops what was swapped out here, and not in the worker that happened to look at it last: a large catalog takes
/// many milliseconds to take apart.
fn retire<T>(mut old: Arc<T>) {
    for _ in 0..RETIRE_TRIES {
        match Arc::try_unwrap(old) {
            Ok(alone) => return drop(alone),
            Err(shared) => old = shared,
        }
        std::thread::sleep(RETIRE_PAUSE);
    }
}

impl Operations for State {
    fn write_metrics(&self, page: &mut Page) {
        page.sample(&metrics::BUILD, &[("version", env!("CARGO_PKG_VERSION"))], 1);
        let is_ready = self.checks().iter().all(|check| check.health != Health::Bad);
        page.sample(&metrics::READY, &[], u64::from(is_ready));
        self.edge.write_metrics(page);
        self.certificates.write_metrics(page);
        #[cfg(feature = "acme")]
        self.acme.write_metrics(page);
        let catalog = self.catalog.load();
        let samples = [
            (&metrics::CATALOG_VERSION, catalog.version()),
            (&metrics::CATALOG_CAMPAIGNS, catalog.campaigns().len() as u64),
            (&metrics::CATALOG_OFFERS, catalog.offers().len() as u64),
        ];
        samples.into_iter().for_each(|(metric, value)| page.sample(metric, &[], value));
        let reloads = [("taken", &self.reloads), ("refused", &self.refused_reloads)];
        for (result, count) in reloads {
            page.sample(&metrics::RELOADS, &[("result", result)], count.load(Ordering::Relaxed));
        }
        let was_taken = !self.last_reload_was_refused.load(Ordering::Relaxed);
        page.sample(&metrics::RELOAD_OK, &[], u64::from(was_taken));
        self.store.write_metrics(page);
        self.numbers.write_metrics(page);
        self.dispatcher.iter().for_each(|dispatcher| dispatcher.write_metrics(page));
        self.compaction.write_metrics(page);
        #[cfg(feature = "parquet")]
        crate::batch::reconcile::state::write_metrics(self.store.directory().root(), page);
        logs::write_metrics(page);
        page.sample(&metrics::PROCESS_START, &[], u64::from(self.started.seconds()));
        process::write(page);
    }

    fn checks(&self) -> Vec<Check> {
        let (health, detail) = match self.store.poison().cause() {
            None => (Health::Good, "it can be written".to_owned()),
            Some(cause) => (Health::Bad, format!("it cannot be written any more: {cause}")),
        };
        let store = Check { name: "store", health, detail };
        let (health, detail) = match self.store.room() {
            Room::Enough => (Health::Good, "there is room"),
            Room::Low => (Health::Worrying, "there is little room"),
            Room::Critical => {
                (Health::Worrying, "there is hardly any room: clicks are taken, postbacks are not")
            }
        };
        let disk = Check { name: "disk", health, detail: detail.to_owned() };
        let (health, detail) = match self.is_leaving.load(Ordering::Relaxed) {
            false => (Health::Good, format!("{} connections", self.edge.connections())),
            true => (Health::Bad, "requests should go elsewhere: this one is about to stop".to_owned()),
        };
        let edge = Check { name: "edge", health, detail };
        let was_refused = self.last_reload_was_refused.load(Ordering::Relaxed);
        let (health, detail) = match was_refused {
            false => (Health::Good, format!("version {}", self.catalog.load().version())),
            true => {
                (Health::Worrying, "the last reload was refused, the catalog before it is in use".to_owned())
            }
        };
        let catalog = Check { name: "catalog", health, detail };
        let numbers = self.dispatcher.as_ref().map(|it| (it.not_kept(), it.tally().gauges()));
        vec![store, disk, edge, catalog, dispatcher_check(numbers)]
    }

    fn reload(&self) -> Result<String, String> {
        let done = State::reload(self).map_err(|problems| problems.to_string());
        log_reload(&done);
        done
    }

    fn roll(&self) -> String {
        self.edge.roll();
        // A queue that is full is being worked off, and the journal rolls by itself.
        let _asked = self.books.submit(Request::Roll);
        self.dispatcher.iter().for_each(start::Handle::roll);
        let mut importer = self.importer.lock().unwrap_or_else(PoisonError::into_inner);
        importer.iter_mut().for_each(Importer::roll);
        self.compaction.nudge();
        "every lane that holds records begins a new segment".to_owned()
    }

    fn drain(&self) -> String {
        self.announce();
        tracing::info!("not ready any more, as an operator asked for");
        "not ready any more; requests are still taken until the process is stopped".to_owned()
    }

    fn log_level(&self, level: &str) -> Result<String, String> {
        let level: logs::Level = level.parse().map_err(|error| format!("level {error}"))?;
        logs::set_level(level);
        Ok(format!("the log tells {} and above, until the next reload", level.name()))
    }

    fn postbacks(&self, network: &str) -> ApiResult {
        as_json(&self.edge.recent(network))
    }

    fn settle(&self, held: Position, is_release: bool) -> ApiResult {
        // One at a time: what was settled a moment ago is in the journal.
        let _alone = self.settling.lock().unwrap_or_else(PoisonError::into_inner);
        let reader = Reader::open(self.store.directory().root());
        let newest = crate::batch::held::newest_of_erased(&reader, held).map_err(unavailable)?;
        let request = Request::Settle { held, is_release, time: self.clock.now(), newest };
        let reply = self.books.submit(request).map_err(unavailable)?;
        let ruling = reply.wait().map_err(unavailable)?.into_inner();
        if ruling.reason == Reason::NotHeld {
            let why = "or it was settled before, or a later one has taken its place";
            return Err(ApiError::Conflict(format!("nothing is held at {held}, {why}")));
        }
        if ruling.reason == Reason::CurrencyChanged {
            let why =
                "is in another currency than what its conversion was paid before: it can only be dropped";
            return Err(ApiError::Conflict(format!("what is held at {held} {why}")));
        }
        as_json(&serde_json::json!({
            "conversion_id": hex(&ruling.conversion_id),
            "reason": ruling.reason.name(),
            "entry": ruling.entry.to_string(),
            "currency": ruling.payout.map(|payout| payout.currency.to_string()),
        }))
    }

    fn import_clicks(&self, query: &str, rows: &[u8]) -> ApiResult {
        let (params, mark) = self.chunk(query)?;
        let mut rows: Vec<Row> = import::read_rows(rows).map_err(|error| ApiError::Bad(error.to_string()))?;
        let catalog = self.catalog.load();
        rows.iter_mut().for_each(|row| settle_click(&catalog, row));
        let mut importer = self.importer.lock().unwrap_or_else(PoisonError::into_inner);
        if importer.is_none() {
            *importer = Importer::new(&self.store, self.clock.clone());
        }
        let why = "all lanes are the workers': import while the daemon is stopped, or with fewer workers";
        let importer = importer.as_mut().ok_or_else(|| ApiError::Conflict(why.to_owned()))?;
        let taken = importer.take(mark, &rows).map_err(unavailable)?;
        if params.get("last").is_some() {
            importer.roll();
        }
        serde_json::to_string(&taken).map_err(|error| ApiError::Unavailable(error.to_string()))
    }

    fn import_conversions(&self, query: &str, rows: &[u8]) -> ApiResult {
        let (params, chunk) = self.chunk(query)?;
        let network = params.get("network").unwrap_or_default();
        let catalog = self.catalog();
        if catalog.network(network).is_none() {
            return Err(no_network(&catalog, network));
        }
        let rows: Vec<Conversion> =
            import::read_rows(rows).map_err(|error| ApiError::Bad(error.to_string()))?;
        let mut brought = self.brought.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match brought.take() {
            Some(known) => known,
            None => Brought::load(&Reader::open(self.store.directory().root())).map_err(unavailable)?,
        };
        let (store, books) = (&*self.store, &self.books);
        let means = brought::Means { catalog: &catalog, store, books, now: self.clock.now() };
        let taken = brought.insert(known).take(network, (chunk, &rows), &means);
        as_json(&taken.map_err(|error| ApiError::Unavailable(error.to_string()))?)
    }

    fn aliases(&self) -> ApiResult {
        let catalog = self.catalog.load();
        let all: Vec<_> = catalog
            .campaigns()
            .iter()
            .map(|campaign| serde_json::json!({ "id": campaign.id, "aliases": campaign.aliases }))
            .collect();
        as_json(&serde_json::json!({ "campaigns": all }))
    }

    fn import_costs(&self, query: &str, rows: &[u8]) -> ApiResult {
        let (_, chunk) = self.chunk(query)?;
        let mut rows: Vec<Cost> =
            import::read_rows(rows).map_err(|error| ApiError::Bad(error.to_string()))?;
        let catalog = self.catalog.load();
        rows.iter_mut().for_each(|row| settle_cost(&catalog, row));
        let mut costs = self.costs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = match costs.take() {
            Some(known) => known,
            None => Costs::load(&Reader::open(self.store.directory().root())).map_err(unavailable)?,
        };
        // After a failure what was kept is only in the journal: the next chunk reads it.
        let taken = known.take((chunk, &rows), &self.books, self.clock.now()).map_err(unavailable)?;
        *costs = Some(known);
        as_json(&taken)
    }

    fn test_postback(&self, test: &PostbackTest) -> ApiResult {
        let catalog = self.catalog();
        if catalog.network(&test.network).is_none() {
            return Err(no_network(&catalog, &test.network));
        }
        let destinations = self.destinations.load();
        let means = made_up::Means {
            catalog: &catalog,
            destinations: self.dispatcher.as_ref().map(|_| &**destinations),
            edge: &self.edge,
            books: &self.books,
            store: &self.store,
        };
        let made = made_up::go(test, &means, self.clock.now());
        as_json(&made.map_err(ApiError::Unavailable)?)
    }

    fn replay(&self, replay: &Replay) -> ApiResult {
        let catalog = self.catalog.load();
        if catalog.network(&replay.network).is_none() {
            return Err(no_network(&catalog, &replay.network));
        }
        let order = Order {
            network: replay.network.clone(),
            from: replay.from.unwrap_or_default(),
            to: replay.to.map_or(Timestamp::from_micros(i64::MAX), |to| to.plus(Duration::from_micros(1))),
            is_dry: replay.dry_run,
        };
        let _alone = self
            .replaying
            .try_lock()
            .map_err(|_| ApiError::Conflict("another replay is under way".to_owned()))?;
        let tools = Tools { store: &self.store, edge: &self.edge, books: &self.books };
        let replayed = tools.replay(&order).map_err(|error| match error {
            ReplayError::TooMany => ApiError::Bad(error.to_string()),
            error => unavailable(error),
        })?;
        as_json(&replayed)
    }

    fn destinations(&self) -> ApiResult {
        let destinations = self.dispatcher()?.list().map_err(unavailable)?;
        as_json(&serde_json::json!({ "destinations": destinations }))
    }

    fn pause_destination(&self, pause: &Pause) -> ApiResult {
        let why = pause.why.as_deref().unwrap_or("an operator paused it");
        let is_known = self.dispatcher()?.pause(&pause.destination, why).map_err(unavailable)?;
        self.told_of(&pause.destination, is_known, "paused")
    }

    fn resume_destination(&self, destination: &str) -> ApiResult {
        let is_known = self.dispatcher()?.resume(destination).map_err(unavailable)?;
        self.told_of(destination, is_known, "resumed")
    }

    fn replay_deliveries(&self, deliveries: Vec<(String, Position)>) -> ApiResult {
        as_json(&self.dispatcher()?.reopen(deliveries).map_err(unavailable)?)
    }
}

/// Never bad: requests are taken, and what they owe waits. `numbers` are outcomes that are not kept, and gauges.
fn dispatcher_check(numbers: Option<(u64, Gauges)>) -> Check {
    let (health, detail) = match numbers {
        None => (Health::Good, "nothing is sent: dispatcher.enabled is false".to_owned()),
        Some((not_kept @ 1.., _)) => {
            (Health::Worrying, format!("nothing is sent: {not_kept} outcomes could not be written"))
        }
        Some((0, Gauges { paused: paused @ 1.., .. })) => (
            Health::Worrying,
            format!("destinations that are paused: {paused}; `clicklog deliveries status` says why"),
        ),
        Some((0, Gauges { ready, waiting, in_flight, .. })) => {
            (Health::Good, format!("{in_flight} deliveries are being sent, {ready} are due, {waiting} wait"))
        }
    };
    Check { name: "dispatcher", health, detail }
}

impl State {
    fn dispatcher(&self) -> Result<&start::Handle, ApiError> {
        let why = "nothing is sent: dispatcher.enabled is false";
        self.dispatcher.as_ref().ok_or_else(|| ApiError::Conflict(why.to_owned()))
    }

    fn told_of(&self, destination: &str, is_known: bool, what: &str) -> ApiResult {
        if !is_known {
            let destinations = self.destinations.load();
            let mut known: Vec<&str> = destinations.limits.keys().map(|id| &**id).collect();
            known.sort_unstable();
            return Err(ApiError::Unknown(missing("destination", destination, known)));
        }
        as_json(&serde_json::json!({ "destination": destination, "is": what }))
    }
}

fn no_network(catalog: &Catalog, name: &str) -> ApiError {
    ApiError::Unknown(missing("network", name, catalog.networks().iter().map(|network| &*network.rules.id)))
}

fn as_json(value: &impl serde::Serialize) -> ApiResult {
    serde_json::to_string(value).map_err(unavailable)
}

fn unavailable(error: impl fmt::Display) -> ApiError {
    ApiError::Unavailable(error.to_string())
}

/// Says in the log what a reload came to.
pub(super) fn log_reload(done: &Result<String, String>) {
    match done {
        Ok(told) => tracing::info!("reloaded: {told}"),
        Err(why) => tracing::error!("reload refused, nothing has changed:\n{why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dispatcher_is_a_worry_at_most() {
        let paused = Gauges { paused: 2, ..Gauges::default() };
        for (numbers, health, part) in [
            (None, Health::Good, "dispatcher.enabled is false"),
            (Some((0, Gauges::default())), Health::Good, "0 are due"),
            (Some((0, paused)), Health::Worrying, "paused: 2"),
            (Some((3, paused)), Health::Worrying, "3 outcomes could not be written"),
        ] {
            let check = dispatcher_check(numbers);
            assert_eq!((check.name, check.health), ("dispatcher", health));
            assert!(check.detail.contains(part), "{}", check.detail);
        }
    }
}
