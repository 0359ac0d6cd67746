//! https: who is shown what, what a handshake that goes wrong comes to, and new certificates while it runs.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clicklog::config::{Listen, ListenTls};
use clicklog::event::click::KeptAddress;
use clicklog::ingest::{Failure, Outcome};
use tokio_rustls::rustls::HandshakeKind;
use tokio_rustls::rustls::version::{TLS12, TLS13};

use crate::certificates::{Authority, Flaw};
use crate::client::{Answer, Connection, connect};
use crate::http2::is_closed;
use crate::secure::{Files, NAME, pem, refusal, shake, shake_over};
use crate::server::{CATALOG, Server};

const CLICK: &str = "GET /c/spring HTTP/1.1\r\nHost: trk.example\r\n\r\n";

fn ask(connection: &mut Connection, host: &str) -> Answer {
    connection.send(format!("GET /c/spring HTTP/1.1\r\nHost: {host}\r\n\r\n")).receive().unwrap()
}

/// Waits until so many handshakes have failed so.
fn await_failures(server: &Server, failure: Failure, count: u64) {
    let mut tries = 0;
    while server.totals().failed_handshakes(failure) < count {
        tries += 1;
        assert!(tries < 10_000, "waited in vain for {}: {:?}", failure.label(), server.totals());
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(server.totals().failed_handshakes(failure), count, "{}", failure.label());
}

#[test]
fn a_click_over_https_is_one_with_a_cookie_for_https() {
    let files = Files::new();
    let server = files.serve(files.by_name());
    for (version, label) in [(&TLS12, "1.2"), (&TLS13, "1.3")] {
        let client = Arc::new(files.client_of(&[version], None));
        let mut connection = Connection::over(shake(server.address(), NAME, client).unwrap());
        let answer = connection.send(CLICK).receive().unwrap();
        let cookie = answer.header("set-cookie").unwrap();
        assert!(answer.status == 302 && cookie.ends_with("; Secure; HttpOnly; SameSite=None"), "{cookie}");
        let again = connection
            .send("POST /track HTTP/1.1\r\nHost: trk.example\r\nContent-Length: 15\r\n\r\ncampaign=spring");
        assert_eq!(again.receive().unwrap().status, 200);
        assert_eq!(server.totals().handshakes(label, "full"), 1, "{label}");
    }
    let mut plain = Connection::open(server.daemon().addresses()[1]);
    let answer = plain.send(CLICK).receive().unwrap();
    assert!(answer.header("set-cookie").unwrap().ends_with("SameSite=Lax"));
    assert_eq!(server.clicks().len(), 5);
    server.stop();
}

#[test]
fn a_trusted_proxy_says_whether_a_visitor_came_by_https() {
    let server = Server::with(CATALOG, |settings| {
        settings.edge.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    });
    let cookie = |headers: &str| {
        let answer = server.get_with("/c/spring", headers);
        answer.header("set-cookie").unwrap().contains("; Secure;")
    };
    assert!(cookie("X-Forwarded-Proto: https\r\n"));
    assert!(cookie("Forwarded: for=198.51.100.1;proto=https\r\n"));
    assert!(!cookie("X-Forwarded-Proto: http\r\n"));
    assert!(!cookie(""));
    server.stop();
    let stranger = Server::start(CATALOG);
    let answer = stranger.get_with("/c/spring", "X-Forwarded-Proto: https\r\n");
    assert!(!answer.header("set-cookie").unwrap().contains("; Secure;"));
    stranger.stop();
}

#[test]
fn each_name_is_shown_its_own_and_no_other_is_answered() {
    let files = Files::new();
    files.put("second", "*.shop.example");
    let server = files.serve(files.by_name());
    for name in [NAME, "a.shop.example", "B.shop.example"] {
        let mut connection =
            Connection::over(shake(server.address(), name, Arc::new(files.client())).unwrap());
        assert_eq!(ask(&mut connection, name).status, 302, "{name}");
    }
    for name in ["other.example", "shop.example", "127.0.0.1"] {
        let told = refusal(server.address(), name, files.client());
        assert!(told.contains("UnrecognisedName") || told.contains("UnrecognizedName"), "{name}: {told}");
    }
    await_failures(&server, Failure::UnknownName, 3);
    server.stop();
    // With one for all others, nobody is refused; whether to believe it is the peer's affair.
    files.put("first", "127.0.0.1");
    let tls =
        ListenTls { certificate: files.path("first.crt"), key: files.path("first.key"), ..files.by_name() };
    let server = files.serve(tls);
    let mut by_address =
        Connection::over(shake(server.address(), "127.0.0.1", Arc::new(files.client())).unwrap());
    assert_eq!(ask(&mut by_address, "whatever.example").status, 302, "no name was asked for");
    let told = refusal(server.address(), "other.example", files.client());
    assert!(told.contains("not valid for name"), "{told}");
    await_failures(&server, Failure::Refused, 1);
    server.stop();
}

#[test]
fn a_host_that_the_certificate_does_not_have_is_sent_elsewhere() {
    let files = Files::new();
    files.put("second", "*.shop.example");
    let server = files.serve(files.by_name());
    let client = Arc::new(files.client());
    let mut connection = Connection::over(shake(server.address(), "a.shop.example", client).unwrap());
    for host in ["a.shop.example", "A.Shop.Example:443", "a.shop.example.", "b.shop.example"] {
        assert_eq!(ask(&mut connection, host).status, 302, "{host}");
    }
    for host in [NAME, "shop.example", "other.example"] {
        assert_eq!(ask(&mut connection, host).status, 421, "{host}");
    }
    let postback = "GET /postback/boost?click_id=a HTTP/1.1\r\nHost: trk.example\r\n\r\n";
    let answer = connection.send(postback).receive().unwrap();
    assert_eq!((answer.status, answer.header("x-clicklog-result").is_some()), (421, true), "{answer:?}");
    assert_eq!((server.count(Outcome::Misdirected), server.clicks().len()), (4, 4));
    server.stop();
}

#[test]
fn a_network_that_requires_https_takes_no_plain_postback() {
    let files = Files::new();
    let catalog = CATALOG.replace("id = \"boost\"\n\n", "id = \"boost\"\nrequire_https = true\n\n");
    let server = files.serve_with(&catalog, files.by_name(), |_| {});
    let ask = |connection: &mut Connection| {
        let request = "GET /postback/boost?click_id=a&transaction_id=1 HTTP/1.1\r\nHost: trk.example\r\n\r\n";
        let answer = connection.send(request).receive().unwrap();
        (answer.status, answer.header("x-clicklog-result").unwrap().to_owned())
    };
    let plain = ask(&mut Connection::open(server.daemon().addresses()[1]));
    assert_eq!(plain, (403, "rejected:require_https".to_owned()));
    assert_eq!(ask(&mut files.open(&server)), (200, "unmatched".to_owned()));
    server.stop();
}

#[test]
fn a_certificate_may_be_asked_of_who_reports() {
    let files = Files::new();
    let (clients, strangers) = (Authority::new(), Authority::new());
    files.write("clients.pem", &pem("CERTIFICATE", &clients.der));
    std::fs::create_dir(files.path("shown")).unwrap();
    let catalog =
        CATALOG.replace("id = \"boost\"\n\n", "id = \"boost\"\nrequire_client_certificate = true\n\n");
    let tls = ListenTls { client_ca: files.path("clients.pem"), ..files.to_all() };
    let required = ListenTls { require_client_certificate: true, ..tls.clone() };
    let server = files.serve_with(&catalog, tls, move |settings| {
        settings.edge.listen.push(Listen::https(settings.edge.listen[0].address, required.clone()));
    });
    let [optional, _, required] = server.daemon().addresses() else { panic!("three listeners") };
    let (known, unknown) = (clients.issue("network", Flaw::None), strangers.issue("network", Flaw::None));
    let expired = clients.issue("network", Flaw::Expired);
    let client = |identity| Arc::new(files.client_of(&[&TLS12, &TLS13], identity));
    let postback = |address: &SocketAddr, identity| {
        let mut connection = Connection::over(shake(*address, NAME, client(identity)).unwrap());
        let request = "GET /postback/boost?click_id=a&transaction_id=1 HTTP/1.1\r\nHost: trk.example\r\n\r\n";
        connection.send(request).receive().unwrap().header("x-clicklog-result").unwrap().to_owned()
    };
    assert_eq!(postback(optional, Some(&known)), "unmatched");
    assert_eq!(postback(optional, None), "rejected:client_certificate");
    assert_eq!(postback(required, Some(&known)), "unmatched");
    let refused = |address: &SocketAddr, identity| {
        refusal(*address, NAME, files.client_of(&[&TLS12, &TLS13], identity))
    };
    for (address, identity) in [
        (optional, Some(&unknown)),
        (optional, Some(&expired)),
        (required, None),
        (required, Some(&unknown)),
        (required, Some(&expired)),
    ] {
        let told = refused(address, identity);
        assert!(told.contains("received fatal alert"), "{told}");
    }
    await_failures(&server, Failure::ClientCertificate, 5);
    // A resumed session would show nothing anew.
    let config = client(Some(&known));
    for _ in 0..2 {
        let mut inside = shake(*required, NAME, Arc::clone(&config)).unwrap();
        inside.write_all(CLICK.as_bytes()).unwrap();
        inside.read_exact(&mut [0; 16]).unwrap();
        assert_eq!(inside.conn.handshake_kind(), Some(HandshakeKind::Full));
    }
    server.stop();
}

#[test]
fn a_session_is_resumed_by_any_worker_and_over_a_new_certificate() {
    let files = Files::new();
    let server = files.serve(files.by_name());
    for (version, label) in [(&TLS12, "1.2"), (&TLS13, "1.3")] {
        let client = Arc::new(files.client_of(&[version], None));
        for round in 0..12 {
            let mut inside = shake(server.address(), NAME, Arc::clone(&client)).unwrap();
            let kind = inside.conn.handshake_kind();
            let expected = if round == 0 { HandshakeKind::Full } else { HandshakeKind::Resumed };
            assert_eq!(kind, Some(expected), "{label}, round {round}");
            // Tickets of TLS 1.3 come behind the handshake.
            inside.write_all(CLICK.as_bytes()).unwrap();
            inside.read_exact(&mut [0; 16]).unwrap();
            if round == 6 {
                files.put("first", NAME);
                server.daemon().reload().unwrap();
            }
        }
        let counted = |kind| server.totals().handshakes(label, kind);
        assert_eq!((counted("full"), counted("resumed")), (1, 11), "{label}");
    }
    server.stop();
}

#[test]
fn a_proxy_header_stands_in_front_of_tls() {
    let files = Files::new();
    let server = files.serve_with(CATALOG, files.by_name(), |settings| {
        settings.edge.listen[0].proxy_protocol = true;
    });
    let v4 = [198, 51, 100, 7, 10, 0, 0, 1, 0x30, 0x39, 1, 187];
    let header = [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[0x21, 0x11, 0, 12], &v4].concat();
    let mut socket = connect(server.address());
    socket.write_all(&header).unwrap();
    let mut connection = Connection::over(shake_over(socket, NAME, Arc::new(files.client())).unwrap());
    assert_eq!(connection.send(CLICK).receive().unwrap().status, 302);
    assert_eq!(server.click().address, Some(KeptAddress::full([198, 51, 100, 7].into())));
    // Without it, it is no connection at all.
    assert!(shake(server.address(), NAME, Arc::new(files.client())).is_err());
    server.await_count(Outcome::Malformed, 1);
    server.stop();
}

#[test]
fn who_speaks_plain_http_is_told_so() {
    let files = Files::new();
    let server = files.serve(files.by_name());
    let answer = server.connect().send(CLICK).receive().unwrap();
    assert_eq!((answer.status, answer.text()), (400, "this port speaks https.\n"));
    await_failures(&server, Failure::PlainHttp, 1);
    server.await_count(Outcome::Malformed, 1);
    server.stop();
}

#[test]
fn what_is_no_handshake_ends_as_none_and_harms_nobody() {
    let files = Files::new();
    let server = files.serve(files.by_name());
    let mut good = files.open(&server);
    let closed = |bytes: &[u8]| {
        let mut socket = connect(server.address());
        let _closed = socket.write_all(bytes);
        let mut said = Vec::new();
        // Reset or ended, it is over.
        let _over = socket.read_to_end(&mut said);
        said
    };
    let record = |kind: u8, payload: &[u8]| {
        closed(&[&[kind, 3, 1, 0, u8::try_from(payload.len()).unwrap()], payload].concat())
    };
    record(0, b"zero");
    record(22, b"\x01\x00\x00\x04junk");
    // A ClientHello of 16 MiB is announced; of no more than 64 KiB anything is kept.
    record(22, b"\x01\xff\xff\xffmuch");
    // An alert in place of a greeting, and application data.
    record(21, b"\x02\x28");
    record(23, b"GET /c/spring HTTP/1.1\r\n\r\n");
    closed(b"\xff\xff\xff\xff\xff\xff\xff\xff");
    drop(connect(server.address()));
    await_failures(&server, Failure::Closed, 1);
    await_failures(&server, Failure::Garbled, 6);
    assert_eq!(ask(&mut good, NAME).status, 302);
    assert_eq!(server.totals().received, 1, "nobody asked for anything else");
    server.stop();
}

#[test]
fn a_handshake_that_is_never_complete_ends_after_its_time() {
    let files = Files::new();
    let server = files.serve(files.by_name());
    let (mut silent, mut half) = (connect(server.address()), connect(server.address()));
    half.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").unwrap();
    let mut good = files.open(&server);
    (0..20).for_each(|_| assert_eq!(ask(&mut good, NAME).status, 302));
    server.clock.advance(Duration::from_secs(9));
    (0..20).for_each(|_| assert_eq!(ask(&mut good, NAME).status, 302));
    let timed_out = || server.totals().failed_handshakes(Failure::Timeout);
    assert_eq!(timed_out(), 0);
    server.advance_until(Duration::from_secs(50), || timed_out() == 2);
    for slow in [&mut silent, &mut half] {
        assert!(matches!(slow.read(&mut [0; 16]), Ok(0) | Err(_)));
    }
    server.stop();
}

#[test]
fn a_ceiling_counts_those_who_are_shaking_hands() {
    let files = Files::new();
    let server = files.serve_with(CATALOG, files.by_name(), |settings| {
        settings.edge.connections_per_address_max = 2;
    });
    let silent = [connect(server.address()), connect(server.address())];
    let mut tries = 0;
    while server.daemon().edge().connections() < 2 {
        tries += 1;
        assert!(tries < 10_000);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(shake(server.address(), NAME, Arc::new(files.client())).is_err());
    server.await_count(Outcome::Shed, 1);
    drop(silent);
    await_failures(&server, Failure::Closed, 2);
    assert_eq!(ask(&mut files.open(&server), NAME).status, 302);
    server.stop();
}

/// The serial number is not looked at: each certificate has another key, and so other bytes.
fn shown(server: &Server, files: &Files, name: &str) -> Vec<u8> {
    let inside = shake(server.address(), name, Arc::new(files.client())).unwrap();
    inside.conn.peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn new_files_are_shown_without_anybody_asking_and_bad_ones_are_not() {
    let files = Files::new();
    let server = files.serve(files.by_name());
    let before = shown(&server, &files, NAME);
    let mut old = files.open(&server);
    // Each look is ten seconds after the one before, and what changes is taken once it has stood still for one.
    let until = |is_so: &dyn Fn() -> bool| {
        let mut tries = 0;
        while !is_so() {
            tries += 1;
            assert!(tries < 2_000, "waited in vain");
            server.clock.advance(Duration::from_secs(1));
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    let page = || {
        let mut connection = Connection::open(server.daemon().admin_address());
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
        connection.send(request).receive().unwrap().text().to_owned()
    };
    let new = files.put("first", NAME).certificate;
    files.put("second", "second.example");
    until(&|| shown(&server, &files, NAME) == new);
    assert_ne!(before, new);
    let _taken = shown(&server, &files, "second.example");
    assert!(page().contains("\nclicklog_tls_certificates_refused_total 0\n"));
    files.write("first.key", "half a key");
    files.put("second", "third.example");
    until(&|| page().contains("\nclicklog_tls_certificates_refused_total 1\n"));
    assert_eq!(shown(&server, &files, NAME), new, "what was there before is shown still");
    let _taken_too = shown(&server, &files, "third.example");
    // It is told once, not in every round.
    for _ in 0..50 {
        server.clock.advance(Duration::from_secs(11));
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(page().contains("\nclicklog_tls_certificates_refused_total 1\n"));
    // Whoever asks for a reload is told.
    let told = server.daemon().reload().unwrap_err().to_string();
    assert!(told.contains("first.crt") && told.contains("first.key"), "{told}");
    // Year 4096, the end of a certificate that says nothing of it, is later than 32 bits of seconds.
    let expiry = format!("\nclicklog_tls_certificate_expiry_timestamp_seconds{{name=\"{NAME}\"}} ");
    assert!(page().contains(&expiry), "{}", page());
    assert_eq!(old.send(CLICK).receive().map(|answer| answer.status), None, "75 seconds idle, and more");
    server.stop();
}

#[test]
fn check_config_names_the_file_and_why() {
    let files = Files::new();
    let folder = tempfile::tempdir().unwrap();
    let [settings, catalog] = ["settings.toml", "catalog.toml"].map(|name| folder.path().join(name));
    std::fs::write(&catalog, CATALOG).unwrap();
    let check = |certificate: &str, key: &str| {
        let [certificate, key] = [certificate, key].map(|name| files.path(name).display().to_string());
        let text = format!(
            "[edge]\nlisten = [{{ address = \"127.0.0.1:0\", tls = {{ certificate = \"{certificate}\", key = \"{key}\" }} }}]\n\
             [catalog]\npath = \"{}\"\n",
            catalog.display()
        );
        std::fs::write(&settings, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_clicklog"));
        let output = command.args(["check-config", "--config"]).arg(&settings).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(check("first.crt", "first.key").0, Some(0));
    files.put("second", NAME);
    let old = files.authority.issue(NAME, Flaw::Expired);
    files.write("old.crt", &pem("CERTIFICATE", &old.certificate));
    files.write("old.key", &pem("PRIVATE KEY", &old.key));
    files.write("text.crt", "no PEM at all");
    for (certificate, key, why) in [
        ("first.crt", "second.key", "the private key does not belong to the certificate"),
        ("old.crt", "old.key", "the certificate expired at 2020-01-01"),
        ("text.crt", "first.key", "there is no certificate in"),
        ("first.crt", "none.key", "cannot read"),
    ] {
        let (code, told) = check(certificate, key);
        assert!(code == Some(78) && told.contains(certificate) && told.contains(why), "{code:?} {told}");
    }
}

/// The library that the others use cannot even ask for it.
#[test]
fn nobody_can_renegotiate() {
    let files = Files::new();
    let server = files.serve(files.by_name());
    let mut command = Command::new("openssl");
    command.args(["s_client", "-tls1_2", "-servername", NAME, "-connect", &server.address().to_string()]);
    let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut client) = started else {
        println!("skipped: there is no openssl on this machine");
        return;
    };
    // `R` at the start of a line asks for a new handshake on the same connection.
    client.stdin.take().unwrap().write_all(b"R\n").unwrap();
    let output = client.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("RENEGOTIATING") && said.contains("no renegotiation"), "{said}");
    server.stop();
}

/// Waits until so many are connected.
fn await_connections(server: &Server, count: usize) {
    let mut tries = 0;
    while server.daemon().edge().connections() != count {
        tries += 1;
        assert!(tries < 10_000, "waited in vain for {count} connections");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn who_never_shakes_hands_makes_room_for_who_does() {
    let files = Files::new();
    let server = files.serve_with(CATALOG, files.by_name(), |settings| {
        settings.edge.connections_max = 3;
        settings.edge.workers = 1;
    });
    let silent: Vec<_> = (0..2).map(|_| connect(server.address())).collect();
    let mut half = connect(server.address());
    half.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").unwrap();
    await_connections(&server, 3);
    assert!(shake(server.address(), NAME, Arc::new(files.client())).is_err(), "they may be about to");
    server.await_count(Outcome::Shed, 1);
    server.clock.advance(Duration::from_secs(2));
    let mut visitors: Vec<Connection> = (0..3).map(|_| files.open(&server)).collect();
    visitors.iter_mut().for_each(|visitor| assert_eq!(ask(visitor, NAME).status, 302));
    await_failures(&server, Failure::GivenUp, 3);
    assert_eq!((server.count(Outcome::Shed), server.totals().failed_handshakes(Failure::Timeout)), (1, 0));
    drop((silent, half));
    server.stop();
}

#[test]
fn a_stop_does_not_wait_for_who_has_said_nothing() {
    let files = Files::new();
    let server = files.serve_with(CATALOG, files.by_name(), |settings| {
        settings.edge.listen[1].proxy_protocol = true;
    });
    let mut silent = [connect(server.address()), connect(server.daemon().addresses()[1])];
    await_connections(&server, 2);
    // Its clock stands still: whoever waited for a deadline would wait for ever.
    let stopping = std::thread::spawn(move || server.stop());
    silent.iter_mut().for_each(|socket| assert!(is_closed(socket)));
    drop(stopping.join().unwrap());
}

#[test]
fn a_reload_does_not_replace_what_is_good_with_what_has_expired() {
    let files = Files::new();
    let server = files.serve(files.by_name());
    let before = shown(&server, &files, NAME);
    let old = files.authority.issue(NAME, Flaw::Expired);
    files.write("first.crt", &pem("CERTIFICATE", &old.certificate));
    files.write("first.key", &pem("PRIVATE KEY", &old.key));
    let told = server.daemon().reload().unwrap_err().to_string();
    assert!(told.contains("first.crt") && told.contains("expired at 2020-01-01"), "{told}");
    assert_eq!(shown(&server, &files, NAME), before);
    server.stop();
}

/// A start may take minutes where there is much to recover.
#[test]
fn a_certificate_that_is_renewed_during_a_start_is_taken() {
    let files = Arc::new(Files::new());
    let server = files.serve(files.by_name());
    assert_eq!(ask(&mut files.open(&server), NAME).status, 302);
    let renewed = Mutex::new(None);
    let put = Arc::clone(&files);
    let server = server.restart(&mut |_, _| {
        renewed.lock().unwrap().get_or_insert_with(|| put.put("first", NAME));
    });
    let renewed = renewed.into_inner().unwrap().unwrap().certificate;
    assert_ne!(shown(&server, &files, NAME), renewed, "it was read before");
    server.advance_until(Duration::from_secs(100), || shown(&server, &files, NAME) == renewed);
    server.stop();
}
