//! A traffic policy: `policies/NAME.yaml`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::rules::{AddressTest, AnalysisTest, IpTest, SpfResult, TextTest, VerdictTest};
use super::*;

/// A traffic policy. Deny statements are looked at first, then allow statements, then the default.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyFile {
    /// What happens when no statement matches.
    pub(crate) default: Effect,
    /// The largest message that is taken.
    pub(crate) max_message_size: Option<Size>,
    /// Looked at first.
    #[serde(default)]
    pub(crate) deny: Vec<Statement>,
    /// Looked at when no deny statement matches.
    #[serde(default)]
    pub(crate) allow: Vec<Statement>,
}

/// What a policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Effect {
    /// Take it.
    Allow,
    /// Refuse it.
    Deny,
}

/// A statement: it matches when all its conditions do.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Statement {
    /// Unique in the policy; logs and metrics speak of it.
    pub(crate) name: Line,
    /// What it is for; nothing reads it but people.
    pub(crate) description: Option<String>,
    /// All of these must match.
    #[schemars(length(min = 1))]
    pub(crate) when: Vec<PolicyCondition>,
}

/// A condition of a statement: one attribute and one test of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PolicyCondition {
    /// The client's IP address.
    SenderIp(IpTest),
    /// The address given in RCPT.
    Recipient(AddressTest),
    /// The address given in MAIL; empty for bounces.
    MailFrom(AddressTest),
    /// What the client called itself in EHLO or HELO.
    Helo(TextTest),
    /// The TLS version of the session.
    TlsProtocol(TlsTest),
    /// The client's host name, forward-confirmed.
    ClientHost(TextTest),
    /// The SPF result (RFC 8601 §2.7.2): of MAIL FROM, or of HELO for the null sender.
    SpfResult(VerdictTest<SpfResult>),
    /// What an analyzer found that does not need the message.
    Analysis(Box<AnalysisTest>),
}

/// A test of the TLS version; plain text is below every version.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TlsTest {
    /// This version or a later one.
    MinimumTlsVersion(TlsVersion),
    /// One of these versions.
    Is(OneOrMany<TlsVersion>),
}

/// A TLS version.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub(crate) enum TlsVersion {
    /// TLS 1.2.
    #[serde(rename = "tls1_2")]
    Tls1_2,
    /// TLS 1.3.
    #[serde(rename = "tls1_3")]
    Tls1_3,
}
