//! The way out: every postback that a decision owes leaves, and nobody waits for the slow one.
//!
//! In: decisions on stable storage, the catalog's destinations, what operators ask. Out: requests to destinations, and in the
//! journal of deliveries what they came to.
//! Keeps: all of it is pure but `start`, `run`, `keeper`, `journal`, `attempt`, `client` and `token`, which have threads,
//! files and sockets. Time, chance and what happened come into the rest as values, so that a test can own them.
//! Read `owed`, `desk` and `run` first.

mod attempt;
pub mod batch;
pub mod breaker;
pub mod checkpoint;
pub mod class;
pub mod client;
pub mod command;
pub mod concurrency;
pub mod condition;
pub mod desk;
pub mod destinations;
pub mod follow;
pub mod guard;
pub mod host;
mod journal;
pub mod keeper;
pub mod kept;
pub mod limit;
pub mod line;
pub mod mask;
pub mod outbound;
pub mod owed;
pub mod progress;
pub mod request;
pub mod restore;
pub mod retry_after;
mod run;
pub mod schedule;
pub mod sign;
mod site;
pub mod start;
pub mod success;
pub mod tally;
pub mod token;
pub mod turn;
mod values;
pub mod verdict;
