//! Log injection: nothing that a client or a message says begins a line of its own, ends a JSON object, or commands a terminal.

use std::io::Read;
use std::process::Stdio;

use serde_json::Value;

use crate::harness::gateway::command;
use crate::harness::lines::Lines;
use crate::harness::{Client, Deployment, Sink};
use crate::{BOB, begin};

/// Texts that have done harm in logs.
const HOSTILE: &[&str] = &[
    "a\u{1b}[2J\u{1b}]0;title\u{7}b",
    "a\u{9b}31mb\u{9d}x\u{9c}",
    "a\u{85}{\"event\":\"forged\"}",
    "a\u{2028}{\"event\":\"forged\"}\u{2029}",
    "a\u{202e}b\u{2066}c\u{200f}",
    "a\",\"event\":\"forged\",\"x\":\"",
    "a\\\",\\\"event\\\":\\\"forged",
    "a\0b\u{8}\u{8}\u{7f}",
    "a\tevent=forged outcome=delivered",
    "${jndi:ldap://x.example/a} %n%s{{7*7}}",
    "\u{fffd}\u{fffe}\u{e000}",
    "a\u{b}b\u{c}c",
];

/// Says every hostile text in every place where a client can say one.
fn say_it_all(address: std::net::SocketAddr) {
    let raw: &[&[u8]] = &[b"a\rb", b"a\nb", b"a\xff\xfe\x80b", b"\x1b[31m"];
    for text in HOSTILE.iter().map(|text| text.as_bytes()).chain(raw.iter().copied()) {
        let mut client = Client::hello(address);
        for begin in [&b"EHLO "[..], b"HELO ", b"MAIL FROM:<", b"MAIL FROM:<\"", b"NOOP ", b"X", b"AUTH PLAIN "] {
            client.write(&[begin, text, b"\r\n"].concat());
            client.reply();
        }
        let mut client = Client::hello(address);
        client.command("MAIL FROM:<alice@example.org> SMTPUTF8").expect("250 ");
        for (begin, end) in [
            ("RCPT TO:<", "@acme.example>"),
            ("RCPT TO:<\"", "\"@acme.example>"),
            ("RCPT TO:<bob@", ">"),
            ("RCPT TO:<bob@acme.example> ", ""),
        ] {
            client.write(&[begin.as_bytes(), text, end.as_bytes(), b"\r\n"].concat());
            client.reply();
        }
        let mut client = Client::hello(address);
        begin(&mut client);
        for field in ["Message-ID: ", "Subject: ", "From: ", "X-Forged: "] {
            client.write(&[field.as_bytes(), text, b"\r\n"].concat());
        }
        client.write(b"\r\nx\r\n.\r\n");
        client.reply();
    }
    let mut client = Client::hello(address);
    begin(&mut client);
    client.write(b"Message-ID: <folded\r\n {\"event\":\"forged\"}\r\n\tevent=forged>\r\n\r\nx\r\n.\r\n");
    client.reply().expect("250 ");
    // The last word, by which the reader knows that all is said.
    Client::hello(address).command("MAIL FROM:<the-end@example.org>").expect("250 ");
    let mut client = Client::hello(address);
    client.command("MAIL FROM:<the-end@example.org>").expect("250 ");
    client.command("RCPT TO:<the-end@elsewhere.example>").expect("550 ");
}

/// What a terminal or a reader of lines obeys.
fn is_hostile(c: char) -> bool {
    c.is_control() || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[test]
fn every_line_stays_one_json_object() {
    let sink = Sink::accepting();
    let gateway = Deployment::new("inline").relay("next", sink.address()).start();
    say_it_all(gateway.address());
    gateway.wait_for(|event| event["recipient"] == "the-end@elsewhere.example");
    let known = [
        "started",
        "listening",
        "connected",
        "policy",
        "refused",
        "verdicts",
        "message",
        "verdicts",
        "rule",
        "action",
        "attempt",
        "outcome",
        "replied",
        "disconnected",
    ];
    // Each line was read as JSON by the harness, which fails on any other.
    for event in gateway.events(|_| true) {
        assert!(known.contains(&event["event"].as_str().expect("each line has an event")), "{event}");
        assert!(event["ts"].as_str().is_some_and(|time| time.len() == 24), "{event}");
    }
    let said = gateway.said();
    let bad = said.lines().find(|line| line.contains(is_hostile));
    assert_eq!(bad, None);
    // What is escaped is not lost.
    let message_ids: Vec<Value> =
        gateway.events(|event| event["event"] == "message").into_iter().map(|event| event["message_id"].clone()).collect();
    assert!(message_ids.contains(&Value::from(HOSTILE[1])), "{message_ids:?}");
    assert_eq!(sink.taken().iter().filter(|taken| taken.recipients == [BOB]).count(), message_ids.len());
}

#[test]
fn no_line_for_people_commands_the_terminal() {
    let sink = Sink::accepting();
    let deployment = Deployment::new("inline").relay("next", sink.address());
    deployment.write("gateway.yaml", &deployment.yaml());
    let mut process = command(deployment.folder())
        .args(["--log", "human"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the gateway starts");
    let (bytes, said) = tee(process.stdout.take().unwrap());
    let address = said.wait("line with the address", |line| {
        line.contains("listening").then(|| line.split("address=").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok()))?
    });
    say_it_all(address);
    said.wait("last line", |line| line.contains("the-end@elsewhere.example").then_some(()));
    process.kill().unwrap();
    process.wait().unwrap();
    let whole = bytes.join().unwrap();
    let text = String::from_utf8(whole).expect("UTF-8");
    for line in text.lines() {
        assert!(!line.contains(is_hostile), "{line:?}");
        // Time, id, event: nothing that was said has begun a line, or can be taken for a fact of its own.
        let clock = line.get(..12).unwrap_or_default();
        assert!(
            clock.chars().enumerate().all(|(at, c)| if matches!(at, 2 | 5) {
                c == ':'
            } else if at == 8 {
                c == '.'
            } else {
                c.is_ascii_digit()
            }),
            "{line:?}"
        );
        assert!(!unquoted(line).contains("outcome=delivered event") && !unquoted(line).contains(" event=forged"), "{line:?}");
    }
}

/// A line without what stands in quotes.
fn unquoted(line: &str) -> String {
    let (mut plain, mut quoted, mut escaped) = (String::new(), false, false);
    for c in line.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if !quoted => plain.push(c),
            _ => {}
        }
    }
    plain
}

/// The octets as they are, for the end, and as lines, for waiting.
fn tee(mut stream: impl Read + Send + 'static) -> (std::thread::JoinHandle<Vec<u8>>, Lines) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let lines = Lines::follow(reader);
    let bytes = std::thread::spawn(move || {
        let (mut all, mut buffer) = (Vec::new(), [0; 8192]);
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            all.extend_from_slice(&buffer[..length]);
            std::io::Write::write_all(&mut writer, &buffer[..length]).unwrap();
        }
        all
    });
    (bytes, lines)
}
