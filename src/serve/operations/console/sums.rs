//! Sums of the last hours and days, from roll-ups and what is not rolled up yet.
//!
//! In: the journals, the time. Out: what the console draws; nothing where this build keeps no sums.
//! Keeps: a period begins and ends with a whole hour, so that roll-ups can answer. What had to be summed stays summed.

use std::collections::BTreeMap;

use crate::admin::console::Attempts;
use crate::batch::newest;
use crate::clock::Timestamp;

const HOUR_MICROS: i64 = 3_600_000_000;

#[cfg(feature = "parquet")]
pub(super) use from_rollups::{add, overview, week};
#[cfg(not(feature = "parquet"))]
pub(super) use without::{add, overview, week};

/// Attempts of each hour of a time.
pub(super) fn hours(
    from: Timestamp,
    to: Timestamp,
    attempts: &BTreeMap<i64, newest::Attempts>,
) -> Vec<Attempts> {
    let of = |hour: i64| {
        let newest::Attempts { ok, failed, dead } = attempts.get(&hour).copied().unwrap_or_default();
        Attempts { hour: label(hour * HOUR_MICROS, true), ok, failed, dead }
    };
    (from.hour()..=to.hour()).map(of).collect()
}

/// `2026-11-20 07:00`, or its day.
fn label(micros: i64, is_hour: bool) -> String {
    let text = Timestamp::from_micros(micros).to_string().replacen('T', " ", 1);
    let letters = if is_hour { 16 } else { 10 };
    text.get(..letters).unwrap_or(&text).to_owned()
}

#[cfg(feature = "parquet")]
mod from_rollups {
    use super::{HOUR_MICROS, label};
    use crate::admin::ApiError;
    use crate::admin::console::{CampaignRow, Overview, Period, Sums};
    use crate::batch::import::Offset;
    use crate::batch::report::{self, Dimension, Query, Report, Row};
    use crate::clock::Timestamp;
    use crate::compactor::rollup::{Count, Part};
    use crate::store::reader::Reader;

    const DAY_MICROS: i64 = 24 * HOUR_MICROS;
    /// Campaigns that the overview shows.
    const TOP_MAX: usize = 10;

    /// Sums for the overview.
    pub(in super::super) fn overview(reader: &Reader, now: Timestamp) -> Result<Overview, ApiError> {
        let by = vec![Dimension::Part(Part::Campaign)];
        let mut day = read(reader, &Query { by, ..hours(now, 24) })?;
        let fortnight = read(reader, &days(now, 14))?;
        day.limit(TOP_MAX);
        let top = day.rows.iter().map(|row| (row.values.first().cloned().unwrap_or_default(), sums(row)));
        Ok(Overview {
            top: top.collect(),
            day: Some(period(&day)),
            fortnight: Some(period(&fortnight)),
            ..Overview::default()
        })
    }

    /// The last 24 hours of some campaigns.
    pub(in super::super) fn add(
        reader: &Reader,
        now: Timestamp,
        rows: &mut [CampaignRow],
    ) -> Result<(), ApiError> {
        if rows.is_empty() {
            return Ok(());
        }
        let campaign = Dimension::Part(Part::Campaign);
        let filters = rows.iter().map(|row| (campaign.clone(), row.id.clone())).collect();
        let report = read(reader, &Query { by: vec![campaign], filters, ..hours(now, 24) })?;
        for row in rows {
            let found = report.rows.iter().find(|found| found.values.first() == Some(&row.id));
            row.currencies.clone_from(&report.currencies);
            row.sums = Some(found.map_or_else(|| empty(&report), sums));
        }
        Ok(())
    }

    /// The last 7 days of a campaign.
    pub(in super::super) fn week(
        reader: &Reader,
        now: Timestamp,
        campaign: &str,
    ) -> Result<Option<Period>, ApiError> {
        let filters = vec![(Dimension::Part(Part::Campaign), campaign.to_owned())];
        Ok(Some(period(&read(reader, &Query { filters, ..days(now, 7) })?)))
    }

    fn read(reader: &Reader, query: &Query) -> Result<Report, ApiError> {
        report::report(reader, query, &mut |_, _| {})
            .map_err(|error| ApiError::Unavailable(error.to_string()))
    }

    /// So many hours, up to the end of this one.
    fn hours(now: Timestamp, count: i64) -> Query {
        until((now.hour() + 1) * HOUR_MICROS, count * HOUR_MICROS)
    }

    /// So many days, up to the end of this one.
    fn days(now: Timestamp, count: i64) -> Query {
        until((now.micros().div_euclid(DAY_MICROS) + 1) * DAY_MICROS, count * DAY_MICROS)
    }

    fn until(to: i64, micros: i64) -> Query {
        Query {
            from: Timestamp::from_micros(to - micros),
            to: Timestamp::from_micros(to),
            offset: Offset::default(),
            by: Vec::new(),
            filters: Vec::new(),
            currency: None,
            leaves: true,
        }
    }

    fn period(report: &Report) -> Period {
        let micros = report.bucket * 1_000_000;
        let is_hour = micros < DAY_MICROS;
        let points =
            (report.from.micros().div_euclid(micros)..report.to.micros().div_euclid(micros)).map(|at| {
                let found = report.series.iter().find(|(seconds, _)| seconds.div_euclid(report.bucket) == at);
                (label(at * micros, is_hour), found.map_or_else(|| empty(report), |(_, row)| sums(row)))
            });
        Period {
            points: points.collect(),
            total: sums(&report.total),
            currencies: report.currencies.clone(),
            notes: report.notes.clone(),
        }
    }

    fn sums(row: &Row) -> Sums {
        Sums {
            clicks: row.count(Count::Clicks),
            net: row.count(Count::Net),
            conversions: row.count(Count::Conversions),
            revenue: row.money.iter().map(|money| money.revenue).collect(),
            cost: row.money.iter().map(|money| money.cost).collect(),
        }
    }

    fn empty(report: &Report) -> Sums {
        let none = vec![0; report.currencies.len()];
        Sums { revenue: none.clone(), cost: none, ..Sums::default() }
    }
}

#[cfg(not(feature = "parquet"))]
mod without {
    use crate::admin::ApiError;
    use crate::admin::console::{CampaignRow, Overview, Period};
    use crate::clock::Timestamp;
    use crate::store::reader::Reader;

    pub(in super::super) fn overview(_: &Reader, _: Timestamp) -> Result<Overview, ApiError> {
        Ok(Overview::default())
    }

    pub(in super::super) fn add(_: &Reader, _: Timestamp, _: &mut [CampaignRow]) -> Result<(), ApiError> {
        Ok(())
    }

    pub(in super::super) fn week(_: &Reader, _: Timestamp, _: &str) -> Result<Option<Period>, ApiError> {
        Ok(None)
    }
}
