//! The report itself (RFC 8460 §4.4): JSON, packed, and the message that carries it.

use std::collections::BTreeMap;
use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use mail_builder::MessageBuilder;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::raw::Raw;
use mail_builder::mime::{BodyPart, MimePart};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::row::{Fault, Policy, Row};
use crate::daily_reports::Sending;

/// RFC 8460 §6.4.
pub(super) const MEDIA_TYPE: &str = "application/tlsrpt+gzip";

/// Sessions under one policy.
#[derive(Default)]
struct Sessions<'a> {
    successes: u64,
    failures: u64,
    faults: BTreeMap<&'a Fault, u64>,
}

/// The report about a domain and a day, packed.
pub(super) fn report(sending: &Sending<'_, Row>) -> io::Result<Bytes> {
    let mut policies: BTreeMap<&Policy, Sessions<'_>> = BTreeMap::new();
    for (row, count) in &sending.figures.rows {
        let sessions = policies.entry(&row.policy).or_default();
        match &row.fault {
            None => sessions.successes = sessions.successes.saturating_add(*count),
            Some(fault) => {
                sessions.failures = sessions.failures.saturating_add(*count);
                let sum = sessions.faults.entry(fault).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
    }
    let policies: Vec<Value> = policies.into_iter().map(|(policy, sessions)| entry(sending.domain, policy, &sessions)).collect();
    let config = sending.config;
    let report = json!({
        "organization-name": config.organization,
        "date-range": { "start-datetime": instant(sending.day.begin())?, "end-datetime": instant(sending.day.end())? },
        "contact-info": config.contact.as_deref().unwrap_or(config.from.as_str()),
        "report-id": sending.id(),
        "policies": policies,
    });
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&serde_json::to_vec(&report)?)?;
    Ok(packed.finish()?.into())
}

/// A member of `policies`; what is not known is left out.
fn entry(domain: &str, policy: &Policy, sessions: &Sessions<'_>) -> Value {
    let mut details = json!({ "policy-type": policy.kind, "policy-domain": domain });
    if !policy.lines.is_empty() {
        details["policy-string"] = json!(policy.lines);
    }
    if !policy.exchangers.is_empty() {
        details["mx-host"] = json!(policy.exchangers);
    }
    let faults = sessions.faults.iter().map(|(fault, count)| {
        let mut entry = json!({ "result-type": fault.word, "failed-session-count": count });
        if !fault.host.is_empty() {
            entry["receiving-mx-hostname"] = json!(fault.host);
        }
        if let Some(address) = fault.address {
            entry["receiving-ip"] = json!(address);
        }
        entry
    });
    let faults: Vec<Value> = faults.collect();
    let mut entry = json!({
        "policy": details,
        "summary": { "total-successful-session-count": sessions.successes, "total-failure-session-count": sessions.failures },
    });
    if !faults.is_empty() {
        entry["failure-details"] = Value::Array(faults);
    }
    entry
}

fn instant(seconds: u64) -> io::Result<String> {
    let time = OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).unwrap_or_default()).map_err(io::Error::other)?;
    time.format(&Rfc3339).map_err(io::Error::other)
}

/// The message for one destination (RFC 8460 §5.3). A repetition is the same message.
pub(super) fn message(sending: &Sending<'_, Row>, packed: &Bytes, to: &str) -> io::Result<Bytes> {
    let (config, domain, id) = (sending.config, sending.domain, sending.id());
    let submitter = config.from.domain();
    let (begin, end) = (sending.day.begin(), sending.day.end());
    let file = format!("{submitter}!{domain}!{begin}!{end}!{id}.json.gz");
    let text = format!(
        "This is a report about TLS with the mail exchangers of a domain (RFC 8460).\r\n\r\nDomain: {domain}\r\nFrom {begin} to {end} \
         (seconds since 1970, UTC)\r\nSubmitter: {submitter}\r\nReport-ID: {id}\r\n"
    );
    let parts = vec![
        MimePart::new(ContentType::new("text/plain").attribute("charset", "utf-8"), BodyPart::Text(text.into())),
        MimePart::new(ContentType::new(MEDIA_TYPE), BodyPart::Binary(packed.to_vec().into())).attachment(file),
    ];
    let mut message = Vec::new();
    MessageBuilder::new()
        .from((&*config.organization, config.from.as_str()))
        .to(to)
        // Programs look for these fields as they stand here: folded perhaps, but never encoded; all of it is ASCII.
        .header("Subject", Raw::new(format!("Report Domain: {domain} Submitter: {submitter} Report-ID: <{id}>")))
        .header("TLS-Report-Domain", Raw::new(domain))
        .header("TLS-Report-Submitter", Raw::new(submitter))
        .date(i64::try_from(sending.now).unwrap_or_default())
        .message_id(format!("{id}.{:08x}@{submitter}", crc32fast::hash(to.as_bytes())))
        .header("Auto-Submitted", Raw::new("auto-generated"))
        .body(MimePart::new(ContentType::new("multipart/report").attribute("report-type", "tlsrpt"), BodyPart::Multipart(parts)))
        .write_to(&mut message)?;
    Ok(message.into())
}
