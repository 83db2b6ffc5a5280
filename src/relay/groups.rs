//! Which recipients share a transaction: by domain and number as the relay asks for it, by what their addresses need, and by what the
//! next hop says of itself.
//!
//! - One transaction has recipients of one domain where the relay asks for it: Google answers 451 4.3.0 to several, and Microsoft's
//!   tenants are told apart by domain.
//! - Those whose addresses need SMTPUTF8 have transactions of their own: a next hop without it takes the others.
//! - A next hop with LIMITS is told no more than it said that it takes (RFC 9422 §3).

use std::collections::{HashMap, HashSet};

use super::{Delivery, RelayLimits};
use crate::smtp::{Address, Extensions, Recipient, ReversePath};

/// The recipients of a delivery, by their places in it.
#[derive(Debug, Default)]
pub(super) struct Division {
    /// A transaction each.
    pub(super) groups: Vec<Vec<usize>>,
    /// Addresses that cannot stand in a command.
    pub(super) unsendable: Vec<usize>,
}

/// Divides the recipients as the relay asks for it.
pub(super) fn divide(delivery: &Delivery, limits: &RelayLimits) -> Division {
    let sender_is_sendable = match &delivery.reverse_path {
        ReversePath::Null => true,
        ReversePath::Address(address) => is_sendable(address),
    };
    let mut division = Division::default();
    let mut places: HashMap<(String, bool), usize> = HashMap::new();
    // More than there may be in a day would wait for ever.
    let a_day = limits.recipients_per_day.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let max = limits.recipients_per_message.min(a_day).max(1);
    for (at, Recipient { address, .. }) in delivery.recipients.iter().enumerate() {
        if !sender_is_sendable || !is_sendable(address) {
            division.unsendable.push(at);
            continue;
        }
        let domain = if limits.one_domain_per_message { address.domain().to_ascii_lowercase() } else { String::new() };
        let key = (domain, address.is_ascii());
        let open = places.get(&key).and_then(|place| division.groups.get_mut(*place)).filter(|group| group.len() < max);
        match open {
            Some(group) => group.push(at),
            None => {
                places.insert(key, division.groups.len());
                division.groups.push(vec![at]);
            }
        }
    }
    division
}

/// Parts those that the next hop takes in one transaction from those for a later one; there is at least one of the first.
pub(super) fn within(delivery: &Delivery, pending: Vec<usize>, offered: &Extensions) -> (Vec<usize>, Vec<usize>) {
    let max = offered.rcpt_max.unwrap_or(usize::MAX).max(1);
    let domains_max = offered.rcpt_domain_max.unwrap_or(usize::MAX).max(1);
    let (mut now, mut later) = (Vec::new(), Vec::new());
    let mut domains: HashSet<String> = HashSet::new();
    for at in pending {
        let domain = delivery.recipients.get(at).map(|recipient| recipient.address.domain().to_ascii_lowercase()).unwrap_or_default();
        if now.len() < max && (domains.contains(&domain) || domains.len() < domains_max) {
            domains.insert(domain);
            now.push(at);
        } else {
            later.push(at);
        }
    }
    (now, later)
}

/// Nothing that an address holds may end its command line or look like one.
fn is_sendable(address: &Address) -> bool {
    !address.as_str().is_empty() && !address.as_str().chars().any(char::is_control)
}
