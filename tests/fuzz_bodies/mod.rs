//! What each fuzz target checks, for any input at all.
//!
//! In: bytes, from libFuzzer (`fuzz/fuzz_targets`) or from the committed corpora (`tests/corpora.rs`).
//! Keeps: a body returns on every input, or the code under it has a bug.
//! Not here: how the fuzzer is built and bounded (`fuzz/run`).

use clicklog::clock::Timestamp;
use clicklog::event::click::Click;
use clicklog::event::click_id::{ClickId, Keys};
use clicklog::event::codec::{Encoder, Event, decode, time_of};
use clicklog::event::money::{Currency, Micros};
use clicklog::event::params::{Params, ParamsRef, Source};
use clicklog::store::Journal;
use clicklog::store::dedupe::{DedupeKey, checkpoint};
use clicklog::store::layout::{Footer, Header, Identity, Mark, read_mark};
use clicklog::store::manifest::Manifest;
use clicklog::store::record::{BODY_OFFSET, FOOTER_BYTES, Found, Frame, read_at, span_of};
use clicklog::store::scan::Tail;
use rkyv::util::AlignedVec;

/// A body: it takes any bytes, and returns.
pub(crate) type Body = fn(&[u8]);

/// Every body, under the name of its target, of its file in `fuzz/fuzz_targets`, and of its corpus.
pub(crate) const BODIES: &[(&str, Body)] = &[
    ("click_id", click_id),
    ("codec", codec),
    ("dedupe_checkpoint", dedupe_checkpoint),
    ("layout", layout),
    ("manifest", manifest),
    ("money", money),
    ("params", params),
    ("record", record),
    ("scan", scan),
    ("timestamp", timestamp),
];

/// 10000-01-01T00:00:00Z in microseconds: the first moment whose year needs five digits.
const YEAR_10000: i64 = 253_402_300_800_000_000;

/// Any `i64` can be written, and from 1970 to 9999 it takes 27 characters that sort as the moments do.
pub(crate) fn timestamp(data: &[u8]) {
    let mut bytes = [0; 8];
    let len = data.len().min(bytes.len());
    bytes[..len].copy_from_slice(&data[..len]);
    let micros = i64::from_le_bytes(bytes);

    let text = Timestamp::from_micros(micros).to_string();
    if (0..YEAR_10000).contains(&micros) {
        assert_eq!(text.len(), 27, "{micros} is written as {text}");
        if micros > 0 {
            let before = Timestamp::from_micros(micros - 1).to_string();
            assert!(before < text, "{before} sorts before {text}");
        }
    }
}

/// Any text is an id or none; any block is one of ours or none; what is one is the same again.
pub(crate) fn click_id(data: &[u8]) {
    let Ok(keys) = Keys::new(1, [(0, [7; 16]), (1, [8; 16])]) else { return };
    if let Some(block) = data.first_chunk() {
        let id = ClickId::from_bytes(*block);
        assert_eq!(id.to_text().as_str().parse(), Ok(id));
        if let Some(place) = keys.decode(&id) {
            assert_eq!(keys.decode(&keys.encode(place)), Some(place));
        }
    }
    if let Ok(id) = String::from_utf8_lossy(data).parse::<ClickId>() {
        let again = id.to_text();
        assert_eq!(again.as_str().parse(), Ok(id));
    }
}

/// Any payload of any kind is an event or none; a click made of any texts is read back as it was.
pub(crate) fn codec(data: &[u8]) {
    let Some((&[kind, schema], payload)) = data.split_first_chunk() else { return };
    let mut aligned = AlignedVec::<16>::new();
    aligned.extend_from_slice(payload);
    let (kind, schema) = (u16::from(kind % 8), u16::from(schema % 4));
    if let Ok(event) = decode(kind, schema, &aligned) {
        assert_eq!(time_of(kind, schema, payload), Ok(event.time()), "at any address");
    }

    let text = String::from_utf8_lossy(payload);
    let click = Click { referrer: &text, user_agent: &text, ..Click::default() };
    if let Ok(encoded) = Encoder::default().click(&click) {
        let event = decode(encoded.kind.code(), encoded.schema, encoded.payload);
        assert_eq!(event, Ok(Event::Click(click)));
    }
}

/// Any bytes are a checkpoint or none; what is one is written the same again.
pub(crate) fn dedupe_checkpoint(data: &[u8]) {
    let key = DedupeKey::new(&[1; 16]);
    if let Ok(loaded) = checkpoint::decode(data, &key, 1 << 20) {
        let mut again = Vec::new();
        let written = checkpoint::encode(&loaded.table, &key, loaded.covered, &mut again);
        assert!(written.is_ok());
        assert_eq!(again, data);
    }
}

/// Any page is a header, a footer or none; what is one is written the same again.
pub(crate) fn layout(data: &[u8]) {
    if let Some(header) = Header::from_front(data) {
        assert_eq!(Header::from_front(&header.to_bytes()), Some(header));
    }
    if let Some(footer) = Footer::from_bytes(data) {
        assert!(footer.summary.end <= footer.segment_bytes - FOOTER_BYTES);
        assert_eq!(Footer::from_bytes(&footer.to_bytes()), Some(footer));
    }
    if let Mark::Synced(offset) = read_mark(data, 7) {
        assert!(offset >= BODY_OFFSET);
    }
}

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

/// Any text is an amount or none; what is one is written and read the same again.
pub(crate) fn money(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(parsed) = Micros::parse(&text) {
        let again = Micros::parse(&parsed.amount.to_string());
        assert_eq!(again.map(|again| (again.amount, again.rounded)), Ok((parsed.amount, false)));
    }
    if let Ok(currency) = text.parse::<Currency>() {
        assert_eq!(Currency::from_code(currency.code()), Ok(currency));
    }
}

/// Any bytes are parameters, within bounds, and are stored and read the same; stored bytes are never misread.
pub(crate) fn params(data: &[u8]) {
    for source in [Source::Query, Source::Form] {
        let params = Params::parse(data, source);
        let mut stored = Vec::new();
        params.encode_into(&mut stored);
        let read = ParamsRef::check(&stored);
        assert!(read.is_ok_and(|read| read.iter().eq(params.iter())));
    }
    if let Ok(read) = ParamsRef::check(data) {
        assert!(read.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>() == data.len());
    }
}

/// Any bytes at any offset are a record, damage or nothing; a record is found where it was put.
pub(crate) fn record(data: &[u8]) {
    for offset in [0, 16, 4096] {
        if let Found::Record(found) = read_at(data, 7, offset) {
            assert!(found.end() > offset);
        }
    }
    if !data.is_empty() && data.len() < 4096 {
        let frame = Frame::around(7, 16, 1, 1, 3, data);
        let mut bytes = vec![0; 16];
        bytes.extend(frame.to_bytes());
        bytes.extend(data);
        bytes.resize((16 + span_of(frame.len)) as usize, 0);
        assert!(matches!(read_at(&bytes, 7, 16), Found::Record(found) if found.payload == data));
    }
}

/// Any bytes behind a good header are scanned without harm, and a scan of what a repair would leave finds the
/// same. The first byte chooses the rule, the next four the mark.
pub(crate) fn scan(data: &[u8]) {
    let Some((&[rule, a, b, c, d], rest)) = data.split_first_chunk() else { return };
    let identity =
        Identity { store: [1; 16], journal: Journal::Clicks, node: 0, lane: 0, segment: 0, generation: 0 };
    let header = Header { identity, segment_bytes: 64 * 1024, created: Timestamp::default() };
    let seed = identity.seed();
    let tail = if rule & 1 == 0 { Tail::Salvage } else { Tail::Cut };
    let mark = match rule & 6 {
        0 => Mark::Unknown,
        2 => Mark::Synced(BODY_OFFSET),
        _ => Mark::Synced((u32::from_le_bytes([a, b, c, d]) % 65_536 / 16 * 16).max(BODY_OFFSET)),
    };
    let mut image = build_image(rest, &header, rule & 8 != 0);
    let found = clicklog::store::scan::scan(&image, &header, mark, tail);
    assert!(found.summary.end <= header.body_end_max());
    for gap in &found.gaps {
        let frame = Frame::gap(seed, gap.start, gap.end, u16::from(gap.is_corrupt), gap.ordinal);
        let at = gap.start as usize;
        image.resize(image.len().max(header.segment_bytes as usize), 0);
        image[at..at + 16].copy_from_slice(&frame.to_bytes());
    }
    let (end, torn) = (found.summary.end as usize, found.torn_end as usize);
    image[end..torn].fill(0);
    let again = clicklog::store::scan::scan(&image, &header, mark, tail);
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
