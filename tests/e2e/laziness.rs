//! Nobody is asked for what changes nothing, and nobody is asked twice: counted at the DNS server.

use crate::common::dns::StubDns;
use crate::harness::signatures::Keys;
use crate::harness::{Client, Deployment, Gateway, Sink, mail};

const BOB: &str = "bob@acme.example";
const OURS: &str = "203.0.113.9";
const ALL: &str = "  - name: all\n    actions: [{ SMTPRelay: { relay: next } }]\n";
const NO_FIELDS: &str = "authentication_results: false";

fn zone() -> StubDns {
    let dns = StubDns::launch();
    // No answer may be remembered: what is asked for twice is seen twice.
    dns.ttl(0);
    dns.negative_ttl(None);
    dns.load(&[
        ("example.org", "TXT", "v=spf1 include:_spf.example.org -all"),
        ("_spf.example.org", "TXT", "v=spf1 ip4:203.0.113.0/24 -all"),
        ("_dmarc.example.org", "TXT", "v=DMARC1; p=reject"),
        ("mail.example.org", "A", OURS),
        (OURS, "PTR", "mail.example.org"),
    ]);
    dns
}

fn start(dns: &StubDns, policy: &str, rules: &str, endpoint: &str) -> (Sink, Gateway) {
    let sink = Sink::accepting();
    let deployment =
        Deployment::new("inline").names(dns).relay("next", sink.address()).policy(policy).rules(&format!("rules:\n{rules}{ALL}"));
    let gateway = deployment.endpoint("proxy_protocol: { trusted: [127.0.0.0/8] }").endpoint(endpoint).start();
    (sink, gateway)
}

fn client(gateway: &Gateway) -> Client {
    Client::behind(gateway.address(), 2, OURS, "mail.example.org")
}

#[test]
fn what_known_facts_decide_asks_nothing() {
    let (dns, keys) = (zone(), Keys::new(&["s1._domainkey.example.org"]));
    let signed = keys.sign(&mail::small("known"), "example.org", "s1", "relaxed/relaxed", &["from", "subject"]);
    let fails = "{ dmarc_result: { equals: fail } }, { spf: { equals: fail } }, { client_host: { exists: false } }";
    for (condition, action, code) in [
        ("{ subject: { equals: known } }", "Drop", "250 "),
        ("{ recipient: { equals: bob@acme.example } }", "Reject: { text: no }", "550 "),
        ("{ source_ip: { cidr_matches: 203.0.113.0/24 } }", "Defer: { text: later }", "450 "),
        // Whatever the look-ups said, one of these is true.
        ("{ any: [{ subject: { equals: known } }, { dkim_result: { equals: fail } }] }", "Drop", "250 "),
    ] {
        let never = format!("  - name: never\n    when: [{{ subject: {{ equals: other }} }}, {fails}]\n    actions: [Drop]\n");
        let rules = format!("{never}  - name: known\n    when: [{condition}]\n    actions: [{{ {action} }}]\n").replace("{ Drop }", "Drop");
        let (sink, gateway) = start(&dns, "default: allow\n", &rules, "received_spf: true");
        client(&gateway).send("a@example.org", &[BOB], &signed).expect(code);
        gateway.wait_for(|event| event["event"] == "replied");
        assert_eq!(dns.questions(), [""; 0], "{condition}");
        assert!(gateway.events(|event| event["event"] == "verdicts").is_empty() && sink.taken().is_empty());
    }
}

#[test]
fn without_fields_and_conditions_nothing_is_asked() {
    let dns = zone();
    let (sink, gateway) = start(&dns, "default: allow\n", "", NO_FIELDS);
    client(&gateway).send("a@example.org", &[BOB], &mail::small("x")).expect("250 ");
    assert_eq!((dns.questions(), mail::above_received(&sink.only().data)), (vec![], String::new()));
}

#[test]
fn a_condition_asks_for_what_it_needs_and_no_more() {
    for (condition, expected) in [
        ("spf_result: { equals: fail }", &["example.org TXT", "_spf.example.org TXT"][..]),
        ("dkim_result: { equals: fail }", &[]),
        ("arc_result: { equals: fail }", &[]),
        ("client_host: { exists: false }", &["9.113.0.203.in-addr.arpa PTR", "mail.example.org A"]),
        // Above a record, the walk looks for the organization (RFC 9989 §4.10).
        // Above a record, the walk looks for the organization (RFC 9989 §4.10).
        ("dmarc_policy: { equals: none }", &["_dmarc.example.org TXT", "_dmarc.org TXT", "_spf.example.org TXT", "example.org TXT"]),
    ] {
        let dns = zone();
        let rules = format!("  - name: x\n    when: [{{ {condition} }}]\n    actions: [Drop]\n");
        let (sink, gateway) = start(&dns, "default: allow\n", &rules, NO_FIELDS);
        client(&gateway).send("a@example.org", &[BOB], &mail::small("x")).expect("250 ");
        sink.only();
        let (mut asked, mut expected) = (dns.questions(), expected.to_vec());
        asked.sort_unstable();
        expected.sort_unstable();
        assert_eq!(asked, expected, "{condition}");
    }
}

#[test]
fn a_policy_that_decides_by_what_it_knows_asks_nothing() {
    let looks = "      - spf_result: { equals: fail }\n      - client_host: { ends_with: .example.org }\n";
    for (policy, code) in [
        (
            format!(
                "default: allow\ndeny:\n  - name: a\n    when:\n      - recipient: {{ equals: {BOB} }}\n  - name: b\n    when:\n{looks}"
            ),
            "550 ",
        ),
        (format!("default: allow\ndeny:\n  - name: b\n    when:\n      - helo: {{ equals: other }}\n{looks}"), "250 "),
        (format!("default: allow\nallow:\n  - name: b\n    when:\n{looks}"), "250 "),
        (
            format!(
                "default: deny\nallow:\n  - name: b\n    when:\n{looks}  - name: a\n    when:\n      - sender_ip: {{ cidr_matches: {OURS}/32 }}\n"
            ),
            "250 ",
        ),
    ] {
        let dns = zone();
        let (_sink, gateway) = start(&dns, &policy, "", NO_FIELDS);
        let mut client = client(&gateway);
        client.command("MAIL FROM:<a@example.org>").expect("250 ");
        client.command(&format!("RCPT TO:<{BOB}>")).expect(code);
        assert_eq!(dns.questions(), [""; 0], "{policy}");
    }
}

#[test]
fn only_the_recipients_that_it_concerns_make_a_policy_ask() {
    let dns = zone();
    let policy =
        "default: allow\ndeny:\n  - name: x\n    when: [{ recipient: { starts_with: carol } }, { spf_result: { equals: fail } }]\n";
    let (_sink, gateway) = start(&dns, policy, "", NO_FIELDS);
    let mut client = client(&gateway);
    client.command("MAIL FROM:<a@example.org>").expect("250 ");
    client.command(&format!("RCPT TO:<{BOB}>")).expect("250 ");
    assert_eq!(dns.questions(), [""; 0]);
    for _ in 0..2 {
        client.command("RCPT TO:<carol@acme.example>").expect("250 ");
        assert_eq!(dns.questions(), ["example.org TXT", "_spf.example.org TXT"]);
    }
}

#[test]
fn a_text_with_the_clients_name_asks_for_it() {
    let dns = zone();
    let rules = "  - name: x\n    when: [{ recipient: { equals: bob@acme.example } }]\n    \
                 actions: [{ AddHeader: { name: X-Host, value: \"<{{ client_host }}>\" } }]\n";
    let (sink, gateway) = start(&dns, "default: allow\n", rules, NO_FIELDS);
    client(&gateway).send("a@example.org", &["carol@acme.example"], &mail::small("x")).expect("250 ");
    assert_eq!(dns.questions(), [""; 0]);
    client(&gateway).send("a@example.org", &[BOB], &mail::small("x")).expect("250 ");
    let data = mail::text(&sink.wait_taken(2)[1].data);
    assert!(data.contains("X-Host: <mail.example.org>\r\n"), "{data}");
    assert_eq!(dns.questions(), ["9.113.0.203.in-addr.arpa PTR", "mail.example.org A"]);
}

#[test]
fn each_question_is_asked_once_for_a_message_whoever_needs_it() {
    let dns = zone();
    dns.load(&[("9.113.0.203.bl.example", "A", "127.0.0.2")]);
    let (sink, gateway) = {
        let sink = Sink::accepting();
        let policy = "default: allow\ndeny:\n  - name: spf\n    when: [{ spf_result: { equals: fail } }]\n  - name: host\n    \
                      when: [{ client_host: { exists: false } }]\n  - name: list\n    \
                      when: [{ analysis: { analyzer: bl, field: score, greater_than: 5 } }]\n";
        let rules = "rules:\n  - name: a\n    when: [{ spf: { equals: fail } }]\n    actions: [Drop]\n  - name: b\n    \
                     when: [{ dmarc_result: { equals: fail } }]\n    actions: [Drop]\n  - name: c\n    \
                     when: [{ client_host: { ends_with: .evil.example } }]\n    actions: [Drop]\n  - name: d\n    \
                     when: [{ analysis: { analyzer: bl, field: is_listed, equals: true } }]\n    \
                     actions: [{ AddHeader: { name: X-Listed, value: \"yes\" } }]\n";
        let top = "domains: [acme.example]\nanalyzers:\n  bl: { type: dnsbl, zone: bl.example }";
        let deployment = Deployment::new("inline").names(&dns).top(top).relay("next", sink.address()).policy(policy);
        let gateway = deployment.rules(&format!("{rules}{ALL}")).endpoint("proxy_protocol: { trusted: [127.0.0.0/8] }").start();
        (sink, gateway)
    };
    let recipients = [BOB, "carol@acme.example", "dora@acme.example"];
    let mut session = client(&gateway);
    session.send("a@example.org", &recipients, &mail::small("once")).expect("250 ");
    let data = mail::text(&sink.wait_taken(1)[0].data);
    assert!(
        data.contains("X-Listed: yes") && data.contains("spf=pass") && data.contains("dmarc=pass") && data.contains("iprev=pass"),
        "{data}"
    );
    let mut asked = dns.questions();
    asked.sort_unstable();
    let expected = [
        "9.113.0.203.bl.example A",
        "9.113.0.203.in-addr.arpa PTR",
        "_dmarc.example.org TXT",
        "_dmarc.org TXT",
        "_spf.example.org TXT",
        "example.org TXT",
        "mail.example.org A",
    ];
    assert_eq!(asked, expected);
    // The next message of the session has another sender, but the same client: its name is known.
    dns.forget_questions();
    session.send("a@example.org", &recipients, &mail::small("twice")).expect("250 ");
    let mut asked = dns.questions();
    asked.sort_unstable();
    assert_eq!(asked, ["9.113.0.203.bl.example A", "_dmarc.example.org TXT", "_dmarc.org TXT", "_spf.example.org TXT", "example.org TXT"]);
}
