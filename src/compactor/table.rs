//! What a table is: its name, its journal, and its columns, each with where its value comes from.
//!
//! In: a record of the journal. Out: the values of one row (`Rows::push`).
//! Keeps: a column is one line, which says its name, its type and its value. Columns of version 1 are never renamed,
//! retyped or removed, and none is added: one that only newer files have would be left out by some readers and be an
//! error to others. Whoever needs another makes `v2`.

use crate::clock::Timestamp;
use crate::event::codec::{Event, Kind};
use crate::event::money::Micros;
use crate::store::Journal;
use crate::store::record::Record;

use super::segment::Origin;
use super::shared::{Lineage, Unnamed};

/// One of the tables.
pub trait Table: Sized + 'static {
    /// One row: the event, and what is worked out once for several columns.
    type Row<'a>;

    /// Its folder, and how the names of its files begin.
    const NAME: &'static str;
    /// Where its rows come from.
    const JOURNAL: Journal;
    /// Which records are rows.
    const KINDS: &'static [Kind];
    /// The column of its amounts, and that of their currencies.
    const MONEY: Option<(&'static str, &'static str)>;
    /// Its columns, in order.
    fn fields() -> Vec<Field<Self>>;

    /// Where a row came from.
    fn lineage<'r>(row: &'r Self::Row<'_>) -> &'r Lineage;

    /// The row of a record; nothing for an event that is none of this table.
    fn row<'a>(origin: &'a Origin, record: &Record<'_>, event: Event<'a>) -> Option<Self::Row<'a>>;
}

/// Version of all tables, as it stands in their paths.
pub const VERSION: &str = "v1";

/// Where a column's value comes from, and so its type.
pub enum Get<T: Table> {
    /// A moment, in microseconds UTC.
    Time(for<'r, 'a> fn(&'r T::Row<'a>) -> Option<Timestamp>),
    /// An amount: a decimal of 18 digits, six of them behind the point.
    Money(for<'r, 'a> fn(&'r T::Row<'a>) -> Option<Micros>),
    /// Yes or no.
    Bool(for<'r, 'a> fn(&'r T::Row<'a>) -> bool),
    /// A number of 32 bits.
    Int32(for<'r, 'a> fn(&'r T::Row<'a>) -> Option<i32>),
    /// A number of 64 bits.
    Int64(for<'r, 'a> fn(&'r T::Row<'a>) -> Option<i64>),
    /// A text; an empty one is none.
    Text(for<'r, 'a> fn(&'r T::Row<'a>) -> &'r str),
    /// The parameter with this number among the well-known ones.
    Known(for<'r, 'a> fn(&'r T::Row<'a>, usize) -> &'r str, usize),
    /// Names and values, in order; a name that comes again is numbered: `name#2`.
    Pairs(for<'r, 'a> fn(&'r T::Row<'a>) -> Unnamed<'r>),
}

impl<T: Table> Get<T> {
    /// What its values are, in a word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Time(_) => "timestamp in microseconds, UTC",
            Self::Money(_) => "decimal(18,6)",
            Self::Bool(_) => "boolean",
            Self::Int32(_) => "int32",
            Self::Int64(_) => "int64",
            Self::Text(_) | Self::Known(..) => "string",
            Self::Pairs(_) => "map of strings to strings",
        }
    }
}

/// How the values of a column lie in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Few different values: each is written once, and then its number.
    Repeated,
    /// Numbers that grow, or texts that hardly repeat: differences, or lengths apart from letters.
    Varied,
}

/// One column.
pub struct Field<T: Table> {
    /// Its name in files.
    pub name: &'static str,
    /// Where its value comes from.
    pub get: Get<T>,
    /// Whether every row has a value.
    pub is_required: bool,
    /// How its values lie in a file.
    pub coding: Coding,
    /// Whether rows are looked up by it: then a filter says which row groups cannot have a value.
    pub is_looked_up: bool,
}

impl<T: Table> Field<T> {
    /// A column that a row may lack.
    pub fn new(name: &'static str, get: Get<T>) -> Self {
        Self { name, get, is_required: false, coding: Coding::Repeated, is_looked_up: false }
    }

    /// It is in every row.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.is_required = true;
        self
    }

    /// Its values hardly repeat.
    #[must_use]
    pub fn varied(mut self) -> Self {
        self.coding = Coding::Varied;
        self
    }

    /// Rows are looked up by it.
    #[must_use]
    pub fn looked_up(mut self) -> Self {
        self.is_looked_up = true;
        self
    }
}
