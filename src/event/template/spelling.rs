//! How placeholders are written: ours, and those of other trackers.
//!
//! In: the text of a template. Out: pieces of literal text, and gaps with what stands between their braces.
//!
//! | written | by | means |
//! |---|---|---|
//! | `{name}`, `{{name}}` | us, most | the value, escaped for where it stands |
//! | `{name\|filter\|filter:argument}` | us | the value through filters |
//! | `{name:filter}` | Voluum, Keitaro | one filter |
//! | `{_name}` | Keitaro | the value as it is: the filter `raw` |
//! | `{!name!}` | CPV Lab | the value |
//! | `[[name]]` | Prosper202 | the value |
//! | `#name#` | CAKE | the value |
//! | `{name_md5}` | Binom | the value through `md5`, `sha1` or `sha256` |
//! | `\{`, `\[`, `\#` | us | a literal brace, bracket or hash |
//!
//! Not here: which names there are (`name`), where a value may stand (`encode`).

use std::ops::Range;

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Literal(&'a str),
    /// What stands between the braces, and where it stands in the text.
    Gap {
        inside: &'a str,
        at: Range<usize>,
    },
    /// A brace that is opened and not closed, although it begins like a placeholder.
    Unclosed(Range<usize>),
}

const SPELLINGS: &[(&str, &str)] = &[("{!", "!}"), ("{{", "}}"), ("[[", "]]"), ("{", "}"), ("#", "#")];

/// Cuts a template into its pieces.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut literal, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("\\{") || rest.starts_with("\\[") || rest.starts_with("\\#") {
            push_literal(&mut pieces, &text[literal..at]);
            literal = at + 1;
            at += 2;
            continue;
        }
        match gap(rest) {
            Some(Ok((inside, len))) => {
                push_literal(&mut pieces, &text[literal..at]);
                pieces.push(Piece::Gap { inside, at: at..at + len });
                at += len;
                literal = at;
            }
            Some(Err(Open)) => {
                pieces.push(Piece::Unclosed(at..text.len()));
                return pieces;
            }
            None => at += rest.chars().next().map_or(1, char::len_utf8),
        }
    }
    push_literal(&mut pieces, &text[literal..]);
    pieces
}

fn push_literal<'a>(pieces: &mut Vec<Piece<'a>>, text: &'a str) {
    if !text.is_empty() {
        pieces.push(Piece::Literal(text));
    }
}

/// Opened, and never closed.
struct Open;

/// The placeholder that `text` begins with: what is inside, and how long it is with its braces.
fn gap(text: &str) -> Option<Result<(&str, usize), Open>> {
    let (open, close) = SPELLINGS.iter().find(|(open, _)| text.starts_with(open))?;
    let inside = &text[open.len()..];
    // JSON has braces of its own, a URL its hash: a placeholder begins with a letter.
    if !inside.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_') {
        return None;
    }
    let word =
        inside.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(byte)).count();
    if *open == "#" {
        // `#section` is a fragment.
        return inside[word..].starts_with('#').then(|| Ok((&inside[..word], word + 2)));
    }
    match inside.find(close) {
        Some(end) => Some(Ok((&inside[..end], open.len() + end + close.len()))),
        None => Some(Err(Open)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let shown = pieces(text).into_iter().map(|piece| match piece {
            Piece::Literal(text) => text.to_owned(),
            Piece::Gap { inside, .. } => format!("<{inside}>"),
            Piece::Unclosed(_) => "<!".to_owned(),
        });
        shown.collect::<Vec<_>>().join("·")
    }

    #[test]
    fn every_spelling_is_read() {
        let cases = [
            ("a{click_id}b", "a·<click_id>·b"),
            ("{{click_id}}", "<click_id>"),
            ("{!subid!}&x=[[c1]]", "<subid>·&x=·<c1>"),
            ("r=#reqid#&s=#s1#", "r=·<reqid>·&s=·<s1>"),
            ("{_sub1}", "<_sub1>"),
            ("{payout|mul:0.8|round:2}", "<payout|mul:0.8|round:2>"),
            ("https://a/b#section", "https://a/b#section"),
            ("{\"a\":{\"b\":\"{click_id}\"}}", "{\"a\":{\"b\":\"·<click_id>·\"}}"),
            ("{\"a\":{payout}}", "{\"a\":·<payout>·}"),
            ("\\{click_id} \\[[x]] \\#y#", "{click_id} ·[[x]] ·#y#"),
            ("{ } {} {1}", "{ } {} {1}"),
            ("é{click_id}é", "é·<click_id>·é"),
            ("x{click_id", "<!"),
        ];
        for (text, expected) in cases {
            let shown = shown(text);
            assert_eq!(if expected == "<!" { "<!" } else { &shown }, expected, "{text}: {shown}");
            assert_eq!(shown.contains("<!"), expected == "<!", "{text}");
        }
    }
}
