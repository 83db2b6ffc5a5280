use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::stub_dns::{Behaviour, StubDns};

const PATIENCE: Duration = Duration::from_secs(20);

fn resolver(server: &StubDns) -> Dns {
    Dns::new(&ResolverConfig { servers: vec![server.address()], timeout: Duration::from_millis(300) }).unwrap()
}

fn texts(records: &[&str]) -> Records<Box<[u8]>> {
    Records { records: records.iter().map(|text| text.as_bytes().into()).collect(), exists: true }
}

const NONE: [&str; 0] = [];

fn nxdomain<T>() -> Records<T> {
    Records { records: Arc::new([]), exists: false }
}

#[tokio::test]
async fn each_answer_has_its_meaning() {
    let server = StubDns::start().await;
    server.load(&[
        ("one.example", "TXT", "v=spf1 -all"),
        ("several.example", "TXT", "\"a\" \"b\""),
        ("several.example", "TXT", "c"),
        ("*.wild.example", "TXT", "any"),
        ("alias.example", "CNAME", "alias2.example"),
        ("alias2.example", "CNAME", "one.example"),
        ("dangling.example", "CNAME", "nowhere.example"),
        ("empty.alias.example", "CNAME", "address.example"),
        ("address.example", "A", "192.0.2.1"),
        ("cut.example", "TXT", "whole over TCP"),
        ("cut.example", "TRUNCATED", ""),
    ]);
    server.txt("long.example", &"x".repeat(3000));
    let dns = resolver(&server);
    let inquiry = dns.inquiry(50, PATIENCE);
    assert_eq!(inquiry.txt("one.example").await, Ok(texts(&["v=spf1 -all"])));
    assert_eq!(inquiry.txt("ONE.example.").await, Ok(texts(&["v=spf1 -all"])));
    assert_eq!(inquiry.txt("several.example").await, Ok(texts(&["ab", "c"])));
    assert_eq!(inquiry.txt("x.y.wild.example").await, Ok(texts(&["any"])));
    assert_eq!(inquiry.txt("alias.example").await, Ok(texts(&["v=spf1 -all"])));
    assert_eq!(inquiry.txt("nowhere.example").await, Ok(nxdomain()));
    assert_eq!(inquiry.txt("dangling.example").await, Ok(nxdomain()));
    assert_eq!(inquiry.txt("address.example").await, Ok(texts(&NONE)));
    assert_eq!(inquiry.txt("empty.alias.example").await, Ok(texts(&NONE)));
    assert_eq!(inquiry.txt("wild.example").await, Ok(texts(&NONE)));
    assert_eq!(inquiry.txt("cut.example").await, Ok(texts(&["whole over TCP"])));
    assert_eq!(inquiry.txt("long.example").await, Ok(texts(&[&"x".repeat(3000)])));
    assert_eq!(server.asked_over_tcp(), 2, "{:?}", server.questions());
}

#[tokio::test]
async fn trouble_is_no_answer() {
    let server = StubDns::start().await;
    for (name, behaviour) in [
        ("servfail.example", Behaviour::ServFail),
        ("refused.example", Behaviour::Refused),
        ("silent.example", Behaviour::Silent),
        ("garbage.example", Behaviour::Garbage),
        ("id.example", Behaviour::WrongId),
        ("name.example", Behaviour::WrongName),
        ("cut.example", Behaviour::TruncatedAlways),
    ] {
        server.txt(name, "v=spf1 +all");
        server.misbehave(name, behaviour);
        let start = std::time::Instant::now();
        let answer = resolver(&server).inquiry(1, PATIENCE).txt(name).await;
        println!("{name}: {answer:?} {:?} {}", start.elapsed(), server.asked(name, "TXT"));
        assert!(matches!(answer, Err(DnsError::Trouble(_))), "{name}: {answer:?}");
    }
}
