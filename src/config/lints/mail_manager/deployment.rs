//! Relays, endpoints and lists of `gateway.yaml`.

use super::{limit, name, none};
use crate::config::diagnostic::Sink;
use crate::config::tree::{Entry, Node};

/// Per region and account.
const RELAYS_MAX: usize = 40;
const ADDRESS_LISTS_MAX: usize = 100;
const ARCHIVES_MAX: usize = 10;

/// By type: what is written here, how it is called there, and how many there are.
const ENDPOINTS_MAX: &[(&str, usize)] = &[("open", 10), ("auth", 50), ("mtls", 10)];

/// Looks at a deployment.
pub(in crate::config::lints) fn check(tree: &Node, sink: &mut Sink) {
    let entries = |key: &str| tree.get(key).map(Node::entries).unwrap_or_default();
    for (key, what, most) in
        [("relays", "relays", RELAYS_MAX), ("address_lists", "address lists", ADDRESS_LISTS_MAX), ("archives", "archives", ARCHIVES_MAX)]
    {
        if let Some(first) = entries(key).get(most) {
            let count = entries(key).len();
            limit(sink, first.key_span.clone(), format!("Mail Manager takes {most} {what}, and there are {count}"));
        }
    }
    for relay in entries("relays") {
        name(sink, relay.key_span.clone(), "relays", &relay.key, (1, 100), "_-");
        self::relay(relay, sink);
    }
    entries("address_lists").iter().for_each(|list| name(sink, list.key_span.clone(), "address lists", &list.key, (1, 255), "_.-"));
    entries("archives").iter().for_each(|archive| name(sink, archive.key_span.clone(), "archives", &archive.key, (2, 64), "_-"));
    for list in entries("ip_lists") {
        none(sink, list.key_span.clone(), "lists of networks", "its networks would have to stand in conditions, ten in each");
    }
    endpoints(entries("endpoints"), sink);
}

fn relay(relay: &Entry, sink: &mut Sink) {
    for entry in relay.value.entries() {
        let span = entry.key_span.clone();
        match entry.key.as_str() {
            "host" | "port" | "preset" | "domain" => {}
            "hosts" | "mx" => {
                none(sink, span, &format!("`{}` of a relay", entry.key), "a relay is one host there, without another to fail over to")
            }
            "tls" if matches!(entry.value.text(), Some("opportunistic")) => {}
            "tls" => none(sink, span, "`tls` of a relay", "TLS is used where the host offers it, and no certificate is checked"),
            "auth" => {
                if let Some(entry) = entry.value.entries().iter().find(|entry| matches!(entry.key.as_str(), "file" | "env" | "oauth")) {
                    none(
                        sink,
                        entry.key_span.clone(),
                        &format!("`{}` for credentials", entry.key),
                        "they are read from Secrets Manager alone",
                    );
                }
            }
            other => none(sink, span, &format!("`{other}` of a relay"), "it would not be heeded"),
        }
    }
    if let Some(host) = relay.value.get("host")
        && let Some(text) = host.text()
        && (text.len() > 100 || !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.')))
    {
        limit(sink, host.span.clone(), "Mail Manager takes a host of letters, digits, hyphens and dots, 100 at most")
            .help("IPv6 and sockets are not possible");
    }
}

fn endpoints(endpoints: &[Entry], sink: &mut Sink) {
    for (kind, most) in ENDPOINTS_MAX {
        let of_kind: Vec<&Entry> =
            endpoints.iter().filter(|endpoint| endpoint.value.get("type").and_then(Node::text).unwrap_or("open") == *kind).collect();
        if let Some(first) = of_kind.get(*most) {
            let message = format!("Mail Manager takes {most} endpoints of type `{kind}`, and there are {}", of_kind.len());
            limit(sink, first.key_span.clone(), message);
        }
    }
    for endpoint in endpoints {
        name(sink, endpoint.key_span.clone(), "ingress endpoints", &endpoint.key, (3, 63), "_-");
        if let Some(mode) = endpoint.value.get("tls").and_then(|tls| tls.get("mode"))
            && mode.text() == Some("implicit")
        {
            none(sink, mode.span.clone(), "implicit TLS", "clients have to use STARTTLS there");
        }
        for key in ["call_ahead", "proxy_protocol", "arc_seal", "authentication_results", "received_spf"] {
            if let Some(entry) = endpoint.value.entry(key) {
                none(sink, entry.key_span.clone(), &format!("`{key}`"), "it would not be heeded");
            }
        }
    }
}
