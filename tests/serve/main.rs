//! The daemon as a process, with real files, signals, sockets and commands.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

#[cfg(feature = "parquet")]
mod aged;
#[cfg(feature = "parquet")]
#[path = "../support/ballast.rs"]
mod ballast;
#[cfg(feature = "parquet")]
mod compactor;
mod deliveries;
#[path = "../support/disk.rs"]
mod disk;
mod dispatch;
#[expect(dead_code, reason = "other test files use the rest of it")]
#[path = "../support/faults.rs"]
mod faults;
#[cfg(feature = "parquet")]
#[expect(dead_code, reason = "other test files use the rest of it")]
#[path = "../parquet/files.rs"]
mod files;
#[cfg(feature = "parquet")]
mod forgetting;
mod hostile;
mod killed;
mod lifecycle;
mod logged;
mod malice;
mod money;
mod operators;
#[path = "../support/process.rs"]
mod process;
mod restarts;
#[path = "../support/told.rs"]
mod told;
