//! A Parquet file of rows that come from several segments.
//!
//! In: rows of chosen columns, some at a time. Out: a file, to wherever it is written.
//! Keeps: row groups are as large as those of published files, however few rows come at once.
//! Not here: which rows, and whether they are in order.

use std::io::Write;

use super::columns::Rows;
use super::error::Result;
use super::parquet::{GROUP_ROWS_MAX, Writer};
use super::table::{Field, Table};

/// Bytes of texts that a row group holds before it is written, whatever its rows.
const GROUP_TEXT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// See the module.
pub struct RowFile<T: Table, W: Write + Send> {
    writer: Writer<W>,
    rows: Rows<T>,
}

impl<T: Table, W: Write + Send> RowFile<T, W> {
    /// Begins a file; `columns` gives its columns. `is_sorted` says whether rows come in order of time.
    ///
    /// # Errors
    /// `Format`, or what writing says.
    pub fn begin(out: W, columns: impl Fn() -> Vec<Field<T>>, level: i32, is_sorted: bool) -> Result<Self> {
        let fields = columns();
        let writer = Writer::of(out, &fields, level, is_sorted)?;
        Ok(Self { writer, rows: Rows::of(fields) })
    }

    /// Adds rows of the same columns.
    ///
    /// # Errors
    /// As `begin`.
    pub fn add(&mut self, rows: &Rows<T>) -> Result<()> {
        let texts = self.rows.text_bytes() + rows.text_bytes();
        if self.rows.len() + rows.len() > GROUP_ROWS_MAX || texts > GROUP_TEXT_BYTES_MAX {
            self.flush()?;
        }
        self.rows.append(rows);
        Ok(())
    }

    /// Ends the file, and gives back where it was written to.
    ///
    /// # Errors
    /// As `begin`.
    pub fn finish(mut self) -> Result<W> {
        self.flush()?;
        self.writer.finish()
    }

    fn flush(&mut self) -> Result<()> {
        if !self.rows.is_empty() {
            self.writer.write(&mut self.rows)?;
            self.rows.clear();
        }
        Ok(())
    }
}
