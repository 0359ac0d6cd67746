//! What a worker needs for every click, kept between clicks so that none of it is allocated again.
//!
//! Keeps: one per worker, used by one request at a time and never across a wait.

use bytes::BytesMut;

use super::labels::Agents;
use crate::event::params::Params;
use crate::store::clicks::ClickWriter;

/// Texts of answers are cut from blocks of this length: some hundred answers each.
const TEXT_BYTES: usize = 64 * 1024;

/// See the module.
#[derive(Debug)]
pub(super) struct Hot {
    pub(super) writer: ClickWriter,
    /// Which worker it belongs to.
    pub(super) index: usize,
    pub(super) agents: Agents,
    /// As they came.
    pub(super) params: Params,
    /// Under the names they are stored by.
    pub(super) stored: Params,
    pub(super) stored_bytes: Vec<u8>,
    pub(super) client_hints: String,
    pub(super) url: Vec<u8>,
    /// Where the texts of headers are cut from: one allocation serves many.
    pub(super) text: BytesMut,
    random: u64,
}

impl Hot {
    pub(super) fn new(writer: ClickWriter, index: usize, seed: u64) -> Self {
        Self {
            writer,
            index,
            agents: Agents::new(),
            params: Params::default(),
            stored: Params::default(),
            stored_bytes: Vec::new(),
            client_hints: String::new(),
            url: Vec::new(),
            text: BytesMut::with_capacity(TEXT_BYTES),
            random: seed,
        }
    }

    /// The next random number (SplitMix64): good enough to rotate offers, not to hide anything.
    pub(super) fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.random)
    }

    /// The rendered URL as bytes of their own.
    pub(super) fn take_url(&mut self) -> bytes::Bytes {
        self.text.extend_from_slice(&self.url);
        self.text.split().freeze()
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood, 2014).
pub(super) fn mix(mut number: u64) -> u64 {
    number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}
