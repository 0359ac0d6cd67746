//! Rows with their columns one below the other.

use std::io::{self, Write};

/// Writes a line of heads and the rows below it.
pub(super) fn write<const N: usize>(
    out: &mut dyn Write,
    heads: [&str; N],
    rows: Vec<[String; N]>,
) -> io::Result<()> {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0).max(heads[column].len())
    };
    let widths: [usize; N] = std::array::from_fn(width);
    for line in std::iter::once(heads.map(str::to_owned)).chain(rows) {
        let padded: Vec<String> =
            line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "{}", padded.join("  ").trim_end())?;
    }
    Ok(())
}
