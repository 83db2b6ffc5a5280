//! Recipients that are asked for.

use super::*;

async fn verify(relays: &Relays, config: RelayConfig, recipient: &str) -> Verified {
    relays.verify(&Arc::new(config), &Address::parse(recipient, true).unwrap(), Instant::now() + PLENTY).await
}

fn word(verified: &Verified) -> String {
    match verified {
        Verified::Yes => "yes".to_owned(),
        Verified::No(reply) => format!("no {}", reply.code),
        Verified::NotNow(reply) => format!("not now {}", reply.code),
        Verified::Unknown(failure) => format!("unknown {}", failure.reply.code),
    }
}

#[tokio::test]
async fn a_question_ends_with_rset_and_leaves_the_connection_to_deliveries() {
    for keywords in [&["PIPELINING"][..], &[]] {
        let hop = Hop::start(
            Script::rule(|command, _| (command == "RCPT TO:<no@y.example>").then_some(Act::Say("550 5.1.1 unknown"))).keywords(keywords),
        )
        .await;
        let (relays, config) = (relays(), config(&hop));
        assert_eq!(verify(&relays, config.clone(), "yes@y.example").await, Verified::Yes);
        assert_eq!(word(&verify(&relays, config.clone(), "no@y.example").await), "no 550");
        let report = relays.deliver(&Arc::new(config.clone()), &delivery(&["x@y.example"]), Instant::now() + PLENTY).await;
        assert_eq!((short(&report), report.attempts[0].reused), (vec!["250".to_owned()], true));
        assert_eq!(verify(&relays, config, "yes@y.example").await, Verified::Yes);
        let log = hop.log();
        assert_eq!((log.connections, log.messages.len()), (1, 1));
        let commands: Vec<&str> = log.commands.iter().filter_map(|line| line.split_once(' ')).map(|(_, command)| command).collect();
        assert_eq!(commands[1..4], ["MAIL FROM:<>", "RCPT TO:<yes@y.example>", "RSET"], "{commands:?}");
        assert_eq!(commands.iter().filter(|command| **command == "DATA").count(), 1, "{commands:?}");
    }
}

#[tokio::test]
async fn only_what_is_said_of_the_recipient_for_good_is_a_no() {
    for (verb, reply, expected) in [
        ("RCPT", "550 5.1.1 no such user", "no 550"),
        ("RCPT", "550 No such user", "no 550"),
        ("RCPT", "553 5.1.3 bad syntax", "no 553"),
        ("RCPT", "550 5.2.1 mailbox disabled", "no 550"),
        ("RCPT", "552 5.2.2 mailbox full", "not now 552"),
        ("RCPT", "450 4.2.1 too fast", "not now 450"),
        ("RCPT", "452 4.5.3 too many", "not now 452"),
        ("RCPT", "550 5.7.1 you are on a list", "not now 550"),
        ("RCPT", "550 5.1.8 your sender is bad", "not now 550"),
        ("RCPT", "550 5.7.64 TenantAttribution; Relay Access Denied", "not now 550"),
        ("RCPT", "554 no", "not now 554"),
        ("MAIL", "550 5.7.1 no null senders", "unknown 550"),
        ("MAIL", "451 4.7.1 later", "unknown 451"),
        ("CONNECT", "554 go away", "unknown 451"),
        ("RCPT", "421 4.3.2 busy", "not now 421"),
    ] {
        let hop = Hop::start(Script::rule(move |command, _| command.starts_with(verb).then_some(Act::Say(reply)))).await;
        assert_eq!(word(&verify(&relays(), config(&hop), "x@y.example").await), expected, "{reply} to {verb}");
    }
    let hop = Hop::start(Script::rule(|command, _| command.starts_with("RCPT").then_some(Act::Close))).await;
    assert_eq!(word(&verify(&relays(), config(&hop), "x@y.example").await), "unknown 451");
}

#[tokio::test]
async fn a_next_hop_that_is_silent_costs_no_more_than_the_deadline() {
    let hop = Hop::start(Script::rule(|command, _| command.starts_with("RCPT").then_some(Act::Silence))).await;
    let deadline = Instant::now() + Duration::from_millis(200);
    let verified = relays().verify(&Arc::new(config(&hop)), &Address::parse("x@y.example", false).unwrap(), deadline).await;
    assert_eq!(word(&verified), "unknown 451");
}
