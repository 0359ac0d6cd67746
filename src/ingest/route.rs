//! Which of our routes a path is. Pure.

use percent_encoding::percent_decode_str;

use super::catalog::{Campaign, Catalog, ClickPath};
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
            let place = path.strip_prefix("/out/").and_then(|number| number.parse::<usize>().ok());
            match place.and_then(|number| number.checked_sub(1)) {
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

#[cfg(test)]
mod tests {
    use super::*;

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
