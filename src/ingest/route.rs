//! Which of our routes a path is. Pure.

use percent_encoding::percent_decode_str;

use super::catalog::{CAMPAIGN_PARAMS, Campaign, Catalog, ClickPath};
use super::network::DoorKind;
use crate::event::params::{Params, Source};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// A click of the campaign by this name.
    Click(&'a str),
    /// From a lander to an offer: to any, or to the one at this place, counted from 0.
    Out(Option<usize>),
    /// The second page of a double meta refresh.
    Meta,
    /// The landing pages' script.
    Script,
    /// A click that a landing page's script announces.
    Track,
    /// `robots.txt`.
    Robots,
    /// `favicon.ico`.
    Favicon,
    /// A conversion that a server reports, of the network by this id if one is there.
    Postback(Option<&'a str>),
    /// A conversion that a browser reports.
    Pixel(DoorKind),
    /// An authority asks whether a name is ours, with this token.
    Challenge(&'a str),
    /// Nothing of ours; perhaps a network's own path, or another tracker's click URL.
    Other,
}

pub(super) fn route(path: &str) -> Route<'_> {
    // Most requests by far are clicks.
    if let Some(name) = path.strip_prefix("/c/").filter(|name| !name.is_empty()) {
        return Route::Click(name.strip_suffix('/').unwrap_or(name));
    }
    match path {
        "/out" => Route::Out(None),
        "/m" => Route::Meta,
        "/t.js" => Route::Script,
        "/track" => Route::Track,
        "/robots.txt" => Route::Robots,
        "/favicon.ico" => Route::Favicon,
        "/postback" | "/postback/" => Route::Postback(None),
        "/pixel.gif" => Route::Pixel(DoorKind::Image),
        "/pixel" => Route::Pixel(DoorKind::Page),
        "/pixel.js" => Route::Pixel(DoorKind::Script),
        _ => {
            if let Some(name) = path.strip_prefix("/postback/") {
                return Route::Postback(Some(name.strip_suffix('/').unwrap_or(name)));
            }
            if let Some(token) = path.strip_prefix("/.well-known/acme-challenge/") {
                return Route::Challenge(token);
            }
            match path.strip_prefix("/out/").and_then(place) {
                Some(place) => Route::Out(Some(place)),
                None => Route::Other,
            }
        }
    }
}

/// The campaign that a part of a path names: as it stands, or percent-encoded.
pub(super) fn campaign<'a>(catalog: &'a Catalog, name: &str) -> Option<&'a Campaign> {
    catalog.campaign(name).or_else(|| catalog.campaign(&percent_decode_str(name).decode_utf8().ok()?))
}

/// The campaign that another tracker's click URL means.
pub(super) fn other_tracker<'a>(catalog: &'a Catalog, path: &str, query: &str) -> Option<&'a Campaign> {
    catalog.click_paths().iter().find_map(|shape| named(catalog, shape, path, query))
}

fn named<'a>(catalog: &'a Catalog, shape: &ClickPath, path: &str, query: &str) -> Option<&'a Campaign> {
    if let Some(start) = shape.path.strip_suffix('*') {
        let name = path.strip_prefix(start)?;
        return campaign(catalog, name.strip_suffix('/').unwrap_or(name));
    }
    if *shape.path != *path {
        return None;
    }
    let params = Params::parse(query.as_bytes(), Source::Query);
    shape.keys.iter().find_map(|key| catalog.campaign(params.get_ignore_case(key)?))
}

/// Where another tracker's link on a lander leads, as in `Route::Out`: `/click` and `/click/2` of Voluum and BeMob,
/// `/click.php?lp=1&to_offer=2` of Binom, whose new version has `/click` too.
pub(super) fn other_lander(path: &str, query: &str) -> Option<Option<usize>> {
    let rest = path.strip_prefix("/click")?;
    if let Some(number) = rest.strip_prefix('/') {
        return place(number).map(Some);
    }
    let params = Params::parse(query.as_bytes(), Source::Query);
    let says = |name: &&str| params.get_ignore_case(name).is_some();
    // Whoever names a campaign means a click of it, also where nobody knows that campaign.
    let is_link = match rest {
        "" => says(&"lp") || !CAMPAIGN_PARAMS.iter().any(says),
        ".php" => says(&"lp"),
        _ => false,
    };
    is_link.then(|| params.get_ignore_case("to_offer").and_then(place))
}

/// A number in a URL, which counts from 1.
fn place(number: &str) -> Option<usize> {
    number.parse::<usize>().ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_trackers_links_on_a_lander_are_told_from_their_clicks() {
        for (target, expected) in [
            ("/click", Some(None)),
            ("/click?x=1", Some(None)),
            ("/click/1", Some(Some(0))),
            ("/click/12?x=1", Some(Some(11))),
            ("/click?lp=1&event1=5", Some(None)),
            ("/click?lp=1&key=abc", Some(None)),
            ("/click.php?LP=1&to_offer=2", Some(Some(1))),
            ("/click?key=abc", None),
            ("/click?camp_id=7", None),
            ("/click?offer_id=7", None),
            ("/click.php?key=abc", None),
            ("/click.php", None),
            ("/click/0", None),
            ("/click/x", None),
            ("/click/", None),
            ("/clicks", None),
            ("/out/1", None),
        ] {
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            assert_eq!(other_lander(path, query), expected, "{target}");
        }
    }

    #[test]
    fn paths_are_told_apart() {
        let cases = [
            ("/c/spring", Route::Click("spring")),
            ("/c/spring/", Route::Click("spring")),
            ("/c/", Route::Other),
            ("/out", Route::Out(None)),
            ("/out/1", Route::Out(Some(0))),
            ("/out/0", Route::Other),
            ("/out/x", Route::Other),
            ("/m", Route::Meta),
            ("/t.js", Route::Script),
            ("/track", Route::Track),
            ("/postback", Route::Postback(None)),
            ("/postback/", Route::Postback(None)),
            ("/postback/boost", Route::Postback(Some("boost"))),
            ("/postback/boost/", Route::Postback(Some("boost"))),
            ("/pixel.gif", Route::Pixel(DoorKind::Image)),
            ("/pixel", Route::Pixel(DoorKind::Page)),
            ("/pixel.js", Route::Pixel(DoorKind::Script)),
            ("/pixel.png", Route::Other),
            ("/", Route::Other),
            ("/C/spring", Route::Other),
        ];
        for (path, expected) in cases {
            assert_eq!(route(path), expected, "{path}");
        }
    }
}
