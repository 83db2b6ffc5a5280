//! What travels with a message: DSN, SMTPUTF8 and REQUIRETLS, and to whom it may go with them.

use super::tls_and_login::{server, with_tls};
use super::*;

fn recipient(stored: serde_json::Value) -> Recipient {
    serde_json::from_value(stored).unwrap()
}

async fn run(relays: &Relays, config: RelayConfig, delivery: &Delivery) -> DeliveryReport {
    relays.deliver(&Arc::new(config), delivery, Instant::now() + PLENTY).await
}

fn commands(hop: &Hop, verb: &str) -> Vec<String> {
    let log = hop.log();
    let said = log.commands.iter().filter_map(|line| line.split_once(' ')).map(|(_, command)| command.to_owned());
    said.filter(|command| command.starts_with(verb)).collect()
}

#[tokio::test]
async fn a_next_hop_with_dsn_is_told_and_answers_for_it() {
    let recipients = vec![
        recipient(serde_json::json!({ "address": "x@y.example", "notify": "SUCCESS", "orcpt": "rfc822;old@y.example" })),
        recipient(serde_json::json!("z@y.example")),
    ];
    let terms: MailTerms = serde_json::from_value(serde_json::json!({ "ret": "FULL", "envid": "1+2B1" })).unwrap();
    for (keywords, dsn) in [(&["PIPELINING", "DSN"][..], true), (&["PIPELINING"], false)] {
        let hop = Hop::start(Script::default().keywords(keywords)).await;
        let delivery = Delivery { recipients: recipients.clone(), terms: terms.clone(), ..delivery(&[]) };
        let report = run(&relays(), config(&hop), &delivery).await;
        let told = report.outcomes.iter().map(|outcome| matches!(outcome, Outcome::Delivered(accepted) if accepted.dsn == dsn));
        assert_eq!(told.collect::<Vec<_>>(), [true, true]);
        let expected: [&str; 3] = if dsn {
            [
                "MAIL FROM:<sender@a.example> RET=FULL ENVID=1+2B1",
                "RCPT TO:<x@y.example> NOTIFY=SUCCESS ORCPT=rfc822;old@y.example",
                "RCPT TO:<z@y.example>",
            ]
        } else {
            ["MAIL FROM:<sender@a.example>", "RCPT TO:<x@y.example>", "RCPT TO:<z@y.example>"]
        };
        assert_eq!([commands(&hop, "MAIL"), commands(&hop, "RCPT")].concat(), expected);
    }
}

#[tokio::test]
async fn a_next_hop_without_smtputf8_gets_those_who_need_none() {
    let hop = Hop::start(Script::default()).await;
    let report = deliver(&relays(), config(&hop), &["a@y.example", "ü@y.example", "b@y.example"]).await;
    assert_eq!(short(&report), ["250", "550 5.6.7 never", "250"]);
    assert_eq!(commands(&hop, "RCPT"), ["RCPT TO:<a@y.example>", "RCPT TO:<b@y.example>"]);
    assert!(commands(&hop, "MAIL").iter().all(|line| !line.contains("UTF8")));
    // What the header needs concerns everybody.
    let delivery = Delivery { smtputf8: true, ..delivery(&["a@y.example"]) };
    assert_eq!(short(&run(&relays(), config(&hop), &delivery).await), ["550 5.6.7 never"]);
    let hop = Hop::start(Script::default().keywords(&["SMTPUTF8"])).await;
    assert_eq!(short(&run(&relays(), config(&hop), &delivery).await), ["250"]);
    assert_eq!(commands(&hop, "MAIL"), ["MAIL FROM:<sender@a.example> SMTPUTF8"]);
}

#[tokio::test]
async fn another_host_may_offer_what_the_first_one_lacks() {
    let without = Hop::start(Script::default()).await;
    let with = Hop::start_at(&format!("127.0.0.2:{}", without.address.port()), Script::default().keywords(&["SMTPUTF8"])).await;
    let mut config = config(&without);
    config.route = at(["127.0.0.1", "127.0.0.2"]);
    let delivery = Delivery { smtputf8: true, ..delivery(&["a@y.example"]) };
    let report = run(&relays(), config.clone(), &delivery).await;
    assert_eq!(short(&report), ["250"]);
    assert_eq!((without.count("MAIL"), with.count("MAIL")), (0, 1));
    // While the one that may take it is away, that is no verdict on the message, in whatever order they are tried.
    drop(with);
    for hosts in [["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"]] {
        config.route = at(hosts);
        let report = run(&relays(), config.clone(), &delivery).await;
        assert_eq!(short(&report), ["451 4.4.1 later"]);
    }
}

/// A relay, its CA, and how a message with REQUIRETLS fares by it (RFC 8689 §4.2.1).
#[tokio::test]
async fn requiretls_goes_over_verified_tls_to_who_offers_it_or_not_at_all() {
    let (good, pem) = server(&["127.0.0.1"]);
    let (other, other_pem) = server(&["other.example"]);
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), pem + &other_pem).unwrap();
    let offering = |tls| with_tls(tls).keywords(&["REQUIRETLS"]);
    for (what, script, ca_file, expected) in [
        ("all is there", offering(Arc::clone(&good)), true, "250"),
        ("not offered", with_tls(Arc::clone(&good)).keywords(&[]), true, "550 5.7.30 never"),
        ("an unknown CA", offering(Arc::clone(&good)), false, "550 5.7.10 never"),
        ("another name", offering(other), true, "550 5.7.10 never"),
        ("no STARTTLS", Script::default().keywords(&["REQUIRETLS"]), true, "550 5.7.10 never"),
    ] {
        for tls in [TlsMode::None, TlsMode::Opportunistic, TlsMode::Required, TlsMode::Verify] {
            let hop = Hop::start(script.clone()).await;
            let config = RelayConfig { tls, ca_file: ca_file.then(|| ca.path().to_owned()), ..config(&hop) };
            let mut delivery = delivery(&["x@y.example"]);
            delivery.terms.require_tls = true;
            let report = run(&relays(), config, &delivery).await;
            assert_eq!(short(&report), [expected], "{what}, {tls:?}: {}", detail(&report));
            let said: &[&str] = if expected == "250" { &["MAIL FROM:<sender@a.example> REQUIRETLS"] } else { &[] };
            assert_eq!(commands(&hop, "MAIL"), said, "{what}, {tls:?}");
        }
    }
}

#[tokio::test]
async fn a_broken_handshake_is_no_verdict_on_requiretls() {
    let closing = |command: &str, _: usize| (command == "STARTTLS").then_some(Act::SayAndClose("220 go on"));
    let hop = Hop::start(Script { rule: Arc::new(closing), ..Script::default().keywords(&["STARTTLS"]) }).await;
    let mut delivery = delivery(&["x@y.example"]);
    delivery.terms.require_tls = true;
    let report = run(&relays(), config(&hop), &delivery).await;
    assert_eq!(short(&report), ["451 4.7.5 later"], "{}", detail(&report));
    assert_eq!(hop.log().connections, 1, "nothing in plain text");
}

#[tokio::test]
async fn a_pooled_connection_without_a_checked_certificate_is_not_for_requiretls() {
    let (tls, pem) = server(&["127.0.0.1"]);
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), pem).unwrap();
    let hop = Hop::start(with_tls(tls).keywords(&["REQUIRETLS"])).await;
    let opportunistic = || RelayConfig { tls: TlsMode::Opportunistic, ca_file: Some(ca.path().to_owned()), ..config(&hop) };
    let config = Arc::new(with_connections(opportunistic(), 1));
    let relays = relays();
    let plain = delivery(&["x@y.example"]);
    let mut required = plain.clone();
    required.terms.require_tls = true;
    let mut connections = Vec::new();
    for delivery in [&plain, &plain, &required, &required, &plain] {
        let report = relays.deliver(&config, delivery, Instant::now() + PLENTY).await;
        assert_eq!(short(&report), ["250"], "{}", detail(&report));
        connections.push(hop.log().connections);
    }
    // The one with REQUIRETLS opens its own; that one is good enough for everybody.
    assert_eq!(connections, [1, 1, 2, 2, 2]);
}

#[tokio::test]
async fn connections_that_offer_too_little_make_room() {
    let hop = Hop::start(Script::default()).await;
    let config = Arc::new(with_connections(config(&hop), 1));
    let relays = relays();
    let utf8 = Delivery { smtputf8: true, ..delivery(&["x@y.example"]) };
    for (delivery, expected, connections) in
        [(&delivery(&["x@y.example"]), "250", 1), (&utf8, "550 5.6.7 never", 2), (&delivery(&["x@y.example"]), "250", 2)]
    {
        let report = relays.deliver(&config, delivery, Instant::now() + PLENTY).await;
        assert_eq!((short(&report), hop.log().connections), (vec![expected.to_owned()], connections));
    }
    // Never more connections than the relay may have; the goodbye is said by the way.
    let goodbye = async {
        while hop.count("QUIT") == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PLENTY, goodbye).await.expect("the first connection is closed");
}

/// RFC 8689 §5: it must not be lost for a next hop that does not offer the extension.
#[tokio::test]
async fn a_notification_goes_with_requiretls_where_it_can_and_without_where_it_must() {
    let (tls, _) = server(&["other.example"]);
    for (script, expected) in [
        (with_tls(Arc::clone(&tls)).keywords(&["REQUIRETLS"]), "MAIL FROM:<> REQUIRETLS"),
        (with_tls(tls).keywords(&[]), "MAIL FROM:<>"),
        (Script::default().keywords(&["REQUIRETLS"]), "MAIL FROM:<>"),
    ] {
        let hop = Hop::start(script).await;
        let config = RelayConfig { tls: TlsMode::Opportunistic, ..config(&hop) };
        let mut delivery = Delivery { reverse_path: ReversePath::Null, ..delivery(&["x@y.example"]) };
        delivery.terms.require_tls = true;
        assert_eq!(short(&run(&relays(), config, &delivery).await), ["250"]);
        assert_eq!(commands(&hop, "MAIL"), [expected]);
    }
}
