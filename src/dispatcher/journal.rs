//! The journal of deliveries: where the dispatcher keeps what it did.
//!
//! In: outcomes and notes. Out: records, on stable storage within `SYNC_INTERVAL` (`keeper`).
//! Keeps: nothing is forgotten where the disk is full: it is held here, in order, and whoever asks is told to send nothing
//! more until it is written.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rkyv::util::AlignedVec;

use super::desk::Log;
use crate::clock::Timestamp;
use crate::event::codec::{Encoded, Encoder, Kind};
use crate::event::delivery::{DeliveryOutcome, DestinationEvent};
use crate::store::{Error, LaneWriter, Position};

/// See the module.
#[derive(Debug)]
pub(super) struct Outcomes {
    writer: LaneWriter,
    encoder: Encoder,
    unwritten: VecDeque<Unwritten>,
    /// How many these are, for whoever shows it.
    count: Arc<AtomicU64>,
}

struct Unwritten {
    kind: Kind,
    schema: u16,
    time: Timestamp,
    payload: AlignedVec<16>,
}

impl std::fmt::Debug for Unwritten {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unwritten").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Outcomes {
    pub(super) fn new(writer: LaneWriter, count: Arc<AtomicU64>) -> Self {
        Self { writer, encoder: Encoder::default(), unwritten: VecDeque::new(), count }
    }

    /// Whether all that was given to it is in the journal.
    pub(super) fn is_written(&self) -> bool {
        self.unwritten.is_empty()
    }

    /// Rolls with the hour, and tries once more what could not be written.
    pub(super) fn tick(&mut self, now: Timestamp) {
        // A poisoned store is told of by `serve`; here it is only one more reason to send nothing.
        let _told_elsewhere = self.writer.tick(now);
        self.flush();
    }

    /// Tries once more what could not be written.
    pub(super) fn flush(&mut self) {
        if self.unwritten.is_empty() {
            return;
        }
        while let Some(first) = self.unwritten.front() {
            let encoded =
                Encoded { kind: first.kind, schema: first.schema, time: first.time, payload: &first.payload };
            match self.writer.append(&encoded) {
                Ok(_) | Err(Error::RecordLength { .. }) => {}
                Err(_) => break,
            }
            self.unwritten.pop_front();
        }
        self.count.store(self.unwritten.len() as u64, Ordering::Relaxed);
    }

    /// Begins a new segment.
    pub(super) fn roll(&mut self) {
        self.writer.roll_now();
    }

    /// Ends the journal.
    pub(super) fn close(self) {
        self.writer.close();
    }

    /// Where the next record goes.
    pub(super) fn end(&self) -> Position {
        super::follow::written_end(&self.writer.lane().view())
    }
}

fn append(writer: &mut LaneWriter, unwritten: &mut VecDeque<Unwritten>, encoded: &Encoded<'_>) {
    // In their order: what is held comes first.
    if unwritten.is_empty() {
        match writer.append(encoded) {
            Ok(_) => return,
            // Segments are too short for it, and will be. Without a note a start reads more; nothing else may depend on one.
            Err(error @ Error::RecordLength { .. }) => {
                return tracing::error!("how far a destination has come cannot be written down: {error}");
            }
            Err(_) => {}
        }
    }
    let mut payload = AlignedVec::with_capacity(encoded.payload.len());
    payload.extend_from_slice(encoded.payload);
    let Encoded { kind, schema, time, .. } = *encoded;
    unwritten.push_back(Unwritten { kind, schema, time, payload });
}

impl Log for Outcomes {
    fn outcome(&mut self, outcome: &DeliveryOutcome<'_>) {
        let encoded = self.encoder.outcome(outcome);
        assert!(encoded.is_ok(), "a destination's id and two KiB fit");
        if let Ok(encoded) = encoded {
            append(&mut self.writer, &mut self.unwritten, &encoded);
        }
    }

    fn event(&mut self, event: &DestinationEvent<'_>) {
        let encoded = self.encoder.destination(event);
        assert!(encoded.is_ok(), "the progress of a destination has a bound");
        if let Ok(encoded) = encoded {
            append(&mut self.writer, &mut self.unwritten, &encoded);
        }
    }
}
