//! The way out: every postback that a decision owes leaves, and nobody waits for the slow one.
//!
//! In: decisions. Out: which deliveries they call for, and for each attempt what it came to and what is next.
//! Keeps: all of it is pure but `client` and `token`, which reach out. Time, chance and what happened come in as values, so
//! that a test can own them.
//! Not here yet: following the log, the tasks.

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
