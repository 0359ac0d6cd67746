//! Habits of a file: its header, its length, its blanks, and what must not be left in it.

use super::source::{Kind, Source, Token, attributes, closing, reads};
use crate::{all, bites, each, holds, src};

/// The most lines a file in `src` may have.
const SRC_LINES_MAX: usize = 700;

#[test]
fn every_src_file_opens_with_its_header() {
    holds(missing_header, &src());
}

#[test]
fn a_missing_header_is_caught() {
    let caught = [
        ("src/a.rs", "use b;\n//! Late."),
        ("src/a.rs", "\n//! After a blank line."),
        ("src/a.rs", "//!\n"),
        ("src/a.rs", ""),
    ];
    bites(missing_header, &caught, &[("src/a.rs", "//! What it takes, gives, keeps.\n")]);
}

#[test]
fn no_src_file_is_longer_than_a_reader_can_hold() {
    holds(too_many_lines, &src());
}

#[test]
fn a_file_that_is_too_long_is_caught() {
    let (full, over) = ("x\n".repeat(SRC_LINES_MAX), "x\n".repeat(SRC_LINES_MAX + 1));
    bites(too_many_lines, &[("src/a.rs", &over)], &[("src/a.rs", &full)]);
}

#[test]
fn nothing_is_left_to_be_written_later() {
    holds(stubs, &all());
}

#[test]
fn a_stub_is_caught() {
    let caught = [("src/a.rs", "fn f() { todo![] }"), ("tests/a.rs", "fn f() { std::unimplemented!{} }")];
    bites(stubs, &caught, &[("src/a.rs", "fn f() { todo(1) } // todo!\n")]);
}

#[test]
fn every_ignored_test_says_why() {
    holds(ignored_without_reason, &all());
}

#[test]
fn an_ignored_test_without_a_reason_is_caught() {
    let caught = [
        ("tests/a.rs", "# [ignore] fn f() {}"),
        ("tests/a.rs", "# [ignore = \"\"] fn f() {}"),
        ("src/a.rs", "#[cfg_attr(miri, ignore)] fn f() {}"),
    ];
    let passed = [
        ("tests/a.rs", "# [ignore = \"mounts an image; .ci/run runs it\"] fn f() {}"),
        ("src/a.rs", "#[cfg_attr(miri, ignore = \"no files there\")] fn f(ignore: bool) {}"),
    ];
    bites(ignored_without_reason, &caught, &passed);
}

#[test]
fn lints_are_expected_with_a_reason_and_never_allowed() {
    holds(unexplained_lints, &all());
}

#[test]
fn an_allowed_or_unexplained_lint_is_caught() {
    let caught = [
        ("src/a.rs", "#[allow(dead_code)] fn f() {}"),
        ("src/a.rs", "#![allow(dead_code, reason = \"later\")]"),
        ("src/a.rs", "#[cfg_attr(test, allow(dead_code))] fn f() {}"),
        ("src/a.rs", "#[expect(dead_code)] fn f() {}"),
        ("src/a.rs", "#[expect(dead_code, reason = \"\")] fn f() {}"),
    ];
    let passed = [
        ("src/a.rs", "#[expect(dead_code, reason = \"the other targets use it\")] fn f() {}"),
        ("src/a.rs", "fn allow(a: u8) { limiter.allow(a); a.expect(\"b\") }"),
        ("src/a.rs", "#[should_panic(expected = \"b\")] fn f() {}"),
    ];
    bites(unexplained_lints, &caught, &passed);
}

#[test]
fn no_line_holds_a_tab_or_ends_in_a_blank() {
    holds(stray_blanks, &all());
}

#[test]
fn a_tab_or_a_trailing_blank_is_caught() {
    let caught =
        [("src/a.rs", "a\tb\n"), ("src/a.rs", "a \n"), ("src/a.rs", "a\r\n"), ("src/a.rs", "//!\u{a0}\n")];
    bites(stray_blanks, &caught, &[("src/a.rs", "a b\n\n    c\n")]);
}

fn missing_header(sources: &[Source]) -> Vec<String> {
    let headless = |source: &&Source| {
        let header = source.text.strip_prefix("//! ");
        header.is_none_or(|rest| rest.starts_with('\n'))
    };
    let what = "the first line is a `//!` header: what it takes, gives, keeps, refuses";
    sources.iter().filter(headless).map(|source| source.at(1, what)).collect()
}

fn too_many_lines(sources: &[Source]) -> Vec<String> {
    let counted = sources.iter().map(|source| (source, source.text.lines().count()));
    counted
        .filter(|(_, lines)| *lines > SRC_LINES_MAX)
        .map(|(source, lines)| {
            source.at(lines, &format!("{lines} lines, the most is {SRC_LINES_MAX}: look for the seam"))
        })
        .collect()
}

fn stubs(sources: &[Source]) -> Vec<String> {
    each(sources, |source, tokens| {
        let stubs = tokens
            .windows(2)
            .filter(|pair| (pair[0].is("todo") || pair[0].is("unimplemented")) && pair[1].is("!"));
        stubs.map(|pair| source.at(pair[0].line, "a stub does not belong in the project")).collect()
    })
}

fn ignored_without_reason(sources: &[Source]) -> Vec<String> {
    each(sources, |source, tokens| {
        let mut found = Vec::new();
        for attribute in attributes(tokens) {
            for (index, token) in attribute.iter().enumerate() {
                if token.is("ignore") && !has_text(attribute, index) {
                    found.push(source.at(token.line, "an ignored test says why, and where it does run"));
                }
            }
        }
        found
    })
}

fn unexplained_lints(sources: &[Source]) -> Vec<String> {
    each(sources, |source, tokens| {
        let mut found = Vec::new();
        for attribute in attributes(tokens) {
            for (index, token) in attribute.iter().enumerate() {
                let list = &attribute[index..closing(attribute, index)];
                if reads(attribute, index, &["allow", "("]) {
                    found.push(
                        source.at(
                            token.line,
                            "use `expect(..., reason = ...)`: it falls when it is not needed",
                        ),
                    );
                } else if reads(attribute, index, &["expect", "("])
                    && !(0..list.len()).any(|at| list[at].is("reason") && has_text(list, at))
                {
                    found.push(source.at(token.line, "an expected lint says why"));
                }
            }
        }
        found
    })
}

/// Whether the name at `index` is followed by `= "text"`, of at least one character.
fn has_text(tokens: &[Token<'_>], index: usize) -> bool {
    let text = tokens.get(index + 2).filter(|token| token.kind == Kind::Literal && token.text != "\"\"");
    reads(tokens, index + 1, &["="]) && text.is_some()
}

fn stray_blanks(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        for (index, line) in source.text.split('\n').enumerate() {
            if line.contains('\t') || line.ends_with(char::is_whitespace) {
                found.push(source.at(index + 1, "a tab, or a blank at the end"));
            }
        }
    }
    found
}
