//! Templates: URLs, headers and bodies with gaps, compiled once and filled often.
//!
//! In: the text of a template, where it is used, and the names that may stand in it. Out: a `Template`; from that and
//! whoever knows the values, bytes.
//! Keeps: what is inserted is never read again for placeholders, and never leaves the place it was inserted at
//! (`encode`): no value changes a URL's scheme, host, port or depth of path, or adds a parameter, a header line or a
//! JSON member. With a warm buffer, filling a URL allocates nothing unless a filter does.
//! Refuses: when it is read, unknown names, filters and arguments, and gaps in a scheme, host or port; when it is
//! filled, a missing value where that was asked for, and a result that is too long.
//! Not here: where values come from.

mod encode;
mod filter;
mod name;
mod spelling;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use encode::Place;
pub use filter::Value;
use filter::{Filter, text_of};
pub use name::{Known, Name, Names};
use spelling::{Piece, pieces};

use super::mask::{MASK, MASK_JSON};

/// Bytes of a template's text.
pub const TEMPLATE_BYTES_MAX: usize = 8 * 1024;
/// Gaps in one template.
pub const GAPS_MAX: usize = 128;
/// Bytes of what a template becomes.
pub const RENDERED_BYTES_MAX: usize = 16 * 1024;

/// What a template makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// An absolute `http` or `https` URL.
    Url,
    /// A header's value.
    Header,
    /// A JSON body.
    Json,
    /// An `application/x-www-form-urlencoded` body.
    Form,
    /// Plain text.
    Text,
}

/// What becomes of a gap whose value is missing, unless it has a `default`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// Nothing is inserted.
    #[default]
    Empty,
    /// The parameter around it is left out; elsewhere as `Empty`.
    Drop,
    /// The whole is not made.
    Fail,
}

/// Whoever knows the values.
pub trait Values {
    /// The value of `name`, if there is one.
    fn value(&self, name: &Name) -> Option<Value<'_>>;
}

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    literals: Box<str>,
    parts: Box<[Part]>,
    missing: Missing,
    target: Target,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    /// The literals from where the last one ended to here.
    Literal(u32),
    /// A parameter begins.
    Pair,
    /// No more parameters.
    PairsEnd,
    Gap(Box<Gap>),
}

#[derive(Clone, Debug, PartialEq)]
struct Gap {
    name: Name,
    place: Place,
    filters: Box<[Filter]>,
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct TemplateError {
    /// Which bytes of it.
    pub at: Range<usize>,
    /// What is wrong with them.
    pub what: String,
    /// What may have been meant.
    pub nearest: Option<String>,
}

/// Why a template could not be filled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// It must not be made without this.
    #[error("there is no value for {{{0}}}")]
    Missing(String),
    /// It would be too long.
    #[error("more than {RENDERED_BYTES_MAX} bytes")]
    TooLong,
}

impl Target {
    /// Whether this must not stand in a template's own text.
    fn refuses(self, letter: char) -> bool {
        match self {
            Self::Json | Self::Text => false,
            Self::Url | Self::Form => letter.is_control(),
            Self::Header => letter.is_control() || !letter.is_ascii(),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(known) => f.write_str(known.text()),
            Self::Param(name) => write!(f, "param.{name}"),
            Self::Postback(name) => write!(f, "postback.{name}"),
            Self::Secret(name) => write!(f, "secret:{name}"),
        }
    }
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with which bytes of it.
    pub fn parse(text: &str, target: Target, names: &Names, missing: Missing) -> Result<Self, TemplateError> {
        let error = |at, what: &str| TemplateError { at, what: what.to_owned(), nearest: None };
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(error(TEMPLATE_BYTES_MAX..text.len(), "the template is too long"));
        }
        if let Some((at, letter)) = text.char_indices().find(|(_, letter)| target.refuses(*letter)) {
            let what = if letter.is_control() { "a control character" } else { "what is not ASCII" };
            return Err(error(at..at + letter.len_utf8(), &format!("{what} must not stand here")));
        }
        let mut compiler = Compiler::new(target);
        let mut gaps = 0;
        for piece in pieces(text) {
            match piece {
                Piece::Literal(literal) => compiler.literal(literal),
                Piece::Unclosed(at) => return Err(error(at, "the placeholder is not closed")),
                Piece::Gap { inside, at } => {
                    gaps += 1;
                    if gaps > GAPS_MAX {
                        return Err(error(at, "there are too many placeholders"));
                    }
                    let Some(place) = compiler.place() else {
                        return Err(error(at, "a placeholder must not stand in the scheme, host or port"));
                    };
                    let gap = gap(inside, place, names).map_err(|(what, nearest)| TemplateError {
                        at: at.clone(),
                        what,
                        nearest,
                    })?;
                    compiler.gap(gap);
                }
            }
        }
        if !compiler.has_host() {
            return Err(error(0..text.len(), "not an absolute http or https URL"));
        }
        if target == Target::Url && !compiler.is_host_plain() {
            let what = "a host has letters, digits, dots and dashes (others in Punycode) and perhaps a port";
            return Err(error(0..text.len(), what));
        }
        if compiler.has_dotted_gap {
            return Err(error(
                0..text.len(),
                "a path segment of dots and placeholders could mean another folder",
            ));
        }
        Ok(Self { literals: compiler.literals.into(), parts: compiler.parts.into(), missing, target })
    }

    /// What it uses, in order.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        let gaps = self.parts.iter().filter_map(|part| match part {
            Part::Gap(gap) => Some(gap),
            _ => None,
        });
        gaps.flat_map(|gap| {
            let keys = gap.filters.iter().filter_map(|filter| match filter {
                Filter::HmacSha256(name) => Some(name),
                _ => None,
            });
            std::iter::once(&gap.name).chain(keys)
        })
    }

    /// Whether it uses this one of ours.
    pub fn uses(&self, known: Known) -> bool {
        self.names().any(|name| *name == Name::Known(known))
    }

    /// Appends what it becomes to `out`.
    ///
    /// # Errors
    /// `Missing` where that was asked for, `TooLong`; then `out` is as it was.
    pub fn render(&self, values: &impl Values, out: &mut Vec<u8>) -> Result<(), RenderError> {
        self.render_as(false, values, out)
    }

    /// The same as a person may see it: `***` stands for each secret, and for what is made with one.
    ///
    /// # Errors
    /// As `render`.
    pub fn show(&self, values: &impl Values, out: &mut Vec<u8>) -> Result<(), RenderError> {
        self.render_as(true, values, out)
    }

    fn render_as(&self, is_shown: bool, values: &impl Values, out: &mut Vec<u8>) -> Result<(), RenderError> {
        let start = out.len();
        let done = self.fill(is_shown, values, out).and_then(|()| {
            if out.len() - start > RENDERED_BYTES_MAX { Err(RenderError::TooLong) } else { Ok(()) }
        });
        if done.is_err() {
            out.truncate(start);
        }
        done
    }

    fn fill(&self, is_shown: bool, values: &impl Values, out: &mut Vec<u8>) -> Result<(), RenderError> {
        let mut literal = 0;
        // The parameter that is being written: where it begins, and whether it is the first.
        let (mut pair_start, mut has_pairs, mut had_pairs) = (out.len(), false, false);
        let mut is_dropped = false;
        for part in &self.parts {
            match part {
                Part::Pair => {
                    is_dropped = false;
                    (pair_start, had_pairs) = (out.len(), has_pairs);
                    match (has_pairs, self.target) {
                        (true, _) => out.push(b'&'),
                        (false, Target::Form) => {}
                        (false, _) => out.push(b'?'),
                    }
                    has_pairs = true;
                }
                Part::PairsEnd => is_dropped = false,
                Part::Literal(end) => {
                    let text = self.literals.get(literal..*end as usize).unwrap_or_default();
                    literal = *end as usize;
                    if !is_dropped {
                        out.extend_from_slice(text.as_bytes());
                    }
                }
                Part::Gap(_) if is_dropped => {}
                Part::Gap(gap) => {
                    if gap.insert(is_shown, values, out) {
                        continue;
                    }
                    match self.missing {
                        Missing::Fail => return Err(RenderError::Missing(gap.name.to_string())),
                        Missing::Drop if gap.place == Place::Query => {
                            out.truncate(pair_start);
                            has_pairs = had_pairs;
                            is_dropped = true;
                        }
                        Missing::Drop | Missing::Empty if gap.place == Place::JsonValue => {
                            out.extend_from_slice(b"null");
                        }
                        Missing::Drop | Missing::Empty => {}
                    }
                }
            }
        }
        Ok(())
    }
}

impl Gap {
    /// Whether its value is a secret, or made with one.
    fn is_secret(&self) -> bool {
        let is_keyed = |filter: &Filter| matches!(filter, Filter::HmacSha256(_));
        matches!(self.name, Name::Secret(_)) || self.filters.iter().any(is_keyed)
    }

    /// Inserts its value, or, where it is shown, a mask for a secret; says whether there was one.
    fn insert(&self, is_shown: bool, values: &impl Values, out: &mut Vec<u8>) -> bool {
        let default = self.filters.iter().find_map(|filter| match filter {
            Filter::Default(text) => Some(text.as_ref()),
            _ => None,
        });
        let made = values.value(&self.name).and_then(|value| self.filtered(value, values));
        let fits = |text: &str| !(text.is_empty() || self.place == Place::Path && encode::is_folder(text));
        let (text, may_be_bare) = match &made {
            Some((text, is_number)) if fits(text) => (text.as_ref(), *is_number),
            _ => match default {
                Some(text) if fits(text) => (text, false),
                _ => return false,
            },
        };
        if is_shown && self.is_secret() {
            let mask = if self.place == Place::JsonValue { MASK_JSON } else { MASK };
            out.extend_from_slice(mask.as_bytes());
            return true;
        }
        let is_raw = self.filters.contains(&Filter::Raw) || self.filters.contains(&Filter::UrlEncode);
        encode::push(out, self.place, text, is_raw || may_be_bare && self.place == Place::JsonValue);
        true
    }

    /// The value after all filters, and whether it is a number.
    fn filtered<'a>(&self, value: Value<'a>, values: &impl Values) -> Option<(Cow<'a, str>, bool)> {
        let time = if let Value::Time(time) = value { Some(time) } else { None };
        let mut text = text_of(value);
        let mut is_number = !matches!(value, Value::Text(_));
        for filter in &self.filters {
            if matches!(filter, Filter::Raw | Filter::Default(_)) {
                continue;
            }
            if text.is_empty() {
                return None;
            }
            let secret = match filter {
                Filter::HmacSha256(name) => match values.value(name) {
                    Some(Value::Text(secret)) => Some(secret),
                    _ => return None,
                },
                _ => None,
            };
            text = filter.apply(&text, time, secret)?.into();
            is_number = match filter {
                Filter::Round(_) | Filter::Mul(_) | Filter::Minor(_) | Filter::Unix | Filter::UnixMs => true,
                Filter::Trim | Filter::Digits => is_number,
                _ => false,
            };
        }
        Some((text, is_number))
    }
}

/// Reads what stands between the braces.
fn gap(inside: &str, place: Place, names: &Names) -> Result<Gap, (String, Option<String>)> {
    let find = |word: &str| names.find(word);
    let mut written = inside.split('|');
    let head = written.next().unwrap_or_default().trim();
    let mut filters = Vec::new();
    let (word, colon) = match head.split_once(':') {
        Some((word, rest)) if word != "secret" => (word, Some(rest)),
        _ => (head, None),
    };
    let name = match (names.find(word), word.strip_prefix('_')) {
        (Some(name), _) => name,
        (None, Some(bare)) if names.find(bare).is_some() => {
            filters.push(Filter::Raw);
            names.find(bare).ok_or_else(|| (String::new(), None))?
        }
        (None, _) => hashed(word, names, &mut filters)?,
    };
    let is_time = matches!(name, Name::Known(Known::ClickTime | Known::ConversionTime | Known::Now));
    let unknown = |text: &str| (format!("\"{text}\" is no filter, or one with other arguments"), None);
    if let Some(text) = colon {
        let filter = Filter::parse(text, find)
            .or_else(|| if is_time { Filter::date(text) } else { None })
            .or_else(|| Filter::map(text).filter(|_| text.contains('=')));
        filters.push(filter.ok_or_else(|| unknown(text))?);
    }
    for text in written {
        filters.push(Filter::parse(text.trim_start(), find).ok_or_else(|| unknown(text))?);
    }
    if let Some(filter) = filters.iter().find(|filter| filter.wants_time() && !is_time) {
        return Err((format!("{filter:?} works on moments, and {{{word}}} is none"), None));
    }
    Ok(Gap { name, place, filters: filters.into() })
}

/// `t1_md5` is `t1` through `md5`.
fn hashed(word: &str, names: &Names, filters: &mut Vec<Filter>) -> Result<Name, (String, Option<String>)> {
    let found = word.rsplit_once('_').and_then(|(name, hash)| {
        let filter = match hash {
            "md5" => Filter::Md5,
            "sha1" => Filter::Sha1,
            "sha256" => Filter::Sha256,
            _ => return None,
        };
        Some((names.find(name)?, filter))
    });
    let Some((name, filter)) = found else {
        return Err((format!("there is no placeholder {{{word}}}"), names.nearest(word)));
    };
    filters.push(filter);
    Ok(name)
}

/// Where the text that was read so far has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before the end of a URL's host and port.
    Authority,
    Path,
    Query,
    Fragment,
    Header,
    /// In JSON, inside a string or not.
    Json(bool),
    Text,
}

/// Turns pieces into parts, and knows what each character of a literal means.
struct Compiler {
    at: At,
    literals: String,
    /// Where in them a URL's host and port end.
    authority_end: Option<usize>,
    parts: Vec<Part>,
    /// The current path segment: has it a gap, and is the rest of it only dots?
    segment: (bool, String),
    has_dotted_gap: bool,
}

impl Compiler {
    fn new(target: Target) -> Self {
        let at = match target {
            Target::Url => At::Authority,
            Target::Header => At::Header,
            Target::Json => At::Json(false),
            Target::Form => At::Query,
            Target::Text => At::Text,
        };
        let parts = if target == Target::Form { vec![Part::Pair] } else { Vec::new() };
        let segment = (false, String::new());
        Self { at, literals: String::new(), authority_end: None, parts, segment, has_dotted_gap: false }
    }

    fn place(&self) -> Option<Place> {
        Some(match self.at {
            At::Authority => return None,
            At::Path => Place::Path,
            At::Query => Place::Query,
            At::Fragment => Place::Fragment,
            At::Header => Place::Header,
            At::Json(true) => Place::JsonString,
            At::Json(false) => Place::JsonValue,
            At::Text => Place::Text,
        })
    }

    fn gap(&mut self, gap: Gap) {
        if self.at == At::Path {
            self.segment.0 = true;
        }
        self.end_literal();
        self.parts.push(Part::Gap(Box::new(gap)));
    }

    fn literal(&mut self, text: &str) {
        for letter in text.chars() {
            self.letter(letter);
        }
        self.end_literal();
    }

    fn letter(&mut self, letter: char) {
        match (self.at, letter) {
            (At::Authority, '/' | '?' | '#' | '\\') if self.has_authority() => {
                self.at = At::Path;
                self.authority_end = Some(self.literals.len());
                self.letter(letter);
            }
            (At::Path, '?') => {
                self.end_segment();
                self.begin_pair();
                self.at = At::Query;
            }
            (At::Query, '&') => self.begin_pair(),
            (At::Path | At::Query, '#') => {
                self.end_segment();
                self.end_literal();
                self.parts.push(Part::PairsEnd);
                self.at = At::Fragment;
                self.literals.push('#');
            }
            (At::Path, '/' | '\\') => {
                self.end_segment();
                self.literals.push(letter);
            }
            (At::Path, _) => {
                self.segment.1.push(letter);
                self.push(letter);
            }
            (At::Query | At::Fragment, _) => self.push(letter),
            (At::Json(is_string), '"') => {
                let slashes = self.literals.bytes().rev().take_while(|byte| *byte == b'\\').count();
                let is_escaped = is_string && !slashes.is_multiple_of(2);
                self.at = At::Json(is_string ^ !is_escaped);
                self.literals.push('"');
            }
            _ => self.literals.push(letter),
        }
    }

    /// Adds a letter to a URL or a form, escaped if it could not stand there.
    fn push(&mut self, letter: char) {
        if letter.is_ascii_graphic() {
            return self.literals.push(letter);
        }
        for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
            self.literals.push_str(&format!("%{byte:02X}"));
        }
    }

    /// Whether the host, with its port, is one that every client takes as it stands.
    fn is_host_plain(&self) -> bool {
        let end = self.authority_end.unwrap_or(self.literals.len());
        let authority = self.literals.get(..end).unwrap_or_default();
        let host = authority.split_once("://").map_or("", |(_, host)| host);
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
    }

    /// Whether a whole host has been read.
    fn has_authority(&self) -> bool {
        let host = ["http://", "https://"].iter().find_map(|scheme| {
            let (start, rest) = self.literals.split_at_checked(scheme.len())?;
            start.eq_ignore_ascii_case(scheme).then_some(rest)
        });
        host.is_some_and(|host| !host.is_empty())
    }

    /// Whether the target needs no host, or has one.
    fn has_host(&mut self) -> bool {
        self.end_segment();
        self.at != At::Authority || self.has_authority()
    }

    fn begin_pair(&mut self) {
        self.end_literal();
        self.parts.push(Part::Pair);
    }

    fn end_segment(&mut self) {
        let (has_gap, rest) = std::mem::take(&mut self.segment);
        self.has_dotted_gap |= has_gap && encode::is_folder(&rest);
    }

    fn end_literal(&mut self) {
        let end = u32::try_from(self.literals.len()).unwrap_or(u32::MAX);
        let start = self.parts.iter().rev().find_map(|part| match part {
            Part::Literal(end) => Some(*end),
            _ => None,
        });
        if end > start.unwrap_or(0) {
            self.parts.push(Part::Literal(end));
        }
    }
}
