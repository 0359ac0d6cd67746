//! Parquet files: the only module that knows the crate.
//!
//! In: rows, a row group at a time. Out: a file that DuckDB, ClickHouse, Polars and PyArrow open with default options.
//! Keeps: the same rows give the same bytes.
//! Not here: which rows, in which order, and where the file stands.
//!
//! What is used of the format is what all four read: data pages of version 1, dictionaries, `DELTA_BINARY_PACKED`
//! numbers, `DELTA_LENGTH_BYTE_ARRAY` texts, zstd, maps with required keys and values.

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::{Compression, Encoding, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnPath, Type};

use super::columns::{Column, Rows, Texts, Values};
use super::error::{Error, Result};
use super::table::{Coding, Field, Get, Table, VERSION};

/// Rows of a group at most. Within what readers like (120,000 to a million), and 40 MiB of clicks in memory.
pub(super) const GROUP_ROWS_MAX: usize = 131_072;
/// Of a thousand look-ups of a value that is not there, how many look into a row group in vain: what one byte a value
/// gives. Half as many would take two, because a filter's size is a power of two.
const FILTER_MISSES: f64 = 0.026;
/// Bytes of a page before it is compressed.
const PAGE_BYTES: usize = 1024 * 1024;
/// Texts that are handed over at once.
const TEXTS_AT_ONCE: usize = 8192;

/// A file that is being written.
pub(super) struct Writer<W: Write + Send> {
    inner: SerializedFileWriter<W>,
}

impl<W: Write + Send> Writer<W> {
    /// Begins a file of table `T`. `level` is zstd's.
    pub(super) fn new<T: Table>(out: W, level: i32) -> Result<Self> {
        Self::of::<T>(out, &T::fields(), level, true)
    }

    /// Begins a file that has only these columns, and whose row groups are in order of time or are not.
    pub(super) fn of<T: Table>(out: W, fields: &[Field<T>], level: i32, is_sorted: bool) -> Result<Self> {
        let schema = schema(T::NAME, fields).map_err(format)?;
        let properties = properties(fields, level, is_sorted).map_err(format)?;
        let inner = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties)).map_err(format)?;
        Ok(Self { inner })
    }

    /// Writes a row group.
    pub(super) fn write<T: Table>(&mut self, rows: &mut Rows<T>) -> Result<()> {
        let mut group = self.inner.next_row_group().map_err(format)?;
        for (field, column) in rows.columns_mut() {
            write_column(&mut group, field.is_required, column).map_err(format)?;
        }
        group.close().map_err(format)?;
        Ok(())
    }

    /// How long it is so far.
    pub(super) fn bytes(&self) -> u64 {
        self.inner.bytes_written() as u64
    }

    /// Ends the file, and gives back where it was written to.
    pub(super) fn finish(self) -> Result<W> {
        self.inner.into_inner().map_err(format)
    }
}

fn format(error: ParquetError) -> Error {
    match error {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(source) => Error::Write { source: *source },
            Err(other) => Error::Format { what: other.to_string() },
        },
        error => Error::Format { what: error.to_string() },
    }
}

fn schema<T: Table>(name: &str, fields: &[Field<T>]) -> parquet::errors::Result<Type> {
    let columns = fields.iter().map(|field| column_type(field).map(Arc::new));
    let columns = columns.collect::<parquet::errors::Result<_>>()?;
    Type::group_type_builder(&format!("{name}_{VERSION}")).with_fields(columns).build()
}

fn column_type<T: Table>(field: &Field<T>) -> parquet::errors::Result<Type> {
    let repetition = if field.is_required { Repetition::REQUIRED } else { Repetition::OPTIONAL };
    let (physical, logical) = match field.get {
        Get::Time(_) => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
        Get::Money(_) => (Physical::INT64, Some(LogicalType::decimal(6, 18))),
        Get::Bool(_) => (Physical::BOOLEAN, None),
        Get::Int32(_) => (Physical::INT32, None),
        Get::Int64(_) => (Physical::INT64, None),
        Get::Text(_) | Get::Known(..) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Get::Pairs(_) => return map_type(field.name),
    };
    let builder = Type::primitive_type_builder(field.name, physical).with_repetition(repetition);
    match field.get {
        Get::Money(_) => builder.with_precision(18).with_scale(6),
        _ => builder,
    }
    .with_logical_type(logical)
    .build()
}

/// A map of texts. Neither it nor its values can be missing: ClickHouse knows no map that is not there.
fn map_type(name: &str) -> parquet::errors::Result<Type> {
    let text = |name| {
        let builder = Type::primitive_type_builder(name, Physical::BYTE_ARRAY);
        let builder =
            builder.with_repetition(Repetition::REQUIRED).with_logical_type(Some(LogicalType::String));
        builder.build().map(Arc::new)
    };
    let pair = Type::group_type_builder("key_value")
        .with_repetition(Repetition::REPEATED)
        .with_fields(vec![text("key")?, text("value")?])
        .build()?;
    Type::group_type_builder(name)
        .with_repetition(Repetition::REQUIRED)
        .with_logical_type(Some(LogicalType::Map))
        .with_fields(vec![Arc::new(pair)])
        .build()
}

fn properties<T: Table>(
    fields: &[Field<T>],
    level: i32,
    is_sorted: bool,
) -> parquet::errors::Result<WriterProperties> {
    // Rows are in the order of the first column that is a time.
    let time = fields.iter().position(|field| matches!(field.get, Get::Time(_)) && field.is_required);
    let time = time.filter(|_| is_sorted).and_then(|at| leaf(fields, at));
    let sorted =
        time.map(|column_idx| vec![SortingColumn { column_idx, descending: false, nulls_first: false }]);
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(level)?))
        .set_created_by(concat!("clicklog version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_data_page_size_limit(PAGE_BYTES)
        .set_data_page_row_count_limit(GROUP_ROWS_MAX)
        .set_max_row_group_row_count(Some(GROUP_ROWS_MAX))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_sorting_columns(sorted);
    for field in fields {
        let path = ColumnPath::from(field.name);
        if field.coding == Coding::Varied {
            builder = builder.set_column_dictionary_enabled(path.clone(), false);
            builder = builder.set_column_encoding(path.clone(), varied(&field.get));
        }
        if field.is_looked_up {
            builder = builder
                .set_column_bloom_filter_enabled(path.clone(), true)
                .set_column_bloom_filter_fpp(path.clone(), FILTER_MISSES)
                .set_column_bloom_filter_max_ndv(path, GROUP_ROWS_MAX as u64);
        }
        if matches!(field.get, Get::Pairs(_)) {
            let values = ColumnPath::new([field.name, "key_value", "value"].map(str::to_owned).to_vec());
            builder = builder
                .set_column_dictionary_enabled(values.clone(), false)
                .set_column_encoding(values, Encoding::DELTA_LENGTH_BYTE_ARRAY);
        }
    }
    Ok(builder.build())
}

/// The number of a column's leaf: a map has two.
fn leaf<T: Table>(fields: &[Field<T>], at: usize) -> Option<i32> {
    let maps = fields.get(..at)?.iter().filter(|field| matches!(field.get, Get::Pairs(_))).count();
    i32::try_from(at + maps).ok()
}

fn varied<T: Table>(get: &Get<T>) -> Encoding {
    match get {
        Get::Text(_) | Get::Known(..) | Get::Pairs(_) => Encoding::DELTA_LENGTH_BYTE_ARRAY,
        Get::Bool(_) => Encoding::PLAIN,
        Get::Time(_) | Get::Money(_) | Get::Int32(_) | Get::Int64(_) => Encoding::DELTA_BINARY_PACKED,
    }
}

fn write_column<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    is_required: bool,
    column: &mut Column,
) -> parquet::errors::Result<()> {
    let present = (!is_required).then_some(&column.present[..]);
    match &mut column.values {
        Values::Bool(values) => write_numbers::<W, BoolType>(group, values, present),
        Values::Int32(values) => write_numbers::<W, Int32Type>(group, values, present),
        Values::Int64(values) => write_numbers::<W, Int64Type>(group, values, present),
        Values::Text(texts) => write_texts(group, texts, present, None),
        Values::Pairs(names, values) => {
            let (present, repeats) = (Some(&column.present[..]), Some(&column.repeats[..]));
            write_texts(group, names, present, repeats)?;
            write_texts(group, values, present, repeats)
        }
    }
}

fn write_numbers<W: Write + Send, D: DataType>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[D::T],
    present: Option<&[i16]>,
) -> parquet::errors::Result<()> {
    let mut column = next(group)?;
    column.typed::<D>().write_batch(values, present, None)?;
    column.close()
}

/// Hands texts over a few at a time: as many as fit the processor's cache.
fn write_texts<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    texts: &mut Texts,
    present: Option<&[i16]>,
    repeats: Option<&[i16]>,
) -> parquet::errors::Result<()> {
    let mut column = next(group)?;
    let writer = column.typed::<ByteArrayType>();
    let capacity = texts.bytes.len();
    let all = ByteArray::from(std::mem::replace(&mut texts.bytes, Vec::with_capacity(capacity)));
    let mut start = 0;
    let mut slices = texts.ends.iter().map(|end| {
        let slice = all.slice(start, end - start);
        start = *end;
        slice
    });
    let mut batch = Vec::with_capacity(TEXTS_AT_ONCE);
    let mut at = 0;
    let len = present.map_or(texts.ends.len(), <[i16]>::len);
    while at < len {
        let end = row_end(repeats, (at + TEXTS_AT_ONCE).min(len));
        let levels = present.map(|present| &present[at..end]);
        let there = levels.map_or(end - at, |levels| levels.iter().filter(|level| **level == 1).count());
        batch.clear();
        batch.extend(slices.by_ref().take(there));
        writer.write_batch(&batch, levels, repeats.map(|repeats| &repeats[at..end]))?;
        at = end;
    }
    column.close()
}

/// The first row that begins at `end` or behind.
fn row_end(repeats: Option<&[i16]>, end: usize) -> usize {
    let behind = repeats.and_then(|repeats| repeats.get(end..)).unwrap_or_default();
    end + behind.iter().take_while(|repeat| **repeat != 0).count()
}

fn next<'a, W: Write + Send>(
    group: &'a mut SerializedRowGroupWriter<'_, W>,
) -> parquet::errors::Result<SerializedColumnWriter<'a>> {
    group
        .next_column()?
        .ok_or_else(|| ParquetError::General("there are more columns than the schema has".into()))
}
