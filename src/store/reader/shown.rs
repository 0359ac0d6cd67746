//! Records as they may be shown to anybody: without what was asked to be forgotten and is not gone yet.
//!
//! In: records, from whichever way of reading. Out: what they say.
//! Keeps: it knows what had been asked for when it was loaded.
//! Not here: look-ups of a running daemon (`erasures::Hidden`).

use std::sync::Arc;

use super::Reader;
use crate::event::codec::{Event, Undecodable, decode};
use crate::store::erasures::Erasures;
use crate::store::error::Result;
use crate::store::record::Record;
use crate::store::{Journal, Position};

/// See the module.
#[derive(Clone, Debug)]
pub struct Shown {
    erasures: Arc<Erasures>,
    node: u16,
}

impl Shown {
    /// By what has been asked for until now.
    ///
    /// # Errors
    /// As `Erasures::load`, or what reading the manifest says.
    pub fn load(reader: &Reader) -> Result<Self> {
        let node = reader.node()?.unwrap_or_default();
        Ok(Self { erasures: Erasures::load(reader.directory())?.into(), node })
    }

    /// What a record says.
    ///
    /// # Errors
    /// Of a record that this build cannot read.
    pub fn event<'a>(
        &self,
        (journal, lane): (Journal, u8),
        position: Position,
        record: &Record<'a>,
    ) -> std::result::Result<Event<'a>, Undecodable> {
        let event = decode(record.kind, record.schema, record.payload)?;
        Ok(self.erasures.shown((journal, self.node, lane), (position, record.ordinal), event))
    }
}
