//! Analyzers: a name and a subject in, fields out. DNS lists, rspamd, ClamAV, HTTP hooks.
//!
//! Decides nothing: what a field means is for conditions to say, and what its absence means as well.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::dns::Dns;
use crate::message::{Analysis, Envelope, Fact, FieldKind, Findings, MessageId, Original, SessionFacts};

/// An analyzer as `gateway.yaml` describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct AnalyzerConfig {}

impl AnalyzerConfig {
    /// The type of a field; `None`: it has no such field.
    pub fn field(&self, _name: &str) -> Option<FieldKind> {
        None
    }

    /// All fields, for suggestions and the reference.
    pub fn fields(&self) -> Vec<(&str, FieldKind)> {
        Vec::new()
    }

    /// Whether it needs the message: such an analyzer cannot be asked by a policy.
    pub fn needs_message(&self) -> bool {
        false
    }
}

/// What an analyzer is asked about. At RCPT there is no message yet.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The gateway's name.
    pub hostname: &'a str,
    /// The transaction.
    pub id: MessageId,
    /// Who brings it.
    pub session: &'a SessionFacts,
    /// From whom and to whom; at RCPT without the recipient that is judged.
    pub envelope: &'a Envelope,
    /// The message, once it is there.
    pub original: Option<&'a Original>,
    /// What is known already, for those who can use it.
    pub findings: &'a Findings,
}

impl Subject<'_> {
    /// The client.
    pub fn client_ip(&self) -> IpAddr {
        self.session.client_ip
    }
}

/// The analyzers of a configuration.
#[derive(Debug)]
pub struct Analyzers {
    #[expect(dead_code, reason = "until the analyzers are there")]
    configs: BTreeMap<Arc<str>, AnalyzerConfig>,
}

impl Analyzers {
    /// Asks nobody yet.
    pub fn new(configs: BTreeMap<Arc<str>, AnalyzerConfig>) -> Self {
        Self { configs }
    }

    /// Asks one analyzer, in its time. What it does not answer is [`Fact::Unknown`]; it never takes longer than its `timeout`.
    pub async fn ask(&self, _name: &str, _dns: &Dns, _subject: &Subject<'_>) -> Fact<Arc<Analysis>> {
        Fact::Unknown("there is no such analyzer".into())
    }
}
