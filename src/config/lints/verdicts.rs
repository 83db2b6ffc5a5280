//! Verdicts that say less than they seem to.

use std::collections::BTreeSet;

use super::edit;
use super::walk::{self, Test};
use crate::config::diagnostic::{Code, Sink};
use crate::config::tree::{Node, Value};

/// The attributes among Mail Manager's verdicts for which the rule set says somewhere what happens to the words in between.
pub(super) fn considered(rules: &[Node]) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    rules.iter().for_each(|rule| look(rule, &mut found));
    found
}

/// Trees are bounded in depth, and so is this.
fn look(node: &Node, found: &mut BTreeSet<&'static str>) {
    for entry in node.entries() {
        let attribute = match entry.key.as_str() {
            "spf" => "spf",
            "dkim" => "dkim",
            "when" | "unless" | "any" | "all" | "not" => {
                look(&entry.value, found);
                continue;
            }
            _ => continue,
        };
        if let Some(operator) = entry.value.entries().first() {
            let between = |value: &Node| value.text().is_some_and(|word| word == "gray" || word == "processing_failed");
            if operator.key == "not_equals" || operator.value.one_or_many().iter().any(between) {
                found.insert(attribute);
            }
        }
    }
    node.items().iter().for_each(|item| look(item, found));
}

/// `spf: { equals: fail }`: softfail, no record and trouble with DNS are no `fail`.
pub(super) fn gray(test: &Test<'_>, considered: &BTreeSet<&'static str>, sink: &mut Sink) {
    let is_fail_alone = matches!(test.values(), [only] if only.text() == Some("fail"));
    if !matches!(test.attribute, "spf" | "dkim") || test.operator() != "equals" || !is_fail_alone || considered.contains(test.attribute) {
        return;
    }
    let Some(value) = test.values().first() else { return };
    let (between, exact) = match test.attribute {
        "spf" => ("no record, softfail, neutral and trouble with DNS", "spf_result"),
        _ => ("no signature, one of another domain and trouble with DNS", "dkim_result"),
    };
    let message = format!("`fail` alone leaves out `gray` and `processing_failed`: {between}");
    let not_pass = vec![(test.operator.key_span.clone(), "not_equals".to_owned()), (value.span.clone(), "pass".to_owned())];
    let said = vec![(test.condition.key_span.clone(), exact.to_owned())];
    sink.error(Code::Gray, test.operator.value.span.clone(), message)
        .suggest("write `not_equals: pass` for all that did not pass", not_pass)
        .suggest(format!("write `{exact}` if only a plain fail is meant"), said);
}

/// What a domain asks for is no result: a message that passes has the policy of its domain too.
pub(super) fn ambiguous(rule: &Node, tests: &[Test<'_>], sink: &mut Sink) {
    let refuses = walk::actions(rule).any(|(name, ..)| matches!(name, "Drop" | "Reject" | "Defer" | "Bounce" | "Quarantine"));
    let judges = |test: &Test<'_>| matches!(test.attribute, "dmarc_result" | "spf" | "dkim" | "spf_result" | "dkim_result" | "arc_result");
    if !refuses || tests.iter().any(judges) {
        return;
    }
    let asks = |test: &&Test<'_>| {
        let strict = test.values().iter().any(|value| matches!(value.text(), Some("reject" | "quarantine")));
        test.attribute == "dmarc_policy" && test.is_for && test.operator() == "equals" && strict
    };
    let Some(test) = tests.iter().find(asks) else { return };
    let is_direct = rule.get("when").is_some_and(|when| match &when.value {
        Value::Sequence(items) => items.iter().any(|item| item.span == test.item.span),
        _ => false,
    });
    let edit = if is_direct { edit::item_before(test.item, "dmarc_result: { equals: fail }", sink) } else { None };
    let message = "`dmarc_policy` is what the domain asks for, not how this message fared: mail that passes fares the same";
    let diagnostic = sink.error(Code::DmarcAmbiguous, test.condition.key_span.clone(), message);
    match edit {
        Some(edit) => diagnostic.suggest("ask for the result too", vec![edit]),
        None => diagnostic.help("add `- dmarc_result: { equals: fail }`"),
    };
}
