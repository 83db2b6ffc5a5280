//! An analyzer as `gateway.yaml` describes it, and the fields that conditions can ask for.

use std::time::Duration;

use super::{ClamavConfig, DnsblConfig, HookConfig, HookSends, RspamdConfig};
use super::{clamav, dnsbl, rspamd};
use crate::message::FieldKind;

/// An analyzer as `gateway.yaml` describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct AnalyzerConfig {
    /// Who is asked.
    pub kind: AnalyzerKind,
    /// For the whole answer, with all that must be waited for.
    pub timeout: Duration,
}

/// Who is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum AnalyzerKind {
    /// DNS lists (RFC 5782).
    Dnsbl(DnsblConfig),
    /// Rspamd.
    Rspamd(RspamdConfig),
    /// ClamAV's clamd.
    Clamav(ClamavConfig),
    /// A JSON service.
    Http(HookConfig),
}

impl AnalyzerConfig {
    /// The type of a field; `None`: it has no such field.
    pub fn field(&self, name: &str) -> Option<FieldKind> {
        self.fields().into_iter().find(|(field, _)| *field == name).map(|(_, kind)| kind)
    }

    /// All fields, for suggestions and the reference.
    pub fn fields(&self) -> Vec<(&str, FieldKind)> {
        match &self.kind {
            AnalyzerKind::Dnsbl(_) => dnsbl::FIELDS.to_vec(),
            AnalyzerKind::Rspamd(_) => rspamd::FIELDS.to_vec(),
            AnalyzerKind::Clamav(_) => clamav::FIELDS.to_vec(),
            AnalyzerKind::Http(hook) => hook.fields.iter().map(|(name, kind)| (&**name, *kind)).collect(),
        }
    }

    /// Whether it needs the message: such an analyzer cannot be asked by a policy.
    pub fn needs_message(&self) -> bool {
        match &self.kind {
            AnalyzerKind::Dnsbl(_) => false,
            AnalyzerKind::Rspamd(_) | AnalyzerKind::Clamav(_) => true,
            AnalyzerKind::Http(hook) => hook.send != HookSends::Facts,
        }
    }
}
