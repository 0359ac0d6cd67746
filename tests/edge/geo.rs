//! Countries and networks of addresses, from a database that the operator has.
//!
//! `tests/fixtures/geo/places.mmdb` holds three documentation networks: 198.51.100.0/24 in DE and AS 64500 (as MaxMind
//! writes it), 2001:db8::/32 in "fr" and AS 64501 (as others do), 203.0.113.0/24 in AS 64502 and no country.

use crate::server::Server;

const CATALOG: &str = "[[campaign]]\nid = \"c\"\nfallback_url = \"https://o.example/{country}\"\n\
                       [[campaign]]\nid = \"private\"\nip = \"none\"\n";

fn server(database: &'static str) -> Server {
    Server::with(CATALOG, move |settings| {
        settings.edge.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/geo/");
        settings.labels.geo = vec![format!("{folder}{database}").into()];
    })
}

#[test]
fn the_place_of_an_address_is_recorded_and_can_be_passed_on() {
    let server = server("places.mmdb");
    for (address, country, asn) in [
        ("198.51.100.9", *b"DE", 64500),
        ("2001:db8::9", *b"FR", 64501),
        ("203.0.113.9", [0; 2], 64502),
        ("192.0.2.9", [0; 2], 0),
    ] {
        let answer =
            server.get_with(&format!("/c/c?a={address}"), &format!("X-Forwarded-For: {address}\r\n"));
        let shown = if country == [0; 2] { "" } else { std::str::from_utf8(&country).unwrap() };
        assert_eq!(answer.location(), format!("https://o.example/{shown}"));
        let clicks = server.clicks();
        let click = clicks.iter().find(|click| click.param("a") == Some(address)).unwrap();
        assert_eq!((click.country, click.asn), (country, asn), "{address}");
    }
    // What a campaign must not keep of an address does not keep it from being placed.
    server.get_with("/c/private?a=none", "X-Forwarded-For: 198.51.100.9\r\n");
    let clicks = server.clicks();
    let click = clicks.iter().find(|click| click.path[0] == "private").unwrap();
    assert_eq!((click.address, click.country), (None, *b"DE"));
    server.stop();
}

#[test]
fn what_is_no_database_is_refused_with_its_name() {
    let labels = clicklog::config::Labels { geo: vec!["/dev/null".into()], ..Default::default() };
    let told = clicklog::config::load_lists(&labels).unwrap_err().to_string();
    assert!(told.starts_with("/dev/null: "), "{told}");
}
