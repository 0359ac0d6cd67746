//! A decision as a copy of its record: what outlives the segment that it was read from.

use rkyv::util::AlignedVec;

use crate::event::codec::{Event, decode};
use crate::event::decision::Decision;
use crate::store::record::Record;

/// See the module. A copy takes its payload and some bytes.
#[derive(Clone)]
pub struct Kept {
    kind: u16,
    schema: u16,
    payload: AlignedVec<16>,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("bytes", &self.payload.len()).finish_non_exhaustive()
    }
}

impl Kept {
    /// Copies a record.
    pub fn of(record: &Record<'_>) -> Self {
        Self::new(record.kind, record.schema, record.payload)
    }

    /// Copies a payload.
    pub fn new(kind: u16, schema: u16, bytes: &[u8]) -> Self {
        let mut payload = AlignedVec::with_capacity(bytes.len());
        payload.extend_from_slice(bytes);
        Self { kind, schema, payload }
    }

    /// The decision; nothing if it is none.
    pub fn decision(&self) -> Option<Decision<'_>> {
        match decode(self.kind, self.schema, &self.payload) {
            Ok(Event::Decision(decision)) => Some(decision),
            _ => None,
        }
    }
}
