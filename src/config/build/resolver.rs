//! The resolver from its model.

use crate::config::diagnostic::{Code, Sink};
use crate::config::model::TimeSpan;
use crate::config::model::deployment::{Dnssec, Resolver};
use crate::config::tree::Node;
use crate::config::typed::typed;
use crate::dns::{DnssecTrust, ResolverConfig};
use crate::limits::{DNS_SERVERS_MAX, DNS_TIMEOUT_MAX, DNS_TIMEOUT_MIN};

/// The defaults, with what the file says instead.
pub(crate) fn resolver(node: &Node, sink: &mut Sink) -> ResolverConfig {
    let default = ResolverConfig::default();
    if let Some(value) = node.get("timeout")
        && typed::<TimeSpan>(value, sink).is_some_and(|time| !(DNS_TIMEOUT_MIN..=DNS_TIMEOUT_MAX).contains(&time.0))
    {
        let (least, most) = (DNS_TIMEOUT_MIN.as_secs(), DNS_TIMEOUT_MAX.as_secs());
        sink.error(Code::BadValue, value.span.clone(), format!("`timeout` is {least}s at least and {most}s at most"))
            .help("clients wait while DNS is asked, and a verdict asks several questions");
    }
    let Some(model) = typed::<Resolver>(node, sink) else { return default };
    let mut servers = Vec::new();
    let nodes = node.get("servers").map(Node::one_or_many).unwrap_or_default();
    for (server, node) in model.servers.iter().flat_map(|servers| &servers.0).zip(nodes) {
        if servers.contains(&server.0) {
            sink.error(Code::Conflict, node.span.clone(), format!("{} stands here twice", server.0));
        }
        servers.push(server.0);
    }
    if servers.len() > DNS_SERVERS_MAX {
        let span = node.get("servers").map_or_else(|| node.head(), Node::head);
        sink.error(Code::BadValue, span, format!("{DNS_SERVERS_MAX} servers are possible at most")).help("two that are near are enough");
    }
    let dnssec = match model.dnssec {
        None | Some(Dnssec::Loopback) => DnssecTrust::Loopback,
        Some(Dnssec::Trusted) => DnssecTrust::Everyone,
    };
    ResolverConfig { servers, timeout: model.timeout.map_or(default.timeout, |time| time.0), dnssec }
}
