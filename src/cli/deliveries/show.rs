//! `clicklog deliveries show`: one delivery with all its attempts, and the request as it would be made now.
//!
//! Keeps: of a secret, and of what is made with one, `***` is shown. What was tried is shown also where the request cannot
//! be, and why it cannot.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;

use super::requests::{Requests, With, write_made};
use super::{delivery_id, status};
use crate::batch::deliveries::{self, Row, Whole};
use crate::batch::lookup::{DeliveryRow, Window};
use crate::cli::data::open;
use crate::cli::lookup::money;
use crate::cli::progress::Progress;
use crate::cli::{Failure, Format, plain, settings};

#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    /// The delivery, as `deliveries list` shows it
    #[arg(value_parser = delivery_id)]
    delivery_id: [u8; 16],
    #[command(flatten)]
    files: settings::Files,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(show: &Show, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let settings = show.files.load().map_err(Failure::configuration)?.settings;
    let reader = open(&settings.store.data)?;
    let mut progress = Progress::new("reading");
    let whole = deliveries::show(&reader, show.delivery_id, Window::default(), &mut |done, of| {
        progress.tick(done, of, "");
    });
    progress.end();
    let Some(whole) = whole? else {
        writeln!(out, "there is no attempt at this delivery")?;
        return Ok(ExitCode::FAILURE);
    };
    let request = Requests::load(&settings, &reader)?.of(&reader, &whole.delivery)?;
    match show.format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &With::new(&whole, &request))?;
            writeln!(out)?;
        }
        Format::Text => {
            write_whole(out, &whole)?;
            write_made(out, &request)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn write_whole(out: &mut dyn Write, Whole { delivery, attempts }: &Whole) -> Result<(), Failure> {
    write_row(out, delivery)?;
    attempts.iter().try_for_each(|attempt| write_attempt(out, attempt))
}

/// What is known of a delivery, but for its attempts.
pub(super) fn write_row(out: &mut dyn Write, delivery: &Row) -> Result<(), Failure> {
    writeln!(out, "delivery {} to {}", delivery.delivery_id, plain(&delivery.destination))?;
    let replays = if delivery.replays == 0 { String::new() } else { delivery.replays.to_string() };
    for (name, value) in [
        ("state", delivery.state),
        ("next attempt", delivery.next_attempt.as_deref().unwrap_or_default()),
        ("replays", &replays),
        ("decision", &delivery.decision),
        ("conversion", &delivery.conversion_id),
        ("click", &delivery.click_id),
        ("transaction", &delivery.transaction_id),
        ("status", delivery.status),
        ("payout", &money(delivery.payout.as_ref())),
    ] {
        if !value.is_empty() {
            writeln!(out, "  {name:14}{}", plain(value))?;
        }
    }
    Ok(())
}

fn write_attempt(out: &mut dyn Write, attempt: &DeliveryRow) -> Result<(), Failure> {
    let DeliveryRow { attempt: number, time, result, .. } = attempt;
    let took = attempt.duration_micros / 1000;
    let answer = [result, &*status(attempt.http_status)].join(" ");
    writeln!(out, "attempt {number} at {time}: {} in {took} ms", answer.trim_end())?;
    if !attempt.detail.is_empty() {
        writeln!(out, "  {}", plain(&attempt.detail))?;
    }
    if let Some(time) = &attempt.reopened {
        writeln!(out, "opened again at {time}, by an operator")?;
    }
    Ok(())
}
