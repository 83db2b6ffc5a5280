//! The event schema: one enum, its JSON form is the log's.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use crate::failure::Failure;
use crate::limits::Limit;
use crate::message::{
    Analysis, ArcVerdict, ClientCertificate, DkimVerdict, DmarcVerdict, Fact, MessageId, SessionId, SpfVerdict, TlsVersion,
};
use crate::smtp::{Address, Reply, ReversePath};

/// Something that happened. The JSON field `event` holds the variant's name in snake case.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[allow(missing_docs, reason = "fields are named as the log shows them; docs/log.md explains them")]
pub enum Event<'a> {
    /// The process serves.
    Started { version: &'a str, config: &'a str },
    /// An endpoint listens.
    Listening { endpoint: &'a str, address: SocketAddr },
    /// The process was told to stop; no new connections.
    Draining { sessions: usize },
    /// The process has ended its work.
    Stopped { spooled: u64 },
    /// A changed configuration is in force.
    Reloaded { config: &'a str, previous: &'a str },
    /// A changed configuration was refused; the old one stays.
    ReloadRefused { config: &'a str, mistakes: usize, detail: &'a str },
    /// Something an operator should look at.
    Problem { what: &'a str, detail: &'a str },
    /// An operator's order about the queue.
    Operator { order: &'a str, user: Option<u32>, filter: &'a str, matched: u64, changed: u64, detail: Option<&'a str> },
    /// How full it is has changed.
    Pressure {
        level: &'static str,
        connections: usize,
        connections_max: usize,
        message_memory_bytes: usize,
        message_memory_bytes_max: usize,
        spool_sick: bool,
    },
    /// Connections that a limit kept out since the last such line; the last of them.
    TurnedAway { limit: Limit, refused: u64, client: IpAddr },
    /// A certificate, a CA or a CRL has an end that is near or over.
    Expiring { kind: &'a str, name: &'a str, file: &'a Path, expires: &'a str, days_left: i64 },
    /// A certificate serves an endpoint that asks for one by ACME.
    Certificate { names: &'a [String], source: &'static str, not_after: Option<&'a str> },
    /// A relay gets no mail any more, but for probes: the next hop refuses the gateway itself, or an operator holds it.
    RelayHeld { relay: &'a str, by: &'static str, reply: Option<&'a Reply>, reason: &'a str },
    /// A held relay gets mail again.
    RelayReleased { relay: &'a str, by: &'static str, held_s: u64 },
    /// A relay has been slowed down for long.
    RelaySlow { relay: &'a str, connections: u32, reply: &'a Reply, reason: &'a str, slow_s: u64 },
    /// A next hop has said something that its operator or ours should know.
    RelayWarning { relay: &'a str, reply: &'a Reply, reason: &'a str },
    /// Events that the sink could not take.
    Lost { events: u64 },

    /// A client connected.
    Connected { session: SessionId, endpoint: &'a str, client: IpAddr, port: u16, proxy: Option<Announced<'a>>, config: &'a str },
    /// A load balancer's connection ended because of its PROXY header.
    ProxyFailed { endpoint: &'a str, peer: SocketAddr, detail: &'a str, limit: Option<Limit> },
    /// A TLS handshake ended.
    Tls {
        session: SessionId,
        version: Option<TlsVersion>,
        cipher: Option<&'a str>,
        server_name: Option<&'a str>,
        client_certificate: Option<CertificateShown<'a>>,
        error: Option<&'a str>,
        limit: Option<Limit>,
    },
    /// A client claimed to be somebody. A user that is not accepted is the client's word, made harmless.
    Login {
        session: SessionId,
        endpoint: &'a str,
        client: IpAddr,
        user: &'a str,
        mechanism: &'static str,
        result: &'static str,
        reason: Option<&'static str>,
        version: Option<&'static str>,
        limit: Option<Limit>,
    },
    /// The traffic policy decided.
    Policy {
        session: SessionId,
        message: Option<MessageId>,
        config: &'a str,
        policy: &'a str,
        stage: &'static str,
        verdict: &'static str,
        statement: &'a str,
        client: IpAddr,
        mail_from: Option<&'a str>,
        recipient: Option<&'a str>,
        /// What was looked up for it, or who did not answer; `None` when nothing was.
        detail: Option<&'a str>,
        reply: Option<&'a Reply>,
    },
    /// Something was refused that is not the policy's business.
    Refused {
        session: SessionId,
        message: Option<MessageId>,
        stage: &'static str,
        recipient: Option<&'a str>,
        limit: Option<Limit>,
        reply: &'a Reply,
    },
    /// A recipient was looked up at a relay.
    CallAhead {
        session: SessionId,
        message: MessageId,
        relay: &'a str,
        recipient: &'a Address,
        result: &'static str,
        cached: bool,
        reply: Option<&'a Reply>,
        detail: Option<&'a str>,
        duration_ms: u64,
    },
    /// The client is gone.
    Disconnected { session: SessionId, messages: u32, duration_ms: u64, reason: &'static str },

    /// What was found out about a session or a message in DNS and by its signatures; what was not asked for is null.
    Verdicts {
        session: SessionId,
        message: MessageId,
        stage: &'static str,
        client_host: Option<HostShown<'a>>,
        spf: Option<&'a SpfVerdict>,
        dkim: Option<&'a DkimVerdict>,
        dmarc: Option<&'a DmarcVerdict>,
        arc: Option<&'a ArcVerdict>,
        /// DNS questions that stand behind it, answered by the cache or not.
        questions: usize,
        duration_ms: u64,
    },
    /// What an analyzer found, or why it has no answer.
    Analysis {
        session: SessionId,
        message: MessageId,
        stage: &'static str,
        analyzer: &'a str,
        fields: Option<&'a Analysis>,
        error: Option<&'a str>,
        duration_ms: u64,
    },

    /// A message has arrived whole.
    Message {
        session: SessionId,
        message: MessageId,
        config: &'a str,
        endpoint: &'a str,
        client: IpAddr,
        helo: &'a str,
        mail_from: &'a ReversePath,
        recipients: Vec<&'a Address>,
        size: usize,
        tls: Option<TlsVersion>,
        message_id: Option<&'a str>,
    },
    /// A rule matched.
    Rule {
        session: SessionId,
        message: MessageId,
        config: &'a str,
        rules: &'a str,
        rule: &'a str,
        audit: bool,
        recipients: Vec<&'a Address>,
    },
    /// An action of a rule was carried out, or not.
    Action {
        session: SessionId,
        message: MessageId,
        rule: &'a str,
        action: &'a str,
        relay: Option<&'a str>,
        recipients: Vec<&'a Address>,
        outcome: &'static str,
    },
    /// One attempt to deliver, with what the next hop said for each recipient.
    Attempt {
        session: SessionId,
        message: MessageId,
        relay: &'a str,
        attempt: u32,
        host: Option<&'a str>,
        tls: Option<TlsVersion>,
        duration_ms: u64,
        recipients: Vec<AttemptRecipient<'a>>,
        /// What was tried on the way, in order; left out when it was a single transaction.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tries: Vec<Try<'a>>,
    },
    /// What finally became of an envelope recipient.
    Outcome {
        session: SessionId,
        message: MessageId,
        recipient: &'a Address,
        delivered_to: Option<&'a Address>,
        outcome: &'static str,
        rule: Option<&'a str>,
        relay: Option<&'a str>,
        reply: Option<&'a Reply>,
        detail: Option<&'a str>,
    },
    /// The reply to DATA.
    Replied { session: SessionId, message: MessageId, reply: &'a Reply, spooled: bool, limit: Option<Limit>, duration_ms: u64 },
    /// A delivery status notification was made, or why not.
    Dsn {
        session: SessionId,
        message: MessageId,
        to: &'a ReversePath,
        kind: &'static str,
        notification: Option<MessageId>,
        detail: Option<&'a str>,
    },
    /// A sender was rewritten for the next hops, or left as it is.
    Srs { session: SessionId, message: MessageId, sender: &'a Address, rewritten: Option<&'a Address>, outcome: &'static str },
    /// A DMARC report was made, or why not.
    DmarcReport { domain: &'a str, to: Option<&'a str>, records: usize, outcome: &'static str, detail: Option<&'a str> },
    /// A report about TLS was made, or why not.
    TlsReport { domain: &'a str, to: Option<&'a str>, sessions: u64, outcome: &'static str, detail: Option<&'a str> },
    /// What became of TLS with a mail exchanger of a domain, or of the search for its policy.
    TlsSession {
        domain: &'a str,
        host: &'a str,
        address: Option<IpAddr>,
        policy: &'static str,
        result: &'static str,
        detail: Option<&'a str>,
    },
}

/// What a load balancer has said of a connection.
#[derive(Debug, Serialize)]
pub struct Announced<'a> {
    /// The load balancer.
    pub peer: SocketAddr,
    /// `proxy` for a client, `local` for itself.
    pub command: &'static str,
    /// Where the client has connected to.
    pub destination: Option<SocketAddr>,
    /// The server name that the client has asked for.
    pub server_name: Option<&'a str>,
    /// The version of TLS that the load balancer has ended.
    pub tls: Option<&'a str>,
    /// The connection's name in the load balancer's log.
    pub unique_id: Option<Cow<'a, str>>,
}

/// The certificate that a client showed.
#[derive(Debug, Serialize)]
pub struct CertificateShown<'a> {
    /// Common names of its subject.
    pub cn: &'a [String],
    /// Serial number, hexadecimal.
    pub serial_number: &'a str,
}

impl<'a> From<&'a ClientCertificate> for CertificateShown<'a> {
    fn from(certificate: &'a ClientCertificate) -> Self {
        Self { cn: &certificate.cn, serial_number: certificate.serial_number.first().map_or("", String::as_str) }
    }
}

/// The client's host name, as far as it is known.
#[derive(Debug, Serialize)]
pub struct HostShown<'a> {
    /// Forward-confirmed; null: there is none, or it could not be found out.
    pub name: Option<&'a str>,
    /// Why it could not be found out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a str>,
}

impl<'a> HostShown<'a> {
    /// Nothing for what nobody has asked.
    pub fn new(fact: &'a Fact<Option<Arc<str>>>) -> Option<Self> {
        match fact {
            Fact::NotAsked => None,
            Fact::Unknown(why) => Some(Self { name: None, error: Some(why) }),
            Fact::Known(name) => Some(Self { name: name.as_deref(), error: None }),
        }
    }
}

/// One connection or transaction of an attempt.
#[derive(Debug, Serialize)]
pub struct Try<'a> {
    /// `name[address]:port`.
    pub host: &'a str,
    /// The reply to the final dot, or the first failure.
    pub reply: &'a Reply,
    /// What went wrong, beyond the reply.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub detail: &'a str,
}

/// One recipient of an attempt.
#[derive(Debug, Serialize)]
pub struct AttemptRecipient<'a> {
    /// Who.
    pub recipient: &'a Address,
    /// `delivered`, `failed` or `deferred`.
    pub result: &'static str,
    /// The next hop's reply, or ours that stands for its silence.
    pub reply: &'a Reply,
    /// What went wrong, beyond the reply.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub detail: &'a str,
}

impl<'a> AttemptRecipient<'a> {
    /// For a failure.
    pub fn failed(recipient: &'a Address, failure: &'a Failure) -> Self {
        let result = if failure.is_temporary() { "deferred" } else { "failed" };
        Self { recipient, result, reply: &failure.reply, detail: &failure.detail }
    }
}
