//! IP sets: networks of both families, built once, asked often.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

/// Networks of both families, asked for membership.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpSet {
    /// Its key in `gateway.yaml`; empty for networks that stand in a rule.
    name: Box<str>,
    v4: Ranges<u32>,
    /// Where all addresses with the same upper half are in, by that half: nearly all that lists have.
    v6: Ranges<u64>,
    /// The others.
    v6_within: Ranges<u128>,
}

/// How many numbers are looked at together: few cache lines, all of which are fetched at once.
const FANOUT: usize = 16;

/// Ranges of addresses, as numbers, ascending and without overlap.
///
/// Above them is a tree of their first addresses: each level has every sixteenth one of the level below. Among 1,000,000 a search looks at
/// five groups of sixteen, of which the upper four stay in the processor's caches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ranges<A> {
    ranges: Vec<(A, A)>,
    /// The lowest level first.
    levels: Vec<Box<[A]>>,
}

impl IpSet {
    /// Builds the set; overlapping networks are merged.
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match network {
                IpNet::V4(network) => v4.push((network.network().to_bits(), network.broadcast().to_bits())),
                IpNet::V6(network) => match (network.network().to_ipv4_mapped(), network.broadcast().to_ipv4_mapped()) {
                    (Some(first), Some(last)) => v4.push((first.to_bits(), last.to_bits())),
                    _ => v6.push((network.network().to_bits(), network.broadcast().to_bits())),
                },
            }
        }
        let mut halves = Vec::new();
        let v6 = merged(v6).into_iter().filter(|range| whole_halves(*range).map(|half| halves.push(half)).is_none()).collect();
        Self { name: Box::default(), v4: Ranges::new(merged(v4)), v6: Ranges::new(halves), v6_within: Ranges::new(v6) }
    }

    /// The same networks under a name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Their name; empty for networks that stand in a rule.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As few networks as hold the same addresses, in their order.
    pub fn networks(&self) -> impl Iterator<Item = IpNet> {
        let v4 = self.v4.iter().flat_map(|(first, last)| Ipv4Subnets::new(first.into(), last.into(), 0)).map(IpNet::V4);
        v4.chain(self.v6_ranges().flat_map(|(first, last)| Ipv6Subnets::new(first.into(), last.into(), 0)).map(IpNet::V6))
    }

    /// The first and the last address of each network, without overlap, ascending, IPv4 first.
    pub fn ranges(&self) -> impl Iterator<Item = (IpAddr, IpAddr)> {
        let v4 = self.v4.iter().map(|(first, last)| (Ipv4Addr::from(first).into(), Ipv4Addr::from(last).into()));
        v4.chain(self.v6_ranges().map(|(first, last)| (Ipv6Addr::from(first).into(), Ipv6Addr::from(last).into())))
    }

    /// Number of ranges.
    pub fn len(&self) -> usize {
        [self.v4.ranges.len(), self.v6.ranges.len(), self.v6_within.ranges.len()].into_iter().fold(0, usize::saturating_add)
    }

    /// Whether it holds no address.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the address is in one of the networks. A v4-mapped IPv6 address counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => self.v4.contain(address.to_bits()),
            IpAddr::V6(address) => self.v6.contain(upper_half(address.to_bits())) || self.v6_within.contain(address.to_bits()),
        }
    }

    /// The first run of addresses that ends at this address or behind it, of the same family: its first and its last address.
    pub fn run_from(&self, address: IpAddr) -> Option<(IpAddr, IpAddr)> {
        match address {
            IpAddr::V4(address) => {
                self.v4.run_from(address.to_bits()).map(|(first, last)| (Ipv4Addr::from(first).into(), Ipv4Addr::from(last).into()))
            }
            IpAddr::V6(address) => {
                let address = address.to_bits();
                let runs = [self.v6.run_from(upper_half(address)).map(of_halves), self.v6_within.run_from(address)];
                runs.into_iter().flatten().min().map(|(first, last)| (Ipv6Addr::from(first).into(), Ipv6Addr::from(last).into()))
            }
        }
    }

    fn v6_ranges(&self) -> impl Iterator<Item = (u128, u128)> {
        let mut halves = self.v6.iter().map(of_halves).peekable();
        let mut within = self.v6_within.iter().peekable();
        std::iter::from_fn(move || match (halves.peek(), within.peek()) {
            (Some(half), Some(other)) if other < half => within.next(),
            (None, _) => within.next(),
            _ => halves.next(),
        })
    }
}

impl<A: Ord + Copy> Ranges<A> {
    fn new(mut ranges: Vec<(A, A)>) -> Self {
        ranges.shrink_to_fit();
        let above = |below: &[A]| -> Option<Box<[A]>> { (below.len() > FANOUT).then(|| below.iter().copied().step_by(FANOUT).collect()) };
        let lowest: Box<[A]> = ranges.iter().map(|(first, _)| *first).step_by(FANOUT).collect();
        let levels = std::iter::successors(Some(lowest), |level| above(level)).collect();
        Self { ranges, levels }
    }

    fn iter(&self) -> impl Iterator<Item = (A, A)> {
        self.ranges.iter().copied()
    }

    fn contain(&self, address: A) -> bool {
        let mut group = 0_usize;
        for level in self.levels.iter().rev() {
            // All of them are compared, so that nothing depends on a guess of which is the last.
            let begun = piece(level, group).iter().map(|first| usize::from(*first <= address)).sum();
            if begun == 0 {
                return false;
            }
            group = group.saturating_mul(FANOUT).saturating_add(begun).saturating_sub(1);
        }
        let is_within = |found: bool, (first, last): &(A, A)| found | ((*first <= address) & (address <= *last));
        piece(&self.ranges, group).iter().fold(false, is_within)
    }

    fn run_from(&self, address: A) -> Option<(A, A)> {
        self.ranges.get(self.ranges.partition_point(|(_, last)| *last < address)).copied()
    }
}

/// The group of this number.
fn piece<T>(all: &[T], group: usize) -> &[T] {
    let rest = all.get(group.saturating_mul(FANOUT)..).unwrap_or_default();
    rest.get(..FANOUT).unwrap_or(rest)
}

/// Sorted, and without overlap.
fn merged<A: Ord + Copy>(mut ranges: Vec<(A, A)>) -> Vec<(A, A)> {
    ranges.sort_unstable();
    ranges.dedup_by(|later, earlier| {
        let overlap = later.0 <= earlier.1;
        if overlap {
            earlier.1 = earlier.1.max(later.1);
        }
        overlap
    });
    ranges
}

fn upper_half(address: u128) -> u64 {
    (address >> 64) as u64
}

/// The upper halves of a range that has all addresses of each of them.
fn whole_halves((first, last): (u128, u128)) -> Option<(u64, u64)> {
    let is_whole = first as u64 == 0 && last as u64 == u64::MAX;
    is_whole.then(|| (upper_half(first), upper_half(last)))
}

fn of_halves((first, last): (u64, u64)) -> (u128, u128) {
    (u128::from(first) << 64, (u128::from(last) << 64) | u128::from(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_families_are_kept_apart_and_mapped_addresses_are_plain() {
        let networks = ["192.0.2.0/25", "192.0.2.64/26", "192.0.2.128/25", "::ffff:198.51.100.0/120", "2001:db8::/32", "10.1.2.3/8"];
        let set = IpSet::new(networks.map(|network| network.parse().expect("a network")));
        for (address, expected) in [
            ("192.0.2.0", true),
            ("192.0.2.255", true),
            ("192.0.3.0", false),
            ("::ffff:192.0.2.1", true),
            ("198.51.100.7", true),
            ("10.255.0.1", true),
            ("2001:db8:ffff::1", true),
            ("2001:db9::", false),
        ] {
            assert_eq!(set.contains(address.parse().expect("an address")), expected, "{address}");
        }
        let everything = IpSet::new(["::/0".parse().expect("a network")]);
        assert!(!everything.contains(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        assert!(!IpSet::default().contains(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }

    proptest! {
        #[test]
        fn a_set_contains_what_one_of_its_networks_contains(
            networks in proptest::collection::vec((0..64_u8, 24..=32_u8), 0..12),
            address in 0..64_u8,
        ) {
            let networks: Vec<IpNet> = networks
                .into_iter()
                .map(|(byte, prefix)| IpNet::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, byte)), prefix).expect("a prefix"))
                .collect();
            let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, address));
            let expected = networks.iter().any(|network| network.contains(&address));
            prop_assert_eq!(IpSet::new(networks).contains(address), expected);
        }

        #[test]
        fn among_many_ranges_each_ends_where_it_ends(starts in proptest::collection::btree_set(0..6_000_u32, 0..400)) {
            let v4 = starts.iter().map(|start| IpNet::new(Ipv4Addr::from(0x0A00_0000 + start * 4).into(), 31).expect("a prefix"));
            // Some of them smaller than a /64, beside others in the same one.
            let shift = [80, 60][starts.len() % 2];
            let length = 129 - u8::try_from(shift).expect("small");
            let v6 = starts.iter().map(|start| IpNet::new(Ipv6Addr::from(u128::from(*start) << shift).into(), length).expect("a prefix"));
            let set = IpSet::new(v4.chain(v6));
            prop_assert_eq!(set.len(), starts.len() * 2);
            prop_assert_eq!(set.networks().count(), starts.len() * 2);
            prop_assert_eq!(IpSet::new(set.networks()), set.clone());
            prop_assert!(set.ranges().is_sorted());
            for address in starts.iter().map(|start| IpAddr::V6(Ipv6Addr::from((u128::from(*start) << shift) + 1))).take(3) {
                prop_assert_eq!(set.run_from(address), set.ranges().find(|(_, last)| last.is_ipv6() && *last >= address));
            }
            for number in starts.iter().flat_map(|start| [start.saturating_sub(1), *start, start + 1]) {
                let expected = starts.contains(&number);
                for (offset, within) in [(0, true), (1, true), (2, false), (3, false)] {
                    let address = Ipv4Addr::from(0x0A00_0000 + number * 4 + offset);
                    prop_assert_eq!(set.contains(address.into()), expected && within, "{}", address);
                }
                let half = 1_u128 << (shift - 1);
                for (offset, within) in [(0, true), (half - 1, true), (half, false), (2 * half - 1, false)] {
                    let address = Ipv6Addr::from((u128::from(number) << shift) + offset);
                    prop_assert_eq!(set.contains(address.into()), expected && within, "{}", address);
                }
            }
        }
    }
}
