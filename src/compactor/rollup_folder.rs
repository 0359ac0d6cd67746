//! Where roll-ups stand, and which of them count.
//!
//! ```text
//! DATA/rollups/clicks/n0-l00-s0000001-g0.rollup     the sums of one sealed segment
//! DATA/rollups/postbacks/…                          the same
//! DATA/rollups/days/2026-11-20.rollup               the sums of one day, and of which segments they are
//! ```
//!
//! A day's file names its segments, and for each of them all the days that it has sums of. So nothing else has to say
//! what was merged: the sums of a segment for a day count once, from the day's file if that names the segment, else from
//! the segment's own file, else from the segment. A file may be gone, or old, or new, at any moment of a merge: what counts
//! is the same.
//!
//! Keeps: a file is whole or not there. What cannot be read, or is of another store, is as if it were not there.
//! Not here: how sums come to be there (`rollup`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::clock::Timestamp;
use crate::store::Journal;
use crate::store::directory::{make_folder, sync_folder};

use super::error::{Error, Result};
use super::rollup_file::{Head, SegmentId, Summed};
use super::swap::names;

/// The ending of their names.
const ENDING: &str = "rollup";
/// Who else may read a file: its group.
const MODE: u32 = 0o640;
/// Microseconds of a day.
const DAY_MICROS: i64 = 86_400 * 1_000_000;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    root: PathBuf,
    store: [u8; 16],
    node: u16,
}

/// The file of a segment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SegmentSums {
    pub(super) id: SegmentId,
    pub(super) generation: u32,
    pub(super) path: PathBuf,
}

/// What is known of days, by the files that there are.
#[derive(Debug, Default)]
pub(super) struct Days {
    /// By day.
    pub(super) files: BTreeMap<i64, (PathBuf, Head)>,
    /// Files that cannot be read, and why.
    pub(super) damaged: Vec<(PathBuf, &'static str)>,
    /// In which of its days' files a segment is, and of how many.
    merged: HashMap<SegmentId, (HashSet<i64>, Vec<i64>)>,
}

impl Folder {
    pub(super) fn new(data: &Path, store: [u8; 16], node: u16) -> Self {
        Self { root: data.join("rollups"), store, node }
    }

    pub(super) fn store(&self) -> [u8; 16] {
        self.store
    }

    /// The file of a segment, as it is named when it is made.
    pub(super) fn segment(&self, id: SegmentId, generation: u32) -> PathBuf {
        let SegmentId { journal, lane, segment } = id;
        let name = format!("n{}-l{lane:02}-s{segment:07}-g{generation}.{ENDING}", self.node);
        self.root.join(journal.name()).join(name)
    }

    /// The file of a day.
    pub(super) fn day(&self, day: i64) -> PathBuf {
        let moment = Timestamp::from_micros(day.saturating_mul(DAY_MICROS)).to_string();
        let date = moment.split_once('T').map_or(&*moment, |(date, _)| date);
        self.root.join("days").join(format!("{date}.{ENDING}"))
    }

    /// The files of segments, by segment; of several generations the first is before the others.
    pub(super) fn segments(&self) -> Result<BTreeMap<SegmentId, Vec<SegmentSums>>> {
        let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for journal in [Journal::Clicks, Journal::Postbacks] {
            let folder = self.root.join(journal.name());
            for name in names(&folder)? {
                if let Some((lane, segment, generation)) = parse(&name, self.node) {
                    let id = SegmentId { journal, lane, segment };
                    let sums = SegmentSums { id, generation, path: folder.join(&name) };
                    found.entry(id).or_default().push(sums);
                }
            }
        }
        found.values_mut().for_each(|generations| generations.sort());
        Ok(found)
    }

    /// Looks at the files of all days. `each` is given those that it may want to read, already open: one that is replaced
    /// meanwhile stays what its head says. What it cannot read is as if it were not there.
    pub(super) fn days(
        &self,
        mut each: impl FnMut(i64, &File, &Head) -> Result<std::result::Result<(), &'static str>>,
    ) -> Result<Days> {
        let mut days = Days::default();
        let folder = self.root.join("days");
        for name in names(&folder)? {
            let Some(day) =
                name.strip_suffix(ENDING).and_then(|name| name.strip_suffix('.')).and_then(day_of)
            else {
                continue;
            };
            let path = folder.join(&name);
            let Some(file) = open(&path)? else { continue };
            let read = match self.head(&file, &path)? {
                Ok(head) => each(day, &file, &head)?.map(|()| head),
                Err(what) => Err(what),
            };
            match read {
                Ok(head) => days.note(day, path, head),
                Err(what) => days.damaged.push((path, what)),
            }
        }
        Ok(days)
    }

    /// The head of a file of this store.
    pub(super) fn head(&self, file: &File, path: &Path) -> Result<std::result::Result<Head, &'static str>> {
        let head = match Head::read(file) {
            Ok(head) => head,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err("it is cut off"),
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        Ok(head.and_then(|head| match head.store == self.store {
            true => Ok(head),
            false => Err("it is of another store"),
        }))
    }
}

impl Days {
    /// Takes in a day's file.
    pub(super) fn note(&mut self, day: i64, path: PathBuf, head: Head) {
        for Summed { id, days, .. } in &head.segments {
            let (merged, all) = self.merged.entry(*id).or_default();
            merged.insert(day);
            all.clone_from(days);
        }
        self.files.insert(day, (path, head));
    }

    /// There is no such file any more.
    pub(super) fn forget(&mut self, day: i64) {
        self.files.remove(&day);
        for (merged, _) in self.merged.values_mut() {
            merged.remove(&day);
        }
    }

    /// Whether the sums of a segment for this day are in its file.
    pub(super) fn has(&self, id: SegmentId, day: i64) -> bool {
        self.merged.get(&id).is_some_and(|(merged, _)| merged.contains(&day))
    }

    /// Whether all sums of a segment are in files of days.
    pub(super) fn has_all(&self, id: SegmentId) -> bool {
        self.merged.get(&id).is_some_and(|(merged, all)| all.iter().all(|day| merged.contains(day)))
    }
}

/// Opens a file; nothing if there is none.
pub(super) fn open(path: &Path) -> Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("open", path)(error)),
    }
}

/// Writes a file so that it is there entirely or not at all. A report beside the daemon may write the same one: each
/// writes aside under a name of its own.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    make_folder(folder)?;
    let staged = path.with_extension(format!("{}.new", std::process::id()));
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(MODE).open(&staged)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&staged, path)
    };
    if let Err(error) = write() {
        // What is left of it would only take room.
        let _absent = fs::remove_file(&staged);
        return Err(Error::io("write", path)(error));
    }
    Ok(sync_folder(folder)?)
}

fn parse(name: &str, node: u16) -> Option<(u8, u32, u32)> {
    let rest = name.strip_prefix(&format!("n{node}-l"))?.strip_suffix(ENDING)?.strip_suffix('.')?;
    let (lane, rest) = rest.split_once("-s")?;
    let (segment, generation) = rest.split_once("-g")?;
    Some((lane.parse().ok()?, segment.parse().ok()?, generation.parse().ok()?))
}

fn day_of(date: &str) -> Option<i64> {
    let moment = Timestamp::parse(date, Some(0)).ok()?;
    (date.len() == 10).then(|| moment.micros().div_euclid(DAY_MICROS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_made() {
        let folder = Folder::new(Path::new("data"), [0; 16], 3);
        let id = SegmentId { journal: Journal::Clicks, lane: 7, segment: 12 };
        let path = folder.segment(id, 2);
        assert_eq!(path, Path::new("data/rollups/clicks/n3-l07-s0000012-g2.rollup"));
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!((parse(name, 3), parse(name, 4)), (Some((7, 12, 2)), None));
        for day in [0, 20_777, -1] {
            let path = folder.day(day);
            let date = path.file_stem().unwrap().to_str().unwrap();
            assert_eq!(day_of(date), Some(day), "{date}");
        }
        for name in ["2026-11-20T07:00:00Z", "2026-02-30", "x", ""] {
            assert_eq!(day_of(name), None, "{name}");
        }
    }
}
