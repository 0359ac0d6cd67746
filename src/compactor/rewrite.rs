//! Sealed segments without what has become old or was asked to be forgotten: one pass over all of them.
//!
//! In: the rules, what was asked (`store::erasures`), and a store that is open. Out: new generations, dropped segments, and
//! what was done. Whoever publishes sees by the manifest which segments have another generation.
//! Keeps: a pass that is stopped or killed anywhere is gone on with by the next; a segment that cannot be made anew is
//! left as it is, told of, and tried again. An erasure is said to be done when it is: nothing of it is in any segment, no
//! file of an earlier generation is left, and neither are copies of damage of the segments that it was in.
//! Not here: when (`serve`), what goes (`rules`), how a segment is made (`store::rewrite`).

mod company;
mod copies;
mod rules;
mod unsummed;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use company::{Alone, Company};
pub use rules::{At, Due, Rules};
use unsummed::Unsummed;

use super::error::{Error, Result};
use crate::clock::Timestamp;
use crate::event::click_id::Place;
use crate::event::codec::{Encoder, Event, decode};
use crate::event::strip::{self, Scratch};
use crate::store::directory::{Directory, write_whole};
use crate::store::erasures::{self, Erasure, Erasures, lane_text};
use crate::store::layout::{Footer, Summary};
use crate::store::reader::Reader;
use crate::store::record::Record;
use crate::store::rewrite::{Editor, Fate, Outcome, Rewriter, SegmentAt, Step};
use crate::store::{Journal, Position, described};

/// How much is read in search of that before somebody is asked whether to go on.
const SCANNED_BYTES: u64 = 1024 * 1024;

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
    /// The rules by which that was found.
    seen_by: u32,
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
        Self { rewriter, reader, directory: directory.clone(), seen: HashMap::new(), seen_by: 0 }
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
        let (mut report, mut unsummed) = (Report::default(), Unsummed::default());
        let at = rules.at(now);
        self.rewriter.sweep()?;
        self.drop_whole(&at, needed, (&mut unsummed, company), &mut report)?;
        let node = self.reader.node()?.unwrap_or_default();
        let mut erasures = Erasures::load(&self.directory)?;
        if self.widen(&mut erasures, node, company)?.is_break() {
            report.is_stopped = true;
            report.pending = erasures.pending().count() as u64;
            return Ok(report);
        }
        let meant = Meant::of(&erasures, node);
        let mut settled = self.settled(rules);
        if self.seen_by != settled.rules {
            self.seen.clear();
            self.seen_by = settled.rules;
        }
        // Before what is sealed is listed: what is sealed only then is not gone over by this pass.
        let written = self.rewriter.written();
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
            if is_due && at.thins(of.journal, &footer.summary) {
                match unsummed.settle(&self.reader, &footer, editor.company) {
                    Ok(ControlFlow::Continue(())) => {}
                    Ok(ControlFlow::Break(())) => {
                        report.is_stopped = true;
                        break;
                    }
                    Err(error) => {
                        report.failed.push((of, described(&error)));
                        continue;
                    }
                }
            }
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
                Err(error) => report.failed.push((of, described(&error))),
            }
        }
        if !report.is_stopped {
            self.settle(&at, day, &mut settled)?;
            self.drop_whole(&at, needed, (&mut unsummed, company), &mut report)?;
            copies::forget_old(&self.directory.quarantine(), &at)?;
        }
        self.finish(&erasures, (&meant, &written), now, &mut report)?;
        Ok(report)
    }

    /// The erasures that are not done, by their ids, and whether all that they are in is sealed.
    ///
    /// # Errors
    /// As `Erasures::load`.
    pub fn pending(&self) -> Result<BTreeMap<String, bool>> {
        let hidden = self.rewriter.hidden();
        hidden.refresh()?;
        let (now, written) = (hidden.now(), self.rewriter.written());
        Ok(now.pending().map(|erasure| (erasure.id.clone(), !is_unsealed(erasure, &written))).collect())
    }

    fn drop_whole(
        &self,
        at: &At<'_>,
        needed: Position,
        (unsummed, company): (&mut Unsummed, &mut dyn Company),
        report: &mut Report,
    ) -> Result<()> {
        let mut lanes: BTreeMap<(Journal, u8), Vec<u32>> = BTreeMap::new();
        for footer in self.rewriter.sealed() {
            let of = at_of(&footer);
            let is_needed = of.journal == Journal::Postbacks && of.segment >= needed.segment();
            let has_failed = report.failed.iter().any(|(failed, _)| *failed == of);
            if is_needed || has_failed || !at.drops(of.journal, &footer.summary, footer.sealed) {
                continue;
            }
            match unsummed.settle(&self.reader, &footer, company) {
                Ok(ControlFlow::Continue(())) => {
                    lanes.entry((of.journal, of.lane)).or_default().push(of.segment);
                }
                Ok(ControlFlow::Break(())) => report.is_stopped = true,
                Err(error) => report.failed.push((of, described(&error))),
            }
        }
        for ((journal, lane), segments) in lanes {
            report.dropped_segments += self.rewriter.drop_segments(journal, lane, &segments)?.len() as u64;
        }
        Ok(())
    }

    /// Adds what came of clicks that are to be forgotten before everybody knew of that: ways through landers, and what was
    /// decided.
    fn widen(
        &self,
        erasures: &mut Erasures,
        node: u16,
        company: &mut dyn Company,
    ) -> Result<ControlFlow<()>> {
        let windows: Vec<_> = erasures.pending().filter_map(Erasure::window).collect();
        let (Some(since), Some(until)) =
            (windows.iter().map(|(since, _)| *since).min(), windows.iter().map(|(_, until)| *until).max())
        else {
            return Ok(ControlFlow::Continue(()));
        };
        let window = (since, until);
        let mut clicks = erasures.clicks().clone();
        let (mut places, mut decisions) = (Vec::new(), Vec::new());
        for lane in self.reader.lanes(Journal::Clicks)? {
            let ended =
                self.scan((Journal::Clicks, lane), window, company, &mut |position, record, event| {
                    if let Event::Click(click) = event
                        && clicks.contains(&click.parent)
                    {
                        places.extend(Place::new(node, lane, position.segment(), record.ordinal, 0));
                    }
                })?;
            if ended.is_break() {
                return Ok(ended);
            }
        }
        clicks.extend(places.iter().map(|place| place.packed()));
        let ended = self.scan((Journal::Postbacks, 0), window, company, &mut |position, _, event| {
            if let Event::Decision(decision) = event
                && clicks.contains(&decision.click)
            {
                decisions.push((position, Position::from_u64(decision.postback)));
            }
        })?;
        places.into_iter().for_each(|place| erasures.add_click(place));
        decisions.into_iter().for_each(|(decision, postback)| erasures.add_decision(decision, postback));
        Ok(ended)
    }

    /// Gives `each` the events until the end of a window, of segments that hold any of it.
    fn scan(
        &self,
        of: (Journal, u8),
        (since, until): (Timestamp, Timestamp),
        company: &mut dyn Company,
        each: &mut dyn FnMut(Position, &Record<'_>, &Event<'_>),
    ) -> Result<ControlFlow<()>> {
        let wanted = |summary: &Summary| summary.last_time >= since && summary.first_time <= until;
        let (mut read, mut flow) = (0, ControlFlow::Continue(()));
        self.reader.scan(of, wanted, &mut |_, _| {}, |position, record| {
            // Who comes back later is there anew, and would be waited for again and again.
            if let Ok(event) = decode(record.kind, record.schema, record.payload)
                && event.time() <= until
            {
                each(position, record, &event);
            }
            read += record.payload.len() as u64;
            if read >= SCANNED_BYTES {
                flow = company.reads(std::mem::take(&mut read));
            }
            flow
        })?;
        Ok(flow)
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

    /// Says of each erasure that is in no file any more that it is done. `written` was not sealed when the pass began.
    fn finish(
        &self,
        erasures: &Erasures,
        (meant, written): (&Meant, &[SegmentAt]),
        now: Timestamp,
        report: &mut Report,
    ) -> Result<()> {
        let read = self.rewriter.sweep()?;
        // What was added may lie behind what was there when it was asked.
        let is_gone = read == 0
            && !report.is_stopped
            && !written.iter().any(|at| meant.segments.contains(at))
            && !report.failed.iter().any(|(at, _)| meant.has(*at));
        for erasure in erasures.pending() {
            if is_gone && !is_unsealed(erasure, written) {
                copies::forget_of(&self.directory.quarantine(), meant.segments.iter())?;
                erasures::finish(&self.directory, &erasure.id, now)?;
                report.erased += 1;
            } else {
                report.pending += 1;
            }
        }
        Ok(())
    }
}

/// Whether a segment that it may be in was not sealed yet.
fn is_unsealed(erasure: &Erasure, written: &[SegmentAt]) -> bool {
    let until = |journal, lane| erasure.until.get(&lane_text(journal, lane)).copied().unwrap_or(0);
    written.iter().any(|at| at.segment < until(at.journal, at.lane))
}

impl Settled {
    fn has(&self, at: SegmentAt) -> bool {
        self.before.get(&lane_text(at.journal, at.lane)).is_some_and(|before| at.segment < *before)
    }
}

fn at_of(footer: &Footer) -> SegmentAt {
    let identity = footer.identity;
    SegmentAt { journal: identity.journal, lane: identity.lane, segment: identity.segment }
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
