//! TLS itself as the way in: garbage for records, alerts, truncation, renegotiation.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use crate::common::{DEADLINE, tool};
use crate::harness::lines::Lines;
use crate::harness::{Client, Gateway, mail};
use crate::{BOB, handshake, start_with_tls, still_serves};

#[test]
fn garbage_in_place_of_a_client_hello_ends_the_connection() {
    let (sink, gateway) = start_with_tls("optional");
    let large_record = [&[0x16, 3, 1, 0xff, 0xff][..], &[b'x'; 70_000]].concat();
    let zeros = [&[0x16, 3, 1, 0x40, 0][..], &[0; 0x4000]].concat();
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10],
        &[0x15, 3, 1, 0, 2, 2, 40],
        &[0x15, 3, 1, 0, 2, 1, 0],
        &[0x17, 3, 3, 0, 1, 0],
        &[0x14, 3, 3, 0, 1, 1],
        &[0x16, 3, 1, 0, 0],
        &[0x16, 9, 9, 0, 4, 1, 0, 0, 0],
        &[0x16, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff],
        &[0xff; 3000],
        &large_record,
        &zeros,
        &[0x16, 3, 1, 1],
        b"",
    ] {
        let mut client = Client::hello(gateway.address());
        client.command("STARTTLS").expect("220 ");
        let _ = client.try_write(garbage);
        client.half_close();
        let rest = client.rest();
        assert!(!rest.contains("250"), "{rest:?}");
    }
    let ended = || gateway.events(|event| event["event"] == "tls" && event["error"].is_string()).len();
    crate::harness::until("fourteen failed handshakes in the log", || (ended() == 14).then_some(()));
    still_serves(&sink, &gateway);
}

/// In the middle of a message over TLS something else comes. Nothing of it is delivered.
#[test]
fn a_broken_tls_stream_delivers_nothing() {
    let (sink, gateway) = start_with_tls("optional");
    let oversized = [&[0x17, 3, 3, 0xff, 0xff][..], &[0; 70_000]].concat();
    for garbage in [
        &b"\r\n.\r\nQUIT\r\n"[..],
        &[
            0x17, 3, 3, 0, 32, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29,
            30, 31, 32,
        ],
        &[0x15, 3, 3, 0, 2, 2, 10],
        &[0x15, 3, 3, 0, 2, 1, 0],
        &[0x16, 3, 1, 0, 4, 1, 0, 0, 0],
        &[0x18, 3, 3, 0, 3, 1, 0x40, 0],
        &oversized,
        b"",
    ] {
        let mut stream = half_a_message(&gateway);
        let _ = stream.sock.write_all(garbage);
        let _ = stream.sock.shutdown(std::net::Shutdown::Write);
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(!mail::text(&rest).contains("250"), "{}", mail::text(&rest));
    }
    assert!(sink.taken().is_empty());
    still_serves(&sink, &gateway);
}

/// The message is cut off in a way that TLS can see (close_notify) and in one that it cannot.
#[test]
fn truncation_delivers_nothing() {
    let (sink, gateway) = start_with_tls("optional");
    for orderly in [true, false] {
        let mut stream = half_a_message(&gateway);
        if orderly {
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
        stream.sock.shutdown(std::net::Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert_eq!(mail::text(&rest), "");
    }
    assert!(gateway.events(|event| event["event"] == "message").is_empty());
    still_serves(&sink, &gateway);
}

#[test]
fn renegotiation_is_refused() {
    let (sink, gateway) = start_with_tls("optional");
    let mut command = tool("openssl");
    command.args(["s_client", "-starttls", "smtp", "-tls1_2", "-connect", &gateway.address().to_string()]);
    let mut openssl = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("openssl starts");
    let said = Lines::follow(openssl.stderr.take().unwrap());
    // It reads a line at a time, and takes `R` for renegotiation where it stands first.
    let mut input = openssl.stdin.take().unwrap();
    input.write_all(b"R\n").unwrap();
    said.wait("refusal", |line| line.contains("no renegotiation").then_some(()));
    drop(input);
    let _ = openssl.kill();
    openssl.wait().unwrap();
    still_serves(&sink, &gateway);
}

#[test]
fn new_keys_in_the_middle_of_a_session_are_no_trouble() {
    let (sink, gateway) = start_with_tls("optional");
    let mut stream = half_a_message(&gateway);
    for _ in 0..10 {
        stream.conn.refresh_traffic_keys().expect("TLS 1.3");
        stream.write_all(b"\r\nmore").unwrap();
    }
    stream.write_all(b"\r\n.\r\nQUIT\r\n").unwrap();
    let mut replies = String::new();
    stream.read_to_string(&mut replies).expect("all replies");
    assert!(replies.ends_with("221 2.0.0 Bye\r\n") && replies.starts_with("250 "), "{replies}");
    assert!(sink.only().data.ends_with(b"\r\nmore\r\n"));
}

#[test]
fn old_protocols_and_weak_ciphers_are_refused() {
    let (sink, gateway) = start_with_tls("optional");
    for weak in [&["-tls1"][..], &["-tls1_1"], &["-tls1_2", "-cipher", "AES128-SHA:AES256-SHA256:NULL-SHA256:@SECLEVEL=0"]] {
        let mut command = tool("openssl");
        command.args(["s_client", "-starttls", "smtp", "-connect", &gateway.address().to_string()]).args(weak);
        let output = command.stdin(Stdio::null()).output().expect("openssl starts");
        let said = mail::text(&output.stdout) + &mail::text(&output.stderr);
        assert!(!output.status.success() && said.contains("Cipher is (NONE)"), "{weak:?}: {said}");
    }
    still_serves(&sink, &gateway);
}

/// A client that names its weakest suite first, as many do, still gets the strongest that both have.
#[test]
fn the_gateway_chooses_the_cipher() {
    let (sink, gateway) = start_with_tls("optional");
    for (offered, chosen) in [
        (&["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384"][..], "TLS_AES_256_GCM_SHA384"),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384"], "ECDHE-ECDSA-AES256-GCM-SHA384"),
    ] {
        let mut command = tool("openssl");
        command.args(["s_client", "-starttls", "smtp", "-connect", &gateway.address().to_string()]).args(offered);
        let output = command.stdin(Stdio::null()).output().expect("openssl starts");
        let said = mail::text(&output.stdout);
        assert!(said.contains(&format!("Cipher is {chosen}")), "{offered:?}: {said}");
    }
    still_serves(&sink, &gateway);
}

#[test]
fn a_hostile_server_name_reaches_no_log() {
    let (sink, gateway) = start_with_tls("optional");
    for name in ["a\u{1b}[2Jb.example", "a\nb", "{\"event\":\"outcome\"}", "x' or 1=1", &"a.".repeat(120)] {
        let mut command = tool("openssl");
        command.args(["s_client", "-starttls", "smtp", "-servername", name, "-connect", &gateway.address().to_string()]);
        let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
    assert!(!gateway.said().contains("[2J") && !gateway.said().contains("1=1"));
    still_serves(&sink, &gateway);
}

/// A TLS session in the middle of DATA.
fn half_a_message(gateway: &Gateway) -> crate::harness::tls::TlsStream {
    let mut tcp = TcpStream::connect(gateway.address()).unwrap();
    tcp.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut octet = [0];
    let mut until = |tcp: &mut dyn Read, end: &[u8]| {
        let mut seen = Vec::new();
        while !seen.ends_with(end) {
            tcp.read_exact(&mut octet).expect("a reply");
            seen.push(octet[0]);
        }
    };
    tcp.write_all(b"").unwrap();
    until(&mut tcp, b"\r\n");
    tcp.write_all(b"STARTTLS\r\n").unwrap();
    until(&mut tcp, b"\r\n");
    let (mut stream, _) = handshake::client(tcp);
    let dialogue = format!("EHLO c.example\r\nMAIL FROM:<evil@example.org>\r\nRCPT TO:<{BOB}>\r\nDATA\r\n");
    stream.write_all(dialogue.as_bytes()).unwrap();
    until(&mut stream, b"<CR><LF>.<CR><LF>\r\n");
    stream.write_all(b"Subject: half\r\n\r\nhalf").unwrap();
    stream
}
