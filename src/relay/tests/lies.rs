//! Next hops that hang and lie: one attempt each, every recipient with an outcome, and `Delivered`
//! only for a message that arrived whole.

use super::*;

/// Two recipients, one of them refused; runs against a hop that the caller has spoiled.
async fn attempt(script: Script, deadline: Duration) -> (DeliveryReport, Vec<Vec<u8>>) {
    let hop = Hop::start(script).await;
    let message = delivery(&["no@y.example", "yes@y.example"]);
    let report = relays().deliver(&Arc::new(config(&hop)), &message, Instant::now() + deadline).await;
    let messages = hop.log().messages.clone();
    (report, messages)
}

fn check(report: &DeliveryReport, messages: &[Vec<u8>], what: &str) {
    assert_eq!(report.outcomes.len(), 2, "{what}");
    for outcome in &report.outcomes {
        if let Outcome::Delivered(_) = outcome {
            assert!(messages.iter().any(|message| message == CONTENT.as_bytes()), "{what}: delivered, but not there");
        }
    }
    assert!(matches!(&report.outcomes[0], Outcome::Failed(_)), "{what}");
    assert!(!report.attempts.is_empty(), "{what}");
}

#[tokio::test]
async fn silence_ends_at_the_deadline() {
    for place in ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "."] {
        let script = Script::rule(move |command, _| command.starts_with(place).then_some(Act::Silence));
        let started = Instant::now();
        let (report, messages) = attempt(script, Duration::from_millis(100)).await;
        assert!(started.elapsed() < PLENTY / 4);
        check(&report, &messages, place);
        assert_eq!(short(&report), ["451 4.4.2 later"; 2], "{place}");
    }
}

#[tokio::test]
async fn nonsense_is_a_temporary_failure() {
    for place in ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "."] {
        for nonsense in ["hello there", "250-x\r\n251 y", "999 x", "", "\u{0}\u{1}\u{ff}", "25", "354 go on\r\n354 go on"] {
            let said: &'static str = nonsense;
            let script = Script::rule(move |command, _| command.starts_with(place).then_some(Act::Say(said)));
            // A premature 354 makes the hop wait for content; the client has gone by then.
            let (report, messages) = attempt(script, Duration::from_secs(5)).await;
            check(&report, &messages, &format!("{nonsense:?} at {place}"));
            assert_eq!(short(&report), ["451 4.5.0 later"; 2], "{nonsense:?} at {place}");
        }
    }
}

#[tokio::test]
async fn a_reply_without_end_is_cut() {
    let endless: &'static str = Box::leak("250-more\r\n".repeat(limits::RELAY_REPLY_BYTES_MAX / 8).into_boxed_str());
    let (report, messages) = attempt(Script::rule(move |command, _| (command == "DATA").then_some(Act::Say(endless))), PLENTY).await;
    check(&report, &messages, "endless");
    assert_eq!(short(&report), ["451 4.5.0 later"; 2]);
}

#[tokio::test]
async fn an_acceptance_before_the_content_is_not_believed() {
    let script = Script::rule(|command, _| (command == "DATA").then_some(Act::Say("354 go on\r\n250 2.0.0 queued")));
    let (report, messages) = attempt(script, PLENTY).await;
    check(&report, &messages, "early 250");
    assert_eq!(short(&report), ["451 4.5.0 later"; 2]);
    assert!(messages.is_empty());
}

#[tokio::test]
async fn a_354_when_nobody_was_accepted_does_not_get_the_message() {
    let script = Script::rule(|command, _| command.starts_with("RCPT").then_some(Act::Say("550 5.1.1 no")));
    let (report, messages) = attempt(script, PLENTY).await;
    assert_eq!(short(&report), ["550 5.1.1 never"; 2]);
    assert_eq!(messages, [Vec::<u8>::new()]);
}
