//! The machine: its kernel, its limits, its clock.
//!
//! Keeps: what cannot be read is said to be unknown; it does not fail.

use std::fs;
use std::process::Command;

use rustix::process::{Resource, getrlimit};

use super::Finding;
use crate::clock::{Clock, Timestamp};
use crate::config::Settings;
use crate::store::Journal;
use crate::store::reader::Reader;

/// The first kernel that can make pages of a mapping ready to be written (`MADV_POPULATE_WRITE`).
const KERNEL_MIN: (u32, u32) = (5, 14);
/// Descriptors beside connections and segments: listeners, deliveries, files of the compactor.
const DESCRIPTORS_BESIDE: u64 = 1024;
/// Connections that may wait to be accepted: with fewer, a burst is refused by the kernel.
const BACKLOG_MIN: u64 = 1024;
/// A clock may be set back by so many seconds before it is told; segments are made ahead of use.
const BACK_MICROS_MAX: i64 = 5_000_000;

pub(super) fn all(settings: &Settings, clock: &Clock) -> Vec<Finding> {
    let mut findings = vec![
        kernel(&fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default()),
        descriptors(settings, getrlimit(Resource::Nofile).current),
    ];
    for path in ["net/core/somaxconn", "net/ipv4/tcp_max_syn_backlog"] {
        let text = fs::read_to_string(format!("/proc/sys/{path}")).ok();
        findings.push(backlog(&path.replace('/', "."), text.and_then(|text| text.trim().parse().ok())));
    }
    findings.push(synchronised(clock_state()));
    findings.push(clock_back(clock.now(), newest(settings)));
    findings
}

fn kernel(release: &str) -> Finding {
    let release = release.trim();
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().ok());
    let known = match (parts.next().flatten(), parts.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor),
        _ => return Finding::warn("kernel", "unknown", "clicklog is for Linux 5.14 and later"),
    };
    if known >= KERNEL_MIN {
        return Finding::ok("kernel", format!("Linux {release}"));
    }
    let advice =
        "before 5.14 a click may meet a page that is not there yet, and wait for it; take a later kernel";
    Finding::warn("kernel", format!("Linux {release}"), advice)
}

fn descriptors(settings: &Settings, limit: Option<u64>) -> Finding {
    let wanted = settings.edge.connections_max as u64
        + settings.store.open_files_max as u64
        + u64::from(settings.dispatcher.attempts_max)
        + DESCRIPTORS_BESIDE;
    match limit {
        Some(limit) if limit < wanted => Finding::warn(
            "open files",
            format!("{limit} may be open, {wanted} are needed when all connections are in use"),
            format!("set LimitNOFILE={wanted} in the unit (or ulimit -n), or lower edge.connections_max"),
        ),
        Some(limit) => Finding::ok("open files", format!("{limit} may be open")),
        None => Finding::ok("open files", "there is no limit"),
    }
}

fn backlog(name: &str, found: Option<u64>) -> Finding {
    match found {
        None => Finding::ok("backlog", format!("{name} cannot be read here")),
        Some(found) if found >= BACKLOG_MIN => Finding::ok("backlog", format!("{name} is {found}")),
        Some(found) => Finding::warn(
            "backlog",
            format!("{name} is {found}"),
            format!("a burst of new connections is refused beyond that; sysctl -w {name}=4096"),
        ),
    }
}

/// Whether something keeps the clock right; nothing where nobody can tell.
fn clock_state() -> Option<bool> {
    if fs::exists("/run/systemd/timesync/synchronized").unwrap_or(false) {
        return Some(true);
    }
    let asked = Command::new("timedatectl").args(["show", "--property=NTPSynchronized", "--value"]).output();
    let said = asked.ok().filter(|output| output.status.success())?;
    match String::from_utf8_lossy(&said.stdout).trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

fn synchronised(state: Option<bool>) -> Finding {
    match state {
        Some(true) => Finding::ok("clock", "it is synchronised"),
        Some(false) => Finding::warn(
            "clock",
            "it is not synchronised",
            "attribution windows and reports go by it; run systemd-timesyncd or chrony",
        ),
        None => Finding::warn(
            "clock",
            "nobody here can say whether it is synchronised",
            "see that the host keeps it right: attribution windows and reports go by it",
        ),
    }
}

/// When the newest segment was begun, if there is one.
fn newest(settings: &Settings) -> Option<Timestamp> {
    let reader = Reader::open(&settings.store.data);
    let journals = [Journal::Clicks, Journal::Postbacks, Journal::Deliveries].into_iter();
    let lanes = journals.flat_map(|journal| {
        reader.lanes(journal).unwrap_or_default().into_iter().map(move |lane| (journal, lane))
    });
    let times = lanes.filter_map(|(journal, lane)| {
        let last = reader.segments(journal, lane).ok()?.into_iter().max()?;
        Some(reader.header(journal, lane, last).ok()??.created)
    });
    times.max()
}

fn clock_back(now: Timestamp, newest: Option<Timestamp>) -> Finding {
    match newest {
        Some(newest) if newest.micros() - now.micros() > BACK_MICROS_MAX => Finding::fail(
            "clock",
            format!("it says {now}, and the data folder has a segment of {newest}"),
            "it was set back, or the folder is of another machine: put the clock right before you start",
        ),
        Some(_) => Finding::ok("clock", "it is not behind what is recorded"),
        None => Finding::ok("clock", "nothing is recorded yet that it could be behind"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn what_is_too_little_is_told_with_what_to_do() {
        assert_eq!(kernel("6.1.0-18-amd64\n").state, State::Ok);
        assert_eq!(kernel("5.14.0").state, State::Ok);
        for release in ["5.10.0-28-amd64", "4.19", "strange"] {
            assert_eq!(kernel(release).state, State::Warn, "{release}");
        }
        let settings = Settings::default();
        assert_eq!(descriptors(&settings, None).state, State::Ok);
        assert_eq!(descriptors(&settings, Some(1 << 20)).state, State::Ok);
        let few = descriptors(&settings, Some(1024));
        assert!(few.advice.as_ref().is_some_and(|advice| advice.contains("LimitNOFILE=")), "{few:?}");
        assert_eq!(backlog("net.core.somaxconn", Some(4096)).state, State::Ok);
        assert_eq!(backlog("net.core.somaxconn", Some(128)).state, State::Warn);
        assert_eq!(synchronised(Some(false)).state, State::Warn);
    }

    #[test]
    fn a_clock_that_was_set_back_fails() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        assert_eq!(clock_back(at(100), None).state, State::Ok);
        assert_eq!(clock_back(at(100), Some(at(104))).state, State::Ok);
        assert_eq!(clock_back(at(100), Some(at(3700))).state, State::Fail);
    }
}
