//! The deployment: `gateway.yaml`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::*;

/// The deployment: host name, accepted domains, endpoints, relays, lists, spool.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeploymentFile {
    /// The gateway's own name, for banner, EHLO, Received and Authentication-Results.
    pub(crate) hostname: DnsName,
    /// The domains that the gateway takes mail for; `{ ses: true }` takes the verified identities of the SES account.
    pub(crate) domains: Domains,
    /// Where mail comes in, by name.
    #[schemars(extend("minProperties" = 1))]
    pub(crate) endpoints: BTreeMap<String, Endpoint>,
    /// Where mail goes, by name.
    #[serde(default)]
    pub(crate) relays: BTreeMap<String, super::relays::Relay>,
    /// Lists of addresses, by name.
    #[serde(default)]
    pub(crate) address_lists: BTreeMap<String, ListFile>,
    /// Lists of networks, by name.
    #[serde(default)]
    pub(crate) ip_lists: BTreeMap<String, ListFile>,
    /// Who is asked about clients and messages, by name ([analyzers](analyzers.md)).
    #[serde(default)]
    pub(crate) analyzers: BTreeMap<String, super::analyzers::Analyzer>,
    /// Archives, by name.
    #[serde(default)]
    #[schemars(extend("x-not-available" = "warning"))]
    pub(crate) archives: BTreeMap<String, ArchiveDefinition>,
    /// Mailboxes, by name.
    #[serde(default)]
    #[schemars(extend("x-not-available" = "warning"))]
    pub(crate) mailboxes: BTreeMap<String, Mailbox>,
    /// Certificates from an authority.
    pub(crate) acme: Option<super::acme::Acme>,
    /// How notifications to senders leave.
    pub(crate) bounces: Option<Bounces>,
    /// Senders that are rewritten, for rules with `mail_from: srs`.
    pub(crate) srs: Option<super::srs::Srs>,
    /// Daily reports to the owners of domains with DMARC; absent, none are sent.
    pub(crate) dmarc_reports: Option<DmarcReports>,
    /// Daily reports to domains about TLS with their mail exchangers; absent, none are sent.
    pub(crate) tls_reports: Option<TlsReports>,
    /// Where accepted mail waits; `{ path: var/spool }` unless said.
    pub(crate) spool: Option<Spool>,
    /// What clients may take.
    pub(crate) limits: Option<super::edge::EdgeLimits>,
    /// Which DNS servers are asked; absent, the system's.
    pub(crate) resolver: Option<Resolver>,
    /// The administrative HTTP server; absent, there is none.
    pub(crate) admin: Option<Admin>,
}

/// How notifications to senders (DSNs) leave; absent: by the MX records of the sender's domain.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bounces {
    /// The relay that takes them, whatever their recipient's domain.
    pub(crate) relay: RelayName,
}

/// DMARC aggregate reports (RFC 9990): once a day the owners of domains whose DMARC records ask for it (`rua`) learn which hosts have
/// sent mail in their name, and how it fared.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DmarcReports {
    /// The relay that takes the reports; it must deliver anywhere.
    pub(crate) relay: RelayName,
    /// Sender of the reports, in From and in MAIL FROM: a mailbox that exists, of a domain whose SPF record lets the relay send. Its domain
    /// is the submitter that reports name.
    pub(crate) from: MailAddress,
    /// Who reports, in words.
    pub(crate) organization: Line,
    /// Where the readers of a report find help: a URL or an address.
    pub(crate) contact: Option<Line>,
    /// The folder of the figures that are not sent yet; `dmarc-reports` beside the spool's folder unless said.
    pub(crate) path: Option<FilePath>,
}

/// TLS reports (RFC 8460): once a day the domains that ask for it (`_smtp._tls`) learn how often there was TLS with their mail exchangers, and
/// what failed. Relays with `mx` are counted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsReports {
    /// The relay that takes the reports that go by mail; it must deliver anywhere, and sign them with DKIM.
    pub(crate) relay: RelayName,
    /// Sender of the reports, in From and in MAIL FROM: a mailbox that exists. Its domain is the submitter that reports name.
    pub(crate) from: MailAddress,
    /// Who reports, in words.
    pub(crate) organization: Line,
    /// Where the readers of a report find help: a URL or an address; `from` unless said.
    pub(crate) contact: Option<Line>,
    /// The folder of the figures that are not sent yet; `tls-reports` beside the spool's folder unless said.
    pub(crate) path: Option<FilePath>,
}

/// Accepted domains: a list, or `{ ses: true }`.
#[derive(Debug)]
pub(crate) enum Domains {
    /// These.
    List(Vec<Domain>),
    /// The verified identities of the SES account.
    Ses,
}

impl<'de> Deserialize<'de> for Domains {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_yaml::Value::deserialize(deserializer)?;
        if value.is_sequence() {
            return serde_yaml::from_value(value).map(Self::List).map_err(serde::de::Error::custom);
        }
        match serde_yaml::from_value::<SesDomains>(value).map_err(serde::de::Error::custom)? {
            SesDomains { ses: true } => Ok(Self::Ses),
            SesDomains { ses: false } => Err(serde::de::Error::custom("`ses: false` leaves no domain: list the domains instead")),
        }
    }
}

impl JsonSchema for Domains {
    fn schema_name() -> Cow<'static, str> {
        "Domains".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let domain = generator.subschema_for::<Domain>();
        let ses = generator.subschema_for::<SesDomains>();
        json_schema!({ "anyOf": [{ "type": "array", "items": domain, "minItems": 1 }, ses] })
    }
}

/// The verified identities of the SES account.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SesDomains {
    /// `true`.
    ses: bool,
}

/// Where mail comes in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Endpoint {
    /// Who may use it; `open` unless said.
    pub(crate) r#type: Option<EndpointType>,
    /// Addresses and ports to listen on.
    pub(crate) listen: OneOrMany<Listen>,
    /// The traffic policy: `policies/NAME.yaml`.
    pub(crate) policy: PolicyName,
    /// The rule set: `rules/NAME.yaml`.
    pub(crate) rules: RuleSetName,
    /// The certificate; without one there is no STARTTLS.
    pub(crate) tls: Option<EndpointTls>,
    /// Recipients are looked up at a relay before they are accepted; absent, they are not.
    pub(crate) call_ahead: Option<super::call_ahead::CallAhead>,
    /// When the reply to DATA is given; `inline` unless said.
    #[serde(default)]
    pub(crate) delivery: Delivery,
    /// Load balancers that announce the client's address with the PROXY protocol, version 1 or 2. Who connects from `trusted` must
    /// send a header; from everybody else none is read.
    pub(crate) proxy_protocol: Option<ProxyProtocol>,
    /// Who may log in at an `auth` endpoint. The secret is `{"username": …, "password": …}`, or `{"password": …}` for a user with the
    /// endpoint's name, or `{"users": [{"username": …, "password": …}, …]}`. In Secrets Manager the previous version stays valid.
    pub(crate) credentials: Option<Secret>,
    /// Whose clients an `mtls` endpoint lets in; of several, each has CRLs of its own.
    pub(crate) trust: Option<OneOrMany<Trust>>,
    /// Whether messages get a field `Authentication-Results` that says what was found out about them.
    pub(crate) authentication_results: Option<bool>,
    /// Whether they get a field `Received-SPF` besides.
    pub(crate) received_spf: Option<bool>,
    /// The ARC seal that messages get, made after all changes by rules; absent, there is none.
    pub(crate) arc_seal: Option<ArcSeal>,
}

/// Who may use an endpoint.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EndpointType {
    /// Everybody, for the gateway's own domains.
    Open,
    /// Who logs in with AUTH PLAIN or LOGIN, over TLS only; they may send to any domain.
    Auth,
    /// Who shows a certificate of a CA in `trust`; mail may be for any domain.
    Mtls,
}

/// TLS of an endpoint. One of `certificate`, `certificates` or `acme` says what clients are shown.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-one-of" = ["certificate", "certificates", "acme"]))]
pub(crate) struct EndpointTls {
    /// Whether clients must use it.
    pub(crate) mode: Option<EndpointTlsMode>,
    /// PEM file with the certificate and its chain.
    pub(crate) certificate: Option<FilePath>,
    /// PEM file with the private key.
    pub(crate) key: Option<FilePath>,
    /// Several certificates: each client gets the one for the name it asks for (SNI). The first serves clients that ask for no name,
    /// or for one that none of them has.
    #[schemars(length(min = 1))]
    pub(crate) certificates: Option<Vec<CertificateFiles>>,
    /// Host names: the certificate for them is issued and renewed by the authority of the section `acme`.
    pub(crate) acme: Option<OneOrMany<CertificateName>>,
}

/// A certificate and its key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CertificateFiles {
    /// PEM file with the certificate and its chain.
    pub(crate) certificate: FilePath,
    /// PEM file with the private key.
    pub(crate) key: FilePath,
}

/// Whether clients must use TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EndpointTlsMode {
    /// They may, with STARTTLS.
    Optional,
    /// They must, with STARTTLS, before MAIL.
    Required,
    /// From the first byte (RFC 8314), as on port 465.
    Implicit,
}

/// When the reply to DATA is given.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Delivery {
    /// After the relay was asked, where a plan allows it.
    #[default]
    Inline,
    /// After the message is in the spool.
    Queue,
}

/// Load balancers that announce the client's address.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProxyProtocol {
    /// Their networks.
    pub(crate) trusted: OneOrMany<Network>,
}

/// Whose clients are let in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trust {
    /// File with the CAs to believe: any number in PEM, or one in DER.
    pub(crate) ca: FilePath,
    /// File with their CRLs: one for each CA in PEM, or one in DER; absent, nothing is looked up. A CA without a valid CRL is closed.
    pub(crate) crl: Option<FilePath>,
}

/// The ARC seal of RFC 8617, with `rsa-sha256`. A message that cannot be sealed because its key cannot be had is deferred.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ArcSeal {
    /// The domain that seals.
    pub(crate) domain: DnsName,
    /// The selector of its key: verifiers look for it at `SELECTOR._domainkey.DOMAIN`.
    pub(crate) selector: DnsName,
    /// The private key: RSA of 2048 to 8192 bits in PEM (PKCS#1 or PKCS#8), alone or as `{"private_key": …}`.
    pub(crate) key: Secret,
}

/// Where a secret is found; never the secret itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(extend("x-secret" = true))]
#[allow(clippy::enum_variant_names, reason = "the names are the keys")]
pub(crate) enum Secret {
    /// Name or ARN in AWS Secrets Manager; the secret is `{"username": …, "password": …}`, what `credentials` allows besides, or a private key.
    Secret(Line),
    /// A file with the same content.
    File(FilePath),
    /// An environment variable with the same content.
    Env(Line),
}

/// A list in a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListFile {
    /// Addresses: CSV with the header `address`, or JSON `{"items":[{"address":…}]}`. Networks: one a line, `#` comments.
    pub(crate) file: FilePath,
}

/// An archive.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ArchiveDefinition {
    /// How long messages are kept.
    pub(crate) retention: Option<Line>,
}

/// A mailbox: `lmtp` or `maildir`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-one-of" = ["lmtp", "maildir"]))]
pub(crate) struct Mailbox {
    /// Where the LMTP server answers.
    pub(crate) lmtp: Option<Line>,
    /// The folder.
    pub(crate) maildir: Option<FilePath>,
}

/// Where accepted mail waits: `path` or `postgres`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-one-of" = ["path", "postgres"]))]
pub(crate) struct Spool {
    /// A folder of this machine.
    pub(crate) path: Option<FilePath>,
    /// A database that several gateways share.
    #[schemars(extend("x-not-available" = "error"))]
    pub(crate) postgres: Option<Line>,
    /// Where large contents go.
    #[schemars(extend("x-not-available" = "error"))]
    pub(crate) blobs: Option<Line>,
}

/// Which DNS servers are asked, for verdicts, host names of clients, DNS lists and mail exchangers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resolver {
    /// Addresses, with a port where it is not 53; absent, the servers of /etc/resolv.conf. They must resolve for others (recursion).
    pub(crate) servers: Option<OneOrMany<NameServer>>,
    /// How long one server is waited for, 1s to 30s; a question takes twice that at most; `3s` unless said.
    pub(crate) timeout: Option<TimeSpan>,
    /// Which servers, which must validate, are believed that an answer is authenticated by DNSSEC, as `tls: dane` needs it; `loopback`
    /// unless said.
    pub(crate) dnssec: Option<Dnssec>,
}

/// Which servers are believed that an answer is authenticated by DNSSEC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Dnssec {
    /// Those on a loopback address.
    Loopback,
    /// All: nobody can change their answers on the way.
    Trusted,
}

/// The administrative HTTP server: `/metrics` for Prometheus, `/healthz` for load balancers. It asks nobody who he is, so it
/// belongs on loopback or a network of its own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Admin {
    /// Address and port to listen on.
    pub(crate) listen: Listen,
}
