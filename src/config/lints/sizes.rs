//! Sizes without their unit.

use super::edit;
use super::walk::Test;
use crate::config::diagnostic::{Code, Sink};
use crate::config::formats;
use crate::config::tree::{Node, Value};

/// What every server must take (RFC 5321 §4.5.3.1.7).
const MESSAGE_BYTES_MIN: u64 = 64 * 1024;

/// A header alone is longer.
const PLAUSIBLE_BYTES_MIN: u64 = 1024;

/// `message_size: { greater_than: 25 }`.
pub(super) fn check(test: &Test<'_>, sink: &mut Sink) {
    if test.attribute != "message_size" {
        return;
    }
    for node in test.values() {
        if let Some(octets) = without_unit(node).filter(|octets| (1..PLAUSIBLE_BYTES_MIN).contains(octets)) {
            report(node, octets, format!("this is {octets} octets: every message is larger"), sink);
        }
    }
}

/// `max_message_size: 25`.
pub(super) fn policy(tree: &Node, sink: &mut Sink) {
    let Some(node) = tree.get("max_message_size").filter(|node| sink.is_sound(&node.span)) else { return };
    let size = match &node.value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::Text(text) => formats::size(text).ok(),
        _ => None,
    };
    if let Some(size) = size.filter(|size| *size < MESSAGE_BYTES_MIN) {
        let message = format!("this is {size} octets: nearly every message is refused (RFC 5321 §4.5.3.1.7 asks for 64 KiB at least)");
        match without_unit(node) {
            Some(octets) if octets > 0 => report(node, octets, message, sink),
            _ => {
                sink.error(Code::SmallSize, node.span.clone(), message);
            }
        }
    }
}

fn report(node: &Node, octets: u64, message: String, sink: &mut Sink) {
    let written = format!("{octets}MiB");
    let edit = if octets < PLAUSIBLE_BYTES_MIN { edit::text(node, &written, sink) } else { None };
    let diagnostic = sink.error(Code::SmallSize, node.span.clone(), message);
    match edit {
        Some(edit) => diagnostic.suggest(format!("write `{written}`"), vec![edit]),
        None => diagnostic.help("with its unit: `25MiB`"),
    };
}

fn without_unit(node: &Node) -> Option<u64> {
    match &node.value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::Text(text) => text.parse().ok(),
        _ => None,
    }
}
