//! clicklog records ad clicks and conversion postbacks.
//!
//! The road of one event: a request becomes an event (`event`), the event becomes a record in a journal
//! (`store`), and from then on everything else, answers, deliveries, reports, is read from the journal.
//!
//! Read the modules in the order they stand here: each names only those above it in this list
//! (`tests/tidy.rs` keeps it so), so nothing needs to be known ahead.

pub mod clock;
pub mod meter;
pub mod metrics;
pub mod shutdown;

#[cfg(feature = "daemon")]
pub mod logs;

pub mod event;

pub mod store;

pub mod apply;

#[cfg(feature = "daemon")]
pub mod ingest;

#[cfg(feature = "daemon")]
pub mod dispatcher;

#[cfg(feature = "parquet")]
pub mod compactor;

#[cfg(feature = "daemon")]
pub mod load;

#[cfg(feature = "daemon")]
pub mod batch;

#[cfg(feature = "daemon")]
pub mod admin;

#[cfg(feature = "daemon")]
pub mod config;

#[cfg(feature = "daemon")]
pub mod serve;

#[cfg(feature = "daemon")]
pub mod cli;
