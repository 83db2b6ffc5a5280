//! ARC chains: RFC 8617 §5.2.

use mail_auth::dkim::Canonicalization;

use super::canonical::{BodyHashes, push_field, push_signature};
use super::keys::{Flaw, published};
use super::signature::{Coverage, Signer};
use super::signed::{Disagreement, Signed};
use super::tags::{TagList, trim};
use super::texts::{Source, Texts, line};
use crate::dns::Dns;
use crate::limits::{ARC_QUESTIONS_MAX, ARC_SETS_MAX, DKIM_CLOCK_SKEW, SIGNATURES_PATIENCE};
use crate::message::{ArcResult, ArcVerdict, DkimResult, Original};

/// Verifies the chain of a message at a time (seconds since 1970).
pub async fn check(dns: &Dns, signed: &Signed<'_>, now: u64) -> ArcVerdict {
    let inquiry = dns.inquiry(ARC_QUESTIONS_MAX, SIGNATURES_PATIENCE);
    let verdict = examine(&inquiry, signed, now).await;
    ArcVerdict { asked: inquiry.into_asked(), ..verdict }
}

pub(super) async fn examine(source: &impl Source, signed: &Signed<'_>, now: u64) -> ArcVerdict {
    let chain = match &signed.arc {
        None => return verdict(ArcResult::None, &[], ""),
        Some(Err(broken)) => return ArcVerdict { instances: broken.sets, ..verdict(ArcResult::Fail, &[], &broken.reason) },
        Some(Ok(chain)) => chain,
    };
    if chain.is_failed() {
        return verdict(ArcResult::Fail, &chain.sets, "the last seal says that the chain was broken before");
    }
    let mut texts = Texts::default();
    let (hashes, ()) = tokio::join!(signed.body_hashes(), texts.ask(source, chain.questions()));
    judge(signed, chain, hashes, &texts, now).await
}

/// A chain whose structure is as it should be, from the first set to the last; there is at least one.
#[derive(Debug)]
pub(super) struct Chain {
    sets: Vec<Set>,
    /// The ARC-Message-Signature of the last set; those below are not verified (RFC 8617 §5.2, step 4).
    pub(super) message: Message,
}

/// A chain whose structure is not.
#[derive(Debug)]
pub(super) struct Broken {
    sets: u32,
    reason: Box<str>,
}

/// An ARC-Message-Signature.
#[derive(Debug)]
pub(super) struct Message {
    signer: Signer,
    pub(super) coverage: Coverage,
}

/// An ARC set: which fields of the message it is made of, and its seal.
#[derive(Debug)]
struct Set {
    results: usize,
    message: usize,
    seal: Signer,
    validation: Validation,
}

/// `cv=`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Validation {
    None,
    Pass,
    Fail,
}

/// The fields of an instance, as they are gathered.
#[derive(Debug, Default)]
struct Gathered<'o> {
    results: Option<usize>,
    message: Option<(usize, TagList<'o>)>,
    seal: Option<(usize, TagList<'o>)>,
}

impl Chain {
    /// Gathers the sets; `None` if there is not a single field of ARC.
    pub(super) fn read(original: &Original) -> Option<Result<Self, Broken>> {
        let fields = |name: &[u8]| {
            let name = name.to_owned();
            original.fields().iter().enumerate().filter(move |(_, field)| original.name(field).eq_ignore_ascii_case(&name))
        };
        let seals = fields(b"ARC-Seal").count();
        let (messages, results) = (fields(b"ARC-Message-Signature").count(), fields(b"ARC-Authentication-Results").count());
        if seals == 0 && messages == 0 && results == 0 {
            return None;
        }
        let sets = u32::try_from(seals.max(messages).max(results)).unwrap_or(u32::MAX);
        let read = || {
            if sets > ARC_SETS_MAX {
                return Err("the chain has too many sets".to_owned());
            }
            let mut gathered: Vec<Gathered<'_>> = std::iter::repeat_with(Gathered::default).take(sets as usize).collect();
            for (at, field) in fields(b"ARC-Authentication-Results") {
                put(&mut gathered, results_instance(original.value(field)), |set| &mut set.results, at, "ARC-Authentication-Results")?;
            }
            for (at, field) in fields(b"ARC-Message-Signature") {
                let list = TagList::parse(original.value(field)).map_err(|reason| format!("an ARC-Message-Signature is {reason}"))?;
                put(&mut gathered, instance(list.get("i")), |set| &mut set.message, (at, list), "ARC-Message-Signature")?;
            }
            for (at, field) in fields(b"ARC-Seal") {
                let list = TagList::parse(original.value(field)).map_err(|reason| format!("an ARC-Seal is {reason}"))?;
                put(&mut gathered, instance(list.get("i")), |set| &mut set.seal, (at, list), "ARC-Seal")?;
            }
            Self::of(gathered)
        };
        Some(read().map_err(|reason| Broken { sets, reason: line(&reason) }))
    }

    /// RFC 8617 §5.2, steps 1 to 3.
    fn of(gathered: Vec<Gathered<'_>>) -> Result<Self, String> {
        let mut sets = Vec::with_capacity(gathered.len());
        let mut last = None;
        for (number, set) in (1_u32..).zip(gathered) {
            let (Some(results), Some((message, message_list)), Some((seal, seal_list))) = (set.results, set.message, set.seal) else {
                return Err(format!("set {number} is not complete"));
            };
            let told = |reason: &str| format!("ARC-Seal {number}: {reason}");
            // RFC 8617 §4.1.3: it covers what it covers.
            if seal_list.get("h").is_some() {
                return Err(told("h= may not be there"));
            }
            let validation = match seal_list.get("cv") {
                Some("none") => Validation::None,
                Some("pass") => Validation::Pass,
                Some("fail") => Validation::Fail,
                _ => return Err(told("cv= is missing or not known")),
            };
            let seal = Signer::read(&seal_list, seal).map_err(told)?;
            sets.push(Set { results, message, seal, validation });
            last = Some((message, message_list));
        }
        let (message, list) = last.ok_or("there is no set")?;
        let chain = Self { message: Message::read(&list, message)?, sets };
        if !chain.is_failed() {
            chain.check_validations()?;
        }
        Ok(chain)
    }

    /// Whether the last one who sealed found the chain broken (RFC 8617 §5.2, step 2).
    fn is_failed(&self) -> bool {
        self.sets.last().is_some_and(|set| set.validation == Validation::Fail)
    }

    /// The first seal found nothing, the others a valid chain.
    fn check_validations(&self) -> Result<(), String> {
        for (number, set) in (1_u32..).zip(&self.sets) {
            if set.validation != if number == 1 { Validation::None } else { Validation::Pass } {
                return Err(format!("ARC-Seal {number}: cv= is not what it must be there"));
            }
        }
        Ok(())
    }

    fn questions(&self) -> Vec<String> {
        self.sets.iter().map(|set| &set.seal).chain([&self.message.signer]).map(Signer::key_name).collect()
    }
}

impl Message {
    fn read(list: &TagList<'_>, field: usize) -> Result<Self, String> {
        let told = |reason: &str| format!("the last ARC-Message-Signature: {reason}");
        // Before RFC 8617 the default of `c=` was relaxed, and it is written so still.
        let coverage = Coverage::read(list, &[Canonicalization::Simple, Canonicalization::Relaxed]).map_err(told)?;
        // RFC 8617 §4.1.2 does not ask for From as RFC 6376 §5.4 does; what signs fields but not From is refused all the same. A list
        // of nothing is a sealer's who vouches for the body: other verifiers take it.
        if !coverage.names.is_empty() && !coverage.has_from() {
            return Err(told("h= does not name From"));
        }
        if coverage.names.iter().any(|name| &**name == "arc-seal") {
            return Err(told("h= names ARC-Seal"));
        }
        Ok(Self { signer: Signer::read(list, field).map_err(told)?, coverage })
    }
}

/// Puts a field into the set that it names; it must be the only one of its kind there, and there must be no hole below.
fn put<'s, 'o, T: 's>(
    sets: &'s mut [Gathered<'o>],
    instance: Option<usize>,
    place: impl FnOnce(&'s mut Gathered<'o>) -> &'s mut Option<T>,
    found: T,
    name: &str,
) -> Result<(), String> {
    let number = instance.ok_or_else(|| format!("an {name} has no proper i="))?;
    let set = sets.get_mut(number.wrapping_sub(1)).ok_or_else(|| format!("the {name} of set {number} has none below"))?;
    match place(set).replace(found) {
        None => Ok(()),
        Some(_) => Err(format!("set {number} has several {name}")),
    }
}

/// `i=`: 1 to 50.
fn instance(text: Option<&str>) -> Option<usize> {
    let text = text.filter(|text| matches!(text.len(), 1..=2) && text.bytes().all(|byte| byte.is_ascii_digit()))?;
    text.parse().ok().filter(|number| (1..=ARC_SETS_MAX as usize).contains(number))
}

/// What stands first in ARC-Authentication-Results (RFC 8617 §4.1.1).
fn results_instance(value: &[u8]) -> Option<usize> {
    let end = memchr::memchr(b';', value)?;
    let (name, number) = std::str::from_utf8(value.get(..end)?).ok()?.split_once('=')?;
    instance(Some(trim(number)).filter(|_| trim(name) == "i"))
}

/// RFC 8617 §5.2, steps 4 and 5, with what DNS has said. Between seals the thread serves others: a long chain takes its time.
async fn judge(signed: &Signed<'_>, chain: &Chain, hashes: &BodyHashes, texts: &Texts, now: u64) -> ArcVerdict {
    let below = Below::of(signed, chain);
    let mut trouble = None;
    for at in std::iter::once(None).chain((0..chain.sets.len()).rev().map(Some)) {
        tokio::task::yield_now().await;
        let (name, verified) = match at {
            None => ("ARC-Message-Signature", verify_message(signed, &chain.message, hashes, texts, now)),
            Some(at) => ("ARC-Seal", verify_seal(signed, chain, &below, at, texts)),
        };
        let Err(flaw) = verified else { continue };
        let reason = format!("{name}: {}", flaw.reason);
        if flaw.result != DkimResult::Temperror {
            return verdict(ArcResult::Fail, &chain.sets, &reason);
        }
        trouble = trouble.or(Some(reason));
    }
    match trouble {
        Some(reason) => ArcVerdict { is_temporary: true, ..verdict(ArcResult::Fail, &chain.sets, &reason) },
        None => verdict(ArcResult::Pass, &chain.sets, ""),
    }
}

fn verify_message(signed: &Signed<'_>, message: &Message, hashes: &BodyHashes, texts: &Texts, now: u64) -> Result<(), Flaw> {
    let Message { signer, coverage } = message;
    coverage.check_time(now, DKIM_CLOCK_SKEW.as_secs()).map_err(Flaw::permanent)?;
    let (form, hash) = Signed::agreed_form(coverage, hashes).map_err(|disagreement| match disagreement {
        Disagreement::BodyTooShort => Flaw::permanent("l= is more than the body has"),
        Disagreement::OtherBody => Flaw::new(DkimResult::Fail, "the body was changed"),
    })?;
    if hash.is_partial {
        return Err(Flaw::new(DkimResult::Policy, "content follows the signed part of the body (l=)"));
    }
    verify(signer, &signed.signed_header(signer, coverage, form), texts)
}

/// The fields of all sets, relaxed, in the order in which seals cover them, and where in them each seal begins: written once, for
/// each seal covers all that those below it do.
struct Below {
    data: Vec<u8>,
    seals: Vec<usize>,
}

impl Below {
    fn of(signed: &Signed<'_>, chain: &Chain) -> Self {
        let mut below = Self { data: Vec::with_capacity(4096), seals: Vec::with_capacity(chain.sets.len()) };
        for set in &chain.sets {
            for field in [set.results, set.message] {
                push_field(&mut below.data, signed.original, field, Canonicalization::Relaxed);
            }
            below.seals.push(below.data.len());
            push_field(&mut below.data, signed.original, set.seal.field, Canonicalization::Relaxed);
        }
        below
    }
}

/// A seal covers all fields of the sets up to its own, relaxed, in their order, itself without `b=` as the last (RFC 8617 §5.1.1).
fn verify_seal(signed: &Signed<'_>, chain: &Chain, below: &Below, at: usize, texts: &Texts) -> Result<(), Flaw> {
    let no_such = || Flaw::permanent("there is no such seal");
    let (set, end) = (chain.sets.get(at).ok_or_else(no_such)?, below.seals.get(at).ok_or_else(no_such)?);
    let mut data = below.data.get(..*end).ok_or_else(no_such)?.to_vec();
    push_signature(&mut data, signed.original, set.seal.field, &set.seal.hole, Canonicalization::Relaxed);
    verify(&set.seal, &data, texts)
}

fn verify(signer: &Signer, data: &[u8], texts: &Texts) -> Result<(), Flaw> {
    let mut flaw = Flaw::permanent("no key");
    for key in published(&signer.key_name(), texts)? {
        match key.verify(signer, data) {
            Ok(()) => return Ok(()),
            Err(other) => flaw = other,
        }
    }
    Err(flaw)
}

fn verdict(result: ArcResult, sets: &[Set], reason: &str) -> ArcVerdict {
    ArcVerdict {
        result,
        instances: u32::try_from(sets.len()).unwrap_or(u32::MAX),
        sealers: sets.iter().map(|set| set.seal.domain.clone()).collect(),
        is_temporary: false,
        reason: line(reason),
        asked: Box::default(),
    }
}
