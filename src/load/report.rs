//! What a run came to, for people and for programs.
//!
//! In: the sums of all threads. Out: a `Report`: `Display` for people, `Serialize` with stable names for programs.
//! Keeps: `sent` = the sum over `statuses` + the sum over `faults`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Ended;
use super::plan::{Limit, Plan};
use super::tally::{Fault, Latencies};
use super::turns::Times;

/// A rate counts as kept from this share on: the run's own edges cost a little.
const KEPT_FROM: f64 = 0.99;

/// What became of the requests that count.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Requests that were taken up; each is in `statuses` or in `faults`.
    pub sent: u64,
    /// Requests of the schedule that found no connection before time was up.
    pub unsent: u64,
    /// How often each status came.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without an answer, in the order of `Fault::ALL`.
    pub faults: [u64; Fault::ALL.len()],
    /// From the first that counts to the last answer, or until sending ended.
    pub elapsed: Duration,
    /// The rate that was wanted.
    pub wanted_per_s: Option<u32>,
    /// From when an answered request was due until its answer was complete.
    pub latency: Quantiles,
    /// From when it was sent.
    pub service: Quantiles,
    /// Of requests, heads and bodies.
    pub bytes_sent: u64,
    /// Of answers, heads and bodies.
    pub bytes_received: u64,
    /// Also those of the warm-up.
    pub connections_opened: u64,
    /// It ended before the plan did.
    pub is_interrupted: bool,
}

/// Latencies in microseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantiles {
    /// How many there are.
    pub count: u64,
    /// Longer than the histogram reaches: shown as its end.
    pub saturated: u64,
    /// Their mean.
    pub mean_us: f64,
    /// By name, in rising order, the greatest last.
    pub values_us: [(&'static str, u64); 6],
}

impl Quantiles {
    fn new(latencies: &Latencies) -> Self {
        let named = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99_9", 0.999), ("p99_99", 0.9999)];
        let mut values_us = [("max", latencies.max()); 6];
        for (value, (name, quantile)) in values_us.iter_mut().zip(named) {
            *value = (name, latencies.at(quantile));
        }
        Self {
            count: latencies.count(),
            saturated: latencies.saturated,
            mean_us: latencies.mean(),
            values_us,
        }
    }
}

impl Report {
    pub(super) fn new(plan: &Plan, times: Times, ended: Ended, now: Duration, is_interrupted: bool) -> Self {
        let Ended { tally, unsent } = ended;
        // A schedule goes on until the next request would be due.
        let planned = match (plan.limit, plan.rate) {
            (Limit::Time(time), _) => time,
            (Limit::Requests(requests), Some(rate)) => {
                Duration::from_secs_f64(requests as f64 / f64::from(rate))
            }
            (Limit::Requests(_), None) => tally.last_sent.saturating_sub(times.counted),
        };
        let until = if is_interrupted { now } else { times.counted.saturating_add(planned) };
        Self {
            sent: tally.sent,
            unsent,
            statuses: tally.statuses().collect(),
            faults: Fault::ALL.map(|fault| tally.faults(fault)),
            elapsed: until.max(tally.last_answer).saturating_sub(times.counted),
            wanted_per_s: plan.rate,
            latency: Quantiles::new(&tally.latency),
            service: Quantiles::new(&tally.service),
            bytes_sent: tally.bytes_sent,
            bytes_received: tally.bytes_received,
            connections_opened: tally.connections_opened,
            is_interrupted,
        }
    }

    /// Answers of a class: `2` for 200 to 299.
    pub fn class(&self, hundreds: u16) -> u64 {
        self.statuses.range(hundreds * 100..(hundreds + 1) * 100).map(|(_, count)| count).sum()
    }

    /// Requests that ended so.
    pub fn faults(&self, fault: Fault) -> u64 {
        self.faults[fault as usize]
    }

    /// Requests with an answer, whatever it says.
    pub fn answered(&self) -> u64 {
        self.statuses.values().sum()
    }

    /// Whether any request was answered as a visitor wants it.
    pub fn has_success(&self) -> bool {
        self.class(2) + self.class(3) > 0
    }

    /// Answers per second.
    pub fn answered_per_s(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.answered() as f64 / seconds } else { 0.0 }
    }

    /// What share of the wanted rate was answered.
    pub fn rate_ratio(&self) -> Option<f64> {
        self.wanted_per_s.map(|wanted| self.answered_per_s() / f64::from(wanted))
    }

    /// Whether the wanted rate was kept.
    pub fn is_rate_kept(&self) -> Option<bool> {
        self.rate_ratio().map(|ratio| ratio >= KEPT_FROM)
    }
}

/// A table for people.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_interrupted {
            writeln!(f, "interrupted: this is what was so far")?;
        }
        let seconds = self.elapsed.as_secs_f64();
        writeln!(f, "requests   {} in {seconds:.2} s, {:.0} answered/s", self.sent, self.answered_per_s())?;
        if let (Some(wanted), Some(ratio), Some(kept)) =
            (self.wanted_per_s, self.rate_ratio(), self.is_rate_kept())
        {
            let word = if kept { "kept" } else { "NOT kept" };
            writeln!(
                f,
                "rate       {word}: {:.1} % of {wanted}/s, {} never sent",
                ratio * 100.0,
                self.unsent
            )?;
        }
        let classes: Vec<_> =
            (2..6).map(|hundreds| format!("{hundreds}xx {}", self.class(hundreds))).collect();
        writeln!(f, "answers    {}", classes.join(", "))?;
        for (status, count) in &self.statuses {
            writeln!(f, "  {status}      {count}")?;
        }
        let faults = Fault::ALL.map(|fault| (fault.name().replace('_', " "), self.faults(fault)));
        let faults = faults.map(|(name, count)| format!("{name} {count}"));
        writeln!(f, "failed     {}", faults.join(", "))?;
        let (sent, received) = (self.bytes_sent, self.bytes_received);
        writeln!(f, "bytes      {sent} sent, {received} received, {} connections", self.connections_opened)?;
        let since = if self.wanted_per_s.is_some() { "due" } else { "taken up" };
        writeln!(f, "latency    {}, since it was {since}", self.latency)?;
        write!(f, "service    {}, since it was sent", self.service)?;
        if self.latency.saturated > 0 {
            write!(f, "\n           {} took longer than 60 s", self.latency.saturated)?;
        }
        Ok(())
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count == 0 {
            return f.write_str("of no answer");
        }
        for (name, value_us) in self.values_us {
            write!(f, "{} {:.3}  ", name.replace('_', "."), value_us as f64 / 1000.0)?;
        }
        f.write_str("ms")
    }
}

/// Names are stable, and say their unit.
impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("requests", &self.sent)?;
        map.serialize_entry("unsent", &self.unsent)?;
        map.serialize_entry("elapsed_s", &self.elapsed.as_secs_f64())?;
        map.serialize_entry("answered_per_s", &self.answered_per_s())?;
        map.serialize_entry("wanted_per_s", &self.wanted_per_s)?;
        map.serialize_entry("rate_ratio", &self.rate_ratio())?;
        map.serialize_entry("rate_kept", &self.is_rate_kept())?;
        for hundreds in 2..6 {
            map.serialize_entry(&format!("status_{hundreds}xx"), &self.class(hundreds))?;
        }
        for fault in Fault::ALL {
            map.serialize_entry(fault.name(), &self.faults(fault))?;
        }
        map.serialize_entry("statuses", &self.statuses)?;
        for (prefix, quantiles) in [("latency", &self.latency), ("service", &self.service)] {
            map.serialize_entry(&format!("{prefix}_count"), &quantiles.count)?;
            map.serialize_entry(&format!("{prefix}_mean_us"), &quantiles.mean_us)?;
            for (name, value_us) in quantiles.values_us {
                map.serialize_entry(&format!("{prefix}_{name}_us"), &value_us)?;
            }
            map.serialize_entry(&format!("{prefix}_saturated"), &quantiles.saturated)?;
        }
        map.serialize_entry("bytes_sent", &self.bytes_sent)?;
        map.serialize_entry("bytes_received", &self.bytes_received)?;
        map.serialize_entry("connections_opened", &self.connections_opened)?;
        map.serialize_entry("interrupted_early", &self.is_interrupted)?;
        map.end()
    }
}
