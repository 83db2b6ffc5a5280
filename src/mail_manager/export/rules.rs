//! Rule sets.

use serde_json::{Value as Json, json};

use super::{Writer, present};
use crate::config::tree::Node;

const RULES_MAX: usize = 40;
const CONDITIONS_MAX: usize = 10;
const ACTIONS_MAX: usize = 10;
const RELAYS_MAX: usize = 10;

impl Writer<'_> {
    /// A rule set; `None` when it cannot be expressed, which has been reported.
    pub(super) fn rule_set(&mut self, name: &str, tree: &Node) -> Option<Json> {
        let rules = tree.get("rules").map(Node::items).unwrap_or_default();
        let head = tree.head();
        let is_named = self.is_name(&head, name, 1, 100, "_.-");
        if rules.len() > RULES_MAX {
            self.refuse::<()>(&head, format!("Mail Manager takes {RULES_MAX} rules in a set, and here are {}", rules.len()), &[]);
        }
        let relays = rules.iter().flat_map(actions).filter(|action| matches!(name_of(action), "SMTPRelay" | "Send")).count();
        if relays > RELAYS_MAX {
            self.refuse::<()>(
                &head,
                format!("Mail Manager takes {RELAYS_MAX} relay and send actions in a set, and here are {relays}"),
                &[],
            );
        }
        self.otherwise(tree, rules);
        // Every rule is looked at even when one before it cannot be expressed, so that all is told at once.
        let written: Vec<Option<Json>> = rules.iter().map(|rule| self.rule(rule)).collect();
        let rules = written.into_iter().collect::<Option<Vec<_>>>()?;
        is_named.then(|| json!({ "RuleSetName": name, "Rules": rules }))
    }

    /// The service loses what no rule disposes of; whoever means that says it here too, or lets no message come so far.
    fn otherwise(&mut self, tree: &Node, rules: &[Node]) {
        let said = tree.get("otherwise");
        if said.is_some_and(|otherwise| otherwise.text() == Some("drop")) || rules.iter().any(takes_all) {
            return;
        }
        let span = said.map_or_else(|| tree.head(), |otherwise| otherwise.span.clone());
        let message = "mail that no rule of this set disposes of is lost at Mail Manager, and is refused here";
        self.refuse::<()>(&span, message, &["add a last rule without conditions that delivers or drops, or write `otherwise: drop`"]);
    }

    fn rule(&mut self, rule: &Node) -> Option<Json> {
        let name = rule.get("name")?;
        let is_named = self.is_name(&name.span, name.text()?, 1, 32, "_.-");
        if let Some(mode) = rule.entry("mode").filter(|mode| mode.value.text() != Some("enforce")) {
            self.refuse::<()>(&mode.key_span, "Mail Manager has no rules that are only logged, or off", &["take the rule out"]);
        }
        if let Some(description) = rule.entry("description") {
            self.leave_out(&description.key_span, "Mail Manager has no place for a description");
        }
        let conditions = self.conditions(rule, "when");
        let unless = self.conditions(rule, "unless");
        let nodes: Vec<&Node> = actions(rule).collect();
        if nodes.len() > ACTIONS_MAX {
            self.refuse::<()>(
                &rule.head(),
                format!("Mail Manager takes {ACTIONS_MAX} actions in a rule, and here are {}", nodes.len()),
                &[],
            );
        }
        let written: Vec<Option<Json>> = nodes.into_iter().map(|action| self.action(action)).collect();
        let actions = written.into_iter().collect::<Option<Vec<_>>>();
        let (conditions, unless, actions) = (conditions?, unless?, actions?);
        is_named
            .then(|| present(&[("Name", json!(name.text())), ("Conditions", conditions), ("Unless", unless), ("Actions", json!(actions))]))
    }

    /// The conditions below a key: null where there are none.
    fn conditions(&mut self, rule: &Node, key: &str) -> Option<Json> {
        let nodes = rule.get(key).map(Node::items).unwrap_or_default();
        if nodes.len() > CONDITIONS_MAX {
            let message = format!("Mail Manager takes {CONDITIONS_MAX} conditions, and here are {}", nodes.len());
            self.refuse::<()>(&rule.head(), message, &[]);
        }
        let written: Vec<Option<Json>> = nodes.iter().map(|node| self.rule_condition(node)).collect();
        let written = written.into_iter().collect::<Option<Vec<_>>>()?;
        Some(if written.is_empty() { Json::Null } else { json!(written) })
    }
}

fn actions(rule: &Node) -> impl Iterator<Item = &Node> {
    rule.get("actions").map(Node::items).unwrap_or_default().iter()
}

/// The name of an action: a word, or the one key.
pub(super) fn name_of(action: &Node) -> &str {
    action.text().or_else(|| action.entries().first().map(|entry| entry.key.as_str())).unwrap_or_default()
}

/// Whether no recipient comes past this rule undisposed of.
fn takes_all(rule: &Node) -> bool {
    let is_empty = |key: &str| rule.get(key).is_none_or(|list| list.items().is_empty());
    let disposes =
        |action: &Node| matches!(name_of(action), "SMTPRelay" | "Drop" | "Archive" | "WriteToS3" | "Send" | "DeliverToMailbox" | "Bounce");
    is_empty("when")
        && is_empty("unless")
        && rule.get("mode").is_none_or(|mode| mode.text() == Some("enforce"))
        && actions(rule).any(disposes)
}
