//! Clicks without a redirect: a script on the landing page announces them.
//!
//! In: `GET` or `POST /track` with the campaign's name and the landing page's own parameters. Out: the click's id as
//! JSON, and the cookie.
//! Keeps: any page may ask (the answer says nothing that its visitor does not know), and only a page may read it that
//! is served from where it says.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL, CONTENT_TYPE, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::catalog::Catalog;
use super::click::{Chosen, Parent, cookie, record};
use super::hot::Hot;
use super::outcome::Outcome;
use super::reply::Reply;
use super::visit::{CLICK_COOKIE, Visit};
use super::worker::Shared;
use crate::event::click::ClickKind;
use crate::event::params::Source;

/// Names under which a script gives the campaign.
const CAMPAIGN_PARAMS: &[&str] = &["campaign", "c"];

/// What `/t.js` hands out.
const SCRIPT: &str = include_str!("t.js");

pub(super) fn script() -> Reply {
    let mut reply = Reply::new(Outcome::Script, StatusCode::OK, SCRIPT);
    let headers = reply.headers();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    reply
}

/// Records the click. `form` is the body of a POST.
pub(super) fn track(
    shared: &Shared,
    hot: &mut Hot,
    catalog: &Catalog,
    visit: &Visit<'_>,
    form: &[u8],
) -> Reply {
    hot.params.clear();
    hot.params.parse_into(visit.query().as_bytes(), Source::Query);
    hot.params.parse_into(form, Source::Form);
    let named = CAMPAIGN_PARAMS.iter().find_map(|name| catalog.campaign(hot.params.get(name)?));
    let Some(campaign) = named else {
        return with_origin(Reply::refusal(Outcome::UnknownCampaign), visit.headers());
    };
    if visit.is_prefetch() {
        return with_origin(Reply::refusal(Outcome::Prefetch), visit.headers());
    }
    let nowhere = Chosen { lander: None, offer: None };
    let recorded =
        record(shared, hot, catalog, campaign, visit, &nowhere, ClickKind::Script, Parent::default());
    let Some(id) = recorded.click_id else {
        return with_origin(Reply::refusal(Outcome::Unavailable), visit.headers());
    };
    let body = format!("{{\"click_id\":\"{}\"}}\n", id.as_str());
    let mut reply = Reply::new(Outcome::Tracked, StatusCode::OK, body);
    reply.headers().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply.headers().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if campaign.has_cookie {
        reply = reply.with_cookie(cookie(hot, CLICK_COOKIE, id.as_str(), visit.is_https));
    }
    with_origin(reply, visit.headers())
}

/// What a browser asks before it sends what a page from elsewhere wants sent.
pub(super) fn preflight(headers: &HeaderMap) -> Reply {
    let mut reply = with_origin(Reply::new(Outcome::Options, StatusCode::NO_CONTENT, ""), headers);
    let out = reply.headers();
    out.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
    out.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type"));
    out.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    reply
}

/// Lets a page from anywhere read the answer.
pub(super) fn with_origin(mut reply: Reply, headers: &HeaderMap) -> Reply {
    // What is not visible ASCII is no origin of any browser.
    if let Some(origin) = headers.get(ORIGIN).filter(|origin| origin.to_str().is_ok()) {
        reply.headers().insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        reply.headers().insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        reply.headers().insert(VARY, HeaderValue::from_static("origin"));
    }
    reply
}
