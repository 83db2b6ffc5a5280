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

    /// Whether the local part names a further destination (`a%b@x`, `b!a@x`, `"a@b"@x`, or one of these as an encoded-word). A next hop that still follows such
    /// routes would relay to anywhere for whoever may send to one of its domains.
    pub fn carries_route(&self) -> bool {
        // The fullwidth and small forms are here for those who normalize (NFKC) before they look for routes.
        let sign = |c| matches!(c, '@' | '%' | '!' | '\u{FF20}' | '\u{FE6B}' | '\u{FF05}' | '\u{FE6A}' | '\u{FF01}' | '\u{FE57}');
        self.local_part().contains(sign) || carries_encoded_word(self.local_part())
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

/// `=?charset?q?text?=`, which RFC 2047 §5 forbids in an address: a next hop that decodes it all the same finds another address.
fn carries_encoded_word(local_part: &str) -> bool {
    let Some((_, word)) = local_part.split_once("=?") else { return false };
    let mut parts = word.splitn(3, '?').skip(1);
    parts.next().is_some_and(|encoding| encoding.eq_ignore_ascii_case("q") || encoding.eq_ignore_ascii_case("b")) && parts.next().is_some()
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
        !c.is_ascii() && !c.is_control() && !c.is_whitespace() && !is_hidden(c)
    }

    /// Format characters, fillers and tags. The joiners U+200C and U+200D stay, for words of Persian and Hindi need them, and so do the
    /// variation selectors of emoji.
    fn is_hidden(c: char) -> bool {
        matches!(
            c,
            '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}' | '\u{180B}'..='\u{180F}' | '\u{200B}'
                | '\u{200E}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}'
                | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFF}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}'
        )
    }

    /// Characters that compatibility mapping (NFKC, as in UTS 46) turns into ASCII or into nothing, dots, slashes and at signs among them: a next hop
    /// that maps would see another domain than we. No U-label holds one (RFC 5892 §2.2 excludes what the mapping changes).
    fn becomes_ascii(c: char) -> bool {
        matches!(
            c,
            // Latin-1 signs, ligatures, long s, digraphs, modifier letters, spacing accents
            '\u{A0}'..='\u{B6}' | '\u{B8}'..='\u{BF}' | '\u{132}'..='\u{133}' | '\u{13F}'..='\u{140}' | '\u{149}' | '\u{17F}'
                | '\u{1C4}'..='\u{1CC}' | '\u{1F1}'..='\u{1F3}' | '\u{2B0}'..='\u{2B8}' | '\u{2D8}'..='\u{2DD}' | '\u{2E0}'..='\u{2E4}'
                | '\u{37A}' | '\u{37E}' | '\u{384}'..='\u{385}' | '\u{1D2C}'..='\u{1D6A}' | '\u{1D9B}'..='\u{1DBF}' | '\u{1E9A}'
                | '\u{1FBD}' | '\u{1FBF}'..='\u{1FC1}' | '\u{1FCD}'..='\u{1FCF}' | '\u{1FDD}'..='\u{1FDF}' | '\u{1FED}'..='\u{1FEF}'
                | '\u{1FFD}'..='\u{1FFE}'
            // punctuation, superscripts, currency, letterlike symbols, Roman numbers, enclosed and squared letters
                | '\u{2000}'..='\u{200B}' | '\u{200E}'..='\u{20A8}' | '\u{2100}'..='\u{214D}' | '\u{2150}'..='\u{217F}' | '\u{2189}'
                | '\u{2460}'..='\u{24EA}' | '\u{2A74}'..='\u{2A76}' | '\u{2C7C}'..='\u{2C7D}' | '\u{3000}' | '\u{3002}'
                | '\u{309B}'..='\u{309C}' | '\u{3200}'..='\u{33FF}' | '\u{A7F2}'..='\u{A7F4}'
            // presentation, vertical, small, half and full width forms
                | '\u{FB00}'..='\u{FB06}' | '\u{FB29}' | '\u{FC5E}'..='\u{FC63}' | '\u{FDFA}'..='\u{FDFB}' | '\u{FE00}'..='\u{FE19}'
                | '\u{FE30}'..='\u{FE7F}' | '\u{FF01}'..='\u{FF65}' | '\u{FFE0}'..='\u{FFEE}'
            // mathematical letters, enclosed and segmented ones
                | '\u{107A5}' | '\u{1D400}'..='\u{1D7FF}' | '\u{1F100}'..='\u{1F1FF}' | '\u{1FBF0}'..='\u{1FBF9}'
        )
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

    /// Mapped by NFKC, each of these domains is another one, in ASCII or with more labels.
    #[test]
    fn domains_that_normalization_would_change_are_no_domains() {
        for domain in [
            "\u{1D41A}cme.example",
            "\u{212A}.example",
            "\u{24B6}cme.example",
            "\u{FF41}cme.example",
            "acme.ex\u{AA}mple",
            "acme\u{2024}example",
            "acme\u{2025}example",
            "acme\u{FE52}example",
            "acme\u{FE12}example",
            "acme\u{FF0E}example",
            "acme\u{FF61}example",
            "\u{2488}example",
            "\u{33C2}example",
            "evil.example\u{2100}cme.example",
            "evil.example\u{FF0F}acme.example",
            "evil.example\u{FE6B}acme.example",
            "evil.example\u{FF03}.acme.example",
            "\u{FB03}ce.example",
            "\u{1F130}cme.example",
            "acme\u{FE0F}.example",
        ] {
            assert_eq!(Address::parse(&format!("a@{domain}"), true), Err(AddressError::Syntax), "{domain:?}");
        }
        for domain in ["stra\u{DF}e.example", "col\u{B7}lecci\u{F3}.example", "\u{430}cme.example", "\u{6CC}\u{200C}\u{6CC}.example"] {
            assert!(Address::parse(&format!("a@{domain}"), true).is_ok(), "{domain:?}");
        }
    }

    #[test]
    fn invisible_characters_make_no_second_address() {
        for hidden in ["\u{61c}", "\u{34f}", "\u{180e}", "\u{3164}", "\u{e0041}", "\u{2066}", "\u{feff}", "\u{115f}"] {
            for text in [format!("a{hidden}@x.example"), format!("a@x{hidden}.example"), format!("\"a{hidden}\"@x.example")] {
                assert_eq!(Address::parse(&text, true), Err(AddressError::Syntax), "{text:?}");
            }
        }
    }

    #[test]
    fn routes_in_local_parts_are_seen() {
        for (text, routed) in [
            ("a%b@x", true),
            ("b!a@x", true),
            ("\"a@b\"@x", true),
            ("\"a\\@b\"@x", true),
            ("a\u{ff20}b@x", true),
            ("a\u{fe6b}b@x", true),
            ("a\u{ff05}b@x", true),
            ("=?utf-8?q?a=40b=3e?=@x", true),
            ("x=?x?B?YUBi?=@x", true),
            ("a+b=c@x", false),
            ("a=?b@x", false),
            ("a=?b?c?=@x", false),
            ("\"a b\"@x", false),
        ] {
            assert_eq!(Address::parse(text, true).map(|address| address.carries_route()), Ok(routed), "{text}");
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
