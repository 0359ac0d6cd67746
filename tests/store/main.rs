//! The store through its public face, on real files.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod basics;
mod commit;
mod dedupe;
mod foreign;
mod full_disk;
#[expect(dead_code, reason = "one body is run here; the table is for tests/corpora.rs")]
#[path = "../fuzz_bodies/mod.rs"]
mod fuzz_bodies;
mod hourly;
mod model;
mod old_bytes;
mod reader;
mod recovery;
mod rewrite;
#[path = "../support/mod.rs"]
mod support;
mod verify;
