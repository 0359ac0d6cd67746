//! Random operations on a store, beside plain maps: the interpreter is `fuzz_bodies/operations`.
//!
//! `CLICKLOG_MODEL_SEED` repeats a run, `CLICKLOG_MODEL_ROUNDS` makes it longer or shorter.

use std::hash::{BuildHasher, RandomState};
use std::panic::catch_unwind;

use crate::fuzz_bodies::operations;

/// Bytes of one round: some dozen operations and a handful of restarts.
const ROUND_BYTES: usize = 400;

#[test]
fn a_store_answers_as_plain_maps_do_whatever_happens_to_it() {
    let seed = number("CLICKLOG_MODEL_SEED").unwrap_or_else(|| RandomState::new().hash_one("a seed") >> 1);
    let rounds = number("CLICKLOG_MODEL_ROUNDS").unwrap_or(24);
    for seed in (0..rounds).map(|round| seed.wrapping_add(round)) {
        println!("CLICKLOG_MODEL_SEED={seed} CLICKLOG_MODEL_ROUNDS=1");
        let input = bytes(seed);
        if catch_unwind(|| operations(&input)).is_err() {
            panic!("CLICKLOG_MODEL_SEED={seed} CLICKLOG_MODEL_ROUNDS=1 does it again; what it did is above");
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

/// As many bytes as a round has, all from one seed (splitmix64).
fn bytes(seed: u64) -> Vec<u8> {
    let words = (1..=ROUND_BYTES as u64 / 8).map(|step| {
        let state = seed.wrapping_add(step.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    });
    words.flat_map(u64::to_le_bytes).collect()
}
