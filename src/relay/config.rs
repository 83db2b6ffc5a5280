//! A relay as configured.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::limits::{
    RELAY_CONNECTION_AGE_MAX, RELAY_CONNECTION_MESSAGES_MAX, RELAY_CONNECTIONS_DEFAULT, RELAY_HOLD_TIME, RELAY_RECIPIENTS_DEFAULT,
    RETRY_FACTOR, RETRY_FIRST, RETRY_GIVE_UP, RETRY_LONGEST,
};
use crate::secrets::SecretRef;

/// A relay as configured. [`RelayConfig::new`] has every default.
#[derive(Clone, Debug, PartialEq)]
pub struct RelayConfig {
    /// Its key in `gateway.yaml`.
    pub name: Arc<str>,
    /// What is spoken to it.
    pub kind: RelayKind,
    /// Where it is.
    pub route: Route,
    /// TCP port.
    pub port: u16,
    /// What TLS is asked for.
    pub tls: TlsMode,
    /// TLS from the first byte (RFC 8314); `tls` then only says whether the certificate is verified.
    pub implicit_tls: bool,
    /// PEM file with the CAs to believe instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// SHA-256 of the public keys (SubjectPublicKeyInfo) of which the next hop must show one; empty: any.
    pub pins: Vec<[u8; 32]>,
    /// The certificate that is shown to the next hop when it asks for one: chain and key in PEM.
    pub client_certificate: Option<SecretRef>,
    /// The content goes by BDAT where CHUNKING is offered.
    pub chunking: bool,
    /// How the gateway logs in.
    pub auth: Option<Auth>,
    /// Local addresses to connect from, at most one of each family; a family that has none while the other has one is not used.
    pub source_ips: Vec<IpAddr>,
    /// Which addresses of a host are used.
    pub ip_family: IpFamily,
    /// What the next hop bears.
    pub limits: RelayLimits,
    /// Whose words its replies are.
    pub provider: Provider,
    /// The preset that it was made from.
    pub preset: Option<Preset>,
    /// The domain at the provider, where the preset asks for one.
    pub domain: Option<Arc<str>>,
    /// The addresses that next hops see the gateway's connections come from, as far as the operator says so.
    pub public_ips: Vec<IpAddr>,
    /// When to try again.
    pub retry: RetrySchedule,
    /// How long mail is kept for a relay that is held, at most, counted from the hold.
    pub hold_for: Duration,
}

impl RelayConfig {
    /// A relay on port 25 with every default.
    pub fn new(name: impl Into<Arc<str>>, route: Route) -> Self {
        Self {
            name: name.into(),
            kind: RelayKind::Smtp,
            route,
            port: 25,
            tls: TlsMode::Opportunistic,
            implicit_tls: false,
            ca_file: None,
            pins: Vec::new(),
            client_certificate: None,
            chunking: false,
            auth: None,
            source_ips: Vec::new(),
            ip_family: IpFamily::Any,
            limits: RelayLimits::default(),
            provider: Provider::Other,
            preset: None,
            domain: None,
            public_ips: Vec::new(),
            retry: RetrySchedule::default(),
            hold_for: RELAY_HOLD_TIME,
        }
    }

    /// Its first host as configured, or the domain whose exchangers it stands for; to show to people.
    pub fn destination(&self) -> &str {
        match &self.route {
            Route::Hosts(hosts) => hosts.first().map_or("", |host| host),
            Route::MailExchangers(domain) => domain,
        }
    }
}

/// What is spoken to a next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayKind {
    /// SMTP (RFC 5321).
    Smtp,
    /// LMTP (RFC 2033): one reply for each recipient after the final dot.
    Lmtp,
    /// Microsoft Graph, `sendMail` with MIME.
    Graph,
}

/// Where a relay is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Names or addresses, tried in order.
    Hosts(Vec<Arc<str>>),
    /// The mail exchangers of a domain (RFC 5321 §5.1).
    MailExchangers(Arc<str>),
}

/// What TLS is asked for on the way to a next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Plain text.
    None,
    /// STARTTLS when offered, any certificate; plain text when not (RFC 7435).
    Opportunistic,
    /// STARTTLS or failure, any certificate.
    Required,
    /// STARTTLS or failure, with a certificate for the host's name from a believed CA.
    Verify,
    /// As the exchangers' TLSA records ask for (RFC 7672); opportunistic where there are none. For mail exchangers only.
    Dane,
    /// As the domain's policy asks for (RFC 8461); opportunistic where there is none. For mail exchangers only.
    MtaSts,
}

/// Which addresses of a host are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpFamily {
    /// Both.
    Any,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

/// How the gateway logs in at a next hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// With a user name and a password.
    Password(SecretRef),
    /// With an access token (XOAUTH2, or a bearer of HTTP).
    OAuth(Arc<OAuthConfig>),
}

/// Where access tokens come from: the client credentials grant of OAuth 2.0 (RFC 6749 §4.4).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OAuthConfig {
    /// The token endpoint; `https`, or `http` to a loopback address.
    pub token_url: Arc<str>,
    /// The application.
    pub client_id: Arc<str>,
    /// The mailbox that the application acts for.
    pub user: Arc<str>,
    /// What is asked for.
    pub scope: Arc<str>,
    /// What proves that we are the application.
    pub proof: OAuthProof,
}

/// What proves an application to its token endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OAuthProof {
    /// A client secret.
    Secret(SecretRef),
    /// An assertion signed with the key of a certificate (RFC 7523): certificate and key in PEM.
    Certificate(SecretRef),
}

/// What a next hop bears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayLimits {
    /// Connections at a time, at most.
    pub connections: u32,
    /// Messages on one connection.
    pub messages_per_connection: u32,
    /// Age at which a connection is not used again.
    pub connection_age: Duration,
    /// Recipients in one transaction.
    pub recipients_per_message: usize,
    /// A transaction has recipients of one domain.
    pub one_domain_per_message: bool,
    /// Transactions in a minute.
    pub messages_per_minute: Option<u32>,
    /// Recipients in a day.
    pub recipients_per_day: Option<u32>,
    /// Octets of a message.
    pub message_bytes: Option<u64>,
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self {
            connections: RELAY_CONNECTIONS_DEFAULT,
            messages_per_connection: RELAY_CONNECTION_MESSAGES_MAX,
            connection_age: RELAY_CONNECTION_AGE_MAX,
            recipients_per_message: RELAY_RECIPIENTS_DEFAULT,
            one_domain_per_message: false,
            messages_per_minute: None,
            recipients_per_day: None,
            message_bytes: None,
        }
    }
}

/// Whose words a next hop's replies are: which table says what they mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Nobody's in particular: the codes of the RFCs.
    Other,
    /// Google Workspace and Gmail.
    Google,
    /// Exchange Online.
    Microsoft,
    /// Amazon SES.
    Ses,
}

/// A kind of next hop whose host, port, TLS and limits are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Google Workspace, incoming.
    GoogleWorkspace,
    /// Microsoft 365, incoming.
    Microsoft365,
    /// Microsoft 365, outgoing with the login of a mailbox.
    Microsoft365Submission,
    /// Microsoft 365, outgoing through a connector.
    Microsoft365Connector,
    /// Microsoft 365, to the tenant's own recipients, without a login.
    Microsoft365DirectSend,
    /// Amazon SES, outgoing by SMTP.
    SesSmtp,
}

impl Preset {
    /// Its name in `gateway.yaml`.
    pub fn name(self) -> &'static str {
        match self {
            Self::GoogleWorkspace => "google-workspace",
            Self::Microsoft365 => "microsoft-365",
            Self::Microsoft365Submission => "microsoft-365-submission",
            Self::Microsoft365Connector => "microsoft-365-connector",
            Self::Microsoft365DirectSend => "microsoft-365-direct-send",
            Self::SesSmtp => "ses-smtp",
        }
    }
}

/// When a failed attempt is made again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetrySchedule {
    /// Wait after the first attempt.
    pub first: Duration,
    /// Growth from one wait to the next.
    pub factor: f64,
    /// Longest wait.
    pub longest: Duration,
    /// Age at which a message is bounced.
    pub give_up: Duration,
}

impl Default for RetrySchedule {
    fn default() -> Self {
        Self { first: RETRY_FIRST, factor: RETRY_FACTOR, longest: RETRY_LONGEST, give_up: RETRY_GIVE_UP }
    }
}
