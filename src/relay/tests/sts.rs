//! Next hops that a domain's MTA-STS policy speaks of (RFC 8461), with a policy server that does as it likes.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::pki::{Ca, mx, reach, watched};
use super::tls_and_login::with_tls;
use super::*;
use crate::stub_dns::StubDns;

const HOST: &str = "mx.y.example";
const ENFORCE: &str = "version: STSv1\nmode: enforce\nmx: *.y.example\nmax_age: 86400\n";
const TESTING: &str = "version: STSv1\nmode: testing\nmx: *.y.example\nmax_age: 86400\n";

/// Answers everything with what it was given last.
struct PolicyServer {
    port: u16,
    answer: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for PolicyServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl PolicyServer {
    async fn start(tls: Arc<rustls::ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (answer, asked) = (Arc::new(Mutex::new(String::new())), Arc::new(AtomicUsize::new(0)));
        let (shared, count) = (Arc::clone(&answer), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            let acceptor = tokio_rustls::TlsAcceptor::from(tls);
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.is_ok_and(|len| len > 0) {}
                assert!(request.starts_with(b"GET /.well-known/mta-sts.txt HTTP/1.1\r\n"), "{}", String::from_utf8_lossy(&request));
                let answer = shared.lock().unwrap().clone();
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { port, answer, asked, task }
    }

    fn say(&self, status: &str, content_type: &str, body: &str) {
        let length = body.len();
        *self.answer.lock().unwrap() =
            format!("HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    }

    fn serve(&self, policy: &str) {
        self.say("200 OK", "text/plain; charset=utf-8", policy);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn zone() -> StubDns {
    let dns = StubDns::launch();
    dns.load(&[
        ("y.example", "MX", "10 mx.y.example"),
        (HOST, "A", "127.0.0.1"),
        ("_mta-sts.y.example", "TXT", "v=STSv1; id=1;"),
        ("mta-sts.y.example", "A", "127.0.0.1"),
    ]);
    dns
}

fn relay(ca: &Ca) -> RelayConfig {
    RelayConfig { ca_file: Some(ca.file.path().to_owned()), ..mx("y.example", TlsMode::MtaSts) }
}

#[tokio::test]
async fn exchangers_are_what_the_policy_says() {
    let (ca, other) = (Ca::new("one"), Ca::new("other"));
    let (policy_tls, _) = ca.server("mta-sts.y.example", 30);
    let with = |(tls, _): (Arc<rustls::ServerConfig>, _)| with_tls(tls);
    // Offers STARTTLS and then closes instead of a handshake.
    let closing = |command: &str, _: usize| (command == "STARTTLS").then_some(Act::SayAndClose("220 go on"));
    let broken = || Script { rule: Arc::new(closing), ..Script::default().keywords(&["STARTTLS"]) };
    let elsewhere = "version: STSv1\nmode: enforce\nmx: mx.z.example\nmax_age: 86400\n";
    let elsewhere_testing = &elsewhere.replace("enforce", "testing");
    let none = "version: STSv1\nmode: none\nmax_age: 86400\n";
    for (what, policy, script, expected, seen) in [
        ("all is well", ENFORCE, with(ca.server(HOST, 30)), "TLS", ("sts", "")),
        ("no STARTTLS", ENFORCE, Script::default(), "4.7.4", ("sts", "starttls-not-supported")),
        ("a broken handshake", ENFORCE, broken(), "4.7.5", ("sts", "validation-failure")),
        ("another name", ENFORCE, with(ca.server("mx.z.example", 30)), "4.7.5", ("sts", "certificate-host-mismatch")),
        ("too old", ENFORCE, with(ca.server(HOST, -1)), "4.7.5", ("sts", "certificate-expired")),
        ("another authority", ENFORCE, with(other.server(HOST, 30)), "4.7.5", ("sts", "certificate-not-trusted")),
        ("another exchanger", elsewhere, with(ca.server(HOST, 30)), "4.7.5", ("sts", "validation-failure")),
        ("testing, all is well", TESTING, with(ca.server(HOST, 30)), "TLS", ("sts", "")),
        ("testing, no STARTTLS", TESTING, Script::default(), "plain", ("sts", "starttls-not-supported")),
        ("testing, a broken handshake", TESTING, broken(), "plain", ("sts", "validation-failure")),
        ("testing, another name", TESTING, with(ca.server("mx.z.example", 30)), "TLS", ("sts", "certificate-host-mismatch")),
        ("testing, another authority", TESTING, with(other.server(HOST, 30)), "TLS", ("sts", "certificate-not-trusted")),
        ("testing, another exchanger", elsewhere_testing, with(ca.server(HOST, 30)), "TLS", ("sts", "validation-failure")),
        ("none", none, with(other.server("mx.z.example", -1)), "TLS", ("no-policy-found", "")),
    ] {
        let server = PolicyServer::start(Arc::clone(&policy_tls)).await;
        server.serve(policy);
        let (dns, hop) = (zone(), Hop::start(script).await);
        let (relays, watch) = watched(&dns, server.port);
        assert_eq!(reach(&relays, &relay(&ca), HOST, &hop, false).await, expected, "{what}");
        assert_eq!(watch.take(), [seen], "{what}");
        assert_eq!(server.asked(), 1, "{what}");
    }
}

#[tokio::test]
async fn what_is_no_policy_asks_for_nothing_and_is_told() {
    let (ca, other) = (Ca::new("one"), Ca::new("other"));
    let (good, _) = ca.server("mta-sts.y.example", 30);
    let long = format!("{ENFORCE}{}", "x-comment: padding\n".repeat(4000));
    for (what, tls, status, content_type, body, fault) in [
        (
            "a redirect",
            &good,
            "301 Moved Permanently\r\nLocation: https://mta-sts.y.example/",
            "text/plain",
            ENFORCE,
            "sts-policy-fetch-error",
        ),
        ("nothing", &good, "404 Not Found", "text/plain", ENFORCE, "sts-policy-fetch-error"),
        ("HTML", &good, "200 OK", "text/html", ENFORCE, "sts-policy-invalid"),
        ("nonsense", &good, "200 OK", "text/plain", "<html>", "sts-policy-invalid"),
        ("too much", &good, "200 OK", "text/plain", &long, "sts-policy-fetch-error"),
        ("another authority", &other.server("mta-sts.y.example", 30).0, "200 OK", "text/plain", ENFORCE, "sts-webpki-invalid"),
        ("another name", &ca.server("y.example", 30).0, "200 OK", "text/plain", ENFORCE, "sts-webpki-invalid"),
    ] {
        let server = PolicyServer::start(Arc::clone(tls)).await;
        server.say(status, content_type, body);
        let (dns, hop) = (zone(), Hop::start(with_tls(other.server("mx.z.example", -1).0)).await);
        let (relays, watch) = watched(&dns, server.port);
        for _ in 0..2 {
            assert_eq!(reach(&relays, &relay(&ca), HOST, &hop, false).await, "TLS", "{what}");
            assert_eq!(watch.take(), [("no-policy-found", fault)], "{what}");
        }
        assert_eq!(server.asked(), 1, "{what}: not again for some minutes");
    }
}

#[tokio::test]
async fn what_is_remembered_holds_until_it_changes_or_ends() {
    let ca = Ca::new("one");
    let server = PolicyServer::start(ca.server("mta-sts.y.example", 30).0).await;
    server.serve(ENFORCE);
    let (dns, hop) = (zone(), Hop::start(Script::default()).await);
    dns.remove("_mta-sts.y.example");
    dns.ttl(0);
    dns.negative_ttl(None);
    dns.txt("_mta-sts.y.example", "v=STSv1; id=1");
    let (relays, _) = watched(&dns, server.port);
    let relay = relay(&ca);
    let fares = async || reach(&relays, &relay, HOST, &hop, false).await;
    for _ in 0..3 {
        assert_eq!(fares().await, "4.7.4");
    }
    assert_eq!(server.asked(), 1);
    // A record that is gone, or cannot be had, changes nothing.
    dns.remove("_mta-sts.y.example");
    assert_eq!(fares().await, "4.7.4");
    // A new policy that cannot be had changes nothing either.
    dns.txt("_mta-sts.y.example", "v=STSv1; id=2");
    server.say("500 Oops", "text/plain", "");
    assert_eq!((fares().await.as_str(), server.asked()), ("4.7.4", 2));
    // One that can be had is in force at once.
    dns.remove("_mta-sts.y.example");
    dns.txt("_mta-sts.y.example", "v=STSv1; id=3");
    server.serve(TESTING);
    assert_eq!((fares().await.as_str(), server.asked()), ("plain", 3));
    assert_eq!((fares().await.as_str(), server.asked()), ("plain", 3));
}

/// RFC 8689 §4.2.1: MTA-STS can vouch for exchangers, too.
#[tokio::test]
async fn requiretls_goes_where_a_policy_says() {
    let ca = Ca::new("one");
    let server = PolicyServer::start(ca.server("mta-sts.y.example", 30).0).await;
    for (policy, name, expected) in [
        (ENFORCE, HOST, "TLS"),
        (TESTING, HOST, "TLS"),
        (ENFORCE, "mx.z.example", "5.7.10"),
        ("version: STSv1\nmode: none\nmax_age: 60", HOST, "5.7.10"),
    ] {
        server.serve(policy);
        let (dns, hop) = (zone(), Hop::start(with_tls(ca.server(name, 30).0).keywords(&["REQUIRETLS"])).await);
        for tls in [TlsMode::MtaSts, TlsMode::Opportunistic] {
            let (relays, _) = watched(&dns, server.port);
            let relay = RelayConfig { tls, ..relay(&ca) };
            assert_eq!(reach(&relays, &relay, HOST, &hop, true).await, expected, "{policy}, {tls:?}");
        }
    }
}

/// Nobody's policy is asked for where the configuration names the hosts.
#[tokio::test]
async fn hosts_of_the_configuration_have_no_policy() {
    let ca = Ca::new("one");
    let (dns, hop) = (zone(), Hop::start(with_tls(ca.server("mx.z.example", -1).0)).await);
    for tls in [TlsMode::MtaSts, TlsMode::Dane, TlsMode::Opportunistic] {
        let (relays, watch) = watched(&dns, 443);
        let relay = RelayConfig { tls, route: at([HOST]), ..relay(&ca) };
        assert_eq!(reach(&relays, &relay, HOST, &hop, false).await, "TLS");
        assert_eq!(watch.take(), []);
    }
    assert_eq!(dns.asked_total(), 0);
}
