//! BDAT (RFC 3030): lengths that lie, content that looks like commands, and chunks out of place.

use crate::harness::{Client, Reply, mail};
use crate::{BOB, start, start_with_tls, starttls, still_serves};

const ENVELOPE: &str = "MAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@acme.example>\r\n";
const EVIL: &str = "MAIL FROM:<evil@example.org>\r\nRCPT TO:<bob@acme.example>\r\nDATA\r\nevil\r\n.\r\n";

/// Nobody knows where such a chunk ends, so nothing behind it is read.
#[test]
fn a_length_that_cannot_be_read_ends_the_session() {
    let (sink, gateway) = start();
    let overlong = format!("BDAT {}5 LAST", "0".repeat(30));
    let endless = format!("BDAT {} LAST", "9".repeat(5000));
    for command in [
        "BDAT",
        "BDAT ",
        "BDAT LAST",
        "BDAT -1 LAST",
        "BDAT +5 LAST",
        "BDAT 0x5 LAST",
        "BDAT 5h LAST",
        "BDAT 5,0 LAST",
        "BDAT 5.0 LAST",
        "BDAT 1e1 LAST",
        "BDAT \u{ff15} LAST",
        "BDAT 5\0 LAST",
        "BDAT 5 LAST LAST",
        "BDAT 5 6",
        "BDAT 5LAST",
        "BDAT\t5 LAST",
        "BDAT 18446744073709551616 LAST",
        &overlong,
        &endless,
    ] {
        let mut client = Client::hello(gateway.address());
        let _ = client.try_write(format!("{ENVELOPE}{command}\r\n{EVIL}").as_bytes());
        client.reply().expect("250 ");
        client.reply().expect("250 ");
        let reply = client.reply();
        assert!((500..=501).contains(&reply.code), "{command:.40}: {reply:?}");
        assert_eq!(client.rest(), "", "{command:.40}");
    }
    assert!(gateway.events(|event| event["mail_from"] == "evil@example.org").is_empty());
    still_serves(&sink, &gateway);
}

/// A length is what it says, however much that is: all that comes is content, and none of it is stored beyond the limit.
#[test]
fn a_huge_length_swallows_what_comes_and_takes_no_memory() {
    let (sink, gateway) = start();
    for bytes in [u64::MAX, u64::MAX - 1, 1 << 63, 1 << 40] {
        let mut client = Client::hello(gateway.address());
        client.write(format!("{ENVELOPE}BDAT {bytes} LAST\r\n{EVIL}").as_bytes());
        client.reply().expect("250 ");
        client.reply().expect("250 ");
        client.write(EVIL.repeat(1000).as_bytes());
        client.half_close();
        assert_eq!(client.rest(), "");
    }
    assert!(gateway.memory_kib("VmRSS") < 200_000);
    assert!(sink.taken().is_empty());
    still_serves(&sink, &gateway);
}

#[test]
fn ends_of_data_and_commands_within_a_chunk_are_content() {
    let (sink, gateway) = start();
    for content in [
        "\r\n.\r\n".to_owned(),
        ".\r\n".to_owned(),
        format!("Subject: x\r\n\r\n.\r\n{EVIL}"),
        format!("Subject: x\r\n\r\nBDAT 5 LAST\r\n{EVIL}QUIT\r\n"),
    ] {
        let mut client = Client::hello(gateway.address());
        client.write(format!("{ENVELOPE}BDAT {} LAST\r\n{content}NOOP\r\nQUIT\r\n", content.len()).as_bytes());
        for reply in ["250 ", "250 ", "250 ", "250 2.0.0 Ok", "221 "] {
            client.reply().expect(reply);
        }
        let taken = sink.taken().pop().unwrap();
        assert_eq!(taken.mail_from, "alice@example.org");
        assert!(mail::text(&taken.data).ends_with(&content), "{content:?}");
    }
    // Its octets are counted from the LF of the command on: a chunk that is one shorter leaves one for the next command.
    let mut client = Client::hello(gateway.address());
    client.write(format!("{ENVELOPE}BDAT 5 LAST\r\nabc\r\nNOOP\r\n").as_bytes());
    for reply in ["250 ", "250 ", "250 ", "250 2.0.0 Ok"] {
        client.reply().expect(reply);
    }
    assert_eq!(sink.taken().len(), 5);
    still_serves(&sink, &gateway);
}

#[test]
fn lines_that_end_the_data_elsewhere_are_refused_as_behind_data() {
    let (sink, gateway) = start();
    for (content, reply) in [
        ("a\r\n\0.\r\nb\r\n", "550 5.6.0"),
        ("a\r\n\0\0.\0\r\nb\r\n", "550 5.6.0"),
        ("\0.\r\n", "550 5.6.0"),
        ("a\r\n\0.", "550 5.6.0"),
        ("a\n.\nb\r\n", "550 5.5.2"),
        ("a\r\n.\nb\r\n", "550 5.5.2"),
        ("a\r.\rb\r\n", "550 5.5.2"),
        ("a\r\n.\rb\r\n", "550 5.5.2"),
        ("a\r\n.\r", "550 5.5.2"),
        ("a\r", "550 5.5.2"),
        ("\n", "550 5.5.2"),
    ] {
        // Cut everywhere.
        for cut in 0..=content.len() {
            let (one, other) = content.split_at(cut);
            let mut client = Client::hello(gateway.address());
            client.write(format!("{ENVELOPE}BDAT {}\r\n{one}BDAT {} LAST\r\n{other}NOOP\r\n", one.len(), other.len()).as_bytes());
            let replies: Vec<_> = (0..5).map(|_| client.reply()).collect();
            let said: Vec<u16> = replies.iter().map(|reply| reply.code).collect();
            let is_it = |said: &Reply| format!("{} {}", said.code, said.text).starts_with(reply);
            assert!(replies.iter().any(is_it), "{content:?} at {cut}: {replies:?}");
            assert!(said[3] >= 500 && said[4] == 250, "{content:?} at {cut}: {said:?}");
        }
    }
    assert!(sink.taken().is_empty());
    still_serves(&sink, &gateway);
}

#[test]
fn chunks_out_of_place_are_thrown_away_whole() {
    let (sink, gateway) = start();
    let evil = EVIL.len();
    for (lines, codes) in [
        // Without a transaction, without recipients, with refused ones.
        (format!("BDAT {evil} LAST\r\n{EVIL}NOOP\r\n"), &[503, 250][..]),
        (format!("MAIL FROM:<a@example.org>\r\nBDAT {evil} LAST\r\n{EVIL}NOOP\r\n"), &[250, 503, 250]),
        (format!("MAIL FROM:<a@example.org>\r\nRCPT TO:<x@other.example>\r\nBDAT {evil} LAST\r\n{EVIL}NOOP\r\n"), &[250, 550, 554, 250]),
        // Between chunks: another transaction, DATA and more recipients are refused; NOOP is none of it.
        (
            format!("{ENVELOPE}BDAT 3\r\nabcMAIL FROM:<evil@example.org>\r\nRCPT TO:<{BOB}>\r\nDATA\r\nNOOP\r\nRSET\r\n"),
            &[250, 250, 250, 503, 503, 503, 250, 250],
        ),
        // RSET forgets what came; a LAST behind it has no transaction.
        (format!("{ENVELOPE}BDAT {evil}\r\n{EVIL}RSET\r\nBDAT 3 LAST\r\nabcNOOP\r\n"), &[250, 250, 250, 250, 503, 250]),
        // So does EHLO.
        (format!("{ENVELOPE}BDAT {evil}\r\n{EVIL}EHLO c.example\r\nBDAT 0 LAST\r\nNOOP\r\n"), &[250, 250, 250, 250, 503, 250]),
        // After a refused chunk those behind it are refused until RSET: no message without its middle.
        (format!("MAIL FROM:<a@example.org>\r\nBDAT 3\r\nabcRCPT TO:<{BOB}>\r\nBDAT 3 LAST\r\nabcDATA\r\n"), &[250, 503, 250, 503, 503]),
        // QUIT between chunks.
        (format!("{ENVELOPE}BDAT {evil}\r\n{EVIL}QUIT\r\nNOOP\r\n"), &[250, 250, 250, 221]),
    ] {
        let mut client = Client::hello(gateway.address());
        client.write(lines.as_bytes());
        let said: Vec<u16> = codes.iter().map(|_| client.reply().code).collect();
        assert_eq!(said, codes, "{lines:?}");
    }
    assert!(sink.taken().is_empty());
    assert!(gateway.events(|event| event["mail_from"] == "evil@example.org").is_empty());
    still_serves(&sink, &gateway);
}

#[test]
fn a_chunk_behind_starttls_in_the_same_segment_goes_into_the_handshake() {
    let (sink, gateway) = start_with_tls("optional");
    for injected in [format!("{ENVELOPE}BDAT 3 LAST\r\nabc"), "BDAT 400 LAST\r\n".to_owned()] {
        let rest = starttls::injected(&gateway, &injected);
        assert!(!rest.contains("250") && !rest.contains("503"), "{rest:?}");
    }
    // Before it: the chunk's message ends with the transaction, and its octets do not become STARTTLS.
    let mut client = Client::hello(gateway.address());
    client.write(format!("{ENVELOPE}BDAT 10\r\nSTARTTLS\r\n").as_bytes());
    for _ in 0..3 {
        client.reply().expect("250 ");
    }
    client.start_tls();
    client.command("EHLO c.example").expect("250 ");
    client.write(b"BDAT 3 LAST\r\nabc");
    client.reply().expect("503 5.5.1");
    assert!(sink.taken().is_empty());
    still_serves(&sink, &gateway);
}

#[test]
fn a_chunk_octet_by_octet_is_the_same_and_half_a_one_is_nothing() {
    let (sink, gateway) = start();
    let mut client = Client::hello(gateway.address());
    for octet in format!("{ENVELOPE}BDAT 9\r\nabc\r\n.\r\nNBDAT 3 LAST\r\n\r\nxNOOP\r\n").as_bytes() {
        client.write(&[*octet]);
    }
    for _ in 0..5 {
        client.reply().expect("250 ");
    }
    assert!(mail::text(&sink.only().data).ends_with("abc\r\n.\r\nN\r\nx\r\n"));
    // Gone in the middle of the last chunk, or between two, or in the command itself.
    for begin in ["BDAT 10 LAST\r\n123456789", "BDAT 3\r\n123", "BDAT 3\r\n123BDAT 0 LAST", "BDAT 3\r\n123BDAT 1 LAST\r\n", "BDAT 3\r\n12"]
    {
        let mut client = Client::hello(gateway.address());
        client.write(format!("{ENVELOPE}{begin}").as_bytes());
        client.reply().expect("250 ");
        client.half_close();
        let rest = client.rest();
        assert!(!rest.contains("2.0.0 Ok"), "{begin:?}: {rest:?}");
    }
    gateway.wait_for(|event| event["event"] == "disconnected" && event["reason"] == "client closed");
    assert_eq!(sink.taken().len(), 1);
    still_serves(&sink, &gateway);
}
