//! The console, at the daemon as a process: who may look and who may change something, what pages say, and what they never do.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod access;
mod behind;
mod desk;
mod destination;
mod elsewhere;
mod forms;
mod newest;
mod pages;
#[expect(dead_code, reason = "other test files use the rest of it")]
#[path = "../support/process.rs"]
mod process;
