//! Events at rest: the journals, and the tables that find a record in them.

pub mod dedupe;
pub mod foreign;
pub mod position;
