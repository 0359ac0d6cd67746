//! Checks of single values of a catalog: each gives what the value means, or notes what is wrong with it and where.
//!
//! In: texts with their places. Out: values, or nothing; what is wrong is noted meanwhile, so that all of it is told at
//! once.
//! Not here: what values mean together (`catalog`, `networks`).

use std::ops::Range;
use std::time::Duration;

use super::file::Text;
use super::problem::{Problem, Problems, Source};
use super::value::Value;
use crate::event::money::{Currency, Micros, MoneyError};
use crate::event::template::{Missing, Names, Target, Template};

/// Bytes of an id.
pub const ID_BYTES_MAX: usize = 64;

/// What is looked at, and what was found wrong so far.
pub(super) struct Checks<'a> {
    pub(super) source: &'a Source,
    pub(super) problems: &'a mut Problems,
}

impl Checks<'_> {
    pub(super) fn wrong(&mut self, span: Range<usize>, what: impl Into<String>) {
        self.problems.add(self.source.problem(span, what));
    }

    /// As `wrong`, with what was probably meant and what there is.
    pub(super) fn no_such(&mut self, text: &Text, kind: &str, known: &[&str]) {
        let problem = self.source.problem(text.span(), format!("no {kind} \"{}\"", text.get_ref()));
        self.problems.add(problem.with_choice(text.get_ref(), known));
    }

    pub(super) fn id(&mut self, id: &Text) {
        let text = id.get_ref();
        let is_id = (1..=ID_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte));
        if !is_id {
            self.wrong(id.span(), "an id has 1 to 64 letters, digits, dots, dashes, tildes or underscores");
        }
    }

    pub(super) fn money(&mut self, text: Option<&Text>) -> Option<Micros> {
        let text = text?;
        match Micros::parse(text.get_ref()) {
            Ok(parsed) if !parsed.rounded => Some(parsed.amount),
            Ok(_) => {
                self.wrong(text.span(), "an amount has at most 6 decimal places");
                None
            }
            Err(error) => {
                self.wrong(text.span(), error.to_string());
                None
            }
        }
    }

    pub(super) fn currency(&mut self, text: Option<&Text>) -> Option<Currency> {
        let text = text?;
        match text.get_ref().parse() {
            Ok(currency) => Some(currency),
            Err(error) => {
                let error: MoneyError = error;
                self.wrong(text.span(), error.to_string());
                None
            }
        }
    }

    /// A time of at most `max`, which messages call `shown`.
    pub(super) fn duration(&mut self, text: &Text, max: Duration, shown: &str) -> Option<Duration> {
        let time = Duration::from_text(text.get_ref()).filter(|time| *time <= max);
        if time.is_none() {
            self.wrong(text.span(), format!("must be {}, up to \"{shown}\"", Duration::WHAT));
        }
        time
    }

    pub(super) fn template(
        &mut self,
        text: &Text,
        target: Target,
        names: &Names,
        missing: Missing,
    ) -> Option<Template> {
        let error = match Template::parse(text.get_ref(), target, names, missing) {
            Ok(template) => return Some(template),
            Err(error) => error,
        };
        let problem = self.within(text, &error.at, error.what);
        self.problems.add(match error.nearest {
            Some(nearest) => problem.with_hint(format!("did you mean {{{nearest}}}?")),
            None => problem,
        });
        None
    }

    /// A problem with these bytes of a text.
    pub(super) fn within(&self, text: &Text, at: &Range<usize>, what: impl Into<String>) -> Problem {
        // Within the quotes, unless an escape makes the text another than what stands in the file.
        let inside = text.span().start + 1..text.span().end.saturating_sub(1);
        let span = match self.source.text().get(inside.clone()) == Some(text.get_ref()) {
            true => inside.start + at.start..inside.start + at.end,
            false => text.span(),
        };
        self.source.problem(span, what)
    }
}
