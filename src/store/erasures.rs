//! What was asked to be forgotten: from that moment no reader shows it, and later it is in no file.
//!
//! `DATA/erasures.jsonl`, a line for each, only ever added to. It is the trace that is left of a request, and so it says
//! where things lay and never what they were:
//!
//! ```text
//! {"erase":"9f…","since":"2026-11-20T09:59:51Z","at":"2026-11-20T10:00:00Z","by":"--param email, of hash 7c…",
//!  "clicks":["0/0:12:345"],"postbacks":["3:4096"],"decisions":["3:4352"],"until":{"clicks/0":14,"postbacks/0":5}}
//! {"erased":"9f…","at":"2026-11-20T11:04:10Z"}
//! ```
//!
//! In: places of clicks, postbacks and decisions. Out: events without what came with the visitor (`event::strip`).
//! Keeps: a line is there whole and synced, or not at all: one that a crash cut short is cut off before the next is added.
//! A line of a click stands for all that follows from it: what was decided on it, and deliveries of that.
//! Refuses: a line that cannot be read. To pass by one would show what is to be forgotten.
//! Not here: finding the places, making segments anew.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::Journal;
use super::directory::{Directory, sync_folder};
use super::error::{Error, Result};
use super::position::Position;
use crate::clock::Timestamp;
use crate::event::click_id::{ClickId, Keys, Place};
use crate::event::codec::Event;
use crate::event::strip;

/// How far clocks and looks may be apart.
const UNAWARE: Duration = Duration::from_secs(60);

/// One thing that was asked to be forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// Tells it from the others: by chance.
    #[serde(rename = "erase")]
    pub id: String,
    /// When what is to be forgotten began to be looked for. Lines of earlier builds do not say.
    #[serde(default)]
    pub since: String,
    /// When it was asked.
    pub at: String,
    /// How it was asked, without what it was.
    pub by: String,
    /// Clicks, as `node/lane:segment:ordinal`.
    pub clicks: Vec<String>,
    /// Where postbacks lie.
    pub postbacks: Vec<String>,
    /// Where decisions lie.
    pub decisions: Vec<String>,
    /// By lane, as `clicks/0`, the first segment that was not begun: what is to be forgotten lies before.
    pub until: BTreeMap<String, u32>,
}

/// That one is in no segment any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Done {
    #[serde(rename = "erased")]
    id: String,
    at: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Asked(Erasure),
    Done(Done),
}

/// What is to be forgotten, and is not yet.
#[derive(Clone, Debug, Default)]
pub struct Erasures {
    pending: HashMap<String, Erasure>,
    done: usize,
    clicks: HashSet<u64>,
    postbacks: HashSet<Position>,
    decisions: HashSet<Position>,
    keys: Option<Keys>,
}

impl Erasure {
    /// From when to when something may have come that is not in it, although it follows from what is: since the search
    /// began, until everybody knew. A store that is open looks each second.
    pub fn window(&self) -> Option<(Timestamp, Timestamp)> {
        let at = Timestamp::parse(&self.at, None).ok()?;
        let since = Timestamp::parse(&self.since, None).unwrap_or(at);
        Some((since.minus(UNAWARE), at.plus(UNAWARE)))
    }
}

impl Erasures {
    /// Reads them.
    ///
    /// # Errors
    /// `Corrupt` at a line that says something else, `Key`, or what the system says.
    pub fn load(directory: &Directory) -> Result<Self> {
        let path = path(directory);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        let mut erasures = Self { keys: super::keys::read_click_id_keys(directory)?, ..Self::default() };
        let mut offset = 0_u64;
        // What is behind the last end of a line was never answered.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for line in bytes[..whole].split_inclusive(|byte| *byte == b'\n') {
            let understood = serde_json::from_slice(line).ok().and_then(|line| erasures.take(line));
            if understood.is_none() {
                let what = "it is no line about what was erased";
                return Err(Error::Corrupt { path, offset, what });
            }
            offset += line.len() as u64;
        }
        for erasure in std::mem::take(&mut erasures.pending).into_values() {
            erasures.note(erasure);
        }
        Ok(erasures)
    }

    /// Nothing if a place in it is none.
    fn take(&mut self, line: Line) -> Option<()> {
        match line {
            Line::Asked(erasure) => {
                erasure.clicks.iter().try_for_each(|text| place_from(text).map(|_| ()))?;
                let mut positions = erasure.postbacks.iter().chain(&erasure.decisions);
                positions.try_for_each(|text| text.parse::<Position>().ok().map(|_| ()))?;
                self.pending.insert(erasure.id.clone(), erasure);
            }
            Line::Done(done) => {
                self.pending.remove(&done.id);
                self.done += 1;
            }
        }
        Some(())
    }

    fn note(&mut self, erasure: Erasure) {
        self.clicks.extend(erasure.clicks.iter().filter_map(|text| Some(place_from(text)?.packed())));
        self.postbacks.extend(erasure.postbacks.iter().filter_map(|text| text.parse::<Position>().ok()));
        self.decisions.extend(erasure.decisions.iter().filter_map(|text| text.parse::<Position>().ok()));
        self.pending.insert(erasure.id.clone(), erasure);
    }

    /// Those that are in segments yet.
    pub fn pending(&self) -> impl Iterator<Item = &Erasure> {
        self.pending.values()
    }

    /// How many are in none any more.
    pub fn done(&self) -> usize {
        self.done
    }

    /// Whether there is nothing to be hidden.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether this click is to be forgotten.
    pub fn has_click(&self, place: Place) -> bool {
        self.clicks.contains(&place.packed())
    }

    /// The clicks that are to be forgotten, packed.
    pub fn clicks(&self) -> &HashSet<u64> {
        &self.clicks
    }

    /// Where postbacks and decisions lie that are to be forgotten.
    pub fn positions(&self) -> impl Iterator<Item = Position> {
        self.postbacks.iter().chain(&self.decisions).copied()
    }

    /// Whether a delivery may be among what is to be forgotten.
    pub fn has_decisions(&self) -> bool {
        !self.decisions.is_empty()
    }

    /// Adds a click that followed from one of the clicks.
    pub fn add_click(&mut self, place: Place) {
        self.clicks.insert(place.packed());
    }

    /// Adds a decision that was made on one of the clicks, and its postback.
    pub fn add_decision(&mut self, decision: Position, postback: Option<Position>) {
        self.decisions.insert(decision);
        self.postbacks.extend(postback);
    }

    /// Whether the event in a record is to be forgotten.
    pub fn has(
        &self,
        (journal, node, lane): (Journal, u16, u8),
        at: (Position, u32),
        event: &Event<'_>,
    ) -> bool {
        if self.is_empty() {
            return false;
        }
        let (position, ordinal) = at;
        match event {
            Event::Click(click) => {
                let place = Place::new(node, lane, position.segment(), ordinal, 0).ok();
                self.clicks.contains(&click.parent) || place.is_some_and(|place| self.has_click(place))
            }
            Event::Postback(_) => self.postbacks.contains(&position),
            Event::Decision(decision) => {
                self.decisions.contains(&position) || self.clicks.contains(&decision.click)
            }
            Event::DeliveryOutcome(outcome) => {
                journal == Journal::Deliveries
                    && Position::from_u64(outcome.decision).is_some_and(|at| self.decisions.contains(&at))
            }
            Event::Destination(_) | Event::CostUpdate(_) => false,
        }
    }

    /// The event as it may be shown.
    pub fn shown<'a>(&self, of: (Journal, u16, u8), at: (Position, u32), event: Event<'a>) -> Event<'a> {
        if self.has(of, at, &event) { strip::erased(&event, &|id| self.is_ours(of.1, id)) } else { event }
    }

    fn is_ours(&self, node: u16, id: &str) -> bool {
        let read: Option<ClickId> = id.parse().ok();
        let place = read.and_then(|id| self.keys.as_ref()?.decode(&id));
        place.is_some_and(|place| place.node() == node)
    }
}

/// How a click is named in the file.
pub fn place_text(place: Place) -> String {
    format!("{}/{}:{}:{}", place.node(), place.lane(), place.segment(), place.ordinal())
}

fn place_from(text: &str) -> Option<Place> {
    let (node, rest) = text.split_once('/')?;
    let mut numbers = rest.split(':');
    let mut next = || numbers.next();
    let (lane, segment, ordinal) = (next()?, next()?, next()?);
    let place =
        Place::new(node.parse().ok()?, lane.parse().ok()?, segment.parse().ok()?, ordinal.parse().ok()?, 0);
    place.ok().filter(|_| next().is_none())
}

/// How a lane is named in the file.
pub fn lane_text(journal: Journal, lane: u8) -> String {
    format!("{}/{lane}", journal.name())
}

fn path(directory: &Directory) -> PathBuf {
    directory.root().join("erasures.jsonl")
}

/// Writes down what is to be forgotten. From here on it is hidden by whoever reads.
///
/// # Errors
/// What the system says.
pub fn ask(directory: &Directory, erasure: &Erasure) -> Result<()> {
    add(directory, erasure)
}

/// Writes down that one is in no segment any more.
///
/// # Errors
/// What the system says.
pub fn finish(directory: &Directory, id: &str, now: Timestamp) -> Result<()> {
    add(directory, &Done { id: id.to_owned(), at: now.to_string() })
}

fn add(directory: &Directory, line: &impl Serialize) -> Result<()> {
    let path = path(directory);
    let add = || -> io::Result<File> {
        let mut file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(&path)?;
        // Commands and the daemon may both have something to say.
        flock(&file, FlockOperation::LockExclusive)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1) as u64;
        file.set_len(whole)?;
        file.seek(SeekFrom::Start(whole))?;
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        file.write_all(&text)?;
        file.sync_all()?;
        Ok(file)
    };
    // Held until the name is durable too.
    let _file = add().map_err(Error::io("write", &path))?;
    sync_folder(directory.root())
}

/// What a store that is open hides. Cheap to ask.
#[derive(Debug)]
pub struct Hidden {
    directory: Directory,
    now: ArcSwap<Erasures>,
    /// How long the file was when it was read.
    bytes: Mutex<u64>,
}

impl Hidden {
    /// Reads what is to be hidden.
    ///
    /// # Errors
    /// As `Erasures::load`.
    pub(super) fn load(directory: &Directory) -> Result<Arc<Self>> {
        let hidden = Self { directory: directory.clone(), now: ArcSwap::default(), bytes: Mutex::default() };
        hidden.refresh()?;
        Ok(Arc::new(hidden))
    }

    /// Reads what is new, if the file has grown.
    ///
    /// # Errors
    /// As `Erasures::load`.
    pub fn refresh(&self) -> Result<()> {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let path = path(&self.directory);
        let len = match fs::metadata(&path) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(Error::io("stat", &path)(error)),
        };
        if len != *bytes {
            self.now.store(Arc::new(Erasures::load(&self.directory)?));
            *bytes = len;
        }
        Ok(())
    }

    /// What is hidden now.
    pub fn now(&self) -> arc_swap::Guard<Arc<Erasures>> {
        self.now.load()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::click::Click;

    fn asked(id: &str, click: &str) -> Erasure {
        Erasure {
            id: id.to_owned(),
            clicks: vec![click.to_owned()],
            postbacks: vec!["3:4096".to_owned()],
            ..Erasure::default()
        }
    }

    #[test]
    fn what_was_asked_is_hidden_until_it_is_gone_and_a_line_cut_short_was_never_asked() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::new(root.path());
        assert!(Erasures::load(&directory).unwrap().is_empty());
        ask(&directory, &asked("a", "0/1:2:3")).unwrap();
        ask(&directory, &asked("b", "0/1:2:4")).unwrap();
        let whole = fs::read(path(&directory)).unwrap();
        for cut in 0..=whole.len() {
            fs::write(path(&directory), &whole[..cut]).unwrap();
            let lines = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(Erasures::load(&directory).unwrap().pending().count(), lines, "cut at {cut}");
            if cut % 50 == 0 {
                ask(&directory, &asked("c", "0/1:2:5")).unwrap();
                assert_eq!(Erasures::load(&directory).unwrap().pending().count(), lines + 1, "cut at {cut}");
            }
        }
        fs::write(path(&directory), &whole).unwrap();
        finish(&directory, "a", Timestamp::from_seconds(0)).unwrap();
        let erasures = Erasures::load(&directory).unwrap();
        let has = |ordinal| {
            let at = (Position::new(2, 4096), ordinal);
            erasures.has((Journal::Clicks, 0, 1), at, &Event::Click(Click::default()))
        };
        assert_eq!((has(3), has(4), has(5), erasures.done()), (false, true, false, 1));
    }

    #[test]
    fn a_line_that_is_not_understood_is_not_passed_by() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::new(root.path());
        for wrong in ["{}\n", "x\n", "\n"] {
            fs::write(path(&directory), wrong).unwrap();
            assert!(matches!(Erasures::load(&directory), Err(Error::Corrupt { .. })), "{wrong}");
        }
        for click in ["", "0/1:2", "0/1:2:3:4", "0/99:2:3", "1:2:3"] {
            fs::remove_file(path(&directory)).unwrap();
            ask(&directory, &asked("a", click)).unwrap();
            assert!(matches!(Erasures::load(&directory), Err(Error::Corrupt { .. })), "{click}");
        }
    }
}
