//! Forms do what the command line does.

use crate::desk::Desk;
use crate::destination::Destination;

/// The part of a page that is in front of a person.
fn sends(desk: &Desk, session: &str, page: &str, target: &str, form: &str) -> crate::desk::Page {
    let key = desk.ask("GET", page, session, "").field("key");
    desk.ask("POST", target, session, &format!("key={key}&{form}"))
}

#[test]
fn a_held_payout_is_released_once_and_another_dropped() {
    let desk = Desk::open();
    let session = desk.log_in();
    let click = desk.click("", "");
    for transaction in ["a", "b"] {
        assert_eq!(desk.postback(&format!("subid={click}&tx={transaction}&sum=99")), "held");
    }
    assert!(
        desk.look("/console/held").text.contains("Log in to do this"),
        "who only looks is told how to do more"
    );
    for (target, said) in [("release", "counts now"), ("drop", "thrown away")] {
        let page = desk.ask("GET", "/console/held", &session, "");
        let decision = page.field("decision");
        let done = sends(
            &desk,
            &session,
            "/console/held",
            &format!("/console/held/{target}"),
            &format!("decision={decision}"),
        );
        let next = done.header("location").unwrap().to_owned();
        assert!(done.status == 303 && desk.ask("GET", &next, &session, "").text.contains(said), "{next}");
        let again = sends(
            &desk,
            &session,
            "/console/held",
            &format!("/console/held/{target}"),
            &format!("decision={decision}"),
        );
        assert!(again.status == 409 && again.text.contains("othing is held"), "{}", again.text);
    }
    assert!(desk.look("/console/held").text.contains("Nothing is held"));
    let life = desk.look(&format!("/console/lookup?id={click}")).text;
    assert!(life.contains("released") && life.contains("dropped"), "{life}");
}

#[test]
fn a_test_postback_is_explained_and_counts_nowhere() {
    let desk = Desk::open();
    let session = desk.log_in();
    let click = desk.click("", "");
    let form = format!("network=n&click={click}&params=sum%3D2.50%0D%0Ast%3Dapproved%0D%0A");
    let page = sends(&desk, &session, "/console/test", "/console/test", &form);
    assert_eq!(page.status, 200, "{}", page.text);
    for part in ["accepted", "would add 2.5 USD", "To told", "Would be told at once", "nothing</td>"] {
        assert!(page.text.contains(part), "{part} in {}", page.text);
    }
    let page = sends(&desk, &session, "/console/test", "/console/test", "network=n&params=sum%3Dnone&keep=1");
    assert!(page.text.contains("missing_click_id"), "{}", page.text);
    let kept = sends(&desk, &session, "/console/test", "/console/test", &format!("{form}&keep=1"));
    assert!(kept.text.contains("as a test, which counts nowhere"), "{}", kept.text);
    let overview = desk.look("/console").text;
    assert!(overview.contains("None in this time"), "no conversion was made: {overview}");
}

#[test]
fn a_destination_is_paused_with_its_reason_and_goes_on() {
    let desk = Desk::open();
    let session = desk.log_in();
    let paused = sends(
        &desk,
        &session,
        "/console",
        "/console/deliveries/pause",
        "destination=told&why=%3Cb%3Ethey+asked",
    );
    assert_eq!(paused.status, 303);
    for page in ["/console", "/console/deliveries"] {
        let text = desk.look(page).text;
        assert!(text.contains("&lt;b&gt;they asked"), "{page}: {text}");
    }
    assert_eq!(
        sends(&desk, &session, "/console", "/console/deliveries/resume", "destination=told").status,
        303
    );
    assert!(!desk.look("/api/destinations").text.contains("they asked"));
}

/// A conversion that was told of in vain; the page of its delivery.
fn die(desk: &Desk, destination: &Destination, transaction: &str) -> String {
    let click = desk.click("", "");
    assert_eq!(desk.postback(&format!("subid={click}&tx={transaction}&sum=1")), "accepted");
    destination.wait(transaction, 1);
    let page = desk.look_until(
        &format!("/console/deliveries?state=dead&about={transaction}"),
        "<a href=\"/console/deliveries/",
    );
    let link = page.text.split("<a href=\"").find(|part| part.starts_with("/console/deliveries/")).unwrap();
    link.split('"').next().unwrap().to_owned()
}

#[test]
fn a_delivery_that_is_replayed_by_the_same_form_twice_is_sent_once() {
    let destination = Destination::open(302);
    let desk = destination.desk();
    let session = desk.log_in();
    let delivery = die(&desk, &destination, "a");
    let form = desk.ask("GET", &delivery, &session, "").form("deliveries/replay");
    destination.answers_from_now_on(200);
    let first = desk.ask("POST", "/console/deliveries/replay", &session, &form);
    assert_eq!(first.status, 303, "{}", first.text);
    assert!(first.header("location").unwrap().contains("done=replayed"), "{}", first.head);
    desk.look_until(&delivery, "delivered");
    let second = desk.ask("POST", "/console/deliveries/replay", &session, &form);
    assert_eq!(second.status, 409, "{}", second.text);
    assert!(second.text.contains("has been tried since"), "{}", second.text);
    // Who looks at how it stands may have it sent once more.
    let form = desk.ask("GET", &delivery, &session, "").form("deliveries/replay");
    assert_eq!(desk.ask("POST", "/console/deliveries/replay", &session, &form).status, 303);
    destination.wait("a", 3);
    die(
        &desk,
        {
            destination.answers_from_now_on(302);
            &destination
        },
        "b",
    );
    assert_eq!(destination.heard_of("a"), 3);
}

#[test]
fn all_of_these_are_those_that_are_shown() {
    let destination = Destination::open(302);
    let desk = destination.desk();
    let session = desk.log_in();
    for transaction in ["a", "b"] {
        die(&desk, &destination, transaction);
    }
    let shown = desk.ask("GET", "/console/deliveries?state=dead&destination=told&about=a", &session, "");
    assert!(shown.text.contains("1 dead deliveries to told"), "{}", shown.text);
    let form = shown.form("deliveries/replay-dead");
    let done = desk.ask("POST", "/console/deliveries/replay-dead", &session, &form);
    assert_eq!(done.status, 303, "{}", done.text);
    destination.wait("a", 2);
    die(&desk, &destination, "c");
    assert_eq!((destination.heard_of("a"), destination.heard_of("b")), (2, 1));
}
