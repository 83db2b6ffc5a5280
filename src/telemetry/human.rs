//! Events for a person at a terminal: time, id, what happened, then the facts as `name=value`.

use std::io::Write;

use serde_json::Value;

use super::Event;

const DIM: &str = "\x1b[2m";
const BOLD: &str = "\x1b[1m";
const OFF: &str = "\x1b[0m";

/// Appends the event's line, without its end.
pub(super) fn write(out: &mut Vec<u8>, now: &str, event: &Event<'_>, color: bool) {
    let (dim, bold, off) = if color { (DIM, BOLD, OFF) } else { ("", "", "") };
    let Ok(Value::Object(mut fields)) = serde_json::to_value(event) else { return };
    let name = fields.remove("event");
    let session = fields.remove("session");
    let id = fields.remove("message").filter(|id| !id.is_null()).or(session);
    let clock = now.get(11..23).unwrap_or(now);
    // Writing to memory cannot fail.
    let _ = write!(out, "{dim}{clock} {:<18}{off} {bold}{:<13}{off}", text(id.as_ref()), text(name.as_ref()));
    for (key, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        let _ = write!(out, " {dim}{key}={off}{}", shown(value));
    }
}

fn text(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or("-")
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() && !text.contains([' ', '"']) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) if fields.contains_key("code") => reply(fields),
        Value::Object(fields) => {
            format!("{{{}}}", fields.iter().map(|(key, value)| format!("{key}: {}", shown(value))).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// A reply as one reads it on the wire.
fn reply(fields: &serde_json::Map<String, Value>) -> String {
    let text = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
    format!("\"{} {} {}\"", fields.get("code").and_then(Value::as_u64).unwrap_or_default(), text("status"), text("text"))
}
