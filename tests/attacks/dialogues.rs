//! RFC 5321 as dialogues: what each command does in each place. Each dialogue runs in a session of its own.
//!
//! `C:` is a line of the client, `S:` the begin of the reply that must follow; its lines are joined by `|`.

use crate::harness::{Client, Deployment, Gateway, Sink, mail};
use crate::{ALICE, BOB, begin, start};

const DIALOGUES: &[(&str, &str)] = &[
    (
        "§3.1, §4.1.4: no mail without HELO or EHLO; the small commands need none",
        "C: NOOP\nS: 250\nC: RSET\nS: 250\nC: HELP\nS: 214\nC: VRFY bob\nS: 252\nC: EXPN list\nS: 502\n\
         C: MAIL FROM:<alice@example.org>\nS: 503 5.5.1\nC: RCPT TO:<bob@acme.example>\nS: 503 5.5.1\nC: DATA\nS: 503 5.5.1\nC: QUIT\nS: 221",
    ),
    (
        "§4.1.1.1: HELO gets one line and EHLO the extensions, each on its own line",
        "C: HELO c.example\nS: 250 mx1.acme.example\nC: EHLO c.example\nS: 250 mx1.acme.example|PIPELINING|SIZE 41943040|",
    ),
    (
        "§4.1.1.1, §4.1.3: names and literals; nobody is asked whether they are true",
        "C: EHLO localhost\nS: 250\nC: EHLO [127.0.0.1]\nS: 250\nC: EHLO [IPv6:2001:db8::1]\nS: 250\nC: HELO 192.0.2.1\nS: 250\nC: EHLO\nS: 501\n\
         C: HELO \nS: 501\nC: EHLO a b\nS: 501\nC: EHLO [\nS: 501",
    ),
    (
        "§2.4: verbs and keywords in any case, space before the line's end",
        "C: ehlo c.example\nS: 250\nC: mAiL FrOm:<alice@example.org> sIzE=10 body=8bitmime\nS: 250\nC: rcpt to:<bob@acme.example>   \nS: 250\n\
         C: dAtA \nS: 354\nC: Subject: x\nC: \nC: .\nS: 250\nC: quit\nS: 221",
    ),
    (
        "§4.1.1: a line begins with its verb, which one space follows",
        "C: EHLO c.example\nS: 250\nC:  NOOP\nS: 500\nC: \nS: 500\nC: MAILFROM:<a@example.org>\nS: 500\nC: NOOPX\nS: 500\nC: MAIL  FROM:<a@example.org>\nS: 250",
    ),
    (
        "§3.3: MAIL twice, RCPT before MAIL, DATA without RCPT",
        "C: EHLO c.example\nS: 250\nC: RCPT TO:<bob@acme.example>\nS: 503\nC: DATA\nS: 503\nC: MAIL FROM:<alice@example.org>\nS: 250\n\
         C: MAIL FROM:<other@example.org>\nS: 503\nC: DATA\nS: 503\nC: RCPT TO:<bob@acme.example>\nS: 250\nC: MAIL FROM:<other@example.org>\nS: 503\nC: DATA\nS: 354\nC: .\nS: 250",
    ),
    (
        "§4.1.1.4: DATA after refused recipients alone is 554, and the transaction goes on",
        "C: EHLO c.example\nS: 250\nC: MAIL FROM:<alice@example.org>\nS: 250\nC: RCPT TO:<x@elsewhere.example>\nS: 550 5.7.1\nC: DATA\nS: 554 5.5.1\n\
         C: RCPT TO:<bob@acme.example>\nS: 250\nC: DATA\nS: 354\nC: .\nS: 250",
    ),
    (
        "§4.1.1.5: RSET forgets the transaction and not the greeting",
        "C: EHLO c.example\nS: 250\nC: MAIL FROM:<alice@example.org>\nS: 250\nC: RCPT TO:<bob@acme.example>\nS: 250\nC: RSET\nS: 250\nC: DATA\nS: 503\n\
         C: RCPT TO:<bob@acme.example>\nS: 503\nC: MAIL FROM:<alice@example.org>\nS: 250\nC: RSET now\nS: 501",
    ),
    (
        "§4.1.4: EHLO in the middle resets, a refused one does not",
        "C: EHLO c.example\nS: 250\nC: MAIL FROM:<alice@example.org>\nS: 250\nC: EHLO not a name\nS: 501\nC: RCPT TO:<bob@acme.example>\nS: 250\n\
         C: EHLO d.example\nS: 250\nC: RCPT TO:<bob@acme.example>\nS: 503\nC: MAIL FROM:<alice@example.org>\nS: 250\nC: HELO e.example\nS: 250\nC: DATA\nS: 503",
    ),
    (
        "§4.1.4: NOOP, VRFY, EXPN and HELP change nothing",
        "C: EHLO c.example\nS: 250\nC: MAIL FROM:<alice@example.org>\nS: 250\nC: NOOP\nS: 250\nC: NOOP with words\nS: 250\nC: VRFY <bob@acme.example>\nS: 252\nC: EXPN all\nS: 502\n\
         C: HELP\nS: 214\nC: HELP DATA\nS: 214\nC: VRFY\nS: 501\nC: RCPT TO:<bob@acme.example>\nS: 250",
    ),
    ("§4.1.1.10: QUIT takes no argument, and nothing follows it", "C: QUIT now\nS: 501\nC: NOOP\nS: 250\nC: QUIT\nS: 221 2.0.0"),
    (
        "§4.5.5: the null sender",
        "C: EHLO c.example\nS: 250\nC: MAIL FROM:<>\nS: 250\nC: RCPT TO:<>\nS: 501 5.1.3\nC: RCPT TO:<bob@acme.example>\nS: 250\nC: DATA\nS: 354\nC: .\nS: 250\nC: MAIL FROM: <> SIZE=0\nS: 250",
    ),
    (
        "§3.3, appendix C: source routes are read and ignored",
        "C: EHLO c.example\nS: 250\nC: MAIL FROM:<@a.example,@b.example:alice@example.org>\nS: 250\nC: RCPT TO:<@a.example:bob@acme.example>\nS: 250\nC: RCPT TO:<@a.example,@:bob@acme.example>\nS: 501",
    ),
    (
        "§4.1.1.3, §4.5.1: the bare postmaster, in any case",
        "C: EHLO c.example\nS: 250\nC: MAIL FROM:<alice@example.org>\nS: 250\nC: RCPT TO:<postmaster>\nS: 250\nC: RCPT TO:<POSTMASTER>\nS: 250\nC: RCPT TO:<postmaster@acme.org>\nS: 250\nC: RCPT TO:<hostmaster>\nS: 501",
    ),
    (
        "§4.1.1.11: parameters unknown, malformed and repeated",
        "C: EHLO c.example\nS: 250\nC: MAIL FROM:<alice@example.org> X-FOO=1\nS: 555 5.5.4\nC: MAIL FROM:<alice@example.org> SIZE=1 SIZE=1\nS: 501\nC: MAIL FROM:<alice@example.org> =\nS: 501\n\
         C: MAIL FROM:<alice@example.org> SIZE\nS: 501\nC: MAIL FROM:<alice@example.org> BODY=\nS: 501\nC: MAIL FROM:<alice@example.org> BODY=BINARYMIME\nS: 5\nC: MAIL FROM:<alice@example.org>\nS: 250\nC: RCPT TO:<bob@acme.example> X=1\nS: 555",
    ),
    (
        "RFC 1870 §3, §6: SIZE at the limit, above it, and beyond numbers",
        "C: EHLO c.example\nS: 250\nC: MAIL FROM:<alice@example.org> SIZE=41943041\nS: 552 5.3.4\nC: MAIL FROM:<alice@example.org> SIZE=18446744073709551616\nS: 552\n\
         C: MAIL FROM:<alice@example.org> SIZE=99999999999999999999\nS: 552\nC: MAIL FROM:<alice@example.org> SIZE=100000000000000000000\nS: 501\nC: MAIL FROM:<alice@example.org> SIZE=-1\nS: 501\n\
         C: MAIL FROM:<alice@example.org> SIZE=1e3\nS: 501\nC: MAIL FROM:<alice@example.org> SIZE=41943040\nS: 250",
    ),
    (
        "RFC 1870 §6.3: a SIZE that was too small does not make the message wrong",
        "C: EHLO c.example\nS: 250\nC: MAIL FROM:<alice@example.org> SIZE=1\nS: 250\nC: RCPT TO:<bob@acme.example>\nS: 250\nC: DATA\nS: 354\nC: Subject: longer than said\nC: .\nS: 250",
    ),
    (
        "RFC 6531 §3.4: SMTPUTF8 covers the recipients, for this transaction only; after HELO it is taken all the same",
        "C: HELO c.example\nS: 250\nC: MAIL FROM:<\u{fc}@example.org>\nS: 553 5.6.7\nC: MAIL FROM:<\u{fc}@example.org> SMTPUTF8\nS: 250\nC: RCPT TO:<b\u{f6}b@acme.example>\nS: 250\nC: RSET\nS: 250\n\
         C: MAIL FROM:<alice@example.org>\nS: 250\nC: RCPT TO:<b\u{f6}b@acme.example>\nS: 553 5.6.7",
    ),
    (
        "§4.2.4, §4.5.1: what is not there is 502, what is no command 500",
        "C: TURN\nS: 502\nC: SEND FROM:<a@example.org>\nS: 502\nC: SAML FROM:<a@example.org>\nS: 502\nC: ETRN x\nS: 502\nC: STARTTLS\nS: 502\nC: XCLIENT ADDR=1.2.3.4\nS: 500\nC: XFORWARD ADDR=1.2.3.4\nS: 500\nC: WIZ\nS: 500\nC: DEBUG\nS: 500",
    ),
    (
        "§4.1.2: the path stands in angle brackets; without them it is taken if nothing about it is doubtful",
        "C: EHLO c.example\nS: 250\nC: MAIL FROM:alice@example.org\nS: 250\nC: RSET\nS: 250\nC: MAIL FROM:alice@example.org,b@c\nS: 501\nC: MAIL FROM:\nS: 501\nC: MAIL <alice@example.org>\nS: 501\nC: MAIL FROM\nS: 501\nC: MAIL\nS: 501\n\
         C: MAIL FROM :<alice@example.org>\nS: 501\nC: MAIL FROM:<alice@example.org>\nS: 250\nC: RCPT TO:bob@acme.example\nS: 250\nC: RCPT TO:bob\nS: 501\nC: RCPT\nS: 501\nC: RCPT TO:\nS: 501\nC: RCPT TO:<>\nS: 501\nC: DATA x\nS: 501",
    ),
    (
        "§4.1.1.4: several messages on one connection, the second without a new EHLO",
        "C: EHLO c.example\nS: 250\nC: MAIL FROM:<alice@example.org>\nS: 250\nC: RCPT TO:<bob@acme.example>\nS: 250\nC: DATA\nS: 354\nC: .\nS: 250\n\
         C: RCPT TO:<bob@acme.example>\nS: 503\nC: MAIL FROM:<alice@example.org>\nS: 250\nC: RCPT TO:<bob@acme.example>\nS: 250\nC: DATA\nS: 354\nC: .\nS: 250",
    ),
];

#[test]
fn each_command_does_what_the_standard_says() {
    let (_sink, gateway) = start();
    for (name, script) in DIALOGUES {
        let mut client = Client::dial(gateway.address());
        client.reply().expect("220 mx1.acme.example ESMTP");
        for line in script.lines() {
            if let Some(sent) = line.strip_prefix("C: ") {
                client.write(format!("{sent}\r\n").as_bytes());
            } else if let Some(expected) = line.strip_prefix("S: ") {
                let reply = client.reply();
                let got = format!("{} {}", reply.code, reply.text.replace('\n', "|"));
                assert!(got.starts_with(expected), "{name}\n{script}\n{expected} was expected, and not {got}");
            } else {
                panic!("{name}: {line}");
            }
        }
    }
}

/// Messages as short and as odd as they come: each arrives as it was sent, below our Received field.
#[test]
fn odd_messages_are_messages() {
    let (sink, gateway) = start();
    let long_line = format!("Subject: x\r\n\r\n{}\r\n", "y".repeat(5000));
    for (number, message) in [
        "",
        "\r\n",
        "\r\n\r\n",
        ".\r\n",
        "..\r\n",
        "Subject: header only\r\n",
        "Subject: header and empty line\r\n\r\n",
        "\r\nbody without header\r\n",
        "no header and no empty line\r\n",
        "Subject: x\r\n\r\n.\r\n..\r\n.x\r\n",
        "Subject: x\r\n\r\n\r\n\r\n\r\n",
        "Subject: x\r\n\r\n\u{fc}\u{20ac} 8bit without saying so\r\n",
        &long_line,
    ]
    .iter()
    .enumerate()
    {
        Client::hello(gateway.address()).send(ALICE, &[BOB], message.as_bytes()).expect("250 ");
        let data = sink.wait_taken(number + 1)[number].data.clone();
        let sent = mail::below_received(&data);
        // Where a body begins without an empty line before it, our field would swallow or extend it: one is put between.
        let closed = format!("\r\n{message}");
        assert!(sent == message.as_bytes() || sent == closed.as_bytes(), "{message:?} became {:?}", mail::text(sent));
        let is_header = message.is_empty() || message.starts_with("Subject: ") || message.starts_with("\r\n");
        assert_eq!(sent == message.as_bytes(), is_header, "{message:?} became {:?}", mail::text(sent));
    }
}

/// RFC 5321 §4.5.3.1.8 and .10.
#[test]
fn a_thousand_recipients_are_taken_and_the_rest_is_told_to_wait() {
    let (sink, gateway) = start();
    let mut client = Client::hello(gateway.address());
    client.command("MAIL FROM:<alice@example.org>").expect("250 ");
    let commands: String = (0..1002).map(|number| format!("RCPT TO:<r{number}@acme.example>\r\n")).collect();
    client.write(commands.as_bytes());
    for _ in 0..1000 {
        client.reply().expect("250 2.1.5");
    }
    client.reply().expect("452 4.5.3");
    client.reply().expect("452 4.5.3");
    client.command("DATA").expect("354 ");
    client.write(b"Subject: x\r\n\r\nx\r\n.\r\n");
    client.reply().expect("250 ");
    // At most a hundred of them in one transaction with the next hop.
    let taken = sink.wait_taken(10);
    let mut recipients: Vec<String> = taken.into_iter().flat_map(|mail| mail.recipients).collect();
    recipients.sort();
    recipients.dedup();
    assert_eq!(recipients.len(), 1000);
}

/// RFC 1870 §5: the limit counts what DATA brings, dots unstuffed, the final line not.
#[test]
fn the_size_limit_is_met_to_the_octet() {
    let sink = Sink::accepting();
    let gateway = Deployment::new("inline").relay("next", sink.address()).policy("default: allow\nmax_message_size: 1000\n").start();
    let message = |size: usize| {
        let header = "Subject: x\r\n\r\n.";
        format!("{header}{}\r\n", "y".repeat(size - header.len() - 2))
    };
    assert!(Client::hello(gateway.address()).command("EHLO c.example").text.contains("SIZE 1000"));
    Client::hello(gateway.address()).send(ALICE, &[BOB], message(1000).as_bytes()).expect("250 ");
    Client::hello(gateway.address()).send(ALICE, &[BOB], message(1001).as_bytes()).expect("552 5.3.4");
    assert_eq!(sink.only().original().len(), 1000);
}

/// RFC 2920: any group in one segment, with the replies in order, also when some of it is refused.
#[test]
fn pipelined_groups_are_answered_in_order() {
    let (sink, gateway) = start();
    let mut client = Client::hello(gateway.address());
    client.write(
        b"MAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@acme.example>\r\nRCPT TO:<x@elsewhere.example>\r\nRCPT TO:<carol@acme.org>\r\nDATA\r\n\
          Subject: one\r\n\r\nx\r\n.\r\nRSET\r\nMAIL FROM:<>\r\nRCPT TO:<x@elsewhere.example>\r\nDATA\r\nRSET\r\nNOOP\r\nQUIT\r\nNOOP\r\n",
    );
    let rest = client.rest();
    let codes: Vec<&str> = rest.lines().map(|line| &line[..3]).collect();
    assert_eq!(codes, ["250", "250", "550", "250", "354", "250", "250", "250", "550", "554", "250", "250", "221"], "{rest}");
    assert_eq!(sink.wait_taken(1).len(), 1, "one for both");
}

/// Ten refused recipients and nobody accepted: the session is over; what was sent behind them is not carried out.
#[test]
fn a_dictionary_attack_ends_with_421() {
    let (sink, gateway) = start();
    let mut client = Client::hello(gateway.address());
    client.command("MAIL FROM:<alice@example.org>").expect("250 ");
    let guesses: String = (0..100).map(|number| format!("RCPT TO:<guess{number}@elsewhere.example>\r\n")).collect();
    client.write(guesses.as_bytes());
    client.write(b"RCPT TO:<bob@acme.example>\r\nDATA\r\nx\r\n.\r\n");
    let rest = client.rest();
    assert_eq!(rest.lines().count(), 11, "{rest}");
    assert!(rest.ends_with("421 4.7.0 Too many recipients that are not accepted\r\n"), "{rest}");
    assert!(sink.taken().is_empty());
    let mut again = Client::hello(gateway.address());
    begin(&mut again);
}

/// The list of those that are offered is the list of those that work.
#[test]
fn ehlo_offers_no_more_than_there_is() {
    let (_sink, gateway) = start();
    let offered = hello(&gateway);
    for word in ["PIPELINING", "SIZE 41943040", "8BITMIME", "SMTPUTF8", "CHUNKING", "DSN", "ENHANCEDSTATUSCODES"] {
        assert!(offered.iter().any(|line| line == word), "{word} in {offered:?}");
    }
    for word in ["AUTH", "BINARYMIME", "REQUIRETLS", "ETRN", "EXPN", "TURN", "XCLIENT", "XFORWARD", "VERP", "STARTTLS"] {
        assert!(!offered.iter().any(|line| line.split(' ').next() == Some(word)), "{word} in {offered:?}");
    }
}

fn hello(gateway: &Gateway) -> Vec<String> {
    let mut client = Client::dial(gateway.address());
    client.reply().expect("220 ");
    client.command("EHLO c.example").expect("250 ").text.lines().map(str::to_owned).collect()
}
