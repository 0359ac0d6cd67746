//! Sealed segments as Parquet files: what is in them, what never changes about them, and how they come to be there.
#![cfg(feature = "parquet")]
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod days;
mod dropped;
mod events;
mod files;
mod keys;
mod publish;
mod round_trip;
mod rounds;
mod schema;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../support/mod.rs"]
mod support;
