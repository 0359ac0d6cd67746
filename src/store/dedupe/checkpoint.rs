//! The dedupe table as a file, so that a start need not read the whole journal.
//!
//! In: the table, its key, and `covered`: everything in the journal below this position is in the table, and
//! nothing at or above it is. Out: the same, or nothing, or why the file was refused.
//! Keeps: a file under the final name is whole. It is written beside it, synced, then renamed.
//! Refuses: any file that is not exactly what was written with this key. Both nothing and a refusal lead to
//! a rebuild from the journal; a refusal is counted as well.
//! Not here: when to write one. Sync the journal up to `covered` first, and after a crash use a checkpoint
//! only if the journal still reaches `covered`: otherwise it tells of records that were lost.
//!
//! # Format, version 1
//!
//! Little-endian. The file has exactly 40 + 16 * `entries` bytes.
//!
//! | at | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic, `CLDD` |
//! | 4 | 4 | version of the format |
//! | 8 | 8 | fingerprint of the hash key |
//! | 16 | 8 | `covered`, segment in the upper half |
//! | 24 | 8 | `entries`, their number |
//! | 32 | 4 | crc32c of bytes 0 to 31 |
//! | 36 | 16 * `entries` | each: hash, then position (not 0, below `covered`); hashes never descend |
//! | end - 4 | 4 | crc32c of the entries, seeded with the one at 32, so that halves of two files never match |

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::key::DedupeKey;
use super::table::{Builder, Table};
use crate::store::position::Position;

const MAGIC: [u8; 4] = *b"CLDD";
const VERSION: u32 = 1;

const VERSION_AT: usize = 4;
const FINGERPRINT_AT: usize = 8;
const COVERED_AT: usize = 16;
const ENTRIES_AT: usize = 24;
const HEADER_CHECKSUM_AT: usize = 32;
const HEADER_LEN: usize = 36;
const ENTRY_LEN: usize = 16;
const TRAILER_LEN: usize = 4;

/// Entries are read and written this many bytes at a time: few calls, and it stays in the second-level cache.
const CHUNK_BYTES: usize = 64 * 1024;

const _: () = assert!(CHUNK_BYTES.is_multiple_of(ENTRY_LEN), "a chunk ends between two entries");
const _: () = assert!(HEADER_CHECKSUM_AT + 4 == HEADER_LEN, "the checksum ends the header");

/// What a checkpoint file holds.
#[derive(Debug)]
pub struct Checkpoint {
    /// Everything in the journal below this is in the table: go on reading there.
    pub covered: Position,
    /// The table as it was.
    pub table: Table,
}

/// Why a checkpoint file is not used. The table is rebuilt from the journal instead.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The file is there and cannot be read.
    #[error("the dedupe checkpoint cannot be read")]
    Read(#[source] io::Error),
    /// The length is not what the header says, or there is no room for a header.
    #[error("the dedupe checkpoint has {len} bytes, which do not fit its header")]
    Length {
        /// Length of the file in bytes.
        len: u64,
    },
    /// It starts like something else.
    #[error("the dedupe checkpoint does not start with its magic")]
    Magic,
    /// Another version of clicklog wrote it.
    #[error("the dedupe checkpoint has format version {0}, known is {VERSION}")]
    Version(u32),
    /// The header is damaged.
    #[error("the header of the dedupe checkpoint is damaged")]
    HeaderChecksum,
    /// The header's checksum is right, and its covered position is between two records.
    #[error("the dedupe checkpoint covers up to {0:#x}, which is no position")]
    Covered(u64),
    /// It was written with another hash key, so none of its hashes would ever be found.
    #[error("the dedupe checkpoint was written with another hash key")]
    OtherKey,
    /// The limit is lower than it was. A rebuild meets it as well.
    #[error("the dedupe checkpoint holds {entries} entries, the maximum is {entries_max}")]
    TooMany {
        /// Entries in the file.
        entries: u64,
        /// The limit.
        entries_max: usize,
    },
    /// An entry that no table gives.
    #[error("entry {index} of the dedupe checkpoint is impossible: {what}")]
    Entry {
        /// Which one, counted from 0.
        index: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// An entry is damaged, or the checksum itself.
    #[error("the entries of the dedupe checkpoint are damaged")]
    BodyChecksum,
}

/// A checkpoint was not written. The one before is untouched, unless only the last step, syncing the
/// directory, failed: then either may be found after a power loss, and both are whole.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step} {path}", path = path.display())]
pub struct WriteFailed {
    /// What was tried.
    pub step: &'static str,
    /// On which file or directory.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// Writes the checkpoint file `path`, durably: all of it, or the former one stays.
///
/// Takes as long as the disk does. An owner that must not wait gives a clone of its table to another thread.
///
/// # Errors
///
/// [`WriteFailed`], naming the step.
///
/// # Panics
///
/// If an entry of the table is not below `covered`.
pub fn write(path: &Path, table: &Table, key: &DedupeKey, covered: Position) -> Result<(), WriteFailed> {
    let mut temporary = OsString::from(path);
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let written = write_synced(&temporary, table, key, covered)
        .and_then(|()| fs::rename(&temporary, path).map_err(failed("rename", &temporary)));
    if written.is_err() {
        // Gives the blocks back to a full disk. If it fails too, the next write truncates the file.
        let _ = fs::remove_file(&temporary);
    }
    written.and_then(|()| sync_directory_of(path))
}

fn write_synced(path: &Path, table: &Table, key: &DedupeKey, covered: Position) -> Result<(), WriteFailed> {
    let mut file = File::create(path).map_err(failed("create", path))?;
    encode(table, key, covered, &mut file).map_err(failed("write", path))?;
    file.sync_all().map_err(failed("sync", path))
}

fn sync_directory_of(path: &Path) -> Result<(), WriteFailed> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(failed("sync directory", directory))
}

fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WriteFailed {
    let path = path.to_path_buf();
    move |source| WriteFailed { step, path, source }
}

/// Reads the checkpoint file `path`; `None` if there is none.
///
/// # Errors
///
/// [`Refused`] if there is one and it is not to be used.
pub fn read(path: &Path, key: &DedupeKey, entries_max: usize) -> Result<Option<Checkpoint>, Refused> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Refused::Read(error)),
    };
    let len = file.metadata().map_err(Refused::Read)?.len();
    decode_from(&mut file, len, key, entries_max).map(Some)
}

/// Writes the bytes of a checkpoint to `out`, in large pieces.
///
/// # Errors
///
/// Whatever `out` gives.
///
/// # Panics
///
/// If an entry of the table is not below `covered`.
pub fn encode(table: &Table, key: &DedupeKey, covered: Position, out: &mut impl Write) -> io::Result<()> {
    let header = Header { fingerprint: key.fingerprint(), covered, entries: table.len() as u64 };
    let header = header.to_bytes();
    out.write_all(&header)?;
    let mut checksum = u32_at(&header, HEADER_CHECKSUM_AT);
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    for (hash, position) in table.iter() {
        assert!(position < covered, "a checkpoint holds what the journal has below `covered`");
        chunk.extend_from_slice(&hash.to_le_bytes());
        chunk.extend_from_slice(&position.to_u64().to_le_bytes());
        if chunk.len() == CHUNK_BYTES {
            checksum = crc32c::crc32c_append(checksum, &chunk);
            out.write_all(&chunk)?;
            chunk.clear();
        }
    }
    checksum = crc32c::crc32c_append(checksum, &chunk);
    chunk.extend_from_slice(&checksum.to_le_bytes());
    out.write_all(&chunk)
}

/// The checkpoint in `bytes`, which hold nothing else.
///
/// # Errors
///
/// [`Refused`] for any bytes that [`encode`] does not give for this key.
///
/// # Panics
///
/// If `entries_max` is above [`ENTRIES_MAX_LIMIT`](super::ENTRIES_MAX_LIMIT).
pub fn decode(mut bytes: &[u8], key: &DedupeKey, entries_max: usize) -> Result<Checkpoint, Refused> {
    let len = bytes.len() as u64;
    decode_from(&mut bytes, len, key, entries_max)
}

/// [`decode`] of a source of `len` bytes, one chunk at a time: a start holds the table once, not twice.
fn decode_from(
    source: &mut impl Read,
    len: u64,
    key: &DedupeKey,
    entries_max: usize,
) -> Result<Checkpoint, Refused> {
    let Some(body_len) = len.checked_sub((HEADER_LEN + TRAILER_LEN) as u64) else {
        return Err(Refused::Length { len });
    };
    let mut bytes = [0; HEADER_LEN];
    source.read_exact(&mut bytes).map_err(Refused::Read)?;
    let header = Header::from_bytes(&bytes)?;
    if header.fingerprint != key.fingerprint() {
        return Err(Refused::OtherKey);
    }
    // Divided, because a hostile `entries` times 16 may not fit. From here on, what is allocated is
    // justified by bytes that are there.
    if !body_len.is_multiple_of(ENTRY_LEN as u64) || header.entries != body_len / ENTRY_LEN as u64 {
        return Err(Refused::Length { len });
    }
    if header.entries > entries_max as u64 {
        return Err(Refused::TooMany { entries: header.entries, entries_max });
    }
    let seed = u32_at(&bytes, HEADER_CHECKSUM_AT);
    let table = decode_entries(source, &header, seed, Builder::new(entries_max))?;
    Ok(Checkpoint { covered: header.covered, table })
}

fn decode_entries(
    source: &mut impl Read,
    header: &Header,
    seed: u32,
    mut builder: Builder,
) -> Result<Table, Refused> {
    let (mut checksum, mut index, mut hash_before) = (seed, 0, 0);
    let mut chunk = vec![0; CHUNK_BYTES];
    while index < header.entries {
        let left = usize::try_from(header.entries - index).unwrap_or(usize::MAX);
        let chunk = &mut chunk[..left.saturating_mul(ENTRY_LEN).min(CHUNK_BYTES)];
        source.read_exact(chunk).map_err(Refused::Read)?;
        checksum = crc32c::crc32c_append(checksum, chunk);
        for entry in chunk.chunks_exact(ENTRY_LEN) {
            let (hash, position) = (u64_at(entry, 0), u64_at(entry, 8));
            let position = checked(hash_before, hash, position, header.covered)
                .map_err(|what| Refused::Entry { index, what })?;
            builder.push(hash, position);
            (hash_before, index) = (hash, index + 1);
        }
    }
    let mut trailer = [0; TRAILER_LEN];
    source.read_exact(&mut trailer).map_err(Refused::Read)?;
    if checksum != u32::from_le_bytes(trailer) {
        return Err(Refused::BodyChecksum);
    }
    Ok(builder.finish())
}

/// The position of an entry that stands behind one with `hash_before`.
fn checked(hash_before: u64, hash: u64, position: u64, covered: Position) -> Result<Position, &'static str> {
    if hash < hash_before {
        return Err("its hash is below the one before");
    }
    let position = Position::from_u64(position).ok_or("it points between two records")?;
    if position == Position::START {
        return Err("it points to a segment header");
    }
    if position >= covered {
        return Err("it points to what is not covered");
    }
    Ok(position)
}

struct Header {
    fingerprint: u64,
    covered: Position,
    entries: u64,
}

impl Header {
    fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..VERSION_AT].copy_from_slice(&MAGIC);
        bytes[VERSION_AT..FINGERPRINT_AT].copy_from_slice(&VERSION.to_le_bytes());
        bytes[FINGERPRINT_AT..COVERED_AT].copy_from_slice(&self.fingerprint.to_le_bytes());
        bytes[COVERED_AT..ENTRIES_AT].copy_from_slice(&self.covered.to_u64().to_le_bytes());
        bytes[ENTRIES_AT..HEADER_CHECKSUM_AT].copy_from_slice(&self.entries.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..HEADER_CHECKSUM_AT]);
        bytes[HEADER_CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; HEADER_LEN]) -> Result<Self, Refused> {
        if bytes[..VERSION_AT] != MAGIC {
            return Err(Refused::Magic);
        }
        // Before the checksum: another version may keep it elsewhere.
        let version = u32_at(bytes, VERSION_AT);
        if version != VERSION {
            return Err(Refused::Version(version));
        }
        if crc32c::crc32c(&bytes[..HEADER_CHECKSUM_AT]) != u32_at(bytes, HEADER_CHECKSUM_AT) {
            return Err(Refused::HeaderChecksum);
        }
        let covered = u64_at(bytes, COVERED_AT);
        Ok(Self {
            fingerprint: u64_at(bytes, FINGERPRINT_AT),
            covered: Position::from_u64(covered).ok_or(Refused::Covered(covered))?,
            entries: u64_at(bytes, ENTRIES_AT),
        })
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut field = [0; 4];
    field.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(field)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(field)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COVERED: Position = Position::new(3, 4096);
    const ENTRIES_MAX: usize = 100_000;

    fn key() -> DedupeKey {
        DedupeKey::new(&[9; 16])
    }

    /// `entries` of them, two to a hash.
    fn table_of(entries: u32) -> Table {
        let mut table = Table::new(ENTRIES_MAX);
        for n in 0..entries {
            let hash = key().hash(&(n / 2).to_le_bytes());
            table.insert(hash, Position::new(n % 3, n * 16 + 16)).unwrap();
        }
        table
    }

    fn encoded(table: &Table) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(table, &key(), COVERED, &mut bytes).unwrap();
        bytes
    }

    fn decoded(bytes: &[u8]) -> Result<Checkpoint, Refused> {
        decode(bytes, &key(), ENTRIES_MAX)
    }

    /// Makes both checksums right again, for whoever forges a file.
    fn seal(bytes: &mut [u8]) {
        let checksum = crc32c::crc32c(&bytes[..HEADER_CHECKSUM_AT]);
        bytes[HEADER_CHECKSUM_AT..HEADER_LEN].copy_from_slice(&checksum.to_le_bytes());
        let body_end = bytes.len() - TRAILER_LEN;
        let checksum = crc32c::crc32c_append(checksum, &bytes[HEADER_LEN..body_end]);
        bytes[body_end..].copy_from_slice(&checksum.to_le_bytes());
    }

    /// A small checkpoint with `field` written over it at `at`, and sealed.
    fn forged(at: usize, field: &[u8]) -> Vec<u8> {
        let mut bytes = encoded(&table_of(4));
        bytes[at..at + field.len()].copy_from_slice(field);
        seal(&mut bytes);
        bytes
    }

    /// Sizes around the ends of chunks; 4096 entries are one chunk.
    #[test]
    fn a_checkpoint_gives_back_the_table_and_what_it_covers() {
        for entries in [0, 1, 2, 3, 4095, 4096, 4097, 8192, 50_000] {
            let table = table_of(entries);
            let bytes = encoded(&table);
            assert_eq!(bytes.len(), 40 + 16 * entries as usize);
            let checkpoint = decoded(&bytes).unwrap();
            assert_eq!(checkpoint.covered, COVERED);
            assert_eq!(checkpoint.table.len(), table.len());
            assert!(checkpoint.table.iter().eq(table.iter()), "{entries} entries");
        }
    }

    #[test]
    fn a_table_from_a_checkpoint_goes_on_like_any_other() {
        let mut table = decoded(&encoded(&table_of(5000))).unwrap().table;
        let hash = key().hash(b"new");
        table.insert(hash, Position::new(9, 16)).unwrap();
        assert_eq!(table.find(hash, |_| true), Some(Position::new(9, 16)));
        assert_eq!(table.len(), 5001);
    }

    /// What version 1 wrote must open forever. Hash and checksums here were computed by another
    /// implementation of both.
    #[test]
    fn version_1_is_these_bytes() {
        let mut table = Table::new(2);
        table.insert(0xFEDC_BA98_7654_3210, Position::new(1, 0x20)).unwrap();
        table.insert(0x0123_4567_89AB_CDEF, Position::new(2, 0x10)).unwrap();
        let mut golden = Vec::new();
        golden.extend_from_slice(b"CLDD\x01\0\0\0");
        golden.extend_from_slice(b"\x11\x32\xAB\x61\x10\x0C\x14\x77");
        golden.extend_from_slice(b"\x00\x10\0\0\x03\0\0\0");
        golden.extend_from_slice(b"\x02\0\0\0\0\0\0\0");
        golden.extend_from_slice(b"\xCE\x5A\xAD\x6B");
        golden.extend_from_slice(b"\xEF\xCD\xAB\x89\x67\x45\x23\x01\x10\0\0\0\x02\0\0\0");
        golden.extend_from_slice(b"\x10\x32\x54\x76\x98\xBA\xDC\xFE\x20\0\0\0\x01\0\0\0");
        golden.extend_from_slice(b"\x6B\x3C\xD4\xC5");
        assert_eq!(encoded(&table), golden);
        assert!(decoded(&golden).unwrap().table.iter().eq(table.iter()));
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let bytes = encoded(&table_of(5));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decoded(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn every_truncation_and_every_extension_is_refused() {
        let mut bytes = encoded(&table_of(5));
        for len in 0..bytes.len() {
            assert!(decoded(&bytes[..len]).is_err(), "{len} bytes");
        }
        for _ in 0..40 {
            bytes.push(0);
            assert!(decoded(&bytes).is_err(), "{} bytes", bytes.len());
        }
    }

    #[test]
    fn the_body_of_another_checkpoint_is_refused() {
        let (mut bytes, other) = (encoded(&table_of(4)), forged(COVERED_AT, &[0x10]));
        bytes[HEADER_LEN..].copy_from_slice(&other[HEADER_LEN..]);
        assert!(matches!(decoded(&bytes), Err(Refused::BodyChecksum)));
    }

    #[test]
    fn each_refusal_says_why() {
        let entry_at = HEADER_LEN + ENTRY_LEN;
        let refusal = |bytes: &[u8]| decoded(bytes).unwrap_err().to_string();
        let cases = [
            (forged(0, b"X"), "magic"),
            (forged(VERSION_AT, &[2]), "format version 2, known is 1"),
            (forged(FINGERPRINT_AT, &[0; 8]), "another hash key"),
            (forged(COVERED_AT, &[1]), "no position"),
            (forged(ENTRIES_AT, &[3]), "do not fit its header"),
            (forged(ENTRIES_AT, &u64::MAX.to_le_bytes()), "do not fit its header"),
            (forged(ENTRIES_AT, &(1_u64 << 60 | 4).to_le_bytes()), "do not fit its header"),
            (forged(entry_at, &[0; 8]), "entry 1 of the dedupe checkpoint is impossible: its hash"),
            (forged(entry_at + 8, &[0; 8]), "it points to a segment header"),
            (forged(entry_at + 8, &[8]), "it points between two records"),
            (forged(entry_at + 8, &COVERED.to_u64().to_le_bytes()), "it points to what is not covered"),
        ];
        for (bytes, why) in &cases {
            assert!(refusal(bytes).contains(why), "{:?} for {why:?}", refusal(bytes));
        }
    }

    #[test]
    fn a_checkpoint_of_another_key_is_refused() {
        let refused = decode(&encoded(&table_of(4)), &DedupeKey::new(&[8; 16]), ENTRIES_MAX);
        assert!(matches!(refused, Err(Refused::OtherKey)));
    }

    #[test]
    fn a_checkpoint_above_the_limit_is_refused_and_one_at_it_is_not() {
        let bytes = encoded(&table_of(4));
        assert!(decode(&bytes, &key(), 4).is_ok());
        let refused = decode(&bytes, &key(), 3);
        assert!(matches!(refused, Err(Refused::TooMany { entries: 4, entries_max: 3 })));
    }

    #[test]
    #[should_panic(expected = "below `covered`")]
    fn an_entry_that_is_not_covered_is_our_own_fault() {
        let _ = encode(&table_of(4), &key(), Position::new(0, 16), &mut Vec::new());
    }

    #[test]
    fn a_missing_file_is_not_a_damaged_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dedupe.checkpoint");
        assert!(read(&path, &key(), ENTRIES_MAX).unwrap().is_none());
        for damage in [&b""[..], b"CLDD", &[0; 4096]] {
            fs::write(&path, damage).unwrap();
            assert!(read(&path, &key(), ENTRIES_MAX).is_err());
        }
        assert!(matches!(
            read(folder.path(), &key(), ENTRIES_MAX),
            Err(Refused::Read(_) | Refused::Length { .. } | Refused::Magic)
        ));
    }

    #[test]
    fn a_written_file_replaces_the_former_one_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dedupe.checkpoint");
        fs::write(folder.path().join("dedupe.checkpoint.tmp"), [0; 100_000]).unwrap();
        for entries in [3000, 3] {
            write(&path, &table_of(entries), &key(), COVERED).unwrap();
            let checkpoint = read(&path, &key(), ENTRIES_MAX).unwrap().unwrap();
            assert!(checkpoint.table.iter().eq(table_of(entries).iter()));
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_failed_write_names_the_step_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing").join("dedupe.checkpoint");
        let failed = write(&missing, &table_of(3), &key(), COVERED).unwrap_err();
        assert_eq!(failed.to_string(), format!("cannot create {}.tmp", missing.display()));
        // A directory that is not empty stands where the file should go: the rename fails.
        let taken = folder.path().join("taken");
        fs::create_dir_all(taken.join("inside")).unwrap();
        let failed = write(&taken, &table_of(3), &key(), COVERED).unwrap_err();
        assert_eq!(failed.step, "rename");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decoded(&bytes).is_err());
        }

        /// Whoever knows the format forges any fields and seals them: what passes is a table.
        #[test]
        fn forged_bytes_are_refused_or_make_a_table(
            writes in prop::collection::vec((VERSION_AT..HEADER_LEN + 5 * ENTRY_LEN, any::<u8>()), 1..6),
        ) {
            let mut bytes = encoded(&table_of(5));
            for (at, byte) in writes {
                bytes[at] = byte;
            }
            seal(&mut bytes);
            if let Ok(checkpoint) = decoded(&bytes) {
                let mut again = Vec::new();
                encode(&checkpoint.table, &key(), checkpoint.covered, &mut again).unwrap();
                prop_assert_eq!(again, bytes);
            }
        }
    }
}
