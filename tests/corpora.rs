//! Replays the committed fuzz corpora, so that an input once found is tried by every `cargo test`.
//!
//! In: `fuzz/corpus/TARGET/*`. Out: the body of TARGET has returned for each of them.
//! Keeps: bodies, corpora, target files and `[[bin]]` entries are the same set of names.
//! Not here: searching for new inputs (`fuzz/run`), and what a body checks (`fuzz_bodies`).

mod fuzz_bodies;

use fuzz_bodies::BODIES;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_committed_input_passes_its_body() {
    for (name, body) in BODIES {
        let inputs = entries(&format!("fuzz/corpus/{name}"));
        assert!(!inputs.is_empty(), "fuzz/corpus/{name} has no input");
        for input in inputs {
            // Shown by the test harness only if the body fails.
            println!("replaying {}", input.display());
            let bytes = fs::read(&input).unwrap_or_else(|error| panic!("{}: {error}", input.display()));
            body(&bytes);
        }
    }
}

#[test]
fn every_target_has_a_body_a_corpus_a_file_and_a_bin() {
    let bodies = BODIES.iter().map(|(name, _)| (*name).to_owned()).collect();
    let manifest = root("fuzz/Cargo.toml");
    let manifest =
        fs::read_to_string(&manifest).unwrap_or_else(|error| panic!("{}: {error}", manifest.display()));
    let parts = [
        ("a function in tests/fuzz_bodies", bodies),
        ("a folder in fuzz/corpus", stems("fuzz/corpus")),
        ("a file in fuzz/fuzz_targets", stems("fuzz/fuzz_targets")),
        ("a [[bin]] in fuzz/Cargo.toml", bins(&manifest)),
    ];
    assert_eq!(missing(&parts), [""; 0]);
}

#[test]
fn a_missing_part_of_a_target_is_named() {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let whole = [("a body", set(&["a", "b"])), ("a corpus", set(&["a", "b"]))];
    assert_eq!(missing(&whole), [""; 0]);
    let no_body = [("a body", set(&["a"])), ("a corpus", set(&["a", "b"]))];
    assert_eq!(missing(&no_body), ["target `b` lacks a body"]);
    let no_corpus = [("a body", set(&["a", "b"])), ("a corpus", set(&["a"]))];
    assert_eq!(missing(&no_corpus), ["target `b` lacks a corpus"]);
}

#[test]
fn bins_are_read_from_the_manifest() {
    let manifest =
        "[package]\nname = \"no\"\n\n[[bin]]\nname = \"a\"\n\n[[bin]]\npath = \"b.rs\"\nname = \"b\"\n";
    assert_eq!(bins(manifest).into_iter().collect::<Vec<_>>(), ["a", "b"]);
}

/// A line for each name that one of `parts` has and another lacks.
fn missing(parts: &[(&str, BTreeSet<String>)]) -> Vec<String> {
    let names: BTreeSet<_> = parts.iter().flat_map(|(_, names)| names).collect();
    let lacks = |name: &str| {
        let lacking = parts.iter().filter(|(_, names)| !names.contains(name));
        lacking.map(|(part, _)| format!("target `{name}` lacks {part}")).collect::<Vec<_>>()
    };
    names.into_iter().flat_map(|name| lacks(name)).collect()
}

/// The `name` of each `[[bin]]`.
fn bins(manifest: &str) -> BTreeSet<String> {
    let sections = manifest.split("\n[[bin]]\n").skip(1);
    let names =
        sections.filter_map(|section| section.lines().find_map(|line| line.strip_prefix("name = \"")));
    names.map(|name| name.trim_end_matches('"').to_owned()).collect()
}

fn stems(folder: &str) -> BTreeSet<String> {
    let stem = |path: PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    entries(folder).into_iter().filter_map(stem).collect()
}

/// What stands in `folder`, in a steady order.
fn entries(folder: &str) -> Vec<PathBuf> {
    let folder = root(folder);
    let listed = fs::read_dir(&folder).and_then(|entries| {
        let paths = entries.map(|entry| Ok(entry?.path()));
        paths.collect::<Result<Vec<_>, _>>()
    });
    let mut found = listed.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    found.sort();
    found
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
