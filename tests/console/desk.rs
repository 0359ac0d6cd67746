//! A daemon with something to show, and an operator's browser in front of it.

use std::fs;
use std::path::PathBuf;

use crate::process::{Process, ask, ask_whole, connect};

pub(crate) const TOKEN: &str = "a-token-that-nobody-knows";
pub(crate) const SECRET: &str = "a-secret-that-nobody-knows";
/// What anybody may send; none of it may become more than text.
pub(crate) const HOSTILE: &str = "\"'><script>hacked()</script><img src=x onerror=hacked()>&amp;";

/// One campaign with everything, and `more` besides.
pub(crate) fn catalog(more: usize) -> String {
    let mut text = r#"
        [[network]]
        id = "n"
        secret = { env = "N_SECRET" }
        params = { click_id = ["subid"], payout = ["sum"], transaction_id = ["tx"], status = ["st"] }
        payout = { max = "10" }
        [[network]]
        id = "open"
        profile = "affise"
        [[source]]
        id = "s"
        external_id = "visitor"
        params = { zone = "z" }
        [[offer]]
        id = "o"
        network = "n"
        url = "https://offer.example.com/?s={click_id}"
        payout = "auto"
        [[offer]]
        id = "p"
        network = "open"
        url = "https://offer.example.com/p"
        payout = "auto"
        [[campaign]]
        id = "c"
        aliases = ["also"]
        source = "s"
        offers = [{ id = "o" }]
        [[campaign.postback]]
        id = "told"
        url = "http://127.0.0.1:9/?c={click_id}&t={transaction_id}"
        allow_addresses = ["127.0.0.1/32"]
        [[campaign]]
        id = "lander"
        offers = [{ id = "o" }, { id = "p" }]
        landers = [{ url = "https://lp.example.org/?c={click_id}" }]
    "#
    .to_owned();
    for n in 0..more {
        text.push_str(&format!("[[campaign]]\nid = \"more-{n}\"\noffers = [{{ id = \"o\" }}]\n"));
    }
    text
}

pub(crate) struct Desk {
    folder: tempfile::TempDir,
    pub(crate) process: Process,
}

/// An answer.
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) text: String,
}

impl Page {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))
    }

    /// The value of a field of the page's first form that has it.
    pub(crate) fn field(&self, name: &str) -> String {
        let found = self.text.split(&format!("name=\"{name}\" value=\"")).nth(1);
        let found = found.unwrap_or_else(|| panic!("no field {name} in {}", self.text));
        found.split('"').next().unwrap().to_owned()
    }
}

impl Desk {
    pub(crate) fn open() -> Self {
        Self::open_with(&catalog(0), &[], &[])
    }

    pub(crate) fn open_with(catalog: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("catalog.toml"), catalog).unwrap();
        let settings = "[admin]\ntoken = { env = \"TOKEN\" }\n";
        fs::write(folder.path().join("clicklog.toml"), settings).unwrap();
        let own = [("N_SECRET", SECRET), ("TOKEN", TOKEN)];
        let arguments = [&["--config", "clicklog.toml", "--catalog", "catalog.toml"], arguments].concat();
        let process = Process::start_with(folder.path(), &arguments, &[&own, environment].concat());
        Self { folder, process }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("clicklog-data")
    }

    /// Asks as a visitor or a network does; the head of the answer.
    pub(crate) fn visit(&self, target: &str, headers: &str) -> String {
        let request = format!("GET {target} HTTP/1.1\r\nHost: trk.example\r\n{headers}\r\n");
        ask_whole(&mut connect(self.process.visitors), &request).unwrap().0
    }

    /// A click; its id.
    pub(crate) fn click(&self, query: &str, headers: &str) -> String {
        let head = self.visit(&format!("/c/c?{query}"), headers);
        head.split("cl_cid=").nth(1).unwrap().split(';').next().unwrap().to_owned()
    }

    /// A postback; what `X-Clicklog-Result` says.
    pub(crate) fn postback(&self, query: &str) -> String {
        let head = self.visit(&format!("/postback/n?secret={SECRET}&{query}"), "");
        head.lines().find_map(|line| line.strip_prefix("x-clicklog-result: ")).unwrap().to_owned()
    }

    /// Asks the operators' door.
    pub(crate) fn ask(&self, method: &str, target: &str, headers: &str, body: &str) -> Page {
        let length = body.len();
        let request =
            format!("{method} {target} HTTP/1.1\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
        let (head, text) = ask_whole(&mut connect(self.process.operators), &request).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Page { status, head, text }
    }

    /// As somebody at this machine.
    pub(crate) fn look(&self, target: &str) -> Page {
        self.ask("GET", target, "Host: localhost\r\n", "")
    }

    /// Looks until a page says something.
    pub(crate) fn look_until(&self, target: &str, said: &str) -> Page {
        loop {
            let page = self.look(target);
            if page.text.contains(said) {
                return page;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    /// Only the head of a page.
    pub(crate) fn head(&self, target: &str) -> String {
        let request = format!("HEAD {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        ask(&mut connect(self.process.operators), &request).unwrap()
    }

    /// Logs in; the headers that show it.
    pub(crate) fn log_in(&self) -> String {
        let login = self.ask("POST", "/console/login", "Host: localhost\r\n", &format!("token={TOKEN}"));
        assert_eq!((login.status, login.header("location")), (303, Some("/console")), "{}", login.text);
        let cookie = login.header("set-cookie").unwrap();
        for part in ["HttpOnly", "SameSite=Strict", "Path=/console"] {
            assert!(cookie.split("; ").any(|has| has == part), "{cookie}");
        }
        format!("Host: localhost\r\nCookie: {}\r\n", cookie.split(';').next().unwrap())
    }
}

impl Page {
    /// What the page's form for this target would send, as it stands.
    pub(crate) fn form(&self, target: &str) -> String {
        let form = self.text.split(&format!("action=\"/console/{target}\"")).nth(1);
        let form = form.unwrap_or_else(|| panic!("no form for {target} in {}", self.text));
        let fields = form.split("</form>").next().unwrap().split("name=\"").skip(1);
        let pairs = fields.map(|field| {
            let (name, rest) = field.split_once('"').unwrap();
            let value = rest.split_once("value=\"").map_or("", |(_, value)| value.split('"').next().unwrap());
            format!("{name}={}", value.replace('&', "%26").replace('+', "%2B"))
        });
        pairs.collect::<Vec<_>>().join("&")
    }
}

/// Every page, with a click and what else must be filled in.
pub(crate) fn pages(click: &str) -> Vec<String> {
    let mut all: Vec<String> = [
        "",
        "/campaigns",
        "/campaigns/c",
        "/campaigns/lander",
        "/networks",
        "/networks/n",
        "/networks/open",
        "/strangers",
        "/deliveries",
        "/deliveries?state=any",
        "/held",
        "/lookup",
        "/test",
        "/settings",
        "/storage",
        "/login",
    ]
    .iter()
    .map(|page| format!("/console{page}"))
    .collect();
    all.push(format!("/console/lookup?id={click}"));
    all
}
