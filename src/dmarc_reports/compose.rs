//! The report itself (RFC 9990 §3): XML, packed, in a message.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use mail_auth::dmarc::Dmarc;
use mail_auth::report::{PolicyPublished, Report};
use mail_builder::MessageBuilder;
use mail_builder::headers::raw::Raw;

use super::row::Row;
use crate::daily_reports::{ReportsConfig, Sending};

/// The report about a domain and a day.
pub(super) fn report(sending: &Sending<'_, Row>, record: &Dmarc) -> Report {
    let (config, day, domain, figures) = (sending.config, sending.day, sending.domain, sending.figures);
    let mut report = Report::new()
        .with_version(1.0)
        .with_org_name(&*config.organization)
        .with_email(config.from.as_str())
        .with_report_id(sending.id())
        .with_date_range_begin(day.begin())
        .with_date_range_end(day.end())
        .with_generator(concat!("gateway ", env!("CARGO_PKG_VERSION")))
        .with_policy_published(PolicyPublished::from_record(domain, record));
    if let Some(contact) = &config.contact {
        report = report.with_extra_contact_info(&**contact);
    }
    if figures.omitted > 0 {
        report = report.with_error(format!("{} messages are left out: too many different rows", figures.omitted));
    }
    let mut rows: Vec<_> = figures.rows.iter().map(|(row, count)| row.record(*count)).collect();
    // Whoever sends most stands first.
    rows.sort_by_key(|record| std::cmp::Reverse(record.count()));
    rows.into_iter().for_each(|record| report.add_record(record));
    report
}

/// The message for one destination (RFC 9990 §3.5): what people read and the packed report. A repetition is the same message.
pub(super) fn message(config: &ReportsConfig, report: &Report, to: &str, now: u64) -> io::Result<Bytes> {
    let (submitter, domain, id) = (config.from.domain(), report.domain(), report.report_id());
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(report.to_xml().as_bytes())?;
    let file = format!("{submitter}!{domain}!{}!{}!{id}.xml.gz", report.date_range_begin(), report.date_range_end());
    // Programs look for this field as it stands here, so that it is folded but never encoded; all of it is ASCII.
    let subject = format!("Report Domain: {domain} Submitter: {submitter} Report-ID: <{id}>");
    let text = format!(
        "This is a DMARC aggregate report.\r\n\r\nDomain: {domain}\r\nFrom {} to {} (seconds since 1970, UTC)\r\nSubmitter: {submitter}\r\nReport-ID: {id}\r\n",
        report.date_range_begin(),
        report.date_range_end()
    );
    let mut message = Vec::new();
    MessageBuilder::new()
        .from((&*config.organization, config.from.as_str()))
        .to(to)
        .header("Subject", Raw::new(subject))
        .date(i64::try_from(now).unwrap_or_default())
        .message_id(format!("{id}.{:08x}@{submitter}", crc32fast::hash(to.as_bytes())))
        .header("Auto-Submitted", Raw::new("auto-generated"))
        .text_body(text)
        .attachment("application/gzip", file, packed.finish()?)
        .write_to(&mut message)?;
    Ok(message.into())
}
