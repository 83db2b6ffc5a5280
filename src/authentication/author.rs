//! Whose mail it says to be: the domain of From, as DMARC takes it.

use super::names;
use crate::message::{MailboxField, Original, View};

/// The author domain of a message (RFC 9989 §5.3.1), or why there is not exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    domain: Result<Box<str>, &'static str>,
}

impl Author {
    /// Reads From as those do who show it. Several addresses are one author if all are of one domain; of several From fields nobody
    /// knows which is shown.
    pub fn read(original: &Original) -> Self {
        let count = original.fields().iter().filter(|field| original.name(field).eq_ignore_ascii_case(b"From")).count();
        Self {
            domain: match count {
                0 => Err("there is no From"),
                1 => only_domain(&View::new(original)),
                _ => Err("there are several From"),
            },
        }
    }

    /// A-labels in lower case.
    pub fn domain(&self) -> Option<&str> {
        self.domain.as_deref().ok()
    }

    /// Why there is no domain.
    pub(super) fn flaw(&self) -> &'static str {
        self.domain.as_ref().err().copied().unwrap_or_default()
    }
}

fn only_domain(view: &View<'_>) -> Result<Box<str>, &'static str> {
    let mut only: Option<Box<str>> = None;
    for mailbox in view.mailboxes(MailboxField::From) {
        let domain = mailbox.domain().and_then(names::domain).ok_or("From has an address without a domain")?;
        if only.as_ref().is_some_and(|only| *only != domain) {
            return Err("From has addresses of several domains");
        }
        only = Some(domain);
    }
    only.ok_or("From has no address")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn one_domain_or_none() {
        for (header, expected) in [
            ("From: A <a@Example.COM>\r\n", Ok("example.com")),
            ("from: a@example.com., b@example.com\r\n", Ok("example.com")),
            ("From: a@b\u{fc}cher.example\r\n", Ok("xn--bcher-kva.example")),
            ("From: g: a@example.com;\r\n", Ok("example.com")),
            ("From: \"x@good.example\" <a@evil.example>\r\n", Ok("evil.example")),
            ("From: a@x.example\r\nFrom: a@x.example\r\n", Err("there are several From")),
            ("To: a@x.example\r\n", Err("there is no From")),
            ("From: a@x.example, b@y.example\r\n", Err("From has addresses of several domains")),
            ("From: nobody:;\r\n", Err("From has no address")),
            ("From:\r\n", Err("From has no address")),
            ("From: root\r\n", Err("From has an address without a domain")),
            ("From: a@[192.0.2.1]\r\n", Err("From has an address without a domain")),
            ("From: a@x.example, root\r\n", Err("From has an address without a domain")),
        ] {
            let original = Original::parse(Bytes::from(header.to_owned() + "\r\n")).unwrap();
            let author = Author::read(&original);
            assert_eq!(author.domain.as_deref().map_err(|flaw| *flaw), expected, "{header:?}");
        }
    }
}
