//! Retention and erasure over a whole data folder: what was to go is in no file, and everything else is as it was.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod erasing;
mod retaining;
#[expect(dead_code, reason = "other tests share more of it")]
#[path = "../support/mod.rs"]
mod support;
mod world;
