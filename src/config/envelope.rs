//! What is done about envelopes: senders that are rewritten, recipients that are looked up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::secrets::SecretRef;

/// The Sender Rewriting Scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SrsConfig {
    /// The domain of rewritten senders.
    pub domain: Arc<str>,
    /// Where the keys are found.
    pub key: SecretRef,
}

/// Where and how the recipients of an endpoint are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallAhead {
    /// Who is asked.
    pub relays: CallAheadRelays,
    /// How long a known recipient is remembered.
    pub positive: Duration,
    /// How long an unknown one is.
    pub negative: Duration,
    /// How long the relay is waited for.
    pub timeout: Duration,
}

/// Who knows recipients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallAheadRelays {
    /// This relay, those of all domains.
    One(Arc<str>),
    /// By domain, lower case.
    ByDomain(BTreeMap<String, Arc<str>>),
}

impl CallAhead {
    /// The relay that knows the recipients of a domain.
    pub fn relay(&self, domain: &str) -> Option<&Arc<str>> {
        match &self.relays {
            CallAheadRelays::One(relay) => Some(relay),
            CallAheadRelays::ByDomain(relays) => relays.get(&domain.to_lowercase()),
        }
    }
}
