//! Rows as text: CSV, JSON in lines, and lines for people.
//!
//! In: rows of a table. Out: bytes.
//! Keeps: the columns and their order are the same in each line. CSV is that of RFC 4180: lines end in CR LF, a cell with a
//! comma, a quote or a line's end is quoted, nothing is an empty cell; parameters are a JSON object. JSON leaves out what is
//! not there, and has amounts as texts, because a number there is a float to many.
//! Cost: a row allocates nothing once the memory of `Lines` is there.

use std::io::{self, Write};

use super::value::{Times, Value, write_json, write_money, write_number, write_pairs};
use crate::compactor::columns::Texts;
use crate::compactor::table::{Field, Table};

/// How a row is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::batch) enum Style {
    Csv {
        /// A cell that a spreadsheet would take for a formula gets an apostrophe in front.
        is_spreadsheet_safe: bool,
    },
    Ndjson,
    /// Time first, and then names and values of what is there.
    Line,
}

/// See the module.
pub(in crate::batch) struct Text<T: Table> {
    style: Style,
    columns: Vec<Column<T>>,
}

struct Column<T: Table> {
    field: Field<T>,
    /// What stands before its value.
    key: Vec<u8>,
}

/// Text so far, and memory that is used again.
#[derive(Debug, Default)]
pub(in crate::batch) struct Lines {
    pub(in crate::batch) bytes: Vec<u8>,
    times: Times,
    names: Texts,
    cell: Vec<u8>,
}

impl<T: Table> Text<T> {
    pub(in crate::batch) fn new(style: Style, fields: Vec<Field<T>>) -> Self {
        let column = |field: Field<T>| {
            let mut key = Vec::new();
            match style {
                Style::Csv { .. } => {}
                Style::Ndjson => {
                    write_json(&mut key, field.name);
                    key.push(b':');
                }
                Style::Line if field.name == "time" => {}
                Style::Line => key.extend_from_slice(format!("{}=", field.name).as_bytes()),
            }
            Column { field, key }
        };
        Self { style, columns: fields.into_iter().map(column).collect() }
    }

    /// What stands before all rows.
    pub(in crate::batch) fn write_head(&self, out: &mut impl Write) -> io::Result<()> {
        if let Style::Csv { .. } = self.style {
            let names: Vec<&str> = self.columns.iter().map(|column| column.field.name).collect();
            write!(out, "{}\r\n", names.join(","))?;
        }
        Ok(())
    }

    /// Adds a row.
    pub(in crate::batch) fn put(&self, row: &T::Row<'_>, lines: &mut Lines) {
        match self.style {
            Style::Csv { is_spreadsheet_safe } => self.put_csv(row, lines, is_spreadsheet_safe),
            Style::Ndjson => self.put_json(row, lines),
            Style::Line => self.put_line(row, lines),
        }
    }

    fn put_csv(&self, row: &T::Row<'_>, lines: &mut Lines, is_safe: bool) {
        let start = lines.bytes.len();
        for (at, column) in self.columns.iter().enumerate() {
            if at > 0 {
                lines.bytes.push(b',');
            }
            match Value::of(&column.field, row) {
                Value::Text(text) => {
                    let is_formula = is_safe && begins_formula(text);
                    write_cell(&mut lines.bytes, text.as_bytes(), if is_formula { "'" } else { "" });
                }
                Value::Pairs(pairs) => {
                    lines.cell.clear();
                    write_pairs(&mut lines.cell, &mut lines.names, pairs);
                    write_cell(&mut lines.bytes, &lines.cell, "");
                }
                plain => lines.put_plain(plain),
            }
        }
        // A line of nothing would be no row to many readers.
        if lines.bytes.len() == start {
            lines.bytes.extend_from_slice(b"\"\"");
        }
        lines.bytes.extend_from_slice(b"\r\n");
    }

    fn put_json(&self, row: &T::Row<'_>, lines: &mut Lines) {
        let mut before = b'{';
        for column in &self.columns {
            let value = Value::of(&column.field, row);
            if matches!(value, Value::None) {
                continue;
            }
            lines.bytes.push(before);
            before = b',';
            lines.bytes.extend_from_slice(&column.key);
            match value {
                Value::Text(text) => write_json(&mut lines.bytes, text),
                Value::Pairs(pairs) => write_pairs(&mut lines.bytes, &mut lines.names, pairs),
                Value::Time(_) | Value::Money(_) => {
                    lines.bytes.push(b'"');
                    lines.put_plain(value);
                    lines.bytes.push(b'"');
                }
                plain => lines.put_plain(plain),
            }
        }
        lines.bytes.extend_from_slice(if before == b'{' { b"{}\n" } else { b"}\n" });
    }

    fn put_line(&self, row: &T::Row<'_>, lines: &mut Lines) {
        let start = lines.bytes.len();
        for column in &self.columns {
            let value = Value::of(&column.field, row);
            if matches!(value, Value::None) {
                continue;
            }
            if lines.bytes.len() > start {
                lines.bytes.push(b' ');
            }
            lines.bytes.extend_from_slice(&column.key);
            match value {
                Value::Text(text) if is_word(text) => lines.bytes.extend_from_slice(text.as_bytes()),
                // What visitors and networks send may hold anything; on a terminal it is to do nothing.
                Value::Text(text) => lines.bytes.extend_from_slice(format!("{text:?}").as_bytes()),
                Value::Pairs(pairs) => {
                    lines.cell.clear();
                    write_pairs(&mut lines.cell, &mut lines.names, pairs);
                    write_harmless(&mut lines.bytes, &lines.cell);
                }
                plain => lines.put_plain(plain),
            }
        }
        lines.bytes.push(b'\n');
    }
}

impl Lines {
    /// A value that no style writes otherwise.
    fn put_plain(&mut self, value: Value<'_>) {
        match value {
            Value::Time(time) => self.times.write(&mut self.bytes, time),
            Value::Money(amount) => write_money(&mut self.bytes, amount),
            Value::Number(number) => write_number(&mut self.bytes, number),
            Value::Bool(is_so) => self.bytes.extend_from_slice(if is_so { b"true" } else { b"false" }),
            Value::None | Value::Text(_) | Value::Pairs(_) => {}
        }
    }
}

/// Whether a spreadsheet would take it for a formula, or for what ends a cell.
pub(in crate::batch) fn begins_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n'])
}

/// Whether it stands for itself in a line.
fn is_word(text: &str) -> bool {
    text.chars().all(|letter| letter.is_alphanumeric() || letter.is_ascii_graphic() && letter != '"')
}

/// JSON for a terminal: what is no sign that is seen is there as its number.
fn write_harmless(out: &mut Vec<u8>, json: &[u8]) {
    for letter in String::from_utf8_lossy(json).chars() {
        let mut bytes = [0; 4];
        // Quotes and the like are written by JSON's own rules already.
        if letter.is_ascii_graphic() || letter == ' ' || letter.escape_debug().len() == 1 {
            out.extend_from_slice(letter.encode_utf8(&mut bytes).as_bytes());
            continue;
        }
        let mut units = [0; 2];
        for unit in letter.encode_utf16(&mut units) {
            out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
        }
    }
}

fn write_cell(out: &mut Vec<u8>, text: &[u8], before: &str) {
    if !text.iter().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n')) {
        out.extend_from_slice(before.as_bytes());
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    out.extend_from_slice(before.as_bytes());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'"', rest) {
        out.extend_from_slice(&rest[..=at]);
        out.push(b'"');
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}
