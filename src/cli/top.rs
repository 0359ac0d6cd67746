//! `clicklog top`: what a running daemon does, on a screen that is drawn anew each second.
//!
//! In: the daemon's page of metrics. Out: a view of it (`view`): on a terminal until q is typed, elsewhere once.
//! Keeps: it asks for nothing that needs a token; the terminal is as before when it ends.
//!
//! Plain control sequences and termios: a library for terminals would be larger than all of this.

mod scrape;
mod view;

use std::io::{self, IsTerminal, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};

use super::client::{self, Client, reachable};
use super::{Failure, Format};
use crate::clock::Clock;
use crate::config::duration;
use scrape::Scrape;
use view::View;

/// How long the daemon may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The shortest time between two looks, and the longest.
const INTERVALS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));
/// A terminal that does not say how large it is.
const SIZE: (usize, usize) = (80, 24);
/// ctrl-C and ctrl-D, where the terminal does not make signals of them.
const ENDS: [u8; 4] = [b'q', b'Q', 3, 4];

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    daemon: client::Given,
    /// Between two looks, 100ms to 60s; rates are of that time
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    interval: Duration,
    /// Print it once and end, as is done anyway where there is no terminal
    #[arg(long)]
    once: bool,
    /// How to print it; json is printed once
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn interval(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    match (INTERVALS.0..=INTERVALS.1).contains(&time) {
        true => Ok(time),
        false => Err("must be 100ms to 60s".to_owned()),
    }
}

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let settings = arguments.daemon.settings()?;
    // Metrics need no token.
    let client = Client::new(reachable(settings.admin.listen), String::new())?.with_timeout(TIMEOUT);
    let is_live = !arguments.once
        && arguments.format == Format::Text
        && io::stdout().is_terminal()
        && io::stdin().is_terminal();
    let before = look(&client)?;
    if is_live {
        return live(arguments, &client, before, out);
    }
    std::thread::sleep(arguments.interval);
    let view = View::of(&before, &look(&client)?);
    match arguments.format {
        Format::Text => {
            for line in view.lines() {
                writeln!(out, "{line}")?;
            }
        }
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &view)?;
            writeln!(out)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The page of metrics, and when it was taken.
fn look(client: &Client) -> Result<Scrape, Failure> {
    let page = client.expect("GET", "/metrics", b"")?;
    Ok(Scrape::read(&page, Clock::System.monotonic()))
}

fn live(
    arguments: &Arguments,
    client: &Client,
    mut before: Scrape,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let clock = Clock::System;
    let screen = Screen::enter(arguments.interval, out)?;
    let done = loop {
        let due = clock.monotonic() + arguments.interval;
        // A read waits for a key up to the interval; after another key than q the rest of it is waited for.
        let mut key = [0];
        let is_end = loop {
            match io::stdin().read(&mut key) {
                Ok(1) if ENDS.contains(&key[0]) => break true,
                Ok(_) if clock.monotonic() >= due => break false,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break true,
            }
        };
        if is_end {
            break Ok(ExitCode::SUCCESS);
        }
        let lines = match look(client) {
            Ok(now) => {
                let lines = View::of(&before, &now).lines();
                before = now;
                lines
            }
            Err(failure) => vec![failure.text, "waiting for it; q ends".to_owned()],
        };
        if let Err(error) = draw(out, &lines, size()) {
            break Err(error.into());
        }
    };
    screen.leave(out)?;
    done
}

/// Columns and rows of the terminal.
fn size() -> (usize, usize) {
    match tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => SIZE,
    }
}

/// What fits of the lines, over what was there before.
fn draw(out: &mut dyn Write, lines: &[String], (columns, rows): (usize, usize)) -> io::Result<()> {
    write!(out, "\x1b[H")?;
    for (number, line) in lines.iter().take(rows).enumerate() {
        let cut: String = line.chars().filter(|c| !c.is_control()).take(columns).collect();
        let gap = if number == 0 { "" } else { "\r\n" };
        write!(out, "{gap}{cut}\x1b[K")?;
    }
    write!(out, "\x1b[J")?;
    out.flush()
}

/// The terminal while it is ours.
struct Screen {
    before: Termios,
}

impl Screen {
    /// Keys come as they are typed and are not shown; a read ends after `wait` without one.
    fn enter(wait: Duration, out: &mut dyn Write) -> Result<Self, Failure> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        raw.input_modes.remove(InputModes::IXON | InputModes::ICRNL);
        raw.special_codes[SpecialCodeIndex::VMIN] = 0;
        let tenths = u8::try_from(wait.as_millis() / 100).unwrap_or(u8::MAX).max(1);
        raw.special_codes[SpecialCodeIndex::VTIME] = tenths;
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        let screen = Self { before };
        write!(out, "\x1b[?1049h\x1b[?25l\x1b[H\x1b[Jlooking; q ends")?;
        out.flush()?;
        Ok(screen)
    }

    fn leave(self, out: &mut dyn Write) -> io::Result<()> {
        write!(out, "\x1b[?25h\x1b[?1049l")?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone is nobody's trouble.
        let _gone = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut() {
        let lines: Vec<String> = (0..9).map(|number| format!("{number}\x1b[31m{}", "é".repeat(90))).collect();
        let mut drawn = Vec::new();
        draw(&mut drawn, &lines, (10, 3)).unwrap();
        let drawn = String::from_utf8(drawn).unwrap();
        let rows: Vec<&str> = drawn.split("\r\n").collect();
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[1], "1[31mééééé\x1b[K");
        assert!(rows[0].starts_with("\x1b[H0") && rows[2].ends_with("\x1b[K\x1b[J"), "{drawn:?}");
    }
}
