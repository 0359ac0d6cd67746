//! Forms do what the command line does.

use crate::desk::Desk;

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
