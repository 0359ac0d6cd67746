//! `clicklog version`: which build this is, and which formats it writes.
//!
//! In: what `build.rs` found out. Out: one line, some lines, or JSON.
//! Keeps: the first line is that of `-V`, so that a script reads either.

use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::Args;
use serde_json::{Value, json};

use super::{Failure, Format};
#[cfg(feature = "parquet")]
use crate::compactor::table;
use crate::event::codec::Kind;
use crate::store::layout;

/// Version and commit, in a line.
pub(super) const SHORT: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (commit ", env!("CLICKLOG_BUILD_COMMIT"), ")");

/// Records that are written, by name.
const KINDS: [(&str, Kind); 7] = [
    ("click", Kind::Click),
    ("postback", Kind::Postback),
    ("decision", Kind::Decision),
    ("delivery_outcome", Kind::DeliveryOutcome),
    ("foreign_click", Kind::ForeignClick),
    ("destination", Kind::Destination),
    ("cost_update", Kind::CostUpdate),
];

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    match arguments.format {
        Format::Text => writeln!(out, "clicklog {}", long())?,
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &all())?;
            writeln!(out)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// All there is to say, in lines.
pub(super) fn long() -> &'static str {
    static LONG: LazyLock<String> = LazyLock::new(|| {
        let mut text = SHORT.to_owned();
        let schemas: Vec<String> =
            KINDS.iter().map(|(name, kind)| format!("{name} {}", kind.schema())).collect();
        let lines = [
            ("features", features().join(", ")),
            ("segments", format!("format {}", layout::FORMAT)),
            ("records", schemas.join(", ")),
            ("parquet", parquet().unwrap_or("none").to_owned()),
            ("target", env!("CLICKLOG_BUILD_TARGET").to_owned()),
            ("compiler", env!("CLICKLOG_BUILD_RUSTC").to_owned()),
        ];
        for (name, value) in lines {
            // Writing to a string cannot fail.
            let _written = write!(text, "\n{name:<10}{value}");
        }
        text
    });
    &LONG
}

fn all() -> Value {
    let records: serde_json::Map<String, Value> =
        KINDS.iter().map(|(name, kind)| ((*name).to_owned(), kind.schema().into())).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "commit": env!("CLICKLOG_BUILD_COMMIT"),
        "features": features(),
        "formats": { "segment": layout::FORMAT, "records": records, "parquet": parquet() },
        "target": env!("CLICKLOG_BUILD_TARGET"),
        "rustc": env!("CLICKLOG_BUILD_RUSTC"),
    })
}

fn features() -> Vec<&'static str> {
    let known = [("daemon", true), ("geo", cfg!(feature = "geo")), ("parquet", cfg!(feature = "parquet"))];
    known.into_iter().filter_map(|(name, is_in)| is_in.then_some(name)).collect()
}

fn parquet() -> Option<&'static str> {
    #[cfg(feature = "parquet")]
    return Some(table::VERSION);
    #[cfg(not(feature = "parquet"))]
    None
}
