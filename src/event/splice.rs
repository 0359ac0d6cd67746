//! Parts of a text put out of sight.
//!
//! In: bytes, and what stands in place of which parts of them. Out: other bytes.

use std::ops::Range;

/// Bytes with these texts in place of these ranges, which may overlap.
pub fn replaced(bytes: &[u8], mut ranges: Vec<(Range<usize>, &str)>) -> Vec<u8> {
    ranges.sort_unstable_by_key(|(range, _)| range.start);
    let (mut made, mut end) = (Vec::with_capacity(bytes.len()), 0);
    for (range, text) in ranges {
        if range.start >= end {
            made.extend_from_slice(bytes.get(end..range.start).unwrap_or_default());
            made.extend_from_slice(text.as_bytes());
        }
        end = end.max(range.end);
    }
    made.extend_from_slice(bytes.get(end..).unwrap_or_default());
    made
}
