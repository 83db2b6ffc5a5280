//! The same over a DNS server: what the tables cannot show.

use std::time::{Duration, Instant};

use super::*;
use crate::dns::ResolverConfig;
use crate::stub_dns::StubDns;

async fn check_of(server: &StubDns, client: &str, from: &str) -> SpfVerdict {
    let config = ResolverConfig { servers: vec![server.address()], timeout: Duration::from_millis(200), ..ResolverConfig::default() };
    let reverse_path = ReversePath::Address(Address::parse(from, true).unwrap());
    let sender =
        Sender { client_ip: client.parse().unwrap(), helo: HELO, reverse_path: &reverse_path, hostname: "gate.example", unix_seconds: 0 };
    check(&Dns::new(&config).unwrap(), &sender).await
}

/// A verdict may be waited for in a task of its own.
#[tokio::test]
async fn records_come_from_a_server_and_the_verdict_tells_what_was_asked() {
    let server = StubDns::start().await;
    server.load(&[
        ("example.com", "TXT", "\"v=spf1 a -al\" \"l\""),
        ("example.com", "TXT", "other=1"),
        ("example.com", "A", "192.0.2.10"),
        ("alias.example", "CNAME", "example.com"),
    ]);
    let verdict = check_of(&server, CLIENT, "a@alias.example").await;
    assert_eq!((verdict.result, verdict.mechanism.as_deref(), &*verdict.domain), (SpfResult::Pass, Some("a"), "alias.example"));
    let asked: Vec<_> = verdict.asked.iter().map(|asked| format!("{} {}", asked.kind, asked.name)).collect();
    assert_eq!(asked, ["TXT alias.example", "A alias.example"]);
    let server = std::sync::Arc::new(server);
    let task = tokio::spawn(async move { check_of(&server, "192.0.2.11", "a@example.com").await.result });
    assert_eq!(task.await.unwrap(), SpfResult::Fail);
}

#[tokio::test]
async fn names_that_are_no_host_names_are_asked_for() {
    let server = StubDns::start().await;
    server.load(&[("example.com", "TXT", "v=spf1 mx:foo:bar/baz.example.com exists:%{l}%_\\.example -all")]);
    server.load(&[("foo:bar/baz.example.com", "MX", "10 Foo:bar/baz.example.com"), ("foo:bar/baz.example.com", "A", "192.0.2.10")]);
    let verdict = check_of(&server, CLIENT, "a=b/c@example.com").await;
    assert_eq!(verdict.result, SpfResult::Pass, "{}", verdict.reason);
    let verdict = check_of(&server, "192.0.2.11", "a=b/c@example.com").await;
    assert_eq!(verdict.result, SpfResult::Fail, "{}", verdict.reason);
    assert_eq!(verdict.asked.last().map(|asked| &*asked.name), Some("a=b/c \\.example"));
}

#[tokio::test]
async fn a_server_that_fails_or_says_nothing_is_a_temporary_error() {
    let server = StubDns::start().await;
    server.load(&[
        ("sick.example", "SERVFAIL", ""),
        ("refused.example", "REFUSED", ""),
        ("silent.example", "SILENT", ""),
        ("half.example", "TXT", "v=spf1 a -all"),
        ("half.example", "SILENT", "A"),
    ]);
    for domain in ["sick.example", "refused.example", "silent.example", "half.example"] {
        let began = Instant::now();
        let verdict = check_of(&server, CLIENT, &format!("a@{domain}")).await;
        assert_eq!(verdict.result, SpfResult::Temperror, "{domain}: {}", verdict.reason);
        assert!(began.elapsed() < SPF_PATIENCE, "{domain}");
    }
    assert_eq!(check_of(&server, CLIENT, "a@nowhere.example").await.result, SpfResult::None);
}

#[tokio::test]
async fn a_record_too_large_for_udp_is_judged() {
    let server = StubDns::start().await;
    let networks: String = (0..1500).map(|number| format!(" ip4:10.{}.{}.0/24", number / 250, number % 250)).collect();
    server.load(&[("example.com", "TXT", &format!("v=spf1{networks} ip4:192.0.2.10 -all"))]);
    assert_eq!(check_of(&server, CLIENT, "a@example.com").await.result, SpfResult::Pass);
    assert!(server.asked_over_tcp() > 0);
}
