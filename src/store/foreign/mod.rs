//! Clicks of other trackers, found by the ids that those gave them.
//!
//! In: imported clicks. Out: the click that a foreign id means.
//! Keeps: nothing but what the journal says: it is read anew at each start, and hashed with a key that lives
//! as long as the process. Without an imported click it takes no memory.
//! Not here: the table itself (`table`), reading the import file.

pub mod table;

use super::dedupe::DedupeKey;
use super::error::{Error, Result};
use super::lane::{Lane, Lookup};
use crate::event::codec::{Event, Kind, decode};
use table::{ForeignPlace, ForeignTable, Full};

/// Most foreign ids that are held: 2 GB of table.
pub const FOREIGN_IDS_MAX: usize = 190_000_000;

/// See the module.
#[derive(Debug)]
pub struct ForeignIds {
    table: ForeignTable,
    key: DedupeKey,
}

impl ForeignIds {
    /// Reads the ids of all imported clicks in lanes that were just opened: all of their segments are sealed.
    ///
    /// # Errors
    /// What reading says.
    pub(super) fn restore<'a>(
        lanes: impl Iterator<Item = &'a Lane> + Clone,
        secret: &[u8; 16],
    ) -> Result<Self> {
        let imported = |lane: &Lane| -> usize {
            lane.view().sealed.iter().map(|sealed| sealed.footer().summary.foreign as usize).sum()
        };
        let expected = lanes.clone().map(imported).sum();
        let ids = Self {
            table: ForeignTable::with_capacity(expected, FOREIGN_IDS_MAX),
            key: DedupeKey::new(secret),
        };
        for lane in lanes {
            let view = lane.view();
            for sealed in view.sealed.iter().filter(|sealed| sealed.footer().summary.foreign > 0) {
                let segment = sealed.footer().identity.segment;
                let mut full = None;
                sealed.for_each(0, |record| {
                    if record.kind != Kind::ForeignClick.code() {
                        return;
                    }
                    if let Ok(Event::Click(click)) = decode(record.kind, record.schema, record.payload)
                        && let Some(place) = ForeignPlace::new(lane.number(), segment, record.ordinal)
                    {
                        // The table has the capacity already, so nothing is asked of `hash_of`.
                        full = full.or(insert(&ids, click.foreign_id, place, |_| None).err());
                    }
                })?;
                if let Some(full) = full {
                    return Err(too_many(full));
                }
            }
        }
        Ok(ids)
    }

    /// Notes an imported click. `id_of` reads the foreign id of one noted earlier.
    ///
    /// # Errors
    /// `Setting` when `FOREIGN_IDS_MAX` are held.
    pub(super) fn insert(
        &self,
        foreign_id: &str,
        place: ForeignPlace,
        id_of: impl Fn(ForeignPlace) -> Option<String>,
    ) -> Result<()> {
        let hash_of = |place| id_of(place).map(|id| self.key.hash(id.as_bytes()));
        insert(self, foreign_id, place, hash_of).map_err(too_many)
    }

    /// The click that a foreign id means: of several imports of it the one with the greatest place, which is the
    /// newest of a lane, and the same one after a restart. `read` reads the click at a place.
    pub(super) fn find<T>(
        &self,
        foreign_id: &str,
        mut read: impl FnMut(ForeignPlace) -> Option<(T, bool)>,
    ) -> Lookup<T> {
        let mut places = Vec::new();
        let hash = self.key.hash(foreign_id.as_bytes());
        self.table.find(hash, |place| {
            places.push(place);
            false
        });
        places.sort_unstable();
        let mut otherwise = Lookup::Absent;
        for place in places.into_iter().rev() {
            match read(place) {
                Some((click, true)) => return Lookup::Found(click),
                Some((_another, false)) => {}
                // It may have been this one: that cannot be told now.
                None => otherwise = Lookup::Unavailable,
            }
        }
        otherwise
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Bytes that the table takes.
    pub fn memory_bytes(&self) -> usize {
        self.table.memory_bytes()
    }
}

/// Notes an id; an empty one is none.
fn insert(
    ids: &ForeignIds,
    foreign_id: &str,
    place: ForeignPlace,
    hash_of: impl FnMut(ForeignPlace) -> Option<u64>,
) -> std::result::Result<(), Full> {
    if foreign_id.is_empty() {
        return Ok(());
    }
    ids.table.insert(ids.key.hash(foreign_id.as_bytes()), place, hash_of)
}

fn too_many(full: Full) -> Error {
    let allowed = "at most this many imported clicks".to_owned();
    Error::Setting { name: "foreign ids", value: full.entries_max as u64, allowed }
}
