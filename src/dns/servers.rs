//! The servers that are asked, and what is made of what they say.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer};
use hickory_resolver::net::{DnsError as Refusal, NetError, NoRecords};
use hickory_resolver::proto::op::{DnsRequest, DnsRequestOptions, DnsResponse, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig};
use tokio::time::Instant;

use super::answer::Answer;
use super::question::Question;
use super::{DnssecTrust, ResolverConfig};
use crate::limits::{DNS_CNAMES_MAX, DNS_NEGATIVE_TTL_MAX, DNS_QUESTIONS_OPEN_MAX, DNS_SYSTEM_LOOK, DNS_TTL_MAX};

/// Where the system says which servers there are.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The system's resolver takes no more of that file either (resolv.conf(5), MAXNS).
const SYSTEM_SERVERS_MAX: usize = 3;

/// The longest that there is (RFC 2181 §8).
const TTL_MAX: u32 = 0x7fff_ffff;

/// One server.
struct Server {
    pool: NameServerPool<TokioRuntimeProvider>,
    /// Whether its word on DNSSEC counts.
    is_believed: bool,
}

/// Servers, asked in turn: the one that answered last comes first.
pub(super) struct Servers {
    timeout: Duration,
    dnssec: DnssecTrust,
    list: ArcSwap<Vec<Server>>,
    preferred: AtomicUsize,
    system: Option<Mutex<System>>,
}

/// What the system's file said when it was last looked at.
#[derive(Debug)]
struct System {
    addresses: Vec<SocketAddr>,
    looked: Instant,
}

/// An answer and how long it is good for; zero: for whoever asked alone.
pub(super) struct Found {
    pub(super) answer: Answer,
    pub(super) ttl: Duration,
}

impl Found {
    fn reached(self, is_secure: bool, canonical: Option<&Name>) -> Self {
        Self { answer: self.answer.reached(is_secure, canonical), ..self }
    }
}

impl Servers {
    /// Asks nothing yet.
    pub(super) fn new(config: &ResolverConfig) -> Result<Self, NetError> {
        let is_system = config.servers.is_empty();
        let addresses = if is_system { system_servers() } else { config.servers.clone() };
        let list = connect(&addresses, config.timeout, config.dnssec)?;
        let system = is_system.then(|| Mutex::new(System { addresses, looked: Instant::now() }));
        let list = ArcSwap::from_pointee(list);
        Ok(Self { timeout: config.timeout, dnssec: config.dnssec, list, preferred: AtomicUsize::new(0), system })
    }

    /// Looks a name up, behind its CNAMEs too. The error is for people.
    pub(super) async fn look_up(&self, question: &Question) -> Result<Found, String> {
        let kind = question.kind.record_type();
        let mut name = question.wire_name().ok_or("not a domain name")?;
        let (mut ttl, mut cnames, mut is_secure) = (TTL_MAX, 0_usize, true);
        loop {
            let asked = (cnames > 0).then(|| name.clone());
            let response = match self.ask(&name, kind).await? {
                // RFC 4035 §3.2.3: the bit speaks for all records of the answer.
                Said::Records(response, is_believed) => {
                    is_secure = is_secure && is_believed && response.metadata.authentic_data;
                    response
                }
                Said::Nothing { exists, ttl: own } => return Ok(nothing(exists, own, ttl).reached(false, asked.as_ref())),
            };
            let mut moved = false;
            loop {
                let here = || response.answers.iter().filter(|record| record.name == name);
                let fitting = || here().filter(|record| record.record_type() == kind);
                if let Some(least) = fitting().map(|record| meant(record.ttl)).min() {
                    let answer = Answer::new(question.kind, fitting().map(|record| &record.data));
                    let answer = answer.reached(is_secure, (cnames > 0).then_some(&name));
                    return Ok(Found { answer, ttl: seconds(ttl.min(least)).min(DNS_TTL_MAX) });
                }
                let target = here().find_map(|record| match &record.data {
                    RData::CNAME(target) => Some((meant(record.ttl), target.0.clone())),
                    _ => None,
                });
                let Some((least, target)) = target else { break };
                cnames = cnames.saturating_add(1);
                if cnames > DNS_CNAMES_MAX {
                    return Err(format!("more than {DNS_CNAMES_MAX} CNAMEs, or a loop of them"));
                }
                (ttl, name, moved) = (ttl.min(least), target, true);
            }
            // RFC 6604 §3: the code is that of the end of the chain.
            let exists = response.metadata.response_code != ResponseCode::NXDomain;
            // A resolver follows CNAMEs to their end, and says with a SOA that nothing is there (RFC 2308 §2.2).
            if !exists || !moved || response.soa().is_some() {
                return Ok(nothing(exists, response.negative_ttl(), ttl).reached(is_secure, (cnames > 0).then_some(&name)));
            }
        }
    }

    /// One question to the servers in turn, twice to a single one. Each has the time of one; the caller bounds the whole.
    async fn ask(&self, name: &Name, kind: RecordType) -> Result<Said, String> {
        let list = self.current();
        let first = self.preferred.load(Ordering::Relaxed);
        let mut options = DnsRequestOptions::default();
        let mut trouble = "there is no DNS server".to_owned();
        for attempt in 0..list.len().max(2) {
            let place = first.wrapping_add(attempt);
            let Some(server) = place.checked_rem(list.len()).and_then(|place| list.get(place)) else { break };
            let mut request = DnsRequest::from_query(Query::query(name.clone(), kind), options);
            // RFC 6840 §5.7: that the bit of the answer is understood; the answer has no signatures for it.
            request.metadata.authentic_data = true;
            let answer = tokio::time::timeout(self.timeout, server.pool.send(request).first_answer()).await;
            match answer.unwrap_or(Err(NetError::Timeout)) {
                Ok(response) if is_answer(response.metadata.response_code) => {
                    self.preferred.store(place, Ordering::Relaxed);
                    return Ok(Said::Records(Box::new(response), server.is_believed));
                }
                Err(NetError::Dns(Refusal::NoRecordsFound(NoRecords { response_code, negative_ttl, .. }))) if is_answer(response_code) => {
                    self.preferred.store(place, Ordering::Relaxed);
                    return Ok(Said::Nothing { exists: response_code != ResponseCode::NXDomain, ttl: negative_ttl });
                }
                Ok(response) => trouble = response.metadata.response_code.to_string(),
                Err(NetError::Dns(Refusal::ResponseCode(code))) => {
                    trouble = code.to_string();
                    match code {
                        // RFC 6891 §7: it may not know EDNS.
                        ResponseCode::FormErr | ResponseCode::NotImp | ResponseCode::BADVERS => options.use_edns = false,
                        // It said what it had to say.
                        _ if list.len() == 1 => break,
                        _ => {}
                    }
                }
                Err(NetError::Timeout) => {
                    trouble = format!("no answer within {:?}", self.timeout);
                    // The next question begins elsewhere, also when this one's time is over before another server has answered.
                    self.preferred.store(place.wrapping_add(1), Ordering::Relaxed);
                }
                Err(error) => trouble = error.to_string(),
            }
        }
        Err(trouble)
    }

    /// The servers; the system's are looked up anew now and then, for networks come and go.
    fn current(&self) -> Arc<Vec<Server>> {
        if let Some(system) = &self.system {
            let mut system = system.lock().unwrap_or_else(PoisonError::into_inner);
            if system.looked.elapsed() >= DNS_SYSTEM_LOOK {
                system.looked = Instant::now();
                let addresses = system_servers();
                if addresses != system.addresses
                    && let Ok(list) = connect(&addresses, self.timeout, self.dnssec)
                {
                    self.list.store(Arc::new(list));
                    system.addresses = addresses;
                }
            }
        }
        self.list.load_full()
    }
}

/// What a server said that answered.
enum Said {
    /// And whether its word on DNSSEC counts.
    Records(Box<DnsResponse>, bool),
    Nothing {
        exists: bool,
        /// Seconds; `None` without a SOA.
        ttl: Option<u32>,
    },
}

fn is_answer(code: ResponseCode) -> bool {
    matches!(code, ResponseCode::NoError | ResponseCode::NXDomain)
}

/// RFC 2308 §5: for as long as the SOA says, and not at all without one.
fn nothing(exists: bool, own: Option<u32>, of_chain: u32) -> Found {
    let ttl = own.map_or(Duration::ZERO, |own| seconds(meant(own).min(of_chain)));
    Found { answer: Answer::nothing(exists), ttl: ttl.min(DNS_NEGATIVE_TTL_MAX) }
}

/// RFC 2181 §8: with the highest bit set it means zero.
fn meant(ttl: u32) -> u32 {
    if ttl > TTL_MAX { 0 } else { ttl }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds))
}

fn connect(addresses: &[SocketAddr], timeout: Duration, dnssec: DnssecTrust) -> Result<Vec<Server>, NetError> {
    let mut options = ResolverOpts::default();
    options.timeout = timeout;
    // Over TCP, questions share a connection.
    options.max_active_requests = DNS_QUESTIONS_OPEN_MAX;
    // No `case_randomization`: some servers give names back in another case, and port and id are random already (RFC 5452 §4).
    let context = Arc::new(PoolContext::new(options, TlsConfig::new()?));
    let server = |address: &SocketAddr| {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
            connection.port = address.port();
            connection
        });
        let config = NameServerConfig::new(address.ip(), true, connections.into());
        let pool = NameServerPool::from_config([config], Arc::clone(&context), TokioRuntimeProvider::default());
        Server { pool, is_believed: dnssec == DnssecTrust::Everyone || address.ip().to_canonical().is_loopback() }
    };
    Ok(addresses.iter().map(server).collect())
}

/// resolv.conf(5): a file that is not there, or names no server, stands for the one of this machine.
fn system_servers() -> Vec<SocketAddr> {
    // A short local file, read every few seconds at most.
    let text = std::fs::read(RESOLV_CONF).unwrap_or_default();
    servers_of(&String::from_utf8_lossy(&text))
}

fn servers_of(resolv_conf: &str) -> Vec<SocketAddr> {
    let address = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()?.parse::<IpAddr>().ok()).flatten()
    };
    let mut servers: Vec<IpAddr> = resolv_conf.lines().filter_map(address).take(SYSTEM_SERVERS_MAX).collect();
    if servers.is_empty() {
        servers.push(Ipv4Addr::LOCALHOST.into());
    }
    servers.into_iter().map(|address| SocketAddr::new(address, 53)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_servers_are_those_of_its_file() {
        for (text, expected) in [
            ("", "127.0.0.1:53"),
            ("search example.com\noptions timeout:1\n", "127.0.0.1:53"),
            ("# nameserver 192.0.2.1\nnameserver 192.0.2.2 # x\n\tnameserver\t2001:db8::1\n", "192.0.2.2:53 [2001:db8::1]:53"),
            ("nameserver fe80::1%eth0\nnameserver dns.example\nnameserver\nnameserver 192.0.2.1", "192.0.2.1:53"),
            (
                "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n",
                "192.0.2.1:53 192.0.2.2:53 192.0.2.3:53",
            ),
        ] {
            let found: Vec<String> = servers_of(text).iter().map(ToString::to_string).collect();
            assert_eq!(found.join(" "), expected, "{text}");
        }
    }
}
