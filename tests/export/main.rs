//! Exports: what is in them, in every format, whatever is exported, whoever writes meanwhile, and wherever they stop.
#![cfg(all(feature = "daemon", feature = "parquet"))]
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod again;
#[path = "../support/chance.rs"]
mod chance;
mod command;
#[path = "../parquet/events.rs"]
mod events;
#[expect(dead_code, reason = "the tests of publishing use the rest")]
#[path = "../parquet/files.rs"]
mod files;
mod folder;
mod formats;
mod read_back;
#[path = "../support/mod.rs"]
mod support;
mod tail;
