//! What the lines of a file are: clicks, conversions, or costs.
//!
//! In: texts of one line, each with what its column holds. Out: a row, or what is wrong with it.
//! Not here: files and columns, which are the same for all (`file`, `columns`).

use std::collections::HashMap;
use std::fmt::Debug;
use std::io;
use std::ops::Range;

use serde::Serialize;

use super::time::Offset;
use crate::event::money::Currency;

/// What a column can hold beside parameters, our name for it, and those that files use: without case, blanks and signs, the
/// first before the others.
pub type Column<F> = (F, &'static str, &'static [&'static str]);

/// Other names of campaigns, with our id of each: one campaign by two names is one.
pub type Names = HashMap<String, String>;

/// How texts are read that do not say.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// How far ahead of UTC times are.
    pub offset: Offset,
    /// In which currency amounts are.
    pub currency: Currency,
}

/// A kind of row.
pub trait Form: Serialize + Default {
    /// What a column of it can hold.
    type Field: Copy + Debug + PartialEq + 'static;

    /// What a row is called.
    const NAME: &'static str;
    /// What columns can hold.
    const COLUMNS: &'static [Column<Self::Field>];
    /// Names of those that a file must have.
    const NEEDED: &'static [&'static str];

    /// What two rows of which one takes the place of the other are; nothing if no row does.
    const SAME: &'static str = "";

    /// What a column holds by its exact name in a file of ours.
    fn own_column(_name: &str) -> Option<Self::Field> {
        None
    }

    /// Whether a file with these columns is one of ours: its texts are taken with the blanks at their ends.
    fn is_ours(_head: &[String]) -> bool {
        false
    }

    /// Whether a column is only there for whoever wrote the file.
    fn is_left_out(_field: Self::Field) -> bool {
        false
    }

    /// Whether a column that nobody has named becomes a parameter.
    fn keeps_param(_name: &str) -> bool {
        true
    }

    /// Takes a text, which is not empty.
    ///
    /// # Errors
    /// What is wrong with it.
    fn put(&mut self, field: Self::Field, text: &str, how: &How) -> Result<(), String>;

    /// Takes a parameter.
    fn put_param(&mut self, name: &str, text: &str);

    /// All texts of the line are in.
    ///
    /// # Errors
    /// What is missing.
    fn complete(&mut self, how: &How) -> Result<(), String>;

    /// Whose it is and for which hours since 1970, if a later row for the same takes its place: then no two lines of one
    /// file may say that (`once`).
    fn sets(&self) -> Option<(Vec<u8>, Range<i64>)> {
        None
    }

    /// Gives its campaign our name for it, where a campaign is part of what `sets` tells.
    fn settle(&mut self, _names: &Names) {}

    /// How long it is as JSON.
    fn json_bytes(&self) -> usize {
        let mut count = Count(0);
        // Counting cannot fail, nor can texts and numbers be no JSON.
        let _counted = serde_json::to_writer(&mut count, self);
        count.0
    }
}

/// Counts what is written.
struct Count(usize);

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
