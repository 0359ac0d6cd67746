//! Rust source as the tidy rules read it: tokens, attributes, and the paths that code names.
//!
//! In: the text of one file. Out: what is left without comments, with a literal reduced to its kind.
//! Keeps: the line of everything, for the message.
//! Simplifications, fine for rules about names: macros are not expanded, generic arguments end a path,
//! and nothing is resolved beyond what the text itself says.

/// A file of the package: its path from the root, with `/`, and its text.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// A violation, as it is shown: where, then what.
    pub(crate) fn at(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path)
    }

    /// Whether it is the file `place`, or a part of the module or folder of that name.
    pub(crate) fn is_in(&self, place: &str) -> bool {
        let below = |place: &str| self.path.strip_prefix(place).is_some_and(|rest| rest.starts_with('/'));
        self.path == place || self.path == format!("{place}.rs") || below(place)
    }

    /// The module this file is: `src/store/log.rs` is `[store, log]`; nothing for `lib.rs` and `main.rs`.
    pub(crate) fn module(&self) -> Option<Vec<String>> {
        let path = self.path.strip_prefix("src/")?.strip_suffix(".rs")?;
        let path = path.strip_suffix("/mod").unwrap_or(path);
        (!matches!(path, "lib" | "main")).then(|| path.split('/').map(str::to_owned).collect())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An identifier or a keyword; a raw one without its `r#`.
    Word,
    /// A string, character, byte or number; the text is what stands in the source.
    Literal,
    /// `'a`.
    Lifetime,
    /// `::`, or any other single character.
    Mark,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
    pub(crate) line: usize,
}

impl Token<'_> {
    pub(crate) fn is(&self, text: &str) -> bool {
        self.kind != Kind::Literal && self.text == text
    }
}

/// Whether the tokens at `index` are these, in order.
pub(crate) fn reads(tokens: &[Token<'_>], index: usize, texts: &[&str]) -> bool {
    tokens
        .get(index..index + texts.len())
        .is_some_and(|found| found.iter().zip(texts).all(|(token, text)| token.is(text)))
}

/// The tokens of `text`, without comments.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let (mut found, mut rest, mut line) = (Vec::new(), text, 1);
    while !rest.is_empty() {
        let (kind, len) = token_at(rest);
        let (taken, left) = rest.split_at(len);
        if let Some(kind) = kind {
            let text = match kind {
                Kind::Word => taken.strip_prefix("r#").unwrap_or(taken),
                _ => taken,
            };
            found.push(Token { kind, text, line });
        }
        line += taken.matches('\n').count();
        rest = left;
    }
    found
}

/// The kind and length of what `rest` begins with; no kind for blanks and comments.
fn token_at(rest: &str) -> (Option<Kind>, usize) {
    let first = rest.chars().next().unwrap_or(' ');
    if first.is_whitespace() {
        return (None, first.len_utf8());
    }
    if rest.starts_with("//") {
        return (None, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (None, block_comment_len(rest));
    }
    if let Some(len) = string_len(rest) {
        return (Some(Kind::Literal), len);
    }
    if first == '\'' || rest.starts_with("b'") {
        return quote_at(rest);
    }
    if first.is_ascii_digit() {
        return (Some(Kind::Literal), word_len(rest));
    }
    if is_word(first) {
        let raw = rest.strip_prefix("r#").filter(|name| name.starts_with(is_word));
        return (Some(Kind::Word), raw.map_or_else(|| word_len(rest), |name| 2 + word_len(name)));
    }
    let len = if rest.starts_with("::") { 2 } else { first.len_utf8() };
    (Some(Kind::Mark), len)
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn word_len(rest: &str) -> usize {
    rest.find(|c| !is_word(c)).unwrap_or(rest.len())
}

/// Block comments nest.
fn block_comment_len(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// The length of a string of any sort, or nothing if none begins here.
fn string_len(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r", "b", "c", ""].into_iter().find(|prefix| {
        let tail = rest.strip_prefix(prefix).map(|tail| match prefix.ends_with('r') {
            true => tail.trim_start_matches('#'),
            false => tail,
        });
        tail.is_some_and(|tail| tail.starts_with('"'))
    })?;
    let hashes = rest[prefix.len()..].bytes().take_while(|&byte| byte == b'#').count();
    let open = prefix.len() + hashes + 1;
    if prefix.ends_with('r') {
        let close = format!("\"{}", "#".repeat(hashes));
        return Some(rest[open..].find(&close).map_or(rest.len(), |at| open + at + close.len()));
    }
    Some(open + escaped_len(&rest[open..], b'"'))
}

/// How far it is to behind the closing quote, past whatever a backslash protects.
fn escaped_len(rest: &str, quote: u8) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 0;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// A character, a byte, or a lifetime: a lifetime is what no quote follows.
fn quote_at(rest: &str) -> (Option<Kind>, usize) {
    let open = if rest.starts_with('b') { 2 } else { 1 };
    let body = &rest[open..];
    let first = body.chars().next().map_or(0, char::len_utf8);
    if body.starts_with('\\') || body[first..].starts_with('\'') {
        return (Some(Kind::Literal), open + escaped_len(body, b'\''));
    }
    (Some(Kind::Lifetime), open + word_len(body))
}

/// The tokens within the brackets of each `#[...]` and `#![...]`.
pub(crate) fn attributes<'a, 'b>(tokens: &'b [Token<'a>]) -> Vec<&'b [Token<'a>]> {
    let mut found = Vec::new();
    for index in 0..tokens.len() {
        let open = if reads(tokens, index, &["#", "["]) {
            index + 1
        } else if reads(tokens, index, &["#", "!", "["]) {
            index + 2
        } else {
            continue;
        };
        found.push(&tokens[open + 1..closing(tokens, open)]);
    }
    found
}

/// The index of the bracket that closes the one at `open`, whatever it is; the end if none does.
pub(crate) fn closing(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        if ["(", "[", "{"].iter().any(|bracket| token.is(bracket)) {
            depth += 1;
        } else if [")", "]", "}"].iter().any(|bracket| token.is(bracket)) {
            depth -= 1;
            if depth == 0 {
                return index;
            }
        }
    }
    tokens.len()
}

/// A path that code names: `crate::store::Log`, or each leaf of a `use`.
#[derive(Debug)]
pub(crate) struct Named<'a> {
    /// `*` stands for a glob; `use a::{self}` is `[a]`.
    pub(crate) segments: Vec<&'a str>,
    /// It begins with `::`, so it starts from a crate's name and nothing else.
    pub(crate) rooted: bool,
    /// The inline modules (`mod tests { ... }`) around it.
    pub(crate) within: Vec<&'a str>,
    pub(crate) line: usize,
}

/// Every path of two segments or more, every leaf of a `use`, and each `extern crate`.
pub(crate) fn paths<'a>(tokens: &[Token<'a>]) -> Vec<Named<'a>> {
    let mut found = Vec::new();
    let mut braces: Vec<Option<&str>> = Vec::new();
    let mut index = 0;
    while let Some(token) = tokens.get(index) {
        let within = || braces.iter().copied().flatten().collect::<Vec<_>>();
        if token.is("{") {
            let module = index >= 2 && tokens[index - 2].is("mod");
            braces.push(module.then(|| tokens[index - 1].text));
        } else if token.is("}") {
            braces.pop();
        } else if token.is("use") && !reads(tokens, index + 1, &["<"]) {
            let (mut leaves, rooted) = (Vec::new(), reads(tokens, index + 1, &["::"]));
            index = use_tree(tokens, index + 1, Vec::new(), &mut leaves);
            let within = within();
            found.extend(leaves.into_iter().map(|(segments, line)| Named {
                segments,
                rooted,
                within: within.clone(),
                line,
            }));
            continue;
        } else if reads(tokens, index, &["extern", "crate"]) {
            found.push(Named {
                segments: tokens.get(index + 2).map(|name| name.text).into_iter().collect(),
                rooted: true,
                within: within(),
                line: token.line,
            });
            index += 2;
        } else if token.kind == Kind::Word
            && let Some((rooted, segments)) = inline_path(tokens, index)
        {
            // Each segment but the last is followed by `::`.
            index += 2 * segments.len() - 1;
            found.push(Named { segments, rooted, within: within(), line: token.line });
            continue;
        }
        index += 1;
    }
    found
}

/// The path that begins with the word at `index`: whether `::` stands before it, and its segments.
fn inline_path<'a>(tokens: &[Token<'a>], index: usize) -> Option<(bool, Vec<&'a str>)> {
    let rooted = index >= 1 && tokens[index - 1].is("::");
    // `Vec::<u8>::new`, `<T as Trait>::new`: the middle of a path. But `-> ::std::io::Error` begins one.
    let middle =
        rooted && index >= 2 && tokens[index - 2].is(">") && !(index >= 3 && tokens[index - 3].is("-"));
    if middle || !reads(tokens, index + 1, &["::"]) {
        return None;
    }
    let mut segments = vec![tokens[index].text];
    let mut at = index + 1;
    while reads(tokens, at, &["::"]) && tokens.get(at + 1).is_some_and(|next| next.kind == Kind::Word) {
        segments.push(tokens[at + 1].text);
        at += 2;
    }
    (segments.len() >= 2).then_some((rooted, segments))
}

/// Collects the leaves of the tree at `index` below `prefix`; gives the index behind it.
fn use_tree<'a>(
    tokens: &[Token<'a>],
    mut index: usize,
    mut prefix: Vec<&'a str>,
    leaves: &mut Vec<(Vec<&'a str>, usize)>,
) -> usize {
    while let Some(token) = tokens.get(index) {
        index += 1;
        if token.is("::") || token.is("$") {
            continue;
        }
        if token.is("{") {
            while tokens.get(index).is_some_and(|next| !next.is("}")) {
                index = use_tree(tokens, index, prefix.clone(), leaves);
                index += usize::from(reads(tokens, index, &[","]));
            }
            return index + 1;
        }
        if token.kind != Kind::Word && !token.is("*") {
            return index;
        }
        if !token.is("self") || prefix.is_empty() {
            prefix.push(token.text);
        }
        if !reads(tokens, index, &["::"]) {
            leaves.push((prefix, token.line));
            return if reads(tokens, index, &["as"]) { index + 2 } else { index };
        }
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        tokens(text).iter().map(|token| token.text).collect()
    }

    fn named(text: &str) -> Vec<String> {
        let tokens = tokens(text);
        paths(&tokens).iter().map(|path| path.segments.join("::")).collect()
    }

    #[test]
    fn comments_vanish_and_lines_are_counted_through_them() {
        let found = tokens("a // b \" c\n/* d /* e */\n f */ g\n\"x\ny\" h");
        let lines: Vec<_> = found.iter().map(|token| (token.text, token.line)).collect();
        assert_eq!(lines, [("a", 1), ("g", 3), ("\"x\ny\"", 4), ("h", 5)]);
    }

    #[test]
    fn a_literal_is_one_token_however_it_is_quoted() {
        let cases = [
            r#""a \" unsafe \\""#,
            r###"r#"a " unsafe"#"###,
            r#"b"unsafe""#,
            r###"br##"a "# unsafe"##"###,
            r#"c"unsafe""#,
            r"'\''",
            r"'\u{1F600}'",
            "'\"'",
            "b'\\\\'",
            "'é'",
            "0x_fFu64",
        ];
        for text in cases {
            let source = format!("({text})");
            let found = tokens(&source);
            assert_eq!(found.len(), 3, "{text}: {found:?}");
            assert_eq!((found[1].kind, found[1].text), (Kind::Literal, text));
        }
    }

    #[test]
    fn lifetimes_and_raw_names_are_not_literals() {
        assert_eq!(
            words("fn f<'a>(x: &'a r#type)"),
            ["fn", "f", "<", "'a", ">", "(", "x", ":", "&", "'a", "type", ")"]
        );
        assert_eq!(words("'outer: loop {}"), ["'outer", ":", "loop", "{", "}"]);
    }

    #[test]
    fn a_nested_use_names_each_of_its_leaves() {
        assert_eq!(
            named("use crate::{store::{self, log::Log as L}, event::*}; use ::toml as t; use a;"),
            ["crate::store", "crate::store::log::Log", "crate::event::*", "toml", "a"]
        );
    }

    #[test]
    fn paths_are_found_in_code_and_end_at_generics() {
        assert_eq!(
            named(
                "fn f() -> ::std::io::Error { <T as crate::a::B>::new(Vec::<x::Y>::new(), std::env::var) }"
            ),
            ["std::io::Error", "crate::a::B", "x::Y", "std::env::var"]
        );
        assert_eq!(named("fn f() -> impl Fn() + use<'a> { g(a.b.c) }"), [""; 0]);
    }

    #[test]
    fn a_path_knows_the_inline_modules_around_it() {
        let tokens = tokens("mod a { fn f() { b::c() } mod d { use e; } } f::g!();");
        let within: Vec<_> = paths(&tokens).iter().map(|path| path.within.join("/")).collect();
        assert_eq!(within, ["a", "a/d", ""]);
    }

    #[test]
    fn an_attribute_ends_at_its_own_bracket() {
        let tokens = tokens("#![deny(x)] #[cfg_attr(a, doc = \"]\", b[1])] fn f(a: [u8; 1]) {}");
        let lens: Vec<_> = attributes(&tokens).iter().map(|attribute| attribute.len()).collect();
        assert_eq!(lens, [4, 13]);
    }
}
