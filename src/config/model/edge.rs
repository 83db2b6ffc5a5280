//! The limits of the SMTP edge in `gateway.yaml`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Size, TimeSpan};

/// What clients may take, all endpoints together. What passes a limit is refused for now, with 421 or 452, and counted under the
/// limit's name in the log and the metrics. Clients on loopback have no limits of their own.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EdgeLimits {
    /// Connections at a time.
    #[schemars(range(min = 1))]
    pub(crate) connections: Option<u32>,
    /// Connections of one address at a time (IPv6: one /64).
    #[schemars(range(min = 1))]
    pub(crate) connections_per_address: Option<u32>,
    /// Connections of one network at a time (IPv4: /24, IPv6: /48).
    #[schemars(range(min = 1))]
    pub(crate) connections_per_network: Option<u32>,
    /// New connections of one address in a minute.
    #[schemars(range(min = 1))]
    pub(crate) connections_per_minute_per_address: Option<u32>,
    /// New connections of one network in a minute.
    #[schemars(range(min = 1))]
    pub(crate) connections_per_minute_per_network: Option<u32>,
    /// Memory for messages that are being received or delivered.
    pub(crate) message_memory: Option<Size>,
    /// How long a client may be silent.
    pub(crate) idle_timeout: Option<TimeSpan>,
    /// How long a session may last; one message that is under way is taken to its end.
    pub(crate) session_timeout: Option<TimeSpan>,
    /// Recipients of one message.
    #[schemars(range(min = 1))]
    pub(crate) recipients: Option<u32>,
    /// Messages of one session.
    #[schemars(range(min = 1))]
    pub(crate) messages_per_session: Option<u32>,
    /// Commands refused for good before a session is closed.
    #[schemars(range(min = 1))]
    pub(crate) errors: Option<u32>,
    /// Recipients refused for good, beyond those accepted, before a session is closed.
    #[schemars(range(min = 1))]
    pub(crate) bad_recipients: Option<u32>,
}
