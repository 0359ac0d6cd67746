//! The log as the dispatcher reads it: all of it, in order, whether it is still written, sealed, or both.

use std::ops::ControlFlow;

use clicklog::dispatcher::follow::{decision, decision_of, is_hot, read_cold, walk, written_end};
use clicklog::event::codec::Encoder;
use clicklog::event::decision::Decision;
use clicklog::event::postback::Postback;
use clicklog::store::lane::View;
use clicklog::store::{Journal, Position, Store};

use super::support::{append, options};

const COUNT: u32 = 3_000;

/// The sequences of all decisions from here on, reading no more than so many at a time.
fn walked(view: &View, end: Position, at_once: usize) -> Vec<u32> {
    let (mut all, mut from) = (Vec::new(), Position::START);
    while from < end {
        let mut left = at_once;
        let next = walk(view, from, end, |at, record| {
            if let Some(of) = decision_of(record) {
                assert_eq!(decision(view, at).unwrap().decision().unwrap(), of);
                all.push(of.sequence);
                left -= 1;
            }
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let next = next.unwrap();
        assert!(next > from, "it goes on");
        from = next;
    }
    all
}

fn read(view: &View, end: Position) -> Vec<u32> {
    let (mut all, mut from) = (Vec::new(), Position::START);
    while from < end {
        let batch = read_cold(view, from, end).unwrap();
        all.extend(batch.decisions.iter().map(|(_, kept)| kept.decision().unwrap().sequence));
        assert!(batch.next > from);
        from = batch.next;
    }
    all
}

#[test]
fn every_decision_is_read_once_and_in_order_over_sealed_and_open_segments() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(options(folder.path())).unwrap();
    let mut writer = store.journal_writer(Journal::Postbacks).unwrap();
    let mut encoder = Encoder::default();
    let expected: Vec<u32> = (0..COUNT).collect();
    for sequence in &expected {
        let of = Decision { sequence: *sequence, campaign: "spring", ..Decision::default() };
        append(|| writer.append(&encoder.decision(&of).unwrap()));
        append(|| writer.append(&encoder.postback(&Postback::default()).unwrap()));
    }
    let lane = std::sync::Arc::clone(writer.lane());
    lane.sync().unwrap();
    let view = std::sync::Arc::clone(&lane.view());
    let end = written_end(&view);
    assert_eq!(end, lane.synced());
    assert!(view.sealed.len() + view.open.len() > 3, "several segments");
    for at_once in [1, 7, 256, usize::MAX] {
        assert_eq!(walked(&view, end, at_once), expected, "{at_once} at once");
    }
    assert_eq!(read(&view, end), expected);
    writer.close();
    store.close().unwrap();
    let store = Store::open(options(folder.path())).unwrap();
    let lane = store.lane(Journal::Postbacks, 0).unwrap();
    let view = std::sync::Arc::clone(&lane.view());
    assert!(view.open.is_empty());
    assert!(!is_hot(&view, Position::new(view.sealed[0].footer().identity.segment, 0)));
    assert_eq!(written_end(&view), end);
    assert_eq!(
        walked(&view, lane.synced(), 256),
        expected,
        "what was synced when it was opened is all of it"
    );
    assert_eq!(read(&view, end), expected);
    store.close().unwrap();
}
