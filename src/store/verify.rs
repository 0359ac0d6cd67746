//! Walks everything in a data folder and says what is wrong with it. Changes nothing, takes no lock.
//!
//! In: a data folder, in use or not. Out: counts and findings, for people (`Display`) and programs (`Serialize`).
//! Keeps: every byte below a footer's end is read and every record's checksum and archive is checked.
//! Not here: mending (`recovery`, at the next start).

use std::fmt;
use std::fs::{self, File};
use std::path::Path;

use rkyv::util::AlignedVec;
use serde::Serialize;

use super::Journal;
use super::directory::{Directory, SegmentFile, index_path};
use super::error::{Error, Result, described};
use super::index_file::{IndexMap, Slot};
use super::keys;
use super::layout::Footer;
use super::manifest::{Manifest, State};
use super::mapping::FrozenMap;
use super::record::{BODY_OFFSET, Found, read_at};
use super::recovery::examine;
use super::scan::Tail;
use super::sealed::read_footer;
use super::segment::map_name;
use crate::event::codec::decode;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is lost.
    Note,
    /// Something that was promised is lost or cannot be read.
    Damage,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Which file, from the data folder.
    pub file: String,
    /// Where in it, in bytes.
    pub offset: u64,
    /// What.
    pub what: String,
}

/// What was walked and found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Sealed segments that were read.
    pub sealed_segments: u64,
    /// Segments that are still written, or were left so by an unclean stop.
    pub open_segments: u64,
    /// Records in all of them.
    pub records: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Gaps that recovery fenced off, and how many of them were promised.
    pub gaps: u64,
    /// See `gaps`.
    pub corrupt_gaps: u64,
    /// Files kept in `quarantine/`.
    pub quarantined_files: u64,
    /// Files of roll-ups that were looked at, by whoever knows what is made of journals.
    pub rollups: u64,
    /// Published files that were looked at, likewise.
    pub published_files: u64,
    /// What was found.
    pub findings: Vec<Finding>,
}

impl Verified {
    /// Whether nothing is damaged.
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity != Severity::Damage)
    }

    fn find(&mut self, severity: Severity, file: &str, offset: u64, what: impl Into<String>) {
        self.findings.push(Finding { severity, file: file.to_owned(), offset, what: what.into() });
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sealed_segments, open_segments, records, bytes, gaps, corrupt_gaps, .. } = self;
        writeln!(
            f,
            "{records} records, {bytes} bytes in {sealed_segments} sealed and {open_segments} open segments"
        )?;
        writeln!(
            f,
            "{gaps} gaps, {corrupt_gaps} of them promised; {} files in quarantine",
            self.quarantined_files
        )?;
        if self.rollups + self.published_files > 0 {
            writeln!(f, "{} roll-ups, {} published files", self.rollups, self.published_files)?;
        }
        for finding in &self.findings {
            let severity = match finding.severity {
                Severity::Note => "note",
                Severity::Damage => "DAMAGE",
            };
            writeln!(f, "{severity}: {} at byte {}: {}", finding.file, finding.offset, finding.what)?;
        }
        f.write_str(if self.is_sound() { "sound" } else { "not sound" })
    }
}

/// Walks a data folder. `progress` is told of each segment: how many are done, of how many.
///
/// # Errors
/// Only if the folder itself cannot be read; what is wrong in it is a finding.
pub fn verify(directory: &Directory, progress: &mut dyn FnMut(u64, u64)) -> Result<Verified> {
    fs::read_dir(directory.root()).map_err(Error::io("read", directory.root()))?;
    let mut verified = Verified::default();
    let manifest = check_manifest(directory, &mut verified);
    let mut files = Vec::new();
    for (journal, lane) in directory.lanes()? {
        files.extend(directory.segments(journal, lane)?.into_iter().map(|file| (journal, lane, file)));
    }
    let total = files.len() as u64;
    for (done, (journal, lane, file)) in (1..).zip(&files) {
        let name = relative(directory, &file.path);
        if let Err(error) = check_segment(file, (*journal, *lane), &name, manifest.as_ref(), &mut verified) {
            verified.find(Severity::Damage, &name, 0, described(&error));
        }
        progress(done, total);
    }
    if let Some(manifest) = &manifest {
        check_listed(directory, manifest, &files, &mut verified);
        check_keys(directory, manifest, &mut verified);
    }
    verified.quarantined_files = fs::read_dir(directory.quarantine()).map_or(0, |files| files.count() as u64);
    Ok(verified)
}

fn check_manifest(directory: &Directory, verified: &mut Verified) -> Option<Manifest> {
    match Manifest::peek(directory) {
        Ok(Some(manifest)) => Some(manifest),
        Ok(None) => {
            verified.find(Severity::Note, ".", 0, "there is no store here");
            None
        }
        Err(error) => {
            verified.find(Severity::Damage, "manifest", 0, described(&error));
            None
        }
    }
}

fn check_keys(directory: &Directory, manifest: &Manifest, verified: &mut Verified) {
    let has_clicks =
        manifest.lanes.iter().any(|((of, _), lane)| *of == Journal::Clicks && lane.next_segment > 0);
    if has_clicks && keys::existing_versions(directory).is_empty() {
        verified.find(Severity::Damage, "keys", 0, "no click-id key is there: no id can be read");
    }
}

/// Compares what the manifest lists with what is there.
fn check_listed(
    directory: &Directory,
    manifest: &Manifest,
    files: &[(Journal, u8, SegmentFile)],
    verified: &mut Verified,
) {
    for ((journal, lane), entry) in &manifest.lanes {
        for (segment, entry) in &entry.segments {
            let is_there =
                files.iter().any(|(of, at, file)| (of, at, file.segment) == (journal, lane, *segment));
            let path = directory.segment(*journal, *lane, *segment, entry.generation);
            let name = relative(directory, &path);
            match entry.state {
                State::Quarantined => verified.find(Severity::Damage, &name, 0, "it is in quarantine"),
                State::Open | State::Sealed | State::Missing if !is_there => {
                    verified.find(Severity::Damage, &name, 0, "the file is gone");
                }
                _ => {}
            }
        }
    }
}

fn check_segment(
    file: &SegmentFile,
    (journal, lane): (Journal, u8),
    name: &str,
    manifest: Option<&Manifest>,
    verified: &mut Verified,
) -> Result<()> {
    let open = File::open(&file.path).map_err(Error::io("open", &file.path))?;
    let Some(footer) = read_footer(&open).map_err(Error::io("read", &file.path))? else {
        return check_open(&open, file, (journal, lane), name, manifest, verified);
    };
    let identity = footer.identity;
    let is_itself = (identity.journal, identity.lane, identity.segment, identity.generation)
        == (journal, lane, file.segment, file.generation)
        && manifest.is_none_or(|manifest| (manifest.store, manifest.node) == (identity.store, identity.node));
    if !is_itself {
        verified.find(Severity::Damage, name, 0, format!("it says that it is another segment: {identity:?}"));
        return Ok(());
    }
    let map = FrozenMap::open(&open, map_name(&identity)).map_err(Error::io("map", &file.path))?;
    verified.sealed_segments += 1;
    verified.gaps += u64::from(footer.summary.gaps);
    verified.corrupt_gaps += u64::from(footer.summary.corrupt_gaps);
    if footer.summary.corrupt_gaps > 0 {
        verified.find(Severity::Damage, name, 0, "synced records were lost; a copy is in quarantine");
    }
    check_sealed(map.bytes(), &footer, file, name, verified);
    Ok(())
}

fn check_sealed(bytes: &[u8], footer: &Footer, file: &SegmentFile, name: &str, verified: &mut Verified) {
    let (seed, summary) = (footer.identity.seed(), &footer.summary);
    let body = bytes.get(BODY_OFFSET as usize..summary.end as usize).unwrap_or_default();
    if crc32c::crc32c(body) != footer.body_crc {
        verified.find(Severity::Damage, name, 0, "the checksum over the whole body does not match");
    }
    let index = IndexMap::open(&file.path, seed, map_name(&footer.identity));
    if index.is_none() {
        let index_name = index_path(Path::new(name)).display().to_string();
        verified.find(Severity::Note, &index_name, 0, "it is missing or damaged, and will be made again");
    }
    let (mut offset, mut records, mut next_ordinal) = (BODY_OFFSET, 0, 0);
    while offset < summary.end {
        let Found::Record(record) = read_at(bytes, seed, offset) else {
            verified.find(Severity::Damage, name, offset.into(), "there is no valid record");
            break;
        };
        offset = record.end();
        if record.is_gap() {
            continue;
        }
        if let Err(error) = decode(record.kind, record.schema, record.payload) {
            verified.find(Severity::Damage, name, record.offset.into(), error.to_string());
        }
        if record.ordinal < next_ordinal {
            verified.find(Severity::Damage, name, record.offset.into(), "its ordinal was used before");
        }
        let indexed = index.as_ref().map(|index| index.slot(record.ordinal));
        if indexed.is_some_and(|slot| slot != Slot::At(record.offset)) {
            verified.find(Severity::Damage, name, record.offset.into(), "the index does not lead to it");
        }
        next_ordinal = record.ordinal + 1;
        records += 1;
    }
    if records != summary.records {
        let what = format!("{records} records, but the footer says {}", summary.records);
        verified.find(Severity::Damage, name, 0, what);
    }
    verified.records += u64::from(records);
    verified.bytes += u64::from(summary.end - BODY_OFFSET);
}

/// A segment that is not sealed is copied, never mapped: its writer may be at work.
fn check_open(
    open: &File,
    file: &SegmentFile,
    (journal, lane): (Journal, u8),
    name: &str,
    manifest: Option<&Manifest>,
    verified: &mut Verified,
) -> Result<()> {
    verified.open_segments += 1;
    let Some(manifest) = manifest else { return Ok(()) };
    let mut image = AlignedVec::<16>::new();
    image.extend_from_reader(&mut &*open).map_err(Error::io("read", &file.path))?;
    let identity = super::layout::Identity {
        store: manifest.store,
        journal,
        node: manifest.node,
        lane,
        segment: file.segment,
        generation: file.generation,
    };
    let tail = if journal == Journal::Clicks { Tail::Salvage } else { Tail::Cut };
    let Some((_, _, found)) = examine(&image, &identity, tail) else {
        verified.find(Severity::Damage, name, 0, "its header cannot be read, or is of another segment");
        return Ok(());
    };
    verified.records += u64::from(found.summary.records);
    verified.bytes += u64::from(found.summary.end - BODY_OFFSET);
    for gap in &found.gaps {
        let (severity, what) = if gap.is_corrupt {
            (Severity::Damage, "synced bytes are no record")
        } else {
            (Severity::Note, "bytes of an interrupted write")
        };
        verified.find(severity, name, gap.start.into(), what);
    }
    if found.undecodable > 0 {
        let what = format!("{} records cannot be read by this build", found.undecodable);
        verified.find(Severity::Damage, name, 0, what);
    }
    Ok(())
}

fn relative(directory: &Directory, path: &Path) -> String {
    path.strip_prefix(directory.root()).unwrap_or(path).display().to_string()
}
