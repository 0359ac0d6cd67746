//! How a segment is cut into files, one for each day, and those into row groups.
//!
//! In: when each record happened, in the order of the journal. Out: for each row group which records it has, and where
//! in the segment they lie.
//! Keeps: rows are in the order of time, and where that is the same in the order of the journal. What a group holds in
//! memory is bounded, by rows and by bytes.

use super::parquet::GROUP_ROWS_MAX;

/// Bytes of the records of a group at most, but for one that is longer on its own.
pub(super) const GROUP_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How large a group may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rows.
    pub rows: usize,
    /// Bytes of their records, but for one that is longer on its own.
    pub bytes: u64,
}

impl Default for Limits {
    /// Those of a row group in a file.
    fn default() -> Self {
        Self { rows: GROUP_ROWS_MAX, bytes: GROUP_BYTES_MAX }
    }
}

/// Microseconds of a day.
pub(super) const DAY_MICROS: i64 = 86_400 * 1_000_000;

/// A record that is a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// When it happened, in microseconds.
    pub(super) time: i64,
    /// How many rows lie before it in the segment.
    pub(super) number: u32,
    /// Where its record begins.
    pub(super) offset: u32,
    /// How long that is.
    pub(super) bytes: u32,
}

/// The rows of one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Day {
    /// When the first of them happened.
    pub(super) first_time: i64,
    /// When the last of them did.
    pub(super) last_time: i64,
    /// How many there are.
    pub(super) rows: u64,
    /// In order.
    pub(super) groups: Vec<Group>,
}

/// One row group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// Time and number of the first row.
    pub(super) first: (i64, u32),
    /// And of the last.
    pub(super) last: (i64, u32),
    /// How many there are.
    pub(super) rows: usize,
    /// Bytes of their records.
    pub(super) bytes: u64,
    /// Where the first of their records lies, and its number.
    pub(super) start: (u32, u32),
    /// Where the last of them does.
    pub(super) end: u32,
    /// Whether they lie in the segment as they are to stand in the file, with none of another group between them.
    pub(super) is_as_written: bool,
}

/// Cuts; `keys` is in the order of the journal.
pub(super) fn days(mut keys: Vec<Key>, limits: Limits) -> Vec<Day> {
    // Usually they are in order but for a few neighbours.
    keys.sort();
    let of_day = |a: &Key, b: &Key| a.time.div_euclid(DAY_MICROS) == b.time.div_euclid(DAY_MICROS);
    keys.chunk_by(of_day).map(|keys| day(keys, limits)).collect()
}

fn day(keys: &[Key], limits: Limits) -> Day {
    let mut groups = Vec::new();
    let mut rest = keys;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take(limits.rows).take_while(|key| {
            bytes += u64::from(key.bytes);
            bytes <= limits.bytes
        });
        let (now, later) = rest.split_at(fits.count().max(1));
        groups.extend(group(now));
        rest = later;
    }
    let time = |key: Option<&Key>| key.map_or(0, |key| key.time);
    Day { first_time: time(keys.first()), last_time: time(keys.last()), rows: keys.len() as u64, groups }
}

fn group(keys: &[Key]) -> Option<Group> {
    let (first, last) = (keys.first()?, keys.last()?);
    let start = keys.iter().min_by_key(|key| key.offset)?;
    let end = keys.iter().map(|key| key.offset).max()?;
    Some(Group {
        first: (first.time, first.number),
        last: (last.time, last.number),
        rows: keys.len(),
        bytes: keys.iter().map(|key| u64::from(key.bytes)).sum(),
        start: (start.offset, start.number),
        end,
        is_as_written: keys.is_sorted_by(|a, b| a.number + 1 == b.number),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32, time: i64) -> Key {
        Key { time, number, offset: 4096 + number * 64, bytes: 64 }
    }

    #[test]
    fn midnight_begins_another_file() {
        let times = [DAY_MICROS - 2, DAY_MICROS - 1, DAY_MICROS, DAY_MICROS + 5, -1];
        let days =
            days((0..).zip(times).map(|(number, time)| key(number, time)).collect(), Limits::default());
        let found: Vec<_> = days.iter().map(|day| (day.first_time, day.last_time, day.rows)).collect();
        let expected = [(-1, -1, 1), (DAY_MICROS - 2, DAY_MICROS - 1, 2), (DAY_MICROS, DAY_MICROS + 5, 2)];
        assert_eq!(found, expected);
        assert!(days.iter().flat_map(|day| &day.groups).all(|group| group.is_as_written));
    }

    #[test]
    fn what_is_out_of_order_is_known_to_be() {
        let days = days(
            (0..).zip([10, 30, 20, 40]).map(|(number, time)| key(number, time)).collect(),
            Limits::default(),
        );
        let [day] = &days[..] else { panic!("it is one day") };
        let [group] = &day.groups[..] else { panic!("it is one group") };
        assert!(!group.is_as_written);
        assert_eq!(
            (group.first, group.last, group.start, group.end),
            ((10, 0), (40, 3), (4096, 0), 4096 + 192)
        );
    }

    #[test]
    fn a_group_ends_at_its_most_rows_and_at_its_most_bytes() {
        let rows = u32::try_from(GROUP_ROWS_MAX).unwrap() + 1;
        let many = days((0..rows).map(|number| key(number, 0)).collect(), Limits::default());
        let counts: Vec<_> = many[0].groups.iter().map(|group| group.rows).collect();
        assert_eq!(counts, [GROUP_ROWS_MAX, 1]);
        let bytes = u32::try_from(GROUP_BYTES_MAX / 2).unwrap();
        let long = days((0..5).map(|number| Key { bytes, ..key(number, 0) }).collect(), Limits::default());
        let counts: Vec<_> = long[0].groups.iter().map(|group| group.rows).collect();
        assert_eq!(counts, [2, 2, 1]);
    }
}
