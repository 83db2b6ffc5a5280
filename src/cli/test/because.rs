//! What decided: the conditions that made a rule or a statement match or not, with what they saw and where they stand.

use std::path::PathBuf;

use super::judge::{Because, Bench};
use crate::analysis::{List, Place};
use crate::config::FilePlaces;
use crate::policy::{PolicyTrace, StatementTrace};
use crate::rules::{ConditionPath, ConditionTrace, RecipientTrace, RuleTrace, Seen};
use crate::trial::Trial;

/// Of one mismatch so many; a rule set of a thousand rules does not explain itself by all of them.
const SHOWN_MAX: usize = 8;

/// Why these rules match that should not, and those do not that should.
pub(super) fn rules(bench: &Bench<'_>, trial: &Trial, recipient: usize, expected: &[String], actual: &[&str]) -> Vec<Because> {
    let Some(judged) = &trial.judged else { return Vec::new() };
    let mut because = Vec::new();
    for trace in &judged.rules {
        let (is_expected, is_actual) = (expected.iter().any(|name| **name == *trace.rule), actual.contains(&&*trace.rule));
        if is_expected && !is_actual {
            because.extend(not_matching(bench, &judged.rules, trace, recipient));
        } else if is_actual && !is_expected {
            because.extend(matches(bench, trace, recipient));
        }
    }
    because.truncate(SHOWN_MAX);
    because
}

/// Why the rules match that do.
pub(super) fn matching(bench: &Bench<'_>, trial: &Trial, recipient: usize) -> Vec<Because> {
    let Some(judged) = &trial.judged else { return Vec::new() };
    let mut because: Vec<Because> = judged.rules.iter().flat_map(|trace| matches(bench, trace, recipient)).collect();
    if because.is_empty() && !judged.rules.is_empty() {
        because.push(Because { text: "no rule matches".to_owned(), place: None });
    }
    because.truncate(SHOWN_MAX);
    because
}

/// The conditions that could not be judged.
pub(super) fn unknown(bench: &Bench<'_>, trial: &Trial) -> Vec<Because> {
    let mut because = Vec::new();
    for trace in trial.judged.iter().flat_map(|judged| &judged.rules) {
        let open = trace.recipients.iter().find(|recipient| matches!(recipient.outcome, Seen::Unknown(_)));
        let Some(recipient) = open else { continue };
        for path in recipient.deciding() {
            let Some(condition) = recipient.condition(&path) else { continue };
            let text = format!("`{}` asks for it: {}", trace.rule, said(condition));
            because.push(Because { text, place: rule_place(bench, &place_of(trace.index, &path)) });
        }
    }
    for policy in
        trial.recipients.iter().filter(|recipient| !recipient.lacking.is_empty()).filter_map(|recipient| recipient.policy.as_ref())
    {
        for (list, statements) in [(List::Deny, &policy.trace.deny), (List::Allow, &policy.trace.allow)] {
            for (number, statement) in statements.iter().enumerate().filter(|(_, statement)| matches!(statement.outcome, Seen::Unknown(_)))
            {
                because.extend(deciding(bench, list, number, statement, "asks for it"));
            }
        }
    }
    because.dedup();
    because.truncate(SHOWN_MAX);
    because
}

/// Why a policy says what it says, and not by the statement that is expected.
pub(super) fn policy(bench: &Bench<'_>, trace: Option<&PolicyTrace>, expected: Option<&str>, actual: Option<&str>) -> Vec<Because> {
    let Some(trace) = trace else { return Vec::new() };
    let mut because = Vec::new();
    for (list, statements) in [(List::Deny, &trace.deny), (List::Allow, &trace.allow)] {
        for (number, statement) in statements.iter().enumerate() {
            let name = &*statement.name;
            if actual == Some(name) && expected != Some(name) {
                because.push(Because {
                    text: format!("`{name}` matches: {}", statement.when.iter().map(said).collect::<Vec<_>>().join(", and ")),
                    place: policy_place(bench, &Place::Statement(list, number)),
                });
            } else if actual != Some(name) && (expected == Some(name) || expected.is_none() && !statement.outcome.holds()) {
                because.extend(deciding(bench, list, number, statement, "does not match"));
            }
        }
    }
    because.truncate(SHOWN_MAX);
    because
}

fn deciding(bench: &Bench<'_>, list: List, number: usize, statement: &StatementTrace, what: &str) -> Vec<Because> {
    if !statement.is_reached {
        let text = format!("`{}` is not looked at: a statement before it matches", statement.name);
        return vec![Because { text, place: policy_place(bench, &Place::Statement(list, number)) }];
    }
    let conditions = statement.deciding().into_iter().filter_map(|place| Some((place, statement.when.get(place)?)));
    conditions
        .map(|(place, condition)| Because {
            text: format!("`{}` {what}: {}", statement.name, said(condition)),
            place: policy_place(bench, &Place::Condition(list, number, place)),
        })
        .collect()
}

fn of(trace: &RuleTrace, recipient: usize) -> impl Iterator<Item = &RecipientTrace> {
    trace.recipients.iter().filter(move |one| one.originals.contains(&recipient))
}

fn matches(bench: &Bench<'_>, trace: &RuleTrace, recipient: usize) -> Option<Because> {
    let found = of(trace, recipient).find(|one| one.outcome.holds())?;
    let conditions: Vec<String> =
        found.when.iter().map(said).chain(found.unless.iter().map(|condition| format!("unless {}", said(condition)))).collect();
    let why = if conditions.is_empty() { "it has no conditions".to_owned() } else { conditions.join(", and ") };
    let place = rule_place(bench, &Place::Rule(trace.index));
    Some(Because { text: format!("`{}` matches: {why}", trace.rule), place })
}

fn not_matching(bench: &Bench<'_>, rules: &[RuleTrace], trace: &RuleTrace, recipient: usize) -> Vec<Because> {
    let mut because = Vec::new();
    let mut was_reached = false;
    for one in of(trace, recipient) {
        was_reached = true;
        for path in one.deciding() {
            let Some(condition) = one.condition(&path) else { continue };
            let below = if path.unless { "unless " } else { "" };
            because.push(Because {
                text: format!("`{}` does not match: {below}{}", trace.rule, said(condition)),
                place: rule_place(bench, &place_of(trace.index, &path)),
            });
        }
    }
    if !was_reached {
        let last = rules.iter().rev().find(|rule| of(rule, recipient).next().is_some());
        let text = match last {
            Some(last) => format!("`{}` is not reached: `{}` ends the rule set", trace.rule, last.rule),
            None => format!("`{}` is not reached", trace.rule),
        };
        let place = last.and_then(|last| rule_place(bench, &Place::Rule(last.index)));
        because.push(Because { text, place });
    }
    because
}

fn place_of(rule: usize, path: &ConditionPath) -> Place {
    if path.unless { Place::Unless(rule, path.steps.clone()) } else { Place::When(rule, path.steps.clone()) }
}

/// `from ends_with: "@gmail.com"` does not hold, it saw "a@gmail.com.example".
fn said(condition: &ConditionTrace) -> String {
    let ConditionTrace { attribute, test, saw, outcome, inner } = condition;
    let what = if test.is_empty() { format!("`{attribute}`") } else { format!("`{attribute} {test}`") };
    let outcome = match outcome {
        Seen::Holds => "holds".to_owned(),
        Seen::Fails => "does not hold".to_owned(),
        Seen::Unknown(why) => format!("is not known: {why}"),
    };
    if !inner.is_empty() {
        // One of them is enough where any is to hold, or all.
        let decisive = |one: &&ConditionTrace| one.outcome == condition.outcome;
        let enough = matches!((attribute.as_str(), &condition.outcome), ("any", Seen::Holds) | ("all", Seen::Fails));
        let said_of: Vec<String> =
            if enough { inner.iter().find(decisive).map(said).into_iter().collect() } else { inner.iter().map(said).collect() };
        return format!("{what} {outcome}: {}", said_of.join(", and "));
    }
    if let Seen::Unknown(_) = condition.outcome {
        return format!("{what} {outcome}");
    }
    let saw = if saw.is_empty() { "there is no value".to_owned() } else { format!("it saw {}", saw.join(", ")) };
    format!("{what} {outcome}, {saw}")
}

fn rule_place(bench: &Bench<'_>, place: &Place) -> Option<(PathBuf, usize)> {
    located(bench.rulebook.files.rule_sets.get(&*bench.endpoint.rules.name)?, place)
}

fn policy_place(bench: &Bench<'_>, place: &Place) -> Option<(PathBuf, usize)> {
    located(bench.rulebook.files.policies.get(&*bench.endpoint.policy.name)?, place)
}

fn located(file: &FilePlaces, place: &Place) -> Option<(PathBuf, usize)> {
    Some((file.path().to_owned(), file.line(place)?))
}
