//! Networks that are written in a roundabout way.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::edit;
use super::walk::Test;
use crate::config::diagnostic::{Code, Sink};

/// The IPv4 network that a v4-mapped one (RFC 4291 §2.5.5.2) means.
pub(crate) fn unmapped(net: IpNet) -> Option<Ipv4Net> {
    let IpNet::V6(net) = net else { return None };
    let prefix = net.prefix_len().checked_sub(96)?;
    Ipv4Net::new(net.addr().to_ipv4_mapped()?, prefix).ok().map(|net| net.trunc())
}

/// v4-mapped networks in conditions.
pub(super) fn check(test: &Test<'_>, sink: &mut Sink) {
    if !test.is(&["cidr_matches", "not_cidr_matches"]) {
        return;
    }
    for (node, text) in test.texts() {
        let net = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        let Some(v4) = net.and_then(unmapped) else { continue };
        let written = if v4.prefix_len() == 32 { v4.addr().to_string() } else { v4.to_string() };
        let edit = edit::text(node, &written, sink);
        let diagnostic = sink
            .error(Code::CidrMapped, node.span.clone(), format!("`{text}` is the IPv4 network `{written}` in an IPv6 notation"))
            .help("addresses of clients that come over a dual-stack socket are made plain IPv4 first");
        if let Some(edit) = edit {
            diagnostic.fix(format!("write `{written}`"), vec![edit]);
        }
    }
}
