//! Clicks: appended to a lane, found by their id.
//!
//! Keeps: an id is given out only after its record is published; an id leads to the record it was made for
//! or to none, also when a backup brought an older store back: the time in the id must be the record's.

use std::sync::Arc;

use super::eras::Eras;
use super::erasures::Hidden;
use super::error::{Error, Result};
use super::foreign::ForeignIds;
use super::foreign::table::ForeignPlace;
use super::lane::{Appended, Lane, LaneWriter, Lookup};
use super::position::Position;
use super::record::Record;
use super::sealed::{Copied, Sealed, Tried};
use super::segment::Segment;
use crate::clock::Timestamp;
use crate::event::click::{Click, ClickKind};
use crate::event::click_id::{ClickId, Keys, Place};
use crate::event::codec::{Encoder, Event, decode, time_of};
use crate::event::strip::erased_click;

/// The right to append to one lane of clicks.
#[derive(Debug)]
pub struct ClickWriter {
    writer: LaneWriter,
    encoder: Encoder,
    clicks: Clicks,
}

/// A click that is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its id.
    pub click_id: ClickId,
    /// The proof, and where it lies.
    pub appended: Appended,
}

impl ClickWriter {
    pub(super) fn new(writer: LaneWriter, clicks: Clicks) -> Self {
        Self { writer, encoder: Encoder::default(), clicks }
    }

    /// Records a click and makes its id. It survives the death of the process from here on, and power loss once
    /// the lane is synced past it.
    ///
    /// # Errors
    /// `Poisoned`, `NoRoom`, or `RecordLength` for a click whose texts do not fit; then nothing was written.
    /// `Setting` when an imported click is one too many for the table of foreign ids; it was written.
    pub fn append(&mut self, click: &Click<'_>) -> Result<Recorded> {
        let max = u32::from(u16::MAX);
        let encoded =
            self.encoder.click(click).map_err(|long| Error::RecordLength { len: long.bytes, max })?;
        let appended = self.writer.append(&encoded)?;
        let lane = self.writer.lane().number();
        let segment = appended.position().segment();
        let place = Place::new(self.clicks.node, lane, segment, appended.ordinal(), click.time.seconds());
        let Ok(place) = place else {
            // The options, the manifest and the segment length bound every field.
            unreachable!("a position of this store fits a click id: {place:?}");
        };
        if click.kind == ClickKind::Imported {
            self.clicks.note_foreign(click.foreign_id, place)?;
        }
        Ok(Recorded { click_id: self.clicks.keys.encode(place), appended })
    }

    /// Whether a click with texts of this length would find no room right now, because the next segment is being made.
    #[inline]
    pub fn is_behind(&self, text_bytes: u32) -> bool {
        self.writer.is_behind(text_bytes)
    }

    /// See `LaneWriter::tick`.
    ///
    /// # Errors
    /// `Poisoned`.
    pub fn tick(&mut self, now: Timestamp) -> Result<()> {
        self.writer.tick(now)
    }

    /// See `LaneWriter::roll_now`.
    pub fn roll_now(&mut self) {
        self.writer.roll_now();
    }

    /// Ends the lane.
    pub fn close(self) {
        self.writer.close();
    }

    /// The lane.
    pub fn lane(&self) -> &Arc<Lane> {
        self.writer.lane()
    }
}

/// All lanes of clicks, for look-ups. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Clicks {
    lanes: Arc<[Arc<Lane>]>,
    keys: Arc<Keys>,
    foreign: Arc<ForeignIds>,
    /// Of each of the lanes.
    eras: Arc<[Eras]>,
    node: u16,
    hidden: Arc<Hidden>,
}

/// A click that was found: its record, held where it lies or copied.
#[derive(Clone, Debug)]
pub struct FoundClick {
    bytes: Held,
    /// Where it lies.
    pub position: Position,
    /// What its id says.
    pub place: Place,
    is_erased: bool,
}

#[derive(Clone, Debug)]
enum Held {
    Mapped(Arc<Segment>, u32),
    Copied(Copied),
}

impl FoundClick {
    /// The click, without what was asked to be forgotten; nothing if this build cannot read its record.
    pub fn click(&self) -> Option<Click<'_>> {
        let record = self.bytes.record()?;
        match decode(record.kind, record.schema, record.payload) {
            Ok(Event::Click(click)) if self.is_erased => Some(erased_click(&click)),
            Ok(Event::Click(click)) => Some(click),
            _ => None,
        }
    }
}

impl Held {
    fn record(&self) -> Option<Record<'_>> {
        match self {
            Self::Mapped(segment, offset) => segment.record(*offset),
            Self::Copied(copied) => Some(copied.record()),
        }
    }
}

impl Clicks {
    pub(super) fn new(
        lanes: Arc<[Arc<Lane>]>,
        keys: Arc<Keys>,
        foreign: Arc<ForeignIds>,
        node: u16,
        hidden: Arc<Hidden>,
    ) -> Self {
        let current = keys.current();
        let eras = |lane: &Arc<Lane>| match keys.versions().count() {
            1 => Eras::one(current),
            _ => Eras::read(&lane.view().sealed, lane.first_segment(), current),
        };
        let eras = lanes.iter().map(eras).collect();
        Self { lanes, keys, foreign, eras, node, hidden }
    }

    /// What an id says, if it is one of ours; no memory but the keys is touched for one that is not.
    pub fn decode(&self, id: &ClickId) -> Option<Place> {
        self.keys.decode(id).filter(|place| place.node() == self.node)
    }

    /// Where the record of a place begins, from the in-memory index; does not wait for the disk.
    pub fn try_locate(&self, place: Place) -> Tried<Lookup<Position>> {
        match self.lane(place.lane()) {
            Some(lane) => lane.try_locate(place.segment(), place.ordinal()),
            None => Tried::Done(Lookup::Absent),
        }
    }

    /// Finds a click; may wait for the disk.
    pub fn find(&self, id: &ClickId) -> Lookup<FoundClick> {
        let Some(place) = self.decode(id) else { return Lookup::Absent };
        let Some(lane) = self.lane(place.lane()) else { return Lookup::Absent };
        self.read(lane, place.segment(), place.ordinal())
            .and_then(|(position, bytes)| self.checked(bytes, position, place))
    }

    /// The id of the click at a place of ours; its second is part of the id. It is the one that stood in URLs, whatever key
    /// is current now; if the key of its time is gone, another one that the click is found by. No disk is touched.
    pub fn id_of(&self, place: Place) -> ClickId {
        let of_lane = self.lanes.iter().zip(&*self.eras).find(|(lane, _)| lane.number() == place.lane());
        let version = of_lane.map(|(_, eras)| eras.version(place.segment()));
        let id = version.and_then(|version| self.keys.encode_as(version, place));
        id.unwrap_or_else(|| self.keys.encode(place))
    }

    /// Finds a click by where it lies, whatever second is in the place; may wait for the disk.
    pub fn find_at(&self, place: Place) -> Lookup<FoundClick> {
        let Some(lane) = self.lane_of(place) else { return Lookup::Absent };
        self.read(lane, place.segment(), place.ordinal())
            .and_then(|(position, bytes)| self.dated(bytes, position, place))
    }

    /// As `find_at`, unless that would have to wait for the disk.
    pub fn try_find_at(&self, place: Place) -> Tried<Lookup<FoundClick>> {
        match self.try_read(place) {
            Tried::WouldBlock => Tried::WouldBlock,
            Tried::Done(read) => {
                Tried::Done(read.and_then(|(position, bytes)| self.dated(bytes, position, place)))
            }
        }
    }

    /// Finds an imported click by the id that another tracker gave it; may wait for the disk.
    pub fn find_foreign(&self, foreign_id: &str) -> Lookup<FoundClick> {
        self.foreign.find(foreign_id, |at| {
            let found = self.foreign_at(at)?;
            let is_same = found.click()?.foreign_id == foreign_id;
            Some((found, is_same))
        })
    }

    /// Brings a click that was found to stable storage, if it is not there yet; waits for the disk.
    ///
    /// # Errors
    /// `Poisoned`.
    pub fn sync_past(&self, lane: u8, position: Position) -> Result<()> {
        self.lane(lane).map_or(Ok(()), |lane| lane.sync_past(position))
    }

    /// The ids of other trackers.
    pub fn foreign(&self) -> &ForeignIds {
        &self.foreign
    }

    fn note_foreign(&self, foreign_id: &str, place: Place) -> Result<()> {
        let Some(at) = ForeignPlace::new(place.lane(), place.segment(), place.ordinal()) else {
            return Ok(());
        };
        let id_of = |at| Some(self.foreign_at(at)?.click()?.foreign_id.to_owned());
        self.foreign.insert(foreign_id, at, id_of)
    }

    fn foreign_at(&self, at: ForeignPlace) -> Option<FoundClick> {
        let lane = self.lane(at.lane())?;
        let place = Place::new(self.node, at.lane(), at.segment(), at.ordinal(), 0).ok()?;
        let read = self.read(lane, at.segment(), at.ordinal());
        match read.and_then(|(position, bytes)| self.dated(bytes, position, place)) {
            Lookup::Found(found) => Some(found),
            _ => None,
        }
    }

    /// The record with this ordinal, held or copied.
    fn read(&self, lane: &Lane, segment: u32, ordinal: u32) -> Lookup<(Position, Held)> {
        lane.locate(segment, ordinal).and_then(|position| {
            let view = lane.view();
            if let Some(open) = view.open(segment) {
                return Lookup::Found((position, Held::Mapped(Arc::clone(open), position.offset())));
            }
            match view.sealed(segment).map(|sealed| sealed.read(position.offset())) {
                Some(Ok(copied)) => Lookup::Found((position, Held::Copied(copied))),
                Some(Err(_)) | None => Lookup::Unavailable,
            }
        })
    }

    /// Finds a click, unless that would have to wait for the disk.
    pub fn try_find(&self, id: &ClickId) -> Tried<Lookup<FoundClick>> {
        let Some(place) = self.decode(id) else {
            return Tried::Done(Lookup::Absent);
        };
        match self.try_read(place) {
            Tried::WouldBlock => Tried::WouldBlock,
            Tried::Done(read) => {
                Tried::Done(read.and_then(|(position, bytes)| self.checked(bytes, position, place)))
            }
        }
    }

    /// The record at a place, held or copied, unless that would have to wait for the disk.
    fn try_read(&self, place: Place) -> Tried<Lookup<(Position, Held)>> {
        let Some(lane) = self.lane_of(place) else {
            return Tried::Done(Lookup::Absent);
        };
        let position = match lane.try_locate(place.segment(), place.ordinal()) {
            Tried::WouldBlock => return Tried::WouldBlock,
            Tried::Done(Lookup::Found(position)) => position,
            Tried::Done(Lookup::Absent) => return Tried::Done(Lookup::Absent),
            Tried::Done(Lookup::NotYet) => return Tried::Done(Lookup::NotYet),
            Tried::Done(Lookup::Unavailable) => return Tried::Done(Lookup::Unavailable),
        };
        let view = lane.view();
        if let Some(open) = view.open(position.segment()) {
            let held = Held::Mapped(Arc::clone(open), position.offset());
            return Tried::Done(Lookup::Found((position, held)));
        }
        match view.sealed(position.segment()).map(|sealed| Sealed::try_read(sealed, position.offset())) {
            Some(Ok(Tried::Done(copied))) => Tried::Done(Lookup::Found((position, Held::Copied(copied)))),
            Some(Ok(Tried::WouldBlock)) => Tried::WouldBlock,
            Some(Err(_)) | None => Tried::Done(Lookup::Unavailable),
        }
    }

    /// Takes a record for the click of `place`, whose second is the record's.
    fn dated(&self, bytes: Held, position: Position, place: Place) -> Lookup<FoundClick> {
        let time = bytes.record().and_then(|record| time_of(record.kind, record.schema, record.payload).ok());
        let dated = time.and_then(|time| {
            Place::new(place.node(), place.lane(), place.segment(), place.ordinal(), time.seconds()).ok()
        });
        match dated {
            Some(place) => self.checked(bytes, position, place),
            None => Lookup::Unavailable,
        }
    }

    /// Takes a record for the click of `place` only if it says the same ordinal and time.
    fn checked(&self, bytes: Held, position: Position, place: Place) -> Lookup<FoundClick> {
        let is_erased = self.hidden.now().has_click(place);
        let found = FoundClick { bytes, position, place, is_erased };
        let Some(record) = found.bytes.record() else {
            return Lookup::Unavailable;
        };
        if record.ordinal != place.ordinal() {
            return Lookup::Unavailable;
        }
        match time_of(record.kind, record.schema, record.payload) {
            Ok(time) if time.seconds() == place.seconds() => Lookup::Found(found),
            Ok(_another_click) => Lookup::Absent,
            Err(_unreadable) => Lookup::Unavailable,
        }
    }

    /// The lane of a place; nothing if it is another node's.
    fn lane_of(&self, place: Place) -> Option<&Arc<Lane>> {
        self.lane(place.lane()).filter(|_| place.node() == self.node)
    }

    fn lane(&self, number: u8) -> Option<&Arc<Lane>> {
        self.lanes.iter().find(|lane| lane.number() == number)
    }
}
