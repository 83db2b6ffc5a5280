//! Records of SPF, read as a whole and strictly by the grammar of RFC 7208 §12 before anything of them is evaluated.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::macros::MacroString;
use crate::limits::SPF_MECHANISM_BYTES_MAX;
use crate::message::SpfResult;

/// A record without a mistake. It holds no more than its text, for ten of them may stand waiting for the next to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'r> {
    /// All behind the version.
    terms: &'r str,
    /// `redirect=`
    pub redirect: Option<MacroString<'r>>,
    /// `exp=`
    pub explanation: Option<MacroString<'r>>,
}

/// A mechanism and what it makes of its match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive<'r> {
    /// The result if the mechanism matches.
    pub result: SpfResult,
    /// What must match.
    pub mechanism: Mechanism<'r>,
    /// As it is written, qualifier and all.
    pub text: &'r str,
}

/// RFC 7208 §5. A domain that is left out is the one whose record it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the RFC")]
pub enum Mechanism<'r> {
    All,
    Include(MacroString<'r>),
    A { domain: Option<MacroString<'r>>, prefix: Prefix },
    Mx { domain: Option<MacroString<'r>>, prefix: Prefix },
    Ptr(Option<MacroString<'r>>),
    Ip4(Ipv4Addr, u8),
    Ip6(Ipv6Addr, u8),
    Exists(MacroString<'r>),
}

/// How many bits of an address count (dual-cidr-length of RFC 7208 §5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Of an IPv4 address: 0 to 32.
    pub ipv4: u8,
    /// Of an IPv6 address: 0 to 128.
    pub ipv6: u8,
}

impl Prefix {
    const ALL: Self = Self { ipv4: 32, ipv6: 128 };
}

/// A mistake in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// The beginning of the term with the mistake; empty if it is one of the record as a whole.
    term: String,
    why: &'static str,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.term.is_empty() { f.write_str(self.why) } else { write!(f, "{}: {}", self.term, self.why) }
    }
}

/// Whether a TXT record is one of SPF, good or bad: the version, and behind it a space or nothing (RFC 7208 §4.5).
pub fn is_spf(record: &[u8]) -> bool {
    record.get(..6).is_some_and(|version| version.eq_ignore_ascii_case(b"v=spf1")) && matches!(record.get(6), None | Some(b' '))
}

impl<'r> Record<'r> {
    /// Reads a record for which [`is_spf`] holds. One mistake anywhere spoils it all (RFC 7208 §4.6).
    pub fn parse(record: &'r [u8]) -> Result<Self, RecordError> {
        let whole = |why| RecordError { term: String::new(), why };
        if !is_spf(record) {
            return Err(whole("not a record of SPF"));
        }
        // RFC 7208 §3.1
        let text = std::str::from_utf8(record).ok().filter(|text| text.is_ascii()).ok_or(whole("the record holds more than ASCII"))?;
        let mut read = Self { terms: text.get(6..).unwrap_or_default(), redirect: None, explanation: None };
        for term in read.terms() {
            read.term(term).map_err(|why| RecordError { term: term.chars().take(SPF_MECHANISM_BYTES_MAX).collect(), why })?;
        }
        Ok(read)
    }

    /// In their order.
    pub fn directives(&self) -> impl Iterator<Item = Directive<'r>> + use<'r> {
        // invariant: none is a mistake, or there would be no `Self`.
        self.terms().filter(|term| modifier(term).is_none()).filter_map(|term| Directive::parse(term).ok())
    }

    fn terms(&self) -> impl Iterator<Item = &'r str> + use<'r> {
        self.terms.split(' ').filter(|term| !term.is_empty())
    }

    fn term(&mut self, term: &'r str) -> Result<(), &'static str> {
        let Some((name, value)) = modifier(term) else {
            return Directive::parse(term).map(drop);
        };
        let known = if name.eq_ignore_ascii_case("redirect") {
            &mut self.redirect
        } else if name.eq_ignore_ascii_case("exp") {
            &mut self.explanation
        } else {
            // RFC 7208 §6: what is unknown is ignored, as long as it can be read.
            return MacroString::modifier_value(value).map(drop);
        };
        if known.replace(MacroString::domain_spec(value)?).is_some() {
            return Err("it stands there twice");
        }
        Ok(())
    }
}

/// Name and value, if the term is a modifier: a name, and right behind it an equals sign (RFC 7208 §4.6.1).
fn modifier(term: &str) -> Option<(&str, &str)> {
    let (name, value) = term.split_once('=')?;
    let is_name =
        name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    is_name.then_some((name, value))
}

impl<'r> Directive<'r> {
    fn parse(text: &'r str) -> Result<Self, &'static str> {
        let (result, mechanism) = match text.split_at_checked(1) {
            Some(("+", mechanism)) => (SpfResult::Pass, mechanism),
            Some(("-", mechanism)) => (SpfResult::Fail, mechanism),
            Some(("~", mechanism)) => (SpfResult::Softfail, mechanism),
            Some(("?", mechanism)) => (SpfResult::Neutral, mechanism),
            _ => (SpfResult::Pass, text),
        };
        Ok(Self { result, mechanism: Mechanism::parse(mechanism)?, text })
    }
}

impl<'r> Mechanism<'r> {
    fn parse(text: &'r str) -> Result<Self, &'static str> {
        let (name, argument) = text.split_at_checked(text.find([':', '/']).unwrap_or(text.len())).unwrap_or_default();
        let is = |known| name.eq_ignore_ascii_case(known);
        if is("all") {
            if argument.is_empty() { Ok(Self::All) } else { Err("it takes nothing behind it") }
        } else if is("include") {
            Ok(Self::Include(required(argument)?))
        } else if is("a") {
            let (argument, prefix) = split_prefix(argument)?;
            Ok(Self::A { domain: optional(argument)?, prefix })
        } else if is("mx") {
            let (argument, prefix) = split_prefix(argument)?;
            Ok(Self::Mx { domain: optional(argument)?, prefix })
        } else if is("ptr") {
            Ok(Self::Ptr(optional(argument)?))
        } else if is("exists") {
            Ok(Self::Exists(required(argument)?))
        } else if is("ip4") {
            let (network, bits) = split_bits(argument, Prefix::ALL.ipv4)?;
            Ok(Self::Ip4(network.parse().map_err(|_| "not an IPv4 address")?, bits))
        } else if is("ip6") {
            let (network, bits) = split_bits(argument, Prefix::ALL.ipv6)?;
            Ok(Self::Ip6(network.parse().map_err(|_| "not an IPv6 address")?, bits))
        } else {
            Err("an unknown mechanism")
        }
    }
}

/// `":" domain-spec`
fn required(argument: &str) -> Result<MacroString<'_>, &'static str> {
    MacroString::domain_spec(argument.strip_prefix(':').ok_or("a domain is missing")?)
}

/// `[ ":" domain-spec ]`
fn optional(argument: &str) -> Result<Option<MacroString<'_>>, &'static str> {
    if argument.is_empty() { Ok(None) } else { required(argument).map(Some) }
}

/// `":" network [ "/" bits ]`
fn split_bits(argument: &str, most: u8) -> Result<(&str, u8), &'static str> {
    let argument = argument.strip_prefix(':').ok_or("a network is missing")?;
    match argument.split_once('/') {
        None => Ok((argument, most)),
        Some((network, digits)) => Ok((network, bits(digits, most)?)),
    }
}

/// What stands before `[ "/" bits ] [ "//" bits ]`. A domain may hold slashes too, but not behind its last dot, so that what looks like a
/// prefix at the end is one.
fn split_prefix(argument: &str) -> Result<(&str, Prefix), &'static str> {
    let mut prefix = Prefix::ALL;
    let mut rest = argument;
    if let Some((before, digits)) = prefix_at_end(rest)
        && let Some(before) = before.strip_suffix('/')
    {
        prefix.ipv6 = bits(digits, prefix.ipv6)?;
        rest = before;
    }
    if let Some((before, digits)) = prefix_at_end(rest) {
        prefix.ipv4 = bits(digits, prefix.ipv4)?;
        rest = before;
    }
    Ok((rest, prefix))
}

fn prefix_at_end(text: &str) -> Option<(&str, &str)> {
    text.rsplit_once('/').filter(|(_, digits)| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// RFC 7208 §12: a number without zeros before it.
fn bits(digits: &str, most: u8) -> Result<u8, &'static str> {
    let is_number = digits == "0" || (digits.starts_with(|c: char| c != '0') && digits.bytes().all(|byte| byte.is_ascii_digit()));
    let bits = digits.parse().ok().filter(|bits| is_number && *bits <= most);
    bits.ok_or("not the number of a prefix's bits")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mechanisms(record: &str) -> Vec<Mechanism<'_>> {
        let read = Record::parse(record.as_bytes()).unwrap_or_else(|error| panic!("{record}: {error}"));
        read.directives().map(|directive| directive.mechanism).collect()
    }

    fn domain(text: &str) -> MacroString<'_> {
        MacroString::domain_spec(text).unwrap()
    }

    #[test]
    fn the_version_ends_with_a_space_or_the_record() {
        for record in ["v=spf1", "v=spf1 ", "V=SPF1 -all", "v=sPf1   mx", "v=spf1 \0", "v=spf1 \t"] {
            assert!(is_spf(record.as_bytes()), "{record:?}");
        }
        for record in [
            "",
            "v=spf",
            "v=spf10",
            "v=spf1mx",
            "v=spf1\t-all",
            "v=spf1\0",
            " v=spf1",
            "\"v=spf1 -all\"",
            "v=spf2.0/pra",
            "spf1",
            "v=spf1;-all",
        ] {
            assert!(!is_spf(record.as_bytes()), "{record:?}");
            assert!(Record::parse(record.as_bytes()).is_err(), "{record:?}");
        }
    }

    #[test]
    fn spaces_divide_terms_and_nothing_else_does() {
        assert_eq!(mechanisms("v=spf1"), []);
        assert_eq!(mechanisms("v=spf1    "), []);
        assert_eq!(mechanisms("v=spf1  a   -all  "), [Mechanism::A { domain: None, prefix: Prefix::ALL }, Mechanism::All]);
        for record in
            ["v=spf1 a\t-all", "v=spf1 a\r\n-all", "v=spf1 a,-all", "v=spf1 a -all\0", "v=spf1 a\u{b}", "v=spf1 \t", "v=spf1 a; -all"]
        {
            assert!(Record::parse(record.as_bytes()).is_err(), "{record:?}");
        }
        for record in [
            &b"v=spf1 a:\xef\xbb\xbfx.example -all"[..],
            b"v=spf1 \x80a",
            b"v=spf1 a \x96all",
            "v=spf1 a:müller.example".as_bytes(),
            b"v=spf1 x=\xff",
        ] {
            let error = Record::parse(record).unwrap_err();
            assert_eq!(error.to_string(), "the record holds more than ASCII");
        }
    }

    #[test]
    fn each_mechanism_is_read() {
        let both = |ipv4, ipv6| Prefix { ipv4, ipv6 };
        for (term, expected) in [
            ("all", Mechanism::All),
            ("ALL", Mechanism::All),
            ("include:x.example", Mechanism::Include(domain("x.example"))),
            ("Include:%{d}", Mechanism::Include(domain("%{d}"))),
            ("a", Mechanism::A { domain: None, prefix: Prefix::ALL }),
            ("A:x.example", Mechanism::A { domain: Some(domain("x.example")), prefix: Prefix::ALL }),
            ("a/0", Mechanism::A { domain: None, prefix: both(0, 128) }),
            ("a/24", Mechanism::A { domain: None, prefix: both(24, 128) }),
            ("a//64", Mechanism::A { domain: None, prefix: both(32, 64) }),
            ("a/24//64", Mechanism::A { domain: None, prefix: both(24, 64) }),
            ("a:x.example/32//128", Mechanism::A { domain: Some(domain("x.example")), prefix: Prefix::ALL }),
            ("a:a/1.example/2", Mechanism::A { domain: Some(domain("a/1.example")), prefix: both(2, 128) }),
            ("a:%{d}/8", Mechanism::A { domain: Some(domain("%{d}")), prefix: both(8, 128) }),
            ("a:%{l/}/8", Mechanism::A { domain: Some(domain("%{l/}")), prefix: both(8, 128) }),
            ("a:a:b.example", Mechanism::A { domain: Some(domain("a:b.example")), prefix: Prefix::ALL }),
            ("mx", Mechanism::Mx { domain: None, prefix: Prefix::ALL }),
            ("mx//0", Mechanism::Mx { domain: None, prefix: both(32, 0) }),
            ("mx:x.example./30", Mechanism::Mx { domain: Some(domain("x.example.")), prefix: both(30, 128) }),
            ("ptr", Mechanism::Ptr(None)),
            ("PTR:x.example", Mechanism::Ptr(Some(domain("x.example")))),
            ("ip4:192.0.2.1", Mechanism::Ip4(Ipv4Addr::new(192, 0, 2, 1), 32)),
            ("ip4:192.0.2.1/0", Mechanism::Ip4(Ipv4Addr::new(192, 0, 2, 1), 0)),
            ("IP4:0.0.0.0/10", Mechanism::Ip4(Ipv4Addr::UNSPECIFIED, 10)),
            ("ip6:::", Mechanism::Ip6(Ipv6Addr::UNSPECIFIED, 128)),
            ("ip6:2001:DB8::/33", Mechanism::Ip6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 33)),
            ("ip6:::192.0.2.1/96", Mechanism::Ip6("::192.0.2.1".parse().unwrap(), 96)),
            ("ip6:::ffff:192.0.2.1", Mechanism::Ip6("::ffff:192.0.2.1".parse().unwrap(), 128)),
            ("exists:%{ir}.x.example", Mechanism::Exists(domain("%{ir}.x.example"))),
        ] {
            assert_eq!(mechanisms(&format!("v=spf1 {term}")), [expected], "{term}");
        }
    }

    #[test]
    fn qualifiers_say_what_a_match_is() {
        let read = Record::parse(b"v=spf1 +a -a ~a ?a a").unwrap();
        let results: Vec<_> = read.directives().map(|directive| (directive.result, directive.text)).collect();
        let expected = [
            (SpfResult::Pass, "+a"),
            (SpfResult::Fail, "-a"),
            (SpfResult::Softfail, "~a"),
            (SpfResult::Neutral, "?a"),
            (SpfResult::Pass, "a"),
        ];
        assert_eq!(results, expected);
    }

    #[test]
    fn what_the_grammar_does_not_know_is_a_mistake() {
        for term in [
            "moo",
            "+",
            "-",
            "++a",
            "-?a",
            "!a",
            "all.",
            "all:",
            "all:x.example",
            "all/8",
            "al",
            "-al l",
            "include",
            "include:",
            "include/24",
            "include:x.example/24",
            "include:x",
            "a:",
            "a/",
            "a//",
            "a///64",
            "a/33",
            "a//129",
            "a/24/64",
            "a/24//",
            "a/-1",
            "a/+8",
            "a/08",
            "a/032",
            "a//064",
            "a/256",
            "a/999999999999999999999",
            "a:/24",
            "a:x.example/24/",
            "a:x.example//",
            "a:192.0.2.1",
            "a:museum",
            "a:museum.",
            "a:x.example:25",
            "a:x.-example",
            "a=/24 a:",
            "aa",
            "a.x.example",
            "a::",
            "mx:",
            "mx/33",
            "mx//129",
            "mx:abc.123",
            "ptr/0",
            "ptr:",
            "ptr:x.example/24",
            "ip4",
            "ip4:",
            "ip4/24",
            "ip4:192.0.2",
            "ip4:192.0.2.1.5",
            "ip4:192.0.2.256",
            "ip4:192.0.2.01",
            "ip4:192.0.2.1/33",
            "ip4:192.0.2.1/032",
            "ip4:192.0.2.1/",
            "ip4:192.0.2.1//32",
            "ip4:192.0.2.1/24/24",
            "ip4:192.0.2.1:25",
            "ip4:x.example",
            "ip4:::1",
            "ip4:%{i}",
            "ip6",
            "ip6:",
            "ip6/64",
            "ip6::1:2",
            "ip6::CAFE::BABE",
            "ip6:::1/129",
            "ip6:::1//64",
            "ip6:::1/",
            "ip6:::1/00",
            "ip6:192.0.2.1",
            "ip6:fe80::1%eth0",
            "ip6:[::1]",
            "ip6:1:2:3:4:5:6:7:8:9",
            "exists",
            "exists:",
            "exists/24",
            "exists:x.example/24",
            "redirect",
            "redirect:x.example",
            "redirect=",
            "redirect=x",
            "redirect=-all",
            "exp=",
            "exp=-all",
            "exp=%{r}.example",
            "-redirect=x.example",
            "+exp=x.example",
            "1up=foo",
            "=all",
            "-x=y",
            "_x=y",
            "x/y=z",
            "x:y=z",
            "foo=%abc",
            "foo=%{x}",
            "foo=%",
            "a:%{a}.example",
            "exists:%(ir).example",
            "exists:foo%.example",
            "exists:%{i",
        ] {
            // A mistake behind the directive that decides counts as well.
            let record = format!("v=spf1 +all {term}");
            assert!(Record::parse(record.as_bytes()).is_err(), "{term}");
        }
        let error = Record::parse(b"v=spf1 -all ip4:999.1.1.1").unwrap_err();
        assert_eq!(error.to_string(), "ip4:999.1.1.1: not an IPv4 address");
        let long = Record::parse(format!("v=spf1 {}", "x".repeat(70_000)).as_bytes()).unwrap_err();
        assert!(long.to_string().len() < 1000);
    }

    #[test]
    fn modifiers_stand_anywhere_and_the_known_ones_once() {
        let read =
            Record::parse(b"v=spf1 EXP=e.%{d} a Redirect=r.example moo.cow-far_out=man:dog/cat moo.cow-far_out=2 default=+ x= a=b v=spf1")
                .unwrap();
        assert_eq!((read.directives().count(), read.redirect, read.explanation), (1, Some(domain("r.example")), Some(domain("e.%{d}"))));
        for record in ["v=spf1 redirect=a.example redirect=a.example", "v=spf1 exp=a.example -all EXP=b.example"] {
            assert!(Record::parse(record.as_bytes()).unwrap_err().to_string().ends_with("it stands there twice"), "{record}");
        }
    }

    fn domains() -> impl Strategy<Value = String> {
        "(%\\{[slodipvhSLODIPVH][1-9]?r?[.+,/_=-]{0,3}\\}|%%|%_|%-|[!-$&-.0-~]){0,6}(\\.[a-z]{1,9}\\.?|%\\{d\\})"
    }

    /// A term and what it reads as, made together: the printer that the gateway has no use for.
    fn terms() -> impl Strategy<Value = String> {
        let prefix = prop_oneof![
            Just(String::new()),
            (0..=32_u8).prop_map(|bits| format!("/{bits}")),
            (0..=128_u8).prop_map(|bits| format!("//{bits}")),
            (0..=32_u8, 0..=128_u8).prop_map(|(ipv4, ipv6)| format!("/{ipv4}//{ipv6}")),
        ];
        let with_domain = ("(a|mx|ptr)", proptest::option::of(domains()), prefix).prop_map(|(name, domain, prefix)| {
            let domain = domain.map_or(String::new(), |domain| format!(":{domain}"));
            if name == "ptr" { format!("{name}{domain}") } else { format!("{name}{domain}{prefix}") }
        });
        prop_oneof![
            Just("all".to_owned()),
            ("(include|exists)", domains()).prop_map(|(name, domain)| format!("{name}:{domain}")),
            with_domain,
            (any::<Ipv4Addr>(), 0..=32_u8).prop_map(|(address, bits)| format!("ip4:{address}/{bits}")),
            (any::<Ipv6Addr>(), 0..=128_u8).prop_map(|(address, bits)| format!("ip6:{address}/{bits}")),
        ]
    }

    proptest! {
        #[test]
        fn whatever_follows_the_grammar_is_read(terms in proptest::collection::vec(("[-+~?]?", terms()), 0..12), redirect in proptest::option::of(domains())) {
            let mut record = "v=spf1".to_owned();
            for (qualifier, term) in &terms {
                record.push_str(&format!(" {qualifier}{term}"));
            }
            if let Some(redirect) = &redirect {
                record.push_str(&format!(" redirect={redirect}"));
            }
            let read = Record::parse(record.as_bytes()).map_err(|error| TestCaseError::fail(format!("{record}: {error}")))?;
            prop_assert_eq!(read.directives().count(), terms.len());
            prop_assert_eq!(read.redirect, redirect.as_deref().map(domain));
            for (directive, (qualifier, term)) in read.directives().zip(&terms) {
                prop_assert_eq!(directive.text, format!("{qualifier}{term}"));
                match &directive.mechanism {
                    Mechanism::Ip4(address, bits) => prop_assert_eq!(format!("ip4:{address}/{bits}"), term.as_str()),
                    Mechanism::Ip6(address, bits) => prop_assert_eq!(format!("ip6:{address}/{bits}"), term.as_str()),
                    Mechanism::A { prefix, .. } | Mechanism::Mx { prefix, .. } => {
                        let ends = [
                            format!("/{}//{}", prefix.ipv4, prefix.ipv6),
                            if prefix.ipv6 == 128 { format!("/{}", prefix.ipv4) } else { format!("//{}", prefix.ipv6) },
                        ];
                        prop_assert!(*prefix == Prefix::ALL || ends.iter().any(|end| term.ends_with(end)), "{}: {:?}", term, prefix);
                    }
                    _ => {}
                }
            }
        }

        #[test]
        fn octets_never_panic(octets in proptest::collection::vec(any::<u8>(), 0..200), text in "(a|mx|ip4|ip6|include|all|:|/|=|%|\\{|\\}|d|r|1|-| |\\.|x\\.example){0,30}") {
            let _ = Record::parse(&octets);
            let _ = Record::parse(&[b"v=spf1 ", &octets[..]].concat());
            let _ = Record::parse(format!("v=spf1 {text}").as_bytes());
        }
    }
}
