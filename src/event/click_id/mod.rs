//! Click IDs: where a click stands in the journals, sealed so that only we can read it.
//!
//! In: a `Place`, from the store; 26 characters, from a URL or a cookie. Out: a `ClickId`; a `Place` to look up.
//! Keeps: a `Place` fits its bits; `Keys` hold a key for the current version; garbage costs one block cipher
//! a key and touches no memory but the keys.
//! Not here: whether a record stands at the place (`store`), where keys come from and how long they live.
//!
//! The block, from the most significant bit, before one AES-128 encipherment:
//!
//! ```text
//! version 4 | node 10 | lane 6 | segment 22 | ordinal 24 | unix seconds 32 | zero check 30
//! ```
//!
//! A block cipher without a mode is right here because no block is ever enciphered twice: a place is handed
//! out once. A forged ID must hit 30 zero bits and the version of the key: 1 in 2^34.

mod keys;
mod text;

pub use keys::{Keys, KeysError};
pub use text::{ClickId, ClickIdError, ClickIdText};

const VERSION_BITS: u32 = 4;
const NODE_BITS: u32 = 10;
const LANE_BITS: u32 = 6;
const SEGMENT_BITS: u32 = 22;
const ORDINAL_BITS: u32 = 24;
const SECONDS_BITS: u32 = 32;
const CHECK_BITS: u32 = 30;

const SECONDS_SHIFT: u32 = CHECK_BITS;
const ORDINAL_SHIFT: u32 = SECONDS_SHIFT + SECONDS_BITS;
const SEGMENT_SHIFT: u32 = ORDINAL_SHIFT + ORDINAL_BITS;
const LANE_SHIFT: u32 = SEGMENT_SHIFT + SEGMENT_BITS;
const NODE_SHIFT: u32 = LANE_SHIFT + LANE_BITS;
const VERSION_SHIFT: u32 = NODE_SHIFT + NODE_BITS;

const _: () = assert!(VERSION_SHIFT + VERSION_BITS == u128::BITS, "the fields fill one AES block");
const _: () = assert!(NODE_BITS <= u16::BITS && LANE_BITS <= u8::BITS);
const _: () = assert!(SEGMENT_BITS <= u32::BITS && ORDINAL_BITS <= u32::BITS);
const _: () = assert!(SECONDS_BITS == u32::BITS, "any second a `Timestamp` gives is valid");

/// Where a click stands: the node and lane that wrote it, its segment, its number in the segment, and when.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Place {
    node: u16,
    lane: u8,
    segment: u32,
    ordinal: u32,
    seconds: u32,
}

impl Place {
    /// The largest node number: 1,024 nodes.
    pub const NODE_MAX: u16 = (1 << NODE_BITS) - 1;
    /// The largest lane number: 64 lanes a node.
    pub const LANE_MAX: u8 = (1 << LANE_BITS) - 1;
    /// The largest segment ID: 4 million segments a lane.
    pub const SEGMENT_MAX: u32 = (1 << SEGMENT_BITS) - 1;
    /// The largest ordinal: 16 million clicks a segment.
    pub const ORDINAL_MAX: u32 = (1 << ORDINAL_BITS) - 1;

    /// The place of a click recorded `seconds` after the Unix epoch.
    ///
    /// # Errors
    ///
    /// A number above its `..._MAX`; the first such is named.
    pub fn new(node: u16, lane: u8, segment: u32, ordinal: u32, seconds: u32) -> Result<Self, PlaceError> {
        let checks = [
            ("node", u32::from(node), u32::from(Self::NODE_MAX)),
            ("lane", u32::from(lane), u32::from(Self::LANE_MAX)),
            ("segment", segment, Self::SEGMENT_MAX),
            ("ordinal", ordinal, Self::ORDINAL_MAX),
        ];
        for (field, value, max) in checks {
            if value > max {
                return Err(PlaceError { field, value, max });
            }
        }
        Ok(Self { node, lane, segment, ordinal, seconds })
    }

    /// The node that recorded the click.
    pub const fn node(self) -> u16 {
        self.node
    }

    /// The lane of that node.
    pub const fn lane(self) -> u8 {
        self.lane
    }

    /// The segment of that lane.
    pub const fn segment(self) -> u32 {
        self.segment
    }

    /// The click's number within the segment.
    pub const fn ordinal(self) -> u32 {
        self.ordinal
    }

    /// When, in whole seconds since the Unix epoch: tells a click's age before any I/O.
    pub const fn seconds(self) -> u32 {
        self.seconds
    }

    /// Node, lane, segment and ordinal in 62 bits, the highest bit set: a reference from one record to another, never 0.
    pub const fn packed(self) -> u64 {
        1 << 63
            | (self.node as u64) << (LANE_BITS + SEGMENT_BITS + ORDINAL_BITS)
            | (self.lane as u64) << (SEGMENT_BITS + ORDINAL_BITS)
            | (self.segment as u64) << ORDINAL_BITS
            | self.ordinal as u64
    }

    /// The place that `packed` gave this number for, but for its second, which is not part of it and is 0 here; nothing for
    /// a number that it gives for none.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "each field is masked to its width, or is as wide as its type"
    )]
    pub const fn from_packed(packed: u64) -> Option<Self> {
        const LANE: u32 = SEGMENT_BITS + ORDINAL_BITS;
        const NODE: u32 = LANE + LANE_BITS;
        if packed >> (NODE + NODE_BITS) != 1 << (u64::BITS - 1 - NODE - NODE_BITS) {
            return None;
        }
        Some(Self {
            node: (packed >> NODE) as u16 & Self::NODE_MAX,
            lane: (packed >> LANE) as u8 & Self::LANE_MAX,
            segment: (packed >> ORDINAL_BITS) as u32 & Self::SEGMENT_MAX,
            ordinal: packed as u32 & Self::ORDINAL_MAX,
            seconds: 0,
        })
    }

    fn to_bits(self, version: u8) -> u128 {
        u128::from(version) << VERSION_SHIFT
            | u128::from(self.node) << NODE_SHIFT
            | u128::from(self.lane) << LANE_SHIFT
            | u128::from(self.segment) << SEGMENT_SHIFT
            | u128::from(self.ordinal) << ORDINAL_SHIFT
            | u128::from(self.seconds) << SECONDS_SHIFT
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "each field is masked to its width, or is as wide as its type"
    )]
    fn from_bits(bits: u128) -> Self {
        Self {
            node: (bits >> NODE_SHIFT) as u16 & Self::NODE_MAX,
            lane: (bits >> LANE_SHIFT) as u8 & Self::LANE_MAX,
            segment: (bits >> SEGMENT_SHIFT) as u32 & Self::SEGMENT_MAX,
            ordinal: (bits >> ORDINAL_SHIFT) as u32 & Self::ORDINAL_MAX,
            seconds: (bits >> SECONDS_SHIFT) as u32,
        }
    }
}

/// A number that does not fit the bits a click ID has for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field} {value} is above {max}")]
pub struct PlaceError {
    /// Which number.
    pub field: &'static str,
    /// What it was.
    pub value: u32,
    /// The largest that fits.
    pub max: u32,
}

#[expect(
    clippy::big_endian_bytes,
    reason = "the text form and the cipher's block read from the most significant bit"
)]
const fn from_big_endian(bytes: [u8; 16]) -> u128 {
    u128::from_be_bytes(bytes)
}

#[expect(
    clippy::big_endian_bytes,
    reason = "the text form and the cipher's block read from the most significant bit"
)]
const fn to_big_endian(bits: u128) -> [u8; 16] {
    bits.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_place_is_found_again_and_other_numbers_are_none() {
        let last =
            Place::new(Place::NODE_MAX, Place::LANE_MAX, Place::SEGMENT_MAX, Place::ORDINAL_MAX, 0).unwrap();
        for place in
            [Place::new(0, 0, 0, 0, 0).unwrap(), Place::new(5, 3, 70_000, 9_000_000, 0).unwrap(), last]
        {
            assert_eq!(Place::from_packed(place.packed()), Some(place));
            let later = Place { seconds: 7, ..place };
            assert_eq!(Place::from_packed(later.packed()), Some(place), "the second is not part of it");
            assert_eq!(Place::from_packed(place.packed() & !(1 << 63)), None);
            assert_eq!(Place::from_packed(place.packed() | 1 << 62), None);
        }
        assert_eq!(Place::from_packed(0), None);
    }

    #[test]
    fn a_number_above_its_bits_is_refused_by_name() {
        let cases = [
            (Place::new(1024, 0, 0, 0, 0), "node 1024 is above 1023"),
            (Place::new(0, 64, 0, 0, 0), "lane 64 is above 63"),
            (Place::new(0, 0, 1 << 22, 0, 0), "segment 4194304 is above 4194303"),
            (Place::new(0, 0, 0, 1 << 24, 0), "ordinal 16777216 is above 16777215"),
        ];
        for (place, message) in cases {
            assert_eq!(place.unwrap_err().to_string(), message);
        }
    }
}
