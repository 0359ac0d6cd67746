//! `clicklog doctor` on machines and folders that are not well, one thing at a time.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::process::Process;
use crate::{Said, clicklog};
use rustix::process::Signal;

/// What it finds, with ports that are free.
fn doctor(folder: &Path, more: &[&str]) -> (Said, Vec<Value>) {
    let mut arguments = vec!["doctor", "--format", "json"];
    for (flag, value) in [("--listen", "127.0.0.1:0"), ("--admin", "127.0.0.1:0")] {
        if !more.contains(&flag) {
            arguments.extend([flag, value]);
        }
    }
    arguments.extend(["--no-disk-speed"]);
    arguments.extend(more);
    let said = clicklog(folder, &arguments);
    let findings = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{}{}", said.out, said.err));
    (said, findings)
}

/// The state, what was found and what is advised about one thing.
fn about<'a>(findings: &'a [Value], what: &str, found: &str) -> (&'a str, &'a str) {
    let one = findings.iter().find(|of| of["what"] == what && of["found"].as_str().unwrap().contains(found));
    let one = one.unwrap_or_else(|| panic!("nothing about {what}: {found} in {findings:#?}"));
    (one["state"].as_str().unwrap(), one["advice"].as_str().unwrap_or_default())
}

#[test]
fn an_empty_folder_is_looked_at_and_nothing_is_made_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let (_, findings) = doctor(folder.path(), &[]);
    assert_eq!(about(&findings, "settings", "can be used").0, "ok");
    assert_eq!(about(&findings, "data folder", "is not there yet").0, "ok");
    assert_eq!(about(&findings, "catalog", "built-in").0, "warn");
    assert_eq!(about(&findings, "daemon", "none answers").0, "ok");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let text = clicklog(folder.path(), &["doctor", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]).out;
    assert!(text.contains("a sync takes") && text.contains(" to look at, "), "{text}");
}

#[test]
fn settings_and_catalogs_that_cannot_be_used_fail_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("s.toml"), "[edge]\nworkerz = 3\n").unwrap();
    let (said, findings) = doctor(folder.path(), &["--config", "s.toml"]);
    assert_eq!((said.code, about(&findings, "settings", "s.toml:2").0), (Some(1), "fail"));
    fs::write(folder.path().join("c.toml"), "[[campaign]]\nid = \"a\"\nofers = []\n").unwrap();
    let (said, findings) = doctor(folder.path(), &["--catalog", "c.toml"]);
    assert_eq!((said.code, about(&findings, "catalog", "c.toml:3").0), (Some(1), "fail"));
}

#[test]
fn a_data_folder_that_is_a_file_fails() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("clicklog-data"), "").unwrap();
    let (said, findings) = doctor(folder.path(), &[]);
    assert_eq!((said.code, about(&findings, "data folder", "is no folder").0), (Some(1), "fail"));
}

#[test]
fn keys_that_others_may_read_fail_with_the_command_that_mends_it() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("clicklog-data/keys");
    fs::create_dir_all(&keys).unwrap();
    fs::write(keys.join("key"), "x").unwrap();
    fs::set_permissions(keys.join("key"), Permissions::from_mode(0o644)).unwrap();
    let (said, findings) = doctor(folder.path(), &[]);
    let (state, advice) = about(&findings, "key files", "others may read");
    assert_eq!((said.code, state), (Some(1), "fail"));
    assert!(advice.contains("chmod 0600 "), "{advice}");
    fs::set_permissions(keys.join("key"), Permissions::from_mode(0o600)).unwrap();
    assert_eq!(about(&doctor(folder.path(), &[]).1, "key files", "1, for their owner").0, "ok");
}

#[test]
fn a_folder_that_anybody_may_write_to_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("clicklog-data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, Permissions::from_mode(0o777)).unwrap();
    assert_eq!(about(&doctor(folder.path(), &[]).1, "data folder", "by others").0, "warn");
}

#[test]
fn a_disk_with_too_little_room_fails() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("s.toml"), "[store]\nlow_free = \"1000TiB\"\ncritical_free = \"1000TiB\"\n")
        .unwrap();
    let (said, findings) = doctor(folder.path(), &["--config", "s.toml"]);
    assert_eq!((said.code, about(&findings, "free space", "MiB").0), (Some(1), "fail"));
}

#[test]
fn a_port_of_somebody_else_fails_and_one_of_a_daemon_of_ours_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap().to_string();
    let (said, findings) = doctor(folder.path(), &["--listen", &address]);
    let (state, advice) = about(&findings, "visitors' port", "in use by somebody else");
    assert_eq!((said.code, state), (Some(1), "fail"));
    assert!(advice.contains("ss -ltnp"), "{advice}");

    let process = Process::start(folder.path(), &[]);
    let (visitors, operators) = (process.visitors.to_string(), process.operators.to_string());
    let (_, findings) = doctor(folder.path(), &["--listen", &visitors, "--admin", &operators]);
    assert_eq!(about(&findings, "visitors' port", "a daemon runs here").0, "ok");
    assert_eq!(about(&findings, "daemon", "it is ready").0, "ok");
    assert_eq!(about(&findings, "clock", "not behind what is recorded").0, "ok");
    assert!(about(&findings, "key files", "for their owner alone").0 == "ok", "{findings:#?}");
    process.signal(Signal::TERM);
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn a_destination_without_an_address_is_told_and_its_template_can_be_filled() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = r#"
        [[source]]
        id = "s"
        [[source.postback]]
        id = "gone"
        url = "https://nobody.invalid/?c={click_id}"
        on = ["approved"]
        [[campaign]]
        id = "c"
        source = "s"
        offers = []
        fallback_url = "https://example.com/"
    "#;
    fs::write(folder.path().join("c.toml"), catalog).unwrap();
    let (_, findings) = doctor(folder.path(), &["--catalog", "c.toml"]);
    assert_eq!(about(&findings, "names", "nobody.invalid: ").0, "warn");
    assert_eq!(about(&findings, "templates", "all 1 destinations").0, "ok");
}
