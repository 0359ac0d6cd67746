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

/// Writes a line of heads and rows of as many cells; from the column `numbers` on they stand to the right.
#[cfg(feature = "parquet")]
pub(super) fn write_numbers(
    out: &mut dyn Write,
    heads: Vec<String>,
    rows: Vec<Vec<String>>,
    numbers: usize,
) -> io::Result<()> {
    let lines: Vec<Vec<String>> = std::iter::once(heads).chain(rows).collect();
    let mut widths: Vec<usize> = Vec::new();
    for line in &lines {
        widths.resize(widths.len().max(line.len()), 0);
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for line in lines {
        let padded = line.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column < numbers { format!("{cell:width$}") } else { format!("{cell:>width$}") }
        });
        writeln!(out, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}
