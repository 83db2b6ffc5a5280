//! What the gateway is like as a client of Google and of Microsoft, judged by servers that behave as theirs do.

use std::net::IpAddr;

use crate::common::peer::Peer;
use crate::harness::client::stuffed;
use crate::harness::{Client, Deployment, Gateway, mail};

pub const TLS: &str = "tls: required, limits: { one_domain_per_message: true }";

/// A message as a client hands it in.
struct Submission {
    /// Behind the path of MAIL.
    mail: &'static str,
    /// Behind the path of RCPT.
    rcpt: &'static str,
    recipients: Vec<String>,
    content: Vec<u8>,
    chunked: bool,
}

/// Mail of all the kinds that make a careless client stumble.
fn submissions() -> Vec<Submission> {
    let one = || vec!["bob@acme.example".to_owned()];
    let plain = |content: Vec<u8>| Submission { mail: "", rcpt: "", recipients: one(), content, chunked: false };
    let with_subject = |text: &str| mail::text(&mail::small("corpus")).replace("Subject: corpus", text).into_bytes();
    let two_domains: Vec<String> = (0..6).map(|at| format!("r{at}@acme.{}", if at % 2 == 0 { "example" } else { "org" })).collect();
    vec![
        plain(mail::small("small")),
        plain(mail::awkward(900)),
        // Longer than RFC 5322 allows, and a signature may cover it: it stays.
        plain(mail::awkward(5000)),
        plain(mail::large(2_000_000)),
        plain(with_subject("Subject: =?utf-8?q?folded?=\r\n\tonce\r\n  and twice  ")),
        plain(b"Subject: no body\r\n".to_vec()),
        plain(b"Subject: an empty body\r\n\r\n".to_vec()),
        plain(b"Subject: ends with an empty line\r\n\r\nx\r\n\r\n\r\n".to_vec()),
        plain(b"x-odd:no blank\r\nX-ODD : blank before\r\nX-Empty:\r\nFrom: a@example.org\r\nFrom: b@example.org\r\n\r\n..\r\n".to_vec()),
        Submission { recipients: two_domains.clone(), ..plain(mail::small("two domains")) },
        Submission { recipients: two_domains, chunked: true, ..plain(mail::awkward(70)) },
        Submission { recipients: (0..230).map(|at| format!("r{at}@acme.example")).collect(), ..plain(mail::small("many")) },
        Submission {
            mail: " BODY=8BITMIME RET=HDRS ENVID=abc",
            rcpt: " NOTIFY=FAILURE,DELAY ORCPT=rfc822;b@c",
            ..plain(mail::awkward(10))
        },
        Submission { mail: " SMTPUTF8", ..plain(with_subject("Subject: \u{e4}\u{f6}")) },
        Submission {
            mail: " SMTPUTF8",
            recipients: vec!["b\u{fc}cher@acme.example".to_owned(), "bob@acme.example".to_owned()],
            ..plain(mail::small("utf8"))
        },
        Submission { chunked: true, ..plain(mail::large(300_000)) },
    ]
}

#[test]
fn google_and_microsoft_see_nothing_wrong_and_every_octet() {
    for name in ["peer-google", "peer-exchange-online"] {
        for (delivery, chunking) in [("inline", "never"), ("queue", "never"), ("inline", "auto")] {
            let peer = Peer::start(name);
            let deployment = Deployment::new(delivery).relay_with("next", peer.address(), &format!("chunking: {chunking}, {TLS}"));
            let gateway = deployment.start();
            let submissions = submissions();
            for (number, submission) in submissions.iter().enumerate() {
                submit(&gateway, number, submission);
            }
            let all: usize = submissions.iter().map(|submission| submission.recipients.len()).sum();
            gateway.wait_events(all, |event| event["event"] == "outcome" && event["outcome"] == "delivered");
            let mut arrived: Vec<(usize, String)> = Vec::new();
            for taken in peer.taken() {
                let number: usize = taken.sender().trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
                mail::assert_same(mail::below_received(&taken.data), &submissions[number].content);
                assert!(taken.tls);
                arrived.extend(taken.recipients().into_iter().map(|recipient| (number, recipient.to_owned())));
            }
            let mut sent: Vec<(usize, String)> = Vec::new();
            for (number, submission) in submissions.iter().enumerate() {
                sent.extend(submission.recipients.iter().map(|recipient| (number, recipient.clone())));
            }
            arrived.sort_unstable();
            sent.sort_unstable();
            assert_eq!(arrived, sent, "each recipient once");
            assert_eq!(peer.violations(), [""; 0], "{name}, {delivery}");
            let chunks = peer.dialogue().iter().filter(|line| line.contains(" BDAT ")).count();
            assert_eq!(chunks > 0, chunking == "auto");
            let (status, said) = gateway.stop();
            assert!(status.success(), "{said}");
            // Leaving is part of it.
            assert_eq!(peer.violations(), [""; 0], "{name}, {delivery}");
        }
    }
}

fn submit(gateway: &Gateway, number: usize, submission: &Submission) {
    let mut client = Client::hello(gateway.address());
    client.command(&format!("MAIL FROM:<m{number}@example.org>{}", submission.mail)).expect("250 ");
    for recipient in &submission.recipients {
        client.command(&format!("RCPT TO:<{recipient}>{}", submission.rcpt)).expect("250 ");
    }
    if submission.chunked {
        let (first, last) = submission.content.split_at(submission.content.len() / 3);
        for (chunk, end) in [(first, ""), (last, " LAST")] {
            client.write(format!("BDAT {}{end}\r\n", chunk.len()).as_bytes());
            client.write(chunk);
            client.reply().expect("250 ");
        }
    } else {
        client.command("DATA").expect("354 ");
        client.write(&stuffed(&submission.content));
        client.reply().expect("250 ");
    }
}

/// What a client may call itself to be taken for somebody else by who reads Received fields.
const HELOS: &[&str] = &[
    "client.example",
    "[9.9.9.9]",
    "[IPv6:2001:db8::bad]",
    "9.9.9.9",
    "a([9.9.9.9])",
    "a ([9.9.9.9])",
    "x (y [9.9.9.9]) by z",
    "x (9.9.9.9) by z with Microsoft SMTP Server",
    "([9.9.9.9])",
    "localhost",
    "localhost (localhost [127.0.0.1])",
    "mx1.acme.example",
    "mail-ej1-f41.google.com (mail-ej1-f41.google.com [9.9.9.9])",
    "x\" (y [9.9.9.9])",
    "x\\) (y [9.9.9.9])",
    "x;(y [9.9.9.9])",
    "x\ty [9.9.9.9]",
    "\u{e4} (y [9.9.9.9])",
    "x by y (z [9.9.9.9]) with ESMTPS id 1 for <a@b>; Sun, 22 Nov 2026 12:00:00 +0000",
    "[9.9.9.9] (y [9.9.9.9])",
    "[[9.9.9.9]]",
    "unknown",
];

#[test]
fn whatever_a_client_calls_itself_its_address_is_found_in_the_trace() {
    let peer = Peer::start("peer-exchange-online");
    let deployment = Deployment::new("inline").relay_with("next", peer.address(), TLS).endpoint("proxy_protocol: { trusted: 127.0.0.1 }");
    let gateway = deployment.start();
    // What stands below our field is the sender's word.
    let forged =
        b"Received: from a (b [9.9.9.9])\r\n\tby gw.example (Gateway) with ESMTPS id 1; Sun, 22 Nov 2026 12:00:00 +0000\r\n".to_vec();
    let message = [forged, mail::small("trace")].concat();
    let long = "x".repeat(300) + " (y [9.9.9.9])";
    let mut taken = 0;
    for source in ["203.0.113.9", "2001:db8::9"] {
        for helo in HELOS.iter().copied().chain([long.as_str()]) {
            let mut client = Client::behind(gateway.address(), 2, source, "first.example");
            let hello = client.command(&format!("EHLO {helo}"));
            let helo = if hello.code == 250 { helo } else { "first.example" };
            client.send("alice@example.org", &["bob@acme.example"], &message).expect("250 ");
            taken += 1;
            let data = peer.wait_taken(taken).pop().unwrap().data;
            let header = mail::text(&data);
            assert_eq!(external_source(&header), Some(source.parse().unwrap()), "{helo:?}: {}", mail::received_field(&data));
        }
    }
    assert_eq!(peer.violations(), [""; 0]);
}

/// The address that mail came from, as Exchange Online is seen to find it: in the topmost Received field whose `from` clause names one that
/// is neither loopback nor private, be it in Postfix's form, `from helo (name [address])`, or in Exchange's, `from name (address)`.
fn external_source(header: &str) -> Option<IpAddr> {
    let header = header.split("\r\n\r\n").next().unwrap_or_default().replace("\r\n\t", " ").replace("\r\n ", " ");
    let fields = header.split("\r\n").filter_map(|field| field.strip_prefix("Received: from "));
    fields.filter_map(from_clause).find(|address| match address {
        IpAddr::V4(address) => !address.is_loopback() && !address.is_private(),
        IpAddr::V6(address) => !address.is_loopback(),
    })
}

fn from_clause(field: &str) -> Option<IpAddr> {
    let (_helo, comment) = field.split_once(' ')?;
    let comment = comment.strip_prefix('(')?.split(')').next()?;
    let inner = comment.split_once('[').and_then(|(_, rest)| rest.split(']').next()).unwrap_or(comment);
    inner.strip_prefix("IPv6:").unwrap_or(inner).parse().ok()
}

#[test]
fn the_reader_of_traces_reads_the_shapes_that_were_seen() {
    for (fields, expected) in [
        // Postfix.
        (
            "Received: from mail.example (mail.example [104.47.22.106])\r\n\t(using TLSv1.2)\r\n\tby gw.example (Postfix) with ESMTPS",
            "104.47.22.106",
        ),
        // Postfix with a hop of its own above.
        (
            "Received: from gw.example (localhost [127.0.0.1])\r\n\tby gw.example (Postfix) with ESMTP\r\n\
             Received: from mail.example (mail.example [40.93.1.75])\r\n\tby gw.example (Postfix) with ESMTPS",
            "40.93.1.75",
        ),
        // Exchange, and Exchange behind another one of its organization.
        ("Received: from User (37.19.199.139) by host.example (10.128.0.1) with Microsoft SMTP Server", "37.19.199.139"),
        (
            "Received: from a.example (10.1.2.3) by b.example (10.1.2.4) with Microsoft SMTP Server\r\n\
             Received: from User (37.19.199.139) by a.example (10.1.2.3) with Microsoft SMTP Server",
            "37.19.199.139",
        ),
        ("Received: from a.example (2603:10a6::1) by b.example (2603:10a6::2) with Microsoft SMTP Server", "2603:10a6::1"),
    ] {
        assert_eq!(external_source(&format!("{fields}\r\nSubject: x\r\n\r\n")), Some(expected.parse().unwrap()), "{fields}");
    }
}
