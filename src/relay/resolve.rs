//! From the name of a host to the places where it is spoken to.
//!
//! - Only families that the relay uses are asked for, and none else is ever connected to.
//! - The resolver of the configuration is asked, where there is one. Without it the system's own is, which knows /etc/hosts and the
//!   search list; it is also asked for names without a dot, which DNS does not know.
//! - Mail exchangers are names of DNS, whoever is asked (RFC 5321 §5.1).

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::hosts::Place;
use super::{IpFamily, RelayConfig, Route, failures};
use crate::dns::Dns;
use crate::failure::Failure;
use crate::limits::{RELAY_ADDRESSES_MAX, RELAY_RESOLVE_TIMEOUT};

/// Which families a relay uses: IPv4, IPv6.
pub(super) fn families(config: &RelayConfig) -> (bool, bool) {
    // A source address of one family and none of the other fixes the family.
    let from = |is_ipv4: bool| config.source_ips.is_empty() || config.source_ips.iter().any(|ip| ip.is_ipv4() == is_ipv4);
    (config.ip_family != IpFamily::V6 && from(true), config.ip_family != IpFamily::V4 && from(false))
}

/// The places of one host, at least one, in the order in which they are tried.
pub(super) async fn places(dns: &Dns, config: &RelayConfig, host: &str, deadline: Instant) -> Result<Vec<Place>, Failure> {
    if let Some(path) = host.strip_prefix("unix:") {
        return Ok(vec![Place::Unix(Arc::from(Path::new(path)))]);
    }
    let deadline = deadline.min(Instant::now() + RELAY_RESOLVE_TIMEOUT);
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let found = match name.parse::<IpAddr>() {
        Ok(address) => vec![address],
        Err(_) if is_for_dns(dns, config, name) => look_up(dns, config, name, deadline).await?,
        Err(_) => ask_the_system(name, deadline).await?,
    };
    let (ipv4, ipv6) = families(config);
    let mut places = Vec::new();
    for address in interleaved(found.into_iter().filter(|address| if address.is_ipv4() { ipv4 } else { ipv6 })) {
        let place = Place::Tcp(SocketAddr::new(address, config.port));
        if !places.contains(&place) && places.len() < RELAY_ADDRESSES_MAX {
            places.push(place);
        }
    }
    if places.is_empty() {
        return Err(failures::unresolved(format!("{host}: no address of a family that the relay uses")));
    }
    Ok(places)
}

fn is_for_dns(dns: &Dns, config: &RelayConfig, name: &str) -> bool {
    let is_exchanger = matches!(config.route, Route::MailExchangers(_));
    is_exchanger || (dns.is_configured() && name.trim_end_matches('.').contains('.'))
}

/// Both families side by side; one that cannot be found out does not keep the other from being used.
async fn look_up(dns: &Dns, config: &RelayConfig, name: &str, deadline: Instant) -> Result<Vec<IpAddr>, Failure> {
    let (ipv4, ipv6) = families(config);
    let inquiry = dns.inquiry(2, deadline.saturating_duration_since(Instant::now()));
    let (v6, v4) = tokio::join!(async { if ipv6 { Some(inquiry.ipv6(name).await) } else { None } }, async {
        if ipv4 { Some(inquiry.ipv4(name).await) } else { None }
    },);
    let mut addresses = Vec::new();
    let mut trouble = None;
    match v6 {
        Some(Ok(found)) => addresses.extend(found.records.iter().copied().map(IpAddr::from)),
        Some(Err(error)) => trouble = Some(error),
        None => {}
    }
    match v4 {
        Some(Ok(found)) => addresses.extend(found.records.iter().copied().map(IpAddr::from)),
        Some(Err(error)) => trouble = Some(error),
        None => {}
    }
    match trouble {
        Some(error) if addresses.is_empty() => Err(failures::unresolved(format!("{name}: {error}"))),
        _ => Ok(addresses),
    }
}

async fn ask_the_system(name: &str, deadline: Instant) -> Result<Vec<IpAddr>, Failure> {
    match timeout_at(deadline, tokio::net::lookup_host((name, 0))).await {
        Ok(Ok(found)) => Ok(found.map(|address| address.ip()).collect()),
        Ok(Err(error)) => Err(failures::unresolved(format!("{name}: {error}"))),
        Err(_) => Err(failures::unresolved(format!("{name}: no answer in time"))),
    }
}

/// RFC 8305 §4: the families in turn, beginning with that of the first address.
fn interleaved(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let addresses: Vec<IpAddr> = addresses.collect();
    let Some(first) = addresses.first().map(IpAddr::is_ipv4) else { return addresses };
    let (mut one, mut other) = (Vec::new(), Vec::new());
    for address in addresses {
        if address.is_ipv4() == first { &mut one } else { &mut other }.push(address);
    }
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut turns = Vec::new();
    loop {
        let (next, after) = (one.next(), other.next());
        if next.is_none() && after.is_none() {
            return turns;
        }
        turns.extend(next.into_iter().chain(after));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let texts = ["::1", "::2", "::3", "192.0.2.1", "192.0.2.2"];
        let turns = interleaved(texts.iter().map(|text| text.parse().unwrap()));
        assert_eq!(turns.iter().map(ToString::to_string).collect::<Vec<_>>(), ["::1", "192.0.2.1", "::2", "192.0.2.2", "::3"]);
        assert_eq!(interleaved([turns[1], turns[0]].into_iter()), [turns[1], turns[0]]);
    }
}
