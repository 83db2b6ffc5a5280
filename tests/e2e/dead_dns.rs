//! DNS that does not answer: a verdict of its own, a bounded delay, and no door that opens by it.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use crate::common::dns::StubDns;
use crate::harness::{Client, Deployment, Gateway, Sink, mail, until};

const BOB: &str = "bob@acme.example";
const OURS: &str = "203.0.113.9";
const LIST: &str = "domains: [acme.example]\nanalyzers:\n  bl: { type: dnsbl, zone: bl.example, timeout: 2s }";
/// A question takes at most twice the timeout of a server; SPF and DMARC ask one after the other.
const BOUND: Duration = Duration::from_secs(15);

fn deployment(sink: &Sink, server: &str) -> Deployment {
    let deployment = Deployment::new("inline").relay("next", sink.address()).top(LIST);
    deployment.resolver(&format!("servers: \"{server}\", timeout: 1s")).endpoint("proxy_protocol: { trusted: [127.0.0.0/8] }")
}

fn client(gateway: &Gateway) -> Client {
    Client::behind(gateway.address(), 2, OURS, "mail.example.org")
}

const RULES: &str = "rules:\n  - name: spf\n    when: [{ spf: { equals: processing_failed } }]\n    \
                     actions: [{ AddHeader: { name: X-Seen, value: spf } }]\n  - name: spf-result\n    \
                     when: [{ spf_result: { equals: temperror } }]\n    actions: [{ AddHeader: { name: X-Seen, value: spf-result } }]\n  \
                     - name: dmarc\n    when: [{ dmarc_result: { equals: temperror } }]\n    \
                     actions: [{ AddHeader: { name: X-Seen, value: dmarc } }]\n  - name: pass\n    \
                     when: [{ dmarc_result: { equals: pass } }]\n    actions: [{ AddHeader: { name: X-Seen, value: pass } }]\n  \
                     - name: all\n    actions: [{ SMTPRelay: { relay: next } }]\n";

#[test]
fn a_silent_server_is_a_temperror_within_a_bound() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let sink = Sink::accepting();
    let gateway = deployment(&sink, &silent.local_addr().unwrap().to_string()).rules(RULES).start();
    let begun = Instant::now();
    client(&gateway).send("a@example.org", &[BOB], &mail::small("dead")).expect("250 ");
    let took = begun.elapsed();
    assert!(took < BOUND, "{took:?}");
    let data = mail::text(&sink.only().data);
    for expected in ["spf=temperror", "dmarc=temperror", "X-Seen: spf\r\n", "X-Seen: spf-result\r\n", "X-Seen: dmarc\r\n"] {
        assert!(data.contains(expected), "{expected} is missing in {data}");
    }
    let event = gateway.wait_for(|event| event["event"] == "verdicts");
    assert_eq!((&event["spf"]["result"], &event["dmarc"]["result"]), (&"temperror".into(), &"temperror".into()), "{event}");
}

/// Statements that would let in who has no name or is not listed, and such that would keep him out.
const POLICIES: &[(&str, &str)] = &[
    ("deny", "client_host: { exists: false }"),
    ("deny", "client_host: { ends_with: .evil.example }"),
    ("deny", "analysis: { analyzer: bl, field: is_listed, equals: true }"),
    ("allow", "client_host: { exists: true }"),
    ("allow", "client_host: { not_equals: bad.example }"),
    ("allow", "analysis: { analyzer: bl, field: is_listed, equals: false }"),
    ("allow", "analysis: { analyzer: bl, field: score, less_than: 1, on_error: defer }"),
];

#[test]
fn a_policy_that_cannot_know_neither_lets_in_nor_refuses_for_good() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let failing = StubDns::launch();
    failing.load(&[("9.113.0.203.in-addr.arpa", "SERVFAIL", ""), ("9.113.0.203.bl.example", "SERVFAIL", "")]);
    let servers = [silent.local_addr().unwrap().to_string(), failing.address().to_string()];
    // At once: each waits for a while.
    std::thread::scope(|scope| {
        for (kind, condition) in POLICIES {
            for server in &servers {
                scope.spawn(move || {
                    let sink = Sink::accepting();
                    let default = if *kind == "deny" { "allow" } else { "deny" };
                    let policy = format!("default: {default}\n{kind}:\n  - name: x\n    when: [{{ {condition} }}]\n");
                    let gateway = deployment(&sink, server).policy(&policy).start();
                    let mut client = client(&gateway);
                    let begun = Instant::now();
                    client.command("MAIL FROM:<a@example.org>").expect("250 ");
                    client.command(&format!("RCPT TO:<{BOB}>")).expect("451 4.7.1 Cannot be checked now");
                    client.command("DATA").expect("5");
                    assert!(begun.elapsed() < BOUND, "{policy}");
                    let event = gateway.wait_for(|event| event["event"] == "policy" && event["verdict"] == "defer");
                    assert_eq!((&event["stage"], &event["statement"]), (&"rcpt".into(), &"x".into()), "{event}");
                });
            }
        }
    });
}

#[test]
fn an_spf_record_that_cannot_be_had_is_no_reason_to_refuse_for_good() {
    let dns = StubDns::launch();
    dns.add("example.org", "SERVFAIL", "");
    let sink = Sink::accepting();
    for (policy, replies) in [
        ("default: allow\ndeny:\n  - name: x\n    when: [{ spf_result: { equals: [fail, softfail] } }]\n", ["250 ", "250 "]),
        (
            "default: allow\ndeny:\n  - name: x\n    when: [{ spf_result: { equals: temperror } }]\n",
            ["451 4.4.3 Cannot be checked now", "250 "],
        ),
        ("default: allow\ndeny:\n  - name: x\n    when: [{ spf_result: { not_equals: pass } }]\n", ["451 4.4.3", "550 5.7.1"]),
        ("default: deny\nallow:\n  - name: x\n    when: [{ spf_result: { equals: pass } }]\n", ["451 4.4.3", "550 5.7.1"]),
        ("default: deny\nallow:\n  - name: x\n    when: [{ spf_result: { equals: temperror } }]\n", ["250 ", "550 5.7.1"]),
        // What is denied for another reason is denied.
        (
            "default: allow\ndeny:\n  - name: x\n    when: [{ spf_result: { equals: temperror } }]\n  - name: y\n    \
             when: [{ recipient: { starts_with: bob } }]\n",
            ["550 5.7.1", "550 5.7.1"],
        ),
    ] {
        let gateway = deployment(&sink, &dns.address().to_string()).policy(policy).start();
        for (sender, reply) in ["a@example.org", "a@nothing.example"].into_iter().zip(replies) {
            let mut session = client(&gateway);
            session.command(&format!("MAIL FROM:<{sender}>")).expect("250 ");
            session.command(&format!("RCPT TO:<{BOB}>")).expect(reply);
        }
        if replies[0].starts_with("451") {
            let event = gateway.wait_for(|event| event["event"] == "policy" && event["verdict"] == "defer");
            assert_eq!(event["detail"], "spf temperror", "{event}");
        }
    }
}

#[test]
fn a_stop_waits_no_longer_than_a_look_up() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let sink = Sink::accepting();
    let policy = "default: allow\ndeny:\n  - name: x\n    when: [{ client_host: { exists: false } }]\n";
    let gateway = deployment(&sink, &silent.local_addr().unwrap().to_string()).policy(policy).start();
    let mut session = client(&gateway);
    session.command("MAIL FROM:<a@example.org>").expect("250 ");
    session.write(format!("RCPT TO:<{BOB}>\r\n").as_bytes());
    // It is asked for.
    silent.recv_from(&mut [0; 512]).unwrap();
    let begun = Instant::now();
    let (status, _) = gateway.stop();
    assert!(status.success() && begun.elapsed() < BOUND, "{status} after {:?}", begun.elapsed());
    assert!(matches!(session.reply().code, 421 | 451));
}

#[test]
fn mail_passes_when_dns_comes_back() {
    let dns = StubDns::launch();
    let sick = ["example.org", "_dmarc.example.org", "9.113.0.203.in-addr.arpa"];
    sick.iter().for_each(|name| dns.add(name, "SERVFAIL", ""));
    let sink = Sink::accepting();
    let policy = "default: allow\ndeny:\n  - name: nameless\n    when: [{ client_host: { exists: false } }]\n";
    let gateway = deployment(&sink, &dns.address().to_string()).policy(policy).rules(RULES).start();
    let mut session = client(&gateway);
    session.command("MAIL FROM:<a@example.org>").expect("250 ");
    session.command(&format!("RCPT TO:<{BOB}>")).expect("451 4.7.1");
    sick.iter().for_each(|name| dns.remove(name));
    dns.load(&[
        ("example.org", "TXT", "v=spf1 ip4:203.0.113.0/24 -all"),
        ("_dmarc.example.org", "TXT", "v=DMARC1; p=reject"),
        (OURS, "PTR", "mail.example.org"),
        ("mail.example.org", "A", OURS),
    ]);
    // As soon as the trouble is forgotten.
    until("DNS is asked again", || {
        let mut again = client(&gateway);
        again.command("MAIL FROM:<a@example.org>").expect("250 ");
        (again.command(&format!("RCPT TO:<{BOB}>")).code == 250).then_some(())
    });
    // In the old session too.
    session.command("RSET").expect("250 ");
    session.send("a@example.org", &[BOB], &mail::small("back")).expect("250 ");
    let data = mail::text(&sink.only().data);
    assert!(data.contains("spf=pass") && data.contains("dmarc=pass") && data.contains("X-Seen: pass\r\n"), "{data}");
}
