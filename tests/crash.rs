//! What was promised is kept: after a kill, a power cut, a failed sync, on a full disk.
//!
//! A child writes and says what the store promised it (`crash_child`); the test ends it in some bad way, opens
//! the folder and compares. What cannot be done on this machine is said in a line that begins with `skipped:`.

#[cfg(test)]
mod crash_child;
#[cfg(test)]
#[path = "support/disk.rs"]
mod disk;
#[cfg(test)]
#[path = "support/crash.rs"]
mod support;

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use clicklog::store::directory::Directory;
use clicklog::store::space::Room;
use clicklog::store::{Journal, Store};
use crash_child::{CUT, POISONED, options};
use disk::{Disk, PowerSwitch, run, skipped};
use support::{Chance, Kept, Ledger, Writer, assert_few_ids_name_nothing, child, fill_up, tear};

/// Numbers of one round; no round writes as many.
const ROUND: u32 = 1_000_000;

#[test]
#[ignore = "it is the process that the other tests start and kill"]
fn the_child() {
    crash_child::run();
}

#[test]
fn a_kill_at_any_moment_takes_nothing_that_was_acknowledged() {
    let root = tempfile::tempdir().unwrap();
    let (mut chance, mut ledger) = (Chance::new(), Ledger::default());
    for round in 0..20 {
        let mut writer = Writer::start(child(&[], root.path(), round * ROUND));
        writer.hear(1 + chance.below(4_000), &mut ledger);
        writer.kill(&mut ledger);
        // Every other time the next child is the first to see what is left.
        if round % 2 == 1 {
            ledger.check(&Store::open(options(root.path())).unwrap(), Kept::All);
        }
    }
}

#[test]
fn a_power_cut_takes_nothing_that_was_synced() {
    let root = tempfile::tempdir().unwrap();
    let disk = match Disk::make(root.path(), 96 << 20) {
        Ok(disk) => disk,
        Err(reason) => return skipped(&format!("no power can be cut here: {reason}")),
    };
    let data = disk.point().join("data");
    let (mut chance, mut ledger) = (Chance::new(), Ledger::default());
    for round in 0..6 {
        let mut writer = Writer::start(child(&[], &data, round * ROUND));
        let switch = disk.power_switch();
        writer.hear(1 + chance.below(4_000), &mut ledger);
        writer.hear_so_far(&mut ledger);
        if let Err(reason) = switch.and_then(PowerSwitch::cut) {
            return skipped(&format!("no power can be cut here: {reason}"));
        }
        drop(writer);
        disk.restore_power();
        ledger.check(&Store::open(options(&data)).unwrap(), Kept::Synced);
    }
}

#[test]
fn a_failed_sync_is_told_to_everybody_and_ends_the_process() {
    if let Err(reason) = run(Command::new("strace").args(["-f", "-o", "/dev/null", "true"])) {
        return skipped(&format!("no sync can be made to fail here: {reason}"));
    }
    let root = tempfile::tempdir().unwrap();
    let (mut chance, mut ledger) = (Chance::new(), Ledger::default());
    for round in 0..4 {
        let inject = format!("inject=fdatasync:error=EIO:when={}", 1 + chance.below(60));
        let strace = ["strace", "-f", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", &inject];
        let mut writer = Writer::start(child(&strace, root.path(), round * ROUND));
        let status = writer.end(&mut ledger);
        assert_eq!(status.code(), Some(POISONED), "{status}");
        ledger.check_refusals();
        ledger.check(&Store::open(options(root.path())).unwrap(), Kept::All);
    }
}

#[test]
fn a_full_disk_is_told_and_survived_and_ends_when_there_is_room() {
    let root = tempfile::tempdir().unwrap();
    let disk = match Disk::make(root.path(), 20 << 20) {
        Ok(disk) => disk,
        Err(reason) => return skipped(&format!("no small disk can be mounted here: {reason}")),
    };
    let (data, ballast) = (disk.point().join("data"), disk.point().join("ballast"));
    std::fs::write(&ballast, vec![1; 6 << 20]).unwrap();
    let mut ledger = Ledger::default();
    let mut writer = Writer::start(child(&[], &data, 0));
    for journal in [Journal::Clicks, Journal::Postbacks] {
        writer.hear_until(&mut ledger, |ledger| ledger.is_told_of_a_full_disk(journal));
    }

    std::fs::remove_file(&ballast).unwrap();
    writer.hear(1_000, &mut ledger);
    let status = writer.stop(&mut ledger);
    assert!(status.success(), "{status}");
    let store = Store::open(options(&data)).unwrap();
    assert!(store.report().was_clean);
    ledger.check(&store, Kept::All);
    drop(store);
    assert_few_ids_name_nothing(&Directory::new(&data));
}

#[test]
fn a_torn_tail_on_a_full_disk_stops_no_start() {
    for has_reserve in [true, false] {
        let root = tempfile::tempdir().unwrap();
        let disk = match Disk::make(root.path(), 12 << 20) {
            Ok(disk) => disk,
            Err(reason) => return skipped(&format!("no small disk can be mounted here: {reason}")),
        };
        let data = disk.point().join("data");
        let mut ledger = Ledger::default();
        let mut writer = Writer::start(child(&[], &data, 0));
        writer.hear(2_000, &mut ledger);
        writer.kill(&mut ledger);
        tear(&data);
        if !has_reserve {
            std::fs::remove_file(Directory::new(&data).reserve()).unwrap();
        }
        fill_up(&disk.point().join("ballast"));
        let store = Store::open(options(&data)).unwrap();
        assert!(store.report().recovered_segments > 0, "{:?}", store.report());
        assert_eq!(store.room(), Room::Critical);
        ledger.check(&store, Kept::All);
    }
}

#[test]
fn a_segment_that_is_cut_behind_the_store_is_named() {
    let root = tempfile::tempdir().unwrap();
    let mut command = child(&[], root.path(), 0);
    let output = command.env(CUT, "1").stdin(Stdio::null()).output().unwrap();
    let (said, told) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.signal(), Some(libc::SIGBUS), "{}: {told}", output.status);
    let segment = said.lines().find_map(|line| line.strip_prefix("cut ")).unwrap();
    let expected = format!("SIGBUS in clicks, lane 1, segment {segment}, byte ");
    assert!(told.contains(&expected), "{told}");
}
