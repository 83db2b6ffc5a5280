//! What messages are judged by, without what it takes to serve: for tests of rules, explanations and replays, on machines where neither
//! the certificates nor the secrets of the deployment are.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use time::OffsetDateTime;

use super::diagnostic::Code;
use super::files::Contents;
use super::report::Report;
use super::source::Source;
use super::tree::Node;
use super::workspace::Workspace;
use super::{DeliveryMode, Domains, Limits, proofs};
use crate::analysis::Place;
use crate::analyzers::AnalyzerConfig;
use crate::dns::ResolverConfig;
use crate::policy::Policy;
use crate::relay::RelayConfig;
use crate::rules::RuleSet;

/// Policies and rule sets with the names that they use.
#[derive(Debug)]
pub struct Rulebook {
    /// First 8 hex digits of a hash over all files that made it.
    pub hash: Arc<str>,
    /// The gateway's own name.
    pub hostname: Arc<str>,
    /// The domains that open endpoints take mail for.
    pub domains: Domains,
    /// By name.
    pub endpoints: BTreeMap<Arc<str>, JudgedEndpoint>,
    /// All of the folder `policies`, by name.
    pub policies: BTreeMap<String, Arc<Policy>>,
    /// All of the folder `rules`, by name.
    pub rule_sets: BTreeMap<String, Arc<RuleSet>>,
    /// By name.
    pub relays: BTreeMap<Arc<str>, Arc<RelayConfig>>,
    /// By name.
    pub analyzers: BTreeMap<Arc<str>, AnalyzerConfig>,
    /// Which DNS servers are asked.
    pub resolver: ResolverConfig,
    /// What clients may take.
    pub limits: Limits,
    /// The domain of rewritten senders, if there is one.
    pub srs_domain: Option<Arc<str>>,
    /// Where all of it stands.
    pub files: RulebookFiles,
}

/// The files of policies and rule sets, by the name of each.
#[derive(Debug, Default)]
pub struct RulebookFiles {
    /// Of the folder `policies`.
    pub policies: BTreeMap<String, FilePlaces>,
    /// Of the folder `rules`.
    pub rule_sets: BTreeMap<String, FilePlaces>,
}

/// A file in which places can be looked up.
#[derive(Debug)]
pub struct FilePlaces {
    tree: Node,
    source: Arc<Source>,
}

impl FilePlaces {
    pub(super) fn new(tree: Node, source: Arc<Source>) -> Self {
        Self { tree, source }
    }

    /// The file, as it is shown to the operator.
    pub fn path(&self) -> &Path {
        &self.source.path
    }

    /// The line of a place, from 1.
    pub fn line(&self, place: &Place) -> Option<usize> {
        proofs::span(place, &self.tree).map(|span| self.source.position(span.start).0)
    }
}

/// How an endpoint judges.
#[derive(Clone, Debug)]
pub struct JudgedEndpoint {
    /// Its key in `gateway.yaml`.
    pub name: Arc<str>,
    /// Who may use it.
    pub used_by: UsedBy,
    /// Judged while the client talks.
    pub policy: Arc<Policy>,
    /// Judged when the message is complete.
    pub rules: Arc<RuleSet>,
    /// When the reply to DATA is given.
    pub delivery: DeliveryMode,
    /// Whether clients use TLS.
    pub tls: TlsUse,
    /// Whether a relay is asked for its recipients.
    pub looks_ahead: bool,
}

/// Whether clients of an endpoint use TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsUse {
    /// There is no certificate.
    None,
    /// They may, with STARTTLS.
    Optional,
    /// They must, with STARTTLS.
    Required,
    /// From the first byte.
    Implicit,
}

/// Who may use an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsedBy {
    /// Everybody, for the gateway's own domains.
    Everybody,
    /// Who logs in, for any domain.
    Users,
    /// Who shows a trusted certificate, for any domain.
    Partners,
}

/// Reads what messages are judged by. Mistakes that only matter to a gateway that serves (certificates, keys) are no mistakes here.
///
/// # Errors
/// The report, when it holds an error.
pub fn rulebook(gateway_yaml: &Path) -> Result<(Rulebook, Report), Report> {
    let path = std::path::absolute(gateway_yaml).unwrap_or_else(|_| gateway_yaml.to_owned());
    let root = path.parent().unwrap_or(Path::new("/")).to_owned();
    let found = super::files::below(&root).unwrap_or_default().into_iter().filter(|file| !super::files::is_of_tests(file));
    let wanted = found.chain([path]).collect();
    Workspace::of_files(Some(root), &wanted, Contents::default()).rulebook(OffsetDateTime::now_utc())
}

/// Whether a mistake only matters to a gateway that serves.
pub(super) fn is_about_serving(code: Code) -> bool {
    matches!(code, Code::TlsFiles | Code::ArcKey | Code::SrsKey | Code::Expired | Code::ExpiresSoon | Code::CaWithoutCrl)
}
