//! What an event says once it is to be forgotten who it was about. Pure.
//!
//! In: an event, and how much of it goes. Out: the same event without that.
//!
//! | | `personal`, once it is old | `erased`, because somebody asked |
//! |---|---|---|
//! | address, user agent, referrer, language, client hints | go | go |
//! | parameters | those that are named go | all go |
//! | the source's and another tracker's id of the click; host, country, network of the address | stay | go |
//! | a raw postback: query, body | lose the parameters that are named; a body that cannot be read goes | go |
//! | its headers, its sender's address | go | go |
//! | what a receiver of a delivery answered | goes | goes |
//! | a transaction id that is another tracker's id of the click | stays | goes |
//! | times, money, campaign, source, offer, lander, labels, network, transaction, status, standing, positions | stay | stay |
//!
//! Keeps: what is not named above is the same afterwards, bit for bit, so that counts and sums are. What was stripped
//! once is not changed by stripping it again. No event gets longer.
//! A conversion of another tracker's click id that is erased has no dedupe key with that id in it any more: whoever
//! reports it again names a click that nobody knows, and that adds nothing to the books. Of the key of its part stays what
//! tells the transactions of the conversion from one another, because each may wait for a person.
//! Not here: which events (`store::erasures`, the compactor).

use std::ops::Range;

use super::click::Click;
use super::codec::Event;
use super::decision::Decision;
use super::delivery::DeliveryOutcome;
use super::members::Members;
use super::params::{Params, ParamsRef, Source};
use super::postback::Postback;
use super::splice::replaced;

/// Objects within objects that a body is looked through.
const DEPTH_MAX: usize = 32;

/// Where texts are put that are not a part of what they were before. It is kept, so that nothing is allocated twice.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    first: Vec<u8>,
    second: Vec<u8>,
}

/// The event without what tells who the visitor is, and without parameters of these names, in any case of their letters.
pub fn personal<'a>(event: &Event<'a>, names: &[String], scratch: &'a mut Scratch) -> Event<'a> {
    let Scratch { first, second } = scratch;
    match event {
        Event::Click(click) => {
            let params = without(click.params, names, first);
            Event::Click(Click { params, ..nobodys_click(click) })
        }
        Event::Postback(postback) => Event::Postback(Postback {
            query: query_without(postback.query, names, first),
            body: body_without(postback.content_type, postback.body, names, second),
            ..nobodys_postback(postback)
        }),
        Event::Decision(decision) => Event::Decision(Decision {
            click_params: without(decision.click_params, names, first),
            postback_params: without(decision.postback_params, names, second),
            ..nobodys_decision(decision)
        }),
        Event::DeliveryOutcome(outcome) => Event::DeliveryOutcome(unanswered(outcome)),
        // Of a destination or of all clicks of an hour, and of nobody.
        Event::Destination(_) | Event::CostUpdate(_) => *event,
    }
}

/// The event without all that came with the visitor. `is_ours` says of a click id whether it is one of ours, which stays:
/// it leads to a click that says nothing any more.
pub fn erased<'a>(event: &Event<'a>, is_ours: &dyn Fn(&str) -> bool) -> Event<'a> {
    match event {
        Event::Click(click) => Event::Click(erased_click(click)),
        Event::Postback(postback) => Event::Postback(erased_postback(postback)),
        Event::Decision(decision) => Event::Decision(erased_decision(decision, is_ours)),
        Event::DeliveryOutcome(outcome) => Event::DeliveryOutcome(unanswered(outcome)),
        Event::Destination(_) | Event::CostUpdate(_) => *event,
    }
}

/// As `erased`, of a click.
pub fn erased_click<'a>(click: &Click<'a>) -> Click<'a> {
    Click {
        country: [0; 2],
        asn: 0,
        external_id: "",
        foreign_id: "",
        host: "",
        params: ParamsRef::default(),
        ..nobodys_click(click)
    }
}

fn erased_decision<'a>(decision: &Decision<'a>, is_ours: &dyn Fn(&str) -> bool) -> Decision<'a> {
    let mut left = Decision {
        country: [0; 2],
        external_id: "",
        click_params: ParamsRef::default(),
        postback_params: ParamsRef::default(),
        ..nobodys_decision(decision)
    };
    let click_id = decision.conversion.click_id;
    if !click_id.is_empty() && !is_ours(click_id) {
        left.conversion.click_id = "";
        if decision.conversion.transaction_id == click_id {
            left.conversion.transaction_id = "";
        }
        if has(decision.dedupe_key, click_id.as_bytes()) {
            left.dedupe_key = &[];
        }
        left.part_key = behind(decision.part_key, click_id.as_bytes());
    }
    left
}

/// Nothing but that there was a request, when, and of which network. A replay leaves it alone (`Postback::is_erased`).
fn erased_postback<'a>(postback: &Postback<'a>) -> Postback<'a> {
    let postback = nobodys_postback(postback);
    Postback { method: "", host: "", path: "", query: "", content_type: "", body: &[], ..postback }
}

fn nobodys_click<'a>(click: &Click<'a>) -> Click<'a> {
    Click { address: None, user_agent: "", referrer: "", language: "", client_hints: "", ..*click }
}

fn nobodys_decision<'a>(decision: &Decision<'a>) -> Decision<'a> {
    Decision { address: None, user_agent: "", referrer: "", language: "", ..*decision }
}

fn nobodys_postback<'a>(postback: &Postback<'a>) -> Postback<'a> {
    Postback { address: None, headers: "", ..*postback }
}

fn unanswered<'a>(outcome: &DeliveryOutcome<'a>) -> DeliveryOutcome<'a> {
    DeliveryOutcome { detail: &[], ..*outcome }
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len().max(1)).any(|window| window == part)
}

/// What is behind the last place that says this; all of it, if none does.
fn behind<'a>(bytes: &'a [u8], part: &[u8]) -> &'a [u8] {
    let last = bytes.windows(part.len().max(1)).rposition(|window| window == part);
    last.and_then(|at| bytes.get(at + part.len()..)).unwrap_or(bytes)
}

fn is_named(name: &str, names: &[String]) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// The parameters that are not named.
fn without<'a>(params: ParamsRef<'a>, names: &[String], scratch: &'a mut Vec<u8>) -> ParamsRef<'a> {
    if !params.iter().any(|(name, _)| is_named(name, names)) {
        return params;
    }
    scratch.clear();
    for (name, value) in params.iter().filter(|(name, _)| !is_named(name, names)) {
        // A length was read from two bytes, and so it fits into two.
        for text in [name, value] {
            scratch.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
        }
        scratch.extend(name.as_bytes());
        scratch.extend(value.as_bytes());
    }
    ParamsRef::check(scratch).unwrap_or_default()
}

/// The query without the pairs that are named, the others as they came.
fn query_without<'a>(query: &'a str, names: &[String], scratch: &'a mut Vec<u8>) -> &'a str {
    let ranges = named_pairs(query.as_bytes(), Source::Query, names);
    if ranges.is_empty() {
        return query;
    }
    cut(query.as_bytes(), ranges, scratch);
    // What is cut begins and ends at separators, which are whole letters.
    str::from_utf8(scratch).unwrap_or_default()
}

/// Where the pairs of these names are, each with a separator.
fn named_pairs(raw: &[u8], source: Source, names: &[String]) -> Vec<Range<usize>> {
    let is_separator = |byte: u8| byte == b'&' || (byte == b'?' && source == Source::Query);
    let mut ranges = Vec::new();
    let mut start = 0;
    while start < raw.len() {
        let end = raw[start..].iter().position(|byte| is_separator(*byte)).map_or(raw.len(), |at| start + at);
        let name = raw[start..end].split(|byte| *byte == b'=').next().unwrap_or_default();
        // Read as the request was read. A longer name than that takes is no name that is known.
        let read = Params::parse(name, Source::Form);
        if read.iter().next().is_some_and(|(name, _)| is_named(name, names)) {
            let is_last = end == raw.len();
            ranges.push(if is_last { start.saturating_sub(1)..end } else { start..end + 1 });
        }
        start = end + 1;
    }
    ranges
}

fn cut(bytes: &[u8], ranges: Vec<Range<usize>>, scratch: &mut Vec<u8>) {
    scratch.clear();
    let mut start = 0;
    for range in ranges {
        scratch.extend(bytes.get(start..range.start).unwrap_or_default());
        start = range.end;
    }
    scratch.extend(&bytes[start..]);
}

/// The body without the parameters that are named; none if it cannot be told what is in it.
fn body_without<'a>(
    content_type: &str,
    body: &'a [u8],
    names: &[String],
    scratch: &'a mut Vec<u8>,
) -> &'a [u8] {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let says_json = essence == "text/json" || essence == "application/json" || essence.ends_with("+json");
    let says_form = essence == "application/x-www-form-urlencoded";
    let says_nothing = matches!(essence.as_str(), "" | "text/plain" | "application/octet-stream");
    let is_json = says_json || (says_nothing && body.trim_ascii_start().starts_with(b"{"));
    if body.is_empty() || !(is_json || says_form || says_nothing) {
        return &[];
    }
    if is_json {
        let Some(ranges) = named_members(body, names) else { return &[] };
        if ranges.is_empty() {
            return body;
        }
        *scratch = replaced(body, ranges.into_iter().map(|range| (range, GONE)).collect());
        return scratch;
    }
    let ranges = named_pairs(body, Source::Form, names);
    if ranges.is_empty() {
        return body;
    }
    cut(body, ranges, scratch);
    scratch
}

/// What stands in JSON for what is gone: not longer than any value.
const GONE: &str = "0";

/// Where in a JSON body the values are of these names, at whatever depth, or of names with dots that lead there; nothing if it
/// cannot be read.
fn named_members(body: &[u8], names: &[String]) -> Option<Vec<Range<usize>>> {
    let text = str::from_utf8(body).ok()?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim();
    let mut found = Vec::new();
    find_members(text, (body.as_ptr().addr(), names), &mut String::new(), DEPTH_MAX, &mut found)?;
    Some(found)
}

fn find_members(
    raw: &str,
    looked_for: (usize, &[String]),
    path: &mut String,
    depth: usize,
    found: &mut Vec<Range<usize>>,
) -> Option<()> {
    if !raw.starts_with(['{', '[']) {
        return Some(());
    }
    let depth = depth.checked_sub(1)?;
    let Members(members) = serde_json::from_str(raw).ok()?;
    let (base, names) = looked_for;
    let outer = path.len();
    for (name, value) in members {
        if outer > 0 {
            path.push('.');
        }
        path.push_str(&name);
        let value = value.get();
        if is_named(&name, names) || is_named(path, names) {
            let start = value.as_ptr().addr() - base;
            if value != GONE {
                found.push(start..start + value.len());
            }
        } else {
            find_members(value, looked_for, path, depth, found)?;
        }
        path.truncate(outer);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::Timestamp;
    use crate::event::click::KeptAddress;

    /// Whatever is in a field that may go.
    const PERSONAL: &str = "PERSONAL";

    fn names() -> Vec<String> {
        vec!["email".to_owned(), "customer.phone".to_owned()]
    }

    fn ours(id: &str) -> bool {
        id == "ours"
    }

    fn encoded(query: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        Params::parse(query.as_bytes(), Source::Query).encode_into(&mut bytes);
        bytes
    }

    fn is_clean(event: &Event<'_>) -> bool {
        // Every text of it is shown but params, which are gone through.
        let shown = format!("{event:?}");
        let params = match event {
            Event::Click(click) => vec![click.params],
            Event::Decision(decision) => vec![decision.click_params, decision.postback_params],
            _ => vec![],
        };
        let values: String = params.iter().flat_map(|params| params.iter()).map(|(_, value)| value).collect();
        !shown.contains(PERSONAL) && !values.contains(PERSONAL)
    }

    #[test]
    fn an_old_click_loses_who_it_was_and_named_parameters_and_nothing_else() {
        let params = encoded("email=PERSONAL&sub1=a&EMAIL=PERSONAL&=x&zone=7");
        let kept = encoded("sub1=a&=x&zone=7");
        let click = Click {
            time: Timestamp::from_seconds(9),
            address: Some(KeptAddress::full([203, 0, 113, 7].into())),
            country: *b"DE",
            asn: 7,
            campaign: "spring",
            external_id: "visitor-7",
            foreign_id: "f",
            host: "trk.example.com",
            referrer: PERSONAL,
            user_agent: PERSONAL,
            language: PERSONAL,
            client_hints: PERSONAL,
            params: ParamsRef::check(&params).unwrap(),
            ..Click::default()
        };
        let names = names();
        let mut scratch = Scratch::default();
        let stripped = personal(&Event::Click(click), &names, &mut scratch);
        let expected = Click {
            address: None,
            referrer: "",
            user_agent: "",
            language: "",
            client_hints: "",
            params: ParamsRef::check(&kept).unwrap(),
            ..click
        };
        assert_eq!(stripped, Event::Click(expected));
        let only = Click { time: click.time, campaign: "spring", ..Click::default() };
        assert_eq!(erased_click(&click), only);
    }

    #[test]
    fn an_erased_decision_keeps_its_money_and_forgets_a_foreign_id_wherever_it_is() {
        let params = encoded("email=PERSONAL&adv=1");
        let erased = |click_id, transaction_id, part_key| {
            let mut decision = Decision {
                external_id: PERSONAL,
                click_params: ParamsRef::check(&params).unwrap(),
                postback_params: ParamsRef::check(&params).unwrap(),
                dedupe_key: b"net\x08PERSONAL",
                part_key,
                country: *b"DE",
                ..Decision::default()
            };
            decision.conversion.click_id = click_id;
            decision.conversion.transaction_id = transaction_id;
            erased_decision(&decision, &ours)
        };
        let foreign = erased(PERSONAL, "tx1", b"net\x03tx1");
        assert!(is_clean(&Event::Decision(foreign)));
        assert_eq!((foreign.dedupe_key, foreign.part_key), (&b""[..], &b"net\x03tx1"[..]));
        assert_eq!(foreign.conversion.transaction_id, "tx1");
        // Transactions of one conversion are told from one another by what is behind the id.
        assert_eq!(erased(PERSONAL, "tx2", b"net\x01\x08PERSONAL\x03tx2").part_key, b"\x03tx2");
        // Some networks send the id as that of the transaction, too.
        let same = erased(PERSONAL, PERSONAL, b"net\x01\x08PERSONAL\x08PERSONAL");
        assert_eq!((same.conversion.transaction_id, same.part_key), ("", &b""[..]));
        assert!(is_clean(&Event::Decision(same)));
        let own = erased("ours", "tx1", b"net\x03tx1");
        assert_eq!((own.conversion.click_id, own.dedupe_key), ("ours", &b"net\x08PERSONAL"[..]));
    }

    #[test]
    fn a_raw_request_keeps_what_is_not_named_as_it_came() {
        let names = names();
        let query = |query: &str| query_without(query, &names, &mut Vec::new()).to_owned();
        for (given, expected) in [
            ("", ""),
            ("a=%zz&b", "a=%zz&b"),
            ("email=PERSONAL", ""),
            ("a=1&email=PERSONAL", "a=1"),
            ("email=PERSONAL&a=1", "a=1"),
            ("a=1&%65mail=PERSONAL&&b=2&Email", "a=1&&b=2"),
            ("a=1?email=PERSONAL&b", "a=1?b"),
            ("email=PERSONAL&email=PERSONAL", ""),
        ] {
            assert_eq!(query(given), expected, "{given}");
        }
        let body = |content_type: &str, body: &str| {
            let mut scratch = Vec::new();
            let left = body_without(content_type, body.as_bytes(), &names, &mut scratch);
            String::from_utf8(left.to_vec()).unwrap()
        };
        let json = r#" {"payout": 3.50, "email":"PERSONAL", "customer":{"phone":["PERSONAL"],"id":1}} "#;
        let left = r#" {"payout": 3.50, "email":0, "customer":{"phone":0,"id":1}} "#;
        for content_type in ["application/json; charset=utf-8", "", "text/x+json"] {
            assert_eq!(body(content_type, json), left, "{content_type}");
            assert_eq!(body(content_type, left), left, "once more");
        }
        assert_eq!(body("", "a=1&email=PERSONAL&b=?x"), "a=1&b=?x");
        assert_eq!(body("application/json", "{\"email\":\"PERSONAL\""), "", "who cannot be read is not kept");
        assert_eq!(body("multipart/form-data", "PERSONAL"), "");
    }

    proptest! {
        #[test]
        fn nothing_named_survives_and_stripping_again_changes_nothing(
            pairs in proptest::collection::vec(("[a-c]|email|eMail|%65mail", "[a-z%&]{0,4}"), 0..8),
            separators in proptest::collection::vec("[&?]", 8),
        ) {
            let names = names();
            let joined = pairs.iter().zip(&separators);
            let raw: String = joined.map(|((name, value), by)| format!("{name}={value}{by}")).collect();
            let mut scratch = Vec::new();
            let left = query_without(&raw, &names, &mut scratch).to_owned();
            let read = |raw: &str| {
                let params = Params::parse(raw.replace('?', "&").as_bytes(), Source::Query);
                params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>()
            };
            let mut expected = read(&raw);
            expected.retain(|(name, _)| !name.eq_ignore_ascii_case("email"));
            prop_assert_eq!(read(&left), expected);
            prop_assert!(left.len() <= raw.len());
            let mut scratch = Vec::new();
            prop_assert_eq!(query_without(&left, &names, &mut scratch), left.as_str());
            let stored = encoded(&raw);
            let (mut first, mut second) = (Vec::new(), Vec::new());
            let once = without(ParamsRef::check(&stored).unwrap(), &names, &mut first);
            prop_assert!(once.iter().all(|(name, _)| !name.eq_ignore_ascii_case("email")));
            prop_assert_eq!(without(once, &names, &mut second), once);
        }
    }
}
