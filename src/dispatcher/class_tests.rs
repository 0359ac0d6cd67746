//! What each status, fault and class comes to, as tables.

use proptest::prelude::*;

use super::*;

fn refused(status: u16, says_when: bool) -> OutcomeClass {
    class_of(Answer::Whole { status, says_when, success: Success::No })
}

#[test]
fn each_status_has_its_class() {
    let table = [
        (200, OutcomeClass::Client),
        (204, OutcomeClass::Client),
        (301, OutcomeClass::Redirect),
        (304, OutcomeClass::Redirect),
        (308, OutcomeClass::Redirect),
        (400, OutcomeClass::Client),
        (401, OutcomeClass::Auth),
        (403, OutcomeClass::Auth),
        (404, OutcomeClass::Client),
        (407, OutcomeClass::Auth),
        (408, OutcomeClass::Server),
        (409, OutcomeClass::Client),
        (410, OutcomeClass::Gone),
        (413, OutcomeClass::Client),
        (421, OutcomeClass::Safe),
        (422, OutcomeClass::Client),
        (425, OutcomeClass::Server),
        (429, OutcomeClass::Throttle),
        (500, OutcomeClass::Server),
        (501, OutcomeClass::Server),
        (502, OutcomeClass::Server),
        (503, OutcomeClass::Server),
        (504, OutcomeClass::Server),
        (599, OutcomeClass::Server),
        (101, OutcomeClass::Ambiguous),
        (600, OutcomeClass::Ambiguous),
        (999, OutcomeClass::Ambiguous),
    ];
    for (status, class) in table {
        assert_eq!(refused(status, false), class, "{status}");
        assert_eq!(class_of(Answer::Fault(Fault::BodyBroken(status))), broken(status, class), "{status}");
    }
    assert_eq!(refused(503, true), OutcomeClass::Throttle);
    assert_eq!(refused(500, true), OutcomeClass::Server, "only 503 says with it that it is too busy");
}

fn broken(status: u16, class: OutcomeClass) -> OutcomeClass {
    if (200..300).contains(&status) { OutcomeClass::Ambiguous } else { class }
}

#[test]
fn what_reached_nobody_is_safe_and_what_was_sent_is_ambiguous() {
    let table = [
        (Fault::Dns, OutcomeClass::Safe),
        (Fault::Refused, OutcomeClass::Safe),
        (Fault::Connect, OutcomeClass::Safe),
        (Fault::Tls, OutcomeClass::Safe),
        (Fault::TimeoutBeforeSent, OutcomeClass::Safe),
        (Fault::SentNoAnswer, OutcomeClass::Ambiguous),
        (Fault::Unmade, OutcomeClass::Config),
        (Fault::Forbidden, OutcomeClass::Config),
    ];
    for (fault, class) in table {
        assert_eq!(class_of(Answer::Fault(fault)), class, "{fault:?}");
    }
}

#[test]
fn each_class_has_its_treatment() {
    let table = [
        (OutcomeClass::Ok, Treatment::Done),
        (OutcomeClass::Safe, Treatment::Retry),
        (OutcomeClass::Throttle, Treatment::Wait),
        (OutcomeClass::Server, Treatment::Retry),
        (OutcomeClass::Ambiguous, Treatment::Retry),
        (OutcomeClass::Redirect, Treatment::Die),
        (OutcomeClass::Client, Treatment::RetrySparsely),
        (OutcomeClass::Auth, Treatment::Retry),
        (OutcomeClass::Gone, Treatment::Die),
        (OutcomeClass::Config, Treatment::Die),
        (OutcomeClass::Dropped, Treatment::Die),
    ];
    for (class, expected) in table {
        assert_eq!(treatment(class, true), expected, "{class:?}");
        let forbidding = if class == OutcomeClass::Ambiguous { Treatment::Die } else { expected };
        assert_eq!(treatment(class, false), forbidding, "{class:?}");
    }
}

#[test]
fn twenty_refusals_in_a_row_pause_a_destination_and_one_answer_between_them_does_not() {
    let mut streak = Streak::default();
    for _ in 1..AUTH_IN_A_ROW_MAX {
        assert_eq!(streak.note(OutcomeClass::Auth), Consequence::None);
        assert_eq!(streak.note(OutcomeClass::Safe), Consequence::None, "nobody was reached");
    }
    let mut answered = streak;
    assert_eq!(streak.note(OutcomeClass::Auth), Consequence::Pause);
    assert_eq!(answered.note(OutcomeClass::Client), Consequence::None);
    assert_eq!(answered.note(OutcomeClass::Auth), Consequence::None);
}

#[test]
fn one_conversion_that_is_gone_does_not_suspend_a_destination() {
    let mut streak = Streak::default();
    for class in [OutcomeClass::Gone, OutcomeClass::Gone, OutcomeClass::Ok, OutcomeClass::Gone] {
        assert_eq!(streak.note(class), Consequence::None);
    }
    assert_eq!(streak.note(OutcomeClass::Gone), Consequence::None);
    assert_eq!(streak.note(OutcomeClass::Gone), Consequence::Suspend);
}

proptest! {
    #[test]
    fn only_a_success_rule_makes_an_answer_a_success(status: u16, says_when: bool) {
        prop_assert_ne!(refused(status, says_when), OutcomeClass::Ok);
        prop_assert_ne!(class_of(Answer::Fault(Fault::BodyBroken(status))), OutcomeClass::Ok);
        let taken = Answer::Whole { status, says_when, success: Success::Yes };
        prop_assert_eq!(class_of(taken), OutcomeClass::Ok);
    }
}
