//! What is exported is what is stored, in every format alike.

use clicklog::batch::export::{ExportError, Filter, Options, Shape, Target, What};
use clicklog::batch::lookup::Window;
use clicklog::clock::Timestamp;
use clicklog::event::params::Params;

use crate::events::{Chance, EVENING, MIDNIGHT, MadeClick, store_clicks, store_decisions, store_outcomes};
use crate::files::rows;
use crate::read_back::{
    CSV, csv_rows, export_to, exported, in_one_order, json_rows, options, parse_csv, shown,
};

/// Texts that files are broken with.
const HOSTILE: [&str; 16] = [
    "\"",
    "\"\"",
    ",",
    "\r\n",
    "\n",
    "\r",
    "\0",
    "a,\"b\"\r\nc",
    "'",
    "\\",
    "\u{feff}x",
    "\u{2028}",
    "é😀",
    "\t",
    "=1+1",
    "{\"a\":1}",
];

/// Clicks whose texts are made of those.
pub(crate) fn hostile(seed: u64, count: usize) -> Vec<MadeClick> {
    let mut chance = Chance(seed);
    let text = |chance: &mut Chance| {
        let pieces = (0..chance.below(5)).map(|_| chance.pick(&HOSTILE));
        pieces.collect::<Vec<_>>().concat()
    };
    let mut made = Vec::new();
    for n in 0..count {
        let mut click = MadeClick::random(&mut chance, EVENING + i64::try_from(n).unwrap());
        click.external_id = text(&mut chance);
        let mut params = Params::default();
        for name in ["sub1", "odd", "odd", &text(&mut chance)] {
            params.push(name, &text(&mut chance));
        }
        click.params.clear();
        params.encode_into(&mut click.params);
        if n % 50 == 0 {
            click.external_id = "\"x,".repeat(5_000);
        }
        made.push(click);
    }
    made
}

/// The rows in each format.
fn in_all_formats(
    data: &std::path::Path,
    what: What,
) -> [Vec<std::collections::BTreeMap<String, String>>; 3] {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    export_to(data, &options(what, Shape::Parquet), Target::File(path.clone())).unwrap();
    let parquet = rows(&path).iter().map(shown).collect();
    let csv = csv_rows(&exported(data, &options(what, CSV)));
    let json = json_rows(&exported(data, &options(what, Shape::Ndjson)));
    [parquet, csv, json].map(in_one_order)
}

#[test]
fn every_format_has_the_same_rows_whatever_is_in_them() {
    let seed = 20_261_121;
    let root = tempfile::tempdir().unwrap();
    let clicks = hostile(seed, 900);
    let (_, ids) = store_clicks(root.path(), &clicks);
    let [parquet, csv, json] = in_all_formats(root.path(), What::Clicks);
    assert_eq!(parquet.len(), clicks.len(), "seed {seed}");
    for (n, row) in parquet.iter().enumerate() {
        assert_eq!((row, row), (&csv[n], &json[n]), "seed {seed}, row {n}");
        let click = clicks[n].view();
        assert_eq!(row["click_id"], ids[n]);
        assert_eq!(row.get("external_id").map_or("", |text| text), click.external_id, "seed {seed}, row {n}");
        assert_eq!(row["time"], click.time.to_string());
        let cost = click.cost.map(|cost| cost.amount.to_string());
        assert_eq!(row.get("cost"), cost.as_ref(), "seed {seed}, row {n}");
        if let Some(first) = click.params.get("odd").filter(|_| click.params.get("odd#2").is_none()) {
            let params: std::collections::BTreeMap<String, String> =
                serde_json::from_str(&row["params"]).unwrap();
            let both = click.params.get_all("odd").collect::<Vec<_>>();
            assert_eq!((&*params["odd"], &*params["odd#2"]), (first, both[1]), "seed {seed}, row {n}");
        }
    }
}

#[test]
fn sums_are_those_of_the_journal_in_every_format() {
    let root = tempfile::tempdir().unwrap();
    let entries = store_decisions(root.path(), 5, 400);
    for rows in in_all_formats(root.path(), What::Conversions) {
        let entry = |row: &std::collections::BTreeMap<String, String>| {
            let entry: rust_decimal::Decimal = row["entry"].parse().unwrap();
            (entry * rust_decimal::Decimal::from(1_000_000))
                .to_string()
                .parse::<rust_decimal::Decimal>()
                .unwrap()
        };
        let sum: rust_decimal::Decimal = rows.iter().map(entry).sum();
        assert_eq!(sum, rust_decimal::Decimal::from_i128_with_scale(entries, 0));
    }
    let root = tempfile::tempdir().unwrap();
    store_outcomes(root.path(), 90);
    let [parquet, csv, json] = in_all_formats(root.path(), What::Deliveries);
    assert_eq!((parquet.len(), &parquet, &parquet), (90, &csv, &json));
    assert_eq!(csv[1]["detail"], "caf\u{fffd}");
}

#[test]
fn columns_come_in_the_order_that_is_asked_for() {
    let root = tempfile::tempdir().unwrap();
    let clicks = hostile(3, 60);
    store_clicks(root.path(), &clicks);
    let names = ["campaign", "params", "time", "external_id"].map(str::to_owned).to_vec();
    let few = Options { columns: names.clone(), ..options(What::Clicks, CSV) };
    let (head, lines) = parse_csv(&exported(root.path(), &few));
    assert_eq!((head, lines.len()), (names.clone(), 60));
    assert!((0..60).all(|n| lines[n][3] == clicks[n].external_id));
    let few = Options { columns: names, ..options(What::Clicks, Shape::Ndjson) };
    let json = String::from_utf8(exported(root.path(), &few)).unwrap();
    assert!(json.lines().all(|line| line.find("\"params\"").unwrap() < line.find("\"time\"").unwrap()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let few = Options { shape: Shape::Parquet, ..few };
    export_to(root.path(), &few, Target::File(path.clone())).unwrap();
    assert_eq!(rows(&path).len(), 60);
    // A column that is empty in a row: the line is there all the same.
    let one = Options { columns: vec!["offer".to_owned()], ..options(What::Clicks, CSV) };
    assert_eq!(parse_csv(&exported(root.path(), &one)).1.len(), 60);
}

#[test]
fn names_that_are_no_columns_are_refused_with_those_that_are() {
    let root = tempfile::tempdir().unwrap();
    let refused = |columns: &[&str], filter: Option<&str>| {
        let columns = columns.iter().map(|name| (*name).to_owned()).collect();
        let filters = filter.map(|text| text.parse::<Filter>().unwrap()).into_iter().collect();
        let options = Options { columns, filters, ..options(What::Clicks, CSV) };
        let path = root.path().join("x");
        let failed = export_to(root.path(), &options, Target::File(path.clone())).unwrap_err();
        assert!(!path.exists());
        failed.to_string()
    };
    assert!(
        refused(&["time", "cmapaign"], None).contains("no column \"cmapaign\"; there are time, click_id")
    );
    assert_eq!(refused(&["time", "time"], None), "column \"time\" is named twice");
    assert!(refused(&[], Some("network=x")).contains("no column \"network\""));
    assert_eq!(refused(&[], Some("is_bot=1")), "is_bot \"1\" is neither true nor false");
    assert_eq!(refused(&[], Some("cost=1")), "cost \"1\" cannot be asked for in this column");
    assert!("campaign".parse::<Filter>().is_err() && "=x".parse::<Filter>().is_err());
}

#[test]
fn only_rows_that_are_asked_for_are_exported() {
    let root = tempfile::tempdir().unwrap();
    let mut chance = Chance(8);
    let clicks: Vec<_> = (0..2_000).map(|n| MadeClick::random(&mut chance, MIDNIGHT - 1_000 + n)).collect();
    store_clicks(root.path(), &clicks);
    let count = |filters: &[&str], window: Window| {
        let filters = filters.iter().map(|text| text.parse().unwrap()).collect();
        let wanted = Options { filters, window, ..options(What::Clicks, CSV) };
        let found = csv_rows(&exported(root.path(), &wanted)).len();
        for shape in [Shape::Ndjson, Shape::Parquet] {
            let folder = tempfile::tempdir().unwrap();
            let target = Target::Folder(folder.path().join("out"));
            let report = export_to(root.path(), &Options { shape, ..wanted.clone() }, target).unwrap();
            assert_eq!(usize::try_from(report.rows).unwrap(), found);
        }
        found
    };
    let those = |is: &dyn Fn(&MadeClick) -> bool| clicks.iter().filter(|made| is(made)).count();
    let all = Window::default();
    let found = count(&["campaign=spring", "campaign=été", "is_bot=false"], all);
    let is_one = |made: &MadeClick| !made.click.campaign.is_empty() && made.click.labels.bits() & 1 == 0;
    assert_eq!(found, those(&is_one));
    assert_eq!(count(&["source="], all), those(&|made| made.click.source.is_empty()));
    assert_eq!(count(&["asn=4200000000"], all), those(&|made| made.click.asn != 0));
    assert_eq!(count(&["campaign=nothing"], all), 0);
    let from = Some(Timestamp::from_micros(MIDNIGHT - 10));
    let to = Some(Timestamp::from_micros(MIDNIGHT + 9));
    assert_eq!(count(&[], Window { from, to }), 19);
    assert_eq!(count(&[], Window { from: None, to: from }), 990);
}

#[test]
fn cells_that_a_spreadsheet_would_run_are_made_harmless_if_asked() {
    let root = tempfile::tempdir().unwrap();
    let mut chance = Chance(9);
    let texts = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "a=b", "'=1", ""];
    let clicks: Vec<_> = texts
        .iter()
        .map(|text| {
            let mut click = MadeClick::random(&mut chance, EVENING);
            (*text).clone_into(&mut click.external_id);
            click
        })
        .collect();
    store_clicks(root.path(), &clicks);
    let columns = ["external_id", "cost"].map(str::to_owned).to_vec();
    for is_spreadsheet_safe in [false, true] {
        let shape = Shape::Csv { is_spreadsheet_safe };
        let options = Options { columns: columns.clone(), ..options(What::Clicks, shape) };
        let (_, lines) = parse_csv(&exported(root.path(), &options));
        for (n, text) in texts.iter().enumerate() {
            let before = if is_spreadsheet_safe && n < 6 { "'" } else { "" };
            assert_eq!(lines[n][0], format!("{before}{text}"));
            // Amounts are numbers, whatever their sign.
            let cost = clicks[n].click.cost.map_or(String::new(), |cost| cost.amount.to_string());
            assert_eq!(lines[n][1], cost);
        }
    }
}

/// Several lanes, segments and groups of rows, on any number of threads: the same bytes.
#[test]
fn however_many_threads_there_are_the_file_is_the_same() {
    let root = tempfile::tempdir().unwrap();
    let mut chance = Chance(10);
    let clicks: Vec<_> = (0..40_000).map(|n| MadeClick::random(&mut chance, EVENING - n % 7)).collect();
    store_clicks(root.path(), &clicks);
    let [one, three] = [1, 3].map(|threads| {
        let options = Options { threads, ..options(What::Clicks, CSV) };
        exported(root.path(), &options)
    });
    assert!(one == three);
    assert_eq!(csv_rows(&one).len(), clicks.len());
}

#[test]
fn a_file_that_cannot_be_made_is_named() {
    let root = tempfile::tempdir().unwrap();
    store_clicks(root.path(), &hostile(1, 3));
    let target = Target::File(root.path().join("nowhere/x.csv"));
    let failed = export_to(root.path(), &options(What::Clicks, CSV), target).unwrap_err();
    assert!(matches!(&failed, ExportError::Io { what: "create", .. }));
    assert!(failed.to_string().contains("nowhere/x.csv"), "{failed}");
}
