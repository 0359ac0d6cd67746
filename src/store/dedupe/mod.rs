//! Was this seen before? An exact answer from memory.
//!
//! `key` turns a dedupe key into a 64-bit hash, `table` turns the hash into the position of the newest
//! record with that key, `checkpoint` keeps the table over a restart. Exact, because the caller compares
//! the record with the key on every hit; two keys that share a hash both live in the table.
//!
//! Rebuildable: without a checkpoint, the journal gives the same table, only later.

pub mod checkpoint;
mod key;
pub mod restore;
pub mod sweep;
mod table;

pub use key::DedupeKey;
pub use table::{ENTRIES_MAX_LIMIT, Full, SHARDS, Table};
