//! What each fuzz target checks, for any input at all.
//!
//! In: bytes, from libFuzzer (`fuzz/fuzz_targets`) or from the committed corpora (`tests/corpora.rs`).
//! Keeps: a body returns on every input, or the code under it has a bug.
//! Not here: how the fuzzer is built and bounded (`fuzz/run`).

use clicklog::clock::Timestamp;

/// A body: it takes any bytes, and returns.
pub(crate) type Body = fn(&[u8]);

/// Every body, under the name of its target, of its file in `fuzz/fuzz_targets`, and of its corpus.
pub(crate) const BODIES: &[(&str, Body)] = &[("timestamp", timestamp)];

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
