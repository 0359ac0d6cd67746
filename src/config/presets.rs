//! Presets: what traffic sources and conversion APIs want to be sent. Data, in the shipped `config/destinations.toml`.
//!
//! In: postbacks as a catalog writes them, with `<name>` where each user has something else. Out: a postback that lacks
//! nothing but its id.
//! Keeps: a value is put in as it stands, before anything is compiled: it may be a placeholder or a number as well. One
//! that names a secret becomes the placeholder of it, so that the secret itself is in no template.
//! Not here: what the keys mean (`destinations`).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use serde::Deserialize;

use super::checks::Checks;
use super::postback::{Fill, Filled, Postback};
use super::problem::{Problem, Problems, Source};
use super::profiles::bound;

/// The shipped presets.
const BUILT_IN: &str = include_str!("../../config/destinations.toml");
/// How a value names a secret.
const SECRET: &str = "secret:";

static PRESETS: LazyLock<Result<Vec<Preset>, Problems>> =
    LazyLock::new(|| parse("built-in presets", BUILT_IN));

/// A preset.
#[derive(Debug)]
pub(super) struct Preset {
    id: String,
    postback: Postback,
    /// What is to be filled.
    gaps: BTreeSet<String>,
    /// What fills them unless the postback says otherwise.
    defaults: BTreeMap<String, String>,
}

/// The built-in ones. They are read once.
///
/// # Errors
/// What is wrong with the shipped file; a test sees to it that nothing is.
pub(super) fn built_in() -> Result<&'static [Preset], Problems> {
    PRESETS.as_deref().map_err(Clone::clone)
}

fn parse(name: &str, text: &str) -> Result<Vec<Preset>, Problems> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        postback: Vec<Postback>,
    }

    let source = Source::new(Path::new(name), text.to_owned());
    let file: File = toml::from_str(text).map_err(|error| source.unreadable(&error))?;
    let presets = file.postback.into_iter().map(|mut postback| {
        let id = postback.id.take().ok_or_else(|| Problem::at(name, "a preset has no id"))?.into_inner();
        let values = postback.values.take().unwrap_or_default();
        let defaults = values.into_iter().map(|(name, value)| (name.into_inner(), value.into_inner()));
        let fill = Fill::default();
        postback.filled(&fill);
        Ok(Preset { id, postback, gaps: fill.missing.into_inner(), defaults: defaults.collect() })
    });
    presets.collect::<Result<_, Problem>>().map_err(Problems::from)
}

/// A postback with all that its preset says and it does not. Nothing if there is no telling what that is.
pub(super) fn complete<'a>(
    checks: &mut Checks<'_>,
    item: &'a Postback,
    presets: &[Preset],
    secrets: &BTreeSet<String>,
) -> Option<Cow<'a, Postback>> {
    let Some(wanted) = &item.preset else {
        if let Some((name, _)) = item.values.iter().flatten().next() {
            checks.wrong(name.span(), "values are for a preset, and this postback names none");
        }
        return Some(Cow::Borrowed(item));
    };
    let Some(preset) = presets.iter().find(|preset| preset.id == *wanted.get_ref()) else {
        let known: Vec<&str> = presets.iter().map(|preset| preset.id.as_str()).collect();
        checks.no_such(wanted, "preset", &known);
        return None;
    };
    let mut values = preset.defaults.clone();
    bound(checks, wanted, "values", item.values.as_ref().map_or(0, BTreeMap::len));
    for (name, value) in item.values.iter().flatten() {
        if !preset.gaps.contains(name.get_ref()) {
            let known: Vec<&str> = preset.gaps.iter().map(String::as_str).collect();
            checks.no_such(name, "value of this preset", &known);
        }
        let text = value.get_ref();
        let secret = text.strip_prefix(SECRET);
        if let Some(unknown) = secret.filter(|name| !secrets.contains(*name)) {
            let known: Vec<String> = secrets.iter().map(|name| format!("{SECRET}{name}")).collect();
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let problem =
                checks.source.problem(value.span(), format!("no secret \"{unknown}\" in [secrets]"));
            checks.problems.add(problem.with_choice(text, &known));
        }
        let text = if secret.is_some() { format!("{{{text}}}") } else { text.clone() };
        values.insert(name.get_ref().clone(), text);
    }
    let fill = Fill { values, at: wanted.span(), ..Fill::default() };
    let below = preset.postback.filled(&fill);
    let missing = fill.missing.into_inner();
    for name in &missing {
        let what = format!("the preset \"{}\" needs a value for \"{name}\"", preset.id);
        let problem = checks.source.problem(wanted.span(), what);
        checks.problems.add(problem.with_hint(format!("values = {{ {name} = \"…\" }}")));
    }
    missing.is_empty().then(|| Cow::Owned(item.clone().over_preset(below)))
}
