//! Admission by tables, with a given clock.

use super::*;
use std::time::Duration;

fn small() -> Limits {
    Limits {
        connections: 1000,
        connections_per_address: 8,
        connections_per_network: 12,
        connections_per_minute_per_address: 100,
        connections_per_minute_per_network: 200,
        ..Limits::default()
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// As many as get in, and the limit that the next one meets.
fn fill(admission: &Admission, clients: impl Iterator<Item = IpAddr>) -> (Vec<ClientPlace>, Option<Limit>) {
    let mut places = Vec::new();
    for client in clients {
        match admission.enter_client(client) {
            Ok(place) => places.push(place),
            Err(refusal) => {
                assert_eq!(refusal.reply.code, 421);
                return (places, Some(refusal.limit));
            }
        }
    }
    (places, None)
}

fn four(a: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(198, 51, a, d))
}

fn six(subnet: u16, host: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, subnet, 0, 0, 0, host))
}

#[test]
fn an_address_and_a_network_have_so_many_places_and_give_them_back() {
    for (name, same_address, same_network, elsewhere) in [
        ("IPv4", [four(1, 1); 9], (0..13).map(|n| four(1, n)).collect::<Vec<_>>(), four(2, 1)),
        ("IPv6", std::array::from_fn(|n| six(7, n as u16)), (0..13).map(|n| six(n, 1)).collect(), ip("2001:db8:2::1")),
    ] {
        let admission = Admission::new(small());
        let (places, limit) = fill(&admission, same_address.into_iter());
        assert_eq!((places.len(), limit), (8, Some(Limit::ConnectionsPerAddress)), "{name}");
        assert_eq!(places[0].connections(), 8);
        drop(places);
        let (places, limit) = fill(&admission, same_network.into_iter());
        assert_eq!((places.len(), limit), (12, Some(Limit::ConnectionsPerNetwork)), "{name}");
        assert!(admission.enter_client(elsewhere).is_ok(), "{name}");
        drop(places);
        assert!(admission.0.clients().addresses.is_empty() && admission.0.clients().networks.is_empty(), "{name}");
        assert!(admission.enter_client(same_address[0]).is_ok(), "{name}");
    }
}

#[test]
fn loopback_has_no_limits_of_its_own_and_is_counted_in_the_total() {
    let admission = Admission::new(Limits { connections: 50, ..small() });
    let (places, limit) = fill(&admission, std::iter::repeat_n(ip("127.0.0.1"), 300));
    assert_eq!((places.len(), limit), (300, None));
    let totals: Vec<_> = (0..50).map(|_| admission.enter_total().unwrap()).collect();
    assert_eq!(admission.enter_total().unwrap_err().limit, Limit::Connections);
    drop(totals);
    assert_eq!(admission.total(), 0);
    assert!(admission.enter_total().is_ok());
}

#[test]
fn a_minute_has_so_many_new_connections_and_the_next_one_as_many() {
    let admission = Admission::new(small());
    let start = admission.0.since;
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    for n in 0..100 {
        assert!(admission.enter_client_at(four(1, 1), at(n % 60)).is_ok(), "{n}");
    }
    let limit = |address, seconds| admission.enter_client_at(address, at(seconds)).err().map(|refusal| refusal.limit);
    assert_eq!(limit(four(1, 1), 59), Some(Limit::ConnectionsPerMinutePerAddress));
    // The refused one did not count for its network, whose second hundred others may use.
    for n in 0..100 {
        assert_eq!(limit(four(1, 2 + n % 50), 59), None, "{n}");
    }
    assert_eq!(limit(four(1, 99), 59), Some(Limit::ConnectionsPerMinutePerNetwork));
    assert_eq!(limit(four(2, 99), 59), None);
    assert_eq!(limit(four(1, 1), 60), None);
    assert_eq!(limit(four(1, 99), 60), None);
}

#[test]
fn under_strain_one_client_gets_a_part_of_its_places_and_then_nobody_gets_any() {
    let admission = Admission::new(Limits { connections: 10, ..small() });
    let mut totals: Vec<_> = (0..9).map(|_| admission.enter_total().unwrap()).collect();
    let empty = (0, 1 << 20);
    assert_eq!(admission.observe(empty, false).unwrap().0, Level::Strained);
    assert_eq!(admission.observe(empty, false), None, "a change is told once");
    let (places, limit) = fill(&admission, std::iter::repeat_n(four(1, 1), 9));
    assert_eq!((places.len(), limit), (2, Some(Limit::ConnectionsPerAddress)));
    totals.push(admission.enter_total().unwrap());
    assert_eq!(admission.observe(empty, false).unwrap().0, Level::Refusing);
    assert_eq!(admission.enter_total().unwrap_err().limit, Limit::Connections);
    // All leave. The doors stay shut until the next look, which opens them: nothing else has to happen.
    totals.clear();
    assert_eq!(admission.enter_total().unwrap_err().limit, Limit::Pressure);
    assert_eq!(admission.observe(empty, false).unwrap().0, Level::Normal);
    let (more, limit) = fill(&admission, std::iter::repeat_n(four(1, 1), 9));
    assert_eq!((more.len(), limit), (6, Some(Limit::ConnectionsPerAddress)));
}

#[test]
fn other_limits_hold_for_the_next_one() {
    let admission = Admission::new(small());
    let (places, _) = fill(&admission, std::iter::repeat_n(four(1, 1), 8));
    admission.set_limits(Limits { connections_per_address: 4, ..small() });
    assert_eq!(admission.enter_client(four(1, 1)).unwrap_err().limit, Limit::ConnectionsPerAddress);
    assert_eq!(places[0].connections(), 8);
}
