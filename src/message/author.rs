//! The author's domain: the one name that From shows, as DMARC judges it (RFC 9989).

use std::collections::BTreeSet;

use super::Original;
use super::addresses;
use super::domain_name::a_labels;

/// Whose domain stands in From.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// One From field, and whoever reads it finds addresses of this domain alone: lower case, A-labels, no last dot.
    Domain(Box<str>),
    /// There is no From field, or none of its addresses has a domain; the reason, in one line.
    None(&'static str),
    /// Several From fields, or addresses of several domains; the reason.
    Several(&'static str),
    /// Readers may find different domains; the reason.
    Ambiguous(&'static str),
}

impl Author {
    /// Whose domain stands in the From field of the message as it was received.
    pub fn read(original: &Original) -> Self {
        let mut fields = original.fields().iter().filter(|field| original.name(field).eq_ignore_ascii_case(b"From"));
        let Some(field) = fields.next() else { return Self::None("no From field") };
        if fields.next().is_some() {
            return Self::Several("several From fields");
        }
        let reading = addresses::read(original.value(field));
        if reading.is_cut {
            return Self::Ambiguous("too many addresses in From");
        }
        let domains = reading.mailboxes.iter().filter_map(|mailbox| mailbox.domain());
        // A tolerant parser leaves signs of the broken syntax in addresses that are also found without them.
        let is_left_over = |domain: &&str| !reading.is_certain && domain.contains(|c: char| "<>,;:\"()\\".contains(c) || c.is_whitespace());
        let names: BTreeSet<Option<Box<str>>> = domains.filter(|domain| !is_left_over(domain)).map(a_labels).collect();
        let mut names = names.into_iter();
        match (names.next(), names.next()) {
            (None, _) => Self::None("no address in From"),
            (Some(None), None) => Self::None("the domain in From is no domain name"),
            (Some(Some(name)), None) => Self::Domain(name),
            _ if reading.is_certain => Self::Several("addresses of several domains in From"),
            _ => Self::Ambiguous("From can be read as addresses of different domains"),
        }
    }

    /// The one domain.
    pub fn domain(&self) -> Option<&str> {
        if let Self::Domain(domain) = self { Some(domain) } else { None }
    }

    /// Why there is not exactly one; empty if there is.
    pub fn flaw(&self) -> &'static str {
        match self {
            Self::Domain(_) => "",
            Self::None(flaw) | Self::Several(flaw) | Self::Ambiguous(flaw) => flaw,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::limits::MAILBOXES_MAX;

    fn of(header: &[u8]) -> Author {
        Author::read(&Original::parse(Bytes::copy_from_slice(header)).expect("small"))
    }

    #[test]
    fn one_domain_in_every_reading_is_the_authors() {
        for from in [
            "a@x.example",
            "A@X.Example",
            "a@x.example.",
            "<a@x.example>",
            "Ann <a@x.example>",
            "Ann B. Cee <a@x.example>",
            "Ann\r\n <a@x.example>",
            "a@x.example (Ann)",
            "(Ann) a@x.example",
            "[List] Ann <a@x.example>",
            "=?utf-8?q?J=C3=BCrgen?= <a@x.example>",
            "J\u{fc}rgen <a@x.example>",
            "Ann <a@x.example>, bob@X.example",
            ", a@x.example,,",
            "Team: a@x.example, b@x.example;",
            "\"Ann, B.\" <a@x.example>",
            "\"o\\\"x\" <a@x.example>",
            "\"a b\"@x.example",
            "\"ceo@acme.example\"@x.example",
            "\"ceo@acme.example\" <a@x.example>",
            "\"ceo@acme.example via List\" <a@x.example>",
            "=?utf-8?q?ceo=40acme=2Eexample?= <a@x.example>",
            "=?utf-8?q?=3Cceo=40acme=2Eexample=3E?= <a@x.example>",
            "Ann (ceo@acme.example) <a@x.example>",
            // Broken, and yet there is but one domain to be found.
            "@x.example",
            "<a@x.example",
            "a@x.example>",
            "Doe, Ann <a@x.example>",
            "Ann: a@x.example",
            "Re: Ann <a@x.example>",
            "a@x.example; b@x.example",
            "a @ x.example",
            "a@(c)x.example",
            "<@relay.example:a@x.example>",
            "a@x.example <a@x.example>",
            "\"Ann <a@x.example>",
            "Ann (a@x.example",
            "Ann \\ <a@x.example>",
            "=?utf-8?q?ann?=@x.example",
            "=?utf-8?q?Doe,_Ann?= <a@x.example>",
            "a..b.@x.example",
            "Ann <a@x.example> (c) d",
        ] {
            assert_eq!(of(format!("From: {from}\r\n").as_bytes()), Author::Domain("x.example".into()), "{from}");
        }
        for (from, domain) in [
            ("a@b\u{fc}cher.example", "xn--bcher-kva.example"),
            ("a@B\u{dc}CHER.example, b@XN--bcher-kva.example.", "xn--bcher-kva.example"),
            ("a@localhost", "localhost"),
            ("a@under_score.example", "under_score.example"),
        ] {
            assert_eq!(of(format!("From: {from}\r\n").as_bytes()), Author::Domain(domain.into()), "{from}");
        }
        assert_eq!(of(b"From: J\xfcrgen <a@x.example>\r\n"), Author::Domain("x.example".into()));
        assert_eq!(of(b"fROM :a@x.example\r\nSender: b@y.example\r\n"), Author::Domain("x.example".into()));
    }

    #[test]
    fn without_a_domain_there_is_no_author() {
        for header in [
            "",
            "To: a@x.example\r\n",
            "\r\nFrom: a@x.example\r\n",
            "From:\r\n",
            "From: \r\n \r\n",
            "From: Ann\r\n",
            "From: <>\r\n",
            "From: Ann <ann>\r\n",
            "From: a@\r\n",
            "From: undisclosed-recipients:;\r\n",
            "From: a@[192.0.2.1]\r\n",
            "From: a@x..example\r\n",
            "From: a@\u{fffd}.example\r\n",
        ] {
            assert!(matches!(of(header.as_bytes()), Author::None(_)), "{header:?}: {:?}", of(header.as_bytes()));
        }
    }

    #[test]
    fn several_authors_are_none() {
        for from in ["a@x.example, b@y.example", "Team: a@x.example, b@y.example;", "One: a@x.example;, Two: b@y.example;"] {
            assert!(matches!(of(format!("From: {from}\r\n").as_bytes()), Author::Several(_)), "{from}");
        }
        for second in ["From: a@x.example", "from: b@y.example", "FROM :", "From:\r\n b@y.example"] {
            let header = format!("From: a@x.example\r\nSubject: s\r\n{second}\r\n");
            assert!(matches!(of(header.as_bytes()), Author::Several(_)), "{second}");
        }
    }

    #[test]
    fn what_readers_may_show_differently_has_no_author() {
        for from in [
            "<a@x.example> <b@y.example>",
            "a@x.example <b@y.example>",
            "Ann <a@x.example> b@y.example",
            "\"ceo@x.example\" b@y.example",
            "\"Ann <a@x.example>, b@y.example",
            "(Ann <a@x.example>, b@y.example",
            "<a@x.example, b@y.example>",
            "a@x.example; b@y.example",
            "a@x (c) .example",
            "a@x\r\n .example",
            "a@x .example",
            "a@x.example\0.y.example",
            "a@x.example\u{1}@y.example",
            "a@x.example\r.y.example",
            "a@x@y.example",
            "a@x.exa\u{202e}mple",
            "a@x\u{200b}.example",
            "=?utf-8?q?ceo=40x.example=00?=@y.example",
            "=?utf-8?b?Y2VvQHguZXhhbXBsZQo=?=@y.example",
            "=?utf-8?q?ceo=40x.example=3E?= b@y.example",
            "a@=?utf-8?q?x?=.example",
            "=?utf-8?q?ceo@x.example?= <b@y.example>",
            "a@[192.0.2.1], b@x.example",
        ] {
            let author = of(format!("From: {from}\r\n").as_bytes());
            assert!(matches!(author, Author::Ambiguous(_) | Author::Several(_)), "{from:?}: {author:?}");
        }
        assert!(matches!(of(b"From: a@x\xfc.example\r\n"), Author::Ambiguous(_)));
        let many: String = (0..=MAILBOXES_MAX).map(|n| format!("a{n}@x.example,")).collect();
        assert_eq!(of(format!("From: {many}\r\n").as_bytes()), Author::Ambiguous("too many addresses in From"));
        let hidden = format!("From: {}b@y.example\r\n", "a@x.example,".repeat(MAILBOXES_MAX));
        assert_eq!(of(hidden.as_bytes()), Author::Ambiguous("From can be read as addresses of different domains"));
    }

    proptest! {
        #[test]
        fn any_field_has_one_answer(value in "[a-b@<>()\\[\\]\",:;.\\\\ =?q\u{0}\u{fc}\u{202e}\r\n\t]{0,60}", bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            for value in [value.as_bytes(), &bytes] {
                let header = [b"From: ".as_slice(), value, b"\r\n"].concat();
                let author = of(&header);
                prop_assert_eq!(&author, &of(&header));
                if let Author::Domain(name) = author {
                    prop_assert_eq!(a_labels(&name), Some(name));
                }
            }
        }

        /// Nothing that stands before or behind an address makes it vanish.
        #[test]
        fn an_address_in_the_open_is_always_seen(before in "[a@<>(),:;. ]{0,20}", behind in "[a@<>(),:;. ]{0,20}") {
            let reading = addresses::read(format!("{before} zz@secret.example {behind}").as_bytes());
            prop_assert!(
                reading.mailboxes.iter().any(|mailbox| mailbox.domain().is_some_and(|domain| domain.starts_with("secret.example")))
                    || reading.is_certain,
                "{:?}", reading
            );
        }
    }
}
