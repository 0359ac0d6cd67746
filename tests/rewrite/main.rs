//! Retention and erasure over a whole data folder: what was to go is in no file, and everything else is as it was.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

#[path = "../support/ballast.rs"]
mod ballast;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../support/disk.rs"]
mod disk;
mod erasing;
mod full;
mod meanwhile;
mod retaining;
#[path = "../support/mod.rs"]
mod support;
mod world;
