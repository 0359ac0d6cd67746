//! Rows, held column by column until there are enough of them for a row group.
//!
//! In: rows of a table. Out: for each column its values, and in which rows there is one.
//! Keeps: all columns are of the same length. Texts of a column lie in one buffer: a row allocates nothing.
//! Not here: files (`parquet`).

use super::table::{Field, Get, Table};
use crate::event::money::Micros;

/// Amounts are decimals of 18 digits: the first that has more.
pub(super) const MONEY_END: u64 = 1_000_000_000_000_000_000;

/// See the module.
pub struct Rows<T: Table> {
    fields: Vec<Field<T>>,
    columns: Vec<Column>,
    len: usize,
}

/// One column.
#[derive(Debug, Default)]
pub struct Column {
    /// For each row whether it has a value: 1, or 0. Of pairs: for each pair 1, and 0 for a row that has none.
    pub present: Vec<i16>,
    /// Of pairs: 0 where a row begins, 1 for its further pairs. Else empty.
    pub repeats: Vec<i16>,
    /// The values of the rows that have one.
    pub values: Values,
}

/// The values of a column.
#[derive(Debug)]
pub enum Values {
    /// Yes or no.
    Bool(Vec<bool>),
    /// Numbers of 32 bits.
    Int32(Vec<i32>),
    /// Numbers of 64 bits, moments and amounts among them.
    Int64(Vec<i64>),
    /// Texts.
    Text(Texts),
    /// Names and values.
    Pairs(Texts, Texts),
}

impl Default for Values {
    fn default() -> Self {
        Self::Bool(Vec::new())
    }
}

/// Texts, one behind the other.
#[derive(Debug, Default)]
pub struct Texts {
    /// All of them.
    pub bytes: Vec<u8>,
    /// Where each ends.
    pub ends: Vec<usize>,
}

impl Texts {
    fn push(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.ends.push(self.bytes.len());
    }

    /// Adds a name; one that is among those from `first` on already gets a number: `name#2`. Of a key that a map has twice
    /// some readers see the first value, and some the last.
    pub fn push_apart(&mut self, name: &str, first: usize) {
        let (start, at) = (self.bytes.len(), self.ends.len());
        self.push(name);
        let mut number = 1;
        while (first..at).any(|earlier| self.text(earlier) == self.text(at)) {
            number += 1;
            self.bytes.truncate(start + name.len());
            self.bytes.extend_from_slice(format!("#{number}").as_bytes());
            self.ends[at] = self.bytes.len();
        }
    }

    fn append(&mut self, others: &Self) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&others.bytes);
        self.ends.extend(others.ends.iter().map(|end| start + end));
    }

    /// One of them.
    pub fn text(&self, at: usize) -> &[u8] {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[at]]
    }

    /// Keeps a text if it is not empty, and says so.
    fn keep(&mut self, text: &str) -> bool {
        if text.is_empty() {
            return false;
        }
        self.push(text);
        true
    }

    /// Forgets them, and keeps their memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

impl<T: Table> Default for Rows<T> {
    fn default() -> Self {
        Self::of(T::fields())
    }
}

impl<T: Table> Rows<T> {
    /// None, of these columns only.
    pub fn of(fields: Vec<Field<T>>) -> Self {
        let values = |get: &Get<T>| match get {
            Get::Bool(_) => Values::Bool(Vec::new()),
            Get::Int32(_) => Values::Int32(Vec::new()),
            Get::Time(_) | Get::Money(_) | Get::Int64(_) => Values::Int64(Vec::new()),
            Get::Text(_) | Get::Known(..) => Values::Text(Texts::default()),
            Get::Pairs(_) => Values::Pairs(Texts::default(), Texts::default()),
        };
        let column = |field: &Field<T>| Column { values: values(&field.get), ..Column::default() };
        Self { columns: fields.iter().map(column).collect(), fields, len: 0 }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of all of their texts.
    pub fn text_bytes(&self) -> usize {
        self.columns.iter().map(Column::text_bytes).sum()
    }

    /// Its columns: what is known of each, and what is in it, to be taken out.
    pub fn columns_mut(&mut self) -> impl Iterator<Item = (&Field<T>, &mut Column)> {
        self.fields.iter().zip(&mut self.columns)
    }

    /// Adds one.
    pub fn push(&mut self, row: &T::Row<'_>) {
        for (column, field) in self.columns.iter_mut().zip(&self.fields) {
            column.push::<T>(row, &field.get);
        }
        self.len += 1;
    }

    /// Adds those of `others`, which have the same columns, behind them.
    pub fn append(&mut self, others: &Self) {
        for (column, other) in self.columns.iter_mut().zip(&others.columns) {
            column.append(other);
        }
        self.len += others.len;
    }

    /// Forgets them, and keeps their memory.
    pub fn clear(&mut self) {
        for column in &mut self.columns {
            column.clear();
        }
        self.len = 0;
    }
}

impl Column {
    fn push<T: Table>(&mut self, row: &T::Row<'_>, get: &Get<T>) {
        let is_present = match (get, &mut self.values) {
            (Get::Bool(get), Values::Bool(values)) => keep(Some(get(row)), values),
            (Get::Int32(get), Values::Int32(values)) => keep(get(row), values),
            (Get::Int64(get), Values::Int64(values)) => keep(get(row), values),
            (Get::Time(get), Values::Int64(values)) => keep(get(row).map(|time| time.micros()), values),
            (Get::Money(get), Values::Int64(values)) => {
                keep(get(row).and_then(countable).map(Micros::get), values)
            }
            (Get::Text(get), Values::Text(texts)) => texts.keep(get(row)),
            (Get::Known(get, at), Values::Text(texts)) => texts.keep(get(row, *at)),
            (Get::Pairs(get), Values::Pairs(names, values)) => {
                let (mut repeat, first) = (0, names.ends.len());
                for (name, value) in get(row).iter() {
                    names.push_apart(name, first);
                    values.push(value);
                    self.present.push(1);
                    self.repeats.push(repeat);
                    repeat = 1;
                }
                if repeat == 0 {
                    self.present.push(0);
                    self.repeats.push(0);
                }
                return;
            }
            _ => unreachable!("a column is made for its field"),
        };
        self.present.push(is_present.into());
    }

    fn text_bytes(&self) -> usize {
        match &self.values {
            Values::Bool(_) | Values::Int32(_) | Values::Int64(_) => 0,
            Values::Text(texts) => texts.bytes.len(),
            Values::Pairs(names, values) => names.bytes.len() + values.bytes.len(),
        }
    }

    fn append(&mut self, other: &Self) {
        self.present.extend_from_slice(&other.present);
        self.repeats.extend_from_slice(&other.repeats);
        match (&mut self.values, &other.values) {
            (Values::Bool(values), Values::Bool(others)) => values.extend_from_slice(others),
            (Values::Int32(values), Values::Int32(others)) => values.extend_from_slice(others),
            (Values::Int64(values), Values::Int64(others)) => values.extend_from_slice(others),
            (Values::Text(texts), Values::Text(others)) => texts.append(others),
            (Values::Pairs(names, values), Values::Pairs(other_names, others)) => {
                names.append(other_names);
                values.append(others);
            }
            _ => unreachable!("they have the same columns"),
        }
    }

    fn clear(&mut self) {
        self.present.clear();
        self.repeats.clear();
        match &mut self.values {
            Values::Bool(values) => values.clear(),
            Values::Int32(values) => values.clear(),
            Values::Int64(values) => values.clear(),
            Values::Text(texts) => texts.clear(),
            Values::Pairs(names, values) => {
                names.clear();
                values.clear();
            }
        }
    }
}

/// An amount, unless it is beyond a million million: no decimal of 18 digits holds that, and nobody can count on it. It is
/// none in files of any format, so that their sums are the same.
pub fn countable(amount: Micros) -> Option<Micros> {
    (amount.get().unsigned_abs() < MONEY_END).then_some(amount)
}

/// Keeps a value if there is one, and says so.
fn keep<V>(value: Option<V>, values: &mut Vec<V>) -> bool {
    let is_present = value.is_some();
    values.extend(value);
    is_present
}
