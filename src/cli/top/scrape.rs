//! A page of metrics, as numbers.
//!
//! In: Prometheus' text format, as the daemon writes it. Out: values by name and label; quantiles of histograms.
//! Keeps: what is not there is 0, as before the first time that it is counted.

use std::collections::HashMap;
use std::time::Duration;

use crate::metrics::Metric;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Scrape {
    pub(super) at: Duration,
    values: HashMap<String, f64>,
}

impl Scrape {
    pub(super) fn read(page: &str, at: Duration) -> Self {
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        let values = lines
            .filter_map(|line| line.rsplit_once(' '))
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
        Self { at, values: values.collect() }
    }

    /// Of a metric without labels.
    pub(super) fn value(&self, metric: &Metric) -> f64 {
        self.values.get(metric.name).copied().unwrap_or(0.0)
    }

    /// Of a metric with one label that has this value.
    pub(super) fn labelled(&self, metric: &Metric, label: &str, value: &str) -> f64 {
        self.values.get(&format!("{}{{{label}=\"{value}\"}}", metric.name)).copied().unwrap_or(0.0)
    }

    /// Of a metric, over all its labels.
    pub(super) fn sum(&self, metric: &Metric) -> f64 {
        let own = self.values.iter().filter(|(name, _)| name.split('{').next() == Some(metric.name));
        // The sum of no numbers is -0, and is shown so.
        0.0 + own.map(|(_, value)| value).sum::<f64>()
    }

    /// The value of a metric's only label.
    pub(super) fn label(&self, metric: &Metric) -> Option<&str> {
        let name = self.values.keys().find_map(|name| name.strip_prefix(metric.name)?.strip_prefix('{'))?;
        name.split('"').nth(1)
    }

    /// Upper edges and how often a class was below them, cumulative, since `before`.
    fn buckets(&self, before: &Self, metric: &Metric, class: Option<&str>) -> Vec<(f64, f64)> {
        let prefix = match class {
            Some(class) => format!("{}_bucket{{class=\"{class}\",le=\"", metric.name),
            None => format!("{}_bucket{{le=\"", metric.name),
        };
        let of = |name: &String| {
            let edge = name.strip_prefix(&prefix)?.strip_suffix("\"}")?;
            if edge == "+Inf" { Some(f64::INFINITY) } else { edge.parse().ok() }
        };
        let mut buckets: Vec<(f64, f64)> = self
            .values
            .iter()
            .filter_map(|(name, value)| {
                Some((of(name)?, value - before.values.get(name).copied().unwrap_or(0.0)))
            })
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        buckets
    }

    /// In seconds, as Prometheus reckons it: evenly within a bucket. Nothing if nothing was counted.
    pub(super) fn quantile(
        &self,
        before: &Self,
        metric: &Metric,
        class: Option<&str>,
        q: f64,
    ) -> Option<f64> {
        let buckets = self.buckets(before, metric, class);
        let total = buckets.last().map(|(_, count)| *count).filter(|count| *count > 0.0)?;
        let rank = total * q;
        let mut below = (0.0, 0.0);
        for (edge, count) in buckets {
            if count >= rank {
                // Beyond the last edge nobody knows how far.
                if edge.is_infinite() || count <= below.1 {
                    return Some(below.0);
                }
                return Some(below.0 + (edge - below.0) * (rank - below.1) / (count - below.1));
            }
            below = (edge, count);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{CLICKS, DELIVERIES_ENDED, REQUEST_DURATION};

    #[test]
    fn a_page_is_read_back() {
        let page = "# HELP x\nclicklog_clicks_total 7\nclicklog_deliveries_total{result=\"dead\"} 2\n\
                    clicklog_deliveries_total{result=\"delivered\"} 3\nnonsense\n";
        let scrape = Scrape::read(page, Duration::ZERO);
        assert_eq!(scrape.value(&CLICKS), 7.0);
        assert_eq!(scrape.labelled(&DELIVERIES_ENDED, "result", "dead"), 2.0);
        assert_eq!(scrape.sum(&DELIVERIES_ENDED), 5.0);
        assert_eq!(scrape.labelled(&DELIVERIES_ENDED, "result", "lost"), 0.0);
    }

    #[test]
    fn quantiles_are_of_what_came_between_two_pages() {
        let page = |a: u32, b: u32, all: u32| {
            let line = |edge: &str, count| {
                format!(
                    "clicklog_http_request_duration_seconds_bucket{{class=\"click\",le=\"{edge}\"}} {count}\n"
                )
            };
            Scrape::read(&(line("0.001", a) + &line("0.002", b) + &line("+Inf", all)), Duration::ZERO)
        };
        let (before, now) = (page(100, 100, 100), page(150, 200, 200));
        let at = |q| now.quantile(&before, &REQUEST_DURATION, Some("click"), q);
        assert_eq!((at(0.5), at(0.75)), (Some(0.001), Some(0.0015)));
        assert_eq!(now.quantile(&now, &REQUEST_DURATION, Some("click"), 0.5), None);
        assert_eq!(now.quantile(&before, &REQUEST_DURATION, Some("pixel"), 0.5), None);
        assert_eq!(
            page(0, 0, 9).quantile(&page(0, 0, 0), &REQUEST_DURATION, Some("click"), 0.5),
            Some(0.002)
        );
    }
}
