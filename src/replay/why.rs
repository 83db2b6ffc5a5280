//! Why a recipient fares differently: the rules that match on one side alone, and the condition that keeps them from it on the other.

use std::sync::Arc;

use super::difference::Difference;
use super::fare::Fared;
use crate::rules::{ConditionTrace, Mode, RecipientTrace, RuleTrace};

/// A few lines for people.
pub(super) fn why(place: usize, difference: &Difference, fared: [&Fared; 2], names: [&str; 2]) -> Vec<String> {
    let [old, new] = fared;
    let mut lines = Vec::new();
    // Where no rule was asked, the policy has said why.
    if new.traces.is_empty() && old.traces.is_empty() {
        return lines;
    }
    for rule in &difference.only_new {
        lines.push(format!("rule `{rule}` matches only by the new rules: {}", against(place, rule, old, names.first().copied())));
    }
    for rule in &difference.only_old {
        lines.push(format!("rule `{rule}` matched only by the old rules: {}", against(place, rule, new, names.get(1).copied())));
    }
    lines
}

/// What keeps a rule from matching on this side.
fn against(place: usize, rule: &Arc<str>, fared: &Fared, side: Option<&str>) -> String {
    let side = side.unwrap_or_default();
    if fared.traces.is_empty() {
        return format!("in {side} no rule is asked");
    }
    let Some(trace) = fared.traces.iter().find(|trace| trace.rule == *rule) else { return format!("{side} has no such rule") };
    if trace.mode == Mode::Off {
        return format!("it is off in {side}");
    }
    let position = fared.places.get(place).copied().flatten();
    let seen = position.and_then(|position| of(trace, position));
    let Some(seen) = seen else { return format!("in {side} the recipient's way has ended before it") };
    let conditions: Vec<String> = seen
        .deciding()
        .iter()
        .filter_map(|path| Some((path.unless, seen.condition(path)?)))
        .map(|(unless, condition)| shown(unless, condition))
        .collect();
    if conditions.is_empty() { format!("in {side} it is not so") } else { format!("in {side} {}", conditions.join("; ")) }
}

fn of(trace: &RuleTrace, position: usize) -> Option<&RecipientTrace> {
    trace.recipients.iter().find(|recipient| recipient.originals.contains(&position))
}

fn shown(unless: bool, condition: &ConditionTrace) -> String {
    let saw = if condition.saw.is_empty() { "nothing".to_owned() } else { condition.saw.join(", ") };
    let ConditionTrace { attribute, test, .. } = condition;
    let (word, text) = (if unless { "unless " } else { "" }, format!("{attribute}: {{ {test} }}"));
    let text = if test.is_empty() { attribute.clone() } else { text };
    // A condition that was set aside stands in its own words.
    match attribute.strip_prefix("analysis ?") {
        Some(question) => {
            let held = if condition.outcome.holds() { "holds" } else { "does not hold" };
            format!("{word}`{}` {held}", question.trim_start_matches('!').trim_end_matches(".holds"))
        }
        None => format!("{word}`{text}` saw {saw}"),
    }
}
