//! Relays: where mail goes.

use schemars::JsonSchema;
use serde::Deserialize;

use super::deployment::Secret;
use super::*;

/// Where mail goes. One of `host`, `hosts`, `mx` or `preset` says to whom; `host` or `hosts` beside a `preset` replace the hosts that it
/// knows.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-one-of" = ["host", "hosts", "mx", "preset"], "x-together" = [["preset", "host"], ["preset", "hosts"]]))]
pub(crate) struct Relay {
    /// What is spoken; `smtp` unless said.
    pub(crate) kind: Option<Kind>,
    /// Host name or address; for `lmtp` also a socket of this machine.
    pub(crate) host: Option<RelayHost>,
    /// Host names or addresses, tried in order.
    #[schemars(length(min = 1))]
    pub(crate) hosts: Option<Vec<RelayHost>>,
    /// A domain whose MX records name the hosts.
    pub(crate) mx: Option<Domain>,
    /// A provider whose host, port, TLS and limits are known.
    pub(crate) preset: Option<Preset>,
    /// The domain at the provider, for presets that ask for it.
    pub(crate) domain: Option<Domain>,
    /// The AWS region, for presets that ask for it.
    pub(crate) region: Option<Line>,
    /// TCP port; 25 unless said, 465 with `implicit`, 24 for `lmtp`, 443 for `graph`.
    #[schemars(range(min = 1))]
    pub(crate) port: Option<u16>,
    /// What TLS is asked for; `opportunistic` unless said.
    pub(crate) tls: Option<RelayTls>,
    /// TLS from the first byte (RFC 8314).
    pub(crate) implicit: Option<bool>,
    /// PEM file with the CAs to believe instead of the system's.
    pub(crate) ca: Option<FilePath>,
    /// Public keys of which the next hop must show one: `sha256:` and the checksum of the SubjectPublicKeyInfo, in base64 or hexadecimal digits.
    pub(crate) pins: Option<OneOrMany<Pin>>,
    /// Where the user name and the password are found.
    pub(crate) auth: Option<Secret>,
    /// How access tokens are had, for XOAUTH2 and `graph`.
    pub(crate) oauth: Option<OAuth>,
    /// The certificate to show when the next hop asks for one: chain and private key in PEM.
    pub(crate) client_certificate: Option<Secret>,
    /// The local address to connect from, or one for each family.
    pub(crate) source_ip: Option<OneOrMany<Ip>>,
    /// The addresses that next hops see connections of this relay come from: those of the NAT, where there is one. Only `gateway doctor`
    /// uses them: it compares them with what the next hop says, and prints them where they are to be set up.
    pub(crate) public_ip: Option<OneOrMany<Ip>>,
    /// Which addresses of a host are used; `any` unless said, or the preset knows better.
    pub(crate) ip_family: Option<IpFamily>,
    /// Whether content goes by BDAT to a next hop that offers CHUNKING (RFC 3030); `never` unless said.
    pub(crate) chunking: Option<RelayChunking>,
    /// What the next hop bears.
    pub(crate) limits: Option<RelayLimits>,
    /// When to try again.
    pub(crate) retry: Option<Retry>,
    /// How long mail is kept while the relay is held, because the next hop refuses the gateway itself; `3d` unless said.
    pub(crate) hold_for: Option<TimeSpan>,
}

/// What is spoken to a next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// SMTP.
    Smtp,
    /// LMTP (RFC 2033).
    Lmtp,
    /// Microsoft Graph (`sendMail`); `host` is its name, `graph.microsoft.com`.
    Graph,
}

/// Access tokens by the client credentials grant (RFC 6749 §4.4). One of `tenant` or `token_url` says from whom, one of `client_secret` or
/// `certificate` proves that the gateway is the application.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OAuth {
    /// The Microsoft Entra tenant: its id or a domain of it.
    pub(crate) tenant: Option<Line>,
    /// The token endpoint of another provider.
    pub(crate) token_url: Option<Line>,
    /// The application's (client) id.
    pub(crate) client_id: Line,
    /// The mailbox that the application sends as.
    pub(crate) user: MailAddress,
    /// What is asked for; `https://outlook.office365.com/.default` unless said, for `graph` `https://graph.microsoft.com/.default`.
    pub(crate) scope: Option<Line>,
    /// The client secret: `{"client_secret": …}` or its bare text.
    pub(crate) client_secret: Option<Secret>,
    /// Certificate and private key in PEM, for an assertion (RFC 7523) instead of a secret.
    pub(crate) certificate: Option<Secret>,
}

/// Which addresses of a host are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum IpFamily {
    /// Both.
    Any,
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// How content is sent to a next hop that offers CHUNKING.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RelayChunking {
    /// By DATA.
    Never,
    /// By BDAT.
    Auto,
}

/// A provider whose host, port, TLS and limits are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Preset {
    /// Google Workspace, incoming: `aspmx.l.google.com`, port 25.
    GoogleWorkspace,
    /// Microsoft 365, incoming: the host made from `domain`, port 25.
    #[serde(rename = "microsoft-365")]
    Microsoft365,
    /// Microsoft 365, outgoing with a login of a mailbox: `smtp.office365.com`, port 587.
    #[serde(rename = "microsoft-365-submission")]
    Microsoft365Submission,
    /// Microsoft 365, outgoing through a connector of the tenant: the host made from `domain`, port 25.
    #[serde(rename = "microsoft-365-connector")]
    Microsoft365Connector,
    /// Microsoft 365, from anywhere to the tenant's own recipients without login: the host made from `domain`, port 25.
    #[serde(rename = "microsoft-365-direct-send")]
    Microsoft365DirectSend,
    /// Amazon SES, outgoing by SMTP: the endpoint of `region`, port 587.
    SesSmtp,
}

/// What TLS is asked for on the way to a next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RelayTls {
    /// Plain text.
    None,
    /// When offered, with any certificate.
    Opportunistic,
    /// Always, with any certificate.
    Required,
    /// Always, with a certificate for the host's name from a believed CA.
    Verify,
    /// As TLSA records say (RFC 7672).
    Dane,
    /// As the domain's policy says (RFC 8461).
    MtaSts,
}

/// What the next hop bears.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RelayLimits {
    /// Connections at a time, at most; fewer while the next hop says that it is too much.
    #[schemars(range(min = 1))]
    pub(crate) connections: Option<u32>,
    /// Messages on one connection; 100 unless said.
    #[schemars(range(min = 1))]
    pub(crate) messages_per_connection: Option<u32>,
    /// Age at which a connection is not used again; `10m` unless said.
    pub(crate) connection_age: Option<TimeSpan>,
    /// Recipients of one transaction.
    #[schemars(range(min = 1))]
    pub(crate) recipients_per_message: Option<u32>,
    /// Whether a transaction has recipients of one domain only; `false` unless said, or the preset knows better.
    pub(crate) one_domain_per_message: Option<bool>,
    /// A message; a larger one is refused without asking the next hop.
    pub(crate) max_message_size: Option<Size>,
    /// Messages in one minute: in no sixty seconds more, across restarts, too. What is above waits in the spool.
    #[schemars(range(min = 1))]
    pub(crate) messages_per_minute: Option<u32>,
    /// Recipients in one day: in no 24 hours more, across restarts, too. What is above waits in the spool.
    #[schemars(range(min = 1))]
    pub(crate) recipients_per_day: Option<u32>,
}

/// When to try again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retry {
    /// Wait after the first attempt; `1m` unless said.
    pub(crate) first: Option<TimeSpan>,
    /// Growth from one wait to the next; 2 unless said.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) factor: Option<f64>,
    /// Longest wait; `1h` unless said.
    pub(crate) longest: Option<TimeSpan>,
    /// Age at which a message is bounced; `4d` unless said.
    pub(crate) give_up: Option<TimeSpan>,
}
