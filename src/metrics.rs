//! Every metric there is: one list, and the text that Prometheus reads.
//!
//! Gives: `METRICS` (name, kind, help: also the source of the documentation), `Counter` for hot paths, and
//! `Page`, which writes the exposition format.
//! Keeps: names begin with `clicklog_`, end in their base unit, and in `_total` for counters; labels come from
//! enums, never from requests; a page has each metric's samples in one block, as the format asks.
//! Not here: where the numbers come from, who may read them.

pub mod histogram;
pub mod process;

use std::cell::Cell;
use std::fmt::{Display, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use histogram::Distribution;

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until the process ends.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often something took how long.
    Histogram,
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name, prefix included.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it counts, in a sentence.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($(#[$doc:meta])* $constant:ident: $kind:ident $name:literal $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: Metric = Metric { name: $name, kind: Kind::$kind, help: $help };
        )*
        /// All of them, in the order of the page.
        pub const METRICS: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    BUILD: Gauge "clicklog_build_info" "Always 1; the label says which version runs.";
    READY: Gauge "clicklog_ready" "Whether the readiness check succeeds.";
    REQUESTS_RECEIVED: Counter "clicklog_http_requests_received_total" "Requests that came in; each ends in exactly one outcome.";
    REQUESTS: Counter "clicklog_http_requests_total" "Requests that have ended, by outcome.";
    REQUEST_DURATION: Histogram "clicklog_http_request_duration_seconds" "From the first byte of a request's head to its answer, by class.";
    CONNECTIONS: Gauge "clicklog_http_connections" "Connections that are open.";
    CONNECTIONS_GIVEN_UP: Counter "clicklog_http_connections_given_up_total" "Idle connections that were closed to make room for others.";
    CONNECTIONS_MAX: Gauge "clicklog_http_connections_max" "Connections that may be open; one more is shed.";
    CLICKS: Counter "clicklog_clicks_total" "Clicks recorded, gross: by redirect or by script, labelled or not.";
    CLICKS_NET: Counter "clicklog_clicks_net_total" "Clicks recorded that no label is held against.";
    CLICKS_LABELLED: Counter "clicklog_clicks_labelled_total" "Clicks recorded, by label; one click may have several.";
    POSTBACKS_REFUSED: Counter "clicklog_postbacks_refused_total" "Postbacks and pixels refused before a decision, by reason.";
    POSTBACKS_PLACEHOLDERS: Counter "clicklog_postbacks_placeholders_total" "Values of postbacks that were placeholders which nobody had filled.";
    TLS_HANDSHAKES: Counter "clicklog_tls_handshakes_total" "TLS handshakes that succeeded, by version, full or resumed.";
    TLS_HANDSHAKE_FAILURES: Counter "clicklog_tls_handshake_failures_total" "TLS handshakes that failed, by reason; a connection that closes before its first byte is one too.";
    TLS_CERTIFICATE_EXPIRY: Gauge "clicklog_tls_certificate_expiry_timestamp_seconds" "When a certificate that is shown expires, in seconds since 1970, by its first name.";
    ACME_CERTIFICATES: Counter "clicklog_acme_certificates_total" "Certificates that an authority was asked for, by what came of it: issued or failed.";
    ACME_CHALLENGES: Counter "clicklog_acme_challenges_answered_total" "Times that an authority was answered when it looked at a name, by challenge.";
    ACME_WITHOUT: Gauge "clicklog_acme_names_without_certificate" "Names in acme.domains that there is no valid certificate of an authority for.";
    TLS_CERTIFICATES_REFUSED: Counter "clicklog_tls_certificates_refused_total" "Certificate files that had changed and could not be taken; the ones before them are shown.";
    CATALOG_VERSION: Gauge "clicklog_catalog_version" "Version of the catalog in use; each is higher than the one before.";
    CATALOG_CAMPAIGNS: Gauge "clicklog_catalog_campaigns" "Campaigns in the catalog.";
    CATALOG_OFFERS: Gauge "clicklog_catalog_offers" "Offers in the catalog.";
    RELOADS: Counter "clicklog_reloads_total" "Reloads of catalog and lists, by result.";
    RELOAD_OK: Gauge "clicklog_last_reload_success" "Whether the last reload was taken; a refused one changes nothing.";
    ADMIN_REQUESTS: Counter "clicklog_admin_requests_total" "Requests on the admin listener, by result.";
    STORE_OPEN_SEGMENTS: Gauge "clicklog_store_open_segments" "Segments that are not sealed yet.";
    STORE_SEALED_SEGMENTS: Gauge "clicklog_store_sealed_segments" "Segments that are sealed.";
    STORE_UNREADABLE_SEGMENTS: Gauge "clicklog_store_unreadable_segments" "Segments that are in quarantine or missing.";
    STORE_PREPARED: Counter "clicklog_store_segments_prepared_total" "Segments made ready to be written.";
    STORE_SEALED: Counter "clicklog_store_segments_sealed_total" "Segments sealed.";
    STORE_FULL: Counter "clicklog_store_disk_full_total" "Times that a segment could not be made or sealed because the disk was full.";
    STORE_FREE_BYTES: Gauge "clicklog_store_free_bytes" "Bytes free on the data folder's file system.";
    STORE_ROOM: Gauge "clicklog_store_room" "What the free space allows: 0 everything, 1 everything but low, 2 clicks only.";
    STORE_POISONED: Gauge "clicklog_store_poisoned" "Whether a sync failed, after which nothing is written.";
    STORE_FOREIGN_IDS: Gauge "clicklog_store_foreign_ids" "Click ids of other trackers that are held.";
    STORE_FOREIGN_BYTES: Gauge "clicklog_store_foreign_ids_bytes" "Memory that the ids of other trackers take.";
    TRANSACTIONS: Gauge "clicklog_transactions" "Transactions that a repeat is told from.";
    TRANSACTIONS_MAX: Gauge "clicklog_transactions_max" "Transactions that can be held; a further one is answered 503.";
    TRANSACTIONS_BYTES: Gauge "clicklog_transactions_bytes" "Memory that they take.";
    TRANSACTIONS_GONE: Counter "clicklog_transactions_dropped_total" "Transactions that were let go because retention has dropped what was decided on them.";
    POSTBACKS_PARKED: Gauge "clicklog_postbacks_parked" "Postbacks that wait for a click that nobody knows yet.";
    CHECKPOINT_FAILURES: Counter "clicklog_transactions_checkpoint_failures_total" "Times that the transactions could not be kept for the next start.";
    RECOVERY_CLEAN: Gauge "clicklog_recovery_clean_stop" "Whether the stop before this start was clean.";
    RECOVERY_SEGMENTS: Gauge "clicklog_recovery_segments" "Segments that this start had to read through.";
    RECOVERY_RECORDS: Gauge "clicklog_recovery_records" "Records found in those.";
    RECOVERY_DAMAGED_BYTES: Gauge "clicklog_recovery_damaged_bytes" "Bytes of damage and of torn tails found by this start, kept in quarantine.";
    RECOVERY_CORRUPT_SEGMENTS: Gauge "clicklog_recovery_corrupt_segments" "Segments in which this start found synced records lost.";
    DELIVERIES_BEGUN: Counter "clicklog_deliveries_begun_total" "Deliveries that were taken up; those of an earlier run that were open are not counted again.";
    DELIVERIES_ENDED: Counter "clicklog_deliveries_total" "Deliveries that need no more attempts, by result.";
    DELIVERY_REQUESTS: Counter "clicklog_delivery_requests_total" "Requests made to destinations, by the class of their outcome.";
    DELIVERY_REQUEST_DURATION: Histogram "clicklog_delivery_request_duration_seconds" "How long requests to destinations took.";
    DELIVERY_FIRST_ATTEMPT: Histogram "clicklog_delivery_first_attempt_delay_seconds" "From when a delivery was due to its first attempt.";
    DELIVERIES_PENDING: Gauge "clicklog_deliveries_pending" "Deliveries in memory that have not ended, by state.";
    DESTINATIONS_BEHIND: Gauge "clicklog_destinations_behind" "Destinations that are parked: what they are owed next is still in the log.";
    DESTINATIONS_PAUSED: Gauge "clicklog_destinations_paused" "Destinations to which nothing is sent until somebody resumes them.";
    DELIVERY_BREAKERS_OPEN: Gauge "clicklog_delivery_breakers_open" "Breakers of destinations and of hosts that are not closed.";
    DELIVERIES_BEHIND_BYTES: Gauge "clicklog_deliveries_behind_bytes" "Bytes of the log between what the dispatcher has looked at and what is on disk.";
    DELIVERY_OLDEST: Gauge "clicklog_delivery_oldest_pending_seconds" "For how long the oldest delivery that has not ended has been due.";
    DELIVERY_CONNECTIONS: Counter "clicklog_delivery_connections_total" "Connections to destinations, by whether they were opened or used again.";
    DELIVERY_CHECKPOINT_FAILURES: Counter "clicklog_delivery_checkpoint_failures_total" "Checkpoints of the dispatcher that could not be written; without one a start takes longer.";
    DELIVERY_NOT_KEPT: Gauge "clicklog_delivery_outcomes_unwritten" "Outcomes that could not be written yet; nothing more is sent until they are.";
    COMPACTOR_SEGMENTS: Counter "clicklog_compactor_segments_total" "Sealed segments that were published as Parquet, by table.";
    COMPACTOR_ROWS: Counter "clicklog_compactor_rows_total" "Rows that were published, by table.";
    COMPACTOR_BYTES: Counter "clicklog_compactor_bytes_total" "Bytes of Parquet that were published, by table.";
    COMPACTOR_MERGES: Counter "clicklog_compactor_merges_total" "Days that were merged into large files, by table; a day again when something came late.";
    COMPACTOR_WAITING: Gauge "clicklog_compactor_waiting_segments" "Sealed segments that are not published yet, by table.";
    COMPACTOR_FAILURES: Counter "clicklog_compactor_failures_total" "Times that something could not be published, by reason; it is tried again.";
    ROLLUPS_WAITING: Gauge "clicklog_rollups_waiting_segments" "Sealed segments without sums; reports read them from the journals.";
    COMPACTOR_LAST_SUCCESS: Gauge "clicklog_compactor_last_success_seconds" "When something was published last, in seconds since 1970; 0 if nothing was since the start.";
    FORGETTING_SEGMENTS: Counter "clicklog_forgetting_segments_total" "Segments that something was taken out of, or that went whole, by which of these.";
    FORGETTING_RECORDS: Counter "clicklog_forgetting_records_total" "Records that say less, or that went out of a segment that stays, by which of these.";
    FORGETTING_BYTES: Counter "clicklog_forgetting_bytes_total" "Bytes that were written to make segments anew.";
    FORGETTING_FAILURES: Counter "clicklog_forgetting_failures_total" "Times that something due could not be forgotten; it is tried again.";
    FORGETTING_LAST_RUN: Gauge "clicklog_forgetting_last_run_timestamp_seconds" "When all that was due was forgotten last, in seconds since 1970; 0 if it was not since the start.";
    ERASURES_PENDING: Gauge "clicklog_erasures_pending" "Erasures that were asked for and are hidden, but not out of every segment yet.";
    ERASURES: Counter "clicklog_erasures_total" "Erasures of which no segment has anything left.";
    RECONCILED: Gauge "clicklog_reconcile_last_run_timestamp_seconds" "When a network's file was last compared with the books, in seconds since 1970, by network.";
    RECONCILED_CONVERSIONS: Gauge "clicklog_reconcile_conversions" "Conversions of the file that was compared last, by network and by what came of them.";
    RECONCILED_DISCREPANCY: Gauge "clicklog_reconcile_discrepancy_ratio" "The largest difference to the file that was compared last, of counts or of money, by network.";
    LOG_RECORDS: Counter "clicklog_log_records_total" "Records of the log, by level; repeats that were left out are among them.";
    LOG_LEFT_OUT: Counter "clicklog_log_left_out_total" "Records of the log that were left out because the same place in the code had said as much.";
    PROCESS_START: Gauge "process_start_time_seconds" "When this process started, in seconds since 1970.";
    PROCESS_CPU: Counter "process_cpu_seconds_total" "Processor time, user and system, in seconds.";
    PROCESS_FDS: Gauge "process_open_fds" "File descriptors that are open.";
    PROCESS_FDS_MAX: Gauge "process_max_fds" "File descriptors that may be open.";
    PROCESS_RESIDENT: Gauge "process_resident_memory_bytes" "Resident memory; pages of mapped segments are part of it.";
    PROCESS_THREADS: Gauge "process_threads" "Threads.";
}

/// Threads that count without meeting each other; further ones share.
const SHARDS: usize = 64;

/// A counter that many threads may add to at once: each has a cache line of its own.
#[derive(Debug)]
pub struct Counter([Shard; SHARDS]);

/// Two cache lines: the prefetcher of x86-64 reads them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(AtomicU64);

impl Default for Counter {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Shard::default()))
    }
}

impl Counter {
    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds `count`.
    pub fn add(&self, count: u64) {
        self.0[shard()].0.fetch_add(count, Ordering::Relaxed);
    }

    /// The sum over all threads, as of now.
    pub fn sum(&self) -> u64 {
        self.0.iter().map(|shard| shard.0.load(Ordering::Relaxed)).sum()
    }
}

/// This thread's place among the shards.
fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS);
    }
    MINE.get()
}

/// A page in Prometheus' text format, version 0.0.4.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
    last: Option<&'static str>,
}

impl Page {
    /// What to send as `Content-Type`: Prometheus 3 refuses a page without one.
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// Adds one sample. Samples of one metric come one after the other.
    pub fn sample(&mut self, metric: &Metric, labels: &[(&str, &str)], value: u64) {
        self.begin(metric);
        self.value(metric.name, "", &label_set(labels), value);
    }

    /// As `sample`, for what is no whole number.
    pub fn number(&mut self, metric: &Metric, labels: &[(&str, &str)], value: f64) {
        self.begin(metric);
        self.value(metric.name, "", &label_set(labels), value);
    }

    /// Adds the samples of a histogram. Those of one metric come one after the other.
    pub fn distribution(&mut self, metric: &Metric, labels: &[(&str, &str)], of: &Distribution) {
        self.begin(metric);
        let set = label_set(labels);
        let comma = if set.is_empty() { "" } else { "," };
        for (edge, count) in of.cumulative() {
            self.value(metric.name, "_bucket", &format!("{set}{comma}le=\"{edge}\""), count);
        }
        self.value(metric.name, "_bucket", &format!("{set}{comma}le=\"+Inf\""), of.count());
        self.value(metric.name, "_sum", &set, of.seconds());
        self.value(metric.name, "_count", &set, of.count());
    }

    /// Begins the block of a metric. Its samples do so too; but it may have none yet.
    pub fn begin(&mut self, metric: &Metric) {
        if self.last != Some(metric.name) {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            self.line(format_args!("# HELP {} {}", metric.name, metric.help));
            self.line(format_args!("# TYPE {} {kind}", metric.name));
            self.last = Some(metric.name);
        }
    }

    fn value(&mut self, name: &str, suffix: &str, labels: &str, value: impl Display) {
        let set = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        self.line(format_args!("{name}{suffix}{set} {value}"));
    }

    /// The page.
    pub fn into_text(self) -> String {
        self.text
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _written = writeln!(self.text, "{line}");
    }
}

/// Labels as they stand between the braces.
fn label_set(labels: &[(&str, &str)]) -> String {
    let mut set = String::new();
    for (name, value) in labels {
        let comma = if set.is_empty() { "" } else { "," };
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        set.push_str(&format!("{comma}{name}=\"{value}\""));
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_follow_the_conventions_and_are_given_once() {
        let mut names = HashSet::new();
        for metric in METRICS {
            assert!(names.insert(metric.name), "{} is given twice", metric.name);
            let is_ours = metric.name.starts_with("clicklog_");
            // What every client library says of its process has the same name everywhere.
            assert!(is_ours || metric.name.starts_with("process_"), "{}", metric.name);
            assert!(metric.kind != Kind::Histogram || metric.name.ends_with("_seconds"), "{}", metric.name);
            assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter, "{}", metric.name);
            let counts_failures = metric.name.contains("_failures");
            assert!(!counts_failures || metric.kind == Kind::Counter, "{} only grows", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
            // promtool takes such a word for a unit, and a base unit is asked for.
            let is_other_unit =
                |word| ["minutes", "hours", "days", "weeks", "ms", "kb", "mb"].contains(&word);
            assert!(!metric.name.split('_').any(is_other_unit), "{}", metric.name);
        }
    }

    #[test]
    fn what_threads_add_is_summed() {
        let counter = Counter::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1_000).for_each(|_| counter.increment()));
            }
        });
        assert_eq!(counter.sum(), 4_000);
    }

    #[test]
    fn a_histogram_has_cumulative_buckets_a_sum_and_a_count() {
        let histogram = histogram::Histogram::default();
        histogram.record(std::time::Duration::from_micros(3));
        histogram.record(std::time::Duration::from_secs(20));
        let mut distribution = Distribution::default();
        distribution.add(&histogram);
        let mut page = Page::default();
        page.distribution(&REQUEST_DURATION, &[("class", "click")], &distribution);
        let text = page.into_text();
        let name = REQUEST_DURATION.name;
        for (sample, value) in [
            ("_bucket{class=\"click\",le=\"0.000002\"}", "0"),
            ("_bucket{class=\"click\",le=\"0.000004\"}", "1"),
            ("_bucket{class=\"click\",le=\"+Inf\"}", "2"),
            ("_sum{class=\"click\"}", "20.000003"),
            ("_count{class=\"click\"}", "2"),
        ] {
            assert!(text.contains(&format!("{name}{sample} {value}\n")), "{sample} {value} in\n{text}");
        }
    }

    #[test]
    fn a_page_has_one_header_a_metric_and_escaped_labels() {
        let mut page = Page::default();
        page.sample(&STORE_ROOM, &[], 2);
        page.sample(&STORE_SEALED_SEGMENTS, &[("journal", "clicks")], 3);
        page.sample(&STORE_SEALED_SEGMENTS, &[("journal", "a\"b\\c\nd"), ("lane", "1")], 4);
        let text = page.into_text();
        assert_eq!(text.matches("# TYPE clicklog_store_sealed_segments gauge").count(), 1);
        assert!(text.contains("clicklog_store_room 2\n"));
        assert!(
            text.contains(r#"clicklog_store_sealed_segments{journal="a\"b\\c\nd",lane="1"} 4"#),
            "{text}"
        );
    }
}
