//! AUTH in whole sessions. The driver takes `tim` with `secret`, cannot tell about `later…`, and refuses all else.
//!
//! `AHRpbQBzZWNyZXQ=` is `NUL tim NUL secret`, `dGlt` is `tim`, `c2VjcmV0` is `secret`, `d3Jvbmc=` is `wrong`.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::limits::AUTH_LINE_BYTES_MAX;
use crate::smtp::Status;

pub(super) fn decide(login: &Login) -> Result<(), Reply> {
    match (login.username.as_str(), login.password.as_str()) {
        ("tim", "secret") => Ok(()),
        (name, _) if name.starts_with("later") => Err(Reply::fixed(454, Status(4, 7, 0), "Later")),
        _ => Err(Reply::fixed(535, Status(5, 7, 8), "No")),
    }
}

fn auth() -> SessionConfig {
    SessionConfig { auth: true, ..config() }
}

/// A script that begins behind EHLO.
fn after_ehlo(config: SessionConfig, text: &str) -> Driver {
    let greeting = "S: 220\nC: EHLO c\nS: 250-mx\nS: 250-PIPELINING\nS: 250-SIZE\nS: 250-AUTH PLAIN LOGIN\nS: ...\n";
    let greeting = if text.contains("E: ") { format!("{greeting}E: Helo c true\n") } else { greeting.to_owned() };
    script(config, &format!("{greeting}{text}"))
}

/// RFC 4954 §4 and its examples in §4.1; RFC 4616 §4.
#[test]
fn each_way_to_log_in() {
    for dialogue in [
        "C: AUTH PLAIN AHRpbQBzZWNyZXQ=\nS: 235 2.7.0\nE: Auth Login(PLAIN)",
        "C: auth plain dGltAHRpbQBzZWNyZXQ=\nS: 235 2.7.0\nE: Auth Login(PLAIN)",
        "C: AUTH PLAIN\nS: 334 \nC: AHRpbQBzZWNyZXQ=\nS: 235 2.7.0\nE: Auth Login(PLAIN)",
        "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: dGlt\nS: 334 UGFzc3dvcmQ6\nC: c2VjcmV0\nS: 235 2.7.0\nE: Auth Login(LOGIN)",
        "C: AUTH login dGlt\nS: 334 UGFzc3dvcmQ6\nC: c2VjcmV0\nS: 235 2.7.0\nE: Auth Login(LOGIN)",
    ] {
        let driver = after_ehlo(auth(), &format!("{dialogue}\nC: MAIL FROM:<a@x>\nS: 250 2.1.0\nE: Mail <a@x> None false false"));
        assert!(driver.session.authenticated);
    }
}

/// RFC 4954 §6: 530, and what needs no login goes on.
#[test]
fn mail_needs_a_login() {
    after_ehlo(
        auth(),
        r"
        C: MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\nVRFY b
        S: 530 5.7.0
        S: 530 5.7.0
        S: 530 5.7.0
        S: 530 5.7.0
        C: NOOP\r\nRSET\r\nHELP\r\nQUIT
        S: 250
        S: 250
        S: 214
        S: 221
        ",
    );
}

/// RFC 4954 §4: never without TLS, and not announced there either; after the handshake the login is asked for.
#[test]
fn before_tls_there_is_no_login() {
    for tls_required in [false, true] {
        let driver = script(
            SessionConfig { starttls: true, tls_required, ..auth() },
            r"
            S: 220
            C: EHLO c
            S: 250-mx
            S: 250-PIPELINING
            S: 250-SIZE
            S: 250-STARTTLS
            S: ...
            E: Helo c true
            C: AUTH PLAIN AHRpbQBzZWNyZXQ=
            S: 538 5.7.11
            E: Refused 538 5.7.11 Encryption required; issue a STARTTLS command first
            C: AUTH LOGIN
            S: 538 5.7.11
            E: Refused 538 5.7.11 Encryption required; issue a STARTTLS command first
            C: STARTTLS\r\nAUTH PLAIN AHRpbQBzZWNyZXQ=
            S: 220
            E: StartTls
            ",
        );
        let mut session = driver.session;
        session.tls_established();
        assert!(session.input().is_empty(), "nothing of the plain text is left");
        session.output().clear();
        session.input().extend_from_slice(b"AUTH PLAIN AHRpbQBzZWNyZXQ=\r\nMAIL FROM:<a@x>\r\n");
        assert!(matches!(session.poll(Instant::now()), Event::Refused { .. }));
        assert!(session.output().starts_with(b"503 5.5.1 Send EHLO"), "RFC 3207 §4.2");
        assert!(matches!(session.poll(Instant::now()), Event::Refused { reply } if reply.code == 530));
    }
}

#[test]
fn an_open_endpoint_has_no_auth() {
    script(
        config(),
        r"
        S: 220
        C: HELO c
        S: 250
        C: AUTH
        S: 502 5.5.1
        C: AUTH PLAIN AHRpbQBzZWNyZXQ=
        S: 502 5.5.1
        C: MAIL FROM:<a@x> AUTH=<>
        S: 555 5.5.4
        ",
    );
}

/// RFC 4954 §5: the parameter is parsed, and believed to nobody.
#[test]
fn the_submitter_is_parsed_and_forgotten() {
    after_ehlo(
        auth(),
        r"
        C: AUTH PLAIN AHRpbQBzZWNyZXQ=\r\nMAIL FROM:<e=mc2@x> AUTH=e+3Dmc2@x\r\nRSET\r\nMAIL FROM:<a@x> AUTH=<>\r\nRSET\r\nMAIL FROM:<a@x> AUTH=e+3
        S: 235
        S: 250 2.1.0
        S: 250 2.0.0
        S: 250 2.1.0
        S: 250 2.0.0
        S: 501 5.5.4
        ",
    );
}

#[test]
fn what_is_wrong_with_an_exchange_is_said() {
    for (sent, reply) in [
        (r"AUTH", "501 5.5.4"),
        (r"AUTH  ", "501 5.5.4"),
        (r"AUTH CRAM-MD5", "504 5.5.4"),
        (r"AUTH PLAIN-X AHRpbQBzZWNyZXQ=", "504 5.5.4"),
        (r"AUTH PLAIN AHRpbQBzZWNyZXQ", "501 5.5.2"),
        (r"AUTH PLAIN AHRpbQ BzZWNyZXQ=", "501 5.5.2"),
        (r"AUTH PLAIN *", "501 5.5.2"),
        (r"AUTH PLAIN =", "501 5.5.2"),
        (r"AUTH PLAIN dGlt", "501 5.5.2"),
        (r"AUTH PLAIN AHRpbQBzZWNyZXQA", "501 5.5.2"),
        (r"AUTH PLAIN AHRpbQD/", "501 5.5.2"),
        (r"AUTH PLAIN\r\n*", "501 5.7.0"),
        (r"AUTH PLAIN\r\n", "501 5.5.2"),
        (r"AUTH PLAIN\r\n=", "501 5.5.2"),
        (r"AUTH PLAIN\r\nAHRp\nbQBzZWNyZXQ=", "501 5.5.2"),
        (r"AUTH PLAIN\r\nAHRpbQBzZWNyZXQ=\0", "501 5.5.2"),
        (r"AUTH LOGIN\r\n*", "501 5.7.0"),
        (r"AUTH LOGIN\r\ndGlt\r\n*", "501 5.7.0"),
        (r"AUTH LOGIN\r\n?", "501 5.5.2"),
        (r"AUTH LOGIN AA==", "501 5.5.2"),
        (r"AUTH LOGIN dGlt\r\nAA==", "501 5.5.2"),
        // Another's authority (RFC 4616 §2), an empty name, an empty password, wrong ones: all the same to the client.
        (r"AUTH PLAIN dXJzZWwAdGltAHNlY3JldA==", "535 5.7.8"),
        (r"AUTH PLAIN AABzZWNyZXQ=", "535 5.7.8"),
        (r"AUTH LOGIN =\r\nc2VjcmV0", "535 5.7.8"),
        (r"AUTH LOGIN dGlt\r\n", "535 5.7.8"),
        (r"AUTH LOGIN dGlt\r\nd3Jvbmc=", "535 5.7.8"),
        (r"AUTH LOGIN bGF0ZXI=\r\nd3Jvbmc=", "454 4.7.0"),
    ] {
        let challenges = sent.matches(r"\r\n").count();
        let mut driver = Driver::new(auth());
        driver.send(b"EHLO c\r\n");
        driver.take_lines();
        driver.send(format!("{}\r\nNOOP\r\n", sent.replace(r"\r\n", "\r\n").replace(r"\n", "\n").replace(r"\0", "\0")).as_bytes());
        let lines = driver.take_lines();
        assert_eq!(lines.len(), challenges + 2, "{sent:?}: {lines:?}");
        assert!(lines[..challenges].iter().all(|line| line.starts_with("334 ")), "{sent:?}: {lines:?}");
        assert!(lines[challenges].starts_with(reply), "{sent:?}: {lines:?}");
        assert_eq!(lines[challenges + 1], "250 2.0.0 Ok", "{sent:?}: the exchange is over");
        assert!(!driver.session.authenticated);
    }
}

/// RFC 4954 §4: one login in a session, none in a transaction; a second EHLO changes nothing of it.
#[test]
fn a_login_stays() {
    after_ehlo(
        auth(),
        r"
        C: AUTH PLAIN AHRpbQBzZWNyZXQ=
        S: 235
        C: AUTH PLAIN AHRpbQBzZWNyZXQ=
        S: 503 5.5.1
        C: MAIL FROM:<a@x>\r\nAUTH LOGIN
        S: 250
        S: 503 5.5.1
        C: EHLO again
        S: 250-mx
        S: 250-PIPELINING
        S: 250-SIZE
        S: ...
        C: MAIL FROM:<a@x>
        S: 250
        ",
    );
}

/// RFC 4954 §4: AUTH is the last command of a pipelined group. Who goes on regardless is taken at his word: responses first, then commands.
#[test]
fn what_is_pipelined_behind_auth() {
    after_ehlo(
        auth(),
        r"
        C: AUTH PLAIN AHdyb25nAHNlY3JldA==\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\nNOOP
        S: 535 5.7.8
        S: 530 5.7.0
        S: 530 5.7.0
        S: 530 5.7.0
        S: 250
        C: AUTH LOGIN\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nNOOP
        S: 334
        S: 501 5.5.2
        S: 530 5.7.0
        S: 250
        C: AUTH LOGIN\r\ndGlt\r\nc2VjcmV0\r\nMAIL FROM:<a@x>\r\nNOOP
        S: 334
        S: 334
        S: 235
        S: 250 2.1.0
        S: 250
        ",
    );
}

/// A response is not a command, whatever it looks like.
#[test]
fn a_response_is_never_a_command() {
    let driver = after_ehlo(auth(), "C: AUTH LOGIN\\r\\nQUIT\\r\\nRSET\nS: 334\nS: 334\nS: 535\nC: NOOP\nS: 250");
    assert!(!driver.closed, "both are base64 of something");
}

/// RFC 4954 §4 and §6: 500 5.5.6, and none of the line is anything else.
#[test]
fn a_response_may_be_long_and_not_longer() {
    let mut driver = Driver::new(auth());
    driver.send(b"EHLO c\r\nAUTH PLAIN\r\n");
    driver.take_lines();
    let mut longest = vec![b'A'; AUTH_LINE_BYTES_MAX - 4];
    longest.extend_from_slice(b"A\0\r\n");
    assert_eq!(longest.len(), AUTH_LINE_BYTES_MAX);
    driver.send(&longest);
    assert_eq!(driver.take_lines(), ["501 5.5.2 Not valid base64"], "read as a whole");
    driver.send(b"AUTH PLAIN\r\n");
    for piece in vec![b'A'; 40_000].chunks(1000) {
        driver.send(piece);
        assert!(driver.session.input.len() < AUTH_LINE_BYTES_MAX);
    }
    driver.send(b"\r\nNOOP\r\n");
    assert_eq!(driver.take_lines(), ["334 ", "500 5.5.6 Line too long", "250 2.0.0 Ok"]);
}

#[test]
fn three_wrong_logins_end_the_session() {
    let wrong = "AUTH PLAIN AHRpbQB3cm9uZw==";
    let three = format!(
        "C: {wrong}\\r\\n{wrong}\\r\\n{wrong}\\r\\nNOOP\nS: 535 5.7.8\nS: 535 5.7.8\nS: 535 5.7.8\nS: 421 4.7.0 Too many failed logins"
    );
    assert!(after_ehlo(auth(), &three).closed);
    // Those that the session itself refuses count too; mistakes in the exchange are ordinary errors, and so is not knowing.
    let mixed = format!(
        "C: AUTH PLAIN AABzZWNyZXQ=\\r\\n{wrong}\\r\\nAUTH PLAIN\\r\\n*\\r\\nAUTH X\\r\\nAUTH PLAIN AGxhdGVyAHg=\\r\\n{wrong}\nS: 535\nS: 535\nS: 334\nS: 501\nS: 504\nS: 454\nS: 535\nS: 421 4.7.0"
    );
    assert!(after_ehlo(auth(), &mixed).closed);
    let errors = SessionConfig { errors_max: 2, ..auth() };
    assert!(after_ehlo(errors, &format!("C: {wrong}\\r\\n{wrong}\nS: 535\nS: 535\nS: 421 4.7.0 Too many errors")).closed);
    let endless = SessionConfig { junk_commands_max: 1, ..auth() };
    assert!(after_ehlo(endless, "C: AUTH PLAIN AGxhdGVyAHg=\\r\\nAUTH PLAIN AGxhdGVyAHg=\nS: 454\nS: 454\nS: 421").closed);
}

#[test]
fn silence_in_an_exchange_ends_the_session() {
    let mut driver = Driver::new(SessionConfig { idle_timeout: Duration::from_secs(10), ..auth() });
    driver.send(b"EHLO c\r\nAUTH LOGIN\r\ndGlt");
    driver.take_lines();
    let deadline = driver.session.deadline();
    assert!(matches!(driver.session.poll(deadline), Event::Refused { reply } if reply.code == 421));
    let mut draining = Driver::new(auth());
    draining.send(b"EHLO c\r\nAUTH LOGIN\r\n");
    draining.take_lines();
    draining.session.shut_down();
    draining.run();
    assert_eq!(draining.take_lines(), ["421 4.3.2 Shutting down; connect again"]);
}

#[test]
fn a_password_is_not_shown() {
    let mut driver = Driver::new(auth());
    driver.send(b"EHLO c\r\nAUTH LOGIN c2VjcmV0\r\n");
    driver.session.input().extend_from_slice(b"c2VjcmV0\r\n");
    let Event::Auth { login } = driver.session.poll(Instant::now()) else { panic!("a login") };
    assert_eq!(login.password.as_str(), "secret");
    assert!(!format!("{login:?}").contains("secret"));
}

fn client_bytes() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        &b"EHLO c\r\n"[..],
        b"AUTH PLAIN AHRpbQBzZWNyZXQ=\r\n",
        b"AUTH PLAIN\r\n",
        b"AUTH LOGIN\r\n",
        b"AUTH LOGIN dGlt\r\n",
        b"AUTH X =\r\n",
        b"AHRpbQBzZWNyZXQ=\r\n",
        b"dGlt\r\n",
        b"c2VjcmV0\r\n",
        b"bGF0ZXI=\r\n",
        b"=\r\n",
        b"*\r\n",
        b"MAIL FROM:<a@x> AUTH=<>\r\n",
        b"RCPT TO:<b@y>\r\n",
        b"DATA\r\n",
        b".\r\n",
        b"RSET\r\n",
        b"\r\n",
        b"\r",
        b"\n",
        b"\0",
        b"\xff",
        b"A",
    ]);
    (prop::collection::vec(pieces, 0..40), 0_usize..4).prop_map(|(pieces, greeting)| {
        let start: &[u8] = match greeting {
            0 => b"",
            1 => b"EHLO c\r\nAUTH LOGIN\r\n",
            2 => b"EHLO c\r\nAUTH PLAIN AHRpbQBzZWNyZXQ=\r\n",
            _ => b"EHLO c\r\n",
        };
        [start, &pieces.concat()].concat()
    })
}

proptest! {
    #[test]
    fn how_the_network_cuts_a_login_changes_nothing(bytes in client_bytes(), step in 1_usize..40) {
        let config = SessionConfig { errors_max: 8, message_bytes_max: 60, ..auth() };
        let mut whole = Driver::new(config.clone());
        whole.send(&bytes);
        for step in [1, step] {
            let mut cut = Driver::new(config.clone());
            cut.run();
            for piece in bytes.chunks(step) {
                cut.send(piece);
            }
            prop_assert_eq!(&cut.events, &whole.events);
            prop_assert_eq!(String::from_utf8_lossy(&cut.written), String::from_utf8_lossy(&whole.written));
        }
        prop_assert!(!whole.written.windows(6).any(|window| window == b"secret"));
        prop_assert!(whole.session.transaction.is_none() || whole.session.authenticated);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, login: bool) {
        let mut driver = Driver::new(auth());
        driver.send(if login { b"EHLO c\r\nAUTH LOGIN\r\n" } else { b"EHLO c\r\nAUTH PLAIN\r\n" });
        driver.send(&bytes);
        driver.send(b"\r\n");
    }
}
