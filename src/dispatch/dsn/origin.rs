//! Whether a sender is to be told at all: who forges a sender must not make us write to that sender (backscatter, RFC 5321 §6.2, RFC 3834).
//!
//! What a message needs for its rules and fields is found out when it comes. All else is asked for when there is something to tell, and not
//! before: mail that arrives costs nothing for it.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::config::EndpointKind;
use crate::dispatch::job::StoredEnvelope;
use crate::dispatch::{Dispatcher, Incoming};
use crate::examination::Subject;
use crate::limits::LOOK_UPS_PATIENCE;
use crate::message::{DmarcResult, Envelope, Findings, MessageId, Need, Original, SessionFacts, SpfResult};
use crate::relay::NextHops;
use crate::smtp::ReversePath;
use crate::spool::Spool;

/// Where a stranger's message came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::dispatch) struct Origin {
    client: IpAddr,
    helo: Arc<str>,
    /// Whether it failed authentication, if that was found out when it came.
    forged: Option<bool>,
}

impl Origin {
    /// Nothing for senders who have said who they are, and for the null path, which is told of nothing.
    pub(in crate::dispatch) fn of(incoming: &Incoming) -> Option<Self> {
        let Incoming { endpoint, session, envelope, findings, .. } = incoming;
        let is_strange = matches!(endpoint.kind, EndpointKind::Open) && envelope.reverse_path != ReversePath::Null;
        is_strange.then(|| Self { client: session.client_ip, helo: Arc::clone(&session.helo), forged: forged(findings) })
    }
}

/// Whether the message failed authentication: DMARC fails, or where there is no such policy, the client may not send for the sender's
/// domain (SPF `fail`) and no signature speaks for the author's. What is not known, or could not be found out, is no failure.
fn forged(findings: &Findings) -> Option<bool> {
    let dmarc = findings.dmarc.as_ref()?;
    match dmarc.result {
        DmarcResult::Pass => Some(false),
        DmarcResult::Fail => Some(true),
        _ => {
            let (spf, dkim) = (findings.spf.as_ref()?, findings.dkim.as_ref()?);
            Some(spf.result == SpfResult::Fail && !dkim.aligned)
        }
    }
}

impl<S: Spool, N: NextHops> Dispatcher<S, N> {
    /// Whether telling the sender would mean to write to somebody who may have sent nothing.
    pub(super) async fn is_forged(&self, about: MessageId, envelope: &StoredEnvelope, original: &Original) -> bool {
        let Some(origin) = &envelope.origin else { return false };
        if let Some(forged) = origin.forged {
            return forged;
        }
        let Some(examiner) = self.examiner.get() else { return false };
        let session = SessionFacts {
            client_ip: origin.client,
            client_host: None,
            helo: Arc::clone(&origin.helo),
            extended: true,
            tls: None,
            authenticated: false,
            login: None,
        };
        let said = Envelope {
            reverse_path: envelope.reverse_path.clone(),
            recipients: envelope.recipients.clone(),
            smtputf8: envelope.smtputf8,
            eight_bit: envelope.eight_bit,
            terms: envelope.terms.clone(),
        };
        let hostname = Arc::clone(&self.snapshot.load().hostname);
        let subject = Subject { hostname: &hostname, id: about, session: &session, envelope: &said, original: Some(original) };
        let mut findings = Findings::default();
        let needs = [Need::Spf, Need::Dkim, Need::Dmarc].into();
        // Without an answer the sender is told: more failures are true than forged ones are.
        let _ = timeout(LOOK_UPS_PATIENCE, examiner.examine(&needs, &subject, &mut findings)).await;
        forged(&findings).unwrap_or(false)
    }
}
