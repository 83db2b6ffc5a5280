//! The report for programs: one JSON object, whose keys docs/rules-as-code.md explains.

use serde_json::{Value, json};

use super::Replayed;
use crate::replay::Group;

/// Writes the report.
pub(super) fn report(replayed: &Replayed<'_>) -> serde_json::Result<String> {
    let Replayed { replay, sources, tally } = replayed;
    let counted = |group: &Group, endpoint: &str| -> Value {
        json!({ "recipients": group.recipients, "endpoint": endpoint, "examples": group.examples })
    };
    let merged = |mut object: Value, more: Value| {
        if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
            object.extend(more);
        }
        object
    };
    let mut differences = Vec::new();
    for different in tally.differences() {
        differences.push(merged(counted(different.group, different.endpoint), serde_json::to_value(different.difference)?));
    }
    let untold = tally.untold().into_iter().map(|untold| {
        let more = json!({ "possible": untold.possible, "depends_on": untold.questions });
        merged(counted(untold.group, untold.endpoint), more)
    });
    let [client, mail_from, recipients] = tally.guessed;
    let object = json!({
        "old": replay.old.label,
        "new": replay.new.label,
        "sources": sources.iter().map(|(path, kind)| json!({ "path": path, "kind": kind })).collect::<Vec<_>>(),
        "messages": tally.messages,
        "recipients": tally.recipients,
        "differ": tally.differ,
        "same": tally.same,
        "same_by_other_rules": tally.same_by_other_rules,
        "cannot_be_told": tally.open,
        "passed_over": tally.passed_over,
        "guessed": { "client": client, "mail_from": mail_from, "recipients": recipients },
        "assumed_delivered": tally.assumed,
        "logged": { "messages": tally.logged.first(), "explained": tally.logged.last() },
        "differences": differences,
        "untold": untold.collect::<Vec<_>>(),
        "passed_over_examples":
            tally.passed_over_shown.iter().map(|passed| json!({ "place": passed.place, "why": passed.why })).collect::<Vec<_>>(),
    });
    let mut text = serde_json::to_string_pretty(&object)?;
    text.push('\n');
    Ok(text)
}
