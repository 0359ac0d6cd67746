//! The places where threads meet, under every interleaving that loom can find.
//!
//! Question: does a thread that sees a position also see the bytes below it, and is nobody left asleep?
//! Run: `RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test --no-default-features --test loom`. Without the
//! flag this file is empty. The "bytes" are loom's cells, which notice a read that no ordering protects.
#![cfg(loom)]
#![expect(unsafe_code, reason = "loom's cells are reached through raw pointers, as mapped bytes are")]

use std::sync::Arc;

use clicklog::store::handoff::Handoff;
use clicklog::store::published::Published;
use clicklog::store::watermark::{Failed, Watermark};
use loom::cell::UnsafeCell;
use loom::thread;

/// One byte of a segment.
#[derive(Default)]
struct Byte(UnsafeCell<u8>);

// SAFETY: loom checks every access to the cell; an unordered one fails the test, which is the point.
unsafe impl Sync for Byte {}
// SAFETY: as above.
unsafe impl Send for Byte {}

impl Byte {
    fn write(&self, value: u8) {
        // SAFETY: loom panics if this races with a read.
        self.0.with_mut(|byte| unsafe { *byte = value });
    }

    fn read(&self) -> u8 {
        // SAFETY: loom panics if this races with a write.
        self.0.with(|byte| unsafe { *byte })
    }
}

struct Segment {
    published: Published,
    bytes: [Byte; 2],
}

impl Segment {
    fn new() -> Self {
        Self { published: Published::at(0), bytes: Default::default() }
    }

    fn append(&self, at: u32, value: u8) {
        self.bytes[at as usize].write(value);
        self.published.advance(at + 1);
    }
}

#[test]
fn who_sees_a_position_sees_the_bytes_below_it() {
    loom::model(|| {
        let segment = Arc::new(Segment::new());
        let writer = thread::spawn({
            let segment = Arc::clone(&segment);
            move || {
                segment.append(0, 7);
                segment.append(1, 8);
            }
        });
        let end = segment.published.extent().end;
        for at in 0..end {
            assert_eq!(segment.bytes[at as usize].read(), 7 + u8::try_from(at).unwrap_or(0));
        }
        writer.join().unwrap();
    });
}

/// The writer leaves segment 0 for segment 1, as `LaneWriter::roll` does: the new one is in the queue before
/// the old one says that it is final. The syncer reads all of a final segment, then goes on to the next.
#[test]
fn a_final_segment_is_whole_and_the_next_one_is_there() {
    loom::model(|| {
        let segments = Arc::new([Segment::new(), Segment::new()]);
        let queue = Arc::new(loom::sync::Mutex::new(vec![0]));
        let writer = thread::spawn({
            let (segments, queue) = (Arc::clone(&segments), Arc::clone(&queue));
            move || {
                // The last byte is not published by its own `advance`, but only by `retire`.
                segments[0].append(0, 7);
                segments[0].bytes[1].write(8);
                queue.lock().unwrap().push(1);
                segments[0].published.retire();
                segments[1].append(0, 9);
            }
        });
        let extent = segments[0].published.extent();
        if extent.is_final {
            assert_eq!(extent.end, 1);
            assert_eq!((segments[0].bytes[0].read(), segments[0].bytes[1].read()), (7, 8));
            assert!(queue.lock().unwrap().contains(&1), "the syncer finds where to go on");
        }
        writer.join().unwrap();
    });
}

#[test]
fn who_waits_is_woken_and_sees_what_was_synced() {
    loom::model(|| {
        let lane = Arc::new((Watermark::at(0), Byte::default()));
        let syncer = thread::spawn({
            let lane = Arc::clone(&lane);
            move || {
                lane.1.write(7);
                lane.0.advance(1);
            }
        });
        assert_eq!(loom::future::block_on(lane.0.passed(0)), Ok(()));
        assert_eq!(lane.1.read(), 7);
        syncer.join().unwrap();
    });
}

#[test]
fn who_waits_is_told_that_the_store_is_closed() {
    loom::model(|| {
        let watermark = Arc::new(Watermark::at(0));
        let closer = thread::spawn({
            let watermark = Arc::clone(&watermark);
            move || watermark.close()
        });
        assert_eq!(loom::future::block_on(watermark.passed(0)), Err(Failed::Closed));
        closer.join().unwrap();
    });
}

#[test]
fn what_is_handed_over_is_taken_once_and_whole() {
    loom::model(|| {
        let handoff = Arc::new(Handoff::default());
        let preparer = thread::spawn({
            let handoff = Arc::clone(&handoff);
            move || {
                let byte = Byte::default();
                byte.write(7);
                handoff.put(byte);
            }
        });
        let early = handoff.take();
        preparer.join().unwrap();
        let late = handoff.take();
        assert_eq!(early.iter().chain(&late).map(Byte::read).collect::<Vec<_>>(), [7]);
        assert!(!handoff.is_full());
    });
}
