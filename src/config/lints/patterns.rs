//! Regular expressions that match more than they look like.

use super::domains::is_whole_domain;
use super::edit;
use super::walk::Test;
use crate::config::diagnostic::{Code, Sink};
use crate::config::formats::{self, clip};
use crate::config::tree::Node;

/// Longer expressions are made by machines, and not read here.
const PATTERN_BYTES_READ: usize = 1000;

/// Whether such a mistake was found.
pub(super) fn check(test: &Test<'_>, sink: &mut Sink) -> bool {
    if test.operator() != "matches" {
        return false;
    }
    let mut found = false;
    for (node, pattern) in test.texts().filter(|(_, pattern)| pattern.len() <= PATTERN_BYTES_READ) {
        found |= everything(test, node, pattern, sink)
            || (test.is_address() || test.is_domain() || test.is_host())
                && (dots(test, node, pattern, sink) || unanchored(test, node, pattern, sink));
    }
    found
}

/// `.*` and its like.
fn everything(test: &Test<'_>, node: &Node, pattern: &str, sink: &mut Sink) -> bool {
    let Ok(regex) = formats::pattern(pattern) else { return false };
    if !regex.is_match("") {
        return false;
    }
    // What matches the empty text, every character alone, all of them, and a long text, matches all that comes by mail.
    let all: String = (' '..='~').chain("äλ中".chars()).collect();
    let is_everything = all.char_indices().all(|(at, c)| all.get(at..at.saturating_add(c.len_utf8())).is_some_and(|c| regex.is_match(c)))
        && regex.is_match(&all)
        && regex.is_match(&all.repeat(20));
    if is_everything {
        let edits = instead_of_pattern(test, node);
        let message = format!("`{}` matches every text", clip(pattern));
        let diagnostic = sink.error(Code::AlwaysMatches, node.span.clone(), message);
        diagnostic.help("the condition only asks whether there is a value at all: `exists: true` says so");
        if let Some(edits) = edits {
            diagnostic.suggest("write `exists: true`", edits);
        }
    }
    is_everything
}

fn instead_of_pattern(test: &Test<'_>, node: &Node) -> Option<edit::Edits> {
    let [_] = test.values() else { return None };
    Some(vec![(test.operator.key_span.clone(), "exists".to_owned()), (node.span.clone(), "true".to_owned())])
}

/// A dot in a domain that stands for any character.
fn dots(test: &Test<'_>, node: &Node, pattern: &str, sink: &mut Sink) -> bool {
    let places = domain_dots(pattern);
    let Some(first) = places.first() else { return false };
    let mut escaped = pattern.to_owned();
    places.iter().rev().for_each(|at| escaped.insert(*at, '\\'));
    let (before, after) = (pattern.get(..*first).unwrap_or_default(), pattern.get(first.saturating_add(1)..).unwrap_or_default());
    let shown: String = before.chars().rev().take_while(|c| is_label(*c)).collect::<Vec<_>>().into_iter().rev().collect();
    let behind: String = after.chars().take_while(|c| is_label(*c)).collect();
    let fix = edit::text(node, &escaped, sink);
    let simpler = literal(&escaped).filter(|(_, is_end)| *is_end).and_then(|(text, _)| plain_end(test, node, &text, sink));
    let message = if shown.is_empty() {
        "an unescaped dot stands for any character, not only for the dot of a domain".to_owned()
    } else {
        format!("an unescaped dot stands for any character: this also matches `{shown}x{behind}`")
    };
    let diagnostic = sink.error(Code::RegexDot, node.span.clone(), message);
    edit::meant(diagnostic, &escaped, fix.map(|fix| vec![fix]), true);
    if let Some((written, edits)) = simpler {
        edit::meant(diagnostic, &written, Some(edits), false);
    }
    true
}

/// A domain alone, which may stand anywhere in the text.
fn unanchored(test: &Test<'_>, node: &Node, pattern: &str, sink: &mut Sink) -> bool {
    let Some((text, false)) = literal(pattern) else { return false };
    let domain = text.strip_prefix('@').unwrap_or(&text);
    if !is_whole_domain(domain) || domain != text && !test.is_address() {
        return false;
    }
    let edits = plain_end(test, node, &text, sink);
    let message = format!("this also matches `{domain}.evil.example`: nothing says that it ends there");
    let diagnostic = sink.error(Code::ContainsDomain, node.span.clone(), message);
    match edits {
        Some((written, edits)) => edit::meant(diagnostic, &written, Some(edits), false),
        None => edit::meant(diagnostic, &format!("{pattern}$"), None, false),
    }
    true
}

/// The operator without an expression for what ends with this text.
fn plain_end(test: &Test<'_>, node: &Node, text: &str, sink: &Sink) -> Option<(String, edit::Edits)> {
    let (operator, value) = match (test.is_address(), text.starts_with('@')) {
        (true, true) => ("ends_with", text.to_owned()),
        (true, false) if !text.starts_with('.') => ("ends_with", format!("@{text}")),
        (false, false) if !text.starts_with('.') => ("equals", text.to_owned()),
        _ => ("ends_with", text.to_owned()),
    };
    let domain = value.trim_start_matches(['@', '.']);
    if !is_whole_domain(domain) {
        return None;
    }
    let [_] = test.values() else { return None };
    // Another operator, so the quotes of the expression have no meaning any more.
    let edits = vec![(test.operator.key_span.clone(), operator.to_owned()), (node.span.clone(), edit::plain(&value))];
    (!sink.source().text.get(node.span.clone())?.contains('\n')).then(|| (format!("{operator}: {}", edit::plain(&value)), edits))
}

/// The text that an expression of plain characters and escaped dots stands for, and whether it ends the value.
fn literal(pattern: &str) -> Option<(String, bool)> {
    let inner = pattern.strip_prefix(".*").unwrap_or(pattern);
    let (inner, is_end) = inner.strip_suffix('$').map_or((inner, false), |inner| (inner, true));
    let text = inner.replace("\\.", ".");
    let is_literal = !inner.replace("\\.", "").contains(['.', '\\', '^', '(', ')', '[', ']', '|', '?', '*', '+', '{', '}', '$']);
    (is_literal && !text.is_empty()).then_some((text, is_end))
}

fn is_label(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-'
}

/// The places of unescaped dots between what may be a label and the top of a domain or another label.
fn domain_dots(pattern: &str) -> Vec<usize> {
    let bytes = pattern.as_bytes();
    let mut places = Vec::new();
    let (mut escaped, mut in_class, mut label_before) = (false, false, false);
    for (at, byte) in bytes.iter().enumerate() {
        let was_label = std::mem::replace(&mut label_before, false);
        match byte {
            // `\d` and `\w` may be the end of a label.
            _ if escaped => {
                escaped = false;
                label_before = byte.is_ascii_alphabetic();
            }
            b'\\' => escaped = true,
            b'[' if !in_class => in_class = true,
            b']' if in_class => {
                in_class = false;
                label_before = true;
            }
            _ if in_class => {}
            b'.' if was_label && is_domain_behind(pattern.get(at.saturating_add(1)..).unwrap_or_default()) => places.push(at),
            byte => label_before = is_label(char::from(*byte)) || matches!(byte, b')' | b'+' | b'*' | b'}'),
        }
    }
    places
}

/// Whether a top domain, or labels and a top domain, stand there: `example`, `co.uk`, `example$`.
fn is_domain_behind(rest: &str) -> bool {
    let mut rest = rest;
    loop {
        let (label, behind) = rest.split_at(rest.find(|c| !is_label(c)).unwrap_or(rest.len()));
        if label.is_empty() || label.starts_with('-') {
            return false;
        }
        let next = behind.strip_prefix('\\').unwrap_or(behind);
        match next.chars().next() {
            Some('.') => rest = next.get(1..).unwrap_or_default(),
            None | Some('$' | ')' | '|' | '>') => return label.len() >= 2 && label.bytes().all(|b| b.is_ascii_alphabetic()),
            Some(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_of_domains_are_found_and_others_are_not() {
        for (pattern, expected) in [
            ("@acme.example$", &[5][..]),
            (r"@acme\.example$", &[]),
            ("@mail.acme.example", &[5, 10]),
            (r"@mail\.acme.example", &[11]),
            ("(acme.example|acme.org)$", &[5, 18]),
            ("^.*@acme.example$", &[8]),
            ("[a.b]@x", &[]),
            (r"^\d+.example$", &[4]),
            (".*.acme.example$", &[2, 7]),
            ("^bob.+@", &[]),
            ("^mail.{1,3}$", &[]),
            ("^b.b@", &[]),
            ("invoice.", &[]),
        ] {
            assert_eq!(domain_dots(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn plain_expressions_are_texts() {
        for (pattern, expected) in [
            (r"@acme\.example$", Some(("@acme.example", true))),
            (r".*@acme\.example", Some(("@acme.example", false))),
            (r"^acme\.example$", None),
            ("a.b", None),
            ("(a|b)", None),
        ] {
            assert_eq!(literal(pattern), expected.map(|(text, end): (&str, bool)| (text.to_owned(), end)), "{pattern}");
        }
    }
}
