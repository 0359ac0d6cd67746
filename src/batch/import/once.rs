//! Whether lines of one file set the same thing twice, looked at before any of them is imported.
//!
//! In: a file of rows of which a later one takes the place of an earlier one (`Form::sets`), and the names by which its
//! campaigns may go. Out: nothing, if no line does that to another.
//! Refuses: a file in which one does. Of costs the money of the earlier line would be gone without a word: the file is
//! broken down by a column that nobody has named, or has a line twice. They are not added up instead, because nobody can
//! tell those two apart, and the second would then count double. Between files a later one corrects an earlier one, as an
//! update of costs does in other trackers too.

use std::ops::Range;

use sha2::{Digest, Sha256};

use super::file::Lines;
use super::form::{Form, Names};
use super::{ImportError, Options};

/// Lines that are told apart: 40 bytes each.
const LINES_MAX: usize = 4_000_000;
/// Columns that are named as those in which two lines differ.
const NAMED_MAX: usize = 4;

/// What one line sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Set {
    /// A sum over whose it is.
    of: [u8; 16],
    first: i64,
    end: i64,
    line: u64,
}

/// See the module.
pub(super) fn check<R: Form>(options: &Options, names: &Names) -> Result<(), ImportError> {
    let mut lines = Lines::<R>::open(options)?;
    let mut all = Vec::new();
    while let Some((line, row)) = lines.next_line()? {
        let settled = row.ok().map(|mut row| {
            row.settle(names);
            row
        });
        let Some((of, Range { start: first, end })) = settled.and_then(|row| row.sets()) else { continue };
        all.push(Set { of: sum(&of), first, end, line: line.number });
        if all.len() > LINES_MAX {
            let what = format!("the file has more than {LINES_MAX} lines: import it in parts");
            return Err(ImportError::Twice(what));
        }
    }
    match first_pair(all) {
        Some(pair) => Err(ImportError::Twice(told::<R>(options, pair)?)),
        None => Ok(()),
    }
}

/// The first line that takes something from an earlier one, behind that one.
fn first_pair(mut all: Vec<Set>) -> Option<(u64, u64)> {
    all.sort_unstable();
    let mut found: Option<(u64, u64)> = None;
    // Of those with the same key so far, the one that goes on for longest.
    let mut longest: Option<Set> = None;
    for set in all {
        let before = longest.filter(|longest| longest.of == set.of);
        if let Some(before) = before.filter(|before| before.end > set.first) {
            let pair = (before.line.min(set.line), before.line.max(set.line));
            found = Some(found.map_or(pair, |found| if pair.1 < found.1 { pair } else { found }));
        }
        longest = before.filter(|before| before.end > set.end).or(Some(set));
    }
    found
}

/// What is wrong with these lines, and what is to be done.
fn told<R: Form>(options: &Options, (first, second): (u64, u64)) -> Result<String, ImportError> {
    let mut lines = Lines::<R>::open(options)?;
    let mut pair = Vec::new();
    while let Some((line, _)) = lines.next_line()? {
        if line.number == first || line.number == second {
            pair.push(line.fields);
        }
        if line.number >= second {
            break;
        }
    }
    let text =
        |at: usize, column: usize| pair.get(at).and_then(|fields| fields.get(column)).map(<[u8]>::trim_ascii);
    let names: Vec<String> = lines
        .left_out()
        .filter(|(column, _)| text(0, *column) != text(1, *column))
        .map(|(_, name)| name)
        .take(NAMED_MAX)
        .collect();
    let same = format!("nothing was imported: lines {first} and {second} are {}", R::SAME);
    Ok(match names.first() {
        None => {
            format!("{same}, and the second would take the place of the first: leave one out, or add them up")
        }
        Some(name) => {
            let all: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
            format!(
                "{same}; they differ in columns that are left out ({}). If the file is broken down by one of them, say \
                 so, as --map {}={name:?}, and each line counts; else add such lines up before",
                all.join(", "),
                super::columns::bare(name)
            )
        }
    })
}

fn sum(of: &[u8]) -> [u8; 16] {
    let all: [u8; 32] = Sha256::digest(of).into();
    let mut sum = [0; 16];
    sum.iter_mut().zip(all).for_each(|(byte, of)| *byte = of);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_takes_something_away_is_found_wherever_the_other_one_is() {
        for (sets, expected) in [
            (&[(0, 0..24), (0, 24..48), (1, 0..24)][..], None),
            (&[(0, 0..24), (0, 0..24)], Some((1, 2))),
            (&[(0, 24..48), (1, 7..8), (1, 7..8), (0, 0..25)], Some((2, 3))),
            (&[(0, 0..100), (0, 3..4), (0, 5..6)], Some((1, 2))),
            (&[(0, 5..6), (0, 3..4), (0, 0..100)], Some((2, 3))),
            (&[], None),
        ] {
            let set = |(line, (key, hours)): (u64, &(u8, Range<i64>))| Set {
                of: [*key; 16],
                first: hours.start,
                end: hours.end,
                line,
            };
            assert_eq!(first_pair((1..).zip(sets).map(set).collect()), expected, "{sets:?}");
        }
    }
}
