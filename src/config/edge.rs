//! The limits of the SMTP edge as an operator sets them.

use std::time::Duration;

use crate::limits;
use crate::smtp::SessionConfig;

/// What clients may take. The defaults are those of [`crate::limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections of all endpoints together.
    pub connections: usize,
    /// Connections of one address (IPv6: one /64).
    pub connections_per_address: usize,
    /// Connections of one network (IPv4: /24, IPv6: /48).
    pub connections_per_network: usize,
    /// New connections of one address in a minute.
    pub connections_per_minute_per_address: u32,
    /// New connections of one network in a minute.
    pub connections_per_minute_per_network: u32,
    /// Bytes of messages held in memory over all sessions.
    pub message_memory_bytes: usize,
    /// Idle time of a session.
    pub idle_timeout: Duration,
    /// Age of a session at which it ends.
    pub session_timeout: Duration,
    /// Recipients of one message.
    pub recipients: usize,
    /// Messages of one session.
    pub messages_per_session: u32,
    /// Commands refused for good before a session is closed.
    pub errors: u32,
    /// Recipients refused for good, beyond those accepted, before a session is closed.
    pub bad_recipients: u32,
}

impl Limits {
    /// The session with what the operator lets it do.
    pub fn of_session(&self, config: SessionConfig) -> SessionConfig {
        SessionConfig {
            recipients_max: self.recipients,
            errors_max: self.errors,
            bad_recipients_max: self.bad_recipients,
            messages_max: self.messages_per_session,
            idle_timeout: self.idle_timeout,
            session_timeout: self.session_timeout,
            ..config
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: limits::CONNECTIONS_MAX,
            connections_per_address: limits::CONNECTIONS_PER_CLIENT_MAX,
            connections_per_network: limits::CONNECTIONS_PER_NETWORK_MAX,
            connections_per_minute_per_address: limits::CONNECTIONS_PER_MINUTE_PER_ADDRESS_MAX,
            connections_per_minute_per_network: limits::CONNECTIONS_PER_MINUTE_PER_NETWORK_MAX,
            message_memory_bytes: limits::MESSAGE_MEMORY_BYTES_MAX,
            idle_timeout: limits::SESSION_IDLE_TIMEOUT,
            session_timeout: limits::SESSION_TIMEOUT,
            recipients: limits::RECIPIENTS_MAX,
            messages_per_session: limits::MESSAGES_PER_SESSION_MAX,
            errors: limits::ERRORS_MAX,
            bad_recipients: limits::BAD_RECIPIENTS_MAX,
        }
    }
}
