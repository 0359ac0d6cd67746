//! A body for `compactor`: files of sums that a damaged disk, or a hostile hand, may hold.

use clicklog::compactor::rollup::{Head, Key, PARTS, Sink, Sums, Tally, encode};

use super::Bytes;

/// Any bytes are refused, or are sums that write themselves as the same sums, and these as the same bytes from then on.
pub(crate) fn rollup(data: &[u8]) {
    reads_back(data);
    reads_back(&forged(data));
}

/// What of the input is up to a fuzzer, with everything made right that it cannot guess: what stands before a head, the
/// lengths, and the two checksums.
fn forged(data: &[u8]) -> Vec<u8> {
    let mut bytes = Bytes(data);
    let head_bytes = usize::from(bytes.u8()).min(bytes.0.len());
    let (head, body) = bytes.0.split_at(head_bytes);
    let mut file = b"CLKROLUP".to_vec();
    file.extend([1, 0, 0, 0]);
    file.extend(u32::from(u8::try_from(head.len()).expect("a byte said it")).to_le_bytes());
    file.extend([7; 16]);
    file.extend((body.len() as u64).to_le_bytes());
    file.extend(head);
    let crc = crc32c::crc32c(&file);
    file.extend(crc.to_le_bytes());
    file.extend(body);
    file.extend(crc32c::crc32c_append(crc, body).to_le_bytes());
    file
}

fn reads_back(bytes: &[u8]) {
    let Some((head, tally)) = read(bytes) else { return };
    let written = encode(head.store, &head.segments, &tally);
    let (again, same) = read(&written).expect("what was written is read");
    assert_eq!((again.store, &again.segments), (head.store, &head.segments));
    assert_eq!(same.rows().len(), tally.rows().len(), "no sum is lost");
    assert!(encode(again.store, &again.segments, &same) == written);
    // Nor is it taken for sums once it is cut.
    assert!(read(&written[..written.len() - 1]).is_none());
}

fn read(bytes: &[u8]) -> Option<(Head, Tally)> {
    let head = Head::decode(bytes).ok()?;
    let mut sums = Summed::default();
    head.rows(bytes, &mut sums).ok()?;
    Some((head, sums.tally))
}

#[derive(Default)]
struct Summed {
    tally: Tally,
    numbers: Vec<u32>,
}

impl Sink for Summed {
    fn texts(&mut self, texts: &[&str]) {
        self.numbers = texts.iter().map(|text| self.tally.number(text)).collect();
    }

    fn row(&mut self, key: &Key, sums: &Sums) {
        let parts: [u32; PARTS] = key.parts.map(|part| self.numbers[part as usize]);
        self.tally.add_to(Key { hour: key.hour, parts }, sums);
    }
}
