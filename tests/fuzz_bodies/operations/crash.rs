//! What a crash leaves on disk, as files.
//!
//! Keeps: what was synced stays as it is; above that, and in a file that a crash stopped from being made,
//! anything goes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clicklog::store::Position;
use clicklog::store::directory::Directory;
use clicklog::store::layout::{Footer, Header, MARK_OFFSET, Mark, PAGE_BYTES, mark_word, read_mark};
use clicklog::store::manifest::{Manifest, ManifestFile, State};
use clicklog::store::record::{BODY_OFFSET, FOOTER_BYTES, FRAME_BYTES, Found, Frame, read_at};

use super::super::Bytes;
use super::model::{LANES, Model};

/// Copies a data folder as it is in the page cache, all but its lock.
pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else if name != "LOCK" {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// The segments of all lanes that have a footer, with their bytes.
pub(super) fn sealed(data: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let directory = Directory::new(data);
    let segments = LANES.iter().flat_map(|(journal, number)| directory.segments(*journal, *number).unwrap());
    let files = segments.map(|segment| (segment.path.clone(), fs::read(segment.path).unwrap()));
    files.filter(|(_, bytes)| footer(bytes).is_some()).collect()
}

fn footer(bytes: &[u8]) -> Option<Footer> {
    Footer::from_bytes(bytes.get(bytes.len().checked_sub(FOOTER_BYTES as usize)?..)?)
}

/// Brings the first so many segments of a folder to what recovery has made of them in `recovered`.
pub(super) fn recover_half(data: &Path, recovered: &Path, reached: u8) {
    let before = sealed(data);
    let after = sealed(recovered);
    let place = |path: &Path| data.join(path.strip_prefix(recovered).unwrap());
    let done = after.keys().filter(|path| place(path).exists() && !before.contains_key(&place(path)));
    for path in done.take(usize::from(reached % 4)) {
        fs::copy(path, place(path)).unwrap();
        let index = path.with_extension("idx");
        if index.exists() {
            fs::copy(&index, place(&index)).unwrap();
        }
    }
}

/// Leaves something half done: the next change of the manifest, a seal, a new segment.
pub(super) fn interrupt(data: &Path, bytes: &mut Bytes<'_>) {
    let [how, lane, reached] = bytes.take();
    if how & 1 != 0 {
        tear_manifest(data, reached);
    }
    let directory = Directory::new(data);
    let (journal, number) = LANES[usize::from(lane) % LANES.len()];
    let mut manifest = ManifestFile::load(&directory).unwrap().unwrap();
    if how & 2 != 0
        && let Some((path, image)) = sealed(data).into_iter().rev().find(|(_, image)| {
            let identity = footer(image).unwrap().identity;
            (identity.journal, identity.lane) == (journal, number)
        })
    {
        let segment = footer(&image).unwrap().identity.segment;
        unseal(&path, image, reached);
        let open = |manifest: &mut Manifest| {
            manifest.set(journal, number, segment, State::Open);
            Ok(())
        };
        manifest.update(open).unwrap();
    }
    if how & 4 != 0 {
        let segment = manifest.update(|manifest| manifest.reserve(journal, number)).unwrap();
        let path = directory.segment(journal, number, segment, 0);
        if how & 8 != 0 {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![0; usize::from(reached) * 256]).unwrap();
        }
    }
}

/// Writes half of another manifest over the one that is not current.
fn tear_manifest(data: &Path, reached: u8) {
    let slots = ["manifest-a", "manifest-b"].map(|name| data.join(name));
    let read = |path: &PathBuf| Manifest::decode(&fs::read(path).unwrap_or_default()).ok();
    let [Some(a), Some(b)] = slots.each_ref().map(read) else { return };
    let (older, newer) = if a.sequence < b.sequence { (&slots[0], &b) } else { (&slots[1], &a) };
    let next = Manifest { sequence: newer.sequence + 1, clean: !newer.clean, ..newer.clone() }.encode();
    let mut torn = fs::read(older).unwrap();
    let reached = usize::from(reached).min(next.len() - 1).min(torn.len());
    torn[..reached].copy_from_slice(&next[..reached]);
    fs::write(older, torn).unwrap();
}

/// Takes back a seal, all but so many bytes of the footer.
fn unseal(path: &Path, mut image: Vec<u8>, reached: u8) {
    let page = image.len() - FOOTER_BYTES as usize;
    image[page + usize::from(reached) % PAGE_BYTES..].fill(0);
    fs::write(path, image).unwrap();
    // Nothing was there yet, or a derived file was lost before.
    let _gone = fs::remove_file(path.with_extension("idx"));
}

/// Damages what was not synced of each segment that is not sealed, and tells the maps what is gone.
pub(super) fn tear(
    data: &Path,
    synced: &[Option<Position>; LANES.len()],
    model: &mut Model,
    bytes: &mut Bytes<'_>,
) {
    let directory = Directory::new(data);
    for (lane, (journal, number)) in LANES.into_iter().enumerate() {
        for file in directory.segments(journal, number).unwrap() {
            let before = fs::read(&file.path).unwrap();
            let Some(header) = Header::from_front(&before).filter(|_| footer(&before).is_none()) else {
                continue;
            };
            let seed = header.identity.seed();
            let Mark::Synced(mark) = read_mark(&before, seed) else { panic!("a mark is never half stored") };
            let promised = synced[lane].filter(|synced| synced.segment() == file.segment);
            assert!(promised.is_none_or(|synced| synced.offset() <= mark), "the mark lies behind a promise");
            let mut after = before.clone();
            damage(&mut after, mark as usize, bytes);
            age_mark(&mut after, seed, mark, bytes);
            model.tear(lane, file.segment, |offset| is_whole(&before, &after, offset));
            fs::write(&file.path, after).unwrap();
        }
    }
}

/// Damages some of the bytes from `floor` on.
fn damage(image: &mut Vec<u8>, floor: usize, bytes: &mut Bytes<'_>) {
    let how = bytes.u8();
    let used = image.iter().rposition(|byte| *byte != 0).map_or(floor, |last| floor.max(last + 1));
    let limit = (used + 64).min(image.len() - FOOTER_BYTES as usize);
    if limit == floor {
        return;
    }
    let start = floor + usize::from(bytes.u16()) % (limit - floor);
    let end = limit.min(start + 1 + usize::from(bytes.u16()) % 2_048);
    match how % 8 {
        0 => {}
        // Nothing has arrived since the last sync.
        1 => image[floor..limit].fill(0),
        2 => image[start..end].fill(0),
        3 => image[start..end].iter_mut().for_each(|byte| *byte ^= how | 1),
        4 => image[start..end].fill(0xA5),
        5 => image.truncate(start),
        6 => image[start..limit].fill(0),
        _ => {
            // Each page reached the disk, or did not.
            for page in (floor / 4_096..limit.div_ceil(4_096)).filter(|page| end >> (page % 11) & 1 == 1) {
                image[(page * 4_096).max(floor)..limit.min((page + 1) * 4_096)].fill(0);
            }
        }
    }
}

/// The mark on disk may be that of an earlier sync, or none.
fn age_mark(image: &mut [u8], seed: u32, mark: u32, bytes: &mut Bytes<'_>) {
    let how = bytes.u8();
    if how % 4 != 3 {
        return;
    }
    let mut older = vec![BODY_OFFSET];
    let mut offset = BODY_OFFSET;
    while let Found::Record(record) = read_at(image, seed, offset)
        && record.end() <= mark
    {
        offset = record.end();
        older.push(offset);
    }
    let offset = older[usize::from(how >> 2) % older.len()];
    let word = if offset == BODY_OFFSET { 0 } else { mark_word(seed, offset) };
    let at = usize::try_from(MARK_OFFSET).unwrap();
    image[at..at + 8].copy_from_slice(&word.to_le_bytes());
}

/// Whether the record that stood here still does. Its padding does not matter.
fn is_whole(before: &[u8], after: &[u8], offset: u32) -> bool {
    let start = offset as usize;
    let frame = Frame::from_bytes(*before[start..].first_chunk().unwrap());
    let end = start + (FRAME_BYTES + frame.len) as usize;
    after.get(start..end) == Some(&before[start..end])
}

/// Removes or damages some of what can be made again: index files, the checkpoint of the dedupe table.
pub(super) fn lose_derived(data: &Path, bytes: &mut Bytes<'_>) {
    let directory = Directory::new(data);
    let how = bytes.u8();
    let which = bytes.u32();
    let indexes = sealed(data).into_keys().map(|path| path.with_extension("idx"));
    let files = indexes.chain([directory.dedupe_checkpoint()]).filter(|path| path.exists());
    for (_, path) in (0..).zip(files).filter(|(nth, _)| which >> (nth % 32) & 1 == 1) {
        let mut image = fs::read(&path).unwrap();
        let at = usize::from(how).min(image.len().saturating_sub(1));
        match how % 3 {
            1 if !image.is_empty() => {
                image[at] ^= 0x10;
                fs::write(path, image).unwrap();
            }
            2 if !image.is_empty() => fs::write(path, &image[..at]).unwrap(),
            _ => fs::remove_file(path).unwrap(),
        }
    }
}
