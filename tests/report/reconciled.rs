//! A network's file against our books: whatever the file looks like, and whatever of it differs.

use std::path::Path;
use std::time::Duration;

use clicklog::apply::reason::Reason;
use clicklog::batch::reconcile::{Class, Options, ReconcileError, Reconciliation, csv, reconcile, state};
use clicklog::clock::Timestamp;
use clicklog::event::conversion::{Conversion, Standing, Status};
use clicklog::event::decision::{Decision, Verdict};
use clicklog::event::money::{Currency, Micros, Money};
use clicklog::metrics::Page;
use clicklog::store::reader::Reader;

use crate::events::{DAY, HOUR_MICROS, Written};

/// What one decision says.
struct Made {
    id: u8,
    transaction: &'static str,
    click: &'static str,
    event: &'static str,
    hour: i64,
    verdict: Verdict,
    standing: Standing,
    entry: i64,
}

fn usd() -> Option<Currency> {
    Some(Currency::USD)
}

fn approved(micros: i64) -> Standing {
    Standing { was_told: true, approved: Some(Micros::new(micros)), currency: usd(), ..Standing::default() }
}

fn made(id: u8, transaction: &'static str, click: &'static str, standing: Standing) -> Made {
    let entry = standing.net().get();
    Made {
        id,
        transaction,
        click,
        event: "",
        hour: i64::from(id),
        verdict: Verdict::Accepted,
        standing,
        entry,
    }
}

fn store(all: &[Made]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut written = Written::new(folder.path());
    for one in all {
        let is_ours = matches!(one.verdict, Verdict::Accepted | Verdict::Updated | Verdict::Held);
        let payout = Money { amount: Micros::new(one.entry), currency: Currency::USD };
        let status = one.standing.status();
        written.decide(&Decision {
            time: Timestamp::from_micros((DAY * 24 + one.hour) * HOUR_MICROS),
            postback: u64::from(one.id) * 4096,
            verdict: one.verdict,
            reason: if is_ours { 0 } else { Reason::ClickUnknown.code() },
            conversion_id: if is_ours { [one.id; 16] } else { [0; 16] },
            conversion: Conversion {
                network: "boost",
                transaction_id: one.transaction,
                click_id: one.click,
                event: one.event,
                status,
                payout: Some(payout),
                ..Conversion::default()
            },
            standing: one.standing,
            entry: Micros::new(one.entry),
            ..Decision::default()
        });
    }
    written.decide(&Decision {
        time: Timestamp::from_micros(DAY * 24 * HOUR_MICROS),
        verdict: Verdict::Accepted,
        conversion_id: [99; 16],
        conversion: Conversion { network: "other", transaction_id: "t1", ..Conversion::default() },
        standing: approved(9_000_000),
        ..Decision::default()
    });
    written.close();
    folder
}

/// t1 to t3 approved, t4 pending, t5 approved and taken back, t6 held, t7 unmatched.
fn books() -> tempfile::TempDir {
    let told = Standing { was_told: true, ..Standing::default() };
    let taken_back =
        Standing { reversed: Some(clicklog::event::conversion::Reversal::Whole), ..approved(2_000_000) };
    let held = Standing { held: Some(Micros::new(900_000_000)), currency: usd(), ..Standing::default() };
    store(&[
        made(1, "t1", "c1", approved(5_000_000)),
        made(2, "t2", "c2", approved(3_500_000)),
        made(3, "t3", "c3", approved(1_000_000)),
        made(4, "t4", "c4", Standing { was_pending: true, ..told }),
        made(5, "t5", "c5", approved(2_000_000)),
        Made { verdict: Verdict::Updated, entry: -2_000_000, hour: 9, ..made(5, "t5", "c5", taken_back) },
        Made { verdict: Verdict::Held, ..made(6, "t6", "c6", held) },
        Made { verdict: Verdict::Unmatched, ..made(7, "t7", "c7", Standing::default()) },
    ])
}

fn options(file: &Path) -> Options {
    Options {
        network: "boost".to_owned(),
        known_networks: Vec::new(),
        file: file.to_owned(),
        renames: Vec::new(),
        delimiter: None,
        offset: "Z".parse().unwrap(),
        currency: Currency::USD,
        words: Vec::new(),
        default_status: Status::Approved,
        from: Some(Timestamp::from_micros(DAY * 24 * HOUR_MICROS)),
        to: Some(Timestamp::from_micros((DAY + 1) * 24 * HOUR_MICROS)),
        tolerance: Duration::from_secs(24 * 3600),
        payout_tolerance: Micros::new(0),
    }
}

fn compare(
    books: &Path,
    text: &[u8],
    change: impl FnOnce(&mut Options),
) -> Result<Reconciliation, ReconcileError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("network.csv");
    std::fs::write(&file, text).unwrap();
    let mut options = options(&file);
    change(&mut options);
    reconcile(&Reader::open(books), &options, true, &mut |_, _| {})
}

/// `t1 matched, t2 extra, …`, those that agree too.
fn told(done: &Reconciliation) -> String {
    let mut told: Vec<String> = done
        .pairs
        .iter()
        .map(|pair| {
            let id = if pair.transaction_id.is_empty() { &pair.click_id } else { &pair.transaction_id };
            format!("{id} {}", pair.class.name())
        })
        .collect();
    told.sort();
    told.join(", ")
}

const ALIKE: &str = "t1 matched, t2 matched, t3 matched";

#[test]
fn a_file_is_understood_however_sloppily_it_was_written() {
    let books = books();
    for (what, text) in [
        ("plain", &b"txid,payout\nt1,5.00\nt2,3.50\nt3,1\n"[..]),
        ("a mark at its front", b"\xEF\xBB\xBFtxid,payout\nt1,5.00\nt2,3.50\nt3,1\n"),
        ("semicolons and decimal commas", b"Transaction ID;Payout\r\nt1;5,00\r\nt2;3,50\r\nt3;1,000\r\n"),
        ("quotes", b"\"Conversion ID\",\"Commission\"\n\"t1\",\"$5.00\"\n\"t2\",\"3.5\"\n\"t3\",\" 1 \"\n"),
        ("tabs and blanks", b" txid \t payout \nt1\t 5\n t2 \t3.5\nt3\t1\n"),
        ("lines twice", b"txid,payout\nt1,5.00\nt1,5.00\nt2,3.50\nt3,1\nt3,1\n"),
        ("a word in other letters", b"txid,payout,status\nT1,5.00,Approved\nt2,3.50,PAID\nt3,1,confirmed\n"),
        ("clicks instead of transactions", b"subid,payout\nC1,5.00\nc2,3.50\nc3,1\n"),
        ("no UTF-8", b"txid,payout,name\nt1,5.00,caf\xE9\nt2,3.50,x\nt3,1,x\n"),
        ("later lines tell more", b"txid,payout,date\nt1,9,2026-11-20\nt1,5,2026-11-21\nt2,3.5,\nt3,1,\n"),
        (
            "and earlier ones below them less",
            b"txid,payout,date\nt1,5,2026-11-21\nt1,9,2026-11-20\nt2,3.5,\nt3,1,\n",
        ),
    ] {
        let done = compare(books.path(), text, |_| {}).unwrap();
        assert_eq!((done.counts.matched, done.pairs.len()), (3, 3), "{what}: {}", told(&done));
        assert_eq!((done.discrepancy, done.sums.len(), &*done.sums[0].ours), (0, 1, "9.5"), "{what}");
    }
}

#[test]
fn each_line_and_each_conversion_of_ours_is_in_one_class() {
    let text = b"txid,payout,status\n\
        t1,5,approved\n\
        t2,3.49,approved\n\
        t4,1,approved\n\
        t5,2,approved\n\
        t6,900,approved\n\
        t7,4,approved\n\
        t8,6,approved\n\
        t9,6,rejected\n";
    let books = books();
    let done = compare(books.path(), text, |_| {}).unwrap();
    assert_eq!(
        told(&done),
        "t1 matched, t2 payout_differs, t3 extra, t4 status_differs, t5 status_differs, t6 status_differs, \
         t7 missing, t8 missing, t9 matched"
    );
    let counts = done.counts;
    assert_eq!(
        (counts.matched, counts.missing, counts.extra, counts.payout_differs, counts.status_differs),
        (2, 2, 1, 1, 3)
    );
    let of = |id: &str| done.pairs.iter().find(|pair| pair.transaction_id == id).unwrap();
    assert_eq!(of("t7").our_status, "unmatched (click_unknown)", "we know why");
    assert_eq!((&*of("t6").our_status, &*of("t6").our_amount), ("held", "0"));
    assert_eq!((&*of("t5").our_status, &*of("t5").their_status), ("reversed", "approved"));
    assert_eq!((of("t8").conversion_id.len(), of("t1").conversion_id.len()), (0, 32));
    let [sums] = &done.sums[..] else { panic!("one currency") };
    // 5 + 3.49 + 1 + 2 + 900 + 4 + 6, and 5 + 3.5 + 1.
    assert_eq!((&*sums.theirs, &*sums.ours, &*sums.difference), ("921.49", "9.5", "-911.99"));
    assert_eq!((done.count_discrepancy, done.discrepancy), (333_333, 989_691));
    let mut bytes = Vec::new();
    csv(&done, false, &mut bytes).unwrap();
    let lines = ::csv::Reader::from_reader(&bytes[..]).records().map(Result::unwrap).count();
    assert_eq!(lines, 9);
}

#[test]
fn small_differences_are_none_if_they_may_be() {
    let books = books();
    let text = b"txid,payout\nt1,5.004\nt2,3.50\nt3,1\n";
    let differs = compare(books.path(), text, |_| {}).unwrap();
    assert_eq!(differs.counts.payout_differs, 1);
    assert_eq!(differs.discrepancy, 421, "0.004 of 9.504, in millionths");
    let near = |options: &mut Options| options.payout_tolerance = Micros::new(4_000);
    assert_eq!(told(&compare(books.path(), text, near).unwrap()), ALIKE);
}

#[test]
fn ids_that_a_spreadsheet_would_run_are_made_harmless_if_asked() {
    let books = books();
    let done = compare(books.path(), b"txid,subid,payout\n=2+2,@x,-0\n", |_| {}).unwrap();
    for (is_safe, expected) in [(false, "missing,2,=2+2,@x,"), (true, "missing,2,'=2+2,'@x,")] {
        let mut bytes = Vec::new();
        csv(&done, is_safe, &mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn a_file_without_amounts_is_compared_by_where_conversions_stand() {
    let books = books();
    let done =
        compare(books.path(), b"txid,status\nt1,approved\nt2,rejected\nt3,approved\n", |_| {}).unwrap();
    assert_eq!(told(&done), "t1 matched, t2 status_differs, t3 matched");
    assert_eq!((done.sums.len(), done.discrepancy), (0, 333_333));
}

#[test]
fn amounts_in_another_currency_differ_and_are_added_up_apart() {
    let books = books();
    let text = b"txid,payout,currency\nt1,5,EUR\nt2,3.5,usd\nt3,1,USD\n";
    let done = compare(books.path(), text, |_| {}).unwrap();
    assert_eq!(told(&done), "t1 payout_differs, t2 matched, t3 matched");
    let sums: Vec<_> = done.sums.iter().map(|it| (&*it.currency, &*it.theirs, &*it.ours)).collect();
    assert_eq!(sums, [("EUR", "5", "0"), ("USD", "4.5", "9.5")]);
    assert_eq!(done.discrepancy, 1_111_111);
}

#[test]
fn the_period_is_that_of_the_file_by_its_own_clocks() {
    let books = books();
    // By clocks two hours ahead t1 was at three, t2 at four.
    let text = b"txid,payout,time\nt1,5,2026-11-20 03:00:00\nt2,3.5,2026-11-20 04:00:00\n";
    let own = |zone: &'static str| {
        move |options: &mut Options| {
            (options.from, options.to) = (None, None);
            options.offset = zone.parse().unwrap();
        }
    };
    assert_eq!(told(&compare(books.path(), text, own("+02:00")).unwrap()), "t1 matched, t2 matched");
    // Taken for UTC, the third conversion falls into the period too.
    assert_eq!(told(&compare(books.path(), text, own("Z")).unwrap()), "t1 matched, t2 matched, t3 extra");
    // A date is a whole day.
    let dates = b"txid,payout,date\nt1,5,2026-11-20\nt2,3.5,2026-11-20\n";
    let done = compare(books.path(), dates, own("Z")).unwrap();
    assert_eq!((&*told(&done), &done.to[..16]), ("t1 matched, t2 matched, t3 extra", "2026-11-21T00:00"));
    let no_times = compare(books.path(), b"txid,payout\nt1,5\n", own("Z"));
    assert!(matches!(no_times, Err(ReconcileError::NoPeriod)));
    // What we heard of a while before is found within the tolerance, and not beyond.
    let late = b"txid,payout,time\nt1,5,2026-11-20 12:00:00\n";
    let within = |hours: u64| {
        move |options: &mut Options| {
            own("Z")(options);
            options.tolerance = Duration::from_secs(hours * 3600);
        }
    };
    assert_eq!(told(&compare(books.path(), late, within(24)).unwrap()), "t1 matched");
    assert_eq!(told(&compare(books.path(), late, within(1)).unwrap()), "t1 missing");
}

#[test]
fn what_cannot_be_understood_is_told_and_the_rest_is_compared() {
    let books = books();
    let text = b"txid,payout,status\nt1,5,approved\n,7,approved\nt2,1.234.567,approved\nt3,1,3\nTotal;;;\n";
    let done = compare(books.path(), text, |_| {}).unwrap();
    let bad: Vec<_> = done.bad_lines.iter().map(|bad| (bad.line, &*bad.reason)).collect();
    assert_eq!((bad.len(), done.counts.bad), (3, 3), "{bad:?}");
    assert_eq!((bad[0].0, bad[1].0, bad[2].0), (3, 4, 5));
    assert!(bad[2].1.contains("--status 3=approved"), "{bad:?}");
    let word = |options: &mut Options| options.words.push(("3".to_owned(), Status::Approved));
    assert_eq!(compare(books.path(), text, word).unwrap().counts.bad, 2);
    let none = compare(books.path(), b"txid,payout\nt1,much\n", |_| {});
    assert!(none.unwrap_err().to_string().contains("no line of"));
    let columns = compare(books.path(), b"when,much\n1,2\n", |_| {});
    assert!(columns.unwrap_err().to_string().contains("--map transaction_id=COLUMN"));
    let wrong = |options: &mut Options| options.renames.push("campaign=x".parse().unwrap());
    assert!(compare(books.path(), b"txid,x\n1,2\n", wrong).unwrap_err().to_string().contains("cannot be"));
    let renamed = |options: &mut Options| {
        options.renames.push("payout=Our share".parse().unwrap());
        options.renames.push("transaction_id=Ref".parse().unwrap());
    };
    let text = b"Ref,Payout,Our Share\nt1,7,5\nt2,7,3.5\nt3,7,1\n";
    assert_eq!(told(&compare(books.path(), text, renamed).unwrap()), ALIKE);
}

#[test]
fn two_conversions_of_one_click_are_told_apart_by_their_transactions() {
    let books = store(&[
        made(1, "t1", "c1", approved(5_000_000)),
        made(2, "t2", "c1", approved(1_000_000)),
        made(3, "", "c1", approved(2_000_000)),
    ]);
    let text = b"txid,subid,payout\nt2,c1,1\nt1,c1,5\nt9,c1,2\n";
    let done = compare(books.path(), text, |_| {}).unwrap();
    assert_eq!(told(&done), "t1 matched, t2 matched, t9 matched");
    let without = b"subid,payout\nc1,5\nc1,1\nc1,2\n";
    assert_eq!(compare(books.path(), without, |_| {}).unwrap().counts.matched, 3);
    let another = b"txid,subid,payout\nt1,c1,5\nt2,c1,1\nt3,c1,2\nt4,c1,2\n";
    assert_eq!(
        told(&compare(books.path(), another, |_| {}).unwrap()),
        "t1 matched, t2 matched, t3 matched, t4 missing"
    );
}

#[test]
fn a_file_that_only_seems_to_be_understood_is_refused() {
    let books = books();
    let refused = |text: &[u8]| {
        let error = compare(books.path(), text, |_| {}).unwrap_err();
        clicklog::store::described(&error)
    };
    let wide: Vec<u8> = "\u{feff}txid,payout\nt1,5\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(refused(&wide).contains("save it as UTF-8"));
    let open = format!("txid,payout\nt1,5\n\"t2,3.5\n{}", "t3,1\n".repeat(400_000));
    assert!(refused(open.as_bytes()).contains("line 3 has no end"), "{}", refused(open.as_bytes()));
}

/// Networks list what they take back as a line of its own, above or below what they paid.
#[test]
fn what_is_taken_back_in_a_line_of_its_own_comes_off_what_was_paid() {
    let books = books();
    let rest = "t2,3.5,\nt3,1,\n";
    for (what, lines, theirs) in [
        ("whole", "t1,5,\nt5,2,\nt5,-2,\n", "9.5"),
        ("twice", "t1,5,\nt5,2,\nt5,-2,\nt5,-2,\n", "9.5"),
        ("newest first", "t1,5,\nt5,-2,2026-11-21\nt5,2,2026-11-20\n", "9.5"),
        ("a part", "t1,6,\nt1,-1,\nt5,-2,\n", "9.5"),
        ("in this period alone", "t1,5,\nt5,-2,\nt8,-4,\n", "9.5"),
    ] {
        let done =
            compare(books.path(), format!("txid,payout,date\n{lines}{rest}").as_bytes(), |_| {}).unwrap();
        assert_eq!(done.counts.matched, done.pairs.len() as u64, "{what}: {}", told(&done));
        assert_eq!((&*done.sums[0].theirs, &*done.sums[0].ours), (theirs, "9.5"), "{what}");
    }
    let text = format!("txid,payout,date\nt1,5,\nt1,-5,\n{rest}");
    let done = compare(books.path(), text.as_bytes(), |_| {}).unwrap();
    assert_eq!(told(&done), "t1 status_differs, t2 matched, t3 matched");
    assert_eq!(
        (&*done.sums[0].theirs, &*done.sums[0].ours),
        ("4.5", "9.5"),
        "they took it back, and we did not"
    );
}

#[test]
fn events_of_one_transaction_are_conversions_of_their_own() {
    let books = store(&[
        Made { event: "lead", ..made(1, "t1", "c1", approved(1_000_000)) },
        Made { event: "sale", ..made(2, "t1", "c1", approved(5_000_000)) },
        Made { event: "sale", ..made(3, "t2", "c2", approved(7_000_000)) },
    ]);
    for text in [
        "txid,goal,payout\nt1,lead,1\nt1,sale,5\nt2,sale,7\n",
        "txid,goal,payout\nt2,Sale,7\nt1,Sale,5\nt1,sale,5\nt1,Lead,1\n",
        "txid,goal,payout\nt1,sale,9\nt1,lead,1\nt1,chargeback,-4\nt2,7 EUR and more,7\n",
    ] {
        let done = compare(books.path(), text.as_bytes(), |_| {}).unwrap();
        assert_eq!(told(&done), "t1 matched, t1 matched, t2 matched", "{text}");
        assert_eq!((done.discrepancy, &*done.sums[0].theirs), (0, "13"), "{text}");
    }
    // Without events the last line of a transaction is how it stands.
    let done = compare(books.path(), b"txid,payout\nt1,1\nt1,5\n", |_| {}).unwrap();
    assert_eq!(done.counts.doubled, 1);
}

#[test]
fn a_file_of_which_little_is_understood_is_no_match() {
    let books = books();
    let strange: String = (0..97).map(|n| format!("x{n},5,scrubbing\n")).collect();
    let text = format!("txid,payout,status\nt1,5,approved\nt2,3.5,approved\nt3,1,approved\n{strange}");
    let done = compare(books.path(), text.as_bytes(), |_| {}).unwrap();
    assert_eq!((done.counts.matched, done.counts.bad), (3, 97));
    assert_eq!(done.discrepancy, 970_000, "what 97 of 100 lines say nobody knows");
}

#[test]
fn a_file_of_more_than_the_period_is_compared_with_all_that_it_is_of() {
    let books = books();
    let text =
        b"txid,payout,time\nt1,5,2026-11-20 01:00:00\nt2,3.5,2026-11-20 02:00:00\nt3,1,2026-11-20 03:00:00\n";
    let narrow = |options: &mut Options| {
        options.from = Some(Timestamp::from_micros((DAY * 24 + 12) * HOUR_MICROS));
        options.tolerance = Duration::from_secs(3600);
    };
    assert_eq!(told(&compare(books.path(), text, narrow).unwrap()), ALIKE);
}

#[test]
fn a_network_that_nobody_knows_is_refused_and_not_missing_altogether() {
    let books = books();
    let told = |network: &str, known: &[&str]| {
        compare(books.path(), b"txid,payout\nt1,5\n", |options| {
            options.network = network.to_owned();
            options.known_networks = known.iter().map(|&name| name.to_owned()).collect();
        })
    };
    let refused = told("bost", &[]).unwrap_err().to_string();
    assert!(
        refused.contains("no network \"bost\"") && refused.contains("did you mean \"boost\"?"),
        "{refused}"
    );
    assert_eq!(told("new", &["new"]).unwrap().counts.missing, 1, "one of the catalog may be silent");
    assert!(told("boost", &[]).is_ok());
}

#[test]
fn the_last_run_of_each_network_is_remembered() {
    let books = books();
    let done = compare(books.path(), b"txid,payout\nt1,5\n", |_| {}).unwrap();
    assert!(done.pairs.iter().any(|pair| pair.class == Class::Extra));
    assert_eq!(state::read(books.path()), []);
    state::write(books.path(), &done, Timestamp::from_micros(7)).unwrap();
    let other = Reconciliation { network: "../other \"<b>".to_owned(), ..done.clone() };
    state::write(books.path(), &other, Timestamp::from_micros(8)).unwrap();
    state::write(books.path(), &done, Timestamp::from_micros(9)).unwrap();
    std::fs::write(books.path().join("reconcile/half.json"), "{").unwrap();
    let runs = state::read(books.path());
    let found: Vec<_> = runs.iter().map(|run| (&*run.network, run.time, run.extra)).collect();
    assert_eq!(found, [("../other \"<b>", 8, 2), ("boost", 9, 2)]);
    assert_eq!(runs[1].discrepancy_millionths, 900_000);
    let mut page = Page::default();
    state::write_metrics(books.path(), &mut page);
    let text = page.into_text();
    for line in [
        "clicklog_reconcile_last_run_timestamp_seconds{network=\"boost\"} 0",
        "clicklog_reconcile_conversions{network=\"boost\",class=\"extra\"} 2",
        "clicklog_reconcile_discrepancy_ratio{network=\"../other \\\"<b>\"} 0.9",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
}
