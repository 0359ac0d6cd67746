//! What a newcomer types first, as processes of their own: the demo, the pages of the manual, the messages when something
//! is wrong.
#![cfg(feature = "daemon")]
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]
#![expect(clippy::print_stderr, reason = "a test that cannot run says so")]

mod demo;
#[expect(dead_code, reason = "other test files use the rest of it")]
#[path = "../support/disk.rs"]
mod disk;
mod doctor;
mod errors;
mod manual;
#[expect(dead_code, reason = "other test files use the rest of it")]
#[path = "../support/process.rs"]
mod process;
mod terminal;
mod top;

use std::path::Path;
use std::process::{Command, Stdio};

/// What a command said and how it ended.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs the command in this folder, with nothing of this machine's own settings.
fn clicklog(folder: &Path, arguments: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_clicklog"))
        .current_dir(folder)
        .args(arguments)
        .env_remove("CLICKLOG_CONFIG")
        .env_remove("CLICKLOG_ADMIN_TOKEN")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
