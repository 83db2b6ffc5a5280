//! Whole sessions as scripts: `C:` is what the client sends, `S:` a line of the server, `E:` an event for the driver.

mod auth;
mod chunking;
mod ends;
mod limits;
mod simulation;

use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::limits::COMMAND_LINE_BYTES_MAX;
use crate::smtp::{MailTerms, Status};

/// A driver that decides by the address: `no…` is refused for good, `later…` for now, all else is taken.
struct Driver {
    session: Session,
    now: Instant,
    written: Vec<u8>,
    events: Vec<String>,
    closed: bool,
    handshake: bool,
}

impl Driver {
    fn new(config: SessionConfig) -> Self {
        let now = Instant::now();
        let implicit_tls = config.auth && !config.starttls;
        let mut session = Session::new(Arc::new(config), now);
        if implicit_tls {
            session.tls_established();
        }
        session.greet();
        Self { session, now, written: Vec::new(), events: Vec::new(), closed: false, handshake: false }
    }

    fn send(&mut self, bytes: &[u8]) {
        if !self.closed && !self.handshake {
            self.session.input().extend_from_slice(bytes);
            self.run();
        }
    }

    fn run(&mut self) {
        loop {
            let event = self.session.poll(self.now);
            match &event {
                Event::NeedInput => break self.flush(),
                Event::Helo { name, .. } => self.session.answer(decide(name)),
                Event::Mail { reverse_path, .. } => self.session.answer(decide(reverse_path.as_str())),
                Event::Rcpt { address, .. } => self.session.answer(decide(address.as_str())),
                Event::Data => self.session.answer(Ok(())),
                Event::Auth { login } => self.session.answer(auth::decide(login)),
                Event::Message { data, .. } => {
                    let reply = if data.starts_with(b"Subject: no") { no() } else { Reply::fixed(250, Status(2, 0, 0), "Taken") };
                    self.session.finish_message(reply);
                }
                Event::StartTls => self.handshake = true,
                Event::Close => self.closed = true,
                Event::Reset | Event::Refused { .. } => {}
            }
            self.events.push(shown(&event));
            if self.closed || self.handshake {
                break self.flush();
            }
        }
    }

    fn flush(&mut self) {
        let output = self.session.output();
        self.written.extend_from_slice(output);
        output.clear();
    }

    fn take_lines(&mut self) -> Vec<String> {
        let written = String::from_utf8(std::mem::take(&mut self.written)).expect("replies are ASCII");
        assert!(written.is_empty() || written.ends_with("\r\n"));
        written.split_terminator("\r\n").map(str::to_owned).collect()
    }
}

fn no() -> Reply {
    Reply::fixed(550, Status(5, 7, 1), "No")
}

fn decide(text: &str) -> Result<(), Reply> {
    if text.starts_with("no") {
        return Err(no());
    }
    if text.starts_with("later") { Err(Reply::fixed(450, Status(4, 7, 1), "Later")) } else { Ok(()) }
}

fn shown(event: &Event) -> String {
    match event {
        Event::NeedInput => "NeedInput".into(),
        Event::Helo { name, extended } => format!("Helo {name} {extended}"),
        Event::Auth { login } => format!("Auth {login:?}"),
        Event::Mail { reverse_path, parameters } => {
            let MailParameters { size, eight_bit, smtputf8, auth: _, terms } = parameters;
            let MailTerms { require_tls, ret, envelope_id } = terms;
            let mut text = format!("Mail {reverse_path} {size:?} {smtputf8} {eight_bit}");
            text.push_str(if *require_tls { " REQUIRETLS" } else { "" });
            text.extend(ret.map(|ret| format!(" RET={}", ret.as_str())));
            text.extend(envelope_id.as_ref().map(|id| format!(" ENVID={}", id.as_str())));
            text
        }
        Event::Rcpt { address, parameters: RcptParameters { notify, original } } => {
            let mut text = format!("Rcpt {address}");
            text.extend(notify.map(|notify| format!(" NOTIFY={notify}")));
            text.extend(original.as_ref().map(|original| format!(" ORCPT={}", original.for_rcpt(true))));
            text
        }
        Event::Message { data, .. } => format!("Message {}", data.escape_ascii()),
        Event::Data => "Data".into(),
        Event::StartTls => "StartTls".into(),
        Event::Reset => "Reset".into(),
        Event::Refused { reply } => format!("Refused {reply}"),
        Event::Close => "Close".into(),
    }
}

fn config() -> SessionConfig {
    SessionConfig::new("mx.example")
}

/// Runs a script. An `S:` line must begin the next reply line, `S: ...` is the rest of a reply; at the next `C:` no reply and no event may be left over.
/// `E:` lines are optional as a whole: a script without any does not look at events.
fn script(config: SessionConfig, script: &str) -> Driver {
    let mut driver = Driver::new(config);
    driver.run();
    let with_events = script.contains("E: ");
    let (mut replies, mut events) = (driver.take_lines().into_iter(), std::mem::take(&mut driver.events).into_iter());
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()).chain(["end"]) {
        if line == "S: ..." {
            assert!(replies.by_ref().any(|line| line.as_bytes().get(3) == Some(&b' ')), "a reply without an end in\n{script}");
            continue;
        }
        if let Some(reply) = line.strip_prefix("S: ") {
            let got = replies.next().unwrap_or_default();
            assert!(got.starts_with(reply), "expected {reply:?}, got {got:?} in\n{script}");
            continue;
        }
        if let Some(event) = line.strip_prefix("E: ") {
            assert_eq!(events.next().as_deref(), Some(event), "in\n{script}");
            continue;
        }
        assert_eq!(replies.next(), None, "unexpected before {line:?} in\n{script}");
        assert!(!with_events || events.len() == 0, "unexpected {:?} before {line:?} in\n{script}", events.next());
        if let Some(sent) = line.strip_prefix("C: ") {
            // A script writes CRLF as it is read; pipelined commands stand on one line with "\r\n" between them.
            let sent = sent.replace("\\r", "\r").replace("\\n", "\n").replace("\\0", "\0");
            driver.send(format!("{sent}\r\n").as_bytes());
            (replies, events) = (driver.take_lines().into_iter(), std::mem::take(&mut driver.events).into_iter());
        }
    }
    driver
}

#[test]
fn a_message_is_taken() {
    let driver = script(
        config(),
        r"
        S: 220 mx.example ESMTP
        C: EHLO client.example
        S: 250-mx.example
        S: 250-PIPELINING
        S: 250-SIZE 41943040
        S: 250-DSN
        S: 250-8BITMIME
        S: 250-SMTPUTF8
        S: 250-CHUNKING
        S: 250-ENHANCEDSTATUSCODES
        S: 250 LIMITS MAILMAX=1000 RCPTMAX=1000
        E: Helo client.example true
        C: MAIL FROM:<a@x.example> SIZE=100 BODY=8BITMIME
        S: 250 2.1.0
        E: Mail <a@x.example> Some(100) false true
        C: RCPT TO:<b@y.example>
        S: 250 2.1.5
        E: Rcpt b@y.example
        C: DATA
        S: 354 End
        E: Data
        C: Subject: hi\r\n\r\n..dot\r\n.
        S: 250 2.0.0 Taken
        E: Message Subject: hi\r\n\r\n.dot\r\n
        C: RCPT TO:<b@y.example>
        S: 503 5.5.1
        E: Refused 503 5.5.1 Send MAIL first
        C: QUIT
        S: 221 2.0.0
        E: Close
        ",
    );
    assert!(driver.closed);
}

/// RFC 2920 §3.1: a group's replies come together and in order.
#[test]
fn pipelined_groups_are_answered_in_order() {
    script(
        config(),
        r"
        S: 220
        C: EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<no@y>\r\nRCPT TO:<b@y>\r\nRCPT TO:<later@y>\r\nDATA
        S: 250-mx
        S: 250-PIPELINING
        S: 250-SIZE
        S: 250-DSN
        S: 250-8BITMIME
        S: 250-SMTPUTF8
        S: 250-CHUNKING
        S: 250-ENHANCED
        S: 250 LIMITS
        S: 250 2.1.0
        S: 550 5.7.1
        S: 250 2.1.5
        S: 450 4.7.1
        S: 354
        C: x\r\n.\r\nMAIL FROM:<a@x>\r\nQUIT
        S: 250 2.0.0 Taken
        S: 250 2.1.0
        S: 221
        ",
    );
}

/// RFC 2920 §3.1: DATA without a recipient must not get 354.
#[test]
fn without_a_valid_recipient_there_is_no_data() {
    script(
        config(),
        r"
        S: 220
        C: HELO c
        S: 250 mx.example
        C: DATA
        S: 503 5.5.1
        C: MAIL FROM:<a@x>\r\nDATA\r\nRCPT TO:<no@y>\r\nRCPT TO:<later@y>\r\nDATA
        S: 250 2.1.0
        S: 503 5.5.1
        S: 550 5.7.1
        S: 450 4.7.1
        S: 554 5.5.1
        ",
    );
}

/// RFC 5321 §4.1.4.
#[test]
fn commands_have_an_order() {
    script(
        config(),
        r"
        S: 220
        C: MAIL FROM:<a@x>
        S: 503 5.5.1
        C: HELO no-way
        S: 550 5.7.1
        C: MAIL FROM:<a@x>
        S: 503 5.5.1
        C: HELO c
        S: 250 mx.example
        C: RCPT TO:<b@y>
        S: 503 5.5.1
        C: MAIL FROM:<a@x>
        S: 250
        C: MAIL FROM:<a@x>
        S: 503 5.5.1
        C: RSET
        S: 250 2.0.0
        C: RCPT TO:<b@y>
        S: 503 5.5.1
        C: MAIL FROM:<no@x>
        S: 550 5.7.1
        C: MAIL FROM:<a@x> SIZE=41943041
        S: 552 5.3.4
        C: MAIL FROM:<a@x> SIZE=41943040
        S: 250
        ",
    );
}

#[test]
fn the_driver_hears_of_dropped_transactions() {
    script(
        config(),
        r"
        S: 220
        C: HELO c
        S: 250
        E: Helo c false
        C: RSET
        S: 250
        C: MAIL FROM:<a@x>
        S: 250
        E: Mail <a@x> None false false
        C: RSET
        S: 250
        E: Reset
        C: MAIL FROM:<a@x>
        S: 250
        E: Mail <a@x> None false false
        C: HELO d
        S: 250
        E: Helo d false
        E: Reset
        C: MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\nbare\nline\r\n.
        S: 250
        S: 250
        S: 354
        S: 550 5.5.2
        E: Mail <a@x> None false false
        E: Rcpt b@y
        E: Data
        E: Refused 550 5.5.2 Message with bare CR or LF; lines must end with CRLF
        E: Reset
        ",
    );
}

#[test]
fn the_small_commands() {
    script(
        config(),
        r"
        S: 220
        C: NOOP
        S: 250 2.0.0
        C: HELP
        S: 214 2.0.0
        C: VRFY bob
        S: 252 2.0.0
        C: EXPN all
        S: 502 5.5.1
        C: AUTH PLAIN AGEAYg==
        S: 502 5.5.1
        C: STARTTLS
        S: 502 5.5.1
        C: XFOO <script>
        S: 500 5.5.2 Command not recognized
        ",
    );
}

/// RFC 6531 §3.4: the parameter of MAIL covers RCPT.
#[test]
fn utf8_in_commands_needs_the_parameter() {
    script(
        config(),
        r"
        S: 220
        C: HELO c
        S: 250
        C: MAIL FROM:<ü@x>
        S: 553 5.6.7
        C: MAIL FROM:<a@x>\r\nRCPT TO:<ü@y>\r\nRSET
        S: 250
        S: 553 5.6.7
        S: 250
        C: MAIL FROM:<ü@x> SMTPUTF8\r\nRCPT TO:<ü@y>
        S: 250
        S: 250
        ",
    );
}

/// RFC 5321 §2.3.8: a bare LF does not divide commands either.
#[test]
fn only_crlf_ends_a_command() {
    script(
        config(),
        r"
        S: 220
        C: NOOP\nQUIT
        S: 500 5.5.2
        C: NOOP\rQUIT
        S: 500 5.5.2
        C: NOOP\0
        S: 500 5.5.2
        C: NOOP\r
        S: 500 5.5.2
        ",
    );
}

#[test]
fn a_long_line_is_one_error_and_none_of_it_is_a_command() {
    let mut driver = Driver::new(config());
    let longest = format!("NOOP {}\r\n", "x".repeat(COMMAND_LINE_BYTES_MAX - 7));
    assert_eq!(longest.len(), COMMAND_LINE_BYTES_MAX);
    driver.send(longest.as_bytes());
    driver.send(format!("NOOP {}\nQUIT\n\r", "x".repeat(COMMAND_LINE_BYTES_MAX)).as_bytes());
    driver.send(b"QUIT\r");
    driver.send(b"QUIT\r");
    assert!(driver.session.input.len() <= 1);
    driver.send(b"\nNOOP\r\n");
    assert_eq!(driver.take_lines(), ["220 mx.example ESMTP", "250 2.0.0 Ok", "500 5.5.2 Line too long", "250 2.0.0 Ok"]);
}

#[test]
fn http_is_sent_away() {
    let long_target = "x".repeat(3000);
    for request in
        ["GET / HTTP/1.1\r\n", "POST /mail HTTP/1.0\r\nHost: x\r\n\r\nEHLO x\r\n", &format!("POST /{long_target} HTTP/1.1\r\nEHLO x\r\n")]
    {
        let mut driver = Driver::new(config());
        driver.send(request.as_bytes());
        assert_eq!(driver.take_lines(), ["220 mx.example ESMTP", "554 5.5.1 This is SMTP, not HTTP"]);
        assert_eq!(driver.events, ["Refused 554 5.5.1 This is SMTP, not HTTP", "Close"]);
    }
}

#[test]
fn what_a_sender_asks_of_notifications_reaches_the_driver_as_it_was_said() {
    script(
        config(),
        r"
        S: 220
        C: EHLO c
        S: 250-mx
        S: 250-PIPELINING
        S: 250-SIZE
        S: 250-DSN
        S: 250-8BITMIME
        S: 250-SMTPUTF8
        S: 250-CHUNKING
        S: 250-ENHANCED
        S: 250 LIMITS
        E: Helo c true
        C: MAIL FROM:<a@x> RET=BODY
        S: 501 5.5.4
        E: Refused 501 5.5.4 Parameter malformed or repeated
        C: MAIL FROM:<a@x> ENVID=a+0D+0AX-Evil:+20yes
        S: 501 5.5.4
        E: Refused 501 5.5.4 Parameter malformed or repeated
        C: MAIL FROM:<a@x> RET=hdrs ENVID=QQ+2B1
        S: 250 2.1.0
        E: Mail <a@x> None false false RET=HDRS ENVID=QQ+2B1
        C: RCPT TO:<b@y> NOTIFY=NEVER,FAILURE
        S: 501 5.5.4
        E: Refused 501 5.5.4 Parameter malformed or repeated
        C: RCPT TO:<b@y> ORCPT=utf-8;ü@y
        S: 501 5.5.4
        E: Refused 501 5.5.4 Parameter malformed or repeated
        C: RCPT TO:<b@y> NOTIFY=Success,Delay ORCPT=rfc822;b+2Bc@y
        S: 250 2.1.5
        E: Rcpt b@y NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+2Bc@y
        C: RCPT TO:<c@y> NOTIFY=never
        S: 250 2.1.5
        E: Rcpt c@y NOTIFY=NEVER
        C: RSET
        S: 250
        E: Reset
        C: MAIL FROM:<ü@x> SMTPUTF8
        S: 250
        E: Mail <ü@x> None true false
        C: RCPT TO:<b@y> ORCPT=utf-8;ü@y
        S: 250
        E: Rcpt b@y ORCPT=utf-8;ü@y
        ",
    );
}

/// RFC 8689 §2.
#[test]
fn requiretls_is_for_sessions_with_tls() {
    let config = SessionConfig { starttls: true, ..config() };
    let mut driver = script(
        config,
        "S: 220\nC: EHLO c\nS: 250-mx\nS: 250-PIPELINING\nS: 250-SIZE\nS: 250-STARTTLS\nS: 250-DSN\nS: 250-8BITMIME\nS: 250-SMTPUTF8\nS: 250-CHUNKING\n\
         S: 250-ENHANCED\nS: 250 LIMITS\nC: MAIL FROM:<a@x> REQUIRETLS\nS: 530 5.7.10\nC: STARTTLS\nS: 220",
    );
    driver.session.tls_established();
    driver.handshake = false;
    driver.send(b"EHLO c\r\nMAIL FROM:<a@x> REQUIRETLS\r\n");
    let lines = driver.take_lines();
    assert!(lines.contains(&"250-REQUIRETLS".to_owned()), "{lines:?}");
    assert_eq!(lines.last().map(String::as_str), Some("250 2.1.0 Sender ok"));
    assert!(driver.events.contains(&"Mail <a@x> None false false REQUIRETLS".to_owned()));
}

/// RFC 3207 §4.2 and §5: what came before the handshake never reaches the parser, and nothing is remembered.
#[test]
fn starttls_forgets_and_does_not_take_plain_text_along() {
    let config = SessionConfig { starttls: true, tls_required: true, ..config() };
    let mut driver = script(
        config,
        r"
        S: 220
        C: EHLO c
        S: 250-mx
        S: 250-PIPELINING
        S: 250-SIZE
        S: 250-STARTTLS
        S: 250-DSN
        S: 250-8BITMIME
        S: 250-SMTPUTF8
        S: 250-CHUNKING
        S: 250-ENHANCED
        S: 250 LIMITS
        C: MAIL FROM:<a@x>
        S: 530 5.7.0
        C: STARTTLS\r\nRSET\r\nMAIL FROM:<evil@x>
        S: 220 2.0.0
        ",
    );
    assert!(driver.handshake);
    assert_eq!(&driver.session.input()[..], b"RSET\r\nMAIL FROM:<evil@x>\r\n", "for the handshake, where it can only fail");
    assert!(matches!(driver.session.poll(driver.now), Event::NeedInput));
    driver.session.tls_established();
    assert!(driver.session.input().is_empty());
    driver.handshake = false;
    driver.send(b"MAIL FROM:<a@x>\r\nSTARTTLS\r\nEHLO c\r\nMAIL FROM:<a@x>\r\n");
    let lines = driver.take_lines();
    assert!(!lines.iter().any(|line| line.contains("STARTTLS")));
    assert_eq!(lines.first().map(String::as_str), Some("503 5.5.1 Send EHLO or HELO first"));
    assert_eq!(lines.get(1).map(String::as_str), Some("503 5.5.1 TLS is already active"));
    assert_eq!(lines.last().map(String::as_str), Some("250 2.1.0 Sender ok"));
}

#[test]
fn starttls_within_a_transaction_drops_it_first() {
    script(
        SessionConfig { starttls: true, ..config() },
        "S: 220\nC: HELO c\nS: 250\nE: Helo c false\nC: MAIL FROM:<a@x>\nS: 250\nE: Mail <a@x> None false false\nC: STARTTLS\nS: 220\nE: Reset\nE: StartTls",
    );
}

#[test]
fn connections_are_refused_before_the_greeting() {
    let now = Instant::now();
    let mut refused = Session::new(Arc::new(config()), now);
    refused.refuse_connection(&Reply::fixed(554, Status(5, 7, 1), "No"));
    assert_eq!(&refused.output()[..], b"554 5.7.1 No\r\n");
    assert!(matches!(refused.poll(now), Event::Close));
    let mut early = Session::new(Arc::new(config()), now);
    early.input().extend_from_slice(b"EHLO x\r\n");
    early.early_talker();
    assert!(matches!(early.poll(now), Event::Refused { .. }), "for the log");
    assert!(matches!(early.poll(now), Event::Close));
    assert!(early.output().starts_with(b"554 5.5.1 "));
}

/// Lines that meet the grammar, miss it, and fall into each other in all ways.
fn client_bytes() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        &b"EHLO c\r\n"[..],
        b"HELO no\r\n",
        b"MAIL FROM:<a@x>\r\n",
        b"MAIL FROM:<> SIZE=30\r\n",
        b"MAIL FROM:<later@x>\r\n",
        b"MAIL FROM:<\xc3\xbc@x> SMTPUTF8\r\n",
        b"RCPT TO:<b@y>\r\n",
        b"RCPT TO:<no@y>\r\n",
        b"RCPT TO:<\xc3\xbc@y>\r\n",
        b"DATA\r\n",
        b"BDAT 7\r\n",
        b"BDAT 20 LAST\r\n",
        b"BDAT\r\n",
        b"Subject: no\r\n",
        b"\r\n.\r\n",
        b".\r\n",
        b"\n.\n",
        b"\r.\r",
        b"\r\n.\n",
        b"\n.\r\n",
        b"..x\r\n",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"NOOP\n",
        b"\r",
        b"\n",
        b".",
        b"\0",
        b"\xff",
        b"QUIT\r\n",
        b"STARTTLS\r\n",
        b"GET / HTTP/1.1\r\n",
        b"x",
    ]);
    prop_oneof![
        4 => prop::collection::vec(pieces.clone(), 0..40).prop_map(|pieces| pieces.concat()),
        4 => prop::collection::vec(pieces.clone(), 0..40).prop_map(|pieces| [b"EHLO c\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n", pieces.concat().as_slice()].concat()),
        1 => (prop::collection::vec(pieces, 0..9), 2030_usize..2060).prop_map(|(pieces, length)| [vec![b'x'; length], pieces.concat()].concat()),
    ]
}

proptest! {
    #[test]
    fn how_the_network_cuts_the_bytes_changes_nothing(bytes in client_bytes(), cuts in prop::collection::vec(1_usize..64, 0..64)) {
        let config = SessionConfig { message_bytes_max: 60, errors_max: 8, starttls: true, ..config() };
        let mut whole = Driver::new(config.clone());
        whole.send(&bytes);
        let mut cut = Driver::new(config.clone());
        let mut rest = bytes.as_slice();
        for length in cuts {
            let (piece, behind) = rest.split_at(length.min(rest.len()));
            cut.send(piece);
            rest = behind;
        }
        cut.send(rest);
        let mut single = Driver::new(config);
        single.run();
        for byte in &bytes {
            single.send(&[*byte]);
        }
        for other in [&mut cut, &mut single] {
            prop_assert_eq!(&other.events, &whole.events);
            prop_assert_eq!(String::from_utf8_lossy(&other.written), String::from_utf8_lossy(&whole.written));
            prop_assert!(other.session.input.len() < COMMAND_LINE_BYTES_MAX || other.handshake);
        }
    }
}
