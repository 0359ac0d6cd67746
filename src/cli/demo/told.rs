//! What is told at the end: what was sent and what became of it, whether the books add up, and what to look at.
//!
//! Keeps: each number is counted on two sides, by who sent and by who took; where they differ, it says so.

use std::fmt;
use std::io::Write;
use std::path::Path;

use serde::Serialize;

use super::play::Tally;
use super::source::Heard;
use super::world::{Folder, SECRET};
use super::{Failure, Stage};
use crate::cli::table;
use crate::ingest::{Outcome, Totals};

/// Outcomes of requests that should have been kept, and could not be.
const LOST: [&str; 2] = [Outcome::Unavailable.label(), Outcome::Shed.label()];

/// See the module.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    seed: u64,
    requests: Requests,
    clicks: Clicks,
    postbacks: Vec<Answered>,
    deliveries: Deliveries,
    /// Whether all that was counted on two sides is the same.
    pub(super) adds_up: bool,
}

#[derive(Debug, Serialize)]
struct Requests {
    /// By those who were made up.
    sent: u64,
    received: u64,
    outcomes: Vec<Ended>,
}

#[derive(Debug, Serialize)]
struct Ended {
    outcome: &'static str,
    count: u64,
}

#[derive(Debug, Serialize)]
struct Clicks {
    sent: u64,
    recorded: u64,
    net: u64,
    odd: Vec<(&'static str, u64)>,
}

#[derive(Debug, Serialize)]
struct Answered {
    meant: &'static str,
    answered: String,
    count: u64,
}

#[derive(Debug, Serialize)]
struct Deliveries {
    owed: u64,
    taken: u64,
    taken_twice: u64,
    requests: u64,
    failed: u64,
    throttled: u64,
    slow: u64,
}

impl Told {
    pub(super) fn new(seed: u64, tally: Tally, totals: &Totals, heard: Heard) -> Self {
        let outcomes: Vec<Ended> = Outcome::ALL
            .iter()
            .map(|outcome| Ended { outcome: outcome.label(), count: totals.count(*outcome) })
            .filter(|ended| ended.count > 0)
            .collect();
        let requests = Requests { sent: tally.requests, received: totals.received, outcomes };
        let clicks = Clicks {
            sent: tally.clicks,
            recorded: totals.gross,
            net: totals.net,
            odd: tally.odd.into_iter().collect(),
        };
        let postbacks = tally.postbacks.into_iter();
        let postbacks =
            postbacks.map(|((meant, answered), count)| Answered { meant, answered, count }).collect();
        let deliveries = Deliveries {
            owed: tally.owed,
            taken: heard.taken(),
            taken_twice: heard.twice(),
            requests: heard.requests,
            failed: heard.failed,
            throttled: heard.throttled,
            slow: heard.slow,
        };
        let mut told = Self { seed, requests, clicks, postbacks, deliveries, adds_up: false };
        told.adds_up = told.checks().iter().all(|(is_so, _)| *is_so);
        told
    }

    /// What must be so, in words.
    fn checks(&self) -> Vec<(bool, String)> {
        let Self { requests, clicks, deliveries, .. } = self;
        let ended: u64 = requests.outcomes.iter().map(|ended| ended.count).sum();
        let lost = requests.outcomes.iter().filter(|ended| LOST.contains(&ended.outcome));
        let lost: u64 = lost.map(|ended| ended.count).sum();
        let sums: Vec<String> =
            requests.outcomes.iter().map(|ended| format!("{} {}", ended.count, ended.outcome)).collect();
        let mut checks = vec![
            (
                requests.sent == requests.received && requests.received == ended,
                format!(
                    "requests: {} sent, {} received = {}",
                    requests.sent,
                    requests.received,
                    sums.join(" + ")
                ),
            ),
            (
                clicks.sent == clicks.recorded,
                format!(
                    "clicks: {} sent, {} recorded, {} of them net: no bot, no second click",
                    clicks.sent, clicks.recorded, clicks.net
                ),
            ),
            (
                deliveries.owed == deliveries.taken && deliveries.taken_twice == 0,
                format!(
                    "deliveries: {} owed, {} taken by the sources, {} more than once",
                    deliveries.owed, deliveries.taken, deliveries.taken_twice
                ),
            ),
        ];
        if lost > 0 {
            checks.push((false, format!("storage: {lost} requests could not be kept")));
        }
        checks
    }

    pub(super) fn write(&self, out: &mut dyn Write) -> Result<(), Failure> {
        writeln!(out, "\nwhat visitors did")?;
        writeln!(out, "  {:>6}  clicks", self.clicks.sent)?;
        for (what, count) in &self.clicks.odd {
            writeln!(out, "  {count:>6}  {what}")?;
        }
        writeln!(out, "\nwhat the networks sent, and what they were answered")?;
        let rows = self.postbacks.iter();
        let rows: Vec<[String; 3]> = rows
            .map(|row| [format!("  {:>6}", row.count), row.meant.to_owned(), row.answered.clone()])
            .collect();
        table::write(out, ["   COUNT", "SENT", "ANSWERED"], rows)?;
        writeln!(out, "\nwhat the traffic sources were told")?;
        writeln!(out, "{}", self.deliveries)?;
        writeln!(out, "\nwhether it adds up")?;
        for (is_so, what) in self.checks() {
            writeln!(out, "  {}  {what}", if is_so { "yes" } else { "NO " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { taken, requests, failed, throttled, slow, .. } = self;
        write!(
            f,
            "  {taken} conversions by {requests} requests: {failed} were answered 500 and {throttled} 429, and tried again; \
             {slow} were answered slowly"
        )
    }
}

pub(super) fn write_addresses(out: &mut dyn Write, stage: &Stage) -> Result<(), Failure> {
    writeln!(out, "  visitors   {}", stage.edge_url())?;
    writeln!(out, "  operators  {}", stage.admin_url())?;
    Ok(())
}

/// The report, as the command prints it.
pub(super) fn write_report(out: &mut dyn Write, data: &Path) -> Result<(), Failure> {
    #[cfg(feature = "parquet")]
    {
        use clap::Parser;
        #[derive(Debug, Parser)]
        struct Line {
            #[command(flatten)]
            report: crate::cli::report::Arguments,
        }
        let words = ["report", "--by", "campaign", "--data"].map(std::ffi::OsString::from);
        let words = words.into_iter().chain([data.as_os_str().to_owned()]);
        let line = Line::try_parse_from(words)?;
        writeln!(out, "\nclicklog report --by campaign")?;
        crate::cli::report::run(&line.report, out)?;
    }
    #[cfg(not(feature = "parquet"))]
    writeln!(out, "\nthis build cannot report on {}: it is without the feature \"parquet\"", data.display())?;
    Ok(())
}

/// What to look at next.
pub(super) fn write_links(
    out: &mut dyn Write,
    stage: &Stage,
    folder: &Folder,
    ends: bool,
) -> Result<(), Failure> {
    let data = folder.path.display();
    if ends {
        if folder.stays() {
            writeln!(out, "\nlook at it with")?;
            writeln!(out, "  clicklog report --by language --data {data}")?;
            writeln!(out, "  clicklog verify --data {data}")?;
        }
        return Ok(());
    }
    let (edge, admin) = (stage.edge_url(), stage.admin_url());
    writeln!(out, "\nit goes on serving until ctrl-C; try")?;
    writeln!(out, "  curl -i '{edge}/c/spring?zoneid=7&visitor_id=abc&cost=0.01'")?;
    writeln!(
        out,
        "  curl -i '{edge}/postback/revboost?secret={SECRET}&click_id=CLICK_ID&payout=3.50&txid=1'"
    )?;
    writeln!(out, "  curl {admin}/metrics")?;
    writeln!(out, "  clicklog report --by source,language --data {data}")?;
    writeln!(out, "  clicklog links spring --catalog {data}/demo-catalog.toml --base {edge}")?;
    writeln!(out, "  clicklog deliveries list --data {data}")?;
    if !folder.stays() {
        writeln!(out, "the data folder is removed at the end; give --data to keep it")?;
    }
    Ok(())
}
