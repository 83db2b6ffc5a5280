//! Slow readers, slow writers, and sockets of which one side is closed.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::common::DEADLINE;
use crate::harness::{Client, mail};
use crate::{ALICE, BOB, begin, handshake, start, start_with_tls, still_serves};

#[test]
fn who_closes_his_side_after_quit_gets_every_reply() {
    let (sink, gateway) = start();
    let mut client = Client::dial(gateway.address());
    client.write(b"");
    client.reply().expect("220 ");
    client.write(
        b"EHLO c.example\r\nMAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@acme.example>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\nQUIT\r\n",
    );
    client.half_close();
    let rest = client.rest();
    assert!(rest.contains("354 ") && rest.ends_with("221 2.0.0 Bye\r\n"), "{rest}");
    assert_eq!(sink.only().recipients, [BOB]);
}

#[test]
fn who_closes_his_side_after_the_final_dot_gets_the_reply_to_it() {
    let (sink, gateway) = start();
    for _ in 0..5 {
        let mut client = Client::hello(gateway.address());
        begin(&mut client);
        client.write(b"Subject: x\r\n\r\nx\r\n.\r\n");
        client.half_close();
        let rest = client.rest();
        assert!(rest.starts_with("250 2.0.0 Delivered") && rest.lines().count() == 1, "{rest:?}");
    }
    assert_eq!(sink.taken().len(), 5);
    let closed = || gateway.events(|event| event["event"] == "disconnected" && event["reason"] == "client closed").len();
    crate::harness::until("five ends in the log", || (closed() == 5).then_some(()));
}

#[test]
fn the_same_over_tls_with_a_goodbye_on_both_sides() {
    let (sink, gateway) = start_with_tls("optional");
    for end in ["", "QUIT\r\n"] {
        let mut tcp = TcpStream::connect(gateway.address()).unwrap();
        tcp.set_read_timeout(Some(DEADLINE)).unwrap();
        tcp.read_exact(&mut [0; "220 mx1.acme.example ESMTP\r\n".len()]).unwrap();
        tcp.write_all(b"STARTTLS\r\n").unwrap();
        tcp.read_exact(&mut [0; "220 2.0.0 Ready to start TLS\r\n".len()]).unwrap();
        let (mut stream, _) = handshake::client(tcp);
        let dialogue = format!("EHLO c.example\r\nMAIL FROM:<{ALICE}>\r\nRCPT TO:<{BOB}>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\n{end}");
        stream.write_all(dialogue.as_bytes()).unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        stream.sock.shutdown(std::net::Shutdown::Write).unwrap();
        let mut replies = String::new();
        stream.read_to_string(&mut replies).expect("all replies, and close_notify behind them");
        assert!(replies.contains("250 2.0.0 Delivered"), "{replies}");
    }
    assert_eq!(sink.taken().len(), 2);
}

#[test]
fn who_closes_his_side_before_the_final_dot_has_sent_nothing() {
    let (sink, gateway) = start();
    for half in ["", "Subject: x\r\n", "Subject: x\r\n\r\nx", "Subject: x\r\n\r\nx\r\n.", "Subject: x\r\n\r\nx\r\n.\r"] {
        let mut client = Client::hello(gateway.address());
        begin(&mut client);
        client.write(half.as_bytes());
        client.half_close();
        assert_eq!(client.rest(), "");
    }
    // The last line without its end is no command.
    let mut client = Client::hello(gateway.address());
    client.write(b"QUIT");
    client.half_close();
    assert_eq!(client.rest(), "");
    assert!(sink.taken().is_empty());
    still_serves(&sink, &gateway);
}

#[test]
fn a_dialogue_octet_by_octet_is_the_same_dialogue() {
    let (sink, gateway) = start();
    let message = mail::small("slow");
    let mut client = Client::hello(gateway.address());
    let wire = [
        &b"MAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@acme.example>\r\nDATA\r\n"[..],
        &crate::harness::client::stuffed(&message),
        b"QUIT\r\n",
    ];
    for octet in wire.concat() {
        client.write(&[octet]);
    }
    let rest = client.rest();
    let codes: Vec<&str> = rest.lines().map(|line| &line[..3]).collect();
    assert_eq!(codes, ["250", "250", "354", "250", "221"], "{rest}");
    mail::assert_same(sink.only().original(), &message);
}

#[test]
fn who_does_not_read_his_replies_holds_up_nobody_and_loses_none() {
    let (sink, gateway) = start();
    let mut slow = Client::hello(gateway.address());
    let transaction = b"MAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@acme.example>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\n";
    slow.write(&transaction.repeat(200));
    Client::hello(gateway.address()).send(ALICE, &[BOB], &mail::small("other")).expect("250 ");
    for _ in 0..200 {
        for code in ["250 2.1.0", "250 2.1.5", "354 ", "250 2.0.0"] {
            slow.reply().expect(code);
        }
    }
    assert_eq!(sink.wait_taken(201).len(), 201);
}

/// Some begin a message and go on for ever, some never finish a command; the others do not notice.
#[test]
fn many_unfinished_sessions_take_little_and_hold_up_nobody() {
    let (sink, gateway) = start();
    let before = gateway.memory_kib("VmRSS:");
    let slow: Vec<Client> = (0..400)
        .map(|number| {
            let mut client = Client::hello(gateway.address());
            if number % 2 == 0 {
                client.write(b"MAIL FROM:<");
            } else {
                begin(&mut client);
                client.write(b"Subject: slow\r\n\r\nx");
            }
            client
        })
        .collect();
    for _ in 0..20 {
        still_serves(&sink, &gateway);
    }
    let each = gateway.memory_kib("VmRSS:").saturating_sub(before) / 400;
    assert!(each < 64, "{each} KiB for each");
    drop(slow);
    still_serves(&sink, &gateway);
}
