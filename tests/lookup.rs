//! Look-ups of a click's whole life, in a store that is written to, sealed, or has lost something.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

#[expect(dead_code, reason = "other test files use the rest of it")]
mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use clicklog::apply::claim::Refusal;
use clicklog::apply::reason::Reason;
use clicklog::batch::lookup::{FoundAs, Life, Window, look_up};
use clicklog::clock::Timestamp;
use clicklog::event::click::{Click, ClickKind};
use clicklog::event::click_id::{ClickId, Keys, Place};
use clicklog::event::codec::Encoder;
use clicklog::event::conversion::{Conversion, Reversal, Standing, Status};
use clicklog::event::decision::{Decision, Verdict};
use clicklog::event::delivery::{DeliveryOutcome, OutcomeClass};
use clicklog::event::money::{Micros, Money};
use clicklog::event::params::{Params, ParamsRef, Source};
use clicklog::event::postback::Postback;
use clicklog::store::clicks::{ClickWriter, Recorded};
use clicklog::store::directory::Directory;
use clicklog::store::keys::rotate_click_id_key;
use clicklog::store::reader::Reader;
use clicklog::store::{Journal, LaneWriter, Position, Store};
use support::{append, click_at, options};

/// The same ids in every run.
const KEY: [u8; 16] = *b"a key for a test";

/// A store with one writer for everything.
struct Written {
    folder: tempfile::TempDir,
    store: Store,
    clicks: ClickWriter,
    postbacks: LaneWriter,
    deliveries: LaneWriter,
    encoder: Encoder,
    second: u32,
}

impl Written {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("keys")).unwrap();
        std::fs::write(folder.path().join("keys/click-id-00.key"), KEY).unwrap();
        let store = Store::open(options(folder.path())).unwrap();
        let clicks = store.click_writer(0).unwrap();
        let postbacks = store.journal_writer(Journal::Postbacks).unwrap();
        let deliveries = store.journal_writer(Journal::Deliveries).unwrap();
        Self { folder, store, clicks, postbacks, deliveries, encoder: Encoder::default(), second: 100 }
    }

    fn data(&self) -> &Path {
        self.folder.path()
    }

    fn now(&mut self) -> Timestamp {
        self.second += 1;
        Timestamp::from_seconds(1_795_158_000 + self.second)
    }

    fn click(&mut self, click: &Click<'_>) -> Recorded {
        append(|| self.clicks.append(click))
    }

    fn postback(&mut self, query: &str, refused: Option<Refusal>) -> Position {
        let postback = Postback {
            time: self.now(),
            network: "boost",
            method: "GET",
            path: "/postback/boost",
            query,
            refused: refused.map_or(0, Refusal::code),
            ..Postback::default()
        };
        append(|| self.postbacks.append(&self.encoder.postback(&postback).unwrap())).position()
    }

    /// A postback, and the decision on it.
    fn decide(&mut self, click_id: &str, transaction_id: &str, decision: &Decision<'_>) -> Position {
        let query = format!("cid={click_id}&txid={transaction_id}&secret=***");
        let postback = self.postback(&query, None).to_u64();
        let said = Conversion { network: "boost", click_id, transaction_id, ..decision.conversion };
        let decision =
            Decision { time: self.now(), postback, conversion: said, conversion_id: [7; 16], ..*decision };
        append(|| self.postbacks.append(&self.encoder.decision(&decision).unwrap())).position()
    }

    fn deliver(&mut self, decision: Position, attempt: u16, class: OutcomeClass) {
        let outcome = DeliveryOutcome {
            time: self.now(),
            delivery_id: [9; 16],
            decision: decision.to_u64(),
            attempt,
            class,
            is_final: class == OutcomeClass::Ok,
            http_status: if class == OutcomeClass::Ok { 200 } else { 503 },
            duration_micros: 4_000,
            destination: "propeller-s2s",
            detail: b"said",
            ..DeliveryOutcome::default()
        };
        append(|| self.deliveries.append(&self.encoder.outcome(&outcome).unwrap()));
    }

    fn look(&self, text: &str) -> Life {
        look_up(&Reader::open(self.data()), text, Window::default(), &mut |_, _| {}).unwrap()
    }

    /// Seals everything; the folder stays.
    fn close(self) -> tempfile::TempDir {
        self.clicks.close();
        self.postbacks.close();
        self.deliveries.close();
        self.store.close().unwrap();
        self.folder
    }
}

fn usd(amount: i64) -> Option<Money> {
    Some(Money { amount: Micros::new(amount), currency: "USD".parse().unwrap() })
}

fn standing(approved: i64) -> Standing {
    let money = usd(approved).unwrap();
    Standing {
        was_told: true,
        approved: Some(money.amount),
        currency: Some(money.currency),
        ..Standing::default()
    }
}

fn verdicts(life: &Life) -> Vec<&'static str> {
    life.decisions.iter().map(|decision| decision.verdict).collect()
}

/// Two postbacks, a repeat, a reversal, two attempts at telling the source.
fn whole_life(written: &mut Written) -> ClickId {
    let mut params = Vec::new();
    Params::parse(b"sub1=a&sub1=b&zone=7", Source::Query).encode_into(&mut params);
    let click = Click {
        external_id: "v-1",
        cost: usd(12_000),
        params: ParamsRef::check(&params).unwrap(),
        ..click_at(50)
    };
    let recorded = written.click(&click);
    let id = recorded.click_id.to_string();
    // Somebody else's, in between.
    let other = written.click(&click_at(51)).click_id.to_string();
    written.decide(&other, "t-2", &Decision { conversion_id: [8; 16], ..Decision::default() });
    let accepted = Decision {
        verdict: Verdict::Accepted,
        conversion: Conversion { payout: usd(3_500_000), original_status: "1", ..Conversion::default() },
        entry: Micros::new(3_500_000),
        standing: standing(3_500_000),
        campaign: "spring",
        offer: "diet-42",
        ..Decision::default()
    };
    let first = written.decide(&id, "t-1", &accepted);
    written.deliver(first, 1, OutcomeClass::Server);
    let repeat = Decision {
        verdict: Verdict::Duplicate,
        reason: Reason::AlreadyTold.code(),
        entry: Micros::new(0),
        sequence: 1,
        ..accepted
    };
    written.decide(&id, "t-1", &repeat);
    let reversed = Decision {
        verdict: Verdict::Updated,
        entry: Micros::new(-3_500_000),
        sequence: 2,
        conversion: Conversion { status: Status::Reversed, ..Conversion::default() },
        standing: Standing { reversed: Some(Reversal::Whole), ..standing(3_500_000) },
        ..accepted
    };
    written.decide(&id, "t-1", &reversed);
    written.deliver(first, 2, OutcomeClass::Ok);
    recorded.click_id
}

#[test]
fn a_click_has_all_that_happened_to_it_by_its_id_and_by_its_transaction() {
    let mut written = Written::new();
    let id = whole_life(&mut written);
    let by_id = written.look(&id.to_string());
    assert_eq!(by_id.found_as, FoundAs::ClickId);
    assert_eq!(verdicts(&by_id), ["accepted", "duplicate", "updated"]);
    assert_eq!((by_id.clicks.len(), by_id.postbacks.len(), by_id.deliveries.len()), (1, 3, 2));
    assert_eq!(by_id.decisions.last().unwrap().standing.as_ref().unwrap().net, "0");
    assert!(by_id.postbacks.iter().all(|postback| postback.query.ends_with("secret=***")));
    let shouted = written.look(&id.to_string().to_uppercase());
    assert_eq!(verdicts(&shouted), verdicts(&by_id), "an id is the same in any case");
    let by_transaction = written.look("t-1");
    assert_eq!(by_transaction.found_as, FoundAs::TransactionId);
    assert_eq!((&by_transaction.clicks, &by_transaction.decisions), (&by_id.clicks, &by_id.decisions));
    assert_eq!(by_transaction.deliveries, by_id.deliveries);
}

/// While it is written, sealed, and sealed with its indexes gone: the same answer.
#[test]
fn a_look_up_says_the_same_after_a_new_key() {
    let mut written = Written::new();
    let id = whole_life(&mut written);
    let click = written.store.clicks().decode(&id).unwrap().packed();
    let id = id.to_string();
    written.decide(&id, "t-9", &Decision { click, ..Decision::default() });
    // Nothing but the id leads from the click to this one.
    written.postback(&format!("cid={id}&payout=x"), Some(Refusal::BadPayout));
    let folder = written.close();
    let look = |text: &str| {
        let life = look_up(&Reader::open(folder.path()), text, Window::default(), &mut |_, _| {}).unwrap();
        serde_json::to_value(life).unwrap()
    };
    let before = [look(&id), look("t-1")];
    assert_eq!(before[1]["postbacks"].as_array().unwrap().len(), 5);
    rotate_click_id_key(&Directory::new(folder.path())).unwrap();
    assert_eq!([look(&id), look("t-1")], before);
    std::fs::remove_file(folder.path().join("keys/click-id-00.key")).unwrap();
    let clicks = &look("t-9")["clicks"];
    assert_eq!(clicks[0]["click_id"], "unknown: the key of its time is gone", "{clicks}");
}

#[test]
fn a_look_up_is_the_same_whether_segments_are_written_sealed_or_without_their_index() {
    let mut written = Written::new();
    let id = whole_life(&mut written).to_string();
    let open = serde_json::to_string(&written.look(&id)).unwrap();
    let folder = written.close();
    let look = || {
        let reader = Reader::open(folder.path());
        serde_json::to_string(&look_up(&reader, &id, Window::default(), &mut |_, _| {}).unwrap()).unwrap()
    };
    assert_eq!(look(), open);
    let lane = folder.path().join("clicks/lane-00");
    let indexes = || std::fs::read_dir(&lane).unwrap().map(|entry| entry.unwrap().path());
    let is_index = |path: &std::path::PathBuf| path.extension().is_some_and(|extension| extension == "idx");
    for index in indexes().filter(is_index) {
        std::fs::remove_file(index).unwrap();
    }
    assert_eq!(look(), open);
    assert_eq!(indexes().filter(is_index).count(), 0, "who only reads makes nothing");
}

/// The JSON is an interface: programs read it.
#[test]
fn the_json_of_a_life_stays_as_it_is() {
    let mut written = Written::new();
    let id = whole_life(&mut written).to_string();
    let folder = written.close();
    let (code, json, said) = run(folder.path(), &[&id, "--format", "json"]);
    assert_eq!(code, Some(0), "{said}");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/lookup/life.json");
    let expected = std::fs::read_to_string(&golden).unwrap();
    assert_eq!(numbered(&json), expected, "it differs from {}", golden.display());
    let (code, text, _) = run(folder.path(), &["t-1"]);
    assert_eq!(code, Some(0));
    for line in [
        "\"t-1\" is a transaction id",
        "  time            2026-11-20T07:00:50.000000Z",
        "  cost            0.012 USD",
        "  parameter       sub1 = b",
        "duplicate (already_told)",
        "  stands at       reversed, 0 USD",
        "delivery 09090909090909090909090909090909 to propeller-s2s: delivered",
        "  attempt 1       2026-11-20T07:01:45.000000Z server 503 in 4 ms",
        "  attempt 2       2026-11-20T07:01:50.000000Z ok 200 in 4 ms",
        "  answer          said",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}

#[test]
fn a_held_payout_is_listed_and_seen_in_the_life_of_its_click() {
    let mut written = Written::new();
    let id = written.click(&click_at(1)).click_id.to_string();
    let held = Decision {
        verdict: Verdict::Held,
        reason: Reason::PayoutAboveMax.code(),
        conversion: Conversion { payout: usd(999_000_000), ..Conversion::default() },
        standing: Standing { held: Some(Micros::new(999_000_000)), ..Standing::default() },
        ..Decision::default()
    };
    let at = written.decide(&id, "t-9", &held);
    let life = written.look(&id);
    assert_eq!((verdicts(&life), &*life.decisions[0].reason), (vec!["held"], "payout_above_max"));
    let output = Command::new(env!("CARGO_BIN_EXE_clicklog"))
        .args(["held", "list", "--network", "boost", "--data"])
        .arg(written.data())
        .output()
        .unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    let row = listed.lines().nth(1).unwrap_or_else(|| panic!("{listed}"));
    assert!(row.starts_with(&at.to_string()) && row.contains("999 USD  payout_above_max"), "{listed}");
    let none = Command::new(env!("CARGO_BIN_EXE_clicklog"))
        .args(["held", "list", "--network", "other", "--data"])
        .arg(written.data())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(none.stdout).unwrap(), "nothing is held\n");
}

#[test]
fn a_way_through_a_lander_is_told_with_its_first_click_and_the_other_way_round() {
    let mut written = Written::new();
    let first = written.click(&Click { offer: "", lander: "1", ..click_at(10) });
    let keys = Keys::new(0, [(0, KEY)]).unwrap();
    let parent = keys.decode(&first.click_id).unwrap().packed();
    let through = written.click(&Click { kind: ClickKind::Through, parent, lander: "", ..click_at(20) });
    let place = keys.decode(&through.click_id).unwrap().packed();
    let id = through.click_id.to_string();
    written.decide(&id, "t-1", &Decision { click: place, ..Decision::default() });
    for text in [first.click_id.to_string(), id.clone(), "t-1".to_owned()] {
        let life = written.look(&text);
        let clicks: Vec<_> = life.clicks.iter().map(|click| (click.kind, &*click.parent)).collect();
        assert_eq!(clicks, [("redirect", ""), ("through", &*first.click_id.to_string())], "{text}");
        assert_eq!(verdicts(&life), ["accepted"], "{text}");
    }
}

#[test]
fn a_click_of_another_tracker_is_found_by_the_id_it_had_there() {
    let mut written = Written::new();
    let imported = Click { kind: ClickKind::Imported, foreign_id: "voluum-77", ..click_at(1) };
    written.click(&imported);
    written.click(&Click { external_id: "newer", ..imported });
    written.decide("voluum-77", "t-1", &Decision::default());
    let life = written.look("voluum-77");
    assert_eq!(life.found_as, FoundAs::ForeignId);
    let external: Vec<_> = life.clicks.iter().map(|click| &*click.external_id).collect();
    assert_eq!(external, ["newer"], "of two imports the last one counts");
    assert_eq!(verdicts(&life), ["accepted"]);
}

#[test]
fn an_id_that_nobody_imported_is_found_in_what_networks_sent() {
    let mut written = Written::new();
    let unmatched = Decision { verdict: Verdict::Unmatched, ..Decision::default() };
    written.decide("nobody-knows", "t-1", &unmatched);
    let life = written.look("nobody-knows");
    assert_eq!((life.found_as, verdicts(&life)), (FoundAs::ForeignId, vec!["unmatched"]));
    assert!(life.clicks.is_empty());
}

#[test]
fn a_refused_request_is_part_of_the_life_of_the_click_it_names() {
    let mut written = Written::new();
    let id = written.click(&click_at(1)).click_id.to_string();
    written.postback(&format!("cid={}&payout=x", id.to_uppercase()), Some(Refusal::BadPayout));
    written.postback("cid=another&payout=x", Some(Refusal::BadPayout));
    let life = written.look(&id);
    let refused: Vec<_> = life.postbacks.iter().map(|postback| &*postback.refused).collect();
    assert_eq!(refused, ["bad_payout"]);
    assert_eq!(written.look("another").postbacks.len(), 1, "also of one that nobody knows");
}

#[test]
fn a_click_that_is_lost_is_said_to_be_and_its_postbacks_are_shown() {
    let mut written = Written::new();
    written.click(&click_at(1));
    let keys = Keys::new(0, [(0, KEY)]).unwrap();
    let lost = |place: Place| keys.encode(place).to_string();
    let ids = [
        (lost(Place::new(0, 0, 0, 900, 1_795_158_000).unwrap()), "not there"),
        (lost(Place::new(0, 0, 0, 0, 1_795_158_077).unwrap()), "not there"),
        (lost(Place::new(0, 9, 0, 0, 1_795_158_000).unwrap()), "not there"),
    ];
    for (id, note) in ids {
        let orphan = Decision { verdict: Verdict::Orphan, ..Decision::default() };
        written.decide(&id, "t", &orphan);
        let life = written.look(&id);
        assert_eq!((life.found_as, verdicts(&life)), (FoundAs::ClickId, vec!["orphan"]));
        assert!(life.notes.iter().any(|said| said.contains(note)), "{:?}", life.notes);
    }
    assert!(
        written.look(&lost(Place::new(7, 0, 0, 0, 1_795_158_000).unwrap())).is_empty(),
        "of another node"
    );
}

#[test]
fn only_the_time_that_is_asked_for_is_read() {
    let mut written = Written::new();
    let id = whole_life(&mut written);
    let reader = Reader::open(written.data());
    let all = written.look("t-1");
    let to: Timestamp = all.decisions[0].time.parse().unwrap();
    // The end is no part of it.
    for (later, expected) in [(0, &[][..]), (1, &["accepted"])] {
        let window = Window { from: None, to: Some(to.plus(Duration::from_micros(later))) };
        let life = look_up(&reader, &id.to_string(), window, &mut |_, _| {}).unwrap();
        assert_eq!(verdicts(&life), expected);
    }
    let window = Window { from: Some(to.plus(Duration::from_secs(3600))), to: None };
    assert!(look_up(&reader, "t-1", window, &mut |_, _| {}).unwrap().is_empty());
}

#[test]
fn what_nobody_knows_ends_with_1_and_a_folder_without_a_store_says_so() {
    let written = Written::new();
    let (code, text, _) = run(written.data(), &["no-such-thing"]);
    assert_eq!((code, text.as_str()), (Some(1), "nothing is known of \"no-such-thing\"\n"));
    let (code, json, _) = run(written.data(), &["no-such-thing", "--format", "json"]);
    assert_eq!(code, Some(1));
    assert!(json.contains("\"found_as\": \"nothing\""), "{json}");
    let empty = tempfile::tempdir().unwrap();
    let (code, _, said) = run(empty.path(), &["x"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("there is no store in"), "{said}");
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0, "nothing was made there");
    assert_eq!(run(written.data(), &["x", "--from", "yesterday"]).0, Some(2));
}

/// Numbers the positions by their first mention: where a record lies depends on how long those before it are.
fn numbered(json: &str) -> String {
    let is_position = |text: &&str| text.parse::<Position>().is_ok();
    let mut seen: Vec<&str> = Vec::new();
    for position in json.split('"').filter(is_position) {
        if !seen.contains(&position) {
            seen.push(position);
        }
    }
    let replace = |text: String, (n, position): (usize, &&str)| {
        text.replace(&format!("\"{position}\""), &format!("\"position {}\"", n + 1))
    };
    seen.iter().enumerate().fold(json.to_owned(), replace)
}

fn run(data: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_clicklog"))
        .arg("lookup")
        .args(arguments)
        .arg("--data")
        .arg(data)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}
