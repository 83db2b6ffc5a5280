//! Rule sets.

use super::super::walk;
use super::{actions, conditions, count, limit, name, none};
use crate::config::diagnostic::Sink;
use crate::config::tree::{Node, Value};

/// Rules in a rule set.
const RULES_MAX: usize = 40;

/// Conditions below `when`, and below `unless`.
const CONDITIONS_MAX: usize = 10;

/// Actions of a rule.
const ACTIONS_MAX: usize = 10;

/// Actions that relay or send, in a rule set.
const DELIVERIES_MAX: usize = 10;

/// Looks at a rule set.
pub(in crate::config::lints) fn check(stem: &str, tree: &Node, sink: &mut Sink) {
    let Some(rules) = tree.get("rules") else { return };
    let at = tree.entry("rules").map_or(0..0, |entry| entry.key_span.clone());
    name(sink, at.clone(), "rule sets", stem, (1, 100), "_.-");
    count(sink, rules.items(), RULES_MAX, "rules in a set");
    let deliveries: Vec<&Node> = rules
        .items()
        .iter()
        .flat_map(walk::actions)
        .filter(|(action, ..)| matches!(*action, "SMTPRelay" | "Send"))
        .map(|(_, _, item)| item)
        .collect();
    if let Some(first) = deliveries.get(DELIVERIES_MAX) {
        let message =
            format!("Mail Manager takes {DELIVERIES_MAX} actions that relay or send in a set, and there are {}", deliveries.len());
        limit(sink, first.head(), message);
    }
    rules.items().iter().filter(|rule| walk::is_mapping(rule)).for_each(|rule| self::rule(rule, sink));
    otherwise(tree, rules.items(), at, sink);
}

/// There a message that no rule delivers is accepted and gone.
fn otherwise(tree: &Node, rules: &[Node], at: std::ops::Range<usize>, sink: &mut Sink) {
    let is_empty = |rule: &Node, key: &str| rule.get(key).is_none_or(|list| list.items().is_empty());
    let disposes =
        |rule: &Node| walk::actions(rule).any(|(action, ..)| matches!(action, "SMTPRelay" | "Send" | "DeliverToMailbox" | "Drop"));
    let takes_all = |rule: &Node| is_empty(rule, "when") && is_empty(rule, "unless") && walk::is_enforced(rule) && disposes(rule);
    let said = tree.get("otherwise").and_then(Node::text).unwrap_or("reject");
    if said == "drop" || rules.iter().any(takes_all) {
        return;
    }
    let span = tree.get("otherwise").map_or(at, |node| node.span.clone());
    let becomes = "there a message that no rule delivers is accepted and lost: end the set with a rule without conditions";
    none(sink, span, &format!("`otherwise: {said}`"), becomes);
}

fn rule(rule: &Node, sink: &mut Sink) {
    if let Some(node) = rule.get("name")
        && let Some(text) = node.text()
    {
        name(sink, node.span.clone(), "rules", text, (1, 32), "_.-");
    }
    if let Some(mode) = rule.get("mode") {
        match mode.text() {
            Some("audit") => none(sink, mode.span.clone(), "`mode: audit`", "the rule would be carried out there: leave it out"),
            Some("off") => none(sink, mode.span.clone(), "`mode: off`", "the rule would be carried out there: leave it out"),
            _ => {}
        }
    }
    for key in ["when", "unless"] {
        let items = rule.get(key).map(Node::items).unwrap_or_default();
        count(sink, items, CONDITIONS_MAX, &format!("conditions below `{key}`"));
        items.iter().for_each(|item| conditions::check(item, sink));
    }
    if let Some(list) = rule.get("actions")
        && matches!(list.value, Value::Sequence(_))
    {
        count(sink, list.items(), ACTIONS_MAX, "actions in a rule");
    }
    for (action, fields, item) in walk::actions(rule) {
        if sink.is_sound(&item.span) {
            actions::check(action, fields, item, sink);
        }
    }
}
