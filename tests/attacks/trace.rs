//! HELO strings that imitate a Received field, and loops that hide.
//!
//! Next hops compute SPF from the client address that they read in our Received field. The oracle below reads it as carelessly as any
//! of them: Postfix's form `(name [address])` and Exchange's `(address)`, wherever in the field they stand.

use std::net::IpAddr;

use regex::Regex;

use crate::harness::{Client, Deployment, Sink, mail};
use crate::{ALICE, BOB, start, still_serves};

/// Every address that some parser could take for the client's.
fn addresses(received: &str) -> Vec<IpAddr> {
    let unfolded = received.replace("\r\n", "");
    let forms = Regex::new(r"\((?:[^()\[\]]*[ \t])?\[(?:IPv6:)?([0-9A-Fa-f:.]+)\]\)|\(([0-9A-Fa-f:.]+)\)|\[(?:IPv6:)?([0-9A-Fa-f:.]+)\]\)")
        .unwrap();
    let found = forms.captures_iter(&unfolded).filter_map(|hit| hit.iter().skip(1).flatten().next().map(|text| text.as_str().to_owned()));
    found.filter_map(|text| text.parse().ok()).collect()
}

fn top_field(data: &[u8]) -> String {
    mail::received_field(data)
}

#[test]
fn the_oracle_finds_what_parsers_find() {
    for (field, found) in [
        ("Received: from a (b [192.0.2.1])\r\n\tby c; date", &["192.0.2.1"][..]),
        ("Received: from User (192.0.2.1) by c (10.0.0.1) with x", &["192.0.2.1", "10.0.0.1"]),
        ("Received: from a (unknown [IPv6:2001:db8::1]) by c", &["2001:db8::1"]),
        ("Received: from a ([9.9.9.9]) (unknown [192.0.2.1]) by c", &["9.9.9.9", "192.0.2.1"]),
        ("Received: from x (y [9.9.9.9]) by z (unknown [192.0.2.1]) by c", &["9.9.9.9", "192.0.2.1"]),
        ("Received: from 9.9.9.9 (unknown [192.0.2.1]) by c", &["192.0.2.1"]),
    ] {
        let found: Vec<IpAddr> = found.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(addresses(field), found, "{field}");
    }
}

#[test]
fn no_helo_hides_the_clients_address() {
    let long = "a".repeat(250);
    let names = [
        "mail.example.org",
        "localhost",
        "User",
        "my_pc",
        "a ([9.9.9.9])",
        "x (y [9.9.9.9]) by z",
        "x (y [9.9.9.9])",
        "(9.9.9.9)",
        "([9.9.9.9])",
        "a(9.9.9.9)",
        "[9.9.9.9]",
        "[9.9.9.9](",
        "[9.9.9.9]) by mx1.acme.example (x",
        "[IPv6:2001:db8::bad]",
        "[ipv6:2001:db8::bad]",
        "[IPv6:9.9.9.9]",
        "[::9.9.9.9]",
        "9.9.9.9",
        "2001:db8::bad",
        "by",
        "by.mx1.acme.example",
        "from",
        "for",
        "with",
        "id",
        "unknown",
        "mx1.acme.example",
        ".",
        "..",
        "-",
        "a..b",
        "-a.example",
        "a.example.",
        "a;b",
        "a\"b\"",
        "\"a ([9.9.9.9])\"",
        "<a>",
        "a\\",
        "a,b",
        "a=b",
        "a%20([9.9.9.9])",
        "=?utf-8?q?=28=5B9.9.9.9=5D=29?=",
        &long,
    ];
    for (listen, client_ip) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1")] {
        let sink = Sink::accepting();
        let gateway = Deployment::new("inline").relay("next", sink.address()).start_listening(listen);
        let client_ip: IpAddr = client_ip.parse().unwrap();
        let mut accepted = 0;
        for verb in ["EHLO", "HELO"] {
            for name in &names {
                let mut client = Client::dial(gateway.address());
                client.reply().expect("220 ");
                let reply = client.command(&format!("{verb} {name}"));
                if reply.code != 250 {
                    reply.expect("501 5.5.2");
                    client.command("MAIL FROM:<alice@example.org>").expect("503 ");
                    continue;
                }
                accepted += 1;
                client.send(ALICE, &[BOB], &mail::small("helo")).expect("250 ");
                let field = top_field(&sink.wait_taken(accepted)[accepted - 1].data);
                assert_eq!(addresses(&field), [client_ip], "{name:?} gave {field}");
                assert!(
                    field.starts_with("Received: from ")
                        && field.matches(" by ").count() + field.matches("\tby ").count() == 1 + usize::from(*name == "by"),
                    "{field}"
                );
                // RFC 5321 §4.4 and RFC 3848.
                assert_eq!(field.contains(" with ESMTP id "), verb == "EHLO", "{field}");
            }
        }
        assert!(accepted >= 2 * 15, "{accepted} of the names are names");
    }
}

#[test]
fn the_recipient_is_named_only_where_it_is_alone_and_cannot_imitate_anything() {
    let (sink, gateway) = start();
    for (recipients, named) in [
        (&["bob@acme.example"][..], true),
        (&["bob@acme.example", "bob@acme.example"], true),
        (&["bob@acme.example", "carol@acme.example"], false),
        (&["\"a (x [9.9.9.9])\"@acme.example"], false),
        (&["\"; Thu, 1 Jan 1970 00:00:00 +0000\"@acme.example"], false),
    ] {
        let before = sink.taken().len();
        Client::hello(gateway.address()).send(ALICE, recipients, &mail::small("for")).expect("250 ");
        let field = top_field(&sink.wait_taken(before + 1)[before].data);
        assert_eq!(field.contains("\tfor <bob@acme.example>;\r\n"), named, "{field}");
        assert_eq!(addresses(&field), ["127.0.0.1".parse::<IpAddr>().unwrap()], "{field}");
        assert_eq!(field.matches(';').count(), 1, "{field}");
    }
}

#[test]
fn a_message_that_was_here_before_is_refused_however_its_field_looks_now() {
    let (sink, gateway) = start();
    for field in [
        "Received: from a (b [192.0.2.1]) by mx1.acme.example (Gateway) with ESMTP id 1; Sat, 21 Nov 2026 16:00:00 +0000",
        "received: from a by MX1.Acme.EXAMPLE with ESMTP",
        "RECEIVED:from a\r\n\tby\r\n\tmx1.acme.example\r\n\twith ESMTP",
        "Received : from a by mx1.acme.example",
        "Received:\r\n from a (c) BY mx1.acme.example.; date",
        "Received: by mx1.acme.example",
        "Received: from a by (comment (nested) \\) ) mx1.acme.example(x)",
        "Received: from mx1.acme.example by b by mx1.acme.example",
        "Received: from a \"by x\" by\tmx1.acme.example;",
    ] {
        let message = format!("Received: from x by y.example; date\r\nSubject: loop\r\n{field}\r\nTo: x\r\n\r\nx\r\n");
        Client::hello(gateway.address()).send(ALICE, &[BOB], message.as_bytes()).expect("554 5.4.6 This message has been here before");
    }
    for field in [
        "Received: from mx1.acme.example (b [192.0.2.1]) by other.example with ESMTP",
        "Received: from a by xmx1.acme.example with ESMTP",
        "Received: from a by mx1.acme.example.org with ESMTP",
        "Received: from a by mx1.acme.example-x with ESMTP",
        "Received: from a (by mx1.acme.example) by other.example",
        "Received: from a by other.example for <by@mx1.acme.example>",
        "X-Received: from a by mx1.acme.example",
        "Subject: Received: by mx1.acme.example",
        "Subject: x\r\n Received: by mx1.acme.example",
    ] {
        let message = format!("{field}\r\n\r\nReceived: by mx1.acme.example\r\n");
        Client::hello(gateway.address()).send(ALICE, &[BOB], message.as_bytes()).expect("250 ");
    }
    still_serves(&sink, &gateway);
}

/// RFC 5321 §6.3.
#[test]
fn too_many_hops_are_a_loop_and_the_refusal_is_final() {
    let (sink, gateway) = start();
    let hop = "Received: from a by b.example\r\n";
    for (hops, reply) in [
        (hop.repeat(50), "250 "),
        (hop.repeat(51), "554 5.4.6 Too many hops"),
        (hop.to_uppercase().replace(':', " :").repeat(51), "554 5.4.6"),
    ] {
        Client::hello(gateway.address()).send(ALICE, &[BOB], format!("{hops}Subject: x\r\n\r\nx\r\n").as_bytes()).expect(reply);
    }
    assert_eq!(sink.taken().len(), 1);
    let outcome = gateway.wait_for(|event| event["event"] == "outcome" && event["reply"]["code"] == 554);
    assert_eq!(outcome["recipient"], BOB);
}

/// What stands above our field when a message comes back is another's; what it hides in the body does not count as a field, and our
/// own field always stands on top of what we have sent.
#[test]
fn a_message_sent_back_to_us_is_seen_whatever_it_began_with() {
    let (sink, gateway) = start();
    for (number, message) in
        ["", "\r\nbody only\r\n", "no field here\r\nSubject: x\r\n\r\n", "Subject: x\r\n", " folded first\r\n"].iter().enumerate()
    {
        Client::hello(gateway.address()).send(ALICE, &[BOB], message.as_bytes()).expect("250 ");
        let sent = sink.wait_taken(number + 1)[number].data.clone();
        Client::hello(gateway.address()).send(ALICE, &[BOB], &sent).expect("554 5.4.6");
    }
}
