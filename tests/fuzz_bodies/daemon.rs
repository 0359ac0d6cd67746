//! Bodies for what the daemon reads: templates and catalogs that people write, requests that anybody sends.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::str::from_utf8;
use std::sync::OnceLock;
use std::time::Duration;

use clicklog::clock::{Clock, Timestamp};
use clicklog::config::catalog;
use clicklog::config::{Bytes as Size, Listen, Settings};
use clicklog::event::money::Micros;
use clicklog::event::template::{Missing, Name, Names, Target, Template, Value, Values};
use clicklog::serve::{Daemon, start};
use tempfile::TempDir;

use super::Bytes;

/// The same for every text that a stranger can choose.
struct Same<'a>(&'a str);

impl Values for Same<'_> {
    fn value(&self, name: &Name) -> Option<Value<'_>> {
        match name.to_string().as_str() {
            "payout" | "cost" | "revenue" => Some(Value::Decimal(Micros::new(1_500_000))),
            "now" | "click_time" | "conversion_time" => {
                Some(Value::Time(Timestamp::from_seconds(1_795_158_000)))
            }
            "random" => Some(Value::Number(7)),
            _ => Some(Value::Text(self.0)),
        }
    }
}

/// A template is refused, or whatever is inserted stays where it was inserted: the result has the bytes that its place
/// allows, and a URL as many parameters and segments as with a harmless value.
pub(crate) fn template(data: &[u8]) {
    let mut bytes = Bytes(data);
    let targets = [Target::Url, Target::Header, Target::Json, Target::Form, Target::Text];
    let target = targets[usize::from(bytes.u8()) % targets.len()];
    let missing = [Missing::Empty, Missing::Drop, Missing::Fail][usize::from(bytes.u8()) % 3];
    let Ok(text) = from_utf8(bytes.0) else { return };
    let (text, value) = text.split_once('\n').unwrap_or((text, "a&b=c/../?#\r\n\"'<é"));
    let Ok(template) = Template::parse(text, target, &Names::with(["mine"], ["key"]), missing) else {
        return;
    };
    let render = |value: &str| {
        let mut out = Vec::new();
        template.render(&Same(value), &mut out).ok().map(|()| out)
    };
    let (Some(hostile), Some(harmless)) = (render(value), render("x")) else { return };
    let is_allowed = |byte: &u8| match target {
        Target::Url | Target::Form => byte.is_ascii_graphic(),
        Target::Header => (b' '..=b'~').contains(byte),
        Target::Json | Target::Text => true,
    };
    // What the template's author wrote into a body is the author's.
    if target == Target::Url || target == Target::Header || text.bytes().all(|byte| byte.is_ascii_graphic()) {
        assert!(hostile.iter().all(is_allowed), "{text:?} becomes {:?}", String::from_utf8_lossy(&hostile));
    }
    // A value may be cut or emptied by a filter, and whether it is empty decides what is dropped: one that is not.
    if target == Target::Url && missing == Missing::Empty && !text.contains("raw") && !text.contains("{_") {
        let count =
            |url: &[u8]| [b'?', b'&', b'#'].map(|what| url.iter().filter(|byte| **byte == what).count());
        assert_eq!(
            count(&hostile),
            count(&harmless),
            "{text:?} becomes {:?}",
            String::from_utf8_lossy(&hostile)
        );
        let slashes = |url: &[u8]| {
            url.split(|byte| b"?#".contains(byte)).next().map(|path| path.split(|b| *b == b'/').count())
        };
        assert_eq!(
            slashes(&hostile),
            slashes(&harmless),
            "{text:?} becomes {:?}",
            String::from_utf8_lossy(&hostile)
        );
    }
}

/// A catalog is refused with a reason that can be shown, or every campaign of it is found by its names.
pub(crate) fn catalog(data: &[u8]) {
    let Ok(text) = from_utf8(data) else { return };
    match catalog::parse("c.toml", text, 1, &|name| Some(name.to_owned()).filter(|name| name.len() < 9)) {
        Err(problems) => assert!(problems.to_string().contains("c"), "a refusal says something"),
        Ok(catalog) => {
            for campaign in catalog.campaigns() {
                for name in std::iter::once(&campaign.id).chain(&campaign.aliases) {
                    let found = catalog.campaign(name).expect("a campaign goes by its names");
                    assert_eq!(found.id, campaign.id);
                }
            }
        }
    }
}

struct Server {
    daemon: Daemon,
    _folder: TempDir,
}

/// One for all inputs: it must survive every one of them.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let source = Box::new(move || {
            let mut settings = Settings::default();
            let address = SocketAddr::from(([127, 0, 0, 1], 0));
            settings.edge.listen = vec![Listen::http(address)];
            settings.edge.workers = 1;
            settings.edge.visitors = 1 << 12;
            settings.admin.listen = address;
            settings.store.data = data.clone();
            settings.store.click_segment = Size(4 << 20);
            settings.store.journal_segment = Size(1 << 20);
            (settings.store.low_free, settings.store.critical_free) = (Size(0), Size(0));
            settings.store.reserve = Size(0);
            Ok(settings)
        });
        let daemon = start(source, Clock::System, &mut |_, _| {}).expect("a daemon");
        Server { daemon, _folder: folder }
    })
}

/// Whatever a connection says, in one piece or two, the daemon answers in HTTP or closes, sends nobody elsewhere than
/// the catalog says, and its books balance afterwards.
pub(crate) fn request(data: &[u8]) {
    let server = server();
    let mut bytes = Bytes(data);
    let cut = usize::from(bytes.u16()) % (bytes.0.len() + 1);
    let (first, second) = bytes.0.split_at(cut);
    let mut stream = TcpStream::connect(server.daemon.addresses()[0]).expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    stream.set_read_timeout(Some(Duration::from_secs(9))).expect("a socket");
    // It may have closed already.
    let _closed = stream.write_all(first).and_then(|()| stream.write_all(second));
    let _closed = stream.shutdown(Shutdown::Write);
    let mut answers = Vec::new();
    match stream.read_to_end(&mut answers) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "it hangs"),
    }
    check_answers(&answers);
    let edge = server.daemon.edge();
    let mut tries = 0;
    loop {
        let totals = edge.totals();
        if edge.connections() == 0 && totals.received == totals.ended() {
            break;
        }
        tries += 1;
        assert!(tries < 9_000, "the books do not balance: {totals:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Each head is a head, and a Location is one that the built-in catalog knows.
fn check_answers(mut answers: &[u8]) {
    while let Some(end) = answers.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
        let head = from_utf8(&answers[..end]).expect("a head is text");
        let mut lines = head.split("\r\n");
        assert!(lines.next().is_some_and(|line| line.starts_with("HTTP/1.")), "{head:?}");
        let mut length = 0;
        for line in lines {
            let (name, value) = line.split_once(": ").expect("a header line");
            assert!(value.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line:?}");
            match name {
                "content-length" => length = value.parse().expect("a length"),
                "location" => assert!(
                    [
                        "https://offer.example.com/land",
                        "https://lander.example.org/a?cid=",
                        "https://example.com/"
                    ]
                    .iter()
                    .any(|start| value.starts_with(start)),
                    "{line:?}"
                ),
                _ => {}
            }
        }
        let rest = &answers[end + 4..];
        // The answer to a HEAD has a length and no body: then the next head begins at once.
        answers = if rest.starts_with(b"HTTP/1.") { rest } else { rest.get(length..).unwrap_or_default() };
    }
    assert!(answers.is_empty(), "{:?}", String::from_utf8_lossy(answers));
}
