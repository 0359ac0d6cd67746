//! The pairs of a reconciliation as CSV, for whoever takes them up with the network.

use std::io::{self, Write};

use super::{Pair, Reconciliation};

/// The columns, in order.
const HEADS: [&str; 12] = [
    "class",
    "line",
    "transaction_id",
    "click_id",
    "time",
    "their_status",
    "their_amount",
    "their_currency",
    "our_status",
    "our_amount",
    "our_currency",
    "conversion_id",
];

/// Writes a line of names, and one for each pair (RFC 4180).
///
/// # Errors
/// What writing says.
pub fn csv(reconciliation: &Reconciliation, out: &mut dyn Write) -> io::Result<()> {
    let mut writer = ::csv::WriterBuilder::new().terminator(::csv::Terminator::CRLF).from_writer(out);
    writer.write_record(HEADS)?;
    reconciliation.pairs.iter().try_for_each(|pair| writer.write_record(cells(pair)))?;
    writer.flush()
}

fn cells(pair: &Pair) -> [String; 12] {
    [
        pair.class.name().to_owned(),
        pair.line.map_or_else(String::new, |line| line.to_string()),
        pair.transaction_id.clone(),
        pair.click_id.clone(),
        pair.time.clone(),
        pair.their_status.clone(),
        pair.their_amount.clone(),
        pair.their_currency.clone(),
        pair.our_status.clone(),
        pair.our_amount.clone(),
        pair.our_currency.clone(),
        pair.conversion_id.clone(),
    ]
}
