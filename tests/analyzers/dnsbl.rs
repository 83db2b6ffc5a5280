//! DNS lists: the real rbldnsd, and a server that says what no list should.

use std::time::{Duration, Instant};

use crate::common::dns::{Behaviour, StubDns};
use crate::{Mail, analyzers, daemons, resolver, shown};

#[tokio::test]
async fn rbldnsd_lists_addresses_of_both_families_and_domains() {
    let lists = daemons::rbldnsd();
    let dns = resolver(lists.address);
    let clients = analyzers(
        "  a: { type: dnsbl, zone: bl.example, codes: { 127.0.0.2: bad, 127.0.0.3: bad6, 127.0.0.4/30: exploited }, weight: 2, weights: { exploited: 5 } }",
    );
    for (client, expected) in [
        ("192.0.2.99", "is_listed=true listed_on=[\"bad\"] score=2"),
        ("198.51.100.7", "is_listed=true listed_on=[\"exploited\"] score=5"),
        ("198.51.100.8", "is_listed=false listed_on=[] score=0"),
        ("2001:db8:bad:1::25", "is_listed=true listed_on=[\"bad6\"] score=2"),
        ("2001:db8:900d::25", "is_listed=false listed_on=[] score=0"),
        // The entry to try a list with (RFC 5782 §5).
        ("127.0.0.2", "is_listed=true listed_on=[\"bad\"] score=2"),
        ("10.0.0.1", "is_listed=false listed_on=[] score=0"),
    ] {
        assert_eq!(Mail::from_client(client).ask(&clients, &dns).await.map(|found| shown(&found)).as_deref(), Ok(expected), "{client}");
    }
    let listed = "is_listed=true listed_on=[\"dbl.example\"] score=1";
    let not_listed = "is_listed=false listed_on=[] score=0";
    let senders = analyzers("  a: { type: dnsbl, zone: dbl.example, of: mail_from }");
    for (sender, expected) in [
        ("x@bad.example", listed),
        ("x@BAD.Example", listed),
        ("x@bücher.example", listed),
        ("x@a.b.worse.example", listed),
        ("x@good.example", not_listed),
        ("x@[192.0.2.1]", not_listed),
        ("", not_listed),
    ] {
        let mail = Mail::from_client("203.0.113.1").from(sender);
        assert_eq!(mail.ask(&senders, &dns).await.map(|found| shown(&found)).as_deref(), Ok(expected), "{sender}");
    }
    let names = analyzers("  a: { type: dnsbl, zone: dbl.example, of: helo }");
    for (helo, expected) in
        [("mx.worse.example", listed), ("bad.example.", listed), ("[192.0.2.1]", not_listed), ("bad", not_listed), ("", not_listed)]
    {
        let mail = Mail::from_client("203.0.113.1").helo(helo);
        assert_eq!(mail.ask(&names, &dns).await.map(|found| shown(&found)).as_deref(), Ok(expected), "{helo}");
    }
}

/// Three lists: the first lists two clients, the second one of them, the third answers nobody.
const THREE: &str =
    "  a: { type: dnsbl, timeout: 1s, zones: [{ zone: one.example }, { zone: two.example, weight: 3.5 }, { zone: three.example }] }";

#[tokio::test]
async fn a_list_that_fails_matters_only_where_no_other_lists() {
    let server = StubDns::start().await;
    server.load(&[
        ("1.2.0.192.one.example", "A", "127.0.0.2"),
        ("1.2.0.192.two.example", "A", "127.0.0.2"),
        ("2.2.0.192.one.example", "A", "127.0.0.2"),
    ]);
    for name in ["1.2.0.192", "2.2.0.192", "3.2.0.192"] {
        server.add(&format!("{name}.three.example"), "SERVFAIL", "");
    }
    let (lists, dns) = (analyzers(THREE), resolver(server.address()));
    let ask = async |client: &str| Mail::from_client(client).ask(&lists, &dns).await.map(|found| shown(&found));
    assert_eq!(ask("192.0.2.1").await.as_deref(), Ok("is_listed=true listed_on=[\"one.example\", \"two.example\"] score=4.5"));
    assert_eq!(ask("192.0.2.2").await.as_deref(), Ok("is_listed=true listed_on=[\"one.example\"] score=1"));
    assert!(ask("192.0.2.3").await.is_err_and(|why| why.starts_with("three.example: ")));
    assert_eq!(ask("192.0.2.4").await.as_deref(), Ok("is_listed=false listed_on=[] score=0"));
}

#[tokio::test]
async fn what_is_no_listing_is_never_taken_for_one() {
    let server = StubDns::start().await;
    for (number, answer) in ["127.255.255.252", "127.255.255.254", "127.255.255.255", "127.0.0.1", "203.0.113.80"].iter().enumerate() {
        server.add(&format!("{number}.2.0.192.zen.example"), "A", answer);
    }
    server.misbehave("10.2.0.192.zen.example", Behaviour::Silent);
    server.misbehave("11.2.0.192.zen.example", Behaviour::Refused);
    server.misbehave("12.2.0.192.zen.example", Behaviour::Garbage);
    server.misbehave("13.2.0.192.zen.example", Behaviour::TruncatedAlways);
    server.load(&[("14.2.0.192.zen.example", "TXT", "text alone"), ("15.2.0.192.zen.example", "CNAME", "15.2.0.192.zen.example")]);
    let (lists, dns) = (analyzers("  a: { type: dnsbl, zone: zen.example, timeout: 1s }"), resolver(server.address()));
    let ask = async |last: usize| Mail::from_client(&format!("192.0.2.{last}")).ask(&lists, &dns).await.map(|found| shown(&found));
    for (last, why) in
        [(0, "mistyped"), (1, "public resolvers"), (2, "too many questions"), (3, "refuses to answer"), (4, "no answer of a DNS list")]
    {
        let answer = ask(last).await;
        assert!(answer.as_ref().is_err_and(|error| error.starts_with("zen.example: ") && error.contains(why)), "{last}: {answer:?}");
    }
    for last in [10, 11, 12, 13] {
        let began = Instant::now();
        let answer = ask(last).await;
        assert!(answer.as_ref().is_err_and(|error| error.starts_with("zen.example: ")), "{last}: {answer:?}");
        assert!(began.elapsed() < Duration::from_secs(15), "{last}: {:?}", began.elapsed());
    }
    for last in [14, 99] {
        assert_eq!(ask(last).await.as_deref(), Ok("is_listed=false listed_on=[] score=0"), "{last}");
    }
    // A circle of CNAMEs is one thing or the other, in time, and no listing.
    assert_ne!(ask(15).await.ok().as_deref(), Some("is_listed=true listed_on=[\"zen.example\"] score=1"));
}

#[tokio::test]
async fn each_client_is_one_question_and_a_cached_answer_none() {
    let server = StubDns::start().await;
    server.add("1.2.0.192.one.example", "A", "127.0.0.2");
    let (lists, dns) = (analyzers(THREE), resolver(server.address()));
    for _ in 0..3 {
        Mail::from_client("192.0.2.1").ask(&lists, &dns).await.unwrap();
    }
    assert_eq!(server.asked_total(), 3, "{:?}", server.questions());
}
