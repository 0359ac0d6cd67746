//! What is wrong with a configuration, and where: for whoever has to mend it.
//!
//! In: a file's text and a span of it, or another place that a value came from. Out: a message with file, line, caret
//! and, where one is known, what may have been meant.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::event::nearest::nearest;

/// Problems that are told at once; further ones are only counted.
pub const PROBLEMS_MAX: usize = 20;

/// A file that was read.
#[derive(Clone, Debug)]
pub(super) struct Source {
    path: Arc<Path>,
    /// All of it.
    text: Arc<str>,
    /// Where the part begins that is looked at; spans count from here.
    start: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where the value comes from: a file, `the environment`, a flag.
    pub place: String,
    /// Line and column, from 1, and the line with how many characters of it are meant; nothing outside files.
    pub line: Option<Line>,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A line of a file, and a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// From 1.
    pub number: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The line itself.
    pub text: String,
    /// How many characters are meant, at least one.
    pub width: usize,
}

/// All that is wrong with a configuration: at least one thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    list: Vec<Problem>,
    more: usize,
}

impl Source {
    pub(super) fn new(path: &Path, text: String) -> Self {
        Self { path: path.into(), text: text.into(), start: 0 }
    }

    /// The part from here on.
    pub(super) fn from(&self, start: usize) -> Self {
        Self { start, ..self.clone() }
    }

    /// The text that is looked at.
    pub(super) fn text(&self) -> &str {
        self.text.get(self.start..).unwrap_or_default()
    }

    /// What is wrong with these bytes of it.
    pub(super) fn problem(&self, span: Range<usize>, what: impl Into<String>) -> Problem {
        Problem {
            place: self.path.display().to_string(),
            line: Some(self.line(self.start + span.start..self.start + span.end)),
            what: what.into(),
            hint: None,
        }
    }

    /// What the TOML library has to say, in the words that we use.
    pub(super) fn unreadable(&self, error: &toml::de::Error) -> Problem {
        let span = error.span().unwrap_or(0..0);
        let problem = self.problem(span, error.message().trim_end());
        // serde names what it does not know and then what it does: `unknown field `x`, expected one of `a`, `b``.
        let mut words = error.message().split('`').skip(1).step_by(2);
        match (error.message().starts_with("unknown "), words.next()) {
            (true, Some(unknown)) => {
                let known: Vec<&str> = words.collect();
                let kind = if error.message().starts_with("unknown variant") { "value" } else { "key" };
                let problem = Problem { what: format!("unknown {kind} \"{unknown}\""), ..problem };
                problem.with_choice(unknown, &known)
            }
            _ => problem,
        }
    }

    fn line(&self, span: Range<usize>) -> Line {
        let start = floor(&self.text, span.start);
        let before = &self.text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let rest = &self.text[line_start..];
        let text = rest.split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let end = floor(&self.text, span.end).clamp(start, line_start + text.len().max(start - line_start));
        Line {
            number: before.matches('\n').count() + 1,
            column: self.text[line_start..start].chars().count() + 1,
            text: text.to_owned(),
            width: self.text[start..end].chars().count().max(1),
        }
    }
}

/// The start of the character that `at` lies in.
fn floor(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at.min(text.len()))
}

impl Problem {
    /// Outside any file.
    pub(super) fn at(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), line: None, what: what.into(), hint: None }
    }

    pub(super) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Says what was meant, if that can be told, and what there is.
    pub(super) fn with_choice(self, given: &str, known: &[&str]) -> Self {
        let guess = nearest(given, known.iter().copied());
        let guess = guess.map(|guess| format!("did you mean \"{guess}\"?"));
        // Of a long list, only the guess helps.
        let all = (!known.is_empty() && (known.len() <= 40 || guess.is_none()))
            .then(|| format!("allowed: {}", known.iter().take(40).copied().collect::<Vec<_>>().join(", ")));
        let hint = [guess, all].into_iter().flatten().collect::<Vec<_>>().join(" ");
        if hint.is_empty() { self } else { self.with_hint(hint) }
    }
}

impl Problems {
    pub(super) fn add(&mut self, problem: Problem) {
        if self.list.len() < PROBLEMS_MAX {
            self.list.push(problem);
        } else {
            self.more += 1;
        }
    }

    /// `made`, unless something is wrong.
    pub(super) fn unless_any<T>(self, made: T) -> Result<T, Self> {
        if self.list.is_empty() { Ok(made) } else { Err(self) }
    }

    /// The first of them.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self { list: vec![problem], more: 0 }
    }
}

impl FromIterator<Problem> for Problems {
    fn from_iter<T: IntoIterator<Item = Problem>>(all: T) -> Self {
        let mut problems = Self::default();
        all.into_iter().for_each(|problem| problems.add(problem));
        problems
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hint = self.hint.as_deref().unwrap_or_default();
        let Some(line) = &self.line else {
            write!(f, "{}: {}", self.place, self.what)?;
            return if hint.is_empty() { Ok(()) } else { write!(f, " ({hint})") };
        };
        writeln!(f, "{}:{}:{}: {}", self.place, line.number, line.column, self.what)?;
        let number = line.number.to_string();
        let margin = " ".repeat(number.len());
        // Tabs stay tabs, so that the caret stands below what it means however wide they are.
        let indent: String =
            line.text.chars().take(line.column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        writeln!(f, "{margin} |\n{number} | {}", line.text)?;
        let hint = if hint.is_empty() { String::new() } else { format!(" {hint}") };
        write!(f, "{margin} | {indent}{}{hint}", "^".repeat(line.width))
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n\n" };
            write!(f, "{gap}{problem}")?;
        }
        if self.more > 0 {
            write!(f, "\n\n... and {} more", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_shows_its_line_and_points_at_it() {
        let source = Source::new(Path::new("c.toml"), "a = 1\n\tpäyout = \"x\"\n".to_owned());
        let start = source.text.find("päyout").unwrap();
        let problem = source.problem(start..start + "päyout".len(), "unknown key \"päyout\"");
        let shown = problem.with_choice("päyout", &["payout", "url"]).to_string();
        assert_eq!(
            shown,
            "c.toml:2:2: unknown key \"päyout\"\n  |\n2 | \tpäyout = \"x\"\n  | \t^^^^^^ did you mean \"payout\"? \
             allowed: payout, url"
        );
    }

    #[test]
    fn any_span_is_shown_even_one_that_is_not_there() {
        for text in ["", "\n", "ä", "a\r\nb", "[[x]]\n"] {
            let source = Source::new(Path::new("c.toml"), text.to_owned());
            for start in 0..5 {
                for end in start..6 {
                    assert!(
                        source.problem(start..end, "x").to_string().contains('^'),
                        "{text:?} {start}..{end}"
                    );
                }
            }
        }
    }

    #[test]
    fn more_problems_than_anybody_reads_are_counted() {
        let mut problems = Problems::default();
        for _ in 0..PROBLEMS_MAX + 3 {
            problems.add(Problem::at("x", "y"));
        }
        assert!(problems.to_string().ends_with("... and 3 more"));
        assert!(problems.unless_any(()).is_err());
        assert!(Problems::default().unless_any(()).is_ok());
    }
}
