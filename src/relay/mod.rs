//! Relays: the named next hops, and the driver of the client session that delivers to them.
//!
//! Knows nothing of rules. Connections are pooled for each relay; credentials go out over TLS or to loopback only.
//!
//! - Every recipient of a delivery gets exactly one outcome, before the deadline, whatever the next hop does.
//! - [`Outcome::Delivered`] stands for a 2xx reply to the final dot, read after the whole content was written.
//! - What is wrong with this gateway's set-up (login, certificate, connector, name) is a temporary failure: mail waits, it never bounces for it.
//! - No lock is held across I/O, and no body is copied.
//! - A policy about TLS that a domain publishes is followed where the relay's `tls` says so; nothing goes out in plain text then.
//!
//! `deliver` makes transactions of a delivery, divided by `groups`, and decides what a failure means; `hosts` says which place is next,
//! `resolve` and `internet` find it, `health` remembers who was sick, `policy` says what TLS it needs, `race` and `connect` and `login` get a
//! session ready, `connection` moves its bytes, `pool` keeps it for the next message, `failures` has the words.
//! `tokens` has what is logged in with instead of passwords, `client_certificate` what is shown in handshakes; `graph` is the next hop
//! that speaks HTTP.
//! `replies` knows what a next hop's refusal asks of us, and `gate` makes the relay as a whole heed it.

mod client_certificate;
mod config;
mod connect;
mod connection;
mod deliver;
pub mod examine;
mod failures;
mod gate;
mod graph;
mod groups;
mod health;
mod hosts;
mod internet;
mod login;
mod percent;
mod policy;
mod pool;
mod race;
mod replies;
mod resolve;
mod retry_after;
mod stream;
#[cfg(test)]
pub(crate) mod tests;
mod tls;
mod tokens;
mod verify;

pub use verify::Verified;

pub use config::{
    Auth, IpFamily, OAuthConfig, OAuthProof, Preset, Provider, RelayConfig, RelayKind, RelayLimits, RetrySchedule, Route, TlsMode,
};
pub use gate::{Memory, Recalled, Remembered};

pub use policy::{TlsFault, TlsNoted, TlsObserver, TlsPolicy, TlsPolicyKind, TlsSession};

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::dns::Dns;
use crate::failure::Failure;
use crate::message::{Content, TlsVersion};
use crate::secrets::Secrets;
use crate::smtp::{MailTerms, Recipient, Reply, ReversePath};

/// RFC 8461 §3.3.
const HTTPS_PORT: u16 = 443;

/// All relays: the pools behind their names. Clones share them.
#[derive(Clone, Debug)]
pub struct Relays {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    hostname: Arc<str>,
    secrets: Arc<dyn login::CredentialSource>,
    tokens: tokens::Tokens,
    pools: Mutex<Pools>,
    system_cas: tls::LazyCas,
    /// Policies of domains.
    sts: policy::sts::Policies,
    observer: OnceLock<Arc<dyn TlsObserver>>,
    dns: Dns,
    gates: gate::Gates,
    strangers: gate::Strangers,
}

impl Inner {
    fn tell(&self, session: impl FnOnce() -> TlsSession) {
        if let Some(observer) = self.observer.get() {
            observer.seen(session());
        }
    }
}

#[derive(Debug, Default)]
struct Pools {
    by_name: HashMap<Arc<str>, Arc<pool::Pool>>,
    closed: bool,
}

impl Relays {
    /// No connection is made yet. `hostname` is what EHLO says; `dns` finds mail exchangers.
    pub fn new(hostname: Arc<str>, secrets: Arc<Secrets>, dns: Dns) -> Self {
        let tokens = tokens::Tokens::new(Arc::clone(&secrets));
        Self::with_source(hostname, secrets, tokens, dns)
    }

    fn with_source(hostname: Arc<str>, secrets: Arc<dyn login::CredentialSource>, tokens: tokens::Tokens, dns: Dns) -> Self {
        Self::with_policy_port(hostname, secrets, tokens, dns, HTTPS_PORT)
    }

    /// The port is that of servers of MTA-STS policies, which only tests have elsewhere.
    fn with_policy_port(
        hostname: Arc<str>,
        secrets: Arc<dyn login::CredentialSource>,
        tokens: tokens::Tokens,
        dns: Dns,
        policy_port: u16,
    ) -> Self {
        let (system_cas, observer, pools) = Default::default();
        let sts = policy::sts::Policies::new(policy_port);
        let (gates, strangers) = Default::default();
        Self { inner: Arc::new(Inner { hostname, secrets, tokens, pools, system_cas, sts, observer, dns, gates, strangers }) }
    }

    /// Has somebody told of TLS with mail exchangers; whoever comes first stays.
    pub fn observe_tls(&self, observer: Arc<dyn TlsObserver>) {
        let _ = self.inner.observer.set(observer);
    }

    /// From now on holds and counts are kept in `memory`, and told of in `log`. `recalled` is what the memory holds of former times.
    /// Without it, limits hold for as long as the process runs.
    pub fn remember_in(&self, memory: Arc<dyn Memory>, recalled: Recalled, log: crate::telemetry::Log) {
        self.inner.gates.remember_in(memory, recalled, log);
    }

    /// Delivers to one relay. Every recipient has an outcome when it returns, which is at `deadline` at the latest.
    pub async fn deliver(&self, relay: &Arc<RelayConfig>, delivery: &Delivery, deadline: tokio::time::Instant) -> DeliveryReport {
        if let Some(domain) = domain_of_the_moment(relay) {
            return self.deliver_to_stranger(relay, domain, delivery, deadline).await;
        }
        let (pool, gate) = (self.pool(relay), self.inner.gates.of(&relay.name));
        let report = match relay.kind {
            RelayKind::Graph => match gate.enter(relay, delivery, delivery.recipients.len(), deadline).await {
                Ok(mut pass) => {
                    // One message, whatever its recipients; a second begin is that of another connection.
                    pass.begin().await;
                    // A box for the depth of the type, which the compiler has an end to.
                    let sent: Pin<Box<dyn Future<Output = DeliveryReport> + Send + '_>> =
                        Box::pin(graph::deliver(&self.inner, &pool, delivery, deadline));
                    sent.await
                }
                Err(failure) => untried(delivery, failure),
            },
            RelayKind::Smtp | RelayKind::Lmtp => deliver::deliver(&self.inner, &pool, &gate, delivery, deadline).await,
        };
        gate.learn(relay, delivery, &report);
        report
    }

    /// The gate of such a relay keeps nobody out: what is known of domains does.
    async fn deliver_to_stranger(
        &self,
        relay: &Arc<RelayConfig>,
        domain: &str,
        delivery: &Delivery,
        deadline: tokio::time::Instant,
    ) -> DeliveryReport {
        let visit = match self.inner.strangers.visit(domain) {
            Ok(visit) => visit,
            Err(failure) => return untried(delivery, failure),
        };
        let (pool, gate) = (self.pool(relay), self.inner.gates.of_the_moment(&relay.name));
        let report = deliver::deliver(&self.inner, &pool, &gate, delivery, deadline).await;
        goodbye(pool.close());
        // A host that answers, however it does, has a session and so TLS or not; one that does not costs time.
        let is_silent = |failure: &Failure| failure.literal().status.is_some_and(|status| matches!((status.1, status.2), (4, 1..=3)));
        let is_dead = report.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Failed(failure) if is_silent(failure)));
        if is_dead {
            visit.found_dead()
        } else {
            visit.found_alive()
        }
        report
    }

    /// Asks one relay whether it takes mail for a recipient; it has an answer at `deadline` at the latest.
    pub async fn verify(&self, relay: &Arc<RelayConfig>, recipient: &crate::smtp::Address, deadline: tokio::time::Instant) -> Verified {
        verify::verify(&self.inner, &self.pool(relay), recipient, deadline).await
    }

    /// Says goodbye on all idle connections; those in use are not kept when they become idle.
    pub async fn close(&self) {
        let pools: Vec<_> = {
            let mut pools = pool::lock(&self.inner.pools);
            pools.closed = true;
            pools.by_name.drain().map(|(_, pool)| pool).collect()
        };
        let mut goodbyes: JoinSet<()> = pools.iter().flat_map(|pool| pool.close()).map(connection::Connection::quit).collect();
        while goodbyes.join_next().await.is_some() {}
    }

    /// The pool of a relay; a changed configuration gets a new one, and the old one's idle connections are closed.
    fn pool(&self, relay: &Arc<RelayConfig>) -> Arc<pool::Pool> {
        if is_of_the_moment(relay) {
            // There are as many of them as senders have domains: none is remembered.
            return Arc::new(pool::Pool::new(Arc::clone(relay)));
        }
        let (pool, replaced) = {
            let mut pools = pool::lock(&self.inner.pools);
            if let Some(pool) = pools.by_name.get(&relay.name).filter(|pool| pool.serves(relay)) {
                return Arc::clone(pool);
            }
            let pool = Arc::new(pool::Pool::new(Arc::clone(relay)));
            if pools.closed {
                pool.close();
                (pool, None)
            } else {
                let replaced = pools.by_name.insert(Arc::clone(&relay.name), Arc::clone(&pool));
                (pool, replaced)
            }
        };
        goodbye(replaced.iter().flat_map(|pool| pool.close()));
        pool
    }
}

/// Nobody was tried.
fn untried(delivery: &Delivery, failure: Failure) -> DeliveryReport {
    let failure = Arc::new(failure);
    let outcomes = delivery.recipients.iter().map(|_| Outcome::Failed(Arc::clone(&failure))).collect();
    DeliveryReport { outcomes, attempts: Vec::new() }
}

/// Says goodbye on connections that are not needed any more; nobody waits for it.
fn goodbye(connections: impl IntoIterator<Item = connection::Connection>) {
    for connection in connections {
        drop(tokio::spawn(connection.quit()));
    }
}

/// Whether the relay was made by [`NextHops::exchangers`] for one delivery.
fn is_of_the_moment(relay: &RelayConfig) -> bool {
    domain_of_the_moment(relay).is_some()
}

/// The domain that such a relay was made for.
fn domain_of_the_moment(relay: &RelayConfig) -> Option<&str> {
    relay.name.strip_prefix(INTERNET).map(str::trim_start)
}

/// Whoever can deliver to a relay: [`Relays`] in service, a simulation in tests.
pub trait NextHops: Send + Sync + 'static {
    /// See [`Relays::deliver`].
    fn deliver(
        &self,
        relay: &Arc<RelayConfig>,
        delivery: &Delivery,
        deadline: tokio::time::Instant,
    ) -> impl Future<Output = DeliveryReport> + Send;

    /// The hosts that take mail for a domain, as a relay of the moment.
    fn exchangers(&self, domain: &str) -> impl Future<Output = Result<Arc<RelayConfig>, Failure>> + Send;

    /// See [`Relays::verify`].
    fn verify(
        &self,
        relay: &Arc<RelayConfig>,
        recipient: &crate::smtp::Address,
        deadline: tokio::time::Instant,
    ) -> impl Future<Output = Verified> + Send {
        let _ = (relay, recipient, deadline);
        std::future::ready(Verified::Unknown(Arc::new(failures::settings("this next hop cannot be asked"))))
    }

    /// See [`Relays::close`].
    fn close(&self) -> impl Future<Output = ()> + Send;

    /// Whether the relay takes deliveries now. Those that are made all the same fail at once, without a connection.
    fn readiness(&self, relay: &RelayConfig) -> Readiness {
        Readiness::Open { width: relay.limits.connections }
    }

    /// Holds a relay by order of its operator, or ends the hold whatever its reason: what waits is tried again.
    fn set_held(&self, relay: &str, held: bool) -> impl Future<Output = ()> + Send {
        let _ = (relay, held);
        std::future::ready(())
    }

    /// When a held relay takes a probe, one delivery, in milliseconds since the Unix epoch; nothing while there is none to come.
    fn probe_at(&self, relay: &RelayConfig) -> Option<u64> {
        let _ = relay;
        None
    }

    /// Whether mail for the relay is kept now, however old it is: it is held, and not for longer than its `hold_for`.
    fn keeps(&self, relay: &RelayConfig) -> bool {
        let _ = relay;
        false
    }

    /// Returns when a relay may take more than before; it keeps one permit, so one waiter misses nothing.
    fn changed(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// How the relays fare that were used since the start, or are held; by name.
    fn standings(&self) -> Vec<Standing> {
        Vec::new()
    }
}

/// Whether a relay takes deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// So many at a time.
    Open {
        /// That number.
        width: u32,
    },
    /// Not before this time, in milliseconds since the Unix epoch: one of its limits is used up, or the next hop asked for a pause.
    Waits {
        /// That time.
        until: u64,
    },
    /// Not before its operator, or a probe that succeeds, ends the hold.
    Held,
}

/// How a relay fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its name.
    pub relay: Arc<str>,
    /// Whether it takes deliveries.
    pub readiness: Readiness,
    /// Why it does not, or why it is slowed down: the next hop's reply as it was, if it gave one.
    pub reply: Option<Reply>,
    /// What that reply means, or who held it.
    pub reason: Arc<str>,
    /// Since when, in milliseconds since the Unix epoch.
    pub since: Option<u64>,
}

impl NextHops for Relays {
    async fn deliver(&self, relay: &Arc<RelayConfig>, delivery: &Delivery, deadline: tokio::time::Instant) -> DeliveryReport {
        Self::deliver(self, relay, delivery, deadline).await
    }

    async fn exchangers(&self, domain: &str) -> Result<Arc<RelayConfig>, Failure> {
        let visit = self.inner.strangers.visit(domain)?;
        let found = internet::find(&self.inner.dns, domain).await;
        if found.as_ref().is_err_and(Failure::is_temporary) {
            visit.found_dead();
        }
        found
    }

    async fn verify(&self, relay: &Arc<RelayConfig>, recipient: &crate::smtp::Address, deadline: tokio::time::Instant) -> Verified {
        Self::verify(self, relay, recipient, deadline).await
    }

    async fn close(&self) {
        Self::close(self).await;
    }

    fn readiness(&self, relay: &RelayConfig) -> Readiness {
        self.inner.gates.of(&relay.name).readiness(relay)
    }

    async fn set_held(&self, relay: &str, held: bool) {
        self.inner.gates.of(relay).set_held(held).await;
    }

    fn probe_at(&self, relay: &RelayConfig) -> Option<u64> {
        self.inner.gates.of(&relay.name).probe_at()
    }

    fn keeps(&self, relay: &RelayConfig) -> bool {
        self.inner.gates.of(&relay.name).keeps(relay)
    }

    async fn changed(&self) {
        self.inner.gates.changed().await;
    }

    fn standings(&self) -> Vec<Standing> {
        self.inner.gates.standings()
    }
}

/// What came of a delivery.
#[derive(Clone, Debug)]
pub struct DeliveryReport {
    /// One for each recipient, in the order of [`Delivery::recipients`].
    pub outcomes: Vec<Outcome>,
    /// What was tried, in order; for the log.
    pub attempts: Vec<Attempt>,
}

/// One try of one host: a connection that could not be made, or a transaction.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// `name[address]:port`, or the name when it has no address.
    pub host: Arc<str>,
    /// The address, if there is one.
    pub address: Option<SocketAddr>,
    /// The TLS it went over.
    pub tls: Option<TlsVersion>,
    /// A pooled connection was used.
    pub reused: bool,
    /// Recipients it was for.
    pub recipients: usize,
    /// The reply to the final dot when anybody was accepted, else the first failure.
    pub result: Result<Reply, Arc<Failure>>,
    /// From the first step, connecting included, to the last reply.
    pub duration: Duration,
}

/// A message for some recipients, to be handed to one relay in as many transactions as its limits ask for.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// For the log.
    pub message: crate::message::MessageId,
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// RCPT TO. What the parameters ask for is passed on to a next hop with DSN.
    pub recipients: Vec<Recipient>,
    /// What DATA carries.
    pub content: Content,
    /// The message needs SMTPUTF8 at the next hop, whatever the recipients' addresses need.
    pub smtputf8: bool,
    /// The content has 8-bit bytes (RFC 6152).
    pub eight_bit: bool,
    /// What the sender asks for the message as a whole. REQUIRETLS asks for a verified certificate, whatever the relay's `tls` says.
    pub terms: MailTerms,
}

impl Delivery {
    /// Whether only a verified next hop with REQUIRETLS may have it. A message with the null path goes there too if it must go
    /// elsewhere: it must not be lost for it (RFC 8689 §5).
    fn must_have_tls(&self) -> bool {
        self.terms.require_tls && self.reverse_path != ReversePath::Null
    }
}

/// What became of one recipient; the order is that of [`Delivery::recipients`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The next hop has taken responsibility.
    Delivered(Arc<Accepted>),
    /// Not delivered; the failure says whether to try again.
    Failed(Arc<Failure>),
}

/// A next hop's acceptance after the final dot. Only the relay room makes one, from a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::manual_non_exhaustive, reason = "the private field keeps other rooms of this crate from making one, too")]
pub struct Accepted {
    /// The next hop's reply.
    pub reply: Reply,
    /// The host, `name[address]:port`.
    pub host: Arc<str>,
    /// The TLS it went over.
    pub tls: Option<TlsVersion>,
    /// The next hop was told what the sender wants to be told of, and answers for that (RFC 3461 §5.2.1).
    pub dsn: bool,
    _made_here: (),
}

#[cfg(test)]
impl Accepted {
    /// An acceptance by a simulated next hop.
    pub(crate) fn simulated(reply: Reply, host: &str, dsn: bool) -> Self {
        Self { reply, host: host.into(), tls: None, dsn, _made_here: () }
    }
}

/// The lane of what goes to the internet by the MX records of its recipients: notifications, when no relay is named for them.
pub const INTERNET: &str = "(internet)";
