//! What TLS is asked for on the way to one host: by the relay's `tls`, by what the host's domain publishes, by the message.
//!
//! - DANE and MTA-STS are for mail exchangers that were found by DNS. The hosts of a configuration are never asked for either.
//! - Trouble to find out a policy of DANE is trouble with the host: nothing goes there until there is an answer (RFC 7672 §2.1.2).
//! - A message with REQUIRETLS goes to exchangers that DNSSEC or MTA-STS vouch for, whatever the relay's `tls` says (RFC 8689 §4.2.1).

mod dane;
mod session;
pub(super) mod sts;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use tokio::time::Instant;

pub use session::{Fault as TlsFault, Noted as TlsNoted, TlsObserver, TlsPolicy, TlsPolicyKind, TlsSession};

use super::connection::Connection;
use super::tls::Trust;
use super::{Inner, RelayConfig, Route, TlsMode, failures};
use crate::dns::normal_name;
use crate::failure::Failure;
use crate::limits::RELAY_RESOLVE_TIMEOUT;
use dane::Dane;
use session::{Fault, Noted};

/// Whether there is TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// No.
    Plain,
    /// If it can be had.
    IfOffered,
    /// Or nothing.
    Always,
}

/// What is asked of the way to a host.
#[derive(Debug)]
pub(super) struct Demand {
    pub(super) need: Need,
    pub(super) trust: Trust,
    /// The name that is asked for in the handshake, if it is not the host's (RFC 7672 §8.1).
    pub(super) name: Option<Arc<str>>,
    /// A session like this may carry a message with REQUIRETLS, if the next hop offers it.
    is_for_require_tls: bool,
    /// The domain, if the host is one of its exchangers.
    domain: Option<Arc<str>>,
    policy: TlsPolicy,
    /// What failed first.
    noted: OnceLock<Noted>,
}

impl Demand {
    fn new(need: Need, trust: Trust) -> Self {
        let is_for_require_tls = false;
        Self { need, trust, name: None, is_for_require_tls, domain: None, policy: TlsPolicy::default(), noted: OnceLock::new() }
    }

    /// For a socket of this machine.
    pub(super) fn plain() -> Self {
        Self::new(Need::Plain, Trust::Anyone)
    }

    /// By the configuration alone.
    fn of(relay: &RelayConfig) -> Self {
        let (need, trust) = match relay.tls {
            TlsMode::None => (Need::Plain, Trust::Anyone),
            // Validation lets the last two pass with `mx` only: who gets here has them for nothing.
            TlsMode::Opportunistic | TlsMode::Dane | TlsMode::MtaSts => (Need::IfOffered, Trust::Anyone),
            TlsMode::Required => (Need::Always, Trust::Anyone),
            TlsMode::Verify => (Need::Always, Trust::Cas),
        };
        Self::new(need, trust)
    }

    fn verified() -> Self {
        Self { is_for_require_tls: true, ..Self::new(Need::Always, Trust::Cas) }
    }

    /// Notes what failed, unless something did before.
    pub(super) fn note(&self, noted: impl FnOnce() -> Noted) {
        self.noted.get_or_init(noted);
    }

    pub(super) fn note_no_starttls(&self) {
        self.note(|| Noted::new(Fault::StarttlsNotSupported, "STARTTLS is not offered, or refused"));
    }

    pub(super) fn note_handshake(&self, error: &std::io::Error) {
        self.note(|| Noted::of_handshake(error));
    }

    /// Whether a session that is good enough for this demand has a certificate that was checked.
    pub(super) fn verifies(&self) -> bool {
        self.is_for_require_tls
    }
}

/// What is asked of the way to a host; the error is what keeps mail from it for now, or for good if the message asks for too much.
pub(super) async fn for_host(
    inner: &Inner,
    relay: &RelayConfig,
    host: &str,
    require_tls: bool,
    deadline: Instant,
) -> Result<Demand, Failure> {
    let demand = published(inner, relay, host, require_tls, deadline).await?;
    // A key that is asked for can only be shown by TLS, and without STARTTLS there is no way back from a handshake.
    let need = if relay.implicit_tls || !relay.pins.is_empty() { Need::Always } else { demand.need };
    Ok(Demand { need, ..demand })
}

async fn published(inner: &Inner, relay: &RelayConfig, host: &str, require_tls: bool, deadline: Instant) -> Result<Demand, Failure> {
    let Route::MailExchangers(domain) = &relay.route else {
        // RFC 8689 §4.2.1: the certificate is valid for the name that the configuration has.
        let demand = if require_tls { Demand::verified() } else { Demand::of(relay) };
        let is_for_require_tls = matches!(demand.trust, Trust::Cas);
        return Ok(Demand { is_for_require_tls, ..demand });
    };
    let exchanger = Exchanger { inner, relay, domain, host, deadline };
    let asked = match (require_tls, relay.tls) {
        (true, _) => exchanger.vouched().await,
        (false, TlsMode::Dane) => exchanger.dane().await.map(|demand| demand.unwrap_or_else(|| Demand::of(relay))),
        (false, TlsMode::MtaSts) => exchanger.sts().await,
        (false, _) => Ok(Demand::of(relay)),
    };
    match asked {
        Ok(demand) => Ok(Demand { domain: Some(Arc::clone(domain)), ..demand }),
        Err(Refused { failure, policy, noted }) => {
            if let Some(noted) = noted {
                inner.tell(|| TlsSession { domain: Arc::clone(domain), host: host.into(), address: None, policy, fault: Some(noted) });
            }
            Err(failure)
        }
    }
}

/// Tells who watches what became of a session, if it came to TLS or should have.
pub(super) fn tell(inner: &Inner, demand: &Demand, host: &str, address: Option<SocketAddr>, connection: Option<&Connection>) {
    let watched = if let Trust::Watched(note) = &demand.trust { note.get().map(Noted::of_tls) } else { None };
    let fault = demand.noted.get().cloned().or(watched);
    let has_tls = connection.is_some_and(|connection| connection.peer.tls.is_some());
    if let Some(domain) = demand.domain.as_ref().filter(|_| has_tls || fault.is_some()) {
        let (domain, host, policy) = (Arc::clone(domain), host.into(), demand.policy.clone());
        inner.tell(|| TlsSession { domain, host, address: address.map(|address| address.ip()), policy, fault });
    }
}

/// Why nothing goes to an exchanger.
struct Refused {
    failure: Failure,
    policy: TlsPolicy,
    noted: Option<Noted>,
}

impl Refused {
    fn new(fault: Fault, policy: TlsPolicy, detail: impl std::fmt::Display) -> Self {
        let noted = Noted::new(fault, detail);
        Self { failure: failures::tls_failed(&noted.detail), policy, noted: Some(noted) }
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self { failure, policy: TlsPolicy::default(), noted: None }
    }
}

/// A host of a domain.
struct Exchanger<'a> {
    inner: &'a Inner,
    relay: &'a RelayConfig,
    domain: &'a Arc<str>,
    host: &'a str,
    deadline: Instant,
}

/// What DNSSEC says of a domain's exchangers.
struct Exchangers {
    /// The MX records are authenticated, and the host is one of them.
    is_secure: bool,
    /// There are none: the domain is its own exchanger, and as secure as its address (RFC 7672 §2.2.1).
    is_implicit: bool,
    canonical: Option<Box<str>>,
}

impl Exchanger<'_> {
    async fn exchangers(&self) -> Result<Exchangers, Refused> {
        let patience = RELAY_RESOLVE_TIMEOUT.min(self.deadline.saturating_duration_since(Instant::now()));
        let found = self.inner.dns.inquiry(1, patience).proven_mx(self.domain).await;
        let found =
            found.map_err(|error| Refused::new(Fault::DnssecInvalid, TlsPolicy::default(), format!("MX of {}: {error}", self.domain)))?;
        let records = &found.records.records;
        let host = normal_name(self.host);
        let is_named = records.iter().any(|(_, exchanger)| Some(exchanger) == host.as_ref());
        if found.is_secure && !records.is_empty() && !is_named {
            // Whoever named it was not as careful, or the records have changed just now.
            let why = format!("{} is no exchanger of {} by its authenticated MX records", self.host, self.domain);
            return Err(Refused::new(Fault::DnssecInvalid, TlsPolicy::default(), why));
        }
        Ok(Exchangers { is_secure: found.is_secure && is_named, is_implicit: records.is_empty(), canonical: found.canonical })
    }

    /// By TLSA records; `None`: there are none that count.
    async fn dane(&self) -> Result<Option<Demand>, Refused> {
        let exchangers = self.exchangers().await?;
        self.dane_of(&exchangers).await
    }

    async fn dane_of(&self, exchangers: &Exchangers) -> Result<Option<Demand>, Refused> {
        // RFC 7672 §2.2.1: exchangers that anybody may have named need not be asked.
        if !exchangers.is_secure && !exchangers.is_implicit {
            return Ok(None);
        }
        let found = dane::look_up(&self.inner.dns, self.relay.port, self.host, self.deadline).await;
        let found = found.map_err(|error| Refused::new(Fault::DnssecInvalid, TlsPolicy::default(), error))?;
        let Some(Dane { base, records }) = found else { return Ok(None) };
        let lines = records.iter().map(|record| record.to_string().into()).collect();
        let policy = TlsPolicy { kind: TlsPolicyKind::Tlsa, lines, exchangers: Arc::new([self.host.into()]) };
        // RFC 7672 §3.2.2.
        let names = [Some(&*base), Some(self.host), Some(&**self.domain), exchangers.canonical.as_deref()];
        let demand = match super::tls::Anchors::new(&records, names.into_iter().flatten()) {
            Some(anchors) => {
                Demand { name: Some(base), is_for_require_tls: true, policy, ..Demand::new(Need::Always, Trust::Dane(Arc::new(anchors))) }
            }
            // RFC 7672 §2.2: whoever publishes records has TLS, though nobody knows whom to believe.
            None => {
                let demand = Demand { policy, ..Demand::new(Need::Always, Trust::Anyone) };
                demand.note(|| Noted::new(Fault::TlsaInvalid, "no TLSA record can be used"));
                demand
            }
        };
        Ok(Some(demand))
    }

    async fn policy(&self) -> Result<sts::Found, Refused> {
        let found = self.inner.sts.of(&self.inner.dns, self.domain, self.relay.ca_file.as_deref(), self.deadline).await;
        found.map_err(|error| failures::too_late(error).into())
    }

    /// By the domain's policy of MTA-STS.
    async fn sts(&self) -> Result<Demand, Refused> {
        let found = self.policy().await?;
        let Some(in_force) = found.in_force() else {
            let demand = Demand::of(self.relay);
            found.noted.into_iter().for_each(|noted| demand.note(|| noted));
            return Ok(demand);
        };
        let policy = policy_of(in_force);
        if in_force.has(self.host) {
            let demand = match in_force.mode {
                sts::Mode::Enforce => Demand::verified(),
                _ => Demand::new(Need::IfOffered, Trust::Watched(Arc::default())),
            };
            return Ok(Demand { policy, ..demand });
        }
        // RFC 8461 §4.1.
        let why = format!("{} is no exchanger of {} by its MTA-STS policy", self.host, self.domain);
        if in_force.mode == sts::Mode::Enforce {
            return Err(Refused::new(Fault::ValidationFailure, policy, why));
        }
        let demand = Demand { policy, ..Demand::new(Need::IfOffered, Trust::Anyone) };
        demand.note(|| Noted::new(Fault::ValidationFailure, why));
        Ok(demand)
    }

    /// For a message with REQUIRETLS: an exchanger that DNSSEC or MTA-STS vouch for, and whose certificate is checked (RFC 8689 §4.2.1).
    async fn vouched(&self) -> Result<Demand, Refused> {
        let exchangers = self.exchangers().await?;
        if let Some(demand) = self.dane_of(&exchangers).await?
            && demand.is_for_require_tls
        {
            return Ok(demand);
        }
        if exchangers.is_secure {
            return Ok(Demand::verified());
        }
        let found = self.policy().await?;
        match found.in_force().filter(|policy| policy.has(self.host)) {
            Some(in_force) => Ok(Demand { policy: policy_of(in_force), ..Demand::verified() }),
            None => Err(failures::no_required_tls(format!("neither DNSSEC nor MTA-STS vouch for {} of {}", self.host, self.domain)).into()),
        }
    }
}

fn policy_of(policy: &sts::Policy) -> TlsPolicy {
    let (lines, exchangers) = (policy.lines.iter().cloned().collect(), policy.exchangers.iter().cloned().collect());
    TlsPolicy { kind: TlsPolicyKind::Sts, lines, exchangers }
}
