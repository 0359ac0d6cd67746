//! What may have been meant by a word that is not known.

/// The candidate that looks most like `word`, if any does: one slip, and one more for every four letters. Of several
/// that are as near, the first.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let all = candidates.into_iter().map(|candidate| (distance(word, candidate), candidate));
    let (distance, nearest) = all.min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + word.len() / 4).then_some(nearest)
}

/// Letters to insert, drop or change to make one of the other (Levenshtein), whatever their case.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(!from.eq_ignore_ascii_case(to));
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_told_apart_from_nonsense() {
        let words = ["workers", "listen", "head_timeout"];
        assert_eq!(nearest("worker", words), Some("workers"));
        assert_eq!(nearest("lsiten", words), Some("listen"));
        assert_eq!(nearest("HEAD_TIMEOUTS", words), Some("head_timeout"));
        assert_eq!(nearest("colour", words), None);
        assert_eq!(nearest("", []), None);
    }
}
