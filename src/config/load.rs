//! Settings from where they are given: flags before the environment, that before the file, that before the defaults.
//!
//! In: a file, if one was named, the environment, flags. Out: settings, and for each key where it comes from; or all
//! that is wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::ADMIN_TOKEN_VARIABLE;
use super::problem::{Problem, Problems, Source};
use super::settings::{Settings, Unset};
use super::value::Given;

/// Environment variables with this in front, and two underscores between section and key, are settings.
pub const ENVIRONMENT_PREFIX: &str = "CLICKLOG_";

/// Where a value comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything else.
    #[default]
    Default,
    /// This line of this file.
    File(String, usize),
    /// This variable.
    Environment(String),
    /// This flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{path}:{line}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A flag that sets a key.
#[derive(Clone, Debug)]
pub struct Flag {
    /// Its name, with dashes.
    pub name: &'static str,
    /// Section and key.
    pub key: (&'static str, &'static str),
    /// What was given.
    pub value: String,
}

/// Settings, and where they come from.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    origins: BTreeMap<(String, String), Origin>,
}

impl Loaded {
    /// Where the value of a key comes from.
    pub fn origin(&self, section: &str, key: &str) -> Origin {
        self.origins.get(&(section.to_owned(), key.to_owned())).cloned().unwrap_or_default()
    }

    fn set(
        &mut self,
        (section, key): (&str, &str),
        given: Given<'_>,
        origin: Origin,
    ) -> Result<(), (Unset, Vec<&'static str>)> {
        match self.settings.set(section, key, given) {
            Ok(()) => {
                self.origins.insert((section.to_owned(), key.to_owned()), origin);
                Ok(())
            }
            Err(Unset::Section) => {
                Err((Unset::Section, Settings::SECTIONS.iter().map(|(name, _)| *name).collect()))
            }
            Err(unset) => {
                let entries = self.settings.entries();
                let keys = entries.iter().filter(|entry| entry.section == section).map(|entry| entry.key);
                Err((unset, keys.collect()))
            }
        }
    }
}

/// Loads the settings. `variables` are the environment's.
///
/// # Errors
/// All that is wrong with them.
pub fn load(
    file: Option<&Path>,
    variables: impl IntoIterator<Item = (String, String)>,
    flags: &[Flag],
) -> Result<Loaded, Problems> {
    let mut loaded = Loaded::default();
    let mut problems = Problems::default();
    if let Some(path) = file {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Problem::at(path.display().to_string(), format!("cannot be read: {error}")))?;
        from_file(&mut loaded, &Source::new(path, text), &mut problems);
    }
    for (name, value) in variables {
        let key = name.strip_prefix(ENVIRONMENT_PREFIX).and_then(|rest| rest.split_once("__"));
        let Some((section, key)) = key else { continue };
        let key = (&*section.to_ascii_lowercase(), &*key.to_ascii_lowercase());
        let set = loaded.set(key, Given::Text(&value), Origin::Environment(name.clone()));
        if let Err((unset, known)) = set {
            problems.add(elsewhere(&format!("environment variable {name}"), &value, key, unset, &known));
        }
    }
    for flag in flags {
        let set = loaded.set(flag.key, Given::Text(&flag.value), Origin::Flag(flag.name));
        if let Err((unset, known)) = set {
            problems.add(elsewhere(&format!("flag {}", flag.name), &flag.value, flag.key, unset, &known));
        }
    }
    if loaded.settings.store.critical_free > loaded.settings.store.low_free {
        let what = "store.critical_free must be at most store.low_free";
        problems.add(Problem::at(loaded.origin("store", "critical_free").to_string(), what));
    }
    if let Err((section, key, what)) = loaded.settings.check_acme() {
        problems.add(Problem::at(loaded.origin(section, key).to_string(), what));
    }
    problems.unless_any(loaded)
}

fn from_file(loaded: &mut Loaded, source: &Source, problems: &mut Problems) {
    let table = match DeTable::parse(source.text()) {
        Ok(table) => table.into_inner(),
        Err(error) => return problems.add(source.unreadable(&error)),
    };
    for (section, value) in &table {
        let name = section.get_ref().as_ref();
        let Some(keys) = value.get_ref().as_table() else {
            let what = format!("\"{name}\" stands outside any section");
            problems.add(source.problem(section.span(), what));
            continue;
        };
        for (key, value) in keys {
            from_line(loaded, source, (section, key), value, problems);
        }
    }
}

fn from_line(
    loaded: &mut Loaded,
    source: &Source,
    (section, key): (&Spanned<impl AsRef<str>>, &Spanned<impl AsRef<str>>),
    value: &Spanned<DeValue<'_>>,
    problems: &mut Problems,
) {
    let (section_name, key_name) = (section.get_ref().as_ref(), key.get_ref().as_ref());
    let place = source.problem(key.span(), "");
    let line = place.line.as_ref().map_or(0, |line| line.number);
    let origin = Origin::File(place.place, line);
    let problem = match loaded.set((section_name, key_name), Given::Toml(value.get_ref()), origin) {
        Ok(()) => return,
        Err((Unset::Section, known)) => {
            let problem = source.problem(section.span(), format!("unknown section [{section_name}]"));
            problem.with_choice(section_name, &known)
        }
        Err((Unset::Key, known)) => {
            let problem =
                source.problem(key.span(), format!("unknown key \"{key_name}\" in [{section_name}]"));
            problem.with_choice(key_name, &known)
        }
        Err((Unset::Value(why), _)) if is_secret((section_name, key_name)) => {
            Problem::at(format!("{}:{line}", source.problem(0..0, "").place), unset_secret(&why))
        }
        Err((Unset::Value(why), _)) => {
            let given = source.text().get(value.span()).unwrap_or_default();
            source.problem(value.span(), format!("{section_name}.{key_name} = {given}: {why}"))
        }
    };
    problems.add(problem);
}

fn elsewhere(
    place: &str,
    value: &str,
    (section, key): (&str, &str),
    unset: Unset,
    known: &[&str],
) -> Problem {
    match unset {
        Unset::Section => {
            Problem::at(place, format!("unknown section \"{section}\"")).with_choice(section, known)
        }
        Unset::Key => {
            Problem::at(place, format!("unknown key \"{key}\" in [{section}]")).with_choice(key, known)
        }
        Unset::Value(why) if is_secret((section, key)) => Problem::at(place, unset_secret(&why)),
        Unset::Value(why) => Problem::at(place, format!("{section}.{key} = {value}: {why}")),
    }
}

/// Whether a value may be a secret by mistake, and is not to be shown.
fn is_secret(key: (&str, &str)) -> bool {
    key == ("admin", "token")
}

fn unset_secret(why: &str) -> String {
    format!(
        "admin.token: {why}; the variable {ADMIN_TOKEN_VARIABLE} (with one underscore) may hold the token itself"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SecretRef;
    use crate::config::settings::default_file;

    #[test]
    fn where_the_token_is_can_be_said_in_the_environment_and_a_token_in_its_place_is_not_shown() {
        let token = |text| with("", &[("CLICKLOG_ADMIN__TOKEN", text)], &[]);
        let env = SecretRef::Env("X".to_owned());
        for (text, expected) in [
            ("{ env = \"X\" }", Some(env)),
            ("{file=\"/run/token\"}", Some(SecretRef::File("/run/token".into()))),
            ("", None),
            ("\"\"", None),
        ] {
            assert_eq!(token(text).unwrap().settings.admin.token, expected, "{text}");
        }
        for text in ["hush", "\"hush\"", "{ env = hush }", "{ hush = \"hush\" }", "1\nhush = 2"] {
            let said = token(text).unwrap_err().to_string();
            assert!(said.contains("CLICKLOG_ADMIN__TOKEN: admin.token: must be { env = "), "{said}");
            assert!(said.contains("CLICKLOG_ADMIN_TOKEN (with one underscore)"), "{said}");
            assert!(!said.contains("hush"), "{said}");
        }
        let said = with("[admin]\ntoken = \"hush\"\n", &[], &[]).unwrap_err().to_string();
        assert!(said.contains("c.toml:2: admin.token: must be") && !said.contains("hush"), "{said}");
    }

    fn with(text: &str, variables: &[(&str, &str)], flags: &[Flag]) -> Result<Loaded, Problems> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(&path, text).unwrap();
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        load(Some(&path), variables, flags)
    }

    fn flag(value: &str) -> Flag {
        Flag { name: "--workers", key: ("edge", "workers"), value: value.to_owned() }
    }

    #[test]
    fn a_flag_comes_before_the_environment_and_that_before_the_file() {
        let file = "[edge]\nworkers = 2\n";
        let variable = [("CLICKLOG_EDGE__WORKERS", "3"), ("CLICKLOG_ADMIN_TOKEN", "x"), ("PATH", "/bin")];
        let workers = |loaded: Loaded| {
            (loaded.settings.edge.workers, loaded.origin("edge", "workers").to_string().contains("c.toml:2"))
        };
        assert_eq!(workers(with("", &[], &[]).unwrap()), (0, false));
        assert_eq!(workers(with(file, &[], &[]).unwrap()), (2, true));
        assert_eq!(workers(with(file, &variable, &[]).unwrap()), (3, false));
        let all = with(file, &variable, &[flag("4")]).unwrap();
        assert_eq!(all.origin("edge", "workers").to_string(), "flag --workers");
        assert_eq!(workers(all), (4, false));
    }

    #[test]
    fn what_is_wrong_is_shown_with_its_place_and_a_way_out() {
        let cases = [
            ("[edge]\nworkres = 1", "2:1: unknown key \"workres\" in [edge]", "did you mean \"workers\"?"),
            ("[egde]\nworkers = 1", "1:2: unknown section [egde]", "did you mean \"edge\"?"),
            ("[edge]\nworkers = 65", "2:11: edge.workers = 65: must be 0 to 64", "^^"),
            ("[edge]\nworkers = \"x\"", "edge.workers = \"x\": must be a number", "^^^"),
            ("[edge]\nhead_timeout = 5", "must be a duration like \"500ms\"", "^"),
            ("[store]\nclick_segment = \"1GiB\"", "must be \"64KiB\" to \"512MiB\"", "^"),
            ("[admin]\ntoken = \"hush\"", "c.toml:2: admin.token: must be", "not the secret"),
            ("workers = 1", "1:1: \"workers\" stands outside any section", "^"),
            ("[edge", "1:", "^"),
            ("[store]\ncritical_free = \"8GiB\"", "store.critical_free must be at most store.low_free", ""),
        ];
        for (file, what, hint) in cases {
            let shown = with(file, &[], &[]).unwrap_err().to_string();
            assert!(shown.contains(what) && shown.contains(hint), "{file}\n{shown}");
        }
        let shown = with("", &[("CLICKLOG_EDGE__WORKERZ", "1")], &[flag("x")]).unwrap_err().to_string();
        assert!(shown.contains("environment variable CLICKLOG_EDGE__WORKERZ: unknown key"), "{shown}");
        assert!(shown.contains("flag --workers: edge.workers = x: must be a number"), "{shown}");
    }

    #[test]
    fn the_shipped_file_says_what_is_so_without_it() {
        let shipped = include_str!("../../config/clicklog.toml");
        assert_eq!(default_file(), shipped, "clicklog config default > config/clicklog.toml");
        let loaded = with(shipped, &[], &[]).unwrap();
        assert_eq!(loaded.settings, Settings::default());
        for entry in loaded.settings.entries() {
            assert_ne!(loaded.origin(entry.section, entry.key), Origin::Default, "{}", entry.key);
        }
    }
}
