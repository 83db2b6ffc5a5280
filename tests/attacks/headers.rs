//! Enormous headers, header bombs, and millions of tiny fields, before rules that look at everything.

use std::fmt::Write;
use std::time::{Duration, Instant};

use crate::harness::{Client, Deployment, Gateway, Sink};
use crate::{ALICE, BOB, still_serves};

/// Each rule asks for something that must be parsed or decoded; none matches.
const RULES: &str = "
rules:
  - name: addresses
    when:
      - any:
          - from: { contains: never }
          - to: { equals: never@never.example }
          - cc: { ends_with: never }
          - sender: { contains: never }
          - header: { name: Reply-To, matches: never$ }
          - message_id: { contains: never }
          - subject: { contains: never }
          - header: { name: X-Bomb, contains: never }
    actions: [Drop]
  - name: all
    actions:
      - SMTPRelay: { relay: next }
";

/// Far above what any of these takes, far below what anything quadratic in a megabyte would.
const ENOUGH: Duration = Duration::from_secs(20);

#[test]
fn bombs_within_the_limits_cost_no_more_than_other_mail_of_their_size() {
    let (sink, gateway) = start();
    let size = 900_000;
    let filled = |piece: &str| piece.repeat(size / piece.len());
    let folded = |piece: &str| filled(&format!("{}\r\n ", piece.repeat(70 / piece.len() + 1)));
    let mut bombs: Vec<(String, String)> = Vec::new();
    for name in ["From", "To", "Cc", "Reply-To", "Subject", "X-Bomb"] {
        for piece in [
            "(",
            ")",
            "\"",
            "\\",
            ",",
            ";:",
            "<",
            "<>",
            "@",
            "a@b,",
            "a:;",
            "=?utf-8?q?=41?= ",
            "=?utf-8?b?",
            "=?",
            "\u{fffd}",
            "((a)",
            "\"a\" <a@b>, ",
        ] {
            bombs.push((format!("{name} of {piece:?}"), format!("{name}: {}", folded(piece))));
        }
    }
    bombs.push(("one long line".into(), format!("Subject: {}", filled("x"))));
    bombs.push(("spaces".into(), format!("Subject: {}", filled(" "))));
    bombs.push(("folds".into(), format!("Subject: {}", filled("\r\n x"))));
    bombs.push(("empty folds".into(), format!("Subject: {}", filled("\r\n  "))));
    bombs.push(("fields".into(), "To: a@b, <c@d>\r\n".repeat(9_990)));
    bombs.push(("ids".into(), format!("Message-ID: {}", filled("<"))));
    bombs.push(("dates".into(), format!("Date: {}", filled("1 "))));
    bombs.push(("received".into(), format!("Received: {}", filled("(by mx1 ("))));
    for (what, bomb) in &bombs {
        let message = format!("{}\r\nX-End: x\r\n\r\nbody\r\n", bomb.trim_end_matches(['\r', '\n', ' ']));
        assert!(message.len() < 1024 * 1024);
        let begin = Instant::now();
        Client::hello(gateway.address()).send(ALICE, &[BOB], message.as_bytes()).expect("250 ");
        assert!(begin.elapsed() < ENOUGH, "{what}: {:?}", begin.elapsed());
    }
    still_serves(&sink, &gateway);
}

#[test]
fn headers_above_the_limits_are_refused_whole() {
    let (sink, gateway) = start();
    let before = gateway.memory_kib("VmRSS:");
    let millions = "a:\r\n".repeat(5_000_000);
    for (what, header) in [
        ("fields", "A: b\r\n".repeat(10_001)),
        ("millions of fields", millions),
        ("one field", format!("Subject: {}\r\n", "x".repeat(1024 * 1024))),
        ("one folded field", format!("Subject: x\r\n{}", " y\r\n".repeat(300_000))),
        ("many fields", format!("X: {}\r\n", "y".repeat(990)).repeat(1_100)),
    ] {
        let begin = Instant::now();
        let reply = Client::hello(gateway.address()).send(ALICE, &[BOB], format!("{header}\r\nbody\r\n").as_bytes());
        reply.expect("554 5.6.0 The header ");
        assert!(begin.elapsed() < ENOUGH, "{what}: {:?}", begin.elapsed());
    }
    assert!(sink.taken().is_empty());
    still_serves(&sink, &gateway);
    let after = gateway.memory_kib("VmRSS:");
    assert!(after < before + 100 * 1024, "from {before} KiB to {after} KiB");
}

#[test]
fn what_looks_like_a_header_in_the_body_is_body() {
    let (sink, gateway) = start();
    let message = format!("Subject: x\r\n\r\n{}", "a:\r\n".repeat(1_000_000));
    Client::hello(gateway.address()).send(ALICE, &[BOB], message.as_bytes()).expect("250 ");
    assert_eq!(sink.only().original().len(), message.len());
}

#[test]
fn nested_parts_are_not_followed_for_ever() {
    let sink = Sink::accepting();
    let rules = "
rules:
  - name: attachments
    when:
      - attachment: { name: { contains: never } }
    actions: [Drop]
  - name: all
    actions:
      - SMTPRelay: { relay: next }
";
    let gateway = Deployment::new("inline").relay("next", sink.address()).rules(rules).start();
    let mut nested = String::new();
    for level in 0..20_000 {
        write!(nested, "Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n").unwrap();
    }
    let mut forwarded = String::new();
    for _ in 0..20_000 {
        forwarded.push_str("Content-Type: message/rfc822\r\n\r\n");
    }
    let wide =
        format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}", "--b\r\nContent-Type: text/plain; name=x\r\n\r\n".repeat(100_000));
    let prefixes =
        format!("Content-Type: multipart/mixed; boundary={}\r\n\r\n{}", "-".repeat(70), format!("{}\r\n", "-".repeat(900)).repeat(5_000));
    let boundary = format!("Content-Type: multipart/mixed; boundary=\"{}\"\r\n\r\n--x\r\n", "b".repeat(900_000));
    let parameters = format!("Content-Type: a/b{}\r\n\r\nx\r\n", "; name*0*=utf-8''%41".repeat(40_000));
    for (what, message) in [
        ("nested", nested),
        ("forwarded", forwarded),
        ("wide", wide),
        ("prefixes", prefixes),
        ("boundary", boundary),
        ("parameters", parameters),
    ] {
        let begin = Instant::now();
        Client::hello(gateway.address()).send(ALICE, &[BOB], message.as_bytes()).expect("250 ");
        assert!(begin.elapsed() < ENOUGH, "{what}: {:?}", begin.elapsed());
    }
    still_serves(&sink, &gateway);
}

fn start() -> (Sink, Gateway) {
    let sink = Sink::accepting();
    let gateway = Deployment::new("inline").relay("next", sink.address()).rules(RULES).start();
    (sink, gateway)
}
