//! Verdicts by their words, as operators state them for a message that nobody examines.

use std::sync::Arc;

use crate::message::{
    ArcResult, ArcVerdict, DkimResult, DkimVerdict, DmarcPolicy, DmarcResult, DmarcVerdict, Envelope, Findings, SessionFacts, SpfIdentity,
    SpfResult, SpfVerdict, Verdict,
};
use crate::rules::VerdictAttribute;
use crate::smtp::ReversePath;

/// Stands as the reason in verdicts that were stated.
const REASON: &str = "given";

/// Verdicts that were stated; what was not stays unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    spf: Option<SpfResult>,
    /// With a signature that passes, whether its domain aligns with From.
    dkim: Option<(DkimResult, bool)>,
    dmarc: Option<DmarcResult>,
    dmarc_policy: Option<DmarcPolicy>,
    arc: Option<ArcResult>,
}

impl Stated {
    /// Takes a word for an attribute of the rule language.
    ///
    /// # Errors
    /// The words that there are, where it is none of them.
    pub fn state(&mut self, attribute: VerdictAttribute, word: &str) -> Result<(), Vec<&'static str>> {
        let unknown = || attribute.words();
        match attribute {
            VerdictAttribute::SpfResult => self.spf = Some(SpfResult::from_word(word).ok_or_else(unknown)?),
            VerdictAttribute::DkimResult => self.dkim = Some((DkimResult::from_word(word).ok_or_else(unknown)?, true)),
            VerdictAttribute::DmarcResult => self.dmarc = Some(DmarcResult::from_word(word).ok_or_else(unknown)?),
            VerdictAttribute::DmarcPolicy => self.dmarc_policy = Some(DmarcPolicy::from_word(word).ok_or_else(unknown)?),
            VerdictAttribute::ArcResult => self.arc = Some(ArcResult::from_word(word).ok_or_else(unknown)?),
            VerdictAttribute::Spf => {
                self.spf = Some(match Verdict::from_word(word).ok_or_else(unknown)? {
                    Verdict::Pass => SpfResult::Pass,
                    Verdict::Fail => SpfResult::Fail,
                    Verdict::Gray => SpfResult::Neutral,
                    Verdict::ProcessingFailed => SpfResult::Temperror,
                });
            }
            VerdictAttribute::Dkim => {
                self.dkim = Some(match Verdict::from_word(word).ok_or_else(unknown)? {
                    Verdict::Pass => (DkimResult::Pass, true),
                    Verdict::Fail => (DkimResult::Fail, false),
                    Verdict::Gray => (DkimResult::None, false),
                    Verdict::ProcessingFailed => (DkimResult::Temperror, false),
                });
            }
        }
        Ok(())
    }

    /// Makes them known; says what had to be added.
    pub fn reveal(self, session: &SessionFacts, envelope: &Envelope, findings: &mut Findings) -> Vec<String> {
        let mut assumptions = Vec::new();
        if let Some(result) = self.spf {
            // RFC 7208 §2.4.
            let (identity, domain) = match &envelope.reverse_path {
                ReversePath::Null => (SpfIdentity::Helo, &*session.helo),
                ReversePath::Address(address) => (SpfIdentity::MailFrom, address.domain()),
            };
            let (domain, asked) = (domain.into(), Box::default());
            findings.spf =
                Some(Arc::new(SpfVerdict { result, identity, domain, mechanism: None, reason: REASON.into(), explanation: None, asked }));
        }
        if let Some((result, aligned)) = self.dkim {
            let aligned = aligned && result == DkimResult::Pass;
            findings.dkim = Some(Arc::new(DkimVerdict { result, aligned, signatures: Box::default(), asked: Box::default() }));
        }
        if let Some(verdict) = self.dmarc_verdict(&mut assumptions) {
            findings.dmarc = Some(Arc::new(verdict));
        }
        if let Some(result) = self.arc {
            let (sealers, asked) = (Box::default(), Box::default());
            findings.arc = Some(Arc::new(ArcVerdict { result, instances: 0, sealers, is_temporary: false, reason: REASON.into(), asked }));
        }
        assumptions
    }

    fn dmarc_verdict(&self, assumptions: &mut Vec<String>) -> Option<DmarcVerdict> {
        let (result, policy) = match (self.dmarc, self.dmarc_policy) {
            (None, None) => return None,
            (Some(result), Some(policy)) => (result, policy),
            (Some(DmarcResult::None), None) => (DmarcResult::None, DmarcPolicy::Absent),
            (Some(result), None) => {
                assumptions.push("dmarc_policy is none: only dmarc_result was given".to_owned());
                (result, DmarcPolicy::None)
            }
            (None, Some(DmarcPolicy::Absent)) => (DmarcResult::None, DmarcPolicy::Absent),
            (None, Some(policy)) => {
                assumptions.push("dmarc_result is fail: only dmarc_policy was given".to_owned());
                (DmarcResult::Fail, policy)
            }
        };
        let effective = if result == DmarcResult::Pass { DmarcPolicy::None } else { policy };
        let is_spf = result == DmarcResult::Pass && self.spf == Some(SpfResult::Pass);
        let is_dkim = result == DmarcResult::Pass && self.dkim == Some((DkimResult::Pass, true));
        let (from_domain, policy_domain, record, asked) = (Box::default(), Box::default(), Box::default(), Box::default());
        let (spf_aligned, dkim_aligned, reason) = (is_spf, is_dkim, REASON.into());
        Some(DmarcVerdict { result, policy, effective, from_domain, policy_domain, record, spf_aligned, dkim_aligned, reason, asked })
    }
}
