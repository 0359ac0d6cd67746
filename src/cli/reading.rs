//! How a file is read that somebody else has written.

use clap::Args;

use crate::batch::import::Offset;
use crate::event::money::Currency;

/// Its fields and times.
#[derive(Debug, Args)]
pub(super) struct Reading {
    /// What stands between fields; `tab` for a tab [default: told from the first line]
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    pub(super) delimiter: Option<u8>,
    /// How far ahead of UTC times are that do not say, as +02:00
    #[arg(long, value_name = "OFFSET", default_value = "Z", allow_hyphen_values = true)]
    pub(super) time_zone: Offset,
}

/// Its amounts.
#[derive(Debug, Args)]
pub(super) struct Amounts {
    /// Currency of amounts that do not say
    #[arg(long, value_name = "CODE", default_value = "USD")]
    pub(super) currency: Currency,
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(*byte),
        _ if text == "tab" || text == "\\t" => Ok(b'\t'),
        _ => Err("it is one character, or `tab`".to_owned()),
    }
}
