//! Sealed segments without what has become old or was asked to be forgotten: one pass over all of them.
//!
//! In: the rules, what was asked (`store::erasures`), and a store that is open. Out: new generations, dropped segments, and
//! what was done. Whoever publishes sees by the manifest which segments have another generation.
//! Keeps: a pass that is stopped or killed anywhere is gone on with by the next; a segment that cannot be made anew is
//! left as it is, told of, and tried again. An erasure is said to be done when it is: nothing of it is in any segment, no
//! file of an earlier generation is left, and neither are copies of damage of the segments that it was in.
//! Not here: when (`serve`), what goes (`rules`), how a segment is made (`store::rewrite`).

mod company;
mod rules;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use company::{Alone, Company};
pub use rules::{At, Due, Rules};

use super::error::{Error, Result};
use crate::clock::Timestamp;
use crate::event::click_id::Place;
use crate::event::codec::{Encoder, Event, Kind, decode};
use crate::event::strip::{self, Scratch};
use crate::store::directory::{Directory, sync_folder, write_whole};
use crate::store::erasures::{self, Erasure, Erasures, lane_text};
use crate::store::layout::Footer;
use crate::store::reader::Reader;
use crate::store::record::Record;
use crate::store::rewrite::{Editor, Fate, Outcome, Rewriter, SegmentAt, Step};
use crate::store::{Journal, Position};

/// How long after an erasure was asked something may have been decided by who did not know of it. The store looks each
/// second.
const UNAWARE: Duration = Duration::from_secs(60);

/// What a pass did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Segments that were read through.
    pub looked_at: u64,
    /// Segments that have a new generation.
    pub rewritten: u64,
    /// Bytes that were written for those.
    pub bytes: u64,
    /// Records that say less.
    pub changed: u64,
    /// Records that went.
    pub dropped: u64,
    /// Segments that went whole.
    pub dropped_segments: u64,
    /// Erasures of which nothing is left.
    pub erased: u64,
    /// Erasures that wait: for a segment to be sealed, a reader to let go, or a failure to pass.
    pub pending: u64,
    /// Segments that could not be made anew, and why.
    pub failed: Vec<(SegmentAt, String)>,
    /// It was told to stop before it was through.
    pub is_stopped: bool,
}

/// Goes over the segments now and then.
#[derive(Debug)]
pub struct Pass {
    rewriter: Rewriter,
    reader: Reader,
    directory: Directory,
    /// What was found that today need not be looked at again: which generation, on which day.
    seen: HashMap<SegmentAt, (u32, i64)>,
}

/// What is written down: by lane, before which segment age asks nothing more.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Settled {
    rules: u32,
    before: BTreeMap<String, u32>,
}

impl Pass {
    /// For a store that is open.
    pub fn new(rewriter: Rewriter, directory: &Directory) -> Self {
        let reader = Reader::open(directory.root());
        Self { rewriter, reader, directory: directory.clone(), seen: HashMap::new() }
    }

    /// Does what is due now. Nothing of the postbacks journal from `needed` on is dropped: somebody reads it yet.
    ///
    /// # Errors
    /// What reading or writing says that is not of one segment alone.
    pub fn run(
        &mut self,
        rules: &Rules,
        needed: Position,
        now: Timestamp,
        company: &mut dyn Company,
    ) -> Result<Report> {
        let mut report = Report::default();
        let at = rules.at(now);
        self.rewriter.sweep()?;
        self.drop_whole(&at, needed, &mut report)?;
        let mut erasures = Erasures::load(&self.directory)?;
        self.widen(&mut erasures)?;
        let meant = Meant::of(&erasures, self.reader.node()?.unwrap_or_default());
        let mut settled = self.settled(rules);
        let day = now.hour() / 24;
        let mut editor = Strike {
            of: (Journal::Clicks, 0, 0),
            at: &at,
            names: &rules.personal_params,
            erasures: &erasures,
            company,
            scratch: Scratch::default(),
            encoder: Encoder::default(),
        };
        for footer in self.rewriter.sealed() {
            let of = at_of(&footer);
            let is_due = at.touches(of.journal, &footer.summary)
                && !settled.has(of)
                && self.seen.get(&of) != Some(&(footer.identity.generation, day));
            if !is_due && !meant.has(of) {
                continue;
            }
            editor.of = (of.journal, footer.identity.node, of.lane);
            report.looked_at += 1;
            match self.rewriter.rewrite(of, &mut editor) {
                Ok(Outcome::Rewritten(changes)) => {
                    report.rewritten += 1;
                    report.bytes += changes.bytes;
                    report.changed += changes.changed;
                    report.dropped += changes.dropped;
                    self.seen.insert(of, (footer.identity.generation + 1, day));
                }
                Ok(Outcome::Unchanged) => {
                    self.seen.insert(of, (footer.identity.generation, day));
                }
                Ok(Outcome::NotSealed) => {}
                Ok(Outcome::Stopped) => {
                    report.is_stopped = true;
                    break;
                }
                Err(error) => report.failed.push((of, told(&error))),
            }
        }
        if !report.is_stopped {
            self.settle(&at, day, &mut settled)?;
            self.drop_whole(&at, needed, &mut report)?;
        }
        self.finish(&erasures, &meant, now, &mut report)?;
        Ok(report)
    }

    /// The erasures that are not done, by their ids, and whether all that they are in is sealed.
    ///
    /// # Errors
    /// As `Erasures::load`.
    pub fn pending(&self) -> Result<BTreeMap<String, bool>> {
        let hidden = self.rewriter.hidden();
        hidden.refresh()?;
        let now = hidden.now();
        Ok(now.pending().map(|erasure| (erasure.id.clone(), !self.is_unsealed(erasure))).collect())
    }

    fn drop_whole(&self, at: &At<'_>, needed: Position, report: &mut Report) -> Result<()> {
        let mut lanes: BTreeMap<(Journal, u8), Vec<u32>> = BTreeMap::new();
        for footer in self.rewriter.sealed() {
            let SegmentAt { journal, lane, segment } = at_of(&footer);
            let is_needed = journal == Journal::Postbacks && segment >= needed.segment();
            if !is_needed && at.drops(journal, &footer.summary) {
                lanes.entry((journal, lane)).or_default().push(segment);
            }
        }
        for ((journal, lane), segments) in lanes {
            report.dropped_segments += self.rewriter.drop_segments(journal, lane, &segments)?.len() as u64;
        }
        Ok(())
    }

    /// Adds what was decided on clicks that are to be forgotten before everybody knew of that.
    fn widen(&self, erasures: &mut Erasures) -> Result<()> {
        let asked = erasures.pending().filter_map(|one| Timestamp::parse(&one.at, None).ok()).min();
        let Some(asked) = asked else { return Ok(()) };
        let clicks = erasures.clicks().clone();
        let mut found = Vec::new();
        let wanted = |summary: &crate::store::layout::Summary| summary.last_time >= asked.minus(UNAWARE);
        self.reader.scan((Journal::Postbacks, 0), wanted, &mut |_, _| {}, |position, record| {
            if record.kind == Kind::Decision.code()
                && let Ok(Event::Decision(decision)) = decode(record.kind, record.schema, record.payload)
                && clicks.contains(&decision.click)
            {
                found.push((position, Position::from_u64(decision.postback)));
            }
            ControlFlow::Continue(())
        })?;
        found.into_iter().for_each(|(decision, postback)| erasures.add_decision(decision, postback));
        Ok(())
    }

    /// Writes down which segments need not be looked at again.
    fn settle(&self, at: &At<'_>, day: i64, settled: &mut Settled) -> Result<()> {
        let mut ended = BTreeSet::new();
        let before = settled.before.clone();
        for footer in self.rewriter.sealed() {
            let of = at_of(&footer);
            let lane = lane_text(of.journal, of.lane);
            let is_done = settled.has(of)
                || (at.settles(of.journal, &footer.summary)
                    && self.seen.get(&of) == Some(&(footer.identity.generation, day)));
            if !is_done {
                ended.insert(lane);
            } else if !ended.contains(&lane) {
                let reached = settled.before.entry(lane).or_default();
                *reached = (*reached).max(of.segment + 1);
            }
        }
        if before != settled.before {
            let bytes = serde_json::to_vec(settled).map_err(io::Error::from);
            let bytes = bytes.map_err(Error::io("write", &self.settled_path()))?;
            write_whole(&self.settled_path(), &bytes, 0o640)?;
        }
        Ok(())
    }

    fn settled_path(&self) -> PathBuf {
        self.directory.root().join("rewrite.state")
    }

    /// What was written down of these rules. If it cannot be read, all is looked at again.
    fn settled(&self, rules: &Rules) -> Settled {
        let read = fs::read(self.settled_path()).ok();
        let settled = read.and_then(|bytes| serde_json::from_slice::<Settled>(&bytes).ok());
        let fresh = Settled { rules: rules.fingerprint(), before: BTreeMap::new() };
        settled.filter(|settled| settled.rules == fresh.rules).unwrap_or(fresh)
    }

    /// Says of each erasure that is in no file any more that it is done.
    fn finish(&self, erasures: &Erasures, meant: &Meant, now: Timestamp, report: &mut Report) -> Result<()> {
        let read = self.rewriter.sweep()?;
        for erasure in erasures.pending() {
            let is_done = read == 0
                && !report.is_stopped
                && !self.is_unsealed(erasure)
                && !report.failed.iter().any(|(at, _)| meant.has(*at));
            if is_done {
                self.forget_damage(meant)?;
                erasures::finish(&self.directory, &erasure.id, now)?;
                report.erased += 1;
            } else {
                report.pending += 1;
            }
        }
        Ok(())
    }

    /// Whether a segment that it may be in is still written.
    fn is_unsealed(&self, erasure: &Erasure) -> bool {
        let until = |journal, lane| erasure.until.get(&lane_text(journal, lane)).copied().unwrap_or(0);
        self.rewriter.written().into_iter().any(|at| at.segment < until(at.journal, at.lane))
    }

    /// Removes the copies that recovery has kept of damage in segments that something was erased from.
    fn forget_damage(&self, meant: &Meant) -> Result<()> {
        let folder = self.directory.quarantine();
        let Ok(entries) = fs::read_dir(&folder) else { return Ok(()) };
        let mut is_changed = false;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if meant.segments.iter().any(|at| name.starts_with(&copy_prefix(*at))) {
                fs::remove_file(entry.path()).map_err(Error::io("remove", &entry.path()))?;
                is_changed = true;
            }
        }
        if is_changed { Ok(sync_folder(&folder)?) } else { Ok(()) }
    }
}

impl Settled {
    fn has(&self, at: SegmentAt) -> bool {
        self.before.get(&lane_text(at.journal, at.lane)).is_some_and(|before| at.segment < *before)
    }
}

/// How copies of damage of a segment are called, whatever the damage.
fn copy_prefix(SegmentAt { journal, lane, segment }: SegmentAt) -> String {
    format!("{}-{lane:02}-{segment:07}-", journal.name())
}

fn at_of(footer: &Footer) -> SegmentAt {
    let identity = footer.identity;
    SegmentAt { journal: identity.journal, lane: identity.lane, segment: identity.segment }
}

fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// The segments that something is to be erased from.
struct Meant {
    segments: BTreeSet<SegmentAt>,
    /// Answers of receivers are not listed: all of the journal is looked through.
    are_deliveries: bool,
}

impl Meant {
    fn of(erasures: &Erasures, node: u16) -> Self {
        let places = erasures.clicks().iter().filter_map(|packed| Place::from_packed(*packed));
        let clicks = places.filter(|place| place.node() == node).map(|place| SegmentAt {
            journal: Journal::Clicks,
            lane: place.lane(),
            segment: place.segment(),
        });
        let positions = erasures.positions().map(|position| SegmentAt {
            journal: Journal::Postbacks,
            lane: 0,
            segment: position.segment(),
        });
        Self { segments: clicks.chain(positions).collect(), are_deliveries: erasures.has_decisions() }
    }

    fn has(&self, at: SegmentAt) -> bool {
        (self.are_deliveries && at.journal == Journal::Deliveries) || self.segments.contains(&at)
    }
}

/// Says of each record of a segment what becomes of it.
struct Strike<'a> {
    of: (Journal, u16, u8),
    at: &'a At<'a>,
    names: &'a [String],
    erasures: &'a Erasures,
    company: &'a mut dyn Company,
    scratch: Scratch,
    encoder: Encoder,
}

impl Editor for Strike<'_> {
    fn fate(&mut self, position: Position, record: &Record<'_>) -> Fate<'_> {
        // What a newer build has written is left to it.
        let Ok(event) = decode(record.kind, record.schema, record.payload) else { return Fate::Keep };
        let shown = self.erasures.shown(self.of, (position, record.ordinal), event);
        let left = match self.at.due(&event) {
            Due::Drop => return Fate::Drop,
            Due::Strip => strip::personal(&shown, self.names, &mut self.scratch),
            Due::Nothing => shown,
        };
        if left == event {
            return Fate::Keep;
        }
        // Its texts were shorter than they may be, and are shorter now.
        self.encoder.again(&left, record.schema).map_or(Fate::Keep, Fate::Becomes)
    }

    fn passed(&mut self, bytes: u64) -> ControlFlow<()> {
        self.company.passed(bytes)
    }

    fn after(&mut self, step: Step) -> ControlFlow<()> {
        self.company.after(step)
    }
}
