//! What a start reads: the manifest, and segments that nobody sealed.

use clicklog::clock::Timestamp;
use clicklog::store::Journal;
use clicklog::store::layout::{Header, Identity, Mark};
use clicklog::store::manifest::Manifest;
use clicklog::store::record::{BODY_OFFSET, Frame, span_of};
use clicklog::store::scan::{Tail, scan as scan_image};

/// Any bytes are a manifest or none; what is one is written the same again.
pub(crate) fn manifest(data: &[u8]) {
    if let Ok(manifest) = Manifest::decode(data) {
        assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
    }
    // Past the checksum, which no guess gets right: the same bytes with theirs.
    let checked = [data, &crc32c::crc32c(data).to_le_bytes()].concat();
    if let Ok(manifest) = Manifest::decode(&checked) {
        assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
    }
}

/// Any bytes behind a good header are scanned without harm, and a scan of what a repair would leave finds the
/// same. The first byte chooses the rule, the next four the mark.
pub(crate) fn scan(data: &[u8]) {
    let Some((&[rule, a, b, c, d], rest)) = data.split_first_chunk() else { return };
    let identity =
        Identity { store: [1; 16], journal: Journal::Clicks, node: 0, lane: 0, segment: 0, generation: 0 };
    let header = Header { identity, segment_bytes: 64 * 1024, created: Timestamp::default(), click_key: 0 };
    let seed = identity.seed();
    let tail = if rule & 1 == 0 { Tail::Salvage } else { Tail::Cut };
    let mark = match rule & 6 {
        0 => Mark::Unknown,
        2 => Mark::Synced(BODY_OFFSET),
        _ => Mark::Synced((u32::from_le_bytes([a, b, c, d]) % 65_536 / 16 * 16).max(BODY_OFFSET)),
    };
    let mut image = build_image(rest, &header, rule & 8 != 0);
    let found = scan_image(&image, &header, mark, tail);
    assert!(found.summary.end <= header.body_end_max());
    for gap in &found.gaps {
        let frame = Frame::gap(seed, gap.start, gap.end, u16::from(gap.is_corrupt), gap.ordinal);
        let at = gap.start as usize;
        image.resize(image.len().max(header.segment_bytes as usize), 0);
        image[at..at + 16].copy_from_slice(&frame.to_bytes());
    }
    let (end, torn) = (found.summary.end as usize, found.torn_end as usize);
    image[end..torn].fill(0);
    let again = scan_image(&image, &header, mark, tail);
    assert_eq!(again.summary, found.summary);
    assert_eq!((again.gaps.len(), &again.slots), (0, &found.slots));
}

/// A body of records as long as the bytes say, with the bytes themselves laid over it where they choose.
fn build_image(mut rest: &[u8], header: &Header, is_raw: bool) -> Vec<u8> {
    let mut image = vec![0; BODY_OFFSET as usize];
    if is_raw {
        image.extend(rest.iter().take((header.body_end_max() - BODY_OFFSET) as usize));
        return image;
    }
    let mut ordinal = 0;
    while let Some((&[len, damage], after)) = rest.split_first_chunk()
        && image.len() < 60_000
    {
        let offset = u32::try_from(image.len()).unwrap_or(0);
        let payload = vec![damage | 1; usize::from(len) + 1];
        let frame = Frame::around(header.identity.seed(), offset, 1, 1, ordinal, &payload);
        image.extend(frame.to_bytes());
        image.extend(&payload);
        image.resize((offset + span_of(frame.len)) as usize, 0);
        if damage & 3 == 3 {
            let at = offset as usize + usize::from(damage >> 2) % (image.len() - offset as usize);
            image[at] ^= 0x10;
        }
        ordinal += 1;
        rest = after;
    }
    image.truncate(header.body_end_max() as usize);
    image
}
