//! The newest requests of a journal, however long that is.

use clicklog::batch::lookup::{self, Window};
use clicklog::batch::newest::{REQUESTS_MAX, requests};
use clicklog::store::reader::Reader;

use crate::desk::{Desk, catalog};

#[test]
fn the_newest_are_found_without_reading_everything() {
    let desk = Desk::open_with(&catalog(0), &[], &[("CLICKLOG_STORE__JOURNAL_SEGMENT", "64KiB")]);
    let click = desk.click("", "");
    for n in 0..600 {
        // Segments that are as short as these may be full before the next is made: networks try again, too.
        let tries = (0..1_000).map(|_| desk.postback(&format!("subid={click}&tx=t-{n}&sum=1")));
        let told = tries.into_iter().find(|told| told != "rejected:unavailable");
        assert_eq!(told.as_deref(), Some("accepted"));
    }
    assert_eq!(desk.postback("tx=t-last&sum=1"), "rejected:missing_click_id");
    let reader = Reader::open(desk.data());
    for (bytes_max, is_all) in [(0, false), (100_000, false), (u64::MAX, true)] {
        let (found, extent) = requests(&reader, "n", bytes_max).unwrap();
        assert_eq!(extent.is_all, is_all, "{bytes_max}: {extent:?}");
        let last = &found[0];
        assert_eq!((&*last.result, &*last.reason), ("rejected:missing_click_id", "nothing says which click"));
        let accepted = found.iter().filter(|request| request.result == "accepted");
        for (n, request) in (0..600).rev().zip(accepted) {
            assert_eq!(request.transaction_id, format!("t-{n}"));
        }
        if is_all {
            assert_eq!(found.len(), REQUESTS_MAX);
        }
        // More than is open, and no more than that and what was asked for.
        let open_bytes_max = 2 * 64 * 1024;
        assert!(is_all || extent.bytes <= bytes_max + open_bytes_max, "{bytes_max}: {extent:?}");
        assert!(bytes_max == 0 || extent.bytes > 64 * 1024, "{bytes_max}: {extent:?}");
    }
    assert_eq!(requests(&reader, "other", u64::MAX).unwrap().0, []);
    let page = desk.look("/console/networks/n?show=all").text;
    assert_eq!(page.matches("<tr><td class=\"time\">").count(), REQUESTS_MAX, "{page}");
}

#[test]
fn a_look_up_of_what_everybody_sends_has_bounds_and_says_so() {
    let desk = Desk::open();
    for n in 0..=lookup::ROWS_MAX {
        assert_eq!(desk.postback(&format!("subid=everybody&tx=t-{n}&sum=1")), "unmatched", "t-{n}");
    }
    let reader = Reader::open(desk.data());
    let life = lookup::look_up(&reader, "everybody", Window::default(), &mut |_, _| {}).unwrap();
    assert_eq!(life.decisions.len(), lookup::ROWS_MAX);
    assert!(life.notes.iter().any(|note| note.contains("the others are left out")), "{:?}", life.notes);
    let page = desk.look("/console/lookup?id=everybody").text;
    assert!(page.contains("The first 300 are shown"), "{page}");
}
