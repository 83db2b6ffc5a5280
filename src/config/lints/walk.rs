//! The tests that the conditions of a rule or a statement make, wherever they are nested.

use crate::config::diagnostic::Sink;
use crate::config::tree::{Entry, Node, Value};

/// One test of one attribute, as it is written.
pub(super) struct Test<'t> {
    /// The attribute; of attachments the property: `extension`.
    pub(super) attribute: &'t str,
    /// The whole condition, with the attribute as its key.
    pub(super) condition: &'t Entry,
    /// The item that holds the condition.
    pub(super) item: &'t Node,
    /// The operator with its values.
    pub(super) operator: &'t Entry,
    /// The field's name, in a test of header fields.
    pub(super) header: Option<&'t str>,
    /// Whether the rule matches because of it: not below `unless` or `not`.
    pub(super) is_for: bool,
}

impl<'t> Test<'t> {
    /// The values that are texts.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&'t Node, &'t str)> + use<'t> {
        self.values().iter().filter_map(|node| Some((node, node.text()?)))
    }

    /// All values.
    pub(super) fn values(&self) -> &'t [Node] {
        self.operator.value.one_or_many()
    }

    /// The operator's name.
    pub(super) fn operator(&self) -> &'t str {
        &self.operator.key
    }

    /// Whether the operator is one of these.
    pub(super) fn is(&self, operators: &[&str]) -> bool {
        operators.contains(&self.operator())
    }

    /// Whether the attribute is an address.
    pub(super) fn is_address(&self) -> bool {
        matches!(self.attribute, "mail_from" | "recipient" | "recipient_base") || self.has_display_names()
    }

    /// Whether `contains`, `matches` and `exists` look at display names too.
    pub(super) fn has_display_names(&self) -> bool {
        matches!(self.attribute, "sender" | "from" | "to" | "cc")
    }

    /// Whether the attribute is a domain of mail.
    pub(super) fn is_domain(&self) -> bool {
        matches!(self.attribute, "mail_from_domain" | "recipient_domain" | "from_domain")
    }

    /// Whether the attribute is the name of a host.
    pub(super) fn is_host(&self) -> bool {
        matches!(self.attribute, "client_host" | "helo")
    }
}

/// The tests of a rule or a statement whose shape is right.
pub(super) fn tests<'t>(rule: &'t Node, sink: &Sink) -> Vec<Test<'t>> {
    let mut found = Vec::new();
    for (key, is_for) in [("when", true), ("unless", false)] {
        rule.get(key).map(Node::items).unwrap_or_default().iter().for_each(|item| collect(item, is_for, sink, &mut found));
    }
    found
}

/// Trees are bounded in depth, and so is this.
fn collect<'t>(item: &'t Node, is_for: bool, sink: &Sink, found: &mut Vec<Test<'t>>) {
    let [condition] = item.entries() else { return };
    match condition.key.as_str() {
        "any" | "all" => condition.value.items().iter().for_each(|item| collect(item, is_for, sink, found)),
        "not" => collect(&condition.value, !is_for, sink, found),
        _ if !sink.is_sound(&item.span) => {}
        "attachment" => {
            if let [part] = condition.value.entries()
                && let [operator] = part.value.entries()
            {
                found.push(Test { attribute: &part.key, condition, item, operator, header: None, is_for });
            }
        }
        attribute => {
            // Beside the operator stands what says which field is meant.
            let operator = condition
                .value
                .entries()
                .iter()
                .find(|e| !matches!(e.key.as_str(), "name" | "attribute" | "analyzer" | "field" | "on_error"));
            let header = if attribute == "header" { condition.value.get("name").and_then(Node::text) } else { None };
            if let Some(operator) = operator {
                found.push(Test { attribute, condition, item, operator, header, is_for });
            }
        }
    }
}

/// The actions of a rule: the name and, where it takes some, the fields.
pub(super) fn actions(rule: &Node) -> impl Iterator<Item = (&str, Option<&Node>, &Node)> {
    rule.get("actions").map(Node::items).unwrap_or_default().iter().filter_map(|item| match &item.value {
        Value::Text(name) => Some((name.as_str(), None, item)),
        _ => item.entries().first().map(|entry| (entry.key.as_str(), Some(&entry.value), item)),
    })
}

/// Whether it is a mapping at all.
pub(super) fn is_mapping(node: &Node) -> bool {
    matches!(node.value, Value::Mapping(_))
}

/// Where a name stands, for notes: the rule's name or its first key.
pub(super) fn is_enforced(rule: &Node) -> bool {
    !rule.get("mode").and_then(Node::text).is_some_and(|mode| mode == "off" || mode == "audit")
}
