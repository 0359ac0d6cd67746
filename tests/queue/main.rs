//! The dispatcher's desk, in a world whose time is a number: what is owed arrives, in order, whatever others do, and
//! whenever the process dies.
#![cfg(feature = "daemon")]
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod alone;
mod chaos;
mod days;
mod deaths;
mod hunted;
mod log;
mod order;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "not all of it is needed here")]
mod support;
mod world;
