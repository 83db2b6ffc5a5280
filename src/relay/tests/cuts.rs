//! A next hop that goes away after each octet of the dialogue, sent or received: every recipient has one outcome, nobody is taken
//! without a reply that is whole, and the message arrives twice for nobody.

use super::*;

/// Three recipients, the second of them refused, against a hop that the caller has spoiled.
async fn attempt(relays: &Relays, script: Script, kind: RelayKind) -> (DeliveryReport, Vec<Vec<u8>>, (usize, usize)) {
    let hop = Hop::start(script).await;
    let message = delivery(&["one@y.example", "no@y.example", "two@y.example"]);
    let config = RelayConfig { kind, chunking: true, ..config(&hop) };
    let report = relays.deliver(&Arc::new(config), &message, Instant::now() + PLENTY).await;
    let log = hop.log();
    (report, log.messages.clone(), (log.octets_in, log.octets_out))
}

fn refusing_one(keywords: &[&'static str]) -> Script {
    Script::rule(|command, _| (command == "RCPT TO:<no@y.example>").then_some(Act::Say("550 5.1.1 no such user"))).keywords(keywords)
}

#[tokio::test]
async fn closing_after_each_octet() {
    let relays = relays();
    for (keywords, kind) in [
        (&["PIPELINING"][..], RelayKind::Smtp),
        (&[], RelayKind::Smtp),
        (&["PIPELINING", "CHUNKING"], RelayKind::Smtp),
        (&["PIPELINING"], RelayKind::Lmtp),
    ] {
        let (report, messages, (octets_in, octets_out)) = attempt(&relays, refusing_one(keywords), kind).await;
        assert_eq!(short(&report), ["250", "550 5.1.1 never", "250"]);
        assert_eq!(messages, [CONTENT.as_bytes()]);
        for octets in 0..octets_out {
            let script = Script { octets_out_max: octets, ..refusing_one(keywords) };
            let (report, messages, _) = attempt(&relays, script, kind).await;
            check(&report, &messages, &format!("closed after {octets} of {octets_out} octets sent, {kind:?} {keywords:?}"));
            assert_ne!(short(&report)[2], "250", "the last reply was not whole");
        }
        for octets in 0..octets_in {
            let script = Script { octets_in_max: octets, ..refusing_one(keywords) };
            let (report, messages, _) = attempt(&relays, script, kind).await;
            check(&report, &messages, &format!("closed after {octets} of {octets_in} octets received, {kind:?} {keywords:?}"));
            assert!(messages.is_empty());
            assert!(short(&report)[2].ends_with("later"), "{:?}", short(&report));
        }
    }
}

fn check(report: &DeliveryReport, messages: &[Vec<u8>], what: &str) {
    let outcomes = short(report);
    assert_eq!(outcomes.len(), 3, "{what}");
    assert!(!report.attempts.is_empty(), "{what}");
    assert!(messages.len() <= 1, "{what}: more than once");
    for (at, outcome) in outcomes.iter().enumerate() {
        match outcome.as_str() {
            "250" => assert!(at != 1 && messages == [CONTENT.as_bytes()], "{what}: delivered, but not there"),
            "550 5.1.1 never" => assert_eq!(at, 1, "{what}"),
            // The refusal of the one may not have been heard; that of the others never was.
            later => assert!(later.ends_with("later"), "{what}: {outcomes:?}"),
        }
    }
    // What may have arrived is said to be so.
    if !messages.is_empty() && outcomes.iter().any(|outcome| outcome == "451 4.4.2 later") {
        let told = |outcome: &Outcome| matches!(outcome, Outcome::Failed(failure) if failure.detail.contains("twice"));
        assert!(report.outcomes.iter().any(told), "{what}");
    }
}
