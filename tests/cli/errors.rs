//! What a newcomer reads when something is wrong: what, where, and what to do, each once.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::process::Process;
use crate::{Said, clicklog};

/// Says that an error is one: how it ends, what is in it, and that nothing is in it twice.
fn told(folder: &Path, arguments: &[&str], code: i32, parts: &[&str]) -> Said {
    let said = clicklog(folder, arguments);
    is_told(&said, arguments, code, parts);
    said
}

fn is_told(said: &Said, arguments: &[&str], code: i32, parts: &[&str]) {
    let text = &said.err;
    assert_eq!(said.code, Some(code), "{arguments:?}: {}{text}", said.out);
    assert!(text.starts_with(if code == 2 { "" } else { "clicklog: " }), "{arguments:?}: {text}");
    parts.iter().for_each(|part| assert!(text.contains(part), "{arguments:?}: {part:?} is not in {text}"));
    // The parser of the command line has three lines of its own about --help.
    assert!(
        text.lines().filter(|line| !line.trim().is_empty()).count() <= 3 + usize::from(code != 1),
        "{text}"
    );
    for cause in text.lines().flat_map(|line| line.split(": ")).filter(|cause| cause.len() > 12) {
        assert_eq!(text.matches(cause).count(), 1, "{arguments:?} says {cause:?} more than once: {text}");
    }
}

/// Commands that read a data folder, and what else they want.
const READERS: [&[&str]; 12] = [
    &["lookup", "x"],
    &["held", "list"],
    &["deliveries", "list"],
    &["deliveries", "show", "00112233445566778899aabbccddeeff"],
    &["inspect"],
    &["verify"],
    &["tail"],
    &["erase", "--click", "x"],
    &["export", "clicks"],
    &["report"],
    &["reconcile", "--network", "n", "list.csv"],
    &["import", "clicks", "clicks.csv"],
];

#[test]
fn every_command_that_reads_a_data_folder_says_where_there_is_none_and_where_one_is() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    fs::write(here.join("list.csv"), "transaction_id\n1\n").unwrap();
    fs::write(here.join("clicks.csv"), "id,time\na,1795158000\n").unwrap();
    fs::write(here.join("file"), "").unwrap();
    fs::create_dir_all(here.join("elsewhere/empty")).unwrap();
    let nothing = "there is no store in ";
    for command in READERS {
        let at = |data: &'static str| [command, &["--data", data]].concat();
        let flag = "-> say where it is, seen from ";
        told(here, command, 1, &[nothing, "clicklog-data: there is no such folder\n", flag, "--data"]);
        told(here, &at("file"), 1, &[nothing, "file: it is a file\n", flag]);
        told(here, &at("elsewhere"), 1, &[nothing, "elsewhere: the folder has no manifest\n", flag]);
        told(
            here,
            &at("/nowhere"),
            1,
            &[nothing, "/nowhere: there is no such folder\n", "-> say where it is with"],
        );
    }
    let process = Process::start(here, &[]);
    process.signal(Signal::TERM);
    assert_eq!(process.end().0, Some(0));
    for command in READERS {
        for (data, meant) in [
            ("elsewhere", "-> did you mean --data clicklog-data?"),
            ("clicklog-data/clicks", "-> did you mean --data clicklog-data?"),
            (".", "-> did you mean --data clicklog-data?"),
        ] {
            told(here, &[command, &["--data", data]].concat(), 1, &[nothing, data, meant]);
        }
        let within = clicklog(&here.join("clicklog-data"), command);
        // Its file is not there, or its folder is where it stands.
        assert!(
            within.err.contains("did you mean --data .?") || within.err.contains("cannot "),
            "{}",
            within.err
        );
    }
}

/// Commands that ask a daemon.
const ASKERS: [&[&str]; 7] = [
    &["deliveries", "status"],
    &["deliveries", "pause", "d"],
    &["deliveries", "resume", "d"],
    &["replay", "--network", "n", "--dry-run"],
    &["postback", "test", "--network", "n"],
    &["held", "release", "0:4096"],
    &["held", "drop", "0:4096"],
];

#[test]
fn every_command_that_asks_a_daemon_says_where_none_answers() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for command in ASKERS {
        let parts = [
            "cannot read the admin token in clicklog-data/admin-token: ",
            "-> the daemon makes it",
            "--data",
        ];
        told(here, command, 1, &parts);
    }
    fs::write(here.join("token"), "hush\n").unwrap();
    fs::write(here.join("empty"), "\n").unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for command in [&ASKERS[..], &[&["top", "--once"][..]]].concat() {
        let mut all = [command, &["--admin", &free, "--token-file", "token"]].concat();
        let place = format!("cannot ask the daemon at {free}: ");
        told(
            here,
            &all,
            1,
            &[&place, "Connection refused", "-> is it running (`clicklog serve`)", "--admin"],
        );
        *all.last_mut().unwrap() = "empty";
        if command[0] != "top" {
            told(here, &all, 1, &["empty holds no token\n", "--token-file"]);
        }
    }
}

#[test]
fn a_daemon_that_refuses_is_told_with_what_it_would_take() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let process = Process::start(here, &[]);
    let (visitors, operators) = (process.visitors.to_string(), process.operators.to_string());
    fs::write(here.join("token"), "not-this-one\n").unwrap();
    fs::write(here.join("list.csv"), "click_id,time\nx,2026-11-20T07:00:00Z\n").unwrap();
    let admin = ["--admin", &*operators];
    let wrong = ["--admin", &operators, "--token-file", "token"];
    let door = ["--admin", &*visitors];
    for (arguments, parts) in [
        (
            [&["deliveries", "pause", "d"][..], &wrong].concat(),
            &["does not take this token\n", "-> it takes the one in admin-token"][..],
        ),
        (
            [&["deliveries", "status"][..], &door].concat(),
            &["answered 404", "-> is that its operators' address", "--admin"],
        ),
        (
            [&["top", "--once"][..], &door].concat(),
            &["answered 404", "-> is that its operators' address", "--admin"],
        ),
        (
            [&["deliveries", "pause", "d"][..], &admin].concat(),
            &["no destination \"d\"; the catalog has none"],
        ),
        (
            [&["replay", "--network", "n"][..], &admin].concat(),
            &["no network \"n\"; the catalog has demo-network"],
        ),
        (
            [&["postback", "test", "--network", "demo-netwrk"][..], &admin].concat(),
            &["did you mean \"demo-network\"?"],
        ),
        (
            [&["import", "conversions", "list.csv", "--network", "n"][..], &admin].concat(),
            &["no network \"n\"; the catalog has"],
        ),
        ([&["held", "release", "0:4096"][..], &admin].concat(), &["nothing is held at 0:4096"]),
        (
            [&["held", "release", "abc"][..], &admin].concat(),
            &["\"abc\" is neither a decision, as 7:4096, nor a"],
        ),
        (
            vec!["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
            &["clicklog-data/LOCK is in use by another", "end that one"],
        ),
        (vec!["import", "clicks", "none.csv"], &["cannot read none.csv: "]),
        (vec!["reconcile", "list.csv", "--network", "n"], &["no network \"n\" is known", "--catalog"]),
        (vec!["export", "clicks", "--columns", "nix"], &["no column \"nix\"; there are time, click_id, "]),
        (vec!["report", "--sort", "nix"], &["no column \"nix\"; there are campaign, "]),
    ] {
        told(here, &arguments, 1, parts);
    }
    process.signal(Signal::TERM);
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn what_cannot_be_meant_is_a_mistake_of_usage() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, part) in [
        (&["report", "--from", "yesterday"][..], "or a day, as 2026-11-20"),
        (&["report", "--from", "2026-11-21", "--to", "2026-11-20"], "before it begins at"),
        (&["report", "--by", "colour"], "there are campaign, offer, source"),
        (&["lookup", "x", "--from", "2026-02-30"], "there is no such date"),
        (&["deliveries", "list", "--limit", "1000001"], "must be at most"),
        (&["deliveries", "replay"], "say which: --destination"),
        (&["erase", "--param", "x"], "is not NAME=VALUE"),
        (&["erase", "--click", ""], "an id is empty"),
        (&["load", "nonsense"], "a URL begins with http://"),
        (&["nonsense"], "unrecognized subcommand"),
        (&["serve", "--lissten", ":80"], "--listen"),
    ] {
        let said = clicklog(folder.path(), arguments);
        assert_eq!(said.code, Some(2), "{arguments:?}: {}", said.err);
        assert!(said.err.contains(part), "{arguments:?}: {}", said.err);
    }
    // Some of these are looked at where the data is.
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none(), "nothing was made");
}

#[test]
fn a_configuration_that_cannot_be_used_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    fs::write(here.join("s.toml"), "[admin]\ntoken = { env = \"NOT_SET_HERE\" }\n").unwrap();
    for command in ["serve", "check-config"] {
        told(here, &[command, "--config", "none.toml"], 78, &["none.toml: cannot be read: "]);
        told(here, &[command, "--catalog", "none.toml"], 78, &["none.toml: cannot be read: "]);
        told(here, &[command, "--listen", "nowhere"], 78, &["flag --listen: edge.listen = nowhere: must be"]);
    }
    let token = "admin.token: the environment variable NOT_SET_HERE is not set";
    told(here, &["serve", "--config", "s.toml"], 78, &[token]);
    // An import opens the catalog as a server would.
    fs::write(here.join("c.toml"), "[[campain]]\n").unwrap();
    fs::write(here.join("clicks.csv"), "id,time\na,1795158000\n").unwrap();
    let process = Process::start(here, &[]);
    process.signal(Signal::TERM);
    assert_eq!(process.end().0, Some(0));
    fs::write(here.join("s.toml"), "[catalog]\npath = \"c.toml\"\n").unwrap();
    let import = ["import", "clicks", "clicks.csv", "--config", "s.toml"];
    let said = clicklog(here, &import);
    assert_eq!(said.code, Some(78), "{}", said.err);
    assert_eq!(said.err.matches("unknown key \"campain\"").count(), 1, "{}", said.err);
}

#[test]
fn a_campaign_that_is_not_there_is_answered_with_those_that_are() {
    let folder = tempfile::tempdir().unwrap();
    let parts = ["no campaign \"something-else\"; the catalog has demo, demo-lander\n", "--catalog"];
    told(folder.path(), &["links", "something-else"], 1, &parts);
    told(folder.path(), &["links", "demp"], 1, &["did you mean \"demo\"?"]);
}

#[test]
fn a_port_that_is_taken_is_told_once_with_the_flags_that_choose_another() {
    let folder = tempfile::tempdir().unwrap();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let held = held.local_addr().unwrap().to_string();
    let process = Process::start(folder.path(), &[]);
    // A daemon's own listeners share their port among themselves, and with nobody else.
    for taken in [held, process.visitors.to_string(), process.operators.to_string()] {
        for flags in
            [["--admin", "127.0.0.1:0", "--listen", &taken], ["--listen", "127.0.0.1:0", "--admin", &taken]]
        {
            let arguments = [&["serve", "--data", "other"][..], &flags].concat();
            let place = format!("cannot listen at {taken}: Address already in use");
            told(
                folder.path(),
                &arguments,
                1,
                &[&place, "-> somebody listens there already", "--listen and --admin"],
            );
        }
    }
    let strange = ["serve", "--listen", "192.0.2.1:80", "--admin", "127.0.0.1:0", "--data", "other"];
    told(
        folder.path(),
        &strange,
        1,
        &["cannot listen at 192.0.2.1:80: ", "-> that is no address of this machine"],
    );
    process.signal(Signal::TERM);
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn a_data_folder_of_a_later_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &[]);
    process.signal(Signal::TERM);
    assert_eq!(process.end().0, Some(0));
    // As a later version writes it: one of the two slots, the other is how it was before.
    let slot = folder.path().join("clicklog-data/manifest-a");
    let mut bytes = fs::read(&slot).unwrap();
    bytes[8] += 1;
    let end = bytes.len() - 4;
    let sum = crc32c::crc32c(&bytes[..end]);
    bytes[end..].copy_from_slice(&sum.to_le_bytes());
    fs::write(&slot, &bytes).unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    for command in [&serve[..], &["lookup", "x"], &["report"], &["export", "clicks"]] {
        told(
            folder.path(),
            command,
            1,
            &["clicklog-data was written by a later version of clicklog", "`clicklog version`"],
        );
    }
    let said = clicklog(folder.path(), &["doctor", "--no-disk-speed"]);
    assert!(said.code == Some(1) && said.out.contains("was written by a later version"), "{}", said.out);
    assert_eq!(fs::read(&slot).unwrap(), bytes);
}

#[test]
fn too_few_files_that_may_be_open_are_told_with_the_limit_that_is_to_be_raised() {
    let folder = tempfile::tempdir().unwrap();
    let binary = env!("CARGO_BIN_EXE_clicklog");
    let line = format!("ulimit -n 20; exec {binary} serve --listen 127.0.0.1:0 --admin 127.0.0.1:0");
    let mut shell = Command::new("sh");
    let shell = shell.args(["-c", &line]).current_dir(folder.path()).env_remove("CLICKLOG_CONFIG");
    let output = shell.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    // What threads that had begun say in the log meanwhile is another matter.
    let err = text(output.stderr);
    let err = err.lines().filter(|line| !line.starts_with('{')).map(|line| format!("{line}\n")).collect();
    let said = Said { code: output.status.code(), out: text(output.stdout), err };
    is_told(&said, &["serve"], 1, &["Too many open files", "-> let it open more files: `ulimit -n 65536`"]);
}
