//! What stands in one connection one after the other: a load balancer's header, TLS, a client's certificate, a login.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use serde_json::{Value, json};

use crate::common::{DEADLINE, tool};
use crate::harness::lines::Lines;
use crate::harness::pki::Authority;
use crate::harness::tls::{self, Certificate};
use crate::harness::{Client, Deployment, Gateway, Sink, mail};

const BOB: &str = "bob@acme.example";
/// Not a domain of the gateway.
const OUTSIDE: &str = "bob@elsewhere.example";
const TIM: &str = "tim@acme.example";
const PASSWORD: &str = "correct-horse-42";
const PAIR: &str = "certificate: tls/cert.pem, key: tls/key.pem";
const BALANCED: &str = "proxy_protocol: { trusted: 127.0.0.1 }";
const HEADER: &[u8] = b"PROXY TCP4 203.0.113.9 192.0.2.25 4711 25\r\n";
const CLIENT: &str = "203.0.113.9";

// ---- a header before TLS ----

#[test]
fn swaks_announces_itself_and_speaks_tls_from_the_first_byte() {
    for (version, family) in [("1", "TCP4"), ("2", "AF_INET")] {
        let (sink, _deployment, gateway) = start(&format!("{BALANCED}, tls: {{ mode: implicit, {PAIR} }}"));
        let output = swaks(&gateway, BOB)
            .args(["--tls-on-connect", "--proxy-version", version, "--proxy-family", family, "--proxy-source", CLIENT])
            .args(["--proxy-source-port", "4711", "--proxy-dest", "192.0.2.25", "--proxy-dest-port", "25"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", mail::text(&output.stdout));
        assert_came_from(&sink, CLIENT, "with ESMTPS id");
    }
}

/// The header is taken to its last octet and no further: the rest of the segment is TLS.
#[test]
fn a_client_hello_in_the_segment_of_the_header_is_taken() {
    let (sink, _deployment, gateway) = start(&format!("{BALANCED}, tls: {{ mode: implicit, {PAIR} }}"));
    let name = ServerName::try_from("localhost").unwrap();
    // Cut nowhere, inside of the header, behind it, and inside of the ClientHello.
    for cut in [0, 1, HEADER.len() - 1, HEADER.len(), HEADER.len() + 1, HEADER.len() + 40] {
        let mut connection = ClientConnection::new(tls::config(None), name.clone()).unwrap();
        let mut segment = HEADER.to_vec();
        connection.write_tls(&mut segment).unwrap();
        let mut tcp = TcpStream::connect(gateway.address()).unwrap();
        tcp.set_read_timeout(Some(DEADLINE)).unwrap();
        tcp.set_nodelay(true).unwrap();
        let (first, second) = segment.split_at(cut);
        tcp.write_all(first).unwrap();
        tcp.write_all(second).unwrap();
        let mut stream = StreamOwned::new(connection, tcp);
        tls::finish(&mut stream).expect("a handshake");
        let mut banner = [0; 4];
        stream.read_exact(&mut banner).unwrap();
        assert_eq!(&banner, b"220 ", "cut at {cut}");
        let envelope = format!("EHLO client.example\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<{BOB}>\r\nDATA\r\n");
        stream.write_all(format!("{envelope}Subject: cut {cut}\r\n\r\nx\r\n.\r\nQUIT\r\n").as_bytes()).unwrap();
        let mut replies = String::new();
        stream.read_to_string(&mut replies).expect("replies, and an orderly end");
        assert!(replies.contains("250 2.0.0") && replies.ends_with("221 2.0.0 Bye\r\n"), "cut at {cut}: {replies}");
        let text = mail::text(&sink.taken().last().unwrap().data);
        assert!(text.contains(&format!("[{CLIENT}]")) && text.contains(&format!("Subject: cut {cut}")), "{text}");
    }
    let failed = |event: &Value| event["event"] == "proxy_failed" || event["error"].is_string();
    assert!(gateway.events(failed).is_empty());
}

#[test]
fn tls_without_the_header_and_a_header_within_tls_are_no_headers() {
    let (_sink, _deployment, gateway) = start(&format!("{BALANCED}, tls: {{ mode: implicit, {PAIR} }}"));
    assert!(Client::dial_tls(gateway.address(), &tls::config(None), "localhost").is_err());
    gateway.wait_for(|event| event["event"] == "proxy_failed" && event["detail"].as_str().unwrap().contains("no PROXY header"));
    // Inside of TLS it is early talk or an unknown command, and changes no address.
    let mut client = announced(&gateway);
    client.try_handshake(&tls::config(None), "localhost").unwrap();
    client.write(b"PROXY TCP4 198.51.100.7 192.0.2.25 4711 25\r\n");
    let first = client.reply();
    assert!(first.code == 554 || first.code == 220 && client.reply().code == 500, "{first:?}");
    assert!(gateway.events(|event| event["client"] == "198.51.100.7").is_empty());
}

#[test]
fn a_certificate_is_shown_behind_the_header() {
    let authority = Authority::new("Partner CA", 400);
    for mode in ["required", "implicit"] {
        let sink = Sink::accepting();
        let endpoint = format!("type: mtls, {BALANCED}, tls: {{ mode: {mode}, {PAIR} }}, trust: {{ ca: tls/partners-ca.pem }}");
        let deployment = Deployment::new("inline").relay("next", sink.address()).endpoint(&endpoint);
        Certificate::new().write(&deployment.path("tls"));
        deployment.write("tls/partners-ca.pem", &authority.pem);
        let gateway = deployment.start();
        let config = tls::config(Some(&authority.client("relay.partner.example", 7)));
        let mut client = announced(&gateway);
        if mode == "required" {
            client.reply().expect("220 ");
            client.command("EHLO client.example").expect("250 ");
            client.command("MAIL FROM:<a@partner.example>").expect("530 5.7.0");
            client.command("STARTTLS").expect("220 ");
            client.try_handshake(&config, "localhost").unwrap();
        } else {
            client.try_handshake(&config, "localhost").unwrap();
            client.reply().expect("220 ");
        }
        client.command("EHLO client.example").expect("250 ");
        client.send("a@partner.example", &[OUTSIDE], &mail::small("outward")).expect("250 ");
        assert_came_from(&sink, CLIENT, "with ESMTPS id");
        let shown = gateway.wait_for(|event| event["event"] == "tls");
        assert_eq!(shown["client_certificate"]["cn"], json!(["relay.partner.example"]), "{mode}");
        // Who shows none is no partner, whatever load balancer stands before him.
        let mut stranger = announced(&gateway);
        if mode == "required" {
            stranger.reply().expect("220 ");
            stranger.command("EHLO client.example").expect("250 ");
            stranger.command("STARTTLS").expect("220 ");
        }
        let heard = stranger.try_handshake(&tls::config(None), "localhost").and_then(|()| stranger.try_reply());
        assert!(heard.is_err(), "{mode}: {heard:?}");
    }
}

// ---- logins ----

#[test]
fn smtplib_and_swaks_log_in_over_tls_from_the_first_byte() {
    let program = "
import smtplib, ssl, sys
port, cafile, user, password = sys.argv[1:]
with smtplib.SMTP_SSL('localhost', int(port), context=ssl.create_default_context(cafile=cafile)) as client:
    client.login(user, password)
    client.sendmail('tim@acme.example', ['bob@elsewhere.example'], sys.stdin.buffer.read())
";
    let (sink, deployment, gateway) = start(&submission("implicit"));
    let mut python = tool("python");
    python.args(["-c", program, &gateway.address().port().to_string()]).arg(deployment.path("tls/cert.pem")).args([TIM, PASSWORD]);
    let output = with_message(python);
    assert!(output.status.success(), "{}", mail::text(&output.stderr));
    assert_came_from(&sink, "127.0.0.1", "with ESMTPSA id");
    for mechanism in ["PLAIN", "LOGIN"] {
        let login = ["--tls-on-connect", "--auth", mechanism, "--auth-user", TIM, "--auth-password", PASSWORD];
        let output = swaks(&gateway, OUTSIDE).args(login).output().unwrap();
        assert!(output.status.success(), "{}", mail::text(&output.stdout));
    }
    assert_eq!(sink.wait_taken(3).len(), 3);
    let logins = gateway.wait_events(3, |event| event["event"] == "login" && event["result"] == "accepted");
    assert_eq!(logins.len(), 3, "{logins:?}");
}

/// Guessers behind a load balancer do not shut out each other, nor everybody who comes through it.
#[test]
fn failed_logins_count_for_the_address_in_the_header() {
    for mode in ["required", "implicit"] {
        let (sink, _deployment, gateway) = start(&format!("{BALANCED}, {}", submission(mode)));
        let (address, implicit) = (gateway.address(), mode == "implicit");
        let guess = move |n: u32| {
            session(address, HEADER, implicit).command(&plain(&format!("guess-{n}"))).expect("535 5.7.8");
        };
        let guessers: Vec<_> = (0..20).map(|n| std::thread::spawn(move || guess(n))).collect();
        for guesser in guessers {
            guesser.join().unwrap();
        }
        session(address, HEADER, implicit).command(&plain(PASSWORD)).expect("454 4.7.0 Too many failed logins");
        let deferred = gateway.wait_for(|event| event["event"] == "login" && event["result"] == "deferred");
        assert_eq!((&deferred["client"], &deferred["reason"]), (&CLIENT.into(), &"too many failed logins".into()));
        // Through the same load balancer, from elsewhere.
        let mut tim = session(address, b"PROXY TCP4 198.51.100.7 192.0.2.25 4711 25\r\n", implicit);
        tim.command(&plain(PASSWORD)).expect("235 2.7.0");
        tim.send(TIM, &[OUTSIDE], &mail::small("tim")).expect("250 ");
        assert_came_from(&sink, "198.51.100.7", "with ESMTPSA id");
    }
}

// ---- REQUIRETLS to the end ----

/// RFC 8689 §4.2.1: from TLS to TLS, where the next hop offers the extension and its certificate is believed; nowhere else.
#[test]
fn a_message_with_requiretls_reaches_a_next_hop_that_keeps_it() {
    let (next, authority) = (Certificate::new(), Certificate::new());
    for (keywords, trust, reply) in [
        ("REQUIRETLS", "ca: next/cert.pem", "250 "),
        ("REQUIRETLS", "ca: tls/cert.pem", "550 5.7.10"),
        ("8BITMIME", "ca: next/cert.pem", "550 5.7.30"),
    ] {
        let folder = Deployment::new("inline");
        let (certificate, key) = next.write(&folder.path("next"));
        authority.write(&folder.path("tls"));
        let mut server = tool("python");
        server.args(["-u", "-c", include_str!("harness/starttls_sink.py"), keywords]).arg(certificate).arg(key);
        // It ends with its standard input, and so with this test.
        let mut server = server.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let said = Lines::follow(server.stdout.take().unwrap());
        let address = said.wait("its address", |line| line.strip_prefix("listening ").and_then(|address| address.parse().ok()));
        let deployment =
            folder.endpoint(&format!("tls: {{ mode: optional, {PAIR} }}")).relay_with("next", address, &format!("tls: verify, {trust}"));
        let gateway = deployment.start();
        let mut client = Client::hello(gateway.address());
        client.start_tls();
        client.command("EHLO client.example").expect("250 ");
        client.command("MAIL FROM:<alice@example.org> REQUIRETLS").expect("250 ");
        client.command(&format!("RCPT TO:<{BOB}>")).expect("250 ");
        client.command("DATA").expect("354 ");
        client.write(b"Subject: kept\r\n\r\nx\r\n.\r\n");
        let got = client.reply();
        drop(server.stdin.take());
        server.wait().unwrap();
        said.wait_end();
        let taken = said.text();
        assert!(format!("{} {}", got.code, got.text).starts_with(reply), "{keywords}, {trust}: {got:?}\n{taken}\n{}", gateway.said());
        let over_tls = taken.contains("tls MAIL FROM:<alice@example.org> REQUIRETLS");
        assert_eq!((over_tls, taken.contains("Subject: kept")), (got.code == 250, got.code == 250), "{taken}");
        assert!(!taken.contains("plain MAIL"), "{taken}");
    }
}

// ---- what they share ----

/// An endpoint with these keys whose mail goes to a next hop that takes everything, and users for whom a login is asked for.
fn start(endpoint: &str) -> (Sink, Deployment, Gateway) {
    let sink = Sink::accepting();
    let users = json!({ "username": TIM, "password": PASSWORD }).to_string();
    let deployment = Deployment::new("inline").relay("next", sink.address()).endpoint(endpoint).file("users.json", &users);
    Certificate::new().write(&deployment.path("tls"));
    let gateway = deployment.start();
    (sink, deployment, gateway)
}

fn submission(mode: &str) -> String {
    format!("type: auth, credentials: {{ file: users.json }}, tls: {{ mode: {mode}, {PAIR} }}")
}

/// A connection whose header has been sent, and nothing else.
fn announced(gateway: &Gateway) -> Client {
    let mut client = Client::dial(gateway.address());
    client.write(HEADER);
    client
}

/// A greeted session over TLS behind a header.
fn session(address: std::net::SocketAddr, header: &[u8], implicit: bool) -> Client {
    let mut client = Client::dial(address);
    client.write(header);
    let config: Arc<rustls::ClientConfig> = tls::config(None);
    if !implicit {
        client.reply().expect("220 ");
        client.command("EHLO client.example").expect("250 ");
        client.command("STARTTLS").expect("220 ");
    }
    client.try_handshake(&config, "localhost").unwrap();
    if implicit {
        client.reply().expect("220 ");
    }
    client.command("EHLO client.example").expect("250 ");
    client
}

fn plain(password: &str) -> String {
    let [_, message] = gateway::smtp::auth_encodings(TIM, password);
    format!("AUTH PLAIN {}", message.as_str())
}

fn swaks(gateway: &Gateway, to: &str) -> Command {
    let mut swaks = tool("swaks");
    swaks.args(["--server", "127.0.0.1", "--port", &gateway.address().port().to_string(), "--helo", "client.example"]);
    swaks.args(["--from", TIM, "--to", to]).stdin(Stdio::null());
    swaks
}

fn with_message(mut program: Command) -> Output {
    program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut program = program.spawn().unwrap();
    // One that fails early does not read.
    let _ = program.stdin.take().unwrap().write_all(&mail::small("program"));
    program.wait_with_output().unwrap()
}

/// The only message, from there, and with this in its Received field.
#[track_caller]
fn assert_came_from(sink: &Sink, address: &str, with: &str) {
    let text = mail::text(&sink.only().data);
    assert!(text.contains(&format!("[{address}]")) && text.contains(with), "{text}");
}
