//! The host name of a client: the name that its address leads to and that leads back to the address.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Dns, DnsError};
use crate::limits::{CLIENT_HOST_NAMES_MAX, CLIENT_HOST_PATIENCE, DNS_NAME_BYTES_MAX, DOMAIN_LABEL_BYTES_MAX};
use crate::message::Fact;

/// The client's forward-confirmed host name (RFC 8601 §2.7.3, RFC 7208 §5.5): lower case, without the last dot. Of several, the first in
/// the order of the alphabet. `Known(None)`: there is none; `Unknown`: that cannot be found out now.
pub async fn client_host(dns: &Dns, client: IpAddr) -> Fact<Option<Arc<str>>> {
    let client = client.to_canonical();
    let questions = u32::try_from(CLIENT_HOST_NAMES_MAX).unwrap_or(u32::MAX).saturating_add(1);
    let inquiry = dns.inquiry(questions, CLIENT_HOST_PATIENCE);
    let names = match inquiry.ptr(client).await {
        Ok(names) => names.records,
        Err(error) => return unknown(&error),
    };
    // Whoever has the address writes the names.
    let mut names: Vec<&str> = names.iter().map(|name| &**name).filter(|name| is_host_name(name)).collect();
    names.sort_unstable();
    names.dedup();
    let mut trouble = None;
    for name in names.into_iter().take(CLIENT_HOST_NAMES_MAX) {
        let leads_back = match client {
            IpAddr::V4(client) => inquiry.ipv4(name).await.map(|found| found.records.contains(&client)),
            IpAddr::V6(client) => inquiry.ipv6(name).await.map(|found| found.records.contains(&client)),
        };
        match leads_back {
            Ok(true) => return Fact::Known(Some(name.into())),
            Ok(false) | Err(DnsError::NoName) => {}
            Err(error) => trouble = Some(error),
        }
    }
    trouble.map_or(Fact::Known(None), |error| unknown(&error))
}

fn unknown<T>(error: &DnsError) -> Fact<T> {
    Fact::Unknown(error.to_string().into())
}

/// Letters, digits, hyphens inside (RFC 1123 §2.1), and underscores, which many networks write; no address in the guise of a name.
fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=DOMAIN_LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_numeric = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    name.len() <= DNS_NAME_BYTES_MAX && name.split('.').all(is_label) && !name.rsplit('.').next().is_some_and(is_numeric)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::dns::ResolverConfig;
    use crate::stub_dns::{Behaviour, StubDns};

    fn resolver(server: &StubDns) -> Dns {
        Dns::new(&ResolverConfig { servers: vec![server.address()], timeout: Duration::from_millis(300), ..ResolverConfig::default() })
            .unwrap()
    }

    async fn host(dns: &Dns, client: &str) -> Fact<Option<Arc<str>>> {
        client_host(dns, client.parse().unwrap()).await
    }

    fn name(name: &str) -> Fact<Option<Arc<str>>> {
        Fact::Known(Some(name.into()))
    }

    #[tokio::test]
    async fn a_name_counts_when_it_leads_back() {
        let server = StubDns::start().await;
        server.load(&[
            ("192.0.2.1", "PTR", "Mail.Example.COM"),
            ("mail.example.com", "A", "192.0.2.9"),
            ("mail.example.com", "A", "192.0.2.1"),
            ("192.0.2.2", "PTR", "forged.example"),
            ("forged.example", "A", "192.0.2.99"),
            ("192.0.2.3", "PTR", "b.example"),
            ("192.0.2.3", "PTR", "a.example"),
            ("a.example", "A", "192.0.2.3"),
            ("b.example", "A", "192.0.2.3"),
            ("192.0.2.4", "PTR", "nowhere.example"),
            ("192.0.2.5", "PTR", "alias.example"),
            ("alias.example", "CNAME", "five.example"),
            ("five.example", "A", "192.0.2.5"),
            ("2001:db8::1", "PTR", "six_1.example"),
            ("six_1.example", "AAAA", "2001:db8::1"),
            ("127.0.0.1", "PTR", "here.example"),
            ("here.example", "A", "127.0.0.1"),
        ]);
        let dns = resolver(&server);
        assert_eq!(host(&dns, "192.0.2.1").await, name("mail.example.com"));
        assert_eq!(host(&dns, "::ffff:192.0.2.1").await, name("mail.example.com"));
        assert_eq!(host(&dns, "192.0.2.2").await, Fact::Known(None));
        assert_eq!(host(&dns, "192.0.2.3").await, name("a.example"));
        assert_eq!(host(&dns, "192.0.2.4").await, Fact::Known(None));
        assert_eq!(host(&dns, "192.0.2.5").await, name("alias.example"));
        assert_eq!(host(&dns, "192.0.2.200").await, Fact::Known(None));
        assert_eq!(host(&dns, "2001:db8::1").await, name("six_1.example"));
        // Not even the addresses of this machine are looked up in its files.
        assert_eq!(host(&dns, "127.0.0.1").await, name("here.example"));
    }

    #[tokio::test]
    async fn trouble_is_unknown_unless_another_name_leads_back() {
        let server = StubDns::start().await;
        server.load(&[
            ("1.2.0.192.in-addr.arpa", "SERVFAIL", ""),
            ("192.0.2.2", "PTR", "sick.example"),
            ("sick.example", "SERVFAIL", ""),
            ("192.0.2.3", "PTR", "sick.example"),
            ("192.0.2.3", "PTR", "well.example"),
            ("well.example", "A", "192.0.2.3"),
            ("3.2.0.198.in-addr.arpa", "SILENT", ""),
        ]);
        let dns = resolver(&server);
        assert!(matches!(host(&dns, "192.0.2.1").await, Fact::Unknown(_)));
        assert!(matches!(host(&dns, "192.0.2.2").await, Fact::Unknown(_)));
        assert_eq!(host(&dns, "192.0.2.3").await, name("well.example"));
        let start = Instant::now();
        assert!(matches!(host(&dns, "198.0.2.3").await, Fact::Unknown(_)));
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn names_are_bounded_and_only_host_names_are_asked_for() {
        let server = StubDns::start().await;
        for number in 0..50 {
            server.add("192.0.2.1", "PTR", &format!("host{number:02}.example"));
        }
        for bad in ["192.0.2.2", "a b.example", "-x.example", "x-.example", "a\\b.example", "<script>.example", "x\0.example", "x;.example"]
        {
            server.add("192.0.2.2", "PTR", bad);
            server.add(bad, "A", "192.0.2.2");
        }
        server.misbehave("3.2.0.192.in-addr.arpa", Behaviour::Huge);
        let dns = resolver(&server);
        assert_eq!(host(&dns, "192.0.2.1").await, Fact::Known(None));
        let forward = server.questions().iter().filter(|question| question.ends_with(" A")).count();
        assert_eq!(forward, CLIENT_HOST_NAMES_MAX, "{:?}", server.questions());
        server.forget_questions();
        assert_eq!(host(&dns, "192.0.2.2").await, Fact::Known(None));
        assert_eq!(server.asked_total(), 1, "{:?}", server.questions());
        assert_eq!(host(&dns, "192.0.2.3").await, Fact::Known(None));
    }
}
