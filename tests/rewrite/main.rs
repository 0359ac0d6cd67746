//! Retention and erasure over a whole data folder: what was to go is in no file, and everything else is as it was.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod erasing;
mod retaining;
#[path = "../support/mod.rs"]
mod support;
mod world;
