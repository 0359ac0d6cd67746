//! The data folder and the disk that it is on.
//!
//! Keeps: a folder that is not there is not made; what would be its parent is looked at instead. What is written to try the
//! disk has no name, at most `PROBE_BYTES`, and takes at most about `PROBE_TIME`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

use super::Finding;
use crate::clock::Clock;
use crate::config::Settings;
use crate::serve::TOKEN_FILE;
use crate::store::described;
use crate::store::directory::Directory;
use crate::store::manifest::Manifest;

/// Small writes that are synced one by one.
const SYNCS: usize = 200;
const SYNC_BYTES: usize = 4096;
/// Written in one go.
const PROBE_BYTES: usize = 64 << 20;
const PIECE_BYTES: usize = 1 << 20;
/// Longer than that neither goes on.
const PROBE_TIME: Duration = Duration::from_secs(5);
/// Each postback waits for a sync: longer, and networks see it.
const SYNC_SLOW: Duration = Duration::from_millis(50);
/// Bytes a second of an ordinary disk.
const WRITE_SLOW: u128 = 50 << 20;
/// Files of the keys folder that are looked at.
const KEYS_MAX: usize = 256;

pub(super) fn all(settings: &Settings, tries_speed: bool, clock: &Clock) -> Vec<Finding> {
    let data = &settings.store.data;
    let Some(place) = existing(data) else {
        return vec![Finding::fail(
            "data folder",
            format!("{} can be nowhere: no folder above it exists", data.display()),
            "say where with --data, or as store.data",
        )];
    };
    let mut findings = vec![folder(data, &place)];
    findings.push(mount(&place, &fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()));
    findings.push(free(settings, &place));
    findings.extend(modes(data));
    findings.extend(store(settings));
    if tries_speed {
        findings.push(speed(&place, clock));
    }
    findings
}

/// The folder, or the nearest one above it that is there; where links lead, because that is the disk that counts.
fn existing(data: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(data).ok()?;
    let found = absolute.ancestors().find(|path| path.exists())?;
    Some(fs::canonicalize(found).unwrap_or_else(|_| found.to_owned()))
}

/// The store in it, if there is one.
fn store(settings: &Settings) -> Option<Finding> {
    let what = "store";
    let node = settings.store.node;
    match Manifest::peek(&Directory::new(&settings.store.data)) {
        Ok(None) => None,
        Ok(Some(manifest)) if manifest.node == node => {
            Some(Finding::ok(what, format!("it is of node {node}")))
        }
        Ok(Some(manifest)) => Some(Finding::fail(
            what,
            format!("it is of node {}, and this is to be node {node}", manifest.node),
            format!("set store.node = {}, or use another data folder", manifest.node),
        )),
        Err(error) => Some(Finding::fail(what, described(&error), "nothing starts with it")),
    }
}

fn folder(data: &Path, place: &Path) -> Finding {
    let shown = data.display();
    if !place.is_dir() {
        let advice = "say another one with --data, or as store.data";
        return Finding::fail("data folder", format!("{} is no folder", place.display()), advice);
    }
    if let Err(error) = unnamed(place) {
        return Finding::fail(
            "data folder",
            format!("nothing can be written into {}: {error}", place.display()),
            "give it to the user that runs the server (chown), or say another one with --data",
        );
    }
    if !data.exists() {
        return Finding::ok("data folder", format!("{shown} is not there yet; a start makes it"));
    }
    match fs::metadata(data).map(|found| found.mode()) {
        Ok(mode) if mode & 0o022 != 0 => Finding::warn(
            "data folder",
            format!("{shown} can be written by others, mode {:o}", mode & 0o777),
            format!("chmod 0750 {shown}"),
        ),
        Ok(_) => Finding::ok("data folder", format!("{shown} can be written")),
        Err(error) => Finding::fail("data folder", format!("{shown}: {error}"), "see who owns it"),
    }
}

/// A file without a name: it goes with its descriptor, whatever happens.
fn unnamed(folder: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => Ok(file.into()),
        // Not every file system has them.
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR) => {
            let path = folder.join(format!(".clicklog-doctor-{}", std::process::id()));
            let file = File::options().write(true).create_new(true).open(&path)?;
            fs::remove_file(&path)?;
            Ok(file)
        }
        Err(error) => Err(error.into()),
    }
}

/// A line of mountinfo: where, with which options, which file system.
struct Mount<'a> {
    point: String,
    options: [&'a str; 2],
    kind: &'a str,
}

fn mount_of(line: &str) -> Option<Mount<'_>> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(4);
    // Blanks in it are written in octal.
    let point = left.next()?.replace("\\040", " ");
    let mut right = right.split(' ');
    Some(Mount { point, options: [left.next()?, right.clone().nth(2)?], kind: right.next()? })
}

fn mount(place: &Path, mountinfo: &str) -> Finding {
    let what = "file system";
    let mounts = mountinfo.lines().filter_map(mount_of).filter(|mount| place.starts_with(&mount.point));
    // Of several at one place the last one is on top.
    let Some(mount) = mounts.max_by_key(|mount| mount.point.len()) else {
        return Finding::warn(what, "unknown", "see that it is a local one, as ext4 or xfs");
    };
    let Mount { point, options, kind } = &mount;
    let found = format!("{kind} at {point}");
    let has = |option: &str| options.iter().any(|list| list.split(',').any(|one| one == option));
    if has("ro") {
        return Finding::fail(
            what,
            format!("{found}, read only"),
            "mount it for writing, or move store.data",
        );
    }
    if has("nobarrier") || has("barrier=0") {
        let advice = "with it a power cut loses what was answered; mount it without nobarrier";
        return Finding::fail(what, format!("{found}, with nobarrier"), advice);
    }
    match *kind {
        "ext4" | "xfs" => Finding::ok(what, found),
        "tmpfs" | "ramfs" => Finding::warn(
            what,
            found,
            "it is memory: a restart of the machine loses everything; fine for a try, nothing else",
        ),
        "nfs" | "nfs4" | "cifs" | "smb3" | "9p" => Finding::fail(
            what,
            found,
            "segments are mapped and locked, which over a network is not sure; take a local disk",
        ),
        "btrfs" | "zfs" | "overlay" => Finding::warn(
            what,
            found,
            "it copies what it changes, so room that was set aside may be missing after all; ext4 or xfs is tested",
        ),
        _ => Finding::warn(what, found, "it is not tested here; ext4 and xfs are"),
    }
}

fn free(settings: &Settings, place: &Path) -> Finding {
    let what = "free space";
    let stat = match rustix::fs::statvfs(place) {
        Ok(stat) => stat,
        Err(error) => return Finding::warn(what, format!("unknown: {error}"), "see df"),
    };
    judge_free(stat.f_bavail.saturating_mul(stat.f_frsize), settings)
}

fn judge_free(free: u64, settings: &Settings) -> Finding {
    let what = "free space";
    let (low, critical) = (settings.store.low_free.0, settings.store.critical_free.0);
    let found = format!("{} MiB", free >> 20);
    if free < critical {
        let advice = format!(
            "below store.critical_free, {} MiB: postbacks are answered 503; make room, or lower it",
            critical >> 20
        );
        return Finding::fail(what, found, advice);
    }
    if free < low {
        let advice = format!("below store.low_free, {} MiB: an alarm is on; make room", low >> 20);
        return Finding::warn(what, found, advice);
    }
    Finding::ok(what, found)
}

/// Whether keys and the token are the owner's alone.
fn modes(data: &Path) -> Option<Finding> {
    let keys = Directory::new(data).keys();
    let in_keys = fs::read_dir(keys).into_iter().flatten().flatten().take(KEYS_MAX).map(|entry| entry.path());
    let files: Vec<PathBuf> = in_keys.chain([data.join(TOKEN_FILE)]).collect();
    let modes = files.iter().filter_map(|path| Some((path, fs::metadata(path).ok()?.mode() & 0o777)));
    let modes: Vec<_> = modes.collect();
    let open: Vec<String> = modes
        .iter()
        .filter(|(_, mode)| mode & 0o077 != 0)
        .map(|(path, _)| path.display().to_string())
        .collect();
    match (modes.len(), open.as_slice()) {
        (0, _) => None,
        (count, []) => Some(Finding::ok("key files", format!("{count}, for their owner alone"))),
        (_, open) => Some(Finding::fail(
            "key files",
            format!("others may read {}", open.join(", ")),
            format!("who has them can make click ids or reload the server; chmod 0600 {}", open.join(" ")),
        )),
    }
}

fn speed(place: &Path, clock: &Clock) -> Finding {
    let what = "disk speed";
    match try_disk(place, clock) {
        Err(error) => {
            Finding::warn(what, format!("it could not be tried: {error}"), "see that there is room")
        }
        Ok(Speed { mut syncs, bytes, time }) => {
            syncs.sort();
            let at = |percent: usize| {
                let index = (syncs.len() * percent / 100).min(syncs.len().saturating_sub(1));
                syncs.get(index).copied().unwrap_or_default()
            };
            let (p50, p99) = (at(50), at(99));
            let a_second = bytes as u128 * 1_000_000 / time.as_micros().max(1);
            let found = format!(
                "a sync takes {:.2} ms, one in a hundred {:.2} ms; {} MB/s in one go",
                p50.as_secs_f64() * 1e3,
                p99.as_secs_f64() * 1e3,
                a_second / 1_000_000
            );
            if p99 > SYNC_SLOW {
                let advice = "each postback waits for a sync, and networks would see this; take a disk with \
                              power-loss protection, or one that others do not use";
                return Finding::warn(what, found, advice);
            }
            if a_second < WRITE_SLOW {
                return Finding::warn(
                    what,
                    found,
                    "Parquet files and rewriting will take long; take a faster disk",
                );
            }
            Finding::ok(what, found)
        }
    }
}

/// What came of trying.
struct Speed {
    syncs: Vec<Duration>,
    bytes: usize,
    /// For those bytes.
    time: Duration,
}

fn try_disk(place: &Path, clock: &Clock) -> io::Result<Speed> {
    let mut file = unnamed(place)?;
    let began = clock.monotonic();
    let left = |since: Duration| clock.monotonic().saturating_sub(since) < PROBE_TIME;
    let mut syncs = Vec::with_capacity(SYNCS);
    let page = [7; SYNC_BYTES];
    while syncs.len() < SYNCS && left(began) {
        let before = clock.monotonic();
        file.write_all(&page)?;
        file.sync_data()?;
        syncs.push(clock.monotonic().saturating_sub(before));
    }
    let piece = vec![7; PIECE_BYTES];
    let began = clock.monotonic();
    let mut bytes = 0;
    while bytes < PROBE_BYTES && left(began) {
        file.write_all(&piece)?;
        bytes += PIECE_BYTES;
    }
    file.sync_data()?;
    Ok(Speed { syncs, bytes, time: clock.monotonic().saturating_sub(began) })
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;
    use crate::config::Bytes;

    #[test]
    fn a_file_system_is_judged_by_the_mount_nearest_to_the_folder() {
        let line = |point: &str, options: &str, kind: &str| {
            format!("36 35 98:0 / {point} {options} shared:1 - {kind} /dev/x rw,errors=continue\n")
        };
        let all = line("/", "rw,relatime", "ext4")
            + &line("/ram", "rw", "tmpfs")
            + &line("/net", "rw", "nfs4")
            + &line("/old", "ro,relatime", "xfs")
            + &line("/a\\040b", "rw,nobarrier", "ext4");
        for (place, expected) in [
            ("/var/lib/clicklog", State::Ok),
            ("/ram/data", State::Warn),
            ("/ramp", State::Ok),
            ("/net", State::Fail),
            ("/old/x", State::Fail),
            ("/a b/c", State::Fail),
        ] {
            let found = mount(Path::new(place), &all);
            assert_eq!(found.state, expected, "{place}: {found:?}");
        }
        assert_eq!(mount(Path::new("/x"), "").state, State::Warn);
    }

    #[test]
    fn free_space_is_judged_by_the_settings() {
        let mut settings = Settings::default();
        (settings.store.low_free, settings.store.critical_free) = (Bytes(200), Bytes(100));
        for (free, expected) in [(99, State::Fail), (100, State::Warn), (199, State::Warn), (200, State::Ok)]
        {
            assert_eq!(judge_free(free, &settings).state, expected, "{free}");
        }
    }

    #[test]
    fn a_disk_is_tried_without_leaving_anything() {
        let folder = tempfile::tempdir().unwrap();
        let tried = try_disk(folder.path(), &Clock::System).unwrap();
        assert!(!tried.syncs.is_empty() && tried.bytes > 0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
