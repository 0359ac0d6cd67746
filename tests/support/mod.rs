//! What several test files share.

use std::path::Path;

use clicklog::clock::Timestamp;
use clicklog::event::click::Click;
use clicklog::store::clicks::{ClickWriter, Recorded};
use clicklog::store::space::Marks;
use clicklog::store::{Error, Options, Result};

/// Small segments, no marks: a test rolls often and does not depend on the machine's free space.
pub(crate) fn options(data: &Path) -> Options {
    Options {
        click_segment_bytes: 128 * 1024,
        journal_segment_bytes: 128 * 1024,
        populate_bytes: 64 * 1024,
        marks: Marks { low_bytes: 0, critical_bytes: 0, reserve_bytes: 0 },
        ..Options::new(data)
    }
}

/// A click of the given second.
pub(crate) fn click_at(second: u32) -> Click<'static> {
    Click {
        time: Timestamp::from_seconds(1_795_158_000 + second % 3_000),
        campaign: "spring",
        source: "propeller",
        offer: "diet-42",
        host: "trk.example.com",
        user_agent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
        ..Click::default()
    }
}

/// Records click number `n`, waiting for a segment where the preparer is behind the test.
pub(crate) fn record(writer: &mut ClickWriter, n: u32) -> Recorded {
    let external_id = format!("external-{n}");
    let click = Click { external_id: &external_id, ..click_at(n) };
    append(|| writer.append(&click))
}

/// What an append gives, tried until there is a segment for it: a test may be ahead of the preparer.
pub(crate) fn append<T>(mut append: impl FnMut() -> Result<T>) -> T {
    loop {
        match append() {
            Ok(appended) => return appended,
            Err(Error::NoRoom { .. }) => std::thread::yield_now(),
            Err(error) => panic!("an append: {error}"),
        }
    }
}
