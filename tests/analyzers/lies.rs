//! Servers that are slow, huge, talk nonsense or go away: each costs a reason in time, and is never taken for an answer.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::liar::{Liar, answer, request};
use crate::{Mail, PLAIN, analyzers, no_dns};

/// The timeout is 1 s; a busy machine gets some more.
const IN_TIME: Duration = Duration::from_secs(15);

async fn reason(section: &str, mail: &Mail) -> String {
    let began = Instant::now();
    let why = mail.ask(&analyzers(section), &no_dns()).await.map(|found| crate::shown(&found)).unwrap_err();
    assert!(began.elapsed() < IN_TIME, "{why} after {:?}", began.elapsed());
    assert!(why.chars().count() <= 300 && !why.contains(char::is_control), "{why:?}");
    why
}

/// Writes until nobody listens.
fn pour(stream: &mut TcpStream, first: &str, then: &[u8], pause: Duration) {
    let mut sent = stream.write_all(first.as_bytes());
    while sent.is_ok() {
        std::thread::sleep(pause);
        sent = stream.write_all(then);
    }
}

fn wait_for_the_end(stream: &mut TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

#[tokio::test]
async fn http_services_that_lie() {
    let nothing = Duration::ZERO;
    let cases: Vec<(Liar, &str)> = vec![
        (Liar::start(|mut stream| wait_for_the_end(&mut stream)), "no answer within 1 s"),
        (Liar::start(drop), "connection"),
        (Liar::http(|_| b"220 mx.acme.example ESMTP\r\n".to_vec()), "invalid HTTP"),
        (Liar::http(|_| vec![0xff; 100_000]), "invalid HTTP"),
        (Liar::http(|_| answer(500, "{\"error\":\"no\r\n\u{1b}[2J memory\"}")), "HTTP 500: {\"error\":\"no   [2J memory\"}"),
        (Liar::http(|_| answer(204, "")), "HTTP 204"),
        (Liar::http(|_| b"HTTP/1.1 302 X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_vec()), "HTTP 302"),
        (Liar::http(|_| answer(200, "")), "EOF while parsing"),
        (Liar::http(|_| answer(200, "<html>")), "expected value"),
        (Liar::http(|_| answer(200, "[]")), ""),
        (Liar::http(|_| answer(200, &"[".repeat(100_000))), ""),
        (Liar::http(|_| answer(200, &format!("{{\"symbols\":{}", "{\"a\":".repeat(100_000)))), ""),
        (Liar::http(|_| answer(200, &format!("{{\"score\":1{}}}", "0".repeat(400)))), "number out of range"),
        (Liar::http(|_| answer(200, "{\"action\":\"no action\",\"score\":\"3\",\"n\":\"3\"}")), ""),
        (Liar::http(|_| answer(200, &format!("{{\"x\":\"{}\"}}", "y".repeat(2 << 20)))), "length limit exceeded"),
        (
            Liar::http(|_| b"HTTP/1.1 200 X\r\nContent-Length: 99\r\n\r\n{\"n\":1,\"action\":\"reject\",\"score\":1}".to_vec()),
            "no answer within 1 s",
        ),
        (
            Liar::start(move |mut stream| {
                request(&mut BufReader::new(stream.try_clone().unwrap()));
                pour(&mut stream, "HTTP/1.1 200 X\r\n", "X-More: and more of it\r\n".repeat(1000).as_bytes(), nothing);
            }),
            "",
        ),
        (
            Liar::start(move |mut stream| {
                request(&mut BufReader::new(stream.try_clone().unwrap()));
                let chunk = format!("10000\r\n{}\r\n", "z".repeat(0x10000));
                pour(&mut stream, "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n", chunk.as_bytes(), nothing);
            }),
            "length limit exceeded",
        ),
        (
            Liar::start(|mut stream| {
                request(&mut BufReader::new(stream.try_clone().unwrap()));
                pour(&mut stream, "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", Duration::from_millis(50));
            }),
            "no answer within 1 s",
        ),
        (Liar::start(|mut stream| pour(&mut stream, "H", b"T", Duration::from_millis(50))), ""),
    ];
    let mail = Mail::with_message(PLAIN.repeat(1000));
    for (number, (liar, expected)) in cases.iter().enumerate() {
        for section in [
            format!("  a: {{ type: rspamd, url: \"http://{}\", timeout: 1s }}", liar.address),
            format!("  a: {{ type: http, url: \"http://{}/x\", fields: {{ n: number }}, send: message, timeout: 1s }}", liar.address),
        ] {
            let why = reason(&section, &mail).await;
            assert!(why.contains(expected), "{number}: {why}");
        }
    }
}

#[tokio::test]
async fn nobody_at_the_address() {
    let address = crate::common::free_address();
    for section in [
        format!("  a: {{ type: rspamd, url: \"http://{address}\" }}"),
        format!("  a: {{ type: clamav, address: \"{address}\" }}"),
        format!("  a: {{ type: http, url: \"http://{address}\", fields: {{ n: number }} }}"),
    ] {
        let why = reason(&section, &Mail::with_message(PLAIN)).await;
        assert!(why.contains("Connection refused"), "{why}");
    }
    let why = reason("  a: { type: clamav, address: \"unix:/nonexistent/clamd.ctl\" }", &Mail::with_message(PLAIN)).await;
    assert!(why.contains("No such file"), "{why}");
}

#[tokio::test]
async fn clamd_that_lies() {
    let says = |text: &'static [u8]| {
        Liar::start(move |mut stream| {
            let _ = stream.write_all(text);
            wait_for_the_end(&mut stream);
        })
    };
    let cases: Vec<(Liar, &str)> = vec![
        (Liar::start(|mut stream| wait_for_the_end(&mut stream)), "no answer within 1 s"),
        (Liar::start(drop), ""),
        // Closed in an orderly way after all was heard.
        (
            Liar::start(|mut stream| {
                let mut heard = [0; 64 * 1024];
                while stream.read(&mut heard).is_ok_and(|length| !heard[..length].ends_with(&[0; 4])) {}
            }),
            "clamd closed the connection without an answer",
        ),
        (says(b"UNKNOWN COMMAND\0"), "clamd: UNKNOWN COMMAND"),
        (says(b"\0"), "without an answer"),
        (says(b"stream: OK"), "no answer within 1 s"),
        (says(b"INSTREAM: Can't write to temporary file. ERROR\0"), "clamd: INSTREAM: Can't write to temporary file. ERROR"),
        (says(b"220 mx\r\n\x1b[2J\0"), "clamd: 220 mx   [2J"),
        (Liar::start(|mut stream| pour(&mut stream, "s", b"t", Duration::from_millis(50))), "no answer within 1 s"),
        (Liar::start(|mut stream| pour(&mut stream, "", &[b'x'; 4096], Duration::ZERO)), "the answer of clamd has no end"),
    ];
    let mail = Mail::with_message(PLAIN.repeat(100));
    for (number, (liar, expected)) in cases.iter().enumerate() {
        let why = reason(&format!("  a: {{ type: clamav, address: \"{}\", timeout: 1s }}", liar.address), &mail).await;
        assert!(why.contains(expected), "{number}: {why}");
    }
}
