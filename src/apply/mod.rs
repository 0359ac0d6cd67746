//! What a postback means for the money: pure, so that the same journal gives the same decisions again.
//!
//! In: what one postback says (`Said`), and how the conversion that it is about stands so far (`Standing`). Out: what
//! changes, and what that adds to the books.
//! Keeps: repeats and the order of arrival change nothing about the sum, as far as the mode allows it (`books`).
//! Not here: where conversions are kept, which click they belong to, how a network words them.

#[cfg(feature = "daemon")]
mod about;
pub mod books;
#[cfg(feature = "daemon")]
pub mod claim;
pub mod decide;
#[cfg(feature = "daemon")]
pub mod explain;
pub mod key;
#[cfg(feature = "daemon")]
pub mod ledger;
#[cfg(feature = "daemon")]
mod parked;
#[cfg(feature = "daemon")]
mod past;
pub mod payout;
pub mod reading;
#[cfg(feature = "daemon")]
pub mod reapply;
pub mod reason;
pub mod rules;
#[cfg(feature = "daemon")]
pub mod start;
