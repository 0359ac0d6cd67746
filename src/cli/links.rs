//! `clicklog links`: what to paste where, for one campaign.
//!
//! Not here: what the links are (`serve::links`).

use std::io::Write;
use std::process::ExitCode;

use clap::Args;

use super::{Failure, settings};
use crate::config::catalog::Snapshot;
use crate::config::{self, Egress};
use crate::dispatcher::destinations::Destinations;
use crate::dispatcher::owed::Destination;
use crate::event::nearest::{missing, nearest};
use crate::ingest::{Campaign, Catalog, Network};
use crate::serve::links;

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
    let listens = settings.edge.listen.first().map(|listen| super::public_url(listen.address, listen));
    let base = arguments.base.clone().or(listens).unwrap_or_default();
    write(out, base.trim_end_matches('/'), &catalog, campaign)?;
    write_outgoing(out, &catalog, &destinations, campaign)?;
    write_warnings(out, &catalog, campaign)?;
    Ok(ExitCode::SUCCESS)
}

fn unknown(name: &str, catalog: &Catalog) -> Failure {
    let ids = || catalog.campaigns().iter().map(|campaign| &*campaign.id);
    let failure = Failure::new(missing("campaign", name, ids()));
    match nearest(name, ids()) {
        Some(_) => failure,
        None => failure.advise("is it in another catalog? say so with --catalog"),
    }
}

fn write(out: &mut dyn Write, base: &str, catalog: &Catalog, campaign: &Campaign) -> Result<(), Failure> {
    writeln!(out, "click URL, for the traffic source (in place of each {{…}} its own token)")?;
    writeln!(out, "  {}", links::click_url(base, catalog, campaign))?;
    let through = links::through(base, catalog, campaign);
    if !through.is_empty() {
        writeln!(out, "\nlinks to the offers, for the landing page")?;
    }
    for (url, offer) in through {
        writeln!(out, "  {}", format!("{url}   {offer}").trim_end())?;
    }
    writeln!(out, "\nscript, for a landing page that visitors reach without the click URL")?;
    writeln!(out, "  {}", links::script(base, campaign))?;
    let networks = links::networks(catalog, campaign);
    networks.into_iter().try_for_each(|network| write_network(out, base, catalog, network))
}

fn write_warnings(out: &mut dyn Write, catalog: &Catalog, campaign: &Campaign) -> Result<(), Failure> {
    let offers = campaign.offers.iter().filter_map(|offer| catalog.offer(*offer));
    for warning in offers.filter_map(config::offer_warning) {
        writeln!(out, "\nwarning: {warning}")?;
    }
    Ok(())
}

/// Whom conversions of the campaign are told to, as the source, the campaign, its offers and the catalog itself say.
fn write_outgoing(
    out: &mut dyn Write,
    catalog: &Catalog,
    destinations: &Destinations,
    campaign: &Campaign,
) -> Result<(), Failure> {
    let all = links::outgoing(catalog, destinations, campaign);
    if !all.is_empty() {
        writeln!(out, "\npostbacks that leave for conversions of this campaign")?;
    }
    for of in all {
        let offers =
            if of.offers.is_empty() { String::new() } else { format!(", for {}", of.offers.join(", ")) };
        let Destination { id, outbound, .. } = of.destination;
        writeln!(out, "  {id} ({}{offers}), of {}", of.level.name(), of.told())?;
        writeln!(out, "    {} {}", outbound.method, outbound.url_text)?;
    }
    Ok(())
}

fn write_network(
    out: &mut dyn Write,
    base: &str,
    catalog: &Catalog,
    network: &Network,
) -> Result<(), Failure> {
    let id = &network.rules.id;
    writeln!(out, "\npostback URL, for the network {id} (in place of each {{…}} its own token)")?;
    let postback = links::postback(base, catalog, network);
    writeln!(out, "  {}", postback.url)?;
    if let Some(header) = postback.header {
        writeln!(out, "  with the header {header}")?;
    }
    if let Some(pixels) = links::pixels(base, network) {
        writeln!(
            out,
            "\npixels, for the page behind a conversion of {id}: one of image, frame and script (frame and script also\n\
             load the campaign's own pixels). Each finds the click by its cookie; where browsers keep that back, as many do\n\
             on pages of another site, add {}= with the click id. In place of OPTIONAL the order's amount and number",
            pixels.click
        )?;
        writeln!(out, "  {}\n  {}\n  {}", pixels.image, pixels.frame, pixels.script)?;
    } else {
        writeln!(
            out,
            "\nno pixels for {id}: a browser cannot keep its secret or call from its address; pixels = true if you want them"
        )?;
    }
    Ok(())
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
