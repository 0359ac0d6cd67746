//! Whether roll-ups are what their segments come to.
//!
//! In: the roll-ups of a data folder. Out: for each file that is not what it should be, what is wrong with it.
//! Keeps: it changes nothing, takes no lock, and what is merged, rewritten or dropped meanwhile is not taken for damage.
//! Not here: mending. A file that is deleted is made again (`rollup`).
//!
//! What a file says of a segment that was rewritten or dropped since cannot be compared: its checksums alone are looked at.

use std::fs;
use std::io;
use std::path::Path;

use crate::store::Progress;

use super::error::{Error, Result};
use super::rollup::{OfDays, Rollups, give};
use super::rollup_file::{Head, SegmentId, Summed, encode};
use super::rollup_folder::SegmentSums;
use super::rollup_sums::Tally;

/// What is to be done about a file of a segment, and about one of a day.
const MADE_AGAIN: &str = "delete it; it is made again";
const MADE_AGAIN_OF_ALL: &str = "delete it; it is made again of the segments that are still there";

/// Told of a file that is wrong, and what about it is.
pub(super) type Tell<'a> = &'a mut dyn FnMut(&Path, String);

/// Looks at each file, and says how many there were. `progress` is told how many are done, of how many.
///
/// # Errors
/// What the system says of a folder or of the manifest.
pub(super) fn check(rollups: &Rollups, progress: Progress<'_>, tell: Tell<'_>) -> Result<u64> {
    let segments: Vec<SegmentSums> = rollups.folder.segments()?.into_values().flatten().collect();
    let days = rollups.folder.days(|_, _, _| Ok(Ok(())))?;
    let total = (segments.len() + days.files.len() + days.damaged.len()) as u64;
    let mut done = 0;
    for (path, what) in &days.damaged {
        tell(path, format!("{what}: {MADE_AGAIN_OF_ALL}"));
    }
    for file in &segments {
        if let Some(wrong) = check_segment(rollups, file)? {
            tell(&file.path, format!("{wrong}: {MADE_AGAIN}"));
        }
        done += 1;
        progress(done, total);
    }
    for (day, (path, _)) in &days.files {
        if let Some(wrong) = check_day(rollups, *day, path)? {
            tell(path, format!("{wrong}: {MADE_AGAIN_OF_ALL}"));
        }
        done += 1;
        progress(done, total);
    }
    Ok(total)
}

fn check_segment(rollups: &Rollups, file: &SegmentSums) -> Result<Option<&'static str>> {
    let (head, found) = match load(rollups, &file.path)? {
        Some(Ok(read)) => read,
        Some(Err(wrong)) => return Ok(Some(wrong)),
        None => return Ok(None),
    };
    let [summed] = &head.segments[..] else { return Ok(Some("it is not of one segment")) };
    if (summed.id, summed.generation) != (file.id, file.generation) {
        return Ok(Some("it is of another segment than its name says"));
    }
    let Some(tally) = sums_of(rollups, summed) else { return Ok(None) };
    let is_same = summed.days == tally.days() && is_same(&tally, &found);
    Ok((!is_same).then_some("its sums are not those of its segment"))
}

fn check_day(rollups: &Rollups, day: i64, path: &Path) -> Result<Option<&'static str>> {
    let (head, found) = match load(rollups, path)? {
        Some(Ok(read)) => read,
        Some(Err(wrong)) => return Ok(Some(wrong)),
        None => return Ok(None),
    };
    let mut expected = OfDays::new(|of| of == day);
    for summed in &head.segments {
        let Some(tally) = sums_of(rollups, summed) else { return Ok(None) };
        give(&tally, &mut expected);
    }
    let is_same = is_same(&expected.tally, &found);
    Ok((!is_same).then_some("its sums are not those of its segments"))
}

/// What a file says, or what is wrong with it; nothing if it is gone.
fn load(rollups: &Rollups, path: &Path) -> Result<Option<std::result::Result<(Head, Tally), &'static str>>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    let mut sums = OfDays::new(|_| true);
    let read = Head::decode(&bytes).and_then(|head| head.rows(&bytes, &mut sums).map(|()| head));
    Ok(Some(match read {
        Ok(head) if head.store != rollups.folder.store() => Err("it is of another store"),
        Ok(head) => Ok((head, sums.tally)),
        Err(wrong) => Err(wrong),
    }))
}

/// What a segment comes to; nothing if it is not the rewrite that was summed up, or cannot be read, which is said of itself.
fn sums_of(rollups: &Rollups, summed: &Summed) -> Option<Tally> {
    let is_it =
        |id: SegmentId| rollups.footer(id).is_ok_and(|(generation, _)| generation == summed.generation);
    let tally = if is_it(summed.id) { rollups.tally(summed.id).ok()? } else { return None };
    // It may have been rewritten meanwhile.
    is_it(summed.id).then_some(tally)
}

/// The same sums have the same bytes, in whatever order they were added.
fn is_same(one: &Tally, other: &Tally) -> bool {
    encode([0; 16], &[], one) == encode([0; 16], &[], other)
}
