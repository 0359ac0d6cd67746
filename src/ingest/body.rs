//! The body of a postback: a form or a JSON object, read into parameters.
//!
//! In: the bytes, and what the sender calls them. Out: parameters; those of an object within an object as `a.b`, those of
//! a list as `a.0`; numbers as they are written, `null` not at all.
//! Refuses: what is neither of the two, objects deeper than `DEPTH_MAX`, text that is not UTF-8 in JSON.
//! Not here: how long a body may be (`options`), which of two values under one name counts (`read`).

use std::ops::Range;
use std::str::from_utf8;

use crate::event::Members;
use crate::event::params::{Params, Source};

/// Objects and lists within one another.
pub(super) const DEPTH_MAX: usize = 4;

/// Why a body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadBody {
    #[error("the body is neither a form nor JSON")]
    Kind,
    #[error("the body is no JSON object")]
    Json,
    #[error("the body has objects within objects, deeper than {DEPTH_MAX}")]
    Deep,
}

/// Adds what a body says to `params`.
pub(super) fn parse_into(params: &mut Params, content_type: &str, body: &[u8]) -> Result<(), BadBody> {
    let body = body.trim_ascii();
    match kind(content_type, body)? {
        Kind::Form => params.parse_into(body, Source::Form),
        Kind::Json => each_value(body, &mut |name, raw| {
            if raw.starts_with('"') {
                let text: String = serde_json::from_str(raw).map_err(|_| BadBody::Json)?;
                params.push(name, &text);
            } else {
                params.push(name, raw);
            }
            Ok(())
        })?,
    }
    Ok(())
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Form,
    Json,
}

/// What the sender says it is; or, where that says nothing, what it looks like.
pub(super) fn kind(content_type: &str, body: &[u8]) -> Result<Kind, BadBody> {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        _ if body.is_empty() => Ok(Kind::Form),
        "application/x-www-form-urlencoded" => Ok(Kind::Form),
        "application/json" | "text/json" => Ok(Kind::Json),
        other if other.ends_with("+json") => Ok(Kind::Json),
        "" | "text/plain" | "application/octet-stream" => {
            Ok(if body.starts_with(b"{") { Kind::Json } else { Kind::Form })
        }
        _ => Err(BadBody::Kind),
    }
}

/// Where in a JSON body the values are that are meant, by their names and how they are written.
pub(super) fn places(body: &[u8], is_meant: impl Fn(&str, &str) -> bool) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let start = body.as_ptr().addr();
    // What was found before the body turned out to be none is found.
    let _bad = each_value(body.trim_ascii(), &mut |name, raw| {
        if is_meant(name, raw) {
            let at = raw.as_ptr().addr() - start;
            found.push(at..at + raw.len());
        }
        Ok(())
    });
    found
}

/// Takes a name, and its value as it is written.
type Each<'e> = dyn FnMut(&str, &str) -> Result<(), BadBody> + 'e;

fn each_value(body: &[u8], each: &mut Each<'_>) -> Result<(), BadBody> {
    let text = from_utf8(body).map_err(|_| BadBody::Json)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim();
    if !text.starts_with('{') {
        return Err(BadBody::Json);
    }
    flatten(text, &mut String::new(), DEPTH_MAX, each)
}

/// `name` is one buffer for all: a long name around many values would otherwise be copied for each.
fn flatten(raw: &str, name: &mut String, depth: usize, each: &mut Each<'_>) -> Result<(), BadBody> {
    if raw == "null" {
        return Ok(());
    }
    if !raw.starts_with(['{', '[']) {
        return each(name, raw);
    }
    let Some(depth) = depth.checked_sub(1) else { return Err(BadBody::Deep) };
    let Members(members) = serde_json::from_str(raw).map_err(|_| BadBody::Json)?;
    let outer = name.len();
    for (key, value) in members {
        if outer > 0 {
            name.push('.');
        }
        name.push_str(&key);
        flatten(value.get(), name, depth, each)?;
        name.truncate(outer);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content_type: &str, body: &str) -> Result<String, BadBody> {
        let mut params = Params::default();
        parse_into(&mut params, content_type, body.as_bytes())?;
        let pairs: Vec<_> = params.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Ok(pairs.join(" "))
    }

    #[test]
    fn a_form_and_an_object_say_the_same() {
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        assert_eq!(read(form, "a=1&b=x+y%26z\r\n").as_deref(), Ok("a=1 b=x y&z"));
        for json in ["application/json", "Application/JSON;charset=utf-8", "text/json", "application/x+json"]
        {
            assert_eq!(read(json, " {\"a\": 1, \"b\": \"x y&z\"} ").as_deref(), Ok("a=1 b=x y&z"), "{json}");
        }
        for unsaid in ["", "text/plain", "application/octet-stream"] {
            assert_eq!(read(unsaid, "{\"a\":1}").as_deref(), Ok("a=1"), "{unsaid}");
            assert_eq!(read(unsaid, "a=1").as_deref(), Ok("a=1"), "{unsaid}");
        }
        for any in ["", form, "application/json", "image/png"] {
            assert_eq!(read(any, " \r\n").as_deref(), Ok(""), "{any}: nothing is no bad body");
        }
    }

    #[test]
    fn values_are_kept_as_they_are_written_and_inner_ones_named_by_the_way_to_them() {
        let body = r#"{"n":1.10,"big":123456789012345678901234567890,"e":1E5,"yes":true,"none":null,
            "q":"\u00e9\"\/","o":{"a":{"b":"c"},"list":[1,"two",{"x":3}]},"n":2,"empty":{}}"#;
        let expected = "n=1.10 big=123456789012345678901234567890 e=1E5 yes=true q=é\"/ o.a.b=c o.list.0=1 \
                        o.list.1=two o.list.2.x=3 n=2";
        assert_eq!(read("", body).as_deref(), Ok(expected));
        assert_eq!(read("", "{\"a\":{\"b\":{\"c\":{\"d\":1}}}}").as_deref(), Ok("a.b.c.d=1"));
    }

    #[test]
    fn what_is_no_body_is_refused() {
        for (content_type, body, expected) in [
            ("application/json", "a=1", BadBody::Json),
            ("application/json", "[1]", BadBody::Json),
            ("application/json", "\"a\"", BadBody::Json),
            ("", "{\"a\":1", BadBody::Json),
            ("", "{\"a\":1}x", BadBody::Json),
            ("", "{\"a\":01}", BadBody::Json),
            ("", "{\"a\":\"\\ud800\"}", BadBody::Json),
            ("", "{\"a\":{\"b\":{\"c\":{\"d\":{}}}}}", BadBody::Deep),
            ("multipart/form-data; boundary=x", "--x", BadBody::Kind),
            ("image/png", "a=1", BadBody::Kind),
        ] {
            assert_eq!(read(content_type, body), Err(expected), "{content_type} {body}");
        }
        assert_eq!(parse_into(&mut Params::default(), "", b"{\"a\":\"\xff\"}"), Err(BadBody::Json));
    }

    #[test]
    fn values_are_found_where_they_stand() {
        let body = r#" {"secret": "x\"y", "o": {"secret": 12}, "other": 1}"#;
        let found = places(body.as_bytes(), |name, _| name == "secret" || name == "o.secret");
        let texts: Vec<_> = found.into_iter().map(|at| &body[at]).collect();
        assert_eq!(texts, [r#""x\"y""#, "12"]);
    }

    /// A long name around many values is not copied for each of them.
    #[test]
    fn a_body_of_any_shape_makes_no_more_than_the_bounds_allow() {
        let long = "k".repeat(30_000);
        let many: Vec<String> = (0..3_000).map(|n| format!("\"{n}\":1")).collect();
        let body = format!("{{\"{long}\":{{{}}}}}", many.join(","));
        let mut params = Params::default();
        parse_into(&mut params, "", body.as_bytes()).unwrap();
        assert_eq!((params.len(), params.dropped()), (0, 3_000));
    }
}
