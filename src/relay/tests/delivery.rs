//! Recipients, replies, pool and failover.

use super::*;

#[tokio::test]
async fn a_message_arrives_as_it_is() {
    for keywords in [&["PIPELINING", "SIZE"][..], &[]] {
        let hop = Hop::start(Script::default().keywords(keywords)).await;
        let report = deliver(&relays(), config(&hop), &["x@y.example"]).await;
        assert_eq!(short(&report), ["250"]);
        assert_eq!(hop.log().messages, [CONTENT.as_bytes()]);
        let Outcome::Delivered(accepted) = &report.outcomes[0] else { unreachable!() };
        assert_eq!(*accepted.host, *format!("127.0.0.1[127.0.0.1]:{}", hop.address.port()));
        assert_eq!(report.attempts.len(), 1);
    }
}

#[tokio::test]
async fn a_large_message_arrives_as_it_is() {
    let hop = Hop::start(Script::default().keywords(&[])).await;
    let mut message = delivery(&["x@y.example"]);
    message.content = Content::default();
    for number in 0..3000 {
        message.content.push(Bytes::from(format!("{}\r\n.{number}\r\n..\r\n", "x".repeat(900))));
    }
    let report = relays().deliver(&Arc::new(config(&hop)), &message, Instant::now() + PLENTY).await;
    assert_eq!(short(&report), ["250"]);
    assert!(hop.log().messages == [message.content.to_vec().unwrap()]);
}

#[tokio::test]
async fn each_recipient_has_its_own_outcome() {
    let hop = Hop::start(Script::rule(|command, _| match command {
        "RCPT TO:<no@y.example>" => Some(Act::Say("550 5.1.1 no such user")),
        "RCPT TO:<later@y.example>" => Some(Act::Say("450 4.2.1 too fast")),
        _ => None,
    }))
    .await;
    let report = deliver(&relays(), config(&hop), &["no@y.example", "yes@y.example", "later@y.example", "yes@z.example"]).await;
    assert_eq!(short(&report), ["550 5.1.1 never", "250", "450 4.2.1 later", "250"]);
    assert_eq!(hop.count("MAIL"), 2, "one transaction for each domain");
    assert_eq!(hop.log().connections, 1, "over one connection");
    assert_eq!(report.attempts.iter().map(|attempt| attempt.reused).collect::<Vec<_>>(), [false, true]);
}

#[tokio::test]
async fn every_class_of_reply_at_every_place() {
    for (verb, reply, expected) in [
        ("CONNECT", "554 go away", "451 4.0.0 later"),
        ("CONNECT", "421 4.3.2 busy", "421 4.3.2 later"),
        ("MAIL", "451 4.7.1 later", "451 4.7.1 later"),
        ("MAIL", "550 5.7.1 no", "550 5.7.1 never"),
        ("MAIL", "550 5.7.64 TenantAttribution; Relay Access Denied", "451 4.7.64 later"),
        ("MAIL", "530 5.7.57 Client not authenticated", "451 4.7.57 later"),
        ("RCPT", "550 5.7.606 banned", "451 4.7.606 later"),
        ("RCPT", "550 5.7.650 something else", "550 5.7.650 never"),
        ("RCPT", "552 too many recipients", "451 4.0.0 later"),
        ("RCPT", "552 5.2.2 mailbox full", "552 5.2.2 never"),
        ("DATA", "554 5.5.1 no valid recipients", "554 5.5.1 never"),
        (".", "552 5.3.4 too big", "552 5.3.4 never"),
        (".", "451 4.3.0 later", "451 4.3.0 later"),
        (".", "550 5.7.1 spam", "550 5.7.1 never"),
    ] {
        let hop = Hop::start(Script::rule(move |command, _| command.starts_with(verb).then_some(Act::Say(reply)))).await;
        let report = deliver(&relays(), config(&hop), &["x@y.example"]).await;
        assert_eq!(short(&report), [expected], "{reply} to {verb}");
        assert!(report.attempts.last().unwrap().result.is_err());
    }
}

#[tokio::test]
async fn recipients_over_the_limit_go_in_another_transaction_at_once() {
    let hop = Hop::start(Script::rule(|_, _| None)).await;
    let mut limited = config(&hop);
    limited.limits.recipients_per_message = 2;
    let report = deliver(&relays(), limited, &["a@y.example", "b@y.example", "c@y.example"]).await;
    assert_eq!(short(&report), ["250"; 3]);
    assert_eq!(hop.count("MAIL"), 2);

    // The next hop's own limit: one recipient a transaction.
    let seen = std::sync::Mutex::new(0);
    let hop = Hop::start(Script::rule(move |command, _| {
        let mut seen = seen.lock().unwrap();
        *seen = if command.starts_with("MAIL") { 0 } else { *seen + usize::from(command.starts_with("RCPT")) };
        (command.starts_with("RCPT") && *seen > 1).then_some(Act::Say("452 4.5.3 too many recipients"))
    }))
    .await;
    let report = deliver(&relays(), config(&hop), &["a@y.example", "b@y.example", "c@y.example"]).await;
    assert_eq!(short(&report), ["250"; 3]);
    assert_eq!(hop.log().messages.len(), 3);

    let hop = Hop::start(Script::rule(|command, _| command.starts_with("RCPT").then_some(Act::Say("452 4.5.3 never")))).await;
    let report = deliver(&relays(), config(&hop), &["a@y.example", "b@y.example"]).await;
    assert_eq!(short(&report), ["452 4.5.3 later"; 2], "nobody accepted: no loop");
    assert_eq!(hop.count("MAIL"), 1);
}

#[tokio::test]
async fn content_that_could_smuggle_is_not_sent() {
    let hop = Hop::start(Script::default()).await;
    let mut message = delivery(&["x@y.example"]);
    message.content = Content::from(Bytes::from_static(b"Subject: x\r\n\r\n\n.\nMAIL FROM:<evil@a.example>\r\n"));
    let report = relays().deliver(&Arc::new(config(&hop)), &message, Instant::now() + PLENTY).await;
    assert_eq!(short(&report), ["554 5.6.0 never"]);
    assert_eq!(hop.log().connections, 0);
}

#[tokio::test]
async fn size_and_smtputf8_are_refused_without_mail() {
    let hop = Hop::start(Script::default().keywords(&["SIZE 10"])).await;
    assert_eq!(short(&deliver(&relays(), config(&hop), &["x@y.example"]).await), ["552 5.3.4 never"]);
    assert_eq!(short(&deliver(&relays(), config(&hop), &["ü@y.example"]).await), ["550 5.6.7 never"]);
    assert_eq!(hop.count("MAIL"), 0);
}

#[tokio::test]
async fn eight_bit_content_goes_out_with_and_without_the_extension() {
    for (keywords, command) in [(&["8BITMIME"][..], "MAIL FROM:<sender@a.example> BODY=8BITMIME"), (&[], "MAIL FROM:<sender@a.example>")] {
        let hop = Hop::start(Script::default().keywords(keywords)).await;
        let mut message = delivery(&["x@y.example"]);
        message.content = Content::from(Bytes::from("Subject: ü\r\n\r\nä\r\n"));
        message.eight_bit = true;
        let report = relays().deliver(&Arc::new(config(&hop)), &message, Instant::now() + PLENTY).await;
        assert_eq!(short(&report), ["250"]);
        assert!(hop.log().commands.contains(&format!("1 {command}")), "{:?}", hop.log().commands);
        assert_eq!(hop.log().messages, [message.content.to_vec().unwrap()]);
    }
}

#[tokio::test]
async fn connections_are_kept_and_closed_with_quit() {
    let hop = Hop::start(Script::default()).await;
    let relays = relays();
    for _ in 0..5 {
        assert_eq!(short(&deliver(&relays, config(&hop), &["x@y.example"]).await), ["250"]);
    }
    assert_eq!(hop.log().connections, 1);
    assert_eq!(hop.count("RSET"), 0);
    relays.close().await;
    assert_eq!(hop.count("QUIT"), 1);
}

#[tokio::test]
async fn a_changed_configuration_does_not_use_the_old_connections() {
    let hop = Hop::start(Script::default()).await;
    let relays = relays();
    deliver(&relays, config(&hop), &["x@y.example"]).await;
    let mut changed = config(&hop);
    changed.limits.connections = 7;
    let report = deliver(&relays, changed, &["x@y.example"]).await;
    assert!(!report.attempts[0].reused);
    assert_eq!(hop.log().connections, 2);
}

#[tokio::test]
async fn a_stale_connection_costs_nothing() {
    // Each connection carries one message and breaks in another way at the second.
    for act in [Act::Close, Act::SayAndClose("421 4.4.2 idle for too long"), Act::Say("nonsense")] {
        let first = std::sync::Mutex::new(0);
        let hop = Hop::start(Script::rule(move |command, connection| {
            let mut mails = first.lock().unwrap();
            *mails += usize::from(command.starts_with("MAIL"));
            (command.starts_with("MAIL") && connection == 1 && *mails == 2).then(|| act.clone())
        }))
        .await;
        let relays = relays();
        deliver(&relays, config(&hop), &["x@y.example"]).await;
        let report = deliver(&relays, config(&hop), &["x@y.example"]).await;
        assert_eq!(short(&report), ["250"]);
        assert_eq!(report.attempts.iter().map(|attempt| attempt.reused).collect::<Vec<_>>(), [true, false]);
        assert_eq!(hop.log().messages.len(), 2);
    }
}

#[tokio::test]
async fn after_the_final_dot_there_is_no_second_try() {
    let hop = Hop::start(Script::rule(|command, _| (command == ".").then_some(Act::Close))).await;
    let report = deliver(&relays(), config(&hop), &["x@y.example"]).await;
    assert_eq!(short(&report), ["451 4.4.2 later"]);
    assert!(detail(&report).contains("twice"), "{}", detail(&report));
    assert_eq!(hop.log().connections, 1);
}

#[tokio::test]
async fn the_next_host_is_tried_for_what_a_host_cannot_help() {
    for act in [Act::Close, Act::SayAndClose("421 no"), Act::Say("554 no"), Act::Say("\u{7f}garbage")] {
        for place in ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA"] {
            if place != "CONNECT" && matches!(act, Act::Say("554 no")) {
                continue;
            }
            let bad = act.clone();
            let first = Hop::start(Script::rule(move |command, _| command.starts_with(place).then(|| bad.clone()))).await;
            let second = Hop::start_at(&format!("127.0.0.2:{}", first.address.port()), Script::default()).await;
            let mut both = config(&first);
            both.route = at(["127.0.0.1", "127.0.0.2"]);
            let report = deliver(&relays(), both, &["x@y.example"]).await;
            assert_eq!(short(&report), ["250"], "{act:?} at {place}");
            assert_eq!(second.log().messages.len(), 1);
            assert_eq!(report.attempts.len(), 2);
        }
    }
}

#[tokio::test]
async fn a_dead_host_is_tried_last_for_a_while() {
    let second = Hop::start_at("127.0.0.5:0", Script::default()).await;
    // Where no test listens: on 127.0.0.1 another one may have been given the same port.
    let mut both = config(&second);
    both.route = at(["127.0.0.4", "127.0.0.5"]);
    let relays = relays();
    assert_eq!(deliver(&relays, both.clone(), &["x@y.example"]).await.attempts.len(), 2);
    let pool = relays.pool(&Arc::new(both));
    let dead = hosts::Place::Tcp(SocketAddr::new("127.0.0.4".parse().unwrap(), second.address.port()));
    assert!(pool.health.is_sick(&dead));
    let mut order = hosts::Candidates::new(&relays.inner, &pool);
    let deadline = Instant::now() + PLENTY;
    let mut hosts = Vec::new();
    while let Some(Ok(candidate)) = order.next(deadline).await {
        hosts.push(candidate.host);
    }
    assert_eq!(hosts, ["127.0.0.5".into(), "127.0.0.4".into()]);
}

#[tokio::test]
async fn a_final_refusal_is_final_on_all_hosts() {
    let first = Hop::start(Script::rule(|command, _| command.starts_with("MAIL").then_some(Act::Say("550 5.7.1 no")))).await;
    let second = Hop::start_at(&format!("127.0.0.2:{}", first.address.port()), Script::default()).await;
    let mut both = config(&first);
    both.route = at(["127.0.0.1", "127.0.0.2"]);
    assert_eq!(short(&deliver(&relays(), both, &["x@y.example"]).await), ["550 5.7.1 never"]);
    assert_eq!(second.log().connections, 0);
}

#[tokio::test]
async fn no_host_is_a_temporary_failure() {
    let hop = Hop::start(Script::default()).await;
    let mut nowhere = config(&hop);
    drop(hop);
    nowhere.route = at(["host.invalid"]);
    assert_eq!(short(&deliver(&relays(), nowhere.clone(), &["x@y.example", "x@z.example"]).await), ["451 4.4.3 later"; 2]);
    nowhere.route = at(["127.0.0.3"]);
    let report = deliver(&relays(), nowhere, &["x@y.example", "x@z.example"]).await;
    assert_eq!(short(&report), ["451 4.4.1 later"; 2]);
    assert_eq!(report.attempts.len(), 1, "the second domain does not wait for the same host again");
}

#[tokio::test]
async fn connections_are_limited_and_the_wait_ends_at_the_deadline() {
    let hop = Hop::start(Script::rule(|command, _| (command == ".").then_some(Act::Silence))).await;
    let mut one = config(&hop);
    one.limits.connections = 1;
    let (relays, one, message) = (relays(), Arc::new(one), delivery(&["x@y.example"]));
    let deadline = Instant::now() + Duration::from_millis(300);
    let (first, second) = tokio::join!(relays.deliver(&one, &message, deadline), relays.deliver(&one, &message, deadline));
    let mut codes = [short(&first), short(&second)].concat();
    codes.sort();
    assert_eq!(codes, ["451 4.4.2 later", "451 4.4.5 later"]);
    assert_eq!(hop.log().connections, 1);
}

#[tokio::test]
async fn many_deliveries_share_few_connections() {
    let hop = Hop::start(Script::default()).await;
    let relays = relays();
    let four = Arc::new(with_connections(config(&hop), 4));
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        let (relays, four) = (relays.clone(), Arc::clone(&four));
        tasks.spawn(async move { relays.deliver(&four, &delivery(&["x@y.example"]), Instant::now() + PLENTY).await });
    }
    while let Some(report) = tasks.join_next().await {
        assert_eq!(short(&report.unwrap()), ["250"]);
    }
    assert_eq!(hop.log().messages.len(), 50);
    assert!(hop.log().connections <= 4, "{}", hop.log().connections);
}

#[tokio::test]
async fn an_idle_connection_is_closed_with_quit_when_its_time_is_over() {
    let hop = Hop::start(Script::default()).await;
    let relays = relays();
    deliver(&relays, config(&hop), &["x@y.example"]).await;
    // Let the task that watches the idle connections set its timer.
    tokio::task::yield_now().await;
    tokio::time::pause();
    tokio::time::advance(limits::RELAY_CONNECTION_IDLE_MAX + Duration::from_millis(1)).await;
    tokio::time::resume();
    let said_goodbye = async {
        while hop.count("QUIT") == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PLENTY, said_goodbye).await.unwrap();
    let report = deliver(&relays, config(&hop), &["x@y.example"]).await;
    assert_eq!(short(&report), ["250"]);
    assert!(!report.attempts[0].reused);
}

#[tokio::test]
async fn a_connection_carries_a_limited_number_of_messages() {
    let hop = Hop::start(Script::default()).await;
    let relays = relays();
    for _ in 0..=limits::RELAY_CONNECTION_MESSAGES_MAX {
        assert_eq!(short(&deliver(&relays, config(&hop), &["x@y.example"]).await), ["250"]);
    }
    assert_eq!(hop.log().connections, 2);
}

#[tokio::test]
async fn relays_of_the_moment_leave_neither_pool_nor_connection() {
    let hop = Hop::start(Script::default()).await;
    let relays = relays();
    for domain in ["one.example", "other.example"] {
        let report = deliver(&relays, RelayConfig { name: format!("{INTERNET} {domain}").into(), ..config(&hop) }, &["a@b.example"]).await;
        assert_eq!(short(&report), ["250"]);
    }
    assert!(pool::lock(&relays.inner.pools).by_name.is_empty());
    tokio::time::timeout(PLENTY, async {
        while hop.count("QUIT") < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}
