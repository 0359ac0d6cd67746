//! The daemon as a process, with real files, signals, sockets and commands.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

#[path = "../support/disk.rs"]
mod disk;
mod hostile;
mod lifecycle;
mod malice;
mod money;
mod operators;
#[path = "../support/process.rs"]
mod process;
