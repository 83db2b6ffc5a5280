//! What a domain publishes: a TXT record that says which policy is current, and the policy (RFC 8461 §3).

use std::time::Duration;

use crate::dns::normal_name;
use crate::limits::{STS_AGE_MAX, STS_AGE_MIN};

/// What a policy asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::relay) enum Mode {
    /// Mail goes to the policy's exchangers over verified TLS, or not at all.
    Enforce,
    /// Mail goes anyway; what fails is told.
    Testing,
    /// There is no policy any more.
    None,
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::relay) struct Policy {
    pub(in crate::relay) mode: Mode,
    /// How long it holds from when it was fetched.
    pub(in crate::relay) max_age: Duration,
    /// Names of exchangers, in A-labels and lower case; `*.` stands for one label.
    pub(in crate::relay) exchangers: Vec<Box<str>>,
    /// Its lines, for reports.
    pub(in crate::relay) lines: Vec<Box<str>>,
}

impl Policy {
    /// Reads the body of a policy; the error says what is wrong with it. Fields of other names are passed over, and of a field that stands
    /// there twice the first counts (RFC 8461 §3.2).
    pub(in crate::relay) fn parse(body: &[u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(body).map_err(|_| "it is not UTF-8")?;
        let (mut version, mut mode, mut max_age, mut exchangers, mut lines) = (None, None, None, Vec::new(), Vec::new());
        let text = text.strip_suffix('\n').unwrap_or(text);
        for line in text.split('\n') {
            let line = line.strip_suffix('\r').unwrap_or(line).trim_end_matches([' ', '\t']);
            let (key, value) = line.split_once(':').ok_or("a line has no colon")?;
            let value = value.trim_start_matches([' ', '\t']);
            if !is_key(key) || value.is_empty() || value.chars().any(char::is_control) {
                return Err("a line is no `key: value`");
            }
            match key {
                "version" => _ = version.get_or_insert(value),
                "mode" => _ = mode.get_or_insert(value),
                "max_age" => _ = max_age.get_or_insert(value),
                "mx" => exchangers.push(pattern(value).ok_or("a value of `mx` is no name")?),
                _ => {}
            }
            lines.push(line.into());
        }
        if version != Some("STSv1") {
            return Err("its version is not `STSv1`");
        }
        let mode = match mode {
            Some("enforce") => Mode::Enforce,
            Some("testing") => Mode::Testing,
            Some("none") => Mode::None,
            _ => return Err("its `mode` is none of `enforce`, `testing`, `none`"),
        };
        let digits = max_age.filter(|digits| digits.len() <= 10 && digits.bytes().all(|digit| digit.is_ascii_digit()));
        let seconds = digits.and_then(|digits| digits.parse().ok()).ok_or("its `max_age` is no number of seconds")?;
        if exchangers.is_empty() && mode != Mode::None {
            return Err("it has no `mx`");
        }
        Ok(Self { mode, max_age: Duration::from_secs(seconds).clamp(STS_AGE_MIN, STS_AGE_MAX), exchangers, lines })
    }

    /// Whether a host is one of its exchangers (RFC 8461 §4.1).
    pub(in crate::relay) fn has(&self, host: &str) -> bool {
        let Some(host) = normal_name(host) else { return false };
        self.exchangers.iter().any(|pattern| match pattern.strip_prefix("*.") {
            Some(parent) => host.split_once('.').is_some_and(|(_, rest)| rest == parent),
            None => *pattern == host,
        })
    }
}

/// The id of the current policy, from the TXT records of `_mta-sts.`; `None`: there is none, or more than one (RFC 8461 §3.1).
pub(super) fn current_id(records: &[Box<[u8]>]) -> Option<Box<str>> {
    let mut of_this_version = records.iter().filter(|record| record.starts_with(b"v=STSv1;"));
    let (Some(record), None) = (of_this_version.next(), of_this_version.next()) else { return None };
    let fields = std::str::from_utf8(record).ok()?.split(';');
    let id = fields.filter_map(|field| field.split_once('=')).find(|(key, _)| key.trim_matches([' ', '\t']) == "id")?.1;
    let id = id.trim_matches([' ', '\t']);
    ((1..=32).contains(&id.len()) && id.bytes().all(|octet| octet.is_ascii_alphanumeric())).then(|| id.into())
}

/// RFC 8461 §3.2: sts-policy-ext-name has the alphabet of all keys.
fn is_key(key: &str) -> bool {
    let is_first = key.starts_with(|first: char| first.is_ascii_alphanumeric());
    is_first && key.len() <= 32 && key.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'-' | b'.'))
}

fn pattern(value: &str) -> Option<Box<str>> {
    let (star, name) = value.strip_prefix("*.").map_or(("", value), |parent| ("*.", parent));
    let name =
        normal_name(name).filter(|name| name.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_')))?;
    Some(format!("{star}{name}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_strictly() {
        let long = format!("version: STSv1\nmode: enforce\nmax_age: 86400\nmx: {}.example\n", "a".repeat(64));
        for (text, expected) in [
            ("version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmax_age: 604800\n", Ok((Mode::Enforce, 604_800, 2))),
            ("version: STSv1\r\nmode: testing\r\nmx: MAIL.example.com\r\nmax_age: 604800\r\n", Ok((Mode::Testing, 604_800, 1))),
            ("max_age:86400 \nmx:a.example\t\nmode:\tenforce\nversion:STSv1", Ok((Mode::Enforce, 86_400, 1))),
            ("version: STSv1\nmode: none\nmax_age: 86400", Ok((Mode::None, 86_400, 0))),
            // The first counts; others are passed over.
            (
                "version: STSv1\nmode: testing\nmode: enforce\nmx: a.example\nmax_age: 100\nmax_age: 1\nx-new: 1",
                Ok((Mode::Testing, 100, 1)),
            ),
            ("version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 9999999999", Ok((Mode::Enforce, 31_557_600, 1))),
            ("version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 0", Ok((Mode::Enforce, 60, 1))),
            ("version: STSv1\nmode: enforce\nmx: bücher.example\nmax_age: 100", Ok((Mode::Enforce, 100, 1))),
            ("version: STSv2\nmode: enforce\nmx: a.example\nmax_age: 100", Err("its version is not `STSv1`")),
            ("mode: enforce\nmx: a.example\nmax_age: 100", Err("its version is not `STSv1`")),
            ("version: STSv1\nmode: Enforce\nmx: a.example\nmax_age: 100", Err("its `mode` is none of `enforce`, `testing`, `none`")),
            ("version: STSv1\nmx: a.example\nmax_age: 100", Err("its `mode` is none of `enforce`, `testing`, `none`")),
            ("version: STSv1\nmode: enforce\nmax_age: 100", Err("it has no `mx`")),
            ("version: STSv1\nmode: enforce\nmx: a.example", Err("its `max_age` is no number of seconds")),
            ("version: STSv1\nmode: enforce\nmx: a.example\nmax_age: -1", Err("its `max_age` is no number of seconds")),
            ("version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 99999999999", Err("its `max_age` is no number of seconds")),
            ("version: STSv1\nmode: enforce\nmx: *\nmax_age: 100", Err("a value of `mx` is no name")),
            ("version: STSv1\nmode: enforce\nmx: a.*.example\nmax_age: 100", Err("a value of `mx` is no name")),
            ("version: STSv1\nmode: enforce\nmx: [192.0.2.1]\nmax_age: 100", Err("a value of `mx` is no name")),
            (&long, Err("a value of `mx` is no name")),
            ("version: STSv1\n\nmode: enforce\nmx: a.example\nmax_age: 100", Err("a line has no colon")),
            ("<html>", Err("a line has no colon")),
            (" version: STSv1", Err("a line is no `key: value`")),
            ("version: STSv1\nmode: enforce\nmx:\nmax_age: 100", Err("a line is no `key: value`")),
            ("version: STSv1\nmode: enforce\rmx: a.example\nmax_age: 100", Err("a line is no `key: value`")),
            ("", Err("a line has no colon")),
        ] {
            let found = Policy::parse(text.as_bytes()).map(|policy| (policy.mode, policy.max_age.as_secs(), policy.exchangers.len()));
            assert_eq!(found, expected, "{text}");
        }
        assert_eq!(Policy::parse(b"version: STSv1\xff"), Err("it is not UTF-8"));
    }

    #[test]
    fn a_star_is_one_label() {
        let policy = Policy::parse(b"version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.Example.NET\nmax_age: 100").unwrap();
        for (host, expected) in [
            ("mail.example.com", true),
            ("MAIL.example.com.", true),
            ("other.example.com", false),
            ("a.mail.example.com", false),
            ("mx1.example.net", true),
            ("example.net", false),
            ("a.b.example.net", false),
            ("evil-example.net", false),
            ("192.0.2.1", false),
            ("", false),
        ] {
            assert_eq!(policy.has(host), expected, "{host}");
        }
    }

    #[test]
    fn one_record_names_the_policy() {
        for (records, expected) in [
            (&["v=STSv1; id=20160831085700Z;"][..], Some("20160831085700Z")),
            (&["v=STSv1;id=1"], Some("1")),
            (&["v=STSv1; x=y; id = a1 ;"], Some("a1")),
            (&["v=spf1 -all", "v=STSv1; id=1"], Some("1")),
            (&["v=STSv1; id=1", "v=STSv1; id=2"], None),
            (&["v=STSv1"], None),
            (&["v=STSv1; id="], None),
            (&["v=STSv1; id=a-b"], None),
            (&["v=STSv1; id=123456789012345678901234567890123"], None),
            (&["v=STSv10; id=1"], None),
            (&["V=STSv1; id=1"], None),
            (&[], None),
        ] {
            let records: Vec<Box<[u8]>> = records.iter().map(|text| text.as_bytes().into()).collect();
            assert_eq!(current_id(&records).as_deref(), expected, "{records:?}");
        }
    }
}
