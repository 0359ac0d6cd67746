//! Jobs over what is on disk: they end by themselves, and work beside a running daemon or without one.
//!
//! In: a data folder, files, what is looked for. Out: rows and counts.
//! Keeps: who only reads takes no lock and writes nothing; who writes can be killed at any moment and run again.
//! Not here: the command line and how results are shown (`cli`), who may ask over HTTP (`admin`).

pub mod deliveries;
pub mod erase;
#[cfg(feature = "parquet")]
pub mod export;
pub mod held;
pub mod import;
pub mod lookup;
pub mod newest;
#[cfg(feature = "parquet")]
pub mod reconcile;
#[cfg(feature = "parquet")]
pub mod report;
#[cfg(feature = "parquet")]
pub mod tail;
