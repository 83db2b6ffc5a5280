//! What a name holds, in the form in which it is remembered.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use hickory_resolver::proto::rr::{Name, RData};

use super::Tlsa;
use super::question::Kind;
use crate::limits::{DNS_RECORDS_MAX, DNS_TOLD_CHARS_MAX, DNS_TOLD_RECORDS_MAX};
use crate::message::one_line;

/// Records of one type, or that there are none.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) data: Data,
    /// `false`: NXDOMAIN.
    pub(super) exists: bool,
    /// For people: the records shortened.
    pub(super) told: Box<str>,
    /// Servers that are believed have said of every step that it is authenticated.
    pub(super) is_secure: bool,
    /// The name at the end of CNAMEs, if there were any.
    pub(super) canonical: Option<Box<str>>,
}

/// Records as their askers want them.
#[derive(Debug)]
pub(super) enum Data {
    Txt(Arc<[Box<[u8]>]>),
    Ipv4(Arc<[Ipv4Addr]>),
    Ipv6(Arc<[Ipv6Addr]>),
    Mx(Arc<[(u16, Box<str>)]>),
    Ptr(Arc<[Box<str>]>),
    Tlsa(Arc<[Tlsa]>),
    Nothing,
}

impl Answer {
    /// The name does not exist, or has no records of the type.
    pub(super) fn nothing(exists: bool) -> Self {
        Self { data: Data::Nothing, exists, told: if exists { "no records" } else { "NXDOMAIN" }.into(), is_secure: false, canonical: None }
    }

    /// The records of one name and type. What stands behind the first of very many is not looked at.
    pub(super) fn new<'a>(kind: Kind, records: impl Iterator<Item = &'a RData>) -> Self {
        let records = records.take(DNS_RECORDS_MAX);
        let data = match kind {
            Kind::Txt => Data::Txt(records.filter_map(text).collect()),
            Kind::Ipv4 => Data::Ipv4(records.filter_map(|data| if let RData::A(a) = data { Some(a.0) } else { None }).collect()),
            Kind::Ipv6 => Data::Ipv6(records.filter_map(|data| if let RData::AAAA(aaaa) = data { Some(aaaa.0) } else { None }).collect()),
            Kind::Mx => Data::Mx(
                records
                    .filter_map(|data| if let RData::MX(mx) = data { Some((mx.preference, without_dot(&mx.exchange))) } else { None })
                    .collect(),
            ),
            Kind::Ptr => {
                Data::Ptr(records.filter_map(|data| if let RData::PTR(ptr) = data { Some(without_dot(&ptr.0)) } else { None }).collect())
            }
            Kind::Tlsa => Data::Tlsa(records.filter_map(tlsa).collect()),
        };
        Self::of(data)
    }

    /// These records.
    pub(super) fn of(data: Data) -> Self {
        let told = data.told();
        Self { data, exists: true, told, is_secure: false, canonical: None }
    }

    /// The same with what is known of the way to it.
    pub(super) fn reached(self, is_secure: bool, canonical: Option<&Name>) -> Self {
        Self { is_secure, canonical: canonical.map(without_dot), ..self }
    }

    pub(super) fn has_records(&self) -> bool {
        !matches!(self.data, Data::Nothing)
    }

    /// Octets of memory, about.
    pub(super) fn bytes(&self) -> usize {
        // A pointer and what an allocation costs, for each text.
        let of = |bytes: usize| bytes.saturating_add(32);
        let records: usize = match &self.data {
            Data::Txt(texts) => texts.iter().map(|text| of(text.len())).sum(),
            Data::Ipv4(addresses) => addresses.len().saturating_mul(4),
            Data::Ipv6(addresses) => addresses.len().saturating_mul(16),
            Data::Mx(hosts) => hosts.iter().map(|(_, host)| of(host.len())).sum(),
            Data::Ptr(names) => names.iter().map(|name| of(name.len())).sum(),
            Data::Tlsa(records) => records.iter().map(|record| of(record.data.len())).sum(),
            Data::Nothing => 0,
        };
        let canonical = self.canonical.as_ref().map_or(0, |name| name.len());
        records.saturating_add(self.told.len()).saturating_add(canonical)
    }
}

impl Data {
    fn told(&self) -> Box<str> {
        match self {
            Self::Txt(texts) => told(texts, |text| String::from_utf8_lossy(text.get(..400).unwrap_or(text)).into_owned()),
            Self::Ipv4(addresses) => told(addresses, Ipv4Addr::to_string),
            Self::Ipv6(addresses) => told(addresses, Ipv6Addr::to_string),
            Self::Mx(hosts) => told(hosts, |(preference, host)| format!("{preference} {}", if host.is_empty() { "." } else { host })),
            Self::Ptr(names) => told(names, |name| name.to_string()),
            Self::Tlsa(records) => told(records, Tlsa::to_string),
            Self::Nothing => "no records".into(),
        }
    }
}

/// A few records, each cut short and printable.
fn told<T>(records: &[T], text: impl Fn(&T) -> String) -> Box<str> {
    let mut all = String::new();
    for record in records.iter().take(DNS_TOLD_RECORDS_MAX) {
        if !all.is_empty() {
            all.push_str("; ");
        }
        let text = text(record);
        all.push_str(&one_line(&text, DNS_TOLD_CHARS_MAX));
        if text.chars().nth(DNS_TOLD_CHARS_MAX).is_some() {
            all.push('…');
        }
    }
    if records.len() > DNS_TOLD_RECORDS_MAX {
        // Writing to a text cannot fail.
        let _ = write!(all, "; {} in all", records.len());
    }
    all.into()
}

/// The strings of a TXT record put together (RFC 7208 §3.3, RFC 6376 §3.6.2.2).
fn text(data: &RData) -> Option<Box<[u8]>> {
    if let RData::TXT(txt) = data { Some(txt.txt_data.concat().into()) } else { None }
}

fn tlsa(data: &RData) -> Option<Tlsa> {
    let RData::TLSA(tlsa) = data else { return None };
    Some(Tlsa {
        usage: tlsa.cert_usage.into(),
        selector: tlsa.selector.into(),
        matching: tlsa.matching.into(),
        data: tlsa.cert_data.as_slice().into(),
    })
}

/// Lower case, without the last dot, in the form in which it can be asked for again: `foo:bar/baz.example` stays (RFC 7208 §7.1). What has no
/// place in that form, a dot in a label or what is not printable ASCII, is written as `\046`. The root is the empty text.
fn without_dot(name: &Name) -> Box<str> {
    let mut text = String::with_capacity(name.len());
    for label in name.iter() {
        if !text.is_empty() {
            text.push('.');
        }
        for octet in label {
            match octet {
                b' '..=b'-' | b'/'..=b'~' => text.push(char::from(octet.to_ascii_lowercase())),
                octet => {
                    // Writing to a text cannot fail.
                    let _ = write!(text, "\\{octet:03}");
                }
            }
        }
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::rdata::{A, TXT};

    use super::*;

    #[test]
    fn what_is_told_is_short_and_printable() {
        let txt = |text: &[u8]| RData::TXT(TXT::from_bytes(vec![text]));
        let one = [txt(b"v=spf1 \x1b[31m -all\r\n"), txt(&[b'x'; 200])];
        let answer = Answer::new(Kind::Txt, one.iter());
        assert_eq!(&*answer.told, format!("v=spf1  [31m -all  ; {}…", "x".repeat(100)));
        let addresses: Vec<RData> = (0..4000).map(|n| RData::A(A(Ipv4Addr::from(n)))).collect();
        let answer = Answer::new(Kind::Ipv4, addresses.iter());
        assert_eq!(&*answer.told, "0.0.0.0; 0.0.0.1; 0.0.0.2; 0.0.0.3; 500 in all");
        assert!(matches!(&answer.data, Data::Ipv4(addresses) if addresses.len() == DNS_RECORDS_MAX));
        assert!(answer.bytes() < 3000);
    }

    #[test]
    fn names_of_an_answer_can_be_asked_for() {
        let text = |labels: &[&[u8]]| without_dot(&Name::from_labels(labels.iter().copied()).unwrap());
        assert_eq!(&*text(&[b"Mail", b"Example"]), "mail.example");
        assert_eq!(&*text(&[b"foo:bar/baz", b"a b\\", b"example"]), "foo:bar/baz.a b\\.example");
        assert_eq!(&*text(&[b"a.b", b"\0\xff"]), "a\\046b.\\000\\255");
        assert_eq!(&*text(&[]), "");
    }
}
