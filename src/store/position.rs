//! Where a record stands in a journal.
//!
//! Gives: `Position`, a segment of one journal lane and an offset in it, ordered as the lane was written.
//! Keeps: the offset is a multiple of the 16 bytes that every record is aligned to.
//! Not here: which journal and which lane; whoever holds a position knows.

use std::fmt;
use std::str::FromStr;

/// A place in one journal lane: `offset` bytes into segment `segment`.
///
/// The default, `0:0`, is the start of the journal. A segment header stands there, so no record does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    // The order of the fields is the order of positions.
    segment: u32,
    offset: u32,
}

impl Position {
    /// Every record starts at a multiple of this many bytes.
    pub const ALIGNMENT_BYTES: u32 = 16;

    /// The start of the journal: nothing is before it.
    pub const START: Self = Self { segment: 0, offset: 0 };

    /// The place `offset` bytes into `segment`.
    ///
    /// # Panics
    ///
    /// If `offset` is not a multiple of [`Position::ALIGNMENT_BYTES`]. For a number from outside use
    /// [`Position::from_u64`].
    pub const fn new(segment: u32, offset: u32) -> Self {
        assert!(offset.is_multiple_of(Self::ALIGNMENT_BYTES), "a record starts at a multiple of 16 bytes");
        Self { segment, offset }
    }

    /// What [`Position::to_u64`] gave; `None` if no position gives `number`.
    pub const fn from_u64(number: u64) -> Option<Self> {
        let (segment, offset) = ((number >> 32) as u32, (number & 0xFFFF_FFFF) as u32);
        if offset.is_multiple_of(Self::ALIGNMENT_BYTES) { Some(Self { segment, offset }) } else { None }
    }

    /// As one number, in the same order: the segment in the upper 32 bits, the offset in the lower.
    pub const fn to_u64(self) -> u64 {
        (self.segment as u64) << 32 | self.offset as u64
    }

    /// The segment's number within its lane.
    pub const fn segment(self) -> u32 {
        self.segment
    }

    /// Bytes from the start of the segment.
    pub const fn offset(self) -> u32 {
        self.offset
    }
}

/// `segment:offset`, both decimal.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.segment, self.offset)
    }
}

/// A text that is no position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a position: it is two numbers with a colon, the second a multiple of 16")]
pub struct PositionError;

/// As it is displayed.
impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let (segment, offset) = text.split_once(':').ok_or(PositionError)?;
        let number = |text: &str| -> Option<u32> {
            // `parse` takes a sign too.
            text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
        };
        let (segment, offset) = (number(segment).ok_or(PositionError)?, number(offset).ok_or(PositionError)?);
        Self::from_u64(u64::from(segment) << 32 | u64::from(offset)).ok_or(PositionError)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAST: Position = Position::new(u32::MAX, u32::MAX - 15);

    #[test]
    fn a_position_is_read_as_it_is_displayed_and_nothing_else_is_one() {
        for position in [Position::START, Position::new(7, 4096), LAST] {
            assert_eq!(position.to_string().parse(), Ok(position));
        }
        for text in ["", "1", "1:", ":16", "1:8", "1:+16", "-1:16", "4294967296:0", "1:16:0", "1: 16"] {
            assert_eq!(text.parse::<Position>(), Err(PositionError), "{text}");
        }
    }

    #[test]
    fn a_position_survives_being_a_number() {
        for position in [Position::START, Position::new(7, 4096), LAST] {
            assert_eq!(Position::from_u64(position.to_u64()), Some(position));
        }
        assert_eq!(Position::new(7, 4096).to_u64(), 0x0000_0007_0000_1000);
        assert_eq!(LAST.to_u64(), 0xFFFF_FFFF_FFFF_FFF0);
    }

    #[test]
    fn a_number_between_two_records_is_no_position() {
        for low in 1..16 {
            assert_eq!(Position::from_u64(7 << 32 | low), None, "offset {low}");
        }
    }

    #[test]
    fn positions_and_their_numbers_are_ordered_as_the_journal_is() {
        let ascending = [
            Position::START,
            Position::new(0, 16),
            Position::new(0, u32::MAX - 15),
            Position::new(1, 0),
            LAST,
        ];
        assert!(ascending.is_sorted());
        assert!(ascending.map(Position::to_u64).is_sorted());
    }

    #[test]
    fn a_position_is_written_as_segment_and_offset() {
        assert_eq!(Position::new(12, 4096).to_string(), "12:4096");
    }

    #[test]
    #[should_panic(expected = "multiple of 16")]
    fn an_offset_between_two_records_is_our_own_fault() {
        let _ = Position::new(0, 8);
    }
}
