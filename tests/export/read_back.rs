//! Exports made in a test, and read back by parsers that share nothing with what wrote them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use clicklog::batch::export::{ExportError, Options, Report, Shape, Target, What, export};
use clicklog::batch::lookup::Window;
use clicklog::store::reader::Reader;

use crate::files::{Cell, Cells};

pub(crate) const CSV: Shape = Shape::Csv { is_spreadsheet_safe: false };

pub(crate) fn options(what: What, shape: Shape) -> Options {
    let (columns, filters, window) = (Vec::new(), Vec::new(), Window::default());
    Options { what, shape, columns, filters, window, threads: 2 }
}

pub(crate) fn export_to(data: &Path, options: &Options, target: Target) -> Result<Report, ExportError> {
    export(&Reader::open(data), options, target, &mut |_, _, _| {})
}

/// Exports to a file of its own, and gives what is in it.
pub(crate) fn exported(data: &Path, options: &Options) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("x.{}", options.shape.extension()));
    export_to(data, options, Target::File(path.clone())).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    fs::read(path).unwrap()
}

/// The names in the first line, and the rows. RFC 4180, and nothing but it.
pub(crate) fn parse_csv(bytes: &[u8]) -> (Vec<String>, Vec<Vec<String>>) {
    let (mut lines, mut line, mut at) = (Vec::new(), Vec::new(), 0);
    while at < bytes.len() {
        let mut cell = Vec::new();
        if bytes[at] == b'"' {
            at += 1;
            loop {
                match (bytes[at], bytes.get(at + 1)) {
                    (b'"', Some(b'"')) => at += 1,
                    (b'"', _) => break,
                    _ => {}
                }
                cell.push(bytes[at]);
                at += 1;
            }
            at += 1;
        } else {
            while !matches!(bytes[at], b',' | b'\r') {
                assert!(!matches!(bytes[at], b'"' | b'\n'), "a bare quote or line's end at {at}");
                cell.push(bytes[at]);
                at += 1;
            }
        }
        line.push(String::from_utf8(cell).unwrap());
        match &bytes[at..at + 1] {
            b"," => at += 1,
            _ => {
                assert_eq!(&bytes[at..at + 2], b"\r\n", "at {at}");
                lines.push(std::mem::take(&mut line));
                at += 2;
            }
        }
    }
    assert!(line.is_empty(), "the last line ends as the others do");
    let head = lines.remove(0);
    assert!(lines.iter().all(|line| line.len() == head.len()), "all lines have as many cells");
    (head, lines)
}

/// Each row by the names of its columns, without those that are empty.
pub(crate) fn csv_rows(bytes: &[u8]) -> Vec<BTreeMap<String, String>> {
    let (head, lines) = parse_csv(bytes);
    let row = |line: Vec<String>| {
        head.iter().cloned().zip(line).filter(|(_, cell)| !cell.is_empty()).collect::<BTreeMap<_, _>>()
    };
    lines.into_iter().map(row).collect()
}

/// A row as text, from what the Parquet library reads.
pub(crate) fn shown(cells: &Cells) -> BTreeMap<String, String> {
    let micros = |number: i64| clicklog::clock::Timestamp::from_micros(number).to_string();
    let text = |(name, cell): (&String, &Cell)| {
        let text = match cell {
            Cell::Text(text) => text.clone(),
            Cell::Bool(is_so) => is_so.to_string(),
            Cell::Number(number) => match &**name {
                "time" | "click_time" | "next_attempt" => micros(*number),
                "cost" | "payout" | "entry" => rust_decimal::Decimal::new(*number, 6).normalize().to_string(),
                _ => number.to_string(),
            },
            Cell::Pairs(pairs) => {
                let pairs = pairs.iter().map(|(name, value)| (name.clone(), value.clone().into()));
                serde_json::Value::Object(pairs.collect()).to_string()
            }
        };
        (name.clone(), text)
    };
    cells.iter().map(text).collect()
}

/// The same of a line of JSON.
pub(crate) fn json_rows(bytes: &[u8]) -> Vec<BTreeMap<String, String>> {
    let text = str::from_utf8(bytes).unwrap();
    let row = |line: &str| {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        let value = |value: serde_json::Value| match value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        object.into_iter().map(|(name, found)| (name, value(found))).collect()
    };
    text.split_terminator('\n').map(row).collect()
}

/// The same, with the order of a JSON object's names made one.
pub(crate) fn in_one_order(mut rows: Vec<BTreeMap<String, String>>) -> Vec<BTreeMap<String, String>> {
    for row in &mut rows {
        for name in ["params", "postback_params"] {
            if let Some(cell) = row.get_mut(name) {
                let pairs: BTreeMap<String, String> = serde_json::from_str(cell).unwrap();
                *cell = serde_json::to_string(&pairs).unwrap();
            }
        }
    }
    rows
}
