//! What a notification says, and what nobody can make it say.

use super::*;
use crate::limits::{DSN_HEADER_BYTES_MAX, DSN_MESSAGE_BYTES_MAX};
use crate::smtp::Return;

fn address(text: &str) -> Address {
    Address::parse(text, true).unwrap()
}

fn entry(original: &str, finally: &str) -> Entry {
    Entry {
        original: address(original),
        name: None,
        finally: address(finally),
        reply: Reply::fixed(550, Status(5, 1, 1), "No such user"),
        remote: true,
        host: None,
        tried: None,
        until: None,
    }
}

/// The value of a parameter as a stored one is read: the same check as in the session.
fn parameter<T: for<'de> serde::Deserialize<'de>>(text: &str) -> T {
    serde_json::from_value(serde_json::Value::from(text)).unwrap()
}

fn composed_for(message: &[u8], kind: Kind, terms: &MailTerms, entries: &[Entry]) -> String {
    let original = Original::parse(message.to_vec().into()).unwrap();
    let id = "01hzy3v7qkabcdef-1".parse().unwrap();
    let to = address("a@example.org");
    let report = Report { hostname: "mx1.acme.example", id, to: &to, kind, terms, arrived: 0, entries, original: &original };
    String::from_utf8(compose(&report, OffsetDateTime::UNIX_EPOCH)).unwrap()
}

fn composed(header: &[u8], entries: &[Entry]) -> String {
    composed_for(&[header, b"\r\nbody\r\n"].concat(), Kind::Failed, &MailTerms::default(), entries)
}

fn types(text: &str) -> Vec<String> {
    let message = mail_parser::MessageParser::default().parse(text.as_bytes()).unwrap();
    let of = |part| mail_parser::MimeHeaders::content_type(part).map(|t| format!("{}/{}", t.ctype(), t.subtype().unwrap_or("")));
    message.parts.iter().filter_map(of).collect()
}

#[test]
fn a_notification_has_the_three_parts_of_rfc_3462_and_no_body() {
    let text = composed(b"Subject: hello\r\nFrom: a@example.org\r\n", &[entry("bob@acme.example", "robert@acme.example")]);
    assert_eq!(types(&text), ["multipart/report", "text/plain", "message/delivery-status", "text/rfc822-headers"]);
    for expected in [
        "Original-Recipient: rfc822; bob@acme.example\r\n",
        "Final-Recipient: rfc822; robert@acme.example\r\n",
        "Action: failed\r\nStatus: 5.1.1\r\n",
        "Diagnostic-Code: smtp; 550 5.1.1 No such user\r\n",
        "Auto-Submitted: auto-replied\r\n",
        "\r\nSubject: hello\r\n",
    ] {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
    assert!(text.lines().all(|line| line.len() < 998));
    assert!(!text.contains("body\r\n") && !text.contains("Original-Envelope-Id"));
}

/// RFC 6533 §3: with an address that is not ASCII the parts have other types and travel with 8 bits.
#[test]
fn an_address_that_is_not_ascii_makes_the_parts_global() {
    let text = composed(b"Subject: hello\r\n", &[entry("bücher@acme.example", "bücher@acme.example")]);
    for expected in [
        "MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n",
        "Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n",
        "Content-Type: message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n",
        "Final-Recipient: utf-8; bücher@acme.example\r\n",
    ] {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
}

#[test]
fn the_names_that_the_sender_gave_come_back_decoded() {
    let terms = MailTerms { envelope_id: Some(parameter("QQ+2B1+20x")), ..MailTerms::default() };
    let named = |name: &str| Entry { name: Some(parameter(name)), ..entry("bob@acme.example", "robert@acme.example") };
    for (name, expected) in [
        ("rfc822;Bob+2Bnews@old.example", "Original-Recipient: rfc822; Bob+news@old.example\r\n"),
        ("x400;/C+3Dde/;x", "Original-Recipient: x400; /C=de/;x\r\n"),
        // All else is ASCII, and so this stays.
        ("utf-8;b\\x{FC}cher@old.example", "Original-Recipient: utf-8; b\\x{FC}cher@old.example\r\n"),
        ("utf-8;bücher@old.example", "Original-Recipient: utf-8; b\\x{FC}cher@old.example\r\n"),
    ] {
        let text = composed_for(b"Subject: x\r\n\r\n", Kind::Failed, &terms, &[named(name)]);
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
        assert!(text.is_ascii() && text.contains("\r\n\r\nOriginal-Envelope-Id: QQ+1 x\r\nReporting-MTA: dns; mx1.acme.example\r\n"));
    }
    let entries = [named("utf-8;b\\x{FC}cher@old.example"), entry("ü@acme.example", "ü@acme.example")];
    let text = composed_for(b"Subject: x\r\n\r\n", Kind::Failed, &terms, &entries);
    assert!(text.contains("Original-Recipient: utf-8; bücher@old.example\r\n"), "{text}");
}

#[test]
fn what_is_returned_is_what_was_asked_for_within_limits() {
    let large = [b"Subject: large\r\n\r\n", "x".repeat(78).as_bytes(), b"\r\n", &vec![b'y'; DSN_MESSAGE_BYTES_MAX]].concat();
    let small: &[u8] = b"Subject: hello\r\nX-Other: 1\r\nMessage-ID: <1@example.org>\r\n\r\nthe body\r\n";
    let utf8 = "Subject: grüße\r\n\r\nthe body\r\n".as_bytes();
    let eight_bit = "Subject: hello\r\n\r\nthe body: grüße\r\n".as_bytes();
    let (full, headers, none) = (Some(Return::Full), Some(Return::Headers), None);
    for (message, kind, ret, require_tls, expected, body) in [
        (small, Kind::Failed, none, false, "text/rfc822-headers", false),
        (small, Kind::Failed, headers, false, "text/rfc822-headers", false),
        (small, Kind::Failed, full, false, "message/rfc822", true),
        (eight_bit, Kind::Failed, full, false, "message/rfc822", true),
        (utf8, Kind::Failed, full, false, "message/global", true),
        (utf8, Kind::Failed, none, false, "message/global-headers", false),
        // RFC 3461 §4.3: it is about failures.
        (small, Kind::Delayed, full, false, "text/rfc822-headers", false),
        (small, Kind::Relayed, full, false, "text/rfc822-headers", false),
        (&large, Kind::Failed, full, false, "text/rfc822-headers", false),
        // RFC 8689 §5.
        (small, Kind::Failed, full, true, "text/rfc822-headers", false),
    ] {
        let terms = MailTerms { require_tls, ret, envelope_id: None };
        let text = composed_for(message, kind, &terms, &[entry("b@x.example", "b@x.example")]);
        assert_eq!(types(&text).get(3).map(String::as_str), Some(expected), "{text}");
        assert_eq!(text.contains("the body"), body, "{text}");
        assert_eq!(text.contains("Subject: hello") || text.contains("Subject: gr") || text.contains("Subject: large"), !require_tls);
        assert!(!require_tls || text.contains("\r\nMessage-ID: <1@example.org>\r\n"), "{text}");
        assert!(text.is_ascii() || text.contains("MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n"));
    }
}

#[test]
fn each_kind_has_its_action_and_its_class() {
    for (kind, action) in [
        (Kind::Failed, "Action: failed\r\nStatus: 5.1.1\r\n"),
        (Kind::Delayed, "Action: delayed\r\nStatus: 4.1.1\r\n"),
        (Kind::Relayed, "Action: relayed\r\nStatus: 2.1.1\r\n"),
    ] {
        let text = composed_for(b"Subject: x\r\n\r\n", kind, &MailTerms::default(), &[entry("b@x.example", "b@x.example")]);
        assert!(text.contains(action), "{text}");
    }
}

#[test]
fn a_next_hop_cannot_write_fields_or_break_the_lines_of_a_notification() {
    let hostile = format!("no\nFinal-Recipient: rfc822; other@x.example\n--=_x--\r\nü\u{9b}{}", "x".repeat(60_000));
    let reply = Reply::new(550, Some(Status(5, 1, 1)), hostile);
    let text = composed(b"Subject: hello\r\n", &[Entry { reply, ..entry("\"--=_ \"@acme.example", "bob@acme.example") }]);
    assert!(text.is_ascii() && text.lines().all(|line| line.len() < 998));
    assert_eq!(text.matches("\r\nFinal-Recipient: ").count(), 1);
    assert_eq!(text.matches("\r\n--=_").count(), 4, "{text}");
    assert!(!text.replace("\r\n", "").contains(['\r', '\n']));
}

#[test]
fn a_sender_who_guesses_the_boundary_does_not_end_his_part() {
    let message = b"Subject: x\r\n\r\n--=_01hzy3v7qkabcdef-1--\r\n--=_01hzy3v7qkabcdef-1_\r\nContent-Type: text/html\r\n\r\nevil\r\n";
    let terms = MailTerms { ret: Some(Return::Full), ..MailTerms::default() };
    let text = composed_for(message, Kind::Failed, &terms, &[entry("b@x.example", "b@x.example")]);
    assert!(text.contains("boundary=\"=_01hzy3v7qkabcdef-1__\""), "{text}");
    assert_eq!(types(&text)[..4], ["multipart/report", "text/plain", "message/delivery-status", "message/rfc822"]);
}

#[test]
fn a_huge_header_is_cut_between_fields() {
    let header = "X-Filler: 1234567890\r\n".repeat(9_000);
    let text = composed(header.as_bytes(), &[entry("b@x.example", "b@x.example")]);
    let kept = text.matches("X-Filler: 1234567890\r\n").count();
    assert_eq!((kept, text.matches("X-Filler").count()), (DSN_HEADER_BYTES_MAX / 22, kept));
}

#[test]
fn dates_and_the_next_hop_are_told_where_they_are_known() {
    let original = Original::parse(b"Subject: x\r\n\r\n".to_vec().into()).unwrap();
    let id = "01hzy3v7qkabcdef-1".parse().unwrap();
    let (to, terms) = (address("a@example.org"), MailTerms::default());
    let entry = |host: &str| Entry {
        host: Some(host.into()),
        tried: Some(1_700_000_060_000),
        until: Some(1_700_345_600_000),
        ..entry("b@x.example", "b@x.example")
    };
    let entries = [entry("mx.next.example[192.0.2.1]:25"), entry("192.0.2.1[192.0.2.1]:25"), entry("2001:db8::1[2001:db8::1]:25")];
    let arrived = 1_700_000_000_000;
    let report = Report {
        hostname: "mx1.acme.example",
        id,
        to: &to,
        kind: Kind::Delayed,
        terms: &terms,
        arrived,
        entries: &entries,
        original: &original,
    };
    let text = String::from_utf8(compose(&report, OffsetDateTime::UNIX_EPOCH)).unwrap();
    for expected in [
        "Reporting-MTA: dns; mx1.acme.example\r\nArrival-Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n",
        "Remote-MTA: dns; mx.next.example\r\nDiagnostic-Code: smtp; 550 5.1.1 No such user\r\nLast-Attempt-Date: Tue, 14 Nov 2023 22:14:20 +0000\r\n\
         Will-Retry-Until: Sat, 18 Nov 2023 22:13:20 +0000\r\n",
        "Remote-MTA: dns; [192.0.2.1]\r\n",
        "Remote-MTA: dns; [IPv6:2001:db8::1]\r\n",
    ] {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
}
