//! DNS: against servers of others, and as the configuration says.

use std::time::Duration;

use gateway::dns::{Dns, DnsError, ResolverConfig, client_host};
use gateway::message::Fact;

use crate::common::dns::StubDns;
use crate::harness::dns::Resolver;
use crate::harness::{Answer, At, Client, Deployment, Sink, mail};

const PATIENCE: Duration = Duration::from_secs(60);

/// The strings of a TXT record of so many octets, in a zone file.
fn strings(octets: usize) -> String {
    format!("( {} )", format!("\"{}\" ", "x".repeat(250)).repeat(octets / 250))
}

#[tokio::test]
async fn real_servers_are_understood() {
    let records = format!(
        "spf TXT \"v=spf1 \" \"-all\"\nspf TXT \"other\"\nbig TXT {big}\nhuge TXT {huge}\nalias CNAME spf\nfar CNAME alias\n\
         dangling CNAME nowhere\nloop CNAME loop2\nloop2 CNAME loop\n@ MX 10 mx\nmx A 127.0.0.1\nmx AAAA 2001:db8::1\n\
         _under TXT \"under\"\n*.wild TXT \"any\"\n",
        big = strings(4_000),
        huge = strings(60_000),
    );
    let resolver = Resolver::start(&records);
    let dns =
        Dns::new(&ResolverConfig { servers: vec![resolver.address()], timeout: Duration::from_secs(20), ..ResolverConfig::default() })
            .unwrap();
    let inquiry = dns.inquiry(100, PATIENCE);
    for (name, expected) in [
        ("spf.mail.example", vec!["other", "v=spf1 -all"]),
        ("far.mail.example", vec!["other", "v=spf1 -all"]),
        ("_under.mail.example", vec!["under"]),
        ("a.b.wild.mail.example", vec!["any"]),
        ("mx.mail.example", vec![]),
    ] {
        let found = inquiry.txt(name).await.unwrap();
        let mut texts: Vec<&str> = found.records.iter().map(|text| std::str::from_utf8(text).unwrap()).collect();
        texts.sort_unstable();
        assert_eq!((texts, found.exists), (expected, true), "{name}");
    }
    // Over TCP, for want of room in a datagram.
    assert_eq!(inquiry.txt("big.mail.example").await.unwrap().records[0].len(), 4_000);
    assert_eq!(inquiry.txt("huge.mail.example").await.unwrap().records[0].len(), 60_000);
    for name in ["nowhere.mail.example", "dangling.mail.example"] {
        let found = inquiry.txt(name).await.unwrap();
        assert!(!found.exists && found.records.is_empty(), "{name}");
    }
    for name in ["sick.example", "loop.mail.example"] {
        let answer = inquiry.txt(name).await;
        assert!(matches!(answer, Err(DnsError::Trouble(_))), "{name}: {answer:?}");
    }
    assert_eq!(inquiry.mx("mail.example").await.unwrap().records[..], [(10, "mx.mail.example".into())]);
    assert_eq!(inquiry.ipv6("mx.mail.example").await.unwrap().records[..], ["2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap()]);
    // Unbound answers for loopback itself: localhost.
    let host = client_host(&dns, "127.0.0.1".parse().unwrap()).await;
    assert_eq!(host, Fact::Known(Some("localhost".into())));
}

#[test]
fn the_servers_of_the_configuration_are_asked() {
    let dns = StubDns::launch();
    dns.load(&[("null.example", "MX", "0 ."), ("example.com", "SERVFAIL", "")]);
    let next = Sink::start(|at| if matches!(at, At::Rcpt(_)) { Answer::say("550 5.1.1 nobody here") } else { Answer::Ok });
    let gateway = Deployment::new("queue").names(&dns).names_within("1s").relay("next", next.address()).start();
    Client::hello(gateway.address()).send("alice@null.example", &["bob@acme.example"], &mail::small("x")).expect("250 ");
    // The notification has nowhere to go (RFC 7505).
    let outcome = gateway.wait_for(|event| event["event"] == "outcome" && event["recipient"] == "alice@null.example");
    assert!(outcome.to_string().contains("takes no mail"), "{outcome}");
    assert_eq!(dns.asked("null.example", "MX"), 1, "{:?}", dns.questions());
}
