//! A body for what networks send: any request at all, looked at as a postback.

use std::net::{IpAddr, Ipv4Addr};
use std::str::from_utf8;
use std::sync::OnceLock;
use std::time::Duration;

use clicklog::apply::key::{Mode, Scope};
use clicklog::apply::reading::{Mapping, Role};
use clicklog::apply::rules;
use clicklog::clock::Timestamp;
use clicklog::event::params::{Params, Source};
use clicklog::ingest::{
    Access, Catalog, Door, DoorKind, Network, Parts, Secret, Signature, SignaturePlace, Told, examine, reread,
};

use super::Bytes;

/// Secrets: one with what has to be escaped, and one that is a number.
const SECRETS: [&str; 2] = ["op\u{e9}n \"s&same/", "90215768"];

fn network(id: &str, path: &str, kind: DoorKind, when: &[&str]) -> Network {
    let rules = rules::Network {
        id: id.into(),
        mapping: Mapping::generic(),
        mode: Mode::default(),
        scope: Scope::default(),
        limits: rules::Limits::default(),
        required: vec![Role::TransactionId],
        park: rules::PARK_DEFAULT,
    };
    let when = when.iter().map(|name| (Box::from(*name), None)).collect();
    let access = Access {
        secrets: SECRETS.map(Secret::new).into(),
        secret_params: vec!["secret".into(), "a.key".into()],
        secret_headers: vec!["x-secret".into()],
        takes_pixels: true,
        ..Access::default()
    };
    Network { access, doors: vec![Door { path: path.into(), when, kind }], ..Network::plain(rules) }
}

fn catalog() -> &'static Catalog {
    static CATALOG: OnceLock<Catalog> = OnceLock::new();
    CATALOG.get_or_init(|| {
        let mut signed = network("signed", "/signed", DoorKind::Postback, &[]);
        signed.access.signature = Some(Signature {
            keys: vec![Secret::new("the signing key")],
            place: SignaturePlace::Param("sig".into()),
            time: "ts".into(),
            tolerance: Duration::from_secs(300),
        });
        let networks = vec![
            network("boost", "/{secret}/postback", DoorKind::Postback, &[]),
            network("binom", "/click.php", DoorKind::Postback, &["cnv_id"]),
            network("pixel", "/click.php", DoorKind::Image, &[]),
            signed,
        ];
        Catalog::new(1, Parts { networks, ..Parts::default() }).expect("a catalog")
    })
}

/// A request that could be kept has no secret in what is kept of it, wherever it stood and however it was written, and says
/// the same when it is read again.
pub(crate) fn postback(data: &[u8]) {
    let mut bytes = Bytes(data);
    let flags = bytes.u8();
    let (head, body) = bytes.0.iter().position(|byte| *byte == b'\n').map_or((bytes.0, &b""[..]), |end| {
        let (head, body) = bytes.0.split_at(end);
        (head, &body[1..])
    });
    let mut parts = head.split(|byte| *byte == b'\r');
    let Some(Ok(target)) = parts.next().map(from_utf8) else { return };
    let mut headers: Vec<(&str, &[u8])> = vec![("host", b"trk.example")];
    for line in parts.take(20) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        if let Ok(name) = from_utf8(&line[..colon]) {
            headers.push((name, &line[colon + 1..]));
        }
    }
    let told = Told {
        method: if flags & 1 == 0 { "GET" } else { "POST" },
        target,
        headers: &headers,
        body,
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        is_https: flags & 2 != 0,
        has_client_certificate: flags & 4 != 0,
        time: Timestamp::from_seconds(1_795_158_000),
    };
    let Some(examined) = examine(catalog(), &told) else { return };
    let evidence = &examined.evidence;
    let query = Params::parse(evidence.query.as_bytes(), Source::Query);
    // A byte that is no text is shown as an escape, whose digits may go on in a secret's that nobody sent.
    let form = from_utf8(&evidence.body)
        .map_or_else(|_| Params::default(), |_| Params::parse(&evidence.body, Source::Form));
    let decoded =
        query.iter().chain(form.iter()).flat_map(|(name, value)| [name.to_owned(), value.to_owned()]);
    let body = String::from_utf8_lossy(&evidence.body).into_owned();
    let texts = [&evidence.path, &evidence.query, &evidence.headers, &evidence.host, &evidence.content_type];
    let mut texts: Vec<String> = texts.into_iter().cloned().chain([body]).chain(decoded).collect();
    if let Ok(claim) = &examined.claim {
        texts.extend(claim.params.iter().flat_map(|(name, value)| [name.to_owned(), value.to_owned()]));
    }
    for secret in SECRETS {
        let leak = texts.iter().find(|text| text.contains(secret));
        assert_eq!(leak, None, "a secret is kept of {:?}", String::from_utf8_lossy(data));
    }
    if let (Some(network), Ok(claim)) = (&examined.network, &examined.claim) {
        let again = reread(catalog(), network, evidence, None);
        // What had a secret in it is masked, and may say less than it did.
        let is_masked = texts.iter().any(|text| text.contains("***"));
        match again {
            Ok(again) => {
                assert!(is_masked || again.click_id == claim.click_id && again.payout == claim.payout);
            }
            Err(refused) => assert!(is_masked, "{refused:?} of {:?}", String::from_utf8_lossy(data)),
        }
    }
}
