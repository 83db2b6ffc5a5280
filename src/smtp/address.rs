//! Addresses of the envelope: RFC 5321 §4.1.2 mailboxes, kept exactly as they were written (quoting included), RFC 6531 for UTF-8.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::limits::DOMAIN_BYTES_MAX;

/// An envelope address, `local-part@domain`, or the bare `postmaster` of RFC 5321 §4.1.1.3 (then the domain is empty).
///
/// The local part keeps its quoting, so that what is relayed is what was received. Equality and hashing ignore ASCII case
/// in the domain and keep it in the local part.
#[derive(Clone)]
pub struct Address {
    text: Arc<str>,
    /// Position of the `@` that divides; the length of the text when there is none.
    at: usize,
}

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// Not a mailbox of RFC 5321 §4.1.2.
    Syntax,
    /// Local part over 128 octets or domain over 255 ([`LOCAL_PART_BYTES_MAX`](crate::limits::LOCAL_PART_BYTES_MAX)).
    TooLong,
    /// 8-bit characters without SMTPUTF8.
    NeedsSmtpUtf8,
}

/// MAIL FROM: an address or `<>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// `<>`: a bounce or another message that must not be bounced.
    Null,
    /// An address.
    Address(Address),
}

impl ReversePath {
    /// The address without angle brackets; empty for the null path.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Null => "",
            Self::Address(address) => address.as_str(),
        }
    }
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.as_str())
    }
}

impl Address {
    /// Reads a mailbox as it stands between the angle brackets of RCPT, strictly; a bare `postmaster` passes.
    pub fn parse(text: &str, smtputf8: bool) -> Result<Self, AddressError> {
        syntax::mailbox(text, smtputf8).map(|at| Self { text: text.into(), at })
    }

    /// The whole address, as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands before the `@`, quoting included.
    pub fn local_part(&self) -> &str {
        self.text.get(..self.at).unwrap_or_default()
    }

    /// What stands behind the `@`; empty for a bare `postmaster`. An address literal keeps its brackets.
    pub fn domain(&self) -> &str {
        self.text.get(self.at.saturating_add(1)..).unwrap_or_default()
    }

    /// The address with no more quoting than it needs, so that `"bob"@x` and `"b\ob"@x` read `bob@x` (RFC 5321 §4.1.2): the form
    /// for conditions and lists, which quoting must not evade.
    pub fn canonical(&self) -> Cow<'_, str> {
        let Some(quoted) = self.local_part().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return self.as_str().into() };
        let mut plain = String::with_capacity(quoted.len());
        let mut chars = quoted.chars();
        while let Some(c) = chars.next() {
            plain.extend(if c == '\\' { chars.next() } else { Some(c) });
        }
        if syntax::is_dot_string(&plain) {
            return format!("{plain}@{}", self.domain()).into();
        }
        format!("\"{}\"@{}", plain.replace('\\', "\\\\").replace('"', "\\\""), self.domain()).into()
    }

    /// Whether the local part names a further destination (`a%b@x`, `b!a@x`, `"a@b"@x`). A next hop that still follows such
    /// routes would relay to anywhere for whoever may send to one of its domains.
    pub fn carries_route(&self) -> bool {
        self.local_part().contains(['@', '%', '!'])
    }

    /// Whether the address can travel without SMTPUTF8 (RFC 6531).
    pub fn is_ascii(&self) -> bool {
        self.text.is_ascii()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.text)
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.local_part() == other.local_part() && self.domain().eq_ignore_ascii_case(other.domain())
    }
}

impl Eq for Address {}

impl std::hash::Hash for Address {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.local_part().hash(state);
        for byte in self.domain().bytes() {
            state.write_u8(byte.to_ascii_lowercase());
        }
    }
}

impl serde::Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> serde::Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text, true).map_err(|_| serde::de::Error::custom("not an address"))
    }
}

impl serde::Serialize for ReversePath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for ReversePath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self::Null);
        }
        Address::parse(&text, true).map(Self::Address).map_err(|_| serde::de::Error::custom("not an address"))
    }
}

/// Whether the text is a Domain of RFC 5321 §4.1.2, which excludes address literals.
pub(super) fn is_domain(text: &str, smtputf8: bool) -> bool {
    (smtputf8 || text.is_ascii()) && text.len() <= DOMAIN_BYTES_MAX && syntax::is_dotted_domain(text)
}

mod syntax {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::AddressError;
    use crate::limits::{DOMAIN_BYTES_MAX, DOMAIN_LABEL_BYTES_MAX, LOCAL_PART_BYTES_MAX};

    /// Position of the dividing `@`.
    pub(super) fn mailbox(text: &str, smtputf8: bool) -> Result<usize, AddressError> {
        if !smtputf8 && !text.is_ascii() {
            return Err(AddressError::NeedsSmtpUtf8);
        }
        // RFC 5321 §4.1.1.3: the one address without a domain.
        if text.eq_ignore_ascii_case("postmaster") {
            return Ok(text.len());
        }
        // A domain holds no "@", so the last one divides; what stands before it must be a local part as a whole,
        // or "a@b@c" would mean something else to the next hop than to us.
        let (local_part, domain) = text.rsplit_once('@').ok_or(AddressError::Syntax)?;
        if !(is_dot_string(local_part) || is_quoted_string(local_part)) || !(is_dotted_domain(domain) || is_address_literal(domain)) {
            return Err(AddressError::Syntax);
        }
        if local_part.len() > LOCAL_PART_BYTES_MAX || domain.len() > DOMAIN_BYTES_MAX {
            return Err(AddressError::TooLong);
        }
        Ok(local_part.len())
    }

    /// RFC 5321 §4.1.2 Dot-string: no empty atom, so no dot at an end and no two together.
    pub(super) fn is_dot_string(text: &str) -> bool {
        text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(|c| is_atext(c) || is_safe_utf8(c)))
    }

    /// RFC 5321 §4.1.2 Quoted-string. Stricter than RFC 5322: no folding, no controls.
    fn is_quoted_string(text: &str) -> bool {
        let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return false };
        let mut chars = inner.chars();
        while let Some(c) = chars.next() {
            let good = match c {
                '\\' => chars.next().is_some_and(|escaped| matches!(escaped, ' '..='~')),
                '"' => false,
                c => matches!(c, ' '..='~') || is_safe_utf8(c),
            };
            if !good {
                return false;
            }
        }
        true
    }

    /// Letters, digits and inner hyphens, in labels (RFC 5321 §2.3.5); U-labels as RFC 6531 §3.3 adds them.
    pub(super) fn is_dotted_domain(text: &str) -> bool {
        text.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= DOMAIN_LABEL_BYTES_MAX
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || (is_safe_utf8(c) && !becomes_ascii(c)))
        })
    }

    /// RFC 5321 §4.1.3; of its three forms the general one is left out, since no tag but `IPv6` was ever registered.
    fn is_address_literal(text: &str) -> bool {
        let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else { return false };
        match inner.split_once(':') {
            Some((tag, address)) => tag.eq_ignore_ascii_case("IPv6") && address.parse::<Ipv6Addr>().is_ok(),
            None => inner.parse::<Ipv4Addr>().is_ok(),
        }
    }

    /// RFC 5322 §3.2.3.
    fn is_atext(c: char) -> bool {
        c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c)
    }

    /// UTF8-non-ascii of RFC 6531 §3.3, less what has no business in an address: controls, white space, and the invisible
    /// characters that reorder or hide text and make one address look like another.
    fn is_safe_utf8(c: char) -> bool {
        let hidden = matches!(c, '\u{AD}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF0}'..='\u{FFFF}');
        !c.is_ascii() && !c.is_control() && !c.is_whitespace() && !hidden
    }

    /// Characters that IDNA mapping (UTS 46) turns into ASCII, dots and at signs among them: a next hop that maps would see another domain.
    fn becomes_ascii(c: char) -> bool {
        matches!(c, '\u{2024}' | '\u{3002}' | '\u{FF61}' | '\u{FE52}' | '\u{FE6B}' | '\u{FF01}'..='\u{FF5E}')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailboxes_of_rfc_5321_are_accepted_and_kept_as_written() {
        let local_64 = format!("{}@x.example", "a".repeat(64));
        for (text, local_part, domain) in [
            ("bob@example.com", "bob", "example.com"),
            ("Bob.Smith+tag@Example.COM", "Bob.Smith+tag", "Example.COM"),
            ("prvs=12=bob/x@example.com", "prvs=12=bob/x", "example.com"),
            ("a@localhost", "a", "localhost"),
            ("a@1x.xn--p1ai", "a", "1x.xn--p1ai"),
            ("\"a b\"@x.example", "\"a b\"", "x.example"),
            ("\"a@b>\\\"\"@x.example", "\"a@b>\\\"\"", "x.example"),
            ("\"\"@x.example", "\"\"", "x.example"),
            ("a@[192.0.2.1]", "a", "[192.0.2.1]"),
            ("a@[IPv6:2001:db8::1]", "a", "[IPv6:2001:db8::1]"),
            ("a@[ipv6:::ffff:192.0.2.1]", "a", "[ipv6:::ffff:192.0.2.1]"),
            ("PostMaster", "PostMaster", ""),
            (&local_64, &local_64[..64], "x.example"),
        ] {
            let address = Address::parse(text, false).unwrap_or_else(|error| panic!("{text}: {error:?}"));
            assert_eq!((address.as_str(), address.local_part(), address.domain()), (text, local_part, domain));
        }
    }

    #[test]
    fn what_is_no_mailbox_is_refused() {
        for text in [
            "",
            "@",
            "a",
            "a@",
            "@x",
            "a@@x",
            "a@b@x",
            "a b@x",
            ".a@x",
            "a.@x",
            "a..b@x",
            "a@.x",
            "a@x.",
            "a@x..y",
            "a@-x",
            "a@x-",
            "a@x_y",
            "a@x y",
            "<a@x>",
            "a@x>",
            "a,b@x",
            "a@x,y",
            "a:b@x",
            "a;b@x",
            "(c)a@x",
            "a(c)@x",
            "a@x(c)",
            "@b:a@x",
            "\"a@x",
            "a\"@x",
            "\"a\"b@x",
            "\"a\"\"b\"@x",
            "\"a\\\"@x",
            "\"a\tb\"@x",
            "\"a\r\nb\"@x",
            "a\0@x",
            "a@x\0",
            "a\u{7f}@x",
            "a@[192.0.2.256]",
            "a@[192.0.2]",
            "a@[01.2.3.4]",
            "a@[::1]",
            "a@[IPv6:::1%eth0]",
            "a@[IPv6:1::2::3]",
            "a@[IPv6:192.0.2.1]",
            "a@[x:y]",
            "a@192.0.2.1]",
            "a@[]",
            "a@x%y",
            "a@x!y",
            "a@x/..",
        ] {
            assert_eq!(Address::parse(text, false), Err(AddressError::Syntax), "{text:?}");
        }
    }

    /// Addresses of the kinds that are longer than the 64 octets of RFC 5321 §4.5.3.1.1.
    #[test]
    fn local_parts_made_by_programs_may_be_long() {
        for local_part in [
            "reply+000c89caea14b0bf53caf17fd0c9c67fce378f51fd1af05492cf000000011292f3d892a169ce07601530",
            "bounces+2309175-1e1a-a.recipient.with.a.long.name=a-long-domain.example.com",
            "SRS0=3Ypr33=QM=forwarder.of.mail.example=bounce+b.25211.6039846.eb7e7e8ba282f9d0",
            "x2108-arfsfufwyfgkvni2x7ww5wvac3eifc2wx3vr1fcwbbysieqppis4ytnyip09xcohck9s1vrm77nbg4xh431tthdsmtmfvfpa",
        ] {
            assert!(local_part.len() > 64 && Address::parse(&format!("{local_part}@x.example"), false).is_ok(), "{local_part}");
        }
    }

    /// RFC 5321 §4.5.3.1.2.
    #[test]
    fn lengths_are_limited() {
        let label = "d".repeat(63);
        let domain_255 = [label.as_str(), &label, &label, &label].join(".");
        assert!(Address::parse(&format!("a@{domain_255}"), false).is_ok());
        assert_eq!(Address::parse(&format!("a@{domain_255}.d"), false), Err(AddressError::TooLong));
        assert!(Address::parse(&format!("{}@x", "a".repeat(128)), false).is_ok());
        assert_eq!(Address::parse(&format!("{}@x", "a".repeat(129)), false), Err(AddressError::TooLong));
        assert_eq!(Address::parse(&format!("a@{}", "d".repeat(64)), false), Err(AddressError::Syntax));
    }

    /// RFC 6531 §3.3.
    #[test]
    fn utf8_needs_smtputf8() {
        for text in ["bücher@example.com", "a@bücher.example", "\"ü\"@x", "用户@例え.jp", "a@नमस्ते.example"] {
            assert_eq!(Address::parse(text, false), Err(AddressError::NeedsSmtpUtf8), "{text}");
            assert!(Address::parse(text, true).is_ok(), "{text}");
        }
        for text in ["a@x。example", "a@x．example", "a＠x@y＠z", "a\u{202e}b@x", "a\u{85}@x", "a\u{a0}b@x", "a@x\u{200b}y"] {
            assert_eq!(Address::parse(text, true), Err(AddressError::Syntax), "{text:?}");
        }
    }

    #[test]
    fn routes_in_local_parts_are_seen() {
        for (text, routed) in
            [("a%b@x", true), ("b!a@x", true), ("\"a@b\"@x", true), ("\"a\\@b\"@x", true), ("a+b=c@x", false), ("\"a b\"@x", false)]
        {
            assert_eq!(Address::parse(text, false).map(|address| address.carries_route()), Ok(routed), "{text}");
        }
    }

    #[test]
    fn needless_quoting_does_not_make_another_mailbox() {
        for (text, canonical) in [
            ("\"bob\"@x.example", "bob@x.example"),
            ("\"b\\ob\"@x.example", "bob@x.example"),
            ("\"b ob\"@x.example", "\"b ob\"@x.example"),
            ("\"b\\ o\\\"b\\\\\"@x.example", "\"b o\\\"b\\\\\"@x.example"),
            ("\".bob\"@x.example", "\".bob\"@x.example"),
            ("\"\"@x.example", "\"\"@x.example"),
            ("bob@x.example", "bob@x.example"),
            ("postmaster", "postmaster"),
        ] {
            let address = Address::parse(text, false).expect(text);
            assert_eq!(address.canonical(), canonical, "{text}");
        }
    }

    #[test]
    fn equality_ignores_case_in_the_domain_alone() {
        let parse = |text| Address::parse(text, false).expect(text);
        assert_eq!(parse("bob@EXAMPLE.com"), parse("bob@example.COM"));
        assert_ne!(parse("Bob@example.com"), parse("bob@example.com"));
    }
}
