//! The store through its public face, on real files.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod basics;
mod dedupe;
mod foreign;
mod recovery;
#[path = "../support/mod.rs"]
mod support;
mod verify;
