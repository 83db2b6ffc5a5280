//! What is to be set up at a relay's provider, with the operator's own values.

mod aws;
mod google;
mod microsoft;

use std::net::IpAddr;

use crate::config::Snapshot;
use crate::relay::examine::Examination;
use crate::relay::{Provider, RelayConfig, RelayKind};

/// What is to be done at one place.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) title: String,
    pub(super) text: String,
}

/// What the texts are made of.
struct Values<'a> {
    snapshot: &'a Snapshot,
    relay: &'a RelayConfig,
    /// Where connections come from, as the next hop sees them: declared, configured or seen, in this order.
    addresses: Vec<IpAddr>,
}

/// Everything that is to be done for this relay.
pub(super) fn for_relay(snapshot: &Snapshot, relay: &RelayConfig, found: &Examination) -> Vec<Setup> {
    let values = Values { snapshot, relay, addresses: addresses(relay, found) };
    let mut all = Vec::new();
    match relay.provider {
        Provider::Google => all.push(google::inbound_gateway(&values)),
        Provider::Microsoft => all.extend(microsoft::setup(&values)),
        Provider::Ses => all.push(aws::ses(&values)),
        Provider::Other => {}
    }
    if relay.kind == RelayKind::Graph {
        all.extend(microsoft::graph(&values));
    }
    all.extend(aws::secrets(&values));
    all
}

fn addresses(relay: &RelayConfig, found: &Examination) -> Vec<IpAddr> {
    let looked = found.hosts.iter().filter_map(|host| host.addresses.as_ref().ok()).flatten();
    let seen = looked.filter_map(|looked| looked.talk.as_ref()?.as_ref().ok()?.seen_as);
    let configured = relay.source_ips.iter().copied().filter(|address| !is_private(*address));
    let mut addresses: Vec<IpAddr> = if relay.public_ips.is_empty() { configured.chain(seen).collect() } else { relay.public_ips.clone() };
    addresses.sort();
    addresses.dedup();
    addresses
}

/// Whether nobody outside can see such an address.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private() || address.is_loopback() || address.is_link_local(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local(),
    }
}

impl Values<'_> {
    /// The addresses that are of use to somebody who knows only some families.
    fn listed(&self, fits: impl Fn(&IpAddr) -> bool, separator: &str) -> String {
        let list: Vec<String> = self.addresses.iter().filter(|address| fits(address)).map(ToString::to_string).collect();
        if list.is_empty() { "PUBLIC-IP".to_owned() } else { list.join(separator) }
    }

    /// A remark for when nothing says what the addresses are.
    fn about_addresses(&self) -> &'static str {
        if self.addresses.is_empty() {
            "\nPUBLIC-IP stands for the address that the gateway's connections come from; write it as `public_ip:` of the relay.\n"
        } else {
            ""
        }
    }

    /// An SPF record (RFC 7208) for what this gateway and the provider send.
    fn spf(&self, include: &str) -> String {
        let own = self.addresses.iter().map(|address| match address {
            IpAddr::V4(address) => format!("ip4:{address} "),
            IpAddr::V6(address) => format!("ip6:{address} "),
        });
        let own: String = if self.addresses.is_empty() { "ip4:PUBLIC-IP ".to_owned() } else { own.collect() };
        format!("v=spf1 {own}include:{include} ~all")
    }
}
