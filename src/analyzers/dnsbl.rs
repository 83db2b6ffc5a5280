//! DNS lists of addresses and of domains (RFC 5782).
//!
//! Only an answer within 127.0.0.0/8 is a listing (§2.1), and not all of these: lists say with some that they do not answer. A zone
//! that cannot be asked makes the whole unknown, unless another lists already.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hickory_resolver::proto::rr::Name;
use ipnet::Ipv4Net;
use tokio::time::Instant;

use super::gate::Gate;
use super::{Subject, Trouble, analysis, trouble};
use crate::dns::{Dns, DnsError, Inquiry};
use crate::limits::{DNS_NAME_BYTES_MAX, DNSBL_QUESTIONS_AT_ONCE, DNSBL_ZONES_MAX};
use crate::message::{Analysis, FieldKind, FieldValue, Text};
use crate::smtp::ReversePath;

pub(super) const FIELDS: [(&str, FieldKind); 3] =
    [("is_listed", FieldKind::Boolean), ("listed_on", FieldKind::Text), ("score", FieldKind::Number)];

/// Lists that are asked together.
#[derive(Clone, Debug, PartialEq)]
pub struct DnsblConfig {
    /// What is looked up in them.
    pub of: ListedIdentity,
    /// The lists; at most [`DNSBL_ZONES_MAX`].
    pub zones: Vec<Zone>,
}

/// What is looked up in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListedIdentity {
    /// The client's address.
    ClientIp,
    /// The domain of MAIL FROM.
    MailFrom,
    /// The name in HELO or EHLO.
    Helo,
}

/// One list.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    /// Its domain, in A-labels and without the last dot.
    pub name: Arc<str>,
    /// The answers that count; empty: all in 127.0.0.0/8 but for errors, under the zone's own name.
    pub codes: Vec<Code>,
    /// Of a listing in a zone without codes.
    pub weight: f64,
}

/// A meaning of answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Code {
    /// The answers.
    pub answers: Ipv4Net,
    /// What they mean.
    pub name: Arc<str>,
    /// What the name adds to the score.
    pub weight: f64,
}

#[derive(Debug)]
pub(super) struct Dnsbl {
    config: DnsblConfig,
    timeout: Duration,
    /// One for each zone: one list that does not answer says nothing of another.
    gates: Vec<Gate>,
}

impl Dnsbl {
    pub(super) fn new(mut config: DnsblConfig, timeout: Duration) -> Self {
        config.zones.truncate(DNSBL_ZONES_MAX);
        let gates = config.zones.iter().map(|_| Gate::new(DNSBL_QUESTIONS_AT_ONCE, timeout)).collect();
        Self { config, timeout, gates }
    }

    pub(super) async fn ask(&self, dns: &Dns, subject: &Subject<'_>, deadline: Instant) -> Result<Analysis, Trouble> {
        let listed = match self.config.of {
            ListedIdentity::ClientIp => reversed(subject.client_ip()),
            ListedIdentity::MailFrom => match &subject.envelope.reverse_path {
                ReversePath::Null => None,
                ReversePath::Address(address) => domain(address.domain()),
            },
            ListedIdentity::Helo => domain(&subject.session.helo),
        };
        let Some(listed) = listed else { return Ok(summary(&[])) };
        let inquiry = dns.inquiry(u32::try_from(self.config.zones.len()).unwrap_or(u32::MAX), self.timeout);
        let zones = self.config.zones.iter().zip(&self.gates);
        let answers = join_all(zones.map(|(zone, gate)| gate.pass(deadline, zone.ask(&inquiry, &listed)))).await;
        let listings: Vec<_> = answers.iter().flatten().flatten().copied().collect();
        let failed = answers.iter().zip(&self.config.zones).find_map(|(answer, zone)| Some((zone, answer.as_ref().err()?)));
        match failed {
            Some((zone, why)) if listings.is_empty() => Err(trouble(format!("{}: {why}", zone.name))),
            _ => Ok(summary(&listings)),
        }
    }
}

impl Zone {
    /// The names under which `listed` stands in the list, with their weights.
    async fn ask(&self, inquiry: &Inquiry, listed: &str) -> Result<Vec<(&str, f64)>, Trouble> {
        let Some(question) = self.question(listed) else { return Ok(Vec::new()) };
        match inquiry.ipv4(&question).await {
            Ok(answer) => self.read(&answer.records),
            Err(DnsError::NoName) => Ok(Vec::new()),
            Err(error) => Err(trouble(error.to_string())),
        }
    }

    /// The name to ask for. A listed domain is listed with all below it: of one that is so long that DNS cannot have the question
    /// (RFC 1035 §2.3.4), the part is asked for that it can have, or whoever is listed would send from a long enough name.
    fn question(&self, listed: &str) -> Option<String> {
        let room = DNS_NAME_BYTES_MAX.checked_sub(self.name.len().saturating_add(1))?;
        let mut above = std::iter::successors(Some(listed), |name| name.split_once('.').map(|(_, rest)| rest));
        above.find(|name| name.len() <= room).map(|name| format!("{name}.{}", self.name))
    }

    fn read(&self, answers: &[Ipv4Addr]) -> Result<Vec<(&str, f64)>, Trouble> {
        if let Some(why) = answers.iter().find_map(|answer| self.error(*answer)) {
            return Err(trouble(why));
        }
        if self.codes.is_empty() {
            return Ok(if answers.is_empty() { Vec::new() } else { vec![(&*self.name, self.weight)] });
        }
        let mut names: Vec<(&str, f64)> = Vec::new();
        for code in self.codes.iter().filter(|code| answers.iter().any(|answer| code.answers.contains(answer))) {
            if !names.iter().any(|(name, _)| **name == *code.name) {
                names.push((&code.name, code.weight));
            }
        }
        Ok(names)
    }

    /// What an answer says that is no listing and no denial of one.
    fn error(&self, answer: Ipv4Addr) -> Option<String> {
        let why = match answer.octets() {
            // Spamhaus and those that follow it.
            [127, 255, 255, 252] => "the list says that the name of the zone is mistyped",
            [127, 255, 255, 254] => "the list does not answer public resolvers: use a resolver of your own",
            [127, 255, 255, 255] => "the list says that there were too many questions",
            [127, 255, 255, _] => "the list refuses to answer",
            // URIBL and SURBL; no list of addresses uses it (RFC 5782 §5).
            [127, 0, 0, 1] if !self.codes.iter().any(|code| code.answers.contains(&answer)) => "the list refuses to answer",
            [127, ..] => return None,
            // Whoever has bought the domain of a list that has ended, or a resolver that redirects what does not exist.
            _ => "this is no answer of a DNS list",
        };
        Some(format!("{answer}: {why}"))
    }
}

fn summary(listings: &[(&str, f64)]) -> Analysis {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in listings {
        if !names.contains(name) {
            names.push(name);
        }
    }
    analysis([
        ("is_listed", FieldValue::Boolean(!listings.is_empty())),
        ("listed_on", FieldValue::Texts(names.into_iter().map(Text::new).collect())),
        // Not `sum`, for which nothing is -0.
        ("score", FieldValue::Number(listings.iter().fold(0.0, |sum, (_, weight)| sum + weight))),
    ])
}

/// An address as lists have it (RFC 5782 §2.1, §2.4); nothing for one that is on no public list because it is nobody's.
fn reversed(address: IpAddr) -> Option<String> {
    match address {
        IpAddr::V4(ip) => {
            // 127.0.0.2 is the entry that each list has to be tried with (§5).
            let is_test = ip == Ipv4Addr::new(127, 0, 0, 2);
            let is_nobodys = ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified();
            let [a, b, c, d] = ip.octets();
            (is_test || !is_nobodys).then(|| format!("{d}.{c}.{b}.{a}"))
        }
        IpAddr::V6(ip) => {
            let is_nobodys = ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local();
            let nibbles = ip.octets().into_iter().rev().flat_map(|octet| [octet & 0xf, octet >> 4]);
            (!is_nobodys).then(|| nibbles.map(|nibble| format!("{nibble:x}")).collect::<Vec<_>>().join("."))
        }
    }
}

/// A domain as lists have it (§3): A-labels, lower case. Nothing for what is none: lists of domains refuse questions about addresses.
fn domain(text: &str) -> Option<String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let ascii = if text.is_ascii() { text.to_ascii_lowercase() } else { Name::from_utf8(text).ok()?.to_ascii().to_ascii_lowercase() };
    let ascii = ascii.trim_end_matches('.');
    let is_label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let (_, last) = ascii.rsplit_once('.')?;
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit());
    (ascii.len() <= 253 && !is_number && ascii.split('.').all(is_label)).then(|| ascii.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_reversed_as_rfc_5782_shows() {
        assert_eq!(reversed("192.0.2.99".parse().unwrap()).as_deref(), Some("99.2.0.192"));
        let v6 = "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2";
        assert_eq!(reversed("2001:db8:1:2:3:4:567:89ab".parse().unwrap()).as_deref(), Some(v6));
        assert_eq!(reversed("127.0.0.2".parse().unwrap()).as_deref(), Some("2.0.0.127"));
        for nobodys in ["127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.1.1", "0.0.0.0", "::1", "::", "fd00::1", "fe80::1"] {
            assert_eq!(reversed(nobodys.parse().unwrap()), None, "{nobodys}");
        }
    }

    #[test]
    fn domains_are_names_and_nothing_else() {
        for (text, expected) in [
            ("Example.COM", Some("example.com")),
            ("example.com.", Some("example.com")),
            ("bücher.example", Some("xn--bcher-kva.example")),
            ("BÜCHER.example", Some("xn--bcher-kva.example")),
            ("mail_1.example.com", Some("mail_1.example.com")),
            ("localhost", None),
            ("", None),
            (".", None),
            ("..", None),
            ("a..example", None),
            ("[192.0.2.1]", None),
            ("192.0.2.1", None),
            ("[IPv6:2001:db8::1]", None),
            ("2001:db8::1", None),
            ("a b.example", None),
            ("a\\.b.example", None),
            ("x\u{3002}example.com", None),
            ("\u{0}.example", None),
        ] {
            assert_eq!(domain(text).as_deref(), expected, "{text:?}");
        }
        assert_eq!(domain(&format!("{}.example", "a".repeat(64))), None);
        assert_eq!(domain(&"a.".repeat(200)), None);
    }

    #[test]
    fn a_long_name_does_not_hide_a_listed_one() {
        let zone = Zone { name: "list.example".into(), codes: Vec::new(), weight: 1.0 };
        let long = format!("{}spam.example", "a.".repeat(120));
        assert_eq!(domain(&long).as_deref(), Some(&*long));
        let question = zone.question(&long).unwrap();
        assert!((252..=253).contains(&question.len()) && question.ends_with(".a.spam.example.list.example"), "{question}");
        assert_eq!(zone.question("spam.example").as_deref(), Some("spam.example.list.example"));
        let huge = Zone { name: "a.".repeat(126).into(), ..zone };
        assert_eq!(huge.question("spam.example"), None);
    }

    #[test]
    fn answers_mean_what_the_codes_say() {
        let code = |answers: &str, name: &str, weight| Code { answers: answers.parse().unwrap(), name: name.into(), weight };
        let plain = Zone { name: "list.example".into(), codes: Vec::new(), weight: 2.0 };
        let coded = Zone {
            codes: vec![code("127.0.0.2/32", "sbl", 3.0), code("127.0.0.4/30", "xbl", 4.0), code("127.0.0.10/32", "pbl", -1.0)],
            ..plain.clone()
        };
        let one = Zone { codes: vec![code("127.0.0.1/32", "one", 1.0)], ..plain.clone() };
        let read = |zone: &Zone, answers: &[&str]| {
            let answers: Vec<Ipv4Addr> = answers.iter().map(|answer| answer.parse().unwrap()).collect();
            zone.read(&answers).map(|names| names.into_iter().map(|(name, weight)| (name.to_owned(), weight)).collect::<Vec<_>>())
        };
        let listed = |names: &[(&str, f64)]| Ok(names.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect::<Vec<_>>());
        assert_eq!(read(&plain, &[]), listed(&[]));
        assert_eq!(read(&plain, &["127.0.0.2", "127.0.0.9"]), listed(&[("list.example", 2.0)]));
        assert_eq!(read(&coded, &["127.0.0.10", "127.0.0.7", "127.0.0.4"]), listed(&[("xbl", 4.0), ("pbl", -1.0)]));
        assert_eq!(read(&coded, &["127.0.0.8", "127.0.0.3"]), listed(&[]));
        assert_eq!(read(&one, &["127.0.0.1"]), listed(&[("one", 1.0)]));
        for (answer, why) in [
            ("127.255.255.252", "mistyped"),
            ("127.255.255.254", "public resolvers"),
            ("127.255.255.255", "too many"),
            ("127.255.255.7", "refuses"),
            ("127.0.0.1", "refuses"),
            ("203.0.113.80", "no answer of a DNS list"),
            ("128.0.0.2", "no answer of a DNS list"),
        ] {
            for zone in [&plain, &coded] {
                // Whatever else it says: a list that also says this is not to be believed.
                let error = read(zone, &["127.0.0.2", answer]).unwrap_err();
                assert!(error.starts_with(answer) && error.contains(why), "{error}");
            }
        }
    }
}
