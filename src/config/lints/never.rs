//! Values that the attribute can never have: what is compared is not written so.

use std::net::IpAddr;

use super::domains::{instead_of, is_whole_domain};
use super::edit::{self, Edits};
use super::walk::Test;
use crate::config::diagnostic::{Code, Diagnostic, Sink};
use crate::config::formats::clip;
use crate::config::tree::Node;

/// Why a value never fits, and what was meant.
struct Never {
    why: &'static str,
    meant: Meant,
}

/// What was meant by a value that never fits.
enum Meant {
    /// Surely this value.
    Value(String),
    /// This operator and value.
    Operator(&'static str, String),
    /// Another attribute with this operator and value.
    Attribute(&'static str, &'static str, String),
    /// Nothing that could be written in its place; this may help.
    Help(&'static str),
}

/// Whether such a mistake was found.
pub(super) fn check(test: &Test<'_>, sink: &mut Sink) -> bool {
    if !test.is(&["equals", "not_equals", "starts_with", "ends_with", "contains"]) {
        return false;
    }
    let mut found = false;
    for (node, text) in test.texts() {
        let Some(never) = never(test, text) else { continue };
        found = true;
        report(test, node, text, &never, sink);
    }
    found
}

fn report(test: &Test<'_>, node: &Node, text: &str, never: &Never, sink: &mut Sink) {
    let (help, edits, is_sure): (String, Option<Edits>, bool) = match &never.meant {
        Meant::Value(value) => (edit::plain(value), edit::text(node, value, sink).map(|edit| vec![edit]), true),
        Meant::Operator(operator, value) => {
            (format!("{operator}: {}", edit::plain(value)), instead_of(test, node, operator, value, sink), false)
        }
        Meant::Attribute(attribute, operator, value) => {
            let edits = instead_of(test, node, operator, value, sink).map(|mut edits| {
                edits.insert(0, (test.condition.key_span.clone(), (*attribute).to_owned()));
                edits
            });
            (format!("{attribute}: {{ {operator}: {} }}", edit::plain(value)), edits, false)
        }
        Meant::Help(help) => ((*help).to_owned(), None, false),
    };
    let consequence = if test.operator() == "not_equals" { "always" } else { "never" };
    let message = format!("`{}: {}` is {consequence} true: {}", test.operator(), clip(text), never.why);
    let diagnostic = sink.error(Code::NeverMatches, node.span.clone(), message);
    match &never.meant {
        Meant::Help(help) => drop_diagnostic(diagnostic.help(*help)),
        _ => edit::meant(diagnostic, &help, edits, is_sure),
    }
}

fn never(test: &Test<'_>, text: &str) -> Option<Never> {
    if test.is_address() {
        address(test, text)
    } else if test.is_domain() || test.is_host() {
        domain(test, text)
    } else {
        other(test, text)
    }
}

fn address(test: &Test<'_>, text: &str) -> Option<Never> {
    // `contains` may look for a display name.
    if test.is(&["contains"]) {
        return None;
    }
    let whole = test.is(&["equals", "not_equals"]);
    if let Some((_, rest)) = text.split_once('<')
        && let Some((inner, "")) = rest.split_once('>')
        && inner.contains('@')
        && whole
    {
        return is(Meant::Value(inner.to_owned()), "the address is compared without its display name and angle brackets");
    }
    let trimmed = trimmed(test, text);
    if trimmed.len() < text.len() && !trimmed.is_empty() {
        return is(Meant::Value(trimmed.to_owned()), "an address has no blanks at its ends");
    }
    if test.is(&["starts_with"]) && text.starts_with('@') {
        return is(Meant::Operator("ends_with", text.to_owned()), "no address begins with `@`");
    }
    // In header fields addresses may be written in any way; in the envelope each has its domain, but for `postmaster` and the null sender.
    let is_envelope = matches!(test.attribute, "mail_from" | "recipient" | "recipient_base");
    if !whole || !is_envelope || text.is_empty() || text.contains('*') {
        return None;
    }
    if !text.contains('@') && !text.eq_ignore_ascii_case("postmaster") {
        let meant = match test.attribute {
            "recipient" | "recipient_base" if is_whole_domain(text) => {
                Meant::Attribute("recipient_domain", operator(test), text.to_owned())
            }
            "mail_from" if is_whole_domain(text) => Meant::Attribute("mail_from_domain", operator(test), text.to_owned()),
            _ if test.is(&["equals"]) => Meant::Operator("starts_with", format!("{text}@")),
            _ => Meant::Help("write the whole address"),
        };
        return is(meant, "every address has a domain");
    }
    if text.starts_with('@') {
        let meant =
            if test.is(&["equals"]) { Meant::Operator("ends_with", text.to_owned()) } else { Meant::Help("write the whole address") };
        return is(meant, "an address has a local part before the `@`");
    }
    if test.attribute == "recipient_base"
        && let Some((local_part, domain)) = text.rsplit_once('@')
        && let Some((base, _)) = local_part.split_once('+')
        && !base.is_empty()
        && !base.starts_with('"')
    {
        return is(Meant::Value(format!("{base}@{domain}")), "`recipient_base` is the recipient without what follows the `+`");
    }
    None
}

fn domain(test: &Test<'_>, text: &str) -> Option<Never> {
    let trimmed = trimmed(test, text);
    if trimmed.len() < text.len() && !trimmed.is_empty() {
        return is(Meant::Value(trimmed.to_owned()), "a name has no blanks at its ends");
    }
    if test.is_domain() && text.contains('@') {
        return match text.strip_prefix('@') {
            Some(rest) if !rest.contains('@') && !rest.is_empty() => is(Meant::Value(rest.to_owned()), "a domain is what follows the `@`"),
            _ => is(Meant::Help("an address is asked for by the attribute without `_domain`"), "there is no `@` in a domain"),
        };
    }
    if test.attribute == "client_host" && test.is(&["equals", "not_equals"]) && text.parse::<IpAddr>().is_ok() {
        return is(
            Meant::Help("addresses of clients are asked for by `source_ip`, in policies by `sender_ip`"),
            "a host has a name, not an address",
        );
    }
    if (test.is_domain() || test.attribute == "client_host") && test.is(&["equals"]) && text.strip_prefix('.').is_some_and(is_whole_domain)
    {
        return is(Meant::Operator("ends_with", text.to_owned()), "no name begins with a dot");
    }
    None
}

fn other(test: &Test<'_>, text: &str) -> Option<Never> {
    let whole = test.is(&["equals", "not_equals"]);
    match test.attribute {
        "extension" if whole => {
            let (_, last) = text.rsplit_once('.')?;
            let meant = if last.is_empty() { Meant::Help("write it without dots") } else { Meant::Value(last.to_owned()) };
            is(meant, "the extension is what follows the last dot of the file name")
        }
        "type" if whole && text.contains(';') => {
            let (kind, _) = text.split_once(';')?;
            is(Meant::Value(kind.trim().to_owned()), "the media type is compared without its parameters")
        }
        "type" if whole && !text.contains('/') => is(
            Meant::Help("a media type is written `application/pdf`; what follows the last dot of the name is `extension`"),
            "a media type has a `/`",
        ),
        "message_id" if whole && text.starts_with('<') && text.ends_with('>') => {
            is(Meant::Value(text.trim_matches(['<', '>']).to_owned()), "the Message-ID is compared without its angle brackets")
        }
        "subject" if is_encoded_word(text) => {
            is(Meant::Help("write the text as people read it"), "the subject is decoded (RFC 2047) before it is compared")
        }
        _ => None,
    }
}

fn drop_diagnostic(_: &mut Diagnostic) {}

#[expect(clippy::unnecessary_wraps, reason = "what finds nothing says None")]
fn is(meant: Meant, why: &'static str) -> Option<Never> {
    Some(Never { why, meant })
}

/// Without the blanks that keep the operator from ever fitting.
fn trimmed<'v>(test: &Test<'_>, text: &'v str) -> &'v str {
    match test.operator() {
        "equals" | "not_equals" => text.trim(),
        "starts_with" => text.trim_start(),
        "ends_with" => text.trim_end(),
        _ => text,
    }
}

fn operator(test: &Test<'_>) -> &'static str {
    if test.is(&["not_equals"]) { "not_equals" } else { "equals" }
}

/// A whole `=?charset?B?…?=` that would be decoded.
fn is_encoded_word(text: &str) -> bool {
    let Some(inner) = text.trim().strip_prefix("=?").and_then(|rest| rest.strip_suffix("?=")) else { return false };
    let parts: Vec<&str> = inner.split('?').collect();
    matches!(parts.as_slice(), [charset, "B" | "b" | "Q" | "q", _] if charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("iso-8859-1"))
}
