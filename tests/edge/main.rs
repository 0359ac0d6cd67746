//! The daemon from outside: a whole one in this process, on real sockets and files, with a clock that a test moves.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod access;
mod admin;
mod bare;
mod books;
mod clicks;
mod client;
#[cfg(feature = "geo")]
mod geo;
mod labels;
mod limits;
mod pixels;
mod postbacks;
mod profiles;
mod reload;
mod server;
mod slow;
mod through;
