//! Bodies for `store`: bytes that a damaged disk, or a hostile hand, may hold.
//!
//! A checksum stops a fuzzer at the door, so each format is tried twice: as the bytes are, and with the
//! checksum made right, since it proves only that somebody computed it.

use clicklog::store::dedupe::{DedupeKey, checkpoint};
use clicklog::store::layout::{
    Footer, Header, MARK_OFFSET, Mark, PAGE_BYTES, Summary, mark_word, read_mark, valid_segment_bytes,
};
use clicklog::store::record::{
    BODY_OFFSET, FRAME_BYTES, Found, Frame, GAP_CORRUPT, KIND_GAP, PAYLOAD_BYTES_MAX, RECORD_ALIGN, Record,
    read_at, read_copied,
};

use super::Bytes;

/// Any bytes at any offset are a record that lies within them, nothing, or damage. What a frame is put around
/// is found again at its offset, and not once a bit of it has turned.
pub(crate) fn record(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (seed, offset, base) = (bytes.u32(), bytes.u32(), bytes.u32());
    let everywhere = (0..64).map(|step| step * RECORD_ALIGN);
    for offset in everywhere.chain([offset, offset % 4096, len_of(data), u32::MAX]) {
        if let Found::Record(record) = read_at(data, seed, offset) {
            assert_eq!(record.offset, offset);
            lies_within(&record, data);
        }
        if let Some(record) = read_copied(data, seed, base, offset) {
            lies_within(&record, data);
        }
    }
    record_is_found(seed, bytes);
    gap_is_found(seed, data);
}

fn lies_within(record: &Record<'_>, bytes: &[u8]) {
    let (all, found) = (bytes.as_ptr_range(), record.payload.as_ptr_range());
    assert!(all.start <= found.start && found.end <= all.end, "{record:?}");
    assert!(!record.payload.is_empty(), "a record has a payload");
}

fn record_is_found(seed: u32, mut bytes: Bytes<'_>) {
    let (kind, schema, ordinal) = (bytes.u16(), bytes.u16(), bytes.u32());
    let (offset, turned) = (u32::from(bytes.u8()) * RECORD_ALIGN, bytes.u32() as usize);
    let payload = bytes.0;
    if payload.is_empty() || payload.len() > PAYLOAD_BYTES_MAX as usize || kind == KIND_GAP {
        return;
    }
    let frame = Frame::around(seed, offset, kind, schema, ordinal, payload);
    let start = (offset + FRAME_BYTES) as usize;
    let mut file = vec![0; offset as usize];
    file.extend(frame.to_bytes());
    file.extend(payload);
    assert_eq!(
        read_at(&file, seed, offset),
        Found::Record(Record { offset, kind, schema, ordinal, payload }),
        "{frame:?}"
    );
    assert!(read_copied(&file[offset as usize..], seed, offset, 0).is_some(), "{frame:?} in a copy");

    let turned = turned % (payload.len() * 8);
    file[start + turned / 8] ^= 1 << (turned % 8);
    assert_eq!(read_at(&file, seed, offset), Found::Damage, "bit {turned} of the payload of {frame:?}");
}

fn gap_is_found(seed: u32, data: &[u8]) {
    let mut file = data.to_vec();
    file.resize(data.len().next_multiple_of(RECORD_ALIGN as usize).max(32), 0);
    let end = len_of(&file);
    file[..16].copy_from_slice(&Frame::gap(seed, 0, end, GAP_CORRUPT, 1).to_bytes());
    let Found::Record(gap) = read_at(&file, seed, 0) else { panic!("the gap of {end} bytes is there") };
    assert!(gap.is_gap(), "{gap:?}");
    assert_eq!((gap.end(), gap.schema), (end, GAP_CORRUPT));
}

/// Any bytes are refused, or are a header, footer or mark whose numbers fit, and which writes itself as bytes
/// of the same meaning.
pub(crate) fn layout(data: &[u8]) {
    let page: [u8; PAGE_BYTES] = Bytes(data).take();
    for bytes in [data, &sealed(page)] {
        if let Some(header) = Header::from_front(bytes) {
            assert!(valid_segment_bytes(header.segment_bytes), "{header:?}");
            assert!(header.body_end_max() >= BODY_OFFSET, "{header:?}");
            assert_eq!(Header::from_front(&header.to_bytes()), Some(header));
        }
        if let Some(footer) = Footer::from_bytes(bytes) {
            let Summary { end, first_ordinal, next_ordinal, .. } = footer.summary;
            assert!((BODY_OFFSET..footer.segment_bytes).contains(&end), "{footer:?}");
            assert!(first_ordinal <= next_ordinal, "{footer:?}");
            assert_eq!(Footer::from_bytes(&footer.to_bytes()), Some(footer));
        }
    }

    let mut bytes = Bytes(data);
    let (seed, offset) = (bytes.u32(), bytes.u32());
    let mut front = data.to_vec();
    front.resize(data.len().max(BODY_OFFSET as usize), 0);
    let at = usize::try_from(MARK_OFFSET).expect("the mark lies in the first page");
    for word in [None, Some(mark_word(seed, offset))] {
        if let Some(word) = word {
            front[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        if let Mark::Synced(synced) = read_mark(&front, seed) {
            assert!(synced >= BODY_OFFSET && synced.is_multiple_of(RECORD_ALIGN), "synced up to {synced}");
        }
    }
    let _short = read_mark(data, seed);
}

fn sealed(mut page: [u8; PAGE_BYTES]) -> [u8; PAGE_BYTES] {
    let crc = crc32c::crc32c(&page[..PAGE_BYTES - 4]);
    page[PAGE_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
    page
}

/// Any bytes are refused, or are a table that writes itself as the same number of entries, and these as the
/// same bytes from then on.
pub(crate) fn dedupe_checkpoint(data: &[u8]) {
    let key = DedupeKey::new(&[5; DedupeKey::LEN_BYTES]);
    checkpoint_reads_back(data, &key);

    // With everything made right that a fuzzer cannot guess: the fingerprint and the two checksums.
    let mut forged = data.to_vec();
    if forged.len() >= 40 {
        let trailer = forged.len() - 4;
        forged[8..16].copy_from_slice(&key.fingerprint().to_le_bytes());
        let head = crc32c::crc32c(&forged[..32]);
        forged[32..36].copy_from_slice(&head.to_le_bytes());
        let body = crc32c::crc32c_append(head, &forged[36..trailer]);
        forged[trailer..].copy_from_slice(&body.to_le_bytes());
        checkpoint_reads_back(&forged, &key);
    }
}

fn checkpoint_reads_back(bytes: &[u8], key: &DedupeKey) {
    /// As many as the longest input of the fuzzer holds.
    const ENTRIES_MAX: usize = 65_536 / 16;

    let write = |found: &checkpoint::Checkpoint| {
        let mut written = Vec::new();
        checkpoint::encode(&found.table, key, found.covered, &mut written).expect("a Vec takes all bytes");
        written
    };
    let Ok(found) = checkpoint::decode(bytes, key, ENTRIES_MAX) else { return };
    let written = write(&found);
    assert_eq!(written.len(), bytes.len(), "no entry is lost");
    let again = checkpoint::decode(&written, key, ENTRIES_MAX).expect("what was written is read");
    assert_eq!((again.covered, again.table.len()), (found.covered, found.table.len()));
    assert_eq!(write(&again), written);
}

fn len_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("no input is that long")
}
