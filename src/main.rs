//! The `clicklog` command: parse the command line, run it, turn the error into an exit code.
//!
//! Keeps: a panic in any thread ends the process, also in a build where panics unwind.

use std::process::{self, ExitCode};

use clap::Parser;

fn main() -> ExitCode {
    abort_on_panic();
    clicklog::cli::run(clicklog::cli::Arguments::parse())
}

/// An assertion that fails is our fault: whoever goes on without the thread that it failed in would only do more of it.
fn abort_on_panic() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        process::abort();
    }));
}
