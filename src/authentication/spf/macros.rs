//! Macros of SPF (RFC 7208 §7): texts with holes that the sender, the client and the domain fill.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;

use crate::limits::{DNS_NAME_BYTES_MAX, SPF_EXPLANATION_BYTES_MAX};

/// A macro-string of RFC 7208 §7.1 without a mistake. It holds no more than its text, for a record may hold thousands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacroString<'r> {
    text: &'r str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece<'r> {
    /// Stands for itself.
    Literal(&'r str),
    /// `%%`, `%_`, `%-`: what it stands for.
    Escape(&'static str),
    Macro(Macro<'r>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Macro<'r> {
    letter: Letter,
    /// An upper-case letter: the value is escaped for a URL.
    is_escaped: bool,
    /// So many parts from the right; all without it.
    parts_kept: Option<usize>,
    is_reversed: bool,
    /// What divides the value; a dot if empty.
    delimiters: &'r str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Letter {
    Sender,
    LocalPart,
    SenderDomain,
    Domain,
    Client,
    ValidatedName,
    Version,
    Helo,
    ReadableClient,
    Receiver,
    Time,
}

/// What fills the holes.
#[derive(Clone, Copy, Debug)]
pub struct Values<'v> {
    /// `%{l}`, and the first half of `%{s}`.
    pub local_part: &'v str,
    /// `%{o}`, and the second half of `%{s}`.
    pub sender_domain: &'v str,
    /// `%{d}`: the domain whose record it stands in.
    pub domain: &'v str,
    /// `%{i}`, `%{v}`, `%{c}`.
    pub client_ip: IpAddr,
    /// `%{p}`.
    pub validated_name: &'v str,
    /// `%{h}`.
    pub helo: &'v str,
    /// `%{r}`.
    pub hostname: &'v str,
    /// `%{t}`.
    pub unix_seconds: i64,
}

impl<'r> MacroString<'r> {
    /// A domain-spec (RFC 7208 §7.1): a macro-string that ends in a macro or in a dot and a name of a top-level domain.
    pub fn domain_spec(text: &'r str) -> Result<Self, &'static str> {
        let mut last = None;
        for piece in pieces(text) {
            match piece? {
                // RFC 7208 §7.2: these are for explanations.
                Piece::Macro(Macro { letter: Letter::ReadableClient | Letter::Receiver | Letter::Time, .. }) => {
                    return Err("the macros c, r and t stand in explanations only");
                }
                piece => last = Some(piece),
            }
        }
        match last {
            None => Err("a domain is missing"),
            Some(Piece::Literal(end)) if !ends_in_top_label(end) => Err("the domain ends in no top-level domain"),
            Some(_) => Self::of(text, '!'),
        }
    }

    /// The value of a modifier that nobody knows.
    pub fn modifier_value(text: &'r str) -> Result<Self, &'static str> {
        Self::of(text, '!')
    }

    /// An explain-string (RFC 7208 §6.2), which may hold spaces.
    pub fn explanation(text: &'r str) -> Result<Self, &'static str> {
        Self::of(text, ' ')
    }

    /// Literals are made of printable ASCII from this character on.
    fn of(text: &'r str, first: char) -> Result<Self, &'static str> {
        for piece in pieces(text) {
            if let Piece::Literal(literal) = piece?
                && !literal.chars().all(|c| (first..='~').contains(&c))
            {
                return Err("a character that may not stand there");
            }
        }
        Ok(Self { text })
    }

    fn pieces(&self) -> impl Iterator<Item = Piece<'r>> + use<'r> {
        // invariant: none is a mistake, or there would be no `Self`.
        pieces(self.text).filter_map(Result::ok)
    }

    /// Whether `%{p}` is needed.
    pub fn asks_for_validated_name(&self) -> bool {
        self.pieces().any(|piece| matches!(piece, Piece::Macro(Macro { letter: Letter::ValidatedName, .. })))
    }

    /// As a name for DNS, without the last dot: of a name that is too long, as many labels from the right as there is room for
    /// (RFC 7208 §7.3). The work is bounded whatever the text is, for what would be cut off is not expanded.
    pub fn to_name(&self, values: &Values<'_>) -> String {
        let pieces: Vec<Piece<'_>> = self.pieces().collect();
        let (mut parts, mut length) = (Vec::new(), 0_usize);
        for piece in pieces.iter().rev() {
            let part = piece.expand(values);
            length = length.saturating_add(part.len());
            parts.push(part);
            // One more for the last dot, one more to see whether a label begins there.
            if length > DNS_NAME_BYTES_MAX.saturating_add(2) {
                break;
            }
        }
        parts.reverse();
        let whole = parts.concat();
        let mut name = whole.strip_suffix('.').unwrap_or(&whole);
        while name.len() > DNS_NAME_BYTES_MAX {
            let Some((_, rest)) = name.split_once('.') else { break };
            name = rest;
        }
        name.to_owned()
    }

    /// As an explanation, bounded; `None` if it holds anything but printable ASCII.
    pub fn to_explanation(&self, values: &Values<'_>) -> Option<Box<str>> {
        let mut text = String::new();
        for piece in self.pieces() {
            text.push_str(&piece.expand(values));
            if text.len() > SPF_EXPLANATION_BYTES_MAX {
                break;
            }
        }
        if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return None;
        }
        text.truncate(SPF_EXPLANATION_BYTES_MAX);
        Some(text.into())
    }
}

/// The pieces of a text, and behind the last that can be read the mistake.
fn pieces(text: &str) -> impl Iterator<Item = Result<Piece<'_>, &'static str>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let piece = next_piece(&mut rest);
        if piece.is_err() {
            rest = "";
        }
        Some(piece)
    })
}

fn next_piece<'r>(rest: &mut &'r str) -> Result<Piece<'r>, &'static str> {
    let (piece, behind) = match rest.split_at_checked(rest.find('%').unwrap_or(rest.len())) {
        Some((literal @ "", after)) => match after.as_bytes() {
            [b'%', b'%', ..] => (Piece::Escape("%"), after.get(2..)),
            [b'%', b'_', ..] => (Piece::Escape(" "), after.get(2..)),
            [b'%', b'-', ..] => (Piece::Escape("%20"), after.get(2..)),
            [b'%', b'{', ..] => {
                let (body, behind) = after.get(2..).and_then(|after| after.split_once('}')).ok_or("a macro without its end")?;
                (Piece::Macro(Macro::parse(body)?), Some(behind))
            }
            [] => (Piece::Literal(literal), None),
            _ => return Err("a % that begins no macro"),
        },
        Some((literal, behind)) => (Piece::Literal(literal), Some(behind)),
        None => return Err("a character that may not stand there"),
    };
    *rest = behind.unwrap_or_default();
    Ok(piece)
}

impl<'r> Piece<'r> {
    fn expand<'v>(&'v self, values: &Values<'v>) -> Cow<'v, str> {
        match self {
            Self::Literal(text) => Cow::Borrowed(text),
            Self::Escape(text) => Cow::Borrowed(text),
            Self::Macro(described) => described.expand(values),
        }
    }
}

impl<'r> Macro<'r> {
    /// What stands between the braces: `macro-letter *DIGIT ["r"] *delimiter`.
    fn parse(body: &'r str) -> Result<Self, &'static str> {
        let mut chars = body.chars();
        let letter = chars.next().ok_or("a macro without a letter")?;
        let after_letter = chars.as_str();
        let behind_digits = after_letter.trim_start_matches(|c: char| c.is_ascii_digit());
        let digits = after_letter.strip_suffix(behind_digits).unwrap_or_default();
        let (is_reversed, delimiters) = match behind_digits.strip_prefix(['r', 'R']) {
            Some(delimiters) => (true, delimiters),
            None => (false, behind_digits),
        };
        if !delimiters.chars().all(|c| ".-+,/_=".contains(c)) {
            return Err("a macro with an unknown delimiter");
        }
        let parts_kept = match digits {
            "" => None,
            // More than fit a number are more than there can be.
            digits => Some(digits.parse().unwrap_or(usize::MAX)),
        };
        // RFC 7208 §7.3: the number must not be zero.
        if parts_kept == Some(0) {
            return Err("a macro that keeps no part");
        }
        let is_escaped = letter.is_ascii_uppercase();
        let letter = match letter.to_ascii_lowercase() {
            's' => Letter::Sender,
            'l' => Letter::LocalPart,
            'o' => Letter::SenderDomain,
            'd' => Letter::Domain,
            'i' => Letter::Client,
            'p' => Letter::ValidatedName,
            'v' => Letter::Version,
            'h' => Letter::Helo,
            'c' => Letter::ReadableClient,
            'r' => Letter::Receiver,
            't' => Letter::Time,
            _ => return Err("an unknown macro"),
        };
        Ok(Self { letter, is_escaped, parts_kept, is_reversed, delimiters })
    }

    fn expand<'v>(&self, values: &Values<'v>) -> Cow<'v, str> {
        let value: Cow<'v, str> = match self.letter {
            Letter::Sender => format!("{}@{}", values.local_part, values.sender_domain).into(),
            Letter::LocalPart => values.local_part.into(),
            Letter::SenderDomain => values.sender_domain.into(),
            Letter::Domain => values.domain.into(),
            Letter::Client => dotted(values.client_ip).into(),
            Letter::ValidatedName => values.validated_name.into(),
            Letter::Version => if values.client_ip.is_ipv4() { "in-addr" } else { "ip6" }.into(),
            Letter::Helo => values.helo.into(),
            Letter::ReadableClient => values.client_ip.to_string().into(),
            Letter::Receiver => values.hostname.into(),
            Letter::Time => values.unix_seconds.to_string().into(),
        };
        let value = if self.parts_kept.is_some() || self.is_reversed || !self.delimiters.is_empty() {
            self.transform(&value).into()
        } else {
            value
        };
        if self.is_escaped { escape(&value).into() } else { value }
    }

    /// RFC 7208 §7.3: the parts between the delimiters, reversed, so many from the right, with dots between them.
    fn transform(&self, value: &str) -> String {
        let delimiters = if self.delimiters.is_empty() { "." } else { self.delimiters };
        let mut parts: Vec<&str> = value.split(|c| delimiters.contains(c)).collect();
        if self.is_reversed {
            parts.reverse();
        }
        let first = parts.len().saturating_sub(self.parts_kept.unwrap_or(usize::MAX));
        parts.get(first..).unwrap_or_default().join(".")
    }
}

/// An IPv4 address as usual, an IPv6 address as its 32 digits with dots between them (RFC 7208 §7.3).
fn dotted(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let mut text = String::with_capacity(64);
            for octet in address.octets() {
                for digit in [octet >> 4, octet & 0xf] {
                    text.extend(char::from_digit(digit.into(), 16).map(|digit| digit.to_ascii_uppercase()));
                    text.push('.');
                }
            }
            text.pop();
            text
        }
    }
}

/// All but the unreserved characters of RFC 3986 §2.3 as `%XX`.
fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // invariant: writing to a String does not fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// RFC 7208 §7.1: `"." toplabel [ "." ]` at the end.
fn ends_in_top_label(text: &str) -> bool {
    let Some((_, label)) = text.strip_suffix('.').unwrap_or(text).rsplit_once('.') else { return false };
    let is_alphanumeric = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    is_alphanumeric(label.chars().next())
        && is_alphanumeric(label.chars().next_back())
        && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && label.contains(|c: char| c.is_ascii_alphabetic() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: Values<'_> = Values {
        local_part: "strong-bad",
        sender_domain: "email.example.com",
        domain: "spf.example.com",
        client_ip: IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 3)),
        validated_name: "mx.example.org",
        helo: "mail.example.net",
        hostname: "gate.example",
        unix_seconds: 1_800_000_000,
    };

    fn text(source: &str, values: &Values<'_>) -> String {
        let read = MacroString::explanation(source).unwrap_or_else(|why| panic!("{source}: {why}"));
        read.to_explanation(values).unwrap_or_else(|| panic!("{source}: not printable")).into()
    }

    #[test]
    fn each_letter_has_its_value() {
        for (source, expected) in [
            ("%{s}", "strong-bad@email.example.com"),
            ("%{l}", "strong-bad"),
            ("%{o}", "email.example.com"),
            ("%{d}", "spf.example.com"),
            ("%{i}", "192.0.2.3"),
            ("%{p}", "mx.example.org"),
            ("%{v}", "in-addr"),
            ("%{h}", "mail.example.net"),
            ("%{c}", "192.0.2.3"),
            ("%{r}", "gate.example"),
            ("%{t}", "1800000000"),
            ("", ""),
            ("100%% of%_it%-all", "100% of it%20all"),
            ("%{c} is no host of %{d}", "192.0.2.3 is no host of spf.example.com"),
        ] {
            assert_eq!(text(source, &VALUES), expected, "{source}");
        }
    }

    #[test]
    fn parts_are_cut_reversed_and_joined_by_dots() {
        for (source, expected) in [
            ("%{d2}", "example.com"),
            ("%{d1}", "com"),
            ("%{d3}", "spf.example.com"),
            ("%{d03}", "spf.example.com"),
            ("%{d99999999999999999999999}", "spf.example.com"),
            ("%{dr}", "com.example.spf"),
            ("%{dR}", "com.example.spf"),
            ("%{d2r}", "example.spf"),
            ("%{d1r}", "spf"),
            ("%{ir}", "3.2.0.192"),
            ("%{ir}.%{v}.arpa", "3.2.0.192.in-addr.arpa"),
            ("%{l-}", "strong.bad"),
            ("%{lr-}", "bad.strong"),
            ("%{l1r-}", "strong"),
            ("%{l1-}", "bad"),
            ("%{l2r+-}", "bad.strong"),
        ] {
            assert_eq!(text(source, &VALUES), expected, "{source}");
        }
        for (local_part, source, expected) in [
            // Nothing is special about delimiters at an end or beside each other.
            ("a..b", "%{lr}", "b..a"),
            (".a.", "%{l2}", "a."),
            ("a-b+c,d/e_f=g", "%{lr-+,/_=}", "g.f.e.d.c.b.a"),
            ("a.b-c", "%{lr-}", "c.a.b"),
            ("a.b-c", "%{l1-}", "c"),
        ] {
            assert_eq!(text(source, &Values { local_part, ..VALUES }), expected, "{local_part} {source}");
        }
    }

    #[test]
    fn upper_case_letters_escape_for_urls_after_all_else() {
        let values = Values { local_part: "~jo&ann=up-a_b3.c/d e%", helo: "[192.0.2.3]", ..VALUES };
        for (source, expected) in [
            ("%{L}", "~jo%26ann%3Dup-a_b3.c%2Fd%20e%25"),
            ("%{Lr=}", "up-a_b3.c%2Fd%20e%25.~jo%26ann"),
            ("%{H}", "%5B192.0.2.3%5D"),
            ("%{S}", "~jo%26ann%3Dup-a_b3.c%2Fd%20e%25%40email.example.com"),
            ("%{D2}", "example.com"),
        ] {
            assert_eq!(text(source, &values), expected, "{source}");
        }
        let utf8 = Values { local_part: "jürgen", ..VALUES };
        assert_eq!(text("%{L}", &utf8), "j%C3%BCrgen");
        assert_eq!(MacroString::explanation("%{l}").unwrap().to_explanation(&utf8), None, "explanations are ASCII");
    }

    #[test]
    fn an_ipv6_client_is_its_digits_or_its_usual_form() {
        let values = Values { client_ip: "2001:db8::cb01".parse().unwrap(), ..VALUES };
        assert_eq!(text("%{i}", &values), "2.0.0.1.0.D.B.8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.C.B.0.1");
        assert_eq!(text("%{ir}.%{v}", &values), "1.0.B.C.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.D.0.1.0.0.2.ip6");
        assert_eq!(text("%{i4}", &values), "C.B.0.1");
        assert_eq!(text("%{c} %{C}", &values), "2001:db8::cb01 2001%3Adb8%3A%3Acb01");
    }

    #[test]
    fn what_is_no_macro_is_a_mistake() {
        for source in [
            "%", "a%", "%a", "%(d)", "%{", "%{d", "%{}", "%{a}", "%{x}", "%{d0}", "%{d00}", "%{drr}", "%{r-r}", "%{d-2}", "%{d.x}",
            "%{d:}", "%{s@}", "%{ d}", "% {d}", "%{d }", "\u{7f}", "\0", "a\tb", "ü", "%{ü}",
        ] {
            assert!(MacroString::explanation(source).is_err(), "{source}");
            assert!(MacroString::domain_spec(source).is_err(), "{source}");
        }
        assert!(MacroString::modifier_value("a b").is_err());
        for good in ["", "man:dog/cat", "%{c}", "%{r}%{t}", "+"] {
            MacroString::modifier_value(good).unwrap();
        }
    }

    #[test]
    fn a_domain_ends_in_a_macro_or_a_top_level_domain() {
        for good in [
            "example.com",
            "example.com.",
            ".com",
            "a..com",
            "foo:bar/baz.example.com",
            "_spf.example.c-m",
            "x.xn--p1ai",
            "x.1-2",
            "x.1a",
            "%{d}",
            "%{d}.com",
            "a.%{d2}",
            "museum%{d}",
            "a%%",
            "a%_",
            "a%-",
            "%{l}!#$&'()*+,;<=>?@[]^`{|}~.example",
        ] {
            assert!(MacroString::domain_spec(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "museum",
            "museum.",
            "example.com..",
            "192.0.2.1",
            "abc.123",
            "abc.-com",
            "abc.com-",
            "abc.c_m",
            "example.com:8080",
            "example.com/24",
            "%{d}com",
            "%{d}.",
            "%{d}.1",
            "a b.com",
            "a.com\0",
            "%{c}.com",
            "%{r}",
            "%{t}.com",
            "%{R}.example.com",
        ] {
            assert!(MacroString::domain_spec(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_that_is_too_long_loses_labels_on_the_left() {
        let name = |source: &str, values: &Values<'_>| MacroString::domain_spec(source).unwrap().to_name(values);
        assert_eq!(name("example.com.", &VALUES), "example.com", "the last dot goes");
        assert_eq!(name("%{d}.x.example.", &VALUES), "spf.example.com.x.example");
        // 50 octets and a dot five times are 255; the last has no dot: 254, one too many.
        let label = "l".repeat(50);
        let longest = [label.as_str(); 5].join(".");
        assert_eq!(longest.len(), 254);
        assert_eq!(name("%{h}", &Values { helo: &longest, ..VALUES }), longest.split_once('.').unwrap().1);
        let fits = longest.get(1..).unwrap();
        assert_eq!(name("%{h}", &Values { helo: fits, ..VALUES }), fits);
        assert_eq!(name("cut.off.%{h}", &Values { helo: fits, ..VALUES }), fits);
    }

    #[test]
    fn a_text_of_any_length_becomes_what_there_is_room_for() {
        let long = "%{S}%{H}".repeat(8_000);
        let helo = "h".repeat(60) + ".example";
        let values = Values { helo: &helo, ..VALUES };
        let name = MacroString::domain_spec(&long).unwrap().to_name(&values);
        assert!(name.len() <= DNS_NAME_BYTES_MAX && name.ends_with(&format!("strong-bad%40email.example.com{helo}")), "{name}");
        assert_eq!(MacroString::explanation(&long).unwrap().to_explanation(&values).unwrap().len(), SPF_EXPLANATION_BYTES_MAX);
    }
}
