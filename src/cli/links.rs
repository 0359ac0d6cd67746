//! `clicklog links`: what to paste where, for one campaign.
//!
//! Keeps: a secret is never shown; where one belongs stands `SECRET`, or, in what we send, its name.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::{Failure, settings};
use crate::apply::reading::Role;
use crate::config::catalog::Snapshot;
use crate::config::{self, Egress};
use crate::dispatcher::destinations::Destinations;
use crate::dispatcher::owed::{Destination, Level};
use crate::event::conversion::Status;
use crate::event::nearest::nearest;
use crate::event::percent_encoded;
use crate::ingest::{Campaign, Catalog, Door, DoorKind, Network, SignaturePlace};

/// Where a path has its secret.
const SECRET_SEGMENT: &str = "{secret}";
/// What a network is asked to send, if its profile has a name for it.
const ROLES: [Role; 4] = [Role::ClickId, Role::Payout, Role::TransactionId, Role::Status];
/// What a pixel may carry. Left as it is, it counts as absent.
const PIXEL_ROLES: [Role; 2] = [Role::Payout, Role::TransactionId];

/// What a conversion may be.
const STATUSES: [Status; 4] = [Status::Pending, Status::Approved, Status::Reversed, Status::Unknown];

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Id or alias of the campaign
    campaign: String,
    /// Where visitors reach this tracker [default: the first address that it listens at]
    #[arg(long, value_name = "URL")]
    base: Option<String>,
    #[command(flatten)]
    settings: settings::Given,
}

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let settings = arguments.settings.load().map_err(Failure::configuration)?.settings;
    // Over which connections postbacks leave does not show.
    let snapshot =
        config::catalog::load_all(settings.catalog_path(), 0, &config::environment, &Egress::default());
    let Snapshot { catalog, destinations } = snapshot.map_err(Failure::configuration)?;
    let campaign =
        catalog.campaign(&arguments.campaign).ok_or_else(|| unknown(&arguments.campaign, &catalog))?;
    let listens = settings.edge.listen.first().map(|listen| super::url(listen.address));
    let base = arguments.base.clone().or(listens).unwrap_or_default();
    write(out, base.trim_end_matches('/'), &catalog, campaign)?;
    write_outgoing(out, &catalog, &destinations, campaign)?;
    write_warnings(out, &catalog, campaign)?;
    Ok(ExitCode::SUCCESS)
}

fn unknown(name: &str, catalog: &Catalog) -> Failure {
    let names = catalog.campaigns().iter().map(|campaign| &*campaign.id);
    let hint = nearest(name, names).map_or(String::new(), |near| format!(", did you mean \"{near}\"?"));
    Failure::new(format!("no campaign \"{name}\"{hint}"))
}

fn write(out: &mut dyn Write, base: &str, catalog: &Catalog, campaign: &Campaign) -> Result<(), Failure> {
    let id = &campaign.id;
    writeln!(out, "click URL, for the traffic source (in place of each {{…}} its own token)")?;
    writeln!(out, "  {base}/c/{id}{}", query(catalog, campaign))?;
    if !campaign.landers.is_empty() {
        writeln!(out, "\nlinks to the offers, for the landing page")?;
        writeln!(out, "  {base}/out")?;
        if campaign.offers.len() > 1 {
            for (number, offer) in (1..).zip(campaign.offers.iter()) {
                let name = catalog.offer(*offer).map_or("", |offer| &offer.id);
                writeln!(out, "  {base}/out/{number}   {name}")?;
            }
        }
    }
    writeln!(out, "\nscript, for a landing page that visitors reach without the click URL")?;
    writeln!(out, "  <script src=\"{base}/t.js\" data-campaign=\"{id}\" async></script>")?;
    networks(catalog, campaign).into_iter().try_for_each(|network| write_network(out, base, catalog, network))
}

fn write_warnings(out: &mut dyn Write, catalog: &Catalog, campaign: &Campaign) -> Result<(), Failure> {
    let offers = campaign.offers.iter().filter_map(|offer| catalog.offer(*offer));
    for warning in offers.filter_map(config::offer_warning) {
        writeln!(out, "\nwarning: {warning}")?;
    }
    Ok(())
}

/// A destination that hears of conversions of a campaign, and of which of its offers.
struct Outgoing<'a> {
    level: Level,
    destination: &'a Destination,
    offers: Vec<&'a str>,
}

/// Whom conversions of the campaign are told to, as the source, the campaign, its offers and the catalog itself say.
fn write_outgoing(
    out: &mut dyn Write,
    catalog: &Catalog,
    destinations: &Destinations,
    campaign: &Campaign,
) -> Result<(), Failure> {
    let mut offers: Vec<&str> = Vec::new();
    for offer in campaign.offers.iter().filter_map(|offer| catalog.offer(*offer)) {
        if !offers.contains(&&*offer.id) {
            offers.push(&offer.id);
        }
    }
    let all =
        outgoing(destinations, catalog.source(campaign).map_or("", |source| &source.id), campaign, &offers);
    if all.is_empty() {
        return Ok(());
    }
    writeln!(out, "\npostbacks that leave for conversions of this campaign")?;
    for Outgoing { level, destination, offers: of } in all {
        let of = match level {
            // As many as there are: nobody has one of its own.
            _ if of.len() == offers.len() => String::new(),
            _ => format!(", for {}", of.join(", ")),
        };
        let Destination { id, condition, outbound, .. } = destination;
        let told = STATUSES.into_iter().filter(|status| condition.statuses.has(*status));
        let told: Vec<&str> = told.map(Status::name).collect();
        let told = if told.is_empty() { "nothing".to_owned() } else { told.join(", ") };
        writeln!(out, "  {id} ({}{of}), of {told}", level.name())?;
        writeln!(out, "    {} {}", outbound.method, outbound.url_text)?;
    }
    Ok(())
}

fn outgoing<'a>(
    destinations: &'a Destinations,
    source: &str,
    campaign: &Campaign,
    offers: &[&'a str],
) -> Vec<Outgoing<'a>> {
    let mut all: Vec<Outgoing<'_>> = Vec::new();
    for offer in offers {
        for (level, destination) in destinations.levels_of(source, &campaign.id, offer).chosen() {
            match all.iter_mut().find(|known| std::ptr::eq(known.destination, destination)) {
                Some(known) => known.offers.push(offer),
                None => all.push(Outgoing { level, destination, offers: vec![offer] }),
            }
        }
    }
    all.sort_by_key(|outgoing| outgoing.level);
    all
}

/// The networks that the campaign's offers name, each once.
fn networks<'a>(catalog: &'a Catalog, campaign: &Campaign) -> Vec<&'a Network> {
    let mut found: Vec<&Network> = Vec::new();
    for offer in campaign.offers.iter().filter_map(|offer| catalog.offer(*offer)) {
        if let Some(network) = catalog.network(&offer.network)
            && !found.iter().any(|other| other.rules.id == network.rules.id)
        {
            found.push(network);
        }
    }
    found
}

fn write_network(
    out: &mut dyn Write,
    base: &str,
    catalog: &Catalog,
    network: &Network,
) -> Result<(), Failure> {
    let id = &network.rules.id;
    writeln!(out, "\npostback URL, for the network {id} (in place of each {{…}} its own token)")?;
    let (url, header) = postback(base, catalog, network);
    writeln!(out, "  {url}")?;
    if let Some(header) = header {
        writeln!(out, "  with the header {header}")?;
    }
    if network.access.takes_pixels {
        writeln!(
            out,
            "\npixels, for the page behind a conversion of {id}: one of image, frame and script (frame and script also\n\
             load the campaign's own pixels). Each finds the click by its cookie; where browsers keep that back, as many do\n\
             on pages of another site, add {}= with the click id. In place of OPTIONAL the order's amount and number",
            pixel_click(network)
        )?;
        let query = pixel_query(network);
        writeln!(
            out,
            "  <img src=\"{base}/pixel.gif?{query}\" width=\"1\" height=\"1\" alt=\"\">\n  \
             <iframe src=\"{base}/pixel?{query}\" width=\"1\" height=\"1\" style=\"display:none\"></iframe>\n  \
             <script src=\"{base}/pixel.js?{query}\" async></script>"
        )?;
    } else {
        writeln!(
            out,
            "\nno pixels for {id}: a browser cannot keep its secret or call from its address; pixels = true if you want them"
        )?;
    }
    Ok(())
}

/// What a pixel calls the click.
fn pixel_click(network: &Network) -> &str {
    network.rules.mapping.names(Role::ClickId).first().map_or("click_id", AsRef::as_ref)
}

/// Where a network calls, and the header that it must send, if any.
fn postback(base: &str, catalog: &Catalog, network: &Network) -> (String, Option<String>) {
    let id = &network.rules.id;
    // Every network may call at `/postback`, and is known there by its id; a path segment that nobody compares says nothing.
    let has_secret = !network.access.secrets.is_empty();
    let is_telling =
        |door: &&Door| *door.path != *"/postback" && (has_secret || !door.path.contains(SECRET_SEGMENT));
    let door = network.doors.iter().find(|door| door.kind == DoorKind::Postback).filter(is_telling);
    let mut pairs: Vec<(String, String)> = Vec::new();
    let path = match door {
        None => format!("/postback/{id}"),
        Some(door) => {
            pairs.extend(conditions(network, door));
            if is_shared(catalog, network, door) {
                pairs.push(("network".to_owned(), id.to_string()));
            }
            door.path.replace(SECRET_SEGMENT, "SECRET")
        }
    };
    let asked = network.rules.required.iter().filter(|role| !ROLES.contains(role));
    for role in ROLES.iter().chain(asked).copied() {
        if let Some(name) = network.rules.mapping.names(role).first() {
            pairs.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
            pairs.push((name.to_string(), format!("{{{}}}", role.name())));
        }
    }
    let header = shown_secret(network, &path, &mut pairs);
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{}={value}", encoded(name))).collect();
    (format!("{base}{path}?{}", pairs.join("&")), header)
}

/// What the request must have for the door to be that one, and the network to be this.
fn conditions(network: &Network, door: &Door) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let own = network.matches.iter().map(|(name, value)| (name, Some(value)));
    let when = door.when.iter().map(|(name, value)| (name, value.as_ref()));
    for (name, value) in own.chain(when) {
        if !pairs.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            pairs.push((name.to_string(), value.map_or(format!("{{{name}}}"), |value| encoded(value))));
        }
    }
    pairs
}

/// Whether another network has the same path, and nothing in this one's URL tells it apart.
fn is_shared(catalog: &Catalog, network: &Network, door: &Door) -> bool {
    let is_other = |other: &&Arc<Network>| other.rules.id != network.rules.id;
    let mut others = catalog.networks().iter().filter(is_other);
    network.matches.is_empty() && others.any(|other| other.doors.iter().any(|its| its.path == door.path))
}

/// Puts in where the secret and the signature go, and gives the header that one of them goes into.
fn shown_secret(network: &Network, path: &str, pairs: &mut Vec<(String, String)>) -> Option<String> {
    let access = &network.access;
    let mut headers = Vec::new();
    if !access.secrets.is_empty() && !path.split('/').any(|segment| segment == "SECRET") {
        match (access.secret_params.first(), access.secret_headers.first()) {
            (Some(param), _) => pairs.push((param.to_string(), "SECRET".to_owned())),
            (None, Some(header)) => headers.push(format!("{header}: SECRET")),
            (None, None) => {}
        }
    }
    if let Some(signature) = &access.signature {
        match &signature.place {
            SignaturePlace::Param(name) => {
                pairs.push((signature.time.to_string(), "UNIX_SECONDS".to_owned()));
                pairs.push((name.to_string(), "SIGNATURE".to_owned()));
            }
            SignaturePlace::Header(name) => {
                headers.push(format!("{}: UNIX_SECONDS", signature.time));
                headers.push(format!("{name}: SIGNATURE"));
            }
        }
    }
    (!headers.is_empty()).then(|| headers.join(", "))
}

/// For an attribute of a page.
fn pixel_query(network: &Network) -> String {
    let mut query = format!("network={}", network.rules.id);
    let names = PIXEL_ROLES.iter().filter_map(|role| network.rules.mapping.names(*role).first());
    for name in names {
        query.push_str(&format!("&amp;{}=OPTIONAL", encoded(name)));
    }
    query
}

fn encoded(text: &str) -> String {
    percent_encoded(text).to_string()
}

/// The parameters that the campaign's source can fill.
fn query(catalog: &Catalog, campaign: &Campaign) -> String {
    let Some(source) = catalog.source(campaign) else { return String::new() };
    let picked = [source.external_id.as_deref(), source.cost.as_deref()];
    let renamed = source.params.iter().map(|(theirs, _)| &**theirs);
    let pairs: Vec<String> =
        picked.into_iter().flatten().chain(renamed).map(|name| format!("{name}={{{name}}}")).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is printed for a campaign whose offers name a network each.
    fn links(networks: &[(&str, &str)]) -> String {
        let mut text = "[[campaign]]\nid = \"c\"\noffers = [".to_owned();
        text.extend(networks.iter().map(|(id, _)| format!("{{ id = \"{id}\" }}, ")));
        text.push_str("]\n");
        for (id, lines) in networks {
            text.push_str(&format!("[[network]]\nid = \"{id}\"\n{lines}\n"));
            text.push_str(&format!(
                "[[offer]]\nid = \"{id}\"\nnetwork = \"{id}\"\nurl = \"https://o.example/{{click_id}}\"\n"
            ));
        }
        let catalog = config::catalog::parse("c.toml", &text, 1, &|_| Some("hush-hush".to_owned()));
        let catalog = catalog.unwrap_or_else(|problems| panic!("{problems}"));
        let mut out = Vec::new();
        write(&mut out, "https://t.example", &catalog, catalog.campaign("c").unwrap()).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(!out.contains("hush-hush"), "{out}");
        out
    }

    #[test]
    fn each_network_is_given_the_url_that_its_platform_calls() {
        let secret = "secret = { env = \"S\" }";
        let of = |profile: &str, more: &str| format!("profile = \"{profile}\"\n{more}");
        let tail = "payout={payout}&transaction_id={transaction_id}&status={status}";
        for (lines, url) in [
            (String::new(), format!("/postback/n?click_id={{click_id}}&{tail}")),
            (secret.to_owned(), format!("/postback/n?click_id={{click_id}}&{tail}&secret=SECRET")),
            (
                "required = [\"event\", \"payout\"]\nparams = { event = [\"a b\"] }".to_owned(),
                format!("/postback/n?click_id={{click_id}}&{tail}&a%20b={{event}}"),
            ),
            (of("affise", ""), "/postback/n?clickid={click_id}&sum={payout}&action_id=".to_owned()),
            (of("keitaro", secret), "/SECRET/postback?subid={click_id}&payout={payout}&tid=".to_owned()),
            (of("keitaro", ""), "/postback/n?subid={click_id}&payout={payout}&tid=".to_owned()),
            (
                of("tune", secret),
                "/aff_lsr?transaction_id={click_id}&amount={payout}&status={status}&security_token=SECRET\n"
                    .to_owned(),
            ),
            (
                of("everflow", "match = { nid = \"1&2\" }"),
                "/?nid=1%262&transaction_id={click_id}&amount={payout}&order_id={transaction_id}\n"
                    .to_owned(),
            ),
            (of("cake", ""), "/p.ashx?f=pb&r={click_id}&p={payout}&t={transaction_id}\n".to_owned()),
            (
                of("binom", ""),
                "/click.php?cnv_id={click_id}&payout={payout}&cnv_status={status}\n".to_owned(),
            ),
            (of("cpvlab", "paths = [\"/own\"]"), "/own?subid={click_id}&revenue={payout}\n".to_owned()),
            (
                format!("{secret}\nsecret_params = []"),
                format!("{tail}\n  with the header X-Secret: SECRET\n"),
            ),
            (
                "signature = { secret = { env = \"S\" }, param = \"sig\", time = \"ts\" }".to_owned(),
                format!("{tail}&ts=UNIX_SECONDS&sig=SIGNATURE\n"),
            ),
            (
                "signature = { secret = { env = \"S\" }, header = \"X-Sig\", time = \"X-Time\" }".to_owned(),
                format!("{tail}\n  with the header X-Time: UNIX_SECONDS, X-Sig: SIGNATURE\n"),
            ),
        ] {
            let shown = links(&[("n", &lines)]);
            assert!(shown.contains(&url), "{lines}\n{url}\n{shown}");
        }
    }

    #[test]
    fn what_leaves_for_a_campaign_is_shown_as_it_is_written_by_whoever_says_it() {
        let text = r#"
            [secrets]
            hush = { env = "HUSH" }
            [[postback]]
            id = "all"
            url = "https://all.example/{click_id}?k={secret:hush}"
            [[source]]
            id = "s"
            [[source.postback]]
            id = "src"
            url = "https://src.example/?v={external_id|upper}&v={{payout}}"
            on = ["approved", "reversed"]
            [[source.postback]]
            id = "signed"
            url = "https://hooks.example/"
            sign = { env = "KEY" }
            [[offer]]
            id = "o"
            url = "https://o.example/"
            [[offer]]
            id = "p"
            url = "https://p.example/"
            [[offer.postback]]
            id = "all"
            url = "https://p.example/all/{click_id}"
            on = []
            [[campaign]]
            id = "c"
            source = "s"
            offers = [{ id = "o" }, { id = "p" }]
            [[campaign.postback]]
            id = "camp"
            url = "https://camp.example/{click_id}"
            [[campaign]]
            id = "other"
            offers = [{ id = "p" }]
        "#;
        let environment = |name: &str| {
            Some(
                if name == "KEY" { "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" } else { "hush-hush" }.to_owned(),
            )
        };
        let snapshot = config::catalog::parse_all("c.toml", text, 1, &environment, &Egress::default());
        let Snapshot { catalog, destinations } = snapshot.unwrap_or_else(|problems| panic!("{problems}"));
        let links = |campaign: &str| {
            let mut out = Vec::new();
            write_outgoing(&mut out, &catalog, &destinations, catalog.campaign(campaign).unwrap()).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            links("c"),
            "\npostbacks that leave for conversions of this campaign\n\
             \x20 all (offer, for p), of nothing\n    GET https://p.example/all/{click_id}\n\
             \x20 camp (campaign), of approved\n    GET https://camp.example/{click_id}\n\
             \x20 src (source), of approved, reversed\n    GET https://src.example/?v={external_id|upper}&v={{payout}}\n\
             \x20 signed (source), of approved\n    GET https://hooks.example/\n\
             \x20 all (global, for o), of approved\n    GET https://all.example/{click_id}?k={secret:hush}\n"
        );
        assert!(!links("other").contains("src") && links("other").contains("all (offer), of nothing"));
    }

    #[test]
    fn networks_on_one_path_are_told_apart_and_each_stands_there_once() {
        let tune = "profile = \"tune\"";
        let shown = links(&[("a", tune), ("b", tune), ("c", &format!("{tune}\nmatch = {{ adv = \"7\" }}"))]);
        for url in
            ["/aff_lsr?network=a&transaction_id=", "/aff_lsr?network=b&", "/aff_lsr?adv=7&transaction_id="]
        {
            assert_eq!(shown.matches(url).count(), 1, "{url}\n{shown}");
        }
    }

    #[test]
    fn pixels_are_shown_for_networks_that_take_them() {
        let shown = links(&[("n", "params = { transaction_id = [\"txid\"], payout = [\"\\\"p\"] }")]);
        let query = "network=n&amp;%22p=OPTIONAL&amp;txid=OPTIONAL\"";
        for start in [
            format!("<img src=\"https://t.example/pixel.gif?{query} width=\"1\""),
            format!("<iframe src=\"https://t.example/pixel?{query} width=\"1\""),
            format!("<script src=\"https://t.example/pixel.js?{query} async></script>"),
        ] {
            assert!(shown.contains(&start), "{start}\n{shown}");
        }
        let shown = links(&[("n", "secret = { env = \"S\" }")]);
        assert!(shown.contains("secret=SECRET") && !shown.contains("/pixel"), "{shown}");
        assert!(shown.contains("no pixels for n:"), "{shown}");
    }
}
