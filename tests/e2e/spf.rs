//! SPF as a stranger sees it: clients by PROXY header, records from a DNS server, the verdict in what the next hop gets.

use crate::common::dns::{Behaviour, StubDns};
use crate::harness::{Client, Deployment, Sink, mail};

const BOB: &str = "bob@acme.example";

#[test]
fn each_client_and_sender_has_its_verdict_in_words_and_fields() {
    let dns = StubDns::launch();
    dns.txt("example.org", "v=spf1 mx ip6:2001:db8::/32 ?include:more.example.org -all");
    for number in 0..3 {
        let host = format!("mx{number}.example.org");
        dns.mx("example.org", number, &host);
        dns.a(&host, "192.0.2.10");
    }
    dns.txt("more.example.org", "v=spf1 exists:%{l}.%{ir}.more.example.org -all");
    dns.a("ann.30.2.0.192.more.example.org", "127.0.0.2");
    dns.txt("helo.example.org", "v=spf1 a -all");
    dns.a("helo.example.org", "192.0.2.20");
    dns.txt_strings("twice.example.org", &[b"v=spf1 ip4:192.0.2.", b"10 -all"]);
    dns.txt("twice.example.org", "");
    dns.txt("loop.example.org", "v=spf1 include:loop.example.org -all");
    dns.misbehave("broken.example.org", Behaviour::ServFail);

    let sink = Sink::accepting();
    let words = ["pass", "fail", "neutral", "none", "temperror", "permerror"].map(|word| {
        format!(
            "  - name: {word}\n    when: [{{ spf_result: {{ equals: {word} }} }}]\n    actions: [{{ AddHeader: {{ name: X-Judged, value: {word} }} }}]\n"
        )
    });
    let rules = format!("rules:\n{}  - name: all\n    actions: [SMTPRelay: {{ relay: next }}]\n", words.concat());
    let deployment = Deployment::new("inline").relay("next", sink.address()).names(&dns).rules(&rules);
    let gateway = deployment.endpoint("proxy_protocol: { trusted: [127.0.0.0/8] }").start();

    for (client, helo, sender, result, property) in [
        ("192.0.2.10", "x.example", "a@example.org", "pass", "smtp.mailfrom=example.org"),
        ("192.0.2.11", "x.example", "a@example.org", "fail", "smtp.mailfrom=example.org"),
        ("192.0.2.30", "x.example", "ann@Example.ORG", "neutral", "smtp.mailfrom=example.org"),
        ("192.0.2.30", "x.example", "\"ann\"@example.org", "neutral", "smtp.mailfrom=example.org"),
        // Three hosts without IPv6 are one void look-up.
        ("2001:db8::7", "x.example", "a@example.org", "pass", "smtp.mailfrom=example.org"),
        ("2001:db9::7", "x.example", "a@example.org", "fail", "smtp.mailfrom=example.org"),
        ("192.0.2.10", "x.example", "a@twice.example.org", "pass", "smtp.mailfrom=twice.example.org"),
        ("192.0.2.10", "x.example", "a@none.example.org", "none", "smtp.mailfrom=none.example.org"),
        ("192.0.2.10", "x.example", "a@[192.0.2.10]", "none", ""),
        ("192.0.2.10", "x.example", "a@broken.example.org", "temperror", "smtp.mailfrom=broken.example.org"),
        ("192.0.2.10", "x.example", "a@loop.example.org", "permerror", "smtp.mailfrom=loop.example.org"),
        ("192.0.2.20", "helo.example.org", "", "pass", "smtp.helo=helo.example.org"),
        ("192.0.2.21", "HELO.example.org", "", "fail", "smtp.helo=helo.example.org"),
        ("192.0.2.10", "%h", "", "none", ""),
        ("192.0.2.10", "[192.0.2.10]", "", "none", ""),
    ] {
        let (family, destination) = if client.contains(':') { ("TCP6", "2001:db8::25") } else { ("TCP4", "192.0.2.25") };
        let mut session = Client::dial(gateway.address());
        session.write(format!("PROXY {family} {client} {destination} 4711 25\r\n").as_bytes());
        session.reply().expect("220 ");
        session.command(&format!("EHLO {helo}")).expect("250 ");
        session.send(sender, &[BOB], &mail::small("plain")).expect("250 ");
        let data = mail::text(&sink.taken().last().unwrap().data);
        let data = data.replace("\r\n\t", " ");
        let case = format!("{client} {helo} <{sender}>: {data}");
        let (_, results) = data.split_once("Authentication-Results: ").expect(&case);
        let spf = results.lines().next().unwrap().split("; ").find(|part| part.starts_with("spf=")).expect(&case);
        assert!(spf.starts_with(&format!("spf={result} (")), "{case}");
        assert_eq!(spf.split_once(") ").map_or("", |(_, rest)| rest), property, "{case}");
        assert!(data.contains(&format!("X-Judged: {result}\r\n")), "{case}");
    }
}
