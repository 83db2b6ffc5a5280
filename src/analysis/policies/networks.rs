//! One address and the networks that it is to be in or outside of. Exact: an address that fits is found if there is one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::Solved;
use crate::limits::PROOF_CHOICES_MAX;
use crate::rules::{IpSet, IpTest};

/// A test and whether it is to hold.
pub(super) type Demand<'t> = (&'t IpTest, bool);

/// Addresses to show to people, if they fit: those of documentation (RFC 5737, RFC 3849).
const SHOWN: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)),
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9)),
];

/// An address of which all demands are true.
pub(super) fn solve(demands: &[Demand<'_>]) -> Solved<IpAddr> {
    if let Some(address) = SHOWN.into_iter().find(|address| demands.iter().all(|(test, wanted)| test.holds(*address) == *wanted)) {
        return Solved::One(address);
    }
    let bounds: Vec<(Vec<&IpSet>, bool)> = demands
        .iter()
        .map(|(test, wanted)| match test {
            IpTest::CidrMatches(set) => (vec![set], *wanted),
            IpTest::NotCidrMatches(set) => (vec![set], !*wanted),
            IpTest::InList(sets) => (sets.iter().map(Arc::as_ref).collect(), *wanted),
        })
        .collect();
    // One and the same list within and outside: no need to walk along a million networks.
    let is_refused = |within: &[&IpSet]| {
        let outside = bounds.iter().filter(|(_, inside)| !inside);
        outside.into_iter().any(|(outside, _)| within.iter().all(|set| outside.iter().any(|other| std::ptr::eq(*set, *other))))
    };
    if bounds.iter().any(|(sets, inside)| *inside && is_refused(sets)) {
        return Solved::Nothing;
    }
    let (v4, v6) = (first_from(IpAddr::V4(Ipv4Addr::UNSPECIFIED), &bounds), first_from(IpAddr::V6(Ipv6Addr::UNSPECIFIED), &bounds));
    match (v4, v6) {
        (Solved::One(address), _) | (_, Solved::One(address)) => Solved::One(address),
        (Solved::Nothing, Solved::Nothing) if demands.iter().all(is_known) => Solved::Nothing,
        _ => Solved::Unknown,
    }
}

/// Whether a proof may rest on it. A list lives: that its entries of today are covered by something says nothing of the statement that
/// names it. And one without entries may be one that was not read.
fn is_known((test, wanted): &Demand<'_>) -> bool {
    match test {
        IpTest::InList(sets) => !wanted && sets.iter().all(|set| !set.is_empty()),
        IpTest::CidrMatches(_) | IpTest::NotCidrMatches(_) => true,
    }
}

/// The first address of the family that is within the ones and outside of the others. Each step goes to the next bound of a network.
fn first_from(first: IpAddr, bounds: &[(Vec<&IpSet>, bool)]) -> Solved<IpAddr> {
    let mut at = first;
    for _ in 0..PROOF_CHOICES_MAX {
        let before = at;
        for (sets, inside) in bounds {
            let runs = sets.iter().filter_map(|set| set.run_from(at));
            if *inside {
                let Some(start) = runs.map(|(start, _)| start).min() else { return Solved::Nothing };
                at = at.max(start);
            } else if let Some(end) = runs.filter(|(start, _)| *start <= at).map(|(_, end)| end).max() {
                let Some(next) = next(end) else { return Solved::Nothing };
                at = next;
            }
        }
        // A client is never seen with a mapped address (RFC 4291 §2.5.5.2).
        if let IpAddr::V6(v6) = at
            && v6.to_ipv4_mapped().is_some()
        {
            at = IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 1, 0, 0, 0));
        }
        if at == before {
            return Solved::One(at);
        }
    }
    Solved::Unknown
}

fn next(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => address.to_bits().checked_add(1).map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        IpAddr::V6(address) => address.to_bits().checked_add(1).map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
    }
}
