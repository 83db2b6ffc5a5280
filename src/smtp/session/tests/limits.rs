//! What a session bears, and how it ends when that is too much.

use super::*;
use crate::limits::{Limit, READ_BUFFER_BYTES, SESSION_OUTPUT_BYTES_KEPT};
use crate::smtp::limit_of;

#[test]
fn patience_ends() {
    let errors = script(
        SessionConfig { errors_max: 3, ..config() },
        "S: 220\nC: A\\r\\nB\\r\\nC\\r\\nNOOP\nS: 500\nS: 500\nS: 500\nS: 421 4.7.0 Too many errors",
    );
    assert!(errors.closed);
    let junk = script(
        SessionConfig { junk_commands_max: 2, ..config() },
        "S: 220\nC: NOOP\\r\\nRSET\\r\\nHELP\\r\\nNOOP\nS: 250\nS: 250\nS: 421 4.7.0",
    );
    assert!(junk.closed);
    let greetings = script(
        SessionConfig { junk_commands_max: 1, ..config() },
        "S: 220\nC: HELO a\\r\\nHELO a\\r\\nHELO a\nS: 250\nS: 250\nS: 421 4.7.0",
    );
    assert!(greetings.closed);
    let messages = script(
        SessionConfig { messages_max: 1, ..config() },
        "S: 220\nC: HELO a\\r\\nMAIL FROM:<>\\r\\nRCPT TO:<b@y>\\r\\nDATA\\r\\n.\\r\\nMAIL FROM:<>\nS: 250\nS: 250\nS: 250\nS: 354\nS: 250\nS: 421 4.7.0",
    );
    assert!(messages.closed);
}

#[test]
fn an_accepted_message_forgives() {
    let mail = "MAIL FROM:<>\\r\\nRCPT TO:<b@y>\\r\\nDATA\\r\\n.";
    let replies = "S: 250\nS: 250\nS: 354\nS: 250";
    let text = format!("S: 220\nC: HELO a\nS: 250\n{}", format!("C: A\nS: 500\nC: RSET\nS: 250\nC: {mail}\n{replies}\n").repeat(5));
    assert!(!script(SessionConfig { errors_max: 2, junk_commands_max: 1, ..config() }, &text).closed);
}

/// A list with some addresses that are gone is served; who tries out addresses is not.
#[test]
fn bad_recipients_end_a_session_that_has_few_good_ones() {
    let config = SessionConfig { bad_recipients_max: 3, errors_max: 3, ..config() };
    let begin = "S: 220\nC: HELO a\\r\\nMAIL FROM:<>\nS: 250\nS: 250\n";
    let (good, bad) = ("C: RCPT TO:<b@y>\nS: 250\n", "C: RCPT TO:<no@y>\nS: 550\n");
    let attack = script(config.clone(), &format!("{begin}{}S: 421 4.7.0 Too many recipients that are not accepted", bad.repeat(3)));
    assert!(attack.closed);
    let list = script(config.clone(), &format!("{begin}{}{}C: DATA\nS: 354", good.repeat(5), bad.repeat(7)));
    assert!(!list.closed);
    let one_more = script(config.clone(), &format!("{begin}{}{}S: 421 4.7.0", good.repeat(5), bad.repeat(8)));
    assert!(one_more.closed);
    // A message that is taken forgives.
    let message = format!("{good}C: DATA\nS: 354\nC: .\nS: 250\nC: MAIL FROM:<>\nS: 250\n{}", bad.repeat(2));
    assert!(!script(config, &format!("{begin}{}", message.repeat(3))).closed);
}

#[test]
fn each_limit_that_ends_a_session_is_told_by_its_reply() {
    let of = |config: SessionConfig, input: &str| {
        let mut driver = Driver::new(config);
        driver.send(input.as_bytes());
        let refused = driver.events.iter().rev().find_map(|event| event.strip_prefix("Refused ").map(str::to_owned));
        let last = driver.take_lines().pop().unwrap();
        (refused, last)
    };
    for (config, input, limit) in [
        (SessionConfig { errors_max: 1, ..config() }, "A\r\n".to_owned(), Limit::Errors),
        (
            SessionConfig { bad_recipients_max: 1, ..config() },
            "HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<no@y>\r\n".to_owned(),
            Limit::BadRecipients,
        ),
        (SessionConfig { junk_commands_max: 0, ..config() }, "NOOP\r\n".to_owned(), Limit::JunkCommands),
        (SessionConfig { messages_max: 0, ..config() }, "HELO a\r\nMAIL FROM:<>\r\n".to_owned(), Limit::MessagesPerSession),
        (config(), format!("{}\r\n", "x".repeat(5000)), Limit::CommandLine),
        (SessionConfig { message_bytes_max: 5, ..config() }, "HELO a\r\nMAIL FROM:<> SIZE=6\r\n".to_owned(), Limit::MessageSize),
        (
            SessionConfig { recipients_max: 1, ..config() },
            "HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@y>\r\nRCPT TO:<b@y>\r\nRCPT TO:<c@y>\r\n".to_owned(),
            Limit::Recipients,
        ),
    ] {
        let (refused, last) = of(config, &input);
        assert_eq!(refused.as_ref(), Some(&last), "{input}");
        let (code, rest) = last.split_once(' ').unwrap();
        let (status, text) = rest.split_once(' ').unwrap();
        let reply = Reply::new(code.parse().unwrap(), Status::parse(status), text);
        assert_eq!(limit_of(&reply), Some(limit), "{last}");
    }
}

#[test]
fn under_strain_who_waits_is_given_less_time_and_who_sends_a_message_is_not() {
    let strain = Some(Strain { idle_timeout: Duration::from_secs(10), errors_max: 1 });
    let mut idle = Driver::new(config());
    idle.send(b"HELO c\r\n");
    assert_eq!(idle.session.deadline(), idle.now + Duration::from_secs(300));
    idle.session.strain(strain);
    assert_eq!(idle.session.deadline(), idle.now + Duration::from_secs(10));
    idle.session.strain(None);
    assert_eq!(idle.session.deadline(), idle.now + Duration::from_secs(300));
    idle.session.strain(strain);
    idle.now += Duration::from_secs(10);
    idle.run();
    assert_eq!(idle.take_lines().last().map(String::as_str), Some("421 4.4.2 Timeout"));

    let mut between_chunks = Driver::new(config());
    between_chunks.session.strain(strain);
    between_chunks.send(b"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@y>\r\nBDAT 1\r\nx");
    assert_eq!(between_chunks.session.deadline(), between_chunks.now + Duration::from_secs(300));

    let mut busy = Driver::new(config());
    busy.session.strain(strain);
    busy.send(b"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@y>\r\nDATA\r\n");
    assert_eq!(busy.session.deadline(), busy.now + Duration::from_secs(300));
    busy.now += Duration::from_secs(60);
    busy.send(b".\r\n");
    assert_eq!(busy.session.deadline(), busy.now + Duration::from_secs(10));
    busy.send(b"NONSENSE\r\n");
    assert!(busy.closed);
    assert_eq!(busy.take_lines().last().map(String::as_str), Some("421 4.7.0 Too many errors"));
}

/// A refusal for now is no error of the client's, but asking again for ever is a nuisance.
#[test]
fn asking_again_and_again_ends() {
    let config = SessionConfig { junk_commands_max: 2, ..config() };
    let mail = "MAIL FROM:<later@x>\\r\\n".repeat(4);
    let driver = script(config, &format!("S: 220\nC: HELO a\\r\\n{mail}\nS: 250\nS: 450\nS: 450\nS: 450\nS: 421 4.7.0"));
    assert!(driver.closed);
}

/// RFC 5321 §4.5.3.1.10: the recipients over the limit are told so, and the others get the message.
#[test]
fn recipients_over_the_limit_wait_for_another_transaction() {
    let config = SessionConfig { recipients_max: 2, errors_max: 2, ..config() };
    let rcpt = "RCPT TO:<b@y>\\r\\n";
    let text = format!(
        "S: 220\nC: HELO a\\r\\nMAIL FROM:<>\\r\\n{}DATA\nS: 250\nS: 250\nS: 250\nS: 250\nS: 452 4.5.3\nS: 452 4.5.3\nS: 354",
        rcpt.repeat(4)
    );
    assert!(!script(config.clone(), &text).closed);
    let text = format!(
        "S: 220\nC: HELO a\\r\\nMAIL FROM:<>\\r\\n{}\nS: 250\nS: 250\nS: 250\nS: 250\n{}S: 421 4.7.0",
        rcpt.repeat(9),
        "S: 452 4.5.3\n".repeat(4)
    );
    assert!(script(config, &text).closed);
}

#[test]
fn a_shed_message_is_drained() {
    let mut driver = Driver::new(config());
    driver.send(b"HELO c\r\nMAIL FROM:<> SIZE=5000\r\nRCPT TO:<b@y>\r\nDATA\r\nx\r\n");
    assert_eq!(driver.session.message_bytes_buffered(), 5000);
    driver.session.shed(Reply::fixed(452, Status(4, 3, 1), "Out of memory"));
    assert_eq!(driver.session.message_bytes_buffered(), 0);
    driver.send(b"QUIT\r\n.\r\nNOOP\r\n");
    let lines = driver.take_lines();
    assert_eq!(&lines[lines.len() - 2..], ["452 4.3.1 Out of memory", "250 2.0.0 Ok"]);
    assert_eq!(driver.events.last().map(String::as_str), Some("Reset"));
}

#[test]
fn too_much_data_is_drained_and_refused() {
    script(
        SessionConfig { message_bytes_max: 5, ..config() },
        "S: 220\nC: HELO c\\r\\nMAIL FROM:<>\\r\\nRCPT TO:<b@y>\\r\\nDATA\\r\\n123456\\r\\nQUIT\\r\\n.\\r\\nNOOP\nS: 250\nS: 250\nS: 250\nS: 354\nS: 552 5.3.4\nS: 250 2.0.0",
    );
}

#[test]
fn an_idle_session_holds_next_to_nothing() {
    let mut driver = Driver::new(config());
    driver.session.input().reserve(READ_BUFFER_BYTES);
    driver.send(b"EHLO c\r\nMAIL FROM:<> SIZE=5000\r\nRCPT TO:<b@y>\r\nDATA\r\nx\r\n.\r\n");
    driver.run();
    assert_eq!(driver.session.input.capacity(), 0);
    driver.session.input().reserve(READ_BUFFER_BYTES);
    driver.send(b"MAIL FROM:<>\r\nRCPT TO:<b@y>\r\nDATA\r\nx\r\n");
    assert_eq!(driver.session.input.capacity(), 0);
    assert!(driver.session.output.capacity() <= SESSION_OUTPUT_BYTES_KEPT);
    assert!(size_of::<Session>() <= 512, "{}", size_of::<Session>());
}
