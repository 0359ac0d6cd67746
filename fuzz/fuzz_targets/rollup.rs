//! Fuzzes how files of roll-ups are read; the body says what holds.
#![no_main]

#[expect(dead_code, reason = "a target runs one body; the table is for tests/corpora.rs")]
#[path = "../../tests/fuzz_bodies/mod.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::rollup(data));
