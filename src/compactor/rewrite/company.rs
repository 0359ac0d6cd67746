//! Whoever a pass works for.
//!
//! In: bytes that were read or written. Out: whether to go on, after waiting as long as that takes.

use std::ops::ControlFlow;

use crate::store::rewrite::Step;

/// Tells a pass how fast to go, and when to stop.
pub trait Company {
    /// So many bytes were read or written. If it breaks, the pass ends and the segment stays as it was.
    fn passed(&mut self, bytes: u64) -> ControlFlow<()>;

    /// So many bytes are about to be read, so that something can go. If it breaks, the pass ends.
    fn reads(&mut self, bytes: u64) -> ControlFlow<()> {
        self.passed(bytes)
    }

    /// See `store::rewrite::Editor::after`.
    fn after(&mut self, _step: Step) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Nobody is in a hurry, and nobody waits: for a store that is used by nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Company for Alone {
    fn passed(&mut self, _bytes: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}
