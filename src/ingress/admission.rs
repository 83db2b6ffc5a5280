//! How many connections there may be: in total, from one address, from one network, and new ones in a minute.
//!
//! - A connection first takes a place among all, then, when its client is known, a place among those of its client: with the PROXY
//!   protocol the client's address comes later than the connection.
//! - Each step takes constant time. Counts of open connections are kept for clients that have one; counts by the minute have a
//!   fixed size ([`super::sketch`]).
//! - A refused connection counts in its minute, and nowhere else.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::pressure::{Level, Load};
use super::sketch::PerMinute;
use crate::config::Limits;
use crate::limits::{Limit, PRESSURE_CLIENT_SHARE, PRESSURE_FEW_CONNECTIONS};
use crate::smtp::{Reply, Status};

/// Counts connections. Cloning it clones a reference.
#[derive(Clone, Debug)]
pub struct Admission(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: ArcSwap<Limits>,
    total: AtomicUsize,
    clients: Mutex<Clients>,
    level: watch::Sender<Level>,
    since: Instant,
}

#[derive(Debug)]
struct Clients {
    addresses: HashMap<IpAddr, usize>,
    networks: HashMap<IpAddr, usize>,
    minute_addresses: PerMinute,
    minute_networks: PerMinute,
}

/// Why a connection is sent away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The limit it would have passed.
    pub limit: Limit,
    /// What the client is told instead of a greeting.
    pub reply: Reply,
}

/// A place among all connections; given back when it is dropped.
#[derive(Debug)]
pub struct TotalPlace(Arc<Shared>);

/// A place among the connections of a client; given back when it is dropped.
#[derive(Debug)]
pub struct ClientPlace {
    shared: Arc<Shared>,
    address: IpAddr,
    network: IpAddr,
}

impl Admission {
    /// Nobody is there yet.
    pub fn new(limits: Limits) -> Self {
        let clients = Clients {
            addresses: HashMap::new(),
            networks: HashMap::new(),
            minute_addresses: PerMinute::new(),
            minute_networks: PerMinute::new(),
        };
        Self(Arc::new(Shared {
            limits: ArcSwap::from_pointee(limits),
            total: AtomicUsize::new(0),
            clients: Mutex::new(clients),
            level: watch::Sender::new(Level::Normal),
            since: Instant::now(),
        }))
    }

    /// Other limits from now on. Who has a place keeps it.
    pub fn set_limits(&self, limits: Limits) {
        self.0.limits.store(Arc::new(limits));
    }

    /// Takes a place among all connections.
    pub fn enter_total(&self) -> Result<TotalPlace, Refusal> {
        let max = self.0.limits.load().connections;
        let fits = |total: usize| total.checked_add(1).filter(|sum| *sum <= max);
        if self.level() == Level::Refusing && self.total() < max {
            return Err(refusal(Limit::Pressure));
        }
        match self.0.total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(_) => Ok(TotalPlace(Arc::clone(&self.0))),
            Err(_) => Err(refusal(Limit::Connections)),
        }
    }

    /// Takes a place among the connections of a client. IPv4: an address and its /24; IPv6: a /64, which is what one customer
    /// has, and its /48.
    pub fn enter_client(&self, address: IpAddr) -> Result<ClientPlace, Refusal> {
        self.enter_client_at(address, Instant::now())
    }

    fn enter_client_at(&self, address: IpAddr, now: Instant) -> Result<ClientPlace, Refusal> {
        let (address, network, exempt) = (one_address(address), one_network(address), address.is_loopback());
        let limits = self.0.limits.load();
        let minute = now.saturating_duration_since(self.0.since).as_secs() / 60;
        let mut clients = self.0.clients();
        // Loopback is this machine's own load balancer, monitoring and mail programs: it has no limits of its own.
        if !exempt {
            if clients.minute_addresses.count(address, minute) > limits.connections_per_minute_per_address {
                return Err(refusal(Limit::ConnectionsPerMinutePerAddress));
            }
            if clients.minute_networks.count(network, minute) > limits.connections_per_minute_per_network {
                return Err(refusal(Limit::ConnectionsPerMinutePerNetwork));
            }
            let share = if self.level() == Level::Normal { 1 } else { PRESSURE_CLIENT_SHARE };
            let most = |max: usize| max.checked_div(share).unwrap_or(max).max(1);
            if clients.addresses.get(&address).is_some_and(|open| *open >= most(limits.connections_per_address)) {
                return Err(refusal(Limit::ConnectionsPerAddress));
            }
            if clients.networks.get(&network).is_some_and(|open| *open >= most(limits.connections_per_network)) {
                return Err(refusal(Limit::ConnectionsPerNetwork));
            }
        }
        add(&mut clients.addresses, address);
        add(&mut clients.networks, network);
        drop(clients);
        Ok(ClientPlace { shared: Arc::clone(&self.0), address, network })
    }

    /// Connections now.
    pub fn total(&self) -> usize {
        self.0.total.load(Ordering::Relaxed)
    }

    /// Connections that there may be.
    pub fn total_max(&self) -> usize {
        self.0.limits.load().connections
    }

    /// How full it is.
    pub fn level(&self) -> Level {
        *self.0.level.borrow()
    }

    /// Tells of every change of the level.
    pub fn levels(&self) -> watch::Receiver<Level> {
        self.0.level.subscribe()
    }

    /// Looks at the load; the new level if it is another one.
    pub fn observe(&self, memory_bytes: (usize, usize), spool_sick: bool) -> Option<(Level, Load)> {
        let load = Load { connections: (self.total(), self.total_max()), memory_bytes, spool_sick };
        // Most looks change nothing, and a look stands before every connection: the lock is for those that do.
        let level = self.level();
        if level.next(&load) == level {
            return None;
        }
        let changed = self.0.level.send_if_modified(|level| {
            let next = level.next(&load);
            std::mem::replace(level, next) != next
        });
        changed.then(|| (self.level(), load))
    }
}

impl ClientPlace {
    /// Connections that this client has now, this one included.
    pub fn connections(&self) -> usize {
        self.shared.clients().addresses.get(&self.address).copied().unwrap_or(0)
    }

    /// Whether this client is one of those that take little room.
    pub(super) fn is_among_few(&self) -> bool {
        self.connections() <= PRESSURE_FEW_CONNECTIONS
    }
}

impl Shared {
    fn clients(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for TotalPlace {
    fn drop(&mut self) {
        self.0.total.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for ClientPlace {
    fn drop(&mut self) {
        let mut clients = self.shared.clients();
        remove(&mut clients.addresses, self.address);
        remove(&mut clients.networks, self.network);
    }
}

fn add(counts: &mut HashMap<IpAddr, usize>, key: IpAddr) {
    let count = counts.entry(key).or_insert(0);
    *count = count.saturating_add(1);
}

/// A count of zero is none: the table holds only who is there.
fn remove(counts: &mut HashMap<IpAddr, usize>, key: IpAddr) {
    if let Some(count) = counts.get_mut(&key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

/// RFC 5321 §3.8: 421 in place of the greeting. RFC 3463 §3.4, §3.8: 4.3.2 is about us, 4.7.0 about the client.
fn refusal(limit: Limit) -> Refusal {
    let (status, text) = match limit {
        Limit::ConnectionsPerAddress => (Status(4, 7, 0), "Too many connections from your address"),
        Limit::ConnectionsPerNetwork => (Status(4, 7, 0), "Too many connections from your network"),
        Limit::ConnectionsPerMinutePerAddress => (Status(4, 7, 0), "Too many new connections from your address, try again in a minute"),
        Limit::ConnectionsPerMinutePerNetwork => (Status(4, 7, 0), "Too many new connections from your network, try again in a minute"),
        Limit::Pressure => (Status(4, 3, 2), "Overloaded, try again later"),
        _ => (Status(4, 3, 2), "Too many connections, try again later"),
    };
    Refusal { limit, reply: Reply::fixed(421, status, text) }
}

/// One client: an IPv4 address, or the /64 that one IPv6 customer has.
pub(super) fn one_address(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

/// One network: /24, or the /48 that one IPv6 site has (RFC 6177 §2).
fn one_network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & 0xffff_ff00)),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !(u128::MAX >> 48))),
    }
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
