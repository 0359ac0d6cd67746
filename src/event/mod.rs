//! What happened: the pure half of the domain. No I/O, no clock, no global state.
//!
//! A record is read as a view (`Click`, `Postback`, …) that borrows the bytes it lies in, and written from
//! the same view: nothing is copied to look at an event.

pub mod click;
pub mod click_id;
pub mod codec;
pub mod conversion;
pub mod cost;
pub mod decision;
pub mod delivery;
mod hex;
#[cfg(feature = "daemon")]
pub mod mask;
pub mod members;
pub mod money;
#[cfg(feature = "daemon")]
pub mod nearest;
pub mod params;
mod parts;
#[cfg(feature = "daemon")]
mod percent;
pub mod postback;
mod schema_v1;
mod schema_v2;
pub mod splice;
pub mod strip;
#[cfg(feature = "daemon")]
pub mod template;
mod text;

pub use hex::{hex, hex_digits};
pub use members::Members;
#[cfg(feature = "daemon")]
pub use percent::percent_encoded;
