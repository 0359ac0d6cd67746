//! What a build is told about itself: the commit, the target and the compiler, for `clicklog version`.
//!
//! In: `CLICKLOG_COMMIT`, or a git folder. Out: three variables for `env!`.
//! Keeps: a build without git works; nothing is asked again unless the answer may have changed.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=CLICKLOG_COMMIT");
    println!("cargo:rerun-if-changed=build.rs");
    let given = std::env::var("CLICKLOG_COMMIT").ok().filter(|commit| !commit.is_empty());
    // A commit changes every binary that says it: while one works on the code, that would be a build for nothing.
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let asked = || if is_release { commit() } else { None };
    let commit = given.or_else(asked).unwrap_or_else(|| "unknown".to_owned());
    let target = std::env::var("TARGET").unwrap_or_else(|_| "unknown".to_owned());
    let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let compiler = said(&compiler, &["--version"]).unwrap_or_else(|| "unknown".to_owned());
    for (name, value) in [("COMMIT", commit), ("TARGET", target), ("RUSTC", compiler)] {
        // One line each: a line break would be a further instruction to cargo.
        println!("cargo:rustc-env=CLICKLOG_BUILD_{name}={}", value.lines().next().unwrap_or_default());
    }
}

/// The commit that is checked out, and what tells cargo that it is another one.
fn commit() -> Option<String> {
    let root = std::env::var("CARGO_MANIFEST_DIR").ok()?;
    // A package that was unpacked inside somebody else's repository is not of its commits.
    if !Path::new(&root).join(".git").exists() {
        return None;
    }
    for name in ["HEAD", "logs/HEAD", "packed-refs"] {
        // A file that is not there would be asked for at every build.
        let file = said("git", &["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists());
        file.iter().for_each(|file| println!("cargo:rerun-if-changed={file}"));
    }
    // What changes the build changes whether it is of its commit.
    ["src", "config", "Cargo.toml", "Cargo.lock"]
        .iter()
        .for_each(|path| println!("cargo:rerun-if-changed={path}"));
    let head = said("git", &["rev-parse", "--short=12", "HEAD"])?;
    let changes = said("git", &["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changes.is_empty() { head } else { format!("{head}-changed") })
}

/// What a command says, if it does well.
fn said(command: &str, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(command).args(arguments).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
}
