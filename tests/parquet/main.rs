//! Sealed segments as Parquet files: what is in them, what never changes about them, and how they come to be there.
#![cfg(feature = "parquet")]
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

#[path = "../support/ballast.rs"]
mod ballast;
#[path = "../support/chance.rs"]
mod chance;
mod days;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../support/disk.rs"]
mod disk;
mod dropped;
mod events;
mod files;
mod full;
mod keys;
mod publish;
mod round_trip;
mod rounds;
mod schema;
mod strays;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../support/mod.rs"]
mod support;
mod verified;
