//! Traffic policies.

use std::net::IpAddr;

use ipnet::IpNet;

use super::conditions::{self, operator};
use super::{count, limit, name, none};
use crate::config::diagnostic::Sink;
use crate::config::tree::{Node, Value};

/// Statements of a policy, of both kinds together.
const STATEMENTS_MAX: usize = 20;

/// Conditions of a statement.
const CONDITIONS_MAX: usize = 10;

/// Looks at a policy.
pub(in crate::config::lints) fn check(stem: &str, tree: &Node, sink: &mut Sink) {
    let at = tree.entry("default").map_or(0..0, |entry| entry.key_span.clone());
    name(sink, at, "traffic policies", stem, (3, 63), "_-");
    let statements = |list: &str| tree.get(list).map(Node::items).unwrap_or_default();
    let all: Vec<&Node> = statements("deny").iter().chain(statements("allow")).collect();
    if let Some(first) = all.get(STATEMENTS_MAX) {
        limit(sink, first.head(), format!("Mail Manager takes {STATEMENTS_MAX} statements in a policy, and there are {}", all.len()));
    }
    for statement in all {
        let items = statement.get("when").map(Node::items).unwrap_or_default();
        count(sink, items, CONDITIONS_MAX, "conditions in a statement");
        items.iter().for_each(|item| condition(item, sink));
    }
}

fn condition(item: &Node, sink: &mut Sink) {
    let [condition] = item.entries() else { return };
    if !sink.is_sound(&item.span) {
        return;
    }
    let span = condition.key_span.clone();
    match condition.key.as_str() {
        "recipient" => conditions::text(&condition.value, sink),
        "sender_ip" => networks(&condition.value, sink),
        "tls_protocol" => {
            if let Some(operator) = operator(&condition.value)
                && let Value::Sequence(versions) = &operator.value.value
                && let [_, second, ..] = versions.as_slice()
            {
                limit(sink, second.span.clone(), "Mail Manager compares with one TLS version")
                    .help("it takes one statement for each of them");
            }
        }
        "analysis" => conditions::analysis(&condition.value, sink),
        other => none(sink, span, &format!("`{other}` in policies"), "only a rule can ask for it there, after the message was accepted"),
    }
}

/// IPv4 and IPv6 are two kinds of conditions there; of a statement about both, an export makes two.
fn networks(test: &Node, sink: &mut Sink) {
    let Some(operator) = operator(test) else { return };
    if operator.key == "in_list" {
        none(sink, operator.key_span.clone(), "lists of networks", "its networks would have to stand in the statement");
        return;
    }
    let parsed = |node: &Node| {
        let text = node.text()?;
        text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
    };
    for (node, net) in operator.value.one_or_many().iter().filter_map(|node| Some((node, parsed(node)?))) {
        if super::super::unmapped(net).is_some() {
            limit(sink, node.span.clone(), "Mail Manager takes no v4-mapped networks").help("write the IPv4 network");
        }
    }
}
