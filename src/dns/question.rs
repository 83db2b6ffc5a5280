//! A question in the form in which it is asked and remembered.

use hickory_resolver::proto::rr::{Name, RecordType};

use crate::limits::{DNS_NAME_BYTES_MAX, DOMAIN_LABEL_BYTES_MAX};
use crate::message::a_labels;

/// A name and a type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub(super) kind: Kind,
    /// As [`normal_name`] makes it.
    pub(super) name: Box<str>,
}

/// The types that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Txt,
    Ipv4,
    Ipv6,
    Mx,
    Ptr,
    Tlsa,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Txt => "TXT",
            Self::Ipv4 => "A",
            Self::Ipv6 => "AAAA",
            Self::Mx => "MX",
            Self::Ptr => "PTR",
            Self::Tlsa => "TLSA",
        }
    }

    pub(super) fn record_type(self) -> RecordType {
        match self {
            Self::Txt => RecordType::TXT,
            Self::Ipv4 => RecordType::A,
            Self::Ipv6 => RecordType::AAAA,
            Self::Mx => RecordType::MX,
            Self::Ptr => RecordType::PTR,
            Self::Tlsa => RecordType::TLSA,
        }
    }
}

impl Question {
    /// `None`: the text is no name that can be asked for.
    pub(super) fn new(kind: Kind, name: &str) -> Option<Self> {
        Some(Self { kind, name: normal_name(name)? })
    }

    /// Fully qualified: no search list of this machine has a say.
    pub(super) fn wire_name(&self) -> Option<Name> {
        let mut name = Name::from_labels(self.name.split('.').map(str::as_bytes)).ok()?;
        name.set_fqdn(true);
        Some(name)
    }
}

/// A domain name as it is asked for: A-labels (RFC 5890 §2.3.2.1), lower case, without the last dot. `None`: an empty label, one
/// longer than 63 octets, a name longer than 253, a control character, or a U-label that has no A-label.
///
/// What else stands in a label is taken as it is: names made from local parts (RFC 7208 §7) hold more than letters and digits.
pub fn normal_name(text: &str) -> Option<Box<str>> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let name = if text.is_ascii() { text.to_ascii_lowercase() } else { labels(text)? };
    let is_label = |label: &str| (1..=DOMAIN_LABEL_BYTES_MAX).contains(&label.len());
    let is_good = name.len() <= DNS_NAME_BYTES_MAX && name.bytes().all(|byte| matches!(byte, b' '..=b'~')) && name.split('.').all(is_label);
    is_good.then(|| name.into())
}

/// Label by label, for those of ASCII may hold anything. What the mapping makes of other characters is no dot.
fn labels(text: &str) -> Option<String> {
    // Far above any name that is short enough once it is encoded; the conversion of a long text takes time.
    if text.len() > DNS_NAME_BYTES_MAX.saturating_mul(4) {
        return None;
    }
    let labels = text.split('.').map(|label| {
        if label.is_ascii() { Some(label.to_ascii_lowercase().into()) } else { a_labels(label).filter(|label| !label.contains('.')) }
    });
    Some(labels.collect::<Option<Vec<Box<str>>>>()?.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_what_is_asked_for() {
        let long = "a".repeat(63);
        let longest = format!("{long}.{long}.{long}.{}", "b".repeat(61));
        for (text, expected) in [
            ("Example.COM", Some("example.com")),
            ("example.com.", Some("example.com")),
            ("_dmarc.example.com", Some("_dmarc.example.com")),
            ("under_score_.example", Some("under_score_.example")),
            ("a+b=c/d._spf.example", Some("a+b=c/d._spf.example")),
            ("a b.example", Some("a b.example")),
            ("back\\slash.example", Some("back\\slash.example")),
            ("Bücher.example", Some("xn--bcher-kva.example")),
            ("_dmarc.bücher.example", Some("_dmarc.xn--bcher-kva.example")),
            ("xn--bcher-kva.example", Some("xn--bcher-kva.example")),
            (&long, Some(long.as_str())),
            (&longest, Some(longest.as_str())),
            (&format!("{longest}b"), None),
            (&format!("{long}a.example"), None),
            (&"ü".repeat(100_000), None),
            ("", None),
            (".", None),
            ("..", None),
            ("a..example", None),
            (".example", None),
            ("example..", None),
            ("a\0b.example", None),
            ("a\r\nb.example", None),
            ("a\u{7f}.example", None),
            ("bü\\.cher.example", None),
            ("ü\u{202e}.example", None),
            ("bü cher.example", None),
        ] {
            assert_eq!(normal_name(text).as_deref(), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_normal_name_stays_and_can_be_written(text in "\\PC{0,80}(\\.\\PC{0,80}){0,5}") {
            if let Some(name) = normal_name(&text) {
                let again = normal_name(&name);
                proptest::prop_assert_eq!(again.as_ref(), Some(&name));
                let question = Question::new(Kind::Txt, &text).unwrap();
                proptest::prop_assert!(question.wire_name().is_some());
            }
        }
    }
}
