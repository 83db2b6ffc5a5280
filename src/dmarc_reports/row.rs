//! One row of a report: messages that are alike in all that is reported.

use std::net::IpAddr;

use mail_auth::report::{
    ActionDisposition, DKIMAuthResult, DkimResult, DmarcResult, PolicyOverride, PolicyOverrideReason, Record, SPFAuthResult,
    SPFDomainScope, SpfResult,
};
use serde::{Deserialize, Serialize};

use super::{Facts, Handling};
use crate::daily_reports::Counter;
use crate::limits::{DMARC_RECORD_BYTES_MAX, DMARC_REPORT_SIGNATURES_MAX, DOMAIN_BYTES_MAX};
use crate::message::{self, DmarcPolicy, SpfIdentity, a_labels, printable};
use crate::smtp::ReversePath;

/// What messages have in common. Texts of strangers are printable ASCII and not longer than a domain name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Row {
    /// Where the record stands.
    pub(super) domain: Box<str>,
    /// The record's text.
    pub(super) record: Box<str>,
    client: IpAddr,
    header_from: Box<str>,
    envelope_from: Box<str>,
    done: Done,
    reason: Option<Reason>,
    dkim_aligned: bool,
    spf_aligned: bool,
    spf: Option<Spf>,
    dkim: Box<[Dkim]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Done {
    None,
    Pass,
    Reject,
}

/// Why it was not done as the record asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Reason {
    TestMode,
    Milder,
    Harder,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Spf {
    domain: Box<str>,
    is_helo: bool,
    result: Box<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Dkim {
    domain: Box<str>,
    selector: Box<str>,
    result: Box<str>,
}

impl crate::daily_reports::Row for Row {
    fn domain(&self) -> &str {
        &self.domain
    }
}

impl Counter<Row> {
    /// Counts a message, if its domain asks for reports.
    pub fn record(&self, facts: &Facts<'_>) {
        let Some(config) = &*self.config.load() else { return };
        // Our own reports are nobody's news: two that report on each other's reports would never end.
        if matches!(facts.reverse_path, ReversePath::Address(address) if *address == config.from) {
            return;
        }
        if let Some(row) = Row::of(facts) {
            self.count(row);
        }
    }
}

impl Row {
    /// The row of a message; `None` if nobody asks for reports, or DMARC has no result that one could report.
    pub(super) fn of(facts: &Facts<'_>) -> Option<Self> {
        let dmarc = facts.dmarc;
        let is_judged = matches!(dmarc.result, message::DmarcResult::Pass | message::DmarcResult::Fail);
        // What exactly the record asks for is read when the report is made.
        let asks =
            dmarc.record.len() <= DMARC_RECORD_BYTES_MAX && dmarc.record.as_bytes().windows(3).any(|w| w.eq_ignore_ascii_case(b"rua"));
        if !is_judged || !asks || dmarc.policy_domain.is_empty() {
            return None;
        }
        let (done, reason) = disposition(facts);
        let spf = facts.spf.filter(|spf| !spf.domain.is_empty()).map(|spf| Spf {
            domain: clean(&spf.domain),
            is_helo: spf.identity == SpfIdentity::Helo,
            result: spf.result.as_str().into(),
        });
        let signatures = facts.dkim.map(|dkim| &*dkim.signatures).unwrap_or_default().iter();
        let mut signatures: Vec<_> = signatures.filter(|one| !one.domain.is_empty()).collect();
        // If not all can be told, those that count come first.
        let is_worth = |one: &message::DkimSignature| (one.result == message::DkimResult::Pass, one.aligned);
        signatures.sort_by_key(|one| std::cmp::Reverse(is_worth(one)));
        let dkim = signatures.into_iter().take(DMARC_REPORT_SIGNATURES_MAX).map(|one| Dkim {
            domain: clean(&one.domain),
            selector: clean(&one.selector),
            result: one.result.as_str().into(),
        });
        Some(Self {
            domain: clean(&dmarc.policy_domain),
            record: dmarc.record.clone(),
            client: facts.client,
            header_from: clean(&dmarc.from_domain),
            envelope_from: match facts.reverse_path {
                ReversePath::Null => "".into(),
                ReversePath::Address(address) => a_labels(address.domain()).unwrap_or_else(|| clean(address.domain())),
            },
            done,
            reason,
            dkim_aligned: dmarc.dkim_aligned,
            spf_aligned: dmarc.spf_aligned,
            spf,
            dkim: dkim.collect(),
        })
    }

    /// As the report has it (RFC 9990 §3.1).
    pub(super) fn record(&self, count: u64) -> Record {
        let aligned = |aligned: bool| if aligned { DmarcResult::Pass } else { DmarcResult::Fail };
        let mut record = Record::new()
            .with_source_ip(self.client)
            .with_count(u32::try_from(count).unwrap_or(u32::MAX))
            .with_action_disposition(match self.done {
                Done::None => ActionDisposition::None,
                Done::Pass => ActionDisposition::Pass,
                Done::Reject => ActionDisposition::Reject,
            })
            .with_dmarc_dkim_result(aligned(self.dkim_aligned))
            .with_dmarc_spf_result(aligned(self.spf_aligned))
            .with_envelope_from(&*self.envelope_from)
            .with_header_from(&*self.header_from);
        if let Some(reason) = self.reason {
            let (kind, comment) = match reason {
                Reason::TestMode => (PolicyOverride::PolicyTestMode, "the record says t=y"),
                Reason::Milder => (PolicyOverride::LocalPolicy, "the receiver's rules do less than the policy asks"),
                Reason::Harder => (PolicyOverride::LocalPolicy, "the receiver's rules do more than the policy asks"),
            };
            record = record.with_policy_override_reason(PolicyOverrideReason::new(kind).with_comment(comment));
        }
        for dkim in &self.dkim {
            let result = DKIMAuthResult::new().with_domain(&*dkim.domain).with_selector(&*dkim.selector);
            record = record.with_dkim_auth_result(result.with_result(dkim_result(&dkim.result)));
        }
        if let Some(spf) = &self.spf {
            // The only scope there is a word for is MAIL FROM; that of the null sender is left unsaid.
            let scope = if spf.is_helo { SPFDomainScope::Unspecified } else { SPFDomainScope::MailFrom };
            let result = SPFAuthResult::new().with_domain(&*spf.domain).with_scope(scope);
            record = record.with_spf_auth_result(result.with_result(spf_result(&spf.result)));
        }
        record
    }
}

/// What was done about DMARC, and why not what the record asks. A message that passes is refused for other reasons, if it is.
fn disposition(facts: &Facts<'_>) -> (Done, Option<Reason>) {
    if facts.dmarc.result == message::DmarcResult::Pass {
        return (Done::Pass, None);
    }
    let (done, severity) = match facts.handling {
        Handling::Delivered => (Done::None, 0),
        Handling::Refused => (Done::Reject, 2),
    };
    let asked = |policy| match policy {
        DmarcPolicy::Absent | DmarcPolicy::None => 0,
        DmarcPolicy::Quarantine => 1,
        DmarcPolicy::Reject => 2,
    };
    let (effective, published) = (asked(facts.dmarc.effective), asked(facts.dmarc.policy));
    let reason = match severity.cmp(&effective) {
        std::cmp::Ordering::Less => Some(Reason::Milder),
        std::cmp::Ordering::Greater => Some(Reason::Harder),
        std::cmp::Ordering::Equal if effective < published => Some(Reason::TestMode),
        std::cmp::Ordering::Equal => None,
    };
    (done, reason)
}

/// Printable ASCII, so that it is XML whatever a stranger has written.
fn clean(text: &str) -> Box<str> {
    printable(text, DOMAIN_BYTES_MAX).into()
}

fn dkim_result(word: &str) -> DkimResult {
    match word {
        "pass" => DkimResult::Pass,
        "fail" => DkimResult::Fail,
        "policy" => DkimResult::Policy,
        "neutral" => DkimResult::Neutral,
        "temperror" => DkimResult::TempError,
        "permerror" => DkimResult::PermError,
        _ => DkimResult::None,
    }
}

fn spf_result(word: &str) -> SpfResult {
    match word {
        "pass" => SpfResult::Pass,
        "fail" => SpfResult::Fail,
        "softfail" => SpfResult::SoftFail,
        // A local policy is none of the words of a report (RFC 9990); it has said neither yes nor no.
        "neutral" | "policy" => SpfResult::Neutral,
        "temperror" => SpfResult::TempError,
        "permerror" => SpfResult::PermError,
        _ => SpfResult::None,
    }
}
