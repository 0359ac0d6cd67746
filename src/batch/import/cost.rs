//! One line of what clicks cost, as their source says it later: an amount, a period, and whose clicks.
//!
//! Keeps: columns that nobody has named and that are no well-known parameter (impressions, rates) are left out: a number
//! that changes from one export to the next would make another key of the same line.
//! Not here: the hours of the period, what was said before (`serve::costs`).

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::form::{Column, Form, How, Names};
use super::time::{Offset, parse};
use crate::clock::Timestamp;
use crate::event::money::{Currency, Micros};
use crate::event::params::KNOWN;

/// Microseconds of an hour, and of a day.
const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;

/// See the module. Texts that are absent are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cost {
    /// Where the period begins, in microseconds since 1970.
    pub from: i64,
    /// Where it ends; that moment is no part of it.
    pub to: i64,
    /// Campaign id.
    pub campaign: String,
    /// Source id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Offer id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub offer: String,
    /// In millionths.
    pub cost: i64,
    /// Of this currency.
    pub currency: String,
    /// Parameters that the clicks have in common.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<(String, String)>,
    /// Which hour of its day, where that has a column of its own.
    #[serde(skip)]
    hour: Option<i64>,
    #[serde(skip)]
    has_cost: bool,
}

/// What a column can hold, beside parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CostField {
    /// A day, or a moment of an hour.
    Time,
    /// An hour of that day, or one with its day.
    Hour,
    /// Where a period begins.
    From,
    /// Where it ends.
    To,
    /// Campaign id.
    Campaign,
    /// Source id.
    Source,
    /// Offer id.
    Offer,
    /// What it cost.
    Cost,
    /// In which currency.
    Currency,
}

impl Form for Cost {
    type Field = CostField;

    const NAME: &'static str = "cost";
    const COLUMNS: &'static [Column<CostField>] = &[
        (CostField::Time, "time", &["day", "date", "time", "timestamp", "datetime"]),
        (CostField::Hour, "hour", &["hour", "hourofday"]),
        (CostField::From, "from", &["from", "start", "starttime", "startdate", "datefrom", "begin"]),
        (CostField::To, "to", &["to", "end", "endtime", "enddate", "dateto"]),
        (CostField::Campaign, "campaign", &["campaignid", "campaign"]),
        (CostField::Source, "source", &["sourceid", "source", "trafficsourceid", "trafficsource"]),
        (CostField::Offer, "offer", &["offerid", "offer"]),
        (CostField::Cost, "cost", &["cost", "spend", "spent", "amountspent", "amount", "totalcost"]),
        (CostField::Currency, "currency", &["currency", "costcurrency"]),
    ];
    const NEEDED: &'static [&'static str] = &["campaign", "cost"];
    const SAME: &'static str = "of the same hours, campaign, source, offer, parameters and currency";

    fn keeps_param(name: &str) -> bool {
        KNOWN.contains(&name)
    }

    fn put(&mut self, field: CostField, text: &str, how: &How) -> Result<(), String> {
        match field {
            CostField::Time => (self.from, self.to) = period(text, how.offset)?,
            CostField::Hour if text.len() <= 2 => {
                let hour = text.parse().ok().filter(|hour| (0..24).contains(hour));
                self.hour = Some(hour.ok_or_else(|| format!("its hour {text:?} is none of 0 to 23"))?);
            }
            CostField::Hour => (self.from, self.to) = period(text, how.offset)?,
            CostField::From => self.from = moment(text, how.offset)?.micros(),
            CostField::To => {
                let end = moment(text, how.offset)?.micros();
                self.to = if is_day(text) { end.saturating_add(DAY) } else { end };
            }
            CostField::Cost => {
                let cost = Micros::parse(text).map_err(|error| format!("its cost {text:?}: {error}"))?;
                (self.cost, self.has_cost) = (cost.amount.get(), true);
            }
            CostField::Currency => {
                let currency: Currency = text.parse().map_err(|_| format!("{text:?} is no currency"))?;
                self.currency = currency.to_string();
            }
            CostField::Campaign => text.clone_into(&mut self.campaign),
            CostField::Source => text.clone_into(&mut self.source),
            CostField::Offer => text.clone_into(&mut self.offer),
        }
        Ok(())
    }

    fn put_param(&mut self, name: &str, text: &str) {
        self.params.push((name.to_owned(), text.to_owned()));
    }

    fn sets(&self) -> Option<(Vec<u8>, Range<i64>)> {
        if self.cost < 0 || self.to <= self.from {
            // It is refused by itself.
            return None;
        }
        let params = self.params.iter().flat_map(|(name, value)| [name, value]);
        let texts = [&self.campaign, &self.source, &self.offer, &self.currency].into_iter().chain(params);
        let mut of = Vec::new();
        for text in texts {
            of.extend((text.len() as u64).to_le_bytes());
            of.extend(text.as_bytes());
        }
        Some((of, Self::hours(self.from, self.to)))
    }

    fn settle(&mut self, names: &Names) {
        if let Some(ours) = names.get(&self.campaign) {
            ours.clone_into(&mut self.campaign);
        }
    }

    fn complete(&mut self, how: &How) -> Result<(), String> {
        if self.campaign.is_empty() {
            return Err("it has no campaign".to_owned());
        }
        if !self.has_cost {
            return Err("it has no cost".to_owned());
        }
        if self.from == 0 {
            return Err("it has no day, hour or other period".to_owned());
        }
        if let Some(hour) = self.hour {
            self.from = self.from.saturating_add(hour * HOUR);
            self.to = self.from.saturating_add(HOUR);
        }
        if self.to == 0 {
            return Err("its period has no end".to_owned());
        }
        if self.currency.is_empty() {
            self.currency = how.currency.to_string();
        }
        // One set of parameters is one key, in whatever order its columns are.
        self.params.sort_unstable();
        Ok(())
    }
}

impl Cost {
    /// The hours of a period, since 1970, UTC. Where days begin within an hour of UTC, that hour is of the day that begins
    /// in it.
    pub fn hours(from: i64, to: i64) -> Range<i64> {
        let [from, to] = [from, to].map(|micros| Timestamp::from_micros(micros).hour());
        from..to.max(from.saturating_add(1))
    }
}

fn moment(text: &str, offset: Offset) -> Result<Timestamp, String> {
    // Hours as our own reports write them.
    let whole = if text.len() == 13 && is_day(text.get(..10).unwrap_or_default()) {
        &format!("{text}:00:00")
    } else {
        text
    };
    parse(whole, offset).map_err(|error| format!("its time {text:?}: {error}"))
}

fn is_day(text: &str) -> bool {
    text.len() == 10 && text.as_bytes().get(4) == Some(&b'-')
}

/// A whole day, or the hour from a moment on.
fn period(text: &str, offset: Offset) -> Result<(i64, i64), String> {
    let from = moment(text, offset)?.micros();
    Ok((from, from.saturating_add(if is_day(text) { DAY } else { HOUR })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[(CostField, &str)], offset: &str) -> Result<(String, i64), String> {
        let how = How { offset: offset.parse().unwrap(), currency: Currency::USD };
        let mut row = Cost::default();
        row.put(CostField::Campaign, "c", &how)?;
        row.put(CostField::Cost, "1", &how)?;
        texts.iter().try_for_each(|(field, text)| row.put(*field, text, &how))?;
        row.complete(&how)?;
        Ok((Timestamp::from_micros(row.from).to_string()[..16].to_owned(), (row.to - row.from) / HOUR))
    }

    #[test]
    fn a_period_is_a_day_an_hour_or_as_told() {
        use CostField::{From, Hour, Time, To};
        for (texts, offset, from, hours) in [
            (&[(Time, "2026-11-20")][..], "Z", "2026-11-20T00:00", 24),
            (&[(Time, "2026-11-20")], "+02:00", "2026-11-19T22:00", 24),
            (&[(Time, "2026-11-20 07:00")], "Z", "", 0),
            (&[(Time, "2026-11-20 07:00:00")], "Z", "2026-11-20T07:00", 1),
            (&[(Hour, "7"), (Time, "2026-11-20")], "Z", "2026-11-20T07:00", 1),
            (&[(Hour, "2026-11-20T07")], "-05:00", "2026-11-20T12:00", 1),
            (&[(From, "2026-11-01"), (To, "2026-11-07")], "Z", "2026-11-01T00:00", 168),
            (&[(From, "2026-11-01T06:00:00Z"), (To, "2026-11-01T09:00:00Z")], "Z", "2026-11-01T06:00", 3),
            (&[(From, "2026-11-01")], "Z", "", 0),
            (&[(Hour, "24"), (Time, "2026-11-20")], "Z", "", 0),
            (&[], "Z", "", 0),
        ] {
            let found = read(texts, offset);
            let expected = (hours > 0).then(|| (from.to_owned(), hours));
            assert_eq!(found.clone().ok(), expected, "{texts:?}: {found:?}");
        }
    }
}
