//! Examination: what conditions and header fields need to know beyond the message is asked for here, at most once and in parallel.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::message::{Envelope, Fact, Findings, MessageId, Need, Original, SessionFacts};

/// Asks for what is needed.
#[derive(Debug, Default)]
pub struct Examiner {}

/// What is examined.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The gateway's name.
    pub hostname: &'a str,
    /// The transaction.
    pub id: MessageId,
    /// Who brings it.
    pub session: &'a SessionFacts,
    /// From whom and to whom, as far as it is known.
    pub envelope: &'a Envelope,
    /// The message; `None` at RCPT, when nothing of it is known.
    pub original: Option<&'a Original>,
}

impl Examiner {
    /// Nobody can be asked yet: there is no answer to anything that can be without one.
    #[allow(clippy::unused_async, reason = "whoever is asked takes time")]
    pub async fn examine(&self, needs: &BTreeSet<Need>, _subject: &Subject<'_>, findings: &mut Findings) {
        for need in needs {
            match need {
                Need::ClientHost => findings.client_host = Fact::Unknown("not available".into()),
                Need::Analysis(name) => drop(findings.analyses.insert(Arc::clone(name), Fact::Unknown("not available".into()))),
                Need::Spf | Need::Dkim | Need::Dmarc | Need::Arc => {}
            }
        }
    }
}
