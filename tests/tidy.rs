//! The house rules that a machine can see, as ordinary tests; here the floors, the rest in `tidy_rules`.
//!
//! In: every Rust file of the package, `Cargo.lock`, `deny.toml`. Out: one line per violation, with its place.
//! Keeps: each rule is a function from sources to violations, so that snippets show what it catches.
//! Not here: what rustc and clippy see already (`[lints]` in `Cargo.toml`).

mod tidy_rules;

use std::path::Path;
use std::{fs, io};
use tidy_rules::source::{Named, Source, Token, closing, paths, reads, tokens};

/// The modules of `src`, top to bottom. A module names only modules of lower floors, or itself;
/// those on one floor meet below, never one another.
const FLOORS: &[&[&str]] = &[
    &["cli"],
    &["serve"],
    &["config"],
    &["admin", "ingest", "dispatcher", "batch", "load"],
    &["compactor"],
    &["apply"],
    &["store"],
    &["event"],
    &["logs"],
    &["clock", "meter", "metrics", "shutdown"],
];

#[test]
fn each_module_names_only_lower_floors() {
    holds(names_above_its_floor, &src());
}

#[test]
fn a_name_from_the_same_or_a_higher_floor_is_caught() {
    let caught = [
        ("src/store/log.rs", "use crate::ingest::Reply;"),
        ("src/store/log.rs", "fn f() -> crate::apply::Decision { g() }"),
        ("src/store/log.rs", "use crate::{clock::Clock, event::{self, Click}, serve};"),
        ("src/store/log.rs", "use super::super::ingest;"),
        ("src/store/mod.rs", "use super::{event, ingest};"),
        ("src/store/log.rs", "mod tests { use super::super::super::ingest::Reply; }"),
        ("src/store/log.rs", "use self::super::super::ingest::Reply;"),
        ("src/store/log.rs", "macro_rules! m { () => { $crate::ingest::f() } }"),
        ("src/store/log.rs", "use clicklog::ingest::Reply;"),
        ("src/store/log.rs", "use crate::*;"),
        ("src/store/mod.rs", "use super::*;"),
        ("src/store/log.rs", "use crate as root;"),
        ("src/ingest/mod.rs", "use crate::dispatcher::Queue;"),
        ("src/clock.rs", "use crate::shutdown::Shutdown;"),
        ("src/store/log.rs", "use crate::gossip::Peer;"),
        ("src/gossip.rs", "use crate::clock::Clock;"),
        ("src/bin/tool.rs", "fn main() {}"),
    ];
    let passed = [
        ("src/serve.rs", "use crate::{config, ingest, store::Store, shutdown::Shutdown};"),
        ("src/store/log.rs", "use crate::store::Error; use super::{super::store, Position};"),
        ("src/store/log.rs", "mod tests { use super::*; use super::super::Position; }"),
        (
            "src/store/log.rs",
            "pub(crate) fn f(a: self::ingest::B) { \"crate::ingest::x\" } // crate::ingest::x",
        ),
        ("src/main.rs", "use clicklog::cli; fn main() { crate::anything() }"),
    ];
    bites(names_above_its_floor, &caught, &passed);
}

#[test]
fn a_module_without_a_floor_is_told_where_to_get_one() {
    let found = names_above_its_floor(&[Source::new("src/gossip.rs", "")]);
    assert_eq!(found, ["src/gossip.rs:1: module `gossip` has no floor: add it to FLOORS in tests/tidy.rs"]);
}

#[test]
fn the_library_root_holds_only_docs_and_public_modules() {
    holds(code_in_the_library_root, &src());
}

#[test]
fn code_in_the_library_root_is_caught() {
    let caught = [
        ("src/lib.rs", "pub mod clock; use clock::Clock;"),
        ("src/lib.rs", "pub use clock::Clock;"),
        ("src/lib.rs", "mod clock;"),
        ("src/lib.rs", "pub mod clock { pub fn now() {} }"),
        ("src/lib.rs", "pub(crate) mod clock;"),
    ];
    let passed = [
        (
            "src/lib.rs",
            "//! Doc.\n#![deny(x)]\n/// It.\n#[cfg(feature = \"daemon\")]\npub mod clock;\npub mod r#type;",
        ),
        ("src/main.rs", "fn main() {}"),
    ];
    bites(code_in_the_library_root, &caught, &passed);
}

/// The floor of a top-level module, counted from the top.
fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

fn names_above_its_floor(sources: &[Source]) -> Vec<String> {
    each(sources, |source, tokens| {
        let Some(module) = source.module() else {
            return Vec::new();
        };
        let own = module[0].as_str();
        let unknown = |name: &str| format!("module `{name}` has no floor: add it to FLOORS in tests/tidy.rs");
        let Some(own_floor) = floor(own) else {
            return vec![source.at(1, &unknown(own))];
        };
        let refusal = |top: &str| match floor(top) {
            _ if top == own => None,
            _ if top == "*" => Some("names the crate's root: name the module that is meant".to_owned()),
            None => Some(unknown(top)),
            Some(floor) if floor > own_floor => None,
            Some(_) => Some(format!("`{own}` names `{top}`, which is not on a lower floor")),
        };
        let named = paths(tokens);
        let refused = named.iter().filter_map(|path| Some((path, refusal(top_level(&module, path)?)?)));
        refused.map(|(path, what)| source.at(path.line, &what)).collect()
    })
}

/// The top-level module that a path leads to from within `module`: `*` for the root itself, nothing
/// for a path into another crate or one that stays inside.
fn top_level<'a>(module: &[String], path: &Named<'a>) -> Option<&'a str> {
    let (first, rest) = path.segments.split_first()?;
    if matches!(*first, "crate" | "clicklog") {
        return Some(rest.first().copied().unwrap_or("*"));
    }
    let leading = path.segments.iter().take_while(|name| matches!(**name, "self" | "super")).count();
    let up = path.segments[..leading].iter().filter(|name| **name == "super").count();
    let at_root = up > 0 && up >= module.len() + path.within.len();
    at_root.then(|| path.segments.get(leading).copied().unwrap_or("*"))
}

fn code_in_the_library_root(sources: &[Source]) -> Vec<String> {
    each(sources, |source, tokens| {
        if source.path != "src/lib.rs" {
            return Vec::new();
        }
        let mut index = 0;
        while index < tokens.len() {
            if reads(tokens, index, &["#"]) {
                let open = index + if reads(tokens, index + 1, &["!"]) { 2 } else { 1 };
                index = closing(tokens, open) + 1;
            } else if reads(tokens, index, &["pub", "mod"]) && reads(tokens, index + 3, &[";"]) {
                index += 4;
            } else {
                return vec![
                    source.at(tokens[index].line, "only docs, attributes and `pub mod` lines stand here"),
                ];
            }
        }
        Vec::new()
    })
}

/// What a rule is: all sources to all violations.
type Rule = fn(&[Source]) -> Vec<String>;

/// The rule finds nothing in `sources`.
fn holds(rule: Rule, sources: &[Source]) {
    assert!(sources.iter().any(|source| source.path == "src/lib.rs"), "the tree was not read");
    let found = rule(sources);
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// The rule finds something in each of `caught`, and nothing in any of `passed`.
fn bites(rule: Rule, caught: &[(&str, &str)], passed: &[(&str, &str)]) {
    for (path, text) in caught {
        assert!(!rule(&[Source::new(path, text)]).is_empty(), "not caught: {path}: {text}");
    }
    for (path, text) in passed {
        assert_eq!(rule(&[Source::new(path, text)]), [""; 0], "caught: {path}: {text}");
    }
}

fn src() -> Vec<Source> {
    rust_files(&["src"])
}

fn all() -> Vec<Source> {
    rust_files(&["src", "tests", "benches", "examples", "fuzz/fuzz_targets"])
}

/// Every Rust file below `folders`, of which some may not exist.
fn rust_files(folders: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pending: Vec<_> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut found = Vec::new();
    while let Some(folder) = pending.pop() {
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display())),
        };
        for entry in entries {
            let path = entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
                let text = read(&name);
                found.push(Source { path: name, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The same check for each source, with its tokens.
fn each(sources: &[Source], check: impl Fn(&Source, &[Token<'_>]) -> Vec<String>) -> Vec<String> {
    sources.iter().flat_map(|source| check(source, &tokens(&source.text))).collect()
}
