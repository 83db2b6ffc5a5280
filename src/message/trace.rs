//! The Received field that the gateway puts on top (RFC 5321 §4.4).
//!
//! Next hops find the sender's address in it, so its shape is the one that Postfix made common, and nothing that a client said
//! can pass for another address or begin a line of its own.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::{MessageId, SessionFacts, TlsFacts};
use crate::limits::{DOMAIN_BYTES_MAX, DOMAIN_LABEL_BYTES_MAX, TRACE_HELO_CHARS_MAX};
use crate::smtp::Recipient;

/// RFC 5322 §3.3.
const DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day padding:none] [month repr:short] [year] [hour]:[minute]:[second] +0000");

/// Longer than most of these fields, so that few of them have to be moved while they are written.
const RECEIVED_BYTES: usize = 512;

/// The Received field of a message, CRLF included. `recipients` are those of the transaction: only a single one is named, so
/// that no recipient learns of another (RFC 5321 §7.2). The field is ASCII, so that a message whose recipient a rule replaces can go
/// on without SMTPUTF8.
pub fn received(
    hostname: &str,
    session: &SessionFacts,
    id: MessageId,
    recipients: &[Recipient],
    smtputf8: bool,
    unix_seconds: i64,
) -> Bytes {
    let helo_is_clean = is_domain(&session.helo) || is_address_literal(&session.helo);
    let helo = if helo_is_clean { &*session.helo } else { "unknown" };
    let host = session.client_host.as_deref().filter(|host| is_domain(host)).unwrap_or("unknown");
    let mut field = String::with_capacity(RECEIVED_BYTES);
    push(&mut field, format_args!("Received: from {helo} ({host} [{}])\r\n", tagged(session.client_ip)));
    if let Some(tls) = &session.tls {
        field.push_str(&tls_comment(tls));
    }
    push(&mut field, format_args!("\tby {hostname} (Gateway) with {} id {id}", protocol(session, smtputf8)));
    if !helo_is_clean && !session.helo.is_empty() {
        push(&mut field, format_args!("\r\n\t(HELO was \"{}\")", harmless(&session.helo)));
    }
    // A quoted local part may hold what reads as the begin of a Received field: `"(a [192.0.2.1])"@b`.
    if let [Recipient { address: recipient, .. }] = recipients
        && !recipient.as_str().contains(|c: char| c.is_control() || c == '"')
        && recipient.is_ascii()
    {
        push(&mut field, format_args!("\r\n\tfor <{recipient}>"));
    }
    push(&mut field, format_args!(";\r\n\t{}\r\n", date(unix_seconds)));
    field.into()
}

/// The `with` clause: RFC 3848 for ESMTP, RFC 6531 §4.3 for SMTPUTF8.
fn protocol(session: &SessionFacts, smtputf8: bool) -> &'static str {
    match (smtputf8, session.extended, session.tls.is_some(), session.authenticated) {
        (true, _, false, false) => "UTF8SMTP",
        (true, _, false, true) => "UTF8SMTPA",
        (true, _, true, false) => "UTF8SMTPS",
        (true, _, true, true) => "UTF8SMTPSA",
        (false, false, _, _) => "SMTP",
        (false, true, false, false) => "ESMTP",
        (false, true, false, true) => "ESMTPA",
        (false, true, true, false) => "ESMTPS",
        (false, true, true, true) => "ESMTPSA",
    }
}

fn tls_comment(tls: &TlsFacts) -> String {
    let bits = if tls.cipher.contains("AES_256") || tls.cipher.contains("CHACHA20") {
        " (256/256 bits)"
    } else if tls.cipher.contains("AES_128") {
        " (128/128 bits)"
    } else {
        ""
    };
    format!("\t(using {} with cipher {}{bits})\r\n", tls.version.as_str(), harmless(&tls.cipher))
}

/// An address as a literal holds it (RFC 5321 §4.1.3).
fn tagged(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("IPv6:{ip}"),
    }
}

/// A domain of RFC 5321 §4.1.2; underscores pass, for Windows machines have them.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=DOMAIN_LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= DOMAIN_BYTES_MAX && text.split('.').all(is_label)
}

fn is_address_literal(text: &str) -> bool {
    let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) else { return false };
    match inner.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("IPv6:") => inner.get(5..).is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok()),
        _ => inner.parse::<Ipv4Addr>().is_ok(),
    }
}

/// A client's words for a comment: nothing that ends it, quotes, or looks like an address literal.
fn harmless(text: &str) -> String {
    let is_harmless = |c: &char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '.' | '-' | '_' | ':' | '@' | '=' | '/' | '+');
    text.chars().take(TRACE_HELO_CHARS_MAX).map(|c| if is_harmless(&c) { c } else { '?' }).collect()
}

fn date(unix_seconds: i64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp(unix_seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    moment.format(DATE).unwrap_or_default()
}

fn push(field: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = field.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::message::{SessionIds, TlsVersion};

    const UNIX_SECONDS: i64 = 1_795_276_800;

    fn session(helo: &str) -> SessionFacts {
        SessionFacts {
            client_ip: "203.0.113.9".parse().expect("an address"),
            client_host: None,
            helo: helo.into(),
            extended: true,
            tls: None,
            authenticated: false,
            login: None,
        }
    }

    fn field(session: &SessionFacts, recipients: &[&str], smtputf8: bool) -> String {
        let id = MessageId { session: SessionIds::new(7).next(1_700_000_000_000), number: 1 };
        let recipients: Vec<_> =
            recipients.iter().map(|text| Recipient::from(crate::smtp::Address::parse(text, true).expect("an address"))).collect();
        let bytes = received("mx1.acme.example", session, id, &recipients, smtputf8, UNIX_SECONDS);
        String::from_utf8(bytes.to_vec()).expect("UTF-8").replace(&id.to_string(), "ID")
    }

    #[test]
    fn the_field_has_the_shape_that_next_hops_read() {
        let mut facts = session("mail.gmail.com");
        facts.client_host = Some("mail-x.google.com".into());
        facts.tls = Some(TlsFacts {
            version: TlsVersion::Tls1_3,
            cipher: "TLS_AES_256_GCM_SHA384".into(),
            wrapped: false,
            client_certificate: None,
        });
        assert_eq!(
            field(&facts, &["bob@acme.example"], false),
            "Received: from mail.gmail.com (mail-x.google.com [203.0.113.9])\r\n\
             \t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))\r\n\
             \tby mx1.acme.example (Gateway) with ESMTPS id ID\r\n\
             \tfor <bob@acme.example>;\r\n\
             \tSat, 21 Nov 2026 16:00:00 +0000\r\n"
        );
    }

    #[test]
    fn several_recipients_are_not_named() {
        let mut facts = session("[IPv6:2001:db8::1]");
        facts.client_ip = "2001:db8::1".parse().expect("an address");
        facts.extended = false;
        assert_eq!(
            field(&facts, &["a@x.example", "b@x.example"], false),
            "Received: from [IPv6:2001:db8::1] (unknown [IPv6:2001:db8::1])\r\n\
             \tby mx1.acme.example (Gateway) with SMTP id ID;\r\n\
             \tSat, 21 Nov 2026 16:00:00 +0000\r\n"
        );
    }

    #[test]
    fn a_quoted_recipient_is_not_named() {
        for recipient in ["\"a ([9.9.9.9])\"@x.example", "\"; Thu, 1 Jan 1970\"@x.example", "\"> (x [9.9.9.9])\"@x.example"] {
            let field = field(&session("a"), &[recipient], false);
            assert!(!field.contains("for <") && !field.contains("9.9.9.9") && !field.contains("1970"), "{field}");
        }
    }

    #[test]
    fn the_protocol_follows_the_session() {
        for (tls, authenticated, smtputf8, expected) in [
            (false, true, false, " with ESMTPA id"),
            (true, true, false, " with ESMTPSA id"),
            (false, false, true, " with UTF8SMTP id"),
            (true, true, true, " with UTF8SMTPSA id"),
        ] {
            let mut facts = session("a");
            facts.authenticated = authenticated;
            facts.tls =
                tls.then(|| TlsFacts { version: TlsVersion::Tls1_2, cipher: "TLS_NEW".into(), wrapped: true, client_certificate: None });
            let field = field(&facts, &["ü@x.example"], smtputf8);
            assert!(field.contains(expected), "{field}");
            assert_eq!(field.contains("(using TLSv1.2 with cipher TLS_NEW)\r\n"), tls);
            assert!(field.is_ascii(), "{field}");
        }
    }

    #[test]
    fn a_forged_helo_cannot_bring_another_address() {
        for helo in ["a ([9.9.9.9])", "x (y [9.9.9.9]) by z", "a\r\nBcc: b", "a\0b", "ü", "[9.9.9.9] (", "[1.2.3.4.5]", "-a", "a..b"] {
            let field = field(&session(helo), &[], false);
            assert!(field.starts_with("Received: from unknown (unknown [203.0.113.9])\r\n"), "{field}");
            assert_eq!(field.matches(['[', ']']).count(), 2, "{field}");
            assert_eq!((field.matches('(').count(), field.matches(')').count()), (3, 3), "{field}");
            assert!(field.contains("(HELO was \""), "{field}");
        }
        assert!(field(&session(&"x".repeat(10_000)), &[], false).len() < 300);
    }

    proptest! {
        #[test]
        fn it_is_one_field_whatever_the_client_said(helo in ".{0,300}", host in ".{0,40}") {
            let mut facts = session(&helo);
            facts.client_host = Some(Arc::from(host));
            let field = field(&facts, &["\"a b\"@x.example"], false);
            prop_assert!(field.is_ascii());
            let original = crate::message::Original::parse(field.clone().into()).expect("small");
            prop_assert_eq!(original.fields().len(), 1);
            prop_assert_eq!(original.body_offset(), field.len());
            prop_assert!(original.has_received_by("mx1.acme.example"));
        }
    }
}
