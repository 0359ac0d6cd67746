//! Records as they are appended: the last ones, and then those that come.
//!
//! In: a data folder, beside a running daemon or without one. Out: a line for each record, to wherever they are written.
//! Keeps: a record is shown once, however its segment is sealed, rewritten or recovered meanwhile; those of one lane come in
//! their order, and what is read at once of several lanes is put together by its times. It takes no lock and writes nothing.
//! Not here: how long to wait between looks (whoever follows says when).

mod postbacks;

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::ops::ControlFlow;

use super::export::text::{Lines, Style, Text};
use super::export::{Chosen, ExportError, Filter, columns};
use super::lookup::Window;
use crate::clock::Timestamp;
use crate::compactor::clicks::Clicks;
use crate::compactor::conversions::Conversions;
use crate::compactor::deliveries::Deliveries;
use crate::compactor::listed::list;
use crate::compactor::table::Table;
use crate::compactor::{self, Origin};
use crate::event::codec::{decode, time_of};
use crate::store::manifest::Manifest;
use crate::store::reader::{Cursor, Reader};
use crate::store::record::Record;
use crate::store::{self, Position};
use postbacks::Postbacks;

/// The most past records that can be asked for.
pub const LAST_MAX: usize = 100_000;
/// Records of a lane that are read before the next lane's turn.
const TURN_RECORDS: usize = 4096;

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Clicks.
    Clicks,
    /// Inbound requests.
    Postbacks,
    /// Decisions on conversions.
    Conversions,
    /// Attempts at deliveries.
    Deliveries,
}

impl What {
    /// The columns that a line has, if nobody says which.
    const fn brief(self) -> &'static [&'static str] {
        match self {
            Self::Clicks => &[
                "time",
                "click_id",
                "kind",
                "campaign",
                "source",
                "offer",
                "lander",
                "external_id",
                "cost",
                "cost_currency",
                "country",
                "is_net",
            ],
            Self::Postbacks => &["time", "network", "refused", "method", "path", "query", "body"],
            Self::Conversions => &[
                "time",
                "verdict",
                "reason",
                "network",
                "transaction_id",
                "click_id",
                "event",
                "status",
                "payout",
                "entry",
                "currency",
                "campaign",
                "offer",
            ],
            Self::Deliveries => &[
                "time",
                "destination",
                "class",
                "http_status",
                "attempt",
                "is_final",
                "duration_micros",
                "next_attempt",
                "detail",
            ],
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is shown.
    pub what: What,
    /// As JSON with all columns, or as lines for people with some.
    pub is_json: bool,
    /// Other columns.
    pub columns: Vec<String>,
    /// Only these.
    pub filters: Vec<Filter>,
    /// How many of those that are there already; `LAST_MAX` at most.
    pub last: usize,
}

/// Why it ended.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    /// What is asked for is not there.
    #[error(transparent)]
    Asked(#[from] ExportError),
    /// The journals could not be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Or their segments could not be listed.
    #[error(transparent)]
    Listing(#[from] compactor::Error),
    /// Nobody takes what is written.
    #[error("cannot write")]
    Write(#[from] io::Error),
}

/// Writes the last records to `out`, and then, as often as `goes_on` says so, what came since; says how many records could
/// not be read.
///
/// # Errors
/// What reading or writing says.
pub fn tail(
    reader: &Reader,
    options: &Options,
    out: &mut dyn Write,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<u64, TailError> {
    match options.what {
        What::Clicks => Tail::<Clicks>::new(reader, options)?.run(out, goes_on),
        What::Postbacks => Tail::<Postbacks>::new(reader, options)?.run(out, goes_on),
        What::Conversions => Tail::<Conversions>::new(reader, options)?.run(out, goes_on),
        What::Deliveries => Tail::<Deliveries>::new(reader, options)?.run(out, goes_on),
    }
}

struct Tail<'a, T: Table> {
    reader: &'a Reader,
    last: usize,
    text: Text<T>,
    chosen: Chosen<T>,
    lanes: BTreeMap<u8, Lane>,
    lines: Lines,
    /// Records that could not be read.
    unreadable: u64,
}

/// How far a lane is read.
#[derive(Clone, Debug, Default)]
struct Lane {
    cursor: Cursor,
    /// Which file of that segment it was: in another one, records lie elsewhere.
    generation: u32,
    /// One more than the number of the last record there.
    next_ordinal: u32,
    /// Of the segment that was read last.
    origin: Option<Origin>,
}

/// A line, and when what it shows happened.
type Line = (Timestamp, Vec<u8>);

impl<'a, T: Table> Tail<'a, T> {
    fn new(reader: &'a Reader, options: &Options) -> Result<Self, TailError> {
        let is_brief = options.columns.is_empty() && !options.is_json;
        let brief = options.what.brief().iter().map(|name| (*name).to_owned()).collect();
        let names = if is_brief { brief } else { options.columns.clone() };
        let style = if options.is_json { Style::Ndjson } else { Style::Line };
        Ok(Self {
            reader,
            last: options.last.min(LAST_MAX),
            text: Text::new(style, columns(&names)?),
            chosen: Chosen::new(Window::default(), &options.filters)?,
            lanes: BTreeMap::new(),
            lines: Lines::default(),
            unreadable: 0,
        })
    }

    fn run(mut self, out: &mut dyn Write, goes_on: &mut dyn FnMut() -> bool) -> Result<u64, TailError> {
        let mut past = Vec::new();
        for lane in self.reader.lanes(T::JOURNAL)? {
            past.push(self.begin(lane)?);
        }
        let count = past.iter().map(VecDeque::len).sum::<usize>();
        write(out, merged(past).skip(count.saturating_sub(self.last)))?;
        while goes_on() {
            while self.turn(out)? {}
        }
        Ok(self.unreadable)
    }

    /// The last lines of a lane; it is read to its end.
    fn begin(&mut self, lane: u8) -> Result<VecDeque<Line>, TailError> {
        let listed = list::<T>(self.reader)?;
        let mut segments: Vec<(u32, bool)> = listed
            .into_iter()
            .filter(|listed| listed.origin.lane == lane)
            .map(|listed| (listed.origin.segment, listed.sealed.is_some()))
            .collect();
        segments.sort_unstable();
        // Behind the first that is not sealed others may be made ready already; nothing is before it.
        let first_open = segments.iter().position(|(_, is_sealed)| !is_sealed);
        let from = first_open.unwrap_or(segments.len().saturating_sub(1));
        let start = segments.get(from).map_or(0, |(segment, _)| *segment);
        self.lanes.insert(lane, Lane { cursor: Cursor { segment: start, offset: 0 }, ..Lane::default() });
        let (mut found, last) = (VecDeque::new(), self.last);
        while self.read(lane, &mut found, last)? {}
        for (segment, _) in segments.iter().take(from).rev() {
            if found.len() >= last {
                break;
            }
            let mut before = VecDeque::new();
            self.read_segment(lane, *segment, &mut before, last - found.len())?;
            before.append(&mut found);
            found = before;
        }
        Ok(found)
    }

    /// Writes what came since; says whether there may be more.
    fn turn(&mut self, out: &mut dyn Write) -> Result<bool, TailError> {
        let (mut all, mut has_more) = (Vec::new(), false);
        for lane in self.reader.lanes(T::JOURNAL)? {
            // A lane that was not there before has nothing but what is new.
            self.lanes.entry(lane).or_default();
            let mut found = VecDeque::new();
            has_more |= self.read(lane, &mut found, usize::MAX)?;
            all.push(found);
        }
        write(out, merged(all))?;
        Ok(has_more)
    }

    /// Goes on with a lane, and keeps the last lines of what it finds; says whether there may be more.
    fn read(&mut self, lane: u8, found: &mut VecDeque<Line>, last: usize) -> Result<bool, TailError> {
        let mut at = self.lanes.remove(&lane).unwrap_or_default();
        let before = at.clone();
        let read = self.read_from(lane, &mut at, found, last).or_else(|error| match error {
            // It was rewritten just now: what was read of it before that was right.
            TailError::Store(store::Error::Corrupt { .. })
                if self.generation(lane, &at)? != at.generation =>
            {
                self.read_from(lane, &mut at, found, last)
            }
            error => Err(error),
        });
        self.lanes.insert(lane, if read.is_ok() { at } else { before });
        read
    }

    fn read_from(
        &mut self,
        lane: u8,
        at: &mut Lane,
        found: &mut VecDeque<Line>,
        last: usize,
    ) -> Result<bool, TailError> {
        let generation = self.generation(lane, at)?;
        if generation != at.generation {
            // Numbers are for ever, and offsets are not: go over it again, and pass by what was shown.
            (at.generation, at.cursor.offset) = (generation, 0);
        }
        let (reader, mut count, mut failed) = (self.reader, 0, None);
        let mut known = at.next_ordinal;
        let mut segment = at.cursor.segment;
        let cursor = reader.read(T::JOURNAL, lane, at.cursor, |position, record| {
            if position.segment() != segment {
                (segment, known) = (position.segment(), 0);
                (at.cursor.segment, at.generation) = (segment, 0);
            }
            if record.ordinal < known {
                return ControlFlow::Continue(());
            }
            known = record.ordinal + 1;
            (at.cursor.offset, at.next_ordinal) = (record.end(), known);
            if let Err(error) = self.show((lane, segment), &mut at.origin, record, found, last) {
                failed = Some(error);
                return ControlFlow::Break(());
            }
            count += 1;
            if count < TURN_RECORDS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        if cursor.segment != at.cursor.segment {
            (at.generation, at.next_ordinal) = (0, 0);
        }
        at.cursor = cursor;
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(count == TURN_RECORDS),
        }
    }

    /// All of one segment.
    fn read_segment(
        &mut self,
        lane: u8,
        segment: u32,
        found: &mut VecDeque<Line>,
        last: usize,
    ) -> Result<(), TailError> {
        let (reader, mut origin, mut failed) = (self.reader, None, None);
        reader.read(T::JOURNAL, lane, Cursor { segment, offset: 0 }, |position, record| {
            if position.segment() != segment {
                return ControlFlow::Break(());
            }
            match self.show((lane, segment), &mut origin, record, found, last) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Makes the line of a record, if it is wanted.
    fn show(
        &mut self,
        (lane, segment): (u8, u32),
        origin: &mut Option<Origin>,
        record: &Record<'_>,
        found: &mut VecDeque<Line>,
        last: usize,
    ) -> Result<(), compactor::Error> {
        if last == 0 || !T::KINDS.iter().any(|kind| kind.code() == record.kind) {
            return Ok(());
        }
        let origin = match origin {
            Some(origin) if origin.segment == segment => origin,
            other => other.insert(Origin::of(self.reader, lane, segment)?),
        };
        let event = decode(record.kind, record.schema, record.payload).ok();
        let time = time_of(record.kind, record.schema, record.payload).ok();
        let at = Position::new(segment, record.offset);
        let row = event.and_then(|event| T::row(origin, record, origin.shown::<T>(at, record, event)));
        let (Some(row), Some(time)) = (row, time) else {
            self.unreadable += 1;
            return Ok(());
        };
        if !self.chosen.is_wanted(&row) {
            return Ok(());
        }
        self.lines.bytes.clear();
        self.text.put(&row, &mut self.lines);
        // The memory of the oldest, where there are enough.
        let spare = if found.len() >= last { found.pop_front() } else { None };
        let mut line = spare.map_or_else(Vec::new, |(_, line)| line);
        line.clear();
        line.extend_from_slice(&self.lines.bytes);
        found.push_back((time, line));
        Ok(())
    }

    /// Which file of the segment that a lane is at is the current one.
    fn generation(&self, lane: u8, at: &Lane) -> Result<u32, TailError> {
        let manifest = Manifest::peek(self.reader.directory())?;
        let entry = manifest.and_then(|manifest| manifest.entry(T::JOURNAL, lane, at.cursor.segment));
        Ok(entry.map_or(0, |entry| entry.generation))
    }
}

/// All lines, those of each lane in their order, and otherwise by their times.
fn merged(mut lanes: Vec<VecDeque<Line>>) -> impl Iterator<Item = Line> {
    std::iter::from_fn(move || {
        let heads = lanes.iter_mut().filter(|lane| !lane.is_empty());
        heads.min_by_key(|lane| lane.front().map(|(time, _)| *time))?.pop_front()
    })
}

fn write(out: &mut dyn Write, lines: impl IntoIterator<Item = Line>) -> io::Result<()> {
    lines.into_iter().try_for_each(|(_, line)| out.write_all(&line))?;
    out.flush()
}
