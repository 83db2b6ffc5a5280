//! Relays that are this gateway itself: what they are given comes back, and is refused as a loop.

use std::net::{IpAddr, SocketAddr};

use crate::config::build::deployment::Deployment;
use crate::config::diagnostic::{Code, Sink};
use crate::config::source::Span;
use crate::config::tree::Node;
use crate::config::{Domains, formats};
use crate::relay::{RelayConfig, RelayKind, Route};

/// Looks at each relay. A name is ours if it is the gateway's own or that of this machine; what others lead to only DNS knows.
pub(crate) fn relays(tree: &Node, deployment: &Deployment, sink: &mut Sink) {
    for entry in tree.get("relays").map(Node::entries).unwrap_or_default() {
        let Some(relay) = deployment.relays.get(entry.key.as_str()) else { continue };
        match &relay.route {
            _ if relay.kind == RelayKind::Graph => {}
            Route::Hosts(hosts) => {
                let nodes = entry.value.get("host").or_else(|| entry.value.get("hosts")).map(Node::one_or_many).unwrap_or_default();
                for (host, node) in hosts.iter().zip(nodes) {
                    if let Some(listener) = listener(host, relay.port, tree, deployment) {
                        report(relay, host, node, &listener, sink);
                    }
                }
            }
            Route::MailExchangers(domain) => exchangers(domain, &entry.value, deployment, sink),
        }
    }
}

/// An address that an endpoint listens on.
struct Listener {
    endpoint: String,
    address: SocketAddr,
    span: Span,
}

/// The endpoint that a connection to this host and port reaches; `None`: none, or that cannot be told.
fn listener(host: &str, port: u16, tree: &Node, deployment: &Deployment) -> Option<Listener> {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let is_own_name = deployment.hostname.as_deref().is_some_and(|own| own.trim_end_matches('.').eq_ignore_ascii_case(&name));
    let address = name.trim_matches(['[', ']']).parse::<IpAddr>().ok().map(|address| address.to_canonical());
    let reaches = |at: SocketAddr| {
        let local = at.ip().to_canonical();
        match address {
            // RFC 6761 §6.3.
            None if name == "localhost" => local.is_ipv4() && (local.is_loopback() || local.is_unspecified()),
            None => is_own_name && !local.is_loopback(),
            Some(address) if address == local || address.is_unspecified() => true,
            Some(address) => {
                local.is_unspecified() && local.is_ipv4() == address.is_ipv4() && (address.is_loopback() || is_local(address, deployment))
            }
        }
    };
    for entry in tree.get("endpoints").map(Node::entries).unwrap_or_default() {
        for node in entry.value.get("listen").map(Node::one_or_many).unwrap_or_default() {
            if let Some(address) = node.text().and_then(|text| formats::listen(text).ok())
                && address.port() == port
                && port != 0
                && reaches(address)
            {
                return Some(Listener { endpoint: entry.key.clone(), address, span: node.span.clone() });
            }
        }
    }
    None
}

/// Whether the address is one of this machine, as far as the file says so: connections are made from it.
fn is_local(address: IpAddr, deployment: &Deployment) -> bool {
    deployment.relays.values().any(|relay| relay.source_ips.contains(&address))
}

fn report(relay: &RelayConfig, host: &str, node: &Node, listener: &Listener, sink: &mut Sink) {
    let Listener { endpoint, address, span } = listener;
    let message = format!(
        "the relay `{}` is this gateway itself: at `{}`, port {}, its endpoint `{endpoint}` listens",
        formats::clip(&relay.name),
        formats::clip(host),
        relay.port
    );
    sink.error(Code::Loop, node.span.clone(), message)
        .note(span.clone(), format!("{address} is listened on here"))
        .help("mail that comes back is refused as a loop (554 5.4.6): none of it would be delivered")
        .help("name the mail server behind the gateway; where it runs on this machine, the port that it listens on");
}

/// The exchangers of a domain that mail is taken for are, as a rule, ourselves.
fn exchangers(domain: &str, node: &Node, deployment: &Deployment, sink: &mut Sink) {
    let is_accepted = match &deployment.domains {
        Some(Domains::List(domains)) => domains.iter().any(|accepted| accepted.eq_ignore_ascii_case(domain)),
        Some(Domains::Ses) | None => false,
    };
    let Some(at) = node.get("mx").filter(|_| is_accepted) else { return };
    let message = format!("mail for `{domain}` comes to this gateway, and the MX records of `{domain}` say where this relay leads");
    sink.warning(Code::Loop, at.span.clone(), message)
        .help("where they name this gateway first, its mail waits and is bounced in the end; name the mail server behind it with `host`")
        .help("it is right for a backup: where the records prefer another host to this one, which is then asked");
}
