//! How far a long command is: a line that is rewritten on a terminal, a line each ten seconds elsewhere.
//!
//! Keeps: it goes to standard error, so that output can be piped; a command that is quick says nothing.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use crate::clock::Clock;

/// On a terminal it is drawn as often, at most.
const DRAW_INTERVAL: Duration = Duration::from_millis(100);
/// Elsewhere a line is written as often.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// Characters of the bar.
const BAR_WIDTH: u64 = 24;

/// See the module.
#[derive(Debug)]
pub(super) struct Progress {
    what: &'static str,
    clock: Clock,
    is_terminal: bool,
    last: Duration,
    is_drawn: bool,
}

impl Progress {
    pub(super) fn new(what: &'static str) -> Self {
        let clock = Clock::System;
        let last = clock.monotonic();
        Self { what, clock, is_terminal: io::stderr().is_terminal(), last, is_drawn: false }
    }

    /// Says that so much of so much is done, if it is time to.
    pub(super) fn tick(&mut self, done: u64, of: u64, detail: &str) {
        let interval = if self.is_terminal { DRAW_INTERVAL } else { LINE_INTERVAL };
        let now = self.clock.monotonic();
        if now.saturating_sub(self.last) < interval {
            return;
        }
        self.last = now;
        self.is_drawn = true;
        let line = line(self.what, done, of, detail, self.is_terminal);
        // Progress that cannot be shown is not missed.
        let _unseen = match self.is_terminal {
            true => write!(io::stderr(), "\r{line}\x1b[K"),
            false => writeln!(io::stderr(), "{line}"),
        };
    }

    /// Clears the line, so that what is said next begins one.
    pub(super) fn end(&mut self) {
        if self.is_terminal && self.is_drawn {
            let _unseen = write!(io::stderr(), "\r\x1b[K");
        }
        self.is_drawn = false;
    }
}

fn line(what: &str, done: u64, of: u64, detail: &str, has_bar: bool) -> String {
    let of = of.max(done).max(1);
    let percent = u128::from(done) * 100 / u128::from(of);
    let full = u128::from(done) * u128::from(BAR_WIDTH) / u128::from(of);
    let full = usize::try_from(full).unwrap_or_default();
    let bar = match has_bar {
        true => {
            let empty = usize::try_from(BAR_WIDTH).unwrap_or_default().saturating_sub(full);
            format!(" [{}{}]", "#".repeat(full), ".".repeat(empty))
        }
        false => String::new(),
    };
    let gap = if detail.is_empty() { "" } else { ", " };
    format!("{what}{bar} {percent} %{gap}{detail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is_whatever_the_numbers() {
        assert_eq!(line("reading", 1, 4, "", false), "reading 25 %");
        assert_eq!(
            line("reading", 1, 4, "7 lines", true),
            "reading [######..................] 25 %, 7 lines"
        );
        assert_eq!(line("reading", 0, 0, "", false), "reading 0 %");
        assert_eq!(line("reading", 5, 4, "", false), "reading 100 %");
        assert_eq!(line("reading", u64::MAX, u64::MAX, "", false), "reading 100 %");
    }
}
