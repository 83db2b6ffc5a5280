//! The walk up the DNS tree that finds DMARC records and organizations: RFC 9989 §4.10.

use super::names;
use super::tags::{trim, without_space};
use super::texts::Texts;
use crate::limits::{DMARC_RECORD_BYTES_MAX, DMARC_WALK_QUESTIONS_MAX};
use crate::message::{DmarcPolicy, printable};

/// A DMARC record, RFC 9989 §4.7. What is malformed in it counts as not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) text: Box<str>,
    pub(super) p: Tagged,
    pub(super) sp: Tagged,
    pub(super) np: Tagged,
    pub(super) is_spf_strict: bool,
    pub(super) is_dkim_strict: bool,
    pub(super) is_testing: bool,
    pub(super) has_reports: bool,
    /// `psd=`: `Some(true)` for `y`, `Some(false)` for `n`.
    psd: Option<bool>,
}

/// A policy in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tagged {
    Missing,
    Malformed,
    Asks(DmarcPolicy),
}

impl Record {
    /// Reads a record; `None` if it is of something else.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let mut pairs = text.split(';').map(|pair| pair.split_once('=').map(|(name, value)| (trim(name), trim(value))));
        // RFC 9989 §4.7: the version comes first, and case matters.
        if !text.starts_with('v') || pairs.next()? != Some(("v", "DMARC1")) {
            return None;
        }
        // Of two tags of one name neither can be believed.
        let pairs: Vec<(&str, &str)> = pairs.flatten().collect();
        let get = |name: &str| {
            let mut found = pairs.iter().filter(|(other, _)| *other == name).map(|(_, value)| *value);
            (found.next(), found.next())
        };
        let is = |name: &str, wanted: &str| matches!(get(name), (Some(value), None) if value.eq_ignore_ascii_case(wanted));
        let policy = |name: &str| match get(name) {
            (None, _) => Tagged::Missing,
            (Some(_), None) if is(name, "none") => Tagged::Asks(DmarcPolicy::None),
            (Some(_), None) if is(name, "quarantine") => Tagged::Asks(DmarcPolicy::Quarantine),
            (Some(_), None) if is(name, "reject") => Tagged::Asks(DmarcPolicy::Reject),
            _ => Tagged::Malformed,
        };
        Some(Self {
            // Whole, for reports are asked for anywhere in it; one that is too long for them can be told by its length.
            text: printable(text, DMARC_RECORD_BYTES_MAX.saturating_add(1)).into(),
            p: policy("p"),
            sp: policy("sp"),
            np: policy("np"),
            is_spf_strict: is("aspf", "s"),
            is_dkim_strict: is("adkim", "s"),
            is_testing: is("t", "y"),
            has_reports: matches!(get("rua"), (Some(value), None) if value.split(',').any(is_report_address)),
            psd: if is("psd", "y") { Some(true) } else { is("psd", "n").then_some(false) },
        })
    }
}

fn is_report_address(uri: &str) -> bool {
    without_space(uri).split_once(':').is_some_and(|(scheme, address)| {
        scheme.eq_ignore_ascii_case("mailto") && address.split_once('@').is_some_and(|(_, domain)| !domain.is_empty())
    })
}

/// Why a walk has no end yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// These names were not asked for.
    Missing(Vec<String>),
    /// DNS has no answer now; why.
    Trouble(Box<str>),
}

/// The records that a walk finds, from the longest name to the shortest.
pub(super) type Found<'a> = Vec<(&'a str, Record)>;

/// The names of the walk up from a domain, at most eight (RFC 9989 §4.10).
fn steps(domain: &str) -> Vec<&str> {
    let mut above: Vec<&str> = std::iter::successors(Some(domain), |name| name.split_once('.').map(|(_, rest)| rest)).collect();
    let surplus = above.len().saturating_sub(DMARC_WALK_QUESTIONS_MAX);
    if surplus > 0 {
        // The domain itself, then the last seven labels and fewer.
        above.drain(1..=surplus);
    }
    above
}

fn question(name: &str) -> String {
    format!("_dmarc.{name}")
}

/// What is asked for a walk, were it to go to its end.
pub(super) fn questions(domain: &str) -> Vec<String> {
    steps(domain).into_iter().map(question).collect()
}

/// The record of one domain, if it has exactly one.
pub(super) fn record(name: &str, texts: &Texts) -> Result<Option<Record>, Stop> {
    let question = question(name);
    let answer = match texts.get(&question) {
        None => return Err(Stop::Missing(vec![question])),
        // A name too long for DNS holds nothing.
        Some(Err(crate::dns::DnsError::NoName)) => return Ok(None),
        Some(Err(error)) => return Err(Stop::Trouble(super::texts::line(&format!("{question}: {error}")))),
        Some(Ok(answer)) => answer,
    };
    let mut records = answer.records.iter().filter_map(|text| Record::read(text));
    // Several are as good as none (RFC 9989 §4.10, step 2).
    Ok(records.next().filter(|_| records.next().is_none()))
}

/// Walks up from a domain.
pub(super) fn walk<'a>(domain: &'a str, texts: &Texts) -> Result<Found<'a>, Stop> {
    let mut found = Vec::new();
    for name in steps(domain) {
        let record = record(name, texts).map_err(|stop| match stop {
            Stop::Missing(_) => Stop::Missing(questions(domain)),
            trouble @ Stop::Trouble(_) => trouble,
        })?;
        if let Some(record) = record {
            let is_end = record.psd.is_some();
            found.push((name, record));
            if is_end {
                break;
            }
        }
    }
    Ok(found)
}

/// The organizational domain, by what the walk up from `domain` has found (RFC 9989 §4.10.2); `domain` itself if that is nothing.
pub(super) fn organization<'a>(domain: &'a str, found: &[(&'a str, Record)]) -> &'a str {
    for (name, record) in found {
        match record.psd {
            Some(false) => return name,
            Some(true) if *name != domain => return one_label_below(name, domain),
            _ => {}
        }
    }
    found.last().map_or(domain, |(name, _)| name)
}

fn one_label_below<'a>(above: &str, domain: &'a str) -> &'a str {
    let below = std::iter::successors(Some(domain), |name| name.split_once('.').map(|(_, rest)| rest));
    below.take_while(|name| name.len() > above.len()).last().unwrap_or(domain)
}

/// Whether the organization of two different domains can be the same at all.
pub(super) fn may_share(one: &str, other: &str) -> bool {
    one != other && one.rsplit('.').next() == other.rsplit('.').next()
}

/// Whether an authenticated domain aligns with that of From (RFC 9989 §4.10.2): `Ok(None)` if DNS does not tell now, and the names
/// that must be asked for first as the error.
pub(super) fn is_aligned(domain: &str, from: &str, is_strict: bool, texts: &Texts) -> Result<Option<bool>, Vec<String>> {
    if domain == from {
        return Ok(Some(true));
    }
    if is_strict || !may_share(domain, from) {
        return Ok(Some(false));
    }
    let told = |stop| match stop {
        Stop::Missing(names) => Err(names),
        Stop::Trouble(_) => Ok(None),
    };
    let of_from = match walk(from, texts) {
        Ok(found) => organization(from, &found),
        Err(stop) => return told(stop),
    };
    if !names::is_within(domain, of_from) {
        return Ok(Some(false));
    }
    match walk(domain, texts) {
        Ok(found) => Ok(Some(organization(domain, &found) == of_from)),
        Err(stop) => told(stop),
    }
}
