//! The answers to pixels: an image, a page for a frame, a script; the latter two print the campaign's own pixels.
//!
//! In: what was found about a conversion that a browser reports. Out: the answer.
//! Keeps: an image is answered 200 whatever is found, but for what could not be kept; the pixels of third parties are printed
//! only for a conversion that is new or has changed, and each URL is a template's, escaped once more for where it stands.

use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use super::answer::{Finding, mark};
use super::catalog::{Campaign, Pixel, PixelKind};
use super::hot::mix;
use super::network::{DoorKind, Network};
use super::outcome::Outcome;
use super::reply::{Reply, html};
use super::track::with_origin;
use super::values::{ClickValues, ConversionValues};
use super::visit::Visit;
use crate::apply::claim::{Claim, Subject};
use crate::apply::ledger::Ruling;
use crate::clock::Timestamp;
use crate::event::click::Click;
use crate::event::decision::Verdict;

/// A transparent image of one pixel.
const GIF: &[u8; 43] = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache, no-store, max-age=0, must-revalidate");
/// The page may load what the campaign names, and run nothing of its own.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; img-src http: https: data:; frame-src http: https:; script-src http: https:; \
     connect-src http: https:; base-uri 'none'; form-action 'none'",
);

/// What a script does with each URL that is put in front of it.
const SCRIPT: &str = include_str!("pixel.js");

/// What third parties' pixels are filled with, should they be printed.
#[derive(Debug)]
pub(super) struct Fired {
    pixels: Vec<Pixel>,
    network: Box<str>,
    subject: Subject,
    claim: Claim,
    time: Timestamp,
}

/// One of them, filled.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Printed {
    kind: &'static str,
    url: String,
}

/// Whether an answer of this kind prints the campaign's pixels, and there are any.
pub(super) fn is_printed(kind: DoorKind, campaign: &Campaign) -> bool {
    matches!(kind, DoorKind::Page | DoorKind::Script) && !campaign.pixels.is_empty()
}

impl Fired {
    pub(super) fn new(
        campaign: &Campaign,
        network: &Network,
        subject: &Subject,
        claim: &Claim,
        time: Timestamp,
    ) -> Self {
        Self {
            pixels: campaign.pixels.clone(),
            network: network.rules.id.clone(),
            subject: subject.clone(),
            claim: claim.clone(),
            time,
        }
    }

    fn to_be_printed(&self, finding: &Finding) -> Vec<Printed> {
        match finding {
            // A page that is loaded again reports a duplicate, and nobody is to be told twice.
            Finding::Ruled(ruling) if matches!(ruling.verdict, Verdict::Accepted | Verdict::Updated) => {
                self.printed(ruling)
            }
            _ => Vec::new(),
        }
    }

    fn printed(&self, ruling: &Ruling) -> Vec<Printed> {
        let Subject::Click { click, parent } = &self.subject else { return Vec::new() };
        let Some(own) = click.click() else { return Vec::new() };
        // The way to the offer knows the offer; all else is the first click's.
        let first = parent.as_ref().and_then(|parent| parent.click());
        let click = first.map_or(own, |first| Click { offer: own.offer, ..first });
        let random = mix(self.time.micros().unsigned_abs());
        let click = ClickValues::new(&click, None, &self.network, random);
        let values = ConversionValues::new(click, &self.claim, ruling, self.time);
        let is_meant = |pixel: &&Pixel| pixel.on.is_empty() || pixel.on.contains(&ruling.status);
        let filled = self.pixels.iter().filter(is_meant).filter_map(|pixel| {
            let mut url = Vec::new();
            pixel.url.render(&values, &mut url).ok()?;
            Some(Printed { kind: name(pixel.kind), url: String::from_utf8(url).ok()? })
        });
        filled.collect()
    }
}

const fn name(kind: PixelKind) -> &'static str {
    match kind {
        PixelKind::Image => "img",
        PixelKind::Page => "iframe",
        PixelKind::Script => "script",
    }
}

/// The answer to a browser.
pub(super) fn reply(kind: DoorKind, finding: &Finding, fired: Option<&Fired>, visit: &Visit<'_>) -> Reply {
    let printed = fired.map_or_else(Vec::new, |fired| fired.to_be_printed(finding));
    let status = match finding {
        Finding::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    };
    let mut reply = match kind {
        DoorKind::Image | DoorKind::Postback => Reply::new(finding.outcome(), status, &GIF[..]),
        DoorKind::Page => Reply::new(finding.outcome(), status, page(&printed)),
        DoorKind::Script => Reply::new(finding.outcome(), status, script(&printed)),
    };
    dress(&mut reply, kind);
    mark(&mut reply, finding);
    if kind == DoorKind::Script { with_origin(reply, visit.headers()) } else { reply }
}

/// The answer to a HEAD, which reports nothing.
pub(super) fn head(kind: DoorKind) -> Reply {
    let mut reply = Reply::new(Outcome::Head, StatusCode::OK, "");
    dress(&mut reply, kind);
    reply
}

fn dress(reply: &mut Reply, kind: DoorKind) {
    let content_type = match kind {
        DoorKind::Image | DoorKind::Postback => "image/gif",
        DoorKind::Page => "text/html; charset=utf-8",
        DoorKind::Script => "text/javascript; charset=utf-8",
    };
    let headers = reply.headers();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, NO_CACHE);
    // Our own URL has the click's id in it, and perhaps what it pays.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if kind == DoorKind::Page {
        headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    }
}

fn page(printed: &[Printed]) -> String {
    let mut body = String::new();
    for Printed { kind, url } in printed {
        let url = html(url.as_bytes());
        body.push_str(&match *kind {
            "img" => format!("<img src=\"{url}\" width=\"1\" height=\"1\" alt=\"\">\n"),
            "iframe" => format!("<iframe src=\"{url}\" width=\"1\" height=\"1\"></iframe>\n"),
            _ => format!("<script src=\"{url}\" async></script>\n"),
        });
    }
    format!(
        "<!doctype html><html><head><meta charset=\"utf-8\"><meta name=\"referrer\" content=\"no-referrer\">\
         <title>…</title></head><body>\n{body}</body></html>\n"
    )
}

fn script(printed: &[Printed]) -> String {
    let list = serde_json::to_string(printed).unwrap_or_else(|_| "[]".to_owned());
    // JSON is JavaScript but for two line ends of old engines; and the script may be put into a page.
    let list = list.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
    format!("{SCRIPT}({list});\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::conversion::Status;
    use crate::event::money::{Currency, Micros, Money};
    use crate::event::params::Params;
    use crate::event::template::{Missing, Names, Target, Template};
    use crate::store::{self, Lookup, Store};

    fn printed(url: &str) -> [Printed; 3] {
        ["img", "iframe", "script"].map(|kind| Printed { kind, url: url.to_owned() })
    }

    #[test]
    fn nothing_in_a_url_leaves_its_attribute_or_its_string() {
        let nasty = printed("https://a.example/?x=\"'></script><b>&y=\\\u{2028}`");
        let page = page(&nasty);
        let inside = "https://a.example/?x=%22%27&gt;&lt;/script&gt;&lt;b&gt;&amp;y=";
        assert_eq!(page.matches(inside).count(), 3, "{page}");
        assert_eq!(page.matches("</script>").count(), 1, "{page}");
        let script = script(&nasty);
        let list = script.strip_prefix(SCRIPT).unwrap().strip_prefix('(').unwrap();
        let list = list.strip_suffix(");\n").unwrap();
        assert!(!list.contains(['<', '\u{2028}']), "{list}");
        let read: serde_json::Value = serde_json::from_str(list).unwrap();
        assert_eq!(read[2]["url"], nasty[2].url.as_str());
    }

    /// What is printed for one click and a conversion of this verdict and status.
    fn answer(kind: DoorKind, verdict: Verdict, status: Status) -> String {
        let root = tempfile::tempdir().unwrap();
        let mut options = store::Options::new(root.path());
        (options.click_segment_bytes, options.journal_segment_bytes) = (1 << 20, 1 << 20);
        (options.marks.low_bytes, options.marks.critical_bytes, options.marks.reserve_bytes) = (0, 0, 0);
        let store = Store::open(options).unwrap();
        let mut writer = store.click_writer(0).unwrap();
        let click = Click { campaign: "spring", offer: "diet", external_id: "e&1", ..Click::default() };
        let id = writer.append(&click).unwrap().click_id;
        let Lookup::Found(found) = store.clicks().find(&id) else { panic!("it was recorded") };
        let mut params = Params::default();
        params.push("note", "\"><script>alert(1)</script>");
        let claim = Claim {
            click_id: "abc".into(),
            transaction_id: Some("t/1".into()),
            event: "ftd".into(),
            status,
            original_status: "1".into(),
            payout: None,
            currency: Currency::USD,
            params,
        };
        let text = "https://third.example/{offer}?c={click_id}&e={external_id}&p={payout}&cur={currency}\
                    &t={transaction_id}&s={status}&n={postback.note}&i={conversion_id}&sec={zone}";
        let pixel = |kind, on: &[Status]| Pixel {
            kind,
            url: Template::parse(text, Target::Url, &Names::with(["zone"], []), Missing::Empty).unwrap(),
            on: on.to_vec(),
        };
        let fired = Fired {
            pixels: vec![pixel(PixelKind::Image, &[Status::Approved]), pixel(PixelKind::Script, &[])],
            network: "boost".into(),
            subject: Subject::Click { click: Box::new(found), parent: None },
            claim,
            time: Timestamp::default(),
        };
        let payout = Some(Money { amount: Micros::new(3_500_000), currency: Currency::USD });
        let ruling = Ruling { verdict, status, payout, conversion_id: [0xab; 16], ..Ruling::default() };
        let printed = match fired.to_be_printed(&Finding::Ruled(ruling)) {
            printed if kind == DoorKind::Page => page(&printed),
            printed => script(&printed),
        };
        writer.close();
        store.close().unwrap();
        printed
    }

    #[test]
    fn the_campaign_s_pixels_are_printed_for_what_is_new_by_status_and_nothing_leaves_its_place() {
        let url = "https://third.example/diet?c=abc&e=e%261&p=3.5&cur=USD&t=t%2F1&s=approved\
                   &n=%22%3E%3Cscript%3Ealert%281%29%3C%2Fscript%3E&i=abababababababababababababababab&sec=";
        let page = answer(DoorKind::Page, Verdict::Accepted, Status::Approved);
        let escaped = url.replace('&', "&amp;");
        assert!(page.contains(&format!("<img src=\"{escaped}\" width=\"1\"")), "{page}");
        assert!(page.contains(&format!("<script src=\"{escaped}\" async></script>")), "{page}");
        let script = answer(DoorKind::Script, Verdict::Updated, Status::Approved);
        assert!(script.contains(&format!("{{\"kind\":\"img\",\"url\":\"{url}\"}}")), "{script}");
        let pending = answer(DoorKind::Page, Verdict::Accepted, Status::Pending);
        assert_eq!(
            (pending.matches("<img").count(), pending.matches("<script").count()),
            (0, 1),
            "{pending}"
        );
        for verdict in [Verdict::Duplicate, Verdict::Held, Verdict::Late, Verdict::Unmatched, Verdict::Test] {
            let page = answer(DoorKind::Page, verdict, Status::Approved);
            assert!(!page.contains("third.example"), "{verdict:?}: {page}");
        }
    }

    #[test]
    fn the_image_is_43_bytes() {
        assert_eq!(GIF.len(), 43);
        assert_eq!((&GIF[..6], GIF[42]), (&b"GIF89a"[..], b';'));
    }
}
