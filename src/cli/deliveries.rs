//! `clicklog deliveries`: what became of the postbacks that we owe, and what is to be done about it.
//!
//! `list` and `show` read what is on disk, beside a running daemon or without one. The others ask the daemon: what is
//! tried again, and which destinations are sent to, is for it to say.

mod requests;
mod show;

use std::collections::BTreeSet;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use super::data::open;
use super::lookup::money;
use super::progress::Progress;
use super::times::Times;
use super::{Failure, Format, client, plain, settings, table};
use crate::batch::deliveries::{self, Filter, Found, KEPT_MAX, Row, State};
use crate::event::delivery::OutcomeClass;
use crate::store::reader::Reader;
use requests::{Made, Requests, With, write_made};

/// Deliveries that the daemon is asked to try again at once.
const CHUNK_MAX: usize = 1_000;
/// Characters of an answer in a table.
const DETAIL_WIDTH: usize = 60;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print deliveries that were attempted, newest first; the daemon need not run
    List(List),
    /// Print one delivery with all its attempts; the daemon need not run
    Show(show::Show),
    /// Have dead deliveries tried again; the daemon must run
    Replay(Replay),
    /// Print how each destination is doing; the daemon must run
    Status(Status),
    /// Send nothing to a destination until it is resumed: what is owed waits; the daemon must run
    Pause(Turn),
    /// Go on sending to a destination; the daemon must run
    Resume(Turn),
}

/// Which deliveries are meant.
#[derive(Debug, Args)]
struct Wanted {
    /// To this destination
    #[arg(long, value_name = "ID")]
    destination: Option<String>,
    /// Whose last attempt ended in this: ok, safe, throttle, server, ambiguous, redirect, client, auth, gone, config, dropped
    #[arg(long, value_name = "CLASS", value_parser = class)]
    class: Option<OutcomeClass>,
    #[command(flatten)]
    times: Times,
    /// This delivery; may be given again
    #[arg(long, value_name = "DELIVERY_ID", value_parser = delivery_id)]
    delivery: Vec<[u8; 16]>,
    /// Of this click, conversion or transaction
    #[arg(long, value_name = "ID")]
    about: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    files: settings::Files,
    #[command(flatten)]
    wanted: Wanted,
    /// Standing there: delivered, dead, retrying, reopened
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Option<State>,
    /// No more than this many
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Print all that is known of each, and its request as it would be made now
    #[arg(long)]
    requests: bool,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Replay {
    #[command(flatten)]
    wanted: Wanted,
    /// So many a second, at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Only show which ones
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    daemon: client::Given,
}

#[derive(Debug, Args)]
pub(super) struct Status {
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    daemon: client::Given,
}

#[derive(Debug, Args)]
pub(super) struct Turn {
    /// The destination
    destination: String,
    #[command(flatten)]
    daemon: client::Given,
}

fn class(text: &str) -> Result<OutcomeClass, String> {
    let found = OutcomeClass::ALL.into_iter().find(|class| class.name() == text);
    found.ok_or_else(|| format!("must be one of {}", OutcomeClass::ALL.map(OutcomeClass::name).join(", ")))
}

fn state(text: &str) -> Result<State, String> {
    let found = State::ALL.into_iter().find(|state| state.name() == text);
    found.ok_or_else(|| format!("must be one of {}", State::ALL.map(State::name).join(", ")))
}

fn delivery_id(text: &str) -> Result<[u8; 16], String> {
    deliveries::delivery_id(text).ok_or_else(|| "must be 32 hexadecimal digits".to_owned())
}

impl Wanted {
    fn filter(&self, state: Option<State>) -> Result<Filter, Failure> {
        Ok(Filter {
            destination: self.destination.clone(),
            state,
            class: self.class,
            window: self.times.window()?,
            delivery_ids: self.delivery.iter().copied().collect::<BTreeSet<_>>(),
            about: self.about.clone(),
        })
    }

    /// Whether everything is meant.
    fn is_everything(&self) -> bool {
        self.destination.is_none() && self.delivery.is_empty() && self.about.is_none()
    }
}

pub(super) fn run(command: &Command, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    match command {
        Command::List(list) => run_list(list, out),
        Command::Show(show) => show::run(show, out),
        Command::Replay(replay) => run_replay(replay, out),
        Command::Status(status) => run_status(status, out),
        Command::Pause(turn) => run_turn(turn, "pause", out),
        Command::Resume(turn) => run_turn(turn, "resume", out),
    }
}

fn run_list(list: &List, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    if list.limit > KEPT_MAX {
        return Err(Failure::usage(format!("--limit {}: must be at most {KEPT_MAX}", list.limit)));
    }
    let settings = list.files.load().map_err(Failure::configuration)?.settings;
    let reader = open(&settings.store.data)?;
    let found = found(&reader, &list.wanted.filter(list.state)?, list.limit)?;
    if list.requests {
        let requests = Requests::load(&settings, &reader)?;
        let made = found.deliveries.iter().map(|row| requests.of(&reader, row));
        return write_with(out, &found, &made.collect::<Result<Vec<_>, _>>()?, list.format);
    }
    match list.format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &found)?;
            writeln!(out)?;
        }
        Format::Text => write_found(out, &found)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// All that is known of each, with its request.
fn write_with(
    out: &mut dyn Write,
    found: &Found,
    made: &[Made],
    format: Format,
) -> Result<ExitCode, Failure> {
    let all = found.deliveries.iter().zip(made);
    if format == Format::Json {
        let all: Vec<_> = all.map(|(row, made)| With::new(row, made)).collect();
        serde_json::to_writer_pretty(&mut *out, &json!({ "deliveries": all, "has_more": found.has_more }))?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    for (row, made) in all {
        show::write_row(out, row)?;
        let answer = [row.class, &*status(row.http_status)].join(" ");
        writeln!(out, "attempt {} at {}: {}", row.attempts, row.time, answer.trim_end())?;
        if !row.detail.is_empty() {
            writeln!(out, "  {}", plain(&row.detail))?;
        }
        write_made(out, made)?;
        writeln!(out)?;
    }
    write_rest(out, found)?;
    Ok(ExitCode::SUCCESS)
}

fn found(reader: &Reader, filter: &Filter, limit: usize) -> Result<Found, Failure> {
    let mut progress = Progress::new("reading");
    let found = deliveries::list(reader, filter, limit, &mut |done, of| progress.tick(done, of, ""));
    progress.end();
    Ok(found?)
}

fn write_found(out: &mut dyn Write, found: &Found) -> Result<(), Failure> {
    let heads = [
        "TIME",
        "DELIVERY",
        "DESTINATION",
        "STATE",
        "TRIES",
        "CLASS",
        "HTTP",
        "TRANSACTION",
        "PAYOUT",
        "NEXT",
        "ANSWER",
    ];
    if !found.deliveries.is_empty() {
        table::write(out, heads, found.deliveries.iter().map(cells).collect())?;
    }
    write_rest(out, found)
}

/// That there are none, or more.
fn write_rest(out: &mut dyn Write, found: &Found) -> Result<(), Failure> {
    if found.deliveries.is_empty() {
        writeln!(out, "there are none")?;
    }
    if found.has_more {
        writeln!(
            out,
            "there are more: say which with --destination, --state, --from, --to, or more with --limit"
        )?;
    }
    Ok(())
}

fn cells(row: &Row) -> [String; 11] {
    [
        row.time.clone(),
        row.delivery_id.clone(),
        plain(&row.destination),
        row.state.to_owned(),
        row.attempts.to_string(),
        row.class.to_owned(),
        status(row.http_status),
        plain(&row.transaction_id),
        money(row.payout.as_ref()),
        row.next_attempt.clone().unwrap_or_default(),
        plain(&row.detail).chars().take(DETAIL_WIDTH).collect(),
    ]
}

fn status(status: u16) -> String {
    if status == 0 { String::new() } else { status.to_string() }
}

fn run_replay(replay: &Replay, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    if replay.wanted.is_everything() {
        return Err(Failure::usage("say which: --destination, --delivery or --about"));
    }
    let settings = replay.daemon.settings()?;
    // Those that were named by their ids are tried again even if they were taken: somebody lost them over there.
    let state = if replay.wanted.delivery.is_empty() { Some(State::Dead) } else { None };
    let found = found(&open(&settings.store.data)?, &replay.wanted.filter(state)?, KEPT_MAX)?;
    let rows: Vec<&Row> =
        found.deliveries.iter().filter(|row| matches!(row.state, "dead" | "delivered")).collect();
    if replay.dry_run {
        table::write(
            out,
            ["TIME", "DELIVERY", "DESTINATION", "TRANSACTION", "CLASS"],
            rows.iter()
                .map(|row| {
                    let transaction = plain(&row.transaction_id);
                    [
                        row.time.clone(),
                        row.delivery_id.clone(),
                        plain(&row.destination),
                        transaction,
                        row.class.to_owned(),
                    ]
                })
                .collect(),
        )?;
        writeln!(out, "{} would be tried again", rows.len())?;
    } else {
        let client = replay.daemon.client(&settings)?;
        send(&client, &rows, replay.rate, std::thread::sleep)?;
        writeln!(out, "{} are tried again", rows.len())?;
    }
    if found.has_more {
        writeln!(out, "there are more than {KEPT_MAX}: do it again afterwards")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks the daemon to try these again, oldest first, and waits between its chunks so that no more come in a second.
fn send(
    client: &client::Client,
    rows: &[&Row],
    rate: u32,
    mut pause: impl FnMut(Duration),
) -> Result<(), Failure> {
    let oldest_first: Vec<_> = rows
        .iter()
        .rev()
        .map(|row| json!({ "destination": row.destination, "decision": row.decision }))
        .collect();
    let mut progress = Progress::new("replaying");
    let chunk_max = usize::try_from(rate).unwrap_or(CHUNK_MAX).min(CHUNK_MAX);
    let mut sent = 0;
    for chunk in oldest_first.chunks(chunk_max) {
        if sent > 0 {
            pause(Duration::from_secs_f64(chunk_max as f64 / f64::from(rate)));
        }
        let body = json!({ "deliveries": chunk }).to_string();
        client.expect("POST", "/api/deliveries/replay", body.as_bytes())?;
        sent += chunk.len();
        progress.tick(sent as u64, oldest_first.len() as u64, "");
    }
    progress.end();
    Ok(())
}

/// A destination, as the daemon tells of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Told {
    destination: String,
    state: String,
    ready: u64,
    waiting: u64,
    in_flight: u64,
    behind_bytes: u64,
    oldest_seconds: u64,
    concurrency: u32,
    why: Option<String>,
}

#[derive(Debug, Deserialize)]
struct AllTold {
    destinations: Vec<Told>,
}

fn run_status(status: &Status, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let settings = status.daemon.settings()?;
    let answer = status.daemon.client(&settings)?.expect("GET", "/api/destinations", b"")?;
    match status.format {
        Format::Json => writeln!(out, "{}", answer.trim_end())?,
        Format::Text => write_status(out, serde_json::from_str(&answer)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn write_status(out: &mut dyn Write, told: AllTold) -> Result<(), Failure> {
    let cells = |told: Told| {
        let Told { ready, waiting, in_flight, behind_bytes, oldest_seconds, concurrency, .. } = told;
        let why = plain(&told.why.unwrap_or_default());
        let [ready, waiting, in_flight] = [ready, waiting, in_flight].map(|count| count.to_string());
        let (oldest, behind) =
            (format!("{oldest_seconds} s"), format!("{} KiB", behind_bytes.div_ceil(1024)));
        let sending = format!("{in_flight} of {concurrency}");
        [plain(&told.destination), told.state, ready, waiting, sending, oldest, behind, why]
    };
    let heads = ["DESTINATION", "STATE", "READY", "WAITING", "SENDING", "OLDEST", "LEFT IN THE LOG", "WHY"];
    table::write(out, heads, told.destinations.into_iter().map(cells).collect())?;
    Ok(())
}

fn run_turn(turn: &Turn, what: &str, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let settings = turn.daemon.settings()?;
    let body = json!({ "destination": turn.destination }).to_string();
    let client = turn.daemon.client(&settings)?;
    let told = client.expect("POST", &format!("/api/destinations/{what}"), body.as_bytes())?;
    writeln!(out, "{}", told.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};
    use std::net::TcpListener;

    use super::*;

    /// Takes `count` requests, one a connection; gives what each asked for and its body.
    fn daemon(count: usize) -> (client::Client, std::thread::JoinHandle<Vec<(String, serde_json::Value)>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = client::Client::new(listener.local_addr().unwrap(), "hush".to_owned()).unwrap();
        let take = move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(&stream);
            let lines: Vec<String> =
                reader.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
            let len = lines.iter().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
            let mut body = vec![0; len.parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            (&stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap();
            (lines[0].clone(), serde_json::from_slice(&body).unwrap())
        };
        (client, std::thread::spawn(move || (0..count).map(|_| take()).collect()))
    }

    #[test]
    fn a_replay_asks_for_the_oldest_first_and_no_faster_than_it_was_told() {
        for (rate, sizes, pause) in
            [(2_000, vec![1_000, 1_000, 500], 500), (1_250, vec![1_000, 1_000, 500], 800)]
        {
            let rows: Vec<Row> = (0..2_500)
                .map(|n| Row {
                    destination: "a".to_owned(),
                    decision: format!("1:{}", 16 * n),
                    ..Row::default()
                })
                .collect();
            let (client, thread) = daemon(sizes.len());
            let mut pauses = Vec::new();
            send(&client, &rows.iter().collect::<Vec<_>>(), rate, |pause| pauses.push(pause)).unwrap();
            let asked = thread.join().unwrap();
            assert_eq!(pauses, [Duration::from_millis(pause); 2]);
            assert_eq!(asked[0].0, "POST /api/deliveries/replay HTTP/1.1");
            let chunks: Vec<_> =
                asked.iter().map(|(_, body)| body["deliveries"].as_array().unwrap()).collect();
            assert_eq!(chunks.iter().map(|chunk| chunk.len()).collect::<Vec<_>>(), sizes);
            assert_eq!(chunks[0][0], json!({ "destination": "a", "decision": "1:39984" }));
            assert_eq!(chunks[2][499]["decision"], "1:0");
        }
    }

    #[test]
    fn a_delivery_id_is_read_as_it_is_shown() {
        let id = delivery_id("000102030405060708090a0b0c0d0eff").unwrap();
        assert_eq!((id[0], id[1], id[14], id[15]), (0, 1, 14, 255));
        for text in ["", "00", &"g".repeat(32), &format!("+{}", "0".repeat(31))] {
            assert!(delivery_id(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_the_daemon_tells_of_destinations_is_a_table() {
        let told = r#"{"destinations":[{"destination":"a","state":"paused","ready":7,"waiting":1,"in_flight":2,
            "behind_bytes":4097,"oldest_seconds":61,"concurrency":8,"why":"401\u001b[2J","more":1},{"destination":"b"}]}"#;
        let mut out = Vec::new();
        write_status(&mut out, serde_json::from_str(told).unwrap()).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.contains(
                "a            paused  7      1        2 of 8   61 s    5 KiB            401[2J\nb "
            ),
            "{text}"
        );
    }
}
