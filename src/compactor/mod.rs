//! What lies sealed in the journals, as Parquet files that every reader opens.
//!
//! In: a data folder with sealed segments. Out: `export/` (`folder`), one file for each segment and day.
//! Keeps: a file that can be seen in `export/` is whole and never changes; the same segment gives the same names and
//! bytes, however often it is published.
//! Not here: when to publish, merging of small files.
//!
//! Read `table` first, which says what a table is, then the three of them, then how a segment is cut into row groups
//! (`plan`), gone through (`segment`), and published (`publish`).

#[cfg(feature = "daemon")]
mod brake;
pub mod clicks;
pub mod closed;
pub mod columns;
pub mod conversions;
mod days;
pub mod deliveries;
mod error;
pub mod folder;
#[cfg(feature = "daemon")]
pub mod forget;
pub mod listed;
mod merge;
mod parquet;
mod plan;
pub mod publish;
pub mod publisher;
pub mod rewrite;
pub mod rollup;
mod rollup_check;
mod rollup_file;
mod rollup_folder;
mod rollup_sums;
pub mod row_file;
#[cfg(feature = "daemon")]
pub mod run;
mod segment;
pub mod shared;
mod strays;
mod summed_file;
#[cfg(feature = "daemon")]
mod summing;
mod swap;
pub mod table;
pub mod verify;
#[cfg(feature = "daemon")]
pub mod worker;

pub use error::{Error, Result};
pub use plan::Limits;
pub use segment::{Origin, Part, Source, write_file};
