//! Rules by the networks that the client is to be in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::marks::Marks;
use super::texts::{Hashed, number_hash};
use crate::rules::IpSet;

/// Rules by networks and lists of networks.
#[derive(Debug, Default)]
pub(super) struct Networks {
    v4: Family,
    v6: Family,
    lists: Vec<(Arc<IpSet>, Vec<usize>)>,
}

/// Networks of a family.
#[derive(Debug, Default)]
struct Family {
    /// The lengths of the prefixes, ascending: how far addresses are shifted until nothing but the prefix is left.
    shifts: Vec<u32>,
    /// Rules by the hash of prefix and shift.
    places: HashMap<u64, Vec<usize>, Hashed>,
}

impl Networks {
    pub(super) fn add(&mut self, network: IpNet, rule: usize) {
        let shift = u32::from(network.max_prefix_len().saturating_sub(network.prefix_len()));
        match network.addr() {
            IpAddr::V4(address) => self.v4.add(address.to_bits().into(), shift, rule),
            IpAddr::V6(address) => self.v6.add(address.to_bits(), shift, rule),
        }
    }

    pub(super) fn add_list(&mut self, list: &Arc<IpSet>, rule: usize) {
        match self.lists.iter_mut().find(|(known, _)| Arc::ptr_eq(known, list)) {
            Some((_, rules)) => rules.push(rule),
            None => self.lists.push((Arc::clone(list), vec![rule])),
        }
    }

    /// Marks the rules that have this address in one of their networks.
    pub(super) fn mark(&self, address: IpAddr, marks: &mut Marks) {
        match address.to_canonical() {
            IpAddr::V4(address) => self.v4.mark(address.to_bits().into(), marks),
            IpAddr::V6(address) => self.v6.mark(address.to_bits(), marks),
        }
        self.lists.iter().filter(|(list, _)| list.contains(address)).for_each(|(_, rules)| marks.set_all(rules));
    }
}

impl Family {
    fn add(&mut self, address: u128, shift: u32, rule: usize) {
        if let Err(place) = self.shifts.binary_search(&shift) {
            self.shifts.insert(place, shift);
        }
        self.places.entry(key(address, shift)).or_default().push(rule);
    }

    fn mark(&self, address: u128, marks: &mut Marks) {
        for rules in self.shifts.iter().filter_map(|shift| self.places.get(&key(address, *shift))) {
            marks.set_all(rules);
        }
    }
}

/// The whole address space is shifted by all bits.
fn key(address: u128, shift: u32) -> u64 {
    number_hash(address.checked_shr(shift).unwrap_or_default()) ^ u64::from(shift)
}
