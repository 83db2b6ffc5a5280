//! Findings of `analysis` as diagnostics: places in rule sets and policies become places in files.

use super::diagnostic::{Code, Sink};
use super::source::Span;
use super::tree::{Node, Value};
use crate::analysis::{self, Finding, FindingKind, Given, List, Place};
use crate::config::Domains;
use crate::rules::{Folded, RuleSet, TextTest};

/// Reports what is proven of a rule set.
pub(crate) fn rule_set(set: &RuleSet, tree: &Node, gateway: Option<&Node>, domains: Option<&Domains>, sink: &mut Sink) {
    let domains = gateway.and_then(|gateway| domains_of(&set.name, gateway, domains?));
    let given = Given { says_otherwise: tree.get("otherwise").is_some(), domains };
    for finding in analysis::rule_set(set, &given) {
        report(&finding, tree, sink);
    }
}

/// The domains that all recipients of a rule set are of: endpoints that are open to everybody take no others.
fn domains_of(name: &str, gateway: &Node, domains: &Domains) -> Option<TextTest> {
    let Domains::List(domains) = domains else { return None };
    let named = |endpoint: &&Node, key: &str, value: &str| endpoint.get(key).and_then(Node::text) == Some(value);
    let endpoints = gateway.get("endpoints").map(Node::entries).unwrap_or_default().iter().map(|entry| &entry.value);
    let mut using = endpoints.filter(|endpoint| named(endpoint, "rules", name)).peekable();
    using.peek()?;
    let all_open = using.all(|endpoint| endpoint.get("type").is_none() || named(&endpoint, "type", "open"));
    all_open.then(|| TextTest::Equals(domains.iter().map(|domain| Folded::new(domain)).collect()))
}

/// Reports a finding where it stands.
pub(crate) fn report(finding: &Finding, tree: &Node, sink: &mut Sink) {
    let code = match finding.kind {
        FindingKind::Dead => Code::DeadRule,
        FindingKind::Lost => Code::NoFinal,
        FindingKind::Silent => Code::SilentLoss,
        FindingKind::Twice => Code::DoubleDelivery,
        FindingKind::Backscatter => Code::Backscatter,
        // Found in policies and deployments.
        FindingKind::Loop | FindingKind::OpenRelay | FindingKind::Order => return,
    };
    let rules = tree.entry("rules").map(|entry| entry.key_span.clone());
    let at = match &finding.at {
        Place::Whole => rules.clone(),
        place => span(place, tree),
    };
    let Some(at) = at else { return };
    let diagnostic = sink.warning(code, at, finding.message.as_str());
    for (place, text) in &finding.others {
        if let Some(span) = span(place, tree) {
            diagnostic.note(span, text.as_str());
        }
    }
    if let Some(witness) = &finding.witness {
        diagnostic.help(format!("for example: {witness}"));
    }
    for help in &finding.help {
        diagnostic.help(help.as_str());
    }
    // It says what is the case anyway.
    if let (FindingKind::Lost, Place::Whole, Some(rules)) = (finding.kind, &finding.at, rules) {
        diagnostic.fix("write `otherwise: reject`", vec![(rules.start..rules.start, "otherwise: reject\n".to_owned())]);
    }
}

/// Where a place of a rule set or policy stands in its file.
pub(crate) fn span(place: &Place, tree: &Node) -> Option<Span> {
    node(place, tree).map(Node::head)
}

fn node<'t>(place: &Place, tree: &'t Node) -> Option<&'t Node> {
    let rule = |rule: &usize| tree.get("rules")?.items().get(*rule);
    let statement = |list: &List, number: &usize| {
        let key = match list {
            List::Deny => "deny",
            List::Allow => "allow",
        };
        tree.get(key)?.items().get(*number)
    };
    match place {
        Place::Whole => Some(tree),
        Place::Rule(number) => rule(number),
        Place::When(number, path) => condition(rule(number)?.get("when")?, path),
        Place::Unless(number, path) => condition(rule(number)?.get("unless")?, path),
        Place::Action(number, action) => rule(number)?.get("actions")?.items().get(*action),
        Place::Statement(list, number) => statement(list, number),
        Place::Condition(list, number, condition) => statement(list, number)?.get("when")?.items().get(*condition),
        Place::Value(place, number) => value(node(place, tree)?, *number),
    }
}

/// Follows a path through `any`, `all` and `not`.
fn condition<'t>(list: &'t Node, path: &[usize]) -> Option<&'t Node> {
    let (first, rest) = path.split_first()?;
    let mut node = list.items().get(*first)?;
    for step in rest {
        let inner = &node.entries().first()?.value;
        // `not` holds one condition, not a list.
        node = if matches!(inner.value, Value::Sequence(_)) { inner.items().get(*step)? } else { inner };
    }
    Some(node)
}

/// A value of the operator of a condition: `attribute: { operator: [values] }`; what names a header or an analyzer is none.
fn value(condition: &Node, number: usize) -> Option<&Node> {
    let test = &condition.entries().first()?.value;
    let operator =
        test.entries().iter().find(|entry| !matches!(entry.key.as_str(), "name" | "attribute" | "analyzer" | "field" | "on_error"));
    operator.map_or(test, |entry| &entry.value).one_or_many().get(number)
}
