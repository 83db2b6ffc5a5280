//! The way to any domain: its MX records (RFC 5321 §5.1). Used for notifications, which go to senders anywhere.

use std::sync::Arc;

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::{Name, RData};
use tokio::sync::OnceCell;

use super::{INTERNET, RelayConfig, RetrySchedule, TlsMode};
use crate::failure::{Failure, Side};
use crate::limits::{
    MX_HOSTS_MAX, RELAY_CONNECTIONS_DEFAULT, RELAY_RECIPIENTS_DEFAULT, RETRY_FACTOR, RETRY_FIRST, RETRY_GIVE_UP, RETRY_LONGEST,
};
use crate::smtp::{Reply, Status};

/// Finds mail exchangers; asks DNS only when it must.
#[derive(Debug, Default)]
pub(super) struct MailExchangers {
    resolver: OnceCell<TokioResolver>,
}

impl MailExchangers {
    /// The domain's hosts as a relay of the moment.
    pub(super) async fn find(&self, domain: &str) -> Result<Arc<RelayConfig>, Failure> {
        if let Some(literal) = domain.strip_prefix('[') {
            let literal = literal.trim_end_matches(']');
            // RFC 5321 §4.1.3; the tag is written in any case.
            let address = match literal.split_at_checked(5) {
                Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6:") => address,
                _ => literal,
            };
            return Ok(relay(domain, vec![address.into()]));
        }
        let resolver = self.resolver.get_or_try_init(|| async { TokioResolver::builder_tokio()?.build() }).await;
        let resolver = resolver.map_err(|error| unknown(domain, &error))?;
        // Fully qualified: no search list of this machine has a say in where mail goes. Names in A-labels (RFC 5891 §4.4), for
        // the system's resolver takes no other.
        let Ok(name) = Name::from_utf8(format!("{domain}.")) else { return Err(no_domain(domain)) };
        let mut exchangers: Vec<(u16, String)> = match resolver.mx_lookup(name.clone()).await {
            Ok(lookup) => lookup
                .answers()
                .iter()
                .filter_map(|record| match &record.data {
                    RData::MX(mx) => Some((mx.preference, mx.exchange.to_ascii())),
                    _ => None,
                })
                .collect(),
            Err(error) if error.is_nx_domain() => return Err(no_domain(domain)),
            Err(error) if error.is_no_records_found() => Vec::new(),
            Err(error) => return Err(unknown(domain, &error)),
        };
        // RFC 7505: a single MX of "." means that the domain takes no mail.
        if let [(_, root)] = exchangers.as_slice()
            && root == "."
        {
            return Err(Failure::new(Side::Relay, Reply::fixed(556, Status(5, 1, 10), "The domain takes no mail"), domain));
        }
        // RFC 5321 §5.1 wants equal ones in random order; they stay in the order of the answer, which servers rotate.
        exchangers.sort_by_key(|(preference, _)| *preference);
        let names = exchangers.iter().map(|(_, host)| host.trim_end_matches('.')).filter(|host| !host.is_empty());
        let mut hosts: Vec<Arc<str>> = names.map(Into::into).take(MX_HOSTS_MAX).collect();
        if hosts.is_empty() {
            // RFC 5321 §5.1: no MX means that the domain's own address takes its mail.
            hosts.push(name.to_ascii().trim_end_matches('.').into());
        }
        Ok(relay(domain, hosts))
    }
}

fn relay(domain: &str, hosts: Vec<Arc<str>>) -> Arc<RelayConfig> {
    let retry = RetrySchedule { first: RETRY_FIRST, factor: RETRY_FACTOR, longest: RETRY_LONGEST, give_up: RETRY_GIVE_UP };
    Arc::new(RelayConfig {
        name: format!("{INTERNET} {domain}").into(),
        hosts,
        port: 25,
        tls: TlsMode::Opportunistic,
        implicit_tls: false,
        ca_file: None,
        auth: None,
        source_ip: None,
        connections_max: RELAY_CONNECTIONS_DEFAULT,
        recipients_per_message_max: RELAY_RECIPIENTS_DEFAULT,
        retry,
    })
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
    use std::net::SocketAddr;

    use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
    use hickory_resolver::net::runtime::TokioRuntimeProvider;
    use hickory_resolver::proto::op::{Message, ResponseCode};
    use hickory_resolver::proto::rr::Record;
    use hickory_resolver::proto::rr::rdata::MX;
    use tokio::net::UdpSocket;

    use super::*;

    /// A name server for a few domains of `example`.
    async fn serve(socket: UdpSocket) {
        let mut buffer = [0_u8; 1500];
        while let Ok((len, client)) = socket.recv_from(&mut buffer).await {
            let query = Message::from_vec(&buffer[..len]).unwrap();
            let name = query.queries[0].name().clone();
            let mut answer = query.clone().into_response();
            let mx: &[(u16, &str)] = match name.to_ascii().to_ascii_lowercase().as_str() {
                "several.example." => &[(20, "last.example."), (10, "b.example."), (5, "first.example."), (10, "a.example.")],
                "null.example." => &[(0, ".")],
                "half.example." => &[(0, "."), (10, "mail.example.")],
                "xn--bcher-kva.example." => &[(1, "mail.example.")],
                "sick.example." => {
                    answer.metadata.response_code = ResponseCode::ServFail;
                    &[]
                }
                "refused.example." => {
                    answer.metadata.response_code = ResponseCode::Refused;
                    &[]
                }
                "none.example." => {
                    answer.metadata.response_code = ResponseCode::NXDomain;
                    &[]
                }
                _ => &[],
            };
            for (preference, exchange) in mx {
                let data = RData::MX(MX::new(*preference, Name::from_ascii(exchange).unwrap()));
                answer.add_answer(Record::from_rdata(name.clone(), 60, data));
            }
            socket.send_to(&answer.to_vec().unwrap(), client).await.unwrap();
        }
    }

    fn ask(server: SocketAddr) -> MailExchangers {
        let mut connection = ConnectionConfig::udp();
        connection.port = server.port();
        let server = NameServerConfig::new(server.ip(), true, vec![connection]);
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        builder.options_mut().timeout = std::time::Duration::from_millis(500);
        let resolver = builder.build().unwrap();
        MailExchangers { resolver: OnceCell::new_with(Some(resolver)) }
    }

    #[tokio::test]
    async fn every_answer_of_dns_has_its_meaning() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let exchangers = ask(socket.local_addr().unwrap());
        tokio::spawn(serve(socket));
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
            ("sick.example", Err((451, false))),
            ("refused.example", Err((451, false))),
            ("[192.0.2.1]", Ok(vec!["192.0.2.1"])),
            ("[ipv6:2001:db8::1]", Ok(vec!["2001:db8::1"])),
        ] {
            let found = exchangers.find(domain).await;
            let found = found.as_ref().map(|relay| relay.hosts.iter().map(|host| &**host).collect::<Vec<_>>());
            let found = found.map_err(|failure| (failure.reply.code, !failure.is_temporary()));
            assert_eq!(found, expected, "{domain}");
        }
    }

    #[tokio::test]
    async fn a_name_server_that_is_not_there_is_no_verdict() {
        let closed = {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            socket.local_addr().unwrap()
        };
        let failure = ask(closed).find("several.example").await.unwrap_err();
        assert!(failure.is_temporary(), "{failure}");
    }
}
