//! A disk that fills up while files are made: what readers saw stays as it was, the failure is told for what it is, and once
//! there is room all is there, under the names that it would have had.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clicklog::compactor::Error;
use clicklog::compactor::folder::Folder;
use clicklog::compactor::publish::Step;
use clicklog::compactor::publisher::{News, Publisher, Watcher};

use crate::ballast::Ballast;
use crate::days::{MORNING, two_lanes};
use crate::disk::{Disk, run, skipped};
use crate::events::EVENING;
use crate::files::below;
use crate::rounds::{clock_at, options, round_at};

/// From one try to the next.
const MORE_ROOM: usize = 8 * 1024;

/// Files that readers see, and what is in them.
type Seen = BTreeMap<PathBuf, Vec<u8>>;

fn seen(data: &Path) -> Seen {
    let export = data.join("export");
    let relative = |file: &PathBuf| file.strip_prefix(&export).unwrap().to_owned();
    below(&export).iter().map(|file| (relative(file), fs::read(file).unwrap())).collect()
}

/// Hears what cannot be done.
#[derive(Debug, Default)]
struct Heard(Vec<&'static str>);

impl Watcher for Heard {
    fn step(&mut self, _step: Step) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn told(&mut self, news: &News<'_>) {
        if let News::Failed { error, .. } = news {
            self.0.push(Error::REASONS[error.reason()]);
        }
    }
}

/// With the holes of sealed segments, which would fill a small disk.
fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").args(["-r", "--sparse=always"]).arg(from).arg(to)).unwrap();
}

/// Has a round at this moment on a full disk, with ever more room, until there is enough. `may_see` is told what readers see
/// after a failure, what they saw before, and what they will.
fn with_little_room(original: &Path, moment: i64, may_see: impl Fn(&Seen, &Seen, &Seen) -> bool) {
    let root = tempfile::tempdir().unwrap();
    let disk = match Disk::make(root.path(), 16 << 20) {
        Ok(disk) => disk,
        Err(reason) => return skipped(&format!("no small disk can be mounted here: {reason}")),
    };
    let (whole, data) = (root.path().join("whole"), disk.point().join("data"));
    copy(original, &whole);
    round_at(moment, &whole, usize::MAX).0.unwrap();
    let (before, after) = (seen(original), seen(&whole));
    for room in (0..).step_by(MORE_ROOM) {
        copy(original, &data);
        let (manual, clock) = clock_at(moment);
        let mut publisher = Publisher::open(options(&data, clock)).unwrap();
        let ballast = Ballast::leaving(disk.point(), room);
        let mut heard = Heard::default();
        let done = publisher.round(&mut heard);
        heard.0.extend(done.err().map(|error| Error::REASONS[error.reason()]));
        let now = seen(&data);
        if heard.0.is_empty() {
            assert!(now == after && room > 0, "with {room} bytes it is done");
            return;
        }
        assert!(heard.0.iter().all(|reason| *reason == "disk"), "with {room} bytes: {:?}", heard.0);
        assert!(may_see(&now, &before, &after), "with {room} bytes readers see {:?}", now.keys());

        drop(ballast);
        manual.advance(Duration::from_secs(30));
        let mut heard = Heard::default();
        publisher.round(&mut heard).unwrap();
        assert!(heard.0.is_empty(), "after {room} bytes, with room: {:?}", heard.0);
        assert!(seen(&data) == after, "after {room} bytes, with room: {:?}", seen(&data).keys());
        assert_eq!(below(&Folder::new(&data).staging()), [""; 0].map(PathBuf::from));
        drop(publisher);
        fs::remove_dir_all(&data).unwrap();
    }
}

#[test]
fn a_disk_that_fills_up_while_segments_are_published_shows_no_half_of_a_file() {
    let root = tempfile::tempdir().unwrap();
    let original = root.path().join("original");
    two_lanes(&original);
    // A file may be there before the others are, and it is what it will be.
    with_little_room(&original, EVENING, |now, before, after| {
        before.is_empty() && now.iter().all(|(name, bytes)| after.get(name) == Some(bytes))
    });
}

#[test]
fn a_disk_that_fills_up_while_a_day_is_merged_shows_the_day_as_it_was_or_as_it_will_be() {
    let root = tempfile::tempdir().unwrap();
    let original = root.path().join("original");
    two_lanes(&original);
    round_at(EVENING, &original, usize::MAX).0.unwrap();
    with_little_room(&original, MORNING, |now, before, after| {
        assert!(before.len() > 3 && before != after);
        now == before || now == after
    });
}
