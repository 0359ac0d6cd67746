//! The ids of clicks as they stood in URLs, whatever key is current now.
//!
//! In: where a click lies. Out: its id, made with the key of its time, which the header of its segment names.
//! Keeps: each header is read once. Versions only grow along a lane, so of a segment that is gone, or whose header is
//! damaged, its neighbour tells: the next one that is there, or else the last.
//! Not here: keys (`store::keys`), what an id consists of (`event::click_id`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Reader;
use crate::event::click_id::{ClickId, ClickIdText, Keys, Place};
use crate::store::Journal;
use crate::store::error::Result;

/// See the module.
#[derive(Clone, Debug)]
pub struct ClickIds {
    reader: Reader,
    keys: Keys,
    node: u16,
    /// Of lane and segment. At most as many as conversions of one segment have clicks in different ones.
    versions: Arc<Mutex<BTreeMap<(u8, u32), u8>>>,
}

impl ClickIds {
    /// Of the store of this node. Nothing if there are no keys.
    ///
    /// # Errors
    /// `Key` if a file does not hold one.
    pub fn open(reader: &Reader, node: u16) -> Result<Option<Self>> {
        let keys = reader.click_id_keys()?;
        Ok(keys.map(|keys| Self { reader: reader.clone(), keys, node, versions: Arc::default() }))
    }

    /// Where the click with this id lies, if it is one of this node's and its key is there.
    pub fn decode(&self, id: &ClickId) -> Option<Place> {
        self.keys.decode(id).filter(|place| place.node() == self.node)
    }

    /// The id of the click at a place, with the second that is in it; nothing if the key of its time is gone.
    pub fn text(&self, place: Place) -> Option<ClickIdText> {
        // Of another node's clicks nothing is known here.
        if place.node() != self.node {
            return Some(self.keys.encode(place).to_text());
        }
        let at = (place.lane(), place.segment());
        let known = self.versions().get(&at).copied();
        let version = known.unwrap_or_else(|| {
            let found = self.find(at).unwrap_or_else(|| self.keys.current());
            self.versions().insert(at, found);
            found
        });
        Some(self.keys.encode_as(version, place)?.to_text())
    }

    fn versions(&self) -> MutexGuard<'_, BTreeMap<(u8, u32), u8>> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the header says, or that of the nearest that can be read.
    fn find(&self, (lane, segment): (u8, u32)) -> Option<u8> {
        let read = |segment| self.reader.header(Journal::Clicks, lane, segment).ok().flatten();
        if let Some(header) = read(segment) {
            return Some(header.click_key);
        }
        let segments = self.reader.segments(Journal::Clicks, lane).ok()?;
        let (before, from) = segments.split_at(segments.partition_point(|other| *other < segment));
        let header = from.iter().chain(before.iter().rev()).find_map(|other| read(*other))?;
        Some(header.click_key)
    }
}
