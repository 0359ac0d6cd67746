//! What a network's file says, line by line.
//!
//! In: CSV as networks export it: with a mark at its front, with semicolons, with decimal commas, with lines twice, with
//! times of their own clocks. Out: one `Line` for each conversion, and what is wrong with the lines that are none.
//! Keeps: nothing is guessed: a word for a status that nobody knows makes a bad line, which is told, not an approval. What is
//! below zero was taken back: it comes off what another line of the transaction says, wherever that stands.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use csv::ByteRecord;

use super::{Options, ReconcileError};
use crate::apply::reading::{STATUS_WORDS, is_placeholder};
use crate::batch::import::{BadLine, bare, csv_reader, next_record, parse_time};
use crate::clock::Timestamp;
use crate::event::conversion::Status;
use crate::event::money::{Currency, Micros};

/// Lines of a file at most: all of them are held in memory.
pub const LINES_MAX: usize = 5_000_000;
/// Microseconds of a day.
const DAY_MICROS: i64 = 86_400 * 1_000_000;

/// What a column can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Transaction,
    Click,
    Time,
    Event,
    Status,
    Payout,
    Currency,
}

/// Each with our name for it and those that files use: without case, blanks and signs, the first before the others.
const FIELDS: [(Field, &str, &[&str]); 7] = [
    (
        Field::Transaction,
        "transaction_id",
        &[
            "transactionid",
            "txid",
            "txnid",
            "conversionid",
            "actionid",
            "orderid",
            "leadid",
            "transaction",
            "id",
        ],
    ),
    (Field::Click, "click_id", &["clickid", "cid", "subid", "sub1", "subid1", "affsub", "s2", "affsub1"]),
    (
        Field::Time,
        "time",
        &[
            "time",
            "conversiontime",
            "datetime",
            "timestamp",
            "conversiondate",
            "createdat",
            "created",
            "date",
        ],
    ),
    (Field::Event, "event", &["event", "eventtype", "eventname", "goal", "goalname"]),
    (Field::Status, "status", &["status", "conversionstatus", "state"]),
    (
        Field::Payout,
        "payout",
        &["payout", "commission", "revenue", "amount", "earnings", "payoutamount", "sum"],
    ),
    (Field::Currency, "currency", &["currency", "payoutcurrency", "currencycode"]),
];

/// What a network says of one conversion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number in the file, from 1.
    pub number: u64,
    /// The network's own id of it, or empty.
    pub transaction_id: String,
    /// The click id as the network has it, or empty.
    pub click_id: String,
    /// What kind of conversion, if the file says: one transaction may be several.
    pub event: String,
    /// When it happened, if the file says.
    pub time: Option<Timestamp>,
    /// Where that ends: a day's end, if the file says no more.
    pub until: Option<Timestamp>,
    /// Where it stands.
    pub status: Status,
    /// What it pays, if the file says.
    pub payout: Option<Micros>,
    /// In which currency.
    pub currency: Currency,
}

/// What a file says.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    pub(super) lines: Vec<Line>,
    /// Lines that said again what another had said, or something newer of the same transaction.
    pub(super) doubled: u64,
    pub(super) bad: Vec<BadLine>,
    /// What each column was taken for.
    pub(super) columns: Vec<(String, String)>,
}

/// Reads a file.
pub(super) fn read(options: &Options) -> Result<Lines, ReconcileError> {
    let path = &options.file;
    let file = File::open(path).map_err(ReconcileError::file("open", path))?;
    let (mut reader, _) = csv_reader(file, options.delimiter).map_err(ReconcileError::file("read", path))?;
    let head = reader.byte_headers().map_err(|error| unreadable(path, error))?;
    let head: Vec<String> = head.iter().map(text_of).collect();
    let uses = assign(&head, options)?;
    let name = |used: &Option<Field>| {
        let found = FIELDS.iter().find(|(field, ..)| Some(*field) == *used);
        found.map_or("left out", |(_, name, _)| name).to_owned()
    };
    let mut read =
        Lines { columns: head.into_iter().zip(uses.iter().map(name)).collect(), ..Lines::default() };
    let mut known = Known::default();
    let mut record = ByteRecord::new();
    while next_record(&mut reader, &mut record).map_err(ReconcileError::file("read", path))? {
        let number = record.position().map_or(0, csv::Position::line);
        match line(number, &record, &uses, options) {
            Ok(line) => known.take(line, &mut read),
            Err(reason) => read.bad.push(BadLine { line: number, reason }),
        }
        if read.lines.len() + read.bad.len() > LINES_MAX {
            return Err(ReconcileError::TooLong { path: path.clone() });
        }
    }
    Ok(read)
}

fn assign(head: &[String], options: &Options) -> Result<Vec<Option<Field>>, ReconcileError> {
    let mut uses = vec![None; head.len()];
    let there = || head.join(", ");
    for rename in &options.renames {
        let field = FIELDS.iter().find(|(_, name, _)| *name == rename.ours).map(|(field, ..)| *field);
        let field = field.ok_or_else(|| {
            let names = FIELDS.map(|(_, name, _)| name).join(", ");
            ReconcileError::Columns(format!("a column cannot be {:?}; it can be {names}", rename.ours))
        })?;
        let at = head.iter().position(|name| name.eq_ignore_ascii_case(&rename.column));
        let at = at.ok_or_else(|| {
            ReconcileError::Columns(format!("there is no column {:?}; there are {}", rename.column, there()))
        })?;
        uses[at] = Some(field);
    }
    for (field, _, aliases) in FIELDS {
        let free = |at: &usize| uses[*at].is_none();
        let named = |alias: &&str| (0..head.len()).filter(free).find(|at| bare(&head[*at]) == **alias);
        if !uses.contains(&Some(field))
            && let Some(at) = aliases.iter().find_map(named)
        {
            uses[at] = Some(field);
        }
    }
    if uses.contains(&Some(Field::Transaction)) || uses.contains(&Some(Field::Click)) {
        return Ok(uses);
    }
    Err(ReconcileError::Columns(format!(
        "no column is the transaction's or the click's id; say which with --map transaction_id=COLUMN: there are {}",
        there()
    )))
}

fn line(number: u64, record: &ByteRecord, uses: &[Option<Field>], options: &Options) -> Result<Line, String> {
    let get = |wanted: Field| {
        let place = uses.iter().position(|used| *used == Some(wanted));
        let text = place.and_then(|at| record.get(at)).map(text_of).unwrap_or_default();
        if is_placeholder(&text) { String::new() } else { text }
    };
    let (transaction_id, click_id) = (get(Field::Transaction), get(Field::Click));
    if transaction_id.is_empty() && click_id.is_empty() {
        return Err("it has neither a transaction's nor a click's id".to_owned());
    }
    let (time, until) = match &*get(Field::Time) {
        "" => (None, None),
        text => {
            let time =
                parse_time(text, options.offset).map_err(|error| format!("its time {text:?}: {error}"))?;
            let micros = if is_day(text) { DAY_MICROS } else { 1 };
            (Some(time), Some(Timestamp::from_micros(time.micros().saturating_add(micros))))
        }
    };
    let payout = match &*get(Field::Payout) {
        "" => None,
        text => Some(Micros::parse(text).map_err(|error| format!("its payout {text:?}: {error}"))?.amount),
    };
    let currency = match &*get(Field::Currency) {
        "" => options.currency,
        text => text.parse().map_err(|_| format!("{text:?} is no currency"))?,
    };
    let status = match status(&get(Field::Status), options)? {
        // Whatever the word beside it is, nobody pays less than nothing.
        _ if payout.is_some_and(is_taken_back) => Status::Reversed,
        status => status,
    };
    let event = get(Field::Event);
    Ok(Line { number, transaction_id, click_id, event, time, until, status, payout, currency })
}

/// Whether a time is a date alone.
fn is_day(text: &str) -> bool {
    text.len() == 10 && text.contains('-')
}

fn is_taken_back(payout: Micros) -> bool {
    payout.get() < 0
}

fn status(word: &str, options: &Options) -> Result<Status, String> {
    if word.is_empty() {
        return Ok(options.default_status);
    }
    let is_it = |known: &str| known.eq_ignore_ascii_case(word);
    let own = options.words.iter().find(|(known, _)| is_it(known)).map(|(_, status)| *status);
    let common = || STATUS_WORDS.iter().find(|(_, words)| words.iter().any(|known| is_it(known)));
    own.or_else(|| common().map(|(status, _)| *status)).ok_or_else(|| {
        format!("nobody knows the status {word:?}; say what it means with --status {word}=approved")
    })
}

/// Lines by which others are known to say the same once more.
#[derive(Default)]
struct Known {
    /// By the transaction, and its event.
    by_transaction: HashMap<String, usize>,
    /// Without a transaction's id only the very same line is a repeat: a click may convert twice.
    without: HashMap<String, usize>,
}

impl Known {
    fn take(&mut self, line: Line, read: &mut Lines) {
        let next = read.lines.len();
        let place = if line.transaction_id.is_empty() {
            let Line { click_id, event, time, status, payout, currency, .. } = &line;
            let all = format!("{click_id}\0{event}\0{time:?}\0{status:?}\0{payout:?}\0{currency}");
            *self.without.entry(all).or_insert(next)
        } else {
            self.of_transaction(&line, next)
        };
        match read.lines.get_mut(place) {
            None => read.lines.push(line),
            Some(before) => {
                read.doubled += 1;
                before.take(line);
            }
        }
    }

    /// The line that this one is about, or `next` if it is the first.
    fn of_transaction(&mut self, line: &Line, next: usize) -> usize {
        let all = &mut self.by_transaction;
        let Line { transaction_id, event, .. } = line;
        let key = match &**event {
            "" => transaction_id.clone(),
            event => format!("{transaction_id}\0{}", event.to_ascii_lowercase()),
        };
        // What is taken back may be called an event of its own.
        if line.payout.is_some_and(is_taken_back)
            && !all.contains_key(&key)
            && let Some(place) = all.get(transaction_id)
        {
            return *place;
        }
        if !event.is_empty() {
            all.entry(transaction_id.clone()).or_insert(next);
        }
        *all.entry(key).or_insert(next)
    }
}

impl Line {
    /// Takes in a later line of the same conversion.
    fn take(&mut self, line: Self) {
        let amounts = self.payout.zip(line.payout).filter(|_| self.currency == line.currency);
        match amounts {
            Some((before, more)) if is_taken_back(before) != is_taken_back(more) => {
                let (sum, paid) =
                    (before.plus(more), if is_taken_back(more) { self.status } else { line.status });
                self.status = if sum.get() > 0 { paid } else { Status::Reversed };
                (self.payout, self.time) = (Some(sum), self.time.max(line.time));
                self.until = self.until.max(line.until);
            }
            // What is later tells how it stands; of lines without times the lower one.
            _ if line.time >= self.time => *self = line,
            _ => {}
        }
    }
}

/// Whatever is no UTF-8 is marked as such: ids and amounts are.
fn text_of(bytes: &[u8]) -> String {
    // Blanks that do not break lines come with copied tables.
    String::from_utf8_lossy(bytes).trim_matches(|letter: char| letter.is_whitespace()).to_owned()
}

fn unreadable(path: &Path, error: csv::Error) -> ReconcileError {
    ReconcileError::file("read", path)(error.into())
}
