//! Rules that are never reached or never match, and actions behind an end.

use super::rule_set::{Analysed, AnalysedRule, finding};
use super::sets::{Formula, Outcome, Search};
use super::{Finding, FindingKind, Place};
use crate::rules::Mode;

/// Actions behind one that ends the set.
pub(super) fn actions(set: &Analysed<'_>) -> Vec<Finding> {
    let behind = |(place, rule): (usize, &AnalysedRule<'_>)| {
        let end = rule.end?;
        let behind = end.saturating_add(1);
        let (action, ending) = (rule.rule.actions.get(behind)?, rule.rule.actions.get(end)?);
        let message = format!("this `{}` is never reached: the `{}` before it ends the rule set", action.name(), ending.name());
        Some(Finding {
            others: vec![(Place::Action(place, end), "ended here".to_owned())],
            ..finding(FindingKind::Dead, Place::Action(place, behind), message)
        })
    };
    set.rules.iter().enumerate().filter_map(behind).collect()
}

/// Rules that match nothing that reaches them.
pub(super) fn rules(set: &Analysed<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut alive_ends: Vec<usize> = Vec::new();
    for (place, rule) in set.rules.iter().enumerate() {
        if rule.rule.mode == Mode::Off {
            continue;
        }
        let before = alive_ends.iter().filter_map(|end| set.rules.get(*end)).map(|rule| &rule.misses);
        match Search::new(&set.space).all([&rule.matches].into_iter().chain(before)) {
            Outcome::Never(used) => {
                let used = used.iter().filter_map(|used| alive_ends.get(used.checked_sub(1)?)).copied().collect();
                let ended_by = fewest(used, |ends| {
                    let before = ends.iter().filter_map(|end| set.rules.get(*end)).map(|rule| &rule.misses);
                    is_never(set, [&rule.matches].into_iter().chain(before))
                });
                findings.push(if ended_by.is_empty() { contradiction(set, place, rule) } else { shadowed(set, place, rule, &ended_by) });
            }
            Outcome::Fits(_) | Outcome::Unknown => {
                if rule.acts && rule.end.is_some() {
                    alive_ends.push(place);
                }
            }
        }
    }
    findings
}

/// Takes out what is not needed.
fn fewest(mut needed: Vec<usize>, is_enough: impl Fn(&[usize]) -> bool) -> Vec<usize> {
    // From the front: the nearest end is the one that is looked for last.
    let mut place = 0;
    while place < needed.len() {
        let mut fewer = needed.clone();
        fewer.remove(place);
        if is_enough(&fewer) { needed = fewer } else { place = place.saturating_add(1) }
    }
    needed
}

fn is_never<'f>(set: &'f Analysed<'_>, formulas: impl IntoIterator<Item = &'f Formula>) -> bool {
    !set.space.is_spent() && matches!(Search::new(&set.space).all(formulas), Outcome::Never(_))
}

fn shadowed(set: &Analysed<'_>, place: usize, rule: &AnalysedRule<'_>, ended_by: &[usize]) -> Finding {
    let named = |end: &usize| set.rules.get(*end).map(AnalysedRule::name).unwrap_or_default();
    let of_all = |end: &usize| set.rules.get(*end).is_some_and(|rule| rule.conditions.is_empty());
    let names = ended_by.iter().map(named).collect::<Vec<_>>().join(", ");
    let message = match ended_by {
        [end] if of_all(end) => format!("{} is never reached: {names} ends the set for every recipient", rule.name()),
        [_] => format!("{} is never reached: whatever it matches, {names} has ended the set for", rule.name()),
        _ => format!("{} is never reached: whatever it matches, one of {names} has ended the set for", rule.name()),
    };
    let note = |end: &usize| (Place::Rule(*end), "ends the set".to_owned());
    let help = match ended_by {
        [end] if of_all(end) => "put this rule before it, or give that one conditions".to_owned(),
        [_] => "put this rule before it, or remove it".to_owned(),
        _ => "put this rule before them, or remove it".to_owned(),
    };
    Finding { others: ended_by.iter().map(note).collect(), help: vec![help], ..finding(FindingKind::Dead, Place::Rule(place), message) }
}

fn contradiction(set: &Analysed<'_>, place: usize, rule: &AnalysedRule<'_>) -> Finding {
    let needed = fewest((0..rule.conditions.len()).collect(), |conditions| {
        is_never(set, conditions.iter().filter_map(|condition| rule.conditions.get(*condition)))
    });
    let at = |condition: &usize| match condition.checked_sub(rule.rule.when.len()) {
        None => Place::When(place, vec![*condition]),
        Some(unless) => Place::Unless(place, vec![unless]),
    };
    let name = rule.name();
    let (message, help) = match needed.as_slice() {
        [one] if matches!(at(one), Place::Unless(..)) => {
            (format!("{name} never matches: this condition below `unless` always holds"), "remove the condition, or the rule")
        }
        [_] => (format!("{name} never matches: this condition never holds"), "remove the rule, or mend the condition"),
        [_, _] => (
            format!("{name} never matches: two of its conditions exclude each other"),
            "all of `when` must hold and none of `unless`; did you mean `any`, or two rules?",
        ),
        _ => (
            format!("{name} never matches: some of its conditions exclude each other"),
            "all of `when` must hold and none of `unless`; did you mean `any`, or two rules?",
        ),
    };
    let mut places = needed.iter().map(at);
    let first = places.next().unwrap_or(Place::Rule(place));
    let note = |place: Place| {
        let text = if matches!(place, Place::Unless(..)) { "this is to keep it from matching" } else { "this is to hold as well" };
        (place, text.to_owned())
    };
    Finding { others: places.map(note).collect(), help: vec![help.to_owned()], ..finding(FindingKind::Dead, first, message) }
}
