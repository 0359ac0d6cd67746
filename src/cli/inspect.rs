//! `clicklog inspect`: the records of a data folder, one a line, in the order of each lane.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::Failure;
use super::data::open;
use crate::event::codec::Event;
use crate::event::delivery::{DestinationChange, DestinationEvent};
use crate::store::reader::{Cursor, Shown};
use crate::store::{Journal, Position};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Clicks,
    Postbacks,
    Deliveries,
}

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The data folder
    #[arg(long, value_name = "DIR", default_value = "clicklog-data")]
    data: PathBuf,
    /// Only this journal
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// At most this many records of each lane
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let reader = open(&arguments.data)?;
    let shown = Shown::load(&reader)?;
    for journal in Journal::ALL {
        if arguments.kind.is_some_and(|kind| journal_of(kind) != journal) {
            continue;
        }
        for lane in reader.lanes(journal)? {
            let mut left = arguments.limit.unwrap_or(u64::MAX);
            let mut written = Ok(());
            reader.read(journal, lane, Cursor::default(), |position, record| {
                if left == 0 {
                    return ControlFlow::Break(());
                }
                left -= 1;
                let event = shown.event((journal, lane), position, record);
                written = line(out, (journal, lane, position), record.ordinal, event);
                if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            written?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn journal_of(kind: Kind) -> Journal {
    match kind {
        Kind::Clicks => Journal::Clicks,
        Kind::Postbacks => Journal::Postbacks,
        Kind::Deliveries => Journal::Deliveries,
    }
}

fn line(
    out: &mut dyn Write,
    (journal, lane, position): (Journal, u8, Position),
    ordinal: u32,
    event: Result<Event<'_>, crate::event::codec::Undecodable>,
) -> std::io::Result<()> {
    write!(out, "{}/{lane} {position} #{ordinal} ", journal.name())?;
    match event {
        Ok(Event::Click(click)) => writeln!(
            out,
            "{} click campaign={:?} source={:?} offer={:?} external_id={:?}",
            click.time, click.campaign, click.source, click.offer, click.external_id
        ),
        Ok(Event::Postback(postback)) => writeln!(
            out,
            "{} postback network={:?} {} {:?} query={:?}",
            postback.time, postback.network, postback.method, postback.path, postback.query
        ),
        Ok(Event::Decision(decision)) => writeln!(
            out,
            "{} decision {} network={:?} transaction={:?} status={} entry={}",
            decision.time,
            decision.verdict.name(),
            decision.conversion.network,
            decision.conversion.transaction_id,
            decision.conversion.status.name(),
            decision.entry
        ),
        Ok(Event::DeliveryOutcome(outcome)) => writeln!(
            out,
            "{} outcome {} destination={:?} decision={} attempt={} http={} {}",
            outcome.time,
            outcome.class.name(),
            outcome.destination,
            place(outcome.decision),
            outcome.attempt,
            outcome.http_status,
            outcome.next_attempt.map_or("final".to_owned(), |next| format!("next={next}"))
        ),
        Ok(Event::Destination(event)) => writeln!(
            out,
            "{} destination {:?} {}{}",
            event.time,
            event.destination,
            event.change.name(),
            of_change(&event)
        ),
        Ok(Event::CostUpdate(update)) => writeln!(
            out,
            "{} cost {} campaign={:?} source={:?} offer={:?} entry={}",
            update.time, update.cost, update.campaign, update.source, update.offer, update.entry
        ),
        Err(error) => writeln!(out, "{error}"),
    }
}

fn place(position: u64) -> Position {
    Position::from_u64(position).unwrap_or_default()
}

/// What belongs to a change. How far a destination has come is a list that says nothing to people.
fn of_change(event: &DestinationEvent<'_>) -> String {
    match event.change {
        DestinationChange::Progress | DestinationChange::Resumed => String::new(),
        DestinationChange::Paused => format!(" why={:?}", String::from_utf8_lossy(event.detail)),
        DestinationChange::Reopened => format!(" decision={}", place(event.decision)),
    }
}
