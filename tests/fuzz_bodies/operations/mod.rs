//! Any sequence of operations on a store, beside plain maps that say what it must answer.
//!
//! In: bytes; each operation takes from them what it needs, and where they end the store is closed.
//! Out: it returns, or store and maps disagree; then the operations so far are printed.
//! Keeps: one thread writes, and goes on only when the store's own threads have nothing left to do, so that
//! the same bytes nearly always are the same run.
//! Not here: the maps (`model`), what a crash does to files (`crash`), threads that meet (`tests/loom.rs`), a
//! process that dies in the middle of a write (`tests/crash.rs`).
#![expect(clippy::unwrap_used, reason = "what fails here fails its test")]

mod crash;
mod model;
mod running;

use std::fs;
use std::path::{Path, PathBuf};

use clicklog::clock::Timestamp;
use clicklog::event::click_id::ClickId;
use clicklog::store::Lookup;
use clicklog::store::dedupe::checkpoint;
use clicklog::store::directory::Directory;
use clicklog::store::reader::Reader;
use clicklog::store::verify::{Severity, verify};

use super::Bytes;
use model::{LANES, Model, POSTBACKS, Sample, What};
use running::Running;

/// Operations of one input; what comes after is left aside, so that an input ends within seconds.
const OPERATIONS_MAX: usize = 256;
/// Restarts of one input, for the same reason: each costs some dozen syncs.
const RESTARTS_MAX: u32 = 8;
/// Text of all events of one input, again for the same reason: some dozen segments.
const TEXT_BYTES_MAX: usize = 2 << 20;
/// The first moment: the beginning of an hour.
const BEGIN_SECONDS: u32 = 1_795_158_000;

/// What is done to the store.
#[derive(Clone, Copy, Debug)]
enum Operation {
    /// So many events are appended to a lane, each with this much text.
    Append { what: What, lane: usize, count: u8, text_bytes: usize },
    /// A lane is synced.
    Sync { lane: usize },
    /// The current segment of a lane is ended.
    Roll { lane: usize },
    /// Time passes, and the lanes are told.
    Pass { minutes: u8 },
    /// Some click of all that there ever were is looked up.
    Find { nth: u16 },
    /// An id that nobody was given is looked up.
    FindGarbage { id: [u8; 16] },
    /// A click is looked up by the id that another tracker gave it.
    FindForeign { name: u8 },
    /// Everything in a lane is read from outside.
    Read { lane: usize },
    /// Everything is verified from outside.
    Verify,
    /// The dedupe table is saved.
    Checkpoint,
    /// The store stops in this way and is opened again.
    Restart { stop: Stop, lanes: u8, again: Again },
}

/// How a store stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// It is closed.
    Closed,
    /// It is dropped: the threads end, nothing is closed.
    Dropped,
    /// The process is killed: the page cache is what the next start finds.
    Killed,
    /// The power is cut: above the synced marks anything may be found.
    PowerCut,
}

/// What follows the start that a stop calls for.
#[derive(Clone, Copy, Debug)]
enum Again {
    /// The store goes on.
    No,
    /// It stops at once, and starts once more.
    Whole,
    /// That start, it turns out, was killed after some of the segments.
    Half,
}

impl Operation {
    /// The next one that the bytes ask for; nothing where they end.
    fn next(bytes: &mut Bytes<'_>) -> Option<Self> {
        if bytes.0.is_empty() {
            return None;
        }
        Some(match bytes.u8() {
            0..=71 => Self::append(What::Click, bytes),
            72..=95 => Self::append(What::Import, bytes),
            96..=119 => Self::append(What::Postback, bytes),
            120..=143 => Self::append(What::Decision, bytes),
            144..=163 => Self::Sync { lane: lane(bytes) },
            164..=173 => Self::Roll { lane: lane(bytes) },
            174..=181 => Self::Pass { minutes: bytes.u8() },
            182..=205 => Self::Find { nth: bytes.u16() },
            206..=211 => Self::FindGarbage { id: bytes.take() },
            212..=223 => Self::FindForeign { name: bytes.u8() },
            224..=231 => Self::Read { lane: lane(bytes) },
            232..=235 => Self::Verify,
            236..=241 => Self::Checkpoint,
            242..=255 => {
                let how = bytes.u8();
                let stop = match how % 8 {
                    0..=3 => Stop::PowerCut,
                    4 => Stop::Killed,
                    5 => Stop::Dropped,
                    _ => Stop::Closed,
                };
                let again = [Again::No, Again::No, Again::Whole, Again::Half];
                let lanes = 2 - u8::from(how >> 3 & 3 == 3);
                Self::Restart { stop, lanes, again: again[usize::from(how >> 5 & 3)] }
            }
        })
    }

    fn append(what: What, bytes: &mut Bytes<'_>) -> Self {
        let [how, text] = bytes.take();
        let lane = if what.is_click() { usize::from(how & 1) } else { POSTBACKS };
        // Most are short, so that a segment takes some dozens; the longest do not fit into any.
        let text_bytes = match text {
            0..=239 => usize::from(text) * 8,
            240..=251 => usize::from(text - 239) * 1_024,
            252..=255 => usize::from(text - 245) * 8_000,
        };
        Self::Append { what, lane, count: 1 + (how >> 1 & 15), text_bytes }
    }
}

fn lane(bytes: &mut Bytes<'_>) -> usize {
    usize::from(bytes.u8()) % LANES.len()
}

/// Whatever is done to a store, also its death, it answers as plain maps do.
pub(crate) fn operations(data: &[u8]) {
    let mut bytes = Bytes(data);
    let root = tempfile::tempdir().unwrap();
    let mut run = Run::new(root.path());
    let mut running = Running::open(&run.data(), 2);
    for _ in 0..OPERATIONS_MAX {
        let Some(operation) = Operation::next(&mut bytes) else { break };
        run.done.push(operation);
        running = run.step(running, operation, &mut bytes);
    }
    run.model.check(&running.store);
    running.close();
    run.verify();
}

/// One run: the maps, and where the files are.
struct Run {
    root: PathBuf,
    restarts: u32,
    seconds: u32,
    text_bytes: usize,
    model: Model,
    done: Vec<Operation>,
}

impl Drop for Run {
    #[expect(clippy::print_stdout, reason = "the story of a failure")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.done.iter().for_each(|operation| println!("{operation:?}"));
        }
    }
}

impl Run {
    fn new(root: &Path) -> Self {
        let (root, model) = (root.to_owned(), Model::default());
        Self { root, restarts: 0, seconds: BEGIN_SECONDS, text_bytes: 0, model, done: Vec::new() }
    }

    fn data(&self) -> PathBuf {
        self.root.join(self.restarts.to_string())
    }

    fn step(&mut self, mut running: Running, operation: Operation, bytes: &mut Bytes<'_>) -> Running {
        match operation {
            Operation::Append { what, lane, count, text_bytes } => {
                (0..count).for_each(|_| self.append(&mut running, what, lane, text_bytes, bytes));
            }
            Operation::Sync { lane } => running.sync(lane),
            Operation::Roll { lane } => running.roll(lane),
            Operation::Pass { minutes } => {
                self.seconds += u32::from(minutes) * 60;
                running.tick(Timestamp::from_seconds(self.seconds));
            }
            Operation::Find { nth } => self.model.check_some_click(&running.store.clicks(), nth.into()),
            Operation::FindGarbage { id } => {
                let found = running.store.clicks().find(&ClickId::from_bytes(id));
                assert!(matches!(found, Lookup::Absent), "garbage is {found:?}");
            }
            Operation::FindForeign { name } => {
                self.model.check_foreign(&running.store.clicks(), &model::foreign_name(name));
            }
            Operation::Read { lane } => self.model.check_lane(&Reader::open(self.data()), lane),
            Operation::Verify => self.verify(),
            Operation::Checkpoint => self.checkpoint(&running),
            Operation::Restart { .. } if self.restarts == RESTARTS_MAX => {}
            Operation::Restart { stop, lanes, again } => {
                self.stop(running, stop, bytes);
                return self.start(stop == Stop::Closed, lanes, again, bytes);
            }
        }
        running
    }

    fn append(
        &mut self,
        running: &mut Running,
        what: What,
        lane: usize,
        text_bytes: usize,
        bytes: &mut Bytes<'_>,
    ) {
        self.text_bytes += text_bytes;
        if self.text_bytes > TEXT_BYTES_MAX {
            return;
        }
        let lane = running.writable(lane);
        let name = if what.has_name() { bytes.u8() } else { 0 };
        let sample = Sample::new(what, self.model.count(), self.seconds, name, text_bytes);
        if let Some((appended, click_id)) = running.append(lane, &sample) {
            self.model.note(lane, sample, appended, click_id);
        }
    }

    fn verify(&self) {
        let verified = verify(&Directory::new(self.data()), &mut |_, _| {}).unwrap();
        let is_lost_index = |what: &str| what == "it is missing or damaged, and will be made again";
        let mut noted = verified.findings.iter();
        let is_sound = noted.all(|found| found.severity == Severity::Note && is_lost_index(&found.what));
        assert!(is_sound, "{verified}");
        assert_eq!(verified.records, self.model.held(), "{verified}");
        assert_eq!(verified.corrupt_gaps, 0, "{verified}");
    }

    /// Saves the newest decision of each key, as the owner of the journal would: after a sync.
    fn checkpoint(&self, running: &Running) {
        running.sync(POSTBACKS);
        let Some(covered) = running.end_of_postbacks() else { return };
        let store = &running.store;
        let table = self.model.dedupe_table(store.dedupe_key());
        checkpoint::write(&store.directory().dedupe_checkpoint(), &table, store.dedupe_key(), covered)
            .unwrap();
    }

    /// Stops the store; what the next start finds lies in a folder of its own.
    fn stop(&mut self, running: Running, stop: Stop, bytes: &mut Bytes<'_>) {
        let before = self.data();
        self.restarts += 1;
        let after = self.data();
        match stop {
            Stop::Closed => running.close(),
            Stop::Dropped => drop(running),
            Stop::Killed | Stop::PowerCut => {
                let synced = running.synced();
                crash::copy(&before, &after);
                drop(running);
                fs::remove_dir_all(&before).unwrap();
                if stop == Stop::PowerCut {
                    crash::tear(&after, &synced, &mut self.model, bytes);
                    crash::interrupt(&after, bytes);
                }
            }
        }
        if before.exists() {
            fs::rename(before, &after).unwrap();
        }
        crash::lose_derived(&after, bytes);
    }

    fn start(&mut self, was_closed: bool, lanes: u8, again: Again, bytes: &mut Bytes<'_>) -> Running {
        let (data, half) = (self.data(), self.root.join("half"));
        if matches!(again, Again::Half) {
            crash::copy(&data, &half);
        }
        let running = self.open(lanes, was_closed);
        match again {
            Again::No => running,
            Again::Whole => {
                let sealed = crash::sealed(&data);
                drop(running);
                let running = self.open(lanes, false);
                let changed = sealed.iter().find(|(path, bytes)| fs::read(path).unwrap() != **bytes);
                assert!(changed.is_none(), "recovery changed {:?} again", changed.map(|(path, _)| path));
                running
            }
            Again::Half => {
                drop(running);
                crash::recover_half(&half, &data, bytes.u8());
                fs::remove_dir_all(&data).unwrap();
                fs::rename(half, &data).unwrap();
                self.open(lanes, was_closed)
            }
        }
    }

    /// Opens the store and asks it everything.
    fn open(&self, lanes: u8, was_closed: bool) -> Running {
        let running = Running::open(&self.data(), lanes);
        let report = running.store.report();
        assert_eq!(report.was_clean, was_closed, "{report:?}");
        assert!(!was_closed || report.recovered_segments == 0, "{report:?}");
        let lost = [report.corrupt_segments, report.quarantined_segments, report.missing_segments];
        assert_eq!((lost, report.undecodable_records), ([0; 3], 0), "{report:?}");
        self.model.check_dedupe(&running.store);
        self.model.check(&running.store);
        running
    }
}
