//! DKIM: RFC 6376 with RFC 8301, RFC 8463 and RFC 8616.
//!
//! The library reads keys, does the cryptography and the canonical form of the body; what a field must say, what its results are
//! called (RFC 8601 §2.7.1) and how much work it may cost is decided here. `docs/semantics.md` has the table.

use super::canonical::BodyHashes;
use super::keys::{Flaw, published};
use super::signature::{Coverage, DkimField};
use super::signed::{Disagreement, Signed};
use super::tags::TagList;
use super::texts::{Source, Texts, line};
use super::walk;
use crate::dns::Dns;
use crate::limits::{DKIM_CLOCK_SKEW, DKIM_QUESTIONS_MAX, DKIM_SIGNATURES_MAX, SIGNATURES_PATIENCE};
use crate::message::{Author, DkimResult, DkimSignature, DkimVerdict, Original, a_labels};

/// Verifies the signatures of a message at a time (seconds since 1970). DNS is asked for keys, and for what tells whether a signer
/// belongs to the same organization as From.
pub async fn check(dns: &Dns, signed: &Signed<'_>, author: &Author, now: u64) -> DkimVerdict {
    let inquiry = dns.inquiry(DKIM_QUESTIONS_MAX, SIGNATURES_PATIENCE);
    let verdict = examine(&inquiry, signed, author, now).await;
    DkimVerdict { asked: inquiry.into_asked(), ..verdict }
}

pub(super) async fn examine(source: &impl Source, signed: &Signed<'_>, author: &Author, now: u64) -> DkimVerdict {
    if signed.dkim.is_empty() {
        return verdict(Vec::new());
    }
    let mut texts = Texts::default();
    let (hashes, ()) = tokio::join!(signed.body_hashes(), texts.ask(source, signed.dkim.questions(author)));
    let mut judged = judge(signed, hashes, &texts, now).await;
    let missing = align(&mut judged, author, &texts);
    if !missing.is_empty() {
        texts.ask(source, missing).await;
        align(&mut judged, author, &texts);
    }
    verdict(judged)
}

/// The DKIM-Signature fields of a message, from the top.
#[derive(Debug, Default)]
pub(super) struct DkimSignatures {
    looked_at: Vec<(DkimSignature, Result<DkimField, &'static str>)>,
    skipped: usize,
}

impl DkimSignatures {
    pub(super) fn read(original: &Original) -> Self {
        let mut signatures = Self::default();
        for (at, field) in original.fields().iter().enumerate() {
            if !original.name(field).eq_ignore_ascii_case(b"DKIM-Signature") {
                continue;
            }
            if signatures.looked_at.len() >= DKIM_SIGNATURES_MAX {
                signatures.skipped = signatures.skipped.saturating_add(1);
                continue;
            }
            let list = TagList::parse(original.value(field));
            let read = list.as_ref().map_err(|reason| *reason).and_then(|list| DkimField::read(list, at));
            signatures.looked_at.push((shown(list.ok().as_ref()), read));
        }
        signatures
    }

    pub(super) fn is_empty(&self) -> bool {
        self.looked_at.is_empty()
    }

    pub(super) fn coverages(&self) -> impl Iterator<Item = &Coverage> {
        self.looked_at.iter().filter_map(|(_, read)| read.as_ref().ok()).map(|field| &field.coverage)
    }

    /// What is asked at first: all keys, and the walk up from From unless no signer needs it.
    fn questions(&self, author: &Author) -> Vec<String> {
        let fields = || self.looked_at.iter().filter_map(|(_, read)| read.as_ref().ok());
        let mut names: Vec<String> = fields().map(|field| field.signer.key_name()).collect();
        if let Some(from) = author.domain()
            && fields().any(|field| walk::may_share(&field.signer.domain, from))
        {
            names.extend(walk::questions(from));
        }
        names
    }
}

/// What can be told of a signature that may be broken; nothing of it is believed.
fn shown(list: Option<&TagList<'_>>) -> DkimSignature {
    let get = |name| list.and_then(|list| list.get(name)).unwrap_or_default();
    let name = |text| a_labels(text).unwrap_or_default();
    DkimSignature {
        result: DkimResult::Permerror,
        domain: name(get("d")),
        selector: name(get("s")),
        identity: Some(line(get("i"))).filter(|identity| !identity.is_empty()),
        algorithm: get("a").chars().filter(|char| char.is_ascii_alphanumeric() || *char == '-').take(20).collect(),
        signature: get("b").chars().filter(|char| char.is_ascii_alphanumeric() || "+/=".contains(*char)).take(8).collect(),
        aligned: false,
        reason: Box::default(),
    }
}

/// Verifies with what DNS has said. Between signatures the thread serves others: a large header with large keys takes its time.
async fn judge(signed: &Signed<'_>, hashes: &BodyHashes, texts: &Texts, now: u64) -> Vec<Judged> {
    let mut all: Vec<Judged> = Vec::with_capacity(signed.dkim.looked_at.len());
    for (shown, read) in &signed.dkim.looked_at {
        tokio::task::yield_now().await;
        let judged = match read {
            Ok(field) => verify(signed, field, hashes, texts, now),
            Err(reason) => Err(Flaw::permanent(reason)),
        };
        let (result, is_partial, reason) = match judged {
            Ok(pass) => (DkimResult::Pass, matches!(pass, Pass::Partial | Pass::Surplus(_)), pass.remark()),
            Err(flaw) => (flaw.result, false, flaw.reason),
        };
        all.push(Judged { signature: DkimSignature { result, reason, ..shown.clone() }, is_partial });
    }
    if signed.dkim.skipped > 0 {
        let reason = line(&format!("{} more signatures were not looked at", signed.dkim.skipped));
        let signature = DkimSignature { result: DkimResult::Policy, reason, ..shown(None) };
        all.push(Judged { signature, is_partial: false });
    }
    all
}

fn verdict(all: Vec<Judged>) -> DkimVerdict {
    let signatures: Box<[DkimSignature]> = all.into_iter().map(|judged| judged.signature).collect();
    DkimVerdict {
        result: signatures.iter().map(|signature| signature.result).max_by_key(|result| rank(*result)).unwrap_or(DkimResult::None),
        aligned: signatures.iter().any(|signature| signature.result == DkimResult::Pass && signature.aligned),
        signatures,
        asked: Box::default(),
    }
}

/// Which of several results stands for the message: one valid signature suffices (RFC 6376 §6.1), and what may still become
/// valid, or was broken on the way, says more than what never was a signature.
fn rank(result: DkimResult) -> u8 {
    match result {
        DkimResult::None => 0,
        DkimResult::Permerror => 1,
        DkimResult::Neutral => 2,
        DkimResult::Policy => 3,
        DkimResult::Fail => 4,
        DkimResult::Temperror => 5,
        DkimResult::Pass => 6,
    }
}

/// A signature and what came of it.
#[derive(Debug)]
struct Judged {
    signature: DkimSignature,
    /// It passes, and does not cover the whole of what a reader is shown.
    is_partial: bool,
}

/// How a signature can pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    Whole,
    /// The key says that the domain tries out DKIM, which changes nothing (RFC 6376 §3.6.1).
    Testing,
    /// There are more fields of this name than it covers: which of them a reader is shown, anyone may have chosen (RFC 6376 §8.15). It
    /// passes, and speaks for nobody.
    Surplus(&'static str),
    /// There is body that it does not cover: it passes (RFC 6376 §3.5), and speaks for nobody, since that may be anyone's (§8.2).
    Partial,
}

impl Pass {
    fn remark(self) -> Box<str> {
        match self {
            Self::Whole => "".into(),
            Self::Testing => "the domain tries out DKIM (t=y)".into(),
            Self::Surplus(name) => format!("not every {name} field is signed, and there may be only one").into(),
            Self::Partial => "content follows the signed part of the body (l=)".into(),
        }
    }
}

/// Verifies one signature. The steps and their order are those of RFC 6376 §6.1.
fn verify(signed: &Signed<'_>, field: &DkimField, hashes: &BodyHashes, texts: &Texts, now: u64) -> Result<Pass, Flaw> {
    let DkimField { signer, coverage, identity_domain } = field;
    coverage.check_time(now, DKIM_CLOCK_SKEW.as_secs()).map_err(Flaw::permanent)?;
    let name = signer.key_name();
    let keys = published(&name, texts)?;
    let (form, hash) = Signed::agreed_form(coverage, hashes).map_err(|disagreement| match disagreement {
        Disagreement::BodyTooShort => Flaw::permanent("l= is more than the body has"),
        Disagreement::OtherBody => Flaw::new(DkimResult::Fail, "the body was changed"),
    })?;
    let data = signed.signed_header(signer, coverage, form);
    let mut flaw: Option<Flaw> = None;
    for key in &keys {
        let verified = if key.is_strict && *identity_domain != signer.domain {
            Err(Flaw::permanent("the key allows no subdomain in i="))
        } else {
            key.verify(signer, &data)
        };
        match verified {
            Ok(()) if hash.is_partial => return Ok(Pass::Partial),
            Ok(()) => {
                let otherwise = if key.is_testing { Pass::Testing } else { Pass::Whole };
                return Ok(signed.surplus(coverage).map_or(otherwise, Pass::Surplus));
            }
            Err(other) if flaw.as_ref().is_none_or(|flaw| rank(flaw.result) < rank(other.result)) => flaw = Some(other),
            Err(_) => {}
        }
    }
    Err(flaw.unwrap_or_else(|| Flaw::permanent("no key")))
}

/// Marks the signatures of From's organization (RFC 9989 §4.10.2, relaxed). Gives the names that must be asked for first.
fn align(all: &mut [Judged], author: &Author, texts: &Texts) -> Vec<String> {
    let mut missing = Vec::new();
    let Some(from) = author.domain() else { return missing };
    for Judged { signature, is_partial } in all {
        if *is_partial || signature.domain.is_empty() {
            continue;
        }
        match walk::is_aligned(&signature.domain, from, false, texts) {
            Ok(aligned) => signature.aligned = aligned.unwrap_or(false),
            // Of what fails nobody needs to know.
            Err(names) if matches!(signature.result, DkimResult::Pass | DkimResult::Temperror) => missing.extend(names),
            Err(_) => {}
        }
    }
    missing
}
