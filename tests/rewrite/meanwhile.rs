//! What happens between asking and forgetting: none of it brings back what was to go.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clicklog::batch::erase::{Found, Sought, erasure, find};
use clicklog::clock::Timestamp;
use clicklog::compactor::rewrite::{Company, Pass, Rules};
use clicklog::event::click::{Click, ClickKind};
use clicklog::event::codec::Encoder;
use clicklog::event::postback::Postback;
use clicklog::store::clicks::{ClickWriter, Recorded};
use clicklog::store::erasures::{Erasures, ask};
use clicklog::store::reader::Reader;
use clicklog::store::{Journal, Position, Store};

use crate::support::append;
use crate::world::{DAY, VISITORS, filled, marker, options, pass, start, time_of, who_has};

const MINUTE: Duration = Duration::from_secs(60);

/// What somebody says who comes while he is being forgotten.
const LATER: &str = "PRIVATE-later-END";

fn found(data: &Path, sought: &Sought) -> Found {
    find(&Reader::open(data), std::slice::from_ref(sought), &mut |_, _| {}).unwrap()
}

fn ask_for(data: &Path, sought: &Sought, found: Found) {
    let reader = Reader::open(data);
    // The search took five minutes.
    let (since, at) = (time_of(VISITORS), time_of(VISITORS).plus(MINUTE * 5));
    let line = erasure(&reader, std::slice::from_ref(sought), found, (since, at)).unwrap();
    ask(reader.directory(), &line).unwrap();
}

fn click(id: impl ToString) -> Sought {
    Sought::Click(id.to_string())
}

/// Ends the segment that is written, and waits until it is sealed.
fn seal(writer: &mut ClickWriter) {
    let lane = Arc::clone(writer.lane());
    let before = lane.view().sealed.len();
    writer.roll_now();
    while lane.view().sealed.len() == before {
        thread::yield_now();
    }
}

/// A way through a lander of somebody who was here before.
fn through(writer: &mut ClickWriter, parent: u64, time: Timestamp, user_agent: &str) -> Recorded {
    let kind = ClickKind::Through;
    let click = Click { time, kind, parent, campaign: "spring", user_agent, ..Click::default() };
    append(|| writer.append(&click))
}

/// Seals what is written at the first look.
struct Sealing<'a>(Option<&'a mut ClickWriter>);

impl Company for Sealing<'_> {
    fn passed(&mut self, _bytes: u64) -> ControlFlow<()> {
        self.0.take().into_iter().for_each(seal);
        ControlFlow::Continue(())
    }
}

#[test]
fn a_segment_that_is_sealed_while_a_pass_is_at_work_waits_for_the_next() {
    let root = tempfile::tempdir().unwrap();
    let ids = filled(root.path());
    let store = Store::open(options(root.path())).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    let written = crate::support::record(&mut writer, 1).click_id;
    for id in [written, ids[7]] {
        let sought = click(id);
        ask_for(root.path(), &sought, found(root.path(), &sought));
    }
    let mut both = Pass::new(store.rewriter(), store.directory());
    let company = &mut Sealing(Some(&mut writer));
    let report = both.run(&Rules::default(), Position::START, start(), company).unwrap();
    assert_eq!((report.erased, report.pending), (0, 2), "it was not there to be gone over: {report:?}");
    assert_eq!(pass(&store, &Rules::default(), start()).erased, 2);
    assert_eq!(who_has(root.path(), "external-1"), None);
    assert!(Erasures::load(store.directory()).unwrap().is_empty());
}

#[test]
fn who_comes_again_with_his_cookie_after_days_is_found_too() {
    let root = tempfile::tempdir().unwrap();
    let ids = filled(root.path());
    let store = Store::open(options(root.path())).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    let parent = store.clicks().decode(&ids[7]).unwrap().packed();
    through(&mut writer, parent, time_of(7).plus(DAY * 29), LATER);
    seal(&mut writer);
    let sought = click(ids[7]);
    let found = found(root.path(), &sought);
    assert_eq!(found.clicks.len(), 2, "{found:?}");
    ask_for(root.path(), &sought, found);
    assert_eq!(pass(&store, &Rules::default(), time_of(VISITORS)).erased, 1);
    assert_eq!(who_has(root.path(), LATER), None);
}

#[test]
fn a_way_that_was_recorded_after_the_search_goes_with_its_click() {
    let root = tempfile::tempdir().unwrap();
    let ids = filled(root.path());
    let store = Store::open(options(root.path())).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    let sought = click(ids[7]);
    let found = found(root.path(), &sought);
    let parent = store.clicks().decode(&ids[7]).unwrap().packed();
    for minutes in [1, 5] {
        through(&mut writer, parent, time_of(VISITORS).plus(MINUTE * minutes), LATER);
        seal(&mut writer);
    }
    ask_for(root.path(), &sought, found);
    for minutes in 60..63 {
        through(&mut writer, parent, time_of(VISITORS).plus(MINUTE * minutes), "he is there anew");
        if minutes < 62 {
            seal(&mut writer);
        }
    }
    let report = pass(&store, &Rules::default(), time_of(VISITORS));
    assert_eq!(report.erased, 1, "who comes back is not waited for: {report:?}");
    assert_eq!((who_has(root.path(), LATER), who_has(root.path(), &marker(7))), (None, None));
    assert!(who_has(root.path(), "he is there anew").is_some());
}

/// PHP writes it like this by default.
#[test]
fn a_refused_request_is_found_however_its_body_spells_the_value() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(options(root.path())).unwrap();
    let mut journal = store.journal_writer(Journal::Postbacks).unwrap();
    let mut encoder = Encoder::default();
    for body in [
        r#"{"customer":{"email":"m\u00fcller\/a@example.org"}}"#,
        r#"{"customer":["x",{"email":"müller/a@example.org"}]}"#,
        r#"{"phone":491701234567}"#,
        "email=m%C3%BCller%2Fa%40example.org",
    ] {
        let refused = Postback {
            time: time_of(1),
            method: "POST",
            content_type: "application/json",
            body: body.as_bytes(),
            refused: 1,
            ..Postback::default()
        };
        append(|| journal.append(&encoder.postback(&refused).unwrap()));
    }
    journal.close();
    store.close().unwrap();
    let by = |name: &str, value: &str| {
        let sought = Sought::Param { name: name.to_owned(), value: value.to_owned() };
        found(root.path(), &sought).postbacks.len()
    };
    assert_eq!((by("email", "müller/a@example.org"), by("phone", "491701234567")), (3, 1));
    assert_eq!((by("email", "somebody@example.org"), by("phone", "4917012345678")), (0, 0));
}
