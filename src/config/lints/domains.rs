//! Parts of domains that also stand in domains of others.

use super::edit::{self, Edits};
use super::walk::Test;
use crate::config::diagnostic::{Code, Sink};
use crate::config::formats::{self, clip};
use crate::config::tree::Node;

/// Whether such a mistake was found.
pub(super) fn check(test: &Test<'_>, sink: &mut Sink) -> bool {
    if !(test.is_address() || test.is_domain() || test.attribute == "client_host") {
        return false;
    }
    match test.operator() {
        "contains" => contains(test, sink),
        "ends_with" => ends_with(test, sink),
        _ => false,
    }
}

/// `contains: acme.example` is also true of `acme.example.evil.org`.
fn contains(test: &Test<'_>, sink: &mut Sink) -> bool {
    let mut found = false;
    for (node, text) in test.texts() {
        let domain = text.strip_prefix('@').unwrap_or(text);
        if !is_whole_domain(domain) || domain != text && !test.is_address() {
            continue;
        }
        found = true;
        let instead = if test.is_address() { format!("@{domain}") } else { domain.to_owned() };
        let operator = if test.is_address() { "ends_with" } else { "equals" };
        let edits = instead_of(test, node, operator, &instead, sink);
        let what = if test.is_address() { "addresses at " } else { "" };
        let message = format!("`contains: {}` is also true of {what}`{domain}.evil.example`", clip(text));
        let diagnostic = sink.error(Code::ContainsDomain, node.span.clone(), message);
        edit::meant(diagnostic, &format!("{operator}: {}", edit::plain(&instead)), edits, false);
    }
    found
}

/// `ends_with: acme.example` is also true of `evilacme.example`.
fn ends_with(test: &Test<'_>, sink: &mut Sink) -> bool {
    let mut found = false;
    for (node, text) in test.texts() {
        if !is_whole_domain(text) {
            continue;
        }
        found = true;
        let edit = |new: &str, sink: &Sink| edit::text(node, new, sink).map(|edit| vec![edit]);
        let (at, below) = (format!("@{text}"), format!(".{text}"));
        let exactly = if test.is_address() { edit(&at, sink) } else { instead_of(test, node, "equals", text, sink) };
        let subdomains = edit(&below, sink);
        let what = if test.is_address() { "addresses at " } else { "" };
        let message = format!("`ends_with: {}` is also true of {what}`evil{text}`", clip(text));
        let diagnostic = sink.error(Code::EndsWithDomain, node.span.clone(), message);
        let alone = if test.is_address() { format!("ends_with: \"{at}\"") } else { format!("equals: {text}") };
        edit::meant(diagnostic, &alone, exactly, false);
        edit::meant(diagnostic, &format!("ends_with: \"{below}\""), subdomains, false);
        if test.is_address() {
            diagnostic.help("with `@` before it, it is the domain alone, with a dot the domains below it; a list holds both");
        } else {
            diagnostic.help("`equals` is the domain alone, a dot before it the domains below it; `any` holds both");
        }
    }
    found
}

/// Another operator and value, where the operator has this one value.
pub(super) fn instead_of(test: &Test<'_>, node: &Node, operator: &str, value: &str, sink: &Sink) -> Option<Edits> {
    let [_] = test.values() else { return None };
    Some(vec![(test.operator.key_span.clone(), operator.to_owned()), edit::text(node, value, sink)?])
}

/// A domain with a top one of letters, as people write domains; `invoice` or `mail.` is none.
pub(super) fn is_whole_domain(text: &str) -> bool {
    let top = text.rsplit_once('.').map_or("", |(_, top)| top);
    top.len() >= 2 && top.bytes().all(|b| b.is_ascii_alphabetic()) && formats::domain(text).is_ok()
}
