//! What DMARC reports are to say of a message: kept while it is carried out, counted when its fate is known.

use std::net::IpAddr;

use super::Incoming;
use super::acceptance::Acceptance;
use super::take::Judged;
use crate::dmarc_reports::{Collector, Facts, Handling};
use crate::failure::Failure;
use crate::message::{Findings, Need};
use crate::rules::{Disposition, Plan};
use crate::smtp::ReversePath;

/// A message that a report may speak of.
pub(super) struct Seen {
    client: IpAddr,
    reverse_path: ReversePath,
    findings: Findings,
    handling: Handling,
}

/// What must be known of the message for a report: nothing, unless reports are made and the client is a stranger.
pub(super) fn need(incoming: &Incoming) -> Option<Need> {
    (incoming.snapshot.dmarc_reports.is_some() && is_strange(incoming)).then_some(Need::Dmarc)
}

impl Seen {
    /// Nothing for a message of which there is nothing to report.
    pub(super) fn of(judged: &Judged) -> Option<Self> {
        let Judged { incoming, plan, .. } = judged;
        let findings = &incoming.findings;
        if incoming.snapshot.dmarc_reports.is_none() || findings.dmarc.is_none() || !is_strange(incoming) {
            return None;
        }
        let (client, reverse_path) = (incoming.session.client_ip, incoming.envelope.reverse_path.clone());
        Some(Self { client, reverse_path, findings: findings.clone(), handling: handling(plan) })
    }

    /// Counts it, unless it comes again.
    pub(super) fn count(&self, collector: &Collector, result: &Result<Acceptance, Failure>) {
        let Self { client, reverse_path, findings: Findings { dmarc: Some(dmarc), spf, dkim, .. }, handling } = self else { return };
        if result.as_ref().is_err_and(Failure::is_temporary) {
            return;
        }
        collector.record(&Facts { client: *client, reverse_path, dmarc, spf: spf.as_deref(), dkim: dkim.as_deref(), handling: *handling });
    }
}

/// Who logged in or showed a certificate is the gateway's own people.
fn is_strange(incoming: &Incoming) -> bool {
    let has_certificate = incoming.session.tls.as_ref().is_some_and(|tls| tls.client_certificate.is_some());
    !incoming.session.authenticated && !has_certificate
}

/// The mildest over all recipients. What the next hop then says is not for DMARC's sake.
fn handling(plan: &Plan) -> Handling {
    let is_refused = |disposition: &Disposition| matches!(disposition, Disposition::Rejected { .. } | Disposition::Dropped { .. });
    let all_refused = plan.steps.is_empty() && plan.recipients.iter().all(|recipient| is_refused(&recipient.disposition));
    if all_refused { Handling::Refused } else { Handling::Delivered }
}
