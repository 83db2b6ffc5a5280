//! DMARC: RFC 9989. One evaluation over answers of DNS; what is missing is asked for, and the evaluation done again.

use super::texts::{Source, Texts};
use super::walk::{Record, Stop, Tagged, is_aligned, organization, questions, walk};
use crate::dns::{Dns, Inquiry};
use crate::limits::{DMARC_QUESTIONS_MAX, SIGNATURES_PATIENCE};
use crate::message::{Author, DkimResult, DkimVerdict, DmarcPolicy, DmarcResult, DmarcVerdict, SpfResult, SpfVerdict, a_labels};

/// What DNS says of the domain of From, for which neither SPF nor DKIM need be known.
#[derive(Debug)]
pub struct Begun {
    inquiry: Inquiry,
    texts: Texts,
}

/// Asks DNS for the records that may apply to the domain of From.
pub async fn begin(dns: &Dns, author: &Author) -> Begun {
    let inquiry = dns.inquiry(DMARC_QUESTIONS_MAX, SIGNATURES_PATIENCE);
    let texts = records(&inquiry, author).await;
    Begun { inquiry, texts }
}

/// Evaluates DMARC for the domain of From.
pub async fn check(begun: Begun, author: &Author, spf: &SpfVerdict, dkim: &DkimVerdict) -> DmarcVerdict {
    let Begun { inquiry, texts } = begun;
    let verdict = examine(&inquiry, texts, author, spf, dkim).await;
    DmarcVerdict { asked: inquiry.into_asked(), ..verdict }
}

pub(super) async fn records(source: &impl Source, author: &Author) -> Texts {
    let mut texts = Texts::default();
    texts.ask(source, author.domain().map(questions).unwrap_or_default()).await;
    texts
}

pub(super) async fn examine(source: &impl Source, mut texts: Texts, author: &Author, spf: &SpfVerdict, dkim: &DkimVerdict) -> DmarcVerdict {
    let Some(from) = author.domain() else {
        return DmarcVerdict { result: DmarcResult::Permerror, reason: author.flaw().into(), ..nothing("") };
    };
    let temperror = |reason| DmarcVerdict { result: DmarcResult::Temperror, reason, ..nothing(from) };
    let published = match publish(from, &texts) {
        Ok(Some(published)) => published,
        Ok(None) => return DmarcVerdict { reason: "there is no DMARC record".into(), ..nothing(from) },
        Err(trouble) => return temperror(trouble),
    };
    // Only NXDOMAIN says that a domain does not exist (RFC 9989 §3.2); without an answer it does, since `np` is the exception.
    let exists = !published.depends_on_existence() || source.exists(from).await.unwrap_or(true);
    match evaluate(from, &published, exists, spf, dkim, &texts) {
        Ok(verdict) => verdict,
        Err(missing) => {
            texts.ask(source, missing).await;
            evaluate(from, &published, exists, spf, dkim, &texts).unwrap_or_else(|_| temperror("DNS was not asked".into()))
        }
    }
}

/// The record that applies to mail of a domain.
#[derive(Clone, Debug)]
struct Published {
    record: Record,
    domain: Box<str>,
    /// It is the author domain's own.
    is_own: bool,
}

/// Finds the record that applies (RFC 9989 §4.10.1); `Err`: DNS does not tell now.
fn publish(from: &str, texts: &Texts) -> Result<Option<Published>, Box<str>> {
    let found = match walk(from, texts) {
        Ok(found) => found,
        Err(Stop::Trouble(why)) => {
            // The author domain's own record needs nobody above it.
            return match super::walk::record(from, texts) {
                Ok(Some(record)) => Ok(Published::of(record, from, true)),
                _ => Err(why),
            };
        }
        Err(Stop::Missing(_)) => return Err("DNS was not asked".into()),
    };
    let top = organization(from, &found);
    let applies = found.iter().find(|(name, _)| *name == from).or_else(|| found.iter().find(|(name, _)| *name == top)).or(found.last());
    Ok(applies.and_then(|(name, record)| Published::of(record.clone(), name, *name == from)))
}

impl Published {
    /// RFC 9989 §4.7: without a valid policy, a record that wants reports asks for nothing, and any other does not count.
    fn of(record: Record, domain: &str, is_own: bool) -> Option<Self> {
        let is_valid = matches!(record.p, Tagged::Asks(_)) && record.sp != Tagged::Malformed && record.np != Tagged::Malformed;
        (is_valid || record.has_reports).then(|| Self { record, domain: domain.into(), is_own })
    }

    fn is_valid(&self) -> bool {
        let record = &self.record;
        matches!(record.p, Tagged::Asks(_)) && record.sp != Tagged::Malformed && record.np != Tagged::Malformed
    }

    /// Whether `np` could be what applies.
    fn depends_on_existence(&self) -> bool {
        !self.is_own && self.is_valid() && self.policy(true) != self.policy(false)
    }

    /// What is asked for mail that fails: `p` of its own record, else `sp`, or `np` if the domain does not exist.
    fn policy(&self, exists: bool) -> DmarcPolicy {
        let tags = if self.is_own {
            [self.record.p; 3]
        } else if exists {
            [self.record.sp, self.record.p, self.record.p]
        } else {
            [self.record.np, self.record.sp, self.record.p]
        };
        let policy = tags.into_iter().find_map(|tag| if let Tagged::Asks(policy) = tag { Some(policy) } else { None });
        policy.filter(|_| self.is_valid()).unwrap_or(DmarcPolicy::None)
    }
}

/// What two identifiers say together (RFC 9989 §5.3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    /// Not authenticated, or of somebody else.
    Fails,
    /// DNS may say otherwise later.
    Unknown,
    Passes,
}

/// The verdict by what DNS has said; the error are names to ask for first.
fn evaluate(
    from: &str,
    published: &Published,
    exists: bool,
    spf: &SpfVerdict,
    dkim: &DkimVerdict,
    texts: &Texts,
) -> Result<DmarcVerdict, Vec<String>> {
    let record = &published.record;
    let mut missing = Vec::new();
    let mut identifier = |domain: &str, passes: bool, is_strict: bool| match is_aligned(domain, from, is_strict, texts) {
        Ok(Some(true)) if passes => Identifier::Passes,
        Ok(Some(false)) => Identifier::Fails,
        Ok(_) => Identifier::Unknown,
        Err(names) => {
            missing.extend(names);
            Identifier::Unknown
        }
    };
    let by_spf = match spf.result {
        SpfResult::Pass | SpfResult::Temperror => a_labels(&spf.domain)
            .map_or(Identifier::Fails, |domain| identifier(&domain, spf.result == SpfResult::Pass, record.is_spf_strict)),
        _ => Identifier::Fails,
    };
    let mut by_dkim = Identifier::Fails;
    for signature in &dkim.signatures {
        let is_pass = signature.result == DkimResult::Pass;
        if !is_pass && signature.result != DkimResult::Temperror {
            continue;
        }
        let one = identifier(&signature.domain, is_pass, record.is_dkim_strict);
        // It passes, is of the organization, and yet was not called aligned: it does not cover the whole message.
        by_dkim = by_dkim.max(if one == Identifier::Passes && !signature.aligned { Identifier::Fails } else { one });
    }
    let best = by_spf.max(by_dkim);
    if best != Identifier::Passes && !missing.is_empty() {
        return Err(missing);
    }
    let policy = published.policy(exists);
    let (result, effective, reason) = match best {
        Identifier::Passes => (DmarcResult::Pass, DmarcPolicy::None, passed(by_spf, by_dkim)),
        Identifier::Unknown => (DmarcResult::Temperror, DmarcPolicy::None, "DNS does not tell now whether an identifier passes and aligns"),
        Identifier::Fails => (DmarcResult::Fail, in_test(policy, record.is_testing), "neither SPF nor DKIM passes for the domain of From"),
    };
    Ok(DmarcVerdict {
        result,
        policy,
        effective,
        policy_domain: published.domain.clone(),
        record: record.text.clone(),
        spf_aligned: by_spf == Identifier::Passes,
        dkim_aligned: by_dkim == Identifier::Passes,
        reason: reason.into(),
        ..nothing(from)
    })
}

fn passed(by_spf: Identifier, by_dkim: Identifier) -> &'static str {
    match (by_spf == Identifier::Passes, by_dkim == Identifier::Passes) {
        (true, true) => "SPF and DKIM pass for the domain of From",
        (true, false) => "SPF passes for the domain of From",
        _ => "DKIM passes for the domain of From",
    }
}

/// One step less while the domain's owner tests (RFC 9989 §4.7, `t=y`).
fn in_test(policy: DmarcPolicy, is_testing: bool) -> DmarcPolicy {
    match policy {
        DmarcPolicy::Reject if is_testing => DmarcPolicy::Quarantine,
        DmarcPolicy::Quarantine if is_testing => DmarcPolicy::None,
        other => other,
    }
}

fn nothing(from: &str) -> DmarcVerdict {
    DmarcVerdict {
        result: DmarcResult::None,
        policy: DmarcPolicy::Absent,
        effective: DmarcPolicy::Absent,
        from_domain: from.into(),
        policy_domain: Box::default(),
        record: Box::default(),
        spf_aligned: false,
        dkim_aligned: false,
        reason: Box::default(),
        asked: Box::default(),
    }
}
