//! The rows of a report while it is made: sums by the values of its dimensions.
//!
//! In: rows of roll-ups (as their `Sink`), or single events. Out: a group for each combination of values that came, and
//! the sums by day or hour for a chart.
//! Keeps: both ways in come to the same. What the query leaves out is in nothing.

use std::collections::{BTreeMap, HashMap};

use super::dimension::Dimension;
use super::{BY_MAX, Query};
use crate::compactor::rollup::{COUNTS, Fact, Key, PARTS, Part, Sink, Sums, Texts};
use crate::event::codec::Event;

/// Values of the dimensions: the number of a text, or of a day or hour.
type GroupKey = [i64; BY_MAX];

/// Seconds of an hour.
const HOUR: i64 = 3600;

/// Sums of one group.
#[derive(Clone, Debug)]
pub(super) struct Group {
    key: GroupKey,
    pub(super) counts: [u64; COUNTS],
    /// By the number of the currency: cost and revenue.
    pub(super) money: Vec<(u32, i128, i128)>,
}

impl Group {
    fn new(key: GroupKey) -> Self {
        Self { key, counts: [0; COUNTS], money: Vec::new() }
    }

    fn add(&mut self, currency: u32, sums: &Sums) {
        for (sum, more) in self.counts.iter_mut().zip(sums.counts) {
            *sum = sum.saturating_add(more);
        }
        if sums.cost == 0 && sums.revenue == 0 {
            return;
        }
        match self.money.iter_mut().find(|(known, ..)| *known == currency) {
            Some((_, cost, revenue)) => {
                *cost = cost.saturating_add(sums.cost);
                *revenue = revenue.saturating_add(sums.revenue);
            }
            None => self.money.push((currency, sums.cost, sums.revenue)),
        }
    }
}

/// Groups to which nothing is added any more.
pub(super) struct Finished {
    /// With the values of their dimensions.
    pub(super) rows: Vec<(Vec<String>, Group)>,
    /// By the number of the bucket.
    pub(super) series: BTreeMap<i64, Group>,
    /// The names of currencies.
    pub(super) texts: Texts,
}

/// See the module.
pub(super) struct Groups<'q> {
    query: &'q Query,
    /// Values of the filters, by dimension.
    filters: Vec<(&'q Dimension, Vec<&'q str>)>,
    /// Seconds of a bucket of the chart.
    bucket: i64,
    texts: Texts,
    groups: Vec<Group>,
    index: HashMap<GroupKey, usize>,
    /// Rows of one group often come together.
    last: usize,
    series: BTreeMap<i64, Group>,
    /// Of the texts of the file that is read: their numbers here.
    numbers: Vec<u32>,
    /// And which of them each filter lets pass; only of those that are parts.
    passes: Vec<(Part, Vec<bool>)>,
}

impl<'q> Groups<'q> {
    pub(super) fn new(query: &'q Query, bucket: i64) -> Self {
        let mut filters: Vec<(&Dimension, Vec<&str>)> = Vec::new();
        for (dimension, value) in &query.filters {
            match filters.iter_mut().find(|(known, _)| *known == dimension) {
                Some((_, values)) => values.push(value),
                None => filters.push((dimension, vec![value])),
            }
        }
        Self {
            query,
            filters,
            bucket,
            texts: Texts::default(),
            groups: Vec::new(),
            index: HashMap::new(),
            last: 0,
            series: BTreeMap::new(),
            numbers: Vec::new(),
            passes: Vec::new(),
        }
    }

    /// Takes in an event.
    pub(super) fn take(&mut self, event: &Event<'_>) {
        let Some(fact) = Fact::of(event) else { return };
        let time = event.time();
        if time < self.query.from || time >= self.query.to {
            return;
        }
        let seconds = time.micros().div_euclid(1_000_000);
        let value = |dimension: &Dimension| match dimension {
            Dimension::Part(part) => fact.texts[*part as usize],
            Dimension::Detail(detail) => detail.of(event),
            Dimension::Day | Dimension::Hour => "",
        };
        let passes = |(dimension, values): &(&Dimension, Vec<&str>)| match dimension {
            Dimension::Day | Dimension::Hour => {
                values.contains(&&*shown(dimension, self.clock_value(dimension, seconds)))
            }
            _ => values.contains(&value(dimension)),
        };
        if !self.filters.iter().all(passes) {
            return;
        }
        let mut key = [0; BY_MAX];
        for (place, dimension) in key.iter_mut().zip(&self.query.by) {
            *place = match dimension {
                Dimension::Day | Dimension::Hour => self.clock_value(dimension, seconds),
                Dimension::Part(_) | Dimension::Detail(_) => self.texts.number(value(dimension)).into(),
            };
        }
        let currency = self.texts.number(fact.texts[Part::Currency as usize]);
        self.add(key, seconds, currency, &fact.sums);
    }

    /// All groups, with their values as texts.
    pub(super) fn into_rows(self) -> Finished {
        let (query, texts) = (self.query, self.texts);
        let name = |group: Group| {
            let values = query.by.iter().zip(group.key).map(|(dimension, value)| match dimension {
                Dimension::Day | Dimension::Hour => shown(dimension, value),
                Dimension::Part(_) | Dimension::Detail(_) => {
                    texts.text(u32::try_from(value).unwrap_or(u32::MAX)).to_owned()
                }
            });
            (values.collect(), group)
        };
        let rows = self.groups.into_iter().map(name).collect();
        Finished { rows, series: self.series, texts }
    }

    fn add(&mut self, key: GroupKey, seconds: i64, currency: u32, sums: &Sums) {
        if self.groups.get(self.last).is_none_or(|group| group.key != key) {
            let next = self.groups.len();
            self.last = *self.index.entry(key).or_insert(next);
            if self.last == next {
                self.groups.push(Group::new(key));
            }
        }
        if let Some(group) = self.groups.get_mut(self.last) {
            group.add(currency, sums);
        }
        let bucket = self.local(seconds).div_euclid(self.bucket);
        self.series.entry(bucket).or_insert_with(|| Group::new([0; BY_MAX])).add(currency, sums);
    }

    /// Seconds as clocks of the report's time zone show them.
    fn local(&self, seconds: i64) -> i64 {
        seconds.saturating_add(self.query.offset.seconds().into())
    }

    fn clock_value(&self, dimension: &Dimension, seconds: i64) -> i64 {
        self.local(seconds).div_euclid(if *dimension == Dimension::Day { 24 * HOUR } else { HOUR })
    }
}

/// A day or an hour as text: `2026-11-20`, `2026-11-20T07`.
fn shown(dimension: &Dimension, value: i64) -> String {
    let (seconds, letters) = if *dimension == Dimension::Day { (24 * HOUR, 10) } else { (HOUR, 13) };
    super::local_text(value.saturating_mul(seconds), letters)
}

impl Sink for Groups<'_> {
    fn texts(&mut self, texts: &[&str]) {
        self.numbers = texts.iter().map(|text| self.texts.number(text)).collect();
        let part = |(dimension, values): &(&Dimension, Vec<&str>)| match dimension {
            Dimension::Part(part) => Some((*part, texts.iter().map(|text| values.contains(text)).collect())),
            Dimension::Day | Dimension::Hour | Dimension::Detail(_) => None,
        };
        self.passes = self.filters.iter().filter_map(part).collect();
    }

    fn row(&mut self, row: &Key, sums: &Sums) {
        let seconds = row.hour.saturating_mul(HOUR);
        let micros = seconds.saturating_mul(1_000_000);
        if micros < self.query.from.micros() || micros >= self.query.to.micros() {
            return;
        }
        let number = |part: &Part| row.parts[*part as usize] as usize;
        let does_pass =
            |(part, passes): &(Part, Vec<bool>)| passes.get(number(part)).copied().unwrap_or(false);
        if !self.passes.iter().all(does_pass) {
            return;
        }
        let here = |part: &Part| self.numbers.get(number(part)).copied().unwrap_or_default();
        let mut key = [0; BY_MAX];
        for (place, dimension) in key.iter_mut().zip(&self.query.by) {
            *place = match dimension {
                Dimension::Part(part) => here(part).into(),
                Dimension::Day | Dimension::Hour => self.clock_value(dimension, seconds),
                // A report by such a one reads records.
                Dimension::Detail(_) => 0,
            };
        }
        let currency = here(&Part::Currency);
        self.add(key, seconds, currency, sums);
    }
}

const _: () = assert!(PARTS <= BY_MAX, "a report can be by all that roll-ups are kept by");

/// Whether roll-ups can say it.
pub(super) fn is_rolled_up(dimension: &Dimension) -> bool {
    matches!(dimension, Dimension::Part(_) | Dimension::Day | Dimension::Hour)
}
