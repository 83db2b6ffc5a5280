//! Findings of `analysis` as diagnostics: places in rule sets and policies become places in files.

use super::source::Span;
use super::tree::{Node, Value};
use crate::analysis::{List, Place};

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
