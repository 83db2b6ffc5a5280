//! Which addresses of a next hop are used.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::common::dns::{Behaviour, StubDns};
use crate::common::peer::Peer;
use crate::harness::{Client, Deployment, mail};

/// A server that listens on one port of both families.
fn dual() -> Peer {
    Peer::start_on("peer-exchange-online", &[(Ipv4Addr::LOCALHOST, 0).into(), (Ipv6Addr::LOCALHOST, 0).into()])
}

#[test]
fn a_relay_pinned_to_ipv4_never_opens_a_socket_of_ipv6() {
    for (pin, to_ipv4) in [("ip_family: v4", true), ("source_ip: 127.0.0.1", true), ("ip_family: v6", false)] {
        let (peer, dns) = (dual(), StubDns::launch());
        // The address of IPv6 is known at once, that of IPv4 after a while.
        dns.load(&[("dual.example", "A", "127.0.0.1"), ("dual.example", "AAAA", "::1")]);
        dns.misbehave_for("dual.example", "A", Behaviour::Slow(Duration::from_millis(700)));
        let place = format!("host: dual.example, port: {}", peer.address().port());
        let deployment =
            Deployment::new("inline").names(&dns).relay_at("next", &place, &format!("{pin}, limits: {{ messages_per_connection: 1 }}"));
        let gateway = deployment.start();
        for number in 0..5 {
            let message = mail::small(&format!("pinned{number}"));
            Client::hello(gateway.address()).send("alice@example.org", &["bob@acme.example"], &message).expect("250 ");
        }
        peer.wait_taken(5);
        let clients = peer.clients();
        assert!(clients.len() >= 5 && clients.iter().all(|client| is_ipv4(client) == to_ipv4), "{pin}: {clients:?}");
    }
}

fn is_ipv4(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_ipv4()
}

/// Names as Microsoft makes them, from the domain alone to the server that has the mail.
#[test]
fn mail_for_a_domain_at_microsoft_finds_the_server_of_its_name() {
    for (domain, host) in [
        ("contoso.com", "contoso-com"),
        ("acme.co.example", "acme-co-example"),
        ("1-2.co.uk", "12-co-uk0c"),
        ("pi-hf.com", "pihf-com0e"),
        ("heig-vd.ch", "heigvd-ch01b"),
        ("international-am.com", "internationalam-com03c"),
    ] {
        let (peer, dns) = (Peer::start("peer-exchange-online"), StubDns::launch());
        dns.a(&format!("{host}.mail.protection.outlook.com"), "127.0.0.1");
        let place = format!("preset: microsoft-365, domain: {domain}, port: {}", peer.address().port());
        let gateway = Deployment::new("inline").names(&dns).relay_at("next", &place, "ip_family: v4").start();
        Client::hello(gateway.address()).send("alice@example.org", &["bob@acme.example"], &mail::small("named")).expect("250 ");
        assert_eq!(peer.wait_taken(1).len(), 1);
        assert_eq!(peer.violations(), [""; 0]);
    }
}
