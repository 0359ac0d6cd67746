//! Deliveries of the daemon as a process that is killed, or cut off, under load: what arrives is what is owed, and only
//! what was in flight comes twice.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Write;

use crate::disk::{Disk, PowerSwitch, skipped};
use crate::faults::Faults;
use crate::malice::Random;
use crate::told::{
    ALL_STATUSES, Daemon, Got, STATUSES, Told, catalog, got, outcomes, owed, postback, wait_for_all,
};
use rustix::process::Signal;

/// Attempts at once to each of them.
const CONCURRENCY: usize = 4;

/// A quick one, a slow one, and one that refuses a tenth of it once.
const DESTINATIONS: [(&str, &str); 3] = [("quick", "/ok"), ("slow", "/slow/15"), ("shaky", "/shaky")];

fn catalog_of(faults: &Faults) -> String {
    let keys = format!("concurrency = {CONCURRENCY}\n{ALL_STATUSES}");
    catalog(&DESTINATIONS.map(|(id, path)| postback("postback", id, faults, path, &keys)).concat())
}

fn seed() -> u64 {
    let given = std::env::var("CLICKLOG_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| u64::from(std::process::id()));
    // Past the harness, which keeps what a passing test prints to itself: a test that hangs is killed without a word.
    std::io::stderr().write_all(format!("CLICKLOG_SEED={seed}\n").as_bytes()).unwrap();
    seed
}

/// Checks that of no conversion anything was told after what comes later.
fn is_in_order(all: &[Got]) {
    let mut ranks = HashMap::new();
    for Got { told: (to, transaction, status), .. } in all {
        let rank = STATUSES.iter().position(|known| known == status).unwrap();
        let last = ranks.insert((to, transaction), rank).unwrap_or(0);
        assert!(rank >= last, "{to} was told of {transaction} that it is {status} after {}", STATUSES[last]);
    }
}

/// How often each was taken.
fn taken(all: &[Got]) -> BTreeMap<Told, usize> {
    let (mut taken, mut refused, mut ids) = (BTreeMap::new(), BTreeSet::new(), HashMap::new());
    for Got { told, id, is_refused_once } in all {
        let known = ids.entry(id.clone()).or_insert_with(|| told.clone());
        assert_eq!(known, told, "one id, one delivery");
        if told.0 == "shaky" && *is_refused_once && refused.insert(told.clone()) {
            continue;
        }
        *taken.entry(told.clone()).or_insert(0) += 1;
    }
    assert_eq!(ids.len(), ids.values().collect::<BTreeSet<_>>().len(), "one delivery, one id");
    taken
}

/// Kills under load, at moments that a seed chooses: after a number of requests, answered or not.
fn killed_again_and_again(has_checkpoint: bool) {
    const KILLS: usize = 6;
    let (folder, faults) = (tempfile::tempdir().unwrap(), Faults::plain());
    let (mut random, catalog) = (Random(seed()), catalog_of(&faults));
    let data = folder.path().join("clicklog-data");
    let start = || {
        if !has_checkpoint {
            // At the first start, and after a kill in the first seconds, there is none.
            let _none = std::fs::remove_file(data.join("deliveries").join("dispatcher.ckpt"));
        }
        Daemon::start(folder.path(), &catalog)
    };
    for round in 0..KILLS {
        let daemon = start();
        let enough = faults.requests() + 1 + random.below(400);
        daemon.report_all(&format!("r{round}"), || {
            while faults.requests() < enough {
                std::thread::yield_now();
            }
            daemon.process.signal(Signal::KILL);
        });
        assert_eq!(daemon.process.end().0, None);
    }
    let daemon = start();
    let to = DESTINATIONS.map(|(id, _)| (id, STATUSES.as_slice()));
    wait_for_all(&data, &to, &faults);
    // What was refused once is taken later.
    crate::told::wait_until("all that is owed was taken", || {
        let taken = taken(&got(&faults.seen()));
        owed(&data, &to).iter().all(|told| taken.contains_key(told))
    });
    daemon.process.signal(Signal::TERM);
    assert_eq!(daemon.process.end().0, Some(0));
    is_in_order(&got(&faults.seen()));
    let taken = taken(&got(&faults.seen()));
    assert_eq!(taken.keys().cloned().collect::<BTreeSet<_>>(), owed(&data, &to));
    let repeats: usize = taken.values().map(|times| times - 1).sum();
    let lost = faults.requests() - outcomes(&data).len();
    let in_flight_max = KILLS * DESTINATIONS.len() * CONCURRENCY;
    assert!(repeats <= lost && lost <= in_flight_max, "{repeats} repeats, {lost} lost, {in_flight_max}");
}

#[test]
fn killed_under_load_again_and_again_what_arrives_is_what_is_owed_and_in_order() {
    killed_again_and_again(true);
}

#[test]
fn killed_under_load_with_its_checkpoints_lost_what_arrives_is_what_is_owed_and_in_order() {
    killed_again_and_again(false);
}

#[test]
fn cut_off_under_load_nothing_was_sent_that_the_cut_took_back_and_only_what_was_not_synced_comes_twice() {
    let root = tempfile::tempdir().unwrap();
    let disk = match Disk::make(root.path(), 512 << 20) {
        Ok(disk) => disk,
        Err(reason) => return skipped(&format!("no power can be cut here: {reason}")),
    };
    let (faults, mut random) = (Faults::plain(), Random(seed()));
    let catalog = catalog_of(&faults);
    let to = DESTINATIONS.map(|(id, _)| (id, STATUSES.as_slice()));
    let (mut may_repeat, mut is_after_cut, mut lives) = (0, BTreeSet::new(), vec![0]);
    for round in 0..3 {
        let daemon = Daemon::start(disk.point(), &catalog);
        let (data, switch) = (daemon.data(), disk.power_switch());
        let enough = faults.requests() + 300 + random.below(300);
        let (mut before, mut is_cut) = (Vec::new(), Ok(()));
        daemon.report_all(&format!("r{round}"), || {
            while faults.requests() < enough {
                std::thread::yield_now();
            }
            before = got(&faults.seen());
            is_cut = switch.and_then(PowerSwitch::cut);
            daemon.process.signal(Signal::KILL);
        });
        daemon.process.end();
        if let Err(reason) = is_cut {
            return skipped(&format!("no power can be cut here: {reason}"));
        }
        disk.restore_power();
        // What the process did without power is what no process does.
        is_after_cut.extend(got(&faults.seen())[before.len()..].iter().map(|got| got.told.clone()));
        // What is repeated is told in its order again, from the first whose outcome is gone.
        lives.push(faults.requests());
        // The next start recovers; what it makes of the journal is what counts.
        let daemon = Daemon::start(disk.point(), &catalog);
        let kept = owed(&data, &to);
        for got in before {
            assert!(
                kept.contains(&got.told) || is_after_cut.contains(&got.told),
                "{got:?} was sent and is gone"
            );
        }
        daemon.process.signal(Signal::KILL);
        daemon.process.end();
        may_repeat = faults.requests() - outcomes(&data).len();
    }
    let daemon = Daemon::start(disk.point(), &catalog);
    let data = daemon.data();
    wait_for_all(&data, &to, &faults);
    daemon.process.signal(Signal::TERM);
    assert_eq!(daemon.process.end().0, Some(0));
    let all = got(&faults.seen());
    lives.push(all.len());
    lives.windows(2).for_each(|life| is_in_order(&all[life[0]..life[1]]));
    let taken = taken(&all);
    let repeats: usize = taken.values().map(|times| times - 1).sum();
    assert!(repeats <= may_repeat, "{repeats} repeats, {may_repeat} outcomes lost");
}
