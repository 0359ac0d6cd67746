//! What became of deliveries, read beside a daemon that is writing, and after it.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

#[expect(dead_code, reason = "other test files use the rest of it")]
mod support;

use std::process::Command;

use clicklog::batch::deliveries::{Filter, Found, State, decision, list, show};
use clicklog::batch::lookup::{DeliveryRow, Window};
use clicklog::clock::Timestamp;
use clicklog::dispatcher::owed::delivery_id;
use clicklog::event::codec::Encoder;
use clicklog::event::conversion::Conversion;
use clicklog::event::decision::Decision;
use clicklog::event::delivery::{DeliveryOutcome, DestinationChange, DestinationEvent, OutcomeClass};
use clicklog::event::money::{Micros, Money};
use clicklog::store::reader::{Reader, Shown};
use clicklog::store::{Journal, LaneWriter, Position, Store};
use support::{append, options};

/// A store with one writer for both journals.
struct Written {
    folder: tempfile::TempDir,
    store: Store,
    postbacks: LaneWriter,
    deliveries: LaneWriter,
    encoder: Encoder,
    second: u32,
}

impl Written {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(options(folder.path())).unwrap();
        let postbacks = store.journal_writer(Journal::Postbacks).unwrap();
        let deliveries = store.journal_writer(Journal::Deliveries).unwrap();
        Self { folder, store, postbacks, deliveries, encoder: Encoder::default(), second: 0 }
    }

    fn now(&mut self) -> Timestamp {
        self.second += 1;
        Timestamp::from_seconds(1_795_158_000 + self.second)
    }

    fn decide(&mut self, number: u8) -> Position {
        let (click_id, transaction_id) = (format!("c-{number}"), format!("t-{number}"));
        let payout = Money { amount: Micros::new(3_500_000), currency: "USD".parse().unwrap() };
        let conversion = Conversion {
            click_id: &click_id,
            transaction_id: &transaction_id,
            payout: Some(payout),
            ..Conversion::default()
        };
        let time = self.now();
        let decision = Decision {
            time,
            conversion,
            conversion_id: [number; 16],
            campaign: "spring",
            ..Decision::default()
        };
        append(|| self.postbacks.append(&self.encoder.decision(&decision).unwrap())).position()
    }

    fn outcome(
        &mut self,
        owed_by: Position,
        attempt: u16,
        class: OutcomeClass,
        is_final: bool,
        destination: &str,
    ) {
        let time = self.now();
        let number = u8::try_from(owed_by.to_u64() / 16 % 251).unwrap();
        let outcome = DeliveryOutcome {
            time,
            delivery_id: [number ^ destination.as_bytes()[0]; 16],
            decision: owed_by.to_u64(),
            attempt,
            class,
            is_final,
            http_status: if class == OutcomeClass::Ok { 200 } else { 400 },
            next_attempt: (!is_final).then_some(Timestamp::from_seconds(1_795_159_000)),
            destination,
            // What a destination answers may be meant for a terminal.
            detail: b"said \x1b[2J",
            ..DeliveryOutcome::default()
        };
        append(|| self.deliveries.append(&self.encoder.outcome(&outcome).unwrap()));
    }

    fn reopen(&mut self, owed_by: Position, destination: &str) {
        let (time, decision) = (self.now(), owed_by.to_u64());
        let change = DestinationChange::Reopened;
        let event = DestinationEvent { time, change, decision, destination, detail: b"" };
        append(|| self.deliveries.append(&self.encoder.destination(&event).unwrap()));
    }

    fn list(&self, filter: &Filter) -> Found {
        list(&Reader::open(self.folder.path()), filter, 100, &mut |_, _| {}).unwrap()
    }

    /// Which transactions are found, newest first, and how they stand.
    fn found(&self, filter: &Filter) -> Vec<(String, &'static str)> {
        self.list(filter).deliveries.into_iter().map(|row| (row.transaction_id, row.state)).collect()
    }

    fn close(self) -> tempfile::TempDir {
        self.postbacks.close();
        self.deliveries.close();
        self.store.close().unwrap();
        self.folder
    }
}

/// An id from its hexadecimal digits.
fn id_of(text: &str) -> [u8; 16] {
    std::array::from_fn(|at| u8::from_str_radix(&text[2 * at..][..2], 16).unwrap())
}

fn of(state: State) -> Filter {
    Filter { state: Some(state), ..Filter::default() }
}

fn pairs(expected: &[(&'static str, &'static str)]) -> Vec<(String, &'static str)> {
    expected.iter().map(|(transaction, state)| ((*transaction).to_owned(), *state)).collect()
}

/// One delivered at the second attempt, one dead, one retrying, one dead and reopened, and to another destination a dead one.
fn written() -> (Written, [Position; 4]) {
    use OutcomeClass::{Auth, Client, Ok, Server};
    let mut written = Written::new();
    let all = [1, 2, 3, 4].map(|number| written.decide(number));
    written.outcome(all[0], 1, Server, false, "a");
    written.outcome(all[1], 1, Client, true, "a");
    written.outcome(all[2], 1, Server, false, "a");
    written.outcome(all[3], 1, Auth, true, "a");
    written.outcome(all[0], 2, Ok, true, "a");
    written.outcome(all[0], 1, Client, true, "b");
    written.reopen(all[3], "a");
    (written, all)
}

#[test]
fn deliveries_are_listed_as_they_stand_now_newest_first() {
    let (written, _) = written();
    let all =
        [("t-4", "reopened"), ("t-1", "dead"), ("t-1", "delivered"), ("t-3", "retrying"), ("t-2", "dead")];
    assert_eq!(written.found(&Filter::default()), pairs(&all));
    for (state, expected) in [
        (State::Dead, &[("t-1", "dead"), ("t-2", "dead")][..]),
        (State::Delivered, &[("t-1", "delivered")]),
        (State::Retrying, &[("t-3", "retrying")]),
        (State::Reopened, &[("t-4", "reopened")]),
    ] {
        assert_eq!(written.found(&of(state)), pairs(expected), "{state:?}");
    }
    let row = &written.list(&of(State::Delivered)).deliveries[0];
    assert_eq!((row.attempts, row.class, row.http_status, &*row.detail), (2, "ok", 200, "said \x1b[2J"));
    assert_eq!((row.click_id.as_str(), row.payout.as_ref().unwrap().amount.as_str()), ("c-1", "3.5"));
    assert_eq!(row.next_attempt, None);
    let retrying = &written.list(&of(State::Retrying)).deliveries[0];
    assert_eq!(retrying.next_attempt.as_deref(), Some("2026-11-20T07:16:40.000000Z"));
    assert_eq!(written.list(&of(State::Reopened)).deliveries[0].replays, 1);
    let folder = written.close();
    let sealed = list(&Reader::open(folder.path()), &Filter::default(), 100, &mut |_, _| {}).unwrap();
    assert_eq!(sealed.deliveries.len(), 5, "sealed they are the same");
}

#[test]
fn what_was_tried_again_stands_as_that_ended() {
    let (mut written, all) = written();
    written.outcome(all[3], 2, OutcomeClass::Client, true, "a");
    let dead = written.list(&of(State::Dead)).deliveries;
    assert_eq!((dead[0].transaction_id.as_str(), dead[0].replays, dead[0].attempts), ("t-4", 1, 2));
    written.reopen(all[3], "a");
    let id = id_of(&dead[0].delivery_id);
    let whole =
        show(&Reader::open(written.folder.path()), id, Window::default(), &mut |_, _| {}).unwrap().unwrap();
    assert_eq!(whole.attempts.iter().map(DeliveryRow::leaves).collect::<Vec<_>>(), ["reopened", "reopened"]);
    assert_eq!(written.found(&of(State::Reopened)), pairs(&[("t-4", "reopened")]));
    written.outcome(all[3], 3, OutcomeClass::Ok, true, "a");
    assert_eq!(written.found(&of(State::Reopened)), pairs(&[]));
    assert_eq!(written.list(&of(State::Delivered)).deliveries[0].replays, 2);
}

#[test]
fn all_that_is_asked_for_must_hold() {
    let (written, _) = written();
    let dead = |filter: Filter| written.found(&Filter { state: Some(State::Dead), ..filter });
    let b = Some("b".to_owned());
    assert_eq!(dead(Filter { destination: b, ..Filter::default() }), pairs(&[("t-1", "dead")]));
    assert_eq!(dead(Filter { class: Some(OutcomeClass::Auth), ..Filter::default() }), pairs(&[]));
    for about in ["t-2", "c-2", "C-2", &"02".repeat(16)] {
        let filter = Filter { about: Some(about.to_owned()), ..Filter::default() };
        assert_eq!(dead(filter), pairs(&[("t-2", "dead")]), "{about}");
    }
    assert_eq!(dead(Filter { about: Some("t-9".to_owned()), ..Filter::default() }), pairs(&[]));
    let from = Some(Timestamp::from_seconds(1_795_158_007));
    let late = Window { from, to: None };
    assert_eq!(dead(Filter { window: late, ..Filter::default() }), pairs(&[("t-1", "dead")]));
    let early = Window { from: None, to: from };
    assert_eq!(dead(Filter { window: early, ..Filter::default() }), pairs(&[("t-2", "dead")]));
}

#[test]
fn a_list_has_no_more_than_was_asked_for_and_says_so() {
    let (written, _) = written();
    let reader = Reader::open(written.folder.path());
    let some = list(&reader, &Filter::default(), 2, &mut |_, _| {}).unwrap();
    assert_eq!((some.deliveries.len(), some.has_more), (2, true));
    assert_eq!(some.deliveries[0].transaction_id, "t-4");
    let all = list(&reader, &Filter::default(), 5, &mut |_, _| {}).unwrap();
    assert_eq!((all.deliveries.len(), all.has_more), (5, false));
}

#[test]
fn one_delivery_is_shown_with_all_its_attempts_and_its_decision() {
    let (written, all) = written();
    let reader = Reader::open(written.folder.path());
    let listed = written.list(&of(State::Delivered)).deliveries.remove(0);
    let whole =
        show(&reader, id_of(&listed.delivery_id), Window::default(), &mut |_, _| {}).unwrap().unwrap();
    assert_eq!(whole.delivery, listed);
    let attempts: Vec<_> = whole.attempts.iter().map(|attempt| (attempt.attempt, attempt.result)).collect();
    assert_eq!(attempts, [(1, "server"), (2, "ok")]);
    let shown = Shown::load(&reader).unwrap();
    let campaign = decision(&reader, &shown, all[0], |decision| decision.campaign.to_owned()).unwrap();
    assert_eq!(campaign.as_deref(), Some("spring"));
    assert_eq!(decision(&reader, &shown, Position::new(9, 4096), |_| ()).unwrap(), None);
    assert_eq!(show(&reader, [0; 16], Window::default(), &mut |_, _| {}).unwrap(), None);
}

#[test]
fn the_command_prints_what_was_found() {
    let (written, _) = written();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clicklog"));
        command.arg("deliveries").args(arguments).arg("--data").arg(written.folder.path());
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (_, dead) = run(&["list", "--state", "dead", "--destination", "a"]);
    assert!(dead.contains("t-2") && dead.contains("client") && !dead.contains("t-1"), "{dead}");
    let (_, json) = run(&["list", "--class", "ok", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let id = json["deliveries"][0]["delivery_id"].as_str().unwrap();
    assert_eq!(json["deliveries"][0]["transaction_id"], "t-1");
    let (_, shown) = run(&["show", id]);
    assert!(shown.contains("attempt 1") && shown.contains("server") && shown.contains("t-1"), "{shown}");
    let (_, told) = run(&["list"]);
    for said in [shown, told] {
        assert!(said.contains("said [2J") && !said.contains('\x1b'), "{said:?}");
    }
    assert!(!run(&["show", &"0".repeat(32)]).0, "there is none with this id");
    let (done, dry) = run(&["replay", "--destination", "a", "--dry-run"]);
    assert!(done && dry.contains("t-2") && dry.contains("1 would be"), "{dry}");
    assert!(!run(&["list", "--state", "undead"]).0);
}

#[test]
fn a_delivery_is_shown_with_its_request_as_it_would_be_made_now_and_without_its_secrets() {
    let (written, _) = written();
    let catalog = written.folder.path().join("catalog.toml");
    let run = |text: &str, arguments: &[&str]| {
        std::fs::write(&catalog, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_clicklog"));
        command.arg("deliveries").args(arguments).env("HUSH", "a-secret/that nobody knows");
        command.arg("--catalog").arg(&catalog).arg("--data").arg(written.folder.path());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(!said.contains("nobody"), "{said}");
        said
    };
    let delivered = written.list(&of(State::Delivered)).deliveries.remove(0).delivery_id;
    let show = |text: &str, format: &str| run(text, &["show", &delivered, "--format", format]);
    let named = r#"
        [secrets]
        hush = { env = "HUSH" }
        [[postback]]
        id = "a"
        url = "https://ads.example/conv?c={click_id}&key={secret:hush}"
        headers = { "X-Key" = "{secret:hush}" }
        json = '{"t": "{transaction_id}", "key": "{secret:hush}"}'
        payout_percent = "50%"
    "#;
    let text = show(named, "text");
    // Of a delivery that the dispatcher made, it is the same as the one that was asked for.
    let id = delivery_id([1; 16], 0, "a").map(|byte| format!("{byte:02x}")).concat();
    for line in [
        "request, as it would be made now\n  POST https://ads.example/conv?c=c-1&key=***\n",
        &format!("  idempotency-key: {id}\n"),
        "  x-key: ***\n",
        "  {\"t\": \"t-1\", \"key\": \"***\"}\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    let json = show(named, "json");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["delivery"]["transaction_id"], "t-1");
    assert_eq!(json["request"]["url"], "https://ads.example/conv?c=c-1&key=***");
    assert_eq!(json.get("no_request"), None);
    let other = show("[[postback]]\nid = \"b\"\nurl = \"https://ads.example/{click_id}\"\n", "text");
    assert!(other.contains("attempt 2") && other.contains("names no destination \"a\""), "{other}");
    let broken = show("[[postback]]\n", "json");
    let broken: serde_json::Value = serde_json::from_str(&broken).unwrap();
    let why = broken["no_request"].as_str().unwrap();
    assert!(why.contains("the catalog cannot be used") && why.contains("catalog.toml:1"), "{why}");
    let failing = named
        .replace("{click_id}", "{gclid}")
        .replace("payout_percent", "missing = \"fail\"\npayout_percent");
    let unmade = show(&failing, "text");
    assert!(unmade.contains("no request can be shown: there is no value for {"), "{unmade}");
    let dead = ["list", "--state", "dead", "--requests"];
    let text = run(named, &dead);
    for part in
        ["attempt 1 at", ": client 400\n  said [2J\n", "conv?c=c-2&key=***", "names no destination \"b\""]
    {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&run(named, &[&dead[..], &["--format", "json"]].concat())).unwrap();
    assert_eq!(json["deliveries"][1]["request"]["method"], "POST");
    assert_eq!(json["has_more"], false);
}
