//! Files that would be taken for something else: put right in the middle of an import, broken within, of several networks.

use clicklog::batch::import::{ImportError, Importer, Row, Sink, Taken, run};
use clicklog::clock::Clock;

use super::{Place, counts, decided, given, import_conversions, imported};

/// Else it would go on within a line, and never come to what was added.
#[test]
fn a_file_that_was_put_right_before_the_place_where_it_stopped_is_begun_anew() {
    struct Once(Importer, bool);
    impl Sink<Row> for Once {
        fn take(&mut self, mark: u64, rows: &[Row]) -> Result<Taken, ImportError> {
            if std::mem::replace(&mut self.1, true) {
                return Err(ImportError::Daemon("it is gone".to_owned()));
            }
            self.0.take(mark, rows)
        }

        fn end(&mut self) -> Result<(), ImportError> {
            self.0.end()
        }
    }
    let place = Place::new();
    let line = |n: u32| format!("c{n},1795158000\n");
    let (first, rest): (String, String) =
        ((0..1_000).map(line).collect(), (1_000..25_000).map(line).collect());
    let given = given(&place.file("a.csv", format!("id,time\n{first}{rest}")));
    let store = place.open();
    let mut sink = Once(Importer::new(&store, Clock::System).unwrap(), false);
    run(&given, Some(&place.data()), &mut sink, &mut |_, _, _| {}).unwrap_err();
    sink.0.close();
    store.close().unwrap();
    place.file("a.csv", format!("id,time\n{first}added,1795158000\n{rest}"));
    let report = place.import(&given).unwrap();
    assert_eq!((report.resumed_at_line, report.counts), (None, counts(15_001, 10_000, 0)));
    assert_eq!(imported(&place.data()).len(), 25_001);
}

/// All behind it would be one bad line, and nobody would miss them.
#[test]
fn a_quote_that_is_never_closed_ends_an_import_and_loses_no_line() {
    let place = Place::new();
    let rest: String = (0..40_000).map(|n| format!("later-{n},2026-11-20 07:00:00,camp\n")).collect();
    let text = |open: &str| {
        format!(
            "id,time,campaign\nfirst,2026-11-20 07:00:00,camp\n{open}open,2026-11-20 07:00:00,camp\n{rest}"
        )
    };
    let file = place.file("clicks.csv", text("\""));
    assert!(place.import(&given(&file)).is_err());
    let mended = place.file("clicks.csv", text(""));
    let report = place.import(&given(&mended)).unwrap();
    assert_eq!((report.counts.imported + report.counts.known, report.counts.bad), (40_002, 0));
}

/// An export of ours has those of all networks.
#[test]
fn conversions_of_an_export_are_imported_into_their_own_network_alone() {
    let place = Place::new();
    let data = place.data().to_str().unwrap().to_owned();
    let clicks = place.file("clicks.csv", "id,time,campaign\nold1,2026-01-02T07:00:00Z,demo\n");
    place.import(&given(&clicks)).unwrap();
    let row = |transaction: &str, network: &str| {
        format!("2026-01-03T08:00:00Z,0,accepted,{network},{transaction},old1,2.5,2.5,USD\n")
    };
    let head = "time,conversion_id,verdict,network,transaction_id,click_id,payout,entry,currency\n";
    let file = place.file("all.csv", [head, &row("T1", "demo-network"), &row("T2", "other")].concat());
    let (_, said) = import_conversions(&file, &["--network", "demo-network", "--data", &data]);
    assert!(said.contains("line 3: it is of the network \"other\""), "{said}");
    assert!(said.ends_with("1 imported, 0 known already, 1 bad\n"), "{said}");
    assert_eq!(decided(&data), ["T1,accepted,2026-01-03T08:00:00.000000Z,2.5"]);
}

#[test]
fn lines_that_are_passed_by_are_nobody_else_s_to_read() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let mut given = given(&place.file("clicks.csv", "id,time,email\nx,never,a@example.com\n"));
    let bad = given.bad_file.insert(place.data().with_extension("bad")).clone();
    place.import(&given).unwrap();
    assert_eq!(std::fs::metadata(bad).unwrap().permissions().mode() & 0o007, 0);
}
