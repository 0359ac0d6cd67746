//! A catalog's file, cut into its top-level tables, so that they can be read and compiled one by one: a hundred thousand
//! campaigns then take the memory that they are compiled into, and not many times as much.
//!
//! In: a file's text. Out: for each `[[campaign]]` and the like where it stands, with the tables below it.
//! Keeps: cutting changes nothing. A file in which it would, because a table stands apart from the one that it belongs
//! to or because of anything out of the ordinary, is one block.

use std::ops::Range;

use toml_parser::Source;
use toml_parser::lexer::{Token, TokenKind};

/// What stands in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Secrets,
    Network,
    Source,
    Offer,
    Campaign,
    Postback,
    Host,
    ClickPath,
    /// Anything: the whole file.
    Whole,
}

/// A part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) kind: Kind,
    pub(super) range: Range<usize>,
}

impl Kind {
    fn of(name: &str, is_array: bool) -> Option<Self> {
        Some(match (name, is_array) {
            ("secrets", false) => Self::Secrets,
            ("network", true) => Self::Network,
            ("source", true) => Self::Source,
            ("offer", true) => Self::Offer,
            ("campaign", true) => Self::Campaign,
            ("postback", true) => Self::Postback,
            ("host", true) => Self::Host,
            ("click_path", true) => Self::ClickPath,
            _ => return None,
        })
    }
}

/// Cuts a file.
pub(super) fn cut(text: &str) -> Vec<Block> {
    try_cut(text).unwrap_or_else(|| vec![Block { kind: Kind::Whole, range: 0..text.len() }])
}

fn try_cut(text: &str) -> Option<Vec<Block>> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut tokens = Source::new(text).lex().filter(|token| token.kind() != TokenKind::Whitespace);
    let (mut depth, mut is_line_start) = (0u32, true);
    while let Some(token) = tokens.next() {
        let kind = token.kind();
        match kind {
            TokenKind::LeftSquareBracket if depth == 0 && is_line_start => {
                let (path, is_array) = header(text, &mut tokens)?;
                begin(&mut blocks, &path, is_array, token.span().start())?;
                is_line_start = false;
                continue;
            }
            TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket => depth += 1,
            TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => depth = depth.checked_sub(1)?,
            TokenKind::Comment | TokenKind::Newline | TokenKind::Eof => {}
            // A key in front of any table.
            _ if blocks.is_empty() => return None,
            _ => {}
        }
        is_line_start = kind == TokenKind::Newline;
    }
    let mut end = text.len();
    for block in blocks.iter_mut().rev() {
        block.range.end = end;
        end = block.range.start;
    }
    let secrets = blocks.iter().filter(|block| block.kind == Kind::Secrets).count();
    (depth == 0 && secrets <= 1).then_some(blocks)
}

/// The rest of a header, from behind its first bracket: the names in it, and whether it has two brackets.
fn header<'a>(text: &'a str, tokens: &mut impl Iterator<Item = Token>) -> Option<(Vec<&'a str>, bool)> {
    let (mut path, mut is_array) = (Vec::new(), false);
    loop {
        let token = tokens.next()?;
        match token.kind() {
            TokenKind::LeftSquareBracket if path.is_empty() && !is_array => is_array = true,
            TokenKind::Atom => path.push(text.get(token.span().start()..token.span().end())?),
            TokenKind::Dot => {}
            TokenKind::RightSquareBracket => break,
            // A quoted name is out of the ordinary.
            _ => return None,
        }
    }
    let closes = !is_array || tokens.next()?.kind() == TokenKind::RightSquareBracket;
    closes.then_some((path, is_array))
}

/// Begins a block, or goes on with the one at hand where the header is of a table below it.
fn begin(blocks: &mut Vec<Block>, path: &[&str], is_array: bool, start: usize) -> Option<()> {
    match path {
        [name] => blocks.push(Block { kind: Kind::of(name, is_array)?, range: start..start }),
        [name, _, ..] if Kind::of(name, true)? == blocks.last()?.kind => {}
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(Kind, &str)> {
        cut(text).into_iter().map(|block| (block.kind, &text[block.range])).collect()
    }

    #[test]
    fn tables_go_with_the_one_that_they_belong_to() {
        let source = "[[source]]\nid = \"a\"\n  [[source.postback]]\nid = \"p\"\n\n";
        let text = format!("# head\n[secrets]\nk = 1\n{source}[[offer]] # x\nid = \"o\"");
        let expected = [
            (Kind::Secrets, "[secrets]\nk = 1\n"),
            (Kind::Source, source),
            (Kind::Offer, "[[offer]] # x\nid = \"o\""),
        ];
        assert_eq!(kinds(&text), expected);
        assert_eq!(kinds("# nothing\n"), []);
    }

    #[test]
    fn what_only_looks_like_a_header_cuts_nothing() {
        for inside in [
            "\"\"\"\n[[offer]]\n\"\"\"",
            "'''\n[[offer]]\n'''",
            "[\n[[1]],\n[[2]]\n]",
            "{ b = [[1]] }",
            "\"a\\\"\" # \"\"\"",
        ] {
            let text = format!("[[campaign]]\na = {inside}\n# [[offer]]\n");
            assert_eq!(kinds(&text), [(Kind::Campaign, text.as_str())]);
        }
    }

    #[test]
    fn whatever_cutting_would_change_is_one_block() {
        for text in [
            "offer = []\n[[offer]]\n",
            "[[source]]\nid = \"a\"\n[[offer]]\n[[source.postback]]\n",
            "[secrets]\n[secrets]\n",
            "[[ofer]]\n",
            "[offer]\n",
            "[[\"offer\"]]\n",
            "[[offer]\n",
            "[[offer]]\na = [1\n",
            "[[offer]]\na = ]\n",
        ] {
            assert_eq!(kinds(text), [(Kind::Whole, text)], "{text}");
        }
    }
}
