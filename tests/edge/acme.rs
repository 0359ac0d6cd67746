//! Certificates from an authority: Debian's `pebble`, which looks at our names as Let's Encrypt does.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clicklog::clock::Clock;
use clicklog::config::{Listen, ListenTls, Settings};
use clicklog::ingest::Outcome;
use tempfile::TempDir;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::certificates::{Authority, Flaw};
use crate::client::Connection;
use crate::secure::{pem, shake};
use crate::server::{CATALOG, Server};

const NAME: &str = "trk.example.com";
const DAY: Duration = Duration::from_hours(24);
/// How long its certificates are good.
const LIFE: Duration = Duration::from_hours(90 * 24);

/// An authority, and the DNS that it asks. Everything leads to this machine.
struct Pebble {
    running: Vec<Child>,
    folder: TempDir,
    /// Of its own certificate.
    issuer: Authority,
    listen: u16,
    manage: u16,
}

/// A port that nobody has now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn is_there(command: &str) -> bool {
    Command::new(command).arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

impl Pebble {
    /// One that looks at these ports; nothing where it is not installed.
    fn start(tls: u16, http: u16) -> Option<Self> {
        if !is_there("pebble") || !is_there("pebble-challtestsrv") {
            std::io::stderr().write_all(b"skipped: pebble is not installed (Debian: pebble)\n").unwrap();
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let issuer = Authority::new();
        let identity = issuer.issue("127.0.0.1", Flaw::None);
        let write = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let certificate = write("pebble.crt", pem("CERTIFICATE", &identity.certificate));
        let key = write("pebble.key", pem("PRIVATE KEY", &identity.key));
        write("ca.pem", pem("CERTIFICATE", &issuer.der));
        let (listen, manage, dns, dns_manage) = (free_port(), free_port(), free_port(), free_port());
        let config = format!(
            r#"{{"pebble": {{"listenAddress": "127.0.0.1:{listen}", "managementListenAddress": "127.0.0.1:{manage}",
                "certificate": "{}", "privateKey": "{}", "httpPort": {http}, "tlsPort": {tls}, "ocspResponderURL": "",
                "externalAccountBindingRequired": false, "certificateValidityPeriod": {}}}}}"#,
            certificate.display(),
            key.display(),
            LIFE.as_secs(),
        );
        let config = write("pebble.json", config);
        let spawn =
            |command: &mut Command| command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let names = spawn(Command::new("pebble-challtestsrv").args([
            &format!("-dns01=127.0.0.1:{dns}"),
            &format!("-management=127.0.0.1:{dns_manage}"),
            "-defaultIPv6=",
            "-http01=",
            "-https01=",
            "-tlsalpn01=",
        ]));
        let pebble = spawn(
            Command::new("pebble")
                .arg("-config")
                .arg(config)
                .arg(format!("-dnsserver=127.0.0.1:{dns}"))
                .env("PEBBLE_VA_NOSLEEP", "1")
                .env("PEBBLE_AUTHZREUSE", "0"),
        );
        let this = Self { running: vec![names, pebble], folder, issuer, listen, manage };
        for port in [listen, manage, dns_manage] {
            wait_for(|| std::net::TcpStream::connect(local(port)).is_ok(), "an authority that listens");
        }
        Some(this)
    }

    fn ask(&self, settings: &mut Settings, domains: &[&str]) {
        settings.acme.domains = domains.iter().map(|name| (*name).to_owned()).collect();
        settings.acme.agree_to_terms = true;
        settings.acme.contact = vec!["ops@example.com".to_owned()];
        settings.acme.directory = format!("https://127.0.0.1:{}/dir", self.listen);
        settings.acme.ca = self.ca();
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Who believes what it issues.
    fn client(&self) -> Arc<ClientConfig> {
        let of = |der: &[u8]| {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from(der)).unwrap();
            let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
            let builder = builder.with_safe_default_protocol_versions().unwrap();
            Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
        };
        let own = of(&self.issuer.der);
        let mut manager = Connection::over(shake(local(self.manage), "127.0.0.1", own).unwrap());
        let answer = manager.send("GET /roots/0 HTTP/1.1\r\nHost: x\r\n\r\n").receive().unwrap();
        of(&CertificateDer::from_pem_slice(&answer.body).unwrap())
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in &mut self.running {
            let _gone = child.kill();
            let _reaped = child.wait();
        }
    }
}

fn wait_for(mut is_so: impl FnMut() -> bool, what: &str) {
    for _ in 0..6_000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("waited in vain for {what}");
}

/// A daemon with one listener for https and one without, which asks for what is in the list.
fn serve(pebble: &Pebble, (tls, http): (u16, u16), names: &Arc<Mutex<Vec<&'static str>>>) -> Server {
    let mut template = Settings::default();
    pebble.ask(&mut template, &[]);
    let names = Arc::clone(names);
    let server = Server::with(CATALOG, move |settings| {
        let acme = ListenTls { acme: true, ..ListenTls::default() };
        settings.edge.listen = vec![Listen::https(local(tls), acme), Listen::http(local(http))];
        settings.acme = template.acme.clone();
        settings.acme.domains = names.lock().unwrap().iter().map(|name| (*name).to_owned()).collect();
    });
    // What it issues is good from now on.
    server.clock.advance(Clock::System.now().since(server.clock.now()));
    server
}

fn number(server: &Server, sample: &str) -> Option<u64> {
    let mut operators = Connection::open(server.daemon().admin_address());
    let answer = operators.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").receive().unwrap();
    let page = String::from_utf8(answer.body.to_vec()).unwrap();
    page.lines().find_map(|line| line.strip_prefix(sample)?.trim().parse().ok())
}

fn issued(server: &Server) -> u64 {
    number(server, "clicklog_acme_certificates_total{result=\"issued\"}").unwrap()
}

fn expiry(server: &Server, name: &str) -> Option<u64> {
    number(server, &format!("clicklog_tls_certificate_expiry_timestamp_seconds{{name=\"{name}\"}}"))
}

#[test]
fn a_name_gets_a_certificate_over_tls_and_another_before_it_expires() {
    let ports = (free_port(), free_port());
    // Nobody answers where it would look over http.
    let Some(pebble) = Pebble::start(ports.0, free_port()) else { return };
    let names = Arc::new(Mutex::new(vec![NAME]));
    let server = serve(&pebble, ports, &names);
    wait_for(|| issued(&server) == 1, "a certificate");
    assert_eq!(number(&server, "clicklog_acme_names_without_certificate"), Some(0));
    assert_eq!(
        number(&server, "clicklog_acme_challenges_answered_total{challenge=\"tls-alpn-01\"}").map(|n| n > 0),
        Some(true)
    );
    let click = format!("GET /c/spring HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
    let client = pebble.client();
    let mut visitor = Connection::over(shake(server.address(), NAME, Arc::clone(&client)).unwrap());
    assert_eq!(visitor.send(&click).receive().unwrap().status, 302);

    // What is kept is for its owner alone.
    let folder = server.data().join("acme");
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder.clone()), 0o700);
    assert_eq!((mode(folder.join("account.json")), mode(folder.join(format!("{NAME}.pem")))), (0o600, 0o600));
    let account = std::fs::read(folder.join("account.json")).unwrap();

    // Only an authority that was asked is shown something else, and only while it looks.
    let mut strange = ClientConfig::clone(&client);
    strange.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    assert!(shake(server.address(), NAME, Arc::new(strange)).is_err());

    let file = folder.join(format!("{NAME}.pem"));
    let first = std::fs::read(&file).unwrap();
    server.clock.advance(LIFE * 2 / 3 - 3 * DAY);
    assert_eq!(issued(&server), 1, "it is too early");
    server.clock.advance(4 * DAY);
    wait_for(|| issued(&server) == 2, "another certificate");
    let second = std::fs::read(&file).unwrap();
    assert_ne!(second, first);
    let mut visitor = Connection::over(shake(server.address(), NAME, Arc::clone(&client)).unwrap());
    assert_eq!(visitor.send(&click).receive().unwrap().status, 302);
    assert_eq!(std::fs::read(folder.join("account.json")).unwrap(), account, "one account is enough");

    // Another name is one line and a reload.
    names.lock().unwrap().push("more.example.com");
    server.daemon().reload().unwrap();
    wait_for(|| expiry(&server, "more.example.com").is_some(), "the other name's certificate");
    let mut other =
        Connection::over(shake(server.address(), "more.example.com", Arc::clone(&client)).unwrap());
    assert_eq!(other.send(click.replace(NAME, "more.example.com")).receive().unwrap().status, 302);
    *names.lock().unwrap() = vec!["more.example.com"];
    server.daemon().reload().unwrap();
    assert_eq!(expiry(&server, NAME), None, "it is wanted no more");
    assert_eq!(std::fs::read(&file).unwrap(), second, "and nothing is thrown away");
    server.stop();
}

#[test]
fn an_authority_that_cannot_come_over_tls_looks_over_http() {
    let ports = (free_port(), free_port());
    let Some(pebble) = Pebble::start(free_port(), ports.1) else { return };
    let server = serve(&pebble, ports, &Arc::new(Mutex::new(vec![NAME])));
    wait_for(|| issued(&server) == 1, "a certificate");
    assert!(server.count(Outcome::Challenged) > 0);
    shake(server.address(), NAME, pebble.client()).unwrap();
    let mut stranger = Connection::open(local(ports.1));
    let ask = "GET /.well-known/acme-challenge/guessed HTTP/1.1\r\nHost: trk.example.com\r\n\r\n";
    assert_eq!(stranger.send(ask).receive().unwrap().status, 404);
    server.stop();
}

#[test]
fn an_authority_that_does_not_find_us_is_asked_again_at_a_reload() {
    let ports = (free_port(), free_port());
    let Some(pebble) = Pebble::start(free_port(), free_port()) else { return };
    let server = serve(&pebble, ports, &Arc::new(Mutex::new(vec![NAME])));
    let failed = || number(&server, "clicklog_acme_certificates_total{result=\"failed\"}").unwrap();
    wait_for(|| failed() == 1, "an attempt");
    assert_eq!(number(&server, "clicklog_acme_names_without_certificate"), Some(1));
    server.clock.advance(Duration::from_mins(29));
    assert_eq!(failed(), 1, "it is left in peace");
    server.daemon().reload().unwrap();
    wait_for(|| failed() == 2, "another attempt");
    server.clock.advance(Duration::from_mins(31));
    wait_for(|| failed() == 3, "an attempt after the pause");
    assert!(!server.data().join("acme").join(format!("{NAME}.pem")).exists());
    server.stop();
}
