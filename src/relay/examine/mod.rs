//! A look at a relay, step by step, for its operator: what its hosts resolve to, what each address says and shows, and whether a session
//! opens as deliveries open it.
//!
//! Nothing is delivered. Credentials are sent once, to one address, by the same code that logs in for deliveries; what is reported holds
//! nothing of them.

mod dialogue;
mod talk;
mod trust;

pub use talk::Talk;
pub use trust::{Certificate, Handshake};

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use self::dialogue::Dialogue;
use super::connect::{Connect, ConnectError};
use super::connection::Peer;
use super::hosts::{Candidate, Place};
use super::pool::Pool;
use super::{IpFamily, RelayConfig, RelayKind, Relays, Route, failures, internet, replies};
use crate::failure::Side;
use crate::limits::{MX_HOSTS_MAX, RELAY_ADDRESSES_MAX, RELAY_EXAMINE_TIMEOUT, RELAY_RESOLVE_TIMEOUT};
use crate::smtp::{Address, Reply, Stage};

/// What was found.
#[derive(Clone, Debug)]
pub struct Examination {
    /// Why it is not known which hosts there are: the MX records cannot be had.
    pub no_hosts: Option<String>,
    /// The hosts in the order in which they are tried.
    pub hosts: Vec<Host>,
    /// A session opened as for a delivery, with the address it was opened to. `None`: no address answers, or this kind has no sessions.
    pub session: Option<(SocketAddr, Result<(), String>)>,
    /// What became of the probe. `None`: none was asked for, or there was no session for it.
    pub probe: Option<Result<Probed, String>>,
}

/// A host and its addresses.
#[derive(Clone, Debug)]
pub struct Host {
    /// As configured, or as an MX record names it.
    pub name: Arc<str>,
    /// Its addresses, or why there are none.
    pub addresses: Result<Vec<Looked>, String>,
}

/// An address and what came of a connection to it.
#[derive(Clone, Debug)]
pub struct Looked {
    /// The address.
    pub address: SocketAddr,
    /// Where the connection comes from, if that is configured.
    pub source: Option<IpAddr>,
    /// `None`: this relay does not use addresses of this family.
    pub talk: Option<Result<Talk, String>>,
}

/// A transaction without a message: MAIL and RCPT, then RSET.
#[derive(Clone, Debug)]
pub struct Probe {
    sender: Address,
    recipient: Address,
}

impl Probe {
    /// From two addresses; the error says which one is none.
    pub fn new(sender: &str, recipient: &str) -> Result<Self, String> {
        let parse = |text: &str| Address::parse(text, false).map_err(|_| format!("`{text}` is not a mail address in ASCII"));
        Ok(Self { sender: parse(sender)?, recipient: parse(recipient)? })
    }
}

/// What the next hop said to a probe.
#[derive(Clone, Debug)]
pub struct Probed {
    /// The last reply: to RCPT, or to MAIL when that was refused.
    pub reply: Reply,
    /// What becomes of mail that gets this reply.
    pub meaning: Meaning,
    /// Why that is so, where the reply is known.
    pub detail: String,
}

/// What a reply means for mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It is taken.
    Taken,
    /// It is tried again.
    TriedAgain,
    /// It waits until the operator has mended something.
    Waits,
    /// It is returned to the sender.
    Returned,
}

impl Relays {
    /// Looks at a relay. It ends after some minutes at the latest, whatever the next hops do.
    pub async fn examine(&self, relay: &Arc<RelayConfig>, probe: Option<&Probe>) -> Examination {
        let names: Vec<Arc<str>> = match &relay.route {
            Route::Hosts(hosts) => hosts.clone(),
            Route::MailExchangers(domain) => match internet::find(&self.inner.dns, domain).await.map(|found| found.route.clone()) {
                Ok(Route::Hosts(hosts)) => hosts,
                Ok(Route::MailExchangers(_)) => Vec::new(),
                Err(failure) => {
                    let no_hosts = Some(failure.to_string());
                    return Examination { no_hosts, hosts: Vec::new(), session: None, probe: None };
                }
            },
        };
        let hosts = join_all(names.into_iter().take(MX_HOSTS_MAX).map(|name| self.host(relay, name))).await;
        let mut examination = Examination { no_hosts: None, hosts, session: None, probe: None };
        if relay.kind == RelayKind::Smtp {
            self.session(relay, probe, &mut examination).await;
        }
        examination
    }

    async fn host(&self, relay: &RelayConfig, name: Arc<str>) -> Host {
        let addresses = match resolve(&name, relay.port).await {
            Ok(addresses) => Ok(join_all(addresses.into_iter().map(|address| self.look(relay, &name, address))).await),
            Err(why) => Err(why),
        };
        Host { name, addresses }
    }

    async fn look(&self, relay: &RelayConfig, host: &str, address: SocketAddr) -> Looked {
        let source = relay.source_ips.iter().copied().find(|source| source.is_ipv4() == address.is_ipv4());
        let used = match relay.ip_family {
            IpFamily::Any => true,
            IpFamily::V4 => address.is_ipv4(),
            IpFamily::V6 => address.is_ipv6(),
        };
        let talk = if used && (source.is_some() || relay.source_ips.is_empty()) {
            Some(talk::talk(relay, &self.inner.hostname, host, address, source).await)
        } else {
            None
        };
        Looked { address, source, talk }
    }

    /// Opens a session with the first address that can be reached, and tries the probe on it.
    async fn session(&self, relay: &Arc<RelayConfig>, probe: Option<&Probe>, examination: &mut Examination) {
        let reached = examination.hosts.iter().find_map(|host| {
            let looked = host.addresses.as_ref().ok()?.iter().find(|looked| matches!(looked.talk, Some(Ok(_))))?;
            Some((Arc::clone(&host.name), looked.address))
        });
        let Some((host, address)) = reached else { return };
        let pool = Pool::new(Arc::clone(relay));
        let deadline = Instant::now() + RELAY_EXAMINE_TIMEOUT;
        let candidate = Candidate { host, place: Place::Tcp(address) };
        let connect = Connect { inner: &self.inner, pool: &pool, candidate: &candidate, require_tls: false, deadline };
        match connect.open(None).await {
            Ok(connection) => {
                examination.session = Some((address, Ok(())));
                let (stream, _, peer) = connection.into_parts();
                let mut dialogue = Dialogue::new(stream);
                if let Some(probe) = probe {
                    examination.probe = Some(probed(&mut dialogue, probe, relay, &peer).await);
                }
                dialogue.quit().await;
            }
            Err(ConnectError::TryNext(failure) | ConnectError::Stop(failure)) => {
                examination.session = Some((address, Err(failure.to_string())));
            }
        }
    }
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let found = match timeout(RELAY_RESOLVE_TIMEOUT, tokio::net::lookup_host((name, port))).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err(format!("no answer within {} s", RELAY_RESOLVE_TIMEOUT.as_secs())),
    };
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found.take(RELAY_ADDRESSES_MAX) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err("the name has no address".to_owned()) } else { Ok(addresses) }
}

async fn probed(dialogue: &mut Dialogue, probe: &Probe, relay: &RelayConfig, peer: &Peer) -> Result<Probed, String> {
    let mut reply = dialogue.ask(&format!("MAIL FROM:<{}>", probe.sender)).await?;
    let mut stage = Stage::Mail;
    if reply.is_positive() {
        reply = dialogue.ask(&format!("RCPT TO:<{}>", probe.recipient)).await?;
        stage = Stage::Rcpt(0);
        // The transaction ends here, whatever the reply.
        let _ = dialogue.ask("RSET").await;
    }
    if reply.is_positive() {
        return Ok(Probed { reply, meaning: Meaning::Taken, detail: String::new() });
    }
    let said = replies::Said::new(relay, stage, &reply, peer.address, peer.tls.is_some());
    let failure = failures::refused(stage, &reply, &replies::meaning(&said));
    let meaning = match (failure.side, failure.is_temporary()) {
        (Side::Us, _) => Meaning::Waits,
        (_, true) => Meaning::TriedAgain,
        (_, false) => Meaning::Returned,
    };
    Ok(Probed { reply, meaning, detail: failure.detail })
}

/// Milliseconds, for people.
fn elapsed(since: Instant) -> Duration {
    Duration::from_millis(u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX))
}
