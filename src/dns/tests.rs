use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::limits::DNS_QUESTIONS_OF_ONE_MAX;
use crate::message::Asked;
use crate::stub_dns::{Behaviour, StubDns};

const PATIENCE: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_millis(300);
const NONE: [&str; 0] = [];

fn resolver(server: &StubDns) -> Dns {
    patient(server, Duration::from_secs(10))
}

fn patient(server: &StubDns, timeout: Duration) -> Dns {
    Dns::new(&ResolverConfig { servers: vec![server.address()], timeout, ..ResolverConfig::default() }).unwrap()
}

fn texts(records: &[&str]) -> Records<Box<[u8]>> {
    Records { records: records.iter().map(|text| text.as_bytes().into()).collect(), exists: true }
}

fn nxdomain<T>() -> Records<T> {
    Records { records: Arc::new([]), exists: false }
}

async fn txt(dns: &Dns, name: &str) -> Result<Records<Box<[u8]>>, DnsError> {
    dns.inquiry(1, PATIENCE).txt(name).await
}

/// The clock goes on, and stands still for no longer than that: the server's answers take real time.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn each_answer_has_its_meaning() {
    let server = StubDns::start().await;
    server.load(&[
        ("one.example", "TXT", "v=spf1 -all"),
        ("several.example", "TXT", "\"a\" \"b\""),
        ("several.example", "TXT", "c"),
        ("*.wild.example", "TXT", "any"),
        ("_under._score_.example", "TXT", "under"),
        ("xn--bcher-kva.example", "TXT", "books"),
        ("a+b c.example", "TXT", "local part"),
        ("alias.example", "CNAME", "alias2.example"),
        ("alias2.example", "CNAME", "ONE.example"),
        ("dangling.example", "CNAME", "nowhere.example"),
        ("empty.alias.example", "CNAME", "address.example"),
        ("address.example", "A", "192.0.2.1"),
        ("cut.example", "TXT", "whole over TCP"),
        ("cut.example", "TRUNCATED", ""),
        ("localhost", "TXT", "a name like any other"),
    ]);
    server.txt("long.example", &"x".repeat(3000));
    server.txt("old.example", "without EDNS");
    server.misbehave("old.example", Behaviour::NoEdns);
    server.txt_strings("octets.example", &[&[0xff, 0, b'\r'], b"\x80"]);
    let dns = resolver(&server);
    for (name, expected) in [
        ("one.example", texts(&["v=spf1 -all"])),
        ("ONE.example.", texts(&["v=spf1 -all"])),
        ("several.example", texts(&["ab", "c"])),
        ("x.y.wild.example", texts(&["any"])),
        ("_under._score_.example", texts(&["under"])),
        ("bücher.example", texts(&["books"])),
        ("a+b c.example", texts(&["local part"])),
        ("alias.example", texts(&["v=spf1 -all"])),
        ("nowhere.example", nxdomain()),
        ("dangling.example", nxdomain()),
        ("address.example", texts(&NONE)),
        ("empty.alias.example", texts(&NONE)),
        ("wild.example", texts(&NONE)),
        ("cut.example", texts(&["whole over TCP"])),
        ("long.example", texts(&[&"x".repeat(3000)])),
        ("old.example", texts(&["without EDNS"])),
        ("localhost", texts(&["a name like any other"])),
        ("octets.example", Records { records: Arc::new([Box::from(&b"\xff\0\r\x80"[..])]), exists: true }),
    ] {
        // The second time out of the cache.
        assert_eq!(txt(&dns, name).await, Ok(expected.clone()), "{name}");
        assert_eq!(txt(&dns, name).await, Ok(expected), "{name}");
    }
    assert_eq!(server.asked_over_tcp(), 2, "{:?}", server.questions());
    assert_eq!(server.asked("nowhere.example", "TXT"), 1);
}

#[tokio::test]
async fn each_type_has_its_records() {
    let server = StubDns::start().await;
    server.load(&[
        ("example", "A", "192.0.2.1"),
        ("example", "A", "192.0.2.2"),
        ("example", "AAAA", "2001:db8::1"),
        ("example", "MX", "10 MAIL.example"),
        ("example", "MX", "0 ."),
        ("192.0.2.1", "PTR", "Host.Example"),
        ("2001:db8::1", "PTR", "a b.example"),
    ]);
    let dns = resolver(&server);
    for _ in 0..2 {
        let inquiry = dns.inquiry(5, PATIENCE);
        assert_eq!(
            inquiry.ipv4("example").await.unwrap().records[..],
            ["192.0.2.1", "192.0.2.2"].map(|ip| ip.parse::<std::net::Ipv4Addr>().unwrap())
        );
        assert_eq!(inquiry.ipv6("example").await.unwrap().records[..], ["2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap()]);
        assert_eq!(inquiry.mx("example").await.unwrap().records[..], [(10, "mail.example".into()), (0, "".into())]);
        assert_eq!(inquiry.ptr("192.0.2.1".parse().unwrap()).await.unwrap().records[..], [Box::from("host.example")]);
        // Octets that are no host name's are there to be seen.
        assert_eq!(inquiry.ptr("2001:db8::1".parse().unwrap()).await.unwrap().records[..], [Box::from("a b.example")]);
        let asked = inquiry.into_asked();
        let expected: [(&str, &str, &str); 5] = [
            ("example", "A", "192.0.2.1; 192.0.2.2"),
            ("example", "AAAA", "2001:db8::1"),
            ("example", "MX", "10 mail.example; 0 ."),
            ("1.2.0.192.in-addr.arpa", "PTR", "host.example"),
            ("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", "PTR", "a b.example"),
        ];
        assert_eq!(asked[..], expected.map(|(name, kind, answer)| Asked { name: name.into(), kind, answer: answer.into() }));
    }
    assert_eq!(server.asked_total(), 5);
}

#[tokio::test]
async fn trouble_is_no_answer_and_takes_a_bounded_time() {
    let server = StubDns::start().await;
    let cases = [
        ("servfail.example", Behaviour::ServFail),
        ("refused.example", Behaviour::Refused),
        ("silent.example", Behaviour::Silent),
        ("garbage.example", Behaviour::Garbage),
        ("id.example", Behaviour::WrongId),
        ("name.example", Behaviour::WrongName),
        ("cut.example", Behaviour::TruncatedAlways),
    ];
    let dns = patient(&server, TIMEOUT);
    for (name, behaviour) in cases {
        server.txt(name, "v=spf1 +all");
        server.misbehave(name, behaviour);
        let start = Instant::now();
        let answer = txt(&dns, name).await;
        assert!(matches!(answer, Err(DnsError::Trouble(_))), "{name}: {answer:?}");
        assert!(start.elapsed() < TIMEOUT * 4, "{name}: {:?}", start.elapsed());
    }
    assert_eq!(server.asked("silent.example", "TXT"), 2, "a single server is asked twice");
    assert_eq!(server.asked("servfail.example", "TXT"), 1, "it said what it had to say");
    assert_eq!(dns.figures(), Figures { trouble: 7, ..Figures::default() });
    let nobody = StubDns::start().await.address();
    let dns = Dns::new(&ResolverConfig { servers: vec![nobody], timeout: TIMEOUT, ..ResolverConfig::default() }).unwrap();
    assert!(matches!(txt(&dns, "one.example").await, Err(DnsError::Trouble(_))));
}

#[tokio::test]
async fn trouble_is_remembered_for_a_moment() {
    let server = StubDns::start().await;
    server.add("sick.example", "SERVFAIL", "");
    let dns = resolver(&server);
    for _ in 0..3 {
        assert!(matches!(txt(&dns, "sick.example").await, Err(DnsError::Trouble(_))));
    }
    assert_eq!(server.asked_total(), 1);
    server.remove("sick.example");
    server.txt("sick.example", "well");
    pass(Duration::from_millis(1001)).await;
    assert_eq!(txt(&dns, "sick.example").await, Ok(texts(&["well"])));
}

#[tokio::test]
async fn answers_are_remembered_for_their_time() {
    let server = StubDns::start().await;
    server.ttl(60);
    server.negative_ttl(Some(30));
    server.txt("one.example", "old");
    server.cname("alias.example", "one.example");
    server.ttl(0);
    server.txt("now.example", "old");
    server.ttl(7 * 86_400);
    server.txt("week.example", "old");
    server.ttl(u32::MAX);
    server.txt("never.example", "old");
    let dns = resolver(&server);
    let names = ["one.example", "alias.example", "now.example", "week.example", "never.example", "none.example"];
    let again = async |expected: [usize; 6]| {
        server.forget_questions();
        for name in names {
            txt(&dns, name).await.unwrap();
        }
        assert_eq!(names.map(|name| server.asked(name, "TXT")), expected);
    };
    again([1, 1, 1, 1, 1, 1]).await;
    again([0, 0, 1, 0, 1, 0]).await;
    pass(Duration::from_secs(31)).await;
    again([0, 0, 1, 0, 1, 1]).await;
    pass(Duration::from_secs(30)).await;
    again([1, 1, 1, 0, 1, 1]).await;
    pass(DNS_TTL).await;
    again([1, 1, 1, 1, 1, 1]).await;
    // RFC 2308 §5: without a SOA, that there is nothing is not remembered.
    server.negative_ttl(None);
    pass(Duration::from_secs(31)).await;
    again([0, 0, 1, 0, 1, 1]).await;
    again([0, 0, 1, 0, 1, 1]).await;
    // Nor for longer than an hour.
    server.negative_ttl(Some(86_400));
    again([0, 0, 1, 0, 1, 1]).await;
    pass(Duration::from_secs(3601)).await;
    again([1, 1, 1, 0, 1, 1]).await;
}

const DNS_TTL: Duration = crate::limits::DNS_TTL_MAX;

#[tokio::test]
async fn chains_and_loops_of_cnames_end() {
    let server = StubDns::start().await;
    for number in 0..40 {
        server.cname(&format!("c{number}.example"), &format!("c{}.example", number + 1));
    }
    server.txt("c40.example", "end");
    server.cname("a.loop.example", "b.loop.example");
    server.cname("b.loop.example", "a.loop.example");
    server.cname("self.example", "self.example");
    let dns = resolver(&server);
    assert_eq!(txt(&dns, "c29.example").await, Ok(texts(&["end"])));
    for name in ["c28.example", "c0.example", "a.loop.example", "self.example"] {
        let answer = txt(&dns, name).await;
        assert!(matches!(&answer, Err(DnsError::Trouble(why)) if why.contains("CNAME")), "{name}: {answer:?}");
    }
    assert_eq!(server.asked_total(), 5);
}

#[tokio::test]
async fn huge_answers_are_bounded() {
    let server = StubDns::start().await;
    server.misbehave("huge.example", Behaviour::Huge);
    let dns = resolver(&server);
    let inquiry = dns.inquiry(4, PATIENCE);
    assert_eq!(inquiry.txt("huge.example").await.unwrap().records.len(), 225);
    assert_eq!(inquiry.ipv4("huge.example").await.unwrap().records.len(), 500);
    assert_eq!(inquiry.mx("huge.example").await.unwrap().records.len(), 500);
    assert!(inquiry.into_asked().iter().all(|asked| asked.answer.len() < 600));
}

#[tokio::test]
async fn an_inquiry_bounds_questions_and_time_and_tells_of_them() {
    let server = StubDns::start().await;
    server.load(&[("one.example", "TXT", "v=spf1 -all"), ("silent.example", "SILENT", "")]);
    let dns = resolver(&server);
    let inquiry = dns.inquiry(4, TIMEOUT);
    assert!(inquiry.txt("one.example").await.is_ok());
    assert_eq!(inquiry.txt("a..b").await, Err(DnsError::NoName));
    assert_eq!(inquiry.txt("silent.example").await, Err(DnsError::TooLate));
    // What is remembered costs no time.
    assert!(inquiry.txt("one.example").await.is_ok());
    assert_eq!(inquiry.txt("one.example").await, Err(DnsError::TooManyQuestions));
    let asked: Vec<String> = inquiry.into_asked().iter().map(|asked| format!("{} {}: {}", asked.name, asked.kind, asked.answer)).collect();
    assert_eq!(
        asked,
        [
            "one.example TXT: v=spf1 -all",
            "a..b TXT: not a domain name",
            "silent.example TXT: no time left for DNS questions",
            "one.example TXT: v=spf1 -all"
        ]
    );
    assert_eq!(dns.figures(), Figures { remembered: 1, answered: 1, trouble: 1, ..Figures::default() });
}

#[tokio::test]
async fn the_same_question_under_way_is_sent_once() {
    let server = StubDns::start().await;
    server.txt("slow.example", "here");
    server.misbehave("slow.example", Behaviour::Slow(Duration::from_millis(200)));
    let dns = resolver(&server);
    let mut askers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let dns = dns.clone();
        askers.spawn(async move { txt(&dns, "slow.example").await });
    }
    while let Some(answer) = askers.join_next().await {
        assert_eq!(answer.unwrap(), Ok(texts(&["here"])));
    }
    assert_eq!(server.asked_total(), 1);
}

#[tokio::test]
async fn questions_under_way_are_bounded_and_a_flood_ends_in_time() {
    let server = StubDns::start().await;
    server.misbehave("*.silent.example", Behaviour::Silent);
    let dns = patient(&server, TIMEOUT);
    let start = Instant::now();
    let mut askers = tokio::task::JoinSet::new();
    for number in 0..2000 {
        let dns = dns.clone();
        askers.spawn(async move { txt(&dns, &format!("{number}.silent.example")).await });
    }
    // Once the server has seen some of them, as many as may be are under way.
    while server.asked_total() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(dns.figures().open <= DNS_QUESTIONS_OPEN_MAX as u64);
    while let Some(answer) = askers.join_next().await {
        assert!(matches!(answer.unwrap(), Err(DnsError::Trouble(_))));
    }
    assert!(server.asked_total() <= 4 * DNS_QUESTIONS_OPEN_MAX, "{} were sent, of 4,000 without a bound", server.asked_total());
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert_eq!(dns.figures().open, 0);
}

#[tokio::test]
async fn one_inquiry_takes_few_of_the_places_and_ends_with_its_time() {
    let server = StubDns::start().await;
    server.misbehave("*.silent.example", Behaviour::Silent);
    let dns = patient(&server, TIMEOUT);
    let inquiry = dns.inquiry(100, TIMEOUT);
    let names: Vec<String> = (0..60).map(|number| format!("{number}.silent.example")).collect();
    let answers = futures_util::future::join_all(names.iter().map(|name| inquiry.txt(name))).await;
    assert!(answers.iter().all(|answer| *answer == Err(DnsError::TooLate)), "{answers:?}");
    assert_eq!(server.questions().iter().collect::<std::collections::BTreeSet<_>>().len(), DNS_QUESTIONS_OF_ONE_MAX);
}

#[tokio::test]
async fn another_server_is_asked_when_one_fails() {
    let (silent, refusing, well) = (StubDns::start().await, StubDns::start().await, StubDns::start().await);
    silent.misbehave("*.example", Behaviour::Silent);
    refusing.misbehave("*.example", Behaviour::Refused);
    well.add("*.example", "TXT", "well");
    for sick in [&silent, &refusing] {
        let dns =
            Dns::new(&ResolverConfig { servers: vec![sick.address(), well.address()], timeout: TIMEOUT, ..ResolverConfig::default() })
                .unwrap();
        for number in 0..5 {
            assert_eq!(txt(&dns, &format!("{number}.example")).await, Ok(texts(&["well"])));
        }
        assert_eq!(sick.asked_total(), 1, "the one that answered comes first from then on");
    }
}

#[tokio::test]
async fn another_configuration_begins_anew() {
    let (first, second) = (StubDns::start().await, StubDns::start().await);
    first.txt("one.example", "first");
    second.txt("one.example", "second");
    let dns = resolver(&first);
    let clone = dns.clone();
    assert_eq!(txt(&clone, "one.example").await, Ok(texts(&["first"])));
    let same = ResolverConfig { servers: vec![first.address()], timeout: Duration::from_secs(10), ..ResolverConfig::default() };
    dns.reconfigure(&same).unwrap();
    assert_eq!(txt(&clone, "one.example").await, Ok(texts(&["first"])));
    assert_eq!(first.asked_total(), 1);
    dns.reconfigure(&ResolverConfig { servers: vec![second.address()], ..same }).unwrap();
    assert_eq!(txt(&clone, "one.example").await, Ok(texts(&["second"])));
}

#[tokio::test]
async fn a_resolver_of_the_system_can_always_be_made() {
    let dns = Dns::new(&ResolverConfig::default()).unwrap();
    assert_eq!(dns.inquiry(1, PATIENCE).txt("a..b").await, Err(DnsError::NoName));
}

/// Prints what a remembered answer costs; the bound is loose, for tests run unoptimized beside others.
#[tokio::test]
async fn a_remembered_answer_costs_little() {
    let server = StubDns::start().await;
    server.txt("one.example", "v=spf1 include:_spf.example ip4:192.0.2.0/24 -all");
    let dns = resolver(&server);
    let inquiry = dns.inquiry(u32::MAX, PATIENCE);
    inquiry.txt("one.example").await.unwrap();
    let start = std::time::Instant::now();
    for _ in 0..100_000 {
        inquiry.txt("one.example").await.unwrap();
    }
    let each = start.elapsed() / 100_000;
    println!("a remembered answer: {each:?}");
    assert!(each < Duration::from_micros(500), "{each:?}");
    assert_eq!(server.asked_total(), 1);
}

#[tokio::test]
async fn what_is_authenticated_is_so_at_every_step_and_by_the_word_of_who_is_believed() {
    let server = StubDns::start().await;
    server.load(&[
        ("signed.example", "MX", "10 mx.example"),
        ("signed.example", "SIGNED", ""),
        ("plain.example", "MX", "10 mx.example"),
        ("alias.example", "CNAME", "signed.example"),
        ("alias.example", "SIGNED", ""),
        ("weak.example", "CNAME", "signed.example"),
        ("away.example", "CNAME", "plain.example"),
        ("away.example", "SIGNED", ""),
        ("_25._tcp.mx.example", "TLSA", "3 1 1 00ff10"),
        ("_25._tcp.mx.example", "SIGNED", ""),
    ]);
    let dns = resolver(&server);
    for (name, is_secure, canonical) in [
        ("signed.example", true, None),
        ("plain.example", false, None),
        ("alias.example", true, Some("signed.example")),
        ("weak.example", false, Some("signed.example")),
        ("away.example", false, Some("plain.example")),
        ("none.example", false, None),
    ] {
        // The second time out of the cache.
        for _ in 0..2 {
            let found = dns.inquiry(1, PATIENCE).proven_mx(name).await.unwrap();
            assert_eq!((found.is_secure, found.canonical.as_deref()), (is_secure, canonical), "{name}");
            assert_eq!(found.records.records.len(), usize::from(name != "none.example"), "{name}");
        }
    }
    let inquiry = dns.inquiry(1, PATIENCE);
    let found = inquiry.tlsa("_25._tcp.mx.example").await.unwrap();
    let expected = Tlsa { usage: 3, selector: 1, matching: 1, data: [0, 255, 16].into() };
    assert_eq!((&found.records.records[..], found.is_secure), (&[expected][..], true));
    assert_eq!(&*inquiry.into_asked()[0].answer, "3 1 1 00ff10");
}
