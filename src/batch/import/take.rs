//! Rows into the store: each id once, on stable storage before anybody is told.

use std::collections::HashSet;
use std::time::Duration;

use super::{ImportError, Row, Sink, Taken};
use crate::clock::{Clock, Timestamp};
use crate::store::clicks::{ClickWriter, Clicks, Recorded};
use crate::store::{Error, Lookup, Store};

/// How long a row waits for a segment that is being made. On a full disk there is none.
const ROOM_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks.
const ROOM_PAUSE: Duration = Duration::from_millis(2);
/// How far ahead of ours the clock of another tracker may be.
const AHEAD_MAX: Duration = Duration::from_secs(24 * 3600);

/// The right to import into a store.
#[derive(Debug)]
pub struct Importer {
    writer: ClickWriter,
    clicks: Clicks,
    clock: Clock,
}

impl Importer {
    /// Takes the store's lane for imports; nothing if it was given out, or if there is none.
    pub fn new(store: &Store, clock: Clock) -> Option<Self> {
        Some(Self { writer: store.import_writer()?, clicks: store.clicks(), clock })
    }

    /// Begins a new segment, so that what was imported can be sealed.
    pub fn roll(&mut self) {
        self.writer.roll_now();
    }

    /// Ends the lane.
    pub fn close(self) {
        self.writer.close();
    }

    fn append(&mut self, row: &Row, mark: u64, latest: Timestamp) -> Result<Result<Recorded, String>, Error> {
        let began = self.clock.monotonic();
        loop {
            match row.with_click(mark, latest, |click| self.writer.append(click)) {
                Ok(Err(Error::NoRoom { .. })) if self.clock.monotonic() < began + ROOM_TIMEOUT => {
                    std::thread::sleep(ROOM_PAUSE);
                }
                Ok(Err(Error::RecordLength { len, max })) => {
                    return Ok(Err(format!("its texts are {len} bytes together, and {max} is the most")));
                }
                Ok(appended) => return appended.map(Ok),
                Err(why) => return Ok(Err(why)),
            }
        }
    }
}

impl Sink<Row> for Importer {
    fn take(&mut self, mark: u64, rows: &[Row]) -> Result<Taken, ImportError> {
        let latest = self.clock.now().plus(AHEAD_MAX);
        let mut seen = HashSet::new();
        let mut taken = Taken::default();
        for (index, row) in rows.iter().enumerate() {
            let is_first = seen.insert(&*row.id);
            if let Lookup::Found(found) = self.clicks.find_foreign(&row.id) {
                // An attempt at this very chunk was interrupted after it had stored this row.
                let was_of_this = found.click().is_some_and(|click| click.config_version == mark);
                let count = if is_first && was_of_this { &mut taken.imported } else { &mut taken.known };
                *count += 1;
                continue;
            }
            match self.append(row, mark, latest)? {
                Ok(_recorded) => taken.imported += 1,
                Err(why) => {
                    // A later line of the same id may be better.
                    seen.remove(&*row.id);
                    taken.refused.push((index, why));
                }
            }
        }
        self.writer.lane().sync()?;
        Ok(taken)
    }

    fn end(&mut self) -> Result<(), ImportError> {
        self.roll();
        Ok(())
    }
}
