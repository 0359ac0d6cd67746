//! The thread that publishes beside the daemon.
//!
//! In: the journals' manifest, looked at every few seconds. Out: what `publisher` and `summing` make of it; a line in the log
//! for what was done and for what could not be; numbers.
//! Keeps: it goes behind all others on the processor, and no faster than it may; on a disk that is full it only takes away
//! what is not to be there any more. A stop ends it within the time that a row group takes.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::brake::Brake;
pub use super::brake::IsPressed;
use super::error::Error;
use super::publish::Step;
use super::publisher::{self, News, Publisher, Watcher};
use super::summing::Summing;
use super::worker::{self, Worker};
use crate::clock::Clock;
use crate::metrics::{self, Page};
use crate::shutdown::Woken;
use crate::store::space::Room;
use crate::store::{RoomWatch, described, run_behind_all};

/// The names of the tables, as metrics have them.
const TABLES: [&str; 3] = ["clicks", "conversions", "deliveries"];

/// What it is told at its start.
pub struct Options {
    /// What is published, and where.
    pub publisher: publisher::Options,
    /// Bytes of journals that are read in a second.
    pub bytes_per_second: u64,
    /// Whether it works only while a processor has nothing else to do.
    pub only_idle: bool,
    /// How often it looks whether there is something to do.
    pub poll: Duration,
    /// Whether there is room on the disk.
    pub room: RoomWatch,
    /// Whether others are in a hurry.
    pub is_pressed: IsPressed,
}

/// What it has done since it was started.
#[derive(Debug, Default)]
pub struct Numbers {
    tables: [OfTable; TABLES.len()],
    failures: [AtomicU64; Error::REASONS.len()],
    /// Sealed segments without sums.
    unsummed: AtomicU64,
    /// Microseconds since 1970; 0 before the first.
    last_success: AtomicU64,
}

#[derive(Debug, Default)]
struct OfTable {
    segments: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    waiting: AtomicU64,
    days: AtomicU64,
}

/// It, running.
pub type Compactor = Worker<Numbers>;

/// What can be asked of it.
pub type Handle = worker::Handle<Numbers>;

/// Starts it.
///
/// # Errors
/// There is no thread for it.
pub fn start(options: Options) -> io::Result<Compactor> {
    worker::start("compactor", move |handle| run(options, handle))
}

impl worker::Numbers for Numbers {
    fn write_metrics(&self, page: &mut Page) {
        let mut of_tables = |metric, number: fn(&OfTable) -> &AtomicU64| {
            for (name, table) in TABLES.iter().zip(&self.tables) {
                page.sample(metric, &[("table", name)], number(table).load(Ordering::Relaxed));
            }
        };
        of_tables(&metrics::COMPACTOR_SEGMENTS, |table| &table.segments);
        of_tables(&metrics::COMPACTOR_ROWS, |table| &table.rows);
        of_tables(&metrics::COMPACTOR_BYTES, |table| &table.bytes);
        of_tables(&metrics::COMPACTOR_MERGES, |table| &table.days);
        of_tables(&metrics::COMPACTOR_WAITING, |table| &table.waiting);
        for (reason, count) in Error::REASONS.iter().zip(&self.failures) {
            page.sample(&metrics::COMPACTOR_FAILURES, &[("reason", reason)], count.load(Ordering::Relaxed));
        }
        page.sample(&metrics::ROLLUPS_WAITING, &[], self.unsummed.load(Ordering::Relaxed));
        let micros = self.last_success.load(Ordering::Relaxed);
        page.number(&metrics::COMPACTOR_LAST_SUCCESS, &[], Duration::from_micros(micros).as_secs_f64());
    }
}

fn run(options: Options, handle: Handle) {
    if options.only_idle {
        // Where the system does not allow it, requests are slower now and then.
        let _as_before = run_behind_all();
    }
    let clock = options.publisher.clock.clone();
    let brake = Brake {
        bytes_per_second: options.bytes_per_second,
        is_pressed: options.is_pressed,
        clock: clock.clone(),
        bell: handle.bell.clone(),
        due: Duration::ZERO,
    };
    let room = options.room.clone();
    let mut on_duty =
        OnDuty { brake, room, numbers: handle.numbers, clock: clock.clone(), done: Done::default() };
    let (mut publisher, mut summing, mut summed_at) = (None, Summing::default(), None);
    let mut not_before = Duration::ZERO;
    loop {
        if clock.monotonic() >= not_before {
            let is_full = options.room.room() == Room::Critical;
            let mut done = go_round(&mut publisher, &options.publisher, is_full, &mut on_duty);
            let day = Some(clock.now().hour().div_euclid(24));
            if done.is_ok() && on_duty.may_merge() && (on_duty.done.segments > 0 || summed_at != day) {
                let reader = &options.publisher.reader;
                done = summing.round(reader, clock.now(), |step| on_duty.step(step));
                summed_at = if done.is_ok() { day } else { None };
                on_duty.numbers.unsummed.store(summing.waiting() as u64, Ordering::Relaxed);
            }
            if let Err(error) = &done {
                if matches!(error, Error::Stopped) {
                    return;
                }
                on_duty.count(error);
                tracing::warn!("nothing is published or summed up: {}", described(error));
                not_before = clock.monotonic() + options.poll * 10;
            }
            on_duty.say();
        }
        if handle.bell.pause(clock.nap(options.poll)) == Woken::Stopped {
            return;
        }
    }
}

/// One round, after what there was before has been looked at. On a full disk only what makes room.
fn go_round(
    publisher: &mut Option<Publisher>,
    options: &publisher::Options,
    is_full: bool,
    watcher: &mut dyn Watcher,
) -> Result<(), Error> {
    let publisher = match publisher {
        Some(publisher) => publisher,
        None => publisher.insert(Publisher::open(options.clone())?),
    };
    if is_full { publisher.make_room(watcher) } else { publisher.round(watcher) }
}

/// Looks on while something is published.
struct OnDuty {
    brake: Brake,
    room: RoomWatch,
    numbers: Arc<Numbers>,
    clock: Clock,
    done: Done,
}

/// What a line in the log is about.
#[derive(Debug, Default)]
struct Done {
    segments: u64,
    rows: u64,
    bytes: u64,
}

impl Watcher for OnDuty {
    fn step(&mut self, step: Step) -> ControlFlow<()> {
        match step {
            Step::Read { bytes } => self.brake.spend(bytes),
            _ => self.brake.go_on(),
        }
    }

    fn may_merge(&self) -> bool {
        self.room.room() == Room::Enough
    }

    fn told(&mut self, news: &News<'_>) {
        match news {
            News::Published { table, publication } => {
                let rows = publication.files.iter().map(|file| file.rows).sum();
                let bytes = publication.files.iter().map(|file| file.bytes).sum();
                self.done = Done {
                    segments: self.done.segments + 1,
                    rows: self.done.rows + rows,
                    bytes: self.done.bytes + bytes,
                };
                let Some(numbers) = self.of(table) else { return };
                numbers.segments.fetch_add(1, Ordering::Relaxed);
                numbers.rows.fetch_add(rows, Ordering::Relaxed);
                numbers.bytes.fetch_add(bytes, Ordering::Relaxed);
                let now = u64::try_from(self.clock.now().micros()).unwrap_or(0);
                self.numbers.last_success.store(now, Ordering::Relaxed);
            }
            News::Merged { table, day, closed } => {
                if let Some(numbers) = self.of(table) {
                    numbers.days.fetch_add(1, Ordering::Relaxed);
                }
                let (rows, files) = (closed.rows, closed.files.len());
                tracing::info!("merged the {table} of {day}: {rows} rows in {files} files");
            }
            News::Failed { table, what, error, is_again } => {
                self.count(error);
                if !is_again {
                    tracing::warn!(
                        "{what} of {table} is not published, and tried again later: {}",
                        described(error)
                    );
                }
            }
            News::Waiting { table, segments } => {
                if let Some(numbers) = self.of(table) {
                    numbers.waiting.store(*segments as u64, Ordering::Relaxed);
                }
            }
        }
    }
}

impl OnDuty {
    fn of(&self, table: &str) -> Option<&OfTable> {
        let at = TABLES.iter().position(|name| *name == table)?;
        self.numbers.tables.get(at)
    }

    fn count(&self, error: &Error) {
        if let Some(count) = self.numbers.failures.get(error.reason()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A line about what was done since the last.
    fn say(&mut self) {
        let Done { segments, rows, bytes } = std::mem::take(&mut self.done);
        if segments > 0 {
            tracing::info!("published {segments} segments, {rows} rows in {bytes} bytes of Parquet");
        }
    }
}
