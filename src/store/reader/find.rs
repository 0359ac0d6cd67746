//! Single records, and those of some segments only, read from outside.
//!
//! In: a place or a position; or which segments are worth reading, by what their footers say. Out: the records.
//! Keeps: as its parent, no lock and no write: an index that is missing is not made, the segment is read through instead.
//! Not here: which of the records mean something to whoever asks.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::{Reader, read_segment};
use crate::event::click_id::Keys;
use crate::store::directory::SegmentFile;
use crate::store::error::{Error, Result};
use crate::store::files::OpenFiles;
use crate::store::index_file::{IndexMap, Slot};
use crate::store::keys;
use crate::store::lane::Lookup;
use crate::store::layout::{Footer, Header, Summary};
use crate::store::manifest::{Manifest, State};
use crate::store::position::Position;
use crate::store::record::{BODY_OFFSET, Record};
use crate::store::sealed::{Sealed, read_footer, read_header};
use crate::store::segment::map_name;
use crate::store::{Journal, Progress};

/// How often a file is looked for again that was gone: its segment was rewritten or dropped meanwhile.
const TRIES_MAX: u32 = 3;

impl Reader {
    /// What click ids are enciphered with; nothing if the folder holds no keys.
    ///
    /// # Errors
    /// `Key` if a file does not hold one.
    pub fn click_id_keys(&self) -> Result<Option<Keys>> {
        keys::read_click_id_keys(&self.directory)
    }

    /// What the header of a sealed segment says, or of one that is still written: that of the current generation. Nothing
    /// if there is no such segment, or both copies are damaged.
    ///
    /// # Errors
    /// What reading says.
    pub fn header(&self, journal: Journal, lane: u8, segment: u32) -> Result<Option<Header>> {
        let is_it = |file: &SegmentFile| file.segment == segment;
        let Some(file) = self.files(journal, lane)?.into_iter().find(is_it) else { return Ok(None) };
        match File::open(&file.path).and_then(|open| read_header(&open)) {
            Ok(header) => Ok(header),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &file.path)(error)),
        }
    }

    /// The numbers of a lane's segments, in order.
    ///
    /// # Errors
    /// What reading the folder says.
    pub fn segments(&self, journal: Journal, lane: u8) -> Result<Vec<u32>> {
        Ok(self.files(journal, lane)?.into_iter().map(|file| file.segment).collect())
    }

    /// The number of the node that the store belongs to; nothing if there is no store.
    ///
    /// # Errors
    /// What reading the manifest says.
    pub fn node(&self) -> Result<Option<u16>> {
        Ok(Manifest::peek(&self.directory)?.map(|manifest| manifest.node))
    }

    /// Gives `take` the click with this number in its segment. From the index where there is one; else the segment is
    /// read up to it.
    ///
    /// # Errors
    /// What reading says.
    pub fn click<T>(
        &self,
        (lane, segment, ordinal): (u8, u32, u32),
        mut take: impl FnMut(Position, &Record<'_>) -> T,
    ) -> Result<Lookup<T>> {
        let mut taken = None;
        let looked = self.look((Journal::Clicks, lane, segment), |file, footer| {
            match footer.map_or(Located::Unknown, |footer| locate(footer, file, ordinal)) {
                Located::Is(answer) => return Ok(Some(answer)),
                Located::At(offset, sealed) => {
                    taken = Some(take(Position::new(segment, offset), &sealed.read(offset)?.record()));
                    return Ok(Some(Lookup::Found(())));
                }
                Located::Unknown => {}
            }
            let ended = read_segment(file, BODY_OFFSET, &mut |position, record| {
                if record.ordinal < ordinal {
                    return ControlFlow::Continue(());
                }
                taken = (record.ordinal == ordinal).then(|| take(position, record));
                ControlFlow::Break(())
            })?;
            let may_be_lost = footer.is_some_and(|footer| footer.summary.corrupt_gaps > 0);
            Ok(ended.map(|ended| match ended.flow {
                _ if may_be_lost => Lookup::Unavailable,
                // Behind the last record of a segment that is still written, it may come.
                ControlFlow::Continue(()) if !ended.is_final => Lookup::NotYet,
                _ => Lookup::Absent,
            }))
        })?;
        Ok(taken.map_or(looked.and_then(|()| Lookup::Absent), Lookup::Found))
    }

    /// Gives `take` the record at this position.
    ///
    /// # Errors
    /// `Corrupt` if a sealed segment has none there, or what reading says.
    pub fn record<T>(
        &self,
        (journal, lane): (Journal, u8),
        position: Position,
        mut take: impl FnMut(&Record<'_>) -> T,
    ) -> Result<Lookup<T>> {
        if position.offset() < BODY_OFFSET {
            return Ok(Lookup::Absent);
        }
        let mut taken = None;
        let looked = self.look((journal, lane, position.segment()), |file, _| {
            let ended = read_segment(file, position.offset(), &mut |_, record| {
                taken = (record.offset == position.offset()).then(|| take(record));
                ControlFlow::Break(())
            })?;
            Ok(ended.map(|ended| if ended.is_final { Lookup::Absent } else { Lookup::NotYet }))
        })?;
        Ok(taken.map_or(looked.and_then(|()| Lookup::Absent), Lookup::Found))
    }

    /// Looks into the current file of a segment. `look` says nothing if the file is gone.
    fn look(
        &self,
        (journal, lane, segment): (Journal, u8, u32),
        mut look: impl FnMut(&SegmentFile, Option<&Footer>) -> Result<Option<Lookup<()>>>,
    ) -> Result<Lookup<()>> {
        for _ in 0..TRIES_MAX {
            let files = self.files(journal, lane)?;
            let Some(file) = files.iter().find(|file| file.segment == segment) else {
                return self.why_not_there(journal, lane, segment);
            };
            let footer = match footer_of(file) {
                Ok(footer) => footer,
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if let Some(answer) = look(file, footer.as_ref())? {
                return Ok(answer);
            }
        }
        Ok(Lookup::Unavailable)
    }

    fn why_not_there(&self, journal: Journal, lane: u8, segment: u32) -> Result<Lookup<()>> {
        let manifest = Manifest::peek(&self.directory)?;
        let entry = manifest.as_ref().and_then(|manifest| manifest.lanes.get(&(journal, lane)));
        Ok(match entry {
            None => Lookup::Absent,
            Some(entry) if segment >= entry.next_segment => Lookup::NotYet,
            Some(entry) => match entry.segments.get(&segment).map(|entry| entry.state) {
                None | Some(State::Reserved | State::Open) => Lookup::Absent,
                Some(State::Sealed | State::Quarantined | State::Missing) => Lookup::Unavailable,
            },
        })
    }

    /// Gives `each` the records of those segments of a lane that are `wanted`, by what their footers say of them, until it
    /// breaks; segments that are not sealed are wanted always. `progress` is told of each: how many are done, of how many.
    ///
    /// # Errors
    /// As `read`.
    pub fn scan(
        &self,
        (journal, lane): (Journal, u8),
        wanted: impl Fn(&Summary) -> bool,
        progress: Progress<'_>,
        mut each: impl FnMut(Position, &Record<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let files = self.files(journal, lane)?;
        for (done, file) in (1..).zip(&files) {
            let flow = self.scan_one((journal, lane), file, &wanted, &mut each)?;
            progress(done, files.len() as u64);
            if flow.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn scan_one(
        &self,
        (journal, lane): (Journal, u8),
        listed: &SegmentFile,
        wanted: &impl Fn(&Summary) -> bool,
        each: &mut impl FnMut(Position, &Record<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let mut file = listed.clone();
        for _ in 0..TRIES_MAX {
            let footer = match footer_of(&file) {
                Ok(footer) => footer,
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    // Rewritten, and then it has another file; or dropped, and then it is passed by.
                    let current = self.files(journal, lane)?;
                    match current.into_iter().find(|file| file.segment == listed.segment) {
                        Some(current) => file = current,
                        None => break,
                    }
                    continue;
                }
                Err(error) => return Err(error),
            };
            if footer.is_some_and(|footer| !wanted(&footer.summary)) {
                break;
            }
            if let Some(ended) = read_segment(&file, BODY_OFFSET, each)? {
                return Ok(ended.flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn footer_of(file: &SegmentFile) -> Result<Option<Footer>> {
    let open = File::open(&file.path).map_err(Error::io("open", &file.path))?;
    read_footer(&open).map_err(Error::io("read", &file.path))
}

/// Where a sealed segment has a click.
enum Located {
    At(u32, Sealed),
    Is(Lookup<()>),
    /// There is no index to ask.
    Unknown,
}

fn locate(footer: &Footer, file: &SegmentFile, ordinal: u32) -> Located {
    let Some(index) = IndexMap::open(&file.path, footer.identity.seed(), map_name(&footer.identity)) else {
        return Located::Unknown;
    };
    match index.slot(ordinal) {
        Slot::At(offset) => {
            Located::At(offset, Sealed::new(*footer, file.path.clone(), Arc::new(OpenFiles::new(1))))
        }
        // Behind a corrupt end nobody knows how many records there were.
        Slot::Empty if footer.summary.corrupt_gaps == 0 || (ordinal as usize) < index.len() => {
            Located::Is(Lookup::Absent)
        }
        Slot::Empty | Slot::Lost => Located::Is(Lookup::Unavailable),
    }
}
