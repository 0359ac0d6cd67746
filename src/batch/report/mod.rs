//! Sums over a period, broken down by whatever is asked: clicks, conversions, cost, revenue, and their ratios.
//!
//! In: a data folder and a `Query`. Out: a `Report`, and ways to write it (`csv`, `json`, `html`).
//! Keeps: what roll-ups can say is read from them, all else from the records, and both come to the same. Beside a running
//! daemon it takes no lock; what is still written is in it. Sums and money are whole numbers; a ratio is rounded once. Programs
//! get exact amounts; people see them rounded to what the currency has, half to even, as ratios are.
//! A click is of the moment at which it was recorded, a conversion of that of its decision: so a period, once over, does
//! not change any more. What a period's clicks bring later is in later periods.
//! Not here: the command line, the table on a terminal (`cli`).
//!
//! Clicks do not know which network will pay for them: by network they are all in the row without one. Cost updates know
//! neither network nor country nor lander, nor labels: they are in the row without.

mod dimension;
pub mod exact;
mod gone;
mod groups;
pub mod html;
mod write;

use std::cmp::Ordering;
use std::ops::ControlFlow;

pub use dimension::{Detail, Dimension, DimensionError};

pub use write::{Column, csv, json};

use super::import::Offset;
use crate::clock::Timestamp;
use crate::compactor;
use crate::compactor::rollup::{COUNTS, Count, Fact, Rollups, Texts};
use crate::event::codec::{Event, Kind};
use crate::event::money::Currency;
use crate::store::layout::Summary;
use crate::store::reader::{Reader, Shown};
use crate::store::{self, Journal, Progress};
use exact::quotient;
use gone::Gone;
use groups::{Finished, Group, Groups, is_rolled_up};

/// Dimensions of a report at most.
pub const BY_MAX: usize = 8;
/// Points of a chart at most, about.
const POINTS_MAX: i64 = 400;
/// Up to so many seconds a chart has a point for each hour.
const HOURLY_MAX: i64 = 3 * DAY;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Query {
    /// From this moment on.
    pub from: Timestamp,
    /// Up to, and without, this one.
    pub to: Timestamp,
    /// How far ahead of UTC the clocks are by which days and hours are told.
    pub offset: Offset,
    /// What it is broken down by, at most `BY_MAX`; nothing gives one row.
    pub by: Vec<Dimension>,
    /// Only where a dimension has this value; of several values of one dimension any.
    pub filters: Vec<(Dimension, String)>,
    /// Only money of this currency. Counts are of all.
    pub currency: Option<Currency>,
    /// Leave roll-ups behind that had to be made.
    pub leaves: bool,
}

/// Money of one currency, in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// What clicks cost, by themselves and by cost updates.
    pub cost: i128,
    /// What conversions brought.
    pub revenue: i128,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The values of the dimensions, in their order.
    pub values: Vec<String>,
    /// By `Count`.
    pub counts: [u64; COUNTS],
    /// In the order of the report's currencies.
    pub money: Vec<Amounts>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Report {
    /// From when.
    pub from: Timestamp,
    /// Until when, that moment left out.
    pub to: Timestamp,
    /// By which clocks.
    pub offset: Offset,
    /// Names of the dimensions.
    pub by: Vec<String>,
    /// Currencies in which there was money, by their codes.
    pub currencies: Vec<String>,
    /// In order, as `sort` has left them.
    pub rows: Vec<Row>,
    /// Rows that `limit` has cut off.
    pub more: usize,
    /// All rows, those that were cut off too.
    pub total: Row,
    /// Seconds of a point of the chart.
    pub bucket: i64,
    /// By the beginning of each, in seconds since 1970 by the report's clocks; those in which nothing was are left out.
    pub series: Vec<(i64, Row)>,
    /// What should be known of all this: what could not be read.
    pub notes: Vec<String>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The roll-ups.
    #[error(transparent)]
    Rollups(#[from] compactor::Error),
    /// The journals.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// There is nothing to report on.
    #[error("there is no store in {path}")]
    NoStore {
        /// The folder.
        path: std::path::PathBuf,
    },
    /// The period has no moment.
    #[error("the period ends at {to}, before it begins")]
    Period {
        /// Its end.
        to: Timestamp,
    },
    /// There are too many dimensions.
    #[error("a report is by {BY_MAX} dimensions at most")]
    TooManyDimensions,
}

/// Makes a report.
///
/// # Errors
/// `ReportError`. What of the period could not be read is in the notes.
pub fn report(reader: &Reader, query: &Query, progress: Progress<'_>) -> Result<Report, ReportError> {
    if query.to <= query.from {
        return Err(ReportError::Period { to: query.to });
    }
    if query.by.len() > BY_MAX {
        return Err(ReportError::TooManyDimensions);
    }
    let no_store = || ReportError::NoStore { path: reader.directory().root().to_owned() };
    let rollups = Rollups::open(reader)?.ok_or_else(no_store)?;
    let mut groups = Groups::new(query, bucket_of(query));
    let notes = if needs_records(query) {
        let mut gone = Gone::new(query.from, query.to);
        rollups.read(gone.days(), query.leaves, progress, &mut gone)?;
        let mut notes = scan(reader, query, progress, |event| {
            groups.take(event);
            if let Some(fact) = Fact::of(event) {
                gone.take(&fact);
            }
        })?;
        notes.extend(gone.note());
        notes
    } else {
        let day = |micros: i64| micros.div_euclid(DAY * 1_000_000);
        let days = day(query.from.micros())..day(query.to.micros() - 1) + 1;
        rollups.read(days, query.leaves, progress, &mut groups)?.problems
    };
    Ok(finish(query, groups, notes))
}

/// Whether roll-ups, which are kept by whole hours of UTC, cannot answer.
fn needs_records(query: &Query) -> bool {
    let is_whole = |micros: i64| micros.rem_euclid(HOUR * 1_000_000) == 0;
    let dimensions = query.by.iter().chain(query.filters.iter().map(|(dimension, _)| dimension));
    // A filter by day or hour is rare, and the period says the same.
    let filters_by_clock =
        query.filters.iter().any(|(dimension, _)| matches!(dimension, Dimension::Day | Dimension::Hour));
    !(is_whole(query.from.micros()) && is_whole(query.to.micros()))
        || query.offset.seconds() % 3600 != 0
        || filters_by_clock
        || !dimensions.into_iter().all(is_rolled_up)
}

/// Gives `take` all records of the period, and some beside it.
fn scan(
    reader: &Reader,
    query: &Query,
    progress: Progress<'_>,
    mut take: impl FnMut(&Event<'_>),
) -> Result<Vec<String>, ReportError> {
    const COUNTED: [Kind; 4] = [Kind::Click, Kind::ForeignClick, Kind::Decision, Kind::CostUpdate];
    let wanted = |summary: &Summary| {
        summary.records > 0 && summary.first_time < query.to && summary.last_time >= query.from
    };
    let shown = Shown::load(reader)?;
    let mut notes = Vec::new();
    let mut unread = 0_u64;
    let mut lanes = Vec::new();
    for journal in [Journal::Clicks, Journal::Postbacks] {
        lanes.extend(reader.lanes(journal)?.into_iter().map(|lane| (journal, lane)));
    }
    let count = lanes.len() as u64;
    for (before, (journal, lane)) in (0..).zip(lanes) {
        let mut lane_progress = |done: u64, of: u64| {
            // Lanes are about equally long.
            progress(before * 1000 + done * 1000 / of.max(1), count * 1000);
        };
        let scanned = reader.scan((journal, lane), wanted, &mut lane_progress, |position, record| {
            if COUNTED.iter().any(|kind| kind.code() == record.kind) {
                match shown.event((journal, lane), position, record) {
                    Ok(event) => take(&event),
                    Err(_) => unread += 1,
                }
            }
            ControlFlow::Continue(())
        });
        if let Err(error) = scanned {
            notes.push(format!("{}, lane {lane}, is not counted to its end: {error}", journal.name()));
        }
        for segment in reader.unreadable(journal, lane)? {
            let name = format!("segment {segment} of {}, lane {lane}", journal.name());
            notes.push(format!("{name} is not counted: it cannot be read"));
        }
    }
    if unread > 0 {
        notes.push(format!("{unread} records are not counted: this build cannot read them"));
    }
    Ok(notes)
}

/// Seconds of a point of the chart.
fn bucket_of(query: &Query) -> i64 {
    let seconds = query.to.micros().saturating_sub(query.from.micros()) / 1_000_000;
    if seconds <= HOURLY_MAX { HOUR } else { DAY * (seconds / DAY / POINTS_MAX + 1) }
}

fn finish(query: &Query, groups: Groups<'_>, notes: Vec<String>) -> Report {
    let bucket = bucket_of(query);
    let Finished { rows: groups, series, texts } = groups.into_rows();
    let currencies = currencies(query, groups.iter().map(|(_, group)| group), &texts);
    let numbers: Vec<u32> = currencies.iter().map(|(number, _)| *number).collect();
    let row = |(values, group): (Vec<String>, Group)| Row {
        values,
        counts: group.counts,
        money: numbers.iter().map(|number| amounts(&group, *number)).collect(),
    };
    let rows: Vec<Row> = groups.into_iter().map(row).collect();
    let series = series.into_iter().map(|(at, group)| (at.saturating_mul(bucket), row((Vec::new(), group))));
    let mut report = Report {
        from: query.from,
        to: query.to,
        offset: query.offset,
        by: query.by.iter().map(Dimension::name).collect(),
        currencies: currencies.into_iter().map(|(_, code)| code).collect(),
        more: 0,
        total: total(&rows, query.by.len(), numbers.len()),
        bucket,
        series: series.collect(),
        notes,
        rows,
    };
    report.sort(None, false);
    report
}

/// The currencies of a report: their numbers and codes, by code.
fn currencies<'a>(
    query: &Query,
    groups: impl Iterator<Item = &'a Group>,
    texts: &Texts,
) -> Vec<(u32, String)> {
    let mut numbers: Vec<u32> =
        groups.flat_map(|group| group.money.iter().map(|(number, ..)| *number)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let named = numbers.into_iter().map(|number| (number, texts.text(number).to_owned()));
    let is_asked = |code: &str| query.currency.is_none_or(|currency| currency.as_str() == code);
    let mut named: Vec<(u32, String)> = named.filter(|(_, code)| is_asked(code)).collect();
    named.sort_by(|a, b| a.1.cmp(&b.1));
    named
}

fn amounts(group: &Group, currency: u32) -> Amounts {
    let found = group.money.iter().find(|(known, ..)| *known == currency);
    found.map_or_else(Amounts::default, |(_, cost, revenue)| Amounts { cost: *cost, revenue: *revenue })
}

fn total(rows: &[Row], dimensions: usize, currencies: usize) -> Row {
    let mut total = Row {
        values: vec![String::new(); dimensions],
        counts: [0; COUNTS],
        money: vec![Amounts::default(); currencies],
    };
    for row in rows {
        for (sum, more) in total.counts.iter_mut().zip(row.counts) {
            *sum = sum.saturating_add(more);
        }
        for (sum, more) in total.money.iter_mut().zip(&row.money) {
            sum.cost = sum.cost.saturating_add(more.cost);
            sum.revenue = sum.revenue.saturating_add(more.revenue);
        }
    }
    total
}

impl Row {
    /// How often that was.
    pub const fn count(&self, count: Count) -> u64 {
        self.counts[count as usize]
    }

    /// Conversions of net clicks, in units of `10^-places`; nothing without a click.
    pub fn conversion_rate(&self, places: u32) -> Option<i128> {
        quotient(self.count(Count::Conversions).into(), self.count(Count::Net).into(), places)
    }

    /// Revenue of a net click in units of `10^-places`, in the currency with this place in the report.
    pub fn revenue_per_click(&self, currency: usize, places: u32) -> Option<i128> {
        let clicks = i128::from(self.count(Count::Net));
        quotient(self.money.get(currency)?.revenue, clicks.saturating_mul(1_000_000), places)
    }

    /// Profit of what was spent, in units of `10^-places`.
    pub fn return_on_cost(&self, currency: usize, places: u32) -> Option<i128> {
        let Amounts { cost, revenue } = *self.money.get(currency)?;
        quotient(revenue.saturating_sub(cost), cost, places)
    }
}

impl Report {
    /// Sorts by a column: numbers from the greatest down, texts up; or the other way round. Without one by days and
    /// hours if those come first, else by clicks.
    pub fn sort(&mut self, by: Option<&Column>, reversed: bool) {
        let is_by_time = self.by.first().is_some_and(|name| name == "day" || name == "hour");
        let by =
            by.cloned().unwrap_or(if is_by_time { Column::Value(0) } else { Column::Count(Count::Clicks) });
        self.rows.sort_by(|a, b| {
            let order = match &by {
                Column::Value(at) => a.values.get(*at).cmp(&b.values.get(*at)),
                number => number.number(b).cmp(&number.number(a)),
            };
            let order = if reversed { order.reverse() } else { order };
            // The same report has the same rows, whatever the order of what it was read from.
            if order == Ordering::Equal { a.values.cmp(&b.values) } else { order }
        });
    }

    /// Leaves so many rows; the total stays that of all.
    pub fn limit(&mut self, rows: usize) {
        self.more += self.rows.len().saturating_sub(rows);
        self.rows.truncate(rows);
    }

    /// Places that an amount in the currency with this place has for people: those of its smallest coin.
    pub fn minor_digits(&self, currency: usize) -> u32 {
        let known = self.currencies.get(currency).and_then(|code| code.parse::<Currency>().ok());
        known.map_or(2, |known| known.minor_digits().into())
    }

    /// Its period for people, by its own clocks.
    pub fn period(&self) -> String {
        let offset = i64::from(self.offset.seconds());
        let moment = |micros: i64| {
            let seconds = micros.div_euclid(1_000_000).saturating_add(offset);
            let letters = if seconds.rem_euclid(DAY) == 0 { 10 } else { 16 };
            local_text(seconds, letters).replace('T', " ")
        };
        let sign = if offset < 0 { '-' } else { '+' };
        let (hours, minutes) = (offset.abs() / HOUR, offset.abs() / 60 % 60);
        let zone = if offset == 0 { "UTC".to_owned() } else { format!("UTC{sign}{hours:02}:{minutes:02}") };
        let (from, to) = (moment(self.from.micros()), moment(self.to.micros()));
        format!("{from} until {to}, {zone}")
    }
}

/// The first letters of a moment, in seconds since 1970 by whatever clocks.
fn local_text(seconds: i64, letters: usize) -> String {
    let text = Timestamp::from_micros(seconds.saturating_mul(1_000_000)).to_string();
    text.get(..letters).unwrap_or(&text).to_owned()
}
