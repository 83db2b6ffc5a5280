//! The key `call_ahead` of an endpoint: recipients are looked up at a relay.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::*;

/// Recipients are looked up at the relay before they are accepted, so that unknown ones are refused in the dialogue. A relay that does not answer
/// refuses nobody. `relay` or `relays` says where.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-one-of" = ["relay", "relays"]))]
pub(crate) struct CallAhead {
    /// The relay that knows the recipients of all domains.
    pub(crate) relay: Option<RelayName>,
    /// By domain; recipients of other domains are not looked up.
    #[schemars(extend("minProperties" = 1))]
    pub(crate) relays: Option<BTreeMap<String, RelayName>>,
    /// How long a known recipient is remembered, 1m to 31d; `24h` unless said.
    pub(crate) positive: Option<TimeSpan>,
    /// How long an unknown one is, 1s to 1d; `15m` unless said.
    pub(crate) negative: Option<TimeSpan>,
    /// How long the relay is waited for before the recipient is accepted without its word, 1s to 60s; `10s` unless said.
    pub(crate) timeout: Option<TimeSpan>,
}
