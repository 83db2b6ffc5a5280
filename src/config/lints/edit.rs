//! Changes of YAML text that keep its style: how a value is quoted, whether a mapping stands in braces or on lines of its own.

use crate::config::diagnostic::{Diagnostic, Sink};
use crate::config::scalar;
use crate::config::source::Span;
use crate::config::tree::{Node, Value};

/// What is put in place of text.
pub(super) type Edits = Vec<(Span, String)>;

/// Another text in place of a value, quoted as that one is. `None` where it stands on several lines.
pub(super) fn text(node: &Node, new: &str, sink: &Sink) -> Option<(Span, String)> {
    let source = sink.source();
    let old = source.text.get(node.span.clone())?;
    if old.contains('\n') {
        return None;
    }
    if old.starts_with(['|', '>']) {
        return None;
    }
    let written = scalar::written(&source, &node.span, new);
    Some((node.span.clone(), written))
}

/// Says what was meant: as a change where it can be made, else in words.
pub(super) fn meant(diagnostic: &mut Diagnostic, written: &str, edits: Option<Edits>, is_sure: bool) {
    match edits {
        Some(edits) if is_sure => diagnostic.fix(format!("write `{written}`"), edits),
        Some(edits) => diagnostic.suggest(format!("write `{written}`"), edits),
        None => diagnostic.help(format!("did you mean `{written}`?")),
    };
}

/// A text as YAML where none stood before.
pub(super) fn plain(text: &str) -> String {
    scalar::anew(text)
}

/// A new item before an item of a list: on a line of its own, or within the brackets. `pair` is a mapping of one key without its braces.
pub(super) fn item_before(item: &Node, pair: &str, sink: &Sink) -> Option<(Span, String)> {
    let source = sink.source();
    let (line, _) = source.position(item.span.start);
    let before = source.text.get(source.line(line).start..item.span.start)?;
    let at = item.span.start..item.span.start;
    // `    - ` and nothing else before it: the list stands on lines.
    if before.trim_start().starts_with('-') && before.trim() == "-" {
        return Some((at, format!("{pair}\n{before}")));
    }
    before.contains('[').then(|| (at, format!("{{ {pair} }}, ")))
}

/// A new key behind the last one of a mapping.
pub(super) fn key_behind(mapping: &Node, pair: &str, sink: &Sink) -> Option<(Span, String)> {
    let Value::Mapping(entries) = &mapping.value else { return None };
    let source = sink.source();
    let (first, last) = (entries.first()?, entries.last()?);
    let at = last.value.span.end.max(last.key_span.end);
    if source.text.get(mapping.span.start..)?.starts_with('{') {
        return Some((at..at, format!(", {pair}")));
    }
    // A text on several lines ends where only YAML knows.
    let is_simple = !source.text.get(last.value.span.clone())?.contains('\n');
    let (line, _) = source.position(first.key_span.start);
    let indent = source.text.get(source.line(line).start..first.key_span.start)?;
    let blanks: String = indent.chars().map(|_| ' ').collect();
    is_simple.then(|| (at..at, format!("\n{blanks}{pair}")))
}
