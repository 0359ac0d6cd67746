//! Manual pages, completions, and what a build says of itself.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::clicklog;

/// The commands that a page of help lists.
fn commands(arguments: &[&str]) -> Vec<String> {
    let mut all = arguments.to_vec();
    all.push("--help");
    let help = clicklog(Path::new("."), &all).out;
    let listed = help.split_once("\nCommands:\n").map_or("", |(_, rest)| rest);
    let lines = listed.lines().take_while(|line| !line.is_empty());
    // Further lines of a description stand further to the right.
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn every_command_has_a_page_that_man_can_show() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("pages");
    let said = clicklog(folder.path(), &["man", "--dir", "pages"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let mut expected = vec!["clicklog.1".to_owned()];
    for command in commands(&[]) {
        expected.extend(commands(&[&command]).iter().map(|below| format!("clicklog-{command}-{below}.1")));
        expected.push(format!("clicklog-{command}.1"));
    }
    let mut found: Vec<String> = fs::read_dir(&pages)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    expected.sort();
    found.sort();
    assert!(expected.len() > 20, "{expected:?}");
    assert_eq!(found, expected);
    assert_eq!(said.out, format!("{} pages in pages\n", expected.len()));
    let Ok(_) = Command::new("groff").arg("--version").output() else {
        println!("skipped: there is no groff here to format the pages");
        return;
    };
    for name in found {
        let output = Command::new("groff")
            .args(["-man", "-Kutf8", "-Tutf8", "-ww", "-z"])
            .arg(pages.join(&name))
            .output();
        let warned = String::from_utf8(output.unwrap().stderr).unwrap();
        assert_eq!(warned, "", "{name}");
    }
}

#[test]
fn a_page_goes_to_standard_output_and_a_wrong_name_says_which_there_are() {
    let here = Path::new(".");
    let page = clicklog(here, &["man", "deliveries", "list"]);
    assert!(
        page.out.contains("clicklog\\-deliveries\\-list") && page.out.contains(".SH OPTIONS"),
        "{}",
        page.out
    );
    let said = clicklog(here, &["man", "deliveries", "lst"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("deliveries has no command \"lst\"; there are list, show"), "{}", said.err);
}

#[test]
fn each_shell_gets_completions() {
    for (shell, mark) in
        [("bash", "_clicklog()"), ("zsh", "#compdef clicklog"), ("fish", "complete -c clicklog")]
    {
        let said = clicklog(Path::new("."), &["completions", shell]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        assert!(said.out.contains(mark) && said.out.contains("check-config"), "{shell}: {}", said.out);
    }
}

#[test]
fn a_build_says_what_it_is() {
    let version = env!("CARGO_PKG_VERSION");
    let short = clicklog(Path::new("."), &["-V"]).out;
    assert!(
        short.starts_with(&format!("clicklog {version} (commit ")) && short.lines().count() == 1,
        "{short}"
    );
    let long = clicklog(Path::new("."), &["--version"]).out;
    assert_eq!(long.lines().next(), short.lines().next());
    for line in [
        "features  daemon",
        "segments  format 1",
        "records   click 1",
        "parquet",
        "target",
        "compiler  rustc",
    ] {
        assert!(long.contains(&format!("\n{line}")), "{line} is not in {long}");
    }
    assert_eq!(clicklog(Path::new("."), &["version"]).out, long);
    let json = clicklog(Path::new("."), &["version", "--format", "json"]).out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["version"], version);
    assert_eq!(json["formats"]["segment"], 1);
    assert_eq!(json["formats"]["records"]["decision"], 2);
}
