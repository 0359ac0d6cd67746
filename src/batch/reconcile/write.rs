//! The pairs of a reconciliation as CSV, for whoever takes them up with the network.

use std::io::{self, Write};

use super::{Pair, Reconciliation};
use crate::batch::export::text::begins_formula;

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

/// Columns of what others have made up.
const IDS: [usize; 2] = [2, 3];

/// Writes a line of names, and one for each pair (RFC 4180). If `is_spreadsheet_safe`, ids that a spreadsheet would take for a
/// formula get an apostrophe, which changes them.
///
/// # Errors
/// What writing says.
pub fn csv(
    reconciliation: &Reconciliation,
    is_spreadsheet_safe: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut writer = ::csv::WriterBuilder::new().terminator(::csv::Terminator::CRLF).from_writer(out);
    writer.write_record(HEADS)?;
    for pair in &reconciliation.pairs {
        let mut cells = cells(pair);
        for id in IDS.into_iter().filter(|_| is_spreadsheet_safe) {
            if begins_formula(&cells[id]) {
                cells[id].insert(0, '\'');
            }
        }
        writer.write_record(cells)?;
    }
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
