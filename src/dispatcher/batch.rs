//! Several deliveries in one request: which of them were taken, and how to find those that spoil it for the others.
//!
//! In: how many there are, and what an answer says about them. Out: for each, taken or refused; or parts to be sent anew.
//! Keeps: each delivery ends up in exactly one way, and one bad one costs about twice the logarithm of the batch.
//! Refuses: to go on for ever: where all are refused the fault is hardly theirs, and what is left is given back.
//! Not here: what becomes of those refused (`class`), when a batch is full.

use std::ops::Range;

use serde_json::Value;

use super::success::JsonRule;

/// The most requests that one refused batch is taken apart by.
pub const REQUESTS_MAX: u32 = 64;

/// So many single deliveries that are refused before any is taken are enough to see that it is not them.
pub const REFUSED_FIRST_MAX: usize = 4;

/// A refused batch that is taken apart by halves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bisect {
    /// What is to be sent, the first part last.
    pending: Vec<Range<usize>>,
    ended: Ended,
    requests_left: u32,
}

/// What became of the deliveries of a batch, by their numbers in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// These were taken.
    pub taken: Vec<usize>,
    /// Each of these was refused by itself.
    pub refused: Vec<usize>,
    /// About these nothing was found out: they are tried again as if they had failed with the whole.
    pub unresolved: Vec<usize>,
}

impl Bisect {
    /// Of a batch of `count`, which was refused as a whole.
    pub fn new(count: usize) -> Self {
        let mut bisect = Self { pending: Vec::new(), ended: Ended::default(), requests_left: REQUESTS_MAX };
        bisect.refuse(0..count);
        bisect
    }

    /// Which part to send now; tell what came of it by `taken`, `refused` or `gave_up`. None once there is nothing left.
    pub fn next_part(&mut self) -> Option<Range<usize>> {
        if self.requests_left == 0 || self.is_hopeless() {
            self.gave_up();
        }
        let part = self.pending.last().cloned()?;
        self.requests_left -= 1;
        Some(part)
    }

    /// The part that `next_part` gave was taken.
    pub fn taken(&mut self) {
        self.ended.taken.extend(self.pending.pop().into_iter().flatten());
    }

    /// It was refused as wrong.
    pub fn refused(&mut self) {
        if let Some(part) = self.pending.pop() {
            self.refuse(part);
        }
    }

    /// It ended in a way that says nothing about what is in it: nothing more is sent.
    pub fn gave_up(&mut self) {
        self.ended.unresolved.extend(self.pending.drain(..).rev().flatten());
    }

    /// What became of all, once `next_part` gives none.
    pub fn end(mut self) -> Ended {
        self.gave_up();
        self.ended
    }

    fn refuse(&mut self, part: Range<usize>) {
        match part.len() {
            0 => {}
            1 => self.ended.refused.push(part.start),
            length => {
                let middle = part.start + length / 2;
                self.pending.extend([middle..part.end, part.start..middle]);
            }
        }
    }

    fn is_hopeless(&self) -> bool {
        self.ended.taken.is_empty() && self.ended.refused.len() >= REFUSED_FIRST_MAX
    }
}

/// How an answer says which deliveries of a batch were taken.
#[derive(Clone, Debug, PartialEq)]
pub enum PerItem {
    /// It names those that failed, in a list (Google's `partialFailureError`).
    Failures {
        /// What an answer says where none has failed. Otherwise there must be a list: an error without one is no success.
        none: JsonRule,
        /// Where the list is.
        list: Box<str>,
        /// Where in each of its elements the number is, from 0.
        number: Box<str>,
    },
    /// It has one element for each, in the same order.
    Results {
        /// Where the list is.
        list: Box<str>,
        /// What is in an element of one that was taken.
        taken: JsonRule,
    },
}

impl PerItem {
    /// For each of `count`, whether it was taken; nothing if the answer does not say so of all.
    pub fn read(&self, body: &[u8], count: usize) -> Option<Vec<bool>> {
        let document: Value = serde_json::from_slice(body).ok()?;
        match self {
            Self::Failures { none, list, number } => {
                let mut taken = vec![true; count];
                if none.holds(&document) {
                    return Some(taken);
                }
                for failure in document.pointer(list)?.as_array()? {
                    let number = usize::try_from(failure.pointer(number)?.as_u64()?).ok()?;
                    *taken.get_mut(number)? = false;
                }
                Some(taken)
            }
            Self::Results { list, taken } => {
                let results = document.pointer(list)?.as_array()?;
                (results.len() == count).then(|| results.iter().map(|result| taken.holds(result)).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::dispatcher::success::Expects;

    /// Takes a batch apart for a receiver that refuses whatever has one of these in it; and in how many requests.
    fn apart(count: usize, bad: &BTreeSet<usize>) -> (Ended, u32) {
        let (mut bisect, mut requests) = (Bisect::new(count), 0);
        while let Some(part) = bisect.next_part() {
            requests += 1;
            if part.clone().any(|number| bad.contains(&number)) {
                bisect.refused();
            } else {
                bisect.taken();
            }
        }
        (bisect.end(), requests)
    }

    #[test]
    fn one_bad_delivery_is_found_in_about_twice_the_logarithm() {
        for bad in [0, 1, 499, 999] {
            let (ended, requests) = apart(1_000, &BTreeSet::from([bad]));
            assert_eq!((ended.refused, ended.taken.len()), (vec![bad], 999));
            assert!(requests <= 20, "{requests}");
        }
    }

    #[test]
    fn where_all_are_refused_it_is_not_their_fault() {
        let (ended, requests) = apart(1_000, &(0..1_000).collect());
        assert_eq!((ended.refused.len(), ended.taken.len(), ended.unresolved.len()), (4, 0, 996));
        assert!(requests <= 20, "{requests}");
    }

    #[test]
    fn what_says_nothing_about_the_deliveries_ends_it() {
        let mut bisect = Bisect::new(4);
        assert_eq!(bisect.next_part(), Some(0..2));
        bisect.taken();
        assert_eq!(bisect.next_part(), Some(2..4));
        bisect.gave_up();
        assert_eq!(bisect.next_part(), None);
        assert_eq!(bisect.end(), Ended { taken: vec![0, 1], refused: vec![], unresolved: vec![2, 3] });
        assert_eq!(Bisect::new(1).end().refused, [0], "one that was refused as a whole was refused");
        assert_eq!(Bisect::new(0).end(), Ended::default());
    }

    #[test]
    fn failures_are_read_by_their_numbers() {
        let google = PerItem::Failures {
            none: JsonRule { pointer: "/partialFailureError".into(), expects: Expects::Absence },
            list: "/partialFailureError/details/0/errors".into(),
            number: "/location/fieldPathElements/0/index".into(),
        };
        let failed = |number: i64| json!({ "location": { "fieldPathElements": [{ "index": number }] } });
        let answer = |errors: Value| {
            json!({ "partialFailureError": { "details": [{ "errors": errors }] } }).to_string()
        };
        let table = [
            (r#"{"results":[{},{},{}]}"#.to_owned(), Some(vec![true, true, true])),
            (r#"{"partialFailureError":null}"#.to_owned(), Some(vec![true, true, true])),
            (answer(json!([failed(1)])), Some(vec![true, false, true])),
            (answer(json!([failed(0), failed(2), failed(0)])), Some(vec![false, true, false])),
            (answer(json!([failed(3)])), None),
            (answer(json!([failed(-1)])), None),
            (answer(json!([{}])), None),
            (answer(json!("x")), None),
            (r#"{"partialFailureError":{"code":3,"message":"all of them"}}"#.to_owned(), None),
            ("<html>".to_owned(), None),
        ];
        for (body, expected) in table {
            assert_eq!(google.read(body.as_bytes(), 3), expected, "{body}");
        }
    }

    #[test]
    fn results_are_read_in_their_order_and_only_if_there_is_one_for_each() {
        let taken = JsonRule { pointer: "/status".into(), expects: Expects::Value(json!("ok")) };
        let rule = PerItem::Results { list: "/results".into(), taken };
        let body = br#"{"results":[{"status":"ok"},{"status":"bad"},{}]}"#;
        assert_eq!(rule.read(body, 3), Some(vec![true, false, false]));
        assert_eq!(rule.read(body, 2), None);
        assert_eq!(rule.read(b"{}", 0), None);
    }

    proptest! {
        #[test]
        fn each_delivery_ends_in_exactly_one_way(count in 0usize..300, bad in prop::collection::btree_set(0usize..300, 0..12)) {
            let (ended, requests) = apart(count, &bad);
            prop_assert!(requests <= REQUESTS_MAX);
            let mut all: Vec<usize> = [&ended.taken, &ended.refused, &ended.unresolved].into_iter().flatten().copied().collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..count).collect::<Vec<_>>());
            prop_assert!(ended.refused.iter().all(|number| count == 1 || bad.contains(number)));
            prop_assert!(ended.taken.iter().all(|number| !bad.contains(number)));
        }
    }
}
