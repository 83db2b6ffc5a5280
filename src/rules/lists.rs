//! Address lists and IP sets: built once, asked often.

use std::net::IpAddr;

use ipnet::IpNet;

/// A named list of addresses with Mail Manager's wildcard rules.
#[derive(Debug, Default)]
pub struct AddressList {}

/// Why a list entry is not one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressListError(pub String);

/// Networks of both families, asked for membership.
#[derive(Clone, Debug, Default)]
pub struct IpSet {}

impl AddressList {
    /// Builds the list; every entry that is wrong is reported with its position.
    pub fn build<'a>(_entries: impl Iterator<Item = &'a str>) -> (Self, Vec<(usize, AddressListError)>) {
        (Self::default(), Vec::new())
    }

    /// Whether the address is in the list, without regard to case.
    pub fn contains(&self, _address: &str) -> bool {
        false
    }
}

impl IpSet {
    /// Builds the set; overlapping networks are merged.
    pub fn new(_networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self::default()
    }

    /// Whether the address is in one of the networks. A v4-mapped IPv6 address counts as IPv4.
    pub fn contains(&self, _address: IpAddr) -> bool {
        false
    }
}
