//! Clients that mean no good, or know no better.

use crate::harness::{Client, Deployment, Gateway, Sink, mail};

const BOB: &str = "bob@acme.example";

#[test]
fn http_is_sent_away_and_cannot_smuggle_mail() {
    let (sink, _deployment, gateway) = start();
    let mut client = Client::dial(gateway.address());
    client.reply().expect("220 ");
    client.write(
        b"POST / HTTP/1.1\r\nHost: x\r\n\r\nEHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<bob@acme.example>\r\nDATA\r\nx\r\n.\r\n",
    );
    let rest = client.rest();
    assert!(rest.starts_with("554 5.5.1 ") && !rest.contains("250"), "{rest:?}");
    still_serves(&sink, &gateway);
}

#[test]
fn garbage_ends_in_a_goodbye_and_not_in_an_echo() {
    let (sink, _deployment, gateway) = start();
    let mut client = Client::dial(gateway.address());
    client.reply().expect("220 ");
    let garbage: Vec<u8> =
        (0..20_000_u32).flat_map(|n| if n % 50 == 49 { *b"\r\n" } else { [n as u8 | 0x80, (n >> 3) as u8 & 0x1f] }).collect();
    // It may close while we still write.
    let _ = client.try_write(&garbage);
    let rest = client.rest();
    assert!(rest.is_ascii() && rest.lines().all(|line| line.starts_with("5") || line.starts_with("421 ")), "{rest:?}");
    still_serves(&sink, &gateway);
}

#[test]
fn who_speaks_before_the_banner_gets_no_service() {
    // Connected, and then written to, before the gateway has a chance to greet: it is stopped meanwhile.
    let (sink, _deployment, gateway) = start();
    gateway.halt();
    let mut client = Client::dial(gateway.address());
    client.write(b"EHLO early.example\r\n");
    gateway.signal("CONT");
    client.reply().expect("554 5.5.1");
    still_serves(&sink, &gateway);
}

#[test]
fn no_line_ending_but_crlf_ends_a_message() {
    let (sink, _deployment, gateway) = start();
    let smuggled = "MAIL FROM:<evil@example.org>\r\nRCPT TO:<bob@acme.example>\r\nDATA\r\nSubject: smuggled\r\n\r\nevil\r\n.\r\n";
    for end in ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\r.\r\n", "\n.\r", "\r\n\0.\r\n", "\r\r\n.\r\r\n"] {
        let mut client = Client::hello(gateway.address());
        client.command("MAIL FROM:<a@example.org>").expect("250 ");
        client.command("RCPT TO:<bob@acme.example>").expect("250 ");
        client.command("DATA").expect("354 ");
        client.write(format!("Subject: carrier\r\n\r\nfirst{end}{smuggled}").as_bytes());
        let reply = client.reply();
        // With a NUL and real line ends there is nothing ambiguous; the whole is one message.
        assert!(reply.code / 100 == 5 || end.contains('\0'), "{end:?}: {reply:?}");
        client.command("NOOP").expect("250 ");
    }
    assert!(sink.taken().iter().all(|taken| taken.mail_from == "a@example.org"));
    assert!(gateway.events(|event| event["event"] == "message" && event["mail_from"] == "evil@example.org").is_empty());
    still_serves(&sink, &gateway);
}

#[test]
fn a_thousand_bad_connections_leave_the_memory_as_it_was() {
    let (sink, _deployment, gateway) = start();
    let round = |kind: usize| {
        let mut client = Client::dial(gateway.address());
        match kind % 5 {
            // Half of a message, and away.
            0 => {
                client.reply().expect("220 ");
                client.command("EHLO x.example").expect("250 ");
                client.command("MAIL FROM:<a@example.org>").expect("250 ");
                client.command("RCPT TO:<bob@acme.example>").expect("250 ");
                client.command("DATA").expect("354 ");
                client.write(&mail::large(100_000));
            }
            // A line without an end.
            1 => {
                client.reply().expect("220 ");
                let _ = client.try_write(&[b'x'; 60_000]);
            }
            2 => {
                let _ = client.try_write(b"GET / HTTP/1.0\r\n\r\n");
            }
            // Half open: it says no more, and listens.
            3 => {
                client.reply().expect("220 ");
                client.half_close();
                client.rest();
            }
            _ => {}
        }
    };
    // The first hundred fill caches and buffers.
    (0..100).for_each(round);
    still_serves(&sink, &gateway);
    let before = gateway.memory_kib("VmRSS:");
    (0..1000).for_each(round);
    still_serves(&sink, &gateway);
    crate::harness::until("an end of all sessions", || {
        let connected = gateway.events(|event| event["event"] == "connected").len();
        let disconnected = gateway.events(|event| event["event"] == "disconnected").len();
        (connected == disconnected).then_some(())
    });
    let after = gateway.memory_kib("VmRSS:");
    assert!(after < before + 16 * 1024, "from {before} KiB to {after} KiB");
}

#[test]
fn slow_clients_hold_up_nobody_and_little_memory() {
    let (sink, _deployment, gateway) = start();
    let before = gateway.memory_kib("VmRSS:");
    let slow: Vec<Client> = (0..500)
        .map(|_| {
            let mut client = Client::hello(gateway.address());
            client.write(b"MAIL FR");
            client
        })
        .collect();
    still_serves(&sink, &gateway);
    let each = gateway.memory_kib("VmRSS:").saturating_sub(before) / 500;
    assert!(each < 64, "{each} KiB for each session that waits");
    drop(slow);
    still_serves(&sink, &gateway);
}

fn still_serves(sink: &Sink, gateway: &Gateway) {
    let before = sink.taken().len();
    Client::hello(gateway.address()).send("alice@example.org", &[BOB], &mail::small("still")).expect("250 ");
    assert_eq!(sink.taken().len(), before + 1);
}

fn start() -> (Sink, Deployment, Gateway) {
    let sink = Sink::accepting();
    let deployment = Deployment::new("inline").relay("next", sink.address());
    let gateway = deployment.start();
    (sink, deployment, gateway)
}
