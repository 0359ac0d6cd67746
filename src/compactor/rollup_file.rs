//! One file of roll-ups: sums, and which segments they are of.
//!
//! ```text
//!   0  magic   "CLKROLUP"
//!   8  format  u16     version of this layout, and of the counts in it
//!  10  zero    u16
//!  12  head    u32     bytes of the head
//!  16  store   [16]    whose segments they are
//!  32  body    u64     bytes of the body
//!  40  head:   segments, each: journal | lane | segment | generation | days, each the difference to the one before
//!      crc32c  u32     over all before it
//!      body:   texts, sorted: length, bytes; then rows, sorted: hour (difference), a text for each part,
//!              a bit for each number that is not zero, and those numbers
//!      crc32c  u32     over the body, begun with that of the head
//! ```
//!
//! All numbers of head and body are LEB128, signed ones zigzag; lists begin with their length.
//!
//! In: a tally. Out: bytes, the same for the same sums; and the way back, checked.
//! Keeps: whatever bytes there are, decoding ends with sums or with what is wrong, and allocates no more than they hold.
//! Not here: where files stand and which of them count (`rollup_folder`).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::store::Journal;

use super::rollup_sums::{COUNTS, Key, PARTS, Sums, Tally};

const MAGIC: [u8; 8] = *b"CLKROLUP";
/// Version of the layout; a file of another is made again.
const FORMAT: u16 = 1;
const FIXED_BYTES: usize = 40;
const CRC_BYTES: usize = 4;
/// What is read at first for a head.
const HEAD_READ_BYTES: usize = 16 * 1024;
/// Numbers of a row: its counts, cost and revenue.
const NUMBERS: usize = COUNTS + 2;

const _: () = assert!(NUMBERS <= 64, "a bit for each number");

/// A segment of this store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentId {
    /// Of which journal.
    pub journal: Journal,
    /// Of which lane.
    pub lane: u8,
    /// Its number.
    pub segment: u32,
}

/// A segment whose sums are in a file, and all days that it has sums of: of a day's file it is only one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summed {
    /// Which segment.
    pub id: SegmentId,
    /// Which rewrite of it was summed up.
    pub generation: u32,
    /// Days since 1970, UTC, in order.
    pub days: Vec<i64>,
}

/// What a file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Random bytes that tell a store from any other.
    pub store: [u8; 16],
    /// Which segments' sums are in it.
    pub segments: Vec<Summed>,
    /// Where its body lies, how long that is, and what its checksum begins with.
    body: (usize, usize, u32),
}

/// Who is given rows.
pub trait Sink {
    /// The texts of the rows that follow, by their numbers.
    fn texts(&mut self, texts: &[&str]);

    /// The next row.
    fn row(&mut self, key: &Key, sums: &Sums);
}

/// The bytes of a file.
pub fn encode(store: [u8; 16], segments: &[Summed], tally: &Tally) -> Vec<u8> {
    let mut head = Vec::new();
    put(&mut head, segments.len() as u64);
    for Summed { id, generation, days } in segments {
        head.extend([id.journal.code(), id.lane]);
        put(&mut head, id.segment.into());
        put(&mut head, (*generation).into());
        put(&mut head, days.len() as u64);
        let mut before = 0;
        for day in days {
            put_signed(&mut head, i128::from(*day) - before);
            before = i128::from(*day);
        }
    }
    let body = encode_body(tally);
    let mut bytes = Vec::with_capacity(FIXED_BYTES + head.len() + body.len() + 2 * CRC_BYTES);
    bytes.extend(MAGIC);
    bytes.extend(FORMAT.to_le_bytes());
    bytes.extend([0; 2]);
    // A head that is too long to be said is refused by whoever reads it, and made again.
    bytes.extend(u32::try_from(head.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend(store);
    bytes.extend((body.len() as u64).to_le_bytes());
    bytes.extend(head);
    let crc = crc32c::crc32c(&bytes);
    bytes.extend(crc.to_le_bytes());
    bytes.extend(&body);
    bytes.extend(crc32c::crc32c_append(crc, &body).to_le_bytes());
    bytes
}

fn encode_body(tally: &Tally) -> Vec<u8> {
    let texts = tally.texts().all();
    let mut sorted: Vec<u32> = (0..).take(texts.len()).collect();
    sorted.sort_unstable_by_key(|number| tally.texts().text(*number));
    let mut rank = vec![0; texts.len()];
    for (place, number) in (0_u32..).zip(&sorted) {
        rank[*number as usize] = place;
    }
    let mut body = Vec::new();
    put(&mut body, sorted.len() as u64);
    for text in sorted.iter().map(|number| tally.texts().text(*number)) {
        put(&mut body, text.len() as u64);
        body.extend(text.as_bytes());
    }
    let key = |key: &Key| Key { hour: key.hour, parts: key.parts.map(|number| rank[number as usize]) };
    let mut rows: Vec<(Key, &Sums)> = tally.rows().map(|(old, sums)| (key(old), sums)).collect();
    rows.sort_unstable_by_key(|(key, _)| *key);
    put(&mut body, rows.len() as u64);
    let mut before = 0;
    for (Key { hour, parts }, sums) in rows {
        put_signed(&mut body, i128::from(hour) - before);
        before = i128::from(hour);
        parts.iter().for_each(|part| put(&mut body, (*part).into()));
        put_sums(&mut body, sums);
    }
    body
}

fn put_sums(body: &mut Vec<u8>, sums: &Sums) {
    let mut mask = 0_u64;
    for (bit, count) in sums.counts.iter().enumerate() {
        mask |= u64::from(*count != 0) << bit;
    }
    mask |= u64::from(sums.cost != 0) << COUNTS;
    mask |= u64::from(sums.revenue != 0) << (COUNTS + 1);
    put(body, mask);
    sums.counts.iter().filter(|count| **count != 0).for_each(|count| put(body, *count));
    for money in [sums.cost, sums.revenue].into_iter().filter(|money| *money != 0) {
        put_signed(body, money);
    }
}

impl Head {
    /// Reads the head of a file; an error of the outer kind is the system's.
    ///
    /// # Errors
    /// What reading says.
    pub fn read(file: &File) -> io::Result<Result<Self, &'static str>> {
        let len = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len.min(HEAD_READ_BYTES)];
        file.read_exact_at(&mut bytes, 0)?;
        let needed = head_end(&bytes).map_or(0, |end| end.saturating_add(CRC_BYTES));
        if needed > bytes.len() && needed <= len {
            bytes.resize(needed, 0);
            file.read_exact_at(&mut bytes, 0)?;
        }
        Ok(Self::decode(&bytes))
    }

    /// Reads the head at the front of a file's bytes.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let end = head_end(bytes)?;
        let crc = crc_at(bytes, end)?;
        let checked = &bytes[..end];
        if crc32c::crc32c(checked) != crc {
            return Err("the checksum of its head does not match");
        }
        let (store, body) = (array(bytes, 16)?, u64::from_le_bytes(array(bytes, 32)?));
        let body = usize::try_from(body).map_err(|_| "its body is too long")?;
        let mut fields = Fields(&checked[FIXED_BYTES..]);
        let mut segments = Vec::new();
        for _ in 0..fields.length()? {
            segments.push(fields.summed()?);
        }
        if !fields.0.is_empty() {
            return Err("its head is longer than what is in it");
        }
        Ok(Self { store, segments, body: (end + CRC_BYTES, body, crc) })
    }

    /// Gives `sink` every row of this file, whose bytes are `bytes`.
    ///
    /// # Errors
    /// What is wrong with it. Nothing was given then, unless whoever wrote the file had a bug.
    pub fn rows(&self, bytes: &[u8], sink: &mut dyn Sink) -> Result<(), &'static str> {
        let (start, len, crc) = self.body;
        let end = start.checked_add(len).ok_or("its body is too long")?;
        let body = bytes.get(start..end).ok_or("it is cut off")?;
        if bytes.len() != end.saturating_add(CRC_BYTES) {
            return Err("it is not as long as it says");
        }
        if crc32c::crc32c_append(crc, body) != crc_at(bytes, end)? {
            return Err("the checksum of its body does not match");
        }
        decode_body(body, sink)
    }
}

fn decode_body(body: &[u8], sink: &mut dyn Sink) -> Result<(), &'static str> {
    let mut fields = Fields(body);
    let mut texts: Vec<&str> = Vec::new();
    for _ in 0..fields.length()? {
        texts.push(fields.text()?);
    }
    sink.texts(&texts);
    let mut key = Key { hour: 0, parts: [0; PARTS] };
    for _ in 0..fields.length()? {
        key.hour = fields.stepped(key.hour).ok_or("an hour is out of range")?;
        for part in &mut key.parts {
            *part = u32::try_from(fields.number()?).map_err(|_| "a text has no such number")?;
            if *part as usize >= texts.len() {
                return Err("a text has no such number");
            }
        }
        sink.row(&key, &fields.sums()?);
    }
    if fields.0.is_empty() { Ok(()) } else { Err("its body is longer than what is in it") }
}

/// Where the head ends, before its checksum.
fn head_end(bytes: &[u8]) -> Result<usize, &'static str> {
    if bytes.len() < FIXED_BYTES || !bytes.starts_with(&MAGIC) {
        return Err("it is no roll-up");
    }
    if u16::from_le_bytes(array(bytes, 8)?) != FORMAT {
        return Err("its format is unknown to this build");
    }
    let head = u32::from_le_bytes(array(bytes, 12)?) as usize;
    FIXED_BYTES.checked_add(head).ok_or("its head is too long")
}

fn crc_at(bytes: &[u8], at: usize) -> Result<u32, &'static str> {
    array(bytes, at).map(u32::from_le_bytes)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], &'static str> {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.copied().ok_or("it is cut off")
}

/// What is left to be read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn byte(&mut self) -> Result<u8, &'static str> {
        let (first, rest) = self.0.split_first().ok_or("it is cut off")?;
        self.0 = rest;
        Ok(*first)
    }

    fn wide(&mut self) -> Result<u128, &'static str> {
        let mut number = 0_u128;
        for shift in (0..128).step_by(7) {
            let byte = self.byte()?;
            let digits = u128::from(byte & 0x7F);
            if (digits << shift) >> shift != digits {
                return Err("a number is out of range");
            }
            number |= digits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("a number is out of range")
    }

    fn number(&mut self) -> Result<u64, &'static str> {
        // Most are small, and this is where the time of a report goes.
        if let Some((first @ 0..0x80, rest)) = self.0.split_first() {
            self.0 = rest;
            return Ok(u64::from(*first));
        }
        u64::try_from(self.wide()?).map_err(|_| "a number is out of range")
    }

    fn signed(&mut self) -> Result<i128, &'static str> {
        let number = self.wide()?;
        let half = (number >> 1).cast_signed();
        Ok(if number & 1 == 0 { half } else { !half })
    }

    /// A number that differs by what is next from this one. Two of them may be further apart than either can be.
    fn stepped(&mut self, from: i64) -> Option<i64> {
        i64::try_from(i128::from(from).checked_add(self.signed().ok()?)?).ok()
    }

    /// How many there are of something that takes at least a byte each.
    fn length(&mut self) -> Result<usize, &'static str> {
        let length = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        if length > self.0.len() { Err("a list is longer than the file") } else { Ok(length) }
    }

    fn text(&mut self) -> Result<&'a str, &'static str> {
        let length = self.length()?;
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        str::from_utf8(text).map_err(|_| "a text is not UTF-8")
    }

    fn summed(&mut self) -> Result<Summed, &'static str> {
        let journal = Journal::from_code(self.byte()?).ok_or("it names an unknown journal")?;
        let lane = self.byte()?;
        let number = |number: u64| u32::try_from(number).map_err(|_| "a number is out of range");
        let id = SegmentId { journal, lane, segment: number(self.number()?)? };
        let generation = number(self.number()?)?;
        let (mut days, mut day) = (Vec::new(), 0_i64);
        for _ in 0..self.length()? {
            day = self.stepped(day).ok_or("a day is out of range")?;
            days.push(day);
        }
        Ok(Summed { id, generation, days })
    }

    fn sums(&mut self) -> Result<Sums, &'static str> {
        let mask = self.number()?;
        if mask >> NUMBERS != 0 {
            return Err("a row has numbers that nobody knows");
        }
        let mut sums = Sums::default();
        for (bit, count) in sums.counts.iter_mut().enumerate() {
            if mask & (1 << bit) != 0 {
                *count = self.number()?;
            }
        }
        if mask & (1 << COUNTS) != 0 {
            sums.cost = self.signed()?;
        }
        if mask & (1 << (COUNTS + 1)) != 0 {
            sums.revenue = self.signed()?;
        }
        Ok(sums)
    }
}

fn put(out: &mut Vec<u8>, number: u64) {
    put_wide(out, number.into());
}

fn put_signed(out: &mut Vec<u8>, number: i128) {
    put_wide(out, ((number << 1) ^ (number >> 127)).cast_unsigned());
}

fn put_wide(out: &mut Vec<u8>, mut number: u128) {
    loop {
        let digits = number.to_le_bytes()[0] & 0x7F;
        number >>= 7;
        if number == 0 {
            out.push(digits);
            return;
        }
        out.push(digits | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sums() -> impl Strategy<Value = Sums> {
        let count = prop_oneof![Just(0), 0..300_u64, any::<u64>()];
        let counts = prop::array::uniform19(count);
        (counts, any::<i128>(), any::<i64>()).prop_map(|(counts, cost, revenue)| Sums {
            counts,
            cost,
            revenue: revenue.into(),
        })
    }

    fn tally(rows: &[(i64, [String; PARTS], Sums)]) -> Tally {
        let mut tally = Tally::default();
        for (hour, texts, sums) in rows {
            tally.add(*hour, std::array::from_fn(|part| &*texts[part]), sums);
        }
        tally
    }

    type Row = (i64, Vec<String>, Sums);

    #[derive(Default)]
    struct Rows {
        texts: Vec<String>,
        rows: Vec<Row>,
    }

    impl Sink for Rows {
        fn texts(&mut self, texts: &[&str]) {
            self.texts = texts.iter().map(|text| (*text).to_owned()).collect();
        }

        fn row(&mut self, key: &Key, sums: &Sums) {
            let parts = key.parts.iter().map(|part| self.texts[*part as usize].clone()).collect();
            self.rows.push((key.hour, parts, *sums));
        }
    }

    fn read(bytes: &[u8]) -> Result<(Head, Vec<Row>), &'static str> {
        let head = Head::decode(bytes)?;
        let mut rows = Rows::default();
        head.rows(bytes, &mut rows)?;
        Ok((head, rows.rows))
    }

    fn summed() -> Vec<Summed> {
        let id = SegmentId { journal: Journal::Postbacks, lane: 0, segment: 4_194_303 };
        vec![Summed { id, generation: 3, days: vec![-1, 0, 20_777] }]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_and_the_same_sums_have_the_same_bytes(
            rows in prop::collection::vec(
                (-500_i64..500, prop::array::uniform7("[a-b\u{e9}]{0,2}"), sums()), 0..40
            )
        ) {
            let forward = tally(&rows);
            let bytes = encode([7; 16], &summed(), &forward);
            let mut expected: Vec<Row> = forward
                .rows()
                .map(|(key, sums)| {
                    let parts = key.parts.map(|part| forward.texts().text(part).to_owned()).to_vec();
                    (key.hour, parts, *sums)
                })
                .collect();
            expected.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
            let (head, found) = read(&bytes).unwrap();
            prop_assert_eq!((head.store, &head.segments), ([7; 16], &summed()));
            prop_assert!(found == expected);
            let backward: Vec<_> = rows.into_iter().rev().collect();
            prop_assert!(encode([7; 16], &summed(), &tally(&backward)) == bytes);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_behind_a_right_checksum_end_with_sums_or_with_what_is_wrong(
            mut body in prop::collection::vec(prop_oneof![Just(0), Just(1), 0..3_u8, any::<u8>()], 0..200)
        ) {
            let _ended = decode_body(&body, &mut Rows::default());
            body.insert(0, 0);
            let _ended = decode_body(&body, &mut Rows::default());
            let mut fields = Fields(&body);
            while fields.summed().is_ok() {}
        }
    }

    #[test]
    fn no_cut_and_no_changed_byte_is_taken_for_sums() {
        let sums = Sums { cost: -5, revenue: i128::from(i64::MAX) * 2, ..Sums::default() };
        let texts = ["spring", "", "x", "", "", "DE", "USD"].map(str::to_owned);
        let bytes = encode([1; 16], &summed(), &tally(&[(499, texts, sums)]));
        assert!(read(&bytes).is_ok());
        for at in 0..bytes.len() {
            assert!(read(&bytes[..at]).is_err(), "cut at {at}");
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(read(&changed).is_err(), "changed at {at}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(read(&longer).is_err());
    }
}
