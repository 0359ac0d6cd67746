//! The request of a destination, compiled: method, URL, headers, body, signature, and which answers mean that it was taken.
//!
//! In: a postback with all that its preset says. Out: an `Outbound`, or all that is wrong with it.
//! Keeps: a body of JSON is one whatever fills its gaps; what several deliveries share is made of nothing that belongs to
//! one of them.
//! Refuses: headers that the client makes itself.

use std::time::Duration;

use http::{HeaderName, Method};
use toml::Spanned;

use super::checks::Checks;
use super::destinations::Context;
use super::file::{Missing, Secrets, Text};
use super::postback::{self, JsonRule, Postback, StatusRange};
use super::profiles::bound;
use super::route::{Routes, site, token};
use crate::clock::Timestamp;
use crate::dispatcher::batch::PerItem;
use crate::dispatcher::outbound::{BATCH_MAX, Batch, Body, Outbound, TIMEOUT_DEFAULT, TIMEOUT_MAX};
use crate::dispatcher::schedule::{HORIZON_MAX, Patience};
use crate::dispatcher::sign::{KEYS_MAX, Key};
use crate::dispatcher::success::{self, Expects, Rule};
use crate::event::money::Micros;
use crate::event::template::{self, Known, Name, Target, Template, Value, Values};

/// How long the first delivery of a batch waits for others, unless a destination says otherwise.
const BATCH_WAIT_DEFAULT: Duration = Duration::from_secs(1);
const BATCH_WAIT_MAX: Duration = Duration::from_mins(5);
/// Where the deliveries of a batch go.
const ITEMS: &str = "{items}";
/// What is around them unless a destination says otherwise.
const WRAP: &str = "[{items}]";
/// What the client makes itself; with a dash at the end, all that begin so.
const OWN_HEADERS: &[&str] = &[
    "host",
    "content-length",
    "connection",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "keep-alive",
    "expect",
    "proxy-",
];

/// Compiles the request of a postback.
pub(super) fn outbound(
    checks: &mut Checks<'_>,
    item: &Postback,
    context: &Context<'_>,
    routes: &mut Routes,
) -> Option<Outbound> {
    let missing = missing(item.missing.unwrap_or_default());
    let route = routes.route(checks, item, context.egress);
    let Some(url) = &item.url else {
        checks.wrong(place(item), "a postback needs a url, or a preset that has one");
        return None;
    };
    let template = checks.template(url, Target::Url, context.names, missing);
    let site = template.as_ref().and_then(|_| site(checks, url, &route.allow));
    let keys = item.sign.as_ref().map_or_else(Vec::new, |given| keys(checks, given, context));
    let token = token(checks, item, &route.allow, context.environment);
    let (headers, content_type) = headers(checks, item, context, missing);
    let body = body(checks, item, context, missing, content_type);
    let method = method(checks, item, &body);
    if item.batch.is_some() {
        check_shared(checks, url, template.as_ref());
    }
    let success = success(checks, item);
    let patience = patience(checks, item);
    let timeout =
        item.timeout.as_ref().and_then(|text| time(checks, text, Duration::from_secs(1), TIMEOUT_MAX, "2m"));
    Some(Outbound {
        method,
        url: template?,
        url_text: url.get_ref().as_str().into(),
        site: site?,
        headers: headers.into(),
        body,
        success,
        patience,
        timeout: timeout.unwrap_or(TIMEOUT_DEFAULT),
        keys: keys.into(),
        token,
        route,
    })
}

/// Where a problem is shown that belongs to a postback as a whole.
pub(super) fn place(item: &Postback) -> std::ops::Range<usize> {
    [&item.id, &item.preset, &item.url].into_iter().flatten().next().map_or(0..0, Spanned::span)
}

pub(super) fn missing(missing: Missing) -> template::Missing {
    match missing {
        Missing::Empty => template::Missing::Empty,
        Missing::Drop => template::Missing::Drop,
        Missing::Fail => template::Missing::Fail,
    }
}

/// A time between two bounds, of which messages call the upper one `shown`.
pub(super) fn time(
    checks: &mut Checks<'_>,
    text: &Text,
    min: Duration,
    max: Duration,
    shown: &str,
) -> Option<Duration> {
    let time = checks.duration(text, max, shown)?;
    if time < min {
        checks.wrong(text.span(), format!("must be at least \"{}s\"", min.as_secs()));
        return None;
    }
    Some(time)
}

fn patience(checks: &mut Checks<'_>, item: &Postback) -> Patience {
    let horizon =
        item.horizon.as_ref().and_then(|text| time(checks, text, Duration::from_secs(1), HORIZON_MAX, "72h"));
    Patience {
        repeats_ambiguous: item.repeat_ambiguous.unwrap_or(true),
        horizon: horizon.unwrap_or(HORIZON_MAX),
    }
}

fn method(checks: &mut Checks<'_>, item: &Postback, body: &Body) -> Method {
    let has_body = *body != Body::None;
    let Some(given) = &item.method else {
        return if has_body { Method::POST } else { Method::GET };
    };
    match given.get_ref() {
        postback::Method::Get if has_body => {
            checks.wrong(given.span(), "a GET has no body: it must be POST or PUT");
            Method::GET
        }
        postback::Method::Get => Method::GET,
        postback::Method::Post => Method::POST,
        postback::Method::Put => Method::PUT,
    }
}

fn keys(checks: &mut Checks<'_>, given: &Spanned<Secrets>, context: &Context<'_>) -> Vec<Key> {
    let references = match given.get_ref() {
        Secrets::One(reference) => std::slice::from_ref(reference),
        Secrets::Several(references) => references,
    };
    if !(1..=KEYS_MAX).contains(&references.len()) {
        checks.wrong(given.span(), "a destination has one key, or two while they change");
    }
    let mut keys = Vec::new();
    for reference in references.iter().take(KEYS_MAX) {
        let secret = reference.fetch(context.environment).map_err(|error| error.to_string());
        match secret.and_then(|secret| Key::parse(secret.reveal()).map_err(|error| error.to_string())) {
            Ok(key) => keys.push(key),
            Err(what) => checks.wrong(given.span(), what),
        }
    }
    keys
}

/// The headers, and the content type if it is among them.
fn headers(
    checks: &mut Checks<'_>,
    item: &Postback,
    context: &Context<'_>,
    missing: template::Missing,
) -> (Vec<(HeaderName, Template)>, Option<Box<str>>) {
    let (mut headers, mut content_type) = (Vec::<(HeaderName, Template)>::new(), None);
    let given = item.headers.iter().flatten();
    bound_all(checks, item);
    for (name, value) in given {
        let template = checks.template(value, Target::Header, context.names, missing);
        let Some(header) = header(checks, name, item) else { continue };
        if header == http::header::CONTENT_TYPE {
            content_type = fixed(checks, item, value, template.as_ref());
            continue;
        }
        if headers.iter().any(|(other, _)| *other == header) {
            checks.wrong(name.span(), format!("the header \"{header}\" stands here twice"));
        }
        if item.batch.is_some() {
            check_shared(checks, value, template.as_ref());
        }
        headers.extend(template.map(|template| (header, template)));
    }
    (headers, content_type)
}

fn bound_all(checks: &mut Checks<'_>, item: &Postback) {
    if let Some((first, _)) = item.headers.iter().flatten().next() {
        bound(checks, first, "headers", item.headers.as_ref().map_or(0, std::collections::BTreeMap::len));
    }
}

/// A header that an operator may set.
fn header(checks: &mut Checks<'_>, name: &Text, item: &Postback) -> Option<HeaderName> {
    let Ok(header) = HeaderName::from_bytes(name.get_ref().as_bytes()) else {
        checks.wrong(name.span(), "must be a header's name like \"X-Secret\"");
        return None;
    };
    let text = header.as_str();
    let is_own = OWN_HEADERS.iter().any(|own| match own.strip_suffix('-') {
        Some(_) => text.starts_with(own),
        None => text == *own,
    });
    let is_of_signature = text.starts_with("webhook-") || text == "idempotency-key";
    let what = if is_own {
        "is made by the client itself"
    } else if is_of_signature && item.sign.is_some() {
        "is made with the signature"
    } else if header == http::header::AUTHORIZATION && item.oauth.is_some() {
        "is made of the token that oauth gives"
    } else {
        return Some(header);
    };
    checks.wrong(name.span(), format!("the header \"{}\" {what}", name.get_ref()));
    None
}

/// The content type that a header says.
fn fixed(
    checks: &mut Checks<'_>,
    item: &Postback,
    value: &Text,
    template: Option<&Template>,
) -> Option<Box<str>> {
    let is_fixed = template.is_some_and(|template| template.names().next().is_none());
    let has_body = item.json.is_some() || item.form.is_some() || item.text.is_some();
    if template.is_some() && (!is_fixed || !has_body || item.batch.is_some()) {
        checks.wrong(
            value.span(),
            "a content type has no placeholders and belongs to a body; a batch is always JSON",
        );
    }
    Some(value.get_ref().as_str().into())
}

fn body(
    checks: &mut Checks<'_>,
    item: &Postback,
    context: &Context<'_>,
    missing: template::Missing,
    content_type: Option<Box<str>>,
) -> Body {
    let bodies = [
        (&item.json, Target::Json, "application/json"),
        (&item.form, Target::Form, "application/x-www-form-urlencoded"),
        (&item.text, Target::Text, "text/plain; charset=utf-8"),
    ];
    let mut said = bodies.into_iter().filter_map(|(text, target, kind)| Some((text.as_ref()?, target, kind)));
    let (first, second) = (said.next(), said.next());
    if let Some((text, ..)) = second {
        checks.wrong(text.span(), "a request has one body: json, form or text");
    }
    if let Some(given) = &item.batch {
        return match first {
            Some((text, Target::Json, _)) => batch(checks, given, text, context, missing),
            _ => {
                checks.wrong(place(item), "a batch needs a json body, for each of its deliveries");
                Body::None
            }
        };
    }
    let Some((text, target, kind)) = first else { return Body::None };
    let Some(template) = checks.template(text, target, context.names, missing) else { return Body::None };
    if target == Target::Json {
        check_json(checks, text, &[&template]);
    }
    Body::One { content_type: content_type.unwrap_or_else(|| kind.into()), template }
}

fn batch(
    checks: &mut Checks<'_>,
    given: &postback::Batch,
    text: &Text,
    context: &Context<'_>,
    missing: template::Missing,
) -> Body {
    let max = given.max.as_ref().map_or(BATCH_MAX, |max| *max.get_ref());
    if let Some(max) = given.max.as_ref().filter(|max| !(1..=BATCH_MAX).contains(max.get_ref())) {
        checks.wrong(max.span(), format!("must be 1 to {BATCH_MAX}"));
    }
    let wait = given.wait.as_ref().and_then(|wait| checks.duration(wait, BATCH_WAIT_MAX, "5m"));
    let per_item = per_item(checks, given);
    let item = checks.template(text, Target::Json, context.names, missing);
    let wrap = given.wrap.as_ref().map_or(WRAP, |wrap| wrap.get_ref());
    let span = given.wrap.as_ref().unwrap_or(text).span();
    let Some((before, after)) = wrap.split_once(ITEMS).filter(|(_, after)| !after.contains(ITEMS)) else {
        checks.wrong(span, "wrap needs one {items}, where the deliveries go");
        return Body::None;
    };
    let mut part = |part: &str| {
        let part = Spanned::new(span.clone(), part.to_owned());
        let template = checks.template(&part, Target::Json, context.names, missing);
        check_shared(checks, &part, template.as_ref());
        template
    };
    let (Some(before), Some(after), Some(item)) = (part(before), part(after), item) else {
        return Body::None;
    };
    check_json(checks, text, &[&item]);
    let whole = Spanned::new(span, String::new());
    check_json(checks, &whole, &[&before, &item, &after]);
    let wait = wait.unwrap_or(BATCH_WAIT_DEFAULT);
    Body::Batch(Box::new(Batch { before, item, after, max, wait, per_item }))
}

/// What a batch shares must be the same for all deliveries in it.
fn check_shared(checks: &mut Checks<'_>, text: &Text, template: Option<&Template>) {
    let is_shared = |name: &&Name| matches!(name, Name::Secret(_) | Name::Known(Known::Now | Known::Random));
    let own = template.and_then(|template| template.names().find(|name| !is_shared(name)));
    if let Some(own) = own {
        let what =
            format!("{{{own}}} differs from delivery to delivery, and a batch has one of this for all");
        checks.wrong(text.span(), what);
    }
}

/// Whether templates one after another make JSON. Their gaps cannot change that, so one filling tells; if it cannot be
/// made, because a filter finds nothing in the sample, nothing is told.
fn check_json(checks: &mut Checks<'_>, text: &Text, templates: &[&Template]) {
    let mut made = Vec::new();
    if templates.iter().any(|template| template.render(&Sample, &mut made).is_err()) {
        return;
    }
    if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&made) {
        checks.wrong(text.span(), format!("it is no JSON once its placeholders are filled: {error}"));
    }
}

/// A value for everything.
struct Sample;

impl Values for Sample {
    fn value(&self, name: &Name) -> Option<Value<'_>> {
        Some(match name {
            Name::Known(Known::ClickTime | Known::ConversionTime | Known::Now) => {
                Value::Time(Timestamp::from_seconds(1_000_000_000))
            }
            Name::Known(Known::Payout | Known::Revenue | Known::Cost) => {
                Value::Decimal(Micros::new(1_500_000))
            }
            Name::Known(Known::Random) => Value::Number(1),
            _ => Value::Text("1"),
        })
    }
}

fn per_item(checks: &mut Checks<'_>, given: &postback::Batch) -> Option<PerItem> {
    if let (Some(_), Some(failures)) = (&given.results, &given.failures) {
        checks.wrong(failures.span(), "an answer has results or names failures: say one of them");
    }
    if let Some(results) = &given.results {
        let postback::Results { list, taken } = results.get_ref();
        let list = needed(checks, results, "list", list.as_ref());
        let taken = needed(checks, results, "taken", taken.as_ref());
        let (list, taken) = (pointer(checks, list?), json_rule(checks, taken?));
        return Some(PerItem::Results { list: list?, taken: taken? });
    }
    let failures = given.failures.as_ref()?;
    let postback::Failures { none, list, number } = failures.get_ref();
    let none = needed(checks, failures, "none", none.as_ref());
    let list = needed(checks, failures, "list", list.as_ref());
    let number = needed(checks, failures, "number", number.as_ref());
    let (none, list) = (json_rule(checks, none?), pointer(checks, list?));
    Some(PerItem::Failures { none: none?, list: list?, number: pointer(checks, number?)? })
}

fn needed<'a, T, U>(
    checks: &mut Checks<'_>,
    of: &Spanned<T>,
    key: &str,
    value: Option<&'a U>,
) -> Option<&'a U> {
    if value.is_none() {
        checks.wrong(of.span(), format!("it needs \"{key}\""));
    }
    value
}

fn success(checks: &mut Checks<'_>, item: &Postback) -> Rule {
    let Some(given) = &item.success else { return Rule::default() };
    let statuses = match &given.status {
        None => Rule::default().statuses,
        Some(ranges) => {
            if ranges.get_ref().is_empty() {
                checks.wrong(ranges.span(), "without a status nothing is ever a success");
            }
            ranges.get_ref().iter().filter_map(|range| statuses(checks, range)).collect()
        }
    };
    if let Some(empty) = given.contains.as_ref().filter(|text| text.get_ref().is_empty()) {
        checks.wrong(empty.span(), "an empty text stands in every body");
    }
    Rule {
        statuses,
        json: given.json.as_ref().and_then(|rule| json_rule(checks, rule)),
        contains: given.contains.as_ref().map(|text| text.get_ref().as_str().into()),
    }
}

fn statuses(checks: &mut Checks<'_>, given: &Spanned<StatusRange>) -> Option<success::StatusRange> {
    let text = given.get_ref().0.as_str();
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.trim().parse::<u16>().ok().filter(|number| (200..=599).contains(number));
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Some(success::StatusRange { first, last }),
        _ => {
            checks
                .wrong(given.span(), "must be a status like 204, or several like \"200-299\", of 200 to 599");
            None
        }
    }
}

fn json_rule(checks: &mut Checks<'_>, given: &Spanned<JsonRule>) -> Option<success::JsonRule> {
    let JsonRule { pointer: at, equals, present, absent } = given.get_ref();
    let expects = match (equals, present, absent) {
        (Some(value), None, None) => Expects::Value(value.clone()),
        (None, Some(true), None) => Expects::Presence,
        (None, None, Some(true)) => Expects::Absence,
        _ => {
            checks.wrong(given.span(), "it needs one of equals = …, present = true and absent = true");
            return None;
        }
    };
    let at = needed(checks, given, "pointer", at.as_ref())?;
    Some(success::JsonRule { pointer: pointer(checks, at)?, expects })
}

fn pointer(checks: &mut Checks<'_>, text: &Text) -> Option<Box<str>> {
    let pointer = text.get_ref().as_str();
    let is_pointer = pointer.is_empty() || pointer.starts_with('/');
    if !is_pointer {
        checks.wrong(text.span(), "must be a place in a JSON document like \"/code\" or \"/errors/0\"");
    }
    is_pointer.then(|| pointer.into())
}
