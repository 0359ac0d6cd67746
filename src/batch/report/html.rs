//! A report as one page, which needs nothing else: no script, no request, a drawing of the period, and a table that reads
//! on a phone, in the dark and on paper.
//!
//! Keeps: whatever a campaign is called, it is text: every value is escaped, and the page's own policy forbids scripts.

use std::fmt::Write;

use super::exact::{decimal, money_for_people};
use super::write::Column;
use super::{Report, Row, local_text};
use crate::compactor::rollup::Count;

/// Counts that people are shown; programs get all of them.
pub const SHOWN: [Count; 8] = [
    Count::Clicks,
    Count::Net,
    Count::Unique,
    Count::Through,
    Count::Conversions,
    Count::Pending,
    Count::Approved,
    Count::Reversed,
];

/// The drawing, in its own units.
const WIDTH: i128 = 960;
const HEIGHT: i128 = 240;
/// Points of a drawing at most. A period that has more is drawn where something was.
const POINTS_MAX: usize = 2000;
/// Places of a ratio that has six, as percent.
const PERCENT_PLACES: u32 = 4;
/// Places of what a click brings, at least: fractions of a cent are what is compared there.
const PER_CLICK_PLACES: u32 = 4;

const STYLE: &str = "\
:root{color-scheme:light dark;--text:#1b1f24;--soft:#5b6470;--line:#d8dde3;--page:#fff;--row:#f5f7f9;--bar:#b7cdea;--money:#0a7d4b}
@media(prefers-color-scheme:dark){:root{--text:#e6e9ed;--soft:#9aa4b0;--line:#343b44;--page:#14171b;--row:#1c2126;--bar:#2f4f7a;--money:#4fd39a}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem;max-width:90rem;color:var(--text);background:var(--page);font:15px/1.45 system-ui,sans-serif}
h1{font-size:1.35rem;margin:0}p{margin:.25rem 0;color:var(--soft)}
svg{width:100%;height:auto;margin:1rem 0}svg text{fill:var(--soft);font-size:12px}
.bar{fill:var(--bar)}.line{fill:none;stroke:var(--money);stroke-width:2}.axis{stroke:var(--line)}
.key i{display:inline-block;width:.8em;height:.8em;margin:0 .3em 0 .9em}.key .c{background:var(--bar)}.key .m{background:var(--money)}
div.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.35rem .6rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th{color:var(--soft);font-weight:600;position:sticky;top:0;background:var(--page)}
.v{text-align:left;overflow-wrap:anywhere;white-space:normal}
tbody tr:nth-child(even){background:var(--row)}tfoot td{font-weight:600;border-top:2px solid var(--line)}
@media(max-width:44rem){thead{display:none}table,tbody,tfoot,tr,td{display:block}tr{padding:.5rem 0;border-bottom:1px solid var(--line)}
td,.v{display:flex;justify-content:space-between;gap:1rem;border:0;padding:.15rem 0;text-align:right}td::before{content:attr(data-of);color:var(--soft)}}
@media print{body{padding:0;font-size:10px}th{position:static}tr{break-inside:avoid}}
";

/// See the module. `title` is for the head of the page.
pub fn page(report: &Report, title: &str) -> String {
    let mut page = String::new();
    let title = escaped(title);
    let mut write = || -> std::fmt::Result {
        let page = &mut page;
        write!(page, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">")?;
        write!(page, "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">")?;
        let policy = "default-src 'none'; style-src 'unsafe-inline'";
        write!(page, "<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">")?;
        writeln!(page, "<title>{title}</title><style>{STYLE}</style></head><body>")?;
        writeln!(page, "<h1>{title}</h1><p>{}</p>", escaped(&report.period()))?;
        report.notes.iter().try_for_each(|note| writeln!(page, "<p>Note: {}</p>", escaped(note)))?;
        chart(page, report)?;
        table(page, report)?;
        if report.more > 0 {
            writeln!(page, "<p>{} more rows are in the total.</p>", report.more)?;
        }
        writeln!(page, "</body></html>")
    };
    // Writing to a text cannot fail.
    let _written = write();
    page
}

/// A point of the drawing.
struct Point {
    label: String,
    clicks: i128,
    revenue: i128,
}

fn chart(page: &mut String, report: &Report) -> std::fmt::Result {
    let points = points(report);
    let Some((first, last)) = points.first().zip(points.last()) else { return Ok(()) };
    let count = i128::try_from(points.len()).unwrap_or(1);
    let clicks_max = points.iter().map(|point| point.clicks).max().unwrap_or(0).max(1);
    let revenue_max = points.iter().map(|point| point.revenue).max().unwrap_or(0).max(0);
    let revenue_min = points.iter().map(|point| point.revenue).min().unwrap_or(0).min(0);
    let span = revenue_max.saturating_sub(revenue_min).max(1);
    let currency = report.currencies.first().map_or("", |code| code);
    let places = report.minor_digits(0);
    let view = format!("0 -16 {WIDTH} {}", HEIGHT + 40);
    write!(page, "<svg viewBox=\"{view}\" role=\"img\" aria-label=\"Clicks and revenue over the period\">")?;
    write!(page, "<line class=\"axis\" x1=\"0\" y1=\"{HEIGHT}\" x2=\"{WIDTH}\" y2=\"{HEIGHT}\"/>")?;
    let mut line = String::new();
    for (at, point) in (0_i128..).zip(&points) {
        let (left, right) = (at * WIDTH * 10 / count, (at + 1) * WIDTH * 10 / count);
        let height = scaled(point.clicks, clicks_max);
        let mut label = format!("{}: {} clicks", point.label, point.clicks);
        if !currency.is_empty() {
            write!(label, ", {} {currency}", money_for_people(point.revenue, places))?;
            let y = HEIGHT - scaled(point.revenue.saturating_sub(revenue_min), span);
            write!(line, "{},{y} ", tenths(i128::midpoint(left, right)))?;
        }
        let (x, width) = (tenths(left), tenths((right - left - 5).max(1)));
        let y = HEIGHT - height;
        write!(page, "<rect class=\"bar\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\">")?;
        write!(page, "<title>{}</title></rect>", escaped(&label))?;
    }
    if !line.is_empty() {
        write!(page, "<polyline class=\"line\" points=\"{}\"/>", line.trim_end())?;
        let most = format!("{} {currency}", money_for_people(revenue_max, places));
        write!(page, "<text x=\"{WIDTH}\" y=\"-4\" text-anchor=\"end\">{}</text>", escaped(&most))?;
    }
    write!(page, "<text x=\"0\" y=\"-4\">{clicks_max} clicks</text>")?;
    let below = HEIGHT + 18;
    write!(page, "<text x=\"0\" y=\"{below}\">{}</text>", escaped(&first.label))?;
    write!(page, "<text x=\"{WIDTH}\" y=\"{below}\" text-anchor=\"end\">{}</text>", escaped(&last.label))?;
    write!(page, "</svg><p class=\"key\"><i class=\"c\"></i>clicks")?;
    if !line.is_empty() {
        write!(page, "<i class=\"m\"></i>revenue, {}", escaped(currency))?;
    }
    writeln!(page, "</p>")
}

/// One for each bucket of the period, those in which nothing was too.
fn points(report: &Report) -> Vec<Point> {
    let letters = if report.bucket < 86_400 { 13 } else { 10 };
    let point = |at: i64, row: Option<&Row>| Point {
        label: local_text(at, letters).replace('T', " "),
        clicks: row.map_or(0, |row| row.count(Count::Clicks).into()),
        revenue: row.and_then(|row| row.money.first()).map_or(0, |amounts| amounts.revenue),
    };
    let offset = i64::from(report.offset.seconds());
    let bucket =
        |micros: i64| (micros.div_euclid(1_000_000).saturating_add(offset)).div_euclid(report.bucket);
    let (first, last) = (bucket(report.from.micros()), bucket(report.to.micros() - 1));
    let count = usize::try_from(last - first + 1).unwrap_or(usize::MAX);
    if count > POINTS_MAX {
        return report.series.iter().map(|(at, row)| point(*at, Some(row))).collect();
    }
    let found = |at: i64| {
        let place = report.series.binary_search_by_key(&at, |(known, _)| *known).ok()?;
        report.series.get(place).map(|(_, row)| row)
    };
    (first..=last).map(|number| number * report.bucket).map(|at| point(at, found(at))).collect()
}

/// How high a value is drawn.
fn scaled(value: i128, max: i128) -> i128 {
    value.max(0).checked_mul(HEIGHT).map_or(HEIGHT, |scaled| scaled / max)
}

fn tenths(value: i128) -> String {
    decimal(value, 1, 0)
}

fn table(page: &mut String, report: &Report) -> std::fmt::Result {
    let columns = Column::all(report, &SHOWN);
    let heads: Vec<String> = columns.iter().map(|column| escaped(&head(column, report))).collect();
    let class = |column: &Column| if matches!(column, Column::Value(_)) { " class=\"v\"" } else { "" };
    write!(page, "<div class=\"wide\"><table><thead><tr>")?;
    for (column, head) in columns.iter().zip(&heads) {
        write!(page, "<th scope=\"col\"{}>{head}</th>", class(column))?;
    }
    writeln!(page, "</tr></thead><tbody>")?;
    let row = |page: &mut String, row: &Row, first: Option<&str>| -> std::fmt::Result {
        write!(page, "<tr>")?;
        for (at, (column, head)) in columns.iter().zip(&heads).enumerate() {
            let text = match first {
                Some(first) if at == 0 && !report.by.is_empty() => first.to_owned(),
                _ => cell(column, row, report),
            };
            write!(page, "<td{} data-of=\"{head}\">{}</td>", class(column), escaped(&text))?;
        }
        writeln!(page, "</tr>")
    };
    report.rows.iter().try_for_each(|it| row(page, it, None))?;
    write!(page, "</tbody><tfoot>")?;
    row(page, &report.total, Some("Total"))?;
    writeln!(page, "</tfoot></table></div>")
}

/// A column's name for people.
pub fn head(column: &Column, report: &Report) -> String {
    let name = column.name(report);
    match column {
        Column::ConversionRate => "CR %".to_owned(),
        _ => match column.money() {
            Some((name, currency)) => {
                let code = report.currencies.get(currency).map_or("", |code| code);
                let name = if name.len() == 3 { name.to_uppercase() } else { name.to_owned() };
                let unit = if matches!(column, Column::ReturnOnCost(_)) { " %" } else { "" };
                format!("{name} {code}{unit}")
            }
            None => name,
        },
    }
}

/// A column's text in a row of the report, for people: ratios in percent, amounts to the smallest coin.
pub fn cell(column: &Column, row: &Row, report: &Report) -> String {
    let number = || column.number(row);
    match column {
        Column::Value(at) => match row.values.get(*at).map(String::as_str) {
            Some("") | None => "–".to_owned(),
            Some(value) => value.to_owned(),
        },
        Column::Count(_) => number().map_or_else(String::new, |count| count.to_string()),
        Column::ConversionRate => percent(row.conversion_rate(PERCENT_PLACES)),
        Column::ReturnOnCost(currency) => percent(row.return_on_cost(*currency, PERCENT_PLACES)),
        Column::RevenuePerClick(currency) => {
            let places = report.minor_digits(*currency).max(PER_CLICK_PLACES);
            let amount = row.revenue_per_click(*currency, places);
            amount.map_or_else(String::new, |amount| decimal(amount, places, places))
        }
        Column::Revenue(currency) | Column::Cost(currency) | Column::Profit(currency) => {
            let places = report.minor_digits(*currency);
            number().map_or_else(String::new, |amount| money_for_people(amount, places))
        }
    }
}

fn percent(ratio: Option<i128>) -> String {
    ratio.map_or_else(String::new, |ratio| decimal(ratio, PERCENT_PLACES - 2, 2))
}

/// A text as it stands in a page, also in an attribute. What does nothing but confuse is left out: control characters,
/// and those that turn the direction of text.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            character if character.is_control() => {}
            character => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_called_something_becomes_a_part_of_the_page() {
        for (text, expected) in [
            ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
            ("\" onload='x'", "&quot; onload=&#39;x&#39;"),
            ("a&amp;b", "a&amp;amp;b"),
            ("a\u{0}\u{1b}[31m\u{202e}b", "a[31mb"),
            ("été 中", "été 中"),
        ] {
            assert_eq!(escaped(text), expected);
        }
    }
}
