//! Reports and reconciliation: what they say is what is in the journals, however that is read.
#![cfg(all(feature = "daemon", feature = "parquet"))]
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

#[path = "../support/chance.rs"]
mod chance;
mod commands;
mod events;
mod reconciled;
mod rollups;
mod sums;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../support/mod.rs"]
mod support;
mod verified;
