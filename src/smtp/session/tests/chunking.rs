//! BDAT as scripts. The CRLF that a script puts behind each line is content here: it counts.

use super::*;
use crate::smtp::Status;

const GREETED: &str = "
    S: 220
    C: HELO c
    S: 250
";

fn after_greeting(rest: &str) -> Driver {
    script(config(), &format!("{GREETED}{rest}"))
}

/// RFC 3030 §4.1, and the pipelined form of §4.2.
#[test]
fn chunks_become_one_message() {
    script(
        config(),
        r"
        S: 220
        C: HELO c\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nBDAT 3\r\n.\r\nBDAT 0\r\nBDAT 7 LAST\r\n..two
        S: 250
        S: 250
        S: 250
        S: 250 2.0.0 3 octets received
        S: 250 2.0.0 0 octets received
        S: 250 2.0.0 Taken
        E: Helo c false
        E: Mail <a@x> None false false
        E: Rcpt b@y
        E: Data
        E: Message .\r\n..two\r\n
        C: BDAT 6\r\nQUIT
        S: 503 5.5.1 Send MAIL first
        E: Refused 503 5.5.1 Send MAIL first
        ",
    );
    after_greeting(
        r"
        C: MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nBDAT 0 LAST\r\nQUIT
        S: 250
        S: 250
        S: 250 2.0.0 Taken
        S: 221
        ",
    );
}

/// RFC 3030 §2: the octets of a refused chunk are never commands.
#[test]
fn a_refused_chunk_is_read_to_its_end() {
    after_greeting(
        r"
        C: BDAT 6\r\nQUIT
        S: 503 5.5.1 Send MAIL first
        C: BDAT 6 LAST\r\nQUIT
        S: 503 5.5.1 Send MAIL first
        C: MAIL FROM:<a@x>\r\nBDAT 6 LAST\r\nQUIT
        S: 250
        S: 503 5.5.1 Send RCPT first
        C: MAIL FROM:<a@x>\r\nRCPT TO:<no@y>\r\nBDAT 6\r\nQUIT
        S: 250
        S: 550
        S: 554 5.5.1 No valid
        C: RCPT TO:<b@y>\r\nBDAT 6 LAST\r\nQUIT
        S: 250
        S: 503 5.5.1 An earlier chunk
        C: NOOP
        S: 250
        ",
    );
    let tls = SessionConfig { starttls: true, tls_required: true, ..config() };
    script(
        tls,
        r"
        S: 220
        C: HELO c\r\nBDAT 6 LAST\r\nQUIT
        S: 250
        S: 530 5.7.0
        C: NOOP
        S: 250
        ",
    );
}

#[test]
fn what_is_wrong_with_a_message_is_said_at_the_end_of_a_chunk() {
    let small = SessionConfig { message_bytes_max: 10, ..config() };
    script(
        small,
        r"
        S: 220
        C: HELO c\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nBDAT 7\r\n12345\r\nBDAT 7\r\n12345\r\nBDAT 7 LAST\r\n12345
        S: 250
        S: 250
        S: 250
        S: 250 2.0.0 7 octets
        S: 552 5.3.4
        S: 503 5.5.1 An earlier chunk
        C: MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nBDAT 4\r\na\rb\nBDAT 5\r\nQUIT\nRSET\r\nMAIL FROM:<a@x>
        S: 250
        S: 250
        S: 550 5.5.2
        S: 503 5.5.1 An earlier chunk
        S: 250
        S: 250
        ",
    );
    after_greeting(
        r"
        C: MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nBDAT 2\r\na\rBDAT 1\r\n\nBDAT 2 LAST\r\na\r
        S: 250
        S: 250
        S: 250
        S: 250
        S: 550 5.5.2
        S: 500 5.5.2
        C: MAIL FROM:<a@x>
        S: 250
        ",
    );
}

#[test]
fn data_recipients_and_senders_wait_until_the_chunks_are_over() {
    after_greeting(
        r"
        C: MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nBDAT 0\r\nDATA\r\nRCPT TO:<c@y>\r\nMAIL FROM:<a@x>\r\nBDAT 0 LAST
        S: 250
        S: 250
        S: 250 2.0.0 0 octets
        S: 503 5.5.1 Not between chunks
        S: 503 5.5.1 Not between chunks
        S: 503 5.5.1 Sender already
        S: 250 2.0.0 Taken
        C: MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nBDAT 0\r\nRSET\r\nBDAT 2 LAST\r\n
        S: 250
        S: 250
        S: 250 2.0.0 0 octets
        S: 250 2.0.0 Ok
        S: 503 5.5.1 Send MAIL first
        ",
    );
}

/// What follows could be taken for commands, by us or by who believes us.
#[test]
fn a_length_that_cannot_be_read_ends_the_session() {
    let long = format!("BDAT {}", "1".repeat(crate::limits::COMMAND_LINE_BYTES_MAX));
    for (line, reply) in
        [("BDAT 6,", "501 5.5.4"), ("bdat -1 LAST", "501 5.5.4"), ("BDAT", "501 5.5.4"), ("BDAT\0 6", "500 5.5.2"), (&long, "500 5.5.2")]
    {
        let mut driver = Driver::new(config());
        driver.send(b"HELO c\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\n");
        driver.take_lines();
        driver.send(format!("{line}\r\nQUIT\r\n").as_bytes());
        let lines = driver.take_lines();
        assert!(driver.closed && lines.len() == 1 && lines[0].starts_with(reply), "{line:?}: {lines:?}");
    }
}

#[test]
fn memory_follows_the_chunks_and_can_be_shed() {
    let mut driver = Driver::new(config());
    driver.send(b"HELO c\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nBDAT 100000\r\n");
    assert_eq!(driver.session.message_bytes_buffered(), 0);
    driver.send(&[b'a'; 50_000]);
    assert!((50_000..200_000).contains(&driver.session.message_bytes_buffered()));
    driver.session.shed(Reply::fixed(452, Status(4, 3, 1), "Full"));
    assert_eq!(driver.session.message_bytes_buffered(), 0);
    driver.send(&[b'a'; 50_000]);
    driver.take_lines();
    driver.send(b"BDAT 0 LAST\r\nNOOP\r\n");
    assert_eq!(driver.take_lines(), ["503 5.5.1 An earlier chunk was refused; send RSET", "250 2.0.0 Ok"]);
}

#[test]
fn empty_chunks_without_end_are_too_much() {
    let mut driver = Driver::new(config());
    driver.send(b"HELO c\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\n");
    for _ in 0..=config().junk_commands_max {
        driver.send(b"BDAT 0\r\n");
    }
    assert!(driver.closed);
}

#[test]
fn a_drain_waits_for_the_last_chunk() {
    let mut driver = Driver::new(config());
    driver.send(b"HELO c\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nBDAT 3\r\nabc");
    driver.session.shut_down();
    driver.send(b"BDAT 2 LAST\r\n\r\nMAIL FROM:<a@x>\r\n");
    assert!(driver.closed);
    let lines = driver.take_lines();
    assert!(lines[lines.len() - 2].starts_with("250 2.0.0 Taken") && lines[lines.len() - 1].starts_with("421 4.3.2"), "{lines:?}");
}
