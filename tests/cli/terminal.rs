//! `clicklog top` on a terminal, which `script` (of Debian's bsdutils) makes.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};

use crate::process::{PATIENCE, Process};
use rustix::process::{Pid, Signal, kill_process};

/// A terminal in which a shell runs `clicklog top`; before and behind it, the shell says how the terminal is set.
struct Terminal {
    child: Child,
    keys: Option<ChildStdin>,
    bytes: Receiver<Vec<u8>>,
    shown: String,
}

impl Terminal {
    fn start(arguments: &str) -> Self {
        let binary = env!("CARGO_BIN_EXE_clicklog");
        let shell = format!(
            "stty cols 80 rows 24; echo terminal $(tty) .; echo before $(stty -g) .; \
             sh -c 'echo process $$ .; exec {binary} top {arguments}'; echo ended $? behind $(stty -g) ."
        );
        let mut child = Command::new("script")
            .args(["-qfc", &shell, "/dev/null"])
            .env("TERM", "xterm")
            .env("SHELL", "/bin/sh")
            .env_remove("CLICKLOG_CONFIG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (tell, bytes) = sync_channel(1024);
        let mut out = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = out.read(&mut piece) {
                tell.send(piece[..read].to_vec()).unwrap_or_default();
            }
        });
        Self { keys: child.stdin.take(), child, bytes, shown: String::new() }
    }

    /// Waits until this is shown, behind all that was waited for before; what was shown up to there.
    fn until(&mut self, part: &str) -> String {
        loop {
            if let Some(at) = self.shown.find(part) {
                let rest = self.shown.split_off(at + part.len());
                return std::mem::replace(&mut self.shown, rest);
            }
            let more = self.bytes.recv_timeout(PATIENCE);
            let more = more.unwrap_or_else(|_| panic!("{part:?} is not shown, but {:?}", self.shown));
            self.shown.push_str(&String::from_utf8_lossy(&more));
        }
    }

    /// The word behind this one.
    fn word(&mut self, name: &str) -> String {
        self.until(&format!("{name} "));
        let word = self.until(" .");
        word.trim_end_matches(" .").to_owned()
    }

    fn type_keys(&mut self, keys: &str) {
        let input = self.keys.as_mut().unwrap();
        input.write_all(keys.as_bytes()).unwrap();
        input.flush().unwrap();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.keys.take());
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn is_there(tool: &str) -> bool {
    let is_there = Command::new(tool).arg("--version").stdout(Stdio::null()).status().is_ok();
    if !is_there {
        eprintln!("skipped: there is no {tool}, which makes a terminal");
    }
    is_there
}

#[test]
fn however_it_ends_the_terminal_is_as_it_was_before() {
    if !is_there("script") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &[]);
    for end in ["q", "Q", "\x03", "\x04", "SIGTERM", "SIGINT", "SIGHUP"] {
        let mut terminal = Terminal::start(&format!("--admin {} --interval 100ms", process.operators));
        let before = terminal.word("before");
        let pid: i32 = terminal.word("process").parse().unwrap();
        let screen = terminal.until("compactor  ");
        assert!(screen.contains("\x1b[?1049h") && screen.contains("PER SECOND"), "{end:?}: {screen:?}");
        match end {
            "SIGTERM" => kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap(),
            "SIGINT" => kill_process(Pid::from_raw(pid).unwrap(), Signal::INT).unwrap(),
            "SIGHUP" => kill_process(Pid::from_raw(pid).unwrap(), Signal::HUP).unwrap(),
            key => terminal.type_keys(&format!("x{key}")),
        }
        let rest = terminal.until("ended ");
        assert!(rest.contains("\x1b[?25h\x1b[?1049l"), "{end:?}: {rest:?}");
        assert_eq!(terminal.until(" behind "), "0 behind ", "{end:?}");
        assert_eq!(terminal.until(" .").trim_end_matches(" ."), before, "{end:?}");
        // Nothing of it has a colour, whatever NO_COLOR says.
        let has_colour = |text: &str| {
            text.split("\x1b[").skip(1).any(|rest| {
                let end =
                    rest.find(|letter: char| !letter.is_ascii_digit() && letter != ';' && letter != '?');
                end.is_some_and(|end| rest[end..].starts_with('m'))
            })
        };
        assert!(!has_colour(&screen) && !has_colour(&rest), "{screen:?}");
    }
    process.signal(Signal::TERM);
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn a_terminal_that_becomes_narrow_is_drawn_anew_before_the_next_look() {
    if !is_there("script") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &[]);
    // The first look comes soon, and the next later than anybody here waits.
    let mut terminal = Terminal::start(&format!("--admin {} --interval 60s", process.operators));
    let tty = terminal.word("terminal");
    terminal.until("SINCE START");
    let resized = Command::new("stty").args(["-F", &tty, "cols", "40", "rows", "30"]).status().unwrap();
    assert!(resized.success());
    terminal.until("PER S      TOTAL");
    let screen = terminal.until("failures");
    let lines = screen.split("\r\n").map(|line| line.replace("\x1b[K", ""));
    assert_eq!(lines.into_iter().find(|line| line.chars().count() > 40), None, "{screen:?}");
    terminal.type_keys("q");
    terminal.until("ended 0");
    process.signal(Signal::TERM);
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn a_daemon_that_is_started_anew_is_waited_for() {
    if !is_there("script") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &[]);
    let operators = process.operators.to_string();
    let mut terminal = Terminal::start(&format!("--admin {operators} --interval 100ms"));
    terminal.until("ready  ");
    process.signal(Signal::TERM);
    assert_eq!(process.end().0, Some(0));
    terminal.until("waiting for it; q ends");
    let again = Process::start(folder.path(), &["--admin", &operators]);
    terminal.until("ready  ");
    terminal.type_keys("q");
    terminal.until("ended 0");
    again.signal(Signal::TERM);
    assert_eq!(again.end().0, Some(0));
}
