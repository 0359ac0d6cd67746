//! What an attempt came to, for each of the deliveries in it.
//!
//! In: the answer, or how far it got without one; how its destination tells success; how many deliveries there were. Out:
//! a class for each, or that the batch has to be taken apart; how long to wait, if the answer says so; what is kept of it.
//! Keeps: a part of a batch is called taken or refused only where the answer says so of all; nothing that is kept has a
//! secret in it.
//! Not here: what follows from a class (`class`, `schedule`), taking a batch apart (`batch`).

use std::time::Duration;

use super::batch::PerItem;
use super::class::{Answer, Fault, Success, class_of};
use super::mask::{DETAIL_BYTES_MAX, Mask};
use super::outbound::{Body, Outbound};
use super::request::Unmade;
use super::retry_after;
use crate::clock::Timestamp;
use crate::event::delivery::OutcomeClass;

/// The most that is kept of an answer that took all: there is little to find out.
pub const TAKEN_BYTES_MAX: usize = 128;

/// The most that is kept of an answer for each delivery of a batch of several.
pub const SHARED_BYTES_MAX: usize = 256;

/// An answer, as the client read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answered<'a> {
    /// Its status.
    pub status: u16,
    /// The value of `Retry-After`.
    pub retry_after: Option<&'a [u8]>,
    /// The body, as far as it was read.
    pub body: &'a [u8],
    /// Whether that is all of it: neither cut at a bound nor broken off.
    pub is_whole: bool,
}

/// What came of sending a request.
#[derive(Clone, Copy, Debug)]
pub enum Came<'a> {
    /// An answer, or the head of one.
    Answer(Answered<'a>),
    /// None, for this reason, in words.
    Fault(Fault, &'a str),
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// For which of them.
    pub result: Outcome,
    /// The status of the answer; 0 when there was none.
    pub http_status: u16,
    /// How long the answer asks to be left alone.
    pub wait: Option<Duration>,
    /// What is kept of it, or what went wrong, the same for each delivery.
    pub detail: Vec<u8>,
}

/// What became of the deliveries of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The same of all.
    All(OutcomeClass),
    /// Of each its own, in their order.
    Each(Vec<OutcomeClass>),
    /// It was refused as a whole, which one of them may be to blame for: see `batch::Bisect`.
    Bisect,
}

/// Who judges: a destination's rules, and what must not be kept.
#[derive(Clone, Copy, Debug)]
pub struct Judge<'a> {
    /// How the request was made.
    pub outbound: &'a Outbound,
    /// Of the catalog.
    pub mask: &'a Mask,
    /// Of the token that was shown.
    pub token: Option<&'a Mask>,
    /// When the answer came.
    pub now: Timestamp,
}

impl Judge<'_> {
    /// Judges what came of a request with `count` deliveries.
    pub fn judge(&self, came: Came<'_>, count: usize) -> Verdict {
        match came {
            Came::Answer(answer) => self.answered(answer, count),
            Came::Fault(fault, what) => self.all(class_of(Answer::Fault(fault)), what.as_bytes()),
        }
    }

    /// Judges a request that could not be made, for one delivery or all of a batch.
    pub fn unmade(&self, why: &Unmade) -> Verdict {
        self.all(class_of(Answer::Fault(Fault::Unmade)), why.to_string().as_bytes())
    }

    fn all(&self, class: OutcomeClass, detail: &[u8]) -> Verdict {
        let detail = self.mask.detail(detail, self.token, DETAIL_BYTES_MAX);
        Verdict { result: Outcome::All(class), http_status: 0, wait: None, detail }
    }

    fn answered(&self, answer: Answered<'_>, count: usize) -> Verdict {
        let wait = answer.retry_after.and_then(|header| retry_after::wait(header, self.now));
        let result = self.outcome(answer, wait.is_some(), count);
        let is_taken = result == Outcome::All(OutcomeClass::Ok);
        let kept = match count {
            _ if is_taken => TAKEN_BYTES_MAX,
            0 | 1 => DETAIL_BYTES_MAX,
            _ => SHARED_BYTES_MAX,
        };
        let detail = self.mask.detail(answer.body, self.token, kept);
        Verdict { result, http_status: answer.status, wait, detail }
    }

    fn outcome(&self, answer: Answered<'_>, says_when: bool, count: usize) -> Outcome {
        let Answered { status, body, is_whole, .. } = answer;
        let success = match self.per_item().filter(|_| self.has_status(status)) {
            Some(per_item) => match per_item.read(body, count) {
                Some(taken) => return each(&taken),
                // What it does not say of all, it says of none: all of them may have been taken.
                None if !is_whole => Success::Unclear,
                None => Success::No,
            },
            None => self.outbound.success.judge(status, body, is_whole),
        };
        match class_of(Answer::Whole { status, says_when, success }) {
            OutcomeClass::Client if count > 1 => Outcome::Bisect,
            class => Outcome::All(class),
        }
    }

    fn per_item(&self) -> Option<&PerItem> {
        match &self.outbound.body {
            Body::Batch(batch) => batch.per_item.as_ref(),
            Body::None | Body::One { .. } => None,
        }
    }

    fn has_status(&self, status: u16) -> bool {
        self.outbound.success.statuses.iter().any(|range| (range.first..=range.last).contains(&status))
    }
}

fn each(taken: &[bool]) -> Outcome {
    let class = |taken: &bool| if *taken { OutcomeClass::Ok } else { OutcomeClass::Client };
    match taken {
        [first, rest @ ..] if rest.iter().all(|other| other == first) => Outcome::All(class(first)),
        _ => Outcome::Each(taken.iter().map(class).collect()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dispatcher::outbound::{Batch, Secrets};
    use crate::dispatcher::success::{Expects, JsonRule, Rule};
    use crate::event::template::{Missing, Names, Target, Template};

    fn json(text: &str) -> Template {
        Template::parse(text, Target::Json, &Names::default(), Missing::Empty).unwrap()
    }

    fn rule(pointer: &str, expects: Expects) -> JsonRule {
        JsonRule { pointer: pointer.into(), expects }
    }

    fn plain() -> Outbound {
        Outbound::get("https://s.example/?c={click_id}").unwrap()
    }

    fn batch(per_item: Option<PerItem>) -> Outbound {
        let (before, item, after) = (json("["), json(r#"{"id":"{click_id}"}"#), json("]"));
        let batch = Batch { before, item, after, max: 10, wait: Duration::ZERO, per_item };
        Outbound { body: Body::Batch(Box::new(batch)), ..plain() }
    }

    fn google() -> Outbound {
        batch(Some(PerItem::Failures {
            none: rule("/error", Expects::Absence),
            list: "/error/list".into(),
            number: "/index".into(),
        }))
    }

    fn tiktok() -> Outbound {
        let json = Some(rule("/code", Expects::Value(json!(0))));
        Outbound { success: Rule { json, ..Rule::default() }, ..plain() }
    }

    fn judged(outbound: &Outbound, came: Came<'_>, count: usize) -> Verdict {
        let mask = Mask::new(&Secrets::new([("a".into(), "s3cret".into())]));
        let token = Mask::of_token("ya29.token");
        Judge { outbound, mask: &mask, token: Some(&token), now: Timestamp::default() }.judge(came, count)
    }

    fn answer(status: u16, body: &str) -> Answered<'_> {
        Answered { status, body: body.as_bytes(), is_whole: true, retry_after: None }
    }

    #[test]
    fn one_delivery_comes_to_what_its_answer_says() {
        use OutcomeClass::{Ambiguous, Auth, Client, Gone, Ok, Redirect, Safe, Server, Throttle};
        let (plain, tiktok) = (plain(), tiktok());
        let cut = |answered: Answered<'static>| Answered { is_whole: false, ..answered };
        let later = |answered: Answered<'static>| Answered { retry_after: Some(b"7"), ..answered };
        let table = [
            (&plain, answer(200, ""), Ok),
            (&plain, answer(204, ""), Ok),
            (&plain, cut(answer(200, "half")), Ok),
            (&plain, answer(302, ""), Redirect),
            (&plain, answer(400, ""), Client),
            (&plain, answer(401, ""), Auth),
            (&plain, answer(404, ""), Client),
            (&plain, answer(410, ""), Gone),
            (&plain, answer(421, ""), Safe),
            (&plain, answer(429, ""), Throttle),
            (&plain, answer(503, ""), Server),
            (&plain, later(answer(503, "")), Throttle),
            (&plain, cut(answer(500, "half")), Server),
            (&tiktok, answer(200, r#"{"code":0}"#), Ok),
            (&tiktok, answer(200, r#"{"code":40002}"#), Client),
            (&tiktok, answer(200, "<html>"), Client),
            (&tiktok, cut(answer(200, r#"{"co"#)), Ambiguous),
            (&tiktok, cut(answer(502, "<ht")), Server),
        ];
        for (outbound, answered, class) in table {
            let verdict = judged(outbound, Came::Answer(answered), 1);
            assert_eq!(verdict.result, Outcome::All(class), "{answered:?}");
            assert_eq!(verdict.http_status, answered.status);
            let wait = answered.retry_after.map(|_| Duration::from_secs(7));
            assert_eq!(verdict.wait, wait, "{answered:?}");
        }
    }

    #[test]
    fn a_batch_comes_to_what_its_answer_says_of_each() {
        use OutcomeClass::{Ambiguous, Auth, Client, Ok, Server, Throttle};
        let (google, whole) = (google(), batch(None));
        let failed = r#"{"error":{"list":[{"index":1}]}}"#;
        let all_failed = r#"{"error":{"list":[{"index":0},{"index":1},{"index":2}]}}"#;
        let half = Answered { is_whole: false, ..answer(200, r#"{"error":{"li"#) };
        let table = [
            (&google, answer(200, "{}"), Outcome::All(Ok)),
            (&google, answer(200, failed), Outcome::Each(vec![Ok, Client, Ok])),
            (&google, answer(200, all_failed), Outcome::All(Client)),
            (&google, answer(200, r#"{"error":{"message":"no"}}"#), Outcome::Bisect),
            (&google, half, Outcome::All(Ambiguous)),
            (&google, answer(400, failed), Outcome::Bisect),
            (&google, answer(401, ""), Outcome::All(Auth)),
            (&google, answer(429, ""), Outcome::All(Throttle)),
            (&whole, answer(200, "whatever"), Outcome::All(Ok)),
            (&whole, answer(422, ""), Outcome::Bisect),
            (&whole, answer(500, ""), Outcome::All(Server)),
        ];
        for (outbound, answered, expected) in table {
            assert_eq!(judged(outbound, Came::Answer(answered), 3).result, expected, "{answered:?}");
        }
        let alone = judged(&whole, Came::Answer(answer(422, "")), 1).result;
        assert_eq!(alone, Outcome::All(Client), "one that is alone is not taken apart");
    }

    #[test]
    fn without_an_answer_it_is_said_how_far_it_got() {
        for (fault, class) in [
            (Fault::Dns, OutcomeClass::Safe),
            (Fault::TimeoutBeforeSent, OutcomeClass::Safe),
            (Fault::SentNoAnswer, OutcomeClass::Ambiguous),
            (Fault::Forbidden, OutcomeClass::Config),
        ] {
            for count in [1, 3] {
                let verdict = judged(&batch(None), Came::Fault(fault, "no way, s3cret"), count);
                assert_eq!(verdict.result, Outcome::All(class), "{fault:?}");
                assert_eq!((verdict.http_status, &*verdict.detail), (0, &b"no way, ***"[..]));
            }
        }
    }

    #[test]
    fn as_much_is_kept_as_somebody_will_want_to_know() {
        let long = format!("key s3cret, token ya29.token {}", "x".repeat(10_000));
        let (plain, whole) = (plain(), batch(None));
        for (outbound, status, count, kept) in [
            (&plain, 400, 1, DETAIL_BYTES_MAX),
            (&plain, 200, 1, TAKEN_BYTES_MAX),
            (&whole, 500, 1, DETAIL_BYTES_MAX),
            (&whole, 500, 3, SHARED_BYTES_MAX),
            (&whole, 200, 3, TAKEN_BYTES_MAX),
        ] {
            let detail = judged(outbound, Came::Answer(answer(status, &long)), count).detail;
            assert_eq!(detail.len(), kept, "{status} for {count}");
            assert!(detail.starts_with(b"key ***, token *** xxx"));
        }
    }

    #[test]
    fn what_cannot_be_made_is_a_matter_of_the_settings() {
        let (outbound, mask) = (plain(), Mask::default());
        let judge = Judge { outbound: &outbound, mask: &mask, token: None, now: Timestamp::default() };
        let verdict = judge.unmade(&Unmade::Url);
        assert_eq!(verdict.result, Outcome::All(OutcomeClass::Config));
        assert_eq!(verdict.detail, b"the URL is none that can be called");
    }
}
