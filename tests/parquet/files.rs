//! Files, read back with the library's own reader.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

/// A row, by the names of its columns; what is not there is left out.
pub(crate) type Cells = BTreeMap<String, Cell>;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Text(String),
    /// A number, a moment in microseconds, or an amount in millionths.
    Number(i64),
    Bool(bool),
    Pairs(Vec<(String, String)>),
}

pub(crate) fn rows(path: &Path) -> Vec<Cells> {
    let reader = open(path);
    let rows = reader.get_row_iter(None).unwrap();
    rows.map(|row| cells(row.unwrap().into_columns())).collect()
}

pub(crate) fn open(path: &Path) -> SerializedFileReader<File> {
    SerializedFileReader::new(File::open(path).unwrap()).unwrap()
}

fn cells(columns: Vec<(String, Field)>) -> Cells {
    columns.into_iter().filter_map(|(name, field)| Some((name, cell(field)?))).collect()
}

fn cell(field: Field) -> Option<Cell> {
    Some(match field {
        Field::Null => return None,
        Field::Bool(value) => Cell::Bool(value),
        Field::Int(value) => Cell::Number(value.into()),
        Field::Long(value) | Field::TimestampMicros(value) => Cell::Number(value),
        Field::Decimal(value) => {
            assert_eq!((value.precision(), value.scale()), (18, 6));
            Cell::Number(value.data().iter().fold(0, |sum, byte| sum << 8 | i64::from(*byte)))
        }
        Field::Str(text) => Cell::Text(text),
        Field::MapInternal(map) => {
            let text = |field: &Field| match field {
                Field::Str(text) => text.clone(),
                other => panic!("a map of texts has {other:?}"),
            };
            let pairs: Vec<_> = map.entries().iter().map(|(name, value)| (text(name), text(value))).collect();
            if pairs.is_empty() {
                return None;
            }
            Cell::Pairs(pairs)
        }
        other => panic!("no column is of the type of {other:?}"),
    })
}

/// What a column adds up to.
pub(crate) fn sum(rows: &[Cells], column: &str) -> i128 {
    let numbers = rows.iter().filter_map(|row| match row.get(column) {
        Some(Cell::Number(number)) => Some(i128::from(*number)),
        _ => None,
    });
    numbers.sum()
}

/// All files below a folder, in order.
pub(crate) fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(folder) = pending.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() { pending.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}
