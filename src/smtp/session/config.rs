//! What an endpoint lets its sessions do.

use std::sync::Arc;
use std::time::Duration;

use crate::limits;

/// Settings and limits of a session; one value serves all sessions of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// The name in the greeting and in the reply to EHLO.
    pub hostname: Arc<str>,
    /// Largest message in octets, announced with SIZE.
    pub message_bytes_max: u64,
    /// Whether STARTTLS is offered; never on implicit TLS.
    pub starttls: bool,
    /// Whether mail is taken over TLS only.
    pub tls_required: bool,
    /// Whether mail is taken only after a login, which is offered over TLS only (RFC 4954).
    pub auth: bool,
    /// Logins refused in one session before 421.
    pub logins_refused_max: u32,
    /// Recipients of one transaction.
    pub recipients_max: usize,
    /// Commands refused for good, since the session's start or its last accepted message, before 421.
    pub errors_max: u32,
    /// Recipients refused for good beyond those accepted, since the session's start or its last accepted message, before 421.
    pub bad_recipients_max: u32,
    /// Transactions of one session.
    pub messages_max: u32,
    /// Commands that carry no mail, counted like errors, before 421.
    pub junk_commands_max: u32,
    /// Time without a complete command, or without any byte of a message, before 421.
    pub idle_timeout: Duration,
    /// Age at which the session ends at the next command, and the longest time that one message may take to arrive.
    pub session_timeout: Duration,
}

/// What a session may still do while there is little room; the driver sets it and takes it away again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strain {
    /// Time without a complete command. A message that is being received keeps the time of [`SessionConfig::idle_timeout`].
    pub idle_timeout: Duration,
    /// Errors, and bad recipients, before 421.
    pub errors_max: u32,
}

impl SessionConfig {
    /// The defaults of [`crate::limits`], without TLS.
    pub fn new(hostname: impl Into<Arc<str>>) -> Self {
        Self {
            hostname: hostname.into(),
            message_bytes_max: limits::MESSAGE_BYTES_DEFAULT,
            starttls: false,
            tls_required: false,
            auth: false,
            logins_refused_max: limits::LOGINS_REFUSED_PER_SESSION_MAX,
            recipients_max: limits::RECIPIENTS_MAX,
            errors_max: limits::ERRORS_MAX,
            bad_recipients_max: limits::BAD_RECIPIENTS_MAX,
            messages_max: limits::MESSAGES_PER_SESSION_MAX,
            junk_commands_max: limits::JUNK_COMMANDS_MAX,
            idle_timeout: limits::SESSION_IDLE_TIMEOUT,
            session_timeout: limits::SESSION_TIMEOUT,
        }
    }
}
