//! The text of a notification: multipart/report (RFC 3462) with a part for people, one for programs (RFC 3464), and what is returned of
//! the original. RFC 6533 has the types where an address is not ASCII.

use memchr::memmem;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::{Entry, Kind};
use crate::limits::{DSN_HEADER_BYTES_MAX, DSN_MESSAGE_BYTES_MAX, DSN_REPLY_CHARS_MAX};
use crate::message::{MessageId, Original, printable};
use crate::smtp::{Address, MailTerms, Reply, Return, Status};
use crate::spool::UnixMillis;

/// What a notification is made from.
pub(super) struct Report<'a> {
    pub(super) hostname: &'a str,
    /// The notification's own id.
    pub(super) id: MessageId,
    pub(super) to: &'a Address,
    pub(super) kind: Kind,
    /// What the sender asked for the message as a whole.
    pub(super) terms: &'a MailTerms,
    /// When the message came, in milliseconds since the epoch; 0: it is not known.
    pub(super) arrived: UnixMillis,
    pub(super) entries: &'a [Entry],
    pub(super) original: &'a Original,
}

impl Kind {
    fn subject(self) -> &'static str {
        match self {
            Self::Failed => "Undelivered mail returned to sender",
            Self::Delayed => "Delayed mail (still being tried)",
            Self::Relayed => "Mail passed on (no further notice will come)",
        }
    }

    fn opening(self) -> &'static str {
        match self {
            Self::Failed => "Your message could not be delivered to the following recipients.",
            Self::Delayed => {
                "Your message could not be delivered yet to the following recipients.\r\nIt is tried again for some days; you need not send it again."
            }
            Self::Relayed => {
                "Your message was passed on for the following recipients.\r\nThe next mail server does not tell of deliveries, so you will not hear more unless it fails."
            }
        }
    }

    /// The class of a status (RFC 3463 §2).
    fn class(self) -> u8 {
        match self {
            Self::Failed => 5,
            Self::Delayed => 4,
            Self::Relayed => 2,
        }
    }
}

/// What is returned of the original.
enum Returned {
    /// All of it.
    Whole(Vec<u8>),
    /// Header fields.
    Header(Vec<u8>),
}

impl Returned {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Whole(bytes) | Self::Header(bytes) => bytes,
        }
    }

    fn media_type(&self, utf8: bool) -> &'static str {
        match (self, utf8) {
            (Self::Whole(_), false) => "message/rfc822",
            (Self::Whole(_), true) => "message/global",
            (Self::Header(_), false) => "text/rfc822-headers",
            (Self::Header(_), true) => "message/global-headers",
        }
    }
}

/// The notification as it is sent.
pub(super) fn compose(report: &Report<'_>, now: OffsetDateTime) -> Vec<u8> {
    let Report { hostname, id, to, kind, terms, arrived, entries, original } = report;
    let returned = returned(report);
    let utf8 = !to.is_ascii() || entries.iter().any(is_utf8) || !original.header().is_ascii();
    let status_type = if utf8 { "message/global-delivery-status" } else { "message/delivery-status" };
    let encoding = if utf8 { "8bit" } else { "7bit" };
    let returned_encoding = if utf8 || !returned.bytes().is_ascii() { "8bit" } else { "7bit" };
    let written = now.format(&Rfc2822).unwrap_or_default();
    let boundary = boundary(*id, returned.bytes());
    let mut text = String::new();
    let mut line = |words: &str| {
        text.push_str(words);
        text.push_str("\r\n");
    };
    line(&format!("From: Mail Delivery System <MAILER-DAEMON@{hostname}>"));
    line(&format!("To: <{to}>"));
    line(&format!("Subject: {}", kind.subject()));
    line(&format!("Date: {written}"));
    line(&format!("Message-ID: <{id}@{hostname}>"));
    line("Auto-Submitted: auto-replied");
    line("MIME-Version: 1.0");
    if returned_encoding == "8bit" {
        // RFC 2045 §6.4: what holds such a part is such a part.
        line("Content-Transfer-Encoding: 8bit");
    }
    line(&format!("Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\""));
    line("");
    line(&format!("--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n"));
    line(&format!("This is the mail gateway {hostname}.\r\n\r\n{}\r\n", kind.opening()));
    for entry in *entries {
        line(&format!("  <{}>: {}", entry.original, shown(&entry.reply)));
    }
    line(&format!("\r\n--{boundary}\r\nContent-Type: {status_type}\r\nContent-Transfer-Encoding: {encoding}\r\n"));
    if let Some(id) = &terms.envelope_id {
        // RFC 3464 §2.2.1: decoded. The type has it that no control character comes of that.
        line(&format!("Original-Envelope-Id: {}", id.decoded()));
    }
    line(&format!("Reporting-MTA: dns; {hostname}"));
    if let Some(date) = date(*arrived).filter(|_| *arrived > 0) {
        line(&format!("Arrival-Date: {date}"));
    }
    for entry in *entries {
        line("");
        line(&recipient_fields(*kind, entry, utf8));
    }
    let media_type = returned.media_type(utf8);
    line(&format!("\r\n--{boundary}\r\nContent-Type: {media_type}\r\nContent-Transfer-Encoding: {returned_encoding}\r\n"));
    let mut message = text.into_bytes();
    message.extend_from_slice(returned.bytes());
    message.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    message
}

/// RFC 3464 §2.3.
fn recipient_fields(kind: Kind, entry: &Entry, utf8: bool) -> String {
    let kind_of = |address: &Address| if address.is_ascii() { "rfc822" } else { "utf-8" };
    let mut fields = String::new();
    if let Some(name) = &entry.name {
        // RFC 3461 §6.3: as the sender said it, decoded; in the part for ASCII as RFC 6533 §3 writes it there.
        let (kind, decoded) = name.decoded();
        if utf8 || decoded.is_ascii() {
            fields.push_str(&format!("Original-Recipient: {kind}; {decoded}\r\n"));
        } else {
            fields.push_str(&format!("Original-Recipient: {}\r\n", name.for_rcpt(false).replacen(';', "; ", 1)));
        }
    } else if entry.original != entry.finally {
        fields.push_str(&format!("Original-Recipient: {}; {}\r\n", kind_of(&entry.original), entry.original));
    }
    let class = kind.class();
    let status = entry.reply.status.map_or(Status(class, 0, 0), |status| Status(class, status.1, status.2));
    fields.push_str(&format!("Final-Recipient: {}; {}\r\n", kind_of(&entry.finally), entry.finally));
    fields.push_str(&format!("Action: {}\r\nStatus: {status}", kind.action()));
    if let Some(host) = &entry.host {
        fields.push_str(&format!("\r\nRemote-MTA: dns; {}", host_name(host)));
    }
    if entry.remote {
        fields.push_str(&format!("\r\nDiagnostic-Code: smtp; {}", shown(&entry.reply)));
    }
    // RFC 3464 §2.3.7 and §2.3.9.
    for (name, at) in [("Last-Attempt-Date", entry.tried), ("Will-Retry-Until", entry.until)] {
        if let Some(date) = at.and_then(date) {
            fields.push_str(&format!("\r\n{name}: {date}"));
        }
    }
    fields
}

/// RFC 3464 §2.1.5: a date as in header fields.
fn date(at: UnixMillis) -> Option<String> {
    let seconds = i64::try_from(at / 1000).ok()?;
    OffsetDateTime::from_unix_timestamp(seconds).ok()?.format(&Rfc2822).ok()
}

/// The name alone of `name[address]:port`; an address that stands for it is written as a literal (RFC 3464 §2.1.2).
fn host_name(host: &str) -> String {
    let name = printable(host.split('[').next().unwrap_or_default(), DSN_REPLY_CHARS_MAX);
    match name.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V6(address)) => format!("[IPv6:{address}]"),
        Ok(std::net::IpAddr::V4(address)) => format!("[{address}]"),
        Err(_) => name,
    }
}

fn is_utf8(entry: &Entry) -> bool {
    !entry.original.is_ascii() || !entry.finally.is_ascii()
}

/// RFC 3461 §6.2: the header, or with RET=FULL all of a message that failed, unless it is too large.
fn returned(report: &Report<'_>) -> Returned {
    let Report { kind, terms, original, .. } = report;
    if terms.require_tls {
        return Returned::Header(naming_fields(original));
    }
    // A message that is stored is larger than that.
    if *kind == Kind::Failed
        && terms.ret == Some(Return::Full)
        && original.len() <= DSN_MESSAGE_BYTES_MAX
        && let Some(octets) = original.data().in_memory()
    {
        return Returned::Whole(octets.to_vec());
    }
    Returned::Header(whole_fields(original.header()).to_vec())
}

/// What tells the sender which of his messages it was, and nobody what it was about (RFC 8689 §5).
fn naming_fields(original: &Original) -> Vec<u8> {
    let names = |name: &[u8]| name.eq_ignore_ascii_case(b"Message-ID") || name.eq_ignore_ascii_case(b"Date");
    let fields = original.fields().iter().filter(|field| names(original.name(field)));
    whole_fields(&fields.map(|field| original.slice(field.whole.clone())).collect::<Vec<_>>().concat()).to_vec()
}

/// A boundary that nothing returned contains: its sender may have seen earlier ids.
fn boundary(id: MessageId, returned: &[u8]) -> String {
    let mut boundary = format!("=_{id}");
    // RFC 2046 §5.1.1: 70 characters at most. Whoever guesses that many in a row has guessed the id.
    while boundary.len() < 70 && memmem::find(returned, boundary.as_bytes()).is_some() {
        boundary.push('_');
    }
    boundary
}

/// A reply in one line that every next hop takes: a reply may have 64 KiB, and characters that a 7-bit part cannot have.
fn shown(reply: &Reply) -> String {
    printable(&reply.to_string(), DSN_REPLY_CHARS_MAX)
}

/// The header up to the limit, cut between fields.
fn whole_fields(header: &[u8]) -> &[u8] {
    if header.len() <= DSN_HEADER_BYTES_MAX {
        return header;
    }
    let cut = header.get(..DSN_HEADER_BYTES_MAX).unwrap_or_default();
    let end = memchr::memrchr(b'\n', cut).map_or(0, |position| position.saturating_add(1));
    cut.get(..end).unwrap_or_default()
}
