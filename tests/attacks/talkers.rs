//! Clients that speak too early, or something else than SMTP.

use crate::harness::Client;
use crate::{start, still_serves};

#[test]
fn who_speaks_before_the_banner_is_refused() {
    let (sink, gateway) = start();
    for early in
        ["EHLO early.example\r\n", "\r\n", "x", "MAIL FROM:<a@x>\r\nRCPT TO:<bob@acme.example>\r\nDATA\r\nx\r\n.\r\n", "\u{16}\u{3}\u{1}"]
    {
        // Stopped, so that what the client says is there before the gateway has a chance to greet.
        gateway.halt();
        let mut client = Client::dial(gateway.address());
        client.write(early.as_bytes());
        gateway.signal("CONT");
        client.reply().expect("554 5.5.1 You spoke before the greeting");
        assert_eq!(client.rest(), "");
    }
    let refused = || gateway.events(|event| event["event"] == "refused" && event["reply"]["text"] == "You spoke before the greeting").len();
    crate::harness::until("a line in the log for each", || (refused() == 5).then_some(()));
    still_serves(&sink, &gateway);
}

#[test]
fn http_gets_one_reply_whatever_its_body_says() {
    let (sink, gateway) = start();
    let commands = "EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<bob@acme.example>\r\nDATA\r\nx\r\n.\r\n";
    let long = "x".repeat(5000);
    for request in [
        "GET / HTTP/1.1",
        "GET /",
        "POST / HTTP/1.1",
        "PUT /a b HTTP/1.0",
        "OPTIONS * HTTP/1.1",
        "CONNECT mx:25 HTTP/1.1",
        "PRI * HTTP/2.0",
        "BREW /pot HTTP/1.1",
        &format!("GET /{long} HTTP/1.1"),
    ] {
        let mut client = Client::dial(gateway.address());
        client.reply().expect("220 ");
        let _ = client.try_write(format!("{request}\r\nHost: x\r\nContent-Type: text/plain\r\n\r\n{commands}").as_bytes());
        let rest = client.rest();
        assert!(rest.starts_with("554 5.5.1 This is SMTP, not HTTP\r\n") && rest.lines().count() == 1, "{request:?}: {rest:?}");
    }
    assert!(sink.taken().is_empty());
    still_serves(&sink, &gateway);
}

#[test]
fn nul_controls_and_eight_bits_in_commands_are_refused_and_not_echoed() {
    let (sink, gateway) = start();
    for line in [
        &b"NOOP\0"[..],
        b"\0NOOP",
        b"MAIL FROM:<a\0@example.org>",
        b"MAIL FROM:<a@example.org>\0 SIZE=1",
        b"RCPT TO:<bob@acme.example\0.evil.example>",
        b"NOOP \x80\xff",
        b"EHLO \xc3\xbc.example",
        b"EHLO a\x1b[31m",
        b"EHLO a\x08\x08",
        b"MAIL FROM:<a\x7f@example.org>",
        b"MAIL FROM:<a@example.org> SMTPUTF8 X=\xc3\xbc\xff",
        b"HELP \xfe",
        b"NO\tOP",
        b"MAIL\tFROM:<a@example.org>",
        b"\xef\xbb\xbfNOOP",
        b"\xff\xf4\xff\xfd\x06",
    ] {
        let mut client = Client::hello(gateway.address());
        client.write(&[line, b"\r\n"].concat());
        let reply = client.reply();
        assert!(matches!(reply.code, 500 | 501), "{:?}: {reply:?}", line.escape_ascii().to_string());
        assert!(reply.text.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{reply:?}");
        client.command("NOOP").expect("250 ");
        client.command("RCPT TO:<bob@acme.example>").expect("503 ");
    }
    still_serves(&sink, &gateway);
}

#[test]
fn noise_ends_in_a_goodbye() {
    let (sink, gateway) = start();
    for seed in 1..20_u64 {
        let mut client = Client::dial(gateway.address());
        client.reply().expect("220 ");
        let mut state = seed;
        let noise: Vec<u8> = (0..40_000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as u8
            })
            .flat_map(|octet| if octet < 16 { vec![octet, b'\r', b'\n'] } else { vec![octet] })
            .collect();
        // It may close while we still write.
        let _ = client.try_write(&noise);
        let rest = client.rest();
        assert!(rest.is_ascii() && rest.lines().all(|line| line.starts_with('5') || line.starts_with("421 ")), "{rest:?}");
    }
    still_serves(&sink, &gateway);
}

#[test]
fn a_line_without_end_costs_one_reply_and_no_memory() {
    let (sink, gateway) = start();
    let before = gateway.memory_kib("VmRSS:");
    let mut client = Client::hello(gateway.address());
    for _ in 0..200 {
        client.write(&[b'x'; 100_000]);
    }
    client.write(b"\r\n");
    client.reply().expect("500 5.5.2 Line too long");
    client.command("NOOP").expect("250 ");
    let after = gateway.memory_kib("VmRSS:");
    assert!(after < before + 4096, "from {before} KiB to {after} KiB");
    still_serves(&sink, &gateway);
}
