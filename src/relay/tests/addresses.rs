//! Which addresses are used, in which order, and what becomes of those that fail.

use tokio::net::TcpSocket;

use super::*;
use crate::stub_dns::StubDns;

/// A server of DNS, and relays that ask it.
async fn asking() -> (StubDns, Relays) {
    let server = StubDns::start().await;
    let dns = Dns::new(&ResolverConfig { servers: vec![server.address()], timeout: Duration::from_secs(5), ..ResolverConfig::default() })
        .unwrap();
    (server, Relays::new("mx.example".into(), Arc::new(Secrets::default()), dns))
}

/// Hops at one port of both loopback addresses.
async fn both(ipv4: Script, ipv6: Script) -> (Hop, Hop) {
    loop {
        let four = Hop::start(ipv4.clone()).await;
        // Somebody else may have that port of the other family.
        if let Ok(free) = std::net::TcpListener::bind(("::1", four.address.port())) {
            drop(free);
            let six = Hop::start_at(&format!("[::1]:{}", four.address.port()), ipv6).await;
            return (four, six);
        }
    }
}

fn named(hop: &Hop, name: &str) -> RelayConfig {
    RelayConfig { route: at([name]), ..config(hop) }
}

fn addresses(report: &DeliveryReport) -> Vec<String> {
    report.attempts.iter().map(|attempt| attempt.address.unwrap().ip().to_string()).collect()
}

#[tokio::test]
async fn a_relay_that_is_pinned_to_a_family_never_touches_the_other() {
    let (server, relays) = asking().await;
    let (four, six) = both(Script::default(), Script::default()).await;
    server.load(&[("both.example", "A", "127.0.0.1"), ("both.example", "AAAA", "::1")]);
    let by_family = RelayConfig { ip_family: IpFamily::V4, ..named(&four, "both.example") };
    let by_source = RelayConfig { source_ips: vec!["127.0.0.7".parse().unwrap()], ..named(&four, "both.example") };
    for pinned in [by_family, by_source] {
        let report = deliver(&relays, pinned, &["x@y.example"]).await;
        assert_eq!((short(&report), addresses(&report)), (vec!["250".to_owned()], vec!["127.0.0.1".to_owned()]));
    }
    assert_eq!((server.asked("both.example", "AAAA"), six.log().connections, four.log().connections), (0, 0, 2));
    let report = deliver(&relays, RelayConfig { ip_family: IpFamily::V6, ..named(&four, "both.example") }, &["x@y.example"]).await;
    assert_eq!((short(&report), addresses(&report)), (vec!["250".to_owned()], vec!["::1".to_owned()]));
    // Pinned also when a host is an address, or has none of that family.
    let other = RelayConfig { ip_family: IpFamily::V4, ..named(&four, "::1") };
    assert_eq!(short(&deliver(&relays, other, &["x@y.example"]).await), ["451 4.4.3 later"]);
    server.aaaa("six.example", "::1");
    let other = RelayConfig { ip_family: IpFamily::V4, ..named(&four, "six.example") };
    assert_eq!(short(&deliver(&relays, other, &["x@y.example"]).await), ["451 4.4.3 later"]);
    assert_eq!(six.log().connections, 1);
}

#[tokio::test]
async fn of_two_source_addresses_that_of_the_family_is_used() {
    let (server, relays) = asking().await;
    let (four, six) = both(Script::default(), Script::default()).await;
    server.load(&[("both.example", "A", "127.0.0.1"), ("both.example", "AAAA", "::1")]);
    let sources = vec!["127.0.0.7".parse().unwrap(), "::1".parse().unwrap()];
    let config = RelayConfig { source_ips: sources, ..named(&four, "both.example") };
    assert_eq!(short(&deliver(&relays, config, &["x@y.example"]).await), ["250"]);
    assert_eq!(six.log().connections + four.log().connections, 1);
}

/// RFC 8305 §5: the pause between two attempts is a quarter of a second, not the time of one attempt.
#[tokio::test]
async fn a_family_that_is_silent_costs_a_moment() {
    let (server, relays) = asking().await;
    // A listener whose queue is full answers no SYN any more (listen(2)).
    let silent = TcpSocket::new_v6().unwrap();
    silent.bind("[::1]:0".parse().unwrap()).unwrap();
    let silent = silent.listen(0).unwrap();
    let address = silent.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(address)).await {
        queued.push(stream);
        assert!(queued.len() < 100, "the queue has no end");
    }
    let hop = Hop::start_at(&format!("127.0.0.1:{}", address.port()), Script::default()).await;
    server.load(&[("both.example", "A", "127.0.0.1"), ("both.example", "AAAA", "::1")]);
    let started = Instant::now();
    let report = deliver(&relays, named(&hop, "both.example"), &["x@y.example"]).await;
    assert_eq!((short(&report), addresses(&report)), (vec!["250".to_owned()], vec!["127.0.0.1".to_owned()]));
    let waited = started.elapsed();
    assert!(waited >= limits::RELAY_RACE_STAGGER && waited < limits::RELAY_CONNECT_TIMEOUT / 2, "{waited:?}");
}

#[tokio::test]
async fn a_family_that_refuses_connections_is_remembered() {
    let (server, relays) = asking().await;
    let hop = Hop::start(Script::default()).await;
    server.load(&[("both.example", "A", "127.0.0.1"), ("both.example", "AAAA", "::1")]);
    // Each message has a connection of its own.
    let mut config = named(&hop, "both.example");
    config.limits.messages_per_connection = 1;
    let report = deliver(&relays, config.clone(), &["x@y.example"]).await;
    assert_eq!((short(&report), addresses(&report)), (vec!["250".to_owned()], vec!["::1".to_owned(), "127.0.0.1".to_owned()]));
    let report = deliver(&relays, config, &["x@y.example"]).await;
    assert_eq!((short(&report), addresses(&report)), (vec!["250".to_owned()], vec!["127.0.0.1".to_owned()]));
}

/// Google and Microsoft ask for more of whoever comes over IPv6: what is refused there may be taken over IPv4.
#[tokio::test]
async fn after_a_refusal_the_other_family_comes_first() {
    let (server, relays) = asking().await;
    let refuse = |command: &str, _| command.starts_with("MAIL").then_some(Act::Say("421 4.7.0 this address has no PTR record"));
    let (four, six) = both(Script::default(), Script::rule(refuse)).await;
    server.load(&[("both.example", "AAAA", "::1"), ("both.example", "A", "127.0.0.1")]);
    let report = deliver(&relays, named(&four, "both.example"), &["x@y.example"]).await;
    assert_eq!((short(&report), addresses(&report)), (vec!["250".to_owned()], vec!["::1".to_owned(), "127.0.0.1".to_owned()]));
    assert_eq!((four.log().messages.len(), six.log().messages.len()), (1, 0));
}

#[tokio::test]
async fn one_family_without_an_answer_does_not_keep_the_other_from_being_used() {
    let (server, relays) = asking().await;
    let hop = Hop::start(Script::default()).await;
    server.load(&[("half.example", "A", "127.0.0.1"), ("half.example", "SERVFAIL", "AAAA"), ("sick.example", "SERVFAIL", "")]);
    assert_eq!(short(&deliver(&relays, named(&hop, "half.example"), &["x@y.example"]).await), ["250"]);
    assert_eq!(short(&deliver(&relays, named(&hop, "sick.example"), &["x@y.example"]).await), ["451 4.4.3 later"]);
    // A name without a dot is the system's to know.
    assert_eq!(
        short(&deliver(&relays, RelayConfig { ip_family: IpFamily::V4, ..named(&hop, "localhost") }, &["x@y.example"]).await),
        ["250"]
    );
    assert_eq!(server.asked("localhost", "A"), 0);
}

#[tokio::test]
async fn the_exchangers_of_a_domain_are_its_hosts_for_as_long_as_dns_says() {
    let (server, relays) = asking().await;
    let first = Hop::start(Script::default()).await;
    let second = Hop::start_at(&format!("127.0.0.2:{}", first.address.port()), Script::default()).await;
    server.ttl(1);
    server.load(&[
        ("acme.example", "MX", "10 dead.acme.example"),
        ("acme.example", "MX", "20 mx.acme.example"),
        ("dead.acme.example", "A", "127.0.0.9"),
        ("mx.acme.example", "A", "127.0.0.1"),
    ]);
    let mut config = RelayConfig { route: Route::MailExchangers("acme.example".into()), ip_family: IpFamily::V4, ..config(&first) };
    config.limits.messages_per_connection = 1;
    let report = deliver(&relays, config.clone(), &["x@y.example"]).await;
    assert_eq!((short(&report), addresses(&report)), (vec!["250".to_owned()], vec!["127.0.0.9".to_owned(), "127.0.0.1".to_owned()]));
    server.remove("acme.example");
    server.mx("acme.example", 10, "other.acme.example");
    server.a("other.acme.example", "127.0.0.2");
    // The resolver forgets on the clock of the runtime.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(2)).await;
    tokio::time::resume();
    let report = deliver(&relays, config.clone(), &["x@y.example"]).await;
    assert_eq!((short(&report), addresses(&report)), (vec!["250".to_owned()], vec!["127.0.0.2".to_owned()]));
    assert_eq!((first.log().messages.len(), second.log().messages.len()), (1, 1));

    // A domain that takes no mail, that is gone, or whose best exchanger is this gateway: mail waits.
    for (domain, host) in [("null.example", Some(".")), ("gone.example", None), ("own.example", Some("MX.example"))] {
        host.into_iter().for_each(|host| server.mx(domain, 0, host));
        let report =
            deliver(&relays, RelayConfig { route: Route::MailExchangers(domain.into()), ..config.clone() }, &["x@y.example"]).await;
        assert!(short(&report)[0].ends_with("later"), "{domain}: {:?}", short(&report));
    }
}

#[tokio::test]
async fn a_sick_host_is_tried_by_one_delivery_at_a_time() {
    let hop = Hop::start(Script::rule(|command, _| (command == "CONNECT").then_some(Act::SayAndClose("421 4.3.2 too busy")))).await;
    let (relays, config) = (relays(), Arc::new(with_connections(config(&hop), 20)));
    let message = delivery(&["x@y.example"]);
    let deadline = Instant::now() + PLENTY;
    assert_eq!(short(&relays.deliver(&config, &message, deadline).await), ["421 4.3.2 later"]);
    assert_eq!(hop.log().connections, 1);
    let reports = futures_util::future::join_all((0..20).map(|_| relays.deliver(&config, &message, deadline))).await;
    for report in reports {
        assert_eq!(short(&report), ["421 4.3.2 later"]);
    }
    // The first 421 halved what the relay gets at a time: those who come in together share one attempt.
    assert!((2..=3).contains(&hop.log().connections), "twenty deliveries, one attempt for each ten: {}", hop.log().connections);
}
