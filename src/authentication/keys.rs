//! Public keys of signers: RFC 6376 §3.6.1, RFC 8301, RFC 8463.

use mail_auth::common::crypto::{Algorithm, VerifyingKey};
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;

use super::signature::{Signer, base64};
use super::tags::{TagList, trim, without_space};
use super::texts::{Texts, line};
use crate::dns::DnsError;
use crate::limits::{DKIM_KEY_BITS_MAX, DKIM_KEY_BITS_MIN, DKIM_KEY_RECORDS_MAX};
use crate::message::DkimResult;

/// Why a signature is not valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) result: DkimResult,
    pub(super) reason: Box<str>,
}

impl Flaw {
    pub(super) fn new(result: DkimResult, reason: &str) -> Self {
        Self { result, reason: line(reason) }
    }

    /// Nothing will change it (RFC 6376 §6.1: PERMFAIL).
    pub(super) fn permanent(reason: &str) -> Self {
        Self::new(DkimResult::Permerror, reason)
    }
}

/// A key that can be used.
pub(super) struct Key {
    is_rsa: bool,
    public: Box<dyn VerifyingKey + Send + Sync>,
    /// `t=s`: the domain of `i=` must be that of `d=`.
    pub(super) is_strict: bool,
    /// `t=y`: the domain tries out DKIM.
    pub(super) is_testing: bool,
}

/// The keys that a name holds. RFC 6376 §6.1.2 leaves open what several mean: each is tried.
pub(super) fn published(name: &str, texts: &Texts) -> Result<Vec<Key>, Flaw> {
    let answer = match texts.get(name) {
        Some(Ok(answer)) => answer,
        None => return Err(Flaw::new(DkimResult::Temperror, &format!("no key now: {name} was not asked for"))),
        Some(Err(DnsError::NoName)) => return Err(Flaw::permanent("no key: the name is too long for DNS")),
        Some(Err(error)) => return Err(Flaw::new(DkimResult::Temperror, &format!("no key now: {name}: {error}"))),
    };
    if answer.records.is_empty() {
        return Err(Flaw::permanent(&format!("no key at {name}")));
    }
    let mut keys = Vec::new();
    let mut flaw = None;
    for record in answer.records.iter().take(DKIM_KEY_RECORDS_MAX) {
        match Key::read(record) {
            Ok(key) => keys.push(key),
            Err(reason) => flaw = flaw.or(Some(reason)),
        }
    }
    match flaw {
        Some(reason) if keys.is_empty() => Err(Flaw::permanent(&format!("{reason}: {name}"))),
        _ => Ok(keys),
    }
}

impl Key {
    fn read(record: &[u8]) -> Result<Self, &'static str> {
        let list = TagList::parse(record).map_err(|_| "the key record is malformed")?;
        let has = |name: &str, wanted: &[&str]| list.get(name).is_none_or(|text| text.split(':').any(|item| wanted.contains(&trim(item))));
        let flag = |wanted: &str| list.get("t").is_some_and(|flags| flags.split(':').any(|flag| trim(flag) == wanted));
        match list.get("v") {
            None => {}
            Some("DKIM1") if list.first() == Some("v") => {}
            Some(_) => return Err("the key record is of another version"),
        }
        let kind = list.get("k").unwrap_or("rsa");
        let public = list.get("p").ok_or("the key record has no key")?;
        if public.is_empty() {
            return Err("the key is revoked");
        }
        if !has("h", &["sha256"]) {
            return Err("the key is not for sha256");
        }
        if !has("s", &["*", "email"]) {
            return Err("the key is not for mail");
        }
        if !matches!(kind, "rsa" | "ed25519") {
            return Err("the key is of an unknown kind");
        }
        let bytes = base64(public).ok_or("the key is not base64")?;
        if kind == "ed25519" && bytes.len() != 32 {
            return Err("the key is malformed");
        }
        // Read again by the library in its plainest form: what is strict about it was checked here.
        let plain = format!("k={kind}; p={}", without_space(public));
        let key = DomainKey::parse(plain.as_bytes()).map_err(|_| "the key is malformed")?;
        Ok(Self { is_rsa: kind == "rsa", public: key.p, is_strict: flag("s"), is_testing: flag("y") })
    }

    /// Whether the signature over `data` is of this key.
    pub(super) fn verify(&self, signer: &Signer, data: &[u8]) -> Result<(), Flaw> {
        if self.is_rsa != (signer.algorithm == Algorithm::RsaSha256) {
            return Err(Flaw::permanent("the key is not for the algorithm of the signature"));
        }
        let bits = self.public.public_key_bits();
        if self.is_rsa && bits == 0 {
            return Err(Flaw::permanent("the key is malformed"));
        }
        if self.is_rsa && !(DKIM_KEY_BITS_MIN..=DKIM_KEY_BITS_MAX).contains(&bits) {
            return Err(Flaw::new(DkimResult::Policy, &format!("an RSA key of {bits} bits is not accepted")));
        }
        let verified = self.public.verify_bytes(data, &signer.signature, signer.algorithm);
        verified.map_err(|_| Flaw::new(DkimResult::Fail, "the signature does not fit the header"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authentication::texts::Answer;
    use crate::dns::Records;

    const ED25519: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

    fn read(record: &str) -> Result<(bool, bool, bool), &'static str> {
        Key::read(record.as_bytes()).map(|key| (key.is_rsa, key.is_strict, key.is_testing))
    }

    #[test]
    fn records() {
        for (record, expected) in [
            ("v=DKIM1; k=ed25519; p=KEY", Ok((false, false, false))),
            ("p=KEY", Ok((true, false, false))),
            ("v=DKIM1; k=ed25519; t=y:s; h=sha1:sha256; s=x:email; n=note; g=*; p=KEY;", Ok((false, true, true))),
            ("v=DKIM1; k=ed25519; t= s ; s=*; p=\tKEY", Ok((false, true, false))),
            ("k=ed25519; v=DKIM1; p=KEY", Err("the key record is of another version")),
            ("v=DKIM2; p=KEY", Err("the key record is of another version")),
            ("v=dkim1; p=KEY", Err("the key record is of another version")),
            ("v=DKIM1", Err("the key record has no key")),
            ("v=DKIM1; P=KEY", Err("the key record has no key")),
            ("v=DKIM1; p=", Err("the key is revoked")),
            ("v=DKIM1; p=; p=KEY", Err("the key record is malformed")),
            ("v=DKIM1; p KEY", Err("the key record is malformed")),
            ("", Err("the key record is malformed")),
            ("v=DKIM1; h=sha1; p=KEY", Err("the key is not for sha256")),
            ("v=DKIM1; s=tlsrpt; p=KEY", Err("the key is not for mail")),
            ("v=DKIM1; k=dsa; p=KEY", Err("the key is of an unknown kind")),
            ("v=DKIM1; p=K*Y", Err("the key is not base64")),
            ("v=DKIM1; k=ed25519; p=aGFzaA==", Err("the key is malformed")),
        ] {
            assert_eq!(read(&record.replace("KEY", ED25519)), expected, "{record}");
        }
    }

    #[test]
    fn answers() {
        let answer = |records: &[&str]| Ok(Records { records: records.iter().map(|text| text.as_bytes().into()).collect(), exists: true });
        let good = format!("k=ed25519; p={ED25519}");
        let found = |answer: Answer| {
            let name = "s._domainkey.x";
            published(name, &Texts::of([(name.to_owned(), answer)])).map(|keys| keys.len())
        };
        assert_eq!(found(answer(&[&good])), Ok(1));
        assert_eq!(found(answer(&["v=spf1 -all", &good, "p=", &good])), Ok(2));
        assert_eq!(found(answer(&["p=", "v=spf1 -all"])), Err(Flaw::permanent("the key is revoked: s._domainkey.x")));
        assert_eq!(found(answer(&[])), Err(Flaw::permanent("no key at s._domainkey.x")));
        assert_eq!(found(answer(&vec!["p="; 1000])), Err(Flaw::permanent("the key is revoked: s._domainkey.x")));
        assert_eq!(found(Err(DnsError::NoName)).unwrap_err().result, DkimResult::Permerror);
        for error in [DnsError::Trouble("no\r\nservers".into()), DnsError::TooLate, DnsError::TooManyQuestions] {
            let flaw = found(Err(error)).unwrap_err();
            assert_eq!(flaw.result, DkimResult::Temperror);
            assert!(!flaw.reason.contains('\n'));
        }
    }
}
