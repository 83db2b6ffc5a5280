//! Comments that allow warnings: `# gateway: allow(dead-rule) kept until the migration ends`.
//!
//! On a line of its own it is about what begins on the next line, at the end of a line about what begins there: a rule, a statement, an
//! entry with all below it. Before the first key it is about the whole file.

use super::diagnostic::{Code, Diagnostic, Severity};
use super::source::{Source, Span};
use super::suggest::suggest;
use super::tree::{Node, Value};

/// A comment that allows diagnostics.
#[derive(Clone, Debug)]
pub(super) struct Allowance {
    /// The comment.
    span: Span,
    /// The line to remove when it has no use: the comment, or all of its line.
    removed: Span,
    /// What it names, with the place of each name.
    names: Vec<(String, Span)>,
    /// What it is about; `None`: the whole file.
    about: Option<Span>,
    /// Whether it could be read.
    is_understood: bool,
}

/// The words that a comment begins with which is addressed to this program.
const ADDRESS: &str = "gateway:";

/// Whether there may be an allowance in a text: comments need not be looked at otherwise.
pub(super) fn may_be_in(text: &str) -> bool {
    text.contains(ADDRESS)
}

/// The allowances among the comments of a file.
pub(super) fn find(comments: &[Span], tree: &Node, source: &Source) -> Vec<Allowance> {
    comments.iter().filter_map(|span| read(span, tree, source)).collect()
}

fn read(span: &Span, tree: &Node, source: &Source) -> Option<Allowance> {
    let comment = source.text.get(span.clone())?;
    let words = comment.trim_start_matches('#').trim_start().strip_prefix(ADDRESS)?.trim_start();
    let start = span.end.saturating_sub(words.len());
    // Other comments may begin with the same words: `# gateway: the machine in Berlin`.
    let order: String = words.chars().take_while(char::is_ascii_alphabetic).collect();
    let behind = words.get(order.len()..).unwrap_or_default();
    if order != "allow" && !behind.starts_with('(') {
        return None;
    }
    let (line, _) = source.position(span.start);
    let line_span = source.line(line);
    let alone = source.text.get(line_span.start..span.start).is_some_and(|before| before.trim().is_empty());
    let about = match alone {
        false => Some(item(line, tree, source)),
        true if span.start < tree.span.start => None,
        true => Some(item(next_line(line, source), tree, source)),
    };
    let removed = if alone {
        line_span.start..source.line(line.saturating_add(1)).start.max(line_span.end)
    } else {
        let before = source.text.get(line_span.start..span.start).unwrap_or_default();
        line_span.start.saturating_add(before.trim_end().len())..span.end
    };
    let list = behind.strip_prefix('(').and_then(|rest| rest.split_once(')')).map(|(list, _)| list);
    let mut names = Vec::new();
    let mut at = start.saturating_add(order.len()).saturating_add(1);
    for name in list.unwrap_or_default().split(',') {
        let trimmed = name.trim();
        let from = at.saturating_add(name.len().saturating_sub(name.trim_start().len()));
        names.push((trimmed.to_owned(), from..from.saturating_add(trimmed.len())));
        at = at.saturating_add(name.len()).saturating_add(1);
    }
    names.retain(|(name, _)| !name.is_empty());
    let is_understood = order == "allow" && list.is_some() && !names.is_empty();
    Some(Allowance { span: span.clone(), removed, names, about, is_understood })
}

/// The next line that is neither empty nor a comment.
fn next_line(mut line: usize, source: &Source) -> usize {
    loop {
        line = line.saturating_add(1);
        let span = source.line(line);
        let text = source.text.get(span.clone()).unwrap_or_default().trim_start();
        if span.start >= source.text.len() || !text.is_empty() && !text.starts_with('#') {
            return line;
        }
    }
}

/// The outermost item or entry that begins on a line; the line itself where none does.
fn item(line: usize, tree: &Node, source: &Source) -> Span {
    let line = source.line(line);
    let mut node = tree;
    loop {
        let children: Vec<(usize, &Node)> = match &node.value {
            Value::Sequence(items) => items.iter().map(|item| (item.span.start, item)).collect(),
            Value::Mapping(entries) => entries.iter().map(|entry| (entry.key_span.start, &entry.value)).collect(),
            _ => return line,
        };
        if let Some((start, child)) = children.iter().find(|(start, _)| line.contains(start)) {
            return *start..child.span.end.max(line.end);
        }
        // The last that begins before the line holds what begins on it.
        match children.iter().rev().find(|(start, _)| *start < line.start) {
            Some((_, child)) => node = child,
            None => return line,
        }
    }
}

/// A place, what is wrong there, and the change that mends it.
pub(super) type Unused = (Span, String, Option<(String, Vec<(Span, String)>)>);

/// Takes away what is allowed. What comes back is to be said of allowances: those that cannot be read, and with `whole` those without use.
pub(super) fn apply(allowances: &[Allowance], diagnostics: &mut Vec<Diagnostic>, whole: bool) -> Vec<Unused> {
    let mut said = Vec::new();
    for allowance in allowances {
        if !allowance.is_understood {
            let message = "this comment allows nothing: it is written `# gateway: allow(CODE)`, with the reason behind it";
            said.push((allowance.span.clone(), message.to_owned(), None));
            continue;
        }
        for (name, span) in &allowance.names {
            let Some(code) = Code::named(name) else {
                let near = suggest(name, Code::ALL.iter().map(|code| code.name()));
                let fix = near.map(|near| (format!("write `{near}`"), vec![(span.clone(), near.to_owned())]));
                said.push((span.clone(), format!("there is no diagnostic `{}`", super::formats::clip(name)), fix));
                continue;
            };
            if code.severity() == Severity::Error {
                said.push((span.clone(), format!("`{name}` is an error, and errors cannot be allowed"), None));
                continue;
            }
            let before = diagnostics.len();
            diagnostics.retain(|found| {
                let is_there = allowance.about.as_ref().is_none_or(|about| (about.start..=about.end).contains(&found.span.start));
                !(found.code == code && found.severity == Severity::Warning && is_there)
            });
            if diagnostics.len() == before && whole && is_always_found(code) {
                let fix = (allowance.names.len() == 1)
                    .then(|| ("remove the comment".to_owned(), vec![(allowance.removed.clone(), String::new())]));
                said.push((span.clone(), format!("there is no `{name}` here to be allowed"), fix));
            }
        }
    }
    said
}

/// Whether a mistake is found each time that it is there: not only on some days, or with some options.
fn is_always_found(code: Code) -> bool {
    !matches!(code, Code::Expired | Code::ExpiresSoon | Code::NamesUnchecked | Code::GatewayMistakes | Code::TlsFiles)
}

#[cfg(test)]
mod tests {
    use super::super::diagnostic::Sink;
    use super::super::tree;
    use super::*;

    /// The texts that the allowances of a file are about; `*` is the whole file.
    fn abouts(text: &str) -> Vec<String> {
        let mut sink = Sink::new(Source::new("x.yaml".into(), text.into()));
        tree::parse(&mut sink).unwrap();
        let about = |allowance: &Allowance| allowance.about.clone().map_or("*".to_owned(), |about| text[about].trim().to_owned());
        sink.allowances.iter().map(about).collect()
    }

    #[test]
    fn an_allowance_is_about_what_begins_beside_or_below_it() {
        let text = "# gateway: allow(unused)\na: 1\nrules:\n  # gateway: allow(unused) because\n\n  # and so on\n  - name: x\n    when: y\n  - name: z # gateway: allow(unused)\n    when: # gateway: allow(unused)\n      - q\n";
        assert_eq!(
            abouts(text),
            [
                "*",
                "name: x\n    when: y",
                "name: z # gateway: allow(unused)\n    when: # gateway: allow(unused)\n      - q",
                "when: # gateway: allow(unused)\n      - q"
            ]
        );
    }

    #[test]
    fn what_looks_like_one_in_a_text_is_none() {
        assert!(abouts("a: \"# gateway: allow(unused)\"\nb: |\n  # gateway: allow(unused)\n").is_empty());
        assert!(abouts("a: b # gateway: the machine in Berlin\n").is_empty());
    }

    #[test]
    fn names_know_their_place() {
        let text = "a: b # gateway: allow( unused , nonsense)\n";
        let mut sink = Sink::new(Source::new("x.yaml".into(), text.into()));
        tree::parse(&mut sink).unwrap();
        let names: Vec<_> = sink.allowances[0].names.iter().map(|(name, span)| (name.as_str(), &text[span.clone()])).collect();
        assert_eq!(names, [("unused", "unused"), ("nonsense", "nonsense")]);
    }
}
