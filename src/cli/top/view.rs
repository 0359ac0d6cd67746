//! What two looks at a daemon come to: pure, so that it can be compared with what it should be.
//!
//! Keeps: 24 lines of 80 columns hold all of it; a daemon that was started anew between the looks has no rates below 0.

use serde::Serialize;

use super::scrape::Scrape;
use crate::ingest::{Class, Outcome};
use crate::metrics::{self, Metric};

/// Kinds of postbacks that are always shown; others are if there were any.
const ALWAYS: [&str; 3] = ["accepted", "duplicate", "unmatched"];
/// Columns of a row with two numbers; a narrower screen gets narrower ones.
const ROW_COLUMNS: usize = 48;
/// Lines for postbacks.
const POSTBACK_LINES_MAX: usize = 6;

/// See the module.
#[derive(Debug, Serialize, PartialEq)]
pub(super) struct View {
    version: String,
    is_ready: bool,
    interval_seconds: f64,
    clicks: Rate,
    clicks_net: Rate,
    requests: Rate,
    shed: Rate,
    postbacks: Vec<Named>,
    latencies: Vec<Latency>,
    deliveries: Deliveries,
    parked: f64,
    transactions: f64,
    disk: Disk,
    compactor: Compactor,
    process: Process,
}

#[derive(Debug, Serialize, PartialEq, Clone, Copy)]
struct Rate {
    per_second: f64,
    total: f64,
}

#[derive(Debug, Serialize, PartialEq)]
struct Named {
    result: &'static str,
    #[serde(flatten)]
    rate: Rate,
}

/// Seconds; of requests of the interval, or, if there were none, of all.
#[derive(Debug, Serialize, PartialEq)]
struct Latency {
    class: &'static str,
    p50: f64,
    p99: f64,
    p999: f64,
}

#[derive(Debug, Serialize, PartialEq)]
struct Deliveries {
    delivered: Rate,
    dead: Rate,
    requests: Rate,
    ready: f64,
    waiting: f64,
    in_flight: f64,
    oldest_seconds: f64,
    destinations_behind: f64,
    destinations_paused: f64,
    breakers_open: f64,
}

#[derive(Debug, Serialize, PartialEq)]
struct Disk {
    free_bytes: f64,
    /// 0 enough, 1 low, 2 critical.
    room: f64,
    is_poisoned: bool,
    open_segments: f64,
    sealed_segments: f64,
    unreadable_segments: f64,
}

#[derive(Debug, Serialize, PartialEq)]
struct Compactor {
    waiting_segments: f64,
    rollups_waiting: f64,
    failures: f64,
}

#[derive(Debug, Serialize, PartialEq)]
struct Process {
    processors: f64,
    resident_bytes: f64,
    descriptors: f64,
    threads: f64,
}

impl View {
    pub(super) fn of(before: &Scrape, now: &Scrape) -> Self {
        let seconds = now.at.saturating_sub(before.at).as_secs_f64().max(0.001);
        let between =
            |before: f64, now: f64| Rate { per_second: (now - before).max(0.0) / seconds, total: now };
        let rate = |metric: &Metric| between(before.sum(metric), now.sum(metric));
        let of = |metric: &Metric, label: &str, value: &str| {
            between(before.labelled(metric, label, value), now.labelled(metric, label, value))
        };
        let postbacks = Outcome::ALL.iter().filter(|outcome| outcome.class() == Class::Postback);
        let postbacks = postbacks
            .map(|outcome| outcome.label())
            .map(|result| Named { result, rate: of(&metrics::REQUESTS, "outcome", result) })
            .filter(|named| named.rate.total > 0.0 || ALWAYS.contains(&named.result));
        let latencies = [Class::Click, Class::Postback, Class::Pixel, Class::Through];
        let pending = |state| now.labelled(&metrics::DELIVERIES_PENDING, "state", state);
        Self {
            version: now.label(&metrics::BUILD).unwrap_or_default().to_owned(),
            is_ready: now.value(&metrics::READY) > 0.0,
            interval_seconds: seconds,
            clicks: rate(&metrics::CLICKS),
            clicks_net: rate(&metrics::CLICKS_NET),
            requests: rate(&metrics::REQUESTS_RECEIVED),
            shed: of(&metrics::REQUESTS, "outcome", "shed"),
            postbacks: postbacks.collect(),
            latencies: latencies.into_iter().filter_map(|class| latency(before, now, class)).collect(),
            deliveries: Deliveries {
                delivered: of(&metrics::DELIVERIES_ENDED, "result", "delivered"),
                dead: of(&metrics::DELIVERIES_ENDED, "result", "dead"),
                requests: rate(&metrics::DELIVERY_REQUESTS),
                ready: pending("ready"),
                waiting: pending("waiting"),
                in_flight: pending("in_flight"),
                oldest_seconds: now.value(&metrics::DELIVERY_OLDEST),
                destinations_behind: now.value(&metrics::DESTINATIONS_BEHIND),
                destinations_paused: now.value(&metrics::DESTINATIONS_PAUSED),
                breakers_open: now.sum(&metrics::DELIVERY_BREAKERS_OPEN),
            },
            parked: now.value(&metrics::POSTBACKS_PARKED),
            transactions: now.value(&metrics::TRANSACTIONS),
            disk: Disk {
                free_bytes: now.value(&metrics::STORE_FREE_BYTES),
                room: now.value(&metrics::STORE_ROOM),
                is_poisoned: now.value(&metrics::STORE_POISONED) > 0.0,
                open_segments: now.sum(&metrics::STORE_OPEN_SEGMENTS),
                sealed_segments: now.sum(&metrics::STORE_SEALED_SEGMENTS),
                unreadable_segments: now.sum(&metrics::STORE_UNREADABLE_SEGMENTS),
            },
            compactor: Compactor {
                waiting_segments: now.sum(&metrics::COMPACTOR_WAITING),
                rollups_waiting: now.value(&metrics::ROLLUPS_WAITING),
                failures: now.sum(&metrics::COMPACTOR_FAILURES),
            },
            process: Process {
                processors: rate(&metrics::PROCESS_CPU).per_second,
                resident_bytes: now.value(&metrics::PROCESS_RESIDENT),
                descriptors: now.value(&metrics::PROCESS_FDS),
                threads: now.value(&metrics::PROCESS_THREADS),
            },
        }
    }

    /// For a screen of so many columns: what is too long for one line goes on in the next.
    pub(super) fn lines(&self, columns: usize) -> Vec<String> {
        self.all(columns).iter().flat_map(|line| wrapped(line, columns)).collect()
    }

    fn all(&self, columns: usize) -> Vec<String> {
        let row = |name: &str, rate: Rate| row(name, rate, columns);
        let state = match (self.disk.is_poisoned, self.is_ready) {
            (true, _) => "POISONED: nothing is written any more",
            (false, false) => "NOT READY",
            (false, true) => "ready",
        };
        let mut lines = vec![
            format!(
                "clicklog {}  {state}  {:.2} processors  {}  {} files  {} threads",
                self.version,
                self.process.processors,
                bytes(self.process.resident_bytes),
                self.process.descriptors,
                self.process.threads
            ),
            String::new(),
            match columns < ROW_COLUMNS {
                false => format!("{:<22}{:>12}{:>14}", "", "PER SECOND", "SINCE START"),
                true => format!("{:<20}{:>8}{:>11}", "", "PER S", "TOTAL"),
            },
            row("requests", self.requests),
            row("  shed", self.shed),
            row("clicks", self.clicks),
            row("  net", self.clicks_net),
        ];
        let shown = self.postbacks.len().min(POSTBACK_LINES_MAX);
        let mut by_count: Vec<&Named> = self.postbacks.iter().collect();
        by_count.sort_by(|a, b| b.rate.total.total_cmp(&a.rate.total));
        lines.extend(by_count.iter().take(shown).map(|of| row(&format!("postbacks {}", of.result), of.rate)));
        lines.push(row("deliveries made", self.deliveries.delivered));
        lines.push(row("  dead", self.deliveries.dead));
        lines.push(row("  requests for them", self.deliveries.requests));
        lines.push(String::new());
        let latencies: Vec<String> = self
            .latencies
            .iter()
            .map(|of| format!("{} {}/{}/{}", of.class, time(of.p50), time(of.p99), time(of.p999)))
            .collect();
        lines.push(format!("p50/p99/p99.9  {}", latencies.join("  ")));
        let Deliveries { ready, waiting, in_flight, oldest_seconds, .. } = &self.deliveries;
        lines.push(format!(
            "deliveries     {ready} ready  {waiting} waiting  {in_flight} under way  oldest {}",
            time(*oldest_seconds)
        ));
        let Deliveries { destinations_behind, destinations_paused, breakers_open, .. } = &self.deliveries;
        lines.push(format!(
            "destinations   {destinations_behind} behind  {destinations_paused} paused  {breakers_open} breakers open"
        ));
        lines.push(format!("waiting        {} postbacks parked for a click", self.parked));
        let room = match self.disk.room {
            room if room >= 2.0 => "CRITICAL",
            room if room >= 1.0 => "LOW",
            _ => "enough",
        };
        lines.push(format!(
            "disk           {} free, {room}  {} open  {} sealed  {} unreadable segments",
            bytes(self.disk.free_bytes),
            self.disk.open_segments,
            self.disk.sealed_segments,
            self.disk.unreadable_segments
        ));
        lines.push(format!(
            "compactor      {} segments to publish  {} without sums  {} failures",
            self.compactor.waiting_segments, self.compactor.rollups_waiting, self.compactor.failures
        ));
        lines
    }
}

fn latency(before: &Scrape, now: &Scrape, class: Class) -> Option<Latency> {
    let none = Scrape::default();
    let of = |before: &Scrape, q| now.quantile(before, &metrics::REQUEST_DURATION, Some(class.label()), q);
    let before = if of(before, 0.5).is_some() { before } else { &none };
    Some(Latency {
        class: class.label(),
        p50: of(before, 0.5)?,
        p99: of(before, 0.99)?,
        p999: of(before, 0.999)?,
    })
}

fn row(name: &str, Rate { per_second, total }: Rate, columns: usize) -> String {
    match columns < ROW_COLUMNS {
        false => format!("{name:<22}{per_second:>12.1}{total:>14}"),
        true => format!("{name:<20}{per_second:>8.1}{total:>11}"),
    }
}

/// A line in lines of so many columns, parted where two blanks are, and else between words; what goes on stands further in.
pub(super) fn wrapped(line: &str, columns: usize) -> Vec<String> {
    if line.chars().count() <= columns {
        return vec![line.to_owned()];
    }
    let gap = if line.trim().contains("  ") { "  " } else { " " };
    let mut lines: Vec<String> = Vec::new();
    for part in line.split(gap).map(str::trim).filter(|part| !part.is_empty()) {
        match lines.last_mut() {
            None => lines.push(part.to_owned()),
            Some(last) if last.chars().count() + gap.len() + part.chars().count() <= columns => {
                last.push_str(gap);
                last.push_str(part);
            }
            Some(_) if gap == "  " => {
                let parts = wrapped(part, columns.saturating_sub(2)).into_iter();
                lines.extend(parts.map(|part| format!("  {part}")));
            }
            Some(_) => lines.push(format!("  {part}")),
        }
    }
    lines
}

/// Seconds, in the unit that suits.
fn time(seconds: f64) -> String {
    match seconds {
        s if s >= 7200.0 => format!("{:.0}h", s / 3600.0),
        s if s >= 120.0 => format!("{:.0}min", s / 60.0),
        s if s >= 1.0 || s == 0.0 => format!("{s:.0}s"),
        s if s >= 0.001 => format!("{:.1}ms", s * 1e3),
        s => format!("{:.0}us", s * 1e6),
    }
}

fn bytes(bytes: f64) -> String {
    let mib = bytes / f64::from(1 << 20);
    if mib >= 10_240.0 { format!("{:.0} GiB", mib / 1024.0) } else { format!("{mib:.0} MiB") }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A page with these clicks, of which a tenth took long.
    fn page(second: u64, clicks: u64) -> Scrape {
        let duration = "clicklog_http_request_duration_seconds_bucket{class=\"click\",le=";
        let text = format!(
            "clicklog_build_info{{version=\"0.1.0\"}} 1\nclicklog_ready 1\n\
             clicklog_http_requests_received_total {clicks}\n\
             clicklog_http_requests_total{{outcome=\"accepted\"}} {second}\n\
             clicklog_http_requests_total{{outcome=\"held\"}} 3\n\
             {duration}\"0.0001\"}} {}\n{duration}\"0.01\"}} {clicks}\n{duration}\"+Inf\"}} {clicks}\n\
             clicklog_clicks_total {clicks}\nclicklog_clicks_net_total {}\n\
             clicklog_deliveries_total{{result=\"delivered\"}} {second}\n\
             clicklog_deliveries_pending{{state=\"waiting\"}} 4\nclicklog_delivery_oldest_pending_seconds 90\n\
             clicklog_postbacks_parked 2\nclicklog_store_free_bytes 30112808960\nclicklog_store_room 1\n\
             clicklog_store_open_segments{{journal=\"clicks\",lane=\"0\"}} 1\n\
             clicklog_store_open_segments{{journal=\"clicks\",lane=\"1\"}} 1\n\
             clicklog_compactor_waiting_segments{{table=\"clicks\"}} 5\nprocess_cpu_seconds_total {second}.5\n\
             process_resident_memory_bytes 40026112\nprocess_open_fds 51\nprocess_threads 22\n",
            clicks / 10 * 9,
            clicks - clicks / 10
        );
        Scrape::read(&text, Duration::from_secs(second))
    }

    #[test]
    fn two_looks_make_a_screen() {
        let lines = View::of(&page(10, 1000), &page(12, 3000)).lines(80);
        let expected = "\
clicklog 0.1.0  ready  1.00 processors  38 MiB  51 files  22 threads

                        PER SECOND   SINCE START
requests                    1000.0          3000
  shed                         0.0             0
clicks                      1000.0          3000
  net                        900.0          2700
postbacks accepted             1.0            12
postbacks held                 0.0             3
postbacks duplicate            0.0             0
postbacks unmatched            0.0             0
deliveries made                1.0            12
  dead                         0.0             0
  requests for them            0.0             0

p50/p99/p99.9  click 56us/9.0ms/9.9ms
deliveries     0 ready  4 waiting  0 under way  oldest 90s
destinations   0 behind  0 paused  0 breakers open
waiting        2 postbacks parked for a click
disk           28 GiB free, LOW  2 open  0 sealed  0 unreadable segments
compactor      5 segments to publish  0 without sums  0 failures";
        assert_eq!(lines.join("\n"), expected);
    }

    #[test]
    fn a_screen_of_80_by_24_holds_it_whatever_there_is() {
        let mut view = View::of(&page(10, 1000), &page(12, 1 << 40));
        view.postbacks = Outcome::ALL
            .iter()
            .map(|outcome| Named { result: outcome.label(), rate: Rate { per_second: 1e6, total: 1e9 } })
            .collect();
        let lines = view.lines(80);
        assert!(lines.len() <= 24, "{} lines", lines.len());
        assert_eq!(lines.iter().find(|line| line.chars().count() > 80), None);
    }

    #[test]
    fn on_a_narrow_screen_nothing_is_cut() {
        let lines = View::of(&page(10, 1000), &page(12, 3000)).lines(40);
        assert_eq!(lines.iter().find(|line| line.chars().count() > 40), None, "{lines:#?}");
        let text = lines.join("\n");
        for part in [
            "clicklog 0.1.0  ready  1.00 processors\n  38 MiB  51 files  22 threads\n",
            "                       PER S      TOTAL\n",
            "postbacks accepted       1.0         12\n",
            "disk  28 GiB free, LOW  2 open  0 sealed\n  0 unreadable segments\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
    }

    #[test]
    fn what_has_no_gaps_is_parted_between_words() {
        assert_eq!(wrapped("one two three four", 9), ["one two", "  three", "  four"]);
        assert_eq!(wrapped("short", 9), ["short"]);
        assert_eq!(wrapped("a  one two three", 9), ["a", "  one two", "    three"]);
    }

    #[test]
    fn a_daemon_that_began_anew_has_no_rates_below_nothing() {
        let view = View::of(&page(10, 1000), &page(11, 0));
        assert_eq!((view.clicks.per_second, view.clicks.total), (0.0, 0.0));
    }
}
