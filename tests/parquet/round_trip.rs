//! What is stored is what is read: each value, each sum, in order.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;

use clicklog::compactor::clicks::Clicks;
use clicklog::compactor::conversions::Conversions;
use clicklog::compactor::deliveries::Deliveries;
use clicklog::compactor::folder::Folder;
use clicklog::compactor::publish::publish;
use clicklog::compactor::shared::KNOWN;
use clicklog::compactor::table::Table;
use clicklog::compactor::{Source, write_file};
use clicklog::event::click::{Click, ClickKind, Labels};
use clicklog::event::click_id::Place;
use clicklog::event::codec::Encoder;
use clicklog::event::conversion::{Conversion, Standing};
use clicklog::event::decision::Decision;
use clicklog::event::money::{Currency, Micros, Money};
use clicklog::store::reader::Reader;
use clicklog::store::{Journal, Store};

use crate::events::{Chance, EVENING, MadeClick, roomy, store_clicks, store_decisions, store_outcomes};
use crate::files::{Cell, Cells, open, rows, sum};
use crate::support::append;

/// The rows of a segment, in the order of its files.
fn published<T: Table>(data: &Path, lane: u8) -> Vec<Cells> {
    let folder = Folder::new(data);
    let publication = publish::<T>(&folder, &Reader::open(data), (lane, 0), |_| ControlFlow::Continue(()));
    let files = publication.unwrap().files;
    files.iter().flat_map(|file| rows(&folder.export().join(&file.path))).collect()
}

/// What the row of a click must be, said once more, and otherwise than where it is made.
fn expected(click: &Click<'_>, id: &str, ordinal: usize) -> Cells {
    let mut cells = Cells::new();
    let texts = [
        ("click_id", id),
        ("campaign", click.campaign),
        ("source", click.source),
        ("offer", click.offer),
        ("lander", click.lander),
        ("external_id", click.external_id),
        ("host", click.host),
        ("referrer", click.referrer),
        ("user_agent", click.user_agent),
        ("language", click.language),
        ("client_hints", click.client_hints),
        ("country", str::from_utf8(&click.country).unwrap().trim_matches('\0')),
    ];
    let kind = match click.kind {
        ClickKind::Redirect => "redirect",
        ClickKind::Script => "script",
        ClickKind::Through => "through",
        ClickKind::Imported => "imported",
    };
    let mut put = |name: &str, cell| cells.insert(name.to_owned(), cell);
    for (name, text) in texts.into_iter().chain([("kind", kind)]).filter(|(_, text)| !text.is_empty()) {
        put(name, Cell::Text(text.to_owned()));
    }
    if let Some(cost) = click.cost {
        put("cost", Cell::Number(cost.amount.get()));
        put("cost_currency", Cell::Text(cost.currency.to_string()));
    }
    if let Some(kept) = click.address {
        put("address", Cell::Text(kept.address.to_string()));
        put("address_bits", Cell::Number(kept.bits.into()));
    }
    if click.asn != 0 {
        put("asn", Cell::Number(click.asn.into()));
    }
    if let Some(parent) = Place::from_packed(click.parent) {
        put("parent_node", Cell::Number(parent.node().into()));
        put("parent_lane", Cell::Number(parent.lane().into()));
        put("parent_segment", Cell::Number(parent.segment().into()));
        put("parent_ordinal", Cell::Number(parent.ordinal().into()));
    }
    let labels = click.labels;
    let bools = [
        ("is_net", labels.bits() == 0),
        ("is_bot", labels.contains(Labels::BOT)),
        ("is_data_centre", labels.contains(Labels::DATA_CENTRE)),
        ("is_duplicate", labels.contains(Labels::DUPLICATE)),
        ("no_user_agent", labels.contains(Labels::NO_USER_AGENT)),
        ("global_privacy_control", click.global_privacy_control),
    ];
    for (name, is_so) in bools {
        put(name, Cell::Bool(is_so));
    }
    let mut rest: Vec<(String, String)> = Vec::new();
    let mut named = BTreeMap::new();
    for (name, value) in click.params.iter() {
        if KNOWN.contains(&name) && !value.is_empty() && !named.contains_key(name) {
            named.insert(name, value);
        } else {
            // No query here has a name three times in the rest.
            let is_second = rest.iter().any(|(before, _)| before == name);
            rest.push((format!("{name}{}", if is_second { "#2" } else { "" }), value.to_owned()));
        }
    }
    for (name, value) in named {
        put(name, Cell::Text(value.to_owned()));
    }
    if !rest.is_empty() {
        put("params", Cell::Pairs(rest));
    }
    let numbers = [
        ("time", click.time.micros()),
        ("config_version", click.config_version.cast_signed()),
        ("origin_node", 0),
        ("lane", 1),
        ("segment", 0),
        ("ordinal", i64::try_from(ordinal).unwrap()),
    ];
    for (name, number) in numbers {
        put(name, Cell::Number(number));
    }
    cells
}

#[test]
fn every_click_is_a_row_with_exactly_its_values() {
    let seed = 20_261_120;
    let root = tempfile::tempdir().unwrap();
    let mut chance = Chance(seed);
    let clicks: Vec<_> = (0..3_000).map(|n| MadeClick::random(&mut chance, EVENING + n / 2)).collect();
    let (lane, ids) = store_clicks(root.path(), &clicks);
    let found = published::<Clicks>(root.path(), lane);
    assert_eq!(found.len(), clicks.len(), "seed {seed}");
    for (n, row) in found.iter().enumerate() {
        assert_eq!(*row, expected(&clicks[n].view(), &ids[n], n), "seed {seed}, click {n}");
    }
    let cost: i128 =
        clicks.iter().filter_map(|made| made.click.cost).map(|cost| i128::from(cost.amount.get())).sum();
    assert_eq!(sum(&found, "cost"), cost, "seed {seed}");
}

/// More than one row group, out of order by up to an hour.
#[test]
fn rows_are_in_order_of_time_however_they_were_stored() {
    let seed = 7;
    let root = tempfile::tempdir().unwrap();
    let mut chance = Chance(seed);
    let bare = MadeClick { external_id: String::new(), ..MadeClick::random(&mut chance, EVENING) };
    let mut clicks = vec![bare; 140_000];
    for made in &mut clicks {
        made.click.time = clicklog::clock::Timestamp::from_micros(EVENING + i64::from(chance.below(60_000)));
    }
    let (lane, _) = store_clicks(root.path(), &clicks);
    let found = published::<Clicks>(root.path(), lane);
    let number = |row: &Cells, name: &str| match row.get(name) {
        Some(Cell::Number(number)) => *number,
        other => panic!("{name} is {other:?}"),
    };
    let keys: Vec<_> = found.iter().map(|row| (number(row, "time"), number(row, "ordinal"))).collect();
    let mut stored: Vec<_> = (0..).zip(&clicks).map(|(n, made)| (made.click.time.micros(), n)).collect();
    stored.sort_unstable();
    assert!(keys == stored, "seed {seed}");
    let folder = Folder::new(root.path());
    let file = crate::files::below(&folder.export()).remove(0);
    let groups = parquet::file::reader::FileReader::num_row_groups(&open(&file));
    assert_eq!(groups, 2);
}

#[test]
fn the_same_segment_gives_the_same_bytes() {
    let root = tempfile::tempdir().unwrap();
    let mut chance = Chance(3);
    let clicks: Vec<_> = (0..500).map(|n| MadeClick::random(&mut chance, EVENING - n)).collect();
    let (lane, _) = store_clicks(root.path(), &clicks);
    let source = Source::<Clicks>::open(&Reader::open(root.path()), lane, 0).unwrap();
    let write = || write_file(&source, source.parts().next().unwrap(), Vec::new(), 3).unwrap();
    let first = write();
    assert!(first == write());
    let path = root.path().join("again.parquet");
    std::fs::write(&path, first).unwrap();
    assert_eq!(rows(&path).len(), 500);
    drop(File::open(path).unwrap());
}

#[test]
fn conversions_add_up_to_what_the_books_say() {
    let root = tempfile::tempdir().unwrap();
    let entries = store_decisions(root.path(), 5, 400);
    let found = published::<Conversions>(root.path(), 0);
    assert_eq!((found.len(), sum(&found, "entry")), (400, entries));
    let text = |text: &str| Some(Cell::Text(text.to_owned()));
    for (n, row) in found.iter().enumerate() {
        assert_eq!(row.get("conversion_id").cloned(), text(&format!("{:02x}", n % 256).repeat(16)));
        assert_eq!(row.get("reason").cloned(), if n % 2 == 0 { text("reapplied") } else { None });
        assert_eq!(row.get("reported_click_id").cloned(), text("as-it-came"));
        assert_eq!(row.get("currency").cloned(), text("USD"));
        assert_eq!(row.contains_key("payout"), n % 2 == 0);
        assert_eq!(row.contains_key("click_id"), n % 3 == 0, "row {n}");
    }
}

/// What withdraws a postback copies the newest one, and what it says is in euros.
#[test]
fn an_entry_stands_beside_the_currency_of_the_books() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(roomy(root.path())).unwrap();
    let mut journal = store.journal_writer(Journal::Postbacks).unwrap();
    let mut encoder = Encoder::default();
    let euros = Money { amount: Micros::new(9), currency: "EUR".parse().unwrap() };
    let conversion = Conversion { payout: Some(euros), ..Conversion::default() };
    let standing = Standing { currency: Some(Currency::USD), ..Standing::default() };
    let withdrawn = Decision { conversion, standing, entry: Micros::new(-5), ..Decision::default() };
    let unmatched = Decision { conversion, ..Decision::default() };
    for decision in [withdrawn, unmatched] {
        append(|| journal.append(&encoder.decision(&decision).unwrap()));
    }
    journal.close();
    store.close().unwrap();
    let currencies: Vec<_> = published::<Conversions>(root.path(), 0)
        .into_iter()
        .map(|row| (row["entry"].clone(), row["currency"].clone()))
        .collect();
    let text = |text: &str| Cell::Text(text.to_owned());
    assert_eq!(currencies, [(Cell::Number(-5), text("USD")), (Cell::Number(0), text("EUR"))]);
}

#[test]
fn deliveries_say_what_became_of_each_attempt() {
    let root = tempfile::tempdir().unwrap();
    store_outcomes(root.path(), 90);
    let found = published::<Deliveries>(root.path(), 0);
    assert_eq!(found.len(), 90);
    for (n, row) in found.iter().enumerate() {
        let is_taken = n % 3 == 0;
        assert_eq!(row["is_final"], Cell::Bool(is_taken));
        assert_eq!(row["class"], Cell::Text(if is_taken { "ok" } else { "safe" }.to_owned()));
        assert_eq!(row.get("http_status"), is_taken.then_some(&Cell::Number(200)));
        assert_eq!(row.contains_key("next_attempt"), !is_taken);
        assert_eq!(row["detail"], Cell::Text("caf\u{fffd}".to_owned()));
        assert_eq!(row["decision_position"], Cell::Number(4096));
    }
}
