//! Which columns and which rows of a table are wanted.
//!
//! In: names, as somebody wrote them. Out: columns in that order; for each row whether it is wanted.
//! Refuses: names that are no columns, and says which there are.

use serde::{Deserialize, Serialize};

use super::ExportError;
use super::value::Value;
use crate::batch::lookup::Window;
use crate::compactor::table::{Field, Get, Table};

/// A column that is to have this value. Of several for one column any will do; all columns that are named must have theirs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Its name.
    pub column: String,
    /// The value: a text, a number, `true` or `false`; an empty one is none.
    pub value: String,
}

impl std::str::FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((column, value)) if !column.is_empty() => {
                Ok(Self { column: column.to_owned(), value: value.to_owned() })
            }
            _ => Err("it says which column has which value, as country=DE".to_owned()),
        }
    }
}

/// The columns of these names, in this order; all if there are none.
///
/// # Errors
/// `Column`.
pub(in crate::batch) fn columns<T: Table>(names: &[String]) -> Result<Vec<Field<T>>, ExportError> {
    if names.is_empty() {
        return Ok(T::fields());
    }
    let mut fields = Vec::with_capacity(names.len());
    for name in names {
        if fields.iter().any(|field: &Field<T>| field.name == name) {
            return Err(ExportError::Twice { column: name.clone() });
        }
        fields.push(column(name)?);
    }
    Ok(fields)
}

fn column<T: Table>(name: &str) -> Result<Field<T>, ExportError> {
    T::fields().into_iter().find(|field| field.name == name).ok_or_else(|| {
        let known: Vec<&str> = T::fields().iter().map(|field| field.name).collect();
        ExportError::Column { table: T::NAME, column: name.to_owned(), known: known.join(", ") }
    })
}

/// Which rows are wanted.
pub(in crate::batch) struct Chosen<T: Table> {
    window: Window,
    time: Option<Field<T>>,
    tests: Vec<(Field<T>, Vec<Wanted>)>,
}

#[derive(Debug)]
enum Wanted {
    Nothing,
    Text(String),
    Number(i64),
    Bool(bool),
}

impl<T: Table> Chosen<T> {
    pub(in crate::batch) fn new(window: Window, filters: &[Filter]) -> Result<Self, ExportError> {
        let mut tests: Vec<(Field<T>, Vec<Wanted>)> = Vec::new();
        for Filter { column: name, value } in filters {
            let field = column::<T>(name)?;
            let wanted = wanted(&field, value)?;
            match tests.iter_mut().find(|(known, _)| known.name == field.name) {
                Some((_, any_of)) => any_of.push(wanted),
                None => tests.push((field, vec![wanted])),
            }
        }
        let time = (window.from.is_some() || window.to.is_some()).then(|| column("time")).transpose()?;
        Ok(Self { window, time, tests })
    }

    pub(in crate::batch) fn is_wanted(&self, row: &T::Row<'_>) -> bool {
        let is_in_time = self.time.as_ref().is_none_or(|field| match Value::of(field, row) {
            Value::Time(time) => self.window.contains(time),
            _ => false,
        });
        is_in_time && self.tests.iter().all(|(field, any_of)| is_one_of(Value::of(field, row), any_of))
    }
}

fn wanted<T: Table>(field: &Field<T>, value: &str) -> Result<Wanted, ExportError> {
    let refused = |what| ExportError::Filter { column: field.name, value: value.to_owned(), what };
    if value.is_empty() {
        return Ok(Wanted::Nothing);
    }
    match field.get {
        Get::Text(_) | Get::Known(..) => Ok(Wanted::Text(value.to_owned())),
        Get::Int32(_) | Get::Int64(_) => {
            value.parse().map(Wanted::Number).map_err(|_| refused("is no number"))
        }
        Get::Bool(_) => value.parse().map(Wanted::Bool).map_err(|_| refused("is neither true nor false")),
        Get::Time(_) | Get::Money(_) | Get::Pairs(_) => Err(refused("cannot be asked for in this column")),
    }
}

fn is_one_of(value: Value<'_>, any_of: &[Wanted]) -> bool {
    any_of.iter().any(|wanted| match (value, wanted) {
        (Value::None, Wanted::Nothing) => true,
        (Value::Text(text), Wanted::Text(wanted)) => text == wanted,
        (Value::Number(number), Wanted::Number(wanted)) => number == *wanted,
        (Value::Bool(is_so), Wanted::Bool(wanted)) => is_so == *wanted,
        _ => false,
    })
}
