//! Bars over time, drawn on the server.
//!
//! In: a label and some numbers for each hour or day. Out: an SVG without text in it (that is beside it, and does not shrink
//! on a phone), the ends of its time, and all of its numbers as a table behind a word.
//! Keeps: heights are whole thousandths of the highest bar; what is below nothing is not drawn, and is in the table.

use maud::{Markup, html};

use super::text;

/// How high the drawing is, in its own units.
const HEIGHT: i128 = 1000;
/// How wide a bar's place is.
const STEP: usize = 100;
/// How much of that it leaves.
const GAP: usize = 24;

/// One of the kinds of numbers that are stacked in a bar.
pub(super) struct Series {
    /// Its name.
    pub(super) name: String,
    /// Its colour, as a class of the style sheet.
    pub(super) class: &'static str,
}

impl Series {
    pub(super) fn new(name: &str, class: &'static str) -> Self {
        Self { name: name.to_owned(), class }
    }
}

/// A drawing.
pub(super) struct Chart<'a> {
    /// What it shows.
    pub(super) title: String,
    /// Its sum, in words.
    pub(super) total: Markup,
    /// What its bars are made of, from below.
    pub(super) series: Vec<Series>,
    /// For each hour or day its label, and a number of each series.
    pub(super) points: Vec<(&'a str, Vec<i128>)>,
    /// How a number is written.
    pub(super) write: fn(i128) -> String,
}

/// A whole number.
pub(super) fn whole(number: i128) -> String {
    let sign = if number < 0 { "−" } else { "" };
    format!("{sign}{}", text::count(u64::try_from(number.unsigned_abs()).unwrap_or(u64::MAX)))
}

impl Chart<'_> {
    pub(super) fn draw(&self) -> Markup {
        let sums = self.points.iter().map(|(_, numbers)| numbers.iter().map(|number| (*number).max(0)).sum());
        let most: i128 = sums.max().unwrap_or(0);
        let (first, last) = (self.points.first(), self.points.last());
        let width = self.points.len() * STEP;
        let summary = format!("{}, highest {}", self.title, (self.write)(most));
        html! {
            section.card {
                h2 { (self.title) } div.total { (self.total) }
                @if most == 0 {
                    p.nothing { "None in this time." }
                } @else {
                    div.scale aria-hidden="true" { "max " ((self.write)(most)) }
                    svg role="img" aria-label=(summary) viewBox={ "0 0 " (width) " " (HEIGHT) } preserveAspectRatio="none" {
                        @for (at, (label, numbers)) in self.points.iter().enumerate() {
                            (self.bar(at, label, numbers, most))
                        }
                    }
                    div.ends aria-hidden="true" {
                        span { (first.map_or("", |(label, _)| end(label))) }
                        span { (last.map_or("", |(label, _)| end(label))) }
                    }
                    @if self.series.len() > 1 {
                        ul.key { @for series in &self.series { li { i class=(series.class) {} (series.name) } } }
                    }
                    (self.numbers())
                }
            }
        }
    }

    /// One bar, with all that its numbers are when pointed at.
    fn bar(&self, at: usize, label: &str, numbers: &[i128], most: i128) -> Markup {
        let told = self.series.iter().zip(numbers);
        let told: Vec<String> =
            told.map(|(series, number)| format!("{}: {}", series.name, (self.write)(*number))).collect();
        let (x, mut top) = (at * STEP + GAP / 2, HEIGHT);
        let mut parts = Vec::with_capacity(numbers.len());
        for (series, number) in self.series.iter().zip(numbers) {
            // A little is not nothing.
            let height = if *number > 0 { ((*number).saturating_mul(HEIGHT) / most).max(8) } else { 0 };
            top = (top - height).max(0);
            parts.push((series.class, top, height));
        }
        html! {
            g {
                title { (label) "\n" (told.join("\n")) }
                rect.hover x=(at * STEP) y="0" width=(STEP) height=(HEIGHT) {}
                @for (class, y, height) in parts {
                    @if height > 0 { rect class=(class) x=(x) y=(y) width=(STEP - GAP) height=(height) {} }
                }
            }
        }
    }

    fn numbers(&self) -> Markup {
        html! {
            details.numbers {
                summary { "Numbers" }
                div.wide tabindex="0" role="region" aria-label={ (self.title) ", numbers" } {
                    table {
                        caption.away { (self.title) }
                        thead { tr { th scope="col" { "Time" } @for series in &self.series { th.n scope="col" { (series.name) } } } }
                        tbody { @for (label, numbers) in self.points.iter().rev() {
                            tr { th.time scope="row" { (end(label)) } @for number in numbers { td.n { ((self.write)(*number)) } } }
                        } }
                    }
                }
            }
        }
    }
}

/// A label where there is little room: an hour without its year.
fn end(label: &str) -> &str {
    if label.len() > "2026-11-20".len() { label.get("2026-".len()..).unwrap_or(label) } else { label }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(points: Vec<(&str, Vec<i128>)>) -> String {
        let series = vec![Series::new("a", "one"), Series::new("b", "two")];
        let chart = Chart { title: "<T>".to_owned(), total: html! { "7" }, series, points, write: whole };
        chart.draw().into_string()
    }

    #[test]
    fn bars_stand_on_one_another_and_none_is_higher_than_the_drawing() {
        let drawn = drawn(vec![("<1>", vec![3, 1]), ("2", vec![1, 0]), ("3", vec![-5, 0])]);
        for part in [
            "y=\"250\" width=\"76\" height=\"750\"",
            "y=\"0\" width=\"76\" height=\"250\"",
            "−5",
            "&lt;1&gt;",
        ] {
            assert!(drawn.contains(part), "{part} in {drawn}");
        }
        assert!(!drawn.contains("<1>") && !drawn.contains("<T>") && !drawn.contains("style="), "{drawn}");
    }

    #[test]
    fn nothing_is_said_and_not_drawn() {
        for points in [vec![], vec![("1", vec![0, 0])]] {
            let drawn = drawn(points);
            assert!(drawn.contains("None in this time") && !drawn.contains("<svg"), "{drawn}");
        }
        let large = drawn(vec![("1", vec![i128::MAX / 4, 0])]);
        assert!(large.contains("<svg"), "{large}");
    }
}
