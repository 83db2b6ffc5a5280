//! Attacks on verdicts: forged results, a From that readers show otherwise, signatures that are played again with more than they cover,
//! and messages made to be dear.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gateway::limits::{
    ARC_QUESTIONS_MAX, CLIENT_HOST_NAMES_MAX, CLIENT_HOST_PATIENCE, DKIM_QUESTIONS_MAX, DKIM_SIGNATURES_MAX, DMARC_QUESTIONS_MAX,
    SIGNATURES_PATIENCE, SPF_PATIENCE, SPF_QUESTIONS_MAX,
};
use serde_json::Value;

use crate::common::dns::StubDns;
use crate::harness::{Client, Deployment, Gateway, Sink, mail};
use crate::{BOB, still_serves};

/// Who sends, as a load balancer says.
const CLIENT: &str = "203.0.113.9";
const BALANCED: &str = "proxy_protocol: { trusted: [127.0.0.0/8] }";
/// It asks for all that there is to ask.
const CURIOUS: &str = "rules:\n  - name: friends\n    when: [{ client_host: { equals: friend.example } }]\n    actions: [Drop]\n  \
                       - name: all\n    actions: [{ SMTPRelay: { relay: next } }]\n";

/// A client of this address, behind the load balancer.
fn from_address(gateway: &Gateway, address: &str) -> Client {
    let mut client = Client::dial(gateway.address());
    client.write(format!("PROXY TCP4 {address} 192.0.2.25 4711 25\r\n").as_bytes());
    client.reply().expect("220 ");
    client.command("EHLO client.example").expect("250 ");
    client
}

fn verdicts(gateway: &Gateway, number: usize) -> Value {
    gateway
        .wait_for(|event| event["event"] == "verdicts" && event["message"].as_str().is_some_and(|id| id.ends_with(&format!("-{number}"))))
}

#[test]
fn no_spelling_of_our_name_is_believed_by_rules_or_next_hop() {
    let sink = Sink::accepting();
    let rules = "rules:\n  - name: fooled\n    when: [{ header: { name: Authentication-Results, contains: spf=pass } }]\n    \
                 actions: [{ AddHeader: { name: X-Fooled, value: x } }]\n  - name: all\n    actions: [{ SMTPRelay: { relay: next } }]\n";
    let gateway = Deployment::new("inline").relay("next", sink.address()).rules(rules).start();
    for (name, id) in [
        ("Authentication-Results", "mx1.acme.example"),
        ("AUTHENTICATION-RESULTS", "MX1.ACME.EXAMPLE"),
        ("Authentication-Results \t", "mx1.acme.example"),
        ("Authentication-Results", "mx1.acme.example."),
        ("Authentication-Results", "mx1.acme.example 1"),
        ("Authentication-Results", "mx1.acme.example 99999999999999"),
        ("Authentication-Results", "\"mx1.acme.example\""),
        ("Authentication-Results", "\"mx1\\.acme\\.example\" 1"),
        ("Authentication-Results", "\r\n mx1.acme.example"),
        ("Authentication-Results", "\r\n (a\r\n (b) \\) )\r\n mx1.acme.example\r\n (c)"),
        ("Authentication-Results", "(\") mx1.acme.example"),
        ("Authentication-Results", "mx1 .acme. example"),
        ("Authentication-Results", "=?utf-8?q?mx1=2Eacme=2Eexample?="),
        ("Authentication-Results", "=?utf-8?b?bXgxLmFjbWUuZXhhbXBsZQ==?="),
        ("Authentication-Results", "mx1.acme.example mx.other.example"),
        ("Authentication-Results", "<mx1.acme.example>"),
        ("Authentication-Results", "mx1.acme.example\u{ff1b} x"),
        ("Authentication-Results", "\u{ff4d}\u{ff58}1.acme.example"),
        ("Authentication-Results", "mx1\u{3002}acme\u{ff61}example"),
        ("Authentication-Results", "mx1.ac\u{ad}me.ex\u{200b}ample"),
        ("Authentication-Results", "\u{feff}mx1.acme.example"),
        ("Authentication-Results", "mx1.acme.\u{1d41e}xample"),
    ] {
        let forged = format!("{name}: {id}; spf=pass smtp.mailfrom=bank.example; dmarc=pass\r\n");
        let before = sink.taken().len();
        Client::hello(gateway.address()).send("a@example.org", &[BOB], &[forged.as_bytes(), &mail::small("x")].concat()).expect("250 ");
        let data = sink.taken()[before].data.clone();
        let text = mail::text(&data);
        assert!(!text.contains("spf=pass") && !text.contains("X-Fooled"), "{forged:?}\n{text}");
        assert_eq!(text.matches("uthentication-Results:").count(), 1, "{forged:?}\n{text}");
    }
    // Broken lines end the header here, and so they do behind us: nothing below them is a field any more.
    for broken in ["no field\r\n", "8\u{fc}bit: x\r\n", ": no name\r\n", "two words: x\r\n"] {
        let text = format!("{broken}Authentication-Results: mx1.acme.example; spf=pass\r\n\r\nx\r\n");
        let before = sink.taken().len();
        Client::hello(gateway.address()).send("a@example.org", &[BOB], text.as_bytes()).expect("250 ");
        let data = mail::text(&sink.taken()[before].data);
        let (header, body) = data.split_once("\r\n\r\n").unwrap();
        assert!(!header.contains("spf=pass") && body.starts_with(broken.trim_end()), "{broken:?}\n{data}");
    }
    still_serves(&sink, &gateway);
}

/// Whatever a reader shows, DMARC passes for nobody but the domain that is authenticated, or for none.
#[test]
fn no_from_passes_dmarc_for_a_domain_that_is_not_the_senders() {
    let dns = StubDns::launch();
    dns.txt("eve.example", "v=spf1 ip4:203.0.113.9 -all");
    dns.txt("_dmarc.eve.example", "v=DMARC1; p=none");
    dns.txt("_dmarc.bank.example", "v=DMARC1; p=reject");
    let sink = Sink::accepting();
    let gateway = Deployment::new("inline").names(&dns).relay("next", sink.address()).endpoint(BALANCED).start();
    let mut client = from_address(&gateway, CLIENT);
    let mut number = 0;
    let mut result = |from: &str| {
        number += 1;
        client.send("eve@eve.example", &[BOB], format!("{from}\r\nSubject: x\r\n\r\nx\r\n").as_bytes()).expect("250 ");
        let dmarc = verdicts(&gateway, number)["dmarc"].clone();
        (dmarc["result"].as_str().unwrap().to_owned(), dmarc["from_domain"].as_str().unwrap().to_owned())
    };
    assert_eq!(result("From: eve@eve.example"), ("pass".into(), "eve.example".into()));
    assert_eq!(result("From: ann@bank.example"), ("fail".into(), "bank.example".into()));
    for from in [
        "From: eve@eve.example, ann@bank.example",
        "From: ann@bank.example, eve@eve.example",
        "From: ann@bank.example\r\nFrom: eve@eve.example",
        "From: eve@eve.example\r\nFROM : ann@bank.example",
        "From: ann@bank.example <eve@eve.example>",
        "From: <ann@bank.example> <eve@eve.example>",
        "From: <ann@bank.example>, <eve@eve.example>",
        "From: <ann@bank.example><eve@eve.example>",
        "From: eve@eve.example <ann@bank.example>",
        "From: <eve@eve.example> ann@bank.example",
        "From: \"<ann@bank.example> \" , <eve@eve.example>, ann@bank.example",
        "From: =?utf-8?q?ann=40bank=2Eexample?=, eve@eve.example, <ann@bank.example>",
        "From: ann@bank.example(eve@eve.example",
        "From: ann@bank.example;eve@eve.example",
        "From: Team: ann@bank.example;, eve@eve.example",
        "From: <@eve.example:ann@bank.example>",
        "From: <@bank.example,@eve.example:ann@bank.example>",
        "From: ann@bank.example\u{0}eve@eve.example",
        "From: \"x\" <ann@bank.example>\u{0}, <eve@eve.example>",
        "From: ann@bank.example\r\n\t, eve@eve.example",
        "From: ann@bank\u{3002}example",
        "From: ann@\u{ff42}ank.example",
        "From: ann@eve.example@bank.example",
        "From: <ann@bank.example",
        "From: ann@bank.example>",
        "From: eve@eve.example\\, ann@bank.example",
    ] {
        let (result, domain) = result(from);
        assert!(result != "pass", "{from:?}: {result} {domain}");
        assert!(domain.is_empty() || domain == "bank.example", "{from:?}: {domain}");
    }
    drop(client);
    still_serves_through_proxy(&gateway);
}

fn still_serves_through_proxy(gateway: &Gateway) {
    from_address(gateway, "198.51.100.1").send("alice@example.org", &[BOB], &mail::small("still")).expect("250 ");
}

/// Ed25519, simple/simple, over these fields as they stand.
fn signed(fields: &[&str], names: &str, body: &str, more: &str) -> String {
    let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let hash = STANDARD.encode(digest(&SHA256, body.as_bytes()));
    let tags = format!("DKIM-Signature: v=1; a=ed25519-sha256; c=simple/simple; d=bank.example; s=s; h={names}; {more}bh={hash}; b=");
    let data = fields.concat() + &tags;
    let signature = STANDARD.encode(key.sign(digest(&SHA256, data.as_bytes()).as_ref()));
    format!("{tags}{signature}\r\n")
}

#[test]
fn a_signature_played_again_with_more_than_it_covers_speaks_for_nobody() {
    let dns = StubDns::launch();
    let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    dns.txt("s._domainkey.bank.example", &format!("v=DKIM1; k=ed25519; p={}", STANDARD.encode(key.public_key())));
    dns.txt("_dmarc.bank.example", "v=DMARC1; p=reject");
    let sink = Sink::accepting();
    let gateway = Deployment::new("inline").names(&dns).relay("next", sink.address()).endpoint(BALANCED).start();
    let (from, subject, kind) = ("From: ann@bank.example\r\n", "Subject: account\r\n", "Content-Type: text/plain\r\n");
    let body = "All is well.\r\n";
    let all = [from, subject, kind].concat();
    let plain = signed(&[from, subject, kind], "from:subject:content-type", body, "");
    let over = signed(&[from, subject, kind], "from:subject:content-type:from:subject:content-type", body, "");
    let short = signed(&[from, subject, kind], "from:subject:content-type", body, &format!("l={}; ", body.len()));
    let none = signed(&[from, subject, kind], "from:subject:content-type", "", "l=0; ");
    let no_from = signed(&[subject, kind], "subject:content-type", body, "");
    let mut client = from_address(&gateway, CLIENT);
    let messages = [
        ("as it was", format!("{plain}{all}\r\n{body}"), ("pass", "pass")),
        ("oversigned", format!("{over}{all}\r\n{body}"), ("pass", "pass")),
        ("a Received above", format!("Received: from a by b; x\r\n{plain}{all}\r\n{body}"), ("pass", "pass")),
        ("a Subject above", format!("Subject: pay now\r\n{plain}{all}\r\n{body}"), ("pass", "fail")),
        ("a Content-Type above", format!("Content-Type: multipart/mixed; boundary=x\r\n{plain}{all}\r\n{body}"), ("pass", "fail")),
        ("a From above", format!("From: eve@eve.example\r\n{plain}{all}\r\n{body}"), ("pass", "permerror")),
        ("a Subject above an oversigned one", format!("Subject: pay now\r\n{over}{all}\r\n{body}"), ("fail", "fail")),
        ("l= and as it was", format!("{short}{all}\r\n{body}"), ("pass", "pass")),
        ("l= and more behind", format!("{short}{all}\r\n{body}Pay now.\r\n"), ("pass", "fail")),
        ("l=0 and any body", format!("{none}{all}\r\nPay now.\r\n"), ("pass", "fail")),
        ("From is not signed", format!("{no_from}From: ann@bank.example\r\n{subject}{kind}\r\n{body}"), ("permerror", "fail")),
    ];
    for (number, (name, message, (dkim, dmarc))) in messages.iter().enumerate() {
        client.send("eve@eve.example", &[BOB], message.as_bytes()).expect("250 ");
        let found = verdicts(&gateway, number + 1);
        assert_eq!((&found["dkim"]["result"], &found["dmarc"]["result"]), (&(*dkim).into(), &(*dmarc).into()), "{name}: {found}");
    }
    drop(client);
    still_serves_through_proxy(&gateway);
}

/// A message that makes the gateway ask as much as a message can; its names are below `top`.
fn dear_message(top: &str) -> String {
    let mut text = String::new();
    for set in 1..=50 {
        let (validation, d) = (if set == 1 { "none" } else { "pass" }, format!("d{set}.{top}"));
        writeln!(text, "ARC-Seal: i={set}; a=rsa-sha256; cv={validation}; d={d}; s=s; b=AAAA\r").unwrap();
        writeln!(text, "ARC-Message-Signature: i={set}; a=rsa-sha256; c=relaxed/relaxed; d={d}; s=m; h=from; bh=AAAA; b=AAAA\r").unwrap();
        writeln!(text, "ARC-Authentication-Results: i={set}; mx.example; none\r").unwrap();
    }
    for number in 0..DKIM_SIGNATURES_MAX * 5 {
        let d = format!("a.b.c.d.e.s{number}.org.{top}");
        writeln!(text, "DKIM-Signature: v=1; a=rsa-sha256; d={d}; s=k; h=from; bh=AAAA; b=AAAA\r").unwrap();
    }
    text + &format!("From: ann@p.q.r.s.t.u.v.org.{top}\r\nSubject: dear\r\n\r\nx\r\n")
}

/// Above this, nobody who sends one message gets more asked.
fn questions_max() -> usize {
    let host = u32::try_from(CLIENT_HOST_NAMES_MAX).unwrap() + 1;
    usize::try_from(host + SPF_QUESTIONS_MAX + DKIM_QUESTIONS_MAX + ARC_QUESTIONS_MAX + DMARC_QUESTIONS_MAX).unwrap()
}

#[test]
fn the_dearest_message_has_bounded_questions() {
    let dns = StubDns::launch();
    let top = "dear.example";
    let record: String = (0..10).map(|number| format!("mx:m{number}.{top} ")).collect();
    dns.txt(&format!("spf.{top}"), &format!("v=spf1 {record}-all exp=why.{top}"));
    dns.txt(&format!("why.{top}"), "not %{p}");
    for number in 0..100 {
        let host = format!("h{number}.{top}");
        dns.add(&format!("m{}.{top}", number / 10), "MX", &format!("10 {host}"));
        dns.a(&host, "192.0.2.1");
    }
    for number in 0..10 {
        dns.add(CLIENT, "PTR", &format!("p{number}.{top}"));
        dns.a(&format!("p{number}.{top}"), "192.0.2.1");
    }
    dns.txt(&format!("_dmarc.org.{top}"), "v=DMARC1; p=reject; np=none");
    for number in 0..DKIM_SIGNATURES_MAX {
        dns.add(&format!("k._domainkey.a.b.c.d.e.s{number}.org.{top}"), "SERVFAIL", "");
    }
    for set in 1..=50 {
        dns.add(&format!("s._domainkey.d{set}.{top}"), "SERVFAIL", "");
        dns.add(&format!("m._domainkey.d{set}.{top}"), "SERVFAIL", "");
    }
    let sink = Sink::accepting();
    let deployment = Deployment::new("inline").names(&dns).relay("next", sink.address()).rules(CURIOUS).endpoint(BALANCED);
    let gateway = deployment.start();
    let message = dear_message(top);
    from_address(&gateway, CLIENT).send(&format!("eve@spf.{top}"), &[BOB], message.as_bytes()).expect("250 ");
    let found = verdicts(&gateway, 1);
    let asked = dns.asked_total();
    println!("{} octets, {asked} questions sent, {} counted, {} ms", message.len(), found["questions"], found["duration_ms"]);
    assert_eq!(found["spf"]["result"], "fail", "{found}");
    // Most of what could be asked is asked, else this is not the dearest message; and not one more.
    assert!((200..=questions_max()).contains(&asked), "{asked} of {}", questions_max());
    assert!(found["questions"].as_u64().unwrap() <= questions_max() as u64);
    assert!(found["dkim"]["signatures"].as_array().unwrap().len() <= DKIM_SIGNATURES_MAX + 1);
    // Neither its field nor its line of the log is dear.
    assert!(mail::above_received(&sink.only().data).len() < 16 * 1024);
    assert!(found.to_string().len() < 32 * 1024, "{}", found.to_string().len());
    still_serves_through_proxy(&gateway);
}

#[test]
fn with_a_silent_resolver_it_has_bounded_time() {
    let dns = StubDns::launch();
    dns.load(&[("*.silent", "SILENT", ""), ("*.in-addr.arpa", "SILENT", "")]);
    let sink = Sink::accepting();
    let deployment = Deployment::new("inline").names(&dns).names_within("1s").relay("next", sink.address());
    let gateway = deployment.rules(CURIOUS).endpoint(BALANCED).start();
    let message = dear_message("silent");
    // Whether the client is a friend cannot be known, and that would make a difference.
    from_address(&gateway, CLIENT).send("eve@spf.silent", &[BOB], message.as_bytes()).expect("451 4.7.1");
    let found = verdicts(&gateway, 1);
    println!("{} questions sent, {} counted, {} ms", dns.asked_total(), found["questions"], found["duration_ms"]);
    for (verdict, result) in [("spf", "temperror"), ("dkim", "temperror"), ("dmarc", "temperror"), ("arc", "fail")] {
        assert_eq!(found[verdict]["result"], result, "{found}");
    }
    // All side by side but DMARC, which stands on two of them.
    let longest = SPF_PATIENCE.max(SIGNATURES_PATIENCE).max(CLIENT_HOST_PATIENCE) + SIGNATURES_PATIENCE;
    let took = found["duration_ms"].as_u64().unwrap();
    assert!(u128::from(took) <= longest.as_millis() + 5_000, "{took} ms");
    // A silent server is asked twice.
    assert!(dns.asked_total() <= 2 * questions_max(), "{}", dns.asked_total());
    assert!(sink.taken().is_empty());
}

/// The address that the load balancer says is the one that is judged, everywhere.
#[test]
fn the_carried_address_is_the_one_that_is_judged() {
    let dns = StubDns::launch();
    dns.load(&[
        ("carried.example", "TXT", "v=spf1 ip4:203.0.113.9 -all"),
        ("direct.example", "TXT", "v=spf1 ip4:127.0.0.0/8 -all"),
        (CLIENT, "PTR", "host.carried.example"),
        ("host.carried.example", "A", CLIENT),
        ("127.0.0.1", "PTR", "balancer.example"),
        ("balancer.example", "A", "127.0.0.1"),
        ("9.113.0.203.listed.example", "A", "127.0.0.2"),
    ]);
    let sink = Sink::accepting();
    let top = "domains: [acme.example]\nanalyzers: { list: { type: dnsbl, zone: listed.example } }";
    let policy = "default: allow\ndeny:\n  - name: listed\n    when:\n      - recipient: { equals: listed@acme.example }\n      \
                  - analysis: { analyzer: list, field: is_listed, equals: true }\n";
    let deployment = Deployment::new("inline").top(top).names(&dns).relay("next", sink.address()).rules(CURIOUS).policy(policy);
    let gateway = deployment.endpoint(&format!("{BALANCED}, received_spf: true")).start();
    for (number, (domain, result)) in [("carried.example", "pass"), ("direct.example", "fail")].into_iter().enumerate() {
        let mut client = from_address(&gateway, CLIENT);
        client.send(&format!("a@{domain}"), &[BOB], &mail::small("x")).expect("250 ");
        let text = mail::text(&sink.taken()[number].data);
        assert!(text.contains(&format!("spf={result}")) && text.contains(&format!("Received-SPF: {result}")), "{text}");
        assert!(
            text.contains("iprev=pass") && text.contains("policy.iprev=203.0.113.9") && text.contains("client-ip=203.0.113.9"),
            "{text}"
        );
        assert!(text.contains("host.carried.example") && !text.contains("balancer.example"), "{text}");
        client.command("MAIL FROM:<a@carried.example>").expect("250 ");
        client.command("RCPT TO:<listed@acme.example>").expect("550 5.7.1");
    }
    assert_eq!(dns.asked("1.0.0.127.in-addr.arpa", "PTR"), 0, "{:?}", dns.questions());
}
