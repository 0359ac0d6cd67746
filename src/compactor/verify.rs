//! Whether what follows from the journals is what it should be: roll-ups, and published files.
//!
//! In: a data folder, in use or not. Out: what was looked at, and what is wrong with it, each with what to do.
//! Keeps: it changes nothing and takes no lock. What is published, merged, replaced or withdrawn at this moment is not taken
//! for damage: what is missing is looked up once more in what is written down by then.
//! Not here: the journals (`store::verify`), and mending: all of this is made again of the journals.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::store::described;
use crate::store::manifest::Manifest;
use crate::store::reader::Reader;
use crate::store::verify::{Finding, Severity};

use super::clicks::Clicks;
use super::closed::Closed;
use super::conversions::Conversions;
use super::deliveries::Deliveries;
use super::error::Result;
use super::folder::{Day, Folder};
use super::publish::{Publication, Published};
use super::publisher::is_current;
use super::rollup::Rollups;
use super::rollup_check;
use super::swap;
use super::table::Table;

/// Bytes of a file that are read at once.
const READ_BYTES: usize = 1024 * 1024;

/// What was looked at, and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Derived {
    /// Files of roll-ups.
    pub rollups: u64,
    /// Published files that are written down.
    pub published_files: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Looks at everything that the compactor has made. `published` is where its files are, if that is not the data folder.
/// `progress` is told of each file of roll-ups and each record of published ones: how many are done, of how many.
///
/// # Errors
/// What the system says of a folder; what is wrong with a file is a finding.
pub fn verify(reader: &Reader, published: &Folder, progress: crate::store::Progress<'_>) -> Result<Derived> {
    let mut check = Check {
        root: reader.directory().root(),
        folder: published,
        manifest: Manifest::peek(reader.directory()).ok().flatten(),
        derived: Derived::default(),
    };
    // A damaged manifest is found by whoever checks the journals; nothing can be compared then.
    if let Ok(Some(rollups)) = Rollups::open(reader) {
        let mut found = Vec::new();
        check.derived.rollups =
            rollup_check::check(&rollups, progress, &mut |path, what| found.push((path.to_owned(), what)))?;
        found.into_iter().for_each(|(path, what)| check.damage(&path, what));
    }
    check.table::<Clicks>(progress)?;
    check.table::<Conversions>(progress)?;
    check.table::<Deliveries>(progress)?;
    Ok(check.derived)
}

struct Check<'a> {
    root: &'a Path,
    folder: &'a Folder,
    manifest: Option<Manifest>,
    derived: Derived,
}

impl Check<'_> {
    fn damage(&mut self, path: &Path, what: impl Into<String>) {
        let file = path.strip_prefix(self.root).unwrap_or(path).display().to_string();
        self.derived.findings.push(Finding {
            severity: Severity::Damage,
            file,
            offset: 0,
            what: what.into(),
        });
    }

    fn table<T: Table>(&mut self, progress: crate::store::Progress<'_>) -> Result<()> {
        let meta = self.folder.meta::<T>();
        let records: Vec<PathBuf> = swap::names(&meta)?
            .iter()
            .filter(|name| name.starts_with('n'))
            .map(|name| meta.join(name))
            .collect();
        let days: Vec<Day> = swap::days(&meta)?.iter().filter_map(|path| Day::of_path(path)).collect();
        let total = (records.len() + days.len()) as u64;
        // Of a day that nothing can be read of, nobody can say whether a segment's own file should be there.
        let mut unreadable = BTreeSet::new();
        for (done, day) in (1..).zip(&days) {
            if !self.closed::<T>(*day)? {
                unreadable.insert(*day);
            }
            progress(done, total);
        }
        for (done, record) in (days.len() as u64 + 1..).zip(&records) {
            self.record::<T>(record, &unreadable)?;
            progress(done, total);
        }
        Ok(())
    }

    /// What is written down of a segment.
    fn record<T: Table>(&mut self, record: &Path, unreadable: &BTreeSet<Day>) -> Result<()> {
        let Some(publication) = Publication::read(record)? else {
            if record.exists() {
                self.damage(
                    record,
                    "it cannot be read: delete it and start the daemon again; it is made again",
                );
            }
            return Ok(());
        };
        for file in &publication.files {
            let wrong = self.look(file);
            // Of an earlier rewrite, or of a segment that was dropped: it is on its way out.
            let is_expected =
                || self.manifest.as_ref().is_none_or(|manifest| is_current::<T>(manifest, &publication));
            match wrong {
                Wrong::Nothing => self.derived.published_files += 1,
                Wrong::Missing
                    if !is_expected() || file.day().is_some_and(|day| unreadable.contains(&day)) => {}
                Wrong::Missing if self.is_in_a_day::<T>(file, &publication)? => {}
                // It may have been withdrawn meanwhile.
                wrong if Publication::read(record)?.as_ref() == Some(&publication) => self.say(file, &wrong),
                _ => {}
            }
        }
        Ok(())
    }

    /// What is written down of a day; says whether it can be read.
    fn closed<T: Table>(&mut self, day: Day) -> Result<bool> {
        let path = self.folder.closed::<T>(day);
        let Some(closed) = Closed::read::<T>(self.folder, day)? else {
            if path.exists() {
                self.damage(
                    &path,
                    "it cannot be read: delete it and start the daemon again; the day is merged again",
                );
            }
            return Ok(!path.exists());
        };
        for file in &closed.files {
            match self.look(file) {
                Wrong::Nothing => self.derived.published_files += 1,
                // The next revision of the day may be on its way into place.
                wrong => {
                    let is_so = Closed::read::<T>(self.folder, day)?.as_ref() == Some(&closed);
                    if is_so && Closed::announced::<T>(self.folder, day)?.is_none() {
                        self.say(file, &wrong);
                    }
                }
            }
        }
        Ok(true)
    }

    /// Whether the rows of this file are in one of a whole day, or are about to be.
    fn is_in_a_day<T: Table>(&self, file: &Published, publication: &Publication) -> Result<bool> {
        let Some(day) = file.day() else { return Ok(false) };
        // In this order, because what is announced is closed next.
        let announced = Closed::announced::<T>(self.folder, day)?;
        let closed = Closed::read::<T>(self.folder, day)?;
        Ok(announced.into_iter().chain(closed).any(|closed| closed.has(publication)))
    }

    fn say(&mut self, file: &Published, wrong: &Wrong) {
        let again = "start the daemon again, and it is published again";
        let what = match wrong {
            Wrong::Nothing => return,
            Wrong::Missing => format!("the published file is gone: {again}"),
            Wrong::Length(bytes) => {
                format!("it has {bytes} bytes, and {} were published: delete it and {again}", file.bytes)
            }
            Wrong::Sum => format!("its checksum is not that of what was published: delete it and {again}"),
            Wrong::Unreadable(what) => format!("it cannot be read: {what}"),
        };
        self.damage(&self.folder.export().join(&file.path), what);
    }

    fn look(&self, file: &Published) -> Wrong {
        match self.sum(file) {
            Ok((bytes, _)) if bytes != file.bytes => Wrong::Length(bytes),
            // Files of before checksums were written down have none.
            Ok((_, sum)) if file.crc32c.is_some_and(|expected| expected != sum) => Wrong::Sum,
            Ok(_) => Wrong::Nothing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Wrong::Missing,
            Err(error) => Wrong::Unreadable(described(&error)),
        }
    }

    /// How long it is, and its checksum.
    fn sum(&self, file: &Published) -> io::Result<(u64, u32)> {
        let mut open = File::open(self.folder.export().join(&file.path))?;
        let (mut buffer, mut bytes, mut sum) = (vec![0; READ_BYTES], 0, 0);
        loop {
            let read = match open.read(&mut buffer) {
                Ok(0) => return Ok((bytes, sum)),
                Ok(read) => buffer.get(..read).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            sum = crc32c::crc32c_append(sum, read);
            bytes += read.len() as u64;
        }
    }
}

/// What is wrong with a published file.
enum Wrong {
    Nothing,
    Missing,
    Length(u64),
    Sum,
    Unreadable(String),
}
