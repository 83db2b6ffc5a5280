//! STARTTLS injection: plain text that is meant to be taken for something said over TLS (CVE-2011-0411, CVE-2021-33515, and the
//! collection of nostarttls.secvuln.info).

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::common::DEADLINE;
use crate::harness::{Client, Gateway, mail};
use crate::{BOB, handshake, start_with_tls, still_serves};

const ENVELOPE: &str = "EHLO injected.example\r\nMAIL FROM:<evil@example.org>\r\nRCPT TO:<bob@acme.example>\r\n";

#[test]
fn what_follows_starttls_in_plain_text_goes_into_the_handshake_and_breaks_it() {
    let (sink, gateway) = start_with_tls("optional");
    for injected in ["NOOP\r\n", "\r\n", "\n", "\0", "RSET\r\n", "QUIT\r\n", "STARTTLS\r\n", "AUTH PLAIN AGEAYg==\r\n", ENVELOPE] {
        for apart in [false, true] {
            let mut client = Client::hello(gateway.address());
            if apart {
                client.command("STARTTLS").expect("220 ");
                let _ = client.try_write(injected.as_bytes());
            } else {
                client.write(format!("STARTTLS\r\n{injected}").as_bytes());
                client.reply().expect("220 ");
            }
            // Less than a record says nothing yet; with the client's side closed it never will.
            client.half_close();
            let rest = client.rest();
            assert!(!rest.contains("250") && !rest.contains("221") && !rest.contains("503"), "{injected:?}: {rest:?}");
        }
    }
    assert!(gateway.events(|event| event["event"] == "tls").iter().all(|event| event["error"].is_string()));
    assert!(!gateway.said().contains("evil@example.org"));
    still_serves(&sink, &gateway);
}

/// The command, more commands and a true ClientHello in one segment: the commands are where the ClientHello should begin.
#[test]
fn commands_between_starttls_and_a_true_client_hello_are_never_answered() {
    let (sink, gateway) = start_with_tls("optional");
    for injected in ["NOOP\r\n", ENVELOPE] {
        let rest = self::injected(&gateway, injected);
        assert!(!rest.contains("250") && !rest.contains("553"), "{rest:?}");
    }
    assert!(!gateway.said().contains("evil@example.org"));
    still_serves(&sink, &gateway);
}

/// Legal: TCP may carry the ClientHello along with the command, or right behind it.
#[test]
fn a_client_hello_in_the_same_segment_is_taken() {
    let (sink, gateway) = start_with_tls("required");
    let mut tcp = TcpStream::connect(gateway.address()).unwrap();
    tcp.set_read_timeout(Some(DEADLINE)).unwrap();
    assert!(line(&mut tcp).starts_with("220 "));
    let (connection, hello) = client_hello();
    tcp.write_all(&[b"EHLO c.example\r\nSTARTTLS\r\n", hello.as_slice()].concat()).unwrap();
    while !line(&mut tcp).starts_with("250 ") {}
    assert!(line(&mut tcp).starts_with("220 "));
    let (mut stream, _) = handshake::shake_hands(rustls::StreamOwned::new(connection, tcp));
    stream
        .write_all(b"EHLO c.example\r\nMAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@acme.example>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\nQUIT\r\n")
        .unwrap();
    let mut replies = String::new();
    stream.read_to_string(&mut replies).expect("replies, and an orderly end");
    assert!(replies.ends_with("221 2.0.0 Bye\r\n") && replies.contains("354 "), "{replies}");
    assert_eq!(sink.only().recipients, [BOB]);
}

#[test]
fn nothing_said_before_the_handshake_is_known_after_it() {
    let (sink, gateway) = start_with_tls("optional");
    let mut client = Client::hello(gateway.address());
    client.command("MAIL FROM:<evil@example.org>").expect("250 ");
    client.command("RCPT TO:<bob@acme.example>").expect("250 ");
    client.start_tls();
    for (command, reply) in [
        ("DATA", "503 5.5.1"),
        ("RCPT TO:<bob@acme.example>", "503 5.5.1"),
        ("MAIL FROM:<alice@example.org>", "503 5.5.1 Send EHLO or HELO first"),
        ("STARTTLS", "503 5.5.1 TLS is already active"),
    ] {
        client.command(command).expect(reply);
    }
    let offered = client.command("EHLO client.example");
    assert!(!offered.expect("250 ").text.contains("STARTTLS"));
    client.command("DATA").expect("503 5.5.1");
    client.send("alice@example.org", &[BOB], &mail::small("after")).expect("250 ");
    assert_eq!(sink.only().mail_from, "alice@example.org");
}

/// Commands that a client pipelines over TLS, behind EHLO, are its own right (RFC 2920).
#[test]
fn pipelining_over_tls_works_from_the_first_command_on() {
    let (sink, gateway) = start_with_tls("required");
    let mut client = Client::hello(gateway.address());
    client.start_tls();
    client.write(b"EHLO c.example\r\nMAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@acme.example>\r\nDATA\r\n");
    for code in ["250 ", "250 2.1.0", "250 2.1.5", "354 "] {
        client.reply().expect(code);
    }
    client.write(b"Subject: x\r\n\r\nx\r\n.\r\nNOOP\r\nQUIT\r\n");
    for code in ["250 ", "250 2.0.0 Ok", "221 "] {
        client.reply().expect(code);
    }
    assert_eq!(sink.only().recipients, [BOB]);
}

#[test]
fn where_tls_is_required_nothing_of_mail_passes_in_plain_text() {
    let (_sink, gateway) = start_with_tls("required");
    let mut client = Client::hello(gateway.address());
    for command in ["MAIL FROM:<a@example.org>", "RCPT TO:<bob@acme.example>", "DATA", "VRFY bob", "mail from:<>"] {
        client.command(command).expect("530 5.7.0");
    }
    client.command("STARTTLS now").expect("501 5.5.4");
    for command in ["NOOP", "RSET", "EHLO c.example"] {
        client.command(command).expect("250 ");
    }
    client.command("QUIT").expect("221 ");
}

/// STARTTLS, this and a true ClientHello in one segment: what comes behind the 220.
pub fn injected(gateway: &Gateway, plain: &str) -> String {
    let mut tcp = TcpStream::connect(gateway.address()).unwrap();
    tcp.set_read_timeout(Some(DEADLINE)).unwrap();
    assert!(line(&mut tcp).starts_with("220 "));
    tcp.write_all(&[b"EHLO c.example\r\nSTARTTLS\r\n", plain.as_bytes(), &client_hello().1].concat()).unwrap();
    while !line(&mut tcp).starts_with("250 ") {}
    assert!(line(&mut tcp).starts_with("220 "));
    let mut rest = Vec::new();
    // A reset is as good an end.
    let _ = tcp.read_to_end(&mut rest);
    mail::text(&rest)
}

/// The client's side of TLS and its first flight.
fn client_hello() -> (rustls::ClientConnection, Vec<u8>) {
    let mut connection = handshake::connection();
    let mut hello = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut hello).unwrap();
    }
    (connection, hello)
}

/// A line, octet by octet: what follows may belong to TLS.
fn line(tcp: &mut TcpStream) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut octet = [0];
        tcp.read_exact(&mut octet).expect("a line");
        line.push(octet[0]);
    }
    mail::text(&line)
}
