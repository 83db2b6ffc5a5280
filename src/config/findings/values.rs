//! Values of a condition that another value of the same condition covers: a network within a network, an ending of a longer ending. They
//! change nothing, and often one of the two is mistyped.

use std::collections::HashMap;

use ipnet::{IpNet, Ipv4Net};

use crate::config::diagnostic::{Code, Sink};
use crate::config::source::Span;
use crate::config::tree::Node;
use crate::config::{document::Kind, formats};
use crate::limits::PROOF_CHOICES_MAX;
use crate::message::fold;

/// Looks at all conditions of a policy or a rule set.
pub(crate) fn check(kind: Kind, tree: &Node, sink: &mut Sink) {
    let (lists, keys): (&[&str], &[&str]) = match kind {
        Kind::Policy => (&["deny", "allow"], &["when"]),
        Kind::RuleSet => (&["rules"], &["when", "unless"]),
        Kind::Deployment | Kind::Tests => return,
    };
    for item in lists.iter().flat_map(|list| tree.get(list).map(Node::items).unwrap_or_default()) {
        for condition in keys.iter().flat_map(|key| item.get(key).map(Node::items).unwrap_or_default()) {
            walk(condition, sink);
        }
    }
}

fn walk(condition: &Node, sink: &mut Sink) {
    let Some(entry) = condition.entries().first() else { return };
    match entry.key.as_str() {
        "any" | "all" => entry.value.items().iter().for_each(|condition| walk(condition, sink)),
        "not" => walk(&entry.value, sink),
        // `attachment: { name: { … } }` has its operators one level deeper.
        "attachment" => entry.value.entries().iter().for_each(|part| operators(&part.value, sink)),
        _ => operators(&entry.value, sink),
    }
}

fn operators(test: &Node, sink: &mut Sink) {
    for operator in test.entries() {
        let values = operator.value.items();
        if values.len() < 2 {
            continue;
        }
        let covered = match operator.key.as_str() {
            "cidr_matches" | "not_cidr_matches" => networks(values),
            "equals" | "not_equals" => texts(values, |text| text, false),
            "starts_with" => texts(values, |text| text, true),
            "ends_with" => texts(values, |text| text.chars().rev().collect(), true),
            "contains" => parts(values),
            _ => continue,
        };
        let dead: Vec<usize> = covered.iter().map(|(value, _)| *value).collect();
        for (value, by) in covered {
            report(values, value, by, &dead, operator.key.ends_with("cidr_matches"), sink);
        }
    }
}

/// The place of a value that is covered, and of the one that covers it.
type Covered = Vec<(usize, usize)>;

/// Sorted, a network stands behind those that it lies within.
fn networks(values: &[Node]) -> Covered {
    let parse = |node: &Node| formats::cidr(node.text()?).ok().map(|(network, _)| plain(network.trunc()));
    let mut networks: Vec<(IpNet, usize)> = values.iter().enumerate().filter_map(|(place, node)| Some((parse(node)?, place))).collect();
    networks.sort_by_key(|(network, place)| (network.network(), network.prefix_len(), *place));
    cover(networks, |outer, inner| outer.contains(inner))
}

/// A v4-mapped network is the one of IPv4 (RFC 4291 §2.5.5.2).
fn plain(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return network };
    let v4 = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96));
    v4.and_then(|(address, length)| Ipv4Net::new(address, length).ok()).map_or(network, IpNet::V4)
}

/// Sorted, a text stands behind those that it begins with.
fn texts(values: &[Node], turn: impl Fn(String) -> String, is_beginning: bool) -> Covered {
    let mut texts: Vec<(String, usize)> =
        values.iter().enumerate().filter_map(|(place, node)| Some((turn(fold(node.text()?).into_string()), place))).collect();
    texts.sort();
    cover(texts, |outer, inner| if is_beginning { inner.starts_with(outer.as_str()) } else { inner == outer })
}

/// Of sorted values, those that an earlier one covers: what does not cover one covers none behind it.
fn cover<T>(sorted: Vec<(T, usize)>, covers: impl Fn(&T, &T) -> bool) -> Covered {
    let mut covered = Vec::new();
    let mut outer: Option<(T, usize)> = None;
    for (value, place) in sorted {
        match &outer {
            Some((by, at)) if covers(by, &value) => covered.push((place, *at)),
            _ => outer = Some((value, place)),
        }
    }
    covered.sort_unstable();
    covered
}

/// Each with each; of many values it is not worth the time.
fn parts(values: &[Node]) -> Covered {
    if values.len().saturating_mul(values.len()) > PROOF_CHOICES_MAX {
        return Vec::new();
    }
    let texts: Vec<(usize, Box<str>)> = values.iter().enumerate().filter_map(|(place, node)| Some((place, fold(node.text()?)))).collect();
    let by = |place: usize, text: &str| {
        let mut others = texts.iter().filter(move |(other, part)| *other != place && text.contains(&**part));
        // Of two that are the same, the first stays.
        others.find(|(other, part)| **part != *text || *other < place).map(|(other, _)| *other)
    };
    let mut seen = HashMap::new();
    for (place, text) in &texts {
        if let Some(by) = by(*place, text) {
            seen.insert(*place, by);
        }
    }
    let mut covered: Covered = seen.into_iter().collect();
    covered.sort_unstable();
    covered
}

fn report(values: &[Node], value: usize, by: usize, dead: &[usize], is_network: bool, sink: &mut Sink) {
    let (Some(node), Some(other)) = (values.get(value), values.get(by)) else { return };
    let (text, by) = (formats::clip(node.text().unwrap_or_default()), formats::clip(other.text().unwrap_or_default()));
    let is_same = text.eq_ignore_ascii_case(&by);
    let message = if is_same {
        format!("`{text}` stands twice in this list")
    } else {
        format!("`{text}` changes nothing: `{by}` of the same list covers it")
    };
    let removal = removal(values, value, dead, sink);
    let diagnostic = sink.warning(Code::DeadValue, node.span.clone(), message);
    diagnostic.note(other.span.clone(), if is_same { "the first" } else { "covers it" });
    match removal {
        Some(edit) if is_network || is_same => drop(diagnostic.fix(format!("remove `{text}`"), vec![edit])),
        // The shorter text may be the mistake: `acme.example` ends `notacme.example` too.
        Some(edit) => drop(diagnostic.suggest(format!("remove `{text}`"), vec![edit])),
        None => drop(diagnostic.help(format!("remove `{text}`"))),
    }
}

/// Takes the value out of the list with what divides it from its neighbour; `None`: a comment stands there.
fn removal(values: &[Node], value: usize, dead: &[usize], sink: &Sink) -> Option<(Span, String)> {
    let span = &values.get(value)?.span;
    let next = value.saturating_add(1);
    let cut = match value.checked_sub(1) {
        Some(before) => values.get(before)?.span.end..span.end,
        None if dead.contains(&next) => return None,
        None => span.start..values.get(next)?.span.start,
    };
    let source = sink.source();
    let divides = if value == 0 { span.end..cut.end } else { cut.start..span.start };
    source.text.get(divides).filter(|between| !between.contains('#')).map(|_| (cut, String::new()))
}
