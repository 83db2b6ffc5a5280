//! What a signature's field says, read strictly: RFC 6376 §3.5 and §6.1.1, RFC 8301, RFC 8463, RFC 8616.

use std::ops::Range;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use mail_auth::common::crypto::Algorithm;
use mail_auth::dkim::Canonicalization;

use super::canonical::BodyForm;
use super::names;
use super::tags::{TagList, trim, without_space};
use crate::limits::HEADER_FIELDS_MAX;
use crate::message::a_labels;

/// Who signed, and the signature: what DKIM-Signature, ARC-Message-Signature and ARC-Seal have in common.
#[derive(Clone, Debug)]
pub(super) struct Signer {
    pub(super) algorithm: Algorithm,
    pub(super) domain: Box<str>,
    pub(super) selector: Box<str>,
    /// `b=`, decoded.
    pub(super) signature: Vec<u8>,
    /// Which field of the message it is.
    pub(super) field: usize,
    /// Where `b=` lies in the field's value: not signed (RFC 6376 §3.7).
    pub(super) hole: Range<usize>,
}

impl Signer {
    pub(super) fn read(list: &TagList<'_>, field: usize) -> Result<Self, &'static str> {
        let b = list.tag("b").ok_or("b= is missing")?;
        Ok(Self {
            algorithm: algorithm(list.get("a").ok_or("a= is missing")?)?,
            domain: a_labels(list.get("d").ok_or("d= is missing")?).ok_or("d= is not a domain name")?,
            selector: a_labels(list.get("s").ok_or("s= is missing")?).ok_or("s= is not a selector")?,
            signature: base64(b.value).ok_or("b= is not base64")?,
            field,
            hole: b.place.clone(),
        })
    }

    /// Where the key is published (RFC 6376 §3.6.2.1).
    pub(super) fn key_name(&self) -> String {
        format!("{}._domainkey.{}", self.selector, self.domain)
    }
}

/// What a signature covers: in DKIM-Signature and ARC-Message-Signature.
#[derive(Clone, Debug)]
pub(super) struct Coverage {
    /// `h=`, in lower case, in its order.
    pub(super) names: Vec<Box<str>>,
    /// How header and body are to be read. There are two where the field does not say and its writers disagree.
    pub(super) forms: Vec<(Canonicalization, BodyForm)>,
    /// `bh=`, decoded.
    pub(super) body_hash: Vec<u8>,
    signed_at: Option<u64>,
    expires_at: Option<u64>,
}

impl Coverage {
    /// Reads it; `defaults`: the canonicalizations that a missing `c=` can mean.
    pub(super) fn read(list: &TagList<'_>, defaults: &[Canonicalization]) -> Result<Self, &'static str> {
        let length = list.get("l").map(|text| number(text).ok_or("l= is not a number")).transpose()?;
        let form = |(header, form)| (header, BodyForm { form, length });
        let coverage = Self {
            names: field_names(list.get("h").ok_or("h= is missing")?)?,
            forms: match list.get("c") {
                Some(text) => vec![form(canonicalization(text)?)],
                None => defaults.iter().map(|default| form((*default, *default))).collect(),
            },
            body_hash: base64(list.get("bh").ok_or("bh= is missing")?).ok_or("bh= is not base64")?,
            signed_at: list.get("t").map(|text| number(text).ok_or("t= is not a number")).transpose()?,
            expires_at: list.get("x").map(|text| number(text).ok_or("x= is not a number")).transpose()?,
        };
        if coverage.expires_at.is_some_and(|expires_at| coverage.signed_at.is_some_and(|signed_at| expires_at <= signed_at)) {
            return Err("x= is not after t=");
        }
        Ok(coverage)
    }

    pub(super) fn has_from(&self) -> bool {
        self.names.iter().any(|name| &**name == "from")
    }

    /// Whether the signature is valid at this time (seconds since 1970), give or take `skew` seconds.
    pub(super) fn check_time(&self, now: u64, skew: u64) -> Result<(), &'static str> {
        if self.expires_at.is_some_and(|expires_at| expires_at.saturating_add(skew) < now) {
            return Err("the signature has expired");
        }
        if self.signed_at.is_some_and(|signed_at| signed_at > now.saturating_add(skew)) {
            return Err("the signature is from the future");
        }
        Ok(())
    }
}

/// A DKIM-Signature.
#[derive(Clone, Debug)]
pub(super) struct DkimField {
    pub(super) signer: Signer,
    pub(super) coverage: Coverage,
    /// The domain of `i=`; that of `d=` without it.
    pub(super) identity_domain: Box<str>,
}

impl DkimField {
    pub(super) fn read(list: &TagList<'_>, field: usize) -> Result<Self, &'static str> {
        match list.get("v") {
            Some("1") => {}
            Some(_) => return Err("v= is not 1"),
            None => return Err("v= is missing"),
        }
        let signer = Signer::read(list, field)?;
        let coverage = Coverage::read(list, &[Canonicalization::Simple])?;
        // RFC 6376 §5.4
        if !coverage.has_from() {
            return Err("h= does not name From");
        }
        if list.get("q").is_some_and(|methods| !methods.split(':').any(|method| trim(method) == "dns/txt")) {
            return Err("q= has no dns/txt");
        }
        let identity_domain = match list.get("i") {
            None => signer.domain.clone(),
            Some(identity) => {
                let (_, domain) = identity.rsplit_once('@').ok_or("i= has no domain")?;
                a_labels(&without_space(domain)).ok_or("i= has no domain")?
            }
        };
        if !names::is_within(&identity_domain, &signer.domain) {
            return Err("i= is not within d=");
        }
        Ok(Self { signer, coverage, identity_domain })
    }
}

/// Standard base64 with folding inside; nothing is no base64. Signers differ in padding and in the bits that belong to no octet.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    const TOLERANT: GeneralPurpose = GeneralPurpose::new(&STANDARD, NO_PAD.with_decode_allow_trailing_bits(true));
    let text = without_space(text);
    let digits = text.trim_end_matches('=');
    let is_padded = text.len().saturating_sub(digits.len()) <= 2;
    TOLERANT.decode(digits).ok().filter(|octets| is_padded && !octets.is_empty())
}

fn algorithm(text: &str) -> Result<Algorithm, &'static str> {
    match text {
        "rsa-sha256" => Ok(Algorithm::RsaSha256),
        "ed25519-sha256" => Ok(Algorithm::Ed25519Sha256),
        // RFC 8301 §3.1: such signatures have permanently failed.
        "rsa-sha1" => Err("rsa-sha1 is not accepted any more"),
        _ => Err("a= is not known"),
    }
}

fn canonicalization(text: &str) -> Result<(Canonicalization, Canonicalization), &'static str> {
    let one = |text| match trim(text) {
        "simple" => Ok(Canonicalization::Simple),
        "relaxed" => Ok(Canonicalization::Relaxed),
        _ => Err("c= is not known"),
    };
    match text.split_once('/') {
        Some((header, body)) => Ok((one(header)?, one(body)?)),
        // RFC 6376 §3.5: the body is simple then.
        None => Ok((one(text)?, Canonicalization::Simple)),
    }
}

fn field_names(text: &str) -> Result<Vec<Box<str>>, &'static str> {
    if text.split(':').nth(HEADER_FIELDS_MAX).is_some() {
        return Err("h= has too many field names");
    }
    let names = text.split(':').map(trim).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let is_name = name.bytes().all(|byte| byte.is_ascii_graphic());
            if is_name { Ok(name.to_ascii_lowercase().into()) } else { Err("h= is not a list of field names") }
        })
        .collect()
}

/// Decimal digits; what is beyond all numbers is the largest.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "v=1; a=rsa-sha256; d=Example.ORG; s=S1.x; h=From : To:Subject; bh=aGFzaA==; b=c2ln\r\n bmF0dXJl";

    fn read(text: &str) -> Result<DkimField, &'static str> {
        DkimField::read(&TagList::parse(text.as_bytes())?, 0)
    }

    #[test]
    fn a_good_one() {
        let field = read(&format!("{GOOD}; c=relaxed; l=7; i=a@b@x.EXAMPLE.org; t=5; x=6; q=x : dns/txt; z=from:x|y")).unwrap();
        assert_eq!((field.signer.key_name(), &*field.identity_domain), ("s1.x._domainkey.example.org".into(), "x.example.org"));
        assert_eq!((&*field.signer.signature, &*field.coverage.body_hash), (&b"signature"[..], &b"hash"[..]));
        assert_eq!(field.coverage.names.join(" "), "from to subject");
        let body = BodyForm { form: Canonicalization::Simple, length: Some(7) };
        assert_eq!(field.coverage.forms, [(Canonicalization::Relaxed, body)]);
    }

    #[test]
    fn each_mistake_is_told() {
        for (from, to, expected) in [
            ("v=1", "v=2", "v= is not 1"),
            ("v=1", "v=1.0", "v= is not 1"),
            ("v=1", "V=1", "v= is missing"),
            ("a=rsa-sha256", "a=rsa-sha1", "rsa-sha1 is not accepted any more"),
            ("a=rsa-sha256", "a=RSA-sha256", "a= is not known"),
            ("a=rsa-sha256;", "", "a= is missing"),
            ("d=Example.ORG", "d=a b", "d= is not a domain name"),
            ("d=Example.ORG", "d=", "d= is not a domain name"),
            ("d=Example.ORG;", "", "d= is missing"),
            ("s=S1.x", "s=a/b", "s= is not a selector"),
            ("s=S1.x;", "", "s= is missing"),
            ("h=From :", "h=", "h= does not name From"),
            ("h=From : To:Subject", "h=", "h= does not name From"),
            ("h=From", "h=From:\u{e4}", "h= is not a list of field names"),
            ("h=From : To:Subject;", "", "h= is missing"),
            ("bh=aGFzaA==", "bh=", "bh= is not base64"),
            ("bh=aGFzaA==", "bh=aGF*", "bh= is not base64"),
            ("bh=aGFzaA==;", "", "bh= is missing"),
            ("b=c2ln", "b=c=2ln", "b= is not base64"),
            ("b=c2ln\r\n bmF0dXJl", "b=", "b= is not base64"),
            ("b=c2ln\r\n bmF0dXJl", "", "b= is missing"),
            ("v=1", "v=1; c=relaxed/", "c= is not known"),
            ("v=1", "v=1; c=nofws", "c= is not known"),
            ("v=1", "v=1; l=-1", "l= is not a number"),
            ("v=1", "v=1; t=5; x=5", "x= is not after t="),
            ("v=1", "v=1; t=now", "t= is not a number"),
            ("v=1", "v=1; q=dns/mx", "q= has no dns/txt"),
            ("v=1", "v=1; i=example.org", "i= has no domain"),
            ("v=1", "v=1; i=@example.com", "i= is not within d="),
            ("v=1", "v=1; i=@org", "i= is not within d="),
            ("v=1", "v=1; i=@notexample.org", "i= is not within d="),
            ("v=1", "v=1; s=x", "not a tag list: a tag stands there twice"),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_eq!(read(&text).expect_err(&text), expected, "{text}");
        }
    }

    #[test]
    fn the_time_has_some_play() {
        let coverage = read(&format!("{GOOD}; t=1000; x=2000")).unwrap().coverage;
        for (now, is_good) in [(699, false), (700, true), (1500, true), (2300, true), (2301, false)] {
            assert_eq!(coverage.check_time(now, 300).is_ok(), is_good, "{now}");
        }
        let coverage = read(&format!("{GOOD}; x=99999999999999999999999999")).unwrap().coverage;
        assert_eq!(coverage.check_time(u64::MAX, 0), Ok(()));
    }
}
