//! `clicklog lookup`: the whole life of one click, beside a running daemon or without one.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::data::open;
use super::progress::Progress;
use super::times::Times;
use super::{Failure, Format};
use crate::batch::lookup::{
    Amount, ClickRow, DecisionRow, DeliveryRow, FoundAs, Life, PostbackRow, StandingRow, look_up,
};

/// Columns before a value.
const NAME_WIDTH: usize = 16;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A click id, a network's transaction id, or the id that another tracker gave a click
    id: String,
    /// The data folder
    #[arg(long, value_name = "DIR", default_value = "clicklog-data")]
    data: PathBuf,
    #[command(flatten)]
    times: Times,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let window = arguments.times.window()?;
    let reader = open(&arguments.data)?;
    let mut progress = Progress::new("looking");
    let life = look_up(&reader, &arguments.id, window, &mut |done, of| {
        progress.tick(done, of, "");
    });
    progress.end();
    let life = life?;
    match arguments.format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &life)?;
            writeln!(out)?;
        }
        Format::Text => write_text(out, &life)?,
    }
    Ok(if life.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn write_text(out: &mut dyn Write, life: &Life) -> io::Result<()> {
    let what = match life.found_as {
        FoundAs::Nothing => return writeln!(out, "nothing is known of {:?}", life.query),
        FoundAs::ClickId => "a click id of ours",
        FoundAs::TransactionId => "a transaction id",
        FoundAs::ForeignId => "a click id of another tracker",
    };
    writeln!(out, "{:?} is {what}", life.query)?;
    life.notes.iter().try_for_each(|note| writeln!(out, "note: {note}"))?;
    life.clicks.iter().try_for_each(|click| write_click(out, click))?;
    life.postbacks.iter().try_for_each(|postback| write_postback(out, postback))?;
    life.decisions.iter().try_for_each(|decision| write_decision(out, decision))?;
    let mut deliveries: Vec<Vec<&DeliveryRow>> = Vec::new();
    for row in &life.deliveries {
        // Not by its id: what was given up without an attempt may have none.
        let is_its = |attempts: &&mut Vec<&DeliveryRow>| {
            let known = attempts.first();
            known.is_some_and(|it| (&it.decision, &it.destination) == (&row.decision, &row.destination))
        };
        match deliveries.iter_mut().find(is_its) {
            Some(attempts) => attempts.push(row),
            None => deliveries.push(vec![row]),
        }
    }
    deliveries.iter().try_for_each(|attempts| write_delivery(out, attempts))
}

/// One line for a field, none for an empty one.
fn field(out: &mut dyn Write, name: &str, value: &str) -> io::Result<()> {
    if value.is_empty() {
        return Ok(());
    }
    // What visitors and networks send may hold anything; on a terminal it is to do nothing.
    let shown: String = value.chars().flat_map(plain).collect();
    writeln!(out, "  {name:NAME_WIDTH$}{shown}")
}

/// A character as it is, or, for one that a terminal would act on, its escape.
fn plain(character: char) -> Box<dyn Iterator<Item = char>> {
    if character.is_control() {
        Box::new(character.escape_default())
    } else {
        Box::new(std::iter::once(character))
    }
}

fn write_click(out: &mut dyn Write, click: &ClickRow) -> io::Result<()> {
    writeln!(out, "\nclick {}", click.click_id)?;
    field(out, "time", &click.time)?;
    field(out, "kind", click.kind)?;
    let place = click.place;
    let place = format!(
        "node {}, lane {}, segment {}, number {}",
        place.node, place.lane, place.segment, place.ordinal
    );
    for (name, value) in [
        ("first click", &*click.parent),
        ("foreign id", &click.foreign_id),
        ("campaign", &click.campaign),
        ("source", &click.source),
        ("offer", &click.offer),
        ("lander", &click.lander),
        ("external id", &click.external_id),
        ("cost", &money(click.cost.as_ref())),
        ("labels", &click.labels.join(", ")),
        ("address", &click.address),
        ("country", &click.country),
        ("host", &click.host),
        ("referrer", &click.referrer),
        ("user agent", &click.user_agent),
        ("language", &click.language),
    ] {
        field(out, name, value)?;
    }
    click
        .params
        .iter()
        .try_for_each(|(name, value)| field(out, "parameter", &format!("{name} = {value}")))?;
    field(out, "place", &place)
}

fn write_postback(out: &mut dyn Write, postback: &PostbackRow) -> io::Result<()> {
    writeln!(out, "\npostback {}", postback.position)?;
    let mark = if postback.query.is_empty() { "" } else { "?" };
    let request = format!("{} {}{mark}{}", postback.method, postback.path, postback.query);
    for (name, value) in [
        ("time", &*postback.time),
        ("network", &postback.network),
        ("refused", &postback.refused),
        ("request", &request),
        ("host", &postback.host),
        ("from", &postback.address),
        ("content type", &postback.content_type),
        ("body", &postback.body),
    ] {
        field(out, name, value)?;
    }
    postback.headers.lines().try_for_each(|header| field(out, "header", header))
}

fn write_decision(out: &mut dyn Write, decision: &DecisionRow) -> io::Result<()> {
    let reason = if decision.reason.is_empty() { String::new() } else { format!(" ({})", decision.reason) };
    writeln!(out, "\ndecision {} {}{reason}", decision.position, decision.verdict)?;
    let word = match &*decision.original_status {
        "" => decision.status.to_owned(),
        original => format!("{} (said as {original:?})", decision.status),
    };
    let conversion = format!("{}, decision {}", decision.conversion_id, decision.sequence + 1);
    for (name, value) in [
        ("time", &*decision.time),
        ("postback", &decision.postback),
        ("conversion", &conversion),
        ("network", &decision.network),
        ("transaction", &decision.transaction_id),
        ("click id", &decision.click_id),
        ("event", &decision.event),
        ("status", &word),
        ("payout", &money(decision.payout.as_ref())),
        ("entry", &decision.entry),
        ("stands at", &decision.standing.as_ref().map_or_else(String::new, standing)),
        ("campaign", &decision.campaign),
        ("offer", &decision.offer),
    ] {
        field(out, name, value)?;
    }
    Ok(())
}

/// One delivery with its attempts, of which there is at least one.
fn write_delivery(out: &mut dyn Write, attempts: &[&DeliveryRow]) -> io::Result<()> {
    let (Some(first), Some(last)) = (attempts.first(), attempts.last()) else { return Ok(()) };
    writeln!(out, "\ndelivery {} to {}: {}", first.delivery_id, first.destination, last.leaves())?;
    field(out, "decision", &last.decision)?;
    for row in attempts {
        let status = if row.http_status == 0 { String::new() } else { format!(" {}", row.http_status) };
        let took = row.duration_micros / 1000;
        let ended = format!("{} {}{status} in {took} ms", row.time, row.result);
        field(out, &format!("attempt {}", row.attempt), &ended)?;
        field(out, "answer", &row.detail)?;
        field(out, "opened again", row.reopened.as_deref().unwrap_or_default())?;
    }
    let next = last.next_attempt.as_deref().filter(|_| last.leaves() == "retrying");
    field(out, "next attempt", next.unwrap_or_default())
}

/// An amount and its currency; empty for none.
pub(super) fn money(amount: Option<&Amount>) -> String {
    amount.map_or_else(String::new, |money| {
        format!("{} {}", money.amount, money.currency).trim_end().to_owned()
    })
}

fn standing(standing: &StandingRow) -> String {
    let held = standing.held.as_ref().map_or_else(String::new, |held| format!(", {held} held"));
    format!("{}, {} {}", standing.status, standing.net, standing.currency).trim_end().to_owned() + &held
}
