//! A report says what a count of the records one by one says, whatever it is asked and however it is read.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use clicklog::batch::report::{Column, Dimension, Query, Report, Row, csv, html, json, report};
use clicklog::clock::Timestamp;
use clicklog::compactor::rollup::{Count, Rollups};
use clicklog::event::conversion::{Conversion, Standing, Status};
use clicklog::event::decision::{Decision, Verdict};
use clicklog::event::money::{Micros, Money};
use clicklog::store::reader::Reader;

use crate::events::{Chance, Counted, DAY, HOUR_MICROS, Written, counted};

const COUNTS: [&str; 16] = [
    "clicks",
    "net",
    "unique",
    "through",
    "bots",
    "conversions",
    "pending",
    "approved",
    "reversed",
    "unknown",
    "duplicates",
    "held",
    "unmatched",
    "orphans",
    "late",
    "rejected",
];

/// Rows by their values: counts by name, and money by currency.
type Rows = BTreeMap<Vec<String>, BTreeMap<String, i128>>;

fn query(by: &[&str]) -> Query {
    Query {
        from: Timestamp::from_micros(DAY * 24 * HOUR_MICROS),
        to: Timestamp::from_micros((DAY + 4) * 24 * HOUR_MICROS),
        offset: "Z".parse().unwrap(),
        by: by.iter().map(|name| name.parse().unwrap()).collect(),
        filters: Vec::new(),
        currency: None,
        leaves: false,
    }
}

fn make(data: &Path, query: &Query) -> Report {
    report(&Reader::open(data), query, &mut |_, _| {}).unwrap()
}

fn value(one: &Counted, name: &str, offset_micros: i64) -> String {
    let local = Timestamp::from_micros(one.time + offset_micros).to_string();
    match name {
        "day" => local[..10].to_owned(),
        "hour" => local[..13].to_owned(),
        name => one.dimensions[name].clone(),
    }
}

/// What the records say.
fn expected(all: &[Counted], query: &Query) -> Rows {
    let offset = i64::from(query.offset.seconds()) * 1_000_000;
    let mut rows = Rows::new();
    for one in all {
        let is_in = (query.from.micros()..query.to.micros()).contains(&one.time);
        let passes = query.filters.iter().all(|(dimension, _)| {
            let mut same = query.filters.iter().filter(|(other, _)| other == dimension);
            same.any(|(dimension, wanted)| value(one, &dimension.name(), offset) == *wanted)
        });
        if !is_in || !passes {
            continue;
        }
        let key: Vec<String> =
            query.by.iter().map(|dimension| value(one, &dimension.name(), offset)).collect();
        let row = rows.entry(key).or_default();
        for (name, more) in &one.adds {
            let name = match *name {
                "cost" | "revenue" => {
                    let currency = &one.dimensions["currency"];
                    if query.currency.is_some_and(|asked| asked.as_str() != currency) {
                        continue;
                    }
                    format!("{name} {currency}")
                }
                name => name.to_owned(),
            };
            *row.entry(name).or_default() += more;
        }
    }
    rows.values_mut().for_each(|row| row.retain(|_, sum| *sum != 0));
    // An event that adds nothing makes a row of nothing.
    rows
}

fn found(report: &Report) -> Rows {
    let row = |row: &Row| (row.values.clone(), named(report, row));
    report.rows.iter().map(row).collect()
}

fn named(report: &Report, row: &Row) -> BTreeMap<String, i128> {
    let mut sums = BTreeMap::new();
    for count in Count::ALL.iter().filter(|count| COUNTS.contains(&count.name())) {
        sums.insert(count.name().to_owned(), i128::from(row.count(*count)));
    }
    for (code, amounts) in report.currencies.iter().zip(&row.money) {
        sums.insert(format!("cost {code}"), amounts.cost);
        sums.insert(format!("revenue {code}"), amounts.revenue);
    }
    sums.retain(|_, sum| *sum != 0);
    sums
}

fn random_query(chance: &mut Chance) -> Query {
    const DIMENSIONS: [&str; 10] =
        ["campaign", "offer", "source", "network", "lander", "country", "currency", "day", "hour", "sub1"];
    let mut by: Vec<&str> = Vec::new();
    for _ in 0..chance.below(4) {
        let name = chance.pick(&DIMENSIONS);
        if !by.contains(&name) {
            by.push(name);
        }
    }
    let mut query = query(&by);
    query.offset = chance.pick(&["Z", "Z", "+02:00", "-05:00", "+05:30"]).parse().unwrap();
    let unit = chance.pick(&[24 * HOUR_MICROS, HOUR_MICROS, HOUR_MICROS, 1_234_567_891]);
    let [first, second] = [0, 1].map(|_| DAY * 24 * HOUR_MICROS / unit + chance.below::<i64>(60));
    query.from = Timestamp::from_micros(first.min(second) * unit);
    query.to = Timestamp::from_micros((first.max(second) + 1) * unit);
    for (name, values) in [
        ("campaign", &["spring", "", "=2+2", "unheard of"][..]),
        ("country", &["DE", ""]),
        ("network", &["revboost", ""]),
        ("sub1", &["a", ""]),
        ("day", &["2026-11-20", "2026-11-21"]),
    ] {
        if chance.below(8) == 0 {
            for _ in 0..=chance.below(2) {
                query.filters.push((name.parse().unwrap(), chance.pick(values).to_owned()));
            }
        }
    }
    query.currency = (chance.below(5) == 0).then(|| "EUR".parse().unwrap());
    query
}

#[test]
fn a_report_is_what_a_count_of_the_records_one_by_one_is() {
    for seed in 100..106 {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let mut chance = Chance(seed);
        for round in 0..2 {
            let mut written = Written::new(data);
            written.some(&mut chance, 700, 4);
            let written = if round == 0 { Some(written) } else { None };
            if let Some(rollups) = Rollups::open(&Reader::open(data)).unwrap().filter(|_| seed % 2 == 0) {
                rollups.missing().unwrap().iter().for_each(|id| drop(rollups.roll_up(*id)));
                let until = DAY + chance.below::<i64>(5);
                rollups.merge_days(until, || ControlFlow::Continue(())).unwrap();
            }
            let all = counted(data);
            for ask in 0..30 {
                let query = random_query(&mut chance);
                let report = make(data, &query);
                assert_eq!(report.notes, [""; 0], "seed {seed}, query {query:?}");
                let mut expected = expected(&all, &query);
                // Tests count nowhere, and so have no row.
                let found = found(&report);
                expected.retain(|key, row| !row.is_empty() || found.contains_key(key));
                assert_eq!(found, expected, "seed {seed}, round {round}, question {ask}: {query:?}");
                let total = named(&report, &report.total);
                let mut added = BTreeMap::new();
                for row in found.values() {
                    row.iter().for_each(|(name, sum)| *added.entry(name.clone()).or_insert(0) += sum);
                }
                added.retain(|_, sum| *sum != 0);
                assert_eq!(total, added, "seed {seed}: the total of {query:?}");
                let charted: i128 = report.series.iter().map(|(_, row)| i128::from(row.counts[0])).sum();
                assert_eq!(
                    charted,
                    i128::from(report.total.counts[0]),
                    "seed {seed}: the chart of {query:?}"
                );
            }
            if let Some(written) = written {
                written.close();
            }
        }
    }
}

fn micros(amount: i64) -> Option<Money> {
    Some(Money { amount: Micros::new(amount), currency: "USD".parse().unwrap() })
}

fn decision(campaign: &str, entry: i64) -> Decision<'_> {
    let conversion = Conversion { network: "boost", status: Status::Approved, ..Conversion::default() };
    Decision {
        time: Timestamp::from_micros(DAY * 24 * HOUR_MICROS + 5),
        verdict: Verdict::Accepted,
        entry: Micros::new(entry),
        standing: Standing { currency: micros(0).map(|money| money.currency), ..Standing::default() },
        conversion,
        campaign,
        ..Decision::default()
    }
}

/// A campaign of each name, with a click of ten cents and a conversion of `entry` millionths.
fn small(campaigns: &[(&str, i64)]) -> tempfile::TempDir {
    use clicklog::event::click::Click;
    let folder = tempfile::tempdir().unwrap();
    let mut written = Written::new(folder.path());
    for (campaign, entry) in campaigns {
        let time = Timestamp::from_micros(DAY * 24 * HOUR_MICROS);
        for _ in 0..3 {
            written.click(&Click { time, campaign, cost: micros(100_000), ..Click::default() });
        }
        written.decide(&decision(campaign, *entry));
    }
    written.close();
    folder
}

#[test]
fn ratios_are_rounded_from_the_whole_and_are_absent_without_a_denominator() {
    let folder = small(&[("spring", 1_000_000)]);
    let mut report = make(folder.path(), &query(&["campaign", "network"]));
    report.sort(None, false);
    let columns = Column::all(&report, &[Count::Clicks, Count::Conversions]);
    let text = |row: &Row| {
        columns.iter().map(|column| html::cell(column, row, &report)).collect::<Vec<_>>().join("|")
    };
    let rows: Vec<String> = report.rows.iter().map(text).collect();
    // No network has clicks: clicks do not know who will pay.
    let expected = ["spring|–|3|0|0.00|0.00|0.30|-0.30|0.0000|-100.00", "spring|boost|0|1||1.00|0.00|1.00||"];
    assert_eq!(rows, expected);
    assert_eq!(text(&report.total), "–|–|3|1|33.33|1.00|0.30|0.70|0.3333|233.33");
    let heads: Vec<String> = columns.iter().map(|column| html::head(column, &report)).collect();
    assert_eq!(heads[4..].join("|"), "CR %|revenue USD|cost USD|profit USD|EPC USD|ROI USD %");
}

/// By parameters only records can say it, and by campaigns sums that are kept longer than they.
#[test]
fn a_report_says_how_much_of_its_period_is_gone_from_the_records() {
    let folder = small(&[("a", 5_000_000), ("b", 7_000_000)]);
    let noted = |by: &[&str]| make(folder.path(), &Query { leaves: true, ..query(by) }).notes;
    assert_eq!(noted(&["campaign"]), [""; 0]);
    assert_eq!(noted(&["sub1"]), [""; 0]);
    for lane in ["clicks/lane-00", "postbacks"] {
        let lane = folder.path().join(lane);
        for entry in std::fs::read_dir(lane).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
    assert_eq!(noted(&["campaign"]), [""; 0], "their sums are there");
    let notes = noted(&["sub1"]).join("; ");
    assert!(notes.contains("whose records are gone"), "{notes}");
    assert!(notes.contains(" of 2 conversions"), "{notes}");
}

#[test]
fn people_see_coins_and_programs_exact_sums_of_exact_amounts() {
    // Three times 0.005 are 0.015, whatever each was shown as.
    let folder = small(&[("a", 5_000), ("b", 5_000), ("c", 5_000)]);
    let report = make(folder.path(), &query(&["campaign"]));
    let cell = |column: &str, row: &Row| html::cell(&Column::named(&report, column).unwrap(), row, &report);
    assert!(report.rows.iter().all(|row| cell("revenue", row) == "0.00" && cell("epc", row) == "0.0017"));
    assert_eq!(
        (cell("revenue", &report.total), cell("cost", &report.total)),
        ("0.02".to_owned(), "0.90".to_owned())
    );
    let exact = &json(&report)["total"]["money"]["USD"];
    assert_eq!((&exact["revenue"], &exact["epc"]), (&"0.015".into(), &"0.001667".into()));
    // Of a currency without coins, and of one with smaller ones.
    for (code, expected) in [("JPY", "1234"), ("KWD", "1234.500"), ("USD", "1234.50")] {
        let mut other = report.clone();
        other.currencies = vec![code.to_owned()];
        other.total.money[0].revenue = 1_234_499_600;
        let revenue = Column::named(&other, "revenue").unwrap();
        assert_eq!(html::cell(&revenue, &other.total, &other), expected);
    }
}

#[test]
fn rows_are_sorted_by_any_column_and_a_limit_leaves_the_total() {
    let folder = small(&[("b", 5_000_000), ("a", 1_000_000), ("c", 3_000_000)]);
    let mut report = make(folder.path(), &query(&["campaign"]));
    let order = |report: &Report| report.rows.iter().map(|row| row.values[0].as_str()).collect::<String>();
    assert_eq!(order(&report), "abc", "as many clicks each: by name");
    for (name, reverse, expected) in [
        ("revenue", false, "bca"),
        ("profit_usd", true, "acb"),
        ("campaign", false, "abc"),
        ("campaign", true, "cba"),
    ] {
        let column = Column::named(&report, name).unwrap();
        report.sort(Some(&column), reverse);
        assert_eq!(order(&report), expected, "{name}");
    }
    assert_eq!(Column::named(&report, "profit_eur"), None);
    report.limit(1);
    assert_eq!((report.rows.len(), report.more, report.total.count(Count::Clicks)), (1, 2, 9));
}

#[test]
fn csv_is_read_back_as_it_was_meant_and_formulas_are_harmless_if_asked() {
    let names = ["=2+2", "a,\"b\"", "line\nbreak", "été"];
    let folder = small(&names.map(|name| (name, -500_000)));
    let report = make(folder.path(), &query(&["campaign"]));
    for is_safe in [false, true] {
        let mut bytes = Vec::new();
        csv(&report, is_safe, &mut bytes).unwrap();
        let mut reader = ::csv::Reader::from_reader(&bytes[..]);
        let heads = reader.headers().unwrap().clone();
        let mut found: Vec<String> = Vec::new();
        for record in reader.records() {
            let record = record.unwrap();
            let cell = |name: &str| &record[heads.iter().position(|head| head == name).unwrap()];
            assert_eq!((cell("clicks"), cell("revenue_usd"), cell("cr")), ("3", "-0.5", "0.333333"));
            found.push(cell("campaign").to_owned());
        }
        found.sort();
        let mut expected = names.map(str::to_owned);
        expected[0] = if is_safe { "'=2+2".to_owned() } else { "=2+2".to_owned() };
        expected.sort();
        assert_eq!(found, expected);
    }
}

#[test]
fn json_has_money_as_texts_and_null_where_there_is_nothing() {
    let folder = small(&[("spring", 12_340_000)]);
    let report = make(folder.path(), &query(&["network"]));
    let said = json(&report);
    let row =
        said["rows"].as_array().unwrap().iter().find(|row| row["values"]["network"] == "boost").unwrap();
    assert_eq!(row["money"]["USD"]["revenue"], "12.34");
    assert!(row["cr"].is_null() && row["money"]["USD"]["roi"].is_null());
    assert_eq!(said["total"]["money"]["USD"]["profit"], "12.04");
    assert_eq!(said["total"]["conversions"], 1);
}

#[test]
fn a_page_needs_nothing_else_and_a_campaign_cannot_become_a_part_of_it() {
    let hostile = "</td><script src=//evil.example></script><img onerror=alert(1) src=x>\"'&";
    let folder = small(&[(hostile, 1_000_000)]);
    let report = make(folder.path(), &query(&["campaign"]));
    let page = html::page(&report, hostile);
    for part in ["<script", "<img", "http:", "https:", "href=", "url(", "@import", " src=\"", "<link"] {
        assert!(!page.contains(part), "{part} in the page");
    }
    assert!(page.contains("&lt;/td&gt;&lt;script src=//evil.example&gt;"));
    assert!(
        page.contains("prefers-color-scheme:dark") && page.contains("<svg") && page.contains("@media print")
    );
    assert!(page.contains(">0.90<") || page.contains(">0.30<"), "the cost is shown");
    // Every element that is opened is closed.
    for element in ["table", "thead", "tbody", "tfoot", "tr", "td", "th", "svg", "p", "div", "style", "title"]
    {
        let opened =
            page.matches(&format!("<{element}>")).count() + page.matches(&format!("<{element} ")).count();
        assert_eq!(opened, page.matches(&format!("</{element}>")).count(), "{element}");
    }
}

#[test]
fn a_period_of_nothing_is_a_report_of_nothing() {
    let folder = small(&[]);
    let report = make(folder.path(), &query(&["campaign"]));
    assert_eq!((report.rows.len(), report.currencies.len(), report.total.count(Count::Clicks)), (0, 0, 0));
    assert!(html::page(&report, "Nothing").contains("<svg"));
    let mut wrong = query(&[]);
    wrong.to = wrong.from;
    let refused = clicklog::batch::report::report(&Reader::open(folder.path()), &wrong, &mut |_, _| {});
    assert!(refused.unwrap_err().to_string().contains("before it begins"));
    let nowhere = Reader::open(folder.path().join("nowhere"));
    let refused = clicklog::batch::report::report(&nowhere, &query(&[]), &mut |_, _| {});
    assert!(refused.unwrap_err().to_string().contains("there is no store"));
    let nine = vec!["day".parse::<Dimension>().unwrap(); 9];
    let many = Query { by: nine, ..query(&[]) };
    assert!(clicklog::batch::report::report(&Reader::open(folder.path()), &many, &mut |_, _| {}).is_err());
}
