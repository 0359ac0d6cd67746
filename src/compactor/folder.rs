//! Where published files stand.
//!
//! ```text
//! ROOT/export/clicks/v1/dt=2026-11-20/clicks-20261120T070000Z-n0-l00-s0000001-g0.parquet    of one segment
//! ROOT/export/clicks/v1/dt=2026-11-20/clicks-20261120-n0-day-r1-000.parquet                 of a whole day
//! ROOT/export/conversions/v1/…  deliveries/v1/…   the same
//! ROOT/export-meta/clicks/v1/n0-l00-s0000001-g0.json    what came of a segment
//! ROOT/export-meta/clicks/v1/dt=2026-11-20/CLOSED       what a day consists of, once it is complete
//! ROOT/export-meta/clicks/v1/schema.json                the columns
//! ROOT/export-staging/                                  what is being written
//! ROOT/export-old/clicks/v1/dt=2026-11-20-1/            what was replaced, for a while
//! ```
//!
//! Keeps: nothing but whole data files is ever in `export`: readers take whatever lies there, hidden files and empty ones
//! too. The day is in the path alone, and no hour is: `hour=07` would be a text to some, and a number to others.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::clock::Timestamp;

use super::plan::DAY_MICROS;
use super::publish::Publication;
use super::segment::Origin;
use super::table::{Table, VERSION};

/// A day, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(i64);

impl Day {
    /// The day of a moment.
    pub fn of(time: Timestamp) -> Self {
        Self(time.micros().div_euclid(DAY_MICROS))
    }

    /// Reads `2026-11-20`.
    pub fn parse(date: &str) -> Option<Self> {
        let day = Self::of(Timestamp::parse(date, Some(0)).ok()?);
        (day.to_string() == date).then_some(day)
    }

    /// Its first moment.
    pub fn start(self) -> Timestamp {
        Timestamp::from_micros(self.0.saturating_mul(DAY_MICROS))
    }

    /// The first moment of the next.
    pub fn end(self) -> Timestamp {
        Self(self.0.saturating_add(1)).start()
    }

    /// The day of a file or folder below it, by the part `dt=…` of its path.
    pub fn of_path(path: &Path) -> Option<Self> {
        path.iter().find_map(|part| Self::parse(part.to_str()?.strip_prefix("dt=")?))
    }
}

/// `2026-11-20`.
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.start().to_string();
        f.write_str(text.split_once('T').map_or(&text, |(date, _)| date))
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// At `root`: all of them have to be on one file system.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// What readers are given.
    pub fn export(&self) -> PathBuf {
        self.root.join("export")
    }

    /// What is being written.
    pub fn staging(&self) -> PathBuf {
        self.root.join("export-staging")
    }

    /// The folders of a table's days that were replaced, which some may still be reading.
    pub fn old<T: Table>(&self) -> PathBuf {
        self.root.join("export-old").join(T::NAME).join(VERSION)
    }

    /// The folder of a table, below which each day has one.
    pub fn table<T: Table>(&self) -> PathBuf {
        self.export().join(T::NAME).join(VERSION)
    }

    /// The folder of a day.
    pub fn day<T: Table>(&self, day: Day) -> PathBuf {
        self.table::<T>().join(format!("dt={day}"))
    }

    /// The folder that is to take its place.
    pub fn staged_day<T: Table>(&self, day: Day) -> PathBuf {
        self.staged_table::<T>().join(format!("dt={day}"))
    }

    /// Where days of a table wait for their place.
    pub(super) fn staged_table<T: Table>(&self) -> PathBuf {
        self.staging().join(T::NAME).join(VERSION)
    }

    /// What is known of a table's files.
    pub fn meta<T: Table>(&self) -> PathBuf {
        self.root.join("export-meta").join(T::NAME).join(VERSION)
    }

    /// Where it is written down what a day consists of.
    pub fn closed<T: Table>(&self, day: Day) -> PathBuf {
        self.meta::<T>().join(format!("dt={day}")).join("CLOSED")
    }

    /// Where it is written down what came of a segment.
    pub fn record<T: Table>(&self, origin: &Origin) -> PathBuf {
        self.meta::<T>().join(format!("{}.json", origin_name(origin)))
    }

    /// Where this is written down.
    pub(super) fn record_of<T: Table>(&self, publication: &Publication) -> PathBuf {
        let Publication { node, lane, segment, generation, .. } = *publication;
        self.meta::<T>().join(format!("{}.json", name_of((node, lane, segment, generation))))
    }

    /// The name of the file of a segment whose first row is of `first`, below `export`.
    pub fn file<T: Table>(&self, origin: &Origin, first: Timestamp) -> PathBuf {
        let text = first.to_string();
        let (date, time) = text.split_once('T').unwrap_or((&text, ""));
        let (date_digits, time_digits) = (digits(date), digits(time));
        let clock = time_digits.get(..6).unwrap_or_default();
        let name = format!("{}-{date_digits}T{clock}Z-{}.parquet", T::NAME, origin_name(origin));
        Path::new(T::NAME).join(VERSION).join(format!("dt={date}")).join(name)
    }

    /// The name of a file of a whole day, below `export`.
    pub fn day_file<T: Table>(&self, node: u16, day: Day, revision: u32, number: usize) -> PathBuf {
        let date = digits(&day.to_string());
        let name = format!("{}-{date}-n{node}-day-r{revision}-{number:03}.parquet", T::NAME);
        Path::new(T::NAME).join(VERSION).join(format!("dt={day}")).join(name)
    }
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// Tells a segment, and each rewrite of it, from all others of all nodes.
fn origin_name(origin: &Origin) -> String {
    name_of((origin.node, origin.lane, origin.segment, origin.generation))
}

fn name_of((node, lane, segment, generation): (u16, u8, u32, u32)) -> String {
    format!("n{node}-l{lane:02}-s{segment:07}-g{generation}")
}

/// What the name of a file says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// It is of a whole day.
    Day { node: u16, revision: u32 },
    /// It is of one segment.
    Segment { node: u16, lane: u8, segment: u32 },
}

impl Name {
    /// Reads one as they are made here.
    pub(super) fn parse<T: Table>(name: &str) -> Option<Self> {
        let rest = name.strip_prefix(T::NAME)?.strip_prefix('-')?.strip_suffix(".parquet")?;
        let (_time, rest) = rest.split_once("-n")?;
        let (node, rest) = rest.split_once('-')?;
        let node = node.parse().ok()?;
        if let Some(rest) = rest.strip_prefix("day-r") {
            let (revision, _number) = rest.split_once('-')?;
            return Some(Self::Day { node, revision: revision.parse().ok()? });
        }
        let (lane, rest) = rest.strip_prefix('l')?.split_once("-s")?;
        let (segment, _generation) = rest.split_once("-g")?;
        Some(Self::Segment { node, lane: lane.parse().ok()?, segment: segment.parse().ok()? })
    }
}

/// Whether a file of this name is of an earlier generation of this segment, or of a later one that nobody vouches for.
pub(super) fn is_of_other_generation(name: &str, origin: &Origin) -> bool {
    let Origin { node, lane, segment, generation, .. } = origin;
    let stem = format!("-n{node}-l{lane:02}-s{segment:07}-g");
    let other = name.strip_suffix(".parquet").and_then(|name| name.split_once(&stem));
    other.and_then(|(_, other)| other.parse().ok()).is_some_and(|other: u32| other != *generation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compactor::clicks::Clicks;

    #[test]
    fn names_are_read_as_they_are_made() {
        let day = Day::parse("2026-11-20").unwrap();
        let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        let of_day = name(Folder::new("").day_file::<Clicks>(3, day, 12, 1));
        assert_eq!(Name::parse::<Clicks>(&of_day), Some(Name::Day { node: 3, revision: 12 }));
        let of_segment = format!("clicks-20261120T070000Z-{}.parquet", name_of((3, 7, 12, 1)));
        let expected = Name::Segment { node: 3, lane: 7, segment: 12 };
        assert_eq!(Name::parse::<Clicks>(&of_segment), Some(expected));
        for other in
            ["conversions-20261120-n3-day-r1-000.parquet", "clicks-x.parquet", "clicks-1-n0-day-r1.parquet"]
        {
            assert_eq!(Name::parse::<Clicks>(other), None, "{other}");
        }
    }

    #[test]
    fn a_day_is_what_its_path_says() {
        let day = Day::parse("2026-11-20").unwrap();
        assert_eq!(day.to_string(), "2026-11-20");
        assert_eq!(day.start().to_string(), "2026-11-20T00:00:00.000000Z");
        assert_eq!(Day::of(day.end()).to_string(), "2026-11-21");
        assert_eq!(Day::of_path(Path::new("clicks/v1/dt=2026-11-20/x.parquet")), Some(day));
        for other in ["dt=2026-11-20-r1-5", "dt=2026-11-31", "dt=", "2026-11-20", "dt=2026-1-2"] {
            assert_eq!(Day::of_path(Path::new(other)), None, "{other}");
        }
    }
}
