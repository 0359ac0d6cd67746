//! The store as a whole: opened, handed out lane by lane, closed.
//!
//! Keeps: what was handed out is handed out once; `close` leaves everything sealed, or says why not.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::Journal;
use super::background::{Counters, Shared, run_prepare, run_seal, run_sync};
use super::clicks::{ClickWriter, Clicks};
use super::dedupe::DedupeKey;
use super::directory::{Directory, Lock};
use super::erasures::Hidden;
use super::error::{Error, Result};
use super::foreign::ForeignIds;
use super::keys;
use super::lane::{Bells, Hourly, Lane, LaneWriter, View};
use super::open::{Opened, Progress, open};
use super::options::Options;
use super::poison::Poison;
use super::recovery::Report;
use super::rewrite::Rewriter;
use super::space::{Reserve, Room};
use crate::metrics::{self, Metric, Page};

/// An open store.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    clicks: Clicks,
    dedupe_key: DedupeKey,
    writers: Mutex<Vec<LaneWriter>>,
    threads: Vec<JoinHandle<()>>,
    sealer: Option<JoinHandle<()>>,
    report: Report,
    _lock: Lock,
}

/// What the room left on the disk allows, as of now. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RoomWatch(Arc<Shared>);

impl RoomWatch {
    /// See `Store::room`.
    pub fn room(&self) -> Room {
        self.0.room()
    }
}

impl Store {
    /// Opens the data folder, recovers what was left unsealed, and makes every lane ready to be appended to.
    ///
    /// # Errors
    /// See `Error`: a lock, a manifest, a setting, a key, or what the system says.
    pub fn open(options: Options) -> Result<Self> {
        Self::open_with(options, &mut |_done, _of| {})
    }

    /// As `open`, telling `progress` of each segment: how many are done, of how many.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_with(options: Options, progress: Progress<'_>) -> Result<Self> {
        let Opened { directory, lock, manifest, mut views, open_files, report, is_new } =
            open(&options, progress)?;
        let import_lane = options.import_lane().map(|number| (Journal::Clicks, number));
        if let Some(key) = import_lane.filter(|key| views.iter().all(|(known, _)| known != key)) {
            views.push((key, View::default()));
        }
        let keys = Arc::new(keys::click_id_keys(&directory, is_new)?);
        let dedupe_key = keys::dedupe_key(&directory)?;
        let (poison, bells) = (Poison::default(), Bells::default());
        let lanes: Vec<_> = views
            .into_iter()
            .map(|((journal, number), view)| {
                let next =
                    manifest.current().lanes.get(&(journal, number)).map_or(0, |lane| lane.next_segment);
                let files = Arc::clone(&open_files);
                Lane::new(journal, number, next, view, files, poison.clone(), bells.clone())
            })
            .collect();
        let of_clicks = lanes.iter().filter(|lane| lane.journal() == Journal::Clicks);
        let click_key = keys.current();
        let secret = keys::random(directory.root())?;
        let foreign = ForeignIds::restore(of_clicks.clone().map(|lane| &**lane), &secret)?;
        let hidden = Hidden::load(&directory)?;
        let clicks = Clicks::new(
            of_clicks.cloned().collect(),
            keys,
            Arc::new(foreign),
            options.node,
            Arc::clone(&hidden),
        );
        let of_imports = |lane: &Lane| Some((lane.journal(), lane.number())) == import_lane;
        let written = |lane: &&Arc<Lane>| {
            lane.journal() != Journal::Clicks || lane.number() < options.lanes || of_imports(lane)
        };
        lanes.iter().filter(|lane| of_imports(lane)).for_each(|lane| lane.want(false));
        let writer = |lane: &Arc<Lane>| {
            let is_of_a_worker = lane.journal() == Journal::Clicks && !of_imports(lane);
            let hourly = if is_of_a_worker { Hourly::ByRecords } else { Hourly::ByClock };
            let limits = options.writer_limits(lane.journal(), hourly);
            LaneWriter::new(Arc::clone(lane), limits, options.clock.clone())
        };
        let writers = lanes.iter().filter(written).map(writer).collect();
        let lanes_written = lanes.iter().filter(written).cloned().collect();
        let shared = Arc::new(Shared {
            directory,
            all_lanes: lanes,
            lanes: lanes_written,
            manifest: Mutex::new(manifest),
            poison,
            bells,
            room: (Room::Enough as u8).into(),
            click_key,
            counters: Counters::default(),
            replaced: Mutex::default(),
            hidden,
            options,
        });
        shared.watch_room();
        shared.prepare_missing();
        shared.poison.check()?;
        let mut store = Self {
            shared,
            clicks,
            dedupe_key,
            writers: Mutex::new(writers),
            threads: Vec::new(),
            sealer: None,
            report,
            _lock: lock,
        };
        store.threads =
            vec![store.spawn("store-sync", run_sync)?, store.spawn("store-prepare", run_prepare)?];
        store.sealer = Some(store.spawn("store-seal", run_seal)?);
        Ok(store)
    }

    fn spawn(&self, name: &str, run: fn(&Shared)) -> Result<JoinHandle<()>> {
        let shared = Arc::clone(&self.shared);
        let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(move || run(&shared));
        spawned.map_err(Error::io("start a thread for", self.shared.directory.root()))
    }

    /// What was found when it was opened.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The data folder.
    pub fn directory(&self) -> &Directory {
        &self.shared.directory
    }

    /// The right to append clicks to this lane; nothing if it was given out, or there is no such lane.
    pub fn click_writer(&self, lane: u8) -> Option<ClickWriter> {
        let is_of_a_worker = lane < self.shared.options.lanes;
        let writer = is_of_a_worker.then(|| self.take_writer(Journal::Clicks, lane))??;
        Some(ClickWriter::new(writer, self.clicks()))
    }

    /// The right to append clicks of another tracker, to a lane of their own; nothing if it was given out, or if the workers
    /// have all lanes. Its first segment is made from now on: until then an append says `NoRoom`.
    pub fn import_writer(&self) -> Option<ClickWriter> {
        let writer = self.take_writer(Journal::Clicks, self.shared.options.import_lane()?)?;
        writer.lane().want(true);
        Some(ClickWriter::new(writer, self.clicks()))
    }

    /// The right to append to the postbacks or deliveries journal; nothing if it was given out.
    pub fn journal_writer(&self, journal: Journal) -> Option<LaneWriter> {
        assert!(journal != Journal::Clicks, "clicks are written through `click_writer`");
        self.take_writer(journal, 0)
    }

    fn take_writer(&self, journal: Journal, number: u8) -> Option<LaneWriter> {
        let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        let index = writers
            .iter()
            .position(|writer| writer.lane().journal() == journal && writer.lane().number() == number)?;
        Some(writers.swap_remove(index))
    }

    /// Look-ups of clicks, in all lanes.
    pub fn clicks(&self) -> Clicks {
        self.clicks.clone()
    }

    /// A lane, for reading, waiting and syncing.
    pub fn lane(&self, journal: Journal, number: u8) -> Option<&Arc<Lane>> {
        let same = |lane: &&Arc<Lane>| lane.journal() == journal && lane.number() == number;
        self.shared.all_lanes.iter().find(same)
    }

    /// The secret that the dedupe table hashes with.
    pub fn dedupe_key(&self) -> &DedupeKey {
        &self.dedupe_key
    }

    /// What the room left on the disk allows.
    pub fn room(&self) -> Room {
        self.shared.room()
    }

    /// The same, for somebody who asks often.
    pub fn room_watch(&self) -> RoomWatch {
        RoomWatch(Arc::clone(&self.shared))
    }

    /// Makes sealed segments anew. It is to be let go of before the store is closed.
    pub fn rewriter(&self) -> Rewriter {
        Rewriter::new(Arc::clone(&self.shared))
    }

    /// What was asked to be forgotten, as its look-ups know it.
    pub fn hidden(&self) -> &Hidden {
        &self.shared.hidden
    }

    /// The switch that a failed sync throws.
    pub fn poison(&self) -> &Poison {
        &self.shared.poison
    }

    /// What happened in the background.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Writes the store's numbers on a page.
    pub fn write_metrics(&self, page: &mut Page) {
        let (lanes, counters) = (&self.shared.all_lanes, &self.shared.counters);
        let mut per_lane = |metric: &Metric, count: fn(&View) -> usize| {
            // A lane that nobody ever wrote to is not worth a line.
            let is_shown = |lane: &&Arc<Lane>| lane.is_wanted() || !lane.view().is_empty();
            for lane in lanes.iter().filter(is_shown) {
                let number = lane.number().to_string();
                let labels = [("journal", lane.journal().name()), ("lane", &number)];
                page.sample(metric, &labels, count(&lane.view()) as u64);
            }
        };
        per_lane(&metrics::STORE_OPEN_SEGMENTS, |view| view.open.len());
        per_lane(&metrics::STORE_SEALED_SEGMENTS, |view| view.sealed.len());
        per_lane(&metrics::STORE_UNREADABLE_SEGMENTS, |view| view.unreadable.len());
        let (report, foreign) = (&self.report, self.clicks.foreign());
        let samples = [
            (&metrics::STORE_PREPARED, counters.prepared.load(Ordering::Relaxed)),
            (&metrics::STORE_SEALED, counters.sealed.load(Ordering::Relaxed)),
            (&metrics::STORE_FULL, counters.full.load(Ordering::Relaxed)),
            (&metrics::STORE_FREE_BYTES, counters.free_bytes.load(Ordering::Relaxed)),
            (&metrics::STORE_ROOM, self.room() as u64),
            (&metrics::STORE_POISONED, u64::from(self.poison().cause().is_some())),
            (&metrics::STORE_FOREIGN_IDS, foreign.len() as u64),
            (&metrics::STORE_FOREIGN_BYTES, foreign.memory_bytes() as u64),
            (&metrics::RECOVERY_CLEAN, u64::from(report.was_clean)),
            (&metrics::RECOVERY_SEGMENTS, report.recovered_segments),
            (&metrics::RECOVERY_RECORDS, report.recovered_records),
            (&metrics::RECOVERY_DAMAGED_BYTES, report.damaged_bytes),
            (&metrics::RECOVERY_CORRUPT_SEGMENTS, report.corrupt_segments),
        ];
        samples.into_iter().for_each(|(metric, value)| page.sample(metric, &[], value));
    }

    /// Syncs and seals everything, and marks the stop as clean. Writers that were handed out are to be closed
    /// before; what one still holds is left for recovery, and the stop is not clean.
    ///
    /// # Errors
    /// `Poisoned`, or what writing the manifest says.
    pub fn close(mut self) -> Result<()> {
        let writers = std::mem::take(&mut *self.writers.lock().unwrap_or_else(PoisonError::into_inner));
        writers.into_iter().for_each(LaneWriter::close);
        self.stop_threads();
        let closed = self.seal_rest();
        self.shared.poison.stop();
        closed
    }

    fn stop_threads(&mut self) {
        self.shared.bells.sync.trip();
        self.shared.bells.prepare.trip();
        self.threads.drain(..).for_each(join);
        self.shared.bells.seal.trip();
        self.sealer.take().into_iter().for_each(join);
    }

    fn seal_rest(&self) -> Result<()> {
        let shared = &self.shared;
        shared.lanes.iter().try_for_each(|lane| lane.sync())?;
        shared.seal_ready();
        shared.poison.check()?;
        let mut unused = Vec::new();
        for lane in &shared.lanes {
            if let Some(prepared) = lane.take_next() {
                unused.push((lane.journal(), lane.number(), prepared.segment().number()));
                prepared.retire().discard()?;
            }
        }
        let is_clean = shared.lanes.iter().all(|lane| lane.view().open.is_empty());
        shared.manifest().update(|manifest| {
            unused.iter().for_each(|(journal, lane, segment)| manifest.forget(*journal, *lane, *segment));
            manifest.clean = is_clean;
            Ok(())
        })?;
        Reserve::new(&shared.directory, 0).give_up();
        shared.replaced.lock().unwrap_or_else(PoisonError::into_inner).sweep()?;
        Ok(())
    }
}

impl Drop for Store {
    /// Stops the threads. Without `close` nothing is sealed: the next start recovers.
    fn drop(&mut self) {
        self.stop_threads();
        self.shared.poison.stop();
    }
}

fn join(thread: JoinHandle<()>) {
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}
