//! LMTP, over TCP and over sockets, and BDAT.

use super::*;

fn by_recipient(command: &str, _: usize) -> Option<Act> {
    match command {
        "RCPT TO:<no@y.example>" => Some(Act::Say("550 5.1.1 no such user")),
        ".1" => Some(Act::Say("250 2.1.5 <one@y.example> saved")),
        ".2" => Some(Act::Say("452 4.2.2 <full@y.example> mailbox full")),
        ".3" => Some(Act::Say("552 5.2.3 <small@y.example> too big for this mailbox")),
        _ => None,
    }
}

const RECIPIENTS: [&str; 5] = ["one@y.example", "no@y.example", "full@y.example", "small@y.example", "two@y.example"];
const OUTCOMES: [&str; 5] = ["250", "550 5.1.1 never", "452 4.2.2 later", "552 5.2.3 never", "250"];

#[tokio::test]
async fn lmtp_answers_for_each_recipient() {
    for (keywords, chunking) in [(&["PIPELINING"][..], false), (&[], false), (&["PIPELINING", "CHUNKING"], true)] {
        let hop = Hop::start(Script::rule(by_recipient).keywords(keywords)).await;
        let config = RelayConfig { kind: RelayKind::Lmtp, chunking, ..config(&hop) };
        let relays = relays();
        for _ in 0..2 {
            let report = deliver(&relays, config.clone(), &RECIPIENTS).await;
            assert_eq!(short(&report), OUTCOMES, "{keywords:?}");
            let texts: Vec<&str> = report
                .outcomes
                .iter()
                .filter_map(|outcome| if let Outcome::Delivered(accepted) = outcome { Some(&*accepted.reply.text) } else { None })
                .collect();
            assert_eq!(texts, ["<one@y.example> saved", "queued"]);
        }
        assert_eq!(hop.log().connections, 1);
        assert_eq!((hop.count("LHLO"), hop.count("EHLO")), (1, 0));
    }
}

/// Who has an answer has it, whatever becomes of the others'.
#[tokio::test]
async fn lmtp_that_ends_between_two_answers() {
    for act in [Act::Close, Act::SayAndClose("421 4.3.2 going down")] {
        let rule = move |command: &str, _: usize| (command == ".2").then(|| act.clone());
        let hop = Hop::start(Script::rule(rule)).await;
        let config = RelayConfig { kind: RelayKind::Lmtp, ..config(&hop) };
        let report = deliver(&relays(), config, &["one@y.example", "two@y.example", "three@y.example"]).await;
        assert_eq!(short(&report)[0], "250");
        assert!(short(&report)[1..].iter().all(|outcome| outcome.ends_with("later")), "{:?}", short(&report));
        assert_eq!(hop.log().connections, 1, "no second try after the content");
    }
}

#[tokio::test]
async fn lmtp_over_a_socket_of_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lmtp");
    // STARTTLS would be for a network.
    let hop = Hop::start_on(&path, Script::rule(by_recipient).keywords(&["PIPELINING", "STARTTLS"]));
    let host = format!("unix:{}", path.display());
    let config = RelayConfig { kind: RelayKind::Lmtp, ..RelayConfig::new("mailboxes", at([&*host])) };
    let relays = relays();
    let report = deliver(&relays, config.clone(), &RECIPIENTS).await;
    assert_eq!(short(&report), OUTCOMES);
    assert_eq!((&*report.attempts[0].host, report.attempts[0].address), (&*host, None));
    assert_eq!(hop.log().messages, [CONTENT.as_bytes()]);
    drop(hop);
    std::fs::remove_file(&path).unwrap();
    relays.close().await;
    assert_eq!(short(&deliver(&self::relays(), config, &["x@y.example"]).await), ["451 4.4.1 later"]);
}

#[tokio::test]
async fn bdat_carries_the_content_as_it_is_where_it_is_offered_and_wanted() {
    for (keywords, chunking, verb) in
        [(&["PIPELINING", "CHUNKING"][..], true, "BDAT"), (&["CHUNKING"], true, "BDAT"), (&["CHUNKING"], false, "DATA")]
    {
        let hop = Hop::start(Script::rule(by_recipient).keywords(keywords)).await;
        let config = RelayConfig { chunking, ..config(&hop) };
        let relays = relays();
        let mut message = delivery(&["no@y.example", "x@y.example"]);
        message.content = Content::default();
        for number in 0..3000 {
            message.content.push(Bytes::from(format!("{}\r\n.{number}\r\n..\r\n", "x".repeat(900))));
        }
        for _ in 0..2 {
            let report = relays.deliver(&Arc::new(config.clone()), &message, Instant::now() + PLENTY).await;
            assert_eq!(short(&report), ["550 5.1.1 never", "250"]);
        }
        assert!(hop.log().messages == [message.content.to_vec().unwrap(), message.content.to_vec().unwrap()]);
        assert_eq!((hop.count(verb), hop.log().connections), (2, 1));
        // Nobody accepted: not one octet of the content.
        assert_eq!(short(&deliver(&relays, config, &["no@y.example"]).await), ["550 5.1.1 never"]);
        assert_eq!(hop.count("BDAT"), if chunking { 2 } else { 0 });
    }
}

#[tokio::test]
async fn a_refused_chunk_is_the_messages_refusal() {
    let hop = Hop::start(Script::rule(|command, _| (command == ".").then_some(Act::Say("554 5.7.1 spam"))).keywords(&["CHUNKING"])).await;
    let config = RelayConfig { chunking: true, ..config(&hop) };
    let relays = relays();
    assert_eq!(short(&deliver(&relays, config.clone(), &["x@y.example"]).await), ["554 5.7.1 never"]);
    assert_eq!(short(&deliver(&relays, config, &["x@y.example"]).await), ["554 5.7.1 never"]);
    assert_eq!((hop.count("RSET"), hop.log().connections), (1, 1));
}

/// RFC 5321 §4.5.3.1.6 has a limit for lines; breaking one would break signatures, so it goes as it came.
#[tokio::test]
async fn long_lines_go_as_they_came() {
    let hop = Hop::start(Script::default()).await;
    let mut message = delivery(&["x@y.example"]);
    message.content = Content::from(Bytes::from(format!("Subject: x\r\n\r\n{}\r\n", "y".repeat(5000))));
    let report = relays().deliver(&Arc::new(config(&hop)), &message, Instant::now() + PLENTY).await;
    assert_eq!(short(&report), ["250"]);
    assert!(hop.log().messages == [message.content.to_vec().unwrap()]);
}
