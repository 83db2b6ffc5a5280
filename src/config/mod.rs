//! Configuration: YAML with positions, strict checks, and the typed snapshot that everything else works with.
//!
//! Nothing outside this room reads YAML. Loading never stops at the first mistake; a snapshot exists only when there is none.

mod advice;
mod allowances;
mod build;
pub(crate) mod diagnostic;
mod document;
mod edge;
mod editors;
mod envelope;
mod explain;
mod files;
mod findings;
mod foreign;
pub(crate) mod formats;
mod json;
mod lints;
mod mend;
mod microsoft_host;
mod model;
mod parallel;
mod proofs;
#[cfg(test)]
mod reference;
mod relay_formats;
mod render;
mod report;
mod rule_tests;
mod rulebook;
mod scalar;
mod schema;
pub(crate) mod shape;
pub(crate) mod source;
pub(crate) mod suggest;
mod test_formats;
#[cfg(test)]
mod tests;
pub(crate) mod tree;
pub(crate) mod typed;
mod workspace;

pub use diagnostic::{Code, Diagnostic, Fix, Severity};
pub(crate) use document::Kind;
pub use edge::Limits;
pub use editors::FileKind;
pub use envelope::{CallAhead, CallAheadRelays, SrsConfig};
pub use foreign::ForeignFile;
pub use mend::{Mended, MendedFile, mend};
pub use microsoft_host::{Certainty, DerivedHost, microsoft_host};
pub use render::Format;
pub use report::{Compat, Options, Report};
pub use rule_tests::{
    Expectation, ExpectedHeader, ExpectedOutcome, ExpectedReply, ExpectedStep, GivenMessage, MadeMessage, PolicyVerdict, ReplyOf, RuleTest,
    Stage, TestFile, TestGiven, TestSuite, tests_below,
};
pub use rulebook::{FilePlaces, JudgedEndpoint, Rulebook, RulebookFiles, TlsUse, UsedBy, rulebook};
pub(crate) use workspace::read;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;
use time::OffsetDateTime;

use crate::acme::AcmeConfig;
use crate::analyzers::AnalyzerConfig;
use crate::certificates::{Expiry, Trust};
use crate::daily_reports::ReportsConfig;
use crate::dns::ResolverConfig;
use crate::message::Need;
use crate::policy::Policy;
use crate::relay::RelayConfig;
use crate::rules::RuleSet;
use crate::secrets::SecretRef;
use files::Contents;
use workspace::Workspace;

/// Reads a deployment with all that it names. The report of a success holds warnings only.
pub fn load(gateway_yaml: &Path) -> Result<(Snapshot, Report), Report> {
    load_at(gateway_yaml, OffsetDateTime::now_utc())
}

/// [`load`] at a time of its own, which certificates' dates are compared with.
pub fn load_at(gateway_yaml: &Path, now: OffsetDateTime) -> Result<(Snapshot, Report), Report> {
    Workspace::of_deployment(gateway_yaml).load(now)
}

/// Checks files and folders, each with the `gateway.yaml` above it for the names it uses.
pub fn check(paths: &[PathBuf]) -> Result<Report, CheckError> {
    check_with(paths, &Options::default())
}

/// [`check`] at a time of its own, which certificates' dates are compared with.
pub fn check_at(paths: &[PathBuf], now: OffsetDateTime) -> Result<Report, CheckError> {
    check_with(paths, &Options { now: Some(now), ..Options::default() })
}

/// [`check`] as it is asked for.
pub fn check_with(paths: &[PathBuf], options: &Options) -> Result<Report, CheckError> {
    check_contents(paths, options, &Contents::default())
}

/// Checks files, some of which may have another content than on disk.
fn check_contents(paths: &[PathBuf], options: &Options, contents: &Contents) -> Result<Report, CheckError> {
    let mut by_root: BTreeMap<Option<PathBuf>, BTreeSet<PathBuf>> = BTreeMap::new();
    let mut roots: BTreeMap<PathBuf, Option<PathBuf>> = BTreeMap::new();
    for path in paths {
        let found = files::below(path)?;
        if found.is_empty() {
            return Err(CheckError::Nothing(path.clone()));
        }
        for file in found {
            let folder = file.parent().unwrap_or(Path::new("/")).to_owned();
            let root = roots.entry(folder).or_insert_with(|| files::root_above(&file)).clone();
            by_root.entry(root).or_default().insert(file);
        }
    }
    let contents = contents.anew();
    let sinks = by_root.into_iter().flat_map(|(root, wanted)| Workspace::of_files(root, &wanted, contents.clone()).check(options));
    Ok(Report::whole(sinks).level(options))
}

/// Why nothing could be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckError {
    /// The path cannot be read, and why.
    Unreadable(PathBuf, String),
    /// The folder holds no YAML file.
    Nothing(PathBuf),
    /// The folder holds more files than any deployment.
    TooMany(PathBuf),
    /// What is on standard input has no name and no folder, which say what a file is.
    StandardInput,
    /// There are no tests below it.
    NoTests(PathBuf),
    /// There is no `gateway.yaml` above it.
    NoDeployment(PathBuf),
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, why) => write!(f, "{}: {why}", path.display()),
            Self::Nothing(path) => write!(f, "{}: there is no YAML file in this folder", path.display()),
            Self::TooMany(path) => {
                write!(f, "{}: there are more than {} files below this folder", path.display(), crate::limits::CONFIGURATION_FILES_MAX)
            }
            Self::StandardInput => write!(f, "standard input cannot be checked: name a file, for its name and folder say what it is"),
            Self::NoTests(path) => write!(f, "{}: there are no tests in this folder; they are kept in `rules/tests`", path.display()),
            Self::NoDeployment(path) => write!(f, "{}: there is no gateway.yaml in the folders above", path.display()),
        }
    }
}

impl std::error::Error for CheckError {}

/// A checked configuration; what a message is judged by from first to last.
#[derive(Debug)]
pub struct Snapshot {
    /// First 8 hex digits of a hash over all files that made it; every log line about a message carries it.
    pub hash: Arc<str>,
    /// Banner, EHLO, Received.
    pub hostname: Arc<str>,
    /// The domains that open endpoints take mail for.
    pub domains: Domains,
    /// By name.
    pub endpoints: BTreeMap<Arc<str>, Arc<Endpoint>>,
    /// By name.
    pub relays: BTreeMap<Arc<str>, Arc<RelayConfig>>,
    /// Who can be asked about clients and messages, by name.
    pub analyzers: BTreeMap<Arc<str>, AnalyzerConfig>,
    /// The relay that notifications to senders go out by; `None`: by the MX records of the sender's domain.
    pub bounce_relay: Option<Arc<str>>,
    /// How senders are rewritten; `None`: no rule asks for it.
    pub srs: Option<Arc<SrsConfig>>,
    /// Certificates from an authority, for the endpoints that ask for it.
    pub acme: Option<Arc<AcmeConfig>>,
    /// Reports to the owners of domains; `None`: none are made.
    pub dmarc_reports: Option<Arc<ReportsConfig>>,
    /// Daily reports about TLS, if there are any.
    pub tls_reports: Option<Arc<ReportsConfig>>,
    /// The local spool's folder, absolute.
    pub spool: PathBuf,
    /// What clients may take.
    pub limits: Limits,
    /// Which DNS servers are asked.
    pub resolver: ResolverConfig,
    /// Where the administrative HTTP server listens; `None`: there is none.
    pub admin: Option<SocketAddr>,
    /// Every file the snapshot was made from, certificates and lists included: a change of one of them asks for a reload.
    pub files: Vec<PathBuf>,
    /// Certificates, CAs and CRLs with their dates.
    pub expiries: Vec<Expiry>,
}

/// Accepted domains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Domains {
    /// These, lower case.
    List(Vec<Arc<str>>),
    /// The verified identities of the SES account.
    Ses,
}

/// An ingress endpoint.
#[derive(Debug)]
pub struct Endpoint {
    /// Its key in `gateway.yaml`.
    pub name: Arc<str>,
    /// Who may use it.
    pub kind: EndpointKind,
    /// Addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// Judged while the client talks.
    pub policy: Arc<Policy>,
    /// Judged when the message is complete.
    pub rules: Arc<RuleSet>,
    /// Certificate and key; `None` offers no STARTTLS.
    pub tls: Option<EndpointTls>,
    /// When the reply to DATA is given.
    pub delivery: DeliveryMode,
    /// Networks of load balancers, which announce their clients with the PROXY protocol; empty: there are none.
    pub load_balancers: Vec<IpNet>,
    /// What its messages get on top.
    pub fields: EndpointFields,
    /// Where its recipients are looked up; `None`: they are not.
    pub call_ahead: Option<Arc<CallAhead>>,
}

/// The header fields that messages of an endpoint get, besides Received.
#[derive(Clone, Debug, Default)]
pub struct EndpointFields {
    /// Authentication-Results (RFC 8601).
    pub authentication_results: bool,
    /// Received-SPF (RFC 7208 §9.1).
    pub received_spf: bool,
    /// An ARC set (RFC 8617).
    pub arc_seal: Option<Arc<ArcSeal>>,
}

/// Who seals, and with which key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArcSeal {
    /// `d=`: A-labels, lower case.
    pub domain: Arc<str>,
    /// `s=`.
    pub selector: Arc<str>,
    /// Where the private key is found.
    pub key: SecretRef,
}

impl Endpoint {
    /// What must be found out about a message for the fields that it gets.
    pub fn needs_of_fields(&self) -> Vec<Need> {
        let EndpointFields { authentication_results, received_spf, arc_seal } = &self.fields;
        if *authentication_results || arc_seal.is_some() {
            vec![Need::Spf, Need::Dkim, Need::Dmarc, Need::Arc]
        } else if *received_spf {
            vec![Need::Spf]
        } else {
            Vec::new()
        }
    }

    /// Whether this peer must announce its client.
    pub fn is_load_balancer(&self, peer: IpAddr) -> bool {
        self.load_balancers.iter().any(|network| network.contains(&peer))
    }
}

/// Who may use an endpoint.
#[derive(Clone, Debug)]
pub enum EndpointKind {
    /// Everybody, for the gateway's own domains.
    Open,
    /// Who logs in with one of the credentials that the secret holds; mail is taken for any domain, and only after the login.
    Auth(SecretRef),
    /// Who shows a certificate of a trusted CA in the handshake; mail is taken for any domain, and only after the handshake.
    Mtls,
}

impl EndpointKind {
    /// Who that is.
    pub fn used_by(&self) -> UsedBy {
        match self {
            Self::Open => UsedBy::Everybody,
            Self::Auth(_) => UsedBy::Users,
            Self::Mtls => UsedBy::Partners,
        }
    }
}

/// TLS of an endpoint.
#[derive(Clone, Debug)]
pub struct EndpointTls {
    /// MAIL before STARTTLS gets 530.
    pub required: bool,
    /// From the first byte (RFC 8314): the handshake comes before the banner.
    pub wrapped: bool,
    /// Ready for handshakes; made from the files when the snapshot was loaded.
    pub server: Arc<rustls::ServerConfig>,
    /// Whose clients are let in, and that each must show a certificate; `None` asks for none.
    pub trust: Option<Arc<Trust>>,
}

/// When the reply to DATA is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryMode {
    /// After the relay was asked, where a plan allows it.
    Inline,
    /// After the message is in the spool.
    Queue,
}
