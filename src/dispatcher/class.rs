//! What one attempt came to, and what that means for its delivery and its destination.
//!
//! | class | when | the delivery | the destination |
//! |---|---|---|---|
//! | ok | its success rule says so | done | |
//! | safe | nothing was sent: DNS, refused, connect, TLS; 421 | retried | |
//! | throttle | 429; 503 that says until when | waits, which costs no attempt | |
//! | server | 5xx, 408, 425 | retried | |
//! | ambiguous | sent, and no whole answer | retried, unless the destination forbids | |
//! | redirect | 3xx | dead | |
//! | client | any other answer | three tries in an hour, then dead | |
//! | auth | 401, 403, 407 | retried | paused after 20 in a row |
//! | gone | 410 | dead | suspended after 3 in a row |
//! | config | it cannot be made, or must not go there | dead | |
//!
//! A single 410 may be about one click, so it takes several to say that the destination is gone.
//! Not here: when the next attempt is due (`schedule`), what success is (`success`).

use crate::event::delivery::OutcomeClass;

/// So many answers in a row that refuse us as unauthorised pause a destination.
pub const AUTH_IN_A_ROW_MAX: u32 = 20;

/// So many answers in a row that say that it is gone suspend a destination.
pub const GONE_IN_A_ROW_MAX: u32 = 3;

/// How far an attempt got that has no whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The host's name leads nowhere.
    Dns,
    /// Nobody listens there.
    Refused,
    /// There was no connection for another reason, or none in time; or the other side ended it,
    /// and said that it had not processed the request.
    Connect,
    /// TLS could not be agreed on.
    Tls,
    /// The time was over before anything was sent.
    TimeoutBeforeSent,
    /// It was sent, in part at least, and no answer came: reset, closed, or not in time.
    SentNoAnswer,
    /// The answer had this status, and its body, which the success rule asks for, was cut off or too slow.
    BodyBroken(u16),
    /// The request cannot be made: a value is missing, the URL is none.
    Unmade,
    /// It must not go to that address (`guard`).
    Forbidden,
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A whole answer.
    Whole {
        /// Its status.
        status: u16,
        /// Whether it says in `Retry-After` until when to wait.
        says_when: bool,
        /// What the destination's success rule makes of it.
        success: Success,
    },
    /// None, or only the head of one.
    Fault(Fault),
}

/// What a success rule makes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Success {
    /// It was taken.
    Yes,
    /// It was not.
    No,
    /// The status is right, but the part of the body that would tell is not there.
    Unclear,
}

/// What becomes of a delivery after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Treatment {
    /// Nothing more is to be done.
    Done,
    /// It is tried again.
    Retry,
    /// It waits, which costs no attempt.
    Wait,
    /// It is tried again, but not often.
    RetrySparsely,
    /// It is never tried again by itself.
    Die,
}

/// What becomes of a destination after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Consequence {
    /// It goes on.
    None,
    /// Nothing is sent until somebody has put its secrets right; what is owed waits.
    Pause,
    /// Nothing is sent until somebody has looked at it; what is owed waits.
    Suspend,
}

/// Classifies an attempt.
pub const fn class_of(answer: Answer) -> OutcomeClass {
    match answer {
        Answer::Whole { success: Success::Yes, .. } => OutcomeClass::Ok,
        Answer::Whole { success: Success::Unclear, .. } => OutcomeClass::Ambiguous,
        Answer::Whole { status, says_when, success: Success::No } => class_of_status(status, says_when),
        Answer::Fault(fault) => class_of_fault(fault),
    }
}

const fn class_of_status(status: u16, says_when: bool) -> OutcomeClass {
    match status {
        300..=399 => OutcomeClass::Redirect,
        401 | 403 | 407 => OutcomeClass::Auth,
        408 | 425 => OutcomeClass::Server,
        410 => OutcomeClass::Gone,
        // Not the server that it was meant for: it says so before it looks at anything (RFC 9110, 15.5.20).
        421 => OutcomeClass::Safe,
        429 => OutcomeClass::Throttle,
        503 if says_when => OutcomeClass::Throttle,
        500..=599 => OutcomeClass::Server,
        // With 200 to 299 here, the body says that it was refused.
        200..=299 | 400..=499 => OutcomeClass::Client,
        // No HTTP: whoever answered may have processed it.
        _ => OutcomeClass::Ambiguous,
    }
}

const fn class_of_fault(fault: Fault) -> OutcomeClass {
    match fault {
        Fault::Dns | Fault::Refused | Fault::Connect | Fault::Tls | Fault::TimeoutBeforeSent => {
            OutcomeClass::Safe
        }
        // It may have been taken: the rest of the body would have told.
        Fault::SentNoAnswer | Fault::BodyBroken(200..=299) => OutcomeClass::Ambiguous,
        Fault::BodyBroken(status) => class_of_status(status, false),
        Fault::Unmade | Fault::Forbidden => OutcomeClass::Config,
    }
}

/// What becomes of a delivery whose attempt came to this. `repeats_ambiguous` is the destination's: whether it can take
/// the same delivery twice.
pub const fn treatment(class: OutcomeClass, repeats_ambiguous: bool) -> Treatment {
    match class {
        OutcomeClass::Ok => Treatment::Done,
        OutcomeClass::Safe | OutcomeClass::Server | OutcomeClass::Auth => Treatment::Retry,
        OutcomeClass::Ambiguous if repeats_ambiguous => Treatment::Retry,
        OutcomeClass::Throttle => Treatment::Wait,
        OutcomeClass::Client => Treatment::RetrySparsely,
        OutcomeClass::Ambiguous
        | OutcomeClass::Redirect
        | OutcomeClass::Gone
        | OutcomeClass::Config
        | OutcomeClass::Dropped => Treatment::Die,
    }
}

/// What a destination has answered lately, as far as it decides whether it goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streak {
    auth: u32,
    gone: u32,
}

impl Streak {
    /// Takes in one more attempt. Those that reached nobody say nothing about either.
    pub fn note(&mut self, class: OutcomeClass) -> Consequence {
        match class {
            OutcomeClass::Auth => (self.auth, self.gone) = (self.auth.saturating_add(1), 0),
            OutcomeClass::Gone => (self.auth, self.gone) = (0, self.gone.saturating_add(1)),
            OutcomeClass::Safe | OutcomeClass::Ambiguous | OutcomeClass::Config | OutcomeClass::Dropped => {}
            OutcomeClass::Ok
            | OutcomeClass::Throttle
            | OutcomeClass::Server
            | OutcomeClass::Redirect
            | OutcomeClass::Client => *self = Self::default(),
        }
        if self.auth >= AUTH_IN_A_ROW_MAX {
            Consequence::Pause
        } else if self.gone >= GONE_IN_A_ROW_MAX {
            Consequence::Suspend
        } else {
            Consequence::None
        }
    }
}

#[cfg(test)]
#[path = "class_tests.rs"]
mod tests;
