//! The TLSA records of a mail exchanger (RFC 7672 §2.2).

use std::sync::Arc;

use tokio::time::Instant;

use crate::dns::{Dns, DnsError, Tlsa, normal_name};
use crate::limits::{DANE_QUESTIONS_MAX, RELAY_RESOLVE_TIMEOUT};

/// Authenticated records.
#[derive(Debug)]
pub(super) struct Dane {
    /// The name that they stand below (RFC 7672 §2.2.3).
    pub(super) base: Arc<str>,
    pub(super) records: Arc<[Tlsa]>,
}

/// The records of a host; `None`: there are none, or DNSSEC does not vouch for the host. The error is for people.
pub(super) async fn look_up(dns: &Dns, port: u16, host: &str, deadline: Instant) -> Result<Option<Dane>, String> {
    let Some(host) = normal_name(host) else { return Ok(None) };
    let patience = RELAY_RESOLVE_TIMEOUT.min(deadline.saturating_duration_since(Instant::now()));
    let inquiry = dns.inquiry(DANE_QUESTIONS_MAX, patience);
    let failed = |kind: &str, name: &str, error: DnsError| format!("{kind} of {name}: {error}");
    // RFC 7672 §2.2.2: a host whose addresses are not authenticated has no records that count, and its servers may not even know the type.
    let ipv4 = inquiry.proven_ipv4(&host).await.map_err(|error| failed("A", &host, error))?;
    let (mut is_secure, mut canonical) = (ipv4.is_secure, ipv4.canonical);
    if !is_secure && ipv4.records.records.is_empty() {
        let ipv6 = inquiry.proven_ipv6(&host).await.map_err(|error| failed("AAAA", &host, error))?;
        (is_secure, canonical) = (ipv6.is_secure, ipv6.canonical);
    }
    // The name at the end of CNAMEs comes first, but only where all of them are authenticated; an alias may have records of its own.
    let bases = match (is_secure, canonical) {
        (true, Some(canonical)) => vec![canonical, host],
        (true, None) | (false, Some(_)) => vec![host],
        (false, None) => return Ok(None),
    };
    for base in bases {
        let found = inquiry.tlsa(&format!("_{port}._tcp.{base}")).await.map_err(|error| failed("TLSA", &base, error))?;
        if found.is_secure && !found.records.records.is_empty() {
            return Ok(Some(Dane { base: base.into(), records: found.records.records }));
        }
    }
    Ok(None)
}
