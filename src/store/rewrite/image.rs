//! The next generation of a sealed segment, as bytes of a new file.
//!
//! In: the records of the segment as it is, and what becomes of each. Out: header, records, footer and the slots of its
//! index, synced, under whatever name the file has.
//! Keeps: every record that stays has its ordinal and its offset; what is dropped, and the rest of what gets shorter, is
//! a gap of zeros. The same fates make the same bytes.
//! Not here: names, the manifest, who reads (`rewrite`).

use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{Changes, Editor, Fate, Halt, halt};
use crate::event::codec::time_of;
use crate::store::error::Error;
use crate::store::index_file::{LOST, Slot};
use crate::store::layout::{Footer, HEADER_COPY_OFFSET, Header, Identity, MARK_OFFSET, Summary, mark_word};
use crate::store::mapping::FrozenMap;
use crate::store::position::Position;
use crate::store::record::{
    BODY_OFFSET, FOOTER_BYTES, FRAME_BYTES, Found, Frame, GAP_CORRUPT, GAP_ERASED, RECORD_ALIGN, Record,
    read_at, span_of,
};
use crate::store::scan::add_gap;
use crate::store::sealed::Sealed;

/// Bytes that are written at once, and read before whoever rewrites is asked whether to go on.
const CHUNK_BYTES: usize = 1024 * 1024;
/// What a payload begins with that gets shorter by no more than this.
const PADDING: [u8; RECORD_ALIGN as usize] = [0; RECORD_ALIGN as usize];

/// A segment as it is, opened to be made anew.
pub(super) struct Original<'a> {
    sealed: &'a Sealed,
    map: FrozenMap,
    header: Header,
}

/// What was made.
pub(super) struct Made {
    pub(super) footer: Footer,
    pub(super) slots: Vec<u32>,
    pub(super) changes: Changes,
}

impl<'a> Original<'a> {
    /// Opens a segment.
    pub(super) fn open(sealed: &'a Sealed) -> Result<Self, Error> {
        let map = sealed.map()?;
        let identity = sealed.footer().identity;
        let header = Header::from_front(map.bytes()).filter(|header| header.identity == identity);
        let header = header.ok_or_else(|| sealed.corrupt(0, "its header cannot be read"))?;
        Ok(Self { sealed, map, header })
    }

    /// Whether any record would change. Looks no further than the first.
    pub(super) fn would_change(&self, editor: &mut dyn Editor) -> Result<bool, Halt> {
        let segment = self.header.identity.segment;
        let mut pace = Pace::default();
        let mut would = false;
        self.each(|record| {
            let position = Position::new(segment, record.offset);
            would = !record.is_gap() && !matches!(editor.fate(position, record), Fate::Keep);
            pace.pass(editor, record.end() - record.offset)?;
            Ok(if would { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        pace.rest(editor)?;
        Ok(would)
    }

    /// Writes the next generation into an empty file.
    pub(super) fn write(&self, file: &File, path: &Path, editor: &mut dyn Editor) -> Result<Made, Halt> {
        let identity = self.header.identity;
        let next = Identity { generation: identity.generation + 1, ..identity };
        let header = Header { identity: next, ..self.header };
        file.set_len(header.segment_bytes.into()).map_err(Error::io("extend", path))?;
        let old = self.sealed.footer();
        let mut body = Body::new(Sink::new(file, path), next.seed(), old.summary.next_ordinal);
        let mut pace = Pace::default();
        self.each(|record| {
            body.take(identity.segment, record, editor)?;
            pace.pass(editor, 2 * (record.end() - record.offset))?;
            Ok(ControlFlow::Continue(()))
        })?;
        pace.rest(editor)?;
        let (slots, changes, summary, body_crc) = body.end(self.sealed)?;
        let footer = Footer { identity: next, summary, body_crc, ..*old };
        write_ends(file, &header, &footer).map_err(Error::io("write", path))?;
        file.sync_all().map_err(Error::io("sync", path))?;
        Ok(Made { footer, slots, changes })
    }

    /// Gives all records and gaps in order, until it is told to end.
    fn each(&self, mut give: impl FnMut(&Record<'_>) -> Result<ControlFlow<()>, Halt>) -> Result<(), Halt> {
        let (seed, end) = (self.header.identity.seed(), self.sealed.footer().summary.end);
        let mut offset = BODY_OFFSET;
        while offset < end {
            let Found::Record(record) = read_at(self.map.bytes(), seed, offset) else {
                return Err(self.sealed.corrupt(offset, "there is no valid record").into());
            };
            offset = record.end();
            if give(&record)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// Tells an editor of bytes, a chunk at a time.
#[derive(Default)]
struct Pace(u32);

impl Pace {
    fn pass(&mut self, editor: &mut dyn Editor, bytes: u32) -> Result<(), Halt> {
        self.0 = self.0.saturating_add(bytes);
        if (self.0 as usize) < CHUNK_BYTES { Ok(()) } else { self.rest(editor) }
    }

    fn rest(&mut self, editor: &mut dyn Editor) -> Result<(), Halt> {
        halt(editor.passed(std::mem::take(&mut self.0).into()))
    }
}

fn write_ends(file: &File, header: &Header, footer: &Footer) -> std::io::Result<()> {
    let page = header.to_bytes();
    file.write_all_at(&page, 0)?;
    // All of it is synced before anybody sees it. Without its footer it is read through as far as this says.
    let mark = mark_word(header.identity.seed(), footer.summary.end);
    file.write_all_at(&mark.to_le_bytes(), MARK_OFFSET)?;
    file.write_all_at(&page, HEADER_COPY_OFFSET)?;
    file.write_all_at(&footer.to_bytes(), u64::from(header.segment_bytes - FOOTER_BYTES))
}

/// The records, as they come to lie in the new file.
struct Body<'f> {
    sink: Sink<'f>,
    seed: u32,
    summary: Summary,
    slots: Vec<u32>,
    changes: Changes,
    /// Where a gap began that goes on, and the ordinal that the next record would have had.
    erased: Option<(u32, u32)>,
    next_ordinal: u32,
}

/// What a slot says until the record was met.
const UNSEEN: u32 = LOST - 1;

impl<'f> Body<'f> {
    fn new(sink: Sink<'f>, seed: u32, next_ordinal: u32) -> Self {
        Self {
            sink,
            seed,
            summary: Summary::default(),
            slots: vec![UNSEEN; next_ordinal as usize],
            changes: Changes::default(),
            erased: None,
            next_ordinal,
        }
    }

    fn take(&mut self, segment: u32, record: &Record<'_>, editor: &mut dyn Editor) -> Result<(), Error> {
        if record.is_gap() {
            return self.take_gap(record);
        }
        match editor.fate(Position::new(segment, record.offset), record) {
            Fate::Keep => self.put(record, record.schema, record.payload),
            Fate::Drop => {
                self.changes.dropped += 1;
                self.erased.get_or_insert((record.offset, record.ordinal));
                self.set_slot(record.ordinal, 0);
                Ok(())
            }
            Fate::Becomes(encoded) => {
                assert_eq!(encoded.kind.code(), record.kind, "a record keeps its kind");
                self.changes.changed += 1;
                self.put(record, encoded.schema, encoded.payload)
            }
        }
    }

    /// A gap stays one, and its bytes, which may be those of a damaged record, become zeros.
    fn take_gap(&mut self, gap: &Record<'_>) -> Result<(), Error> {
        if gap.schema == GAP_ERASED {
            self.erased.get_or_insert((gap.offset, gap.ordinal));
            return Ok(());
        }
        self.end_gap(gap.offset)?;
        self.put_gap(gap.offset, gap.end(), gap.schema, gap.ordinal)
    }

    fn end_gap(&mut self, end: u32) -> Result<(), Error> {
        match self.erased.take() {
            Some((start, ordinal)) => self.put_gap(start, end, GAP_ERASED, ordinal),
            None => Ok(()),
        }
    }

    fn put_gap(&mut self, start: u32, end: u32, why: u16, ordinal: u32) -> Result<(), Error> {
        assert_eq!(self.sink.at(), start, "nothing is moved");
        self.sink.put(&Frame::gap(self.seed, start, end, why, ordinal).to_bytes())?;
        self.sink.skip(end - start - FRAME_BYTES)?;
        add_gap(&mut self.summary, end, why == GAP_CORRUPT);
        Ok(())
    }

    /// Puts a record where it was, with another payload or its own.
    fn put(&mut self, record: &Record<'_>, schema: u16, payload: &[u8]) -> Result<(), Error> {
        self.end_gap(record.offset)?;
        let too_long = |max| Error::RecordLength { len: payload.len(), max };
        let max = u32::try_from(record.payload.len()).unwrap_or(u32::MAX);
        let len = u32::try_from(payload.len()).map_err(|_| too_long(max))?;
        let (start, old_end) = (record.offset, record.end());
        let left = (old_end - start).checked_sub(span_of(len)).filter(|_| len > 0);
        let Some(left) = left else { return Err(too_long(max)) };
        assert_eq!(self.sink.at(), start, "nothing is moved");
        let padded;
        let payload = if left == RECORD_ALIGN {
            padded = [&PADDING, payload].concat();
            &padded[..]
        } else {
            payload
        };
        self.sink
            .put(&Frame::around(self.seed, start, record.kind, schema, record.ordinal, payload).to_bytes())?;
        self.sink.put(payload)?;
        let end = self.sink.at().next_multiple_of(RECORD_ALIGN);
        self.sink.put(&PADDING[..(end - self.sink.at()) as usize])?;
        let time = time_of(record.kind, schema, payload)
            .unwrap_or(self.summary.last_time.max(self.summary.first_time));
        self.summary.add(record.kind, record.ordinal, end, time);
        self.set_slot(record.ordinal, start / RECORD_ALIGN);
        self.changes.records += 1;
        if end < old_end {
            self.erased = Some((end, record.ordinal + 1));
        }
        Ok(())
    }

    fn set_slot(&mut self, ordinal: u32, word: u32) {
        if let Some(slot) = self.slots.get_mut(ordinal as usize) {
            *slot = word;
        }
    }

    /// The slots, what was changed, the summary, and the checksum of the body.
    fn end(mut self, old: &Sealed) -> Result<(Vec<u32>, Changes, Summary, u32), Error> {
        let end = old.footer().summary.end;
        self.end_gap(end)?;
        assert_eq!(self.sink.at(), end, "it ends where it ended");
        // What was no record before is as it was: lost, or never there.
        for (ordinal, slot) in (0..).zip(&mut self.slots).filter(|(_, slot)| **slot == UNSEEN) {
            *slot = if matches!(old.locate(ordinal)?, Slot::Lost) { LOST } else { 0 };
        }
        // Numbers of records that were dropped are not free.
        let summary = Summary { end, next_ordinal: self.next_ordinal, ..self.summary };
        self.sink.flush()?;
        let changes = Changes { bytes: self.sink.written, ..self.changes };
        Ok((self.slots, changes, summary, self.sink.crc))
    }
}

/// Bytes on their way into a file, in large writes; long zeros are left out, so that they take no room.
struct Sink<'f> {
    file: &'f File,
    path: &'f Path,
    chunk: Vec<u8>,
    /// Where the chunk goes.
    start: u32,
    crc: u32,
    written: u64,
}

impl<'f> Sink<'f> {
    fn new(file: &'f File, path: &'f Path) -> Self {
        let chunk = Vec::with_capacity(CHUNK_BYTES);
        Self { file, path, chunk, start: BODY_OFFSET, crc: 0, written: 0 }
    }

    /// Where the next byte goes.
    fn at(&self) -> u32 {
        self.start + u32::try_from(self.chunk.len()).unwrap_or(u32::MAX)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() < CHUNK_BYTES { Ok(()) } else { self.flush() }
    }

    fn skip(&mut self, bytes: u32) -> Result<(), Error> {
        const ZEROS: [u8; 4096] = [0; 4096];
        if bytes as usize > ZEROS.len() {
            self.flush()?;
            self.start += bytes;
            for part in (0..bytes as usize).step_by(ZEROS.len()) {
                let len = ZEROS.len().min(bytes as usize - part);
                self.crc = crc32c::crc32c_append(self.crc, &ZEROS[..len]);
            }
            return Ok(());
        }
        self.put(&ZEROS[..bytes as usize])
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.file.write_all_at(&self.chunk, self.start.into()).map_err(Error::io("write", self.path))?;
        self.start = self.at();
        self.written += self.chunk.len() as u64;
        self.chunk.clear();
        Ok(())
    }
}
