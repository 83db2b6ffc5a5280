//! ARC seals (RFC 8617 §5.1): what this gateway found out about a message, signed for those behind it.
//!
//! A seal is made of the message as it goes out, after all changes of its header, and stands above everything else. The time and the
//! key are arguments; the work is one pass over the body, which several seals of a message share, and two signatures.

mod chain;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use self::chain::{Chain, Set};
use super::canonical::{BodyHashes, push_relaxed_field};
use crate::limits::{ARC_SETS_MAX, ARC_SIGNED_FIELDS_OF_A_NAME_MAX};
use crate::message::{ArcResult, ArcVerdict, Edits, Original};

/// Who seals, with what and when.
#[derive(Clone, Copy)]
pub struct Sealer<'a> {
    /// `d=`.
    pub domain: &'a str,
    /// `s=`.
    pub selector: &'a str,
    /// `t=`, seconds since the epoch.
    pub unix_seconds: u64,
    /// Signs octets with `rsa-sha256`, the only algorithm that ARC has (RFC 8617 §4.1.2). `None`: it could not.
    pub sign: &'a dyn Fn(&[u8]) -> Option<Vec<u8>>,
    /// The field ARC-Authentication-Results of an instance, CRLF included.
    pub results: &'a dyn Fn(u32) -> Bytes,
}

/// What came of sealing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sealed {
    /// The three fields, to be put on top of the message.
    Fields(Bytes),
    /// There is no seal to be made.
    Unsealed(Unsealed),
    /// The key could not sign.
    Failed,
}

/// Why a message gets no seal of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsealed {
    /// The last seal says that the chain is broken, and nothing can follow it (RFC 8617 §5.1, step 2).
    Ended,
    /// It has as many seals as there may be.
    Full,
    /// Whether the chain is whole could not be found out now; a seal would have to call it broken for good.
    Unknown,
}

/// The fields that a seal covers, where they are there. Not among them is what those behind us change or add: trace fields, the
/// ARC sets (the seal has them) and Authentication-Results (RFC 8617 §4.1.2).
const SIGNED: [&str; 19] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Content-Disposition",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Autocrypt",
    "DKIM-Signature",
];

/// The hash of a message's body, which no change of the header touches.
#[derive(Clone, Copy, Debug)]
pub struct BodyHash(Option<[u8; 32]>);

impl BodyHash {
    /// Reads the whole body once.
    pub fn of(original: &Original) -> Self {
        Self(BodyHashes::relaxed(&original.body()))
    }
}

impl Sealer<'_> {
    /// Seals the message with these changes, `verdict` being what was found out about its chain as it came in.
    pub fn seal(&self, original: &Original, edits: &Edits, body: BodyHash, verdict: Option<&ArcVerdict>) -> Sealed {
        let fields: Vec<(&[u8], &[u8])> = edits.fields(original).collect();
        let chain = Chain::read(&fields);
        let (instance, validation) = match next(&chain, verdict) {
            Ok(next) => next,
            Err(unsealed) => return Sealed::Unsealed(unsealed),
        };
        let results = (self.results)(instance);
        let made = || {
            let signature = self.message_signature(instance, &fields, body)?;
            // RFC 8617 §5.1.2: whoever calls a chain broken seals only what is his own.
            let before = if validation == "pass" { chain.sets.as_slice() } else { &[] };
            let seal = self.seal_field(instance, validation, before, &results, &signature)?;
            Some([seal.as_bytes(), signature.as_bytes(), &results].concat())
        };
        made().map_or(Sealed::Failed, |fields| Sealed::Fields(fields.into()))
    }

    /// ARC-Message-Signature: a signature over header and body as DKIM's (RFC 8617 §4.1.2).
    fn message_signature(&self, instance: u32, fields: &[(&[u8], &[u8])], body: BodyHash) -> Option<String> {
        let mut names = Names::default();
        let mut octets = Vec::new();
        for name in SIGNED {
            let is_named = |(field, _): &&(&[u8], &[u8])| field.eq_ignore_ascii_case(name.as_bytes());
            // RFC 6376 §5.4.2: from the bottom, for what is added stands on top.
            for (field, value) in fields.iter().rev().filter(is_named).take(ARC_SIGNED_FIELDS_OF_A_NAME_MAX) {
                names.push(name);
                push_relaxed_field(&mut octets, field, value);
            }
        }
        // Once more than it is there: a second From that somebody adds would break the signature (RFC 6376 §8.15).
        names.push("From");
        let Self { domain, selector, unix_seconds, .. } = self;
        let tags = format!(
            " i={instance}; a=rsa-sha256; c=relaxed/relaxed;\r\n\td={domain}; s={selector};\r\n\tt={unix_seconds};{};\r\n\tbh={};\r\n\tb=",
            names.text(),
            STANDARD.encode(body.0?)
        );
        self.signed("ARC-Message-Signature", &tags, octets)
    }

    /// ARC-Seal: a signature over all ARC fields from the first set to this one (RFC 8617 §5.1.1).
    fn seal_field(&self, instance: u32, validation: &str, before: &[Set<'_>], results: &[u8], signature: &str) -> Option<String> {
        let mut octets = Vec::new();
        for set in before {
            for (name, value) in [set.results?, set.signature?, set.seal?] {
                push_relaxed_field(&mut octets, name, value);
            }
        }
        for field in [results, signature.as_bytes()] {
            let (name, value) = split(field);
            push_relaxed_field(&mut octets, name, value);
        }
        let Self { domain, selector, unix_seconds, .. } = self;
        let tags = format!(" i={instance}; a=rsa-sha256; t={unix_seconds}; cv={validation};\r\n\td={domain}; s={selector};\r\n\tb=");
        self.signed("ARC-Seal", &tags, octets)
    }

    /// The field with its signature over `octets` and over itself, where `b=` is empty and no CRLF follows (RFC 6376 §3.7).
    fn signed(&self, name: &str, tags: &str, mut octets: Vec<u8>) -> Option<String> {
        push_relaxed_field(&mut octets, name.as_bytes(), tags.as_bytes());
        octets.truncate(octets.len().saturating_sub(2));
        let signature = STANDARD.encode((self.sign)(&octets)?);
        let lines: Vec<&str> = signature.as_bytes().chunks(72).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        Some(format!("{name}:{tags}{}\r\n", lines.join("\r\n\t ")))
    }
}

/// The instance of the next seal and what it says of those before it (`cv=`).
fn next(chain: &Chain<'_>, verdict: Option<&ArcVerdict>) -> Result<(u32, &'static str), Unsealed> {
    if chain.is_ended() {
        return Err(Unsealed::Ended);
    }
    if chain.highest >= ARC_SETS_MAX {
        return Err(Unsealed::Full);
    }
    let instance = chain.highest.saturating_add(1);
    if chain.is_empty() {
        return Ok((instance, "none"));
    }
    let Some(verdict) = verdict else { return Err(Unsealed::Unknown) };
    if verdict.result == ArcResult::Pass && chain.is_whole() && verdict.instances == chain.highest {
        return Ok((instance, "pass"));
    }
    if verdict.is_temporary && chain.is_whole() {
        return Err(Unsealed::Unknown);
    }
    Ok((instance, "fail"))
}

/// Name and value of a whole field.
fn split(field: &[u8]) -> (&[u8], &[u8]) {
    let colon = memchr::memchr(b':', field).unwrap_or(field.len());
    let (name, value) = field.split_at(colon);
    (name, value.get(1..).unwrap_or_default())
}

/// The list `h=`, folded.
#[derive(Default)]
struct Names {
    text: String,
    column: usize,
}

impl Names {
    fn push(&mut self, name: &str) {
        let length = name.len().saturating_add(1);
        if self.text.is_empty() {
            self.text.push_str("\r\n\th=");
            self.column = 3;
        } else {
            self.text.push(':');
            if self.column.saturating_add(length) > 76 {
                self.text.push_str("\r\n\t ");
                self.column = 2;
            }
        }
        self.text.push_str(name);
        self.column = self.column.saturating_add(length);
    }

    fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests;
