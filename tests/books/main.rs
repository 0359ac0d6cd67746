//! The owner of the books, through its public face, on real files: whatever is told, in whatever order, how often and
//! by how many at once, money counts once, and what was answered is there after a restart.
#![cfg(feature = "daemon")]
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod again;
mod desk;
mod once;
mod retained;
#[path = "../support/mod.rs"]
mod support;
mod table;
mod verdicts;
