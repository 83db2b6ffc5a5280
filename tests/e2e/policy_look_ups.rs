//! A traffic policy that asks DNS and lists before it lets a recipient in.

use crate::common::dns::StubDns;
use crate::harness::client::stuffed;
use crate::harness::{Client, Deployment, Gateway, Sink, mail};

const BOB: &str = "bob@acme.example";
const CAROL: &str = "carol@acme.example";
const OURS: &str = "203.0.113.9";
const OURS_6: &str = "2001:db8:1::9";
const LISTED: &str = "198.51.100.7";
const LISTED_6: &str = "2001:db8:bad::1";
const LISTS: &str = "domains: [acme.example]\nanalyzers:\n  bl: { type: dnsbl, zone: bl.example, codes: { 127.0.0.2: spam, 127.0.0.3: drone }, \
                     weights: { drone: 5 } }\n  sick: { type: dnsbl, zone: sick.example }\n  senders: { type: dnsbl, zone: dbl.example, of: mail_from }";

fn zone() -> StubDns {
    let dns = StubDns::launch();
    dns.load(&[
        ("example.org", "TXT", "v=spf1 ip4:203.0.113.0/24 ip6:2001:db8:1::/48 -all"),
        ("forged.example", "TXT", "v=spf1 -all exp=why.forged.example"),
        ("why.forged.example", "TXT", "not from %{i}"),
        ("mail.example.org", "A", OURS),
        ("mail.example.org", "AAAA", OURS_6),
        (OURS, "PTR", "mail.example.org"),
        (OURS_6, "PTR", "mail.example.org"),
        ("7.100.51.198.bl.example", "A", "127.0.0.2"),
        ("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.a.b.0.8.b.d.0.1.0.0.2.bl.example", "A", "127.0.0.3"),
        ("bad.example.dbl.example", "A", "127.0.1.2"),
    ]);
    dns.add("*.sick.example", "SERVFAIL", "");
    dns
}

fn start(dns: &StubDns, policy: &str) -> (Sink, Gateway) {
    let sink = Sink::accepting();
    let deployment = Deployment::new("inline").names(dns).top(LISTS).relay("next", sink.address()).policy(policy);
    let gateway = deployment.endpoint("proxy_protocol: { trusted: [127.0.0.0/8] }").start();
    (sink, gateway)
}

fn deny(condition: &str) -> String {
    format!("default: allow\ndeny:\n  - name: x\n    when: [{{ {condition} }}]\n")
}

/// The reply to RCPT for a sender and a client.
fn rcpt(gateway: &Gateway, client: &str, sender: &str) -> u16 {
    let mut session = Client::behind(gateway.address(), 2, client, "mail.example.org");
    session.command(&format!("MAIL FROM:<{sender}>")).expect("250 ");
    session.command(&format!("RCPT TO:<{BOB}>")).code
}

#[test]
fn one_sender_is_refused_and_another_of_the_same_session_is_not() {
    let dns = zone();
    let (sink, gateway) = start(&dns, &deny("spf_result: { equals: fail }"));
    let mut session = Client::behind(gateway.address(), 1, OURS, "mail.example.org");
    for _ in 0..2 {
        session.command("MAIL FROM:<a@forged.example>").expect("250 ");
        session.command(&format!("RCPT TO:<{BOB}>")).expect("550 5.7.1 Not accepted by the policy");
        session.command("RSET").expect("250 ");
        session.send("a@example.org", &[BOB, CAROL], &mail::small("fine")).expect("250 ");
    }
    // The null sender is judged by the name in HELO, which has no record here.
    session.send("", &[BOB], &mail::small("bounce")).expect("250 ");
    let taken = sink.wait_taken(3);
    assert!(mail::above_received(&taken[0].data).contains("spf=pass"), "{}", mail::above_received(&taken[0].data));
    let denied = gateway.wait_for(|event| event["event"] == "policy" && event["verdict"] == "deny");
    let told = (&denied["stage"], &denied["statement"], &denied["detail"]);
    assert_eq!(told, (&"rcpt".into(), &"x".into(), &"spf fail".into()), "{denied}");
    let verdicts = gateway.wait_for(|event| event["event"] == "verdicts" && event["spf"]["result"] == "fail");
    assert_eq!((&verdicts["stage"], &verdicts["spf"]["explanation"]), (&"rcpt".into(), &"not from 203.0.113.9".into()), "{verdicts}");
}

#[test]
fn names_and_lists_decide_for_both_families() {
    let dns = zone();
    for (policy, expected) in [
        (deny("client_host: { exists: false }"), [250, 250, 550, 550]),
        (deny("client_host: { ends_with: .example.org }"), [550, 550, 250, 250]),
        (deny("analysis: { analyzer: bl, field: is_listed, equals: true }"), [250, 250, 550, 550]),
        (deny("analysis: { analyzer: bl, field: listed_on, equals: spam }"), [250, 250, 550, 250]),
        (deny("analysis: { analyzer: bl, field: score, greater_than: 4 }"), [250, 250, 250, 550]),
        ("default: deny\nallow:\n  - name: x\n    when: [{ client_host: { equals: MAIL.example.ORG } }]\n".to_owned(), [250, 250, 550, 550]),
        (
            "default: deny\nallow:\n  - name: x\n    when: [{ spf_result: { equals: pass } }, { analysis: { analyzer: bl, field: is_listed, equals: false } }]\n"
                .to_owned(),
            [250, 250, 550, 550],
        ),
    ] {
        let (_sink, gateway) = start(&dns, &policy);
        assert_eq!([OURS, OURS_6, LISTED, LISTED_6].map(|client| rcpt(&gateway, client, "a@example.org")), expected, "{policy}");
    }
    let (_sink, gateway) = start(&dns, &deny("analysis: { analyzer: senders, field: is_listed, equals: true }"));
    assert_eq!(
        [("a@bad.example", 550), ("a@BAD.example", 550), ("a@example.org", 250), ("", 250)].map(|(sender, code)| {
            assert_eq!(rcpt(&gateway, OURS, sender), code, "{sender}");
            code
        }),
        [550, 550, 250, 250]
    );
}

#[test]
fn a_list_that_does_not_answer_defers_or_is_skipped() {
    let dns = zone();
    let sick = |on_error: &str| format!("analysis: {{ analyzer: sick, field: is_listed, equals: true{on_error} }}");
    for (policy, code) in [
        (deny(&sick("")), 451),
        (deny(&sick(", on_error: defer")), 451),
        (deny(&sick(", on_error: skip")), 250),
        // What else denies or does not apply needs no list.
        (format!("{}  - name: y\n    when: [{{ sender_ip: {{ cidr_matches: {OURS}/32 }} }}]\n", deny(&sick(""))), 554),
        (deny(&format!("helo: {{ equals: other }} }}, {{ {}", sick(""))), 250),
        (format!("default: deny\nallow:\n  - name: x\n    when: [{{ {} }}]\n", sick("")), 451),
        (format!("default: deny\nallow:\n  - name: x\n    when: [{{ {} }}]\n", sick(", on_error: skip")), 550),
    ] {
        let (_sink, gateway) = start(&dns, &policy);
        if code == 554 {
            let mut session = Client::dial(gateway.address());
            session.write(format!("PROXY TCP4 {OURS} 192.0.2.25 4711 25\r\n").as_bytes());
            session.reply().expect("554 5.7.1");
            continue;
        }
        assert_eq!(rcpt(&gateway, OURS, "a@example.org"), code, "{policy}");
        gateway.wait_for(|event| event["event"] == "policy");
        let analysis = gateway.events(|event| event["event"] == "analysis");
        assert!(analysis.iter().all(|event| event["stage"] == "rcpt" && !event["error"].is_null()), "{analysis:?}");
        assert_eq!(analysis.is_empty(), policy.contains("helo"), "{policy}");
    }
}

#[test]
fn pipelined_recipients_are_answered_in_order_while_others_are_asked() {
    let dns = zone();
    let policy = "default: allow\ndeny:\n  - name: spf\n    when: [{ spf_result: { equals: fail } }, { recipient: { equals: carol@acme.example } }]\n";
    let (sink, gateway) = start(&dns, policy);
    let mut session = Client::behind(gateway.address(), 2, OURS, "mail.example.org");
    let commands = format!(
        "MAIL FROM:<a@forged.example>\r\nRCPT TO:<{BOB}>\r\nRCPT TO:<{CAROL}>\r\nRCPT TO:<x@elsewhere.example>\r\nRCPT TO:<dora@acme.example>\r\nDATA\r\n"
    );
    session.write(commands.as_bytes());
    for begin in ["250 ", "250 ", "550 5.7.1 Not accepted by the policy", "550 5.7.1 Relaying denied", "250 ", "354 "] {
        session.reply().expect(begin);
    }
    session
        .write(&[&stuffed(&mail::small("piped")), &b"MAIL FROM:<a@example.org>\r\nRCPT TO:<carol@acme.example>\r\nNOOP\r\n"[..]].concat());
    for _ in 0..4 {
        session.reply().expect("250 ");
    }
    assert_eq!(sink.only().recipients, [BOB, "dora@acme.example"]);
    assert_eq!((dns.asked("forged.example", "TXT"), dns.asked("example.org", "TXT")), (1, 1), "{:?}", dns.questions());
}
