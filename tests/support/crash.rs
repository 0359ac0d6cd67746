//! What the crash tests stand on: a child to be killed, and a ledger of what it was promised.
//!
//! Keeps: no child outlives its value.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use clicklog::event::click_id::ClickId;
use clicklog::event::codec::{Event, decode};
use clicklog::store::directory::Directory;
use clicklog::store::manifest::ManifestFile;
use clicklog::store::record::{BODY_OFFSET, FOOTER_BYTES, Record};
use clicklog::store::space::Room;
use clicklog::store::{Journal, Lookup, Store};

use crate::crash_child::{ASKERS, FIRST, FOLDER, REFUSALS, asker, external_id};

/// Everything that children said, over all rounds in one folder.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    clicks: HashMap<ClickId, u32>,
    synced: HashSet<u32>,
    postbacks: HashSet<u32>,
    /// The answers to postbacks, and the lines that are no promises, in the order they were said.
    news: Vec<String>,
}

/// Which clicks must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// All: the page cache survived.
    All,
    /// Those that were synced: it did not.
    Synced,
}

impl Ledger {
    fn note(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["c", n, id] => {
                let before = self.clicks.insert(id.parse().unwrap(), n.parse().unwrap());
                assert_eq!(before, None, "the id of click {n} was given out before");
            }
            ["s", n] => assert!(self.synced.insert(n.parse().unwrap()), "click {n} is synced once"),
            ["p", n] => {
                assert!(self.postbacks.insert(n.parse().unwrap()), "postback {n} is answered once");
                self.news.push(line.to_owned());
            }
            _ => self.news.push(line.to_owned()),
        }
    }

    /// Number of promises.
    pub(crate) fn len(&self) -> usize {
        self.clicks.len() + self.synced.len() + self.postbacks.len()
    }

    /// Compares what was promised with what a store holds that was just opened.
    pub(crate) fn check(&self, store: &Store, kept: Kept) {
        assert_eq!(store.report().corrupt_segments, 0, "{:?}", store.report());
        assert_eq!(store.report().missing_segments, 0, "{:?}", store.report());
        let clicks = store.clicks();
        for (id, n) in &self.clicks {
            match clicks.find(id) {
                Lookup::Found(found) => {
                    assert_eq!(found.click().unwrap().external_id, external_id(*n), "{id} is click {n}");
                }
                lost => {
                    let may_be_lost = kept == Kept::Synced && !self.synced.contains(n);
                    assert!(may_be_lost, "click {n} was acknowledged, but is {lost:?}");
                }
            }
        }
        let held = postbacks(store);
        for n in &self.postbacks {
            assert!(held.contains_key(n), "postback {n} was answered, and is not there");
        }
        for (n, times) in held {
            assert_eq!(times, 1, "postback {n}");
        }
    }

    /// Whether appends to `journal` were refused again and again, for no room, with the disk known to be full.
    pub(crate) fn is_told_of_a_full_disk(&self, journal: Journal) -> bool {
        let start = format!("n {} {} ", journal.name(), Room::Critical.name());
        let told = self.news.iter().filter_map(|line| line.strip_prefix(&start));
        told.filter(|full| *full != "0").count() > 300
    }

    /// Checks that everybody was told of the failure, and nobody was promised anything afterwards.
    pub(crate) fn check_refusals(&mut self) {
        let mut refused = vec![0; usize::from(ASKERS)];
        for line in self.news.drain(..) {
            let Some((what @ ("p" | "r"), n)) = line.split_once(' ') else { continue };
            let refusals = &mut refused[asker(n.parse().unwrap()) as usize];
            assert!(what == "r" || *refusals == 0, "postback {n} was answered after the store had failed");
            *refusals += usize::from(what == "r");
        }
        assert!(refused.iter().all(|refusals| *refusals == REFUSALS), "somebody was not told: {refused:?}");
    }
}

/// Each postback in the journal, and how often it is there.
fn postbacks(store: &Store) -> HashMap<u32, u32> {
    let mut held = HashMap::new();
    let view = store.lane(Journal::Postbacks, 0).unwrap().view();
    for sealed in view.sealed.iter() {
        let count = |record: Record<'_>| {
            let Ok(Event::Postback(postback)) = decode(record.kind, record.schema, record.payload) else {
                panic!("only postbacks were written");
            };
            *held.entry(postback.path.parse().unwrap()).or_default() += 1;
        };
        sealed.for_each(BODY_OFFSET, count).unwrap();
    }
    held
}

/// A child that writes to a store.
#[derive(Debug)]
pub(crate) struct Writer {
    child: Child,
    said: BufReader<ChildStdout>,
}

/// The child's command line, behind `wrapper`, which may be empty.
pub(crate) fn child(wrapper: &[&str], data: &Path, first: u32) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut command = match wrapper {
        [] => Command::new(&program),
        [wrapper, arguments @ ..] => {
            let mut command = Command::new(wrapper);
            command.args(arguments).arg(&program);
            command
        }
    };
    command.args(["--exact", "the_child", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(FOLDER, data).env(FIRST, first.to_string());
    command
}

impl Writer {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, said }
    }

    /// Hears so many more promises.
    pub(crate) fn hear(&mut self, promises: usize, ledger: &mut Ledger) {
        let enough = ledger.len() + promises;
        self.hear_until(ledger, |ledger| ledger.len() >= enough);
    }

    /// Hears until the ledger is as wanted.
    pub(crate) fn hear_until(&mut self, ledger: &mut Ledger, is_enough: impl Fn(&Ledger) -> bool) {
        while !is_enough(ledger) {
            let Some(line) = self.line() else {
                panic!("the child ended early: {:?}", self.child.wait());
            };
            ledger.note(&line);
        }
    }

    /// Hears everything that it has said by now.
    pub(crate) fn hear_so_far(&mut self, ledger: &mut Ledger) {
        let in_pipe = rustix::io::ioctl_fionread(self.said.get_ref()).unwrap();
        let mut left = self.said.buffer().len() + usize::try_from(in_pipe).unwrap();
        while left > 0 {
            let line = self.line().unwrap();
            left = left.saturating_sub(line.len() + 1);
            ledger.note(&line);
        }
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let bytes = self.said.read_line(&mut line).unwrap();
        if line.ends_with('\n') {
            line.pop();
        }
        (bytes > 0).then_some(line)
    }

    /// Kills it, and hears what it had said by then.
    pub(crate) fn kill(mut self, ledger: &mut Ledger) {
        self.child.kill().unwrap();
        self.end(ledger);
    }

    /// Asks it to stop, and hears it out.
    pub(crate) fn stop(mut self, ledger: &mut Ledger) -> ExitStatus {
        drop(self.child.stdin.take());
        self.end(ledger)
    }

    /// Hears it out until it ends by itself.
    pub(crate) fn end(&mut self, ledger: &mut Ledger) -> ExitStatus {
        while let Some(line) = self.line() {
            ledger.note(&line);
        }
        self.child.wait().unwrap()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Both fail only if it has ended.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Checks that a lane's ids go to segments: there are 4 million of them, and a full disk may last for days.
pub(crate) fn assert_few_ids_name_nothing(directory: &Directory) {
    let manifest = ManifestFile::load(directory).unwrap().unwrap();
    for ((journal, lane), entry) in &manifest.current().lanes {
        let segments = directory.segments(*journal, *lane).unwrap().len();
        let unused = entry.next_segment as usize - segments;
        assert!(unused <= 4, "{unused} of {} ids of {journal:?}, lane {lane}", entry.next_segment);
    }
}

/// Leaves bytes at the end of each unsealed segment that no record accounts for.
pub(crate) fn tear(data: &Path) {
    let directory = Directory::new(data);
    for (journal, lane) in directory.lanes().unwrap() {
        for segment in directory.segments(journal, lane).unwrap() {
            let file = OpenOptions::new().read(true).write(true).open(&segment.path).unwrap();
            let end = file.metadata().unwrap().len() - u64::from(FOOTER_BYTES);
            let mut room = [0; 64 + 16];
            file.read_exact_at(&mut room, end - 64).unwrap();
            // Neither a full segment nor one with a footer.
            if room == [0; 80] {
                file.write_all_at(&[0xA5; 48], end - 64).unwrap();
            }
        }
    }
}

/// Takes every block that is left.
pub(crate) fn fill_up(path: &Path) {
    let mut file = File::create(path).unwrap();
    for chunk in [1 << 20, 4096, 1] {
        let bytes = vec![1; chunk];
        let error = loop {
            if let Err(error) = file.write_all(&bytes).and_then(|()| file.sync_all()) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    }
}

/// Chance that can be repeated (splitmix64); the seed is printed.
#[derive(Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// Takes the seed from `CLICKLOG_SEED`, or else from the process id.
    pub(crate) fn new() -> Self {
        let given = std::env::var("CLICKLOG_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| u64::from(std::process::id()));
        println!("CLICKLOG_SEED={seed}");
        Self(seed)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }
}
