//! The log: what an operator should know, as lines on standard error.
//!
//! In: what the code says, through `tracing`. Out: a line each, as text on a terminal and as JSON off one.
//! Keeps: of one place in the code `BURST` lines in `WINDOW` at most; a later line says how many were left out. Every record
//! is counted, told or not. The level may change while it runs.
//! Refuses: what other crates say below a warning, which may hold what they were given; a line of text that looks like
//! another record.
//! Own, and not `tracing-subscriber`: there are no spans, and what is here would be a layer of it anyway.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write};
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};

use crate::clock::Clock;
use crate::metrics::{self, Page};

/// Lines of one place in the code that are written in a window.
pub const BURST: u64 = 10;
/// How long repeats are counted together.
pub const WINDOW: Duration = Duration::from_secs(10);
/// Places in the code that are told apart; further ones share one window.
const PLACES_MAX: usize = 256;
/// What our own records' targets begin with.
const OURS: &str = "clicklog";

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Text on a terminal, JSON off one.
    #[default]
    Auto,
    /// One object a line.
    Json,
    /// For people.
    Text,
}

impl Format {
    /// All of them, with their names.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Auto, "auto"), (Self::Json, "json"), (Self::Text, "text")];
}

/// How much is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What an operator must do something about.
    Error,
    /// What an operator should look at.
    Warn,
    /// What happened.
    #[default]
    Info,
    /// How it happened.
    Debug,
    /// All of it.
    Trace,
}

impl Level {
    /// All of them, with their names.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Error, "error"),
        (Self::Warn, "warn"),
        (Self::Info, "info"),
        (Self::Debug, "debug"),
        (Self::Trace, "trace"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    fn of(level: tracing::Level) -> Self {
        match level {
            tracing::Level::ERROR => Self::Error,
            tracing::Level::WARN => Self::Warn,
            tracing::Level::INFO => Self::Info,
            tracing::Level::DEBUG => Self::Debug,
            tracing::Level::TRACE => Self::Trace,
        }
    }
}

/// It is no level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be error, warn, info, debug or trace")]
pub struct NoLevel;

impl FromStr for Level {
    type Err = NoLevel;

    fn from_str(text: &str) -> Result<Self, NoLevel> {
        Self::ALL.iter().find(|(_, name)| *name == text).map(|(level, _)| *level).ok_or(NoLevel)
    }
}

/// There is one log in a process, as there is one standard error.
static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);
static RECORDS: [AtomicU64; Level::ALL.len()] = [const { AtomicU64::new(0) }; Level::ALL.len()];
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

/// Begins to write. A second call changes only the level.
pub fn start(format: Format, level: Level, clock: Clock) {
    let is_terminal = io::stderr().is_terminal();
    let is_json = match format {
        Format::Auto => !is_terminal,
        Format::Json => true,
        Format::Text => false,
    };
    let _was_started = tracing::subscriber::set_global_default(Lines {
        is_json,
        clock,
        recent: Mutex::default(),
        out: Mutex::new(Box::new(io::stderr())),
    });
    set_level(level);
}

/// How much is told from now on.
pub fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
    tracing::callsite::rebuild_interest_cache();
}

/// How much is told.
pub fn level() -> Level {
    let level = usize::from(LEVEL.load(Ordering::Relaxed));
    Level::ALL.get(level).map_or(Level::Trace, |(level, _)| *level)
}

/// Writes how many records there were.
pub fn write_metrics(page: &mut Page) {
    for ((_, name), count) in Level::ALL.iter().zip(&RECORDS) {
        page.sample(&metrics::LOG_RECORDS, &[("level", name)], count.load(Ordering::Relaxed));
    }
    page.sample(&metrics::LOG_LEFT_OUT, &[], LEFT_OUT.load(Ordering::Relaxed));
}

/// Whoever is told by `tracing`.
struct Lines {
    is_json: bool,
    clock: Clock,
    recent: Mutex<Recent>,
    out: Mutex<Box<dyn Write + Send>>,
}

/// What each place has said lately.
#[derive(Default)]
struct Recent(HashMap<Option<Identifier>, Window>);

struct Window {
    metadata: &'static Metadata<'static>,
    since: Duration,
    told: u64,
    left_out: u64,
}

/// A line to be.
struct Line<'a> {
    metadata: &'a Metadata<'a>,
    message: String,
    fields: Map<String, Value>,
}

impl Recent {
    /// Whether this one is told, and for what other windows that are over there is something to be said.
    fn admit(&mut self, metadata: &'static Metadata<'static>, now: Duration) -> (bool, Vec<Line<'static>>) {
        let mut over = Vec::new();
        self.0.retain(|_, window| {
            let is_over = now >= window.since + WINDOW;
            if is_over && window.left_out > 0 {
                over.push(window.line());
            }
            !is_over
        });
        let own = Some(metadata.callsite());
        let place = if self.0.len() < PLACES_MAX || self.0.contains_key(&own) { own } else { None };
        let new = Window { metadata, since: now, told: 0, left_out: 0 };
        let window = self.0.entry(place).or_insert(new);
        if window.told < BURST {
            window.told += 1;
            return (true, over);
        }
        window.left_out += 1;
        (false, over)
    }
}

impl Window {
    fn line(&self) -> Line<'static> {
        let (target, line) = (self.metadata.target(), self.metadata.line().unwrap_or_default());
        let message = format!("{} more like this were left out, of {target}:{line}", self.left_out);
        let fields = Map::from_iter([("left_out".to_owned(), self.left_out.into())]);
        Line { metadata: self.metadata, message, fields }
    }
}

impl Lines {
    fn write(&self, line: &Line<'_>) {
        let text = if self.is_json { self.json(line) } else { self.text(line) };
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // In one piece, so that lines of two threads do not mix; and there is nobody to complain to.
        let _unsaid = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    fn json(&self, line: &Line<'_>) -> String {
        let mut all = Map::new();
        all.insert("time".to_owned(), self.clock.now().to_string().into());
        all.insert("level".to_owned(), Level::of(*line.metadata.level()).name().into());
        all.insert("target".to_owned(), line.metadata.target().into());
        all.insert("message".to_owned(), line.message.clone().into());
        for (name, value) in &line.fields {
            all.entry(name.clone()).or_insert_with(|| value.clone());
        }
        Value::Object(all).to_string() + "\n"
    }

    fn text(&self, line: &Line<'_>) -> String {
        let mut text = format!("{} {:>5} ", self.clock.now(), line.metadata.level());
        plain(&line.message, &mut text);
        for (name, value) in &line.fields {
            let _written = write!(text, " {name}={value}");
        }
        text.push('\n');
        text
    }
}

/// What a terminal would obey is shown, not done; and what goes on in another line is set in.
fn plain(message: &str, text: &mut String) {
    for letter in message.chars() {
        match letter {
            '\n' => text.push_str("\n    "),
            letter if letter.is_control() => text.extend(letter.escape_default()),
            letter => text.push(letter),
        }
    }
}

fn is_wanted(metadata: &Metadata<'_>) -> bool {
    let is_ours = metadata.target().split("::").next() == Some(OURS);
    let most = if is_ours { level() } else { level().min(Level::Warn) };
    metadata.is_event() && Level::of(*metadata.level()) <= most
}

impl Subscriber for Lines {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_wanted(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match level() {
            Level::Error => LevelFilter::ERROR,
            Level::Warn => LevelFilter::WARN,
            Level::Info => LevelFilter::INFO,
            Level::Debug => LevelFilter::DEBUG,
            Level::Trace => LevelFilter::TRACE,
        })
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_wanted(metadata)
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        RECORDS[Level::of(*metadata.level()) as usize].fetch_add(1, Ordering::Relaxed);
        let now = self.clock.monotonic();
        let (is_told, over) = {
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            recent.admit(metadata, now)
        };
        over.iter().for_each(|line| self.write(line));
        if is_told {
            let mut line = Line { metadata, message: String::new(), fields: Map::new() };
            event.record(&mut line);
            self.write(&line);
        } else {
            LEFT_OUT.fetch_add(1, Ordering::Relaxed);
        }
    }

    // Without spans.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.note(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.note(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.note(field, value.into());
    }
}

impl Line<'_> {
    fn note(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(message)) => self.message = message,
            (name, value) => drop(self.fields.insert(name.to_owned(), value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::{ManualClock, Timestamp};

    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<u8>>>);

    impl Write for Heard {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written of what `say` says, by a clock that it moves.
    fn heard(is_json: bool, say: impl FnOnce(&ManualClock)) -> Vec<String> {
        let heard = Heard::default();
        let clock = ManualClock::at(Timestamp::from_micros(1_700_000_000_000_000));
        let lines = Lines {
            is_json,
            clock: Clock::Manual(clock.clone()),
            recent: Mutex::default(),
            out: Mutex::new(Box::new(heard.clone())),
        };
        tracing::subscriber::with_default(lines, || say(&clock));
        let text = String::from_utf8(heard.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn warned(turn: u64) {
        tracing::warn!(turn, "again");
    }

    #[test]
    fn off_a_terminal_each_line_is_an_object_whatever_is_in_it() {
        let lines = heard(true, |_| {
            tracing::warn!(network = "a\"b", count = 3u64, "two\nlines \u{1b}[2J {}", "and \"quotes\"");
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
        let line: Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(line["message"], "two\nlines \u{1b}[2J and \"quotes\"");
        assert_eq!((&line["level"], &line["count"]), (&"warn".into(), &3.into()));
        assert_eq!((&line["network"], &line["target"]), (&"a\"b".into(), &"clicklog::logs::tests".into()));
        assert!(line["time"].as_str().unwrap().starts_with("2023-11-14T22:13:20"), "{line}");
    }

    #[test]
    fn on_a_terminal_a_message_can_neither_command_it_nor_pass_for_another_record() {
        let lines = heard(false, |_| tracing::warn!("one\n2023-11-14 ERROR forged \u{1b}[2J"));
        assert!(lines[0].ends_with("  WARN one"), "{lines:?}");
        assert_eq!(lines[1], "    2023-11-14 ERROR forged \\u{1b}[2J");
    }

    #[test]
    fn repeats_are_left_out_and_counted() {
        let lines = heard(true, |clock| {
            (0..BURST + 5).for_each(warned);
            // Another place is told meanwhile.
            tracing::error!("something else");
            clock.advance(WINDOW);
            warned(99);
        });
        let turns = lines.iter().filter(|line| line.contains("\"turn\"")).count();
        assert_eq!(turns as u64, BURST + 1);
        assert!(lines[lines.len() - 2].contains("5 more like this were left out"), "{lines:?}");
        assert!(lines.last().unwrap().contains("\"turn\":99"), "{lines:?}");
        assert_eq!(lines.iter().filter(|line| line.contains("something else")).count(), 1);
    }

    #[test]
    fn what_was_left_out_is_told_by_the_next_line_of_any_place() {
        let lines = heard(true, |clock| {
            (0..BURST + 2).for_each(warned);
            clock.advance(WINDOW);
            tracing::error!("something else");
        });
        assert!(lines[lines.len() - 2].contains("\"left_out\":2"), "{lines:?}");
    }

    #[test]
    fn every_record_is_counted_told_or_not() {
        let counts =
            || [&RECORDS[Level::Error as usize], &LEFT_OUT].map(|count| count.load(Ordering::Relaxed));
        let [records, left_out] = counts();
        heard(true, |_| (0..BURST * 3).for_each(|turn| tracing::error!(turn, "counted")));
        // Other tests log meanwhile.
        let [records_now, left_out_now] = counts();
        assert!(records_now >= records + BURST * 3, "{records} to {records_now}");
        assert!(left_out_now >= left_out + BURST * 2, "{left_out} to {left_out_now}");
    }

    #[test]
    fn levels_are_read_by_their_names() {
        for (level, name) in Level::ALL {
            assert_eq!((name.parse(), level.name()), (Ok(level), name));
        }
        assert_eq!("loud".parse::<Level>(), Err(NoLevel));
    }
}
