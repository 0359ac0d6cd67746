//! One sealed segment, gone through: once for when each record happened, and once for each row group.
//!
//! In: a data folder, and which segment. Out: the files that come of it, to wherever they are written.
//! Keeps: a row for each record of the table, or an error; the same segment gives the same bytes.
//! Not here: where files stand (`folder`), and how they get there (`publish`).

use std::fs::File;
use std::io::Write;
use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::sync::Arc;

use rkyv::util::AlignedVec;

use crate::clock::Timestamp;
use crate::event::click_id::{ClickIdText, Place};
use crate::event::codec::{Event, Undecodable, decode, time_of};
use crate::store::Position;
use crate::store::directory::SegmentFile;
use crate::store::erasures::Erasures;
use crate::store::layout::{Footer, Identity};
use crate::store::reader::{ClickIds, Cursor, Reader};
use crate::store::record::Record;
use crate::store::sealed::read_footer;

use super::columns::Rows;
use super::error::{Error, Result};
use super::listed::Listed;
use super::parquet::Writer;
use super::plan::{self, Group, Key, Limits};
use super::table::Table;

/// How much is read before somebody is told.
pub(super) const TOLD_BYTES: u64 = 4 * 1024 * 1024;

/// Told of bytes that were read since it was told last; may end it.
pub(super) type Told<'a> = &'a mut dyn FnMut(u64) -> Result<()>;

/// Records lie at multiples of this, for which they are read in place.
const ALIGNMENT: usize = 16;

/// Which segment rows are of.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The node that wrote it.
    pub node: u16,
    /// The lane of its journal.
    pub lane: u8,
    /// Its number.
    pub segment: u32,
    /// Which rewrite of it.
    pub generation: u32,
    pub(super) ids: Option<ClickIds>,
    /// What was asked to be forgotten: nothing that is made from now on says it.
    pub(super) erasures: Arc<Erasures>,
}

impl Origin {
    /// That of a segment, sealed or not; as its first file, whichever is the current one.
    ///
    /// # Errors
    /// What reading the folder says.
    pub fn of(reader: &Reader, lane: u8, segment: u32) -> Result<Self> {
        let node = reader.node()?.unwrap_or_default();
        let (ids, erasures) = (ClickIds::open(reader, node)?, forgotten(reader)?);
        Ok(Self { node, lane, segment, generation: 0, ids, erasures })
    }

    /// What an event of this segment says to whoever reads it now: nothing of what was asked to be forgotten.
    pub fn shown<'a, T: Table>(
        &self,
        position: Position,
        record: &Record<'_>,
        event: Event<'a>,
    ) -> Event<'a> {
        self.erasures.shown((T::JOURNAL, self.node, self.lane), (position, record.ordinal), event)
    }

    /// Another generation of it.
    pub(super) fn at(&self, generation: u32) -> Self {
        Self { generation, ..self.clone() }
    }

    /// The id of the click at a place, as it stood in URLs.
    pub(super) fn click_id(&self, place: Option<Place>) -> Option<ClickIdText> {
        self.ids.as_ref()?.text(place?)
    }
}

/// A sealed segment of table `T`.
#[derive(Debug)]
pub struct Source<T> {
    reader: Reader,
    origin: Origin,
    days: Vec<plan::Day>,
    table: PhantomData<fn() -> T>,
}

/// Which of a source's days: each is a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    index: usize,
    /// When its first row happened.
    pub first_time: Timestamp,
    /// When its last row did.
    pub last_time: Timestamp,
    /// How many rows it has.
    pub rows: u64,
}

impl<T: Table> Source<T> {
    /// Looks through a segment.
    ///
    /// # Errors
    /// `NotSealed`, `NoKeys`, `Record`, or what reading says.
    pub fn open(reader: &Reader, lane: u8, segment: u32) -> Result<Self> {
        Self::open_told(reader, (lane, segment), &mut |_| Ok(()))
    }

    /// As `open`; `told` of what is read.
    pub(super) fn open_told(reader: &Reader, (lane, segment): (u8, u32), told: Told<'_>) -> Result<Self> {
        let origin = identify::<T>(reader, lane, segment)?;
        Self::look_through(reader, origin, Limits::default(), told)
    }

    /// Looks through a segment that need not be sealed: its rows are those that are there now.
    ///
    /// # Errors
    /// `NoKeys`, `Record`, or what reading says.
    pub fn open_listed(reader: &Reader, listed: &Listed, limits: Limits) -> Result<Self> {
        Self::look_through(reader, listed.origin.clone(), limits, &mut |_| Ok(()))
    }

    fn look_through(reader: &Reader, origin: Origin, limits: Limits, told: Told<'_>) -> Result<Self> {
        if origin.ids.is_none() {
            return Err(Error::NoKeys { path: reader.directory().keys() });
        }
        let mut source = Self { reader: reader.clone(), origin, days: Vec::new(), table: PhantomData };
        source.days = plan::days(source.keys(told)?, limits);
        Ok(source)
    }

    /// Which segment it is.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The files that come of it, in the order of their days. None if it has no row.
    pub fn parts(&self) -> impl Iterator<Item = Part> {
        self.days.iter().enumerate().map(|(index, day)| Part {
            index,
            first_time: Timestamp::from_micros(day.first_time),
            last_time: Timestamp::from_micros(day.last_time),
            rows: day.rows,
        })
    }

    /// How many groups a part has.
    pub fn groups(&self, part: Part) -> usize {
        self.days.get(part.index).map_or(0, |day| day.groups.len())
    }

    /// Gives `each` the rows of one group of a part, in order of time.
    ///
    /// # Errors
    /// `Changed`, `Record`, or what reading says.
    pub fn each_row(&self, part: Part, group: usize, mut each: impl FnMut(&T::Row<'_>)) -> Result<()> {
        let found = self.days.get(part.index).and_then(|day| day.groups.get(group));
        found.map_or(Ok(()), |group| self.visit(group, &mut each))
    }

    /// When each row happened, in the order of the journal.
    fn keys(&self, told: Told<'_>) -> Result<Vec<Key>> {
        let (mut keys, mut read) = (Vec::new(), 0);
        self.each(0, |position, record| {
            read += record.payload.len() as u64;
            if read >= TOLD_BYTES {
                told(std::mem::take(&mut read))?;
            }
            let time = time_of(record.kind, record.schema, record.payload)
                .map_err(|source| self.undecodable(position, source))?;
            let number = u32::try_from(keys.len()).unwrap_or(u32::MAX);
            let bytes = u32::try_from(record.payload.len()).unwrap_or(u32::MAX);
            keys.push(Key { time: time.micros(), number, offset: record.offset, bytes });
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(keys)
    }

    /// Gives `take` the records of the table from `offset` on, until it breaks or fails.
    fn each(
        &self,
        offset: u32,
        mut take: impl FnMut(Position, &Record<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let Origin { lane, segment, .. } = self.origin;
        let mut failed = None;
        self.reader.read(T::JOURNAL, lane, Cursor { segment, offset }, |position, record| {
            if position.segment() != segment {
                return ControlFlow::Break(());
            }
            if !T::KINDS.iter().any(|kind| kind.code() == record.kind) {
                return ControlFlow::Continue(());
            }
            take(position, record).unwrap_or_else(|error| {
                failed = Some(error);
                ControlFlow::Break(())
            })
        })?;
        failed.map_or(Ok(()), Err)
    }

    /// Gives `each` the rows of a group, in their order.
    fn visit(&self, group: &Group, each: &mut impl FnMut(&T::Row<'_>)) -> Result<()> {
        let rows = if group.is_as_written {
            self.visit_in_place(group, each)?
        } else {
            self.visit_sorted(group, each)?
        };
        if rows == group.rows { Ok(()) } else { Err(self.changed()) }
    }

    fn visit_in_place(&self, group: &Group, each: &mut impl FnMut(&T::Row<'_>)) -> Result<usize> {
        let mut rows = 0;
        self.each(group.start.0, |position, record| {
            if record.offset > group.end {
                return Ok(ControlFlow::Break(()));
            }
            self.give(position, record, each)?;
            rows += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(rows)
    }

    /// Copies the group's records, and sorts those.
    fn visit_sorted(&self, group: &Group, each: &mut impl FnMut(&T::Row<'_>)) -> Result<usize> {
        let mut copies = AlignedVec::<ALIGNMENT>::new();
        let mut copied: Vec<((i64, u32), usize, Record<'static>, usize)> = Vec::with_capacity(group.rows);
        let mut number = group.start.1;
        self.each(group.start.0, |position, record| {
            if record.offset > group.end {
                return Ok(ControlFlow::Break(()));
            }
            let time = time_of(record.kind, record.schema, record.payload)
                .map_err(|source| self.undecodable(position, source))?;
            let key = (time.micros(), number);
            number += 1;
            if (group.first..=group.last).contains(&key) {
                let start = copies.len();
                copies.extend_from_slice(record.payload);
                copies.resize(copies.len().next_multiple_of(ALIGNMENT), 0);
                copied.push((key, start, Record { payload: &[], ..*record }, record.payload.len()));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        copied.sort_unstable_by_key(|(key, ..)| *key);
        for (_, start, record, len) in &copied {
            let record = Record { payload: &copies[*start..start + len], ..*record };
            self.give(Position::new(self.origin.segment, record.offset), &record, each)?;
        }
        Ok(copied.len())
    }

    fn give(
        &self,
        position: Position,
        record: &Record<'_>,
        each: &mut impl FnMut(&T::Row<'_>),
    ) -> Result<()> {
        with_row::<T, _>(&self.origin, position, record, |row| each(row))
    }

    fn undecodable(&self, position: Position, source: Undecodable) -> Error {
        undecodable::<T>(position, source)
    }

    fn changed(&self) -> Error {
        Error::Changed { table: T::NAME, lane: self.origin.lane, segment: self.origin.segment }
    }
}

/// Gives `take` the row of a record.
pub(super) fn with_row<T: Table, R>(
    origin: &Origin,
    position: Position,
    record: &Record<'_>,
    take: impl FnOnce(&T::Row<'_>) -> R,
) -> Result<R> {
    let event = decode(record.kind, record.schema, record.payload)
        .map_err(|source| undecodable::<T>(position, source))?;
    let event = origin.shown::<T>(position, record, event);
    let row = T::row(origin, record, event)
        .ok_or_else(|| undecodable::<T>(position, Undecodable::Unreadable { kind: record.kind }))?;
    Ok(take(&row))
}

pub(super) fn undecodable<T: Table>(position: Position, source: Undecodable) -> Error {
    Error::Record { table: T::NAME, position, source }
}

/// What was asked to be forgotten until now.
pub(super) fn forgotten(reader: &Reader) -> Result<Arc<Erasures>> {
    Ok(Arc::new(Erasures::load(reader.directory())?))
}

/// Writes one part of a segment as a file to `out`, with zstd at `level`, and gives `out` back.
///
/// # Errors
/// `Changed`, `Record`, `Format`, or what reading says.
pub fn write_file<T: Table, W: Write + Send>(
    source: &Source<T>,
    part: Part,
    out: W,
    level: i32,
) -> Result<W> {
    write_file_told(source, part, out, level, &mut |_| Ok(()))
}

/// As `write_file`; `told` of what is read, after each row group.
pub(super) fn write_file_told<T: Table, W: Write + Send>(
    source: &Source<T>,
    part: Part,
    out: W,
    level: i32,
    told: Told<'_>,
) -> Result<W> {
    let mut writer = Writer::new::<T>(out, level)?;
    let mut rows = Rows::<T>::default();
    for group in source.days.get(part.index).map_or(&[][..], |day| &day.groups) {
        rows.clear();
        source.visit(group, &mut |row| rows.push(row))?;
        writer.write(&mut rows)?;
        told(group.bytes)?;
    }
    writer.finish()
}

/// What a file says of itself, if it is of a sealed segment.
pub(super) fn footer_of(file: &SegmentFile) -> Result<Option<Footer>> {
    let open = File::open(&file.path).map_err(Error::io("open", &file.path))?;
    read_footer(&open).map_err(Error::io("read", &file.path))
}

/// What is to be known of a sealed segment before it is gone through.
pub(super) fn identify<T: Table>(reader: &Reader, lane: u8, segment: u32) -> Result<Origin> {
    let files = reader.files(T::JOURNAL, lane)?;
    let file = files.iter().find(|file| file.segment == segment);
    let footer = file.map(footer_of).transpose()?.flatten();
    let footer = footer.ok_or(Error::NotSealed { table: T::NAME, lane, segment })?;
    let Identity { node, generation, .. } = footer.identity;
    let ids = ClickIds::open(reader, node)?;
    let erasures = forgotten(reader)?;
    Ok(Origin { node, lane, segment, generation, ids, erasures })
}
