//! Profiles: what the platforms that networks run on send and want to hear. Data, in the shipped `config/networks.toml`.
//!
//! In: networks as a catalog writes them, the built-in ones or a network's own over them. Out: a `Profile`.
//! Keeps: what is said later comes before what was there; what is not said stays.
//! Not here: what only one network has, such as its secret (`networks`).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use serde::Deserialize;
use toml::Spanned;

use super::checks::Checks;
use super::file::{self, Text};
use super::problem::{Problems, Source};
use crate::apply::claim::Refusal;
use crate::apply::key::{Mode, Scope};
use crate::apply::reading::{Mapping, Meaning, Role};
use crate::event::conversion::Status;
use crate::event::decision::Verdict;
use crate::event::money::Currency;
use crate::event::nearest::nearest;
use crate::ingest::{Answer, Answers, Door, DoorKind};

/// The shipped profiles.
const BUILT_IN: &str = include_str!("../../config/networks.toml");
/// The profile of a network that names none.
pub(super) const DEFAULT: &str = "generic";
/// Items of each list of a network.
pub(super) const LIST_MAX: usize = 256;
/// Bytes of a parameter's, header's or domain's name, and of a path.
const NAME_BYTES_MAX: usize = 256;
/// Bytes of an answer's body.
const BODY_BYTES_MAX: usize = 4 * 1024;
/// What an answer is unless it says otherwise.
const CONTENT_TYPE: &str = "text/plain; charset=utf-8";
/// Gaps of an answer's body.
const GAPS: &[&str] = &["result", "reason", "message", "conversion_id"];
/// Where a path has its secret.
pub(super) const SECRET_SEGMENT: &str = "{secret}";
/// Paths, and with a slash at the end all below them, at which something else is.
const TAKEN: &[&str] = &[
    "/c",
    "/c/",
    "/out",
    "/out/",
    "/m",
    "/t.js",
    "/track",
    "/robots.txt",
    "/favicon.ico",
    "/pixel",
    "/pixel.gif",
    "/pixel.js",
    "/postback/",
];

static PROFILES: LazyLock<Result<Vec<Profile>, Problems>> =
    LazyLock::new(|| parse("built-in profiles", BUILT_IN));

/// What is known of a platform.
#[derive(Clone, Debug, Default)]
pub(super) struct Profile {
    id: Box<str>,
    pub(super) doors: Vec<Door>,
    pub(super) names: BTreeMap<Role, Vec<Box<str>>>,
    /// The network's own come first.
    words: Vec<(Box<str>, Status)>,
    /// What is passed over comes first.
    word_params: BTreeMap<Meaning, Vec<Box<str>>>,
    default_status: Status,
    pub(super) mode: Mode,
    pub(super) scope: Scope,
    pub(super) required: Vec<Role>,
    pub(super) query_first: bool,
    pub(super) secret_params: Vec<Box<str>>,
    pub(super) secret_headers: Vec<Box<str>>,
    answers: Answers,
}

/// The built-in ones. They are read once.
///
/// # Errors
/// What is wrong with the shipped file; a test sees to it that nothing is.
pub(super) fn built_in() -> Result<&'static [Profile], Problems> {
    PROFILES.as_deref().map_err(Clone::clone)
}

/// The one with this id.
pub(super) fn named(all: &'static [Profile], id: &str) -> Option<&'static Profile> {
    all.iter().find(|profile| &*profile.id == id)
}

/// Their ids.
pub(super) fn ids(all: &[Profile]) -> Vec<&str> {
    all.iter().map(|profile| &*profile.id).collect()
}

fn parse(name: &str, text: &str) -> Result<Vec<Profile>, Problems> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        network: Vec<file::Network>,
    }

    let source = Source::new(Path::new(name), text.to_owned());
    let file: File = toml::from_str(text).map_err(|error| source.unreadable(&error))?;
    let mut problems = Problems::default();
    let mut checks = Checks { source: &source, problems: &mut problems };
    let profiles = file.network.iter().map(|item| {
        let mut profile = Profile { id: item.id.get_ref().as_str().into(), ..Profile::default() };
        profile.take(&mut checks, item);
        profile
    });
    let profiles = profiles.collect();
    problems.unless_any(profiles)
}

impl Profile {
    /// Takes over what is said here.
    pub(super) fn take(&mut self, checks: &mut Checks<'_>, item: &file::Network) {
        for (role, given) in &item.params {
            let names = names(checks, given);
            if *role == Role::ClickId && names.is_empty() {
                checks.wrong(item.id.span(), "params.click_id needs at least one name");
            }
            self.names.insert(*role, names);
        }
        self.take_words(checks, item);
        let mut doors: Vec<Door> = item.paths.iter().filter_map(|given| door(checks, given)).collect();
        bound(checks, &item.id, "paths", doors.len());
        doors.append(&mut self.doors);
        self.doors = doors;
        if let Some(given) = &item.secret_params {
            self.secret_params = names(checks, given);
        }
        if let Some(given) = &item.secret_headers {
            bound(checks, &item.id, "secret_headers", given.len());
            self.secret_headers = given.iter().filter_map(|given| header(checks, given)).collect();
        }
        self.mode = item.dedupe.mode.unwrap_or(self.mode);
        self.scope = item.dedupe.scope.unwrap_or(self.scope);
        self.query_first = item.query_first.unwrap_or(self.query_first);
        if let Some(required) = &item.required {
            self.required.clone_from(required.get_ref());
        }
        self.take_answers(checks, item);
    }

    fn take_words(&mut self, checks: &mut Checks<'_>, item: &file::Network) {
        bound(checks, &item.id, "status_map", item.status_map.len());
        let mut words: Vec<(Box<str>, Status)> = Vec::new();
        for (word, status) in &item.status_map {
            let text = word.get_ref().trim();
            // Words mean the same in any case, so one of two would never count.
            if text.is_empty() || words.iter().any(|(other, _)| other.eq_ignore_ascii_case(text)) {
                checks.wrong(word.span(), format!("\"{text}\" is empty, or stands here twice"));
            }
            words.push((text.into(), (*status).into()));
        }
        words.append(&mut self.words);
        self.words = words;
        for (meaning, given) in &item.status_params {
            let names = names(checks, given);
            self.word_params.insert((*meaning).into(), names);
        }
        self.default_status = item.default_status.map_or(self.default_status, Status::from);
    }

    fn take_answers(&mut self, checks: &mut Checks<'_>, item: &file::Network) {
        for (name, given) in &item.answers {
            let known = results();
            if !known.iter().any(|known| known == name.get_ref()) {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                checks.no_such(name, "result", &known);
            }
            let answer = answer(checks, given);
            let all = &mut self.answers.by_result;
            all.retain(|(other, _)| **other != **name.get_ref());
            all.push((name.get_ref().as_str().into(), answer));
        }
        if let Some(echo) = &item.echo {
            self.answers.echo = name(checks, echo);
        }
    }

    /// Which parameter means what.
    pub(super) fn mapping(&self, currency: Currency) -> Mapping {
        let mut mapping = Mapping::new(self.default_status, currency);
        for (role, names) in &self.names {
            let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
            mapping = mapping.with_names(*role, &names);
        }
        for (word, status) in &self.words {
            mapping = mapping.with_word(word, *status);
        }
        for (meaning, names) in &self.word_params {
            for name in names {
                mapping = mapping.with_word_param(name, *meaning);
            }
        }
        mapping
    }

    /// What is answered. A request that was refused for coming too fast was not kept: unless somebody names just that, its
    /// sender is told to come again, also by those who answer everything with 200.
    pub(super) fn answers(&self) -> Answers {
        let mut answers = self.answers.clone();
        let too_fast = format!("rejected:{}", Refusal::RateLimit.name());
        let named = |name: &str| answers.by_result.iter().find(|(other, _)| **other == *name);
        if let (None, Some((_, rejected))) = (named(&too_fast), named("rejected")) {
            let answer = Answer { status: None, ..rejected.clone() };
            answers.by_result.push((too_fast.into(), answer));
        }
        answers
    }
}

impl From<file::Status> for Status {
    fn from(status: file::Status) -> Self {
        match status {
            file::Status::Pending => Self::Pending,
            file::Status::Approved => Self::Approved,
            file::Status::Reversed => Self::Reversed,
        }
    }
}

impl From<file::Meaning> for Meaning {
    fn from(meaning: file::Meaning) -> Self {
        match meaning {
            file::Meaning::Ignored => Self::Ignored,
            file::Meaning::Approved => Self::Status(Status::Approved),
            file::Meaning::Pending => Self::Status(Status::Pending),
            file::Meaning::Reversed => Self::Status(Status::Reversed),
        }
    }
}

/// What an answer can be given for.
fn results() -> Vec<String> {
    let verdicts = [
        Verdict::Accepted,
        Verdict::Updated,
        Verdict::Duplicate,
        Verdict::Held,
        Verdict::Unmatched,
        Verdict::Orphan,
        Verdict::Late,
        Verdict::Test,
        Verdict::Rejected,
    ];
    let refusals = Refusal::ALL.iter().map(|refusal| format!("rejected:{}", refusal.name()));
    let verdicts = verdicts.iter().map(|verdict| verdict.name().to_owned());
    std::iter::once("ok".to_owned()).chain(verdicts).chain(refusals).collect()
}

pub(super) fn bound(checks: &mut Checks<'_>, id: &Text, key: &str, len: usize) {
    if len > LIST_MAX {
        checks.wrong(id.span(), format!("{key}: there are at most {LIST_MAX}"));
    }
}

/// Names of parameters.
fn names(checks: &mut Checks<'_>, given: &[Text]) -> Vec<Box<str>> {
    if let Some(over) = given.get(LIST_MAX) {
        checks.wrong(over.span(), format!("there are at most {LIST_MAX} names"));
    }
    given.iter().filter_map(|given| name(checks, given)).collect()
}

/// A name of a parameter.
pub(super) fn name(checks: &mut Checks<'_>, given: &Text) -> Option<Box<str>> {
    let text = given.get_ref();
    let is_name = (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
    if !is_name {
        checks.wrong(given.span(), format!("a name has 1 to {NAME_BYTES_MAX} bytes that can be seen"));
    }
    is_name.then(|| text.as_str().into())
}

/// A name of a header.
pub(super) fn header(checks: &mut Checks<'_>, given: &Text) -> Option<Box<str>> {
    let text = given.get_ref();
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_header = (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_token);
    if !is_header {
        checks.wrong(given.span(), "must be a header's name like \"X-Secret\"");
    }
    is_header.then(|| text.as_str().into())
}

fn door(checks: &mut Checks<'_>, given: &Spanned<file::Door>) -> Option<Door> {
    let file::Door { path, kind, when } = given.get_ref();
    if let Some(what) = wrong_path(path) {
        checks.wrong(given.span(), what);
        return None;
    }
    let conditions = when.iter().map(|(name, value)| {
        let value = (value != "*").then(|| value.as_str().into());
        (name.as_str().into(), value)
    });
    let kind = match kind {
        file::DoorKind::Postback => DoorKind::Postback,
        file::DoorKind::Image => DoorKind::Image,
        file::DoorKind::Page => DoorKind::Page,
        file::DoorKind::Script => DoorKind::Script,
    };
    Some(Door { path: path.as_str().into(), when: conditions.collect(), kind })
}

/// What is wrong with a path, if anything is.
fn wrong_path(path: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"?#*%{}\"<>\\^`|".contains(&byte);
    let segments = || path.split('/').skip(1);
    let secrets = segments().filter(|segment| *segment == SECRET_SEGMENT).count();
    let is_path = path.starts_with('/')
        && path.len() <= NAME_BYTES_MAX
        && secrets <= 1
        && segments().all(|segment| segment == SECRET_SEGMENT || segment.bytes().all(is_plain));
    if !is_path {
        return Some("must be a path like \"/pb.php\" or \"/{secret}/postback\"".to_owned());
    }
    let is_taken = TAKEN.iter().any(|taken| match taken.strip_suffix('/') {
        Some(_) => path.starts_with(taken),
        None => path == *taken,
    });
    is_taken.then(|| format!("\"{path}\" is where something else is already"))
}

fn answer(checks: &mut Checks<'_>, given: &file::Answer) -> Answer {
    let status = given.status.as_ref();
    if let Some(status) = status.filter(|status| !matches!(status.get_ref(), 200..=299 | 400..=599)) {
        checks.wrong(status.span(), "must be 200 to 299 or 400 to 599");
    }
    let content_type = given.content_type.as_ref();
    let is_type = |text: &str| {
        text.contains('/') && text.len() <= NAME_BYTES_MAX && text.bytes().all(|b| matches!(b, b' '..=b'~'))
    };
    if let Some(wrong) = content_type.filter(|text| !is_type(text.get_ref())) {
        checks.wrong(wrong.span(), "must be a type like \"application/json\"");
    }
    if let Some(body) = &given.body {
        check_body(checks, body);
    }
    Answer {
        status: status.map(|status| *status.get_ref()),
        content_type: content_type.map_or(CONTENT_TYPE, |text| text.get_ref()).into(),
        body: given.body.as_ref().map_or("", |text| text.get_ref()).into(),
    }
}

/// A word in braces is a gap; other braces are part of the body.
fn check_body(checks: &mut Checks<'_>, body: &Text) {
    let text = body.get_ref();
    if text.len() > BODY_BYTES_MAX {
        checks.wrong(body.span(), format!("a body has at most {BODY_BYTES_MAX} bytes"));
    }
    for (at, _) in text.match_indices('{') {
        let Some((word, _)) = text[at + 1..].split_once('}') else { break };
        let is_word = !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        if is_word && !GAPS.contains(&word) {
            let problem =
                checks.within(body, &(at..at + word.len() + 2), format!("no gap is called {{{word}}}"));
            let guess = nearest(word, GAPS.iter().copied());
            let guess = guess.map_or(String::new(), |guess| format!("did you mean {{{guess}}}? "));
            let all = GAPS.iter().map(|gap| format!("{{{gap}}}")).collect::<Vec<_>>().join(", ");
            checks.problems.add(problem.with_hint(format!("{guess}allowed: {all}")));
        }
    }
}
