//! A report for programs: CSV and JSON.
//!
//! Keeps: amounts are exact decimals, as texts; ratios have six places; what has no value is empty in CSV and null in
//! JSON. Names of columns follow from the currencies alone: `revenue_usd` is always called so.

use std::io::{self, Write};

use serde_json::{Map, Value, json as object};

use super::exact::{decimal, money};
use super::{Report, Row};
use crate::batch::export::text::begins_formula;
use crate::compactor::rollup::Count;

/// Places of a ratio.
const RATIO_PLACES: u32 = 6;

/// One column of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// The value of a dimension, by its place.
    Value(usize),
    /// How often something was.
    Count(Count),
    /// Conversions of net clicks.
    ConversionRate,
    /// Of the currency with this place.
    Revenue(usize),
    /// Likewise.
    Cost(usize),
    /// Revenue less cost.
    Profit(usize),
    /// Revenue of a net click.
    RevenuePerClick(usize),
    /// Profit of cost.
    ReturnOnCost(usize),
}

impl Column {
    /// The columns of a report, with these counts.
    pub fn all(report: &Report, counts: &[Count]) -> Vec<Self> {
        let mut columns: Vec<Self> = (0..report.by.len()).map(Self::Value).collect();
        columns.extend(counts.iter().copied().map(Self::Count));
        columns.push(Self::ConversionRate);
        for currency in 0..report.currencies.len() {
            columns.extend([
                Self::Revenue(currency),
                Self::Cost(currency),
                Self::Profit(currency),
                Self::RevenuePerClick(currency),
                Self::ReturnOnCost(currency),
            ]);
        }
        columns
    }

    /// The column with this name; `revenue` and the like are those of the first currency.
    pub fn named(report: &Report, name: &str) -> Option<Self> {
        let all = Self::all(report, Count::ALL);
        let bare = |column: &&Self| column.money().is_some_and(|(bare, _)| bare == name);
        let exact = all.iter().find(|column| column.name(report) == name);
        exact.or_else(|| all.iter().find(bare)).cloned()
    }

    /// Its name for programs.
    pub fn name(&self, report: &Report) -> String {
        match (self, self.money()) {
            (Self::Value(at), _) => report.by.get(*at).cloned().unwrap_or_default(),
            (Self::Count(count), _) => count.name().to_owned(),
            (_, None) => "cr".to_owned(),
            (_, Some((name, currency))) => {
                let code = report.currencies.get(currency).map_or("", |code| code).to_lowercase();
                if code.is_empty() { name.to_owned() } else { format!("{name}_{code}") }
            }
        }
    }

    /// Its name without its currency, and which that is.
    pub fn money(&self) -> Option<(&'static str, usize)> {
        match self {
            Self::Revenue(currency) => Some(("revenue", *currency)),
            Self::Cost(currency) => Some(("cost", *currency)),
            Self::Profit(currency) => Some(("profit", *currency)),
            Self::RevenuePerClick(currency) => Some(("epc", *currency)),
            Self::ReturnOnCost(currency) => Some(("roi", *currency)),
            Self::Value(_) | Self::Count(_) | Self::ConversionRate => None,
        }
    }

    /// Its number in a row: a count, an amount in millionths, a ratio in units of `10^-6`.
    pub fn number(&self, row: &Row) -> Option<i128> {
        match self {
            Self::Value(_) => None,
            Self::Count(count) => Some(row.count(*count).into()),
            Self::ConversionRate => row.conversion_rate(RATIO_PLACES),
            Self::Revenue(currency) => Some(row.money.get(*currency)?.revenue),
            Self::Cost(currency) => Some(row.money.get(*currency)?.cost),
            Self::Profit(currency) => {
                row.money.get(*currency).map(|amounts| amounts.revenue.saturating_sub(amounts.cost))
            }
            Self::RevenuePerClick(currency) => row.revenue_per_click(*currency, RATIO_PLACES),
            Self::ReturnOnCost(currency) => row.return_on_cost(*currency, RATIO_PLACES),
        }
    }

    /// Its text in a row, for programs.
    fn text(&self, row: &Row) -> String {
        let number = || self.number(row);
        match self {
            Self::Value(at) => row.values.get(*at).cloned().unwrap_or_default(),
            Self::Count(_) => number().map_or_else(String::new, |count| count.to_string()),
            Self::ConversionRate | Self::ReturnOnCost(_) => {
                number().map_or_else(String::new, |ratio| decimal(ratio, RATIO_PLACES, RATIO_PLACES))
            }
            _ => number().map_or_else(String::new, money),
        }
    }
}

/// Writes a report as CSV (RFC 4180), a line of names first; without the total, which is no row like the others. If
/// `is_spreadsheet_safe`, values that a spreadsheet would take for a formula get an apostrophe, which changes them.
///
/// # Errors
/// What writing says.
pub fn csv(report: &Report, is_spreadsheet_safe: bool, out: &mut dyn Write) -> io::Result<()> {
    let columns = Column::all(report, Count::ALL);
    let mut writer = ::csv::WriterBuilder::new().terminator(::csv::Terminator::CRLF).from_writer(out);
    writer.write_record(columns.iter().map(|column| column.name(report)))?;
    for row in &report.rows {
        writer.write_record(columns.iter().map(|column| {
            let text = column.text(row);
            let is_formula = matches!(column, Column::Value(_)) && begins_formula(&text);
            if is_spreadsheet_safe && is_formula { format!("'{text}") } else { text }
        }))?;
    }
    writer.flush()
}

/// A report as JSON.
pub fn json(report: &Report) -> Value {
    let series = report.series.iter().map(|(at, row)| {
        let letters = if report.bucket < 86_400 { 13 } else { 10 };
        let mut point = row_json(report, row);
        point.insert("at".to_owned(), super::local_text(*at, letters).into());
        Value::Object(point)
    });
    object!({
        "from": report.from.to_string(),
        "to": report.to.to_string(),
        "offset_seconds": report.offset.seconds(),
        "by": report.by,
        "currencies": report.currencies,
        "rows": report.rows.iter().map(|row| Value::Object(row_json(report, row))).collect::<Vec<_>>(),
        "more_rows": report.more,
        "total": row_json(report, &report.total),
        "series": series.collect::<Vec<_>>(),
        "notes": report.notes,
    })
}

fn row_json(report: &Report, row: &Row) -> Map<String, Value> {
    let mut map = Map::new();
    let mut values = Map::new();
    for (name, value) in report.by.iter().zip(&row.values) {
        values.insert(name.clone(), value.clone().into());
    }
    // Apart, because a parameter may be called as a column is.
    map.insert("values".to_owned(), Value::Object(values));
    for count in Count::ALL {
        map.insert(count.name().to_owned(), row.count(*count).into());
    }
    let text = |column: &Column| match column.number(row) {
        Some(_) => Value::String(column.text(row)),
        None => Value::Null,
    };
    map.insert("cr".to_owned(), text(&Column::ConversionRate));
    let mut all = Map::new();
    for (currency, code) in report.currencies.iter().enumerate() {
        let mut amounts = Map::new();
        for column in [
            Column::Revenue(currency),
            Column::Cost(currency),
            Column::Profit(currency),
            Column::RevenuePerClick(currency),
            Column::ReturnOnCost(currency),
        ] {
            let name = column.money().map_or("", |(name, _)| name);
            amounts.insert(name.to_owned(), text(&column));
        }
        all.insert(code.clone(), Value::Object(amounts));
    }
    map.insert("money".to_owned(), Value::Object(all));
    map
}
