//! Whole verdicts over a stub of DNS, on messages signed by the letter of the RFCs, without the code under test.

mod arc;
mod dkim;
mod dmarc;
mod others;

use std::collections::BTreeMap;
use std::sync::Mutex;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::texts::{Answer, Source};
use crate::dns::{DnsError, Records};
use crate::message::Original;

/// When the tests take place, in seconds since 1970.
const NOW: u64 = 1_800_000_000;

/// TXT records by name. What is not there does not exist; a record `SERVFAIL` is trouble, `EMPTY` a name without records.
#[derive(Default)]
struct Zone {
    records: BTreeMap<String, Vec<Vec<u8>>>,
    asked: Mutex<Vec<String>>,
}

impl Zone {
    fn of(records: &[(&str, &str)]) -> Self {
        let mut zone = Self::default();
        for (name, record) in records {
            zone.add(name, record);
        }
        zone
    }

    fn add(&mut self, name: &str, record: &str) {
        self.records.entry(name.to_owned()).or_default().push(record.as_bytes().to_owned());
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn exists(&self, name: &str) -> bool {
        self.records.keys().any(|known| known == name || known.ends_with(&format!(".{name}")))
    }
}

impl Source for Zone {
    async fn txt(&self, name: &str) -> Answer {
        self.asked.lock().unwrap().push(name.to_owned());
        match self.records.get(name).map(Vec::as_slice) {
            Some([only]) if only == b"SERVFAIL" => Err(DnsError::Trouble("SERVFAIL".into())),
            Some([only]) if only == b"EMPTY" => Ok(Records { records: [].into(), exists: true }),
            Some(records) => Ok(Records { records: records.iter().map(|record| record.clone().into()).collect(), exists: true }),
            None => Ok(Records { records: [].into(), exists: self.exists(name) }),
        }
    }

    async fn exists(&self, name: &str) -> Result<bool, DnsError> {
        self.asked.lock().unwrap().push(format!("A {name}"));
        Ok(Zone::exists(self, name))
    }
}

fn original(message: &str) -> Original {
    Original::parse(Bytes::copy_from_slice(message.as_bytes())).unwrap()
}

fn key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
}

/// The key as it is published.
fn key_record() -> String {
    format!("v=DKIM1; k=ed25519; p={}", base64(key().public_key().as_ref()))
}

fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The body by the letter of RFC 6376 §3.4.3 and §3.4.4, line by line.
pub(super) fn canonical_body(body: &str, is_relaxed: bool) -> String {
    let mut lines: Vec<String> = body.split("\r\n").map(str::to_owned).collect();
    if is_relaxed {
        for line in &mut lines {
            let mut short = String::new();
            for char in line.trim_end_matches([' ', '\t']).chars() {
                let is_space = matches!(char, ' ' | '\t');
                if !(is_space && short.ends_with(' ')) {
                    short.push(if is_space { ' ' } else { char });
                }
            }
            *line = short;
        }
    }
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    if lines.is_empty() && !is_relaxed {
        lines.push(String::new());
    }
    lines.into_iter().map(|line| line + "\r\n").collect()
}

/// The field by the letter of RFC 6376 §3.4.1 and §3.4.2.
fn canonical_field(field: &str, is_relaxed: bool) -> String {
    if !is_relaxed {
        return field.to_owned();
    }
    let (name, value) = field.split_once(':').unwrap();
    let value = value.replace("\r\n", "");
    let words: Vec<&str> = value.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
    format!("{}:{}\r\n", name.trim_end().to_lowercase(), words.join(" "))
}

/// The fields of a header, each with its line end.
fn fields(header: &str) -> Vec<String> {
    let mut fields: Vec<String> = Vec::new();
    for line in header.split_inclusive("\r\n") {
        match fields.last_mut() {
            Some(last) if line.starts_with([' ', '\t']) => last.push_str(line),
            _ => fields.push(line.to_owned()),
        }
    }
    fields
}

fn tag<'a>(tags: &'a str, name: &str) -> Option<&'a str> {
    tags.split(';').find_map(|pair| pair.split_once('=').filter(|(tag, _)| tag.trim() == name)).map(|(_, value)| value.trim())
}

/// What a signature over `tags` (with `bh=`, and `b=` without a value) covers.
fn covered(message: &str, field: &str, tags: &str) -> Vec<u8> {
    let (header, _) = message.split_once("\r\n\r\n").unwrap();
    let is_relaxed = tag(tags, "c").is_some_and(|forms| forms.starts_with("relaxed"));
    let mut left = fields(&format!("{header}\r\n"));
    let mut data = String::new();
    for name in tag(tags, "h").unwrap_or_default().split(':') {
        let named = |field: &String| field.split_once(':').is_some_and(|(other, _)| other.trim().eq_ignore_ascii_case(name.trim()));
        if let Some(at) = left.iter().rposition(named) {
            data.push_str(&canonical_field(&left.remove(at), is_relaxed));
        }
    }
    let own = canonical_field(&format!("{field}: {tags}\r\n"), is_relaxed);
    data.push_str(own.strip_suffix("\r\n").unwrap());
    data.into_bytes()
}

/// Puts `bh=` behind the tags.
fn with_body_hash(message: &str, tags: &str) -> String {
    let (_, body) = message.split_once("\r\n\r\n").unwrap();
    let body = canonical_body(body, tag(tags, "c").is_some_and(|forms| forms.ends_with("/relaxed")));
    let signed = tag(tags, "l").and_then(|length| length.parse().ok()).map_or(&*body, |length: usize| &body[..length.min(body.len())]);
    format!("{tags}; bh={}", base64(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, signed.as_bytes()).as_ref()))
}

/// Signs as RFC 8463 has it, and gives the field.
fn seal(data: &[u8], field: &str, tags: &str) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, data);
    format!("{field}: {tags}{}\r\n", base64(key().sign(hash.as_ref()).as_ref()))
}

/// Puts a signature on top of a message; `bh=` and `b=` are added to the tags.
fn sign_as(message: &str, field: &str, tags: &str) -> String {
    let tags = format!("{}; b=", with_body_hash(message, tags));
    let field = seal(&covered(message, field, &tags), field, &tags);
    format!("{field}{message}")
}

fn sign(message: &str, tags: &str) -> String {
    sign_as(message, "DKIM-Signature", tags)
}

#[test]
fn verdicts_can_be_made_on_any_thread() {
    fn is_send(_: impl Send) {}
    let original = original("From: a@example.com\r\n\r\n");
    let (signed, author) = (super::Signed::parse(&original), crate::message::Author::read(&original));
    let dns = crate::dns::Dns::new(&crate::dns::ResolverConfig {
        servers: vec![([127, 0, 0, 1], 9).into()],
        timeout: crate::limits::DNS_TIMEOUT,
        ..crate::dns::ResolverConfig::default()
    });
    let dns = dns.unwrap();
    is_send(super::dkim::check(&dns, &signed, &author, NOW));
    is_send(super::arc::check(&dns, &signed, NOW));
}
