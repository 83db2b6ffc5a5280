//! Delivery status notifications (RFC 3461, RFC 3464): multipart/report with the header of the original, never its body.
//!
//! Never to the null path (RFC 5321 §4.5.5), never about a notification, never more than a rate: what is held back is in the log.

use std::time::Duration;

use bytes::Bytes;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tokio::time::Instant;

use super::Dispatcher;
use super::job::{JobState, Pending, StoredEnvelope};
use super::take::Judged;
use crate::failure::Failure;
use crate::limits::{DSN_HEADER_BYTES_MAX, DSN_PER_MINUTE_MAX, DSN_REPLY_CHARS_MAX};
use crate::message::{Content, MessageId, Original};
use crate::relay::{INTERNET, NextHops};
use crate::smtp::{Address, Reply, ReversePath, Status};
use crate::spool::{NewEntry, NewJob, Spool, SpoolError};
use crate::telemetry::Event;

const TO_NOBODY: &str = "not sent: the sender is the null path";

/// What a notification says (RFC 3464 §2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Will not be delivered.
    Failed,
    /// Not delivered yet.
    Delayed,
}

impl Kind {
    fn action(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
        }
    }

    fn subject(self) -> &'static str {
        match self {
            Self::Failed => "Undelivered mail returned to sender",
            Self::Delayed => "Delayed mail (still being tried)",
        }
    }

    fn opening(self) -> &'static str {
        match self {
            Self::Failed => "Your message could not be delivered to the following recipients.",
            Self::Delayed => {
                "Your message could not be delivered yet to the following recipients.\r\nIt is tried again for some days; you need not send it again."
            }
        }
    }
}

/// One recipient of a notification.
#[derive(Debug)]
pub(super) struct Entry {
    /// As the sender wrote it.
    original: Address,
    /// As it was to be delivered.
    finally: Address,
    reply: Reply,
    /// The reply is a next hop's (else it is ours).
    remote: bool,
}

/// Entries for recipients whose delivery failed.
pub(super) fn entries(envelope: &StoredEnvelope, failed: &[Pending]) -> Vec<Entry> {
    let unknown = || Reply::fixed(550, Status(5, 0, 0), "Delivery failed");
    let entry = |pending: &Pending, original: &Address| Entry {
        original: original.clone(),
        finally: pending.address.clone(),
        reply: pending.last.as_ref().map_or_else(unknown, |failure| failure.reply.clone()),
        remote: pending.last.as_ref().is_some_and(|failure: &Failure| failure.side == crate::failure::Side::Relay),
    };
    failed.iter().flat_map(|pending| envelope.originals(pending).map(move |original| entry(pending, original))).collect()
}

/// Notifications made in the current minute.
#[derive(Debug, Default)]
pub(super) struct Rate {
    minute: Option<Instant>,
    made: u32,
}

impl Rate {
    fn admit(&mut self, now: Instant) -> bool {
        if self.minute.is_none_or(|begin| now.duration_since(begin) >= Duration::from_secs(60)) {
            *self = Self { minute: Some(now), made: 0 };
        }
        self.made = self.made.saturating_add(1);
        self.made <= DSN_PER_MINUTE_MAX
    }
}

impl<S: Spool, N: NextHops> Dispatcher<S, N> {
    /// The job that tells the sender of recipients that were refused beside others that were taken (RFC 5321 §6.1).
    pub(super) fn notice(&self, judged: &Judged, refused: Vec<Pending>) -> Option<JobState> {
        if refused.is_empty() {
            return None;
        }
        if judged.envelope.reverse_path == ReversePath::Null {
            self.report_dsn(judged.id(), &ReversePath::Null, Kind::Failed, None, Some(TO_NOBODY));
            return None;
        }
        Some(JobState::notice(refused))
    }

    /// Stores a notification to the sender; returns after it is on stable storage.
    pub(super) async fn notify(
        &self,
        about: MessageId,
        envelope: &StoredEnvelope,
        original: &Original,
        kind: Kind,
        entries: Vec<Entry>,
    ) -> Result<(), SpoolError> {
        if entries.is_empty() {
            return Ok(());
        }
        let report = |notification, detail| self.report_dsn(about, &envelope.reverse_path, kind, notification, detail);
        let ReversePath::Address(sender) = &envelope.reverse_path else {
            report(None, Some(TO_NOBODY));
            return Ok(());
        };
        if !self.dsn_rate.lock().unwrap_or_else(std::sync::PoisonError::into_inner).admit(Instant::now()) {
            report(None, Some("not sent: too many notifications in this minute"));
            return Ok(());
        }
        let id = MessageId { session: self.ids.next(self.now()), number: 1 };
        self.spool.append(self.notification(id, sender, original, kind, &entries)).await?;
        report(Some(id), None);
        Ok(())
    }

    fn report_dsn(&self, about: MessageId, to: &ReversePath, kind: Kind, notification: Option<MessageId>, detail: Option<&str>) {
        self.log.emit(&Event::Dsn { session: about.session, message: about, to, kind: kind.action(), notification, detail });
    }

    fn notification(&self, id: MessageId, sender: &Address, original: &Original, kind: Kind, entries: &[Entry]) -> NewEntry {
        let snapshot = self.snapshot.load();
        let lane = snapshot.bounce_relay.clone().unwrap_or_else(|| INTERNET.into());
        let content = compose(&snapshot.hostname, id, sender, original.header(), kind, entries, OffsetDateTime::now_utc());
        let (utf8, eight_bit) = (!sender.is_ascii() || entries.iter().any(is_utf8), !content.is_ascii());
        let envelope =
            super::job::StoredEnvelope::new(ReversePath::Null, vec![sender.clone()], utf8, eight_bit, Bytes::new(), snapshot.hash.clone());
        let state = JobState::notification(lane.clone(), sender.clone());
        NewEntry {
            id,
            envelope: envelope.encode(),
            content: Content::from(Bytes::from(content)),
            jobs: vec![NewJob { lane, due: self.now(), state: state.encode() }],
        }
    }
}

fn is_utf8(entry: &Entry) -> bool {
    !entry.original.is_ascii() || !entry.finally.is_ascii()
}

/// The message: for a person, for a program, and the original's header (RFC 3462; RFC 6533 where an address is not ASCII).
fn compose(hostname: &str, id: MessageId, to: &Address, header: &[u8], kind: Kind, entries: &[Entry], now: OffsetDateTime) -> Vec<u8> {
    let utf8 = !to.is_ascii() || entries.iter().any(is_utf8) || !header.is_ascii();
    let (status_type, headers_type) = if utf8 {
        ("message/global-delivery-status", "message/global-headers")
    } else {
        ("message/delivery-status", "text/rfc822-headers")
    };
    let encoding = if utf8 { "8bit" } else { "7bit" };
    let date = now.format(&Rfc2822).unwrap_or_default();
    let boundary = format!("=_{id}");
    let mut text = String::new();
    let mut line = |words: &str| {
        text.push_str(words);
        text.push_str("\r\n");
    };
    line(&format!("From: Mail Delivery System <MAILER-DAEMON@{hostname}>"));
    line(&format!("To: <{to}>"));
    line(&format!("Subject: {}", kind.subject()));
    line(&format!("Date: {date}"));
    line(&format!("Message-ID: <{id}@{hostname}>"));
    line("Auto-Submitted: auto-replied");
    line("MIME-Version: 1.0");
    line(&format!("Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\""));
    line("");
    line(&format!("--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n"));
    line(&format!("This is the mail gateway {hostname}.\r\n\r\n{}\r\n", kind.opening()));
    for entry in entries {
        line(&format!("  <{}>: {}", entry.original, shown(&entry.reply)));
    }
    line(&format!("\r\n--{boundary}\r\nContent-Type: {status_type}\r\nContent-Transfer-Encoding: {encoding}\r\n"));
    line(&format!("Reporting-MTA: dns; {hostname}"));
    for entry in entries {
        line("");
        line(&recipient_fields(kind, entry));
    }
    line(&format!("\r\n--{boundary}\r\nContent-Type: {headers_type}\r\nContent-Transfer-Encoding: {encoding}\r\n"));
    let mut message = text.into_bytes();
    message.extend_from_slice(whole_fields(header));
    message.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    message
}

/// RFC 3464 §2.3.
fn recipient_fields(kind: Kind, entry: &Entry) -> String {
    let kind_of = |address: &Address| if address.is_ascii() { "rfc822" } else { "utf-8" };
    let mut fields = String::new();
    if entry.original != entry.finally {
        fields.push_str(&format!("Original-Recipient: {}; {}\r\n", kind_of(&entry.original), entry.original));
    }
    let class = if kind == Kind::Failed { 5 } else { 4 };
    let status = entry.reply.status.map_or(Status(class, 0, 0), |status| Status(class, status.1, status.2));
    fields.push_str(&format!("Final-Recipient: {}; {}\r\n", kind_of(&entry.finally), entry.finally));
    fields.push_str(&format!("Action: {}\r\nStatus: {status}", kind.action()));
    if entry.remote {
        fields.push_str(&format!("\r\nDiagnostic-Code: smtp; {}", shown(&entry.reply)));
    }
    fields
}

/// A reply in one line that every next hop takes: a reply may have 64 KiB, and characters that a 7-bit part cannot have.
fn shown(reply: &Reply) -> String {
    let text = reply.to_string();
    text.chars().take(DSN_REPLY_CHARS_MAX).map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text, true).unwrap()
    }

    fn composed(header: &[u8], entries: &[Entry]) -> String {
        let id = "01hzy3v7qkabcdef-1".parse().unwrap();
        let bytes = compose("mx1.acme.example", id, &address("a@example.org"), header, Kind::Failed, entries, OffsetDateTime::UNIX_EPOCH);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_notification_has_the_three_parts_of_rfc_3462_and_no_body() {
        let entries = [Entry {
            original: address("bob@acme.example"),
            finally: address("robert@acme.example"),
            reply: Reply::fixed(550, Status(5, 1, 1), "No such user"),
            remote: true,
        }];
        let text = composed(b"Subject: hello\r\nFrom: a@example.org\r\n", &entries);
        let message = mail_parser::MessageParser::default().parse(text.as_bytes()).unwrap();
        let types: Vec<String> = message
            .parts
            .iter()
            .filter_map(|part| mail_parser::MimeHeaders::content_type(part).map(|t| format!("{}/{}", t.ctype(), t.subtype().unwrap_or(""))))
            .collect();
        assert_eq!(types, ["multipart/report", "text/plain", "message/delivery-status", "text/rfc822-headers"]);
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
    }

    /// RFC 6533 §3: with an address that is not ASCII the parts have other types and travel with 8 bits.
    #[test]
    fn an_address_that_is_not_ascii_makes_the_parts_global() {
        let entries = [Entry {
            original: address("bücher@acme.example"),
            finally: address("bücher@acme.example"),
            reply: Reply::fixed(550, Status(5, 1, 1), "No such user"),
            remote: true,
        }];
        let text = composed(b"Subject: hello\r\n", &entries);
        for expected in [
            "Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n",
            "Content-Type: message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n",
            "Final-Recipient: utf-8; bücher@acme.example\r\n",
        ] {
            assert!(text.contains(expected), "{expected} is missing in\n{text}");
        }
    }

    #[test]
    fn a_next_hop_cannot_write_fields_or_break_the_lines_of_a_notification() {
        let hostile = format!("no\nFinal-Recipient: rfc822; other@x.example\n--=_x--\r\nü\u{9b}{}", "x".repeat(60_000));
        let entries = [Entry {
            original: address("\"--=_ \"@acme.example"),
            finally: address("bob@acme.example"),
            reply: Reply::new(550, Some(Status(5, 1, 1)), hostile),
            remote: true,
        }];
        let text = composed(b"Subject: hello\r\n", &entries);
        assert!(text.is_ascii() && text.lines().all(|line| line.len() < 998));
        assert_eq!(text.matches("\r\nFinal-Recipient: ").count(), 1);
        assert_eq!(text.matches("\r\n--=_").count(), 4, "{text}");
        assert!(!text.replace("\r\n", "").contains(['\r', '\n']));
    }

    #[test]
    fn a_huge_header_is_cut_between_fields() {
        let header = "X-Filler: 1234567890\r\n".repeat(10_000);
        let kept = whole_fields(header.as_bytes());
        assert!(kept.len() <= DSN_HEADER_BYTES_MAX && kept.ends_with(b"\r\n"));
    }

    #[test]
    fn the_rate_is_kept_by_the_minute() {
        let mut rate = Rate::default();
        let begin = Instant::now();
        assert!((0..DSN_PER_MINUTE_MAX).all(|_| rate.admit(begin)));
        assert!(!rate.admit(begin));
        assert!(rate.admit(begin + Duration::from_secs(60)));
    }
}
