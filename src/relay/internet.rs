//! The way to any domain: its MX records (RFC 5321 §5.1). Used for notifications, which go to senders anywhere.

use std::sync::Arc;

use super::{INTERNET, RelayConfig, Route};
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
    // Names in A-labels (RFC 5891 §4.4), for the system's resolver, which finds the hosts' addresses, takes no other.
    let Some(name) = normal_name(domain) else { return Err(no_domain(domain)) };
    let exchangers = match dns.inquiry(1, RELAY_RESOLVE_TIMEOUT).mx(&name).await {
        Ok(found) if !found.exists => return Err(no_domain(domain)),
        Ok(found) => found.records,
        Err(DnsError::NoName) => return Err(no_domain(domain)),
        Err(error) => return Err(unknown(domain, &error)),
    };
    // RFC 7505: a single MX of "." means that the domain takes no mail.
    if let [(_, root)] = &*exchangers
        && root.is_empty()
    {
        return Err(Failure::new(Side::Relay, Reply::fixed(556, Status(5, 1, 10), "The domain takes no mail"), domain));
    }
    // RFC 5321 §5.1 wants equal ones in random order; they stay in the order of the answer, which servers rotate.
    let mut exchangers: Vec<&(u16, Box<str>)> = exchangers.iter().filter(|(_, host)| !host.is_empty()).collect();
    exchangers.sort_by_key(|(preference, _)| *preference);
    let mut hosts: Vec<Arc<str>> = exchangers.iter().map(|(_, host)| Arc::from(&**host)).take(MX_HOSTS_MAX).collect();
    if hosts.is_empty() {
        // RFC 5321 §5.1: no MX means that the domain's own address takes its mail.
        hosts.push(name.into());
    }
    Ok(relay(domain, hosts))
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
        Dns::new(&ResolverConfig { servers: vec![server.address()], timeout: Duration::from_millis(500) }).unwrap()
    }

    fn hosts(relay: &Arc<RelayConfig>) -> Vec<&str> {
        let Route::Hosts(hosts) = &relay.route else { panic!("{:?}", relay.route) };
        hosts.iter().map(|host| &**host).collect()
    }

    #[tokio::test]
    async fn every_answer_of_dns_has_its_meaning() {
        let server = StubDns::start().await;
        server.load(&[
            ("several.example", "MX", "20 last.example"),
            ("several.example", "MX", "10 B.example"),
            ("several.example", "MX", "5 first.example"),
            ("several.example", "MX", "10 a.example"),
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
            ("several.example", Ok(vec!["first.example", "b.example", "a.example", "last.example"])),
            ("Several.EXAMPLE", Ok(vec!["first.example", "b.example", "a.example", "last.example"])),
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

    #[tokio::test]
    async fn a_name_server_that_is_not_there_is_no_verdict() {
        let dns = resolver(&StubDns::start().await);
        let failure = find(&dns, "several.example").await.unwrap_err();
        assert!(failure.is_temporary(), "{failure}");
    }
}
