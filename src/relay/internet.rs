//! The way to any domain: its MX records (RFC 5321 §5.1). For notifications, which go to senders anywhere, and for relays with `mx`.
//!
//! Nothing is remembered here: the resolver does that, for as long as the records allow.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use tokio::time::Instant;

use super::{INTERNET, RelayConfig, Route, failures};
use crate::dns::{Dns, DnsError, normal_name};
use crate::failure::{Failure, Side};
use crate::limits::{MX_HOSTS_MAX, RELAY_RESOLVE_TIMEOUT};
use crate::smtp::{Reply, Status};

/// The domain's mail exchangers as a relay of the moment.
pub(super) async fn find(dns: &Dns, domain: &str) -> Result<Arc<RelayConfig>, Failure> {
    if let Some(literal) = domain.strip_prefix('[') {
        let literal = literal.trim_end_matches(']');
        // RFC 5321 §4.1.3; the tag is written in any case.
        let address = match literal.split_at_checked(5) {
            Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6:") => address,
            _ => literal,
        };
        return Ok(relay(domain, vec![address.into()]));
    }
    let exchangers = match ask(dns, domain, Instant::now() + RELAY_RESOLVE_TIMEOUT).await {
        Ok(exchangers) => exchangers,
        Err(Without::Domain) => return Err(no_domain(domain)),
        Err(Without::Mail) => {
            return Err(Failure::new(Side::Relay, Reply::fixed(556, Status(5, 1, 10), "The domain takes no mail"), domain));
        }
        Err(Without::Answer(error)) => return Err(unknown(domain, &error)),
    };
    Ok(relay(domain, hosts(exchangers)))
}

/// The mail exchangers of the domain that a relay is configured with, the best first. What a stranger's domain would bounce for is
/// here the operator's to mend, so mail waits.
///
/// RFC 5321 §5.1: if this gateway is among them, only those that are better are used; else mail would go in a circle.
pub(super) async fn exchangers_of(dns: &Dns, domain: &str, hostname: &str, deadline: Instant) -> Result<Vec<Arc<str>>, Failure> {
    let exchangers = match ask(dns, domain, deadline.min(Instant::now() + RELAY_RESOLVE_TIMEOUT)).await {
        Ok(exchangers) => exchangers,
        Err(Without::Domain) => return Err(failures::unresolved(format!("the domain {domain} does not exist"))),
        Err(Without::Mail) => return Err(failures::no_exchanger(format!("{domain} says that it takes no mail (RFC 7505)"))),
        Err(Without::Answer(error)) => return Err(unknown(domain, &error)),
    };
    let own = exchangers.iter().filter(|(_, host)| host.eq_ignore_ascii_case(hostname)).map(|(preference, _)| *preference).min();
    let found = hosts(exchangers.into_iter().filter(|(preference, _)| own.is_none_or(|own| *preference < own)).collect());
    if found.is_empty() {
        return Err(failures::no_exchanger(format!("{hostname} is itself the best mail exchanger of {domain}: mail would go in a circle")));
    }
    Ok(found)
}

/// Why a domain has no exchangers.
enum Without {
    /// There is no such domain.
    Domain,
    /// It takes no mail.
    Mail,
    /// Nobody knows.
    Answer(DnsError),
}

/// Exchangers and their preferences; the domain itself where there are none.
async fn ask(dns: &Dns, domain: &str, deadline: Instant) -> Result<Vec<(u16, Box<str>)>, Without> {
    // Names in A-labels (RFC 5891 §4.4), for the system's resolver, which finds the hosts' addresses, takes no other.
    let name = normal_name(domain).ok_or(Without::Domain)?;
    let patience = deadline.saturating_duration_since(Instant::now());
    let exchangers = match dns.inquiry(1, patience).mx(&name).await {
        Ok(found) if !found.exists => return Err(Without::Domain),
        Ok(found) => found.records,
        Err(DnsError::NoName) => return Err(Without::Domain),
        Err(error) => return Err(Without::Answer(error)),
    };
    // RFC 7505: a single MX of "." means that the domain takes no mail.
    if let [(_, root)] = &*exchangers
        && root.is_empty()
    {
        return Err(Without::Mail);
    }
    let mut exchangers: Vec<(u16, Box<str>)> = exchangers.iter().filter(|(_, host)| !host.is_empty()).cloned().collect();
    if exchangers.is_empty() {
        // RFC 5321 §5.1: no MX means that the domain's own address takes its mail, as with a preference of 0.
        exchangers.push((0, name));
    }
    Ok(exchangers)
}

/// In the order of their preferences, equal ones in a random one (RFC 5321 §5.1).
fn hosts(mut exchangers: Vec<(u16, Box<str>)>) -> Vec<Arc<str>> {
    // Each has a key of its own, that of a keyed hash.
    let random = RandomState::new();
    exchangers.sort_by_cached_key(|(preference, host)| (*preference, random.hash_one(host)));
    exchangers.into_iter().map(|(_, host)| Arc::from(host)).take(MX_HOSTS_MAX).collect()
}

fn relay(domain: &str, hosts: Vec<Arc<str>>) -> Arc<RelayConfig> {
    Arc::new(RelayConfig::new(format!("{INTERNET} {domain}"), Route::Hosts(hosts)))
}

fn no_domain(domain: &str) -> Failure {
    Failure::new(Side::Relay, Reply::fixed(550, Status(5, 1, 2), "The domain does not exist"), domain)
}

fn unknown(domain: &str, error: &dyn std::fmt::Display) -> Failure {
    let reply = Reply::fixed(451, Status(4, 4, 3), "The domain's mail exchangers cannot be found out now");
    Failure::new(Side::Us, reply, format!("{domain}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::dns::ResolverConfig;
    use crate::stub_dns::StubDns;

    fn resolver(server: &StubDns) -> Dns {
        Dns::new(&ResolverConfig { servers: vec![server.address()], timeout: Duration::from_millis(500), ..ResolverConfig::default() })
            .unwrap()
    }

    fn hosts(relay: &Arc<RelayConfig>) -> Vec<&str> {
        let Route::Hosts(hosts) = &relay.route else { panic!("{:?}", relay.route) };
        hosts.iter().map(|host| &**host).collect()
    }

    #[tokio::test]
    async fn every_answer_of_dns_has_its_meaning() {
        let server = StubDns::start().await;
        server.load(&[
            ("null.example", "MX", "0 ."),
            ("half.example", "MX", "0 ."),
            ("half.example", "MX", "10 mail.example"),
            ("xn--bcher-kva.example", "MX", "1 mail.example"),
            ("sick.example", "SERVFAIL", ""),
            ("refused.example", "REFUSED", ""),
            ("no-mx.example", "A", "192.0.2.1"),
            ("xn--grn-ioa.example", "EMPTY", ""),
        ]);
        let dns = resolver(&server);
        for (domain, expected) in [
            // RFC 5321 §5.1: its own address takes its mail.
            ("no-mx.example", Ok(vec!["no-mx.example"])),
            ("half.example", Ok(vec!["mail.example"])),
            ("bücher.example", Ok(vec!["mail.example"])),
            ("grün.example", Ok(vec!["xn--grn-ioa.example"])),
            ("null.example", Err((556, true))),
            ("none.example", Err((550, true))),
            ("a..example", Err((550, true))),
            ("sick.example", Err((451, false))),
            ("refused.example", Err((451, false))),
            ("[192.0.2.1]", Ok(vec!["192.0.2.1"])),
            ("[ipv6:2001:db8::1]", Ok(vec!["2001:db8::1"])),
        ] {
            let found = find(&dns, domain).await;
            let found = found.as_ref().map(hosts);
            let found = found.map_err(|failure| (failure.reply.code, !failure.is_temporary()));
            assert_eq!(found, expected, "{domain}");
        }
    }

    /// RFC 5321 §5.1: by preference; equal ones at random, to spread the load.
    #[tokio::test]
    async fn the_best_come_first_and_equal_ones_take_turns() {
        let server = StubDns::start().await;
        server.load(&[
            ("several.example", "MX", "20 last.example"),
            ("several.example", "MX", "10 B.example"),
            ("several.example", "MX", "5 first.example"),
            ("several.example", "MX", "10 a.example"),
        ]);
        let dns = resolver(&server);
        let mut orders = std::collections::BTreeSet::new();
        for _ in 0..64 {
            let found = find(&dns, "Several.EXAMPLE").await.unwrap();
            orders.insert(hosts(&found).join(" "));
        }
        let expected = ["first.example a.example b.example last.example", "first.example b.example a.example last.example"];
        assert_eq!(orders.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    }

    /// What the operator has named is not given up, whatever DNS says, and mail never comes back to this gateway.
    #[tokio::test]
    async fn the_domain_of_a_relay_is_never_a_reason_to_bounce() {
        let server = StubDns::start().await;
        server.load(&[
            ("null.example", "MX", "0 ."),
            ("sick.example", "SERVFAIL", ""),
            ("no-mx.example", "A", "192.0.2.1"),
            ("second.example", "MX", "10 best.example"),
            ("second.example", "MX", "20 MX.gateway.example"),
            ("second.example", "MX", "20 equal.example"),
            ("second.example", "MX", "30 worse.example"),
            ("own.example", "MX", "10 mx.gateway.example"),
            ("own.example", "MX", "20 backup.example"),
        ]);
        let dns = resolver(&server);
        for (domain, expected) in [
            ("no-mx.example", Ok(vec!["no-mx.example"])),
            ("second.example", Ok(vec!["best.example"])),
            ("own.example", Err(Status(4, 4, 4))),
            ("null.example", Err(Status(4, 4, 4))),
            ("none.example", Err(Status(4, 4, 3))),
            ("sick.example", Err(Status(4, 4, 3))),
        ] {
            let found = exchangers_of(&dns, domain, "mx.gateway.example", Instant::now() + Duration::from_secs(60)).await;
            let found = found.map_err(|failure| {
                assert!(failure.is_temporary(), "{domain}: {failure}");
                failure.reply.status.unwrap()
            });
            let names = found.as_ref().map(|hosts| hosts.iter().map(|host| &**host).collect()).map_err(|status| *status);
            assert_eq!(names, expected, "{domain}");
        }
    }

    #[tokio::test]
    async fn a_name_server_that_is_not_there_is_no_verdict() {
        let dns = resolver(&StubDns::start().await);
        let failure = find(&dns, "several.example").await.unwrap_err();
        assert!(failure.is_temporary(), "{failure}");
    }
}
