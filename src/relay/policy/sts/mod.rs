//! Policies of domains about the TLS of their exchangers (RFC 8461): found, fetched, and remembered for as long as they say.
//!
//! - What is remembered outlives every failure to fetch it again, until its time is over; it does not outlive this process.
//! - One fetch of a domain's policy at a time; after one that failed, the next is some minutes away (RFC 8461 §3.3).
//! - A policy is only ever looked for where the configuration asks for it, so the number of policies is the number of such relays.

mod fetch;
mod text;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::time::{Instant, timeout_at};

pub(in crate::relay) use self::text::{Mode, Policy};
use super::super::pool::lock;
use super::session::Noted;
use crate::dns::Dns;
use crate::limits::{RELAY_RESOLVE_TIMEOUT, STS_POLICIES_MAX, STS_REFRESH, STS_RETRY};

/// What is remembered of domains.
#[derive(Debug)]
pub(in crate::relay) struct Policies {
    domains: Mutex<HashMap<Key, Arc<tokio::sync::Mutex<Memory>>>>,
    /// Of the servers of policies.
    port: u16,
}

/// A domain, and whose word is believed on its policy.
type Key = (Box<str>, Option<PathBuf>);

#[derive(Debug, Default)]
struct Memory {
    policy: Option<Remembered>,
    failed: Option<(Box<str>, Instant, Noted)>,
}

#[derive(Clone, Debug)]
struct Remembered {
    policy: Arc<Policy>,
    id: Box<str>,
    fetched: Instant,
    until: Instant,
}

/// What is known of a domain's policy.
#[derive(Clone, Debug)]
pub(in crate::relay) struct Found {
    /// The policy in force; `None`: there is none that is known.
    pub(in crate::relay) policy: Option<Arc<Policy>>,
    /// What went wrong, for reports.
    pub(in crate::relay) noted: Option<Noted>,
}

impl Policies {
    /// Knows nothing yet. The port is 443, but for tests.
    pub(in crate::relay) fn new(port: u16) -> Self {
        Self { domains: Mutex::default(), port }
    }

    /// The policy of a domain; the error says that there was no time to find out.
    pub(in crate::relay) async fn of(&self, dns: &Dns, domain: &str, ca_file: Option<&Path>, deadline: Instant) -> Result<Found, String> {
        let late = |_| format!("no time left for the MTA-STS policy of {domain}");
        let (inquiry, name) = (dns.inquiry(1, RELAY_RESOLVE_TIMEOUT), format!("_mta-sts.{domain}"));
        let records = timeout_at(deadline, inquiry.txt(&name)).await.map_err(late)?;
        // RFC 8461 §3.1: without a record, or an answer, what is remembered still holds.
        let id = records.ok().and_then(|found| text::current_id(&found.records));
        let memory = self.memory((domain.into(), ca_file.map(Path::to_owned)));
        let mut memory = timeout_at(deadline, memory.lock()).await.map_err(late)?;
        let now = Instant::now();
        let remembered = memory.policy.clone().filter(|policy| policy.until > now);
        let known = |noted| Found { policy: remembered.as_ref().map(|remembered| Arc::clone(&remembered.policy)), noted };
        let Some(id) = id else { return Ok(known(None)) };
        let is_fresh = |policy: &Remembered| policy.id == id && now < policy.fetched + STS_REFRESH.min(policy.policy.max_age / 2);
        if remembered.as_ref().is_some_and(is_fresh) {
            return Ok(known(None));
        }
        if let Some((_, _, noted)) = memory.failed.as_ref().filter(|(of, at, _)| *of == id && now < *at + STS_RETRY) {
            return Ok(known(Some(noted.clone())));
        }
        match timeout_at(deadline, fetch::fetch(dns, domain, ca_file, self.port)).await.map_err(late)? {
            Ok(policy) => {
                let (now, policy) = (Instant::now(), Arc::new(policy));
                memory.policy = Some(Remembered { policy: Arc::clone(&policy), id, fetched: now, until: now + policy.max_age });
                memory.failed = None;
                Ok(Found { policy: Some(policy), noted: None })
            }
            Err(noted) => {
                memory.failed = Some((id, Instant::now(), noted.clone()));
                Ok(known(Some(noted)))
            }
        }
    }

    fn memory(&self, key: Key) -> Arc<tokio::sync::Mutex<Memory>> {
        let mut domains = lock(&self.domains);
        if domains.len() >= STS_POLICIES_MAX && !domains.contains_key(&key) {
            // Reloads have left domains behind that no relay names any more.
            domains
                .retain(|_, memory| memory.try_lock().is_ok_and(|memory| memory.policy.as_ref().is_some_and(|p| p.until > Instant::now())));
            if domains.len() >= STS_POLICIES_MAX {
                domains.clear();
            }
        }
        Arc::clone(domains.entry(key).or_default())
    }
}

impl Found {
    /// The policy that applies, unless it says that there is none any more.
    pub(in crate::relay) fn in_force(&self) -> Option<&Arc<Policy>> {
        self.policy.as_ref().filter(|policy| policy.mode != Mode::None)
    }
}
