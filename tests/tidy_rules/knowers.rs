//! One knower for each outside thing: who may name a crate, the clock, the environment, `unsafe`.
//!
//! Not here: names within the crate (the floors, in `tests/tidy.rs`).

use super::source::{Named, Source, Token, attributes, paths};
use crate::{bites, each, holds, src};
use std::collections::BTreeSet;

#[test]
fn only_ingest_admin_and_dispatcher_know_hyper() {
    holds(hyper_strays, &src());
}

#[test]
fn only_config_knows_toml() {
    holds(toml_strays, &src());
}

#[test]
fn only_cli_and_main_know_clap() {
    holds(clap_strays, &src());
}

#[test]
fn a_crate_named_outside_its_place_is_caught() {
    let caught = [
        ("src/store/log.rs", "use hyper::Request;"),
        ("src/store/log.rs", "use {hyper_util::rt::TokioIo, std::fs};"),
        ("src/store/log.rs", "fn f(r: ::hyper::Request<B>) {}"),
        ("src/ingestion.rs", "extern crate hyper;"),
        ("src/store/log.rs", "mod hyper; use ::hyper as h;"),
    ];
    let passed = [
        ("src/ingest/listener.rs", "use hyper::Request;"),
        ("src/admin.rs", "use hyper::Request;"),
        ("src/store/log.rs", "mod hyper; fn f() { hyper::g() } // hyper::Request"),
        ("src/store/log.rs", "use super::hyper; fn f(hyper: u8) { hyper::g(); a::hyper::b() }"),
    ];
    bites(hyper_strays, &caught, &passed);

    let (config, event) = ("src/config/settings.rs", "src/event/money.rs");
    bites(toml_strays, &[(event, "use toml_edit::Item;")], &[(config, "fn f() { toml::from_str(s) }")]);

    let derive = "#[derive(clap::Parser)] struct Arguments;";
    bites(clap_strays, &[(config, derive)], &[("src/cli/mod.rs", derive), ("src/main.rs", derive)]);
}

#[test]
fn only_one_file_knows_parquet() {
    holds(second_parquet_file, &src());
}

#[test]
fn a_second_file_that_knows_parquet_is_caught() {
    let (writer, reader) = ("src/compactor/parquet.rs", "src/batch/export.rs");
    let using = "use parquet::file::writer::SerializedFileWriter;";
    let both = [Source::new(writer, using), Source::new(reader, using)];
    assert_eq!(second_parquet_file(&both).len(), 2);
    let through_it = [
        Source::new(writer, using),
        Source::new(reader, "use crate::compactor::parquet; fn f() { parquet::write() }"),
    ];
    assert_eq!(second_parquet_file(&through_it), [""; 0]);
}

#[test]
fn only_clock_reads_the_system_time() {
    holds(system_time_strays, &src());
}

#[test]
fn system_time_read_elsewhere_is_caught() {
    let caught = [
        ("src/store/log.rs", "fn f() { let t = SystemTime::now(); }"),
        ("src/store/log.rs", "fn f() { once.get_or_init(std::time::Instant::now) }"),
        ("src/ingest/timers.rs", "fn f() { tokio::time::Instant::now() }"),
    ];
    let passed = [
        ("src/clock.rs", "fn f() { SystemTime::now() }"),
        ("src/store/log.rs", "use std::time::Instant; fn f(clock: &Clock) { clock.now(); Timestamp::now() }"),
    ];
    bites(system_time_strays, &caught, &passed);
}

#[test]
fn only_cli_config_and_main_read_the_environment() {
    holds(environment_strays, &src());
}

#[test]
fn the_environment_read_elsewhere_is_caught() {
    let caught = [
        ("src/store/log.rs", "fn f() { std::env::var(\"HOME\") }"),
        ("src/store/log.rs", "use std::{env, fs};"),
        ("src/serve.rs", "use std::env::args;"),
    ];
    let passed = [
        ("src/cli/serve.rs", "use std::env;"),
        ("src/config/secrets.rs", "fn f() { std::env::var_os(name) }"),
        ("src/main.rs", "use std::env;"),
        ("src/serve.rs", "const VERSION: &str = env!(\"CARGO_PKG_VERSION\");"),
    ];
    bites(environment_strays, &caught, &passed);
}

#[test]
fn only_the_mapping_is_unsafe() {
    holds(unsafe_strays, &src());
}

#[test]
fn unsafe_elsewhere_is_caught() {
    let caught = [
        ("src/store/log.rs", "fn f() { unsafe { g() } }"),
        ("src/store/log.rs", "unsafe impl Send for Log {}"),
        ("src/store/log.rs", "#![expect(unsafe_code, reason = \"quick\")]"),
        ("src/store/mod.rs", "#[cfg_attr(test, allow(dead_code, unsafe_code))] mod log;"),
    ];
    let passed = [
        ("src/store/mapping.rs", "#![expect(unsafe_code, reason = \"here\")] fn f() { unsafe { g() } }"),
        ("src/lib.rs", "#![deny(unsafe_code)]"),
        ("src/store/log.rs", "/* unsafe */ fn f() { \"unsafe\" }"),
    ];
    bites(unsafe_strays, &caught, &passed);
}

fn hyper_strays(sources: &[Source]) -> Vec<String> {
    crate_strays(sources, "hyper", &["src/ingest", "src/admin", "src/dispatcher"])
}

fn toml_strays(sources: &[Source]) -> Vec<String> {
    crate_strays(sources, "toml", &["src/config"])
}

fn clap_strays(sources: &[Source]) -> Vec<String> {
    crate_strays(sources, "clap", &["src/cli", "src/main.rs"])
}

/// Where the crate `name`, or one of its family (`name_...`), is named outside `places`.
fn crate_strays(sources: &[Source], name: &str, places: &[&str]) -> Vec<String> {
    each(sources, |source, tokens| {
        let what = format!("`{name}` is known only in {}", places.join(", "));
        let lines = if places.iter().any(|place| source.is_in(place)) {
            Vec::new()
        } else {
            lines_naming(tokens, name)
        };
        lines.into_iter().map(|line| source.at(line, &what)).collect()
    })
}

fn second_parquet_file(sources: &[Source]) -> Vec<String> {
    let found = each(sources, |source, tokens| {
        let line = lines_naming(tokens, "parquet").first().copied();
        line.map(|line| source.at(line, "`parquet` is known in one file only, and this is one of several"))
            .into_iter()
            .collect()
    });
    if found.len() > 1 { found } else { Vec::new() }
}

/// The lines on which a file names the crate `name` or one of its family. A module of the crate's own
/// that has the same name is not it.
fn lines_naming(tokens: &[Token<'_>], name: &str) -> Vec<usize> {
    let named = paths(tokens);
    let declared = tokens.windows(2).filter(|pair| pair[0].is("mod")).map(|pair| pair[1].text);
    let is_ours = |path: &&Named<'_>| matches!(path.segments[0], "crate" | "self" | "super");
    let imported = named.iter().filter(is_ours).filter_map(|path| path.segments.last().copied());
    let ours: BTreeSet<&str> = declared.chain(imported).collect();

    let of_family =
        |first: &str| first.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
    let meant =
        |path: &&Named<'_>| of_family(path.segments[0]) && (path.rooted || !ours.contains(path.segments[0]));
    named.iter().filter(meant).map(|path| path.line).collect()
}

fn system_time_strays(sources: &[Source]) -> Vec<String> {
    path_strays(
        sources,
        &["src/clock.rs"],
        "take a `Clock`: only src/clock.rs reads the system's",
        |segments| matches!(segments, [.., "SystemTime" | "Instant", "now"]),
    )
}

fn environment_strays(sources: &[Source]) -> Vec<String> {
    let places = ["src/cli", "src/config", "src/main.rs"];
    path_strays(sources, &places, "only cli, config and main read the environment", |segments| {
        matches!(segments, ["std", "env", ..])
    })
}

/// Where a path for which `meant` holds is named outside `places`.
fn path_strays(sources: &[Source], places: &[&str], what: &str, meant: fn(&[&str]) -> bool) -> Vec<String> {
    each(sources, |source, tokens| {
        let allowed = places.iter().any(|place| source.is_in(place));
        let named = paths(tokens);
        let strays = named.iter().filter(|path| !allowed && meant(&path.segments));
        strays.map(|path| source.at(path.line, what)).collect()
    })
}

fn unsafe_strays(sources: &[Source]) -> Vec<String> {
    each(sources, |source, tokens| {
        if source.path == "src/store/mapping.rs" {
            return Vec::new();
        }
        let keywords = tokens.iter().filter(|token| token.is("unsafe"));
        let levels = attributes(tokens).into_iter().filter_map(|attribute| {
            let lowers =
                ["allow", "expect", "warn"].iter().any(|level| attribute.iter().any(|token| token.is(level)));
            attribute.iter().find(|token| lowers && token.is("unsafe_code"))
        });
        let what = "`unsafe` stands only in src/store/mapping.rs";
        keywords.chain(levels).map(|token| source.at(token.line, what)).collect()
    })
}
