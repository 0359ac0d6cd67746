//! One sealed segment, gone through: once for when each record happened, and once for each row group.
//!
//! In: a data folder, and which segment. Out: the files that come of it, to wherever they are written.
//! Keeps: a row for each record of the table, or an error; the same segment gives the same bytes.
//! Not here: where files stand (`folder`), and how they get there (`publish`).

use std::io::Write;
use std::marker::PhantomData;
use std::ops::ControlFlow;

use rkyv::util::AlignedVec;

use crate::clock::Timestamp;
use crate::event::click_id::{ClickIdText, Keys, Place};
use crate::event::codec::{Undecodable, decode, time_of};
use crate::store::Position;
use crate::store::erasures::Erasures;
use crate::store::manifest::Manifest;
use crate::store::reader::{Cursor, Reader};
use crate::store::record::Record;
use crate::store::sealed::read_footer;

use super::columns::Rows;
use super::error::{Error, Result};
use super::parquet::Writer;
use super::plan::{self, Group, Key};
use super::table::Table;

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
    keys: Option<Keys>,
}

impl Origin {
    /// The id of the click at a place, as it stands in URLs.
    pub(super) fn click_id(&self, place: Option<Place>) -> Option<ClickIdText> {
        Some(self.keys.as_ref()?.encode(place?).to_text())
    }
}

/// A sealed segment of table `T`.
#[derive(Debug)]
pub struct Source<T> {
    reader: Reader,
    origin: Origin,
    days: Vec<plan::Day>,
    /// What was asked to be forgotten: no file that is made from now on says it.
    erasures: Erasures,
    table: PhantomData<T>,
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
        let origin = identify::<T>(reader, lane, segment)?;
        if origin.keys.is_none() {
            return Err(Error::NoKeys { path: reader.directory().keys() });
        }
        let erasures = Erasures::load(reader.directory())?;
        let mut source =
            Self { reader: reader.clone(), origin, days: Vec::new(), erasures, table: PhantomData };
        source.days = plan::days(source.keys()?);
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

    /// When each row happened, in the order of the journal.
    fn keys(&self) -> Result<Vec<Key>> {
        let mut keys = Vec::new();
        self.each(0, |position, record| {
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

    /// Puts the rows of a group into `rows`, in their order.
    fn fill(&self, group: &Group, rows: &mut Rows<T>) -> Result<()> {
        if group.is_as_written {
            self.fill_in_place(group, rows)?;
        } else {
            self.fill_sorted(group, rows)?;
        }
        if rows.len() == group.rows { Ok(()) } else { Err(self.changed()) }
    }

    fn fill_in_place(&self, group: &Group, rows: &mut Rows<T>) -> Result<()> {
        self.each(group.start.0, |position, record| {
            if record.offset > group.end {
                return Ok(ControlFlow::Break(()));
            }
            self.push(position, record, rows)?;
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Copies the group's records, and sorts those.
    fn fill_sorted(&self, group: &Group, rows: &mut Rows<T>) -> Result<()> {
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
        for (_, start, record, len) in copied {
            let record = Record { payload: &copies[start..start + len], ..record };
            self.push(Position::new(self.origin.segment, record.offset), &record, rows)?;
        }
        Ok(())
    }

    fn push(&self, position: Position, record: &Record<'_>, rows: &mut Rows<T>) -> Result<()> {
        let event = decode(record.kind, record.schema, record.payload)
            .map_err(|source| self.undecodable(position, source))?;
        let of = (T::JOURNAL, self.origin.node, self.origin.lane);
        let event = self.erasures.shown(of, (position, record.ordinal), event);
        let row = T::row(&self.origin, record, event)
            .ok_or_else(|| self.undecodable(position, Undecodable::Unreadable { kind: record.kind }))?;
        rows.push(&row);
        Ok(())
    }

    fn undecodable(&self, position: Position, source: Undecodable) -> Error {
        Error::Record { table: T::NAME, position, source }
    }

    fn changed(&self) -> Error {
        Error::Changed { table: T::NAME, lane: self.origin.lane, segment: self.origin.segment }
    }
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
    let mut writer = Writer::new::<T>(out, level)?;
    let mut rows = Rows::<T>::default();
    for group in source.days.get(part.index).map_or(&[][..], |day| &day.groups) {
        rows.clear();
        source.fill(group, &mut rows)?;
        writer.write(&mut rows)?;
    }
    writer.finish()
}

/// What is known of a sealed segment before it is gone through.
pub(super) fn identify<T: Table>(reader: &Reader, lane: u8, segment: u32) -> Result<Origin> {
    let directory = reader.directory();
    let mut files = directory.segments(T::JOURNAL, lane)?;
    if let Some(manifest) = Manifest::peek(directory)? {
        files = manifest.current_files(T::JOURNAL, lane, files);
    }
    let not_sealed = || Error::NotSealed { table: T::NAME, lane, segment };
    let file = files.into_iter().find(|file| file.segment == segment).ok_or_else(not_sealed)?;
    let open = std::fs::File::open(&file.path).map_err(Error::io("open", &file.path))?;
    let footer = read_footer(&open).map_err(Error::io("read", &file.path))?.ok_or_else(not_sealed)?;
    let (node, generation) = (footer.identity.node, footer.identity.generation);
    Ok(Origin { node, lane, segment, generation, keys: reader.click_id_keys()? })
}
