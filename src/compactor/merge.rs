//! The files of a whole day, made of its segments.
//!
//! In: which segments have rows of the day. Out: files sorted by time over all lanes, in a folder beside.
//! Keeps: each row of the day once; where times are the same, in the order of lanes and of their journals. In memory are 8
//! bytes for each row of the segments that overlap at one moment, and one row group; the rest is mapped.
//! Not here: when (`days`), and how the folder takes the other's place (`swap`).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::io::BufWriter;
use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::path::Path;

use crate::clock::Timestamp;
use crate::event::codec::time_of;
use crate::event::money::Micros;
use crate::store::Position;
use crate::store::reader::{Held, Reader};
use crate::store::record::{RECORD_ALIGN, Record};

use super::closed::{Closed, Share, Sum};
use super::columns::{MONEY_END, Rows};
use super::error::{Error, Result};
use super::folder::{Day, Folder};
use super::parquet::{GROUP_ROWS_MAX, Writer};
use super::plan::{DAY_MICROS, GROUP_BYTES_MAX};
use super::publish::{LEVEL, Published};
use super::segment::{Origin, TOLD_BYTES, Told, identify, undecodable, with_row};
use super::summed_file::SummedFile;
use super::table::{Get, Table};

/// Bytes of a file of a day at most, but for the row group that goes beyond them.
const FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Bits of an offset, counted in steps of `RECORD_ALIGN`, in a packed row; the time of day takes those above.
const OFFSET_BITS: u32 = 25;

const _: () = assert!(DAY_MICROS < 1 << (u64::BITS - OFFSET_BITS), "a time of day fits");
const _: () = assert!(
    (crate::store::layout::SEGMENT_BYTES_MAX / RECORD_ALIGN) as u64 <= 1 << OFFSET_BITS,
    "the offset of each record of the largest segment fits"
);

/// What is to be merged.
pub(super) struct Plan<'a> {
    pub(super) folder: &'a Folder,
    pub(super) reader: &'a Reader,
    pub(super) day: Day,
    pub(super) revision: u32,
    /// Rows of a file at most.
    pub(super) file_rows_max: u64,
}

/// A segment with rows of the day, and when the first of them happened.
pub(super) type Input = (Timestamp, Share);

/// Writes the day's files into the folder that is to take its place, which is there and empty; what they are. `staged` is
/// told of each, `told` of what was read.
pub(super) fn write<T: Table>(plan: &Plan<'_>, mut inputs: Vec<Input>, told: Told<'_>) -> Result<Closed> {
    inputs.sort_unstable();
    let node = inputs.first().map_or(0, |(_, share)| share.node);
    let mut segments: Vec<Share> = inputs.iter().map(|(_, share)| *share).collect();
    segments.sort_unstable();
    let mut merge = Merge::<T>::new(plan, inputs);
    let mut files = Files::<T>::new(plan, node);
    let mut sums = Sums::<T>::default();
    let (mut rows, mut bytes) = (Rows::<T>::default(), 0);
    while let Some((time, at, offset)) = merge.next(told)? {
        let Some(open) = &merge.open[at] else { unreachable!("a segment is let go after its last row") };
        let record = open.held.record(offset)?;
        let position = Position::new(open.origin.segment, offset);
        with_row::<T, _>(&open.origin, position, &record, |row| {
            rows.push(row);
            sums.add(row);
        })?;
        files.note(time);
        bytes += record.payload.len() as u64;
        if rows.len() == GROUP_ROWS_MAX || bytes >= GROUP_BYTES_MAX {
            files.write(&mut rows)?;
            told(std::mem::take(&mut bytes))?;
        }
    }
    let files = files.finish(rows)?;
    let rows = files.iter().map(|file| file.rows).sum();
    Ok(Closed {
        date: plan.day.to_string(),
        revision: plan.revision,
        rows,
        files,
        segments,
        sums: sums.done(),
    })
}

/// Rows of several segments in the order of time.
struct Merge<'a, T> {
    reader: &'a Reader,
    day: Day,
    /// By their first times.
    waiting: VecDeque<Input>,
    open: Vec<Option<Open>>,
    /// The one whose last row was given out.
    spent: Option<usize>,
    /// Time of day, lane, segment, and which of `open`: the row that is next of each.
    next: BinaryHeap<Reverse<(u64, u8, u32, usize)>>,
    table: PhantomData<T>,
}

/// A segment that has its turn.
struct Open {
    origin: Origin,
    held: Held,
    /// Packed, those behind the next one.
    rows: std::vec::IntoIter<u64>,
    offset: u32,
}

impl<'a, T: Table> Merge<'a, T> {
    fn new(plan: &Plan<'a>, inputs: Vec<Input>) -> Self {
        let (open, next) = (Vec::new(), BinaryHeap::new());
        let (reader, day, waiting) = (plan.reader, plan.day, inputs.into());
        Self { reader, day, waiting, open, spent: None, next, table: PhantomData }
    }

    /// The next row: when it happened, in which of `open`, and at which offset.
    fn next(&mut self, told: Told<'_>) -> Result<Option<(Timestamp, usize, u32)>> {
        if let Some(spent) = self.spent.take() {
            self.open[spent] = None;
        }
        while let Some((first, _)) = self.waiting.front()
            && self.next.peek().is_none_or(|Reverse((time, ..))| self.moment(*time) >= *first)
            && let Some((_, share)) = self.waiting.pop_front()
        {
            let open = self.take_up(&share, told)?;
            self.open.push(Some(open));
            self.advance(self.open.len() - 1);
        }
        let Some(Reverse((time, _, _, at))) = self.next.pop() else { return Ok(None) };
        let offset = self.advance(at);
        Ok(Some((self.moment(time), at, offset)))
    }

    fn moment(&self, time: u64) -> Timestamp {
        Timestamp::from_micros(self.day.start().micros().saturating_add_unsigned(time))
    }

    /// Puts the next row of this segment among those of the others; the offset of the one before.
    fn advance(&mut self, at: usize) -> u32 {
        let Some(open) = &mut self.open[at] else { unreachable!("it has a row that is not given out") };
        let before = open.offset;
        match open.rows.next() {
            Some(row) => {
                let steps = u32::try_from(row & ((1 << OFFSET_BITS) - 1)).unwrap_or(u32::MAX);
                open.offset = steps.saturating_mul(RECORD_ALIGN);
                let key = (row >> OFFSET_BITS, open.origin.lane, open.origin.segment, at);
                self.next.push(Reverse(key));
            }
            None => self.spent = Some(at),
        }
        before
    }

    /// Reads which rows of the day a segment has.
    fn take_up(&self, share: &Share, told: Told<'_>) -> Result<Open> {
        let Share { lane, segment, .. } = *share;
        let changed = || Error::Changed { table: T::NAME, lane, segment };
        let origin = identify::<T>(self.reader, lane, segment)?;
        let held = self.reader.hold(T::JOURNAL, lane, segment)?.ok_or_else(changed)?;
        let (start, end) = (self.day.start(), self.day.end());
        let (mut rows, mut read, mut failed) = (Vec::new(), 0, None);
        held.for_each(|record| {
            read += record.payload.len() as u64;
            let row = row::<T>(segment, record).and_then(|found| {
                if read >= TOLD_BYTES {
                    told(std::mem::take(&mut read))?;
                }
                Ok(found.filter(|time| (start..end).contains(time)))
            });
            match row {
                Ok(Some(time)) => rows.push(pack(time.since(start).as_micros(), record.offset)),
                Ok(None) => {}
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        let generation = held.footer().identity.generation;
        if (generation, origin.generation, rows.len() as u64)
            != (share.generation, share.generation, share.rows)
        {
            return Err(changed());
        }
        rows.sort_unstable();
        Ok(Open { origin, held, rows: rows.into_iter(), offset: 0 })
    }
}

/// When a record happened, if it is a row.
fn row<T: Table>(segment: u32, record: &Record<'_>) -> Result<Option<Timestamp>> {
    if !T::KINDS.iter().any(|kind| kind.code() == record.kind) {
        return Ok(None);
    }
    let time = time_of(record.kind, record.schema, record.payload);
    time.map(Some).map_err(|source| undecodable::<T>(Position::new(segment, record.offset), source))
}

/// Sorts as time and offset do.
fn pack(time: u128, offset: u32) -> u64 {
    u64::try_from(time).unwrap_or(u64::MAX) << OFFSET_BITS | u64::from(offset / RECORD_ALIGN)
}

/// The files of the day, one after the other.
struct Files<'a, T> {
    plan: &'a Plan<'a>,
    node: u16,
    writer: Option<(Writer<BufWriter<SummedFile>>, Published)>,
    /// First and last time of the rows that are not written yet.
    times: Option<(Timestamp, Timestamp)>,
    done: Vec<Published>,
    table: PhantomData<T>,
}

impl<'a, T: Table> Files<'a, T> {
    fn new(plan: &'a Plan<'a>, node: u16) -> Self {
        Self { plan, node, writer: None, times: None, done: Vec::new(), table: PhantomData }
    }

    /// A row of this time was added.
    fn note(&mut self, time: Timestamp) {
        self.times = Some((self.times.map_or(time, |(first, _)| first), time));
    }

    /// Writes a row group.
    fn write(&mut self, rows: &mut Rows<T>) -> Result<()> {
        let Some((first, last)) = self.times.take() else { return Ok(()) };
        let (mut writer, mut file) = match self.writer.take() {
            Some(open) => open,
            None => self.begin(first)?,
        };
        file.rows += rows.len() as u64;
        file.last_time = last.to_string();
        writer.write(rows)?;
        rows.clear();
        let is_full = file.rows >= self.plan.file_rows_max || writer.bytes() >= FILE_BYTES_MAX;
        self.writer = Some((writer, file));
        if is_full { self.end() } else { Ok(()) }
    }

    fn begin(&self, first: Timestamp) -> Result<(Writer<BufWriter<SummedFile>>, Published)> {
        let Plan { folder, day, revision, .. } = *self.plan;
        let path = folder.day_file::<T>(self.node, day, revision, self.done.len());
        let staged = folder.staged_day::<T>(day).join(path.file_name().unwrap_or_default());
        let out = BufWriter::new(SummedFile::create(&staged)?);
        let (first_time, last_time) = (first.to_string(), String::new());
        Ok((
            Writer::new::<T>(out, LEVEL)?,
            Published { path, rows: 0, bytes: 0, crc32c: None, first_time, last_time },
        ))
    }

    fn end(&mut self) -> Result<()> {
        let Some((writer, published)) = self.writer.take() else { return Ok(()) };
        let path: &Path = &published.path;
        let (bytes, crc32c) = SummedFile::finish(writer.finish()?, path)?;
        self.done.push(Published { bytes, crc32c: Some(crc32c), ..published });
        Ok(())
    }

    fn finish(mut self, mut rows: Rows<T>) -> Result<Vec<Published>> {
        self.write(&mut rows)?;
        self.end()?;
        Ok(self.done)
    }
}

/// What the amounts of all rows come to, by currency.
struct Sums<T: Table> {
    columns: Option<(Get<T>, Get<T>)>,
    sums: BTreeMap<String, i128>,
}

impl<T: Table> Default for Sums<T> {
    fn default() -> Self {
        let get =
            |name: &str| T::fields().into_iter().find(|field| field.name == name).map(|field| field.get);
        let columns = T::MONEY.and_then(|(amount, currency)| Some((get(amount)?, get(currency)?)));
        Self { columns, sums: BTreeMap::new() }
    }
}

impl<T: Table> Sums<T> {
    fn add(&mut self, row: &T::Row<'_>) {
        let Some((Get::Money(amount), Get::Text(currency))) = &self.columns else { return };
        let Some(amount) = amount(row).map(Micros::get) else { return };
        if amount.unsigned_abs() >= MONEY_END {
            return;
        }
        let currency = currency(row);
        match self.sums.get_mut(currency) {
            Some(sum) => *sum += i128::from(amount),
            None => {
                self.sums.insert(currency.to_owned(), amount.into());
            }
        }
    }

    fn done(self) -> Vec<Sum> {
        let column = T::MONEY.map_or("", |(column, _)| column);
        let sum = |(currency, sum)| Sum { column: column.to_owned(), currency, amount: decimal(sum) };
        self.sums.into_iter().map(sum).collect()
    }
}

/// Millionths, with six digits behind the point.
fn decimal(micros: i128) -> String {
    let (sign, amount) = (if micros < 0 { "-" } else { "" }, micros.unsigned_abs());
    format!("{sign}{}.{:06}", amount / 1_000_000, amount % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_has_its_sign_and_six_digits_behind_the_point() {
        let written = [0, 1, -1, 1_500_000, -12_345_678].map(decimal);
        assert_eq!(written, ["0.000000", "0.000001", "-0.000001", "1.500000", "-12.345678"]);
    }

    #[test]
    fn packed_rows_sort_as_their_times_and_then_their_offsets() {
        let last = u128::try_from(DAY_MICROS - 1).unwrap();
        let rows = [(0, 4096), (0, 4112), (1, 4096), (last, 512 * 1024 * 1024 - RECORD_ALIGN)];
        let packed = rows.map(|(time, offset)| pack(time, offset));
        assert!(packed.is_sorted());
        assert_eq!(packed[3] >> OFFSET_BITS, u64::try_from(last).unwrap());
    }
}
