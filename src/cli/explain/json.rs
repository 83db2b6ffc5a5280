//! The explanation for programs. The keys are listed in `docs/rules-as-code.md`.

use serde_json::{Value, json};

use super::Explanation;
use crate::analysis::{List, Place};
use crate::config::FilePlaces;
use crate::policy::{Effect, StatementTrace, Verdict};
use crate::rules::{ConditionPath, ConditionTrace, Disposition, Mode, Plan, RecipientTrace, RuleTrace, Seen, StepAction};
use crate::trial::{Answer, Judged, RcptTrial, StageTrial, changes};

pub(super) fn json(explanation: &Explanation<'_>) -> String {
    let Explanation { rulebook, endpoint, told, trial, follows } = explanation;
    let policy = rulebook.files.policies.get(&*endpoint.policy.name);
    let rules = rulebook.files.rule_sets.get(&*endpoint.rules.name);
    let judged = trial.judged.as_ref();
    let value = json!({
        "config": &*rulebook.hash,
        "endpoint": &*endpoint.name,
        "given": told.iter().map(|one| json!({ "what": one.what, "value": one.value, "from": one.from })).collect::<Vec<_>>(),
        "assumed": trial.assumptions,
        "dialogue": trial.dialogue.iter().map(|exchange| json!({ "said": exchange.said, "reply": exchange.reply })).collect::<Vec<_>>(),
        "policy": {
            "name": &*endpoint.policy.name,
            "file": file(policy),
            "stages": trial.stages.iter().map(|asked| stage(policy, asked)).collect::<Vec<_>>(),
            "recipients": trial.recipients.iter().map(|one| recipient(policy, one)).collect::<Vec<_>>(),
        },
        "rules": {
            "name": &*endpoint.rules.name,
            "file": file(rules),
            "recipients": judged.map(|judged| judged.recipients.iter().map(|address| address.as_str()).collect::<Vec<_>>()),
            "rules": judged.map(|judged| judged.rules.iter().map(|one| rule(rules, one)).collect::<Vec<_>>()),
        },
        "plan": judged.and_then(plan),
        "answer": judged.and_then(|judged| judged.answer.as_ref()).map(answer),
        "reply": trial.reply(),
        "not_known": trial.lacking.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "follows": follows.iter().map(|follow| json!({ "when": follow.when, "then": follow.then })).collect::<Vec<_>>(),
    });
    // Indented, since people read it as well; a value of strings and numbers can always be written.
    serde_json::to_string_pretty(&value).unwrap_or_default() + "\n"
}

fn file(file: Option<&FilePlaces>) -> Option<String> {
    file.map(|file| file.path().display().to_string())
}

fn line(file: Option<&FilePlaces>, place: &Place) -> Option<usize> {
    file.and_then(|file| file.line(place))
}

fn outcome(seen: &Seen) -> (&'static str, Option<&str>) {
    match seen {
        Seen::Holds => ("yes", None),
        Seen::Fails => ("no", None),
        Seen::Unknown(why) => ("not_known", Some(why)),
    }
}

fn stage(file: Option<&FilePlaces>, asked: &StageTrial) -> Value {
    let (verdict, by) = match &asked.verdict {
        Verdict::Decided(Effect::Allow, by) => ("allow", by.as_deref().or(Some("default"))),
        Verdict::Decided(Effect::Deny, by) => ("deny", by.as_deref().or(Some("default"))),
        Verdict::Unknown { statement, .. } => ("defer", Some(&**statement)),
        Verdict::Undecided { .. } => ("undecided", None),
    };
    let list = |list: List, statements: &[StatementTrace]| -> Vec<Value> {
        statements.iter().enumerate().map(|(place, one)| statement(file, list, place, one)).collect()
    };
    json!({
        "stage": asked.stage.name(),
        "verdict": verdict,
        "statement": by,
        "deny": list(List::Deny, &asked.trace.deny),
        "allow": list(List::Allow, &asked.trace.allow),
        "refusal": asked.refusal,
    })
}

fn statement(file: Option<&FilePlaces>, list: List, place: usize, statement: &StatementTrace) -> Value {
    let (word, why) = outcome(&statement.outcome);
    let deciding = statement.deciding();
    let when = statement.when.iter().enumerate().map(|(number, one)| {
        let decides = deciding.contains(&number);
        condition(one, decides, line(file, &Place::Condition(list, place, number)), Vec::new())
    });
    json!({
        "name": &*statement.name,
        "line": line(file, &Place::Statement(list, place)),
        "outcome": word,
        "why": why,
        "looked_at": statement.is_reached,
        "when": when.collect::<Vec<_>>(),
    })
}

fn condition(trace: &ConditionTrace, decides: bool, line: Option<usize>, inner: Vec<Value>) -> Value {
    let (word, why) = outcome(&trace.outcome);
    json!({
        "attribute": trace.attribute,
        "test": trace.test,
        "saw": trace.saw,
        "outcome": word,
        "why": why,
        "decides": decides,
        "line": line,
        "inner": inner,
    })
}

fn recipient(file: Option<&FilePlaces>, one: &RcptTrial) -> Value {
    json!({
        "recipient": one.address.as_str(),
        "policy": one.policy.as_ref().map(|asked| stage(file, asked)),
        "reply": one.reply,
        "not_known": one.lacking.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn rule(file: Option<&FilePlaces>, trace: &RuleTrace) -> Value {
    let mode = match trace.mode {
        Mode::Enforce => "enforce",
        Mode::Audit => "audit",
        Mode::Off => "off",
    };
    json!({
        "name": &*trace.rule,
        "line": line(file, &Place::Rule(trace.index)),
        "mode": mode,
        "recipients": trace.recipients.iter().map(|one| judged_for(file, trace.index, one)).collect::<Vec<_>>(),
    })
}

fn judged_for(file: Option<&FilePlaces>, rule: usize, one: &RecipientTrace) -> Value {
    let (word, why) = outcome(&one.outcome);
    let deciding = one.deciding();
    let list = |unless: bool, traces: &[ConditionTrace]| conditions(file, rule, unless, traces, &mut Vec::new(), &deciding);
    json!({
        "recipient": one.address.as_str(),
        "originals": one.originals,
        "outcome": word,
        "why": why,
        "when": list(false, &one.when),
        "unless": list(true, &one.unless),
    })
}

fn conditions(
    file: Option<&FilePlaces>,
    rule: usize,
    unless: bool,
    traces: &[ConditionTrace],
    path: &mut Vec<usize>,
    deciding: &[ConditionPath],
) -> Vec<Value> {
    let mut values = Vec::with_capacity(traces.len());
    for (place, trace) in traces.iter().enumerate() {
        path.push(place);
        let decides = deciding.iter().any(|one| one.unless == unless && one.steps == *path);
        let at = if unless { Place::Unless(rule, path.clone()) } else { Place::When(rule, path.clone()) };
        let inner = conditions(file, rule, unless, &trace.inner, path, deciding);
        values.push(condition(trace, decides, line(file, &at), inner));
        path.pop();
    }
    values
}

fn plan(judged: &Judged) -> Option<Value> {
    let (plan, original) = (judged.plan.as_ref()?, judged.original.as_ref()?);
    let Plan { recipients, steps, matches } = plan;
    let recipients = recipients.iter().map(|one| {
        let (word, rule, reply) = match &one.disposition {
            Disposition::Planned => ("planned", None, None),
            Disposition::Dropped { rule } => ("dropped", Some(rule), None),
            Disposition::Rejected { rule, reply } => ("rejected", Some(rule), Some(reply)),
            Disposition::Deferred { rule, reply } => ("deferred", Some(rule), Some(reply)),
        };
        json!({ "recipient": one.address.as_str(), "disposition": word, "rule": rule, "reply": reply })
    });
    let steps = steps.iter().map(|step| {
        let StepAction::SmtpRelay { relay, mail_from } = &step.action;
        let to = step.recipients.iter().map(|one| json!({ "recipient": one.address.as_str(), "originals": one.originals }));
        json!({
            "rule": &*step.rule,
            "action": "SMTPRelay",
            "relay": &**relay,
            "mail_from": mail_from,
            "on_failure": step.on_failure,
            "recipients": to.collect::<Vec<_>>(),
            "header": changes(original, &step.edits),
        })
    });
    let matches =
        matches.iter().map(|one| json!({ "rule": &*one.rule, "audit": one.audit, "recipients": one.recipients, "actions": one.actions }));
    Some(json!({
        "recipients": recipients.collect::<Vec<_>>(),
        "steps": steps.collect::<Vec<_>>(),
        "matches": matches.collect::<Vec<_>>(),
    }))
}

fn answer(answer: &Answer) -> Value {
    match answer {
        Answer::Refused(reply) => json!({ "kind": "refused", "reply": reply }),
        Answer::Dropped => json!({ "kind": "dropped" }),
        Answer::AskedOf(relay) => json!({ "kind": "relay", "relay": &**relay }),
        Answer::Spooled => json!({ "kind": "spooled" }),
    }
}
