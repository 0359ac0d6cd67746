//! The postbacks that we owe, at the daemon as a process, with an operator at the command line: what is dead is listed and
//! sent again, a destination is paused over a restart, a network is tried out; and a destination's secret comes out nowhere.

use std::fs;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::faults::{Faults, Seen};
use crate::process::{Process, ask_whole, connect};

const SECRET: &str = "a/secret+that nobody-knows";
/// What of it is the same in a URL, in JSON and in a header.
const PART: &str = "nobody-knows";

/// A destination at each level, with the secret in all the places that there are.
fn catalog(told: &Faults) -> String {
    let mut text = r#"
        [secrets]
        hush = { env = "HUSH" }
        [[network]]
        id = "n"
        params = { click_id = ["cid"], payout = ["sum"], transaction_id = ["tx"] }
        [[source]]
        id = "s"
        [[offer]]
        id = "o"
        network = "n"
        url = "https://offer.example.com/?s={click_id}"
        payout = "auto"
        [[campaign]]
        id = "c"
        source = "s"
        offers = [{ id = "o" }]
    "#
    .to_owned();
    for (table, id, path, more) in [
        (
            "source.postback",
            "gone",
            "/gone-once",
            "json = '{\"key\": \"{secret:hush}\", \"t\": \"{transaction_id}\"}'",
        ),
        ("postback", "ill", "/status/500", ""),
        ("campaign.postback", "well", "/ok", "payout_percent = \"50%\""),
        ("offer.postback", "picky", "/ok", "payout = { min = \"100\" }"),
    ] {
        let query = format!("to={id}&c={{click_id}}&t={{transaction_id}}&p={{payout}}&key={{secret:hush}}");
        text.push_str(&format!(
            "[[{table}]]\nid = \"{id}\"\nurl = \"{}?{query}\"\n{more}\n\
             headers = {{ \"X-Key\" = \"{{secret:hush}}\" }}\nallow_addresses = [\"127.0.0.1/32\"]\n",
            told.url(path)
        ));
    }
    text
}

struct House {
    folder: tempfile::TempDir,
    process: Option<Process>,
    told: Faults,
    said: String,
}

impl House {
    fn open() -> Self {
        Self::open_with(&[])
    }

    fn open_with(environment: &[(&str, &str)]) -> Self {
        let (folder, told) = (tempfile::tempdir().unwrap(), Faults::plain());
        fs::write(folder.path().join("catalog.toml"), catalog(&told)).unwrap();
        let mut house = Self { folder, process: None, told, said: String::new() };
        house.start(environment);
        house
    }

    fn start(&mut self, environment: &[(&str, &str)]) {
        let own = [("HUSH", SECRET), ("CLICKLOG_STORE__JOURNAL_SEGMENT", "1MiB")];
        let environment = [&own, environment].concat();
        let process = Process::start_with(self.folder.path(), &["--catalog", "catalog.toml"], &environment);
        self.process = Some(process);
    }

    /// Stops it in order, and hears it out.
    fn stop(&mut self) {
        let process = self.process.take().unwrap();
        process.signal(Signal::TERM);
        let (code, said) = process.end();
        assert_eq!(code, Some(0), "{said}");
        self.said += &said;
    }

    fn process(&self) -> &Process {
        self.process.as_ref().unwrap()
    }

    fn click(&self) -> String {
        let request = "GET /c/c HTTP/1.1\r\nHost: trk.example\r\n\r\n";
        let (head, _) = ask_whole(&mut connect(self.process().visitors), request).unwrap();
        head.split("cl_cid=").nth(1).unwrap().split(';').next().unwrap().to_owned()
    }

    fn convert(&self, click: &str, transaction: &str) {
        let request = format!(
            "GET /postback/n?cid={click}&tx={transaction}&sum=2.50 HTTP/1.1\r\nHost: trk.example\r\n\r\n"
        );
        let (head, _) = ask_whole(&mut connect(self.process().visitors), &request).unwrap();
        assert!(head.contains("x-clicklog-result: accepted"), "{head}");
    }

    /// Asks the operators' door, with the token or without; the status and the body.
    fn ask(&self, request: &str, body: &str, has_token: bool) -> (u16, String) {
        let token = fs::read_to_string(self.folder.path().join("clicklog-data/admin-token")).unwrap();
        let token = if has_token { token.trim() } else { "none" };
        let length = body.len();
        let request = format!(
            "{request} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let (head, body) = ask_whole(&mut connect(self.process().operators), &request).unwrap();
        (head[9..12].parse().unwrap(), body)
    }

    /// Runs a command; exit code and what it printed.
    fn command(&mut self, arguments: &[&str]) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clicklog"));
        command.current_dir(self.folder.path()).env_remove("CLICKLOG_ADMIN_TOKEN").env("HUSH", SECRET);
        command.args(arguments);
        match arguments {
            ["deliveries", "list" | "show", ..] | ["links", ..] => {
                command.args(["--catalog", "catalog.toml"])
            }
            ["deliveries" | "postback", ..] => {
                command.args(["--admin", &self.process().operators.to_string()])
            }
            _ => &mut command,
        };
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        self.said += &said;
        (output.status.code().unwrap(), said)
    }

    fn list(&mut self, more: &[&str]) -> Vec<Value> {
        let arguments = [&["deliveries", "list", "--format", "json"], more].concat();
        let (code, said) = self.command(&arguments);
        assert_eq!(code, 0, "{said}");
        let found: Value = serde_json::from_str(&said).unwrap();
        found["deliveries"].as_array().unwrap().clone()
    }

    /// The deliveries of this kind, once there are so many: an outcome is written a moment after its answer was.
    fn await_listed(&mut self, more: &[&str], count: usize) -> Vec<Value> {
        for _ in 0..2_000 {
            let found = self.list(more);
            if found.len() == count {
                return found;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!("waited in vain for {count} of {more:?}: {:?}", self.list(&[]));
    }

    /// What came to a destination, in order, once there are so many requests.
    fn await_told(&self, destination: &str, count: usize) -> Vec<Seen> {
        for all in 1.. {
            let seen = self.told.wait_for(all);
            let found: Vec<Seen> = seen.into_iter().filter(|seen| is_to(seen, destination)).collect();
            if found.len() >= count {
                return found;
            }
        }
        unreachable!("it waits, or fails")
    }

    /// Waits for a line of the checks, whose numbers are brought up to date once a second. It is ready all the while.
    fn await_ready(&self, line: &str) {
        for _ in 0..5_000 {
            let (status, body) = self.ask("GET /readyz?verbose", "", false);
            assert_eq!(status, 200, "{body}");
            if body.contains(line) {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!("waited in vain for {line}");
    }

    fn destination(&self, id: &str) -> Value {
        let (status, body) = self.ask("GET /api/destinations", "", false);
        assert_eq!(status, 200, "{body}");
        let told: Value = serde_json::from_str(&body).unwrap();
        let all = told["destinations"].as_array().unwrap();
        all.iter().find(|of| of["destination"] == id).unwrap().clone()
    }
}

fn is_to(seen: &Seen, destination: &str) -> bool {
    seen.target.contains(&format!("?to={destination}&"))
}

#[test]
fn what_is_dead_is_listed_with_its_reason_and_delivered_once_when_it_is_replayed() {
    let mut house = House::open();
    let click = house.click();
    house.convert(&click, "t-1");
    house.await_listed(&["--state", "delivered"], 1);
    let dead = house.await_listed(&["--state", "dead"], 1).remove(0);
    assert_eq!((&dead["class"], &dead["http_status"]), (&Value::from("gone"), &Value::from(410)));
    assert_eq!((&dead["transaction_id"], &dead["click_id"]), (&Value::from("t-1"), &Value::from(&*click)));
    let answer = dead["detail"].as_str().unwrap();
    assert!(answer.contains("\"method\":\"POST\"") && answer.contains("key=***"), "{answer}");
    let retrying = house.await_listed(&["--state", "retrying"], 1).remove(0);
    assert_eq!((&retrying["destination"], &retrying["class"]), (&Value::from("ill"), &Value::from("server")));
    assert!(retrying["next_attempt"].is_string(), "{retrying}");

    let (_, shown) = house.command(&["deliveries", "list", "--state", "dead", "--requests"]);
    for part in
        ["gone 410", "request, as it would be made now", "&key=***", "x-key: ***", "{\"key\": \"***\""]
    {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
    let (_, dry) = house.command(&["deliveries", "replay", "--destination", "gone", "--dry-run"]);
    assert!(dry.contains("1 would be tried again"), "{dry}");
    assert_eq!(house.list(&["--state", "dead"])[0], dead, "a dry run changes nothing");
    assert_eq!(house.await_told("gone", 1).len(), 1);

    let (code, done) = house.command(&["deliveries", "replay", "--destination", "gone"]);
    assert!(code == 0 && done.contains("1 are tried again"), "{done}");
    let delivered = house.await_listed(&["--state", "delivered", "--destination", "gone"], 1).remove(0);
    assert_eq!(delivered["delivery_id"], dead["delivery_id"]);
    assert_eq!(delivered["replays"], 1);
    let (_, again) = house.command(&["deliveries", "replay", "--destination", "gone"]);
    assert!(again.contains("0 are tried again"), "{again}");
    // Whatever else was to be sent to it would come before the next.
    house.convert(&click, "t-2");
    let gone = house.await_told("gone", 3);
    let of_first: Vec<&Seen> = gone.iter().filter(|seen| seen.target.contains("&t=t-1&")).collect();
    assert_eq!(of_first.len(), 2, "it was delivered once");
    for seen in of_first {
        assert_eq!(seen.header("idempotency-key"), dead["delivery_id"].as_str());
        assert_eq!(seen.header("x-key"), Some(SECRET), "whoever it is for gets it");
    }
    let whole = dead["delivery_id"].as_str().unwrap();
    let (_, shown) = house.command(&["deliveries", "show", whole]);
    assert!(
        shown.contains("attempt 1") && shown.contains(": ok 200") && shown.contains("replays"),
        "{shown}"
    );
    let (_, life) = house.command(&["lookup", &click]);
    for part in [
        &format!("delivery {whole} to gone: delivered\n"),
        "  opened again    ",
        " to ill: retrying\n",
        "  next attempt    ",
        " to well: delivered\n",
    ] {
        assert!(life.contains(part), "{part} is not in\n{life}");
    }
    house.ends_without_a_secret();
}

impl House {
    /// Nothing that was said, shown or written holds the secret.
    fn ends_without_a_secret(mut self) {
        for target in ["/metrics", "/readyz?verbose", "/api/destinations", "/api/postbacks?network=n"] {
            let (status, body) = self.ask(&format!("GET {target}"), "", false);
            assert_eq!(status, 200, "{target}: {body}");
            self.said += &body;
        }
        self.command(&["inspect", "--data", "clicklog-data"]);
        self.command(&["links", "c"]);
        self.stop();
        let (code, verified) = self.command(&["verify", "--data", "clicklog-data"]);
        assert_eq!(code, 0, "{verified}");
        assert!(!self.said.contains(PART), "{}", self.said);
        let mut folders = vec![self.folder.path().join("clicklog-data")];
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let bytes = fs::read(&path).unwrap();
                assert!(memchr::memmem::find(&bytes, PART.as_bytes()).is_none(), "in {}", path.display());
            }
        }
    }
}

#[test]
fn what_is_paused_waits_over_a_restart_until_it_is_resumed() {
    let mut house = House::open();
    let (code, paused) = house.command(&["deliveries", "pause", "well"]);
    assert!(code == 0 && paused.contains("\"is\":\"paused\""), "{paused}");
    let click = house.click();
    house.convert(&click, "t-1");
    house.await_listed(&["--state", "dead"], 1);
    house.await_told("ill", 1);
    let told = house.destination("well");
    assert_eq!((&told["state"], &told["ready"]), (&Value::from("paused"), &Value::from(1)), "{told}");
    assert_eq!(told["why"], "an operator paused it");
    let (_, table) = house.command(&["deliveries", "status"]);
    assert!(table.lines().any(|line| line.starts_with("well") && line.contains("paused")), "{table}");

    house.stop();
    house.start(&[]);
    assert_eq!(house.destination("well")["state"], "paused");
    house.await_ready("[!] dispatcher: destinations that are paused: 1;");
    house.convert(&click, "t-2");
    // The first of the second run says that the dispatcher goes on; what is paused has still been told nothing.
    house.await_told("gone", 2);
    assert!(!house.told.seen().iter().any(|seen| is_to(seen, "well")), "{:?}", house.told.seen());
    let (code, resumed) = house.command(&["deliveries", "resume", "well"]);
    assert!(code == 0 && resumed.contains("\"is\":\"resumed\""), "{resumed}");
    let well = house.await_told("well", 2);
    assert!(well[0].target.contains("t=t-1&p=1.25&") && well[1].target.contains("t=t-2&"), "{well:?}");
    assert_eq!(house.destination("well")["state"], "active");
    house.await_ready("[+] dispatcher: ");
    house.ends_without_a_secret();
}

#[test]
fn a_damaged_checkpoint_is_noticed_and_costs_only_time() {
    let mut house = House::open();
    house.command(&["deliveries", "pause", "well"]);
    let click = house.click();
    house.convert(&click, "t-1");
    house.await_listed(&["--state", "dead"], 1);
    house.command(&["deliveries", "replay", "--destination", "gone"]);
    house.await_listed(&["--state", "delivered"], 1);
    house.stop();
    let checkpoint = house.folder.path().join("clicklog-data/deliveries/dispatcher.ckpt");
    let mut bytes = fs::read(&checkpoint).unwrap();
    let (_, sound) = house.command(&["verify", "--data", "clicklog-data"]);
    assert!(!sound.contains("dispatcher.ckpt"), "{sound}");
    bytes[20] ^= 1;
    fs::write(&checkpoint, bytes).unwrap();
    let (code, noticed) = house.command(&["verify", "--data", "clicklog-data"]);
    assert_eq!(code, 0, "{noticed}");
    assert!(
        noticed.contains("note: deliveries/dispatcher.ckpt") && noticed.contains("only takes longer"),
        "{noticed}"
    );
    let (_, records) = house.command(&["inspect", "--data", "clicklog-data", "--kind", "deliveries"]);
    for part in [
        "destination \"well\" paused why=\"an operator paused it\"",
        "destination \"gone\" reopened decision=",
        "outcome gone destination=\"gone\" decision=",
        "attempt=1 http=410 final",
        "http=500 next=",
    ] {
        assert!(records.contains(part), "{part} is not in\n{records}");
    }
    house.start(&[]);
    assert_eq!(house.destination("well")["state"], "paused");
    house.convert(&click, "t-2");
    // What was told before is not told again: the next that it hears of is the next that there is.
    let gone = house.await_told("gone", 3);
    assert!(gone[1].target.contains("&t=t-1&") && gone[2].target.contains("&t=t-2&"), "{gone:?}");
    house.stop();
    assert!(
        house.said.contains("how far destinations have come was read from the journal"),
        "{}",
        house.said
    );
}

#[test]
fn anybody_on_this_machine_may_look_at_destinations_and_only_operators_may_change_them() {
    let house = House::open();
    let (_, body) = house.ask("GET /api/destinations", "", false);
    let told: Value = serde_json::from_str(&body).unwrap();
    let all = told["destinations"].as_array().unwrap();
    let ids: Vec<&str> = all.iter().map(|of| of["destination"].as_str().unwrap()).collect();
    assert_eq!(ids, ["gone", "ill", "picky", "well"]);
    let mut keys: Vec<&str> = all[0].as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "behind_bytes",
            "concurrency",
            "destination",
            "in_flight",
            "is_behind",
            "oldest_seconds",
            "ready",
            "state",
            "waiting"
        ]
    );
    for (route, body) in [
        ("/api/destinations/pause", "{\"destination\":\"well\"}"),
        ("/api/destinations/resume", "{\"destination\":\"well\"}"),
        ("/api/deliveries/replay", "{\"deliveries\":[]}"),
    ] {
        let route = format!("POST {route}");
        assert_eq!(house.ask(&route, body, false).0, 401, "{route}");
        assert_eq!(house.ask(&route, body, true).0, 200, "{route}");
        assert_eq!(house.ask(&route, "{", true).0, 400, "{route}");
        let nobody = body.replace("well", "nobody");
        let expected = if nobody == body { 200 } else { 404 };
        let (status, said) = house.ask(&route, &nobody, true);
        assert_eq!(status, expected, "{route}: {said}");
    }
    assert_eq!(house.ask("POST /api/destinations", "", true).0, 405);
    let unknown = "{\"deliveries\":[{\"destination\":\"well\",\"decision\":\"1:4096\"}]}";
    let (status, said) = house.ask("POST /api/deliveries/replay", unknown, true);
    assert_eq!((status, said.trim()), (200, "{\"opened\":0,\"not_opened\":1}"));
}

#[test]
fn where_nothing_is_sent_operators_are_told_so() {
    let mut house = House::open_with(&[("CLICKLOG_DISPATCHER__ENABLED", "false")]);
    for (request, body) in [
        ("GET /api/destinations", ""),
        ("POST /api/destinations/pause", "{\"destination\":\"well\"}"),
        ("POST /api/destinations/resume", "{\"destination\":\"well\"}"),
        ("POST /api/deliveries/replay", "{\"deliveries\":[]}"),
    ] {
        let (status, said) = house.ask(request, body, true);
        assert_eq!(status, 409, "{request}: {said}");
        assert!(said.contains("dispatcher.enabled is false"), "{said}");
    }
    let (code, said) = house.command(&["deliveries", "status"]);
    assert!(code == 1 && said.contains("dispatcher.enabled is false"), "{said}");
    let click = house.click();
    let (_, tested) = house.command(&["postback", "test", "--network", "n", "--click", &click]);
    assert!(tested.contains("none: dispatcher.enabled is false"), "{tested}");
}

#[test]
fn a_made_up_postback_shows_what_would_be_sent_to_whom_and_sends_nothing() {
    let mut house = House::open();
    let click = house.click();
    let test = ["postback", "test", "--network", "n", "--click", &click, "--param", "sum=2.50"];
    for more in [&[][..], &["--dry-run"]] {
        let (code, told) = house.command(&[&test[..], more].concat());
        assert_eq!(code, 0, "{told}");
        for part in [
            "deliveries 3 of 4 destinations would be told; for a test nothing is sent",
            "\nwell (campaign), delivery ",
            ": would be told at once\n  GET http://127.0.0.1:",
            "?to=well&c=",
            "&t=test&p=1.25&key=***\n",
            "\npicky (offer), delivery ",
            "would not be told: the payout is out of its range (payout); if it were:\n",
            "{\"key\": \"***\", \"t\": \"test\"}",
        ] {
            assert!(told.contains(part), "{part} is not in\n{told}");
        }
    }
    let (_, json) = house.command(&[&test[..], &["--format", "json", "--param", "tx=t-1"]].concat());
    let json: Value = serde_json::from_str(&json).unwrap();
    let well = json["deliveries"].as_array().unwrap().iter().find(|of| of["destination"] == "well").unwrap();
    assert_eq!((&well["level"], &well["is_wanted"]), (&Value::from("campaign"), &Value::from(true)));
    assert_eq!(well.get("why_not"), None);
    let (code, refused) = house.command(&["postback", "test", "--network", "n"]);
    assert!(code == 1 && !refused.contains("deliveries"), "{refused}");
    // The real one is what was shown; and until it came, nothing did.
    house.convert(&click, "t-1");
    let real = house.await_told("well", 1).remove(0);
    assert_eq!(real.header("idempotency-key"), well["delivery_id"].as_str());
    let shown = well["request"]["url"].as_str().unwrap();
    let sent = real.target.split("&key=").next().unwrap();
    assert!(shown.contains(sent), "{sent} is not {shown}");
    assert!(house.told.seen().iter().all(|seen| seen.target.contains("&t=t-1&")), "{:?}", house.told.seen());
    house.ends_without_a_secret();
}
