//! How many connections there may be: in total, and from one client network.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits::{CONNECTIONS_MAX, CONNECTIONS_PER_CLIENT_MAX};
use crate::smtp::{Reply, Status};

/// Counts connections.
#[derive(Clone, Debug, Default)]
pub struct Admission(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    clients: HashMap<IpAddr, usize>,
}

/// A place among the connections; given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    counts: Arc<Mutex<Counts>>,
    client: Option<IpAddr>,
}

impl Admission {
    /// Takes a place, or says with which 421 the client is to be sent away (RFC 5321 §3.8).
    pub fn enter(&self, address: IpAddr) -> Result<Place, Reply> {
        let mut place = self.enter_unknown()?;
        place.count_for(address)?;
        Ok(place)
    }

    /// The same while it is not known yet for whom: a load balancer is going to say it.
    pub fn enter_unknown(&self) -> Result<Place, Reply> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.total >= CONNECTIONS_MAX {
            return Err(Reply::fixed(421, Status(4, 3, 2), "Too many connections, try again later"));
        }
        counts.total = counts.total.saturating_add(1);
        Ok(Place { counts: Arc::clone(&self.0), client: None })
    }

    /// Connections now.
    pub fn total(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).total
    }
}

impl Place {
    /// Counts the place for the client that it was entered for, or says with which 421 that one is to be sent away.
    pub fn count_for(&mut self, address: IpAddr) -> Result<(), Reply> {
        let client = network(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        // Loopback is this machine's own load balancer, monitoring and mail programs.
        let of_client = counts.clients.get(&client).copied().unwrap_or(0);
        if of_client >= CONNECTIONS_PER_CLIENT_MAX && !address.is_loopback() {
            return Err(Reply::fixed(421, Status(4, 7, 0), "Too many connections from your address"));
        }
        counts.clients.insert(client, of_client.saturating_add(1));
        self.client = Some(client);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.total = counts.total.saturating_sub(1);
        let Some(client) = self.client else { return };
        if let Some(left) = counts.clients.get_mut(&client).map(|count| {
            *count = count.saturating_sub(1);
            *count
        }) && left == 0
        {
            counts.clients.remove(&client);
        }
    }
}

/// One client: an IPv4 address, or the /64 that one IPv6 customer has.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_cannot_take_all_places_and_gives_them_back() {
        let admission = Admission::default();
        let client = |n: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, n));
        let places: Vec<Place> = (0..100).map(|n| admission.enter(client(n)).unwrap()).collect();
        assert_eq!(admission.enter(client(999)).unwrap_err().code, 421);
        assert!(admission.enter("2001:db8:0:2::1".parse().unwrap()).is_ok());
        drop(places);
        assert_eq!(admission.total(), 0);
        assert!(admission.enter(client(999)).is_ok());
    }
}
