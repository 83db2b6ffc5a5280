//! The places of a relay in the order in which they are tried: host by host, those that failed lately last.

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use tokio::time::Instant;

use super::pool::Pool;
use super::{Inner, Route, internet, resolve};
use crate::failure::Failure;

/// Names are resolved when their turn comes.
pub(super) struct Candidates<'a> {
    inner: &'a Inner,
    pool: &'a Pool,
    /// The domain whose exchangers are not known yet.
    domain: Option<Arc<str>>,
    hosts: VecDeque<Arc<str>>,
    ready: VecDeque<Candidate>,
    postponed: Vec<Candidate>,
}

/// A place and the host that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) host: Arc<str>,
    pub(super) place: Place,
}

/// Where a host is spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// An address and port.
    Tcp(SocketAddr),
    /// A socket of this machine.
    Unix(Arc<Path>),
}

impl Place {
    /// Its address, if it has one.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// What is sent there does not leave this machine.
    pub(super) fn is_of_this_machine(&self) -> bool {
        self.address().is_none_or(|address| address.ip().to_canonical().is_loopback())
    }
}

impl Candidate {
    /// For logs and outcomes: `name[address]:port`, or the socket.
    pub(super) fn label(&self) -> Arc<str> {
        match &self.place {
            Place::Tcp(address) => format!("{}[{}]:{}", self.host, address.ip(), address.port()).into(),
            Place::Unix(_) => Arc::clone(&self.host),
        }
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label())
    }
}

impl<'a> Candidates<'a> {
    pub(super) fn new(inner: &'a Inner, pool: &'a Pool) -> Self {
        let (domain, hosts) = match &pool.config.route {
            Route::Hosts(hosts) => (None, hosts.iter().cloned().collect()),
            Route::MailExchangers(domain) => (Some(Arc::clone(domain)), VecDeque::new()),
        };
        Self { inner, pool, domain, hosts, ready: VecDeque::new(), postponed: Vec::new() }
    }

    /// The next place, or a host that has none.
    pub(super) async fn next(&mut self, deadline: Instant) -> Option<Result<Candidate, (Arc<str>, Failure)>> {
        if let Some(domain) = self.domain.take() {
            match internet::exchangers_of(&self.inner.dns, &domain, &self.inner.hostname, deadline).await {
                Ok(hosts) => self.hosts = hosts.into(),
                Err(failure) => return Some(Err((domain, failure))),
            }
        }
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
            let places = match resolve::places(&self.inner.dns, &self.pool.config, &host, deadline).await {
                Ok(places) => places,
                Err(failure) => return Some(Err((host, failure))),
            };
            for place in places {
                let sick = self.pool.health.is_sick(&place);
                let candidate = Candidate { host: Arc::clone(&host), place };
                if sick { self.postponed.push(candidate) } else { self.ready.push_back(candidate) }
            }
        }
    }

    /// The addresses of the same host that may race with this one: when both families are there, and none of them has failed lately.
    /// Who asked for one family is given one connection attempt at a time.
    pub(super) fn rivals(&self, first: &Candidate) -> Vec<Candidate> {
        let (Some(address), (true, true)) = (first.place.address(), resolve::families(&self.pool.config)) else { return Vec::new() };
        if self.pool.health.is_sick(&first.place) {
            return Vec::new();
        }
        let fit = |rival: &&Candidate| rival.host == first.host && !self.pool.health.is_sick(&rival.place);
        let rivals: Vec<Candidate> = self.ready.iter().filter(fit).cloned().collect();
        let both = rivals.iter().filter_map(|rival| rival.place.address()).any(|rival| rival.is_ipv4() != address.is_ipv4());
        if both { rivals } else { Vec::new() }
    }

    /// After a race: those that connected or failed are not tried again, the rest is, in the order that it had.
    pub(super) fn after_race(&mut self, racers: Vec<Candidate>, tried: impl Fn(usize) -> bool) {
        let rest: Vec<Candidate> = racers.iter().enumerate().filter(|(at, _)| !tried(*at)).map(|(_, racer)| racer.clone()).collect();
        self.ready.retain(|candidate| !racers.contains(candidate));
        rest.into_iter().rev().for_each(|racer| self.ready.push_front(racer));
    }

    /// Whoever refuses may do so for the family that it was reached by: addresses of the other one come first now.
    pub(super) fn prefer_other_family(&mut self, than: IpAddr) {
        let is_other = |candidate: &Candidate| candidate.place.address().is_some_and(|address| address.is_ipv4() != than.is_ipv4());
        let (other, same): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.ready).into_iter().partition(is_other);
        self.ready = other.into_iter().chain(same).collect();
    }
}
