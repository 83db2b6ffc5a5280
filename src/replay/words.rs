//! Verdicts of the past, made from the words that were written down.

use std::sync::Arc;

use crate::message::{
    ArcResult, ArcVerdict, DkimResult, DkimVerdict, DmarcPolicy, DmarcResult, DmarcVerdict, SpfIdentity, SpfResult, SpfVerdict,
};

/// Stands where a reason would.
const REASON: &str = "as it was found then";

pub(super) fn spf(word: &str, domain: &str) -> Option<Arc<SpfVerdict>> {
    use SpfResult as R;
    let all = [R::None, R::Neutral, R::Pass, R::Fail, R::Softfail, R::Policy, R::Temperror, R::Permerror];
    let result = all.into_iter().find(|result| result.as_str() == word)?;
    Some(Arc::new(SpfVerdict {
        result,
        identity: SpfIdentity::MailFrom,
        domain: domain.into(),
        mechanism: None,
        reason: REASON.into(),
        explanation: None,
        asked: Box::default(),
    }))
}

pub(super) fn dkim_result(word: &str) -> Option<DkimResult> {
    use DkimResult as R;
    let all = [R::None, R::Pass, R::Fail, R::Policy, R::Neutral, R::Temperror, R::Permerror];
    all.into_iter().find(|result| result.as_str() == word)
}

pub(super) fn dkim(result: DkimResult, aligned: bool) -> Arc<DkimVerdict> {
    Arc::new(DkimVerdict { result, aligned, signatures: Box::default(), asked: Box::default() })
}

pub(super) fn dmarc(word: &str, policy: &str, from_domain: &str) -> Option<Arc<DmarcVerdict>> {
    use DmarcPolicy as P;
    use DmarcResult as R;
    let result = [R::None, R::Pass, R::Fail, R::Temperror, R::Permerror].into_iter().find(|result| result.as_str() == word)?;
    let policy = [P::Absent, P::None, P::Quarantine, P::Reject].into_iter().find(|one| one.as_str() == policy)?;
    Some(Arc::new(DmarcVerdict {
        result,
        policy,
        effective: if result == R::Pass { P::None } else { policy },
        from_domain: from_domain.into(),
        policy_domain: from_domain.into(),
        record: Box::default(),
        spf_aligned: false,
        dkim_aligned: false,
        reason: REASON.into(),
        asked: Box::default(),
    }))
}

pub(super) fn arc(word: &str, instances: u32) -> Option<Arc<ArcVerdict>> {
    let result = [ArcResult::None, ArcResult::Pass, ArcResult::Fail].into_iter().find(|result| result.as_str() == word)?;
    let (sealers, asked) = (Box::default(), Box::default());
    Some(Arc::new(ArcVerdict { result, instances, sealers, is_temporary: false, reason: REASON.into(), asked }))
}
