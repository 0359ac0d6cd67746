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
use super::{Failure, Format, signals};
use crate::clock::Clock;
use crate::config::duration;
use crate::shutdown::Shutdown;
use scrape::Scrape;
use view::View;

/// How long the daemon may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The shortest time between two looks, and the longest.
const INTERVALS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));
/// Until there is something to look at, however long it is between looks.
const FIRST: Duration = Duration::from_secs(1);
/// A terminal that does not say how large it is.
const SIZE: (usize, usize) = (80, 24);
/// Tenths of a second that a key is waited for before the size of the terminal is looked at.
const LISTEN_TENTHS: u8 = 1;
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
            for line in view.lines(SIZE.0) {
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
    let shutdown = Shutdown::default();
    // Whatever ends it, the terminal is given back first.
    signals::trip(&shutdown, |_| {})?;
    let screen = Screen::enter(out)?;
    let mut shown = None;
    let done = loop {
        let interval = if shown.is_none() { arguments.interval.min(FIRST) } else { arguments.interval };
        let due = clock.monotonic() + interval;
        match wait(&shutdown, &clock, due, &mut shown, out) {
            Ok(true) => break Ok(ExitCode::SUCCESS),
            Ok(false) => {}
            Err(error) => break Err(error.into()),
        }
        let now = match look(client) {
            Ok(now) => {
                let view = View::of(&before, &now);
                before = now;
                Shown::View(Box::new(view))
            }
            Err(failure) => Shown::Trouble(failure.text),
        };
        if let Err(error) = draw(out, &now.lines(size().0), size()) {
            break Err(error.into());
        }
        shown = Some((now, size()));
    };
    screen.leave(out)?;
    done
}

/// What is on the screen.
enum Shown {
    View(Box<View>),
    Trouble(String),
}

impl Shown {
    fn lines(&self, columns: usize) -> Vec<String> {
        match self {
            Self::View(view) => view.lines(columns),
            Self::Trouble(text) => view::wrapped(&format!("{text}  waiting for it; q ends"), columns),
        }
    }
}

/// Waits until it is due, or somebody wants it to end; what is shown is drawn anew where the terminal has changed its size.
fn wait(
    shutdown: &Shutdown,
    clock: &Clock,
    due: Duration,
    shown: &mut Option<(Shown, (usize, usize))>,
    out: &mut dyn Write,
) -> io::Result<bool> {
    let mut key = [0];
    loop {
        // A read waits for a key, up to `LISTEN_TENTHS`.
        match io::stdin().read(&mut key) {
            Ok(1) if ENDS.contains(&key[0]) => return Ok(true),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Ok(true),
        }
        if shutdown.is_tripped() {
            return Ok(true);
        }
        if clock.monotonic() >= due {
            return Ok(false);
        }
        if let Some((shown, drawn)) = shown.as_mut().filter(|(_, drawn)| *drawn != size()) {
            *drawn = size();
            draw(out, &shown.lines(drawn.0), *drawn)?;
        }
    }
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
    /// Keys come as they are typed and are not shown; a read ends after `LISTEN_TENTHS` without one.
    fn enter(out: &mut dyn Write) -> Result<Self, Failure> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        raw.input_modes.remove(InputModes::IXON | InputModes::ICRNL);
        raw.special_codes[SpecialCodeIndex::VMIN] = 0;
        raw.special_codes[SpecialCodeIndex::VTIME] = LISTEN_TENTHS;
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
