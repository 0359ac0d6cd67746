//! What rows of several tables have: where a record came from, well-known parameters, an address as text.
//!
//! Keeps: no parameter is lost. The first value under a well-known name has a column; whatever else there is, further
//! values under the same name too, is among the unnamed.

use std::fmt;

use crate::event::click::KeptAddress;
use crate::event::money::Money;
use crate::event::params::ParamsRef;
use crate::store::record::Record;

pub use crate::event::params::KNOWN;

use super::segment::Origin;
use super::table::{Field, Get, Table};

/// Where a row came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// The node.
    pub node: i32,
    /// The lane of its journal.
    pub lane: i32,
    /// The segment of that lane.
    pub segment: i32,
    /// The number of its record in that segment.
    pub ordinal: i32,
}

impl Lineage {
    /// That of a record.
    pub fn of(origin: &Origin, record: &Record<'_>) -> Self {
        Self {
            node: origin.node.into(),
            lane: origin.lane.into(),
            segment: int(origin.segment),
            ordinal: int(record.ordinal),
        }
    }
}

/// The columns that say where a row came from.
pub fn lineage_fields<T: Table>() -> [Field<T>; 4] {
    [
        Field::new("origin_node", Get::Int32(|row| Some(T::lineage(row).node))).required(),
        Field::new("lane", Get::Int32(|row| Some(T::lineage(row).lane))).required(),
        Field::new("segment", Get::Int32(|row| Some(T::lineage(row).segment))).required(),
        Field::new("ordinal", Get::Int32(|row| Some(T::lineage(row).ordinal))).required(),
    ]
}

/// A number that is below 2^31 by the limits of the store: segments have 22 bits, ordinals 24.
pub(super) fn int(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Longer names are unknown without a look.
const KNOWN_BYTES_MAX: usize = "utm_campaign".len();

/// Which of them it is.
fn known(name: &str) -> Option<usize> {
    if !(4..=KNOWN_BYTES_MAX).contains(&name.len()) {
        return None;
    }
    KNOWN.iter().position(|known| *known == name)
}

/// A click's parameters, sorted out.
#[derive(Clone, Copy, Debug)]
pub struct Params<'a> {
    known: [&'a str; KNOWN.len()],
    all: ParamsRef<'a>,
}

impl<'a> Params<'a> {
    /// Looks through them once.
    pub fn sort_out(all: ParamsRef<'a>) -> Self {
        let mut params = Self { known: [""; KNOWN.len()], all };
        for (name, value) in all.iter() {
            if let Some(at) = known(name)
                && params.known[at].is_empty()
            {
                params.known[at] = value;
            }
        }
        params
    }

    /// The first value of the well-known name with this number that is not empty; empty if there is none.
    pub fn known(&self, at: usize) -> &'a str {
        self.known[at]
    }

    /// All others.
    pub fn unnamed(&self) -> Unnamed<'_> {
        Unnamed { known: &self.known, all: self.all }
    }

    /// The columns of the well-known ones.
    pub fn fields<T: Table>(
        get: for<'r, 'b> fn(&'r T::Row<'b>, usize) -> &'r str,
    ) -> impl Iterator<Item = Field<T>> {
        let field = move |(at, name): (usize, &&'static str)| Field::new(name, Get::Known(get, at));
        KNOWN.iter().enumerate().map(field)
    }
}

/// The parameters that have no column of their own.
#[derive(Clone, Copy, Debug)]
pub struct Unnamed<'r> {
    known: &'r [&'r str],
    all: ParamsRef<'r>,
}

impl<'r> Unnamed<'r> {
    /// All of them, whatever their names.
    pub fn all(all: ParamsRef<'r>) -> Self {
        Self { known: &[], all }
    }

    /// Names and values, in order.
    pub fn iter(self) -> impl Iterator<Item = (&'r str, &'r str)> {
        self.all.iter().filter(move |(name, value)| {
            // What has a column is the very text that is in it.
            let column = if self.known.is_empty() { None } else { known(name) };
            !column.is_some_and(|at| std::ptr::eq(self.known[at], *value))
        })
    }
}

/// Two letters, or nothing.
pub fn country(code: &[u8; 2]) -> &str {
    if *code == [0; 2] { "" } else { str::from_utf8(code).unwrap_or_default() }
}

/// The currency of an amount.
pub fn currency(money: &Option<Money>) -> &str {
    money.as_ref().map_or("", |money| money.currency.as_str())
}

/// An address as text, without an allocation.
#[derive(Clone, Copy, Debug)]
pub struct AddressText {
    bytes: [u8; Self::BYTES_MAX],
    len: usize,
}

impl AddressText {
    /// The longest text of an IPv6 address.
    const BYTES_MAX: usize = 45;

    /// Empty for none.
    pub fn of(address: Option<KeptAddress>) -> Self {
        let mut text = Self { bytes: [0; Self::BYTES_MAX], len: 0 };
        if let Some(kept) = address {
            let written = fmt::Write::write_fmt(&mut text, format_args!("{}", kept.address));
            assert!(written.is_ok(), "an address fits");
        }
        text
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl fmt::Write for AddressText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}
