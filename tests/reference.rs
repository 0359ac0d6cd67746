//! The page of all keys of a catalog, made of what the code that reads them says of each.
//!
//! In: the sources that name the keys. Out: `ops/CATALOG.md`, which has to be what is made; with `CLICKLOG_WRITE=1` it is written.
//! Keeps: every key that a catalog may have is on the page, with whether it must be there.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// Tables of a catalog: how they are written, and the type that reads them.
const TABLES: &[(&str, &str, &str)] = &[
    ("`[[network]]`", "Network", "Where conversions come from."),
    ("`signature` of a network", "Signature", "A signature that requests must have."),
    ("An element of `paths` of a network", "DoorTable", "A path alone is one too."),
    ("An element of `answers` of a network", "Answer", "What it is answered."),
    ("`dedupe` of a network", "Dedupe", "What is a repeat."),
    ("`payout` of a network", "PayoutLimits", "What is further off waits for a person: `clicklog held`."),
    ("`[[source]]`", "Source", "Where clicks come from, and deliveries go to."),
    ("`[[offer]]`", "Offer", "Where visitors are sent."),
    ("`[[campaign]]`", "Campaign", "A link."),
    ("An element of `offers` of a campaign", "WeightedOffer", "An offer, and how often it has its turn."),
    ("An element of `landers` of a campaign", "Lander", "A landing page, and how often it has its turn."),
    ("`cost` of a campaign", "Cost", "What a click costs."),
    ("`[[campaign.pixel]]`", "Pixel", "A third party's pixel."),
    (
        "`[[postback]]`, `[[source.postback]]`, `[[offer.postback]]`, `[[campaign.postback]]`",
        "Postback",
        "Whom conversions are told, at the level that it is for. Of several with one id the most specific one counts: campaign, \
         offer, source, all.",
    ),
    ("`payout` of a postback", "Payout", "Which conversions."),
    (
        "`success` of a postback",
        "Success",
        "Which answers mean that it was taken: all that is said must hold.",
    ),
    (
        "`json` of `success`, `taken`, `none`",
        "JsonRule",
        "A place in a document, and one of what must be there.",
    ),
    ("`batch` of a postback", "Batch", "Several deliveries in one request."),
    ("`results` of a batch", "Results", "One result for each delivery, in their order."),
    ("`failures` of a batch", "Failures", "The deliveries that failed."),
    (
        "`oauth` of a postback",
        "Oauth",
        "Where a token comes from: a file that somebody else keeps fresh, or a call.",
    ),
    ("`[[host]]`", "Host", "A host that deliveries go to."),
    ("`rate_limit`, wherever it stands", "RateLimit", "How often."),
    ("`[[click_path]]`", "ClickPath", "Another tracker's click URL that is not built in."),
];

const HEAD: &str = "# All keys of a catalog

Made of the code that reads them (`tests/reference.rs`); the examples are in `config/catalog.toml` and the README, all settings in
`config/clicklog.toml`. What is so without a key stands behind the semicolon. A key that is not here is refused, with its line.
Times are like `30d`, `10m`, `500ms`; amounts are texts, like `\"3.50\"`.
";

struct Key {
    name: String,
    told: String,
    must_be: bool,
}

/// The keys of each type that a source has.
fn types(source: &str) -> BTreeMap<String, Vec<Key>> {
    let mut found: BTreeMap<String, Vec<Key>> = BTreeMap::new();
    let (mut inside, mut told, mut attributes) = (None, String::new(), String::new());
    // In the macro that makes the tables of postbacks everything may be left out.
    let mut is_optional = false;
    for line in source.lines() {
        let text = line.trim();
        if let Some(doc) = text.strip_prefix("///") {
            told.push_str(doc);
        } else if text.starts_with("#[") {
            attributes.push_str(text);
        } else if let Some(name) = opened(text) {
            is_optional = !line.contains("struct ");
            inside = Some(name.to_owned());
            (told, attributes) = Default::default();
        } else if text == "}" {
            inside = None;
            (told, attributes) = Default::default();
        } else if let Some((name, of)) = inside.as_ref().zip(key(text)).map(|(of, name)| (name, of)) {
            let renamed = attributes.split_once("rename = \"").and_then(|(_, rest)| rest.split('"').next());
            let key = Key {
                name: renamed.unwrap_or(name).to_owned(),
                told: std::mem::take(&mut told).trim().to_owned(),
                must_be: !is_optional && !attributes.contains("default"),
            };
            found.entry(of.clone()).or_default().push(key);
            attributes.clear();
        }
    }
    found
}

/// The type that a line begins: `struct Name {`, or `Name {` in the macro.
fn opened(text: &str) -> Option<&str> {
    let head = text.strip_suffix(" {")?;
    let name = head.rsplit(' ').next()?;
    let is_type = head == name || head.contains("struct ");
    (is_type && name.starts_with(char::is_uppercase) && name.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        .then_some(name)
}

/// The field that a line is.
fn key(text: &str) -> Option<&str> {
    let (name, _) = text.strip_suffix(',')?.split_once(": ")?;
    let name = name.strip_prefix("pub(super) ").unwrap_or(name);
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.bytes().all(is_name).then_some(name)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn the_page_of_all_keys_says_what_the_code_says() {
    let mut types: BTreeMap<_, _> = ["src/config/file.rs", "src/config/postback.rs"]
        .map(read)
        .iter()
        .flat_map(|source| types(source))
        .collect();
    let mut page = HEAD.to_owned();
    for (title, name, told) in TABLES {
        let keys = types.remove(*name).unwrap_or_else(|| panic!("no keys of {name}"));
        write!(page, "\n## {title}\n\n{told}\n\n| key | says |\n|---|---|\n").unwrap();
        for Key { name: key, told, must_be } in keys {
            assert!(!told.is_empty(), "{name}.{key} is not told");
            let told = told.replace('|', "\\|");
            let must_be =
                if must_be || (*name == "Postback" && key == "id") { " **Must be there.**" } else { "" };
            writeln!(page, "| `{key}` | {told}{must_be} |").unwrap();
        }
    }
    let left: Vec<_> =
        types.into_keys().filter(|name| name != "File" && name != "Fill" && name != "Door").collect();
    assert!(left.is_empty(), "these have keys, and no table here: {left:?}");
    if std::env::var_os("CLICKLOG_WRITE").is_some() {
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("ops/CATALOG.md"), &page).unwrap();
    }
    assert_eq!(read("ops/CATALOG.md"), page, "CLICKLOG_WRITE=1 cargo test --test reference");
}
