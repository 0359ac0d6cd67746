//! The file of another tracker, line by line.
//!
//! In: CSV with a first line of names. Out: rows, or what is wrong with a line; and where a later run can go on.
//! Keeps: a line that cannot be understood stops nothing. In memory is one line, and of that `RECORD_BYTES_MAX`.
//! Refuses: a quote that is never closed, because all behind it would be one bad line; UTF-16.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use csv::{ByteRecord, Reader, ReaderBuilder, Trim};

use super::columns::{Use, assign, name_of};
use super::form::{Form, How};
use super::state::Place;
use super::{ImportError, LINE_BYTES_MAX, Options};

/// The two columns that a file of bad lines has more; no parameters are made of them.
pub(super) const LINE_COLUMN: &str = "import_line";
pub(super) const REASON_COLUMN: &str = "import_reason";

/// Bytes at the front of a file by which it is known again, and by which its delimiter is told.
const HEAD_BYTES: u64 = 4096;
/// Bytes that are read for one line: where there are more, a quote is not closed.
const RECORD_BYTES_MAX: usize = 1024 * 1024;
/// What fields may have between them, unless it is said.
const DELIMITERS: [u8; 4] = [b',', b';', 0x09, b'|'];

/// One line as it was.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) fields: ByteRecord,
}

/// A line, and what it says or what is wrong with it.
pub(super) type Understood<R> = (Line, Result<R, String>);

/// See the module.
pub(super) struct Lines<R: Form> {
    path: PathBuf,
    reader: Reader<Limited>,
    head: ByteRecord,
    uses: Vec<Use<R::Field>>,
    front: Vec<u8>,
    bytes: u64,
    delimiter: u8,
    how: How,
    /// Whether it is one of our own exports.
    is_own: bool,
}

impl<R: Form> Lines<R> {
    pub(super) fn open(options: &Options) -> Result<Self, ImportError> {
        let path = &options.file;
        let file = File::open(path).map_err(ImportError::file("open", path))?;
        let (mut reader, front) =
            csv_reader(file, options.delimiter).map_err(ImportError::file("read", path))?;
        let bytes = reader.get_ref().file.metadata().map_err(ImportError::file("read", path))?.len();
        let delimiter = options.delimiter.unwrap_or_else(|| delimiter_of(&front));
        let head = reader.byte_headers().map_err(|error| unreadable(path, error))?.clone();
        let names: Vec<String> = head.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        let own = [LINE_COLUMN, REASON_COLUMN];
        let uses = assign::<R>(&names, &options.renames, &options.skipped, &own)?;
        let how = How { offset: options.offset, currency: options.currency };
        let (path, is_own) = (path.clone(), R::is_ours(&names));
        Ok(Self { path, reader, head, uses, front, bytes, delimiter, how, is_own })
    }

    /// Goes on behind what an earlier run has done.
    pub(super) fn go_on(&mut self, place: Place) -> Result<(), ImportError> {
        let mut position = csv::Position::new();
        position.set_byte(place.byte).set_line(place.line);
        // A reader that stands behind the names takes the next line for a record.
        let sought = position.set_record(place.record).clone();
        self.reader.seek(sought).map_err(|error| unreadable(&self.path, error))
    }

    /// The next line, and what it says or what is wrong with it.
    pub(super) fn next_line(&mut self) -> Result<Option<Understood<R>>, ImportError> {
        let mut fields = ByteRecord::new();
        let is_there =
            next_record(&mut self.reader, &mut fields).map_err(ImportError::file("read", &self.path))?;
        if !is_there {
            return Ok(None);
        }
        let number = fields.position().map_or(0, csv::Position::line);
        let row = self.row(&fields);
        Ok(Some((Line { number, fields }, row)))
    }

    fn row(&self, fields: &ByteRecord) -> Result<R, String> {
        if fields.as_slice().len() > LINE_BYTES_MAX {
            return Err(format!("it is longer than {LINE_BYTES_MAX} bytes; perhaps a quote is not closed"));
        }
        let own = [LINE_COLUMN, REASON_COLUMN].map(str::as_bytes);
        let expected = self.head.len();
        let spare = self.head.iter().filter(|name| own.contains(name)).count();
        if fields.len() != expected && fields.len() + spare != expected {
            return Err(format!("it has {} fields, and the first line has {expected}", fields.len()));
        }
        let mut row = R::default();
        for (value, used) in fields.iter().zip(&self.uses) {
            let text = str::from_utf8(value).map_err(|_| "it is not UTF-8".to_owned())?;
            let text = if self.is_own { text } else { text.trim() };
            match used {
                _ if text.is_empty() => {}
                Use::Skipped => {}
                Use::Param(name) => row.put_param(name, text),
                Use::Field(field) => row.put(*field, text, &self.how)?,
            }
        }
        row.complete(&self.how)?;
        Ok(row)
    }

    /// Where the next line begins.
    pub(super) fn place(&self) -> Place {
        self.reader.position().into()
    }

    /// How long the file is.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The names.
    pub(super) fn head(&self) -> &ByteRecord {
        &self.head
    }

    /// The first bytes of the file.
    pub(super) fn front(&self) -> &[u8] {
        &self.front
    }

    pub(super) fn delimiter(&self) -> u8 {
        self.delimiter
    }

    /// Columns of which nothing is kept: their places and names.
    pub(super) fn left_out(&self) -> impl Iterator<Item = (usize, String)> {
        let all = self.head.iter().zip(&self.uses).enumerate();
        let left_out = all.filter(|(_, (_, used))| **used == Use::Skipped);
        left_out.map(|(place, (name, _))| (place, String::from_utf8_lossy(name).into_owned()))
    }

    /// Each column, and what it is taken for.
    pub(super) fn columns(&self) -> Vec<(String, String)> {
        let names = self.head.iter().map(|name| String::from_utf8_lossy(name).into_owned());
        names.zip(self.uses.iter().map(name_of::<R>)).collect()
    }
}

/// A file of which so much is read for one line, and no more.
#[derive(Debug)]
pub(in crate::batch) struct Limited {
    file: File,
    left: Cell<usize>,
}

impl Read for Limited {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.left.get() == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let read = self.file.read(bytes)?;
        self.left.set(self.left.get().saturating_sub(read));
        Ok(read)
    }
}

impl Seek for Limited {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// Reads a file as CSV; and what is at its front.
pub(in crate::batch) fn csv_reader(
    mut file: File,
    delimiter: Option<u8>,
) -> io::Result<(Reader<Limited>, Vec<u8>)> {
    let mut front = Vec::new();
    (&mut file).take(HEAD_BYTES).read_to_end(&mut front)?;
    file.seek(SeekFrom::Start(0))?;
    if front.starts_with(b"\xFF\xFE") || front.starts_with(b"\xFE\xFF") {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is UTF-16; save it as UTF-8"));
    }
    let delimiter = delimiter.unwrap_or_else(|| delimiter_of(&front));
    let limited = Limited { file, left: Cell::new(RECORD_BYTES_MAX) };
    let reader =
        ReaderBuilder::new().delimiter(delimiter).flexible(true).trim(Trim::Headers).from_reader(limited);
    Ok((reader, front))
}

/// Reads the next line; false if there is none.
pub(in crate::batch) fn next_record(
    reader: &mut Reader<Limited>,
    record: &mut ByteRecord,
) -> io::Result<bool> {
    let line = reader.position().line();
    reader.get_ref().left.set(RECORD_BYTES_MAX);
    reader.read_byte_record(record).map_err(|error| match io::Error::from(error) {
        error if is_too_large(&error) => {
            let what =
                format!("line {line} has no end within {RECORD_BYTES_MAX} bytes: a quote is not closed");
            io::Error::new(io::ErrorKind::InvalidData, what)
        }
        error => error,
    })
}

/// What `Limited` says, as the library passes it on.
fn is_too_large(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<csv::Error>());
    let kind = inner.map_or(error.kind(), |inner| match inner.kind() {
        csv::ErrorKind::Io(inner) => inner.kind(),
        _ => error.kind(),
    });
    kind == io::ErrorKind::FileTooLarge
}

/// What is there most often in the first line.
fn delimiter_of(front: &[u8]) -> u8 {
    let first = front.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |delimiter: u8| first.iter().filter(|byte| **byte == delimiter).count();
    // Of several the first: `max_by_key` gives the last.
    DELIMITERS.into_iter().rev().max_by_key(|delimiter| count(*delimiter)).unwrap_or(b',')
}

fn unreadable(path: &Path, error: csv::Error) -> ImportError {
    ImportError::file("read", path)(error.into())
}
