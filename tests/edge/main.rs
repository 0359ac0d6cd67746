//! The daemon from outside: a whole one in this process, on real sockets and files, with a clock that a test moves.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod access;
#[cfg(feature = "acme")]
mod acme;
mod admin;
mod bare;
mod books;
#[expect(dead_code, reason = "other test files use the rest of it")]
#[path = "../support/certificates.rs"]
mod certificates;
mod clicks;
mod client;
#[cfg(feature = "geo")]
mod geo;
mod http2;
mod labels;
mod limits;
mod pixels;
mod postbacks;
mod profiles;
mod reload;
mod request_ids;
mod secure;
mod server;
mod slow;
mod through;
mod tls;
