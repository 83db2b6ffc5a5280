//! The addresses of a relay in the order in which they are tried: host by host, those that failed lately last.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::pool::Pool;
use super::{Route, failures};
use crate::failure::Failure;
use crate::limits;

/// Names are resolved when their turn comes.
pub(super) struct Candidates<'a> {
    pool: &'a Pool,
    hosts: VecDeque<Arc<str>>,
    ready: VecDeque<Candidate>,
    postponed: Vec<Candidate>,
}

/// An address and the host it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) host: Arc<str>,
    pub(super) address: SocketAddr,
}

impl<'a> Candidates<'a> {
    pub(super) fn new(pool: &'a Pool) -> Self {
        let hosts = match &pool.config.route {
            Route::Hosts(hosts) => hosts.iter().cloned().collect(),
            Route::MailExchangers(domain) => [Arc::clone(domain)].into(),
        };
        Self { pool, hosts, ready: VecDeque::new(), postponed: Vec::new() }
    }

    /// The next address, or a host that has none.
    pub(super) async fn next(&mut self, deadline: Instant) -> Option<Result<Candidate, (Arc<str>, Failure)>> {
        loop {
            if let Some(candidate) = self.ready.pop_front() {
                return Some(Ok(candidate));
            }
            let Some(host) = self.hosts.pop_front() else {
                if self.postponed.is_empty() {
                    return None;
                }
                self.ready.extend(self.postponed.drain(..));
                continue;
            };
            let addresses = match self.resolve(&host, deadline).await {
                Ok(addresses) => addresses,
                Err(failure) => return Some(Err((host, failure))),
            };
            for address in addresses {
                let candidate = Candidate { host: Arc::clone(&host), address };
                if self.pool.is_penalised(address) { self.postponed.push(candidate) } else { self.ready.push_back(candidate) }
            }
        }
    }

    async fn resolve(&self, host: &str, deadline: Instant) -> Result<Vec<SocketAddr>, Failure> {
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let lookup = tokio::net::lookup_host((name, self.pool.config.port));
        let found = match timeout_at(deadline.min(Instant::now() + limits::RELAY_RESOLVE_TIMEOUT), lookup).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return Err(failures::unresolved(format!("{host}: {error}"))),
            Err(_) => return Err(failures::unresolved(format!("{host}: no answer in time"))),
        };
        // A source address fixes the family.
        let sources = &self.pool.config.source_ips;
        let mut addresses = Vec::new();
        for address in found.filter(|address| sources.is_empty() || sources.iter().any(|source| source.is_ipv4() == address.is_ipv4())) {
            if !addresses.contains(&address) && addresses.len() < limits::RELAY_ADDRESSES_MAX {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            return Err(failures::unresolved(format!("{host}: no address of the source address's family")));
        }
        Ok(addresses)
    }
}
