//! Events for a person at a terminal: time, id, what happened, then the facts as `name=value`.

use serde_json::{Map, Value};

use super::Event;
use crate::message::is_hostile;

const DIM: &str = "\x1b[2m";
const BOLD: &str = "\x1b[1m";
const OFF: &str = "\x1b[0m";

/// Appends the event's line, without its end.
pub(super) fn write(out: &mut Vec<u8>, now: &str, event: &Event<'_>, color: bool) {
    let Ok(Value::Object(fields)) = serde_json::to_value(event) else { return };
    out.extend_from_slice(line(now, &fields, color).as_bytes());
}

/// The line of an event that was read back from its JSON form.
pub fn line(now: &str, fields: &Map<String, Value>, color: bool) -> String {
    let (dim, bold, off) = if color { (DIM, BOLD, OFF) } else { ("", "", "") };
    let known = ["ts", "event", "session", "message"];
    let of = |key: &str| fields.get(key).and_then(Value::as_str);
    let id = of("message").or(of("session")).unwrap_or("-");
    let clock = now.get(11..23).unwrap_or(now);
    let mut line = format!("{dim}{clock} {id:<18}{off} {bold}{:<13}{off}", of("event").unwrap_or("-"));
    for (key, value) in fields.iter().filter(|(key, value)| !value.is_null() && !known.contains(&key.as_str())) {
        line.push_str(&format!(" {dim}{key}={off}{}", shown(value)));
    }
    line
}

fn shown(value: &Value) -> String {
    match value {
        // A terminal obeys them. In quotes, so that no part of the text passes for the next fact.
        Value::String(text) if text.contains(is_hostile) => format!("\"{}\"", escaped(text)),
        Value::String(text) if !text.is_empty() && !text.contains([' ', '"']) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) if fields.contains_key("code") => reply(fields),
        Value::Object(fields) => {
            format!("{{{}}}", fields.iter().map(|(key, value)| format!("{key}: {}", shown(value))).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

fn escaped(text: &str) -> String {
    text.chars().map(|c| if is_hostile(c) { c.escape_unicode().to_string() } else { c.escape_debug().to_string() }).collect()
}

/// A reply as one reads it on the wire.
fn reply(fields: &Map<String, Value>) -> String {
    let text = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default().replace(is_hostile, " ");
    format!("\"{} {} {}\"", fields.get("code").and_then(Value::as_u64).unwrap_or_default(), text("status"), text("text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_client_says_reaches_the_terminal_as_a_command() {
        let detail = "a\x1b[2Jb\r\n12:00:00.000 forged\u{9b}31m";
        let event = Event::Problem { what: "\x1b]0;x\x07", detail };
        let mut out = Vec::new();
        write(&mut out, "2026-11-21T12:00:00.000Z", &event, false);
        let line = String::from_utf8(out).unwrap();
        assert!(!line.contains(char::is_control), "{line:?}");
        assert!(line.contains("forged"));
    }

    #[test]
    fn no_part_of_a_text_passes_for_another_fact() {
        let event = Event::Problem { what: "\u{202e}a outcome=delivered \"b", detail: "\u{2028}12:00:00.000 forged" };
        let mut out = Vec::new();
        write(&mut out, "2026-11-21T12:00:00.000Z", &event, false);
        let line = String::from_utf8(out).unwrap();
        let facts = line.split_once("problem").unwrap().1.trim();
        assert_eq!(facts, r#"what="\u{202e}a outcome=delivered \"b" detail="\u{2028}12:00:00.000 forged""#);
    }
}
