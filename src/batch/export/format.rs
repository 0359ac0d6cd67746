//! The formats of a file, behind one face.
//!
//! In: rows, some at a time, and where to write them. Out: a whole file.
//! Keeps: all formats have the same columns, which `Table::fields` lists.

use std::io::{self, Write};

use super::text::{Lines, Text};
use crate::compactor;
use crate::compactor::columns::Rows;
use crate::compactor::publish::LEVEL;
use crate::compactor::row_file::RowFile;
use crate::compactor::table::{Field, Table};

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The system says so.
    #[error(transparent)]
    System(#[from] io::Error),
    /// The library of the format does.
    #[error(transparent)]
    Format(#[from] compactor::Error),
}

/// A way to write rows of `T`: some of them are put into a block, on any thread; blocks into a file, one after the other.
pub(super) trait Format<T: Table>: Sync {
    type Block: Send;
    type File<W: Write + Send>;

    fn block(&self) -> Self::Block;
    fn put(&self, row: &T::Row<'_>, block: &mut Self::Block);
    fn begin<W: Write + Send>(&self, out: W, is_sorted: bool) -> Result<Self::File<W>, WriteError>;
    /// Writes a block, and empties it.
    fn write<W: Write + Send>(
        &self,
        file: &mut Self::File<W>,
        block: &mut Self::Block,
    ) -> Result<(), WriteError>;
    fn finish<W: Write + Send>(&self, file: Self::File<W>) -> Result<W, WriteError>;
}

impl<T: Table> Format<T> for Text<T> {
    type Block = Lines;
    type File<W: Write + Send> = W;

    fn block(&self) -> Lines {
        Lines::default()
    }

    fn put(&self, row: &T::Row<'_>, block: &mut Lines) {
        Self::put(self, row, block);
    }

    fn begin<W: Write + Send>(&self, mut out: W, _is_sorted: bool) -> Result<W, WriteError> {
        self.write_head(&mut out)?;
        Ok(out)
    }

    fn write<W: Write + Send>(&self, file: &mut W, block: &mut Lines) -> Result<(), WriteError> {
        file.write_all(&block.bytes)?;
        block.bytes.clear();
        Ok(())
    }

    fn finish<W: Write + Send>(&self, mut file: W) -> Result<W, WriteError> {
        file.flush()?;
        Ok(file)
    }
}

/// Parquet files of some columns.
pub(super) struct Parquet<F> {
    columns: F,
}

impl<F> Parquet<F> {
    /// `columns` gives the columns.
    pub(super) fn new(columns: F) -> Self {
        Self { columns }
    }
}

impl<T: Table, F: Fn() -> Vec<Field<T>> + Sync> Format<T> for Parquet<F> {
    type Block = Rows<T>;
    type File<W: Write + Send> = RowFile<T, W>;

    fn block(&self) -> Rows<T> {
        Rows::of((self.columns)())
    }

    fn put(&self, row: &T::Row<'_>, block: &mut Rows<T>) {
        block.push(row);
    }

    fn begin<W: Write + Send>(&self, out: W, is_sorted: bool) -> Result<RowFile<T, W>, WriteError> {
        Ok(RowFile::begin(out, &self.columns, LEVEL, is_sorted)?)
    }

    fn write<W: Write + Send>(
        &self,
        file: &mut RowFile<T, W>,
        block: &mut Rows<T>,
    ) -> Result<(), WriteError> {
        file.add(block)?;
        block.clear();
        Ok(())
    }

    fn finish<W: Write + Send>(&self, file: RowFile<T, W>) -> Result<W, WriteError> {
        Ok(file.finish()?)
    }
}
