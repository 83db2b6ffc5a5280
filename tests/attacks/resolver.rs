//! Attacks by way of DNS: a resolver that is silent, sick, or has hostile words, and those who wait for it.

use std::thread;

use gateway::limits::DNS_QUESTIONS_OPEN_MAX;
use serde_json::Value;

use crate::common::dns::StubDns;
use crate::harness::{Client, Deployment, Sink, mail};
use crate::{ALICE, BOB, still_serves};

const PLAIN: &str = "policy: edge, rules: inbound, delivery: inline, authentication_results: false";

/// Below `silent` nobody answers, below `sick` with SERVFAIL; nor is there an answer to who a client is.
fn bad_dns() -> StubDns {
    let dns = StubDns::launch();
    dns.load(&[("*.silent", "SILENT", ""), ("*.sick", "SERVFAIL", ""), ("*.in-addr.arpa", "SILENT", "")]);
    dns
}

/// Many names that nobody answers for, other ones in each message.
fn waiting_mail(number: usize) -> Vec<u8> {
    let signature = |at: usize| format!("DKIM-Signature: v=1; a=rsa-sha256; d=n{number}-{at}.silent; s=s; h=from; bh=AAAA; b=AAAA\r\n");
    let signatures: String = (0..10).map(signature).collect();
    format!("{signatures}From: a@a.b.c.d.e.f.n{number}.silent\r\nSubject: waits\r\n\r\nx\r\n").into_bytes()
}

/// The hang hunt: whoever waits for DNS waits alone, and not for ever.
#[test]
fn two_hundred_messages_that_wait_hold_up_nobody() {
    const WAITING: usize = 200;
    let dns = bad_dns();
    let sink = Sink::accepting();
    let top = "domains: [acme.example]\nlimits: { connections_per_address: 1000 }";
    let gateway = Deployment::new("inline").top(top).names(&dns).relay("next", sink.address()).another_endpoint("plain", PLAIN).start();
    let (curious, plain) = (gateway.address(), gateway.listening("plain"));
    let clients: Vec<_> = (0..WAITING)
        .map(|number| {
            let mut client = Client::hello(curious);
            client.command(&format!("MAIL FROM:<eve@n{number}.silent>")).expect("250 ");
            client.command(&format!("RCPT TO:<{BOB}>")).expect("250 ");
            client.command("DATA").expect("354 ");
            client
        })
        .collect();
    let waiting: Vec<_> = clients
        .into_iter()
        .enumerate()
        .map(|(number, mut client)| {
            client.write(&crate::harness::client::stuffed(&waiting_mail(number)));
            thread::spawn(move || client.reply())
        })
        .collect();
    let arrived = |event: &Value| event["event"] == "message" && event["mail_from"].as_str().is_some_and(|from| from.starts_with("eve@"));
    let judged = |event: &Value| event["event"] == "verdicts";
    let last = format!("eve@n{}.silent", WAITING - 1);
    gateway.wait_for(|event| arrived(event) && event["mail_from"] == last.as_str());
    for number in 0..50 {
        Client::hello(plain).send(ALICE, &[BOB], &mail::small(&format!("live {number}"))).expect("250 ");
    }
    assert!(gateway.events(judged).is_empty(), "nobody has had to wait, so nothing was shown");
    assert_eq!(sink.taken().len(), 50);
    for waiting in waiting {
        // Nothing hangs on the verdicts here but the words of a field.
        waiting.join().expect("a reply").expect("250 ");
    }
    let verdicts = gateway.wait_events(WAITING, judged);
    assert_eq!(verdicts.len(), WAITING);
    assert!(verdicts.iter().all(|event| event["spf"]["result"] == "temperror" && event["dmarc"]["result"] == "temperror"));
    let longest = verdicts.iter().filter_map(|event| event["duration_ms"].as_u64()).max();
    println!("{} questions sent, the longest took {longest:?} ms, {DNS_QUESTIONS_OPEN_MAX} at a time", dns.asked_total());
    assert_eq!(sink.taken().len(), 50 + WAITING);
    let (status, _) = gateway.stop();
    assert!(status.success());
}

/// One message that asks for many silent names leaves room for others.
#[test]
fn a_message_with_silent_names_does_not_hold_up_others_that_ask() {
    let dns = bad_dns();
    dns.load(&[("example.org", "TXT", "v=spf1 ip4:127.0.0.1 -all")]);
    let sink = Sink::accepting();
    let gateway = Deployment::new("inline").names(&dns).relay("next", sink.address()).start();
    let neighbours: Vec<_> = (0..20)
        .map(|number| {
            let mut client = Client::hello(gateway.address());
            client.command(&format!("MAIL FROM:<eve@n{number}.silent>")).expect("250 ");
            client.command(&format!("RCPT TO:<{BOB}>")).expect("250 ");
            client.command("DATA").expect("354 ");
            client.write(&crate::harness::client::stuffed(&waiting_mail(number)));
            thread::spawn(move || client.reply())
        })
        .collect();
    gateway.wait_for(|event| event["event"] == "message" && event["mail_from"] == "eve@n19.silent");
    for _ in 0..20 {
        Client::hello(gateway.address()).send(ALICE, &[BOB], &mail::small("live")).expect("250 ");
    }
    let judged = gateway.wait_events(20, |event| event["event"] == "verdicts");
    assert!(judged.iter().all(|event| event["spf"]["result"] == "pass") && judged.len() == 20, "{judged:?}");
    for neighbour in neighbours {
        neighbour.join().expect("a reply").expect("250 ");
    }
}

/// What cannot be found out opens no door: neither is mail let in that would be refused, nor refused for good that would be let in.
#[test]
fn no_answer_is_no_way_in() {
    let dns = bad_dns();
    dns.load(&[("*.list.sick", "SERVFAIL", "")]);
    let top = "domains: [acme.example]\nanalyzers: { list: { type: dnsbl, zone: list.sick, of: mail_from } }";
    let listed = |test: &str| format!("analysis: {{ analyzer: list, field: is_listed, {test} }}");
    let host = |test: &str| format!("client_host: {{ {test} }}");
    let statement = |name: &str, conditions: &[&str]| {
        let conditions: String = conditions.iter().map(|condition| format!("      - {condition}\n")).collect();
        format!("  - name: {name}\n    when:\n{conditions}")
    };
    let (other, ours) = ("mail_from: { equals: x@y.example }", "mail_from: { equals: alice@example.org }");
    for (default, deny, allow, expected) in [
        ("allow", vec![host("equals: bad.example")], vec![], "451 4.7.1"),
        ("allow", vec![host("not_equals: good.example")], vec![], "451 4.7.1"),
        ("allow", vec![host("exists: false")], vec![], "451 4.7.1"),
        ("allow", vec![listed("equals: true")], vec![], "451 4.7.1"),
        ("allow", vec![listed("equals: true"), host("ends_with: .dyn.example")], vec![], "451 4.7.1"),
        ("allow", vec![listed("equals: true"), other.to_owned()], vec![], "250 "),
        ("deny", vec![], vec![host("equals: good.example")], "451 4.7.1"),
        ("deny", vec![], vec![listed("equals: false")], "451 4.7.1"),
        ("deny", vec![], vec![listed("equals: false"), other.to_owned()], "550 5.7.1"),
        ("deny", vec![listed("equals: true")], vec![ours.to_owned()], "451 4.7.1"),
        ("deny", vec![ours.to_owned()], vec![listed("equals: false")], "550 5.7.1"),
    ] {
        let section = |key: &str, conditions: &[String]| match conditions {
            [] => String::new(),
            conditions => format!("{key}:\n{}", statement(key, &conditions.iter().map(String::as_str).collect::<Vec<_>>())),
        };
        let policy = format!("default: {default}\n{}{}", section("deny", &deny), section("allow", &allow));
        let sink = Sink::accepting();
        let deployment = Deployment::new("inline").top(top).names(&dns).names_within("1s").relay("next", sink.address());
        let gateway = deployment.policy(&policy).start();
        let mut client = Client::hello(gateway.address());
        // Decided before anybody need be asked, it is said at once.
        let reply = client.command("MAIL FROM:<alice@example.org>");
        let reply = if reply.code == 250 { client.command(&format!("RCPT TO:<{BOB}>")) } else { reply };
        assert!(format!("{} {}", reply.code, reply.text).starts_with(expected), "{policy}\n{reply:?}");
    }
    for (conditions, expected) in [
        ("when: [{ client_host: { equals: bad.example } }]", "451 4.7.1"),
        ("when: [{ client_host: { not_equals: good.example } }]", "451 4.7.1"),
        ("when: [{ not: { client_host: { equals: good.example } } }]", "451 4.7.1"),
        ("unless: [{ client_host: { equals: good.example } }]", "451 4.7.1"),
        ("when: [{ any: [{ client_host: { equals: bad.example } }, { subject: { equals: other } }] }]", "451 4.7.1"),
        ("when: [{ any: [{ client_host: { equals: bad.example } }, { subject: { equals: x } }] }]", "550 5.7.1"),
        ("when: [{ all: [{ client_host: { equals: bad.example } }, { subject: { equals: other } }] }]", "250 "),
        (
            "when: [{ subject: { equals: x } }]\n    unless: [{ analysis: { analyzer: list, field: is_listed, equals: false } }]",
            "451 4.7.1",
        ),
        (
            "when: [{ not: { any: [{ analysis: { analyzer: list, field: is_listed, equals: false } }, { subject: { equals: other } }] } }]",
            "451 4.7.1",
        ),
    ] {
        let sink = Sink::accepting();
        let rules = format!(
            "rules:\n  - name: refuse\n    {conditions}\n    actions: [{{ Reject: {{ code: 550, status: 5.7.1, text: \"no\" }} }}]\n  \
             - name: all\n    actions: [{{ SMTPRelay: {{ relay: next }} }}]\n"
        );
        let deployment = Deployment::new("inline").top(top).names(&dns).names_within("1s").relay("next", sink.address());
        let gateway = deployment.rules(&rules).endpoint("authentication_results: false").start();
        Client::hello(gateway.address()).send(ALICE, &[BOB], b"Subject: x\r\n\r\nx\r\n").expect(expected);
        assert_eq!(sink.taken().len(), usize::from(expected == "250 "), "{rules}");
    }
}

#[test]
fn a_drain_and_a_client_that_goes_end_in_spite_of_those_who_wait() {
    let dns = bad_dns();
    let sink = Sink::accepting();
    let policy = "default: allow\ndeny:\n  - name: bad\n    when:\n      - recipient: { equals: slow@acme.example }\n      \
                  - client_host: { equals: bad.example }\n";
    let deployment = Deployment::new("inline").names(&dns).names_within("1s").relay("next", sink.address()).policy(policy);
    let gateway = deployment.start();
    let begin = |number: usize| {
        let mut client = Client::hello(gateway.address());
        client.command(&format!("MAIL FROM:<eve@n{number}.silent>")).expect("250 ");
        client.command(&format!("RCPT TO:<{BOB}>")).expect("250 ");
        client.command("DATA").expect("354 ");
        client.write(&crate::harness::client::stuffed(&waiting_mail(number)));
        client
    };
    // One goes away while its message waits, one while its recipient does.
    drop(begin(1));
    let mut client = Client::hello(gateway.address());
    client.command("MAIL FROM:<eve@n2.silent>").expect("250 ");
    client.write(b"RCPT TO:<slow@acme.example>\r\n");
    drop(client);
    let ended = |event: &Value| event["event"] == "disconnected";
    let mut waiting = begin(3);
    gateway.wait_for(|event| event["event"] == "message" && event["mail_from"] == "eve@n3.silent");
    gateway.signal("TERM");
    waiting.reply().expect("250 ");
    drop(waiting);
    let gateway_log = |gateway: &crate::harness::Gateway| gateway.events(ended).len();
    crate::harness::until("the end of all sessions", || (gateway_log(&gateway) == 3).then_some(()));
    let (status, said) = gateway.wait();
    assert!(status.success(), "{said}");
}

/// Words of strangers in DNS: each line of the log stays one object, each field one field of ASCII.
#[test]
fn hostile_words_in_dns_reach_no_line_of_their_own() {
    let hostile = "x\r\nX-Forged: y\u{1b}[2J\u{9b}31m\u{202e}\u{2028}\u{0}\",\"event\":\"forged\";(dkim=pass) \\";
    let dns = StubDns::launch();
    dns.load(&[("127.0.0.1", "PTR", "host.example"), ("host.example", "A", "127.0.0.1")]);
    for (name, text) in [
        ("bad.example", format!("v=spf1 {hostile} -all")),
        ("fail.example", "v=spf1 exp=why.example -all".to_owned()),
        ("why.example", format!("no {hostile}")),
        ("s._domainkey.bad.example", format!("v=DKIM1; p=x; n={hostile}")),
        ("s._domainkey.fail.example", hostile.to_owned()),
        ("_dmarc.bad.example", format!("v=DMARC1; p=reject; rua=mailto:{hostile}")),
        ("_dmarc.fail.example", format!("v=DMARC1; p={hostile}; x={}", "y".repeat(60_000))),
    ] {
        dns.txt_strings(name, &text.as_bytes().chunks(250).collect::<Vec<_>>());
    }
    let sink = Sink::accepting();
    let rules = "otherwise: reject\nrules:\n  - name: all\n    when: [{ not: { client_host: { equals: friend.example } } }]\n    \
                 actions: [{ AddHeader: { name: X-Host, value: \"{{ client_host }}\" } }, { SMTPRelay: { relay: next } }]\n";
    let gateway = Deployment::new("inline").names(&dns).relay("next", sink.address()).rules(rules).endpoint("received_spf: true").start();
    for (number, domain) in ["bad.example", "fail.example"].into_iter().enumerate() {
        let strange = "a\u{202e}b=pass;(x) y\t\"";
        let signature =
            |d: &str, s: &str, i: &str| format!("DKIM-Signature: v=1; a=rsa-sha256; d={d}; s={s}; i={i}; h=from; bh=AAAA; b=AAAA\r\n");
        let text = [
            signature(domain, "s", &format!("{strange}@{domain}")),
            signature(domain, strange, "x"),
            signature(strange, "s", "x"),
            format!("From: a@{domain}\r\nSubject: x\r\n\r\nx\r\n"),
        ];
        Client::hello(gateway.address()).send(&format!("a@{domain}"), &[BOB], text.concat().as_bytes()).expect("250 ");
        let data = sink.taken()[number].data.clone();
        let above = mail::above_received(&data);
        assert!(above.is_ascii() && !above.contains("X-Forged: y\r") && above.len() < 8 * 1024, "{above}");
        assert!(above.split("\r\n").all(|line| line.len() <= 998 && !line.contains(|c: char| c.is_control() && c != '\t')), "{above}");
        assert!(!above.contains("dkim=pass") && !above.contains("; (dkim"), "{above}");
        let names = |line: &&str| !line.starts_with(['\t', ' ']) && !line.is_empty();
        for line in above.split("\r\n").filter(names) {
            assert!(["Authentication-Results:", "Received-SPF:", "X-Host:"].iter().any(|name| line.starts_with(name)), "{above}");
        }
    }
    still_serves(&sink, &gateway);
    let is_hostile = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let (status, said) = gateway.stop();
    assert!(status.success());
    for line in said.lines().filter(|line| !line.is_empty()) {
        assert!(!line.contains(is_hostile) && line.len() < 16 * 1024, "{line:?}");
        let event: Value = serde_json::from_str(line).expect("one object a line");
        assert_ne!(event["event"], "forged");
    }
}
