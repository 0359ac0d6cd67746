//! What a newcomer reads when something is wrong: what, where, and what to do.

use std::net::TcpListener;

use crate::clicklog;

#[test]
fn a_data_folder_that_is_not_there_is_named_with_the_flag_that_says_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    for command in [&["lookup", "x"][..], &["held", "list"], &["deliveries", "list"]] {
        let said = clicklog(folder.path(), command);
        assert_eq!(said.code, Some(1), "{command:?}");
        assert!(
            said.err.contains("no store in clicklog-data") && said.err.contains("--data"),
            "{}",
            said.err
        );
    }
}

#[test]
fn a_campaign_that_is_not_there_is_answered_with_those_that_are() {
    let folder = tempfile::tempdir().unwrap();
    let said = clicklog(folder.path(), &["links", "something-else"]).err;
    assert!(said.contains("the catalog has demo, demo-lander; is --catalog right?"), "{said}");
    let said = clicklog(folder.path(), &["links", "demp"]).err;
    assert!(said.contains("did you mean \"demo\"?"), "{said}");
}

#[test]
fn a_port_that_is_taken_is_told_once_with_the_flags_that_choose_another() {
    let folder = tempfile::tempdir().unwrap();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap().to_string();
    let said = clicklog(folder.path(), &["serve", "--admin", "127.0.0.1:0", "--listen", &address]);
    assert_eq!(said.code, Some(1));
    assert_eq!(said.err.matches("Address already in use").count(), 1, "{}", said.err);
    assert!(said.err.contains(&address) && said.err.contains("--listen"), "{}", said.err);
}
