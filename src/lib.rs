//! clicklog records ad clicks and conversion postbacks.
//!
//! Read the modules in the order they stand here: each names only those below it in the list of
//! floors (`tests/tidy.rs`), so nothing needs to be known ahead.
pub mod clock;
pub mod event;
pub mod shutdown;
pub mod store;
