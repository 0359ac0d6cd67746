//! Whether an answer means that a delivery was taken.
//!
//! In: the status and the body, as far as it was read. Out: yes, no, or that it cannot be told.
//! Keeps: a body is looked at only where a rule asks for it, and no more of it than the client reads.
//! Not here: what a refusal means (`class`), which of a batch were taken (`batch`).

use serde_json::Value;

use super::class::Success;

/// The most of an answer's body that is read.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// When an answer means that it was taken: all of it must hold. The default takes any 2xx.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// One of these.
    pub statuses: Vec<StatusRange>,
    /// What the body says, read as JSON.
    pub json: Option<JsonRule>,
    /// What stands somewhere in the body.
    pub contains: Option<Box<str>>,
}

impl Default for Rule {
    fn default() -> Self {
        Self { statuses: vec![StatusRange { first: 200, last: 299 }], json: None, contains: None }
    }
}

/// Statuses from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRange {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

/// A place in a JSON document and what must be there.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonRule {
    /// Where (RFC 6901): `/code`.
    pub pointer: Box<str>,
    /// What.
    pub expects: Expects,
}

/// What must be at a place of a JSON document.
#[derive(Clone, Debug, PartialEq)]
pub enum Expects {
    /// This (TikTok: `/code` is 0).
    Value(Value),
    /// Something, if only null (Meta: `/events_received`).
    Presence,
    /// Nothing, or null (Google: `/partialFailureError`).
    Absence,
}

impl JsonRule {
    /// Whether a document is as it says.
    pub fn holds(&self, document: &Value) -> bool {
        self.expects.hold(document.pointer(&self.pointer))
    }
}

impl Expects {
    fn hold(&self, found: Option<&Value>) -> bool {
        match (self, found) {
            (Self::Value(expected), Some(found)) => is_same(expected, found),
            (Self::Presence, Some(_)) | (Self::Absence, None | Some(Value::Null)) => true,
            (Self::Value(_) | Self::Presence, None) | (Self::Absence, Some(_)) => false,
        }
    }
}

/// Numbers are the same however they are written: `0` and `0.0`.
fn is_same(expected: &Value, found: &Value) -> bool {
    // Two whole numbers are compared as such: a float holds no more than 53 bits of one.
    let has_fraction = expected.is_f64() || found.is_f64();
    expected == found || has_fraction && expected.is_number() && expected.as_f64() == found.as_f64()
}

impl Rule {
    /// Judges an answer. `is_whole` says whether `body` is all of its body, or only its beginning.
    pub fn judge(&self, status: u16, body: &[u8], is_whole: bool) -> Success {
        if !self.statuses.iter().any(|range| (range.first..=range.last).contains(&status)) {
            return Success::No;
        }
        if let Some(rule) = &self.json {
            match serde_json::from_slice::<Value>(body) {
                Ok(document) if !rule.holds(&document) => return Success::No,
                // Half a document says nothing about the rest; a whole one that is none was not written by who we mean.
                Err(_) if is_whole => return Success::No,
                Err(_) => return Success::Unclear,
                Ok(_) => {}
            }
        }
        match &self.contains {
            Some(text) if memchr::memmem::find(body, text.as_bytes()).is_none() => {
                if is_whole {
                    Success::No
                } else {
                    Success::Unclear
                }
            }
            _ => Success::Yes,
        }
    }

    /// Whether the body says anything. If not, one that is cut off does no harm.
    pub const fn needs_body(&self) -> bool {
        self.json.is_some() || self.contains.is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn json_rule(pointer: &str, expects: Expects) -> Rule {
        Rule { json: Some(JsonRule { pointer: pointer.into(), expects }), ..Rule::default() }
    }

    #[test]
    fn any_2xx_is_a_success_unless_the_rule_says_otherwise() {
        for (status, expected) in
            [(199, Success::No), (200, Success::Yes), (299, Success::Yes), (300, Success::No)]
        {
            assert_eq!(Rule::default().judge(status, b"whatever", false), expected, "{status}");
        }
        let only = StatusRange { first: 204, last: 204 };
        let gone = StatusRange { first: 409, last: 409 };
        let rule = Rule { statuses: vec![only, gone], ..Rule::default() };
        for (status, expected) in [(200, Success::No), (204, Success::Yes), (409, Success::Yes)] {
            assert_eq!(rule.judge(status, b"", true), expected, "{status}");
        }
    }

    #[test]
    fn the_conversion_apis_are_understood() {
        let tiktok = json_rule("/code", Expects::Value(json!(0)));
        let meta = json_rule("/events_received", Expects::Presence);
        let google = json_rule("/partialFailureError", Expects::Absence);
        let table = [
            (&tiktok, r#"{"code":0,"message":"OK"}"#, Success::Yes),
            (&tiktok, r#"{"code":0.0}"#, Success::Yes),
            (&tiktok, r#"{"code":"0"}"#, Success::No),
            (&tiktok, r#"{"code":40002,"message":"Invalid access token"}"#, Success::No),
            (&tiktok, "{}", Success::No),
            (&meta, r#"{"events_received":1,"fbtrace_id":"x"}"#, Success::Yes),
            (&meta, r#"{"error":{"code":190}}"#, Success::No),
            (&google, r#"{"results":[{}]}"#, Success::Yes),
            (&google, r#"{"partialFailureError":null}"#, Success::Yes),
            (&google, r#"{"partialFailureError":{"code":3}}"#, Success::No),
            (&google, "<html>502</html>", Success::No),
            (&google, "", Success::No),
        ];
        for (rule, body, expected) in table {
            assert_eq!(rule.judge(200, body.as_bytes(), true), expected, "{body}");
            assert_eq!(rule.judge(500, body.as_bytes(), true), Success::No, "{body}");
        }
    }

    #[test]
    fn a_word_in_the_body_may_tell() {
        let rule = Rule { contains: Some("success=true".into()), ..Rule::default() };
        assert_eq!(rule.judge(200, b"success=true; id=7", true), Success::Yes);
        assert_eq!(rule.judge(200, b"success=false; err_msg=Duplicate", true), Success::No);
        assert_eq!(rule.judge(200, b"<html>", false), Success::Unclear, "it may stand in the rest");
        let both = Rule { json: json_rule("/ok", Expects::Presence).json, ..rule };
        assert_eq!(both.judge(200, br#"{"ok":"success=true"}"#, true), Success::Yes);
        assert_eq!(both.judge(200, br#"{"ok":"no"}"#, true), Success::No);
    }

    #[test]
    fn numbers_are_compared_exactly() {
        let rule = |expected: Value| json_rule("/n", Expects::Value(expected));
        assert_eq!(
            rule(json!(9_007_199_254_740_993_u64)).judge(200, br#"{"n":9007199254740992}"#, true),
            Success::No
        );
        assert_eq!(rule(json!(1)).judge(200, br#"{"n":1.0}"#, true), Success::Yes);
        assert_eq!(rule(json!(1.5)).judge(200, br#"{"n":"x"}"#, true), Success::No);
    }

    #[test]
    fn half_a_document_cannot_tell() {
        let rule = json_rule("/code", Expects::Value(json!(0)));
        assert_eq!(rule.judge(200, br#"{"code":0,"da"#, false), Success::Unclear);
        assert!(rule.needs_body() && !Rule::default().needs_body());
    }

    #[test]
    fn a_document_that_is_nested_without_end_is_only_refused() {
        let rule = json_rule("/a", Expects::Presence);
        assert_eq!(rule.judge(200, &[b'['; BODY_BYTES_MAX], true), Success::No);
    }

    proptest! {
        #[test]
        fn no_body_makes_a_wrong_status_right(status in 300u16.., body: Vec<u8>, is_whole: bool) {
            let rule = json_rule("", Expects::Presence);
            prop_assert_eq!(rule.judge(status, &body, is_whole), Success::No);
            prop_assert!(rule.judge(200, &body, true) != Success::Unclear);
        }
    }
}
