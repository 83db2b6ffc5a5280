//! Relays: the named next hops, and the driver of the client session that delivers to them.
//!
//! Knows nothing of rules. Connections are pooled for each relay; credentials go out over TLS or to loopback only.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::failure::Failure;
use crate::message::{Content, TlsVersion};
use crate::secrets::SecretRef;
use crate::smtp::{Address, Reply, ReversePath};

/// A relay as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct RelayConfig {
    /// Its key in `gateway.yaml`.
    pub name: Arc<str>,
    /// Tried in order; names or addresses.
    pub hosts: Vec<Arc<str>>,
    /// TCP port.
    pub port: u16,
    /// What TLS is asked for.
    pub tls: TlsMode,
    /// TLS from the first byte (RFC 8314); `tls` then only says whether the certificate is verified.
    pub implicit_tls: bool,
    /// PEM file with the CAs to believe instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Credentials for AUTH.
    pub auth: Option<SecretRef>,
    /// The local address to connect from; it also fixes the family.
    pub source_ip: Option<IpAddr>,
    /// Connections at a time.
    pub connections_max: u32,
    /// Recipients in one transaction.
    pub recipients_per_message_max: usize,
    /// When to try again.
    pub retry: RetrySchedule,
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

/// A message for some recipients, to be handed to one relay in as many transactions as its limits ask for.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// For the log.
    pub message: crate::message::MessageId,
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// RCPT TO.
    pub recipients: Vec<Address>,
    /// What DATA carries.
    pub content: Content,
    /// The message needs SMTPUTF8 at the next hop.
    pub smtputf8: bool,
    /// The content has 8-bit bytes (RFC 6152).
    pub eight_bit: bool,
}

/// What became of one recipient; the order is that of [`Delivery::recipients`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The next hop has taken responsibility.
    Delivered(Arc<Accepted>),
    /// Not delivered; the failure says whether to try again.
    Failed(Arc<Failure>),
}

/// A next hop's acceptance after the final dot. Only the relay room makes one, from a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The next hop's reply.
    pub reply: Reply,
    /// The host, `name[address]:port`.
    pub host: Arc<str>,
    /// The TLS it went over.
    pub tls: Option<TlsVersion>,
    _made_here: (),
}
