//! Attacks on an endpoint that asks for a login: around TLS, behind AUTH, within it, and before it.

use std::time::{Duration, Instant};

use crate::harness::tls::Certificate;
use crate::harness::{Client, Deployment, Gateway, Sink, mail};
use crate::{BOB, starttls};

const TIM: &str = "tim@acme.example";
const PASSWORD: &str = "s3cr3t-horse";
const ENVELOPE: &str = "MAIL FROM:<evil@example.org>\r\nRCPT TO:<bob@acme.example>\r\nDATA\r\n";

#[test]
fn before_tls_no_login_is_offered_taken_or_asked_for() {
    let (sink, gateway) = start();
    let mut client = Client::dial(gateway.address());
    client.reply().expect("220 ");
    assert!(!client.command("EHLO c.example").text.contains("AUTH"));
    for login in [&*plain(TIM, PASSWORD), "AUTH PLAIN", "AUTH LOGIN", "auth login", "AUTH CRAM-MD5", "AUTH", "AUTH PLAIN =", "AUTH PLAIN *"]
    {
        let reply = client.command(login);
        assert!((500..600).contains(&reply.code), "{login}: {reply:?}");
    }
    client.command("MAIL FROM:<evil@example.org>").expect("530 5.7.0");
    ends_well(&sink, &gateway);
}

#[test]
fn starttls_ends_with_the_login_out_of_reach_of_what_was_said_before() {
    let (sink, gateway) = start();
    // AUTH behind STARTTLS in one segment goes into the handshake.
    let mut client = Client::hello(gateway.address());
    client.write(format!("STARTTLS\r\n{}\r\n{ENVELOPE}", plain(TIM, PASSWORD)).as_bytes());
    client.reply().expect("220 ");
    client.half_close();
    let rest = client.rest();
    assert!(!rest.contains("235") && !rest.contains("250"), "{rest:?}");
    // The same with a true ClientHello behind it.
    let rest = starttls::injected(&gateway, &format!("{}\r\n", plain(TIM, PASSWORD)));
    assert!(!rest.contains("235"), "{rest:?}");
    // No second handshake, before the login or behind it.
    let mut client = session(&gateway);
    client.command("STARTTLS").expect("503 5.5.1");
    client.command(&plain(TIM, PASSWORD)).expect("235 ");
    client.command("STARTTLS").expect("503 5.5.1");
    assert!(gateway.events(|event| event["event"] == "login" && event["result"] != "accepted").is_empty());
    ends_well(&sink, &gateway);
}

/// Each line is a response or a command, never both, and which of them is decided by what the server has said.
#[test]
fn what_is_pipelined_behind_auth_has_one_meaning() {
    let (sink, gateway) = start();
    let [_, right] = gateway::smtp::auth_encodings(TIM, PASSWORD);
    let wrong = plain(TIM, "wrong");
    for (lines, codes) in [
        // A right login: what follows is served.
        (format!("{}\r\nNOOP\r\nMAIL FROM:<a@example.org>\r\n", plain(TIM, PASSWORD)), &[235, 250, 250][..]),
        // A wrong one: nothing of the mail passes, and it does not become a message.
        (format!("{wrong}\r\n{ENVELOPE}"), &[535, 530, 530, 530]),
        // Without an initial response the next line is the response, whatever it resembles.
        (format!("AUTH PLAIN\r\n{}\r\nNOOP\r\n", right.as_str()), &[334, 235, 250]),
        ("AUTH PLAIN\r\nMAIL FROM:<evil@example.org>\r\nRCPT TO:<bob@acme.example>\r\n".to_owned(), &[334, 501, 530]),
        ("AUTH PLAIN\r\n*\r\nMAIL FROM:<evil@example.org>\r\n".to_owned(), &[334, 501, 530]),
        // Base64 by its letters, and no text.
        ("AUTH LOGIN\r\nNOOP\r\nRSET\r\nMAIL FROM:<evil@example.org>\r\n".to_owned(), &[334, 501, 250, 530]),
        ("AUTH LOGIN\r\n*\r\n*\r\nNOOP\r\n".to_owned(), &[334, 501, 500, 250]),
    ] {
        let mut client = session(&gateway);
        client.write(lines.as_bytes());
        let said: Vec<u16> = codes.iter().map(|_| client.reply().code).collect();
        assert_eq!(said, codes, "{lines:?}");
    }
    assert!(sink.taken().is_empty());
    ends_well(&sink, &gateway);
}

#[test]
fn odd_responses_are_refused_and_are_no_commands() {
    let (sink, gateway) = start();
    let huge = "QUJD".repeat(2900);
    let longer = "QUJD".repeat(5000);
    for (response, code) in [
        // NULs too many and too few; CRLF and commands within.
        ("AA==", 535),
        ("AAAAAA==", 501),
        ("YQ==", 501),
        ("AHQNClJTRVQNCgB4", 535),
        ("dABNQUlMIEZST006PGV2aWxAZXhhbXBsZS5vcmc+DQo=", 501),
        // No base64 at all: padding in the middle, none, other alphabets, blanks, octets that are no text.
        ("AA==AA==", 501),
        ("AHRpbQBh=", 501),
        ("AHRpb", 501),
        ("AHR_-Q==", 501),
        ("AHRp bQBh", 501),
        (" AHRpbQBh", 501),
        ("\0", 501),
        ("\u{ff21}AAA", 501),
        (&huge, 501),
        (&longer, 500),
    ] {
        let mut client = session(&gateway);
        client.command("AUTH PLAIN").expect("334");
        let reply = client.command(response);
        let wide = code == 535 && reply.code == 501;
        assert!(reply.code == code || wide, "{:.60}: {reply:?}", response.escape_debug());
        client.command("NOOP").expect("250 ");
        client.command("MAIL FROM:<evil@example.org>").expect("530 ");
    }
    // A line without an end is not kept: it is cut off, and the session goes on at its end.
    let mut client = session(&gateway);
    client.command("AUTH LOGIN").expect("334");
    client.write(&vec![b'A'; 3_000_000]);
    client.write(b"\r\nNOOP\r\n");
    client.reply().expect("500 5.5.6");
    client.reply().expect("250 ");
    assert!(gateway.memory_kib("VmRSS") < 200_000);
    ends_well(&sink, &gateway);
}

#[test]
fn before_the_login_there_is_no_mail_and_the_octets_of_a_chunk_are_no_commands() {
    let (sink, gateway) = start();
    let mut client = session(&gateway);
    for command in ["MAIL FROM:<evil@example.org>", "RCPT TO:<bob@acme.example>", "DATA", "VRFY bob"] {
        client.command(command).expect("530 5.7.0");
    }
    let smuggled = format!("{}\r\n{ENVELOPE}evil\r\n.\r\n", plain(TIM, PASSWORD));
    client.write(format!("BDAT {} LAST\r\n{smuggled}NOOP\r\n", smuggled.len()).as_bytes());
    client.reply().expect("530 5.7.0");
    client.reply().expect("250 2.0.0 Ok");
    assert!(gateway.events(|event| event["event"] == "login").is_empty(), "the login in the chunk was none");
    // A login in a HELO'd session is none for the next, and EHLO does not take it away.
    client.command(&plain(TIM, PASSWORD)).expect("235 ");
    client.command("EHLO other.example").expect("250 ");
    client.command("MAIL FROM:<tim@acme.example>").expect("250 ");
    session(&gateway).command("MAIL FROM:<tim@acme.example>").expect("530 ");
    ends_well(&sink, &gateway);
}

/// The same words, and the same wait, whether there is such a user or not.
#[test]
fn nobody_learns_who_has_an_account() {
    let (sink, gateway) = start();
    let mut answers = Vec::new();
    for user in [TIM, "nobody@acme.example", "tim", "TIM@acme.example", "t"] {
        let mut client = session(&gateway);
        let began = Instant::now();
        let reply = client.command(&plain(user, "a-guess"));
        answers.push((user, reply, began.elapsed()));
    }
    let (_, first, _) = &answers[0];
    first.expect("535 5.7.8");
    for (user, reply, wait) in &answers {
        assert_eq!(reply, first, "{user}");
        assert!(*wait >= Duration::from_secs(1), "{user}: {wait:?}");
    }
    for command in ["VRFY tim@acme.example", "VRFY nobody@acme.example"] {
        session(&gateway).command(command).expect("530 5.7.0");
    }
    ends_well(&sink, &gateway);
}

fn start() -> (Sink, Gateway) {
    let sink = Sink::accepting();
    let users = format!(r#"{{"username": "{TIM}", "password": "{PASSWORD}"}}"#);
    let endpoint = "type: auth, credentials: { file: users.json }, tls: { certificate: tls/cert.pem, key: tls/key.pem }";
    let deployment = Deployment::new("inline").relay("next", sink.address()).endpoint(endpoint).file("users.json", &users);
    Certificate::new().write(&deployment.path("tls"));
    let gateway = deployment.start();
    (sink, gateway)
}

/// A greeted session over TLS.
fn session(gateway: &Gateway) -> Client {
    let mut client = Client::hello(gateway.address());
    client.start_tls();
    assert!(client.command("EHLO client.example").text.contains("AUTH PLAIN LOGIN"));
    client
}

fn plain(user: &str, password: &str) -> String {
    let [_, message] = gateway::smtp::auth_encodings(user, password);
    format!("AUTH PLAIN {}", message.as_str())
}

/// Who has a login still gets in, nothing else has passed, and no password was told.
#[track_caller]
fn ends_well(sink: &Sink, gateway: &Gateway) {
    let mut client = session(gateway);
    client.command(&plain(TIM, PASSWORD)).expect("235 ");
    client.send(TIM, &[BOB], &mail::small("honest")).expect("250 ");
    assert_eq!(sink.only().mail_from, TIM);
    let said = gateway.said();
    let [alone, message] = gateway::smtp::auth_encodings(TIM, PASSWORD);
    for secret in [PASSWORD, alone.trim_end_matches('='), message.trim_end_matches('='), "a-guess"] {
        assert!(!said.contains(secret), "{secret} in {said}");
    }
}
