//! What each fuzz target checks, for any input at all.
//!
//! In: bytes, from libFuzzer (`fuzz/fuzz_targets`) or from the committed corpora (`tests/corpora.rs`).
//! Keeps: a body returns on every input, or the code under it has a bug.
//! Not here: how the fuzzer is built and bounded (`fuzz/run`).

#![expect(clippy::expect_used, reason = "a body that fails is how a bug shows")]

mod daemon;
mod event;
mod operations;
mod outgoing;
mod postback;
mod rollup;
mod start;
mod store;

pub(crate) use daemon::{catalog, request, template};
pub(crate) use event::{click_id, codec, money, params, timestamp};
pub(crate) use operations::operations;
pub(crate) use outgoing::{delivery, host, progress, retry_after};
pub(crate) use postback::postback;
pub(crate) use rollup::rollup;
pub(crate) use start::{manifest, scan};
pub(crate) use store::{dedupe_checkpoint, layout, record};

/// A body: it takes any bytes, and returns.
pub(crate) type Body = fn(&[u8]);

/// Every body, under the name of its target, of its file in `fuzz/fuzz_targets`, and of its corpus.
pub(crate) const BODIES: &[(&str, Body)] = &[
    ("catalog", catalog),
    ("click_id", click_id),
    ("codec", codec),
    ("dedupe_checkpoint", dedupe_checkpoint),
    ("delivery", delivery),
    ("host", host),
    ("layout", layout),
    ("manifest", manifest),
    ("money", money),
    ("operations", operations),
    ("params", params),
    ("postback", postback),
    ("progress", progress),
    ("record", record),
    ("request", request),
    ("retry_after", retry_after),
    ("rollup", rollup),
    ("scan", scan),
    ("template", template),
    ("timestamp", timestamp),
];

/// Input to take numbers from; behind its end there are zeros.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (taken, rest) = self.0.split_at(self.0.len().min(N));
        self.0 = rest;
        let mut bytes = [0; N];
        bytes[..taken.len()].copy_from_slice(taken);
        bytes
    }

    fn u8(&mut self) -> u8 {
        u8::from_le_bytes(self.take())
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }
}
