//! Names of the limits that refuse something: what the log and the metrics call them.

use serde::Serialize;

macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// A limit that refuses a connection, a command or a message. Each has a reply of its own kind, a field `limit` in the log
        /// and a series of `gateway_limit_reached_total`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
        pub enum Limit { $($(#[doc = $doc])+ #[serde(rename = $name)] $variant,)+ }

        impl Limit {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name; where an operator can change it, the key under `limits:`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

limits! {
    /// [`super::CONNECTIONS_MAX`].
    Connections = "connections",
    /// [`super::CONNECTIONS_PER_CLIENT_MAX`].
    ConnectionsPerAddress = "connections_per_address",
    /// [`super::CONNECTIONS_PER_NETWORK_MAX`].
    ConnectionsPerNetwork = "connections_per_network",
    /// [`super::CONNECTIONS_PER_MINUTE_PER_ADDRESS_MAX`].
    ConnectionsPerMinutePerAddress = "connections_per_minute_per_address",
    /// [`super::CONNECTIONS_PER_MINUTE_PER_NETWORK_MAX`].
    ConnectionsPerMinutePerNetwork = "connections_per_minute_per_network",
    /// No new connections until there is room again: [`super::PRESSURE_REFUSING_PERCENT`].
    Pressure = "pressure",
    /// [`super::PROXY_HEADER_TIMEOUT`].
    ProxyHeaderTimeout = "proxy_header_timeout",
    /// [`super::TLS_HANDSHAKE_TIMEOUT`].
    TlsHandshakeTimeout = "tls_handshake_timeout",
    /// [`super::COMMAND_LINE_BYTES_MAX`].
    CommandLine = "command_line",
    /// [`super::ERRORS_MAX`].
    Errors = "errors",
    /// [`super::LOGINS_REFUSED_PER_SESSION_MAX`].
    LoginsPerSession = "logins_per_session",
    /// [`super::LOGIN_FAILURES_PER_CLIENT_MAX`] and [`super::LOGIN_FAILURES_PER_USER_MAX`].
    LoginFailures = "login_failures",
    /// [`super::BAD_RECIPIENTS_MAX`].
    BadRecipients = "bad_recipients",
    /// [`super::JUNK_COMMANDS_MAX`].
    JunkCommands = "junk_commands",
    /// [`super::MESSAGES_PER_SESSION_MAX`].
    MessagesPerSession = "messages_per_session",
    /// [`super::RECIPIENTS_MAX`].
    Recipients = "recipients",
    /// [`super::SESSION_IDLE_TIMEOUT`].
    IdleTimeout = "idle_timeout",
    /// [`super::SESSION_TIMEOUT`].
    SessionTimeout = "session_timeout",
    /// [`super::MESSAGE_BYTES_DEFAULT`].
    MessageSize = "message_size",
    /// [`super::MESSAGE_MEMORY_BYTES_MAX`].
    MessageMemory = "message_memory",
    /// [`super::HEADER_BYTES_MAX`] and [`super::HEADER_FIELDS_MAX`].
    Header = "header",
    /// [`super::HOPS_MAX`].
    Hops = "hops",
    /// [`super::SPOOL_FREE_BYTES_MIN`].
    SpoolFree = "spool_free",
}
