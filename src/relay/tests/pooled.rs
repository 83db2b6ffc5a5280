//! Connections that carry more than one message: their limits, and what breaks them.

use super::*;

async fn two_messages(config: RelayConfig) -> DeliveryReport {
    let relays = relays();
    assert_eq!(short(&deliver(&relays, config.clone(), &["x@y.example"]).await), ["250"]);
    deliver(&relays, config, &["x@y.example"]).await
}

fn reused(report: &DeliveryReport) -> Vec<bool> {
    report.attempts.iter().map(|attempt| attempt.reused).collect()
}

#[tokio::test]
async fn a_relay_says_how_long_its_connections_live() {
    let hop = Hop::start(Script::default()).await;
    let mut config = config(&hop);
    assert_eq!(reused(&two_messages(config.clone()).await), [true]);
    config.limits.connection_age = Duration::ZERO;
    assert_eq!(reused(&two_messages(config.clone()).await), [false]);
    config.limits = RelayLimits { messages_per_connection: 1, ..RelayLimits::default() };
    assert_eq!(reused(&two_messages(config).await), [false]);
    until("goodbye", || hop.count("QUIT") == 4).await;
}

/// RFC 9422: what the next hop says that it takes, it is given.
#[tokio::test]
async fn the_next_hop_says_how_many_messages_and_recipients_it_takes() {
    let hop = Hop::start(Script::default().keywords(&["PIPELINING", "LIMITS MAILMAX=1"])).await;
    assert_eq!(reused(&two_messages(config(&hop)).await), [false]);

    let hop = Hop::start(Script::default().keywords(&["PIPELINING", "LIMITS RCPTMAX=2 RCPTDOMAINMAX=1"])).await;
    let mut together = config(&hop);
    together.limits.one_domain_per_message = false;
    let recipients = ["a@y.example", "a@z.example", "b@y.example", "c@y.example", "b@Z.example"];
    let report = deliver(&relays(), together, &recipients).await;
    assert_eq!(short(&report), ["250"; 5]);
    assert_eq!(report.attempts.iter().map(|attempt| attempt.recipients).collect::<Vec<_>>(), [2, 2, 1]);
    let envelopes: Vec<String> =
        hop.log().commands.iter().filter(|line| line.contains("RCPT")).map(|line| line.rsplit(':').next().unwrap().to_owned()).collect();
    assert_eq!(envelopes, ["<a@y.example>", "<b@y.example>", "<a@z.example>", "<b@Z.example>", "<c@y.example>"]);
}

#[tokio::test]
async fn a_connection_that_was_reset_while_it_was_idle_costs_nothing() {
    let served = std::sync::Mutex::new(0);
    let rule = move |command: &str, connection: usize| {
        let mut served = served.lock().unwrap();
        *served += usize::from(command.starts_with("MAIL"));
        (command.starts_with("MAIL") && connection == 1 && *served == 2).then_some(Act::Close)
    };
    let hop = Hop::start(Script { resets: true, ..Script::rule(rule) }).await;
    let report = two_messages(config(&hop)).await;
    assert_eq!((short(&report), reused(&report)), (vec!["250".to_owned()], vec![true, false]));
    assert_eq!(hop.log().messages.len(), 2);
}

/// An open transaction is left behind by a recipient that was refused; RSET is what the next message begins with.
#[tokio::test]
async fn whatever_breaks_a_reused_connection_at_rset_costs_nothing() {
    for act in [Act::Close, Act::SayAndClose("421 4.4.2 idle"), Act::Say("500 what?"), Act::Say("nonsense")] {
        let rule = move |command: &str, connection: usize| match command {
            "RCPT TO:<no@y.example>" => Some(Act::Say("550 5.1.1 no such user")),
            "RSET" if connection == 1 => Some(act.clone()),
            _ => None,
        };
        let hop = Hop::start(Script::rule(rule).keywords(&[])).await;
        let relays = relays();
        // Without PIPELINING, so that no DATA closes the transaction.
        assert_eq!(short(&deliver(&relays, config(&hop), &["no@y.example"]).await), ["550 5.1.1 never"]);
        let report = deliver(&relays, config(&hop), &["x@y.example"]).await;
        assert_eq!((short(&report), reused(&report)), (vec!["250".to_owned()], vec![true, false]), "{:?}", hop.log().commands);
    }
}

/// Both texts of Google for 452 4.5.3: for their number, and for their size in all.
#[tokio::test]
async fn who_is_too_many_for_one_transaction_goes_in_the_next() {
    for text in [
        "452-4.5.3 Your message has too many recipients. For more information regarding\r\n452 4.5.3 Google's sending limits",
        "452-4.5.3 Domain policy size per transaction exceeded, please try this\r\n452 4.5.3 recipient in a separate transaction.",
    ] {
        let seen = std::sync::Mutex::new(0);
        let rule = move |command: &str, _: usize| {
            let mut seen = seen.lock().unwrap();
            *seen = if command.starts_with("MAIL") { 0 } else { *seen + usize::from(command.starts_with("RCPT")) };
            (command.starts_with("RCPT") && *seen > 2).then_some(Act::Say(text))
        };
        let hop = Hop::start(Script::rule(rule)).await;
        let report = deliver(&relays(), config(&hop), &["a@y.example", "b@y.example", "c@y.example", "d@y.example", "e@y.example"]).await;
        assert_eq!(short(&report), ["250"; 5], "{text}");
        let log = hop.log();
        assert_eq!((log.messages.len(), log.connections), (3, 1));
    }
}

#[tokio::test]
async fn what_is_too_large_for_the_relay_is_not_even_begun() {
    let hop = Hop::start(Script::default()).await;
    let mut small = config(&hop);
    small.limits.message_bytes = Some(u64::try_from(CONTENT.len()).unwrap() - 1);
    assert_eq!(short(&deliver(&relays(), small.clone(), &["x@y.example", "x@z.example"]).await), ["552 5.3.4 never"; 2]);
    assert_eq!(hop.log().connections, 0);
    small.limits.message_bytes = Some(u64::try_from(CONTENT.len()).unwrap());
    assert_eq!(short(&deliver(&relays(), small, &["x@y.example"]).await), ["250"]);
}
