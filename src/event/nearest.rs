//! What may have been meant by a word that is not known.

/// The candidate that looks most like `word`, if any does: one slip, and one more for every four letters. Of several
/// that are as near, the first.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let all = candidates.into_iter().map(|candidate| (distance(word, candidate), candidate));
    let (distance, nearest) = all.min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + word.len() / 4).then_some(nearest)
}

/// Names that are told where none looks like what was given.
const NAMED_MAX: usize = 8;

/// What to say of a name that nothing has: what may have been meant, or what there is. `what` is what it should be the name of.
pub fn missing<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let more = if known.len() > NAMED_MAX { ", …" } else { "" };
    let hint = match nearest(name, known.iter().copied()) {
        Some(near) => format!(", did you mean \"{near}\"?"),
        None if known.is_empty() => "; the catalog has none".to_owned(),
        None => format!("; the catalog has {}{more}", known.get(..NAMED_MAX).unwrap_or(&known).join(", ")),
    };
    format!("no {what} \"{name}\"{hint}")
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
    fn what_is_missing_is_told_with_what_may_have_been_meant_or_what_there_is() {
        let networks = ["revboost", "clickpeak"];
        assert_eq!(
            missing("network", "revbost", networks),
            "no network \"revbost\", did you mean \"revboost\"?"
        );
        assert_eq!(
            missing("network", "x", networks),
            "no network \"x\"; the catalog has revboost, clickpeak"
        );
        assert_eq!(missing("network", "x", []), "no network \"x\"; the catalog has none");
        let many: Vec<String> = (0..20).map(|number| format!("network-{number}")).collect();
        let told = missing("network", "x", many.iter().map(String::as_str));
        assert!(told.ends_with("network-7, …"), "{told}");
    }

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
