//! What a network says it pays, against what our books say it owes.
//!
//! In: the CSV that a network exports; a data folder. Out: a `Reconciliation`: each line of the file and each conversion of
//! ours in one class, both sides' sums, and how far they are apart; and, for the daemon's metrics, the last one of each
//! network in a small file (`state`).
//! Keeps: every line of the file ends in exactly one class, or is told as bad. Amounts are exact. Beside a running daemon
//! it takes no lock.
//! Not here: putting right what differs.
//!
//! What is compared is what counts: a network that has a conversion as pending or reversed pays nothing for it. A line that
//! says it was taken back, and of which we know nothing, is no difference; nor is a conversion of ours that is pending or
//! taken back and in no line, because networks list what they pay.

mod lines;
mod ours;
mod pairs;
pub mod state;
mod write;

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

pub use lines::{LINES_MAX, Line};
pub use ours::{Ours, Standing};
pub use pairs::{Class, Counts, Pair, Sums};
pub use write::csv;

use super::import::{BadLine, Offset, Rename};
use super::report::exact::quotient;
use crate::clock::Timestamp;
use crate::event::conversion::Status;
use crate::event::money::{Currency, Micros};
use crate::event::nearest::nearest;
use crate::store::reader::Reader;
use crate::store::{self, Progress};

/// Millionths of a whole: shares are told in them.
pub const WHOLE: i128 = 1_000_000;
/// Bad lines that a reconciliation shows; of the others there is a number.
pub const SHOWN_MAX: usize = 20;

/// What is compared, and how the file is read.
#[derive(Clone, Debug)]
pub struct Options {
    /// The network.
    pub network: String,
    /// Networks that are known although nobody may have heard of them yet.
    pub known_networks: Vec<String>,
    /// Its file.
    pub file: PathBuf,
    /// Columns that are not called what they hold.
    pub renames: Vec<Rename>,
    /// Between fields; told from the first line if nothing is said.
    pub delimiter: Option<u8>,
    /// How far ahead of UTC times are that do not say.
    pub offset: Offset,
    /// In which currency payouts are that do not say.
    pub currency: Currency,
    /// What the network's words for a status mean; they come before those that all know.
    pub words: Vec<(String, Status)>,
    /// Where a conversion stands whose line does not say.
    pub default_status: Status,
    /// The period that the file is of, its end left out; else from its first time to its last.
    pub from: Option<Timestamp>,
    /// See `from`.
    pub to: Option<Timestamp>,
    /// How long before the period we may have heard of what is in the file.
    pub tolerance: std::time::Duration,
    /// Up to this an amount is not taken to differ.
    pub payout_tolerance: Micros,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Reconciliation {
    /// The network.
    pub network: String,
    /// From when.
    pub from: String,
    /// Until when.
    pub to: String,
    /// By class.
    pub counts: Counts,
    /// Both sides' money, by currency.
    pub sums: Vec<Sums>,
    /// Conversions that one side lacks, and those of no amount that stand elsewhere, of all, in millionths.
    pub count_discrepancy: i128,
    /// The largest difference there is: of counts, of the money of a currency, in millionths of what the network says, or
    /// the share of lines that could not be understood.
    pub discrepancy: i128,
    /// What each column was taken for.
    pub columns: Vec<(String, String)>,
    /// The first bad lines.
    pub bad_lines: Vec<BadLine>,
    /// Everything that differs, and what does not if that was asked for.
    pub pairs: Vec<Pair>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// A file.
    #[error("cannot {what} {path}")]
    File {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The first line does not say which column is what.
    #[error("{0}")]
    Columns(String),
    /// There are more lines than are held in memory.
    #[error("{path} has more than {LINES_MAX} lines; reconcile it month by month")]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// Nothing in the file could be understood.
    #[error("no line of {path} could be understood; the first: {reason}")]
    NoLine {
        /// The file.
        path: PathBuf,
        /// What is wrong with its first line.
        reason: String,
    },
    /// Nothing says of which time the file is.
    #[error("the file has no times: say with --from and --to of which period it is")]
    NoPeriod,
    /// Nobody has heard of such a network: to call all of its conversions missing would say nothing.
    #[error(
        "no network \"{network}\" is known to the journals{hint}; if it is new, show the --catalog that it is in"
    )]
    UnknownNetwork {
        /// What it was called.
        network: String,
        /// What may have been meant.
        hint: String,
    },
    /// Decisions that this build cannot read.
    #[error("{records} decisions were written by a newer build: reconcile with that one")]
    Unread {
        /// How many.
        records: u64,
    },
    /// The journals.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl ReconcileError {
    fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { what, path: path.to_owned(), source }
    }
}

/// Compares. With `keeps_matches` pairs that agree are in the result too.
///
/// # Errors
/// `ReconcileError`. Lines that cannot be understood are only told.
pub fn reconcile(
    reader: &Reader,
    options: &Options,
    keeps_matches: bool,
    progress: Progress<'_>,
) -> Result<Reconciliation, ReconcileError> {
    let mut read = lines::read(options)?;
    if let (true, Some(bad)) = (read.lines.is_empty(), read.bad.first()) {
        return Err(ReconcileError::NoLine { path: options.file.clone(), reason: bad.reason.clone() });
    }
    let (from, to) = period(options, &read.lines)?;
    // The file may be of more than the period: what is in it is looked for all the same.
    let first = read.lines.iter().filter_map(|line| line.time).min().map_or(from, |time| time.min(from));
    let all = ours::read(reader, &options.network, first.minus(options.tolerance), progress)?;
    if all.is_empty() && !options.known_networks.contains(&options.network) {
        check_known(reader, options, progress)?;
    }
    let pairs = pairs::pair(std::mem::take(&mut read.lines), all, (from, to), options);
    let mut counts = Counts { doubled: read.doubled, bad: read.bad.len() as u64, ..Counts::default() };
    pairs.iter().for_each(|pair| counts.add(pair.class));
    let sums = pairs::sums(&pairs);
    // Where the file has no amounts, no sum says that something stands elsewhere.
    let elsewhere =
        pairs.iter().filter(|pair| pair.class == Class::StatusDiffers && pair.their_amount.is_empty());
    let count_discrepancy = share(counts.missing + counts.extra + elsewhere.count() as u64, counts.all());
    let money = sums.iter().map(|sums| sums.discrepancy).max().unwrap_or(0);
    // What a line says that nobody understands may be anything.
    let unknown = share(counts.bad, counts.all() + counts.bad);
    read.bad.truncate(SHOWN_MAX);
    let mut pairs = pairs;
    pairs.retain(|pair| keeps_matches || pair.class != Class::Matched);
    Ok(Reconciliation {
        network: options.network.clone(),
        from: from.to_string(),
        to: to.to_string(),
        counts,
        sums,
        count_discrepancy,
        discrepancy: count_discrepancy.max(money).max(unknown),
        columns: read.columns,
        bad_lines: read.bad,
        pairs,
    })
}

/// Whether the network of which nothing was found is one at all.
fn check_known(reader: &Reader, options: &Options, progress: Progress<'_>) -> Result<(), ReconcileError> {
    let mut heard = ours::networks(reader, progress)?;
    if heard.contains(&options.network) {
        return Ok(());
    }
    heard.extend(options.known_networks.iter().cloned());
    let near = nearest(&options.network, heard.iter().map(String::as_str));
    let hint = near.map_or(String::new(), |near| format!(", did you mean \"{near}\"?"));
    Err(ReconcileError::UnknownNetwork { network: options.network.clone(), hint })
}

/// The period of the file, its end left out.
fn period(options: &Options, lines: &[Line]) -> Result<(Timestamp, Timestamp), ReconcileError> {
    let times = || lines.iter().filter_map(|line| line.time);
    let from = options.from.or_else(|| times().min()).ok_or(ReconcileError::NoPeriod)?;
    let last = || lines.iter().filter_map(|line| line.until).max();
    let to = options.to.or_else(last).ok_or(ReconcileError::NoPeriod)?;
    Ok((from, to))
}

/// `part` of `whole` in millionths; all of it where there is nothing to be a part of.
fn share(part: u64, whole: u64) -> i128 {
    let none = if part == 0 { 0 } else { WHOLE };
    quotient(part.into(), whole.into(), 6).unwrap_or(none)
}
